"""Weights in a prompt: one parser for the notations of web UIs and of Compel, and one formatter for each.

| notation | meaning | used by |
| --- | --- | --- |
| `(red:1.3)` | weight 1.3 | A1111, Forge, ComfyUI |
| `(red)`, `((red))` | weight 1.1, 1.21 | A1111, Forge, ComfyUI |
| `[red]` | weight 1/1.1 | A1111, Forge |
| `(red)1.3` | weight 1.3 | Compel, InvokeAI |
| `red+`, `red++`, `(dark red)+` | weight 1.1 for each plus sign | Compel, InvokeAI |
| `red-`, `red--`, `(dark red)-` | weight 0.9 for each minus sign | Compel, InvokeAI |

Weights of nested parentheses are multiplied. A backslash makes the next bracket, sign or backslash plain text. The same
text can be read in all notations at once, because a number or a sign is either inside the parentheses or behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..reprs import short_repr

__all__ = ["Fragment", "WeightSyntax", "WeightsInvalid", "find_weight", "format_weights", "parse_weights"]

WeightSyntax = Literal["compel", "sdEmbeds"]
"""The notations that a service reads: `compel` is that of Compel, and `sdEmbeds` is that of web UIs."""

_LARGEST = 10.0
_DEEPEST = 50
_UP, _DOWN, _PARENTHESES, _BRACKETS = 1.1, 0.9, 1.1, 1 / 1.1
_NUMBER = r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}"
_TOKEN = re.compile(
    rf"""
    \\(?P<escaped>[()\[\]\\+-])
    | (?P<open>[(\[])
    | :\s*(?P<inner>[+-]?(?:{_NUMBER}))\s*\)(?!\++(?!\w)|-+(?!\w)|\d*\.\d)
    | \)(?P<outer>{_NUMBER})(?![\w.]*\w)
    | \)(?P<signs>\++|-+)(?!\w)
    | (?P<close>[)\]])
    | (?<=[^\W_])(?P<word_signs>\++|-+)(?![\w+-])
    """,
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*$")
_CONTINUES = re.compile(r"[\w.+-]")
_PLAIN_SIGN = re.compile(r"(?<=[^\W_])(?:\++|-+)(?![\w+-])")
_WRITTEN = re.compile(
    r"(?<!\\)(?:\([^()]*[^\d\s():]\s*:\s*(?:0?\.\d+|[1-9](?:\.\d+)?|0(?:\.\d+)?)\s*\)|\([^()]+\)(?:\d+\.\d+|\++|--+)(?!\w)"
    r"|[^\W_]{2,}\+\+(?![\w+]))"
)


class WeightsInvalid(ValueError):
    """A weight cannot be used, or a bracket is not closed; the message is a sentence without a remedy."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a prompt with one weight.

    Attributes:
        text: The text, without escapes.
        weight: Its weight; 1.0 is neutral.
    """

    text: str
    weight: float = 1.0


def find_weight(prompt: str) -> str | None:
    """Return the first place that was certainly meant as a weight, such as `(red:1.3)`; None if there is none.

    `(red)` and `16:9` appear in ordinary prompts and are not counted.
    """
    match = _WRITTEN.search(prompt)
    return None if match is None else match[0]


def parse_weights(prompt: str) -> list[Fragment]:
    """Parse a prompt with weights, in the notation of web UIs or of Compel.

    Args:
        prompt: The prompt as typed.

    Returns:
        Its parts in order. Neighbours have different weights, and no part is empty.

    Raises:
        WeightsInvalid: A bracket is not closed, a weight is not between 0 and 10, or the prompt has a schedule such as
            `[red:blue:0.5]`, which is not a weight.
    """
    pieces: list[tuple[str, float]] = []
    opened: list[tuple[str, int, int]] = []  # the bracket, its position, and how many pieces were there before

    def scale(start: int, factor: float) -> None:
        pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]

    position = 0
    for match in _TOKEN.finditer(prompt):
        pieces.append((prompt[position : match.start()], 1.0))
        position = match.end()
        kind = match.lastgroup
        if kind == "escaped":
            pieces.append((match["escaped"], 1.0))
        elif kind == "open":
            if len(opened) >= _DEEPEST:
                raise WeightsInvalid(f"The prompt has more than {_DEEPEST} brackets inside each other")
            opened.append((match[0], match.start(), len(pieces)))
        elif kind == "word_signs":
            _scale_word(pieces, match["word_signs"])
        else:
            bracket = "[" if match[0] == "]" else "("
            if not opened or opened[-1][0] != bracket:
                pieces.append((match[0], 1.0))  # a smiley, or a closing bracket too many: text, as in web UIs
                continue
            _, _, start = opened.pop()
            if bracket == "[" and re.search(r":[^:]*:|:\s*[\d.]+\s*$", "".join(text for text, _ in pieces[start:])):
                raise WeightsInvalid(
                    "The prompt has a schedule in square brackets, such as [red:blue:0.5], which is not a weight"
                )
            scale(start, _factor(match))
    if opened:
        bracket, place, _ = opened[-1]
        raise WeightsInvalid(f"The bracket {prompt[place : place + 20]!r} is not closed")
    pieces.append((prompt[position:], 1.0))
    return _merged(pieces)


def format_weights(fragments: Sequence[Fragment], syntax: WeightSyntax) -> str:
    """Format the parts of a prompt in a notation; `parse_weights` returns the same parts for the result.

    Args:
        fragments: The parts.
        syntax: The notation.
    """
    written: list[str] = []
    before = 1.0
    for fragment in fragments:
        if before != 1.0 and fragment.weight == 1.0 and _CONTINUES.match(fragment.text):
            written.append(" ")  # otherwise the next character would be read as a part of the weight
        written.append(_formatted(fragment, syntax))
        before = fragment.weight
    return "".join(written)


def _factor(match: re.Match[str]) -> float:
    if match["inner"] is not None or match["outer"] is not None:
        written = match["inner"] or match["outer"]
        weight = float(written)
        if not 0 <= weight <= _LARGEST or written.startswith("-"):
            raise WeightsInvalid(f"The weight {written} in the prompt is not between 0 and {_LARGEST:g}")
        return weight
    if match["signs"] is not None:
        return _of_signs(match["signs"])
    return _PARENTHESES if match[0] == ")" else _BRACKETS


def _of_signs(signs: str) -> float:
    return float((_UP if signs[0] == "+" else _DOWN) ** min(len(signs), 100))


def _scale_word(pieces: list[tuple[str, float]], signs: str) -> None:
    """Apply signs to the word before them."""
    text, weight = pieces.pop()
    word = _LAST_WORD.search(text)
    start = len(text) if word is None else word.start()
    pieces += [(text[:start], weight), (text[start:], weight * _of_signs(signs))]


def _merged(pieces: list[tuple[str, float]]) -> list[Fragment]:
    merged: list[Fragment] = []
    for text, exact in (inner for piece in pieces for inner in _without_blanks(*piece)):
        weight = round(exact, 3)
        if weight > _LARGEST:
            raise WeightsInvalid(
                f"The weights around {text[:20]!r} multiply to {weight:g}, which is above {_LARGEST:g}"
            )
        if not text:
            continue
        if merged and merged[-1].weight == weight:
            merged[-1] = Fragment(merged[-1].text + text, weight)
        else:
            merged.append(Fragment(text, weight))
    return merged


def _without_blanks(text: str, weight: float) -> list[tuple[str, float]]:
    """Return a piece with the blanks around it as pieces of their own, because blanks have no weight."""
    inner = text.strip()
    if not inner:
        return [(text, 1.0)]
    start = text.index(inner)
    return [(text[:start], 1.0), (inner, weight), (text[start + len(inner) :], 1.0)]


def _formatted(fragment: Fragment, syntax: WeightSyntax) -> str:
    text = re.sub(r"([()\[\]\\])", r"\\\1", fragment.text)
    # In both notations, because parse_weights reads both: `C++` must not become a weight on its way.
    text = _PLAIN_SIGN.sub(lambda match: "".join(f"\\{sign}" for sign in match[0]), text)
    if fragment.weight == 1.0:
        return text
    weight = f"{fragment.weight:.3f}".rstrip("0").rstrip(".")
    if syntax == "sdEmbeds":
        return f"({text}:{weight})"
    return f"({text}){weight}"
