"""Sending a task under one UUID and following it to its end, however often the connection breaks.

What to do at each point is decided in `fate.py`; here it is done: connections, the clock, and the error texts.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...core.items import Item
from ...core.redaction import host_of
from ...core.results import Outcome, Result, is_final
from ...core.retry import Step, decide
from ...errors import (
    ProtocolError,
    RunwareNBError,
    TaskError,
    TaskInvalid,
    TransportError,
    TransportTimeout,
)
from ...net.deadlines import Deadline
from ...net.proxies import proxy_for, unreachable
from ...settings import Settings
from ..attempts import add_reason, pause
from ..base import Accepted, Attempt, Capabilities, NextAttempt, RunObserver
from .attempt import TrackedAttempt, now
from .classify import task_error
from .concurrency import ConcurrencyLimiter
from .connection import Connection
from .fate import (
    Action,
    Actions,
    Event,
    Expired,
    Fate,
    Finish,
    ForgetPoll,
    Late,
    Leaving,
    Locate,
    Located,
    LocateFailed,
    NotConnected,
    Pause,
    Poll,
    PollEnded,
    PollFailed,
    PollSent,
    PollStarted,
    Raise,
    Resume,
    Send,
    SendFailed,
    SendStarted,
    Sent,
    SlowDown,
    Started,
    Tick,
    TryAgain,
    Wait,
)
from .fate import NextAttempt as AnotherAttempt
from .frames import Frame, frame_of, names_task, split_orphans
from .router import Router
from .stream_reader import open_stream
from .tasks import is_utility, require_streamable

__all__ = ["UTILITY_TIMEOUT_S", "Tracker", "jitter"]

UTILITY_TIMEOUT_S = 60.0
CAPABILITIES = Capabilities(
    client_chosen_ids=True, resend_is_safe=True, can_find_lost=True, pushes_results=True, webhooks="unsigned",
    money="USD",
)  # fmt: skip
_IS_SENT = (Wait, Poll, Locate, Finish)
"""Duties that come once an attempt was handed to a connection."""
_NOT_REPEATED = {"delete", "modelUpload"}  # done twice, these would fail the second time
_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone


def jitter() -> float:
    """Give a random number in [0, 1) that spreads retries."""
    return _chance.random()


class Tracker:
    """Carries tasks and utilities over a connection.

    Args:
        settings: Bounds.
        board: Where what arrives is noted.
        connection: The way to the service.
        slots: Told when the service asks to slow down.
    """

    def __init__(self, settings: Settings, board: Router, connection: Connection, slots: ConcurrencyLimiter) -> None:
        self._settings = settings
        self._router = board
        self._connection = connection
        self._limiter = slots

    # --- the part of the provider that sends ---------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """What Runware can do."""
        return CAPABILITIES

    def first_attempt(self, task: Item) -> Attempt:
        """Build the first attempt of a task. See `Sender.first_attempt`."""
        require_streamable(task)
        if is_utility(task["taskType"]):
            return Attempt(task, is_free=True)
        return self._attempt(task, Fate.unsent(task, max_retries=self._settings.max_retries))

    def _attempt(self, task: Item, fate: Fate) -> Attempt:
        return Attempt(task, fate.attempt, task["taskUUID"], state=TrackedAttempt(task, fate))

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """Send an attempt until it is handed to a connection, or has ended. See `Sender.submit`.

        Its id is ours, and a task that is sent twice under one UUID is charged once. So the ladder for an attempt of
        unknown fate, further sending included, is part of following it.
        """
        flight: TrackedAttempt | None = attempt.state
        if flight is not None:  # a utility costs nothing: it is asked in `follow`
            self._enter(flight)
            try:
                async with Deadline(deadline, lambda: self._expired(flight)):
                    actions = flight.advance(Started(deadline, flight.report(jitter())))
                    flight.duty = await self._advance(flight, actions, deadline, until=_IS_SENT)
            except BaseException:
                await self._leave(flight)
                raise
        return Accepted(attempt, attempt.attempt_uuid)

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """Bring an attempt to its end, however often the connection breaks. See `Sender.follow`.

        Raises:
            TaskInvalid: A task of this UUID is on its way already.
            TransportTimeout: The deadline, by the monotonic clock, is over; the task goes on.
            TransportError: It was lost sight of; `.outcome` has what came.
            TaskError: The service refused to answer about it at all.
        """
        flight: TrackedAttempt | None = accepted.attempt.state
        if flight is None:
            return await self._run_utility(accepted.attempt.task, deadline)
        if flight.duty is None:  # it was sent earlier, perhaps by another process
            self._enter(flight)
        try:
            flight.listen(observer)
            duty = flight.duty
            if not isinstance(duty, Finish):
                async with Deadline(deadline, lambda: self._expired(flight)):
                    if duty is None:
                        actions = flight.advance(Started(deadline, flight.report(jitter())))
                    else:
                        actions = flight.advance(await self._perform(flight, duty, deadline))
                    duty = await self._advance(flight, actions, deadline, until=Finish)
            outcome = flight.doubted if isinstance(duty, Finish) and duty.is_doubted else flight.outcome()
        finally:
            await self._leave(flight)
        if outcome.results:
            self._limiter.limit.on_success()
        return outcome

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted:
        """Return an attempt that was sent before. Whether the service knows it is asked first when it is followed."""
        del deadline
        fate = Fate.sent_before(
            attempt.task, max_retries=self._settings.max_retries, resends=attempt.may_resend,
            has_begun=attempt.has_begun,
        )  # fmt: skip
        return Accepted.of(replace(attempt, state=TrackedAttempt(attempt.task, fate)), attempt.attempt_uuid)

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """Decide whether another attempt follows; `fate.py` states the reasons. See `Sender.next_attempt`."""
        del error  # it is in the state
        flight: TrackedAttempt | None = attempt.state
        actions = () if flight is None else flight.advance(TryAgain(jitter(), str(uuid.uuid4())))
        if flight is None or not actions:
            return None
        if any(isinstance(action, SlowDown) for action in actions):
            self._limiter.limit.on_rate_limited()
        following = actions[-1]
        if not isinstance(following, AnotherAttempt):
            return None
        task = {**attempt.task, "taskUUID": flight.fate.task_uuid}
        return NextAttempt(self._attempt(task, flight.fate), following.delay_s)

    # --- inside --------------------------------------------------------------------------------------

    def _enter(self, flight: TrackedAttempt) -> None:
        if flight.task_uuid in self._router.flights:
            raise TaskInvalid(f"task {flight.task_uuid} is on its way already", task_uuid=flight.task_uuid)
        self._router.flights[flight.task_uuid] = flight

    async def _leave(self, flight: TrackedAttempt) -> None:
        await flight.stop_reading()
        if self._router.flights.get(flight.task_uuid) is flight:
            del self._router.flights[flight.task_uuid]

    async def _advance(
        self,
        flight: TrackedAttempt,
        actions: Actions,
        deadline: float,
        *,
        until: type[Action] | tuple[type[Action], ...],
    ) -> Action:
        """Perform one duty after the other, and return the first one of the kind *until*, not yet performed."""
        while True:
            duty = self._duty(flight, actions)
            # Once the task may have arrived, results may come at any moment, and only `follow` records them.
            has_left = isinstance(duty, Pause) and flight.fate.has_left
            if isinstance(duty, until) or (until is _IS_SENT and has_left):
                return duty
            if isinstance(duty, Raise):
                raise self._final_error(flight, duty, deadline)
            if isinstance(duty, Late):
                raise self._too_late(flight) from duty.cause
            actions = flight.advance(await self._perform(flight, duty, deadline))

    async def _run_utility(self, wire: Item, deadline: float) -> Outcome:
        """Ask a question that costs nothing, such as a model search."""
        task = {name: value for name, value in wire.items() if name != "taskUUID"}
        until = is_final if wire["taskType"] == "modelUpload" else None
        started_at = now()
        items = await self.call(task, task_uuid=wire["taskUUID"], until=until, timeout_s=deadline - started_at)
        results = [Result(item, wire["taskUUID"], index) for index, item in enumerate(items)]
        return Outcome(wire, wire["taskUUID"], results, [], now() - started_at)

    def _duty(self, flight: TrackedAttempt, actions: Actions) -> Action:
        """Return the action that is to be performed next, after those that accompany it."""
        for action in actions[:-1]:
            if isinstance(action, SlowDown):
                self._limiter.limit.on_rate_limited()
            elif isinstance(action, ForgetPoll):
                self._router.forget_poll(flight)
        return actions[-1]

    async def _perform(self, flight: TrackedAttempt, duty: Action, deadline: float) -> Event:
        """Perform a duty, and return the event that ends it."""
        match duty:
            case Wait(until):
                await self._router.wait(flight, until)
                return Tick(flight.report(jitter()))
            case Send():
                return await self._send(flight, deadline)
            case Poll(is_repeat):
                return await self._poll(flight, deadline, is_repeat=is_repeat)
            case Locate():
                return await self._locate(flight)
            case Pause(delay_s):
                await asyncio.sleep(delay_s)
                return Resume(flight.report(jitter()))
        raise AssertionError(f"{duty!r} is no duty")

    async def _send(self, flight: TrackedAttempt, deadline: float) -> Event:
        if flight.task.get("deliveryMethod") == "stream":
            return await self._send_streamed(flight, deadline)
        try:
            transport = await self._connection.ready()
        except (TransportError, ProtocolError, TaskError) as error:
            return NotConnected(error, flight.report(jitter()))
        if flight.fate.times_sent:
            flight.collector.forget_errors()
        flight.advance(SendStarted())

        def on_leaving() -> None:
            flight.advance(Leaving())

        try:
            await transport.send([flight.task], timeout_s=max(0.1, deadline - now()), on_leaving=on_leaving)
        except (TransportError, ProtocolError, TaskError) as error:
            return SendFailed(error, flight.report(jitter()))
        return Sent(transport.pushes, flight.report(jitter()))

    async def _send_streamed(self, flight: TrackedAttempt, deadline: float) -> Event:
        """Send a task whose text is streamed, until its response begins. The rest is read in the background."""
        await flight.stop_reading()
        try:
            transport = self._connection.rest()
        except (TransportError, ProtocolError, TaskError) as error:
            return NotConnected(error, flight.report(jitter()))
        if flight.fate.times_sent:
            flight.collector.forget_errors()
        flight.advance(SendStarted())
        try:
            is_stream = await open_stream(flight, transport, self._router, timeout_s=max(0.1, deadline - now()))
        except (TransportError, ProtocolError, TaskError) as error:
            return SendFailed(error, flight.report(jitter()))
        return Sent(is_stream, flight.report(jitter()))

    async def _poll(self, flight: TrackedAttempt, deadline: float, *, is_repeat: bool) -> Event:
        flight.collector.wants_poll = False
        try:
            transport = await self._connection.ready()
            if not is_repeat:
                flight.collector.begin_poll()
                flight.advance(PollStarted())
            poll = {"taskType": "getResponse", "taskUUID": flight.task_uuid}
            if not transport.pushes:
                return PollEnded(await self._exchange_poll(flight, poll, deadline), flight.report(jitter()))
            if is_repeat:
                self._router.forget_poll(flight)  # the one that it repeats
            self._router.expect_poll(flight)
            await transport.send([poll], timeout_s=max(0.1, deadline - now()))
        except (TransportError, ProtocolError, TaskError) as error:
            return PollFailed(error, flight.report(jitter()))
        return PollSent(flight.report(jitter()))

    async def _exchange_poll(self, flight: TrackedAttempt, poll: Item, deadline: float) -> bool:
        """Send a poll over REST, and return whether the service knows the task."""
        response = await self._connection.rest().exchange(
            [poll], timeout_s=min(UTILITY_TIMEOUT_S, max(0.1, deadline - now()))
        )
        frame, orphans = split_orphans(response, [poll])
        if frame.items or frame.errors:
            self._router.on_frame(frame)
        if flight.fate.poll_answer is not None:
            flight.collector.settle_poll()
            return flight.fate.poll_answer
        status = frame.http_status or 200
        if orphans or status >= 400:
            entry = orphans[0] if orphans else {"message": f"HTTP {status} in response to a poll"}
            raise task_error(entry, http_status=status, retry_after_s=frame.retry_after_s)
        return bool(frame.items or frame.errors)  # items and errors of other tasks prove nothing about this one

    async def _locate(self, flight: TrackedAttempt) -> Event:
        try:
            details = await self.ask({"taskType": "getTaskDetails"}, task_uuid=flight.task_uuid)
        except (TransportError, ProtocolError, TaskError) as error:
            return LocateFailed(error, flight.report(jitter()))
        frame = archived_frame(details, flight.task_uuid)
        if frame.items or frame.errors:
            self._router.hand_over(flight, frame.items, frame.errors, frame)
        return Located(flight.report(jitter()))

    def _final_error(self, flight: TrackedAttempt, ended: Raise, deadline: float) -> RunwareNBError:
        """Complete the error in which an attempt ends."""
        error = ended.error
        if isinstance(error, TransportError | ProtocolError | TaskError):
            error.may_have_arrived = ended.may_have_arrived
        if isinstance(error, TransportError):
            error.outcome = flight.outcome()
        if ended.delay_s is not None:
            add_reason(error, ended.delay_s, max(0.0, deadline - now()))
        return error

    def _expired(self, flight: TrackedAttempt) -> TransportTimeout:
        flight.advance(Expired())
        return self._too_late(flight)

    async def ask(
        self,
        task: Mapping[str, Any],
        *,
        task_uuid: str | None = None,
        over_rest: bool = False,
        timeout_s: float = UTILITY_TIMEOUT_S,
    ) -> Item:
        """Send a utility task and return its only item; a duplicate response counts once. See `call`."""
        return (await self.call(task, task_uuid=task_uuid, over_rest=over_rest, timeout_s=timeout_s))[0]

    async def call(
        self,
        task: Mapping[str, Any],
        *,
        task_uuid: str | None = None,
        over_rest: bool = False,
        until: Callable[[Item], bool] | None = None,
        timeout_s: float = UTILITY_TIMEOUT_S,
    ) -> list[Item]:
        """Send a utility task and give what it is answered with; reading may be repeated freely.

        Args:
            task: In wire spelling.
            task_uuid: Its UUID; a fresh one where None, none at all where empty.
            over_rest: Whether it goes over REST whatever carries the tasks, as large bodies should.
            until: Tells an answer from news on the way to it; the first answer counts where None.
            timeout_s: Longest time for all of it, every try and pause included, in seconds.

        Raises:
            TransportTimeout: No answer came.
            TransportError: The service could not be reached.
            TaskError: It was refused.
        """
        task_uuid = str(uuid.uuid4()) if task_uuid is None else task_uuid
        wire = {**task, "taskUUID": task_uuid} if task_uuid else dict(task)
        task_type = str(task["taskType"])
        deadline = now() + timeout_s

        def late() -> TransportTimeout:
            return TransportTimeout(f"no response to {task_type} within {timeout_s:.3g} s")

        async with Deadline(deadline, late):
            failures = 0
            while True:
                answer = self._router.expect_call(task_type, task_uuid, until=until)
                try:
                    transport = self._connection.rest() if over_rest else await self._connection.ready()
                    await transport.send([wire], timeout_s=max(0.1, deadline - now()))
                    return await asyncio.wait_for(answer, None if transport.pushes else 0.01)
                except TimeoutError as error:
                    raise (error if isinstance(error, TransportTimeout) else late()) from None
                except (TransportError, ProtocolError, TaskError) as error:
                    failures += 1
                    decision = decide(error, attempt=failures, max_retries=self._settings.max_retries,
                                      long_running=False, has_results=False, jitter=jitter())  # fmt: skip
                    if decision.step is Step.GIVE_UP or {task.get("operation"), task_type} & _NOT_REPEATED:
                        raise
                    await pause(decision.delay_s, deadline, error)
                finally:
                    self._router.forget_call(task_type, task_uuid)

    def _too_late(self, flight: TrackedAttempt) -> TransportTimeout:
        """Build the error of a task whose deadline has passed. The message depends on whether a byte has left."""
        if flight.fate.has_left:
            complaint = flight.fate.complaint
            last = f". The service last reported: {complaint}" if complaint is not None else ""
            late = TransportTimeout(
                f"task {flight.task_uuid} had not finished at its deadline; it goes on at the service and can be "
                f"collected later{last}",
                task_uuid=flight.task_uuid,
            )
        else:  # nothing was handed to a connection, so the service cannot have charged for it
            settings = self._settings
            url = settings.rest_url if settings.transport == "rest" else settings.ws_url
            sentence = unreachable(host_of(url), "no connection before the deadline", proxy_for(url))
            late = TransportTimeout(
                f"task {flight.task_uuid} was not sent, and cost nothing: {sentence}", may_have_arrived=False
            )
        late.outcome = flight.outcome()
        return late


def archived_frame(details: Item, task_uuid: str) -> Frame:
    """Return the part of an archived response that concerns a task; an empty frame if there is none.

    The archive has the response to a whole request, so entries that name another task are left out. An error without a
    name is this task's only if the request held no other.
    """
    try:
        frame = frame_of(details.get("response"))
    except ProtocolError:
        return Frame()
    request = details.get("request")
    tasks = [task for task in request if isinstance(task, dict)] if isinstance(request, list) else []
    is_alone = len([task for task in tasks if task.get("taskType") != "authentication"]) == 1
    items = [item for item in frame.items if item.get("taskUUID", task_uuid) == task_uuid]
    errors = [{**error, "taskUUID": task_uuid} for error in frame.errors
              if error.get("taskUUID") == task_uuid or (is_alone and not names_task(error))]  # fmt: skip
    return Frame(tuple(items), tuple(errors))
