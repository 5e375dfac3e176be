"""A request as the cell that asks for it: what `%%runware` reads, written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..core.infotext import is_infotext
from ..core.operations import TEXT_TO_IMAGE
from ..providers.runware.operations import binding_for, flags_by_field, wire_name
from .names import escape_names
from .prompts_in import escape_wildcards

__all__ = ["as_cell", "quote_word"]

_PLAIN = re.compile(r"[\w@%+=:,./#-]+", re.ASCII)
_SKIPPED = frozenset({"taskType", "taskUUID", "positivePrompt", "width", "height", "lora", "inputs", "includeCost",
                      "deliveryMethod"})  # fmt: skip
_TASK_TYPE = binding_for(TEXT_TO_IMAGE).task_type
_FLAGS = MappingProxyType({field: flags[0] for field, flags in flags_by_field(TEXT_TO_IMAGE).items()})
_INPUTS = MappingProxyType({wire_name(medium.name): medium for medium in TEXT_TO_IMAGE.inputs})


def as_cell(task: Mapping[str, Any]) -> str | None:
    """Format the `%%runware` cell of a request for images.

    Args:
        task: In wire spelling; media as words that the magic understands: a path, a URL, a run.

    Returns:
        The cell; None if no such cell makes exactly this request: an operation without a magic, or a prompt that a cell
        would trim. `runware_nb.reproduce.code.run_call` formats any request as Python.
    """
    prompt = task.get("positivePrompt")
    if task.get("taskType", _TASK_TYPE) != _TASK_TYPE or not isinstance(prompt, str):
        return None
    if not {"model", "width", "height"} <= task.keys() or any("." in name for name in task):
        return None  # the magic would fill in a model and a size; dots go deeper in --set
    if not prompt.strip() or prompt != prompt.strip("\r\n") or is_infotext(prompt):
        return None
    words = [*_options(task), *_media(task)]
    line = " ".join(["%%runware", *map(quote_word, words)])
    return None if "\n" in line or "\r" in line else line + "\n" + escape_wildcards(escape_names(prompt))


def quote_word(word: str) -> str:
    """Quote a word for a magic's line, where it needs it."""
    if word.startswith("-") and _PLAIN.fullmatch(word):
        return word
    word = escape_names(word)
    if _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _options(task: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    if "width" in task and "height" in task:
        words += ["-s", f"{task['width']}x{task['height']}"]
    for name, value in task.items():
        option = None if name in _SKIPPED else _FLAGS.get(name)
        if name == "outputFormat" and value != str(value).upper():
            option = None  # --format writes capitals
        if option is not None and isinstance(value, str | int | float) and not isinstance(value, bool):
            if name == "negativePrompt":  # the only other prompt on the line
                value = escape_wildcards(str(value))  # noqa: PLW2901 - as it has to be written
            words += [option, str(value)] if not str(value).startswith("-") else [f"{option}={value}"]
        elif name not in _SKIPPED and value is not None:
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    for one in task.get("lora") or ():
        words += ["--lora", f"{one['model']}:{one.get('weight', 1.0)}"]
    return words


def _media(task: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    inputs = task.get("inputs")
    for name, value in (inputs if isinstance(inputs, Mapping) else {}).items():
        medium = _INPUTS.get(name)
        if medium is not None and medium.flag is not None:
            for word in value if medium.is_list else [value]:
                words += [medium.flag, str(word)]
        else:
            words += ["--set", f"inputs.{name}={json.dumps(value, ensure_ascii=False, default=str)}"]
    return words
