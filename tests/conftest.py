"""Every test has its own folder, a clean environment, and real sockets to a real sandbox."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings

# Machines differ: how long an example takes is no part of any property.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
REPO = Path(__file__).resolve().parent.parent
STARTUP = str(REPO / "tests" / "startup")
if STARTUP not in os.environ.get("PYTHONPATH", "").split(os.pathsep):  # for every process that a test starts
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [STARTUP, os.environ.get("PYTHONPATH")]))
TASK = {
    "taskType": "imageInference",
    "model": "runware:101@1",
    "positivePrompt": "a small airship over a forest",
    "width": 256,
    "height": 256,
}


class SandboxProcess:
    """A sandbox in its own process.

    Attributes:
        defaults: Arguments before those that are given. Tasks take no time, because tests should not.
    """

    defaults: ClassVar[tuple[str, ...]] = ("--latency-s", "0")

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runware_nb.sandbox", "--watch-stdin", *self.defaults, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.info: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.api_key: str = self.info["api_key"]
        self.rest_url: str = self.info["rest_url"]
        self.ws_url: str = self.info["ws_url"]

    @property
    def urls(self) -> dict[str, str]:
        return {"rest_url": self.rest_url, "ws_url": self.ws_url}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "RUNWARE_API_KEY": self.api_key,
            "RUNWARE_NB_REST_URL": self.rest_url,
            "RUNWARE_NB_WS_URL": self.ws_url,
            "RUNWARE_NB_SCHEMAS_URL": self.info["schemas_url"],
        }

    @property
    def environment_of_all_services(self) -> dict[str, str]:
        """The variables that point a process at all services of the sandbox, and not at Runware's alone."""
        return {
            **self.environment,
            "RUNKEY_API_KEY": self.info["runkey_api_key"],
            "RUNWARE_NB_RUNKEY_URL": self.info["runkey_url"],
            "USEAPI_TOKEN": self.info["useapi_token"],
            "RUNWARE_NB_USEAPI_URL": self.info["useapi_url"],
        }

    def control(self, path: str, body: Any = None, *, post: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        payload = json.dumps(body).encode() if body is not None else b"" if post else None
        request = urllib.request.Request(f"{self.rest_url}/_sandbox/{path}", payload, headers)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def faults(self, *script: dict[str, Any]) -> None:
        self.control("faults", list(script), post=True)

    def ledger(self) -> dict[str, Any]:
        return self.control("ledger")

    def requests(self) -> list[dict[str, Any]]:
        """The tasks that the sandbox has accepted, as they were sent, oldest first."""
        return self.control("accepted")["accepted"]

    def uploads(self) -> list[dict[str, Any]]:
        """The uploaded media, each with `uuid`, `url` and `sha256`, oldest first."""
        return self.control("uploads")["uploads"]

    def charges(self) -> list[dict[str, Any]]:
        return self.ledger()["charges"]

    def reset(self) -> None:
        self.control("reset", post=True)

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def _shared_sandbox() -> Iterator[SandboxProcess]:
    process = SandboxProcess()
    yield process
    process.close()


@pytest.fixture
def sandbox(_shared_sandbox: SandboxProcess) -> SandboxProcess:
    """The worker's sandbox, empty and without faults."""
    _shared_sandbox.reset()
    return _shared_sandbox


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., SandboxProcess]]:
    """Starts sandboxes with options; they end with the test."""
    started: list[SandboxProcess] = []

    def start(*arguments: str) -> SandboxProcess:
        started.append(SandboxProcess(*arguments))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """The worker's PostgreSQL; missing, it is a failure and never a skip."""
    from .postgres import Postgres

    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def log_url(request: pytest.FixtureRequest) -> str | None:
    """Both kinds of log: None is the file in the home folder."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no address, no notebook of whoever runs the tests; a folder of its own to work in."""
    from runware_nb.core.redaction import known_secrets

    # A secret is known as long as the process lives. What one test used as a key may be a prompt of the next.
    monkeypatch.setattr(known_secrets, "_secrets", known_secrets._secrets)

    for name in list(os.environ):
        if name.startswith(("RUNWARE_", "RUNKEY_", "USEAPI_", "JPY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def polls_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asks for a film, a solid or a training after 0.2 s, not after 10 or 30: the sandbox has them at once."""
    monkeypatch.setattr("runware_nb.providers.runware.fate.first_poll_s", lambda operation: 0.2)


@pytest.fixture
def make_session(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes sessions on a sandbox, with a home of the test's own."""
    from runware_nb.session import Session
    from runware_nb.settings import Key, Settings

    made: list[Session] = []

    def make(
        sandbox: SandboxProcess,
        *,
        fetches_media: bool = True,
        front_end: Any = None,
        packages: Any = None,
        **values: Any,
    ) -> Session:
        settings = Settings(
            **{"api_key": Key(sandbox.api_key, "the test"), "home": tmp_path / ".runware", **sandbox.urls, **values}
        )
        made.append(Session(settings, fetches_media=fetches_media, front_end=front_end, packages=packages))
        return made[-1]

    yield make
    for session in made:
        # what still runs would reach the sandbox in the middle of the next test
        concurrent.futures.wait([job.future for job in list(session.jobs)], timeout=10)
        session.close()


@pytest.fixture
def front_end() -> Any:
    """A front end whose user and whose cell the test plays."""
    from .fake_front_end import FakeFrontEnd

    return FakeFrontEnd()


@pytest.fixture
def run_async() -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine to its end, with a bound."""

    def run(work: Awaitable[Any], timeout_s: float = 60) -> Any:
        async def bounded() -> Any:
            return await asyncio.wait_for(work, timeout_s)

        return asyncio.run(bounded())

    return run
