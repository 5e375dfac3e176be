"""The infotext form of generation parameters, which well-known web UIs write into images and read back.

```
a small airship over a forest
Negative prompt: text, watermark
Steps: 28, Sampler: Euler, CFG scale: 3.5, Seed: 7, Size: 1024x768, Model: runware:101@1
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..reprs import short_repr
from .items import Item

__all__ = ["Infotext", "is_infotext", "parse_infotext", "write_infotext"]

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'(\w[\w \-/]{0,60}?):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
"""A name is short: without that bound, a long line without a colon takes the square of its length."""
_FEWEST_PAIRS = 3
"""A last line with fewer of them is part of the prompt."""
_MOST_CHARACTERS = 1_000_000

_WIRE = {"steps": "Steps", "scheduler": "Sampler", "CFGScale": "CFG scale", "seed": "Seed", "clipSkip": "Clip skip",
         "strength": "Denoising strength", "model": "Model"}  # fmt: skip


@short_repr()
@dataclass(frozen=True, slots=True)
class Infotext:
    """What an infotext says.

    Attributes:
        prompt: The prompt; empty where there is none.
        negative_prompt: The negative prompt; empty where there is none.
        settings: The pairs of the last line, as text, in their order.
    """

    prompt: str
    negative_prompt: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> Item:
        """Write what it says as parameters of an `imageInference`; what has no counterpart is left out."""
        made: Item = {}
        if self.prompt:
            made["positivePrompt"] = self.prompt
        if self.negative_prompt:
            made["negativePrompt"] = self.negative_prompt
        for wire, name in _WIRE.items():
            if name in self.settings:
                made[wire] = _number(self.settings[name])
        size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.settings.get("Size", ""))
        if size:
            made["width"], made["height"] = int(size[1]), int(size[2])
        return made


def write_infotext(task: Mapping[str, Any], *, seed: int | None = None, version: str = "") -> str:
    """Write a task's parameters.

    Args:
        task: In wire spelling.
        seed: Seed of this one result; the task's own where None.
        version: Who wrote it, such as `runware_nb 0.1.0`.
    """
    values = dict(task)
    if seed is not None:
        values["seed"] = seed
    pairs = [(name, values[wire]) for wire, name in _WIRE.items() if values.get(wire) is not None]
    if isinstance(values.get("width"), int) and isinstance(values.get("height"), int):
        pairs.insert(len(pairs) - ("model" in values), ("Size", f"{values['width']}x{values['height']}"))
    loras = [f"{each['model']}: {each.get('weight', 1)}" for each in values.get("lora") or []
             if isinstance(each, Mapping) and "model" in each]  # fmt: skip
    if loras:
        pairs.append(("Lora", ", ".join(loras)))
    if version:
        pairs.append(("Version", version))
    lines = [str(values.get("positivePrompt") or "")]
    if values.get("negativePrompt"):
        lines.append(f"{_NEGATIVE} {values['negativePrompt']}")
    if pairs:
        lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in pairs))
    return "\n".join(lines)


def is_infotext(text: str) -> bool:
    """Whether a text ends in a block of parameters: a `Negative prompt:` line, or a line of pairs with `Steps`.

    Stricter than `parse_infotext`, which is told that it reads one: a prompt may hold colons and commas.
    """
    lines = text[:_MOST_CHARACTERS].strip().splitlines()
    if not lines:
        return False
    pairs = [name for name, _ in _PAIR.findall(lines[-1])]
    has_pairs = len(pairs) >= _FEWEST_PAIRS and "Steps" in pairs
    return has_pairs or any(line.strip().startswith(_NEGATIVE) for line in lines[1:])


def parse_infotext(text: str) -> Infotext:
    """Read an infotext, whoever wrote it; any text at all is at least a prompt."""
    lines = text[:_MOST_CHARACTERS].strip().splitlines()
    settings: dict[str, str] = {}
    if lines:
        pairs = _PAIR.findall(lines[-1])
        if len(pairs) >= _FEWEST_PAIRS:
            settings = {name.strip(): _unquoted(value.strip()) for name, value in pairs}
            lines.pop()
    prompt: list[str] = []
    negative: list[str] = []
    reading = prompt
    for line in lines:
        if line.strip().startswith(_NEGATIVE) and reading is prompt:
            reading = negative
            line = line.strip().removeprefix(_NEGATIVE)  # noqa: PLW2901 - the same line, less its label
        reading.append(line)
    return Infotext("\n".join(prompt).strip(), "\n".join(negative).strip(), settings)


def _quoted(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text


def _unquoted(text: str) -> str:
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
