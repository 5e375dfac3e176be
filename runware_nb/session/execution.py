"""A run's way through the house: log, send, log, fetch, store, log."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..core.results import Outcome, Result
from ..core.tasks import expected_results
from ..errors import (
    ProtocolError,
    RunCancelled,
    RunLogError,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ..media import MissingMedium
from ..remedies import RESUME, Remedy
from ..runlog import ResultRecord, RunClaimed, RunRecord, State, TwinExists
from ..runlog.records import is_gone
from .display import OutcomePresenter, OutcomeRenderer, ResultRenderer
from .estimates import estimate
from .front_end import hooks
from .input_lineage import storable_request
from .media_recovery import expects_file, missing_sentence
from .result_storage import Storing, record_of
from .uses import record_takeover

if TYPE_CHECKING:
    from ..runlog import RunLog
    from .jobs import Job
    from .session import Session

__all__ = ["RunOnItsWay", "drive", "utc_now"]

_LOST_AFTER = dt.timedelta(hours=24)
_JOIN_TRIES = 4
_ON_ITS_WAY_S = 60.0
"""What another living kernel has claimed is on the wire within this time, or never."""
_LOOK_AGAIN_S = 1.0
_LEAST_DOWNLOAD_S = 10.0
"""Time for downloads after a further attempt: it may have waited for a slot, which the first deadline did not count."""


def utc_now() -> str:
    """Write the time as ISO 8601 in UTC, with milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


async def drive(session: Session, job: Job, task: Item, *, cell_source: str | None) -> None:
    """Bring a job to its end and settle it, whatever happens.

    Args:
        session: Whose client, log and files to use.
        job: New, or found in the log.
        task: Its task in wire spelling, with the seed chosen and the UUID of its last attempt.
        cell_source: Source of its cell, for the log.
    """
    job.execution = asyncio.current_task()
    try:
        if job.withdrawn is not None:
            raise job.withdrawn
        outcome = await RunOnItsWay(session, job, task, await session.open_log()).go(cell_source)
    except asyncio.CancelledError:
        if job.withdrawn is not None:
            job.settle(None, job.withdrawn)
            return
        job.settle(None, TransportError("the session was closed; the task can be collected by the next one"))
        raise
    except BaseException as error:  # noqa: BLE001 - it reaches whoever waits, not this loop's log
        if not isinstance(error, RunwareNBError) and job.is_leaving:
            # The run stays unfinished in the log: the same request joins it, and nothing is paid for twice.
            remedy = hooks.remedy(Remedy("{0} collects its results.", (RESUME,)))
            error.add_note(f"Run {job.task_uuid} may have been charged. {remedy}")
        job.settle(None, error)
    else:
        job.settle(outcome, None)


