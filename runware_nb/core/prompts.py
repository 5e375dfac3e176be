"""A prompt that carries where it came from: its template, the values in it, and the runs that wrote parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import TaskInvalid
from ..remedies import RESUME, Remedy
from ..reprs import short_repr
from .results import Outcome, Result

__all__ = ["INCOMPLETE", "Prompt", "PromptOrigin", "PromptParent", "as_prompt", "incomplete_sentence", "origin_of"]

INCOMPLETE = Remedy("{0} completes it if its run is still pending. Its .text can be used as it is.", (RESUME,))


@short_repr()
@dataclass(frozen=True, slots=True)
class PromptParent:
    """A text result that a prompt contains, such as a version that `enhance` wrote.

    Attributes:
        task_uuid: The run that wrote it.
        index: The number of the result in that run, from 0.
    """

    task_uuid: str
    index: int


@short_repr()
@dataclass(frozen=True, slots=True)
class PromptOrigin:
    """What a prompt was rendered from.

    Attributes:
        template: The prompt as typed; None if it was not rendered from a template.
        values: The texts that replaced names, by name.
        saved: The saved prompts that were inserted, by name, as they were at that moment.
        wildcards: The choices, in the order of the prompt: the name of each wildcard, and the option that was drawn.
        parents: The text results in it.
    """

    template: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)
    wildcards: tuple[tuple[str, str], ...] = ()
    parents: tuple[PromptParent, ...] = ()

    def to_json(self) -> dict[str, Any] | None:
        """Return what the log records besides the template and the parents; None if there is nothing."""
        record: dict[str, Any] = {}
        if self.values:
            record["values"] = dict(self.values)
        if self.saved:
            record["saved"] = dict(self.saved)
        if self.wildcards:
            record["wildcards"] = [list(choice) for choice in self.wildcards]
        return record or None

    def sentences(self) -> list[str]:
        """Return a sentence that names the options that were drawn; none if there are no wildcards."""
        if not self.wildcards:
            return []
        drawn = ", ".join(f"__{name}__ is {' '.join(option.split())!r:.80}" for name, option in self.wildcards[:10])
        more = f", and {len(self.wildcards) - 10} more" if len(self.wildcards) > 10 else ""
        return [f"Drawn for this prompt: {drawn}{more}."]


class Prompt(str):  # noqa: SLOT000 - copies and pickles keep its attributes without further code
    """The text of a prompt, with its origin. Every other operation on it returns a plain text.

    Attributes:
        origin: What it was rendered from.
        problems: What looks like a name and was used as typed, each with the reason.
    """

    origin: PromptOrigin
    problems: tuple[tuple[str, str], ...]

    def __new__(
        cls, text: str, origin: PromptOrigin = PromptOrigin(), problems: Iterable[tuple[str, str]] = ()
    ) -> Self:
        """Build the prompt."""
        prompt = super().__new__(cls, text)
        prompt.origin = origin
        prompt.problems = tuple(problems)
        return prompt


def as_prompt(value: Any) -> Any:
    """Return a text result as a prompt that names its run; every other value is returned as it is.

    Args:
        value: Any value. An outcome counts if it has exactly one result, and that is a text.

    Raises:
        TaskInvalid: It is a text that has not arrived completely.
    """
    if isinstance(value, Outcome) and len(value.results) == 1:
        value = value.results[0]
    if isinstance(value, Result) and value.is_partial:
        # An image of half a prompt would be paid for in vain.
        raise TaskInvalid(incomplete_sentence(value.task_uuid)).with_remedy(INCOMPLETE)
    if isinstance(value, Result) and value.text is not None:
        return Prompt(value.text, PromptOrigin(parents=(PromptParent(value.task_uuid, value.index),)))
    return value


def incomplete_sentence(task_uuid: str) -> str:
    """Return what is said where the incomplete text of a run is about to be used in another task."""
    return f"The text of run {task_uuid[:8]} is incomplete. Nothing was sent."


def origin_of(task: Mapping[str, Any]) -> PromptOrigin | None:
    """Return the origin of the prompts in a task; None if there is none.

    The template is that of the first prompt, which is the positive one. Values, saved prompts, choices and parents are
    those of all.
    """
    origins = [prompt.origin for prompt in _prompts_in(task)]
    if not origins:
        return None
    values: dict[str, str] = {}
    saved: dict[str, str] = {}
    for origin in reversed(origins):
        values |= origin.values
        saved |= origin.saved
    return PromptOrigin(
        template=next((origin.template for origin in origins if origin.template is not None), None),
        values=values,
        saved=saved,
        wildcards=tuple(choice for origin in origins for choice in origin.wildcards),
        parents=tuple(dict.fromkeys(parent for origin in origins for parent in origin.parents)),
    )


def _prompts_in(value: Any) -> Iterable[Prompt]:
    """Yield the prompts in a task, at any depth, the positive one first."""
    if isinstance(value, Prompt):
        yield value
    elif isinstance(value, Mapping):
        for name in sorted(value, key=lambda name: (str(name).startswith("negative"), list(value).index(name))):
            yield from _prompts_in(value[name])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _prompts_in(inner)
