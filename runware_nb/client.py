"""The small async client: a transport and the rules of `wire`. It stores nothing and shows nothing."""

from __future__ import annotations

import asyncio
import base64
import collections
import logging
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic as _now  # what asyncio's loops count by, without asking them
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .errors import (
    MediaError,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from .images.medium import MemoryMedium
from .settings import Settings, load_settings
from .wire.classify import CONFLICT, task_error
from .wire.collect import Collector
from .wire.frames import Frame, Item
from .wire.limits import InFlightLimit
from .wire.media import sniff
from .wire.polling import SYNC_SILENCE_S, UNANSWERED_POLL_S, first_poll_s, poll_delay_s
from .wire.redact import redact_account
from .wire.results import Outcome, Result
from .wire.retries import Step, backoff_s, decide
from .wire.service import OnAttempt, OnProgress, OnResult
from .wire.tasks import Task, prepare

if TYPE_CHECKING:
    from .transport.base import Transport
    from .transport.rest import RestTransport

__all__ = ["Client"]

logger = logging.getLogger("runware_nb")
_chance = random.Random()  # noqa: S311 - spreads retries; our own, so that a user's random.seed() is left alone

_UTILITY_TIMEOUT_S = 60.0
_DOWNLOAD_TRIES = 4
_LONGEST_SILENCE_S = 120.0


class Client:
    """A connection to Runware, for any event loop. Use it as an async context manager.

    Args:
        api_key: The key; None takes it from the environment.
        rest_url: Address for REST.
        ws_url: Address for WebSocket.
        transport: `websocket` (the default) or `rest`.
        max_in_flight: Tasks sent and not yet answered, at most.
        max_retries: Further attempts after the first; 0 means none.
        timeout_s: Longest wait for a task, in seconds.
        settings: All settings at once; the arguments before it still win.
        on_notice: Told, in a sentence, about what a user should know, such as REST taking over.

    Raises:
        ConfigError: There is no key, or a value is wrong.
    """

    name = "runware"

    def __init__(
        self,
        api_key: str | None = None,
        *,
        rest_url: str | None = None,
        ws_url: str | None = None,
        transport: str | None = None,
        max_in_flight: int | None = None,
        max_retries: int | None = None,
        timeout_s: float | None = None,
        settings: Settings | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = (settings or load_settings()).with_values(
            api_key=api_key, rest_url=rest_url, ws_url=ws_url, transport=transport,
            max_in_flight=max_in_flight, max_retries=max_retries, timeout_s=timeout_s,
        )  # fmt: skip
        self.settings.require_key()
        self._on_notice = on_notice or logger.warning
        self._transport: Transport | None = None
        self._rest: RestTransport | None = None
        self._opening: asyncio.Lock | None = None
        self._flights: dict[str, _Flight] = {}
        self._calls: dict[tuple[str, str], asyncio.Future[Item]] = {}
        self._polls: collections.deque[_Flight] = collections.deque()
        self._limit = InFlightLimit(self.settings.max_in_flight)
        self._in_flight = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- what a user calls -------------------------------------------------------------------------

    async def open(self) -> str:
        """Connect now rather than with the first task.

        Returns:
            The transport in use, `websocket` or `rest`.

        Raises:
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """
        return "websocket" if (await self._ready()).pushes else "rest"

    async def run(
        self,
        task: Task,
        *,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        on_attempt: OnAttempt | None = None,
        timeout_s: float | None = None,
    ) -> Outcome:
        """Send a task and wait for everything it makes.

        Args:
            task: A dict in wire spelling, or a typed task.
            on_result: Called with each result as it comes.
            on_progress: Called with 0 to 100.
            on_attempt: Awaited before an attempt leaves, with the task and the attempt's number; what it
                raises stops the attempt.
            timeout_s: Longest wait, in seconds; the settings' where None.

        Returns:
            What came; where some results failed, the errors with it.

        Raises:
            TaskError: The service refused, and there is no result; it carries `.outcome`.
            TransportTimeout: The wait is over; the task goes on, see `.task_uuid`.
            TransportError: The service could not be reached.
        """
        wire = prepare(task, new_uuid=_new_uuid)
        deadline = self._deadline(timeout_s)
        attempt = 1
        while True:
            await self._take_slot(deadline, wire["taskUUID"])
            try:
                if on_attempt is not None:
                    await on_attempt(wire, attempt)
                flight = _Flight(wire, on_result, on_progress)
                outcome = await self._fly(flight, deadline)
            finally:
                self._free_slot()
            if outcome.results or not outcome.errors:
                self._limit.on_success()
                return outcome
            error = outcome.errors[0]
            error.outcome = outcome
            if isinstance(error, RateLimited):
                self._limit.on_rate_limited()
            decision = decide(error, attempt=attempt, max_retries=self.settings.max_retries,
                              task_type=wire["taskType"], has_results=False, jitter=_jitter())  # fmt: skip
            if decision.step is not Step.NEW_ATTEMPT:
                raise error
            await self._pause(decision.delay_s, deadline, error)
            wire = {**wire, "taskUUID": str(uuid.uuid4())}
            attempt += 1

    async def collect(
        self,
        task: Mapping[str, Any],
        *,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        resends: bool = False,
    ) -> Outcome:
        """Wait for a task that was sent before, perhaps by another process.

        Args:
            task: The task as it was sent, `taskUUID` included.
            on_result: Called with each result.
            on_progress: Called with 0 to 100.
            timeout_s: Longest wait, in seconds.
            resends: Whether it is sent again, under its own UUID, if the service does not know it. Without, it
                is never sent from here.

        Raises:
            TaskNotFound: The service does not know it.
            TaskError: It failed, and there is no result.
            TransportTimeout: The wait is over.
        """
        deadline = self._deadline(timeout_s)
        flight = _Flight(dict(task), on_result, on_progress)
        flight.is_ours = resends
        flight.is_sent = flight.has_left = flight.should_ask = True
        flight.times_sent = 1
        outcome = await self._fly(flight, deadline)
        if outcome.errors and not outcome.results:
            error = outcome.errors[0]
            error.outcome = outcome
            raise error
        return outcome

    async def send(self, tasks: Sequence[Mapping[str, Any]]) -> Frame:
        """Send tasks over REST just as they are, and return the answer just as it comes. Nothing is retried.

        Raises:
            TransportError: It could not be sent, or the answer was lost.
            ProtocolError: The answer cannot be read.
        """
        return await self._rest_transport().exchange([dict(task) for task in tasks], timeout_s=self.settings.timeout_s)

    async def poll(self, task_uuid: str) -> Frame:
        """Ask once about a task; an empty frame means that the service does not know it (yet).

        Raises:
            TransportError: The service could not be reached.
        """
        return await self.send([{"taskType": "getResponse", "taskUUID": task_uuid}])

    async def search_models(self, search: str = "", **filters: Any) -> Item:
        """Search the service's models.

        Args:
            search: Words.
            **filters: `category`, `architecture`, `limit` (1-100), `offset` and others, in wire spelling.

        Returns:
            `totalResults` and `results`, as they came.
        """
        return await self._call({"taskType": "modelSearch", "search": search, **filters})

    async def account(self) -> Item:
        """Ask for balance and usage; keys and e-mail addresses are taken out of the answer."""
        answer = await self._call({"taskType": "accountManagement", "operation": "getDetails"})
        redacted: Item = redact_account(answer)
        return redacted

    async def upload(self, media: bytes | str | Path) -> str:
        """Upload a medium.

        Args:
            media: Its bytes, or a file.

        Returns:
            Its UUID, to use wherever a task takes a medium.

        Raises:
            MediaError: The file cannot be read, is empty, or is of no known kind.
        """
        if not isinstance(media, bytes):
            try:
                media = await asyncio.to_thread(Path(media).read_bytes)
            except OSError as error:
                raise MediaError(f"{error.filename} cannot be read: {error.strerror}") from error
        kind = sniff(media)
        if kind is None:
            raise MediaError("an empty file" if not media else f"no medium: it begins with {media[:16]!r}")
        uri = f"data:{kind};base64,{base64.b64encode(media).decode()}"
        answer = await self._call({"taskType": "mediaStorage", "operation": "upload", "media": uri})
        return str(answer.get("mediaUUID", ""))

    async def ping(self) -> None:
        """Ask whether the service answers.

        Raises:
            TransportError: It does not.
        """
        transport = await self._ready()
        if not transport.pushes:
            await self.send([{"taskType": "ping", "ping": True}])
            return
        await self._call({"taskType": "ping", "ping": True}, task_uuid="")

    async def fetch(self, result: Result) -> Result:
        """Load a result's bytes, so that `.bytes` and `.image` work.

        Raises:
            MediaError: It has no file, the file is gone, or it may not be fetched.
            TransportError: Every try to download it failed.
        """
        inline = result.inline
        if inline is None:
            inline = await self._download(result)
        result.medium = MemoryMedium(inline)
        return result

    async def aclose(self) -> None:
        """Close; tasks in flight go on at the service and can be collected by their UUIDs."""
        transports = {id(each): each for each in (self._transport, self._rest) if each is not None}
        self._transport = self._rest = None
        self.on_broken(TransportError("the client was closed"))
        for transport in transports.values():
            await transport.aclose()

    # --- one task ----------------------------------------------------------------------------------

    async def _fly(self, flight: _Flight, deadline: float) -> Outcome:
        """Send a task under one UUID and follow it to its end, however often the connection breaks."""
        if flight.task_uuid in self._flights:
            raise TaskInvalid(f"task {flight.task_uuid} is on its way already", task_uuid=flight.task_uuid)
        self._flights[flight.task_uuid] = flight
        failures = 0
        try:
            while True:
                try:
                    if not flight.is_sent and flight.is_ours:
                        await self._submit(flight, deadline)
                    return await self._follow(flight, deadline)
                except (TransportError, ProtocolError, TaskError) as error:
                    if isinstance(error, RateLimited):
                        self._limit.on_rate_limited()
                    failures += 1
                    decision = decide(error, attempt=failures, max_retries=self.settings.max_retries,
                                      task_type=flight.task_type, has_results=False,
                                      jitter=_jitter())  # fmt: skip
                    if decision.step not in {Step.ASK_FIRST, Step.SEND_AGAIN}:
                        if isinstance(error, TransportError):
                            error.outcome = flight.outcome()
                        error.may_have_arrived = error.may_have_arrived or flight.has_left
                        raise
                    await self._pause(decision.delay_s, deadline, error)
                    flight.should_ask = decision.step is Step.ASK_FIRST or not flight.is_ours
                    flight.is_sent = flight.should_ask
        finally:
            self._flights.pop(flight.task_uuid, None)

    async def _submit(self, flight: _Flight, deadline: float) -> None:
        transport = await self._ready()
        flight.is_sent = True
        flight.times_sent += 1
        flight.next_poll = _now() + (SYNC_SILENCE_S if flight.is_sync else first_poll_s(flight.task_type))
        try:
            await transport.send([flight.task], timeout_s=max(0.1, deadline - _now()))
        except TransportError as error:
            flight.has_left = flight.has_left or error.may_have_arrived
            if _now() >= deadline:
                raise _too_late(flight) from error
            raise
        except TaskError as error:
            flight.has_left = flight.has_left or error.retryable
            raise
        flight.has_left = True
        if not transport.pushes and not flight.is_done:
            flight.next_poll = _now() + (0 if flight.is_sync else first_poll_s(flight.task_type))

    async def _follow(self, flight: _Flight, deadline: float) -> Outcome:
        """Wait for pushed frames, and ask when it is time."""
        polls = unknown = 0
        while not flight.is_done:
            if flight.broken is not None:
                error, flight.broken = flight.broken, None
                raise error
            if flight.should_ask or flight.wants_poll or _now() >= flight.next_poll:
                flight.should_ask = flight.wants_poll = False
                unknown = 0 if await self._ask(flight, deadline) else unknown + 1
                flight.next_poll = _now() + poll_delay_s(polls)
                polls += 1
                if unknown and not flight.is_done and not await self._recover(flight, deadline, unknown):
                    return flight.outcome()
                continue
            await flight.wait(min(flight.next_poll, deadline) - _now())
            if _now() >= deadline and not flight.is_done:
                raise _too_late(flight)
        return await self._confirmed(flight, deadline)

    async def _confirmed(self, flight: _Flight, deadline: float) -> Outcome:
        """Before a transient failure leads to a second attempt, ask once whether it really is one."""
        outcome = flight.outcome()
        is_transient = outcome.errors and outcome.errors[0].retryable
        if not outcome.results and is_transient and not flight.is_confirmed and flight.is_ours:
            flight.is_confirmed = True
            again = _Flight(flight.task, flight.on_result, flight.on_progress)
            self._flights[flight.task_uuid] = again
            if await self._ask(again, deadline) and not (again.is_done and not again.has_results):
                again.is_sent = again.is_confirmed = True
                again.next_poll = _now() + poll_delay_s(0)
                return await self._follow(again, deadline)
        return outcome

    async def _ask(self, flight: _Flight, deadline: float) -> bool:
        """Ask what became of a task; False when the service does not know it.

        That it cannot be reached says nothing about the task, and is put up with for a while.
        """
        try:
            is_known = await self._poll_once(flight, deadline)
        except (TransportError, ProtocolError):
            flight.unheard_since = flight.unheard_since or _now()
            if _now() - flight.unheard_since > _LONGEST_SILENCE_S:
                raise
            return True
        flight.unheard_since = None
        return is_known

    async def _poll_once(self, flight: _Flight, deadline: float) -> bool:
        transport = await self._ready()
        flight.begin_poll()
        poll = {"taskType": "getResponse", "taskUUID": flight.task_uuid}
        if not transport.pushes:
            frame = await self._rest_transport().exchange([poll], timeout_s=_UTILITY_TIMEOUT_S)
            self.on_frame(frame)
            flight.settle_poll()
            return bool(frame.items or frame.errors)
        for _ in range(3):
            self._polls.append(flight)
            await transport.send([poll], timeout_s=max(0.1, deadline - _now()))
            until = min(_now() + UNANSWERED_POLL_S, deadline)
            while flight.poll_answer is None and _now() < until and flight.broken is None:
                await flight.wait(until - _now())
            if flight.poll_answer is not None:
                return flight.poll_answer
            self._forget_poll(flight)
            if _now() >= deadline or flight.broken is not None:
                break
        return True  # no answer says nothing: go on waiting

    async def _recover(self, flight: _Flight, deadline: float, unknown: int) -> bool:
        """Deal with a task that a poll did not find; False when it is beyond reach."""
        try:
            details = await self._call({"taskType": "getTaskDetails"}, task_uuid=flight.task_uuid)
        except TaskError as error:
            if not flight.is_ours:
                if unknown < 3:
                    return True
                raise TaskNotFound(
                    f"the service does not know task {flight.task_uuid}",
                    task_uuid=flight.task_uuid,
                    code=error.code,
                ) from error
            if unknown >= 2 or flight.times_sent <= 1:
                await self._submit(flight, deadline)
            return True
        response = details.get("response")
        if isinstance(response, dict):
            items = response.get("data")
            errors = response.get("errors")
            self._hand_over(flight, items if isinstance(items, list) else [],
                            errors if isinstance(errors, list) else [], Frame())  # fmt: skip
        return True

    # --- frames in (Listener) ----------------------------------------------------------------------

    def on_frame(self, frame: Frame) -> None:
        """Give each item and error to the task it names."""
        if len(frame.items) == 1 and not frame.errors:  # by far the most frequent
            item = frame.items[0]
            flight = self._flights.get(item.get("taskUUID", ""))
            if flight is not None and item.get("taskType") == flight.task_type:
                self._hand_over(flight, frame.items, (), frame)
                return
        if not frame.items and not frame.errors:
            self._on_empty_poll()
        by_flight: dict[str, tuple[list[Item], list[Item]]] = {}
        for position, entries in enumerate((frame.items, frame.errors)):
            for entry in entries:
                key = self._addressee(entry)
                if key is not None:
                    by_flight.setdefault(key, ([], []))[position].append(entry)
                elif position == 0:
                    self._answer_call(entry, None)
                else:
                    self._answer_call(entry, task_error(entry, http_status=frame.http_status))
        for key, (items, errors) in by_flight.items():
            self._hand_over(self._flights[key], items, errors, frame)

    def on_gap(self) -> None:
        """Let utilities ask again; tasks wait on, and `on_resumed` follows."""
        self._fail_calls(TransportError("the connection was lost before the answer came"))

    def on_resumed(self) -> None:
        """Ask about everything in flight: replay is only a shortcut."""
        self._polls.clear()
        for flight in self._flights.values():
            flight.should_ask = True
            flight.wake()

    def on_unreadable(self, error: ProtocolError) -> None:
        """Ask about everything in flight; a utility whose answer it may have been fails with it."""
        self.on_resumed()
        self._fail_calls(error)

    def on_broken(self, error: RunwareNBError) -> None:
        """Let every waiting call know."""
        for flight in self._flights.values():
            flight.broken = error
            flight.wake()
        self._fail_calls(error)

    def _fail_calls(self, error: RunwareNBError) -> None:
        for call in self._calls.values():
            if not call.done():
                call.set_exception(error)

    def _addressee(self, entry: Item) -> str | None:
        """Find the flight an item or error is about; None for a utility call's answer."""
        task_uuid = entry.get("taskUUID")
        task_type = entry.get("taskType")
        if isinstance(task_uuid, str) and task_uuid:
            if (str(task_type), task_uuid) in self._calls:
                return None
            return task_uuid if task_uuid in self._flights else None
        if "code" not in entry or (str(task_type), "") in self._calls:
            return None
        fitting = [f.task_uuid for f in self._flights.values() if task_type in {None, f.task_type}]
        if len(fitting) == 1:
            return fitting[0]
        for key in fitting:  # which of them it means, only the service knows: ask about each
            self._flights[key].should_ask = True
            self._flights[key].wake()
        return None

    def _hand_over(self, flight: _Flight, items: Sequence[Item], errors: Sequence[Item], frame: Frame) -> None:
        failed = []
        for entry in errors:
            if entry.get("code") == CONFLICT and flight.times_sent > 1:
                flight.should_ask = True  # our own second sending met the first: it was accepted
                continue
            error = task_error(entry, http_status=frame.http_status, retry_after_s=_asked_wait_s(entry, frame))
            if error.retryable and not error.task_uuid:
                flight.broken = error  # it names no task, so the fate of ours is unknown
            else:
                failed.append(error)
        flight.take(items, failed)

    def _answer_call(self, entry: Item, error: RunwareNBError | None) -> None:
        key = (str(entry.get("taskType")), str(entry.get("taskUUID") or ""))
        call = self._calls.get(key)
        if call is None or call.done():
            return
        if error is None:
            call.set_result(entry)
        else:
            call.set_exception(error)

    def _on_empty_poll(self) -> None:
        """Give an empty answer, which names no task, to the poll that has waited longest."""
        while self._polls:
            flight = self._polls.popleft()
            if flight.poll_answer is None:
                flight.poll_answer = False
                flight.wake()
                return

    def _forget_poll(self, flight: _Flight) -> None:
        if flight in self._polls:
            self._polls.remove(flight)

    # --- utilities ---------------------------------------------------------------------------------

    async def _call(self, task: Item, *, task_uuid: str | None = None) -> Item:
        """Send a utility task and give the one item it is answered with; reading may be repeated freely."""
        task_uuid = str(uuid.uuid4()) if task_uuid is None else task_uuid
        wire = {**task, "taskUUID": task_uuid} if task_uuid else dict(task)
        key = (str(task["taskType"]), task_uuid)
        failures = 0
        while True:
            call: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
            self._calls[key] = call
            try:
                transport = await self._ready()
                await transport.send([wire], timeout_s=_UTILITY_TIMEOUT_S)
                return await asyncio.wait_for(call, _UTILITY_TIMEOUT_S if transport.pushes else 0.01)
            except TimeoutError as error:
                raise TransportTimeout(f"no answer to {task['taskType']} within {_UTILITY_TIMEOUT_S:.0f} s") from error
            except (TransportError, ProtocolError, TaskError) as error:
                failures += 1
                decision = decide(error, attempt=failures, max_retries=self.settings.max_retries,
                                  task_type=key[0], has_results=False, jitter=_jitter())  # fmt: skip
                if decision.step is Step.GIVE_UP or task.get("operation") in {"upload", "delete"}:
                    raise
                await asyncio.sleep(min(decision.delay_s, _UTILITY_TIMEOUT_S))
            finally:
                self._calls.pop(key, None)

    async def _download(self, result: Result) -> bytes:
        url = result.url
        if url is None:
            raise MediaError(f"result {result.index} of task {result.task_uuid} has no file")
        failures = 0
        while True:
            try:
                return await self._rest_transport().download(url)
            except TransportError:
                failures += 1
                if failures >= _DOWNLOAD_TRIES:
                    raise
                await asyncio.sleep(backoff_s(failures, jitter=_jitter(), first_s=0.2))

    # --- the transport, and its bound --------------------------------------------------------------

    async def _ready(self) -> Transport:
        """Give an open transport; fall back to REST, once and saying so, where no WebSocket can be had."""
        if self._transport is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._transport is None:
                    self._transport = await self._choose_transport()
        return self._transport

    async def _choose_transport(self) -> Transport:
        if self.settings.transport == "rest":
            return self._rest_transport()
        from .transport.websocket import HandshakeFailed, WebSocketTransport

        transport = WebSocketTransport(self.settings, self, user_agent=_user_agent())
        try:
            await transport.open()
        except HandshakeFailed as error:
            await transport.aclose()
            self._on_notice(f"{error}; using REST instead")
            return self._rest_transport()
        except BaseException:
            await transport.aclose()
            raise
        return transport

    def _rest_transport(self) -> RestTransport:
        if self._rest is None:
            from .transport.rest import RestTransport

            self._rest = RestTransport(self.settings, self, user_agent=_user_agent())
        return self._rest

    async def _take_slot(self, deadline: float, task_uuid: str) -> None:
        """Wait for one of the places in flight; they are given in the order of asking."""
        if self._in_flight < self._limit.current and not self._waiting:
            self._in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._free_slot()  # it was given just as we stopped waiting
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise TransportTimeout(
                    f"task {task_uuid} waited for its turn until the deadline and was not sent", task_uuid=task_uuid
                ) from error
            raise

    def _free_slot(self) -> None:
        """Give a place back, and hand over what is free to whoever has waited longest."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self._limit.current:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def _deadline(self, timeout_s: float | None) -> float:
        return _now() + (self.settings.timeout_s if timeout_s is None else timeout_s)

    async def _pause(self, delay_s: float, deadline: float, error: RunwareNBError) -> None:
        """Wait before another try; when the deadline comes first, raise what there is to say."""
        if _now() + delay_s >= deadline:
            raise error
        await asyncio.sleep(delay_s)


class _Flight:
    """A task on its way: what has come, and how to wake whoever waits for it."""

    __slots__ = (
        "_collector",
        "_sent_at",
        "_waiter",
        "_was_woken",
        "broken",
        "has_left",
        "is_confirmed",
        "is_ours",
        "is_sent",
        "is_sync",
        "next_poll",
        "on_progress",
        "on_result",
        "poll_answer",
        "should_ask",
        "task",
        "task_type",
        "task_uuid",
        "times_sent",
        "unheard_since",
    )  # fmt: skip

    def __init__(self, task: Item, on_result: OnResult | None, on_progress: OnProgress | None) -> None:
        self.task = task
        self.task_uuid: str = task["taskUUID"]
        self.task_type: str = task["taskType"]
        self.is_sync = task.get("deliveryMethod") == "sync" and not task.get("webhookURL")
        self.on_result = on_result
        self.on_progress = on_progress
        self.is_ours = True
        self.has_left = False
        self.is_sent = False
        self.is_confirmed = False
        self.times_sent = 0
        self.should_ask = False
        self.poll_answer: bool | None = None
        self.unheard_since: float | None = None
        self.broken: RunwareNBError | None = None
        self.next_poll = float("inf")
        self._collector = Collector(task)
        self._waiter: asyncio.Future[None] | None = None
        self._was_woken = False
        self._sent_at = _now()

    @property
    def is_done(self) -> bool:
        return self._collector.is_done

    @property
    def has_results(self) -> bool:
        return self._collector.has_results

    @property
    def wants_poll(self) -> bool:
        return self._collector.wants_poll

    @wants_poll.setter
    def wants_poll(self, value: bool) -> None:
        self._collector.wants_poll = value

    def begin_poll(self) -> None:
        self.poll_answer = None
        self._collector.begin_poll()

    def settle_poll(self) -> None:
        self._collector.settle_poll()

    def take(self, items: Sequence[Item], errors: Sequence[TaskError]) -> None:
        """Take in a frame's part for this task, and tell the observers."""
        if items or errors:
            self.poll_answer = True
        before = self._collector.progress
        for result in self._collector.add(items):
            _observe(self.on_result, result)
        self._collector.fail(errors)
        if self._collector.progress != before:
            _observe(self.on_progress, self._collector.progress)
        self.wake()

    def outcome(self) -> Outcome:
        return self._collector.outcome(_now() - self._sent_at)

    def wake(self) -> None:
        self._was_woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Wait until something happens, or *timeout_s* has passed."""
        if not self._was_woken and timeout_s > 0:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(min(timeout_s, 3600.0), self.wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._was_woken = False


def _observe(observer: Callable[[Any], None] | None, value: object) -> None:
    """Call an observer; what it raises is its own affair, but not a secret."""
    if observer is None:
        return
    try:
        observer(value)
    except Exception:
        logger.exception("an observer failed")


def _asked_wait_s(entry: Item, frame: Frame) -> float | None:
    value = entry.get("retry_after_s", frame.retry_after_s)
    return float(value) if isinstance(value, int | float) else None


def _too_late(flight: _Flight) -> TransportTimeout:
    return TransportTimeout(
        f"task {flight.task_uuid} is not finished at its deadline; it goes on and can be collected later",
        task_uuid=flight.task_uuid,
    )


def _new_uuid() -> str:
    return str(uuid.uuid4())


def _jitter() -> float:
    return _chance.random()


def _user_agent() -> str:
    from . import __version__

    return f"runware-nb/{__version__}"
