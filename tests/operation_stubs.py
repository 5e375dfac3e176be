"""Writes `session/operation_functions.pyi`, from which type checkers and editors know the functions of the operations.

The functions are built from the table of operations when they are used, and a type checker cannot see that. After a change
of the table: `python -m tests.operation_stubs`. A test compares the file with the table.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import runware_nb
from runware_nb.core.operations import OPERATIONS, TEXT_TO_IMAGE, Input, Operation, Option
from runware_nb.session.operations import function_of

STUB = Path(runware_nb.__file__).parent / "session/operation_functions.pyi"
_HEAD = '''"""The functions of the operations, for type checkers. Written by `tests/operation_stubs.py`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..core.option_values import LoRA
from ..core.results import Outcome, Result
from ..engine.jobs import Job

Medium: TypeAlias = Any
"""A path, an image of Pillow, bytes, an array, a URL, a UUID, or an earlier result, outcome or job."""
Text: TypeAlias = str | Result | Outcome | Job
"""A text, or an earlier result, outcome or job whose text is used."""
'''
_KINDS = {
    "conversation": "str | bool | Result | Outcome | Job", "schema": "Mapping[str, Any] | str | Path | type",
    "text": "str", "integer": "int", "number": "float", "flag": "bool", "numbers": "Sequence[float]", "size": "str",
    "lora": "str | tuple[str, float] | LoRA | Sequence[str | tuple[str, float] | LoRA]",
}  # fmt: skip
_OF_EVERY_RUN = {
    "extra": "Mapping[str, Any] | None", "fresh": "bool", "agreed": "bool", "tags": "str | Iterable[str] | None",
    "note": "str | None",
}  # fmt: skip


def stub() -> str:
    """Return the file."""
    offered = [operation for operation in OPERATIONS if operation.function and operation is not TEXT_TO_IMAGE]
    return _HEAD + "\n" + "\n".join(map(_function, offered))


def _function(operation: Operation) -> str:
    lines = []
    is_named = False
    for parameter in inspect.signature(function_of(operation)).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not is_named:
            is_named = True
            lines.append("    *,")
        annotation = _annotation(operation, parameter.name)
        default = "" if parameter.default is inspect.Parameter.empty else f" = {parameter.default!r}"
        lines.append(f"    {parameter.name}: {annotation}{default},")
    summary = f"{operation.summary[:1].upper()}{operation.summary[1:]}."
    return "\n".join([f"def {operation.function}(", *lines, ") -> Job:", f'    """{summary}"""', ""])


def _annotation(operation: Operation, name: str) -> str:
    if name in _OF_EVERY_RUN:
        return _OF_EVERY_RUN[name]
    entry = next(entry for entry in operation.entries if entry.name == name)
    if isinstance(entry, Input):
        kind = "Sequence[Medium]" if entry.is_list else "Medium"
        return kind if entry.is_required else f"{kind} | None"
    assert isinstance(entry, Option)
    return "Text | None" if name in {operation.body, operation.spoken} else f"{_KINDS[entry.kind]} | None"


if __name__ == "__main__":
    STUB.write_text(stub())
