r"""Prompts as a cell, a line or a function states them: the one place where they are rendered.

| in the prompt | becomes |
| --- | --- |
| `{name}`, `{row.prompt}` | the value of a variable, or of `-v name=VALUE` |
| `{better[1]}` | a version that `enhance` wrote; the run records where it came from |
| `{@studio}` | the saved prompt `studio`, with its own `{name}` replaced |
| `__color__` | an option of the list `color`, or of the file `wildcards/color.txt` |
| `{{name}}`, `{{@studio}}`, `\__color__` | the literal text `{name}`, `{@studio}`, `__color__` |

Everything is replaced once: braces and underscores in a value have no meaning. Every other text stays as it is.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.prompts import Prompt, PromptOrigin, PromptParent, as_prompt
from ..core.results import Outcome, Result
from ..engine.jobs import Job
from ..errors import ConfigError, MagicUsageError
from ..remedies import Option, Remedy
from ..session.prompt_files import is_name
from .names import PATH, NoValueError, find_formatted, notice_about, read_name, value_of_path

if TYPE_CHECKING:
    from ..session import Session

__all__ = [
    "PROMPT_OPTIONS",
    "PromptRenderer",
    "add_prompt_options",
    "escape_wildcards",
    "how_to_use_versions",
    "line_values",
    "notices_of",
    "parse_values",
    "places_in",
    "render_options",
    "render_prompt",
    "typed_words",
]

PROMPT_OPTIONS = ("positive_prompt", "prompt", "negative_prompt")
"""Options of operations whose text is a prompt, in the order in which wildcards are drawn."""

_MOST_CHOICES = 1_000
_DEEPEST = 20
_LONGEST = 100_000
_IS_SAVED = "a saved prompt has this name"
_PLAIN_NAMES = "a saved prompt has plain names only"
_SAVED = r"[^\W_][\w/-]*"
_WILDCARD = r"__(?P<wildcard>[^\W_](?:(?:(?!__)[\w/-])*[^\W_])?)__"
_PLACE = re.compile(
    rf"\{{\{{(?P<literal>{PATH}|@{_SAVED})\}}\}}|\{{(?P<path>{PATH})\}}|\{{@(?P<saved>{_SAVED})\}}|(?P<escape>\\)?{_WILDCARD}"
)
_WILDCARD_ONLY = re.compile(rf"(?P<escape>\\)?{_WILDCARD}")
_ESCAPABLE_WILDCARD = re.compile(rf"\\?{_WILDCARD}")


def add_prompt_options(parser: argparse.ArgumentParser, *, for_images: bool = False) -> None:
    """Declare the options of every command with a prompt; *for_images* adds those of image generation."""
    group = parser.add_argument_group("prompt")
    group.add_argument(
        "-v", "--var", action="append", metavar="NAME=TEXT", help="value of {NAME} in the prompt; repeatable"
    )
    if for_images:
        group.add_argument(
            "--weights",
            action="store_const",
            const=True,
            help="apply weights in the prompt, such as (red:1.3) or red++",
        )
        group.add_argument(
            "--enhance", action="store_true", help="have the prompt enhanced first, and use the version that comes back"
        )


def escape_wildcards(text: str) -> str:
    """Put a backslash before everything that may be a wildcard, so that the text stays as it is."""
    return _ESCAPABLE_WILDCARD.sub(lambda match: f"\\{match[0]}", text)


def parse_values(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the values that `-v NAME=TEXT` options state.

    Raises:
        MagicUsageError: One cannot be read, or a name is given twice. Nothing was sent.
    """
    values: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise MagicUsageError(
                f"Invalid --var {pair!r:.80}: expected NAME=TEXT, such as -v place=Oslo. Nothing was sent."
            )
        if name in values:
            raise MagicUsageError(f"--var {name} is given twice. Keep one of them. Nothing was sent.")
        values[name] = text
    return values


