"""Callbacks of services: one receiver for all of them, and the board that wakes what waits for a task.

A callback never carries a result into the log. It wakes the poll that waits for its task, and that poll reads the task
from the service. So a callback that is lost, late, forged or repeated costs one read, or a wait of the slow poll that
always goes on beside it, and never changes what is recorded or paid.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from ..core.redaction import redact_text
from ..errors import ConfigError, RunwareNBError
from ..forking import make_lock, restart_after_fork
from ..loop import background_loop, wait
from ..printable import printable
from ..reprs import short_repr, shortened

if TYPE_CHECKING:
    from ..net.server import HttpServer, ReceivedRequest

__all__ = ["CallbackBoard", "CallbackRefused", "CallbackReport", "Receiver", "Route", "Sleeper", "VerifiedCallback"]

_LOOK_S = 1.0
_DAY_S = 86_400.0
_SWEEP_S = 600.0
_MOST_REMEMBERED = 10_000
_MOST_FILES = 1_000
"""In the folder of the board. More are written by nobody but a sender of forged callbacks."""
_MOST_REPORTS = 1_000


class CallbackRefused(RunwareNBError):
    """A callback cannot be trusted, or cannot be understood. It wakes nothing.

    Attributes:
        status: The HTTP status that its sender gets; it gets nothing else.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@short_repr()
@dataclass(frozen=True, slots=True)
class VerifiedCallback:
    """A callback that its service sent, as far as the service's means can show that.

    Attributes:
        event_id: What happened. A callback with the same event and task is a repetition.
        task_ids: The service's ids of the tasks that it is about. If there are none, it is acknowledged and ignored.
    """

    event_id: str
    task_ids: tuple[str, ...] = ()


Headers = list[tuple[str, str]]


@short_repr("service", "is_signed")
@dataclass(frozen=True, slots=True)
class Route:
    """Where the callbacks of one service arrive, and how they are verified.

    Attributes:
        service: Name of the provider's package, such as `runkey`. Its waits on the board use the same name.
        path: Path of the URL, such as `/runkey`. For a service that does not sign its callbacks, it contains a part
            that cannot be guessed.
        verify: Returns what a callback is about, from its headers and the bytes of its body. It raises
            `CallbackRefused`. It runs on the event loop and must not block.
        is_signed: Whether the service signs its callbacks.
        shorten: Shortens an id of a task for display.
    """

    service: str
    path: str
    verify: Callable[[Headers, bytes], VerifiedCallback]
    is_signed: bool = True
    shorten: Callable[[str], str] = str


class Sleeper(Protocol):
    """A clock that can wait for seconds of the service, such as `net.clock.Clock`."""

    async def sleep(self, seconds: float, /) -> None:
        """Wait."""


class _RealTime:
    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