class RunOnItsWay:
    """One job on its way."""

    def __init__(self, session: Session, job: Job, task: Item, log: RunLog) -> None:
        self._session = session
        self._job = job
        self._task = task
        self._log = log
        self.storing = Storing(session, job, task, log)

    async def go(self, cell_source: str | None) -> Outcome:
        """Send or collect, and record what comes."""
        record = self._job.record
        if record.is_finished:
            return await self._recall()
        if self._job.is_logged or not self._job.is_new:
            self._log.hold(record)  # it is paid for, perhaps: if the log is replaced meanwhile, it is written again
        if record.state is State.PREPARED and not self._job.is_new:
            raise TaskFailed(f"run {record.task_uuid} was never sent, and cost nothing; run its cell again")
        if not self._job.is_new:
            return await self._bring_in(self._collect_patiently())
        async with self._first_of_unknown_price():
            return await self._bring_in(self._send_or_join(cell_source))

    @contextlib.asynccontextmanager
    async def _first_of_unknown_price(self) -> AsyncIterator[None]:
        """Under a budget, send runs of an unknown price one at a time until one has shown what they cost.

        An unknown price cannot be reserved. If several such runs were sent at once, together they could cost more than
        the budget has left, whatever it is.
        """
        record, consent = self._job.record, self._session.consent
        is_unknown = record.estimate_usd is None and not self._job.is_logged
        if not is_unknown or not await asyncio.to_thread(consent.has_budget, record.notebook):
            yield
            return
        lock = self._session.runs.price_lock(f"{record.provider} {record.model or record.task_type}")
        async with lock:
            price = await asyncio.to_thread(estimate, self._session, record.request)
            if price.usd is None:
                yield  # the lock is held until the run has ended, and its cost is in the log
                return
        record.estimate_usd = price.usd
        yield

    async def _bring_in(self, work: Awaitable[Outcome]) -> Outcome:
        """Wait for the outcome, and record it or what went wrong."""
        record = self._job.record
        try:
            outcome = await work
        except TransportTimeout as error:
            if record.attempts and not error.may_have_arrived:
                await self._fail(error)  # proven not to have been sent: there is nothing to collect later
            elif record.attempts:
                await self._mark(State.DETACHED)
                self._session.runs.keep(self._collect_later())
            raise
        except (TaskError, TransportError, ProtocolError) as error:
            await self._fail(error)
            raise
        except Exception:
            await self.storing.finish()  # what has arrived was paid for, whatever went wrong afterwards
            raise
        await self.finish(outcome, None)
        return outcome

    async def _fail(self, error: TaskError | TransportError | ProtocolError) -> None:
        """Complete the run only where the error says what became of it; else it stays to be collected."""
        attempt_uuid = self._job.record.attempt_uuid
        if isinstance(error, TaskError) and error.outcome is not None:
            await self.finish(error.outcome, error)
        elif isinstance(error, TaskNotFound) and not self._job.is_new:
            await self._unknown(error)
        elif self._job.is_new and not error.may_have_arrived:
            failure = error if isinstance(error, TaskError) else TaskFailed(error.problem, code="notSent")
            await self.finish(Outcome(self._task, attempt_uuid, [], [failure]), failure)

    async def _send_or_join(self, cell_source: str | None) -> Outcome:
        """Send, unless another kernel is sending the very same at this moment: then its answer is ours too."""
        for _ in range(_JOIN_TRIES):
            try:
                return await self._send(cell_source)
            except TwinExists:
                twin = await asyncio.to_thread(self._twin)
            except RunClaimed:
                twin = await asyncio.to_thread(self._log.find, self._job.task_uuid)
            if twin is None:
                continue  # it failed in the meantime
            self._take_over(twin, cell_source)
            if twin.state is State.DISCARDED and not twin.attempts:
                raise RunCancelled(f"Run {twin.task_uuid} was discarded before it was sent. It cost nothing.")
            if twin.is_finished:
                return await self._recall()
            if twin.attempts:
                return await self._collect_patiently()
        raise RunLogError("other kernels keep taking this run; run the cell again")

    def _twin(self) -> RunRecord | None:
        hashed = self._job.record.request_hash
        return self._log.find_twin(hashed) or self._log.find_recorded(hashed)

    def _take_over(self, twin: RunRecord, cell_source: str | None = None) -> None:
        job = self._job
        own = job.record
        if twin.task_uuid != own.task_uuid:
            job.notices.append(f"Joined run {twin.task_uuid[:8]}, which was already in progress.")
        job.record, job.is_recorded = twin, twin.is_finished
        job.is_logged = job.is_joined = job.resends = True
        self._log.hold(twin)
        if twin.task_uuid != own.task_uuid:
            record_takeover(self._session, job, own, cell_source)
        self._task = self.storing.task = {**self._task, "taskUUID": twin.attempt_uuid}  # the file names the attempt
        job.changed()

    async def _collect_patiently(self) -> Outcome:
        """Collect; what another kernel may be sending at this moment is given the time to arrive.

        Sent by both, one of the two would be told that its UUID is taken.
        """
        while True:
            record = self._job.record
            is_due = not self._job.is_joined or is_gone(record.sender) or _age_s(record.sent_at_utc) > _ON_ITS_WAY_S
            try:
                return await self._collect(resends=self._may_resend and is_due)
            except TaskNotFound:
                # A kernel that is at work records the answers before it downloads their files. Its run is left to it:
                # completed from here, the run would be recorded without the files that it is about to store.
                if is_due:
                    answered = await self._answered_already()
                    if answered is not None:
                        return answered
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)
            self._take_over(await asyncio.to_thread(self._log.find, record.task_uuid))
            if self._job.record.is_finished:
                return await self._recall()

    @property
    def _may_resend(self) -> bool:
        """Whether the task may be sent again if the service does not know it.

        Whoever joins a run whose fate is unknown made no decision about it. It may have been accepted, so the service
        is only asked; `resume --send` is the decision to send it again.
        """
        return self._job.resends and not (self._job.record.state is State.UNKNOWN and self._job.is_joined)

    async def _answered_already(self) -> Outcome | None:
        """Take the answers that were written down before a crash, of a task that the service has forgotten since."""
        record = self._job.record
        kept = [each for each in record.results if each.error is None and each.raw]
        if len(kept) < expected_results(record.request):
            return None
        outcome = Outcome(dict(record.request), record.attempt_uuid, [], [])
        outcome.results = await asyncio.gather(*(self._recalled(result) for result in kept))
        self.storing.records.update({result.position: result for result in kept})
        return outcome

    async def _send(self, cell_source: str | None) -> Outcome:
        record = self._job.record
        prepared = (
            _done()
            if self._job.is_logged
            else self._log.prepare(
                record, cell_source=cell_source, environment=self._session.environment,
                limit_usd=self._session.settings.budget_usd,
            )
        )  # fmt: skip
        service = await self._session.open_service()

        async def before_attempt(task: Item, number: int) -> None:
            # Nothing is awaited between the slot and this line. From here on the run counts as sent: Stop and close
            # leave it alone, because its claim is being written and its first byte may follow.
            self._set_deadline(self._session.settings.timeout_s if number == 1 else _LEAST_DOWNLOAD_S)
            if not self._job.is_leaving:
                self._job.is_leaving = True
                self._session.jobs.count_sent(self._job.scope)
            record.request = storable_request(task)
            claimed = self._log.mark_sent(
                record.task_uuid, task["taskUUID"], number, utc_now(), json.dumps(record.request),
                remote_id=task["taskUUID"],
            )  # fmt: skip
            claimed.add_done_callback(_note_error)
            await prepared  # queued one behind the other, both usually go into one commit
            await claimed
            record.attempt_uuid, record.attempts = task["taskUUID"], number
            record.remote_id = task["taskUUID"]
            if record.state is State.PREPARED:
                record.state = State.SENT
            self._task = self.storing.task = task
            self._job.changed()

        try:
            return await service.run(
                self._task,
                on_result=self.storing.take,
                on_progress=self._on_progress,
                on_attempt=before_attempt,
                timeout_s=self._session.settings.timeout_s,
                as_is=self._job.as_is,
            )
        finally:
            if not prepared.done():
                await prepared

    async def _collect(self, timeout_s: float | None = None, *, resends: bool | None = None) -> Outcome:
        service = await self._session.open_service()
        self.storing.deadline = None
        if timeout_s is None:
            self._set_deadline(self._session.settings.timeout_s)
        return await service.collect(
            self._task,
            resends=self._may_resend if resends is None else resends,
            on_result=self.storing.take,
            on_progress=self._on_progress,
            timeout_s=self._session.settings.timeout_s if timeout_s is None else timeout_s,
        )

    async def _collect_later(self) -> None:
        """Go on asking for a task whose deadline has passed, so that its result reaches the log all the same."""
        try:
            outcome = await self._collect(timeout_s=_LOST_AFTER.total_seconds())
        except (TaskError, TransportError, ProtocolError) as error:
            await self._fail(error)
        else:
            await self.finish(outcome, None)

    def _set_deadline(self, timeout_s: float) -> None:
        """Let downloads take until then, or longer if they may already: the deadline of a run is one for all of it."""
        deadline = time.monotonic() + timeout_s
        self.storing.deadline = max(deadline, self.storing.deadline or deadline)

    async def _recall(self) -> Outcome:
        """Give a finished run as the log has it."""
        record = self._job.record
        outcome = Outcome(dict(record.request), record.attempt_uuid, [], [], record.duration_s, self._job.is_recorded)
        outcome.errors = [self._session.runs.error_of(kept.error) for kept in record.results if kept.error is not None]
        recalled = (self._recalled(kept) for kept in record.results if kept.error is None)
        outcome.results = await asyncio.gather(*recalled)
        if not outcome.results and record.error is not None:
            error = self._session.runs.error_of(record.error)
            error.outcome = outcome
            raise error
        self._lend(outcome)
        return outcome

    async def _recalled(self, kept: ResultRecord) -> Result:
        """Build a recorded result, with its file if it is here or can be downloaded; nothing is paid for again."""
        record = self._job.record
        located = await self._session.recovery.locate(record, kept)
        result = Result(kept.raw, record.attempt_uuid, kept.position, located.medium)
        if located.medium is None and self._session.fetches_media and expects_file(kept):
            sentence = missing_sentence(self._session, record, kept, located.reason)
            result.medium = MissingMedium(sentence)
            self._job.notices.append(sentence)
        return result

    # --- while it runs -------------------------------------------------------------------------------

    def _on_progress(self, percent: float) -> None:
        self._job.progress = percent
        self._job.changed()

    # --- the end -------------------------------------------------------------------------------------

    async def finish(self, outcome: Outcome, error: TaskError | None) -> None:
        """Wait for the downloads, and complete the run in the log.

        Args:
            outcome: What came.
            error: What ended it, when nothing came.
        """
        await self.storing.finish()
        records = list(self.storing.records.values())
        taken = {result.index for result in outcome.results}
        if not self._session.fetches_media:
            records = [record_of(result) for result in outcome.results]
        free = (index for index in range(len(outcome.results) + len(outcome.errors)) if index not in taken)
        for position, failure in zip(free, outcome.errors, strict=False):
            records.append(ResultRecord(position=position, error=_error_record(failure)))
        record = self._job.record
        state = State.FAILED if not outcome.results else State.PARTIAL if outcome.errors else State.SUCCEEDED
        now = utc_now()
        await self.storing.surely(
            lambda: self._log.finish(
                record.task_uuid, state, at_utc=now, duration_s=outcome.duration_s, cost_usd=outcome.cost_usd,
                error=None if error is None else _error_record(error), records=records, tagged=bool(record.tags),
            ),
            "the end of the run",
        )  # fmt: skip
        record.results, record.finished_at_utc, record.cost_usd = records, now, outcome.cost_usd
        if record.state is not State.DISCARDED:
            record.state = state
        self._lend(outcome)

    async def _unknown(self, error: TaskNotFound) -> None:
        """Record that the service does not know the task: after a day it is lost."""
        record = self._job.record
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(record.created_at_utc)
        # An unknown run may have been paid for however old it is: it stays pending until the user decides. Who sends it
        # again has decided; if the service then still does not know it, it is lost like any other.
        if age >= _LOST_AFTER and (record.state is not State.UNKNOWN or self._may_resend):
            await self._log.finish(record.task_uuid, State.LOST, at_utc=utc_now(), duration_s=None,
                                   cost_usd=None, error=_error_record(error))  # fmt: skip
            record.state = State.LOST

    async def _mark(self, state: State) -> None:
        await self.storing.surely(lambda: self._log.set_state(self._job.task_uuid, state), "the run's state")
        if self._job.record.state is not State.UNKNOWN:  # as the log does
            self._job.record.state = state

    def _lend(self, outcome: Outcome) -> None:
        """Let outcome and results draw themselves."""
        display = self._session.settings.display
        outcome.renderer = OutcomeRenderer(display)
        outcome.presenter = OutcomePresenter(self._job.notices, display)
        prompt = self._job.record.prompt or self._job.record.task_type
        renderer = ResultRenderer(prompt, outcome.task, display)
        for result in outcome.results:
            result.renderer = renderer


def _age_s(at_utc: str | None) -> float:
    if at_utc is None:
        return 0.0
    return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(at_utc)).total_seconds()


def _done() -> asyncio.Future[None]:
    """Make a future that has nothing left to do."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def _note_error(future: asyncio.Future[None]) -> None:
    """Mark a future's error as seen: where both writes fail, the first one's error is the one to raise."""
    if not future.cancelled():
        future.exception()


def _error_record(error: RunwareNBError) -> dict[str, Any]:
    if isinstance(error, TaskError):
        return {"code": error.code, "message": error.problem, "taskUUID": error.task_uuid,
                "parameter": error.parameter, "raw": error.raw}  # fmt: skip
    return {"code": type(error).__name__, "message": error.problem}
