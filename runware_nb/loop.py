"""The one background event loop, and the one way to wait for it from a cell.

A task on the kernel's own loop stands still while a cell computes; a thread with a loop of its own does not
(jupyter.md section 1). Nobody else starts a loop or a waiting thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import select
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

from .errors import TransportTimeout
from .forking import disconnect, make_lock, pause_before_fork, restart_after_fork
from .interrupts import interrupts, is_in_task
from .printable import printable

__all__ = [
    "BackgroundLoop",
    "WaitCancelled",
    "WaitInterrupted",
    "background_loop",
    "is_awaited",
    "take_stop_sentence",
    "wait",
    "wait_async",
]

T = TypeVar("T")
TICK_S = 0.05
"""Stop is noticed within this time, well below the 0.25 s that were promised."""


class _OneLine:
    """An exception that a notebook shows as its one line, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [printable(str(self))]


class WaitInterrupted(_OneLine, KeyboardInterrupt):
    """Stop ended a wait in a sync cell; Run All stops, the task goes on."""


class WaitCancelled(_OneLine, asyncio.CancelledError):
    """Stop ended an `await`; a KeyboardInterrupt there could end the kernel."""


class BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        if sys.platform == "win32":
            self._loop = asyncio.new_event_loop()
        else:
            # with a selector of its own, a forked child knows which sockets belong to the parent
            self._selector = selectors.DefaultSelector()
            self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._run, name="runware loop", daemon=True)
        self._thread.start()
        self._resumed = threading.Event()
        pause_before_fork(self)
        restart_after_fork(self)

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on the loop, from any thread."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def is_current(self) -> bool:
        """Return whether the caller runs on the loop's own thread, where waiting would never end."""
        return threading.current_thread() is self._thread

    def pause(self, timeout_s: float) -> None:
        """Hold the loop between two callbacks, where it has no lock and no half-written frame, until `resume`."""
        if self.is_current() or self._loop.is_closed():
            return
        resumed, paused = threading.Event(), threading.Event()
        self._resumed = resumed

        def hold() -> None:
            paused.set()
            resumed.wait()

        self.call(hold)
        paused.wait(timeout_s)

    def resume(self) -> None:
        """Let the loop go on."""
        self._resumed.set()

    def restart_in_child(self) -> None:
        """Leave the loop to the parent: its thread does not run here, and its sockets are the parent's."""
        global _current  # noqa: PLW0603 - one per process is the point
        if self._selector is not None:
            watched = [key.fd for key in self._selector.get_map().values()]
            epoll = getattr(self._selector, "fileno", None)  # shared with the parent, unlike a kqueue
            descriptors = [*watched, epoll()] if epoll is not None and hasattr(select, "epoll") else watched
            self._loop.set_exception_handler(lambda _loop, _context: None)
            disconnect(descriptors, self, asyncio.all_tasks(self._loop))
        if _current is self:
            _current = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


_current: BackgroundLoop | None = None
_making = make_lock()


def background_loop() -> BackgroundLoop:
    """Return the process's loop: started on first use, and again on first use after a fork."""
    global _current  # noqa: PLW0603 - one per process is the point
    with _making:
        if _current is None:
            _current = BackgroundLoop()
        return _current


def wait(
    future: concurrent.futures.Future[T],
    *,
    timeout_s: float | None = None,
    on_tick: Callable[[], None] | None = None,
) -> T:
    """Wait in a sync cell; Stop ends it within a tick.

    Args:
        future: What to wait for.
        timeout_s: Longest wait, in seconds.
        on_tick: Called at every tick, for progress.

    Raises:
        TransportTimeout: The time is over; the work goes on.
        WaitInterrupted: Stop was pressed; the work goes on.
        WaitCancelled: The same, called by a cell with `await`.
        RuntimeError: Called on the background loop itself.
    """
    if background_loop().is_current():
        raise RuntimeError("waiting on the background loop for itself; use `await`")
    try:
        with interrupts:
            return _wait(future, timeout_s, on_tick)
    except WaitInterrupted:
        raise
    except KeyboardInterrupt:
        raise WaitInterrupted("Stopped waiting") from None


def _wait(future: concurrent.futures.Future[T], timeout_s: float | None, on_tick: Callable[[], None] | None) -> T:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    stops = interrupts.count
    while True:
        # A timeout of the wait and one raised by the work are the same class: only done() tells them apart.
        left = TICK_S if deadline is None else min(TICK_S, max(0.0, deadline - time.monotonic()))
        concurrent.futures.wait([future], timeout=left)
        if future.done():
            return future.result()
        if interrupts.count != stops and is_in_task():
            raise WaitCancelled("Stopped waiting")
        if deadline is not None and time.monotonic() >= deadline:
            raise TransportTimeout(f"not finished after {timeout_s:g} s")
        if on_tick is not None:
            on_tick()


def wait_async(
    future: concurrent.futures.Future[T], *, on_cancelled: Callable[[bool], str] | None = None
) -> Generator[Any, None, T]:
    """Wait in an `await` cell, for use in `__await__`.

    An idle kernel loop does not notice Stop until something wakes it, so this ticks.

    Args:
        future: What to wait for.
        on_cancelled: Called if the wait is cancelled, with whether Stop did it; returns the sentence that is shown.

    Raises:
        WaitCancelled: Stop was pressed; the work goes on.
        asyncio.CancelledError: Something else cancelled the wait, such as `asyncio.timeout`. On Python 3.11 and 3.12
            that turns this very class, and no subclass of it, into TimeoutError.
    """

    async def ticking() -> T:
        mine = asyncio.wrap_future(future)
        mine.add_done_callback(_retrieve)
        with interrupts, _awaits:
            stops = interrupts.count
            try:
                while not mine.done():
                    await asyncio.wait([mine], timeout=2 * TICK_S)
            except asyncio.CancelledError:
                # wrap_future would cancel the work with us; let go of it instead
                mine.remove_done_callback(_retrieve)
                is_stop = interrupts.count != stops
                sentence = "Stopped waiting" if on_cancelled is None else on_cancelled(is_stop)
                _sentences[:] = [sentence]
                if not is_stop:
                    raise
                raise WaitCancelled(sentence) from None
        return mine.result()

    return ticking().__await__()


class _Awaits:
    """The number of `await`s of runs that are waiting at this moment."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.count -= 1


_awaits = _Awaits()
_sentences: list[str] = []
"""What was said of the last run whose `await` was cancelled: an exception of asyncio's own cannot carry it."""


def take_stop_sentence() -> str | None:
    """Return the sentence about the last run whose `await` was cancelled, once; None if there was none."""
    sentence = _sentences[-1] if _sentences else None
    _sentences.clear()
    return sentence


def is_awaited() -> bool:
    """Return whether an `await` of a run is waiting: `asyncio.shield` and `asyncio.wait` leave it when a cell ends."""
    return _awaits.count > 0


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark an error as seen: whoever awaits gets it, and asyncio must not report it again."""
    if not future.cancelled():
        future.exception()
