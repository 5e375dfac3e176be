"""Real kernels: whole notebooks, Stop, and SIGKILL."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [
    pytest.mark.kernel,
    # jupyter_client and zmq leave sockets to the garbage collector when a kernel is killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "notebooks"
FIVE = [
    "%load_ext runware_nb\nimport runware_nb as rw",
    "%runware sandbox",
    "%%runware -n 4 --seed 7 -o ships\na small airship over a forest",
    "%runware log",
    "images = await rw.image('a small airship over a forest', number_results=4, seed=7)\nimages",
]


def execute(cells, folder, **options):
    book = new_notebook(cells=[new_code_cell(source) for source in cells])
    NotebookClient(book, timeout=90, resources={"metadata": {"path": str(folder)}}, **options).execute()
    path = folder / "executed.ipynb"
    nbformat.write(book, path)
    return book, path


def html_of(cell):
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


class Kernel:
    """A kernel to run cells in, to stop and to kill."""

    def __init__(self, folder, environment):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, **environment})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def start(self, code):
        return self.client.execute(code)

    def wait_until_running(self, message_id):
        """Wait until the kernel runs a cell: interrupted before, ipykernel drops the request and never replies."""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["msg_type"] == "execute_input" and message["parent_header"].get("msg_id") == message_id:
                return

    def reply(self, message_id, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                message = self.client.get_shell_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") == message_id:
                return message["content"]
        raise AssertionError("no reply")

    def outputs(self, message_id):
        found = []
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=5)
            except queue.Empty:
                return found
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
            found.append(message)

    def run(self, code):
        for _ in range(20):
            message_id = self.start(code)
            status = self.reply(message_id)["status"]
            if status != "aborted":
                break
            time.sleep(0.1)  # a kernel aborts whatever it is asked right after an error
        assert status == "ok", code
        found = self.outputs(message_id)
        return "".join(
            message["content"].get("text", "") + message["content"].get("data", {}).get("text/plain", "")
            for message in found
        )

    def close(self, *, kill=False):
        if kill:
            self.manager.provisioner.process.send_signal(signal.SIGKILL)
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def start_kernel(tmp_path):
    started = []

    def start(sandbox):
        started.append(Kernel(tmp_path, sandbox.environment))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()


def test_five_cells_give_images_with_alt_text_in_a_small_file(tmp_path):
    book, path = execute(FIVE, tmp_path)
    assert html_of(book.cells[2]).count("<img ") == 4
    assert html_of(book.cells[2]).count('alt="a small airship over a forest"') == 4
    assert html_of(book.cells[4]).count("<img ") == 4
    assert "succeeded" in html_of(book.cells[3])
    assert "4 images · $0.0152" in book.cells[2].outputs[0]["data"]["text/plain"]
    assert path.stat().st_size / 8 < 160 * 1024
    assert "href=" in html_of(book.cells[2])


def test_operations_show_their_results_in_cells(tmp_path):
    cells = [
        "%load_ext runware_nb\nimport runware_nb as rw", "%runware sandbox",
        "harbour = rw.image('a harbour', width=256, height=256, seed=7).result()",
        "%runware upscale harbour --factor 2 --yes -o large", "%runware caption _rw --yes",
        "%%runware text --yes --max-tokens 20\nName three oceans.", "rw.remove_background(large, agreed=True).result()",
        "%%runware mask large\nfaces",
    ]  # fmt: skip
    book, _ = execute(cells, tmp_path, allow_errors=True)
    shown = [html_of(cell) for cell in book.cells]
    assert "<img " in shown[3]
    assert "512" in shown[3]
    assert "<img " in shown[6]
    assert all("upscale" in text or "caption" in text or "text" in text for text in (shown[3], shown[4], shown[5]))
    assert book.cells[7].outputs[0]["evalue"].startswith("mask takes no prompt")


def test_the_links_lead_to_the_full_size(tmp_path):
    book, _ = execute(FIVE[:3], tmp_path)
    import re

    links = re.findall(r'href="([^"]+)"', html_of(book.cells[2]))
    assert len(links) == 4
    assert all((tmp_path / link).stat().st_size > 50_000 for link in links)


def test_noise_and_transparency_stay_below_their_share(tmp_path, sandbox, monkeypatch):
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    noise = (
        "from PIL import Image\nimport random\nfrom runware_nb.media import make_thumbnail\n"
        "from runware_nb.present.results import ResultsView, Tile, render_results\n"
        "def tile(mode):\n    small = make_thumbnail(Image.frombytes(mode, (1024, 1024), random.randbytes(1024 * 1024 * len(mode))))\n"
        "    return Tile('x', body=small.body, media_type=small.media_type, width=small.width, height=small.height)\n"
        "from IPython.display import display\n"
        "display(render_results(ResultsView('x', [tile('RGB'), tile('RGBA')])), raw=True)"
    )
    _, path = execute([noise], tmp_path)
    assert path.stat().st_size / 2 < 160 * 1024


def test_the_key_is_in_no_saved_notebook(tmp_path, sandbox, monkeypatch):
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    cells = [
        "%load_ext runware_nb\nimport runware_nb as rw", "%runware status", "%runware connect", "rw.Client()",
        "%%runware -s 256x256\na ship", "%%runware -s 100x100\na ship", "%runware show _", "_rw", "%runware log",
        "from runware_nb.session import current_session; current_session().settings",
    ]  # fmt: skip
    _, path = execute(cells, tmp_path, allow_errors=True)
    assert sandbox.api_key not in path.read_text()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert sandbox.api_key.encode() not in file.read_bytes(), file


def test_an_error_is_one_sentence_in_the_notebook_and_the_line_that_works(tmp_path):
    book, _ = execute([FIVE[0], FIVE[1], "%%runware -n 0\nxy"], tmp_path, allow_errors=True)
    (output,) = book.cells[2].outputs
    assert output["ename"] == "TaskInvalid"
    sentence, tried = output["traceback"]
    assert "numberResults=0 refused" in sentence
    assert tried == "Try: %%runware -n 1"


# kept with their outputs, and run by `test_forms_notebook.py`, `test_tutorial_notebooks.py` and
# `test_provider_notebooks.py`
READ_ALONE = {
    "02_forms_and_gallery.ipynb", "04_editing.ipynb", "05_video_audio_text.ipynb", "08_runkey.ipynb",
    "09_useapi_accounts.ipynb",
}  # fmt: skip
EXECUTED = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name not in READ_ALONE]


@pytest.mark.parametrize("notebook", EXECUTED, ids=lambda path: path.stem)
def test_every_notebook_of_ours_runs(tmp_path, notebook):
    book = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "others are committed without outputs"
    NotebookClient(book, timeout=90, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any("<img " in html_of(cell) for cell in book.cells if cell.cell_type == "code")


SLOW_SYNC = "%%runware -s 256x256 -n 2 --seed 7\na ship"
SLOW_AWAIT = "import runware_nb as rw\nawait rw.image('a ship', width=256, height=256, number_results=2, seed=7)"
SLOW_RESULT = "import runware_nb as rw\nrw.image('a ship', width=256, height=256, number_results=2, seed=7).result()"


@pytest.mark.parametrize(
    ("cell", "ename"), [(SLOW_SYNC, "WaitInterrupted"), (SLOW_RESULT, "WaitInterrupted"), (SLOW_AWAIT, "WaitCancelled")],
    ids=["magic", "result", "await"],
)  # fmt: skip
def test_stop_ends_the_wait_and_the_run_is_collected(start_sandbox, start_kernel, cell, ename):
    sandbox = start_sandbox("--latency-s", "6")
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb")
    kernel.run("import runware_nb as rw; rw.connect()")
    message_id = kernel.start(cell)
    queued_id = kernel.start("print('this must not run')")
    time.sleep(1.5)
    pressed = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(message_id)
    took_s = time.monotonic() - pressed
    assert took_s < 2.0, "the wait must end long before the task does"
    assert (reply["status"], reply["ename"]) == ("error", ename)
    assert "The service continues task" in reply["evalue"]
    assert kernel.reply(queued_id)["status"] in {"aborted", "error"}, "Run All must stop"
    # it is written in the background; the task itself takes six seconds
    kernel.run("import time\nwhile [run.state.value for run in rw.pending()] == ['sent']: time.sleep(0.05)")
    assert "detached" in kernel.run("[run.state.value for run in rw.log]")
    kernel.run("import time\nwhile rw.pending(): time.sleep(0.1)")
    assert "succeeded" in kernel.run("[run.state.value for run in rw.log]")
    assert len(sandbox.charges()) == 1


def test_stop_ends_any_command_with_one_line(start_sandbox, start_kernel):
    sandbox = start_sandbox()
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb")
    kernel.run("%runware status")  # what it needs is loaded, and the connection is open
    sandbox.faults({"kind": "mute", "on": "accountManagement", "count": None})
    message_id = kernel.start("%runware status")
    time.sleep(1.5)
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(message_id)
    assert (reply["ename"], reply["evalue"]) == ("WaitInterrupted", "Stopped waiting")
    assert reply["traceback"] == ["Stopped waiting"]


def test_after_stop_the_images_still_appear_in_their_cell(start_sandbox, start_kernel):
    sandbox = start_sandbox("--latency-s", "3")
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb")
    message_id = kernel.start(SLOW_SYNC)
    deadline = time.monotonic() + 20
    while not sandbox_has_task(kernel) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    assert kernel.reply(message_id)["status"] == "error"
    deadline = time.monotonic() + 20
    images = 0
    while time.monotonic() < deadline and images < 2:
        try:
            message = kernel.client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if message["msg_type"] == "update_display_data":
            images = message["content"]["data"].get("text/html", "").count("<img ")
    assert images == 2


def test_a_killed_kernel_loses_nothing_and_pays_once(start_sandbox, start_kernel):
    sandbox = start_sandbox("--latency-s", "3")
    first = start_kernel(sandbox)
    first.run("%load_ext runware_nb")
    first.start(SLOW_SYNC)
    deadline = time.monotonic() + 20
    while not sandbox_has_task(first) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    first.close(kill=True)
    second = start_kernel(sandbox)
    loaded = second.run("%load_ext runware_nb")
    assert "1 unfinished" in loaded
    second.run(
        "import runware_nb as rw\n(run,) = rw.pending()\nassert run.state.value in ('sent', 'accepted'), run.state"
    )
    shown = second.run("rw.job(run.task_uuid).result()")
    assert "2 images" in shown
    second.run("assert rw.pending() == []\nassert all(r.path.is_file() for r in rw.job(run.task_uuid).result())")
    (charge,) = sandbox.charges()
    assert charge["results"] == 2


def sandbox_has_task(kernel):
    """Whether the log on disk says that the run was sent."""
    import sqlite3

    log = Path.cwd() / ".runware" / "runs.sqlite"
    if not log.exists():
        return False
    connection = sqlite3.connect(log, timeout=5)
    try:
        return connection.execute("SELECT count(*) FROM runs WHERE state = 'sent'").fetchone()[0] == 1
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()


def test_one_failure_among_four_shows_three_images_and_names_the_error(tmp_path, sandbox, monkeypatch):
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    sandbox.faults({"kind": "fail", "items": [2], "code": "inferenceError", "message": "out of paint"})
    book, _ = execute(
        [
            FIVE[0],
            "%%runware -s 256x256 -n 4 --seed 1\na ship",
            "[r.error is None for r in rw.log.recent(1)[0].results]",
        ],
        tmp_path,
    )
    html = html_of(book.cells[1])
    assert html.count("<img ") == 3
    assert "ProviderFailed: out of paint (code inferenceError)" in html
    assert book.cells[2].outputs[0]["data"]["text/plain"] == "[True, True, False, True]"


def test_a_job_shows_itself_and_fills(tmp_path, start_sandbox, monkeypatch):
    sandbox = start_sandbox("--latency-s", "1")
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    book, _ = execute(
        [FIVE[0], "job = rw.image('a ship', width=256, height=256)\njob", "import time; time.sleep(3)"], tmp_path
    )
    assert html_of(book.cells[1]).count("<img ") == 1
    assert "<progress" not in html_of(book.cells[1])


def test_progress_keeps_the_place_and_leaves_nothing_behind(start_sandbox, start_kernel):
    sandbox = start_sandbox("--latency-s", "2")
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb")
    message_id = kernel.start("%%runware -s 512x256 -n 2\na ship")
    kernel.reply(message_id)
    found = kernel.outputs(message_id)
    first = next(message for message in found if message["msg_type"] == "display_data")["content"]["data"]["text/html"]
    last = [message for message in found if message["msg_type"] == "update_display_data"][-1]["content"]["data"][
        "text/html"
    ]
    assert "<progress" in first
    assert "aspect-ratio:512/256" in first
    assert "<progress" not in last
    assert last.count("<img ") == 2


def test_results_are_readable_without_a_kernel(tmp_path):
    book, path = execute(FIVE[:3], tmp_path)
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(book)
    assert page.count('alt="a small airship over a forest"') == 4
    assert json.loads(path.read_text())["nbformat"] == 4


def test_the_kernel_completes_as_the_front_end_asks(sandbox, start_kernel):
    """No extension of the front end is needed: it asks the kernel, and gets whole words for what was typed."""
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb\n%runware alias draft flux-schnell")
    kernel.run("%%runware -s 128x128 --seed 4242 --tag study -o ships -q\na ship")
    cases = {
        "%%runware -m runware:10": "runware:101@1", "%%runware -m dr": "draft", "%%runware --seed 42": "4242",
        "%%runware --from sh": "ships", "%runware sho": "show", "%runware log --tag st": "study",
    }  # fmt: skip
    for line, wanted in cases.items():
        asked = kernel.client.complete(line, len(line))
        answer = kernel.reply(asked)
        assert wanted in answer["matches"], (line, answer["matches"][:5])
        completed = line[: answer["cursor_start"]] + wanted
        assert completed.endswith(f" {wanted}"), "nothing is doubled"
        assert completed.startswith(line[: line.rindex(" ")])


def test_in_a_plain_terminal_there_is_only_text(tmp_path, sandbox):
    typed = (
        '%load_ext runware_nb\n%runware text-to-image "a small airship" -s 128x128 --seed 7\n'
        "%runware gallery\n%runware form\n_rw[0].seed\nexit\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"], input=typed, text=True,
        capture_output=True, timeout=60, cwd=tmp_path, env={**os.environ, **sandbox.environment},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "1 image · $0.00" in said
    assert "a small airship" in said
    assert "a form needs a notebook" in said
    assert "1 of 1" in said, "the gallery is a table"
    assert "<div" not in said
    assert "<progress" not in said
    assert "Traceback" not in said


def test_help_and_missing_prompts_in_a_kernel(start_kernel, sandbox):
    """A cell magic without a body is refused by IPython itself, unless the extension gives it one."""
    kernel = start_kernel(sandbox)
    kernel.run("%load_ext runware_nb")
    for cell, words in {
        "%%runware -h": "--number-results", "%%runware --help\n\n": "--number-results", "%%runware -h\na ship": "--number-results",
        "%runware -h": "text-to-image", "%runware text-to-image -h": "--prompt",
    }.items():  # fmt: skip
        assert words in kernel.run(cell), cell
    message_id = kernel.start("%runware?")
    (page,) = kernel.reply(message_id)["payload"]
    assert "%%runware -h" in page["data"]["text/plain"]
    kernel.outputs(message_id)
    for cell in ("%%runware", "%%runware -s 256x256", "%%runware\n  \n"):
        message_id = kernel.start(cell)
        assert kernel.reply(message_id)["ename"] == "MagicUsageError", cell
        (error,) = [one["content"] for one in kernel.outputs(message_id) if one["msg_type"] == "error"]
        assert "\n".join(error["traceback"]) == (
            "MagicUsageError: the prompt is empty: write what to draw below the %%runware line. Nothing was sent."
        )
    assert sandbox.charges() == []