def line_values(words: Sequence[str]) -> dict[str, str]:
    """Return the values of the `-v` options on a line that was not parsed yet; what cannot be read is left out."""
    pairs = [after for before, after in itertools.pairwise(words) if before in {"-v", "--var"}]
    pairs += [word.removeprefix("--var=") for word in words if word.startswith("--var=")]
    split = [pair.partition("=") for pair in pairs]
    return {name: text for name, equals, text in split if equals and name.isidentifier()}


def typed_words(words: Sequence[str], typed: Sequence[str]) -> dict[str, str]:
    """Return what was typed for each word of a line, and for each value that is written as `--option=value`."""
    pairs = list(zip(words, typed, strict=True)) if len(words) == len(typed) else []
    values = [(word.partition("=")[2], as_typed.partition("=")[2]) for word, as_typed in pairs if word.startswith("-")]
    return {**dict(values), **dict(pairs)}


class PromptRenderer:
    """Renders the prompts of one run: its wildcards are drawn by one generator.

    Args:
        session: Whose saved prompts and wildcards count, and whose generator draws without a seed.
        names: The user's variables; empty in a terminal.
        values: Further values by name, which win over variables.
        seed: The seed of the run; with the same seed and files, the same options are drawn.
    """

    def __init__(
        self,
        session: Session,
        names: Mapping[str, Any] = MappingProxyType({}),
        values: Mapping[str, Any] = MappingProxyType({}),
        seed: int | None = None,
    ) -> None:
        self._session = session
        self._names = {**names, **values} if values else names
        self._random = session.rng if seed is None else random.Random(seed)  # noqa: S311 - draws options

    def render(self, template: str) -> Prompt:
        """Render a template.

        Raises:
            MagicUsageError: A saved prompt has no value for a name, a wildcard cannot be drawn, or `{name}` is a run
                with several texts. Nothing was sent.
            ConfigError: A file with a saved prompt or a wildcard cannot be used. Nothing was sent.
        """
        return _Rendering(self._session, self._names, self._random).prompt(template)


def render_prompt(
    session: Session,
    template: str,
    names: Mapping[str, Any],
    *,
    seed: int | None = None,
    values: Mapping[str, Any] = MappingProxyType({}),
) -> Prompt:
    """Render one prompt. See `PromptRenderer`, which renders several prompts of one run."""
    return template if isinstance(template, Prompt) else PromptRenderer(session, names, values, seed).render(template)


def render_options(session: Session, options: argparse.Namespace, texts: Mapping[str, str | None]) -> dict[str, Prompt]:
    """Render the prompts of a parsed line.

    Args:
        session: The session.
        options: As parsed, with `names` and `typed_words` where the front end has variables.
        texts: The prompts by their names; those that are not given are left out.

    Returns:
        The rendered prompts by the same names.

    Raises:
        MagicUsageError: One cannot be rendered; see `PromptRenderer.render`.
        ConfigError: A file with a saved prompt or a wildcard cannot be used.
    """
    seed = getattr(options, "seed", None)
    renderer = PromptRenderer(session, getattr(options, "names", {}), parse_values(getattr(options, "var", None)), seed)
    typed: Mapping[str, str] = getattr(options, "typed_words", {})
    return {
        name: text if isinstance(text, Prompt) else renderer.render(typed.get(text, text))
        for name, text in texts.items()
        if text is not None
    }


def notices_of(prompts: Mapping[str, Prompt]) -> list[str]:
    """Return a sentence about saved prompts and wildcards that were not found; none if all were."""
    problems = [problem for prompt in prompts.values() for problem in prompt.problems]
    # Variables that were not found are named by the front end, which fills the line and the body with them as well.
    sentence = notice_about(
        [(place, reason) for place, reason in problems if place.startswith(("{@", "__")) or reason == _PLAIN_NAMES]
    )
    saved = dict.fromkeys(place for place, reason in problems if reason == _IS_SAVED)
    hints = [f"{place} is plain text here. A saved prompt has this name: write {{@{place[1:-1]}}}." for place in saved]
    return hints if sentence is None else [sentence, *hints]


