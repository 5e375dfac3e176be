r"""Text from outside as text that a terminal and a reader can take literally.

A prompt, a file name or a service's error message can contain escape sequences, which set a terminal's title, its
clipboard and its screen, and invisible characters, which reorder or hide what is read. Every text that is printed,
returned as `text/plain`, written into HTML or raised as a message passes through `printable`. JSON passes through
`printable_json`, which loses nothing.

Kept: letters of every script, line breaks, tabs, emoji with their joiners, and the joiners that Persian, Arabic and
the scripts of India need within words. Right-to-left text is kept as it is: its letters have a direction of their own
and need no control character.

Shown as escapes, such as `\x1b` and `\u202e`: control characters, lone surrogates, line and paragraph separators, and
invisible format characters. These include all that set a direction, also the marks U+200E and U+200F: whoever reads a
file name or an amount has to see it in the order in which it is written.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

__all__ = ["hides", "printable", "printable_bundle", "printable_json"]

_SUSPICIOUS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)
"""Characters that are looked at one by one; a text without them, as nearly every text is, is returned at once.

These are the Unicode categories Cc, Cf, Cs, Zl and Zp without line feed, tab and the Arabic and other signs around
numbers, which have a shape; and letters and marks that have none, such as Hangul fillers and variation selectors.
"""

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI_STYLE = "\ufe0f"
_FLAG, _END_OF_FLAG = "\U0001f3f4", "\U000e007f"
_FLAG_OF_REGION = re.compile(f"{_FLAG}[\U000e0030-\U000e0039\U000e0061-\U000e007a]{{2,6}}{_END_OF_FLAG}")
"""Flags of England, Scotland and Wales, and nothing else, contain tag characters."""


def printable(text: str) -> str:
    r"""Return a text with every character that controls a terminal, or hides from its reader, as an escape.

    A text that was converted once is not changed again.

    Args:
        text: From anywhere. Line breaks of Windows become `\n`.
    """
    if not _SUSPICIOUS.search(text):
        return text
    return _escaped(text.replace("\r\n", "\n"), _python_escape)


def hides(text: str) -> bool:
    """Return whether a text contains characters that `printable` shows as escapes."""
    return printable(text) != text


def printable_json(value: Any, *, indent: int | None = 2) -> str:
    """Format a value as JSON without control or invisible characters; a reader of JSON gets exactly the same value."""
    # All structure of JSON is ASCII: what is escaped can only be inside a text, where `\uXXXX` means the same.
    return _escaped(json.dumps(value, indent=indent, ensure_ascii=False), _json_escape)


def printable_bundle(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return a MIME bundle whose plain text is printable; HTML is made so where it is written."""
    plain = bundle.get("text/plain")
    return {**bundle, "text/plain": printable(plain)} if isinstance(plain, str) else dict(bundle)


def _escaped(text: str, escape: Any) -> str:
    flags = {span for match in _FLAG_OF_REGION.finditer(text) for span in range(match.start(), match.end())}

    def replaced(match: re.Match[str]) -> str:
        place = match.start()
        is_kept = place in flags or _is_kept(text, place)
        return match[0] if is_kept else str(escape(match[0]))

    return _SUSPICIOUS.sub(replaced, text)


def _is_kept(text: str, place: int) -> bool:
    """Return whether a suspicious character has a visible effect, and only that, between its neighbors."""
    letter = text[place]
    before = text[place - 1] if place else ""
    after = text[place + 1] if place + 1 < len(text) else ""
    if "\ufe00" <= letter <= "\ufe0f" or "\u180b" <= letter <= "\u180d":  # one variant of one character
        return before != "" and not _SUSPICIOUS.match(before) and not before.isspace()
    if "\U000e0100" <= letter <= "\U000e01ef":  # variants of Chinese characters
        return before != "" and unicodedata.name(before, "").startswith("CJK ")
    if letter == _ZWJ and _is_emoji(after):
        emoji = text[place - 2] if before == _EMOJI_STYLE and place > 1 else before
        if _is_emoji(emoji):
            return True
    return letter in {_ZWJ, _ZWNJ} and _joins(before) and not _SUSPICIOUS.match(after or " ")


def _is_emoji(letter: str) -> bool:
    return letter > "\u2000" and unicodedata.category(letter) in {"So", "Sk"}


def _joins(letter: str) -> bool:
    """Return whether a letter is of a script in which a joiner changes the shape of words: Arabic to Tibetan, Khmer."""
    return (
        letter != ""
        and ("\u0600" <= letter <= "\u0fff" or "\u1000" <= letter <= "\u109f" or "\u1780" <= letter <= "\u18af"
             or "\ua800" <= letter <= "\uabff" or "\U00011000" <= letter <= "\U00011fff")
        and unicodedata.category(letter)[0] in "LM"
    )  # fmt: skip


def _python_escape(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(letter: str) -> str:
    return json.dumps(letter)[1:-1] if letter != "\x7f" else "\\u007f"
