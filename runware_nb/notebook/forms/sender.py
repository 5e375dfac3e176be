"""The lower edge of a form: what it costs, sending it, giving up, and what became of it."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from ...core.money import format_amount
from ...engine.consent import priced
from ...engine.display import error_sentence
from ...engine.estimates import Estimate, estimate
from ...engine.front_end import current_front_end
from ...errors import MagicUsageError, NotConfirmed, RunwareNBError, TaskInvalid
from ...forking import Workers, make_lock
from ...loop import WaitInterrupted, wait
from ...present.html import element, text
from .look import Look
from .media_words import with_images
from .output_area import ResultPlace

if TYPE_CHECKING:
    from ...core.results import Outcome
    from ...session import CellContext, Job, Session

__all__ = ["Asking", "Sender"]

_PRICE_AFTER_S = 0.25
_CHECKING = "checking …"
_READ_IN_S = 0.7
"""A question that is answered sooner was not read."""

_working = Workers(2, "runware form")


class Asking(Protocol):
    """What a sender wants to know of its form."""

    @property
    def task(self) -> dict[str, Any]:
        """What would be sent, with the words that mean images."""

    @property
    def priced(self) -> Mapping[str, Any]:
        """As much of it as is right at the moment, for an estimate."""

    def tell(self, parameter: str, sentence: str) -> bool:
        """Put a sentence beside the field of a parameter; False where it is not seen."""

    def ended(self, outcome: Outcome) -> None:
        """Take notice of what came."""


class Sender:
    """Sends what a form holds, in the background: a click returns at once, so that the next one is heard.

    Args:
        session: Who sends.
        look: Makes the widgets.
        form: What is sent.
        names: The user's variables, for images named by them.
        service: Who performs it, as the log names it; empty for Runware.
        resolve: Returns a task with the media in the place of the words that mean them; by default images.

    Attributes:
        job: The last run; None before the first.
        context: The cell of the form.
        place: Where results appear; None until the form is shown.
    """

    def __init__(
        self,
        session: Session,
        look: Look,
        form: Asking,
        names: Mapping[str, Any],
        *,
        service: str = "",
        resolve: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self._service = service
        self._resolve = resolve or (lambda words: with_images(words, session, names))
        self._session = session
        self._form = form
        self._names = names
        self._lock = make_lock()
        self._pricing: threading.Timer | None = None
        self._is_busy = False
        self._asked: tuple[dict[str, Any], float] | None = None
        self._begun: concurrent.futures.Future[Job] = concurrent.futures.Future()
        self._begun.set_exception(MagicUsageError("nothing was run yet: press Generate, or call run()"))
        self._awaited: Job | None = None  # the one that keeps the form busy; none after Cancel
        self.job: Job | None = None
        self.context: CellContext | None = None
        self.place: ResultPlace | None = None
        self.generate = look.make(widgets.Button, width="tight", description="Generate", button_style="primary",
                                  tooltip="send it; the result appears below")  # fmt: skip
        self.cancel_button = look.make(widgets.Button, width="tight", description="Cancel", disabled=True,
                                       tooltip="stop waiting for it")  # fmt: skip
        self.status = look.make(widgets.HTML)
        self.generate.on_click(lambda _: self.run())
        self.cancel_button.on_click(lambda _: self.cancel())

    def run(self) -> None:
        """Send it, unless it is wrong."""
        if not self._take_turn():
            return  # the second half of a double click must not pay again
        try:
            task = self._form.task
        except TaskInvalid as error:
            self._begun.set_exception(error)
            self.say(f"✗ {current_front_end().message(error)}", is_error=True)
            self._free()
            return
        self.say(_CHECKING)
        _working.submit(self._guarded, self._send, task)

    def _take_turn(self) -> bool:
        """Begin a run, unless one is on its way; callbacks may come on several threads."""
        with self._lock:
            if self._is_busy:
                return False
            self._is_busy = True
            self._begun = concurrent.futures.Future()
        self.generate.disabled = True
        return True

    def result(self, timeout_s: float | None = None) -> Outcome:
        """Wait for the last run, and draw its end now, in this cell.

        Raises:
            MagicUsageError: Nothing was run yet.
            NotConfirmed: The question about its price has no answer yet.
            RunwareNBError: It could not be sent, or failed; see `Job.result`.
        """
        job = wait(self._begun, timeout_s=timeout_s)
        outcome = job.result(timeout_s)
        if self.place is not None:
            self.place.settle(job)
        return outcome

    def _free(self) -> None:
        with self._lock:
            self._is_busy = False
        self.generate.disabled = False

    def cancel(self) -> None:
        """Give up waiting. What was not sent yet is not sent; what was is paid for, and its result still comes."""
        job = self.job
        if job is None or job.is_done:
            return
        self.cancel_button.disabled = True
        if job.is_queued:
            _working.submit(self._guarded, self._drop, job)
            return
        self._awaited = None
        job.detach()
        self._tell_stopped(job)
        self._free()

    def _tell_stopped(self, job: Job) -> None:
        self.say(f"Stopped waiting. Task {job.task_uuid} was sent and is paid for: its result appears below when it "
                 "comes, and goes to the log.")  # fmt: skip

    def say(self, sentence: str, *, is_error: bool = False) -> None:
        """Say something below the buttons."""
        colour = "color:var(--jp-error-color1,#b00020)" if is_error else ""
        self.status.value = element("div", text(sentence), role="status", class_="runware-nb-status", style=colour)

    def changed(self) -> None:
        """Have the price looked up soon; from any thread."""
        with self._lock:
            if self._pricing is not None:
                self._pricing.cancel()
            self._pricing = threading.Timer(_PRICE_AFTER_S, self._show_price)
            self._pricing.daemon = True
            self._pricing.start()

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run something in the background; whatever goes wrong is said in the form, since nobody else would see it."""
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - shown instead of lost in a thread
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        message = current_front_end().message(error)
        if isinstance(error, TaskInvalid) and error.parameter and self._form.tell(error.parameter, message):
            said = "see the field that is marked"
        else:
            said = str(error) if isinstance(error, WaitInterrupted) else error_sentence(error)
        if not self._begun.done():
            self._begun.set_exception(error)
        self.say(f"✗ {said}", is_error=True)
        self._free()

    def _send(self, words: dict[str, Any]) -> None:
        task = self._resolve(words)
        plan = self._session.plan(task, service=self._service)
        # The button names the price, so each click is a decision of its own: it is not added to the sum of a cell.
        click, tasks = object(), [priced(plan.task, plan.price, self._service)]
        notebook = None if self.context is None else self.context.notebook
        question = self._session.consent.question(tasks, scope=click, notebook=notebook)
        if question is not None and not self._has_agreed(words):
            self._begun.set_exception(NotConfirmed(f"{question} Nothing was sent. Run it once more to agree."))
            self.say(f"{question} Nothing was sent. Click Generate again to send it.")
            self._free()
            return
        job = self._session.submit(task, agreed=True, context=self.context, service=self._service)
        self.job = self._awaited = job
        self.cancel_button.disabled = False
        self.say(f"Submitted: {job.task_uuid}")
        if self.place is not None:
            self.place.add(job)
        self._begun.set_result(job)
        job.future.add_done_callback(lambda _: self._done(job))

    def _has_agreed(self, words: dict[str, Any]) -> bool:
        """Whether the question about the price was answered: by a click of its own, and not by a double click."""
        with self._lock:
            asked, self._asked = self._asked, None
            now = time.monotonic()
            if asked is not None and asked[0] == words and now - asked[1] >= _READ_IN_S:
                return True
            self._asked = words, now
            return False

    def _drop(self, job: Job) -> None:
        self._awaited = None  # it ends with an error that is none
        if job.cancel():
            self.say("Cancelled before it was sent. It cost nothing.")
        else:  # it was sent at the moment of the click
            job.detach()
            self._tell_stopped(job)
        self._free()

    def _done(self, job: Job) -> None:
        if job is not self._awaited:
            return  # given up: its result appears in its place, and the form may be busy with another
        self.cancel_button.disabled = True
        error = job.future.exception()
        if error is not None:
            self._fail(error)
            return
        outcome = job.future.result()
        self._form.ended(outcome)
        count = len(outcome.results)
        failed = f", {len(outcome.errors)} failed" if outcome.errors else ""
        cost = "cost unknown" if outcome.cost is None else str(outcome.cost)
        free = format_amount(0.0, job.record.cost_unit)
        price = f"{free}, recorded" if outcome.is_recorded else cost
        notices = "".join(f" · {notice}" for notice in job.notices)  # the saved output has the results alone
        self.say(f"Done: {count} result{'' if count == 1 else 's'}{failed} · {price}{notices}")
        self._free()

    def _show_price(self) -> None:
        """Write the price on the button; what cannot be estimated is unknown, and stands in nobody's way."""
        try:
            price = estimate(self._session, self._form.priced, self._service)
        except RunwareNBError as error:
            price = Estimate(None, current_front_end().message(error))
        self.generate.tooltip = f"send it; price: {price}"
        said = "price unknown" if price.cost is None else f"about {price.cost}"
        self.generate.description = f"Generate · {said}"
