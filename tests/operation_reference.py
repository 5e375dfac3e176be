"""Write `docs/operations.md` from the table of operations: `python -m tests.operation_reference`."""

from __future__ import annotations

from pathlib import Path

from runware_nb.core.operations import OPERATIONS, Input, Operation, Option

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
_HEAD = """# Operations

This page is written from the table of operations (`core/operations.py`). Each operation is a line (`%runware upscale ...`), a cell
(`%%runware upscale ...`), a function, a method of results that it accepts, a form (`rw.form("upscale")`) and a command in a terminal
(`runware-nb upscale ...`). `%runware upscale -h` shows its help, and [In the notebook](notebook.md#operations) describes what all
of them have in common.

The options of every run are `-o NAME`, `-b`, `-q`, `--fresh`, `--yes`, `--dry-run`, `--tag`, `--note`, `--var NAME=TEXT` and
`--set KEY=JSON`. A model may accept fewer parameters than its operation; `%runware model AIR` lists those that it accepts.
"""


def page() -> str:
    """Return the whole page."""
    operations = list(OPERATIONS.values()) if isinstance(OPERATIONS, dict) else list(OPERATIONS)
    offered = [operation for operation in operations if operation.function is not None]
    rest = [operation for operation in operations if operation.function is None]
    names = " and ".join(f"`{operation.name}`" for operation in rest)
    last = f"## Without a command\n\n{names} have a form, and `%runware raw` sends their requests.\n"
    return "\n".join([_HEAD, *(_section(operation) for operation in offered), last])


def _section(operation: Operation) -> str:
    name = "%runware" if operation.name == "text-to-image" else f"%runware {operation.name}"
    summary = f"{operation.summary[0].upper()}{operation.summary[1:]}"
    lines = [
        f"## {operation.name}",
        "",
        f"{summary}. Function: `rw.{operation.function}`. Result: {_produced(operation)}.",
    ]
    if operation.body is not None:
        lines.append(f"The text of a cell (`%{name}`) is its prompt.")
    lines += ["", "| on a line | in Python | meaning | values |", "| --- | --- | --- | --- |"]
    lines += [_row(entry) for entry in operation.entries]
    return "\n".join([*lines, ""])


def _produced(operation: Operation) -> str:
    return "3D model" if operation.produces == "3d" else operation.produces


def _row(entry: Input | Option) -> str:
    if isinstance(entry, Input):
        shown = f"`{entry.flag} IMG`" if entry.flag else "first word"
        note = "required" if entry.is_required else ""
        values = f"{entry.kind}{', several' if entry.is_list else ''}"
        return f"| {shown} | `{entry.name}` | {_cell(entry.help)} | {'; '.join(filter(None, [values, note]))} |"
    metavar = "" if entry.kind == "flag" or not entry.metavar else f" {_cell(entry.metavar)}"
    return f"| `{', '.join(entry.flags)}{metavar}` | `{entry.name}` | {_cell(entry.help)} | {_values(entry)} |"


def _values(option: Option) -> str:
    if option.values:
        words = ", ".join(f"`{value}`" for value in option.values)
        words = f"such as {words}" if option.kind == "size" else words
    elif option.low is not None and option.high is not None:
        words = f"{option.low:g} to {option.high:g}"
    elif option.low is not None:
        words = f"at least {option.low:g}"
    elif option.high is not None:
        words = f"at most {option.high:g}"
    else:
        words = ""
    if option.kind == "text" and words and not option.values:
        words += " characters"
    default = f"default `{option.default}`" if option.default else ""
    several = "several" if option.is_list else ""
    return "; ".join(filter(None, [words, default, several]))


def _cell(text: str) -> str:
    return text.replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
