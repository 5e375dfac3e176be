"""Runware as a provider: its planner and its client, behind the interface that the engine uses."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ...core.amounts import parse_amount
from ...core.items import Item
from ...core.media_fields import holds_media, replace_media
from ...core.money import Money, dollars
from ...core.operations import Operation
from ...core.results import Outcome, Result, is_final
from ...errors import ConfigError, TaskError
from ...media.incoming import is_sendable
from ...net.address_policy import is_private_host
from ...settings import SERVICES
from ..base import Accepted, Account, Attempt, Capabilities, Description, Limiter, NextAttempt, Plan, RunObserver, Task
from .catalog import estimate_usd
from .classify import task_error
from .client import Client
from .operations import operation_name, operation_of_task
from .parameters import DELIVERY, in_order, parameters_of
from .planner import Planner
from .tasks import current_task_type, earlier_turns, expected_results, prepare, prompt_of
from .tracker import CAPABILITIES

__all__ = ["RunwareProvider"]

_NOT_OF_ONE_RESULT = DELIVERY | {"numberResults", "width", "height", "messages", "jsonSchema", "includeUsage"}
_MEDIA_HOSTS = ".runware.ai"
"""The domain of the hosts that serve results and uploads, such as im.runware.ai: nobody else names files there."""
_PROTOCOL_DEFAULTS: Mapping[str, Any] = {"number_results": 1, "output_format": "JPG", "output_quality": 95}


class RunwareProvider:
    """Runware, or the sandbox in its place. One is built for each use, and keeps one client from its first use on.

    So a run that is in flight stays with its connection while the settings, and with them the session's client, change.

    Args:
        name: Under which name the log records its runs: `runware`, or `sandbox`.
        planner: What is known about models.
        client: Returns the client in use. It is called once, on the first use that needs the network, since it needs
            a key.
        uploaded_hashes: Returns SHA-256 of the media that were uploaded, by UUID, also before the client is used here.
    """

    __slots__ = ("_client", "_make_client", "_uploaded_hashes", "name", "planner")

    def __init__(
        self,
        name: str,
        planner: Planner,
        client: Callable[[], Client],
        uploaded_hashes: Callable[[], Mapping[str, str]],
    ) -> None:
        self.name = name
        self.planner = planner
        self._make_client = client
        self._uploaded_hashes = uploaded_hashes
        self._client: Client | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What Runware can do."""
        return CAPABILITIES

    @property
    def client(self) -> Client:
        """The client.

        Raises:
            ConfigError: There is no key.
        """
        if self._client is None:
            self._client = self._make_client()
        return self._client

    @property
    def services(self) -> tuple[str, ...]:
        """Runware and the sandbox: both are answered by the same records."""
        return SERVICES

    @property
    def limiter(self) -> Limiter:
        """The bound on tasks in flight. See `Provider.limiter`."""
        return self.client.limiter

    def require_key(self) -> None:
        """Check that there is a key, by building the client."""
        _ = self.client

    # --- before sending ------------------------------------------------------------------------------

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Complete and check a task. See `Provider.plan`."""
        return self.planner.plan(task, as_is=as_is)

    def price(self, task: Mapping[str, Any]) -> Money | None:
        """Return the listed price of a task in US dollars."""
        return dollars(estimate_usd(task))

    def complete(self, task: Item, *, as_is: bool = False) -> Item:
        """Return a task as it is sent. See `Provider.complete`."""
        if as_is:
            return {**task, "taskUUID": task.get("taskUUID") or _new_uuid()}
        return prepare(task, new_uuid=_new_uuid)

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return whether the model of a task takes a seed."""
        return self.planner.takes_seed(task)

    def operation(self, task: Mapping[str, Any]) -> Operation | None:
        """Return the operation of a task type, also of an older name of it."""
        return operation_of_task(str(task.get("taskType")))

    def prompt(self, task: Mapping[str, Any]) -> str | None:
        """Return the prompt of a task, or the last message of a conversation."""
        return prompt_of(task)

    def describe(self, task: Mapping[str, Any]) -> Description:
        """Return the prompt and the parameters of a task. See `Provider.describe`."""
        # in an order of its own: an answer from the log or from a bundle has lost that of the request
        ordered = in_order(task)
        shown = tuple((name, value) for name, value in ordered.items() if name not in _NOT_OF_ONE_RESULT)
        schema = task.get("jsonSchema")
        task_type = str(task.get("taskType", ""))
        return Description(
            prompt_of(task) or operation_name(task_type) or task_type, shown, turns=earlier_turns(task),
            is_json=schema is not None or task.get("outputFormat") == "JSON",
            schema=schema if isinstance(schema, Mapping) else None,
        )  # fmt: skip

    def parameters(self, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the parameters of a request, without the protocol's defaults. See `Provider.parameters`."""
        current = {**request, "taskType": current_task_type(str(request.get("taskType", "")))}
        parameters = parameters_of(current, inputs)
        return {name: value for name, value in parameters.items() if _PROTOCOL_DEFAULTS.get(name) != value}

    def number_of_results(self, task: Mapping[str, Any]) -> int:
        """Return how many results a task asks for."""
        return expected_results(task)

    def is_reference(self, text: str) -> bool:
        """Return whether a text is a URL, a UUID, or inline data of a type that the service takes."""
        return is_sendable(text)

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of uploaded media, by UUID."""
        return self._uploaded_hashes()

    def upload_scope(self) -> str:
        """Return the service and the account. A hash stands for the key, which must not be in the log."""
        settings = self.client.settings
        account = f"{settings.rest_url}\n{settings.require_key().reveal()}"
        return f"{self.name}:{hashlib.sha256(account.encode()).hexdigest()[:32]}"

    def may_have(self, url: str | None) -> bool:
        """Return whether the service may have a result with this URL. See `RemembersUploads`.

        The results of Runware are on other hosts than its API. A sandbox serves its own, so those of another one, which
        has ended, show another address.
        """
        endpoint = urlsplit(self.client.settings.rest_url)
        is_local = is_private_host(endpoint.hostname or "") is True
        return not is_local or (url is not None and urlsplit(url).netloc == endpoint.netloc)

    def serves_media(self, url: str) -> bool:
        """Return whether a URL is one of Runware's media hosts, or of the sandbox. See `RemembersUploads`."""
        try:
            address = urlsplit(url)
            if (address.hostname or "").lower().endswith(_MEDIA_HOSTS):
                return True
            endpoint = urlsplit(self.client.settings.rest_url)
        except (ValueError, ConfigError):  # no key: replay mode, which knows results by their recorded URLs
            return False
        return address.netloc == endpoint.netloc and is_private_host(endpoint.hostname or "") is True

    def forget_upload(self, sha256: str) -> None:
        """Upload a medium again the next time that a task brings it along. See `RemembersUploads`."""
        self.client.forget_upload(sha256)

    async def read_start(self, url: str) -> bytes:
        """Return the first bytes of the file behind a URL. See `RemembersUploads`."""
        return await self.client.read_start(url)

    async def prepare(self, task: Item) -> Item:
        """Upload the media that a task brings along; most bring nothing. See `Provider.prepare`."""
        if not holds_media(task):
            return task
        brought: list[Any] = []
        replace_media(task, lambda value: brought.append(value) if not is_sendable(value) else None)
        return await self.client.prepare_media(task) if brought else task

    # --- sending and following -----------------------------------------------------------------------

    def first_attempt(self, task: Item) -> Attempt:
        """See `Sender.first_attempt`."""
        return self.client.sender.first_attempt(task)

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """See `Sender.submit`."""
        return await self.client.sender.submit(attempt, deadline)

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """See `Sender.follow`."""
        return await self.client.sender.follow(accepted, observer, deadline)

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted | None:
        """See `Sender.locate`."""
        return await self.client.sender.locate(attempt, deadline)

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """See `Sender.next_attempt`."""
        return self.client.sender.next_attempt(attempt, error)

    # --- results and account -------------------------------------------------------------------------

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load the bytes of a result. See `Provider.fetch`."""
        return await self.client.fetch(result, timeout_s=timeout_s)

    async def locate_result(self, attempt: Attempt, result: Result) -> Result | None:
        """Poll once for another URL of a result. See `Provider.locate_result`."""
        attempt_uuid = attempt.attempt_uuid
        frame = await self.client.poll(attempt_uuid)
        own = [item for item in frame.items if item.get("taskUUID", attempt_uuid) == attempt_uuid]
        for index, item in enumerate(item for item in own if is_final(item)):
            fresh = Result(item, attempt_uuid, result.index)
            is_same = fresh.item_uuid == result.item_uuid if result.item_uuid else index == result.index
            if is_same and (fresh.inline is not None or fresh.url not in {None, result.url}):
                return fresh
        return None

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error that the log recorded. See `Provider.error_of`."""
        raw = kept.get("raw")
        rest = {name: value for name, value in kept.items() if name != "raw"}
        return task_error({**(raw if isinstance(raw, dict) else {}), **rest})

    async def account(self) -> Account:
        """Ask for the balance."""
        details = await self.client.account()
        balance = details.get("balance")
        amount = balance.get("amount") if isinstance(balance, dict) else balance
        return Account(dollars(parse_amount(amount)), details)

    async def aclose(self) -> None:
        """Close the connections of the client."""
        if self._client is not None:
            await self._client.aclose()


def _new_uuid() -> str:
    return str(uuid.uuid4())
