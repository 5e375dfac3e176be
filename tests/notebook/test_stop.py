"""Stop ends any cell within a moment, in one line, at any point of it; and the next cell works."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from .test_kernels import Kernel, pytestmark  # noqa: F401 - the same marks apply

FIRST_SYNC = "%%runware -s 128x128 --seed 1\na ship"
FIRST_AWAIT = "import runware_nb as rw\nawait rw.image('a ship', width=128, height=128, seed=1)"
SLOW = "rw.image('a ship', width=128, height=128, seed={n})"
WAITS = {
    "magic": "%%runware -s 128x128 --seed {n}\na ship",
    "result": SLOW + ".result()",
    "await": "await " + SLOW,
    "gather": f"await asyncio.gather({SLOW}, {SLOW.replace('{n}', '1{n}')})",
    "timeout": f"async with asyncio.timeout(30):\n    await {SLOW}",
    "wait_for": f"await asyncio.wait_for({SLOW}, 30)",
    "shield": f"await asyncio.shield({SLOW})",
    "task": f"await asyncio.create_task({SLOW})",
    "task group": f"async with asyncio.TaskGroup() as group:\n    group.create_task({SLOW})",
    "wait": f"await asyncio.wait([asyncio.ensure_future({SLOW})])",
    "blocking call in an await cell": "import runware_nb as rw\nawait asyncio.sleep(0)\n" + SLOW + ".result()",
}


def stopped(kernel, cell, after_s):
    """Run a cell, press Stop, and return its reply with how long that took."""
    time.sleep(0.2)  # after an error, a kernel aborts what is queued at that moment
    message_id = kernel.start(cell)
    kernel.wait_until_running(message_id)
    time.sleep(after_s)
    pressed = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply = kernel.reply(message_id)
    return reply, time.monotonic() - pressed


@pytest.mark.parametrize("first", [FIRST_SYNC, FIRST_AWAIT], ids=["magic", "await"])
def test_stop_is_one_line_in_a_first_cell_and_in_every_kind_of_wait(start_sandbox, tmp_path, first):
    sandbox = start_sandbox("--latency-s", "6")
    kernel = Kernel(tmp_path, sandbox.environment)
    try:
        kernel.run("%load_ext runware_nb")
        reply, took_s = stopped(kernel, first, 0.02)
        assert reply["status"] == "error"
        assert len(reply["traceback"]) == 1, reply["traceback"]
        assert took_s < 2.0
        kernel.run("import asyncio\nimport runware_nb as rw\nrw.connect()")
        message_id = kernel.start("await asyncio.sleep(30)")
        time.sleep(0.3)
        kernel.manager.interrupt_kernel()
        assert len(kernel.reply(message_id)["traceback"]) > 1, "what is not ours is shown as ever"
        for number, (name, cell) in enumerate(WAITS.items() if first is FIRST_SYNC else (), 10):
            reply, took_s = stopped(kernel, cell.replace("{n}", str(number)), 0.7)
            assert reply["status"] == "error", name
            assert len(reply["traceback"]) == 1, (name, reply["traceback"])
            assert reply["traceback"][0].startswith("Stopped"), (name, reply["traceback"])
            assert took_s < 2.0, name
    finally:
        kernel.close()


PROGRAM = """
import faulthandler, os, signal, sys
from IPython.core.interactiveshell import InteractiveShell

def trial(delay_s):
    faulthandler.dump_traceback_later(20, exit=True)
    shell = InteractiveShell.instance()
    lines = []
    shell._showtraceback = lambda kind, error, stb: lines.append(list(stb))
    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, stop)
    shell.run_cell("pass")
    shell.run_cell("%load_ext runware_nb") if LOADS_FIRST else None
    begin = lambda _: signal.setitimer(signal.ITIMER_REAL, delay_s)
    shell.events.register("pre_run_cell", begin)
    done = shell.run_cell(CELL)
    signal.setitimer(signal.ITIMER_REAL, 0)
    shell.events.unregister("pre_run_cell", begin)
    # what interrupts IPython's own code, before it has called ours, is shown as IPython shows it
    assert len(lines) <= 1 and all(len(stb) == 1 or "runware_nb" + os.sep not in "".join(stb) for stb in lines), lines
    assert lines or done.success
    lines.clear()
    again = shell.run_cell("%reload_ext runware_nb\\nimport runware_nb as rw\\nimage = rw.image('a ship', width=128, height=128, seed=2).result()")
    assert again.success, (delay_s, lines, again.error_in_exec)
    assert shell.run_cell("%%runware -s 128x128 --seed 3 -q\\na ship").success, lines
    return bool(done.success)

finished = []
for delay_ms in DELAYS:
    child = os.fork()
    if child == 0:
        code = 9
        try:
            code = int(trial(delay_ms / 1000))
        except BaseException:
            import traceback
            traceback.print_exc()
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1), (delay_ms, code)
    finished.append(code)
print("stopped", finished.count(0))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork; nothing to enable")
@pytest.mark.parametrize(
    ("cell", "loads_first", "delays"),
    [
        ("%load_ext runware_nb", False, [10, 20, 40, 60]),
        ("%%runware -s 128x128 --seed 1 -q\na ship", True, [1, 5, 20, 60, 120, 200, 300, 450]),
        (
            "import runware_nb as rw\nrw.image('a ship', width=128, height=128, seed=1).result()",
            True,
            [2, 30, 150, 250],
        ),
    ],
    ids=["load", "magic", "python"],
)
def test_an_interrupted_import_breaks_nothing(start_sandbox, tmp_path, cell, loads_first, delays):
    """Stopped at many moments of a cold start, each in a process of its own: one line, and then everything works."""
    sandbox = start_sandbox()
    program = f"CELL = {cell!r}\nLOADS_FIRST = {loads_first}\nDELAYS = {delays}\n" + textwrap.dedent(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, text=True, capture_output=True, timeout=150,
        env={**os.environ, **sandbox.environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "stopped 0" not in done.stdout, "some of them must have been in time"


BATCH = "jobs = [rw.image('a ship', width=128, height=128, seed=seed) for seed in range({start}, {start} + 12)]\n"


def test_stop_of_a_batch_sends_nothing_more_wherever_it_comes(start_sandbox, tmp_path):
    """In the cell's own code, in `result()` and in `await`: four runs were sent, and the other eight never are."""
    sandbox = start_sandbox("--latency-s", "2")
    kernel = Kernel(tmp_path, sandbox.environment)
    try:
        kernel.run("%load_ext runware_nb\nimport time\nimport runware_nb as rw\nrw.connect()")
        ends = {"own code": "time.sleep(30)", "result": "jobs[0].result()", "await": "await jobs[0]"}
        for number, (name, end) in enumerate(ends.items()):
            reply, took_s = stopped(kernel, BATCH.format(start=100 * number) + end, 1.0)
            assert reply["status"] == "error", name
            assert took_s < 2.0, name
            if name != "own code":
                assert "4 runs of this cell were sent" in reply["evalue"], (name, reply["evalue"])
                assert "8 runs were not sent and cost nothing" in reply["evalue"], (name, reply["evalue"])
            kernel.run("while rw.pending(): time.sleep(0.1)")
            assert len(sandbox.charges()) == 4 * (number + 1), name
        said = kernel.run("print(sum(isinstance(job.future.exception(), rw.errors.RunCancelled) for job in jobs))")
        assert "8" in said
    finally:
        kernel.close()
