"""A second service beside Runware in one sandbox process, over real sockets."""

import ast
import http.client
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import runware_nb.sandbox
from runware_nb.sandbox.core.clock import Clock
from runware_nb.sandbox.core.service import Options
from tests.echo_service import PRICE_CREDITS, EchoService

SANDBOX = Path(runware_nb.sandbox.__file__).parent
REPO = Path(__file__).parents[2]


def call(url, body=None, **headers):
    payload = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, payload, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class TwoServices:
    def __init__(self, info):
        self.info = info
        self.echo_url = info["echo_url"]
        self.key = info["api_key"]

    def control(self, url, path, body=None):
        status, response = call(f"{url}/_sandbox/{path}", body, Authorization=f"Bearer {self.key}")
        assert status == 200, response
        return json.loads(response)

    def echo(self, body, key=None):
        return call(f"{self.echo_url}/run", body, **{"X-Echo-Key": key or self.key})


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.echo_service", "--watch-stdin", "--state-dir", str(tmp_path_factory.mktemp("two"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO,
    )  # fmt: skip
    yield TwoServices(json.loads(process.stdout.readline()))
    process.stdin.close()
    process.wait(timeout=20)
    process.stdout.close()


@pytest.fixture
def two(process):
    for url in (process.echo_url, process.info["rest_url"]):
        process.control(url, "reset", b"")
    return process


def test_a_second_service_chooses_ids_and_charges_credits(two):
    """Each submission is a task of its own, and its charge has the service's id and unit."""
    first, second = (json.loads(two.echo({"a": 1})[1])["data"] for _ in range(2))
    assert (first["task_id"], second["task_id"]) == ("task_1", "task_2")
    assert json.loads(call(first["url"])[1]) == {"a": 1}
    ledger = two.control(two.echo_url, "ledger")
    assert ledger["total"] == {"amount": 2 * PRICE_CREDITS, "unit": "credits"}
    assert [(row["task_id"], row["amount"], row["unit"]) for row in ledger["charges"]] == [
        ("task_1", PRICE_CREDITS, "credits"), ("task_2", PRICE_CREDITS, "credits"),
    ]  # fmt: skip
    assert len({row["request_hash"] for row in ledger["charges"]}) == 1


def test_services_of_one_process_share_no_account_and_no_faults(two):
    """A charge or a fault of one service does not appear at the other, and a reset clears one only."""
    runware_url = two.info["rest_url"]
    task = {"taskType": "imageInference", "taskUUID": "8e4b0f6e-0000-4000-8000-000000000001",
            "model": "runware:101@1", "positivePrompt": "a ship", "width": 128, "height": 128}  # fmt: skip
    headers = {"Authorization": f"Bearer {two.key}", "Content-Type": "application/json"}
    two.control(two.echo_url, "faults", {"kind": "refuse", "status": 429})
    assert call(runware_url, [task], **headers)[0] == 200
    assert two.echo({})[0] == 429
    assert two.control(two.echo_url, "ledger")["charges"] == []
    assert two.echo({})[0] == 200
    (charge,) = two.control(runware_url, "ledger")["charges"]
    assert (charge["task_id"], charge["unit"]) == (task["taskUUID"], "USD")
    assert (charge["task_uuid"], charge["cost_usd"]) == (charge["task_id"], charge["amount"])  # earlier names
    two.control(two.echo_url, "reset", b"")
    assert two.control(two.echo_url, "ledger")["charges"] == []
    assert len(two.control(runware_url, "ledger")["charges"]) == 1


@pytest.mark.parametrize("kind", ["expire", "truncate", "drop"])
def test_faults_of_files_come_from_core(two, kind):
    two.control(two.echo_url, "faults", {"kind": kind})
    url = json.loads(two.echo({"text": "x" * 100})[1])["data"]["url"]
    if kind == "drop":
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            call(url)
        return
    status, body = call(url)
    assert (status == 404) if kind == "expire" else (status == 200 and len(body) < 100)


def test_each_service_has_its_own_keys_faults_and_switches(two):
    """A wrong key is refused in the service's own words, and the other service's faults and switches are unknown."""
    assert json.loads(two.echo({}, key="other")[1])["code"] == 40101
    for path, body in [("faults", {"kind": "odd"}), ("behaviour", {"unknown_task": "error"})]:
        status, response = call(f"{two.echo_url}/_sandbox/{path}", body, Authorization=f"Bearer {two.key}")
        assert (status, b"unknown" in response) == (400, True)
    assert call(f"{two.echo_url}/_sandbox/ledger")[0] == 401


def test_the_ready_line_has_the_urls_of_all_services(two):
    assert two.info["echo_url"].startswith("http://127.0.0.1:")
    assert two.info["rest_url"].endswith("/v1")


def test_options_hide_the_key():
    options = Options(api_key="secret", clock=Clock())
    assert "secret" not in repr(options)
    assert EchoService(options).account.balance == options.balance


def test_core_imports_no_service():
    """`core` imports from itself only, and a service from itself and `core`."""
    wrong = []
    for path in SANDBOX.rglob("*.py"):
        package = path.relative_to(SANDBOX).parts[:-1]
        if not package:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                wrong += [f"{path.name} imports {name}" for name in names if name.startswith("runware_nb")]
                continue
            base = package[: len(package) - node.level + 1]
            targets = [(*base, *(node.module or alias.name).split(".")) for alias in node.names]
            wrong += [
                f"{path.relative_to(SANDBOX)} imports {'.'.join(target)}"
                for target in targets if target[0] not in {package[0], "core"}
            ]  # fmt: skip
    assert wrong == []
