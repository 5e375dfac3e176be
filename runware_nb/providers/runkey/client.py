"""RunKey: the small async client of RunKey.ai. It stores nothing and shows nothing."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from ...core.items import Item
from ...core.retry import backoff_s
from ...errors import (
    ConfigError,
    FateUnknown,
    MediaError,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ...forking import restart_after_fork
from ...net.clock import Clock
from ...net.deadlines import now
from ...net.downloads import DOWNLOAD_TIMEOUT_S, MAX_MEDIA_BYTES, Downloads
from ...net.http import HttpConnection, HttpResponse
from ...printable import printable
from ...settings import Key, find_key, load_settings
from .pace import Kind, Pace, Turn, pace_of
from .package import RUNKEY_KEY
from .protocol import (
    NO_GPU,
    RATE_LIMIT,
    TIMED_OUT,
    RunKeyAccount,
    RunKeyTask,
    check_url,
    check_webhook_url,
    encode_run,
    is_safe_id,
    parse_account,
    parse_response,
    parse_task,
    rate_headers,
    task_path,
)

__all__ = ["RunKey"]

logger = logging.getLogger("runware_nb")

_REQUEST_TIMEOUT_S = 60.0
"""Long, because a submission whose response comes later is of unknown fate."""
_CONNECT_TIMEOUT_S = 10.0
_CLOSING_S = 5.0
"""How long `aclose` waits for submissions: an id that arrives is worth more than a fast end."""
_CLOSING_STEP_S = 0.01
_MAX_RESPONSE_BYTES = 16 * 1024 * 1024
_TRIES = 4
"""Of a question, and of a submission that was provably not accepted (section 9)."""
_NEW_TASK_TRIES = 2
"""How often an unknown task is asked for again while it is new: the service may be a moment late (section 8)."""
_UNDECIDED_STATUSES = frozenset({408, 409, 425, 429, 499})
"""4xx of a gateway after which the request may have been handed on all the same."""


class RunKey:
    """A connection to RunKey.ai, for any event loop. Use it as an async context manager.

    All clients of a process that use the same URL and key share the account's limit of requests (see `pace`).

    Args:
        api_key: The key; None reads RUNKEY_API_KEY, else the system's keyring.
        url: URL of the API; None takes RUNWARE_NB_RUNKEY_URL or the setting `runkey_url`.
        clock: The time of the service; None is real time.
        max_wait_s: Longest time that `run` waits for a limit of the account or for a GPU, in seconds of the service.
        timeout_s: Longest time of one request, in seconds.
        connect_timeout_s: Longest time until a connection is ready, in seconds.

    Raises:
        ConfigError: There is no key, or the URL is not one to send a key to.
    """

    def __init__(
        self,
        api_key: str | Key | None = None,
        *,
        url: str | None = None,
        clock: Clock | None = None,
        max_wait_s: float = 120.0,
        timeout_s: float = _REQUEST_TIMEOUT_S,
        connect_timeout_s: float = _CONNECT_TIMEOUT_S,
    ) -> None:
        key = _key_of(api_key)
        self.url = check_url(url or load_settings().value("runkey_url"))
        self.clock = clock or Clock()
        self.max_wait_s = max_wait_s
        self.pace: Pace = pace_of(self.url, key.reveal(), self.clock)
        self._timeout_s = timeout_s
        self._http = HttpConnection(
            self.url, user_agent=_user_agent(), connect_timeout_s=connect_timeout_s, key=key.reveal
        )
        self._downloads = Downloads(self._http)
        self._rng = random.random
        self._is_closed = False
        self._submissions: set[Turn] = set()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Forget the submissions of the parent: their responses arrive there."""
        self._submissions = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return printable(f"<RunKey {self._http.host}>")

    async def aclose(self) -> None:
        """Close all connections. Tasks go on at the service, and can be read by their ids.

        No further request leaves. A submission in flight is given a few seconds for its response: without it, the id
        of a task that is charged would be lost.
        """
        self._is_closed = True
        until = now() + _CLOSING_S
        try:
            # By looking again and not by an event, because a submission may run on another event loop.
            while self._submissions and now() < until:  # noqa: ASYNC110
                await asyncio.sleep(_CLOSING_STEP_S)
        finally:
            await self._http.aclose()

    # --- the three requests ------------------------------------------------------------------------

    async def run(
        self,
        template_id: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the service's own name
        webhook_url: str | None = None,
    ) -> RunKeyTask:
        """Submit a task.

        The request is repeated only after it was provably not accepted: no connection, a limit of the account (40003)
        or no GPU (50002).

        Args:
            template_id: The template.
            input: What the template takes.
            webhook_url: URL that the service calls when the task has completed or failed.

        Returns:
            The accepted task. `wait` waits for its end.

        Raises:
            TaskError: The service refused it. Nothing was accepted or charged.
            FateUnknown: It may have been accepted and charged, and there is no way to find out. It is not sent again.
            TransportError: It was not sent (`may_have_arrived` is False).
        """
        until = self.clock.now() + self.max_wait_s
        content = encode_run(template_id, {} if input is None else input, webhook_url)
        warning = check_webhook_url(webhook_url) if webhook_url else None
        if warning is not None:
            logger.warning("%s", printable(warning))
        tries = 0
        while True:
            tries += 1
            try:
                return await self.submit(content, until=until)
            except TaskError as error:
                # A limit of the account has no limit of tries: the budget of waiting time bounds it.
                if error.code != RATE_LIMIT and (error.code != NO_GPU or tries >= _TRIES):
                    raise
                delay_s = self.pace.submit_hold_s() if error.code == RATE_LIMIT else self._no_gpu_delay_s(tries, error)
                await self._pause(delay_s, until, error)

    async def submit(self, content: bytes, *, until: float, turn: Turn | None = None) -> RunKeyTask:
        """Send one `POST /run`. Only connecting is tried up to four times: then no byte of the request has left.

        Args:
            content: See `protocol.encode_run`.
            until: The last moment at which it may leave, in seconds of the service.
            turn: Reserved for it, so that nothing waits here for the limit of requests; None waits for one. It ends
                here.

        Raises:
            TaskError: The service refused it, or the limit of requests was reached since *turn* was reserved. It was
                not accepted.
            FateUnknown: The task may exist at the service.
            TransportError: It was not sent.
        """
        if turn is None:
            self._check_open()
            turn = await self.pace.reserve("submit", until)
        self._submissions.add(turn)
        tries = 0
        try:
            while True:
                tries += 1
                try:
                    return await self._submit_once(content, turn)
                except TransportError as error:
                    if error.may_have_arrived or not error.retryable or tries >= _TRIES:
                        raise
                    await self._pause(self._backoff_s(tries), until, error)
        finally:
            turn.end()
            self._submissions.discard(turn)

    async def _submit_once(self, content: bytes, turn: Turn) -> RunKeyTask:
        """Send one `POST /run`, and state what is known about the task if there is no id.

        Raises:
            TaskError: The service refused it, or the limit of requests was reached. It was not accepted.
            FateUnknown: The task may exist at the service.
            TransportError: It was not sent.
        """
        self._check_open()
        if not turn.is_usable:
            # Not waited for here: the attempt is recorded as sent, and would look like one of unknown fate.
            raise RateLimited(
                "RunKey's limit of requests was reached before this request could leave. It was not sent.",
                code=RATE_LIMIT,
            )
        turn.leave()
        try:
            # It has the time of a whole request, even if the deadline of the task comes before its end: a deadline
            # that cut off the response of an accepted task would turn it into one of unknown fate.
            response = await self._send("POST", "/run", content=content)
            turn.end()
            data = self._data(response, "submit")
        except TaskError as refusal:
            named = refusal.raw.get("data")
            stated_id = named.get("task_id") if isinstance(named, dict) else None
            if is_safe_id(stated_id):
                # Whatever failed, there is a task, and it is charged, perhaps. Its id shows what becomes of it.
                return parse_task({"task_id": stated_id, "status": "queued"})
            if stated_id is None and _is_refusal(refusal.code):
                raise
            raise _unknown(refusal) from refusal
        except TransportError as error:
            if not error.may_have_arrived:
                raise  # proven: no byte of the request has left
            status = error.http_status
            if status is not None and 400 <= status < 500 and status not in _UNDECIDED_STATUSES:
                # A gateway answered in place of the service, and turned exactly this request away.
                refused_error = TaskFailed(
                    f"The request was refused before it reached RunKey. Nothing was accepted or charged. "
                    f"{error.problem.removesuffix('.')}.", http_status=status,
                )  # fmt: skip
                refused_error.request_id = error.request_id
                raise refused_error from error
            # Sent, and the response is lost, broken off, or not RunKey's: the task may exist and be charged.
            raise _unknown(error) from error
        except ProtocolError as error:
            raise _unknown(error) from error  # it stated a success, without the id
        task_id = data.get("task_id")
        if not is_safe_id(task_id):
            # It was accepted, but it cannot be asked for by an id that must not be part of a URL.
            raise _unknown(ProtocolError(f"RunKey sent a task id that cannot be used: {task_id!r:.80}."))
        self.pace.submitted()
        status = data.get("status")  # a status that cannot be used must not cost the id
        return parse_task({**data, "status": status if isinstance(status, str) else "queued"})

    async def task(self, task_id: str) -> RunKeyTask:
        """Read a task.

        Raises:
            TaskNotFound: The service does not know it, or it belongs to another account.
            TaskError: The service refused to answer.
            TransportError: The service could not be asked.
        """
        return await self._read(task_id, self.clock.now() + self.max_wait_s)

    async def account(self) -> RunKeyAccount:
        """Read the account, and learn the limits of its plan.

        Raises:
            TaskError: The service refused to answer, such as for a wrong key.
            TransportError: The service could not be asked.
        """
        account = parse_account(await self._question("/account", self.clock.now() + self.max_wait_s))
        self.pace.learn_plan(account.plan)
        return account

    # --- waiting -----------------------------------------------------------------------------------

    async def wait(
        self,
        task: RunKeyTask | str,
        *,
        timeout_s: float = 600.0,
        on_progress: Callable[[RunKeyTask], None] | None = None,
        woken: Callable[[float], Awaitable[object]] | None = None,
        asks_at_once: bool | None = None,
        expects_callback: bool = False,
    ) -> RunKeyTask:
        """Wait until a task has ended.

        It is polled at growing intervals, which get longer the more tasks are watched. So a task of which no callback
        arrives, such as a canceled one, is found to have ended all the same.

        Args:
            task: The task, or its id.
            timeout_s: Longest time to wait, in seconds.
            on_progress: Called with each unfinished task that is read.
            woken: Waits for some seconds of the service, or until a callback about the task has arrived. None waits
                for the time only.
            asks_at_once: Whether the first poll comes without a wait; None for a task of which only the id is known.
            expects_callback: Whether the polls may be slow, because *woken* learns of the end by a callback.

        Returns:
            The task, whatever its end: `completed`, `failed` or `canceled`.

        Raises:
            TransportTimeout: The time is over; the task goes on.
            TaskNotFound: The service does not know the task.
            TaskError: The service refused to answer. That says nothing about the task.
            TransportError: The service could not be asked. That says nothing about the task.
        """
        task_id = task if isinstance(task, str) else task.task_id
        path = task_path(task_id)
        deadline = now() + timeout_s
        polls, unknown = 0, 0
        asks_now = isinstance(task, str) if asks_at_once is None else asks_at_once
        with self.pace.watch():
            while True:
                if not asks_now:
                    await self._rest(
                        self.pace.interval_s(polls, expects_callback=expects_callback), deadline, task_id, woken
                    )
                asks_now = False
                try:
                    current = await self._read(task_id, self._until(deadline), path=path, deadline=deadline)
                except TaskNotFound:
                    unknown += 1
                    if unknown > _NEW_TASK_TRIES or polls > unknown:  # it was known before, or has had its time
                        raise
                    polls += 1
                    continue
                except RateLimited:
                    polls += 1  # others use the account up; the pace waits, and the deadline is the limit
                    continue
                except TransportTimeout as error:
                    if now() >= deadline or not error.may_have_arrived:
                        raise self._late(task_id) from error
                    raise
                polls += 1
                if current.is_finished:
                    return current
                if on_progress is not None:
                    on_progress(current)

    async def _rest(
        self, seconds: float, deadline: float, task_id: str, woken: Callable[[float], Awaitable[object]] | None
    ) -> None:
        """Wait before the next poll; raise if the deadline comes first."""
        left_s = self._until(deadline) - self.clock.now()
        if left_s <= 0:
            raise self._late(task_id)
        await (woken or self.clock.sleep)(min(seconds, left_s))

    def _until(self, deadline: float) -> float:
        """Return a moment of the monotonic clock in seconds of the service."""
        return self.clock.now() + (deadline - now()) * self.clock.scale

    @staticmethod
    def _late(task_id: str) -> TransportTimeout:
        return TransportTimeout(
            f"RunKey task {task_id:.60} has not ended within the time limit. It goes on at the service, is charged, "
            "and can be collected later.",
        )

    # --- files -------------------------------------------------------------------------------------

    async def fetch(
        self, url: str, *, timeout_s: float = DOWNLOAD_TIMEOUT_S, max_bytes: int = MAX_MEDIA_BYTES
    ) -> bytes:
        """Download a file of a result. The key is not sent.

        Args:
            url: A URL in the output of a task.
            timeout_s: Longest time for all tries, in seconds.
            max_bytes: Largest file accepted.

        Raises:
            MediaError: The URL is not allowed, or the file is gone (`is_expired`) or too large.
            TransportError: Every try failed; a later one may succeed.
        """
        deadline = now() + timeout_s
        tries = 0
        while True:
            tries += 1
            try:
                return await self._downloads.download(url, max_bytes=max_bytes, timeout_s=max(0.0, deadline - now()))
            except MediaError:
                raise
            except TransportError as error:
                delay_s = self._backoff_s(tries) / self.clock.scale
                if tries >= _TRIES or not error.retryable or now() + delay_s >= deadline:
                    raise
                await asyncio.sleep(delay_s)

    # --- inside ------------------------------------------------------------------------------------

    async def _read(
        self, task_id: str, until: float, *, path: str | None = None, deadline: float | None = None
    ) -> RunKeyTask:
        try:
            data = await self._question(path or task_path(task_id), until, deadline=deadline)
        except TaskError as error:
            if error.code != TIMED_OUT:
                raise
            # This code describes the task and not the question, and where it stands is not documented (section 8).
            return parse_task({"status": "failed", "error": error.raw}, asked_for=task_id)
        return parse_task(data, asked_for=task_id)

    async def _question(self, path: str, until: float, *, deadline: float | None = None) -> Item:
        """Send a GET, up to four times. It changes nothing at the service, so it can be repeated freely."""
        tries = 0
        while True:
            tries += 1
            try:
                left_s = None if deadline is None else deadline - now()
                return await self._ask(path, until, timeout_s=left_s)
            except (TaskError, TransportError) as error:
                is_final = isinstance(error, TransportTimeout) and not error.may_have_arrived
                if tries >= _TRIES or not error.retryable or is_final or _describes_task(error):
                    raise
                if isinstance(error, RateLimited):
                    continue  # the pace holds the next request back for as long as the service has asked
                stated = error.retry_after_s
                await self._pause(self._backoff_s(tries) if stated is None else stated, until, error)

    def _check_open(self) -> None:
        if self._is_closed:
            closed = TransportError(
                "The RunKey client was closed, so this request was not sent. Accepted tasks go on at the service.",
                may_have_arrived=False,
            )
            closed.retryable = False
            raise closed

    async def _ask(self, path: str, until: float, *, timeout_s: float | None = None) -> Item:
        """Ask one question within the account's limit, and return the `data` of its answer."""
        self._check_open()
        async with self.pace.request("question", until):
            self._check_open()  # the wait may have been long
            response = await self._send("GET", path, timeout_s=timeout_s)
        return self._data(response, "question")

    async def _send(
        self, method: str, path: str, *, content: bytes = b"", timeout_s: float | None = None
    ) -> HttpResponse:
        return await self._http.request(
            method, path, content=content, headers={"Accept": "application/json"},
            timeout_s=self._timeout_s if timeout_s is None else max(0.0, min(timeout_s, self._timeout_s)),
            max_bytes=_MAX_RESPONSE_BYTES, too_large=self._too_large,
        )  # fmt: skip

    def _data(self, response: HttpResponse, kind: Kind) -> Item:
        """Learn from the headers of a response, and return its `data`. The turn of its request has ended."""
        stated = rate_headers(response.headers)
        self.pace.learn(stated)
        try:
            return parse_response(response, host=self._http.host)
        except RateLimited as error:
            is_wait_stated = "retry_after" in error.raw or "retry-after" in response.headers
            self.pace.refused(kind, error.retry_after_s, stated, is_wait_stated=is_wait_stated)
            raise

    async def _pause(self, delay_s: float, until: float, error: RunwareNBError) -> None:
        """Wait before another try; raise the error at once if the wait would end too late."""
        if self.clock.now() + delay_s > until:
            raise error
        await self.clock.sleep(delay_s)

    def _backoff_s(self, tries: int) -> float:
        """Return an exponential wait with full jitter, from half a second on (section 9)."""
        return 2.0 * backoff_s(tries, jitter=0.0) * self._rng()

    def _no_gpu_delay_s(self, tries: int, error: TaskError) -> float:
        return (
            error.retry_after_s if error.retry_after_s is not None else backoff_s(tries, jitter=self._rng(), first_s=2)
        )

    def _too_large(self) -> TransportError:
        error = TransportError(
            f"The response of {self._http.host} has more than the {_MAX_RESPONSE_BYTES:,} bytes that are accepted"
        )
        error.retryable = False  # the same response would come again
        return error


