"""UseApi: the async client of useapi.net. It can be used alone, in any event loop, without log and notebook."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from ...core.redaction import HiddenText, redact_text
from ...core.retry import backoff_s
from ...errors import (
    ArgumentInvalid,
    AuthenticationFailed,
    ConfigError,
    FateUnknown,
    MediaError,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ...forking import disconnect, restart_after_fork
from ...net.clock import Clock
from ...net.deadlines import now
from ...net.downloads import DOWNLOAD_TIMEOUT_S, Downloads
from ...net.http import Content, HttpConnection, HttpResponse
from ...printable import printable
from ...reprs import short_repr
from ...settings import Key, find_key, load_settings
from ..key_urls import check_key_url
from .accounts import (
    RECOMMENDED_JOBS,
    Password,
    UseApiAccount,
    check_email,
    check_max_jobs,
    parse_account,
    parse_accounts,
    path_segment,
)
from .assets import common_owner, file_name, read_upload
from .models import MOST_REFERENCE_CHARACTERS, check_task
from .package import USEAPI_TOKEN
from .protocol import (
    Artifact,
    Asset,
    Features,
    PlatformAccount,
    ScheduledTask,
    UseApiTask,
    error_of_response,
    error_of_task,
    owner_of,
    parse_asset,
    parse_features,
    parse_json,
    parse_platform,
    parse_scheduler,
    parse_task,
    parse_tasks,
    shorten_account,
    shorten_id,
)

__all__ = ["Listing", "UseApi", "asset_values", "poll_interval_s", "resubmit_delay_s"]

Json = dict[str, Any]
Sleep = Callable[[float], Awaitable[object]]

_BASE = "/v1/runwayml"
_MAX_BYTES = 64 * 1024 * 1024
_TIMEOUT_S = 60.0
"""Saving an account makes the service log in at Runway, which takes long (reference 2.3)."""
_UPLOAD_TIMEOUT_S = 300.0
_MOST_OFFSET, _TASKS_PER_PAGE, _ASSETS_PER_PAGE = 1000, 200, 50
_READ_TRIES = 3
_BROKEN_SESSION = 596
"""Not a standard status: the session of the stored Runway account is broken. Nothing was passed on to Runway."""
_AMBIGUOUS = frozenset({408, 409, 425, 429, 499})
"""Of a 4xx without an error of the service: a gateway may have sent it after the request was passed on."""
_POLL_S = {"image": 10.0, "video": 20.0}
"""As the vendor's scripts do (reference 10)."""
_FIRST_POLLS_S = 2.0
"""Between the first polls of a new task; it grows by half up to that of its kind, so that short tasks end soon."""
_LEAST_POLL_S = 2.0
"""Between two polls of a task, however many callbacks ask for one: they are not signed, and anyone may send them."""
_LATE_POLLS = 6
"""Polls of a task that has succeeded for results that it does not list yet, or lists without a link."""
_CLOSING_S = 5.0
"""Longest wait for the responses of create calls when the client is closed."""
_FIRST_RESUBMIT_S, _LONGEST_RESUBMIT_S = 10.0, 180.0


def poll_interval_s(path: str, polls: int | None = None) -> float:
    """Return how many seconds to wait between two polls of a task.

    Args:
        path: Its create call.
        polls: How many polls came before, since it was accepted; None for a task that is not new.
    """
    longest_s = _POLL_S["image" if path.strip("/").partition("/")[0] in {"images", "frames"} else "video"]
    return longest_s if polls is None else min(longest_s, _FIRST_POLLS_S * 1.5 ** min(polls, 20))