class _Rendering:
    """One rendering: what was replaced so far, and what could not be."""

    def __init__(self, session: Session, names: Mapping[str, Any], generator: random.Random) -> None:
        self._session = session
        self._names = names
        self._random = generator
        self._problems: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        self._saved: dict[str, str] = {}
        self._wildcards: list[tuple[str, str]] = []
        self._parents: list[PromptParent] = []
        self._missing: dict[str, str] = {}
        self._options: dict[str, list[tuple[float, str]] | None] = {}

    def prompt(self, template: str) -> Prompt:
        text = _PLACE.sub(self._replace, template)
        if self._missing:
            raise self._values_missing()
        self._problems += find_formatted(template, self._names)
        origin = PromptOrigin(
            template, self._values, self._saved, tuple(self._wildcards), tuple(dict.fromkeys(self._parents))
        )
        return Prompt(text, origin, dict(self._problems).items())

    def _replace(self, match: re.Match[str]) -> str:
        if match["literal"] is not None:
            return f"{{{match['literal']}}}"
        if match["saved"] is not None:
            return self._insert(match["saved"], match[0], ())
        if match["wildcard"] is not None:
            return self._draw(match, ())
        try:
            text = self._value(match["path"])
        except NoValueError as reason:
            self._problems.append((match[0], self._saved_reason(match["path"]) or str(reason)))
            return match[0]
        return text

    def _saved_reason(self, name: str) -> str | None:
        """Return the reason for a name without a value that a saved prompt has; None if there is no such prompt."""
        if not (name.isidentifier() and name not in self._names and is_name(name)):
            return None
        try:
            is_saved = self._session.prompts.find(name) is not None
        except ConfigError:  # its file cannot be used; the prompt does not ask for it
            return None
        return _IS_SAVED if is_saved else None

    def _value(self, path: str) -> str:
        """Return the text of a variable. A text result in it becomes a parent of the run."""
        value = value_of_path(path, self._names)
        if isinstance(value, Job):
            if not value.is_done:
                raise MagicUsageError(f"{{{path}}} is a run that is not finished. Wait for it. Nothing was sent.")
            value = value.result()
        if isinstance(value, Outcome) and len(value.results) > 1 and any(part.text is not None for part in value):
            choices = ", ".join(f"{{{path}[{number}]}}" for number in range(min(len(value), 5)))
            raise MagicUsageError(f"{{{path}}} has {len(value)} texts. Choose one: {choices}. Nothing was sent.")
        if isinstance(value, Outcome | Result):
            text = as_prompt(value)
            if isinstance(text, Prompt):
                self._parents += text.origin.parents
                self._values[path] = str.__str__(text)
                return self._values[path]
        if isinstance(value, Prompt):
            self._adopt(value.origin)
        self._values[path] = str.__str__(value) if isinstance(value, str) else read_name(path, self._names)
        return self._values[path]

    def _adopt(self, origin: PromptOrigin) -> None:
        """Record what a prompt was rendered from that is the value of a variable."""
        self._parents += origin.parents
        self._wildcards += origin.wildcards
        self._saved.update(origin.saved)

    def _insert(self, name: str, place: str, inside: tuple[str, ...]) -> str:
        """Return a saved prompt with its own names, saved prompts and wildcards replaced."""
        name = name.rstrip("/")
        text = self._session.prompts.find(name) if is_name(name) else None
        if text is None:
            self._problems.append((place, "no saved prompt has this name"))
            return place
        if name in inside:
            circle = " -> ".join(f"{{@{one}}}" for one in (*inside[inside.index(name) :], name))
            raise MagicUsageError(f"Saved prompts contain each other in a circle: {circle}. Nothing was sent.")
        if len(inside) >= _DEEPEST:
            raise MagicUsageError(f"More than {_DEEPEST} saved prompts are inside each other. Nothing was sent.")
        self._saved[name] = text

        def replace(match: re.Match[str]) -> str:
            if match["literal"] is not None:
                return f"{{{match['literal']}}}"
            if match["saved"] is not None:
                return self._insert(match["saved"], match[0], (*inside, name))
            if match["wildcard"] is not None:
                return self._draw(match, ())
            # Only plain names: a prompt may come with a project of another person, and must not reach into objects.
            if not match["path"].isidentifier():
                self._problems.append((match[0], _PLAIN_NAMES))
                return match[0]
            try:
                return self._value(match["path"])
            except NoValueError as reason:
                self._missing.setdefault(match["path"], str(reason))
                return match[0]

        return self._checked(_PLACE.sub(replace, text))

    def _draw(self, match: re.Match[str], inside: tuple[str, ...]) -> str:
        """Return an option of a wildcard, with the wildcards in it drawn as well."""
        name = match["wildcard"]
        if match["escape"]:
            return match[0][1:]
        if name not in self._options:
            listed = self._listed(name)
            self._options[name] = self._session.wildcards.options(name) if listed is None else listed
        options = self._options[name]
        if options is None:
            if self._session.wildcards.is_there:
                self._problems.append((match[0], f"there is no file wildcards/{name}.txt and no list {name}"))
            return match[0]
        if name in inside:
            circle = " -> ".join(f"__{one}__" for one in (*inside[inside.index(name) :], name))
            raise MagicUsageError(f"Wildcards contain each other in a circle: {circle}. Nothing was sent.")
        if len(self._wildcards) >= _MOST_CHOICES or len(inside) >= _DEEPEST:
            raise MagicUsageError(
                f"The prompt draws more than {_MOST_CHOICES:,} wildcards, or they are more than {_DEEPEST} deep. "
                "Nothing was sent."
            )
        option = _drawn(options, self._random.random())
        self._wildcards.append((name, option))
        return self._checked(_WILDCARD_ONLY.sub(lambda inner: self._draw(inner, (*inside, name)), option))

    def _listed(self, name: str) -> list[tuple[float, str]] | None:
        """Return the options of a list of the user's; None if no list has this name."""
        value: Any = self._names.get(name) if name.isidentifier() else None
        if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):  # an array, or a column of a data frame
            value = value.tolist()
        if not isinstance(value, list | tuple):
            return None
        if not value:
            raise MagicUsageError(f"The list {name} is empty, so __{name}__ has no option to draw. Nothing was sent.")
        if not all(isinstance(option, str | int | float) for option in value):
            raise MagicUsageError(
                f"The list {name} contains {type(value[0]).__name__} values, and the options of __{name}__ are texts. "
                "Nothing was sent."
            )
        return [(1.0, str(option)) for option in value]

    def _checked(self, text: str) -> str:
        if len(text) > _LONGEST:
            raise MagicUsageError(f"The prompt is longer than {_LONGEST:,} characters. Nothing was sent.")
        return text

    def _values_missing(self) -> MagicUsageError:
        listed = [f"{{{name}}} ({reason})" for name, reason in self._missing.items()]
        saved = ", ".join(self._saved)
        first = next(iter(self._missing))
        return MagicUsageError(
            f"The saved prompt {saved} has no value for {', '.join(listed)}. Nothing was sent."
        ).with_remedy(
            Remedy("Add {0}, or define a variable.", (Option("var", f"{first}=TEXT", python=f"{first}=..."),))
        )


def _drawn(options: Sequence[tuple[float, str]], chance: float) -> str:
    """Return the option at a place between 0 and 1. Options take up places in proportion to their weights."""
    place = chance * sum(weight for weight, _ in options)
    for weight, option in options:
        place -= weight
        if place < 0:
            return option
    return next(option for weight, option in reversed(options) if weight > 0)


def how_to_use_versions(name: str, count: int) -> str:
    """Return how the prompt of a later cell contains a version that `enhance` wrote.

    Args:
        name: The variable with the outcome.
        count: How many versions there are.
    """
    versions = [f"{{{name}[{number}]}} is version #{number + 1}" for number in range(count)]
    return f"In the prompt of another cell, {', '.join(versions)}."


def places_in(text: str) -> list[str]:
    """Return the names that a saved prompt has values for, in order and without repetitions."""
    paths = [match["path"] for match in _PLACE.finditer(text) if match["path"]]
    return list(dict.fromkeys(path for path in paths if path.isidentifier()))
