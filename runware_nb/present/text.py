"""A generated text in a cell: while it is written, and when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..reprs import short_repr
from .html import MUTED, element, muted, text
from .markdown import render_markdown
from .results import failure_line, folded_json

__all__ = ["TextView", "Turn", "render_text", "render_writing"]

_MOST_SHOWN = 100_000
"""Characters of a text that a cell holds. The log has all of it."""
_MOST_LIVE = 6_000
"""Characters that are shown while a text is written: each update sends all of them."""
_MOST_THOUGHTS = 600
_SUMMARY = f"{MUTED};font-size:90%;cursor:pointer"
_WRITTEN = "white-space:pre-wrap;overflow-wrap:anywhere"
_OF_ROLES = {"user": "you", "assistant": "the model", "system": "instructions"}


@short_repr("role")
@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message of a conversation.

    Attributes:
        role: `user`, `assistant` or `system`.
        text: What it says.
    """

    role: str
    text: str


@short_repr("is_partial")
@dataclass(frozen=True, slots=True, kw_only=True)
class TextView:
    """All that a cell shows of a generated text.

    Attributes:
        text: The text, as Markdown.
        reasoning: The model's reasoning, as Markdown; empty if there is none.
        data: The text as JSON in several lines, if it is JSON that was asked for; empty otherwise.
        turns: The earlier messages of its conversation.
        failures: Sentences on what went wrong.
        notices: Sentences that a user should know.
        facts: The footer: tokens, cost, time, task.
        is_partial: Whether the text is incomplete.
    """

    text: str
    reasoning: str = ""
    data: str = ""
    turns: Sequence[Turn] = ()
    failures: Sequence[str] = ()
    notices: Sequence[str] = ()
    facts: Sequence[str] = ()
    is_partial: bool = False


def render_text(view: TextView) -> dict[str, str]:
    """Return a text as a MIME bundle: HTML with its formatting, and the text as it came."""
    body = folded_json(view.data) if view.data else render_markdown(_shown(view.text))
    parts = [
        _folded_turns(view.turns),
        _folded(f"Reasoning, {_words(view.reasoning)}", render_markdown(_shown(view.reasoning)))
        if view.reasoning else "",
        element("div", body, class_="runware-nb-words"),
        *(failure_line(sentence) for sentence in view.failures),
        *(muted(sentence) for sentence in (*_omitted(view.text), *view.notices)),
        muted(" · ".join(view.facts)),
    ]  # fmt: skip
    plain = [_shown(view.text), *(f"failed: {sentence}" for sentence in view.failures), *_omitted(view.text),
             *view.notices, " · ".join(view.facts)]  # fmt: skip
    return {
        "text/html": element("div", "".join(parts), class_="runware-nb runware-nb-text"),
        "text/plain": "\n".join(part for part in plain if part),
    }


def render_writing(words: str, reasoning: str, note: str) -> dict[str, str]:
    """Return a text that is being written as a MIME bundle: its last characters as plain text, and what is going on.

    Its Markdown is incomplete, so it is not rendered: half of a table would change its look with each word.

    Args:
        words: The text so far.
        reasoning: The model's reasoning so far.
        note: What is going on, in words.
    """
    if words:
        body = element("div", text(_tail(words, _MOST_LIVE)), class_="runware-nb-words", style=_WRITTEN)
    elif reasoning:
        body = element("div", text(_tail(reasoning, _MOST_THOUGHTS)), style=f"{MUTED};font-style:italic;{_WRITTEN}")
    else:
        body = ""
    counted = _words(words) if words else f"reasoning, {_words(reasoning)}" if reasoning else ""
    said = " · ".join(part for part in (note, counted) if part)
    line = element(
        "div", f"<progress max='100'></progress> {text(said)}", style=f"{MUTED};font-size:90%;margin-top:4px"
    )
    return {
        "text/html": element("div", body + line, class_="runware-nb runware-nb-text runware-nb-progress"),
        "text/plain": "\n".join(part for part in (_tail(words, _MOST_LIVE), said) if part),
    }


def _folded(summary: str, inner: str) -> str:
    style = f"{MUTED};margin:2px 0 2px 1em"
    return element("details", element("summary", text(summary), style=_SUMMARY) + element("div", inner, style=style))


def _folded_turns(turns: Sequence[Turn]) -> str:
    if not turns:
        return ""
    count = f"{len(turns)} earlier message{'' if len(turns) == 1 else 's'}"
    said = "".join(
        element(
            "div", element("strong", text(_OF_ROLES.get(turn.role, turn.role))) + render_markdown(_shown(turn.text))
        )
        for turn in turns
    )
    return _folded(f"Conversation, {count}", said)


def _shown(words: str) -> str:
    return words[:_MOST_SHOWN]


def _omitted(words: str) -> list[str]:
    more = len(words) - _MOST_SHOWN
    return [f"{more:,} more characters are not shown. The log has the whole text."] if more > 0 else []


def _tail(words: str, most: int) -> str:
    """Return the last characters, from the beginning of a line or a word on."""
    if len(words) <= most:
        return words
    tail = words[-most:]
    cut = tail.find("\n", 0, most // 2)
    cut = tail.find(" ", 0, most // 2) if cut < 0 else cut
    return f"… {tail[cut + 1 :]}"


def _words(words: str) -> str:
    count = len(words.split())
    return f"{count:,} word{'' if count == 1 else 's'}"
