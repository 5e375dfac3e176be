"""A real JupyterLab in a real Chromium: what a user sees."""

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
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import find

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

ARTEFACTS = Path(__file__).resolve().parent.parent.parent / "test-artifacts"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
TOKEN = "t0ken"
FIVE = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox",
    "%%runware -n 4 --seed 7 -o ships\na small airship over a forest",
    "%runware log",
    "images = await rw.image('a small airship over a forest', number_results=4, seed=7)\nimages",
]


class Lab:
    """A JupyterLab server of its own, with nothing inherited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
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
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={self.folder}", "--LabApp.expose_app_in_browser=True",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        self._wait(folder / "lab.log")

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?reset&token={TOKEN}"

    def write(self, name: str, cells: list[str]) -> Path:
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
        path = self.folder / name
        nbformat.write(new_notebook(cells=[new_code_cell(source) for source in cells], metadata=metadata), path)
        return path

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

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
        raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Page]:
    """A page, gone before its server is; its screenshots and console are kept, whether the test passes or not."""
    executable = find()
    assert executable, "no Chromium: install it (Debian: apt-get install chromium)"
    ARTEFACTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", request.node.name)
    console: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1280, "height": 1600})
        opened.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
        opened.on("dialog", lambda dialog: (console.append(f"DIALOG: {dialog.message}"), dialog.dismiss()))
        yield opened
        opened.screenshot(path=ARTEFACTS / f"{name}.png")
        (ARTEFACTS / f"{name}.console.txt").write_text("\n".join(console))
        browser.close()
    assert not [line for line in console if line.startswith("DIALOG")], "a script of a prompt ran"


READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle');
}"""


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    page.goto(lab.url(name))
    page.wait_for_function(READY, timeout=90_000)


def run_all(page: Page, count: int) -> None:
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-InputPrompt").get_by_text(f"[{count}]:", exact=True).wait_for(timeout=90_000)
    page.wait_for_function(READY, timeout=60_000)


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


def test_five_cells_in_jupyterlab(page: Page, lab: Lab) -> None:
    path = lab.write("five.ipynb", FIVE)
    open_notebook(page, lab, path.name)
    run_all(page, 5)
    images = decoded_images(page)
    assert len(images) == 8
    assert all(image["alt"] == "a small airship over a forest" for image in images)
    assert all(image["width"] == 512 and image["shown"] > 100 for image in images)
    assert page.get_by_text("4 images · $0.0152").count() >= 1
    assert page.get_by_text("4 images · $0.00, recorded").count() >= 1  # the same request again, from Python
    page.get_by_text("runware:101@1").first.wait_for()
    full = page.request.get(images[0]["href"])
    assert full.ok
    assert len(full.body()) > 50_000
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "five-cells-notebook.png")
    save(page)
    assert path.stat().st_size / 8 < 160 * 1024
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    assert len(decoded_images(page)) == 8, "a reopened notebook shows everything"


MEMORY = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox",
    "%%runware -s 512x512 -n 2 --seed 7 --tag study -o ships\na small airship over a forest",
    "%%runware -s 512x512 -n 2 --seed 8 --tag study -o storm\na small airship over a forest in a storm",
    'cut = rw.run({"taskType": "removeBackground", "model": "runware:109@1", "inputs": {"image": ships[0]}}).result()',
    "first, second = ships.task_uuid[:8], storm.task_uuid[:8]",
    "%runware rate {first}#1 5\n%runware log",
    "%runware diff {first} {second}",
    "%runware history {first}",
    "%runware cost --by model",
    "%runware verify --tag study --budget 1",
    "%runware code {second}",
]


def test_the_memory_in_jupyterlab(page: Page, lab: Lab) -> None:
    path = lab.write("memory.ipynb", MEMORY)
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("images = rw.image(").first.wait_for(timeout=90_000)
    table = decoded_images(page, "td")
    assert [image["shown"] for image in table] == [56] * 3
    assert page.request.get(table[0]["href"]).ok, "a click leads to the full size"
    assert any(image["alt"].startswith("where the two differ") for image in decoded_images(page))
    assert len(decoded_images(page, "li")) == 3
    assert page.get_by_text("2 exact").count() == 1
    assert page.locator("progress").count() == 0, "the bar has gone"
    page.locator(".jp-Notebook").screenshot(path=ARTEFACTS / "memory.png")
    new = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource()")
    assert "seed=8" in page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.getSource()).join()"
    ), new
    save(page)
    assert path.stat().st_size < 900_000
    page.reload()
    page.wait_for_function(READY, timeout=90_000)
    assert len(decoded_images(page, "td")) == 3


def test_stop_and_progress_in_jupyterlab(page: Page, lab: Lab) -> None:
    cells = [
        "%load_ext runware_nb",
        "%runware sandbox --latency-s 5",
        "%%runware -s 512x256 -n 2\na red ship at sunset",
    ]
    path = lab.write("stop.ipynb", cells)
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".runware-nb-progress progress").wait_for(timeout=90_000)
    page.screenshot(path=ARTEFACTS / "progress.png")
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    page.get_by_text("Stopped waiting").wait_for(timeout=4_000)
    page.screenshot(path=ARTEFACTS / "stopped.png")
    page.wait_for_function("() => document.querySelectorAll('.runware-nb img').length === 2", timeout=30_000)
    assert len(decoded_images(page)) == 2


def test_a_hostile_prompt_and_an_error_in_jupyterlab(page: Page, lab: Lab) -> None:
    hostile = '%%runware -s 256x256\n<img src=x onerror=alert(1)><script>alert(2)</script> "quotes" & {braces}'
    path = lab.write(
        "hostile.ipynb", ["%load_ext runware_nb", "%runware sandbox", hostile, "%runware log", "%%runware -n 0\nxy"]
    )
    open_notebook(page, lab, path.name)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_text("TaskInvalid: numberResults=0 refused").wait_for(timeout=90_000)
    for image in [*decoded_images(page), *decoded_images(page, "td")]:
        assert image["alt"].startswith("<img src=x onerror=alert(1)>")
    assert len(decoded_images(page, "td")) == 1
    assert page.locator("img[src='x']").count() == 0
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 1
