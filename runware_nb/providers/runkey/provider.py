"""RunKey.ai as a provider: its planning, client and results, behind the interface that the engine uses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ...core.items import Item
from ...core.money import Money
from ...core.operations import Operation
from ...core.parsing import parse_json
from ...core.results import Outcome, Result
from ...errors import FateUnknown, MediaError, RunwareNBError, TaskError, TaskFailed, TransportError
from ...forking import make_lock
from ...media.medium import MemoryMedium
from ...net.clock import Clock
from ...net.deadlines import now
from ...net.downloads import DOWNLOAD_TIMEOUT_S
from ...reprs import shortened
from ..base import (
    Accepted,
    Account,
    Attempt,
    Capabilities,
    Description,
    Limiter,
    NextAttempt,
    Plan,
    ProviderContext,
    RunObserver,
    Task,
)
from .client import RunKey
from .outputs import document_kind, outputs_of
from .pace import Places, Turn
from .package import RUNKEY_KEY, SERVICES
from .planning import TASK_TYPE, body_of, input_of, is_reference, plan_task
from .protocol import NO_GPU, RATE_LIMIT, RunKeyTask, error_of_code, is_local_url, is_safe_id

__all__ = ["RUN", "CallbackWaiter", "RunKeyProvider"]

RUN = Operation(
    name="runkey-run", summary="run a template of RunKey.ai", produces="files", function=None, long_running=True
)

_CAPABILITIES = Capabilities(
    client_chosen_ids=False, resend_is_safe=False, can_find_lost=False, pushes_results=False, webhooks="signed",
    money="credits", takes_files=False,
)  # fmt: skip
_MOST_DOCUMENT_BYTES = 8 * 1024 * 1024
_NO_GPU_TRIES = 4
_LIMIT_TRIES = 200
"""Waits of up to 30 s for a place that another program has. An account that is refused for longer is not in use."""
_PLAN_TIMEOUT_S = 10.0
_LEAVES_WITHIN_S = 20.0
"""How long connecting may be tried again: another kernel takes a run that was claimed a minute ago for a lost one."""
_LOCATED = "located"
_LEFT_OUT = frozenset({"taskUUID", "taskType", "webhookURL"})


class CallbackWaiter(Protocol):
    """Where callbacks wake those that wait for a task."""

    async def wait(self, service: str, task_id: str, seconds: float, clock: Clock) -> bool:
        """Return True when a callback about the task has arrived, False after some seconds of the service."""

    def has_received(self, service: str) -> bool:
        """Return whether any callback of a service has arrived."""


class RunKeyProvider:
    """RunKey.ai, or a sandbox in its place.

    Args:
        context: What the session gives to providers.
        clock: The time of the service; None is real time.
        callbacks: Where callbacks arrive; None for the board of the session.
    """

    services = SERVICES

    def __init__(
        self, context: ProviderContext, *, clock: Clock | None = None, callbacks: CallbackWaiter | None = None
    ) -> None:
        self._context = context
        settings = context.settings
        self._url: str = settings.value("runkey_url")
        self._webhook_url: str = settings.value("runkey_webhook_url")
        self._plan: str = settings.value("runkey_plan")
        self._connect_timeout_s: float = settings.connect_timeout_s
        self._clock = clock or Clock()
        self._callbacks: CallbackWaiter = context.board if callbacks is None else callbacks
        self._client: RunKey | None = None
        self._limiter: _PlanLimiter | None = None
        self._lock = make_lock()
        self.name = SERVICES[1] if is_local_url(self._url) else SERVICES[0]

    @property
    def capabilities(self) -> Capabilities:
        """What RunKey can do: it chooses ids, charges each submission, and cannot be asked for a lost one."""
        return _CAPABILITIES

    @property
    def client(self) -> RunKey:
        """The client, built on first use since it needs a key.

        Raises:
            ConfigError: There is no key.
        """
        with self._lock:
            if self._client is None:
                client = RunKey(
                    self._context.key(RUNKEY_KEY), url=self._url, clock=self._clock,
                    connect_timeout_s=self._connect_timeout_s,
                )  # fmt: skip
                if self._plan != "auto":
                    client.pace.learn_plan(self._plan, is_fixed=True)
                self._client = client
            return self._client

    @property
    def limiter(self) -> Limiter:
        """The bound on tasks in flight, by the plan. See `Provider.limiter`."""
        client = self.client
        if self._limiter is None:
            self._limiter = _PlanLimiter(client)
        return self._limiter

    def require_key(self) -> None:
        """Check that there is a key, by building the client."""
        _ = self.client

    # --- before sending ------------------------------------------------------------------------------

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Bring a task into our form, and check it. See `Provider.plan`."""
        return plan_task(task, as_is=as_is)

    def price(self, task: Mapping[str, Any]) -> Money | None:  # noqa: ARG002 - no task has a listed price
        """Return None: RunKey has no list of prices. The engine uses the median of own runs."""
        return None

    def complete(self, task: Item, *, as_is: bool = False) -> Item:
        """Return a task with our id; without a callback URL, with that of the settings or of the session's receiver."""
        completed = {**task, "taskUUID": task.get("taskUUID") or str(uuid.uuid4())}
        if not as_is and "webhookURL" not in completed:
            url = self._webhook_url or self._context.callback_url("runkey", is_local=self.name == SERVICES[1])
            if url:
                completed["webhookURL"] = url
        return completed

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return False: what a template takes is not published, so no seed is invented for it."""
        del task
        return False

    def operation(self, task: Mapping[str, Any]) -> Operation | None:
        """Return the one operation that there is."""
        return RUN if task.get("taskType") == TASK_TYPE else None

    def prompt(self, task: Mapping[str, Any]) -> str | None:
        """Return the input named `prompt` or `text`; None if there is none."""
        given = task.get("input")
        if not isinstance(given, Mapping):
            return None
        return next((given[name] for name in ("prompt", "text") if isinstance(given.get(name), str)), None)

    def describe(self, task: Mapping[str, Any]) -> Description:
        """Return a task in words."""
        shown = self.prompt(task) or f"RunKey template {task.get('model')}"
        given = {name: value for name, value in _given(task).items() if value != shown}
        return Description(shown, (("template", task.get("model")), *given.items()))

    def parameters(self, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the template and each input of a logged request."""
        del inputs
        return {"template": request.get("model"), **_given(request)}

    def number_of_results(self, task: Mapping[str, Any]) -> int:
        """Return 1, the least: how many results a template has is not known before it has run."""
        del task
        return 1

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """Nothing: RunKey has no upload."""
        return {}

    def is_reference(self, text: str) -> bool:
        """Return whether a text names a medium that RunKey can fetch: a URL."""
        return is_reference(text)

    async def prepare(self, task: Item) -> Item:
        """Replace each earlier result by its URL; RunKey has no upload. See `Provider.prepare`.

        Raises:
            MediaError: A medium has no URL.
        """
        assets = task.get("assets")
        if not assets:
            return task
        return {**task, "assets": {name: _url_of(value, name) for name, value in assets.items()}}

    # --- sending and following -----------------------------------------------------------------------

    def first_attempt(self, task: Item) -> Attempt:
        """See `Sender.first_attempt`."""
        body_of(task)  # what cannot be sent is refused before the attempt is recorded
        return Attempt(task)

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """Send an attempt. See `Sender.submit`.

        It leaves at once, with the turn that the limiter has reserved: the attempt is recorded as sent, and must not
        wait here. A refusal for a limit of the account is followed by another attempt, which waits for its place
        without a deadline (see `next_attempt`).
        """
        client = self.client
        turn = None if self._limiter is None else self._limiter.take_turn()
        until = client.clock.now() + min(deadline - now(), _LEAVES_WITHIN_S) * client.clock.scale
        try:
            task = await client.submit(body_of(attempt.task), until=until, turn=turn)
        except (TaskError, FateUnknown) as error:
            raise _about(error, attempt) from error.__cause__
        return Accepted.of(attempt, task.task_id)

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """Wait for the end of a task. See `Sender.follow`. A callback only wakes the poll that reads the task."""
        client, task_id = self.client, accepted.remote_id

        async def woken(seconds: float) -> object:
            return await self._callbacks.wait("runkey", task_id, seconds, client.clock)

        def on_progress(task: RunKeyTask) -> None:
            if task.status == "queued":
                observer.on_waiting("waiting for a GPU")
            elif task.status != "running":
                observer.on_waiting(f"in the state {shortened(task.status)}, which is not documented")
            elif task.progress is not None:
                observer.on_progress(task.progress)
            else:
                observer.on_waiting(None)

        began = now()
        ended = await client.wait(
            task_id, timeout_s=deadline - began, on_progress=on_progress, woken=woken,
            asks_at_once=accepted.attempt.state == _LOCATED,
            expects_callback=self._expects_callback(accepted.attempt.task),
        )  # fmt: skip
        attempt = accepted.attempt
        # Of a task that was found again it is not known here when it began and ended.
        duration_s = ended.processing_time_s if attempt.state == _LOCATED else now() - began
        outcome = Outcome(attempt.task, attempt.attempt_uuid, [], [], duration_s)
        if ended.credits_used is not None:
            outcome.charged = Money(ended.credits_used, "credits")
        if ended.status != "completed":
            outcome.errors.append(_failure(ended, attempt))
            return outcome
        for output in outputs_of(ended, input_of(attempt.task)):
            raw = await self._with_document(output, deadline)
            result = Result({**raw, "taskUUID": attempt.attempt_uuid}, attempt.attempt_uuid, raw["resultIndex"])
            observer.on_result(result)
            outcome.results.append(result)
        return outcome

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted | None:
        """Return an attempt whose id is known. RunKey has no list of tasks, so without an id there is no way."""
        del deadline
        if attempt.remote_id is None or not is_safe_id(attempt.remote_id):
            return None
        return Accepted(replace(attempt, state=_LOCATED), attempt.remote_id)

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """Decide about another attempt. See `Sender.next_attempt`."""
        if error.outcome is not None:
            # The task was accepted, and failed. Whether it is charged is not documented, so it is never repeated.
            return None
        following = Attempt(attempt.task, attempt.number + 1)
        if error.code == RATE_LIMIT and attempt.number < _LIMIT_TRIES:
            # Refused before acceptance: nothing is charged. The limiter holds the next attempt back for as long as
            # the service has asked, and a wait for a place has no deadline, as for any other place.
            return NextAttempt(following, 0.0)
        if error.code == NO_GPU and attempt.number < _NO_GPU_TRIES:
            # An explicit refusal without a task: nothing is charged.
            stated = error.retry_after_s
            delay_s = 2.0 * 2.0 ** (attempt.number - 1) if stated is None else stated
            return NextAttempt(following, delay_s / self._clock.scale)
        return None

    # --- results and account -------------------------------------------------------------------------

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load the bytes of a result, without the key. See `Provider.fetch`."""
        url = result.url
        if url is None:
            raise MediaError("This result of RunKey has no file: it is text or JSON.")
        limit_s = DOWNLOAD_TIMEOUT_S if timeout_s is None else timeout_s
        result.medium = MemoryMedium(await self.client.fetch(url, timeout_s=limit_s))
        return result

    async def locate_result(self, attempt: Attempt, result: Result) -> Result | None:
        """Read the task again, and return the result with a new URL. See `Provider.locate_result`."""
        if attempt.remote_id is None or not is_safe_id(attempt.remote_id):
            return None
        task = await self.client.task(attempt.remote_id)
        if task.status != "completed":
            return None
        for raw in outputs_of(task, input_of(attempt.task)):
            same = raw.get("outputPath") == result.raw.get("outputPath") and raw["resultIndex"] == result.index
            fresh = Result({**raw, "taskUUID": attempt.attempt_uuid}, attempt.attempt_uuid, result.index)
            if same and fresh.url not in {None, result.url}:
                return fresh
        return None

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error that the log recorded. See `Provider.error_of`."""
        code, raw = str(kept.get("code") or ""), kept.get("raw")
        kind = type(error_of_code(code, None)) if code else TaskFailed
        return kind(
            str(kept.get("message") or "The task failed."), code=code, task_uuid=str(kept.get("taskUUID") or ""),
            parameter=kept.get("parameter"), raw=raw if isinstance(raw, dict) else None,
        )  # fmt: skip

    async def account(self) -> Account:
        """Ask for the balance and the plan. The e-mail address is left out."""
        account = await self.client.account()
        details = {name: value for name, value in account.raw.items() if name != "email"}
        return Account(None if account.balance is None else Money(account.balance, "credits"), details)

    async def aclose(self) -> None:
        """Close the connections; tasks go on at the service."""
        if self._client is not None:
            await self._client.aclose()

    # --- inside --------------------------------------------------------------------------------------

    def _expects_callback(self, task: Mapping[str, Any]) -> bool:
        """Return whether a callback about a task will reach this session, as far as is known.

        A URL alone proves nothing: without a receiver or a tunnel behind it, slow polls would only make the user wait.
        """
        if not task.get("webhookURL"):
            return False
        receives = self._context.callback_url("runkey", is_local=self.name == SERVICES[1]) is not None
        return receives or self._callbacks.has_received("runkey")

    async def _with_document(self, output: Item, deadline: float) -> Item:
        """Return an output with the content of its file in place of the URL, if that is JSON or text."""
        name, url = next(((name, value) for name, value in output.items() if name == "mediaURL"), ("", ""))
        kind = document_kind(url) if url else ""
        if not kind:
            return output
        try:
            body = await self.client.fetch(url, timeout_s=max(1.0, deadline - now()), max_bytes=_MOST_DOCUMENT_BYTES)
            content = parse_json(body) if kind == "json" else body.decode()
        except (TransportError, MediaError, ValueError):
            return output  # it stays a file, and the engine states what is wrong with it
        rest = {key: value for key, value in output.items() if key != name}
        return {**rest, "sourceURL": url, "structuredData" if kind == "json" else "text": content}


