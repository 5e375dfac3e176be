"""size: which cells make a notebook heavy."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..present.table import Bar, Table, render_table
from .base import CommandResult
from .filters import ALL, read_limit

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "list the heaviest cells of a notebook, as it was saved last"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("notebook", nargs="?", metavar="FILE", help="the notebook; this one where that is known")
    parser.add_argument(
        "--limit", type=read_limit, default=10, metavar="N", help="how many cells, or `all` (default: 10)"
    )


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Weigh them."""
    name = options.notebook or session.context().notebook
    if not name:
        raise MagicUsageError("which notebook this is, nobody here knows; name it: size FILE.ipynb")
    path = Path(name).expanduser()
    cells = sorted(_cells(path), key=lambda cell: -cell["bytes"])
    total = path.stat().st_size
    heaviest = cells[0]["bytes"] if cells else 0
    rows = [
        (cell["number"], f"[{cell['execution_count']}]" if cell["execution_count"] else "",
         Bar(_kilobytes(cell["bytes"]), cell["bytes"] / heaviest if heaviest else 0.0), cell["source"])
        for cell in cells[: None if options.limit == ALL else max(1, options.limit)]
    ]  # fmt: skip
    part = f", {len(rows)} of {len(cells)} cells" if len(rows) < len(cells) else ""
    table = Table(
        ("cell", "run", "size", "begins with"), rows, f"{path.name}: {_kilobytes(total)}{part}", empty="no cells"
    )
    return CommandResult(render_table(table), {"path": str(path), "bytes": total, "cells": cells})


def _cells(path: Path) -> list[dict[str, Any]]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        cells = read["cells"]
        return [
            {
                "number": number,
                "execution_count": cell.get("execution_count"),
                "bytes": len(json.dumps(cell, ensure_ascii=False).encode("utf-8", "replace")),
                "source": _first_line(cell.get("source")),
            }
            for number, cell in enumerate(cells, 1)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it is no notebook"
        raise MagicUsageError(f"{path} cannot be read: {reason}") from error


def _first_line(source: Any) -> str:
    text = "".join(map(str, source)) if isinstance(source, list) else str(source or "")
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0][:80] if lines else ""


def _kilobytes(size: int) -> str:
    return f"{size / 1024:,.1f} KiB"
