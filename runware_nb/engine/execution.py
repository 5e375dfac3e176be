"""One run on its way: written to the log, sent, followed, its files stored, and its end written to the log."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..core.media_fields import kind_of_field, list_media
from ..core.money import Money
from ..core.parsing import is_uuid
from ..core.results import PARTIAL, Outcome, Result
from ..errors import (
    ConfigError,
    FateUnknown,
    MediaError,
    MediumExpired,
    ProtocolError,
    RunCancelled,
    RunLogError,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ..forking import disconnect, restart_after_fork
from ..media import MissingMedium
from ..net.deadlines import now
from ..providers.attempts import carry_out, raise_if_failed
from ..providers.base import Accepted, Attempt, Provider
from ..remedies import RESUME, Remedy, command
from ..runlog import ResultRecord, RunClaimed, RunRecord, State, TwinExists
from ..runlog.records import is_gone, is_here
from .consent import Consent, limit_of
from .display import OutcomePresenter, OutcomeRenderer, ResultRenderer
from .estimates import estimate
from .guides import Guide, guides_of
from .input_lineage import storable_request
from .job_table import JobTable
from .jobs import Job
from .media_recovery import MediaRecovery, expects_file, missing_sentence
from .media_sources import RemembersUploads, forget_uploads, load_again, upload_media
from .ports import Ports
from .result_storage import ResultSink, record_of
from .text_stream import ArrivingText, partial_of
from .uses import record_takeover

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["RunExecution", "SharedWork", "error_record", "unknown_remedy", "utc_now"]

_LOST_AFTER = dt.timedelta(hours=24)
_JOIN_TRIES = 4
_ON_ITS_WAY_S = 60.0
"""What another living kernel has claimed is on the wire within this time, or never."""
_LOOK_AGAIN_S = 1.0
_LEAST_DOWNLOAD_S = 10.0
"""Time for downloads after a further attempt: it may have waited for a slot, which the first deadline did not count."""


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, with milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def unknown_remedy(record: RunRecord, *, can_find_lost: bool = True) -> Remedy:
    """Return what a user can do about a run whose fate is unknown.

    Args:
        record: The run.
        can_find_lost: Whether its service can be asked for a task whose id never arrived.
    """
    reference = record.task_uuid[:8]
    ends = (command("discard", reference, not_charged=True), command("discard", reference, charged="AMOUNT"))
    if not can_find_lost:
        return Remedy("If the service's website shows what became of it, {0} or {1} ends it.", ends)
    return Remedy(
        "{0} asks the service again. If the service's website shows what became of it, {1} or {2} ends it.",
        (RESUME, *ends),
    )


class SharedWork:
    """What the runs of one session share while they are on their way.

    Attributes:
        ports: Settings, log and services.
        jobs: The jobs in progress.
        consent: What the user has agreed to spend.
        recovery: Finds files of recorded results.
    """

    def __init__(self, ports: Ports, jobs: JobTable, consent: Consent, recovery: MediaRecovery) -> None:
        self.ports = ports
        self.jobs = jobs
        self.consent = consent
        self.recovery = recovery
        self._price_locks: dict[str, asyncio.Lock] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._collecting: dict[str, asyncio.Future[Outcome]] = {}
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: the loop and what runs on it are the parent's."""
        disconnect((), self._background, self._price_locks, self._collecting)
        self._price_locks, self._background, self._collecting = {}, set(), {}

    def price_lock(self, kind: str) -> asyncio.Lock:
        """Return the lock that lets runs of an unknown price be sent one at a time. On the background loop only."""
        return self._price_locks.setdefault(kind, asyncio.Lock())

    def continue_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end. On the background loop only."""
        task = asyncio.create_task(work)
        self._background.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._background.discard)

    async def collect_in_background(self, task_uuid: str, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Wait for a run, until somebody else does. On the background loop only."""
        waiting = self._collecting[task_uuid] = asyncio.ensure_future(work)
        try:
            return await waiting
        finally:
            if self._collecting.get(task_uuid) is waiting:
                del self._collecting[task_uuid]

    async def stop_collecting(self, task_uuid: str) -> None:
        """End the wait for a run in the background, because a cell waits for it now. The run itself goes on."""
        waiting = self._collecting.get(task_uuid)
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])