class _PlanLimiter:
    """The places of an account, after its plan was asked for once. With each place comes the turn of one request.

    So the wait for the limit of requests, which may be more than a minute, comes before the attempt is recorded as
    sent. An attempt takes its place, is sent and returns its place in one task of asyncio, which tells whose turn it
    is.
    """

    def __init__(self, client: RunKey) -> None:
        self._client = client
        self._places: Places = client.pace.places
        self._has_asked = client.pace.knows_plan
        self._turns: dict[asyncio.Task[Any] | None, Turn] = {}

    async def acquire(self) -> None:
        """Wait for a place, and for the turn of the request that submits the task. See `Limiter.acquire`."""
        if not self._has_asked:
            self._has_asked = True  # by the first task only; the others begin with the smallest plan
            # The submission states what is wrong. Without a plan the smallest limits apply.
            with contextlib.suppress(RunwareNBError, TimeoutError):
                async with asyncio.timeout(_PLAN_TIMEOUT_S):
                    await self._client.account()
        await self._places.acquire()
        try:
            self._turns[asyncio.current_task()] = await self._client.pace.reserve("submit", math.inf)
        except BaseException:
            await self._places.release()
            raise

    def take_turn(self) -> Turn | None:
        """Return the turn that the running attempt has reserved; None if it has none. Who takes it ends it."""
        return self._turns.pop(asyncio.current_task(), None)

    async def release(self) -> None:
        """Return a place, and the turn if nothing has taken it."""
        turn = self.take_turn()
        if turn is not None:
            turn.end()
        await self._places.release()


