"""Execute notebooks in a real kernel and save their outputs: `python notebooks/save.py 04_editing.ipynb`.

Code hosts and PDF export show images, and no HTML of this size. The outputs are therefore plain images. If you run the
notebook yourself, you get players, captions and folded parameters.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PLAIN = {"RUNWARE_NB_DISPLAY": "image"}
"""The environment in which the outputs are images."""
_WIDGETS = "application/vnd.jupyter.widget-view+json"


def execute(book: Any, folder: Path) -> None:
    """Execute a notebook in a folder, and leave out what needs its kernel: controls and the time of each cell."""
    from nbclient import NotebookClient

    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNWARE_")}
    client = NotebookClient(book, timeout=120, record_timing=False, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**environment, **PLAIN})
    for cell in book.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGETS, None)
    book.metadata.pop("widgets", None)


def main(names: list[str]) -> None:
    """Execute and save each notebook."""
    import nbformat

    for name in names:
        path = HERE / Path(name).name
        book = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            execute(book, Path(folder))
        nbformat.write(book, path)
        print(f"{path.name}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