@dataclass(eq=False, slots=True)
class _Waiter:
    """One wait, on one event loop."""

    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class CallbackBoard:
    """Wakes what waits for a task: in this process by events, in others that share the folder by small empty files.

    A callback may arrive before its task is waited for, such as between the response to the submission and the first
    poll. It is remembered until a wait takes it.

    Args:
        folder: Returns the folder of the files, which is created when the first one is written. None for a board of
            this process alone.
    """

    def __init__(self, folder: Callable[[], Path] | None = None) -> None:
        self._folder = folder
        self._lock = make_lock()
        self._waiters: dict[str, set[_Waiter]] = {}
        self._posted: OrderedDict[str, None] = OrderedDict()
        self._received: set[str] = set()
        self._next_sweep = self._next_count = 0.0
        self._room = 0
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Forget the waits of the parent: their event loops do not run here."""
        self._waiters, self._posted = {}, OrderedDict()

    def post(self, service: str, task_id: str) -> None:
        """Wake what waits for a task. It may be called from any thread, and never raises for want of a disk."""
        name = _name_of(service, task_id)
        with self._lock:
            self._received.add(service)
            waiters = list(self._waiters.get(name, ()))
            if not waiters:
                self._posted[name] = None
                while len(self._posted) > _MOST_REMEMBERED:
                    self._posted.popitem(last=False)
        for waiter in waiters:
            with contextlib.suppress(RuntimeError):  # its loop was closed, and nothing waits there any more
                waiter.loop.call_soon_threadsafe(waiter.woken.set)
        if waiters or self._folder is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write(name)
        else:
            loop.run_in_executor(None, self._write, name)  # a slow disk must not hold up other callbacks

    async def wait(self, service: str, task_id: str, seconds: float, clock: Sleeper | None = None) -> bool:
        """Wait until a callback about a task arrives, or until the time is over.

        Args:
            service: Name of the provider's package.
            task_id: The service's id of the task.
            seconds: Longest wait, in seconds of the clock.
            clock: What waits; real seconds by default.

        Returns:
            Whether a callback arrived. Whatever it says, the task has to be read from the service.
        """
        has_arrived = await self._wait(_name_of(service, task_id), seconds, clock)
        if has_arrived:  # perhaps at another process, which posts it by a file
            with self._lock:
                self._received.add(service)
        return has_arrived

    def has_received(self, service: str) -> bool:
        """Return whether any callback of a service has arrived, so that more can be expected."""
        with self._lock:
            return service in self._received

    async def _wait(self, name: str, seconds: float, clock: Sleeper | None) -> bool:
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            self._waiters.setdefault(name, set()).add(waiter)
        sleeping = asyncio.ensure_future((clock or _RealTime()).sleep(seconds))
        woken = asyncio.ensure_future(waiter.woken.wait())
        try:
            # First the waiter is registered, then what was posted before is looked at: nothing falls between the two.
            while not self._take(name):
                done, _ = await asyncio.wait({sleeping, woken}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if woken in done:
                    return True
                if sleeping in done:
                    sleeping.result()  # raises if the clock failed
                    return self._take(name)
            return True
        finally:
            sleeping.cancel()
            woken.cancel()
            with self._lock:
                self._waiters[name].discard(waiter)
                if not self._waiters[name]:
                    del self._waiters[name]

    def _take(self, name: str) -> bool:
        """Return whether a callback has been posted before, here or by another process, and forget it."""
        with self._lock:
            is_here = name in self._posted
            self._posted.pop(name, None)
        folder = None if self._folder is None else self._folder()
        if folder is None:
            return is_here
        try:
            (folder / name).unlink()  # one call both looks and takes, so that of two processes one is woken
        except OSError:  # most often there is no such file, and no such folder
            return is_here
        return True

    def _write(self, name: str) -> None:
        """Write the file for another process. The name is all that it contains, so that it is never half written.

        If the folder is full, none is written: the slow poll of the other process finds the task.
        """
        folder = None if self._folder is None else self._folder()
        if folder is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if time.monotonic() >= self._next_sweep:
                self._next_sweep = time.monotonic() + _SWEEP_S
                _sweep(folder)
            if not self._has_room(folder):
                return
            # Under the lock, so that a wait of this process either has taken it already, and no file is written, or
            # takes the file as well: else a callback would wake two waits.
            with self._lock:
                if name in self._posted:
                    (folder / name).touch(mode=0o600)

    def _has_room(self, folder: Path) -> bool:
        """Return whether another file may be written. The files are counted rarely: others take and write some too."""
        if self._room <= 0 and time.monotonic() >= self._next_count:
            self._next_count = time.monotonic() + _LOOK_S
            self._room = _MOST_FILES - sum(1 for _ in folder.iterdir())
        self._room -= 1
        return self._room >= 0


def _name_of(service: str, task_id: str) -> str:
    """Return the name of a file for an id of any length and alphabet, also one with a lone surrogate."""
    return hashlib.sha256(f"{service}\0{task_id}".encode("utf-8", "surrogatepass")).hexdigest()


def _sweep(folder: Path) -> None:
    """Remove what has not been taken for a day. Only files with names of ours are removed."""
    oldest = time.time() - _DAY_S
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if len(path.name) == 64 and path.stat().st_mtime < oldest:
                path.unlink()


@short_repr()
@dataclass(frozen=True, slots=True)
class CallbackReport:
    """What became of one callback.

    Attributes:
        service: Name of the provider's package.
        outcome: `verified`: passed on; `duplicate`: it had come before; `ignored`: verified, and about no task;
            `refused`; or `failed`: an error of this package.
        status: The HTTP status that its sender got.
        event: What happened; empty if it was refused.
        task_ids: The tasks that it was about.
        reason: Why it was refused.
        at: When, in seconds since 1970.
        shorten: Shortens an id for display.
    """

    service: str
    outcome: Literal["verified", "duplicate", "ignored", "refused", "failed"]
    status: int
    event: str = ""
    task_ids: tuple[str, ...] = ()
    reason: str = ""
    at: float = 0.0
    shorten: Callable[[str], str] = field(default=str, repr=False, compare=False)

    @property
    def line(self) -> str:
        """The report in one line of plain text, without secrets."""
        moment = time.strftime("%H:%M:%S", time.localtime(self.at))
        what = self.reason or f"{shortened(self.event)}{' of ' if self.task_ids else ''}{shortened(self._tasks)}"
        return printable(redact_text(f"{moment} {self.service}: {self.outcome}: {what}").replace("\n", " "))

    @property
    def shown_ids(self) -> tuple[str, ...]:
        """The ids of its tasks for display: those of some services contain an e-mail, and outputs are shared."""
        return tuple(self.shorten(task_id) for task_id in self.task_ids)

    @property
    def _tasks(self) -> str:
        return ", ".join(self.shown_ids)


class Receiver:
    """A server for the callbacks of one or several services. What it verifies is posted to the board.

    It runs on an event loop: `async with Receiver(...)`, or `start` and `aclose`. `with Receiver(...)` and `open` and
    `close` run it on the background loop instead.

    Args:
        routes: One for each service.
        board: Where verified callbacks are posted; None to post them nowhere.
        host: Address to listen on. The default is reached from this machine only, such as by a tunnel.
        port: Port to listen on; 0 for a free one.
        public_url: URL under which the services reach this receiver through a tunnel or a reverse proxy.
        on_report: Called for each callback on the event loop, and must not block.

    Raises:
        ConfigError: There is no route, two have the same path, or a path or URL is invalid.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        board: CallbackBoard | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str | None = None,
        on_report: Callable[[CallbackReport], None] | None = None,
    ) -> None:
        from ..net.server import HttpServer  # loads h11, which a session without a receiver does not need

        self._routes = {route.path: route for route in routes}
        if not routes or len(self._routes) != len(routes):
            raise ConfigError("A receiver of callbacks needs at least one service, and a path of its own for each.")
        for path in self._routes:
            if not path.startswith("/") or "?" in path or not path.isascii() or not path.isprintable() or " " in path:
                raise ConfigError("Invalid path of a route: expected a slash and printable ASCII characters.")
        self._public_url = None if public_url is None else _checked(public_url)
        self._board = board
        self._host = host
        self._on_report = on_report
        self._passed_on: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._reports: deque[CallbackReport] = deque(maxlen=_MOST_REPORTS)
        self.counts: dict[str, int] = {}
        self._server: HttpServer = HttpServer(self._respond, self._routes, host=host, port=port)

    @property
    def port(self) -> int:
        """The port in use."""
        return self._server.port

    @property
    def is_running(self) -> bool:
        """Whether it accepts callbacks."""
        return self._server.is_running

    @property
    def is_public(self) -> bool:
        """Whether the URL under which services reach it was set."""
        return self._public_url is not None

    @property
    def local_url(self) -> str:
        """The URL on this machine, without a path."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - read only
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def services(self) -> tuple[str, ...]:
        """The services whose callbacks it accepts."""
        return tuple(route.service for route in self._routes.values())

    @property
    def reports(self) -> tuple[CallbackReport, ...]:
        """What became of the newest callbacks, oldest first."""
        return tuple(self._reports)

    @property
    def url(self) -> str:
        """The URL that the first service must be given, for a receiver of one service."""
        return self.url_of(self.services[0])

    def url_of(self, service: str) -> str:
        """Return the URL that a service must be given, under the public URL if it was set.

        Raises:
            KeyError: It has no route for this service.
        """
        for path, route in self._routes.items():
            if route.service == service:
                return (self._public_url or self.local_url) + path
        raise KeyError(service)

    async def start(self) -> None:
        """Accept callbacks on the running event loop.

        Raises:
            ConfigError: The port cannot be used.
        """
        await self._server.start()

    async def aclose(self) -> None:
        """Stop. Callbacks that arrive later are refused by the network; polls go on."""
        await self._server.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def open(self) -> Self:
        """Accept callbacks on the background loop, and return the receiver.

        Raises:
            ConfigError: The port cannot be used.
        """
        wait(background_loop().submit(self.start()))
        return self

    def close(self) -> None:
        """Stop what `open` started."""
        if self.is_running:
            wait(background_loop().submit(self.aclose()), timeout_s=5.0)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _respond(self, request: ReceivedRequest) -> int:
        route = self._routes[request.path]
        try:
            report = self._passed(route, route.verify(request.headers, request.body))
        except CallbackRefused as refused:
            report = CallbackReport(route.service, "refused", refused.status, reason=refused.problem, at=time.time())
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the receiver, and may quote the body
            report = CallbackReport(route.service, "failed", 500, reason=type(error).__name__, at=time.time())
        self.counts[report.outcome] = self.counts.get(report.outcome, 0) + 1
        self._reports.append(report)
        if self._on_report is not None:
            self._on_report(report)
        return report.status

    def _passed(self, route: Route, callback: VerifiedCallback) -> CallbackReport:
        """Post a verified callback, unless all that it says has been posted before."""
        new = [
            task_id
            for task_id in dict.fromkeys(callback.task_ids)
            if (route.service, callback.event_id, task_id) not in self._passed_on
        ]
        for task_id in new:
            self._passed_on[route.service, callback.event_id, task_id] = None
            if self._board is not None:
                self._board.post(route.service, task_id)
        while len(self._passed_on) > _MOST_REMEMBERED:
            self._passed_on.popitem(last=False)
        # A repetition gets the status of the first: the service did its part, and sends it again otherwise.
        outcome: Literal["verified", "duplicate", "ignored"] = (
            "verified" if new else "duplicate" if callback.task_ids else "ignored"
        )
        return CallbackReport(
            route.service, outcome, 204, callback.event_id, tuple(new) or callback.task_ids, at=time.time(),
            shorten=route.shorten,
        )  # fmt: skip


def _checked(url: str) -> str:
    """Return a public URL without its last slash.

    Raises:
        ConfigError: It is not an http or https URL with a host, or contains what does not belong there.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        is_valid = is_valid and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        is_valid = False
    if not is_valid or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            "Invalid public URL: expected http:// or https:// and a host, without a user, a password, a query and a "
            "fragment. It is the URL under which services reach the receiver."
        )
    return url.rstrip("/")
