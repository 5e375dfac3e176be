"""JupyterLab and Notebook 7 as users have them: their own server, a real Chromium, any kernel."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import find

ARTEFACTS = Path(__file__).resolve().parent.parent.parent / "test-artifacts"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
TOKEN = "t0ken"
KERNELS = Path(__file__).resolve().parent.parent.parent / ".kernels"


class Lab:
    """A server of its own, with nothing inherited.

    Args:
        folder: For everything it writes.
        app: `lab` for JupyterLab, `notebook` for Notebook 7.
        ipykernel: Version of the kernel, of those in `.kernels`; the installed one where None.
    """

    def __init__(self, folder: Path, app: str = "lab", ipykernel: str | None = None) -> None:
        self._app = app
        self._ipykernel = ipykernel
        self._root = self.folder = folder / "work"
        self.folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("JPY_")}
        names = ["HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                 "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]  # fmt: skip
        for name in names:
            environment[name] = str(folder / name.lower())
            Path(environment[name]).mkdir()
        settings = Path(environment["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab"
        self._set(settings / "notebook-extension" / "tracker.jupyterlab-settings", {"windowingMode": "none"})
        self._set(settings / "apputils-extension" / "notification.jupyterlab-settings",
                  {"checkForUpdates": False, "doNotDisturbMode": True, "fetchNews": "false"})  # fmt: skip
        self._log = (folder / "lab.log").open("w")
        if ipykernel is not None:
            self._add_kernel(Path(environment["JUPYTER_DATA_DIR"]), ipykernel)
        module, kind = ("jupyterlab", "LabApp") if app == "lab" else ("notebook", "JupyterNotebookApp")
        command = [
            sys.executable, "-m", module, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={self.folder}", f"--{kind}.expose_app_in_browser=True",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        self._wait(folder / "lab.log")

    def url(self, notebook: str) -> str:
        notebook = (self.folder / notebook).relative_to(self._root).as_posix()
        where = f"lab/tree/{notebook}?reset&" if self._app == "lab" else f"notebooks/{notebook}?"
        return f"http://127.0.0.1:{self.port}/{where}token={TOKEN}"

    def write(self, name: str, cells: list[str]) -> Path:
        name_of_kernel = "python3" if self._ipykernel is None else f"ipykernel-{self._ipykernel}"
        metadata = {"kernelspec": {"name": name_of_kernel, "display_name": name_of_kernel, "language": "python"}}
        path = self.folder / name
        nbformat.write(new_notebook(cells=[new_code_cell(source) for source in cells], metadata=metadata), path)
        return path

    def enter(self, name: str) -> None:
        """Work in an empty folder from now on: tests that share a server share no log."""
        self.folder = self._root / name
        self.folder.mkdir()

    def end_kernels(self) -> None:
        """End what the last test left running."""
        for session in self._request("sessions"):
            self._request(f"sessions/{session['id']}", "DELETE")

    def _request(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}?token={TOKEN}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @staticmethod
    def _add_kernel(data: Path, version: str) -> None:
        """Have a kernel of another version: its folder stands before the installed one on the path."""
        packages = KERNELS / version
        assert (packages / "ipykernel").is_dir(), f"no ipykernel {version} in {KERNELS}: run `make .kernels/stamp`"
        path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python",
            "display_name": f"ipykernel-{version}", "env": {"PYTHONPATH": path},
        }  # fmt: skip
        folder = data / "kernels" / f"ipykernel-{version}"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(spec))

    @staticmethod
    def _set(path: Path, values: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={TOKEN}", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"Jupyter did not start:\n{log.read_text()[-3000:]}")


READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle');
}"""


@contextmanager
def chromium_page(name: str) -> Iterator[Page]:
    """Open a page; its screenshot and console are kept, whether the test passes or not."""
    executable = find()
    assert executable, "no Chromium: install it (Debian: apt-get install chromium)"
    ARTEFACTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", name)
    console: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1280, "height": 1600})
        opened.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
        opened.on("dialog", lambda dialog: (console.append(f"DIALOG: {dialog.message}"), dialog.dismiss()))
        try:
            yield opened
        finally:
            opened.screenshot(path=ARTEFACTS / f"{name}.png")
            (ARTEFACTS / f"{name}.console.txt").write_text("\n".join(console))
            browser.close()
    assert not [line for line in console if line.startswith("DIALOG")], "a script of a prompt ran"


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    page.goto(lab.url(name))
    page.wait_for_function(READY, timeout=90_000)


def run_cells(page: Page) -> None:
    """Begin to run all cells, and do not wait."""
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")


def run_all(page: Page, count: int) -> None:
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-InputPrompt").get_by_text(f"[{count}]:", exact=True).wait_for(timeout=90_000)
    page.wait_for_function(READY, timeout=60_000)


def run_below(page: Page, source: str) -> None:
    """Add a cell at the end, and run it."""
    page.evaluate("""() => {
        const notebook = window.jupyterapp.shell.currentWidget;
        notebook.content.activeCellIndex = notebook.content.widgets.length - 1;
    }""")
    page.evaluate("window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    page.evaluate(
        "source => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource(source)", source
    )
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-cell')")


def save(page: Page) -> None:
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=20_000)


def decoded_images(page: Page, within: str = "figure") -> list[dict[str, Any]]:
    return page.evaluate(
        """async (within) => {
        const images = [...document.querySelectorAll(`.jp-OutputArea-output .runware-nb ${within} img`)];
        await Promise.all(images.map(image => image.decode()));
        return images.map(image => ({alt: image.alt, width: image.naturalWidth, shown: image.clientWidth,
                                     href: image.closest('a')?.href}));
    }""",
        within,
    )