class RunExecution:
    """One job on its way. As a `RunObserver` it records what happens to its attempts.

    Args:
        shared: What the runs of the session share.
        job: New, or found in the log.
        task: Its task, with the seed picked and the UUID of its last attempt.
        log: Where it is recorded.
    """

    def __init__(self, shared: SharedWork, job: Job, task: Item, log: RunLog) -> None:
        self._shared = shared
        self._ports = ports = shared.ports
        self._job = job
        self._task = task
        self._log = log
        self._prepared: asyncio.Future[None] | None = None
        self._text = ArrivingText(job, log)
        job.keep_text = self._text.keep
        self._refused = 0
        """How many attempts were refused and withdrawn: the log counts those that may have been accepted."""
        self._is_renewed = False
        # A finished run is answered from the log, whoever performed it, and needs no service.
        self._provider = None if job.record.is_finished else ports.provider(job.record.provider)
        self._sink = ResultSink(shared.recovery, self._provider, job, task, log)

    @property
    def _interpreter(self) -> Provider:
        """The provider that understands the records of this run, also if its service is not in use now."""
        service = self._job.record.provider
        return self._provider or self._ports.provider(service if self._ports.serves(service) else "")

    @property
    def provider(self) -> Provider:
        """The service of a run that has not ended."""
        assert self._provider is not None
        return self._provider

    async def run(self, cell_source: str | None) -> Outcome:
        """Send or collect, and record what comes.

        Args:
            cell_source: Source of its cell, for the log.
        """
        record = self._job.record
        if record.is_finished:
            return await self._recall()
        if self._job.is_logged or not self._job.is_new:
            self._log.hold(record)  # it is paid for, perhaps: if the log is replaced meanwhile, it is written again
        if record.state is State.PREPARED and not self._job.is_new:
            raise TaskFailed(f"run {record.task_uuid} was never sent, and cost nothing; run its cell again")
        if not self._job.is_new:
            await self._shared.stop_collecting(record.task_uuid)
            return await self._bring_in(self._collect_patiently())
        async with self._first_of_unknown_price():
            return await self._bring_in(self._send_or_join(cell_source))

    @contextlib.asynccontextmanager
    async def _first_of_unknown_price(self) -> AsyncIterator[None]:
        """Under a budget, send runs of an unknown price one at a time until one has shown what they cost.

        An unknown price cannot be reserved. If several such runs were sent at once, together they could cost more than
        the budget has left, whatever it is.
        """
        record, consent = self._job.record, self._shared.consent
        is_unknown = record.estimate is None and not self._job.is_logged
        if not is_unknown or not await asyncio.to_thread(
            consent.has_budget, record.notebook, record.provider, record.cost_unit
        ):
            yield
            return
        lock = self._shared.price_lock(f"{record.provider} {record.model or record.task_type}")
        async with lock:
            price = await asyncio.to_thread(estimate, self._ports, record.request, record.provider)
            if price.cost is None:
                yield  # the lock is held until the run has ended, and its cost is in the log
                return
        record.estimate = price.cost.amount
        yield

    async def _bring_in(self, work: Awaitable[Outcome]) -> Outcome:
        """Wait for the outcome, and record it or what went wrong."""
        record = self._job.record
        try:
            outcome = await work
        except FateUnknown as error:
            await self._mark_unknown(error)
            if error.remedy is None:
                can_find_lost = self.provider.capabilities.can_find_lost
                error.with_remedy(unknown_remedy(record, can_find_lost=can_find_lost))
            raise
        except TransportTimeout as error:
            self._text.keep()
            if record.attempts and not error.may_have_arrived:
                await self._fail(error)  # proven not to have been sent: there is nothing to collect later
            elif record.attempts:
                await self._mark(State.DETACHED)
                self._shared.continue_in_background(self._collect_later())
                if self._so_far is not None:
                    raise self._incomplete_so_far(error) from error
            raise
        except (TaskError, TransportError, ProtocolError) as error:
            await self._fail(error)
            raise
        except Exception:
            await self._sink.finish()  # what has arrived was paid for, whatever went wrong afterwards
            raise
        await self.finish(outcome, None)
        return outcome

    async def _fail(self, error: TaskError | TransportError | ProtocolError) -> None:
        """Complete the run only where the error says what became of it; else it stays to be collected."""
        self._text.keep()
        attempt_uuid = self._job.record.attempt_uuid
        if isinstance(error, TaskError) and error.outcome is not None:
            await self.finish(error.outcome, error)
        elif isinstance(error, TaskNotFound) and not self._job.is_new:
            await self._unknown(error)
        elif self._job.is_new and not error.may_have_arrived and not self._has_id:
            failure = error if isinstance(error, TaskError) else TaskFailed(error.problem, code="notSent")
            await self.finish(Outcome(self._task, attempt_uuid, [], [failure]), failure)

    @property
    def _has_id(self) -> bool:
        """Whether the service has given the run an id of its own: then it was accepted, whatever an error says."""
        return not self.provider.capabilities.client_chosen_ids and self._job.record.remote_id is not None

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
            record_takeover(self._ports, job, own, cell_source)
        self._task = self._sink.task = {**self._task, "taskUUID": twin.attempt_uuid}  # the file names the attempt
        job.changed()

    async def _collect_patiently(self) -> Outcome:
        """Collect; what another kernel may be sending at this moment is given the time to arrive.

        Sent by both, one of the two would be told that its UUID is taken.
        """
        while True:
            await self._wait_for_sender()
            record = self._job.record
            if record.state is State.DISCARDED and not record.attempts:
                raise RunCancelled(f"Run {record.task_uuid} was discarded before it was sent. It cost nothing.")
            if record.is_finished:
                return await self._recall()
            if not record.attempts:
                raise TaskFailed(
                    f"Run {record.task_uuid[:8]} was refused by its service, and was not sent again. It cost nothing. "
                    "Run its cell again."
                )
            is_due = not self._job.is_joined or is_gone(record.sender) or self._is_overdue
            try:
                return await self._collect(resends=self._may_resend and is_due)
            except TaskNotFound as error:
                # A kernel that is at work records the answers before it downloads their files. Its run is left to it:
                # completed from here, the run would be recorded without the files that it is about to store.
                if is_due:
                    answered = await self._answered_already() or self._broken_off(error)
                    if answered is not None:
                        return answered
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)
            self._take_over(await asyncio.to_thread(self._log.find, record.task_uuid))
            if self._job.record.is_finished:
                return await self._recall()

    @property
    def _is_overdue(self) -> bool:
        """Return whether the kernel that sent a run must have recorded something by now, if it is still at work.

        A text can be streamed for as long as a run may take, and the service may know of it only at its end.
        """
        record = self._job.record
        if record.request.get("deliveryMethod") != "stream":
            return _age_s(record.sent_at_utc) > _ON_ITS_WAY_S
        longest_s = max(_ON_ITS_WAY_S, self._ports.settings.timeout_s)
        return not is_here(record.sender) and _age_s(record.sent_at_utc) > longest_s

    async def _wait_for_sender(self) -> None:
        """Wait as long as another kernel may be about to get the id of the run, or to send it again after a refusal.

        Only the log is looked at. Without an id, a service can at best be searched, and to search it each second would
        use up what the account may ask.
        """
        until = now() + self._ports.settings.timeout_s
        while self._is_with_sender and now() < until:
            await asyncio.sleep(_LOOK_AGAIN_S)
            self._job.record = await asyncio.to_thread(self._log.find, self._job.record.task_uuid)

    @property
    def _is_with_sender(self) -> bool:
        """Whether another kernel sends the run right now, or waits to send it again."""
        record = self._job.record
        if self.provider.capabilities.client_chosen_ids or record.remote_id is not None or is_gone(record.sender):
            return False
        if record.state not in {State.SENT, State.DETACHED, State.PREPARED}:
            return False
        # A request has ended after this time. Only of another process of this machine it is certain that it lives, and
        # records what became of the run: it may wait for its turn for longer.
        return is_here(record.sender) or _age_s(record.sent_at_utc) <= _ON_ITS_WAY_S

    @property
    def _may_resend(self) -> bool:
        """Whether the task may be sent again if the service does not know it.

        Whoever joins a run whose fate is unknown made no decision about it. It may have been accepted, so the service
        is only asked; `resume --send` is the decision to send it again.
        """
        return (
            self._job.resends
            and self.provider.capabilities.resend_is_safe
            and not (self._job.record.state is State.UNKNOWN and self._job.is_joined)
            # A part of its text has arrived, so it was accepted. A service that has forgotten it might charge it again.
            and self._so_far is None
        )

    async def _answered_already(self) -> Outcome | None:
        """Take the answers that were written down before a crash, of a task that the service has forgotten since."""
        record = self._job.record
        kept = [each for each in record.results if each.error is None and each.raw and PARTIAL not in each.raw]
        if len(kept) < self.provider.number_of_results(record.request):
            return None
        outcome = Outcome(dict(record.request), record.attempt_uuid, [], [])
        outcome.results = await asyncio.gather(*(self._recalled(result) for result in kept))
        self._sink.records.update({result.position: result for result in kept})
        return outcome

    @property
    def _so_far(self) -> dict[str, Any] | None:
        """The incomplete text of the run, as far as it has arrived here or in another kernel; None if there is none."""
        return self._text.raw() or partial_of(self._job.record)

    @property
    def _may_still_come(self) -> bool:
        """Whether the rest of a text that has begun may still be had. A service may list it only at its end."""
        return self._so_far is not None and _age_s(self._job.record.created_at_utc) < _LOST_AFTER.total_seconds()

    def _incomplete_so_far(self, late: TransportTimeout) -> TransportTimeout:
        """Build the error of a text that was not complete at the deadline of its run."""
        record = self._job.record
        error = TransportTimeout(
            f"The text of run {record.task_uuid[:8]} is incomplete so far, because the service has not finished it or "
            "does not list it yet. It is charged at most once.",
            task_uuid=record.attempt_uuid,
        ).with_remedy(Remedy("It is collected as soon as it is complete, also by {0}.", (RESUME,)))
        error.outcome = late.outcome
        return error

    def _broken_off(self, error: TaskNotFound) -> Outcome | None:
        """Return the outcome of a run whose text is incomplete, and whose task the service has not listed for a day.

        The text that has arrived proves that the task was accepted and charged. The rest cannot be had without a second
        charge, so the run ends here. Returns None if nothing has arrived, or if the rest may still come: a run
        that ends too early would lose the rest of a text that is paid for.
        """
        record = self._job.record
        raw = self._so_far
        if raw is None or self._may_still_come:
            return None
        lost = TaskFailed(
            "The stream broke off, and the service does not know the task any more. The text is incomplete.",
            task_uuid=record.attempt_uuid, code="streamBroken",
        )  # fmt: skip
        lost.__cause__ = error
        return Outcome(dict(record.request), record.attempt_uuid, [Result(raw, record.attempt_uuid)], [lost])

    async def _send(self, cell_source: str | None) -> Outcome:
        record, settings = self._job.record, self._ports.settings
        prepared = (
            _done()
            if self._job.is_logged
            else self._log.prepare(
                record, cell_source=cell_source, environment=self._ports.environment,
                limit=limit_of(settings, record.cost_unit),
            )
        )  # fmt: skip
        self._prepared = prepared
        try:
            task = self._task if self._job.as_is else self.provider.complete(await self.provider.prepare(self._task))
            return await carry_out(
                self.provider, task, observer=self, limiter=self.provider.limiter, timeout_s=settings.timeout_s,
                renew=None if self._job.as_is else self._renew_media,
            )  # fmt: skip
        finally:
            if not prepared.done():
                await prepared

    async def _renew_media(self, attempt: Attempt, error: TaskError) -> Item | None:
        """Upload media again that the service no longer has; return the task with their new names, or None.

        The service refused the task because of an input, before it accepted anything, so nothing is charged for it, and
        the same task may be sent under a new id. This is done once: if the service refuses new uploads, too, then they
        are not the reason.
        """
        provider = self.provider
        is_about_medium = isinstance(error, MediumExpired) or _names_medium(error)
        has_result = error.outcome is not None and bool(error.outcome.results)
        if not is_about_medium or has_result or not isinstance(provider, RemembersUploads):
            return None
        media = [value for _, value in list_media(attempt.task)]
        named = [number for number, value in enumerate(media) if isinstance(value, str) and is_uuid(value)]
        files = {} if self._is_renewed else await asyncio.to_thread(self._files_of, named)
        self._is_renewed = True
        if not files:
            if isinstance(error, MediumExpired):
                error.args = (_expired_sentence(error, [str(media[number]) for number in named]), *error.args[1:])
            return None
        try:
            task, loaded = await asyncio.to_thread(load_again, attempt.task, files)
            forget_uploads(self._log, provider, loaded)
            renewed = await upload_media(self._log, provider, task)
        except (MediaError, TransportError, ProtocolError, TaskError) as failure:
            error.args = (f"{error.problem.removesuffix('.')}. Uploading it again failed: {failure.problem}",
                          *error.args[1:])  # fmt: skip
            return None
        self._job.notices.append("The service no longer had a source of this task, so it was uploaded again.")
        return provider.complete({name: value for name, value in renewed.items() if name != "taskUUID"})

    def _files_of(self, numbers: list[int]) -> dict[int, Path]:
        """Return the local files of the media of the task, by their numbers. Not on the background loop."""
        inputs = self._job.record.inputs
        found = {}
        for number in numbers:
            path = self._shared.recovery.find_file(inputs[number].get("file")) if number < len(inputs) else None
            if path is not None:
                found[number] = path
        return found

    async def before_attempt(self, attempt: Attempt) -> None:
        """Claim the attempt in the log. It leaves only after this is committed. See `RunObserver`."""
        record, task = self._job.record, attempt.task
        # Nothing is awaited between the slot and this line. From here on the run counts as sent: Stop and close leave
        # it alone, because its claim is being written and its first byte may follow.
        self._set_deadline(self._ports.settings.timeout_s if attempt.number == 1 else _LEAST_DOWNLOAD_S)
        if not self._job.is_leaving:
            self._job.is_leaving = True
            self._shared.jobs.count_sent(self._job.scope)
        record.request = storable_request(task)
        number, at_utc = attempt.number - self._refused, utc_now()
        claimed = self._log.mark_sent(
            record.task_uuid, attempt.attempt_uuid, number, at_utc, json.dumps(record.request),
            remote_id=attempt.remote_id,
        )  # fmt: skip
        claimed.add_done_callback(_note_error)
        if self._prepared is not None:
            await self._prepared  # queued one behind the other, both usually go into one commit
        await claimed
        record.attempt_uuid, record.attempts, record.sent_at_utc = attempt.attempt_uuid, number, at_utc
        record.remote_id = attempt.remote_id
        self._job.waiting = None
        if record.state is State.PREPARED:
            record.state = State.SENT
        self._task = self._sink.task = task
        self._job.changed()

    async def on_refused(self, attempt: Attempt) -> None:
        """Withdraw the claim of an attempt that the service refused. See `RunObserver`.

        A run that waits to be sent again has not been accepted, so nothing of it is charged. With its claim in the log,
        a kernel that dies in this wait would leave it as one of unknown fate, and Stop would let it be sent and charged
        later. Where we choose the id of an attempt, the service can be asked for it, and the claim stays.
        """
        record = self._job.record
        if self.provider.capabilities.client_chosen_ids:
            return
        try:
            await self._log.mark_refused(record.task_uuid, attempt.attempt_uuid)
        except RunLogError:
            return  # the claim stays: the safe side, since a run with a claim is never sent again by itself
        self._refused = attempt.number
        record.attempts, record.sent_at_utc = 0, None
        self._shared.jobs.count_unsent(self._job.scope)
        if record.state is State.DISCARDED:  # the user has hidden it meanwhile, and now it costs nothing to drop it
            await self._log.drop_unsent(record.task_uuid, utc_now())
            raise RunCancelled(f"Run {record.task_uuid} was discarded, and the service refused it. It cost nothing.")
        record.state = State.PREPARED
        self._job.is_leaving = False  # from here on, until the next claim, it can be withdrawn
        self._job.changed()

    async def on_accepted(self, accepted: Accepted) -> None:
        """Record the service's id: without it, nobody could collect the results. See `RunObserver`."""
        record = self._job.record
        if record.remote_id == accepted.remote_id:
            return
        await self._sink.surely(
            lambda: self._log.accepted(record.task_uuid, accepted.remote_id, utc_now()),
            f"The service's id of run {record.task_uuid[:8]}, {accepted.remote_id},",
        )
        record.remote_id = accepted.remote_id
        if record.state in {State.SENT, State.UNKNOWN}:
            record.state = State.ACCEPTED
        self._job.changed()

    def on_result(self, result: Result) -> None:
        """Record and store a result. See `RunObserver`."""
        result.performer = self._ports.performer  # it may be used before the others are here
        self._text.complete()
        self._sink.take(result)

    def on_text(self, text: str, reasoning: str) -> None:
        """Show a piece of a text, and keep it in the log. See `RunObserver`."""
        self._text.add(text, reasoning)

    def on_progress(self, percent: float) -> None:
        """Show the progress. See `RunObserver`."""
        self._job.progress, self._job.waiting = percent, None
        self._job.changed()

    def on_waiting(self, reason: str | None) -> None:
        """Show why the task waits. See `RunObserver`."""
        if self._job.waiting != reason:  # a poll repeats it every few seconds
            self._job.waiting = reason
            self._job.changed()

    async def _collect(
        self, timeout_s: float | None = None, *, resends: bool | None = None, has_begun: bool = False
    ) -> Outcome:
        """Wait for an attempt that was sent before.

        Raises:
            FateUnknown: The service chose no id that arrived here, and cannot be asked for the attempt.
            TaskNotFound: The service does not know it.
        """
        record = self._job.record
        self._sink.deadline = None
        if timeout_s is None:
            timeout_s = self._ports.settings.timeout_s
            self._set_deadline(timeout_s)
        deadline = now() + timeout_s
        attempt = Attempt(
            self._task, max(1, record.attempts), record.remote_id,
            may_resend=self._may_resend if resends is None else resends, has_begun=has_begun or self._may_still_come,
        )  # fmt: skip
        try:
            accepted = await self._located(attempt, deadline)
            return raise_if_failed(await self.provider.follow(accepted, self, deadline))
        except (TaskError, TransportError, ProtocolError) as error:
            # The attempt was sent before. What fails now is a question about it, and that proves nothing about the
            # attempt, which may be running and charged. Only what the service states about the task itself, which is an
            # outcome, ends the run.
            is_question = not isinstance(error, TaskError) or error.outcome is None
            if is_question and not self.provider.capabilities.client_chosen_ids:
                error.may_have_arrived = True
            raise

    async def _located(self, attempt: Attempt, deadline: float) -> Accepted:
        """Find an attempt that was sent before, and record its id.

        Raises:
            FateUnknown: The service chose no id that arrived here, and cannot be asked for the attempt.
        """
        record = self._job.record
        accepted = await self.provider.locate(attempt, deadline)
        if accepted is None:
            can_find_lost = self.provider.capabilities.can_find_lost
            why = "the service does not list it" if can_find_lost else "the service cannot be asked for it"
            raise FateUnknown(
                f"Run {record.task_uuid[:8]} was sent, and the response of {record.provider} with its id was lost. It "
                f"may have been accepted and charged, and {why}. It is not sent again."
            ).with_remedy(unknown_remedy(record, can_find_lost=can_find_lost))
        # An id that we chose proves nothing: whether the service knows it is found out by asking.
        if not self.provider.capabilities.client_chosen_ids:
            await self.on_accepted(accepted)
        return accepted

    async def _collect_later(self) -> None:
        """Go on asking for a task whose deadline has passed, so that its result reaches the log all the same."""
        try:
            try:
                # A text that is still written may be listed only at its end, also if no piece of it has come yet.
                is_streamed = self._job.record.request.get("deliveryMethod") == "stream"
                outcome = await self._shared.collect_in_background(
                    self._job.task_uuid, self._collect(timeout_s=_LOST_AFTER.total_seconds(), has_begun=is_streamed)
                )
            except TransportTimeout:
                if self._so_far is None:
                    raise
                # A day is over: what the service does not list now has ended.
                outcome = await self._collect(timeout_s=max(_ON_ITS_WAY_S, self._ports.settings.timeout_s))
        except FateUnknown as error:
            await self._mark_unknown(error)
        except (TaskError, TransportError, ProtocolError) as error:
            incomplete = self._broken_off(error) if isinstance(error, TaskNotFound) else None
            if incomplete is not None:
                await self.finish(incomplete, None)
            else:
                await self._fail(error)
        else:
            await self.finish(outcome, None)

    def _set_deadline(self, timeout_s: float) -> None:
        """Let downloads take until then, or longer if they may already: the deadline of a run is one for all of it."""
        deadline = time.monotonic() + timeout_s
        self._sink.deadline = max(deadline, self._sink.deadline or deadline)

    async def _recall(self) -> Outcome:
        """Give a finished run as the log has it."""
        record = self._job.record
        outcome = Outcome(dict(record.request), record.attempt_uuid, [], [], record.duration_s, self._job.is_recorded)
        if record.cost is not None and record.cost_unit == "credits":
            outcome.charged = Money(record.cost, record.cost_unit)  # it is the price of the run, and not of each result
        outcome.errors = [self._error_of(kept.error) for kept in record.results if kept.error is not None]
        recalled = (self._recalled(kept) for kept in record.results if kept.error is None)
        outcome.results = await asyncio.gather(*recalled)
        if not outcome.results and record.error is not None:
            error = self._error_of(record.error)
            error.outcome = outcome
            raise error
        if record.error is not None and any(result.is_partial for result in outcome.results):
            outcome.errors = [self._error_of(record.error)]
        self._lend(outcome)
        return outcome

    async def _recalled(self, kept: ResultRecord) -> Result:
        """Build a recorded result, with its file if it is here or can be downloaded; nothing is paid for again."""
        record = self._job.record
        located = await self._shared.recovery.locate(record, kept)
        result = Result(kept.raw, record.attempt_uuid, kept.position, located.medium)
        if located.medium is None and self._ports.fetches_media and expects_file(kept):
            sentence = missing_sentence(self._ports, record, kept, located.reason)
            result.medium = MissingMedium(sentence)
            self._job.notices.append(sentence)
        return result

    # --- the end -------------------------------------------------------------------------------------

    async def finish(self, outcome: Outcome, error: TaskError | None) -> None:
        """Wait for the downloads, and complete the run in the log.

        Args:
            outcome: What came.
            error: What ended it, when nothing came.
        """
        await self._sink.finish()
        self._text.complete()
        records = list(self._sink.records.values())
        is_partial = any(result.is_partial for result in outcome.results)
        if is_partial and error is None and outcome.errors:
            error = outcome.errors[0]  # it is about the result that is there, and has no place of its own
        taken = {result.index for result in outcome.results}
        if is_partial or not self._ports.fetches_media:
            records = [record_of(result) for result in outcome.results]
        free = (index for index in range(len(outcome.results) + len(outcome.errors)) if index not in taken)
        for position, failure in zip(free, () if is_partial else outcome.errors, strict=False):
            records.append(ResultRecord(position=position, error=error_record(failure)))
        record = self._job.record
        state = State.FAILED if not outcome.results else State.PARTIAL if outcome.errors else State.SUCCEEDED
        at_utc, cost = utc_now(), outcome.cost
        if cost is not None and cost.unit != record.cost_unit:
            cost = None  # an amount in a unit that was not announced says nothing about what the run cost
        await self._sink.surely(
            lambda: self._log.finish(
                record.task_uuid, state, at_utc=at_utc, duration_s=outcome.duration_s, cost=cost,
                error=None if error is None else error_record(error), records=records, tagged=bool(record.tags),
            ),
            "the end of the run",
        )  # fmt: skip
        record.results, record.finished_at_utc = records, at_utc
        record.cost = None if cost is None else cost.amount
        record.error = record.error if error is None else error_record(error)
        if record.state is not State.DISCARDED:
            record.state = state
        self._lend(outcome)

    async def _unknown(self, error: TaskNotFound) -> None:
        """Record that the service does not know the task: after a day it is lost."""
        record = self._job.record
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(record.created_at_utc)
        if self._has_id:
            # It was accepted, and may be charged. That the service does not know it now may as well mean that another
            # account is asked, so the user decides.
            if age >= _LOST_AFTER:
                lost = FateUnknown(
                    f"The service accepted the run as {record.remote_id}, and does not know it any more."
                )
                await self._mark_unknown(lost)
            return
        # An unknown run may have been paid for however old it is: it stays pending until the user decides. Who sends it
        # again has decided; if the service then still does not know it, it is lost like any other.
        if age >= _LOST_AFTER and (record.state is not State.UNKNOWN or self._may_resend):
            await self._log.finish(record.task_uuid, State.LOST, at_utc=utc_now(), duration_s=None,
                                   cost=None, error=error_record(error))  # fmt: skip
            record.state = State.LOST

    async def _mark_unknown(self, error: FateUnknown) -> None:
        """Record that nobody can tell whether the service accepted the run. What was reserved for it stays reserved."""
        record = self._job.record
        await self._sink.surely(
            lambda: self._log.mark_unknown(record, error_record(error), utc_now()), "the run's state"
        )
        # What another kernel has found out, or claimed, meanwhile is newer than what is known here.
        with contextlib.suppress(RunLogError):
            current = await asyncio.to_thread(self._log.find, record.task_uuid)
            record.state, record.error = current.state, current.error

    def _error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error that the log recorded, in the classes of the service that raised it."""
        return self._interpreter.error_of(kept)

    async def _mark(self, state: State) -> None:
        await self._sink.surely(lambda: self._log.set_state(self._job.task_uuid, state), "the run's state")
        if self._job.record.state is not State.UNKNOWN:  # as the log does
            self._job.record.state = state

    def _guides(self) -> tuple[Guide, ...]:
        try:
            return guides_of(self._job.record, self._ports.media.folder)
        except ConfigError:  # the bucket cannot be used; the results, which are paid for, are shown all the same
            return ()

    def _lend(self, outcome: Outcome) -> None:
        """Let outcome and results draw themselves, and start operations on themselves."""
        display = self._ports.settings.display
        # as the log has it: an inline medium is named by its hash, and no secret is shown
        description = self._interpreter.describe(storable_request(outcome.task))
        guides = self._guides()
        outcome.renderer = OutcomeRenderer(description, display, guides)
        outcome.presenter = OutcomePresenter(self._job.notices, description, display, guides)
        renderer = ResultRenderer(description, display, outcome.task)
        outcome.performer = performer = self._ports.performer
        for result in outcome.results:
            result.renderer, result.performer = renderer, performer


def _names_medium(error: TaskError) -> bool:
    """Return whether the service refused a parameter that is a medium, such as `inputs.seedImage`."""
    if not isinstance(error, TaskInvalid) or not error.parameter:
        return False
    names = error.parameter.replace("[", ".").split(".")
    return any(kind_of_field(name) is not None for name in names)


def _expired_sentence(error: TaskError, named: list[str]) -> str:
    which = f" {named[0]}" if len(named) == 1 else f" (one of {', '.join(named)})" if named else ""
    place = f" of {error.parameter}" if error.parameter else ""
    return (
        f"The service does not have the medium{which}{place}, or no longer: uploads expire 30 days after their last "
        "use. Nothing was charged. Give the file itself, which is then uploaded again."
    )


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


def error_record(error: RunwareNBError) -> dict[str, Any]:
    """Return an error as the log records it."""
    if isinstance(error, TaskError):
        return {"code": error.code, "message": error.problem, "taskUUID": error.task_uuid,
                "parameter": error.parameter, "raw": error.raw}  # fmt: skip
    return {"code": type(error).__name__, "message": error.problem}