def _is_refusal(code: str) -> bool:
    """Return whether an error envelope with this code proves that the task was not accepted.

    The codes of 4xxxx and "no GPU" refuse exactly this request. Any other 5xxxx states only that something failed, at a
    moment when the task may exist already, and a code of no documented kind states nothing.
    """
    return code == NO_GPU or (len(code) == 5 and code.startswith("4"))


def _describes_task(error: RunwareNBError) -> bool:
    return isinstance(error, TaskError) and error.code == TIMED_OUT


def _unknown(error: RunwareNBError) -> FateUnknown:
    """Build the error of a submission whose fate cannot be known."""
    unknown = FateUnknown(
        f"The task was sent to RunKey, but no usable response arrived: {error.problem.removesuffix('.')}. It may have "
        "been accepted and charged. RunKey cannot be asked for it, so it is not sent again. Look for it in the RunKey "
        "console.",
        http_status=getattr(error, "http_status", None),
    )
    unknown.request_id = error.request_id
    return unknown


def _key_of(api_key: str | Key | None) -> Key:
    if isinstance(api_key, Key):
        return api_key
    if api_key is not None:
        return Key(api_key, "the argument api_key", RUNKEY_KEY)
    key = find_key(RUNKEY_KEY)
    if key is None:
        raise ConfigError("No RunKey.ai API key. Set RUNKEY_API_KEY. Nothing was sent.")
    return key


def _user_agent() -> str:
    from ... import __version__

    return f"runware-nb/{__version__}"
