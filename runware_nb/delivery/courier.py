"""Sending a task under one UUID and following it to its end, however often the connection breaks.

The ladder where the fate of an attempt is unknown: what the service replays by itself; `getResponse`;
`getTaskDetails`; and only if it is still unknown, the task again under the same UUID. A *conflict* in answer to
our own second sending means that the first was accepted.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import (
    AuthenticationFailed,
    OutOfCredit,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ..settings import Settings
from ..transport.deadlines import Deadline
from ..transport.proxies import proxy_for, unreachable
from ..wire.classify import CONFLICT, task_error
from ..wire.frames import Frame, Item, frame_of, names_task, split_orphans
from ..wire.polling import SYNC_SILENCE_S, UNANSWERED_POLL_S, first_poll_s, poll_delay_s
from ..wire.redact import host_of
from ..wire.results import Outcome
from ..wire.retries import Step, decide, refuses_request
from .board import Board
from .connection import Connection
from .flight import Flight, now
from .slots import Slots

__all__ = ["UTILITY_TIMEOUT_S", "Courier", "jitter", "pause"]

UTILITY_TIMEOUT_S = 60.0
_LONGEST_SILENCE_S = 120.0
_MOST_UNKNOWN = 8
_NOT_REPEATED = {"delete", "modelUpload"}  # done twice, these would fail the second time
_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone


def jitter() -> float:
    """Give a random number in [0, 1) that spreads retries."""
    return _chance.random()


async def pause(delay_s: float, deadline: float, error: RunwareNBError) -> None:
    """Wait before another try. If the deadline comes first, raise the error at once, and state why.

    Args:
        delay_s: Seconds to wait. It may be a server's `Retry-After`, which can be any number.
        deadline: By the monotonic clock, in seconds.
        error: What the last try ended with.

    Raises:
        RunwareNBError: *error*, if the wait would end after the deadline.
    """
    left_s = max(0.0, deadline - now())
    if not delay_s < left_s:
        reason = f"The next try would be in {delay_s:.3g} s, but only {left_s:.3g} s are left of the time limit"
        error.args = (f"{str(error).removesuffix('.')}. {reason}", *error.args[1:])
        raise error
    await asyncio.sleep(delay_s)


class Courier:
    """Carries tasks and utilities over a connection.

    Args:
        settings: Bounds.
        board: Where what arrives is noted.
        connection: The way to the service.
        slots: Told when the service asks to slow down.
    """

    def __init__(self, settings: Settings, board: Board, connection: Connection, slots: Slots) -> None:
        self._settings = settings
        self._board = board
        self._connection = connection
        self._slots = slots

    async def fly(self, flight: Flight, deadline: float) -> Outcome:
        """Bring one attempt to its end.

        Raises:
            TaskInvalid: A task of this UUID is on its way already.
            TransportTimeout: The deadline, by the monotonic clock, is over; the task goes on.
            TransportError: It was lost sight of; `.outcome` has what came.
            TaskError: The service refused to answer about it at all.
        """
        if flight.task_uuid in self._board.flights:
            raise TaskInvalid(f"task {flight.task_uuid} is on its way already", task_uuid=flight.task_uuid)
        self._board.flights[flight.task_uuid] = flight
        failures = 0
        try:
            async with Deadline(deadline, lambda: self._too_late(flight)):
                while True:
                    try:
                        if not flight.is_sent and flight.is_ours:
                            await self._submit(flight, deadline)
                        return await self._follow(flight, deadline)
                    except (TransportError, ProtocolError, TaskError) as error:
                        failures += 1
                        flight = self._board.flights.get(flight.task_uuid, flight)  # see `_confirmed`
                        await self._weigh(flight, error, failures, deadline)
        finally:
            self._board.flights.pop(flight.task_uuid, None)

    async def _weigh(
        self, flight: Flight, error: TransportError | ProtocolError | TaskError, failures: int, deadline: float
    ) -> None:
        """Decide what a failure means for a flight: another try after a pause, or its end."""
        if isinstance(error, RateLimited):
            self._slots.limit.on_rate_limited()
        decision = decide(error, attempt=failures, max_retries=self._settings.max_retries,
                          task_type=flight.task_type, has_results=False, jitter=jitter())  # fmt: skip
        # The decision is about this try. The error is about the task: an earlier try may have arrived, and then the
        # run must not be recorded as never sent, even if this try certainly did not arrive.
        error.may_have_arrived = error.may_have_arrived or flight.has_left
        if isinstance(error, TransportError):
            error.outcome = flight.outcome()
        if decision.step not in {Step.ASK_FIRST, Step.SEND_AGAIN}:
            raise error
        await pause(decision.delay_s, deadline, error)
        flight.should_ask = decision.step is Step.ASK_FIRST or not flight.is_ours
        flight.is_sent = flight.should_ask

    async def _submit(self, flight: Flight, deadline: float) -> None:
        transport = await self._connection.ready()
        flight.is_sent = True
        if flight.times_sent:
            flight.collector.forget_errors()
        flight.times_sent += 1
        sent_at = now()
        flight.next_poll = sent_at + (SYNC_SILENCE_S if flight.is_sync else first_poll_s(flight.task_type))
        had_left = flight.has_left

        def on_leaving() -> None:
            flight.has_left = True

        try:
            await transport.send([flight.task], timeout_s=max(0.1, deadline - sent_at), on_leaving=on_leaving)
        except TransportError as error:
            flight.has_left = had_left or error.may_have_arrived
            if now() >= deadline:
                raise self._too_late(flight) from error
            raise
        except TaskError as error:
            if error.code == CONFLICT and flight.times_sent > 1:
                # The service refuses the UUID as a duplicate: an earlier submission was accepted.
                flight.has_left = flight.should_ask = True
                return
            if error.retryable or refuses_request(error):
                # What was refused was not accepted, although it left; an error that may pass says nothing about that.
                flight.has_left = had_left or error.retryable
                raise
            # The response names no task and is not a refusal. The task may be running, so it is polled.
            flight.has_left = True
            raise TransportError(
                f"the service reported an error without naming the task: {error}",
                http_status=error.http_status,
                retry_after_s=error.retry_after_s,
            ) from error
        flight.has_left = True
        if not transport.pushes and not flight.collector.is_done:
            flight.next_poll = now() + (0 if flight.is_sync else first_poll_s(flight.task_type))

    async def _follow(self, flight: Flight, deadline: float) -> Outcome:
        """Wait for pushed frames, and ask when it is time."""
        polls = unknown = 0
        collector = flight.collector
        while not collector.is_done:
            if flight.broken is not None:
                error, flight.broken = flight.broken, None
                raise error
            if flight.should_ask or collector.wants_poll or now() >= flight.next_poll:
                flight.should_ask = collector.wants_poll = False
                unknown = 0 if await self._ask(flight, deadline) else unknown + 1
                flight.next_poll = flight.may_ask_at = now() + poll_delay_s(polls)
                polls += 1
                if unknown and not collector.is_done:
                    await self._recover(flight, deadline, unknown)
                continue
            await self._board.wait(flight, min(flight.next_poll, deadline))
            if now() >= deadline and not collector.is_done:
                raise self._too_late(flight)
        return await self._confirmed(flight, deadline)

    async def _confirmed(self, flight: Flight, deadline: float) -> Outcome:
        """Before a transient failure leads to a second attempt, ask once whether it really is one."""
        outcome = flight.outcome()
        is_transient = outcome.errors and outcome.errors[0].retryable
        if not outcome.results and is_transient and not flight.is_confirmed and flight.is_ours:
            flight.is_confirmed = True
            again = Flight(flight.task, flight.on_result, flight.on_progress)
            again.times_sent, again.has_left = flight.times_sent, True  # it was sent: the service has named it
            self._board.flights[flight.task_uuid] = again
            is_known = await self._ask(again, deadline)
            if is_known and not (again.collector.is_done and not again.collector.has_results):
                # From here on it replaces the first flight, also after an error: with the failure that the service has
                # just taken back, that one would lead to a second attempt, which is paid for as well.
                again.is_sent = again.is_confirmed = True
                again.next_poll = now() + poll_delay_s(0)
                return await self._follow(again, deadline)
        return outcome

    async def _ask(self, flight: Flight, deadline: float) -> bool:
        """Ask what became of a task; False when the service does not know it.

        That it cannot be reached says nothing about the task, and is put up with for a while.
        """
        flight.is_asking = True
        try:
            is_known = await self._poll_once(flight, deadline)
        except (TransportError, ProtocolError, TaskError) as error:
            # An error about the question does not concern the task. Only a refused key ends the wait, because no
            # further question could succeed. The task can be collected with another key.
            flight.complaint = error
            if isinstance(error, AuthenticationFailed):
                raise
            if isinstance(error, TaskError) and error.retryable:
                return True
            flight.unheard_since = flight.unheard_since or now()
            if now() - flight.unheard_since > _LONGEST_SILENCE_S:
                raise
        else:
            flight.unheard_since = None
            return is_known
        finally:
            flight.is_asking = False
        return True

    async def _poll_once(self, flight: Flight, deadline: float) -> bool:
        transport = await self._connection.ready()
        flight.begin_poll()
        poll = {"taskType": "getResponse", "taskUUID": flight.task_uuid}
        if not transport.pushes:
            response = await self._connection.rest().exchange(
                [poll], timeout_s=min(UTILITY_TIMEOUT_S, max(0.1, deadline - now()))
            )
            frame, orphans = split_orphans(response, [poll])
            if frame.items or frame.errors:
                self._board.on_frame(frame)
            if flight.poll_answer is not None:
                flight.collector.settle_poll()
                return flight.poll_answer
            status = frame.http_status or 200
            if orphans or status >= 400:
                entry = orphans[0] if orphans else {"message": f"HTTP {status} in response to a poll"}
                raise task_error(entry, http_status=status, retry_after_s=frame.retry_after_s)
            return bool(frame.items or frame.errors)  # items and errors of other tasks prove nothing about this one
        for _ in range(3):
            self._board.expect_poll(flight)
            await transport.send([poll], timeout_s=max(0.1, deadline - now()))
            until = min(now() + UNANSWERED_POLL_S, deadline)
            while flight.poll_answer is None and now() < until and flight.broken is None:
                await self._board.wait(flight, until)
            if flight.poll_answer is not None:
                return flight.poll_answer
            self._board.forget_poll(flight)
            if now() >= deadline or flight.broken is not None:
                break
        return True  # no answer says nothing: go on waiting

    async def _recover(self, flight: Flight, deadline: float, unknown: int) -> None:
        """Deal with a task that a poll did not find: its details, or sending it once more.

        Raises:
            TaskNotFound: It is not ours to send, or was accepted and forgotten: the service does not know it.
        """
        try:
            details = await self.ask({"taskType": "getTaskDetails"}, task_uuid=flight.task_uuid)
        except (TransportError, ProtocolError):
            return  # that it could not be asked says nothing about the task
        except TaskError as error:
            if error.retryable or isinstance(error, AuthenticationFailed | OutOfCredit):
                return  # a refused question proves nothing either
            complaint, flight.complaint = flight.complaint, None
            is_refusal = isinstance(complaint, TaskError) and refuses_request(complaint) and flight.times_sent > 1
            if isinstance(complaint, TaskError) and flight.is_ours and (complaint.retryable or is_refusal):
                # The service has stated twice that it does not know the task, and has reported an error that names no
                # task. That error is the likely reason. It decides whether and when the task is sent again, under the
                # same UUID, so that it cannot be charged twice. An error that refuses no task, such as an announcement
                # of maintenance, decides nothing: the task is sent again as if there had been no error.
                raise complaint from error
            if unknown >= (_MOST_UNKNOWN if flight.is_ours else 3):
                said = "" if complaint is None else f"; the last error that it sent is: {complaint}"
                raise TaskNotFound(
                    f"the service does not know task {flight.task_uuid}{said}",
                    task_uuid=flight.task_uuid,
                    code=error.code,
                ) from error
            if flight.is_ours and (unknown >= 2 or flight.times_sent <= 1):
                await self._submit(flight, deadline)
            return
        frame = archived_frame(details, flight.task_uuid)
        if frame.items or frame.errors:
            self._board.hand_over(flight, frame.items, frame.errors, frame)

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
                answer = self._board.expect_call(task_type, task_uuid, until=until)
                try:
                    transport = self._connection.rest() if over_rest else await self._connection.ready()
                    await transport.send([wire], timeout_s=max(0.1, deadline - now()))
                    return await asyncio.wait_for(answer, None if transport.pushes else 0.01)
                except TimeoutError as error:
                    raise (error if isinstance(error, TransportTimeout) else late()) from None
                except (TransportError, ProtocolError, TaskError) as error:
                    failures += 1
                    decision = decide(error, attempt=failures, max_retries=self._settings.max_retries,
                                      task_type=task_type, has_results=False, jitter=jitter())  # fmt: skip
                    if decision.step is Step.GIVE_UP or {task.get("operation"), task_type} & _NOT_REPEATED:
                        raise
                    await pause(decision.delay_s, deadline, error)
                finally:
                    self._board.forget_call(task_type, task_uuid)

    def _too_late(self, flight: Flight) -> TransportTimeout:
        """Build the error of a task whose deadline has passed. The message depends on whether a byte has left."""
        if flight.has_left:
            last = f". The service last reported: {flight.complaint}" if flight.complaint is not None else ""
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
