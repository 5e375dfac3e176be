"""Count the files and functions of the package that one warm `%%runware` passes through.

    python benchmarks/call_path.py [--list]

A shell in this process runs one cell against a sandbox to warm up, and then the next one under a profiler that sees
every thread. The figures say how many steps a reader of the code has to follow. They are not a measure of time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PACKAGE = str(ROOT / "runware_nb") + os.sep


class CallPath:
    """The code objects of the package that were entered while the recording was on, in all threads."""

    def __init__(self) -> None:
        self.is_on = False
        self.entered: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if self.is_on and event == "call":
            self.entered.add(frame.f_code)

    @property
    def functions(self) -> set[tuple[str, str]]:
        """The functions as pairs of file and qualified name; bodies of modules and comprehensions do not count."""
        return {
            (code.co_filename.removeprefix(PACKAGE), code.co_qualname)
            for code in self.entered
            if code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")
        }


def measure() -> CallPath:
    """Run the cell and return what it passed through."""
    path = CallPath()
    threading.setprofile(path)  # for the threads that the package starts
    sys.setprofile(path)
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("load_ext", "runware_nb")
    for seed in (1, 2, 3):
        path.is_on = seed == 3  # everything is imported, connected and opened by then
        outcome = shell.run_cell(f"%%runware -s 256x256 --seed {seed}\na small airship")
        path.is_on = False
        outcome.raise_error()
    sys.setprofile(None)
    threading.setprofile(None)
    shell.run_line_magic("unload_ext", "runware_nb")
    return path


def main() -> int:
    """Measure and print; exit with 1 if the cell could not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="list the functions, by file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        command = [sys.executable, "-m", "runware_nb.sandbox", "--watch-stdin"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        sandbox = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        assert sandbox.stdout is not None
        info = json.loads(sandbox.stdout.readline())
        os.environ |= {
            "HOME": folder, "RUNWARE_API_KEY": info["api_key"], "RUNWARE_NB_REST_URL": info["rest_url"],
            "RUNWARE_NB_WS_URL": info["ws_url"], "RUNWARE_NB_SCHEMAS_URL": info["schemas_url"],
        }  # fmt: skip
        try:
            functions = measure().functions
        finally:
            from runware_nb.session import current_session

            current_session().close()
            sandbox.terminate()
            sandbox.communicate()
            os.chdir(ROOT)
    files = Counter(file for file, _ in functions)
    if options.list:
        for file in sorted(files):
            names = sorted(name for other, name in functions if other == file)
            print(f"{file}\n    {', '.join(names)}")
    print(json.dumps({"files": len(files), "functions": len(functions)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
