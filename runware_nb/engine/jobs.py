"""The handle on a run in progress: safe from any thread, and from the next kernel."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Hashable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from ..core.chaining import METHODS, Operations, Performer
from ..core.results import PARTIAL, Outcome, Result
from ..errors import RunwareNBError, TransportError, TransportTimeout
from ..forking import make_lock, restart_after_fork
from ..loop import WaitInterrupted, background_loop, wait, wait_async
from ..printable import printable, printable_bundle
from ..remedies import Remedy, command
from ..runlog import RunRecord, State
from ..runlog.records import UsualDuration

__all__ = ["Job", "JobOwner"]

logger = logging.getLogger("runware_nb")

_TICK_S = 0.05
"""Longest time until an iterator over a text notices Stop, in seconds."""


class JobOwner(Protocol):
    """Who carries out the wishes of a job: the engine."""

    @property
    def performer(self) -> Performer:
        """What starts an operation on the result of a job."""

    @property
    def display(self) -> str:
        """How images are shown: `html` or `image`."""

    def stop(self, job: Job) -> str:
        """Stop the cell that waits for a job; return the sentence for the user. See `RunQueue.stop`."""

    def mark_detached(self, job: Job) -> None:
        """Mark a run in progress as one that nobody waits for. See `RunQueue.mark_detached`."""

    def discard(self, record: RunRecord) -> bool:
        """Hide a run. See `RunQueue.discard`."""

    def cancel(self, job: Job) -> bool:
        """Cancel a run that was not sent yet. See `RunQueue.cancel`."""

    def show_job(self, job: Job) -> None:
        """Show a job where the user is looking."""

    def render_job(self, job: Job) -> dict[str, str]:
        """Return a job as a MIME bundle, as it stands."""

    def expected_duration(self, record: RunRecord) -> UsualDuration | None:
        """Return how long runs of this kind usually take; None if that is not known."""

    def remedy(self, remedy: Remedy) -> str:
        """Return what the user can do, in the syntax of the front end."""


_INTERNAL = frozenset(
    {
        "add_text", "adopt", "arrived", "as_is", "begin", "changed", "drop", "execution", "follow", "goes_on",
        "has_text", "is_joined", "is_leaving", "is_logged", "is_new", "is_waiting", "keep_text", "on_change", "owner",
        "resends", "restart_in_child", "scope", "send", "settle", "step", "throw", "close", "withdraw", "withdrawn",
    }
)  # fmt: skip
"""Names of a job that the engine and asyncio use. Completion does not list them."""


class Job(Operations["Job"], Coroutine[Any, None, Outcome]):
    """A run, from now until its results are in.

    Made by `rw.image`, `rw.run` and `rw.job`; not by hand. It has the operations as methods, such as `upscale`: each
    returns at once with the job of the next step, which is sent when this one has its result. If this job asks for
    several results, a method acts on each of them and returns a `JobGroup`.

    Attributes:
        owner: Who carries out its wishes.
        record: The run as the log knows it.
        is_new: Whether it is to be sent, rather than found again.
        resends: Whether a run found again is sent once more, under its own UUID, if the service does not know it.
        is_joined: Whether another kernel may be sending it at this moment.
        is_logged: Whether a new run is in the log already, prepared by a kernel that never sent it.
        is_recorded: Whether the log has the answer, and nothing is sent.
        as_is: Whether the task is sent exactly as it is written, without completing it.
        scope: The cell that submitted it; None for a script.
        is_leaving: Whether the run is being sent or has been; from then on it cannot be withdrawn.
        withdrawn: Why the run was taken out of the queue before it was sent; None if it was not.
        execution: The asyncio task that brings the run to its end; None before it begins.
        progress: 0 to 100; None before the service said anything.
        waiting: Why the task waits at the service or for its next attempt, as a phrase; None if it does not.
        arrived: Results so far, in order of arrival.
        keep_text: Writes the text so far to the log, on the background loop; None before the run begins.
        notices: Sentences a user should know.
        future: Resolved with the outcome.
    """

    def __init__(self, owner: JobOwner, record: RunRecord, *, is_new: bool, resends: bool = False) -> None:
        self.owner = owner
        self.record = record
        self.is_new = is_new
        self.resends = resends
        self.is_recorded = self.is_logged = self.is_joined = self.as_is = False
        self.scope: Hashable = None
        self.is_leaving = False
        self.withdrawn: RunwareNBError | None = None
        self.execution: asyncio.Task[None] | None = None
        self.progress: float | None = None
        self.waiting: str | None = None
        self.arrived: list[Result] = []
        self.keep_text: Callable[[], None] | None = None
        self.notices: list[str] = []
        self.future: concurrent.futures.Future[Outcome] = concurrent.futures.Future()
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._observers: list[Callable[[], None]] = []
        self._ending: tuple[Outcome | None, BaseException | None] | None = None
        self._waits: dict[asyncio.Task[Any] | None, Generator[Any, None, Outcome]] = {}
        self._lock = make_lock()
        restart_after_fork(self)

    @property
    def task_uuid(self) -> str:
        """UUID of the run: that of its first attempt."""
        return self.record.task_uuid

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.record.state

    @property
    def waited_s(self) -> float:
        """Seconds since the run was sent, also by an earlier kernel; 0 if it was not sent yet."""
        sent_at = self.record.sent_at_utc
        try:
            sent = datetime.fromisoformat(sent_at or "")
        except ValueError:  # it was not sent, or the row is damaged
            return 0.0
        sent = sent if sent.tzinfo is not None else sent.replace(tzinfo=UTC)
        return max(0.0, (datetime.now(UTC) - sent).total_seconds())

    @functools.cached_property
    def usual_duration(self) -> UsualDuration | None:
        """How long runs of this kind usually take; None if the log has none."""
        return self.owner.expected_duration(self.record)

    @property
    def is_done(self) -> bool:
        """Whether `result()` would return or raise at once."""
        return self.future.done()

    @property
    def has_text(self) -> bool:
        """Whether a piece of a text, or of the model's reasoning, has arrived while it was written."""
        return bool(self._texts or self._reasonings or self._kept)

    @property
    def _kept(self) -> Mapping[str, Any]:
        """The incomplete text that the log has of a run of another kernel; empty if there is none."""
        raws = (kept.raw for kept in self.record.results if kept.error is None)
        return next((raw for raw in raws if raw.get(PARTIAL) is True), {})

    @property
    def text(self) -> str:
        """The text so far; empty if the run generates none."""
        whole = self._whole()
        if whole is not None:
            return whole.text or ""
        return "".join(self._texts) or str(self._kept.get("text", ""))

    @property
    def reasoning(self) -> str:
        """The model's reasoning so far; empty if there is none."""
        whole = self._whole()
        if whole is not None:
            return whole.reasoning or ""
        return "".join(self._reasonings) or str(self._kept.get("reasoningContent", ""))

    def _whole(self) -> Result | None:
        """Return the first result, if it is here: it counts where it differs from the pieces."""
        if self.future.done() and not self.future.cancelled() and self.future.exception() is None:
            return next(iter(self.future.result()), None)
        return next(iter(self.arrived), None)

    def add_text(self, text: str, reasoning: str) -> None:
        """Take in a piece of the text while it is written. On the background loop only."""
        if text:
            self._texts.append(text)
        if reasoning:
            self._reasonings.append(reasoning)

    def pieces(self, *, raises: bool = True) -> Iterator[str]:
        """Wait for the text, and yield its pieces as they arrive, without the reasoning.

        The text of a run that is not streamed, or that the log answers, is one piece.

        Args:
            raises: Whether an incomplete text raises what ended it; otherwise it is in the outcome only.

        ```python
        for piece in rw.text("Write a haiku").pieces():
            print(piece, end="")
        ```

        Raises:
            TaskError: The run failed, or its text is incomplete; what arrived was yielded before.
            WaitInterrupted: Stop was pressed; the text is completed in the log.
        """
        with self._changes() as changed:
            taken = 0
            try:
                while not self.is_done:
                    changed.clear()
                    while taken < len(self._texts):
                        taken += 1
                        yield self._texts[taken - 1]
                    changed.wait(_TICK_S)  # short, so that Stop ends it
            except KeyboardInterrupt:
                raise WaitInterrupted(self.owner.stop(self)) from None
        yield from self._rest(taken, raises=raises)

    async def stream(self) -> AsyncIterator[str]:
        """Wait for the text without blocking, and yield its pieces as they arrive. See `pieces`.

        ```python
        async for piece in rw.text("Write a haiku").stream():
            print(piece, end="")
        ```
        """
        with self._changes() as changed:
            taken = 0
            while not self.is_done:
                changed.clear()
                while taken < len(self._texts):
                    taken += 1
                    yield self._texts[taken - 1]
                if not changed.is_set():
                    await asyncio.sleep(_TICK_S)
        for piece in self._rest(taken, raises=True):
            yield piece

    def _rest(self, taken: int, *, raises: bool) -> Iterator[str]:
        """Yield what is left after the first pieces, and raise what ended the run."""
        outcome = self.future.result()
        shown = "".join(self._texts[:taken])
        text = (outcome[0].text if len(outcome) else None) or ""
        rest = text.removeprefix(shown) if text.startswith(shown) else text
        if rest:
            yield rest
        if outcome.errors and raises:
            raise outcome.errors[0]

    @contextlib.contextmanager
    def _changes(self) -> Iterator[threading.Event]:
        """Provide an event that is set whenever there is something new."""
        changed = threading.Event()
        self.on_change(changed.set)
        try:
            yield changed
        finally:
            with self._lock:
                self._observers.remove(changed.set)

    def result(self, timeout_s: float | None = None, *, on_tick: Callable[[], None] | None = None) -> Outcome:
        """Wait for the outcome. Stop ends the wait, not the task.

        Args:
            timeout_s: Longest wait, in seconds.
            on_tick: Called about twenty times a second while waiting.

        Raises:
            TaskError: It failed, and there is no result.
            TransportTimeout: The time is over; the task goes on and its result will be in the log.
            WaitInterrupted: Stop was pressed; likewise.
        """
        try:
            return wait(self.future, timeout_s=timeout_s, on_tick=on_tick)
        except KeyboardInterrupt:
            raise WaitInterrupted(self.owner.stop(self)) from None
        except TransportTimeout as error:
            if self.future.done():
                raise
            self.detach()
            state, remedy = self._state_after_wait()
            what = f"{error.problem}. {state}"
            raise TransportTimeout(what, task_uuid=self.task_uuid).with_remedy(remedy) from None

    def __await__(self) -> Generator[Any, None, Outcome]:
        def let_go(is_stop: bool) -> str:
            if is_stop:
                return self.owner.stop(self)
            self.detach()  # a timeout or another task ends only this wait
            return self.goes_on("Stopped waiting")

        return wait_async(self.future, on_cancelled=let_go)

    # --- the coroutine protocol: `asyncio.create_task`, `TaskGroup.create_task` and `asyncio.run` take nothing else ---

    def send(self, value: None) -> Any:
        """Continue the wait of the current task; asyncio calls this. It sends nothing to the service."""
        return self._continue(lambda waiting: waiting.send(value))

    def throw(self, *error: Any) -> Any:
        """Raise an error in the wait of the current task; asyncio calls this."""
        return self._continue(lambda waiting: waiting.throw(*error))

    def close(self) -> None:
        """End the wait of the current task; asyncio calls this. The run goes on."""
        waiting = self._waits.pop(_current_task(), None)
        if waiting is not None:
            waiting.close()

    def _continue(self, step: Callable[[Generator[Any, None, Outcome]], Any]) -> Any:
        """Continue the wait of the current task by a step: each task that waits for this job has its own."""
        task = _current_task()
        waiting = self._waits.get(task)
        if waiting is None:
            waiting = self._waits[task] = self.__await__()
        try:
            return step(waiting)
        except BaseException:  # StopIteration is the normal end
            self._waits.pop(task, None)
            raise

    def detach(self) -> None:
        """Stop waiting; the result is collected into the log when it arrives.

        The part of a text that has arrived is written to the log at once.
        """
        if self.keep_text is not None:
            background_loop().call(self.keep_text)
        self.owner.mark_detached(self)

    def discard(self) -> None:
        """Hide the run. A run that was not sent is dropped and costs nothing; see `Session.discard`.

        Raises:
            RunLogError: The log cannot be written.
        """
        self.owner.discard(self.record)

    def cancel(self) -> bool:
        """Cancel the run if it was not sent yet, at no cost; return whether it was cancelled.

        A run that was sent is paid for, and continues.
        """
        return self.owner.cancel(self)

    @property
    def is_queued(self) -> bool:
        """Return whether the run waits for its turn in this kernel, and can still be withdrawn."""
        return self.is_new and not (self.is_leaving or self.is_done or self.withdrawn is not None)

    @property
    def is_withdrawn(self) -> bool:
        """Return whether the run was taken out of the queue before it was sent."""
        return self.withdrawn is not None

    def withdraw(self, reason: RunwareNBError) -> bool:
        """Remove the run from the queue, unless it is being sent; return whether it was. On the background loop only.

        The loop runs this and the claim of an attempt one after the other: a run that is not leaving here has not
        been claimed, so not a byte of it has been sent.
        """
        if not self.is_queued:
            return False
        self.withdrawn = reason
        if self.execution is not None:
            self.execution.cancel()
        return True

    def on_change(self, observer: Callable[[], None]) -> None:
        """Have *observer* called, from any thread, whenever there is something new to show."""
        with self._lock:
            self._observers.append(observer)
        if self.is_done:
            observer()

    def changed(self) -> None:
        """Tell the observers."""
        with self._lock:
            observers = list(self._observers)
        for observer in observers:
            try:
                observer()
            except Exception:  # what a display raises must not keep a paid result from the log
                logger.exception("an observer of run %s failed", self.task_uuid)

    def settle(self, outcome: Outcome | None, error: BaseException | None) -> None:
        """Resolve the future, once."""
        with self._lock:
            if self._ending is not None:
                return
            self._ending = outcome, error
        self._resolve()
        self.changed()

    def restart_in_child(self) -> None:
        """Keep what is known after a fork; what is in flight is the parent's, which sends, collects and records it."""
        self._observers = []
        self.future = concurrent.futures.Future()  # another thread may have been in the middle of the old one
        if self._ending is None:
            self._ending = (
                None,
                TransportError(
                    f"Run {self.task_uuid} belongs to the parent process, which goes on with it. To wait for it "
                    f'here, use rw.job("{self.task_uuid[:8]}").'
                ),
            )
        self._resolve()

    def _resolve(self) -> None:
        assert self._ending is not None
        outcome, error = self._ending
        if error is not None:
            self.future.set_exception(error)
        else:
            assert outcome is not None
            self.future.set_result(outcome)

    def goes_on(self, what: str) -> str:
        """Format what becomes of the run after its wait has ended, for the user."""
        state, remedy = self._state_after_wait()
        return f"{what}. {state} {self.owner.remedy(remedy)}"

    def _state_after_wait(self) -> tuple[str, Remedy]:
        if self.is_queued:
            cancel = command("pending", cancel=True, python="rw.cancel_queued()")
            return (
                f"Run {self.task_uuid} is still queued and will be sent, and its result goes to the log.",
                Remedy("{0} cancels queued runs.", (cancel,)),
            )
        ref = self.task_uuid[:8]
        collect = command("resume", ref, python=f'rw.job("{ref}").result()')
        return (
            f"The service continues task {self.task_uuid} and charges for it, and its result goes to the log.",
            Remedy("{0} shows the result, also after a restart.", (collect,)),
        )

    def history(self) -> Any:
        """Return the runs that it was made from, and those made from it, as a tree with small pictures.

        Raises:
            RunNotFound: The log does not have it yet.
        """
        return self.owner.performer.history(self.task_uuid)

    def _perform(self, method: str, values: Mapping[str, Any]) -> Job:
        job: Job = self.owner.performer(METHODS[method], self, values)
        return job

    def __dir__(self) -> list[str]:
        """Return the names for completion: those that a user can use, without the parts of the engine."""
        return sorted(set(super().__dir__()) - _INTERNAL)

    def __repr__(self) -> str:
        progress = "" if self.progress is None or self.is_done else f" {self.progress:.0f} %"
        return printable(f"<Job {self.task_uuid} {self.state.value}{progress}>")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            f"A job belongs to its process and cannot be pickled. Pass its outcome, job.result(), or its UUID: "
            f'rw.job("{self.task_uuid}") waits for the same run in any process that uses this log.'
        )

    def __copy__(self) -> Job:
        return self  # a handle: a second one on the same run would be the same

    def __deepcopy__(self, memo: dict[int, Any]) -> Job:
        return self

    def _ipython_display_(self) -> None:
        """Show itself in the cell, and go on showing itself there while it runs."""
        self.owner.show_job(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return printable_bundle(self.owner.render_job(self))


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
