"""Putting results into the cell they belong to: a handle made in the cell, updated from anywhere."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import DisplayHandle, display

from ..core.results import Outcome
from ..engine.job_view import is_long, render_job
from ..forking import Workers, make_lock
from ..loop import WaitInterrupted, background_loop
from ..present.html import text
from ..present.results import with_notices
from ..printable import printable_bundle
from ..session import Job

__all__ = ["Panel", "fill_place", "open_place", "show_bundle", "show_count", "show_widget", "wait_and_show"]

_SHOW_AFTER_S = 0.4
_UPDATE_EVERY_S = 0.2
_TICK_S = 1.0
_SLOW_TICK_S = 5.0
_SLOWER_AFTER_S = 60.0
_RECORDED_S = 0.3
"""Longest wait for an answer from the log, which usually takes some milliseconds."""

_drawing = Workers(1, "runware display")


def show_bundle(bundle: Mapping[str, Any]) -> None:
    """Show a MIME bundle in the running cell. Whatever its text contains, only plain text is shown."""
    display(printable_bundle(bundle), raw=True)


def open_place(bundle: Mapping[str, Any]) -> DisplayHandle:
    """Show a MIME bundle in the running cell, and return the handle by which it is replaced."""
    handle: DisplayHandle = display(printable_bundle(bundle), raw=True, display_id=True)
    return handle


def fill_place(handle: DisplayHandle, bundle: Mapping[str, Any]) -> None:
    """Show another MIME bundle in the place of an earlier one."""
    handle.update(printable_bundle(bundle), raw=True)


def show_widget(widget: Any, words: str) -> None:
    """Show a widget in the running cell, with a line for whoever sees the cell without it.

    Args:
        widget: Of ipywidgets or anywidget.
        words: What it is, and how to get it.
    """
    made = widget._repr_mimebundle_()
    bundle = made[0] if isinstance(made, tuple) else made
    show_bundle({**bundle, "text/plain": words})


_counts: dict[str, DisplayHandle] = {}


def show_count(done: int, total: int, what: str) -> None:
    """Show a bar in the running cell while several things are done one after the other; it goes when all are."""
    handle = _counts.get(what) if done > 1 else None  # a bar that Stop left behind belongs to another cell
    said = f"{done} of {total} {what}"
    if done >= total:
        _counts.pop(what, None)
        if handle is not None:
            fill_place(handle, {"text/html": "", "text/plain": ""})
        return
    bundle = {"text/html": f"<progress max='{total}' value='{done}'></progress> {text(said)}", "text/plain": said}
    if handle is None:
        _counts[what] = open_place(bundle)
    else:
        fill_place(handle, bundle)


def wait_and_show(job: Job, *, is_live: bool) -> Outcome:
    """Wait for a job in the running cell: nothing for a moment, then its place, then its results.

    Args:
        job: What to wait for.
        is_live: Whether shown things can be changed later, as in Jupyter; a terminal only prints.

    Raises:
        TaskError: It failed.
        WaitInterrupted: Stop was pressed; the results still appear in this cell when they come.
    """
    panel = Panel(job, tells_late=False)
    started = time.monotonic()

    def on_tick() -> None:
        if is_live and not panel.is_shown and time.monotonic() - started >= _SHOW_AFTER_S:
            panel.show()

    try:
        outcome = job.result(on_tick=on_tick)
    except WaitInterrupted:
        if is_live and not job.is_withdrawn:
            panel.show()  # the result appears here when it arrives, as long as the kernel lives
        raise
    except Exception:
        if job.has_text:  # what has arrived of a text stays
            panel.settle()
        else:
            panel.clear()
        panel.tell()
        raise
    if panel.is_shown:
        panel.settle()
    else:
        show_bundle(render_job(job))
    panel.tell()
    return outcome


class Panel:
    """A job's place in a cell; it redraws itself as the job goes on, at most five times a second.

    Args:
        job: What it shows.
        handle: A place that is there already; it takes one in the running cell where None.
        frame: Puts what is shown among other things that stand in that place.
        tells_late: Whether notices that come after the cell has ended are shown with the results: from another thread
            there is no other place for them. Those that are there before are outputs of their own, so that the same
            images are the same output.
    """

    def __init__(
        self,
        job: Job,
        handle: DisplayHandle | None = None,
        frame: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
        *,
        tells_late: bool = True,
    ) -> None:
        self._job = job
        self._handle = handle
        self._frame = frame or dict
        self._tells_late = tells_late
        self._told = 0
        self._lock = make_lock()  # of the two flags
        self._drawing = make_lock()  # of the place itself: an older picture must not follow a newer one
        self._is_due = False
        self._is_settled = False

    @property
    def is_shown(self) -> bool:
        """Whether it has a place yet."""
        return self._handle is not None

    def show(self) -> None:
        """Take a place in the running cell, or the one that was given."""
        if self._handle is None:
            if self._job.is_recorded:
                concurrent.futures.wait([self._job.future], timeout=_RECORDED_S)
            self._handle = open_place(self._frame(render_job(self._job)))
            self.tell()
        else:
            self._update(self._rendered())
        self._job.on_change(self._on_change)
        if not self._job.is_done:
            background_loop().submit(self._tick())
        # What is here is drawn before the cell ends. An update that another thread sends between two cells belongs to
        # neither, and programs that run notebooks, such as nbclient, drop it.
        if self._job.is_done:
            self.settle()

    def tell(self) -> None:
        """Show notices that are new, each as an output of its own. In the thread of the running cell only."""
        notices = self._job.notices[self._told :]
        self._told += len(notices)
        for notice in notices:
            show_bundle({"text/plain": notice})

    def settle(self) -> None:
        """Draw the end now, in this thread."""
        with self._drawing:
            with self._lock:
                if self._is_settled:
                    return
                self._is_settled = True
            self._update(self._rendered())

    def clear(self) -> None:
        """Leave the place to the error that is about to be shown."""
        with self._drawing:
            with self._lock:
                self._is_settled = True
            self._update({"text/html": "", "text/plain": ""})

    async def _tick(self) -> None:
        """Have a long wait redrawn now and then, so that the time in it is right. On the background loop."""
        while not (self._job.is_done or self._is_settled):
            await asyncio.sleep(_TICK_S if self._job.waited_s < _SLOWER_AFTER_S else _SLOW_TICK_S)
            if is_long(self._job):
                self._on_change()

    def _on_change(self) -> None:
        """Have it redrawn soon; called from any thread, as often as anything happens."""
        with self._lock:
            if self._is_due or self._is_settled:
                return
            self._is_due = True
        _drawing.submit(self._redraw)

    def _redraw(self) -> None:
        if not self._job.is_done:
            time.sleep(_UPDATE_EVERY_S)
        with self._drawing:
            with self._lock:
                self._is_due = False
                if self._is_settled:
                    return
                self._is_settled = self._job.is_done
            self._update(self._rendered())

    def _rendered(self) -> Mapping[str, str]:
        late = self._job.notices[self._told :] if self._tells_late and self._job.is_done else []
        return with_notices(render_job(self._job), late)

    def _update(self, bundle: Mapping[str, Any]) -> None:
        if self._handle is not None:
            fill_place(self._handle, self._frame(bundle))
