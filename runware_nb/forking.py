"""The one place that handles `os.fork`: a child process starts again with nothing of the parent's in use.

Before the fork, the background loop and the database pause at a safe point, so that the child cannot inherit a lock
that no thread will release. In the child, every object that registered with `restart_after_fork` starts again: the
threads of the parent do not exist there, and its connections must not be used. `subprocess` does not come through
here; `multiprocessing` with "fork" and `os.forkpty` do.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread  # registers a hook of its own, which must not happen while ours waits
import contextlib
import importlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

__all__ = [
    "Pausable",
    "Releasable",
    "Restartable",
    "Workers",
    "block_fork",
    "disconnect",
    "make_lock",
    "pause_before_fork",
    "release_before_fork",
    "restart_after_fork",
]

_LONGEST_PAUSE_S = 3.0
"""A fork waits at most this long for threads to reach a safe point; a fork that never happens would be worse."""


class Restartable(Protocol):
    """An object that a forked child process must not use as it is."""

    def restart_in_child(self) -> None:
        """Drop what belongs to the parent. Called in the child, where no other thread exists."""


class Pausable(Protocol):
    """An object that a fork must not meet in the middle of its work."""

    def pause(self, timeout_s: float) -> None:
        """Stop at a safe point, or give up after *timeout_s* seconds. Called in the parent before a fork."""

    def resume(self) -> None:
        """Continue. Called after the fork in the parent, not in the child."""


class Releasable(Protocol):
    """An object that holds something which parent and child must not share."""

    def release(self) -> None:
        """Close it; it is opened again on next use. Called in the parent while no thread is in `block_fork`."""


_restartable: weakref.WeakSet[Any] = weakref.WeakSet()
_pausable: weakref.WeakSet[Any] = weakref.WeakSet()
_releasable: weakref.WeakSet[Any] = weakref.WeakSet()
_locks: weakref.WeakSet[Any] = weakref.WeakSet()
_inherited: list[Any] = []
"""What the child must neither use nor collect: a destructor could write to the parent's connections."""


def restart_after_fork(owner: Restartable) -> None:
    """Register an object for as long as it exists: a forked child calls its `restart_in_child`."""
    _restartable.add(owner)


def pause_before_fork(owner: Pausable) -> None:
    """Register an object for as long as it exists: a fork calls its `pause` before and its `resume` after."""
    _pausable.add(owner)


def release_before_fork(owner: Releasable) -> None:
    """Register an object for as long as it exists: a fork calls its `release` before."""
    _releasable.add(owner)


def disconnect(descriptors: Iterable[int], *inherited: object) -> None:
    """Redirect a child's copies of the parent's sockets to the null device, and keep the objects that use them.

    Whatever a destructor writes or deregisters in the child then reaches the null device instead of the service.

    Args:
        descriptors: File descriptors of sockets; closed ones are skipped.
        *inherited: Objects that must not be collected in the child.
    """
    _inherited.extend(inherited)
    descriptors = list(descriptors)
    if not descriptors:
        return
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.fstat(descriptor)
                os.dup2(null, descriptor)
    finally:
        os.close(null)


def make_lock() -> threading.Lock:
    """Return a lock that another thread cannot keep permanently by holding it at the moment of a fork.

    It is a plain lock, not a class around one: Stop could end a method written in Python between the moment when it
    takes the lock and the moment when `with` knows that it has to release it.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


class Workers:
    """A pool of threads that starts again after a fork.

    Args:
        count: Number of threads.
        name: Prefix of their names.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = make_lock()
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        restart_after_fork(self)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> concurrent.futures.Future[Any]:
        """Call a function in one of the threads."""
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(self._count, thread_name_prefix=self._name)
            return self._pool.submit(function, *arguments)

    def restart_in_child(self) -> None:
        """Forget the parent's threads and what was queued for them: the parent does it."""
        pool, self._pool = self._pool, None
        _inherited.append(pool)


class _Gate:
    """The count of threads that are inside a library whose locks a fork would copy."""

    def __init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._is_forking = False
        self._depth = threading.local()

    @property
    def _mine(self) -> int:
        return getattr(self._depth, "count", 0)

    def enter(self) -> None:
        if self._mine == 0:
            with self._lock:
                while self._is_forking:
                    self._changed.wait()
                self._inside += 1
        self._depth.count = self._mine + 1

    def leave(self) -> None:
        if self._mine == 0:
            return  # entered before a fork whose child this is
        self._depth.count = self._mine - 1
        if self._depth.count == 0:
            with self._lock:
                self._inside -= 1
                self._changed.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Wait until no other thread is inside, and let none in. Return whether that was reached."""
        own = 1 if self._mine else 0
        with self._lock:
            self._is_forking = True
            return self._changed.wait_for(lambda: self._inside <= own, timeout_s) and not own

    def open(self) -> None:
        with self._lock:
            self._is_forking = False
            self._changed.notify_all()


_gate = _Gate()


def _wait_for_imports(timeout_s: float) -> None:
    """Wait until no other thread is in the middle of an import, or *timeout_s* is over.

    Python renews its global import lock in a forked child, but not the lock of each module: a module that another
    thread was importing at that moment could never be imported in the child. The import lock is not kept until the
    fork: the hooks that follow take locks, such as that of `logging`, whose owner may be waiting for an import.
    """
    mine = threading.get_ident()
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        locks = getattr(importlib._bootstrap, "_module_locks", {})  # noqa: SLF001 - there is no public way to see them
        owners = (getattr(reference(), "owner", None) for reference in list(locks.values()))
        if all(owner in {None, mine} for owner in owners):
            return
        time.sleep(0.001)


@contextlib.contextmanager
def block_fork() -> Iterator[None]:
    """Delay a fork in another thread until the end of this block, for a bounded time."""
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def _before() -> None:
    for owner in list(_pausable):
        owner.pause(_LONGEST_PAUSE_S)
    if _gate.close(_LONGEST_PAUSE_S):
        for owner in list(_releasable):
            owner.release()
    _wait_for_imports(_LONGEST_PAUSE_S)  # last: what the others wait for may import something


def _after_in_parent() -> None:
    _gate.open()
    for owner in list(_pausable):
        owner.resume()


def _after_in_child() -> None:
    _gate.start_again()
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - as the standard library does; no code of ours forks inside a lock
    for owner in list(_restartable):
        owner.restart_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