def _given(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input of a task with seed and media, as far as a log has them."""
    given = {**(task.get("input") or {}), **(task.get("assets") or {})}
    if task.get("seed") is not None:
        given["seed"] = task["seed"]
    return {name: value if isinstance(value, str | int | float) else _shown(value) for name, value in given.items()}


def _shown(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (ValueError, TypeError):
        return str(value)


def _url_of(value: Any, name: str) -> str:
    if isinstance(value, Result) and value.url:
        return value.url
    if isinstance(value, str) and is_reference(value):
        return value
    raise MediaError(
        f"Input {name!r} has no URL, and RunKey has no upload. Nothing was sent. Pass the URL of a file that RunKey "
        "can fetch."
    )


def _about(error: Any, attempt: Attempt) -> Any:
    """Return an error with the id of the attempt that it is about."""
    if isinstance(error, TaskError):
        error.task_uuid = attempt.attempt_uuid
    return error


def _failure(task: RunKeyTask, attempt: Attempt) -> TaskError:
    """Build the error of a task that has failed or was canceled, with the reason that the service states."""
    raw = {name: value for name, value in task.raw.items() if name != "input"}
    code = task.error_code
    if task.status == "canceled":
        reason = f" ({task.reason})" if task.reason else ""
        error: TaskError = TaskFailed(f"The RunKey task was canceled{reason}.", code=code or "canceled", raw=raw)
    elif code:
        error = error_of_code(code, task.reason, raw=raw)
    else:
        reason = task.reason or "RunKey states no reason"
        error = TaskFailed(f"The RunKey task failed: {reason.removesuffix('.')}.", code="failed", raw=raw)
    return _about(error, attempt)  # type: ignore[no-any-return]
