"""Where the results of a form appear: an ordinary output below it, which stays when the controls are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...forking import make_lock
from ...present.html import element, muted
from ...session import Job
from ..display import Panel, open_place

__all__ = ["ResultPlace"]

_KEPT = 4
"""Runs shown at most: each image takes some 100 KiB of the notebook. The log has them all."""


class ResultPlace:
    """A place in the cell for the last few runs, the newest first.

    Args:
        words: What stands there before the first, and below the results.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._handle: Any = None
        self._shown: dict[str, Mapping[str, str]] = {}
        self._panels: dict[str, Panel] = {}
        self._lock = make_lock()

    def open(self) -> None:
        """Take a place in the running cell."""
        self._handle = open_place(self._composed())

    def add(self, job: Job) -> None:
        """Show a job, and go on showing it while it runs; from any thread."""
        with self._lock:
            self._shown = {job.task_uuid: {}, **self._shown}
            for old in list(self._shown)[_KEPT:]:
                del self._shown[old]
                self._panels.pop(old, None)
        if self._handle is not None:
            panel = Panel(job, self._handle, lambda bundle: self._with(job.task_uuid, bundle), tells_late=False)
            self._panels[job.task_uuid] = panel
            panel.show()

    def settle(self, job: Job) -> None:
        """Draw the end of a job now, in this thread: what runs without anybody looking may not wait for another."""
        panel = self._panels.get(job.task_uuid)
        if panel is not None:
            panel.settle()

    def _with(self, task_uuid: str, bundle: Mapping[str, str]) -> dict[str, str]:
        with self._lock:
            if task_uuid in self._shown:
                self._shown[task_uuid] = bundle
        return self._composed()

    def _composed(self) -> dict[str, str]:
        with self._lock:
            shown = [each for each in self._shown.values() if each]
        html = [each.get("text/html", "") for each in shown]
        if len(html) > 1:
            count = len(html) - 1
            said = f"{count} earlier result{'' if count == 1 else 's'} of this form"
            html = [html[0], element("details", element("summary", said) + "".join(html[1:]))]
        plain = [each.get("text/plain", "") for each in shown]
        return {
            "text/html": element("div", "".join(html) + muted(self._words), class_="runware-nb runware-nb-results"),
            "text/plain": "\n".join([*plain, self._words]),
        }
