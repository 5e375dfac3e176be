"""useapi.net as a provider: its client behind the interface that the engine uses."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...core.items import Item
from ...core.money import Money
from ...core.operations import Operation
from ...core.plain_values import plain_task
from ...core.results import Outcome, Result
from ...errors import (
    ArgumentInvalid,
    ContentRefused,
    MediaError,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskFailed,
    TaskInvalid,
    TransportError,
    TransportTimeout,
)
from ...media.medium import MemoryMedium
from ...net.clock import Clock
from ...net.deadlines import now
from ...remedies import Remedy
from ..base import (
    Accepted,
    Account,
    Attempt,
    Capabilities,
    Description,
    NextAttempt,
    Plan,
    ProviderContext,
    RunObserver,
    Task,
)
from ..key_urls import is_local_url
from .accounts import RECOMMENDED_JOBS, AccountsLimiter, Password, UseApiAccount
from .assets import common_owner, is_asset_id, read_upload
from .client import Listing, UseApi, asset_values, check_common, poll_interval_s, resubmit_delay_s
from .models import ENDPOINTS, check_task, model_of
from .package import RUNWAY_PASSWORD, USEAPI_TOKEN
from .protocol import (
    Artifact,
    UseApiTask,
    build_error,
    error_of_task,
    owner_of,
    shorten_account,
    shorten_id,
)

__all__ = ["PREFIX", "TERMS", "UseApiProvider", "wire_body"]

PREFIX = "useapi/"
"""Before the path of a create call, in `taskType`."""
TERMS = (
    "This drives your own Runway account through useapi.net, an unofficial proxy. Check Runway's terms of use before "
    "you automate it."
)
_TOKEN = re.compile(r"user:\d+-[A-Za-z0-9]+")
_WAITING = "waiting at Runway, whose queue holds it back (THROTTLED); this can take long, and is not an error"
_NEW = object()
"""State of an attempt that was accepted just now, by this process."""
_CAPABILITIES = Capabilities(
    client_chosen_ids=False,
    resend_is_safe=False,  # each create call that arrives is a task of its own, and is charged
    can_find_lost=True,  # by replyRef, as far as the service lists it
    pushes_results=False,
    webhooks="unsigned",
    money="credits",
)
_OURS = frozenset({"taskType", "taskUUID", "assets", "account", "webhookURL"})
"""Fields of a task that are not sent under these names."""
_NOT_SHOWN = frozenset({"taskType", "taskUUID", "assets", "webhookURL", "text_prompt", "num_images", "replyRef"})


def call_of(task: Mapping[str, Any]) -> str:
    """Return the path of the create call of a task."""
    return str(task.get("taskType", "")).removeprefix(PREFIX).strip("/")


def wire_body(task: Mapping[str, Any], reference: str = "", reply_url: str = "") -> Item:
    """Return the body that a task becomes.

    Args:
        task: With ids where assets are.
        reference: Our id of the attempt, by which the task is found if the response is lost.
        reply_url: URL to call when the task changes, if the task names none.
    """
    body = {name: value for name, value in task.items() if name not in _OURS and value is not None}
    assets = task.get("assets")
    body.update(assets if isinstance(assets, Mapping) else {})
    # With an asset, its owner runs the task, and the service does not use `email`.
    if task.get("account") and not asset_values(body):
        body["email"] = task["account"]
    if task.get("webhookURL") or reply_url:
        body["replyUrl"] = task.get("webhookURL") or reply_url
    if reference:
        body["replyRef"] = reference
    return body


class UseApiProvider:
    """useapi.net, or the sandbox in its place.

    Args:
        context: What the session gives to providers.
        clock: Pace of polls and waits. Tests pass a faster one.
        rng: Source of the jitter of waits.
    """

    services = ("useapi", "useapi-sandbox")

    def __init__(
        self, context: ProviderContext, *, clock: Clock | None = None, rng: random.Random | None = None
    ) -> None:
        self._context = context
        self._url = str(context.settings.value("useapi_url"))
        self._reply_url = str(context.settings.value("useapi_reply_url") or "")
        self.clock = clock or Clock()
        self._rng = rng or random.Random()  # noqa: S311 - it spreads waits, and decides nothing secret
        self.limiter = AccountsLimiter(self._read_accounts, self.clock)
        self._client: UseApi | None = None
        self._has_told = False
        self._uploads: dict[tuple[str, str], asyncio.Future[str]] = {}
        self._hashes: dict[str, str] = {}
        self._search = _Search(self)

    @property
    def name(self) -> str:
        """The name under which the log records its runs."""
        return "useapi-sandbox" if is_local_url(self._url) else "useapi"

    @property
    def capabilities(self) -> Capabilities:
        """What the service can do."""
        return _CAPABILITIES

    @property
    def client(self) -> UseApi:
        """The client.

        Raises:
            ConfigError: There is no token.
        """
        if self._client is None:
            key = self._context.key(USEAPI_TOKEN)
            self._client = UseApi(key, url=self._url, clock=self.clock, rng=self._rng)
        return self._client

    def password(self) -> Password:
        """Return the password of a Runway account from the environment.

        Raises:
            ConfigError: There is none.
        """
        key = self._context.key(RUNWAY_PASSWORD)
        return Password(key.reveal(), key.source)

    async def _read_accounts(self) -> list[UseApiAccount]:
        return await self.client.accounts()

    def require_key(self) -> None:
        """Check that there is a token, and tell the user once what the service is."""
        _ = self.client
        if self._has_told:
            return
        self._has_told = True
        self._context.notify(TERMS)
        if not _TOKEN.fullmatch(self._context.key(USEAPI_TOKEN).reveal()):
            self._context.notify(
                "The token of useapi.net does not have the documented form user:<digits>-<letters and digits>. It is "
                "sent as it is."
            )

    # --- before sending ------------------------------------------------------------------------------

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Check a task. See `Provider.plan`."""
        item = dict(task) if isinstance(task, Mapping) else dict(task.to_wire())
        if as_is:
            return Plan(item)
        item = plain_task(_in_our_form(item))
        if not str(item.get("taskType", "")).startswith(PREFIX):
            raise TaskInvalid(
                f"Invalid taskType {item.get('taskType')!r}: expected {PREFIX} and a create call, such as "
                f"{PREFIX}videos/create. Nothing was sent.", parameter="taskType",
            )  # fmt: skip
        path = call_of(item)
        body = wire_body(item)
        try:
            check_common({**body, **({"email": item["account"]} if item.get("account") is not None else {})})
        except ArgumentInvalid as error:
            raise TaskInvalid(f"{error.problem} Nothing was sent.", parameter=error.name) from error
        return Plan(item, tuple(check_task(path, body).warnings))

    def price(self, task: Mapping[str, Any]) -> Money | None:
        """Return that no price is known: the documents have no list of prices."""
        del task
        return None

    def complete(self, task: Item, *, as_is: bool = False) -> Item:
        """Return a task with our id of it, which is all that is added."""
        del as_is
        return {**task, "taskUUID": task.get("taskUUID") or str(uuid.uuid4())}

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return whether the model of a task takes a seed. An unknown model gets one only from the user."""
        path = call_of(task)
        endpoint = ENDPOINTS.get(path)
        if endpoint is None or endpoint.parameter("seed") is None:
            return False
        if endpoint.parameter("model") is None:
            return True
        model = model_of(path, task.get("model"))
        return model is not None and model.takes_seed

    def operation(self, task: Mapping[str, Any]) -> Operation | None:
        """Return the operation of a create call; None if the call is not known."""
        endpoint = ENDPOINTS.get(call_of(task))
        if endpoint is None:
            return None
        return Operation(
            name=PREFIX + endpoint.path, summary=endpoint.summary, produces=endpoint.produces, function=None,
            long_running=True,
        )  # fmt: skip

    def prompt(self, task: Mapping[str, Any]) -> str | None:
        """Return the prompt of a task."""
        prompt = task.get("text_prompt")
        return prompt if isinstance(prompt, str) else None

    def describe(self, task: Mapping[str, Any]) -> Description:
        """Return a task in words, with its account shortened."""
        shown: dict[str, Any] = {"call": call_of(task)}
        shown |= {name: value for name, value in task.items() if name not in _NOT_SHOWN and value is not None}
        if isinstance(shown.get("account"), str):
            shown["account"] = shorten_account(shown["account"])
        assets = task.get("assets")
        for name, value in (assets if isinstance(assets, Mapping) else {}).items():
            shown[name] = shorten_id(value) if is_asset_id(value) else "a file"
        return Description(self.prompt(task) or call_of(task), tuple(shown.items()))

    def parameters(self, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what decides the result of a logged request. The names are those of the service."""
        del inputs
        return {name: value for name, value in request.items() if name not in {"taskType", "taskUUID", "webhookURL"}}

    def number_of_results(self, task: Mapping[str, Any]) -> int:
        """Return how many results a task asks for."""
        count = task.get("num_images")
        return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 1

    def is_reference(self, text: str) -> bool:
        """Return whether a text is the id of an asset, or a URL, whose file is fetched and uploaded."""
        return is_asset_id(text) or text.startswith(("http://", "https://"))

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of uploaded media, by id."""
        return self._hashes

    async def prepare(self, task: Item) -> Item:
        """Upload the files of a task to one account. See `Provider.prepare`.

        The account is the one that the task names, else the owner of an asset that it uses already, else one with a
        free slot.
        """
        assets = task.get("assets")
        if not isinstance(assets, Mapping) or not assets:
            return task
        given = [value for value in assets.values() if is_asset_id(value)]
        # A result of this service is an asset already, which needs no upload if its owner runs the task.
        made_here = {name: _asset_of(value) for name, value in assets.items() if isinstance(value, Result)}
        owners = [owner_of(asset_id) for asset_id in made_here.values() if asset_id]
        account = task.get("account") or common_owner(given) or next(filter(None, owners), None)
        prepared: dict[str, str] = {}
        for name, value in assets.items():
            asset_id = value if is_asset_id(value) else made_here.get(name)
            if asset_id and (account is None or owner_of(asset_id) in {None, account} or value is asset_id):
                prepared[name] = asset_id
        missing = {name: value for name, value in assets.items() if name not in prepared}
        if missing and account is None:
            account = await self._account_with_capacity()
        uploaded = await asyncio.gather(*(self._upload(value, account) for value in missing.values()))
        prepared.update(zip(missing, uploaded, strict=True))
        ordered = {name: prepared[name] for name in assets}
        check_common({**ordered, **({"email": task["account"]} if task.get("account") else {})})
        return {**task, "assets": ordered}

    async def _account_with_capacity(self) -> str | None:
        """Return the account with the most free slots; None if only one is configured, which needs no name."""
        accounts = await self.client.accounts(counts_jobs=True)
        self.limiter.learn(accounts)
        if len(accounts) < 2:
            return None
        usable = [account for account in accounts if account.error is None] or accounts
        return max(usable, key=lambda account: (account.max_jobs or RECOMMENDED_JOBS) - (account.running or 0)).email

    async def _upload(self, value: Any, account: str | None) -> str:
        """Return the id of a medium as an asset of an account; the same content is uploaded once."""
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            value = await self.client.download(value)
        elif isinstance(value, Result) and value.medium is None and value.url is not None:
            value = await self.client.download(value.url)
        content = (await asyncio.to_thread(read_upload, value))[0]
        digest = hashlib.sha256(content).hexdigest()
        place = (account or "", digest)
        known = self._uploads.get(place)
        if known is None:
            known = self._uploads[place] = asyncio.ensure_future(self._send_upload(content, account))
        try:
            asset_id = await asyncio.shield(known)
        except BaseException:
            if known.done():
                self._uploads.pop(place, None)
            raise
        self._hashes[asset_id] = digest
        return asset_id

    async def _send_upload(self, content: bytes, account: str | None) -> str:
        try:
            return (await self.client.upload(content, email=account)).asset_id
        except TaskError as error:  # it is about the file and not about the task, which was not sent
            raise MediaError(f"The upload of an input failed: {error.problem} The task was not sent.") from error

    # --- sending and following -----------------------------------------------------------------------

    def first_attempt(self, task: Item) -> Attempt:
        """Build the first attempt of a task."""
        return Attempt(task)

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """Send an attempt once. See `Sender.submit`."""
        if now() >= deadline:
            raise TransportTimeout("The time limit of the task has passed. It was not sent.", may_have_arrived=False)
        reply_url = self._reply_url or self._context.callback_url("useapi", is_local=self.name != "useapi") or ""
        body = wire_body(attempt.task, attempt.attempt_uuid, reply_url)
        # Not cut off at the deadline of the task: a response that is not awaited is a task whose fate is unknown. The
        # client has a limit of its own.
        task = await self.client.send_create(call_of(attempt.task), body)
        return Accepted.of(replace(attempt, state=_NEW), task.task_id)

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """Poll until the task has ended. See `Sender.follow`."""
        task, began = accepted.attempt.task, now()
        is_new = accepted.attempt.state is _NEW
        call = call_of(task)
        last: UseApiTask | None = None

        async def sleep(seconds: float) -> None:  # a callback about the task ends it early
            await self._context.board.wait("useapi", accepted.remote_id, seconds, self.clock)

        # A task that was accepted a moment ago has no news, and may not be found by a read that comes at once.
        polls = self.client.watch(
            accepted.remote_id,
            interval_s=lambda polled: poll_interval_s(call, polled if is_new else None),
            first_s=poll_interval_s(call, 0) if is_new else 0.0,
            deadline=deadline,
            sleep=sleep,
        )
        async with contextlib.aclosing(polls):
            try:
                async for last in polls:
                    observer.on_waiting(_WAITING if last.is_waiting else None)
                    if last.progress is not None:
                        observer.on_progress(100 * last.progress)
            except ArgumentInvalid as error:  # the id is the service's own, and not what a user typed
                raise ProtocolError(f"The id of the task cannot be used in a URL: {error.value!r:.80}") from error
        assert last is not None
        outcome = Outcome(task, accepted.attempt.attempt_uuid, [], [])
        # The service does not state what a task costs, so `charged` stays None: unknown, and not 0.
        # A result without a link is recorded as well: it was made and perhaps charged, and `locate_result` asks for its
        # link later.
        for index, artifact in enumerate(last.artifacts if not last.has_failed else ()):
            result = _result(last, artifact, task, index)
            observer.on_result(result)
            outcome.results.append(result)
        if not outcome.results:
            outcome.errors.append(error_of_task(last, accepted.attempt.attempt_uuid))
        outcome.duration_s = now() - began
        return outcome

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted | None:
        """Look for an attempt by our id of it, which it carries as `replyRef`. See `Sender.locate`.

        That none is listed proves nothing: the attempt is never sent again because of it.
        """
        if attempt.remote_id is not None:
            return Accepted(attempt, attempt.remote_id)
        try:
            async with asyncio.timeout(max(0.0, deadline - now())):
                listing = await self._search.listing()
        except TimeoutError as error:
            raise TransportError("useapi.net was not asked in time for the list of its tasks.") from error
        task_id = listing.task_ids.get(attempt.attempt_uuid)
        if task_id is not None:
            return Accepted.of(attempt, task_id)
        if listing.failure is not None:  # about the question, and not about the task
            problem = f"useapi.net did not list all of its tasks: {listing.failure.problem}"
            raise TransportError(problem) from listing.failure
        return None

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """Allow another attempt after a 429, and after nothing else. See `Sender.next_attempt`.

        A 429 of a create call that the service itself sent states that no account had a free slot: nothing was created
        or charged. Everything else is final, or is about a task that was accepted.
        """
        if not isinstance(error, RateLimited):
            return None
        delay_s = resubmit_delay_s(attempt.number, error.retry_after_s, jitter=self._rng.random())
        is_bound = bool(attempt.task.get("account") or attempt.task.get("assets"))
        self.limiter.refused(delay_s, everywhere=not is_bound)
        return NextAttempt(Attempt(attempt.task, attempt.number + 1), self.clock.real_s(delay_s))

    # --- results and account -------------------------------------------------------------------------

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load the bytes of a result. See `Provider.fetch`."""
        if result.url is None:
            raise MediaError("The result has no file.")
        result.medium = MemoryMedium(await self.client.download(result.url, timeout_s=timeout_s))
        return result

    async def locate_result(self, attempt: Attempt, result: Result) -> Result | None:
        """Read the task again, which has a new signed URL of each result. See `Provider.locate_result`."""
        if attempt.remote_id is None:
            return None
        task = await self.client.task(attempt.remote_id)
        for index, artifact in enumerate(task.artifacts):
            is_same = artifact.id == result.item_uuid if result.item_uuid else index == result.index
            if is_same and artifact.url is not None:
                return _result(task, artifact, attempt.task, result.index)
        return None

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error that the log recorded. See `Provider.error_of`."""
        raw = kept.get("raw")
        raw = raw if isinstance(raw, dict) else {}
        status, code = raw.get("status"), str(kept.get("code") or "")
        kind: type[TaskError] = TaskFailed
        remedy: Remedy | None = None
        if isinstance(status, int):
            built = build_error(status, "", creates=True)
            kind, remedy = type(built), built.remedy
        elif code.startswith("SAFETY") or code == "moderated":
            kind = ContentRefused
        error = kind(str(kept.get("message") or ""), code=code, task_uuid=str(kept.get("taskUUID") or ""))
        parameter = kept.get("parameter")
        error.parameter = parameter if isinstance(parameter, str) else None
        error.raw = dict(raw)
        return error.with_remedy(remedy)

    async def account(self) -> Account:
        """Ask for the credits left in all accounts together, and for the state of each."""
        client = self.client
        platform = await client.platform_account()
        left: float | None = 0.0
        states = []
        for account in await client.accounts():
            state: dict[str, Any] = {"account": shorten_account(account.email), "max_jobs": account.max_jobs}
            if account.error is not None:
                states.append({**state, "error": account.error})
                continue
            try:
                state["credits"] = (await client.features(account.email)).credits_left
            except RunwareNBError as error:
                state["error"] = error.problem
            credits_left = state.get("credits")
            left = None if left is None or credits_left is None else left + credits_left
            states.append(state)
        details = {"name": platform.name, "subscription_is_active": platform.is_active, "accounts": states}
        return Account(Money(left, "credits") if left is not None and states else None, details)

    async def aclose(self) -> None:
        """Close the connections. Tasks go on at the service."""
        self.limiter.close(
            TransportError("The connection to useapi.net was closed. The task was not sent.", may_have_arrived=False)
        )
        if self._client is not None:
            await self._client.aclose()


class _Search:
    """The search for lost tasks, which all that ask at the same time share."""

    def __init__(self, provider: UseApiProvider) -> None:
        self._provider = provider
        self._lock = asyncio.Lock()
        self._began_at = -1.0
        self._found = Listing({})

    async def listing(self) -> Listing:
        """Return the listed tasks, from lists that were read after this call."""
        asked_at = now()
        async with self._lock:
            if self._began_at <= asked_at:  # another search that began after this call is as good
                began_at = now()
                self._found = await self._provider.client.listing()
                self._began_at = began_at
            return self._found


def _in_our_form(task: Item) -> Item:
    """Return a task with the service's spellings of what has a place of its own in our tasks.

    The log leaves out `email`, as personal data, so the account is written as `account`.
    """
    item = dict(task)
    if item.get("email") is not None:
        item.setdefault("account", item["email"])
    item.pop("email", None)
    if item.get("replyUrl") is not None:
        item.setdefault("webhookURL", item["replyUrl"])
    item.pop("replyUrl", None)
    if item.get("replyRef") is not None:
        raise TaskInvalid(
            "Invalid replyRef: it is set to the id of the run, so that a lost task can be found. Nothing was sent. "
            "Leave it out.", parameter="replyRef",
        )  # fmt: skip
    endpoint = ENDPOINTS.get(call_of(item))
    names = {parameter.name for parameter in endpoint.parameters if parameter.kind == "asset"} if endpoint else set()
    moved = {name: item.pop(name) for name in list(item) if name in names or is_asset_id(item[name])}
    given = item.get("assets")
    if given is not None and not isinstance(given, Mapping):
        raise TaskInvalid(
            "Invalid assets: expected an object of names and media. Nothing was sent.", parameter="assets"
        )
    assets = {name: value for name, value in {**moved, **(given or {})}.items() if value is not None}
    item.pop("assets", None)
    return {**item, "assets": assets} if assets else item


def _asset_of(result: Result) -> str | None:
    """Return the id of a result as an asset of this service; None if it comes from elsewhere."""
    artifact = result.raw.get("artifact")
    asset_id = artifact.get("assetId") if isinstance(artifact, Mapping) else None
    return asset_id if is_asset_id(asset_id) else None


def _result(task: UseApiTask, artifact: Artifact, request: Mapping[str, Any], index: int) -> Result:
    """Build a result: its URL under the name of its kind, and the service's own objects beside it."""
    task_uuid = str(request.get("taskUUID", ""))
    kind = artifact.kind
    raw: Item = {
        "taskUUID": task_uuid, f"{kind}URL": artifact.url, f"{kind}UUID": artifact.id, "resultIndex": index,
        "account": task.account, "remoteTask": task.task_id,
        "artifact": {name: value for name, value in artifact.raw.items() if name != "url"},
    }  # fmt: skip
    seed = task.options.get("seed", request.get("seed"))
    if isinstance(seed, int) and not isinstance(seed, bool) and len(task.artifacts) == 1:
        raw["seed"] = seed
    return Result(raw, task_uuid, index)
