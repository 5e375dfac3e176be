"""`rw.prompts` and `rw.prompt`: saved prompts, templates and wildcards in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.prompts import Prompt
from ..printable import printable, printable_bundle
from ..session import current_session
from .prompt import list_prompts
from .prompts_in import places_in, render_prompt

__all__ = ["SavedPrompts", "prompt", "prompts"]


def prompt(name: str, /, *, seed: int | None = None, **values: Any) -> Prompt:
    """Render a saved prompt.

    Args:
        name: Its name, such as `studio`.
        seed: Draws its wildcards; with the same seed and files, the same options are drawn.
        **values: The values of its names, such as `place="Oslo"`. A list is a wildcard, too.

    Returns:
        A text that remembers its template and values, for `rw.image(...)` and all other operations.

    Raises:
        ArgumentInvalid: There is no saved prompt of this name.
        MagicUsageError: A value is missing, or a wildcard cannot be drawn.
    """
    current_session().prompts.get(name)
    return render_prompt(current_session(), f"{{@{name}}}", _with_seed(values, seed), seed=seed)


class SavedPrompts:
    """The saved prompts of the project, by name."""

    def __getitem__(self, name: str) -> str:
        return current_session().prompts.get(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and current_session().prompts.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(current_session().prompts.names())

    def __len__(self) -> int:
        return len(current_session().prompts.names())

    def save(self, name: str, text: str, *, replace: bool = False) -> None:
        """Save a prompt in `prompts/NAME.txt`.

        Args:
            name: Letters, digits, dashes and underscores; slashes for folders.
            text: The prompt. `{place}` is a value that is given when it is used.
            replace: Whether a saved prompt of this name is replaced. `restore` brings the old one back.

        Raises:
            ArgumentInvalid: The name cannot be used or is taken, or the text is empty or too long.
            ConfigError: The file cannot be written.
        """
        current_session().prompts.save(name, text, replace=replace)

    def delete(self, name: str) -> None:
        """Delete a saved prompt; `restore` brings it back.

        Raises:
            ArgumentInvalid: There is none of this name.
        """
        current_session().prompts.delete(name)

    def rename(self, name: str, new: str) -> None:
        """Rename a saved prompt.

        Raises:
            ArgumentInvalid: There is none of this name, or the new name cannot be used or is taken.
        """
        current_session().prompts.rename(name, new)

    def restore(self, name: str) -> str:
        """Bring back a prompt that was deleted or replaced last, and return its text.

        Raises:
            ArgumentInvalid: Nothing was deleted or replaced under this name.
        """
        return current_session().prompts.restore(name)

    def values(self, name: str) -> list[str]:
        """Return the names that a saved prompt needs values for."""
        return places_in(self[name])

    def wildcards(self) -> list[str]:
        """Return the names of the wildcards in the folder `wildcards`."""
        return current_session().wildcards.names()

    def render(self, text: str, /, *, seed: int | None = None, **values: Any) -> Prompt:
        """Render any text with `{name}`, `{@saved}` and `__wildcard__`, as a cell does.

        Args:
            text: The template.
            seed: Draws the wildcards.
            **values: The values of its names; a list is a wildcard.

        Raises:
            MagicUsageError: A value of a saved prompt is missing, or a wildcard cannot be drawn.
        """
        return render_prompt(current_session(), text, _with_seed(values, seed), seed=seed)

    def __repr__(self) -> str:
        return printable(f"<saved prompts: {', '.join(self) or 'none'}>")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        answer = list_prompts(current_session())
        return printable_bundle(answer.bundle)


prompts = SavedPrompts()


def _with_seed(values: dict[str, Any], seed: int | None) -> dict[str, Any]:
    return values if seed is None else {"seed": seed, **values}
