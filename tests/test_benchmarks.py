"""The benchmarks run: each measure once, with nothing said about its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).resolve().parent.parent / "benchmarks" / "worker.py"


@pytest.mark.timeout(540)
def test_the_memory_is_measured_on_both_databases(postgres):
    script = WORKER.parent / "memory.py"
    command = [sys.executable, str(script), "--runs", "500", "--tries", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    for name in ("log --search (a rare word)", "cost --by tag", "recorded answer", "append: finish", "four kernels"):
        assert done.stdout.count(name) >= 2


@pytest.mark.parametrize(
    ("measure", "who", "figure"),
    [
        ("crowd", "ours", "wall_s"), ("crowd", "sdk-sync", "wall_s"), ("latency", "ours-log", "times_s"),
        ("latency", "ours", "times_s"), ("stop", "ours", "times_ms"), ("write", "ours", "times_ms"),
        ("extension", "ours", "load_ms"),
    ],
)  # fmt: skip
def test_each_measure_gives_its_figure(start_sandbox, tmp_path, measure, who, figure):
    sandbox = start_sandbox("--latency-s", "1.0" if measure == "stop" else "0.05")
    request = json.dumps({"measure": measure, "who": who, "info": sandbox.info})
    done = subprocess.run([sys.executable, str(WORKER), request], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])[figure]


def test_the_path_of_a_cell_through_the_code_is_counted():
    """The count covers both ends of the path: the magic in the main thread and the socket in the background thread."""
    script = WORKER.parent / "call_path.py"
    done = subprocess.run([sys.executable, str(script), "--list"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    counts = json.loads(done.stdout.splitlines()[-1])
    assert 20 < counts["files"] < counts["functions"]
    assert "RunwareMagics.runware" in done.stdout
    assert "WebSocketTransport.send" in done.stdout