def resubmit_delay_s(refusals: int, retry_after_s: float | None, *, jitter: float) -> float:
    """Return how many seconds to wait before a task is sent again that was refused because no slot was free.

    Args:
        refusals: How many times it was refused in a row, at least 1.
        retry_after_s: What the service asks for, in its header or body; None if it states nothing.
        jitter: A random number in [0, 1).
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, 1.0), _LONGEST_RESUBMIT_S)
    grown = _FIRST_RESUBMIT_S * 1.5 ** min(refusals - 1, 20)
    return min(grown * (0.9 + 0.2 * jitter), _LONGEST_RESUBMIT_S)


def asset_values(body: Mapping[str, Any]) -> list[str]:
    """Return the ids of assets in the body of a create call."""
    return [value for value in body.values() if isinstance(value, str) and "-asset:" in value and owner_of(value)]


@short_repr("failure")
@dataclass(frozen=True, slots=True)
class Listing:
    """The tasks that the service listed.

    Attributes:
        task_ids: Their ids, by `replyRef`.
        failure: The first error of a list that could not be read, which may have other tasks; None without one.
    """

    task_ids: Mapping[str, str]
    failure: RunwareNBError | None = None


class UseApi:
    """A client of useapi.net's Runway API.

    It drives your own Runway account through an unofficial proxy: check Runway's terms of use before you automate it.

    Args:
        token: API token; by default from `USEAPI_TOKEN`, else from the keyring.
        url: URL of the service; by default from `RUNWARE_NB_USEAPI_URL`, else `https://api.useapi.net`.
        clock: Pace of the waits between polls. Tests pass a faster one.
        timeout_s: Longest time for one request, in seconds.
        connect_timeout_s: Longest time until a connection is ready, in seconds.
        rng: Source of the jitter of waits.

    Raises:
        ConfigError: There is no token, it is empty or contains blanks, or the URL is not one to send a token to.
    """

    def __init__(
        self,
        token: str | Key | None = None,
        *,
        url: str | None = None,
        clock: Clock | None = None,
        timeout_s: float = _TIMEOUT_S,
        connect_timeout_s: float = 10.0,
        rng: random.Random | None = None,
    ) -> None:
        if isinstance(token, str) and not isinstance(token, HiddenText):
            token = HiddenText(token, "<token from the argument token>")
        key = Key(token, "the argument token", USEAPI_TOKEN) if isinstance(token, str) else token or _find_token()
        self.clock = clock or Clock()
        self.url = check_key_url(url or _default_url(), service="useapi.net", key_label="API token of useapi.net")
        self._key = key
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._is_closed = False
        self._rng = rng or random.Random()  # noqa: S311 - it spreads waits, and decides nothing secret
        self._creating: set[asyncio.Future[None]] = set()
        self._start()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Open new connections after a fork: those of the parent are its own."""
        disconnect((), self._http)
        self._creating = set()
        self._start()

    def _start(self) -> None:
        self._http = HttpConnection(
            self.url, user_agent="runware_nb", connect_timeout_s=self._connect_timeout_s, key=self._key.reveal
        )
        self._downloads = Downloads(self._http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections for good. Tasks go on at the service and can be read by their ids with another client.

        New requests are refused at once, and waits for tasks end with an error at their next poll. The responses of
        create calls that are in flight are awaited for up to 5 s: without its response, nobody knows whether a task
        was accepted and charged.
        """
        self._is_closed = True
        if self._creating:
            await asyncio.wait(set(self._creating), timeout=_CLOSING_S)
        await self._http.aclose()

    def _open_connection(self) -> HttpConnection:
        """Return the connections, which would be opened again after `aclose`, and never closed.

        Raises:
            TransportError: The client was closed. Nothing was sent.
        """
        if self._is_closed:
            closed = TransportError(
                "The client of useapi.net was closed, so this request was not sent.", may_have_arrived=False
            )
            closed.retryable = False
            raise closed
        return self._http

    def __repr__(self) -> str:
        return printable(f"<UseApi {self._http.host}>")

    # --- accounts ----------------------------------------------------------------------------------------

    async def accounts(self, *, counts_jobs: bool = False, reveals: bool = False) -> list[UseApiAccount]:
        """Return the Runway accounts that useapi.net stores; an empty list if none is configured.

        Args:
            counts_jobs: Whether the scheduler is asked how many tasks each account runs.
            reveals: Whether passwords and session tokens are kept, as far as the service returns them.
        """
        response = await self._respond("GET", f"{_BASE}/accounts", is_traced=False)
        if response.status == 404:  # documented as a sentence, and not as JSON
            return []
        self._check(response, "The list of accounts", is_private=True)
        accounts = parse_accounts(parse_json(response.body), reveals=reveals)
        if not counts_jobs:
            return accounts
        tracked = [task.account for task in await self.scheduler()]
        return [replace(account, running=tracked.count(account.email)) for account in accounts]

    async def account(self, email: str, *, reveals: bool = False) -> UseApiAccount:
        """Return one Runway account.

        Args:
            email: Its e-mail.
            reveals: Whether its password and session token are kept, as far as the service returns them.

        Raises:
            TaskNotFound: It is not configured.
        """
        response = await self._respond("GET", f"{_BASE}/accounts/{check_email(email)}", is_traced=False)
        self._check(response, f"The account {shorten_account(email)}", is_private=True)
        return parse_account(parse_json(response.body), reveals=reveals, email=email)

    async def save_account(
        self, email: str, password: str | Password, max_jobs: int = RECOMMENDED_JOBS
    ) -> UseApiAccount:
        """Create or update a Runway account. useapi.net logs in with the password, which takes a while.

        All three fields are always sent, because the service requires them, and it is not known whether it keeps those
        that are left out.

        Args:
            email: Its e-mail. It goes into the path and into the body from this one argument.
            password: Its password at Runway.
            max_jobs: Most tasks at a time, 1 to 10. The vendor recommends 5.

        Raises:
            ArgumentInvalid: An argument cannot be sent. Nothing was sent.
            AuthenticationFailed: The API token is refused.
            TaskInvalid: Runway refused the e-mail or the password.
            TaskFailed: Runway has suspended the account.
        """
        email, max_jobs = check_email(email, is_new=True), check_max_jobs(max_jobs)
        secret = password if isinstance(password, Password) else Password(password)
        del password

        def body() -> bytes:  # built when it is sent, so that nothing keeps the password
            return json.dumps({"email": email, "password": secret.reveal(), "maxJobs": max_jobs}).encode()

        response = await self._respond("POST", f"{_BASE}/accounts/{email}", content=body, is_traced=False)
        self._check(
            response,
            f"The account {shorten_account(email)}",
            is_private=True,
            posts_account=True,
            hidden=secret,
        )
        return parse_account(parse_json(response.body), email=email)

    async def delete_account(self, email: str) -> bool:
        """Delete a Runway account from useapi.net; return whether it was configured. Its tasks may go on."""
        response = await self._respond("DELETE", f"{_BASE}/accounts/{check_email(email)}", is_traced=False)
        return self._deleted(response, f"The account {shorten_account(email)}")

    # --- generation --------------------------------------------------------------------------------------

    async def videos_create(self, model: str, text_prompt: str | None = None, **options: Any) -> UseApiTask:
        """Start a video. See `create` for the options that all calls have, and `models.MODELS` for those of models."""
        return await self.create("videos/create", model=model, text_prompt=text_prompt, **options)

    async def images_create(self, model: str, text_prompt: str | None = None, **options: Any) -> UseApiTask:
        """Start images. See `create` for the options that all calls have, and `models.MODELS` for those of models."""
        return await self.create("images/create", model=model, text_prompt=text_prompt, **options)

    async def frames_create(self, text_prompt: str, **options: Any) -> UseApiTask:
        """Start images with Frames. See `create`."""
        return await self.create("frames/create", text_prompt=text_prompt, **options)

    async def create(self, path: str, *, checks: bool = True, **body: Any) -> UseApiTask:
        """Start a task with any documented create call.

        Every task gets a `replyRef`, by which it can be found if the response is lost. It is never sent twice.

        Args:
            path: Path below `/v1/runwayml`, such as `gen4/create`.
            checks: Whether the parameters are checked against the table of models before they are sent.
            **body: Parameters as the service names them; those that are None are left out. `email` chooses the account.

        Raises:
            TaskInvalid: A parameter is invalid, or the assets belong to several accounts.
            RateLimited: No account has a free slot. Nothing was started; send it again after `retry_after_s`.
            OutOfCredit: The Runway account has no credits left, or the subscription has expired.
            ContentRefused: The prompt was moderated.
            FateUnknown: The response was lost. `find` looks for the task by its `replyRef`, which the message has.
            TransportError: It was not sent (`may_have_arrived` is False).
        """
        sent = {name: value for name, value in body.items() if value is not None}
        sent.setdefault("replyRef", str(uuid.uuid4()))
        if checks:
            check_task(path.strip("/"), sent)
        return await self.send_create(path, sent)

    async def send_create(self, path: str, body: Json) -> UseApiTask:
        """Send a create call once as it is, and decide what its response says about the fate of the task.

        Args:
            path: See `create`.
            body: Its parameters, with a `replyRef`.

        Raises:
            TaskError: See `create`.
            FateUnknown: See `create`.
            TransportError: See `create`.
        """
        target = f"{_BASE}/{_path(path)}"
        check_common(body)
        reference = str(body.get("replyRef", ""))
        try:
            content = json.dumps(body, allow_nan=False).encode()
        except (ValueError, TypeError) as error:
            raise TaskInvalid(f"The task cannot be written as JSON: {error}. Nothing was sent.") from error
        connection = self._open_connection()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._creating.add(ended)
        try:
            response = await connection.request(
                "POST", target, content=content, timeout_s=self._timeout_s, max_bytes=_MAX_BYTES, too_large=_too_large
            )
        except (TransportError, ProtocolError) as error:
            if not error.may_have_arrived:
                raise  # proven: no byte of the body left, so no task can exist
            # The body may have been read, Runway may have started the task, and only the response is missing.
            raise lost(reference, error.problem) from error
        finally:
            self._creating.discard(ended)
            ended.set_result(None)
        status = response.status
        if 200 <= status < 300:
            try:
                return parse_task(parse_json(response.body), "The response")
            except ProtocolError as error:
                # Accepted by its status, and without the id that would prove it: the task may run and be charged.
                raise lost(reference, f"it has no taskId (HTTP {status})") from error
        refusal = error_of_response(response, creates=True)
        if refusal is not None and (status < 500 or status == _BROKEN_SESSION) and status != 408:
            raise refusal  # the service itself states that it refused the task: nothing was created
        if refusal is None and 400 <= status < 500 and status not in _AMBIGUOUS:
            # A gateway refused the request with a page of its own, so it was not passed on to the service.
            raise TaskFailed(
                f"{self._http.host} refused the request with HTTP {status} and a body that is not an error of "
                "useapi.net. The task was not started.", code=str(status), http_status=status,
            )  # fmt: skip
        # useapi.net is a proxy. A 5xx, with or without an error in it, or a 408 reports trouble between it and Runway,
        # which may have come after Runway had accepted the task. A redirect was not followed.
        raise lost(reference, f"HTTP {status}" if refusal is None else f"HTTP {status}, {refusal.raw['error']}")

    async def describe_image(self, asset_id: str) -> str:
        """Return a prompt that describes an image asset. It costs nothing.

        Raises:
            TaskNotFound: There is no such asset.
            TaskInvalid: It is not an image.
        """
        answer = await self._read(f"{_BASE}/frames/describe/{path_segment(asset_id, 'asset_id')}", "The asset")
        prompt = answer.get("prompt") if isinstance(answer, dict) else None
        if not isinstance(prompt, str):
            raise ProtocolError("The response of /frames/describe has no prompt", frame=json.dumps(answer, default=str))
        return prompt

    frames_describe = describe_image

    # --- tasks -------------------------------------------------------------------------------------------

    async def task(self, task_id: str, *, timeout_s: float | None = None) -> UseApiTask:
        """Return a task as it is now.

        Raises:
            TaskNotFound: The service does not know it, or has deleted it.
        """
        path = f"{_BASE}/tasks/{path_segment(task_id, 'task_id')}"
        return parse_task(await self._read(path, "The task", timeout_s=timeout_s), "The task")

    async def tasks(
        self, email: str | None = None, *, statuses: str = "", offset: int = 0, limit: int = 100
    ) -> list[UseApiTask]:
        """Return tasks of one account, the newest first as far as is known.

        Args:
            email: The account; it may be left out if only one is configured.
            statuses: Accepted statuses, separated by commas; empty for all.
            offset: How many are skipped, 0 to 1000.
            limit: Most tasks, 1 to 1000.
        """
        query = _query(offset=offset, limit=limit, statuses=statuses or None)
        answer = await self._read(f"{_BASE}/tasks/?{query}{_email_query(email)}", "The list of tasks")
        return parse_tasks(answer)

    async def delete_task(self, task_id: str) -> bool:
        """Delete a task; return whether it existed. Whether a running task stops is not documented."""
        path = f"{_BASE}/tasks/{path_segment(task_id, 'task_id')}"
        return self._deleted(await self._respond("DELETE", path), "The task")

    async def find(self, reply_ref: str, accounts: list[str] | None = None) -> UseApiTask | None:
        """Look for a task by its `replyRef`; return None if the service lists none.

        None proves nothing: the documents do not show whether lists contain the reference.

        Args:
            reply_ref: The reference that it was sent with.
            accounts: E-mails of the accounts to look at; None for all.
        """
        listing = await self.listing(accounts)
        task_id = listing.task_ids.get(reply_ref)
        if task_id is None and listing.failure is not None:
            raise listing.failure
        return None if task_id is None else await self.task(task_id)

    async def references(self, accounts: list[str] | None = None) -> dict[str, str]:
        """Return the ids of the tasks that the service lists, by `replyRef`.

        Args:
            accounts: E-mails of the accounts to look at; None for all.

        Raises:
            TaskError: A list was refused. A reference that is missing then proves even less.
            TransportError: The service could not be asked.
        """
        listing = await self.listing(accounts)
        if listing.failure is not None:
            raise listing.failure
        return dict(listing.task_ids)

    async def listing(self, accounts: list[str] | None = None) -> Listing:
        """Return the tasks that the service lists, as far as their lists can be read.

        A list that is refused, such as that of an account whose session is broken, does not hide the tasks of others.

        Args:
            accounts: E-mails of the accounts to look at; None for all.
        """
        found: dict[str, str] = {}
        failure: RunwareNBError | None = None
        try:
            found.update({task.reply_ref: task.task_id for task in await self.scheduler() if task.reply_ref})
        except (TaskError, ProtocolError) as error:
            failure = error
        except TransportError as error:
            return Listing(found, error)
        try:
            emails = [account.email for account in await self.accounts()] if accounts is None else accounts
        except (TaskError, ProtocolError, TransportError) as error:
            return Listing(found, failure or error)
        for email in emails:
            try:
                for offset in range(0, _MOST_OFFSET + 1, _TASKS_PER_PAGE):
                    page = await self.tasks(email, offset=offset, limit=_TASKS_PER_PAGE)
                    found.update((task.reply_ref, task.task_id) for task in page if task.reply_ref)
                    if len(page) < _TASKS_PER_PAGE:
                        break
            except (TaskError, ProtocolError) as error:
                failure = failure or error
            except TransportError as error:  # the network, which the next list needs as well
                return Listing(found, failure or error)
        return Listing(found, failure)

    async def watch(
        self,
        task_id: str,
        *,
        interval_s: float | Callable[[int], float],
        first_s: float = 0.0,
        deadline: float | None = None,
        sleep: Sleep | None = None,
    ) -> AsyncGenerator[UseApiTask]:
        """Yield a task each time that it was polled, until it has ended.

        A poll that fails for the network, a 5xx or a 429 is repeated: a question says nothing about the task. A task
        that has succeeded is polled a few more times while results are missing or have no link: one early read must
        not decide that they do not exist.

        Args:
            task_id: The task.
            interval_s: Time between two polls, in seconds of the service; or a function of the number of polls so far.
            first_s: Time before the first poll, in seconds of the service.
            deadline: When to give up, by the monotonic clock, in seconds; None for never.
            sleep: Waits between polls, in seconds of the service; a callback may end the wait early. Two polls are at
                least 2 s apart all the same, and the wait after a 429 is not ended early.

        Raises:
            TransportTimeout: The deadline has passed; the task goes on.
            TaskNotFound: The service does not know the task.
            TaskError: The service refuses to answer.
        """
        wait_for, failures, polls, late_polls = sleep or self.clock.sleep, 0, 0, 0
        ended: UseApiTask | None = None
        if first_s:
            await wait_for(first_s if deadline is None else min(first_s, self._left_service_s(deadline)))
        while True:
            polls += 1
            delay_s = interval_s if isinstance(interval_s, int | float) else interval_s(polls)
            is_limited = False
            try:
                task = await self.task(task_id, timeout_s=self._left_s(deadline, task_id))
                failures = 0
            except TransportTimeout:
                if deadline is not None and now() >= deadline:
                    if ended is not None and ended.artifacts:
                        return  # what is missing can be asked for again later
                    raise _late(task_id) from None
                failures, delay_s = failures + 1, self._after_failure_s(failures + 1, None)
            except (RateLimited, ProviderFailed, TransportError, ProtocolError) as error:
                if isinstance(error, TransportError) and not error.retryable:
                    raise
                failures += 1
                is_limited = isinstance(error, RateLimited)
                delay_s = self._after_failure_s(failures, getattr(error, "retry_after_s", None))
            except TaskError:
                if ended is not None and ended.artifacts:
                    return  # its results were read, whatever the service answers now
                raise
            else:
                yield task
                if task.is_final:
                    ended = task
                    if task.is_complete or late_polls == _LATE_POLLS:
                        return
                    late_polls += 1
            if deadline is not None:
                delay_s = min(delay_s, self._left_service_s(deadline))
                if delay_s <= 0:
                    if ended is not None and ended.artifacts:
                        return
                    raise _late(task_id)
            at_least_s = delay_s if is_limited else min(delay_s, _LEAST_POLL_S)
            await self.clock.sleep(at_least_s)
            if delay_s > at_least_s:
                await wait_for(delay_s - at_least_s)

    async def wait(
        self,
        task: str | UseApiTask,
        *,
        timeout_s: float | None = None,
        interval_s: float = _POLL_S["video"],
        on_change: Callable[[UseApiTask], None] | None = None,
    ) -> UseApiTask:
        """Wait until a task has ended, and return it.

        Args:
            task: The task or its id.
            timeout_s: Longest wait, in seconds; None for no limit. Tasks in the free queue can take hours.
            interval_s: Time between two polls, in seconds.
            on_change: Called with each poll.

        Raises:
            TaskError: The task failed, or ended without a result.
            TransportTimeout: The time is over; the task goes on.
        """
        task_id = task if isinstance(task, str) else task.task_id
        deadline = None if timeout_s is None else now() + timeout_s
        polled: UseApiTask | None = None
        async with contextlib.aclosing(self.watch(task_id, interval_s=interval_s, deadline=deadline)) as polls:
            async for polled in polls:
                if on_change is not None:
                    on_change(polled)
        assert polled is not None
        if polled.has_failed or not polled.artifacts:
            raise error_of_task(polled, polled.reply_ref or "")
        return polled

    # --- scheduler ---------------------------------------------------------------------------------------

    async def scheduler(self) -> list[ScheduledTask]:
        """Return the tasks of all accounts that the service tracks now."""
        return parse_scheduler(await self._read(f"{_BASE}/scheduler", "The scheduler"))

    async def untrack(self, task_id: str) -> bool:
        """Stop tracking a task, which frees its slot; return whether it was tracked. The task itself may go on."""
        path = f"{_BASE}/scheduler/{path_segment(task_id, 'task_id')}"
        return self._deleted(await self._respond("DELETE", path), "The task")

    # --- assets ------------------------------------------------------------------------------------------

    async def upload(
        self,
        value: Any,
        *,
        email: str | None = None,
        name: str | None = None,
        duration_s: float | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> Asset:
        """Upload a file as an asset.

        Args:
            value: Bytes, a path, a PIL image, a numpy array, or an earlier result. WebP and other image types that the
                service does not accept are converted to PNG or JPEG.
            email: The account that will own it; it may be left out if only one is configured.
            name: Its name; by default from its content.
            duration_s: Length of a video, for calls that need it.
            width: Pixels of a video, for calls that need them.
            height: Pixels of a video, for calls that need them.

        Raises:
            MediaError: It is no medium, is broken, or is of a type that cannot be converted.
        """
        content, media_type = await asyncio.to_thread(read_upload, value)
        name = name or file_name(hashlib.sha256(content).hexdigest(), media_type)
        sizes = _query(name=name, duration=duration_s, width=width, height=height)
        response = await self._respond(
            "POST", f"{_BASE}/assets/?{sizes}{_email_query(email)}", content=content,
            headers={"Content-Type": media_type}, timeout_s=_UPLOAD_TIMEOUT_S,
        )  # fmt: skip
        self._check(response, "The upload")
        return parse_asset(parse_json(response.body))

    async def assets(
        self, email: str | None = None, *, media_type: str | None = None, offset: int = 0, limit: int = _ASSETS_PER_PAGE
    ) -> list[Asset]:
        """Return assets of one account.

        Args:
            email: The account; it may be left out if only one is configured.
            media_type: `image`, `video` or `audio`; None for all.
            offset: How many are skipped, 0 to 1000.
            limit: Most assets, 1 to 50.
        """
        query = _query(offset=offset, limit=limit, mediaType=media_type)
        answer = await self._read(f"{_BASE}/assets/?{query}{_email_query(email)}", "The list of assets")
        items = answer.get("assets") if isinstance(answer, dict) else answer
        if not isinstance(items, list):
            raise ProtocolError("The list of assets is not an array", frame=json.dumps(answer, default=str))
        return [parse_asset(item) for item in items]

    async def asset(self, asset_id: str) -> Asset:
        """Return an asset.

        Raises:
            TaskNotFound: There is none with this id.
        """
        return parse_asset(await self._read(f"{_BASE}/assets/{path_segment(asset_id, 'asset_id')}", "The asset"))

    async def delete_asset(self, asset_id: str) -> bool:
        """Delete an asset; return whether it existed."""
        path = f"{_BASE}/assets/{path_segment(asset_id, 'asset_id')}"
        return self._deleted(await self._respond("DELETE", path), "The asset")

    # --- credits and the platform account ------------------------------------------------------------------

    async def features(self, email: str | None = None) -> Features:
        """Return the plan of an account, with the credits left.

        Args:
            email: The account; it may be left out if only one is configured.
        """
        query = _email_query(email).replace("&", "?", 1)
        return parse_features(await self._read(f"{_BASE}/features/{query}", "The plan"))

    async def platform_account(self) -> PlatformAccount:
        """Return the account at useapi.net itself."""
        return parse_platform(await self._read("/v2/account", "The useapi.net account"))

    async def set_platform_account(self, *, name: str | None = None, reply_url: str | None = None) -> PlatformAccount:
        """Set the name of the useapi.net account, or the URL that is called by default when a task changes.

        Raises:
            ArgumentInvalid: Nothing was given, or a text is too long. Nothing was sent.
        """
        body = {key: text for key, text in (("name", name), ("replyUrl", reply_url)) if text is not None}
        if not body:
            raise ArgumentInvalid("name", name, "a name or a reply_url")
        for key, text in body.items():
            _check_reference(key, text)
        response = await self._respond("POST", "/v2/account", content=json.dumps(body).encode())
        self._check(response, "The useapi.net account")
        return parse_platform(parse_json(response.body))

    # --- files -------------------------------------------------------------------------------------------

    async def download(self, artifact: Artifact | Asset | str, *, timeout_s: float | None = None) -> bytes:
        """Fetch a file from its signed link, without the API token.

        Raises:
            MediaError: There is no link, it has expired, or it may not be fetched.
            TransportError: The download failed; it may succeed later.
        """
        self._open_connection()
        url = artifact if isinstance(artifact, str) else artifact.url
        if url is None:
            raise MediaError("The artifact has no URL.")
        return await self._downloads.download(url, timeout_s=DOWNLOAD_TIMEOUT_S if timeout_s is None else timeout_s)

    # --- requests ----------------------------------------------------------------------------------------

    async def _read(self, path: str, what: str, *, timeout_s: float | None = None) -> Any:
        """Send a GET, and return its JSON."""
        response = await self._respond("GET", path, timeout_s=timeout_s)
        self._check(response, what)
        answer = parse_json(response.body)
        if answer is None:
            raise ProtocolError(
                f"{what}: the response of {self._http.host} is not JSON (HTTP {response.status})",
                frame=response.body.decode("utf-8", "replace"), http_status=response.status,
            )  # fmt: skip
        return answer

    async def _respond(
        self,
        method: str,
        path: str,
        *,
        content: Content = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        is_traced: bool = True,
    ) -> HttpResponse:
        """Send a request that costs nothing. A GET is repeated after trouble with the network or the proxy."""
        deadline = now() + (self._timeout_s if timeout_s is None else timeout_s)
        for tried in range(1, _READ_TRIES + 1):
            is_last = method != "GET" or tried == _READ_TRIES
            try:
                response = await self._open_connection().request(
                    method, path, content=content, headers=headers, timeout_s=deadline - now(), max_bytes=_MAX_BYTES,
                    too_large=_too_large, is_traced=is_traced,
                )  # fmt: skip
                if is_last or not (
                    response.status == 408 or (500 <= response.status < 600 and response.status != _BROKEN_SESSION)
                ):
                    return response
            except TransportTimeout:
                raise
            except TransportError as error:
                if is_last or not error.retryable:
                    raise
            await self.clock.sleep(self._after_failure_s(tried, None))
        raise AssertionError("unreachable")

    def _check(
        self,
        response: HttpResponse,
        what: str,
        *,
        is_private: bool = False,
        posts_account: bool = False,
        hidden: Password | None = None,
    ) -> None:
        """Raise the error that a response states.

        Args:
            response: Any.
            what: What was asked for, for the error.
            is_private: Whether the body may contain secrets, so that no error may quote it.
            posts_account: Whether 401 has its three meanings.
            hidden: A secret that the service might repeat in an error.
        """
        if 200 <= response.status < 300:
            return
        error = error_of_response(response, posts_account=posts_account)
        if error is None:
            error = self._error_without_envelope(response, what, is_private=is_private)
        if hidden is not None:  # also a password that is too short to be searched for everywhere
            error.args = tuple(redact_text(str(part), [hidden.reveal()]) for part in error.args)
            error.raw = {key: redact_text(str(part), [hidden.reveal()]) for key, part in error.raw.items()}
        raise error

    def _error_without_envelope(self, response: HttpResponse, what: str, *, is_private: bool) -> TaskError:
        """Build the error of a status whose body is text, a web page or nothing."""
        status, host = response.status, self._http.host
        text = "" if is_private else " ".join(response.body.decode("utf-8", "replace").split())[:120]
        quoted = f" ({text})" if text and not text.startswith("<") else ""
        kinds: dict[int, type[TaskError]] = {
            401: AuthenticationFailed, 402: OutOfCredit, 404: TaskNotFound, 410: TaskNotFound, 429: RateLimited,
        }  # fmt: skip
        if status in {404, 410}:
            return TaskNotFound(f"{what} does not exist at {host}{quoted}.", code=str(status), http_status=status)
        kind = kinds.get(
            status, ProviderFailed if (status >= 500 and status != _BROKEN_SESSION) or status == 408 else TaskFailed
        )
        return kind(f"{what}: {host} responded with HTTP {status}{quoted}.", code=str(status), http_status=status)

    def _deleted(self, response: HttpResponse, what: str) -> bool:
        """Return whether something was deleted: any 2xx, also without a body. A 404 means that it was gone."""
        if response.status == 404:
            return False
        self._check(response, what, is_private=True)
        return True

    def _after_failure_s(self, failures: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(max(retry_after, 1.0), _LONGEST_RESUBMIT_S)
        return backoff_s(failures, jitter=self._rng.random(), first_s=2.0, longest_s=60.0)

    def _left_service_s(self, deadline: float) -> float:
        """Return the time until a deadline, in seconds of the service."""
        return (deadline - now()) / self.clock.real_s(1.0)

    def _left_s(self, deadline: float | None, task_id: str) -> float:
        if deadline is None:
            return self._timeout_s
        left_s = deadline - now()
        if left_s <= 0:
            raise _late(task_id)
        return min(self._timeout_s, left_s)


# --- helpers -------------------------------------------------------------------------------------------------


def lost(reference: str, reason: str) -> FateUnknown:
    """Build the error of a create call, if it is not known whether it started a task."""
    return FateUnknown(
        f"The response of useapi.net to the task with replyRef {reference} was lost: {reason.rstrip('.')}. The task "
        "may have been accepted and charged. It is not sent again."
    )


def check_common(body: Mapping[str, Any]) -> None:
    """Check what holds for every create call.

    Raises:
        TaskInvalid: The assets belong to several accounts, or to another one than the task names.
        ArgumentInvalid: A field cannot be sent.
    """
    owner = common_owner(asset_values(body))
    email = body.get("email")
    if email is not None:
        check_email(email)
        if owner is not None and owner != email:
            # The service would silently run it on the owner of the assets.
            raise TaskInvalid(
                f"Invalid account {shorten_account(email)}: the assets of this task belong to {shorten_account(owner)}"
                ", and the account that owns the assets runs the task. Nothing was sent.", parameter="account",
            )  # fmt: skip
    if body.get("maxJobs") is not None:
        check_max_jobs(body["maxJobs"], "maxJobs")
    for name in ("replyUrl", "replyRef"):
        if body.get(name) is not None:
            _check_reference(name, body[name])


def _check_reference(name: str, text: Any) -> None:
    if not isinstance(text, str) or len(text) > MOST_REFERENCE_CHARACTERS:
        raise ArgumentInvalid(name, text, f"a text of at most {MOST_REFERENCE_CHARACTERS} characters")


def _path(path: str) -> str:
    """Return the path of a create call, each part of which can stand in a URL as it is."""
    return "/".join(path_segment(part, "path") for part in path.strip("/").split("/"))


def _query(**values: Any) -> str:
    return urlencode({name: value for name, value in values.items() if value is not None}, quote_via=quote)


def _email_query(email: str | None) -> str:
    """Return the part of a query that names an account; a `+` is encoded, since in a query it would mean a blank."""
    return "" if email is None else f"&email={quote(check_email(email), safe='@')}"


def _find_token() -> Key:
    key = find_key(USEAPI_TOKEN, load_settings().profile)
    if key is None:
        raise ConfigError(f"No {USEAPI_TOKEN.label}. Set {USEAPI_TOKEN.variable}, or pass token=....")
    return key


def _default_url() -> str:
    return str(load_settings().value("useapi_url"))


def _too_large() -> ProtocolError:
    return ProtocolError(f"The response has more than the {_MAX_BYTES:,} bytes accepted")


def _late(task_id: str) -> TransportTimeout:
    return TransportTimeout(f"The task {shorten_id(task_id)} has not ended at its deadline. It goes on at Runway.")
