"""Words of a prompt that name a medium or a text result, and were probably meant for an option."""

from __future__ import annotations

import argparse
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.media_types import SNIFFED_BYTES, sniff
from ..core.operations import Input, Operation
from ..core.results import Outcome, Result
from ..engine.jobs import Job
from ..engine.sources import kind_of_run
from ..errors import MagicUsageError, RunwareNBError
from .arguments import quote_typed

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["refuse_media_words"]

_OF_LAST = re.compile(r"#([1-9]\d{0,3})")
_OF_RUN = re.compile(r"(?=[a-f-]*\d)([0-9a-f]{8}[0-9a-f-]{0,28})(?:#([1-9]\d{0,3}))?")
"""A run in the form in which tables show it: eight characters or more, one of them a digit, so that no word fits."""
_TEXT = "text"


def refuse_media_words(
    operation: Operation, session: Session, options: argparse.Namespace, *, start: str | None, typed: Sequence[str]
) -> None:
    """Refuse a line whose prompt contains a word that names a medium or a text result.

    Without this, `video harbor "the boats leave"` would send the name of the variable as a word of the prompt, and
    charge for a video without the image.

    Args:
        operation: The operation, whose words without an option are its prompt.
        session: Whose last result and log count.
        options: As parsed, with `names` where the front end has variables.
        start: What the line begins with, for the corrected line; None if there is no line.
        typed: The words after it, as typed.

    Raises:
        MagicUsageError: There is such a word. Nothing was sent.
    """
    words: list[str] = list(getattr(options, "words", ()))
    names: Mapping[str, Any] = getattr(options, "names", {})
    as_typed: Mapping[str, str] = getattr(options, "typed_words", {})
    kept: list[str] = []
    moved: list[str] = []
    reasons: list[str] = []
    taken = {medium.name for medium in operation.inputs if not medium.is_list and getattr(options, medium.name, None)}
    for word in words:
        is_typed = as_typed.get(word, word) == word
        kind = _kind_of_word(word, session, names if is_typed else {}, is_typed=is_typed)
        place = _place_of_text(word, names) if kind == _TEXT else None
        medium = None if kind is None or kind == _TEXT else _input_for(operation, kind, taken)
        if place is not None:
            kept.append(place)
            reasons.append(f"{word!r} is a text, which a prompt contains as {place}")
        elif kind is not None and medium is not None:
            taken |= set() if medium.is_list else {medium.name}
            moved += [str(medium.flag), as_typed.get(word, word)]
            reasons.append(f"{word!r} is {_with_article(kind)}, which {medium.flag} takes")
        elif kind is not None and kind != _TEXT and operation.inputs:
            reasons.append(f"{word!r} is {_with_article(kind)}, which no further option of {operation.name} takes")
        else:
            kept.append(as_typed.get(word, word))
    if not reasons:
        return
    option = None if operation.body is None else operation.option(operation.body)
    flag = "--prompt" if option is None else option.flags[-1]
    line = _corrected(typed, [as_typed.get(word, word) for word in words], kept, moved)
    raise MagicUsageError(
        f"Nothing was sent, because a word of the prompt is the name of something else: {', and '.join(reasons)}; if "
        f"the word belongs to the prompt, write the prompt with {flag}.",
        corrected=None if start is None or line is None else " ".join([start, *map(quote_typed, line)]),
    )


def _input_for(operation: Operation, kind: str, taken: set[str]) -> Input | None:
    """Return the first input with an option that takes a kind of medium and has no value yet."""
    fitting = [medium for medium in operation.inputs if medium.kind == kind and medium.flag is not None]
    return next((medium for medium in fitting if medium.name not in taken), None)


def _corrected(typed: Sequence[str], words: list[str], kept: list[str], moved: list[str]) -> list[str] | None:
    """Return the line with the prompt as one word, and behind it the options of the media that were in it."""
    places = [at for at in range(len(typed)) if list(typed[at : at + len(words)]) == words]
    # The value of an option may be the same word.
    places.sort(key=lambda at: at > 0 and typed[at - 1].startswith("-"))
    if not places:
        return None
    prompt = [" ".join(kept)] if kept else []
    return [*typed[: places[0]], *prompt, *moved, *typed[places[0] + len(words) :]]


def _kind_of_word(word: str, session: Session, names: Mapping[str, Any], *, is_typed: bool) -> str | None:
    """Return what a word names: an image, a video, audio, a document or a text result; None if it is a plain word."""
    of_last = _OF_LAST.fullmatch(word) if is_typed else None
    if of_last:
        last, number = session.last, int(of_last[1])
        results = last.results if isinstance(last, Outcome) else ()
        return _kind_of_value(results[number - 1]) if number <= len(results) else None
    if word.isidentifier() and word in names:
        return _kind_of_value(names[word])
    if word.startswith(("http://", "https://")):
        return _known_kind(mimetypes.guess_type(word.partition("?")[0])[0])
    return _kind_of_run_ref(word, session) if is_typed and _OF_RUN.fullmatch(word) else _kind_of_file(word)


def _kind_of_run_ref(word: str, session: Session) -> str | None:
    try:
        run = session.log.find(word.partition("#")[0])
    except RunwareNBError:  # no run: a word of the prompt that looks like one
        return None
    return _kind_or_none(kind_of_run(run) or "")


def _kind_of_value(value: Any) -> str | None:
    if isinstance(value, Outcome):
        value = value.results[0] if value.results else None
    if isinstance(value, Result):
        return _TEXT if value.text is not None else _kind_or_none(value.kind)
    if isinstance(value, Job):
        kind = kind_of_run(value.record) or ""
        return _TEXT if kind == _TEXT else _kind_or_none(kind)
    if isinstance(value, bytes | bytearray):
        return _known_kind(sniff(bytes(value[:SNIFFED_BYTES])))
    if isinstance(value, str | Path):
        return _kind_of_file(str(value))
    if type(value).__module__.startswith("PIL."):
        return "image" if hasattr(value, "getbbox") else None
    is_array = getattr(value, "ndim", None) in {2, 3} and str(getattr(value, "dtype", "")) == "uint8"
    return "image" if is_array else None


def _kind_of_file(word: str) -> str | None:
    try:
        path = Path(word).expanduser()
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or in the home of an unknown user
        return None
    return "document" if head.startswith(b"%PDF-") else _known_kind(sniff(head))


def _known_kind(media_type: str | None) -> str | None:
    """Return the kind of medium of a media type; None if no input takes it."""
    if media_type == "application/pdf":
        return "document"
    return _kind_or_none((media_type or "").partition("/")[0])


def _kind_or_none(kind: str) -> str | None:
    return kind if kind in {"image", "video", "audio"} else None


def _place_of_text(word: str, names: Mapping[str, Any]) -> str | None:
    """Return the name in braces that a prompt contains for a text result; None if it has no name."""
    of_last = _OF_LAST.fullmatch(word)
    if of_last:
        return f"{{_rw[{int(of_last[1]) - 1}]}}" if "_rw" in names else None
    value = names.get(word)
    has_several = isinstance(value, Outcome) and len(value.results) > 1
    return f"{{{word}[0]}}" if has_several else f"{{{word}}}"


def _with_article(kind: str) -> str:
    return kind if kind == "audio" else f"an {kind}" if kind == "image" else f"a {kind}"
