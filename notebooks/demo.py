"""`make demo` and `make lab`: the notebooks, with a sandbox to work on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "demo-output"
NOTEBOOK = "01_quickstart.ipynb"


def run() -> int:
    """Execute the quickstart in a real kernel, and say where everything is."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbconvert import HTMLExporter

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    book = nbformat.read(HERE / NOTEBOOK, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    started = time.monotonic()

    def before(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            number = code.index(cell) + 1
            first = next((line for line in cell.source.splitlines() if not line.startswith("#")), "")
            print(f"  [{number}/{len(code)}] {first[:60]:<60}", end="", flush=True)

    def after(cell: Any, cell_index: int, **_: Any) -> None:
        if cell.cell_type == "code":
            print(f" {time.monotonic() - started:5.1f} s", flush=True)

    print(f"executing notebooks/{NOTEBOOK} in a real kernel:")
    client = NotebookClient(
        book,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(OUT)}},
        on_cell_start=before,
        on_cell_executed=after,
    )
    failed = False
    try:
        client.execute()
    except CellExecutionError as error:
        failed = True
        print(f"\n{error}", file=sys.stderr)
    executed = OUT / NOTEBOOK
    nbformat.write(book, executed)
    html, _ = HTMLExporter().from_notebook_node(book)
    page = executed.with_suffix(".html")
    page.write_text(html, encoding="utf-8")
    report(executed, page)
    return int(failed)


def report(executed: Path, page: Path) -> None:
    """Say where things are and what they cost."""
    from runware_nb import Session, Settings

    session = Session(Settings(home=OUT / ".runware"))
    runs = session.log.recent(1000)
    cost = sum(run.cost_usd or 0.0 for run in runs)
    images = [path for path in session.media.folder.rglob("*") if path.suffix in {".jpg", ".png", ".webp"}]
    session.close()
    print(f"""
executed notebook  {shown(executed)}
as a web page      {shown(page)}
images             {shown(OUT / "runware_images")} ({len(images)} files at full size)
log                {shown(OUT / ".runware" / "runs.sqlite")} ({len(runs)} runs)
cost               ${cost:.4f} in the sandbox's money; nothing was paid

to look at it      open {shown(page)} in a browser, or
                   make lab""")


def lab() -> int:
    """Open JupyterLab on the notebooks, with a sandbox that the kernels find through the environment."""
    from runware_nb.session.local_sandbox import LocalSandbox

    sandbox = LocalSandbox(state_dir=HERE / ".runware" / "sandbox")
    environment = {**os.environ, "RUNWARE_API_KEY": sandbox.info["api_key"]}
    for name in ("rest_url", "ws_url", "schemas_url"):
        environment[f"RUNWARE_NB_{name.upper()}"] = sandbox.info[name]
    print("the sandbox is running; notebooks opened here use it, and pay nothing")
    try:
        command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={HERE}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container; it listens on loopback, with a token
            command.append("--allow-root")
        return subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 0
    finally:
        sandbox.stop()


def shown(path: Path) -> str:
    """Write a path the short way, from where the user is."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    sys.exit({"run": run, "lab": lab}[sys.argv[1]]())
