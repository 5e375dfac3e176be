"""How a wait in the main thread learns of Stop where the interrupt raises nothing.

In a cell with `await`, a kernel does not turn the interrupt into KeyboardInterrupt: it cancels the cell's task, as soon
as its event loop is free. A synchronous wait in such a cell would not notice it, and an asynchronous one could not tell
it from a timeout. So, while anything waits, a handler of ours stands before the kernel's.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["interrupts", "is_in_task"]


class Interrupts:
    """The interrupts of this process, counted while this object is in use. Use it as a context manager.

    Attributes:
        count: Number of interrupts seen.
    """

    def __init__(self) -> None:
        self.count = 0
        self._watchers = 0
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals do not reach other threads
        self._watchers += 1
        before = signal.getsignal(signal.SIGINT)
        # Python's own handler raises, and needs no watching
        if callable(before) and before not in {self._on_signal, signal.default_int_handler}:
            self._before = before
            signal.signal(signal.SIGINT, self._on_signal)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._watchers -= 1
        if self._watchers == 0 and signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._before(number, frame)


interrupts = Interrupts()


def is_in_task() -> bool:
    """Return whether the caller runs in a task of asyncio, which an interrupt cancels instead of raising."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.current_task() is not None
    except RuntimeError:
        return False
