"""What the engine needs of a service: what it can do, and how a task is planned, sent, followed and found again.

A provider is the only code that knows a service. The engine decides from its `Capabilities` what may be repeated.
`tests/fake_provider.py` is a small complete provider, and `docs/architecture.md` explains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..reprs import short_repr

if TYPE_CHECKING:
    from ..core.items import Item
    from ..core.money import Money
    from ..core.operations import Operation
    from ..core.provider_secrets import ProviderSecret
    from ..core.results import Outcome, Result
    from ..errors import TaskError
    from ..remedies import Remedy
    from ..settings import Key, Settings
    from .webhook import CallbackBoard

__all__ = [
    "Accepted",
    "Account",
    "Attempt",
    "Capabilities",
    "Description",
    "Limiter",
    "NextAttempt",
    "Plan",
    "Provider",
    "ProviderContext",
    "RunObserver",
    "Sender",
    "Task",
    "TypedTask",
]


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a service can do. The engine decides from this what may be repeated, and what cannot be known.

    Attributes:
        client_chosen_ids: Whether we choose the id of a task. If so, the id is in the log before the first byte leaves.
        resend_is_safe: Whether a task that is sent twice under the same id is charged once.
        can_find_lost: Whether the service can be asked for a task whose id never arrived here.
        pushes_results: Whether results arrive without being asked for.
        webhooks: Whether the service calls a URL when a task ends, and whether it signs the call.
        money: The unit of its prices.
        concurrency: How many tasks at once the service advises or the plan allows; None if it states no number.
        takes_files: Whether media can be uploaded. If not, a task names them by URLs that the service can fetch.
    """

    client_chosen_ids: bool
    resend_is_safe: bool
    can_find_lost: bool
    pushes_results: bool
    webhooks: Literal["none", "unsigned", "signed"]
    money: Literal["USD", "credits"]
    concurrency: int | None = None
    takes_files: bool = True


@short_repr()
@dataclass(frozen=True, slots=True)
class Plan:
    """A task that was checked, and not sent.

    Attributes:
        task: The task, complete except for a seed that would be picked.
        warnings: What could not be checked, as sentences. A front end words those that state what to do.
    """

    task: Item
    warnings: tuple[str | Remedy, ...] = ()


@short_repr()
@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a task.

    Attributes:
        task: The task as it is sent. Its `taskUUID` is our id of the attempt, whatever the service calls it.
        number: Which attempt of its run it is, from 1.
        remote_id: The service's id; None as long as it is not known.
        may_resend: For an attempt that was sent before: whether it may be sent again if the service does not know it.
            The engine sets it only if `Capabilities.resend_is_safe`.
        has_begun: For an attempt that was sent before: whether a part of its text has arrived. Then it was accepted,
            and a service that does not list it proves nothing: it is asked until the deadline.
        is_free: Whether it is a question that costs nothing, such as a model search. It takes no place of a task, and
            is not recorded as sent.
        state: What the provider remembers about it.
    """

    task: Item
    number: int = 1
    remote_id: str | None = None
    may_resend: bool = False
    has_begun: bool = False
    is_free: bool = False
    state: Any = None

    @property
    def attempt_uuid(self) -> str:
        """Our id of the attempt."""
        return str(self.task["taskUUID"])


@short_repr()
@dataclass(frozen=True, slots=True)
class Accepted:
    """An attempt that the service has accepted, as far as anybody can know.

    Attributes:
        attempt: The attempt.
        remote_id: The service's id of it.
    """

    attempt: Attempt
    remote_id: str

    @classmethod
    def of(cls, attempt: Attempt, remote_id: str) -> Accepted:
        """Build it, with the id noted in the attempt as well."""
        return cls(attempt if attempt.remote_id == remote_id else replace(attempt, remote_id=remote_id), remote_id)


@short_repr()
@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The attempt that may follow one that failed.

    Attributes:
        attempt: It.
        delay_s: How long to wait before it, in seconds.
    """

    attempt: Attempt
    delay_s: float


@short_repr()
@dataclass(frozen=True, slots=True)
class Account:
    """What a service says about the user's account.

    Attributes:
        balance: What is left to spend; None if the service does not say.
        details: The answer, without keys and e-mail addresses.
    """

    balance: Money | None
    details: Mapping[str, Any]


@short_repr()
@dataclass(frozen=True, slots=True)
class Description:
    """A task in words, for the panel beside its results.

    Attributes:
        prompt: What it was asked with, or the kind of the task.
        parameters: What decided the result, by name, in a fixed order; without how it was delivered.
        turns: The earlier messages of a conversation, as roles and texts.
        is_json: Whether the text was asked for as JSON.
        schema: The JSON Schema of that JSON; None without one.
    """

    prompt: str
    parameters: tuple[tuple[str, Any], ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    is_json: bool = False
    schema: Mapping[str, Any] | None = None


class TypedTask(Protocol):
    """A task of a class of its own, such as `ImageTask`."""

    def to_wire(self) -> Item:
        """Return it in the form of its service."""


Task = Mapping[str, Any] | TypedTask
"""What a user submits: a mapping in the form of a service, or a typed task."""


class RunObserver(Protocol):
    """Who is told what happens to a run. The coroutines are awaited; the functions must not block."""

    async def before_attempt(self, attempt: Attempt) -> None:
        """Record that an attempt is about to leave. Nothing has left yet, and what this raises ends the run."""

    async def on_accepted(self, accepted: Accepted) -> None:
        """Record the id that the service chose."""

    async def on_refused(self, attempt: Attempt) -> None:
        """Record that the service refused an attempt, so that it is not charged, and that another one follows."""

    def on_result(self, result: Result) -> None:
        """Take a result that has arrived."""

    def on_text(self, text: str, reasoning: str) -> None:
        """Take the next piece of a text, or of the model's reasoning, while it is written.

        The result that follows has the whole text. It counts where it differs from the pieces.
        """

    def on_progress(self, percent: float) -> None:
        """Note the progress, from 0 to 100."""

    def on_waiting(self, reason: str | None) -> None:
        """Note why the task is not worked on, as a phrase such as `waiting for a GPU`; None or progress ends it."""


class Limiter(Protocol):
    """A bound on how many tasks are sent and not yet answered, in this process or for a whole account."""

    async def acquire(self) -> None:
        """Wait for a free place. The wait has no deadline: the deadline of a task starts when it has a place.

        Raises:
            TransportError: The limiter was closed; nothing was sent.
        """

    async def release(self) -> None:
        """Return a place."""


class Sender(Protocol):
    """The part of a provider that sends attempts and follows them. All of it runs on one event loop.

    Results are handed over by a call, and not by an iterator: then the log queues their record in the same turn of the
    loop in which they arrive, and nothing has to wake up for each of them.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the service can do."""

    def first_attempt(self, task: Item) -> Attempt:
        """Build the first attempt of a task, without I/O.

        Raises:
            TaskInvalid: The task cannot be sent in this way.
        """

    async def submit(self, attempt: Attempt, deadline: float) -> Accepted:
        """Send an attempt until the service has it.

        Args:
            attempt: The attempt, recorded as about to leave.
            deadline: When to give up, by the monotonic clock, in seconds.

        Raises:
            TaskError: The service refused it. It was not accepted and is not charged.
            TransportError: `may_have_arrived` is False: it was not sent.
            FateUnknown: It may have been accepted. Never raised if `resend_is_safe`: the provider then finds out.
        """

    async def follow(self, accepted: Accepted, observer: RunObserver, deadline: float) -> Outcome:
        """Wait for the results of an accepted attempt, and hand them over as they arrive.

        Returns:
            What came; errors of single results are in it, and it is returned even if there is no result. A task that
            the service states to have failed is such an outcome.

        Raises:
            TaskError: The service refused to answer about the attempt. That says nothing about the attempt itself.
            TransportTimeout: The deadline has passed; the task goes on.
            TransportError: The service could not be asked any more.
            TaskNotFound: The service does not know the attempt.
        """

    async def locate(self, attempt: Attempt, deadline: float) -> Accepted | None:
        """Find an attempt again whose fate is unknown: its response was lost, or the process ended.

        Returns:
            The attempt, to be followed; None if the service cannot be asked for it or has no such task.

        Raises:
            TransportError: The service could not be asked.
        """

    def next_attempt(self, attempt: Attempt, error: TaskError) -> NextAttempt | None:
        """Decide whether another attempt follows one that the service refused or failed without any result.

        Nothing may follow unless it is certain that the failed attempt is not charged. Where the service chooses ids,
        the attempt that follows has the same `taskUUID`: the refused one has left nothing under it.
        """


class Provider(Sender, Protocol):
    """A service, as the engine sees it."""

    @property
    def name(self) -> str:
        """The name under which the log records its runs, such as `runware`."""

    @property
    def services(self) -> tuple[str, ...]:
        """All names under which its runs may be recorded: replay mode answers from any of them."""

    @property
    def limiter(self) -> Limiter:
        """The bound on its tasks in flight, shared by everything that this process sends to it."""

    def require_key(self) -> None:
        """Check that there is a key.

        Raises:
            ConfigError: There is none.
        """

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Complete and check a task; nothing is sent.

        Args:
            task: In the form of this service, where `taskType` names the kind of task; or a typed task.
            as_is: Whether it is left exactly as it is written, and not checked.

        Raises:
            TaskInvalid: The service would refuse it; the message states what to change.
        """

    def price(self, task: Mapping[str, Any]) -> Money | None:
        """Return what all results of a task cost by the list of prices; None, and never 0, if no price is listed."""

    def complete(self, task: Item, *, as_is: bool = False) -> Item:
        """Return a planned task as it is written to the log and sent: with its `taskUUID`, and what the service needs.

        A task that is sent *as_is* gets only a `taskUUID`, if it has none.
        """

    def takes_seed(self, task: Mapping[str, Any]) -> bool:
        """Return whether a seed can be picked for this task, so that its results can be made again."""

    def operation(self, task: Mapping[str, Any]) -> Operation | None:
        """Return the operation that a task performs; None if it is not known."""

    def prompt(self, task: Mapping[str, Any]) -> str | None:
        """Return the words that a task was asked with; None if there are none."""

    def describe(self, task: Mapping[str, Any]) -> Description:
        """Return a task in words."""

    def parameters(self, request: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what decides the result of a logged request, by Python name, without values that mean the default.

        Args:
            request: As logged.
            inputs: The media it was made from, as logged.
        """

    def number_of_results(self, task: Mapping[str, Any]) -> int:
        """Return how many results a task asks for, at least 1."""

    def is_reference(self, text: str) -> bool:
        """Return whether a text in the place of a medium is sent as it is, such as a URL or the service's id of it.

        Any other text is the path of a file, or inline data that has to be uploaded.
        """

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of the media that were uploaded, by the id that the service gave each."""

    async def prepare(self, task: Item) -> Item:
        """Upload what a task brings along, and return the task with what the service calls it.

        Raises:
            MediaError: A medium does not exist, or is none.
            TransportError: A medium could not be uploaded. The task was not sent.
        """

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load the bytes of a result.

        Raises:
            MediaError: It has no file, the file is gone, or it may not be fetched.
            TransportError: The download failed; it may succeed later.
        """

    async def locate_result(self, attempt: Attempt, result: Result) -> Result | None:
        """Ask once for a new URL of a result whose URL has expired; None if there is none. It costs nothing."""

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Build the error of this service from what the log recorded of it."""

    async def account(self) -> Account:
        """Ask for the balance."""

    async def aclose(self) -> None:
        """Close connections; tasks go on at the service."""


class ProviderContext(Protocol):
    """What a session gives to the providers that it builds."""

    @property
    def settings(self) -> Settings:
        """The settings that apply now."""

    def key(self, secret: ProviderSecret) -> Key:
        """Return a secret: one that was entered in this session, else that of the environment or the keyring.

        A provider that was built for the sandbox gets those of the sandbox only, and no other provider gets them.

        Raises:
            ConfigError: There is none.
        """

    def notify(self, sentence: str) -> None:
        """Tell the user something with the next output."""

    def callback_url(self, service: str, *, is_local: bool) -> str | None:
        """Return the URL on which the session receives callbacks now; None if it does not, or out of reach.

        Args:
            service: Name of the provider's package.
            is_local: Whether the service is on this machine, as a sandbox is. Any other one reaches public URLs only.
        """

    @property
    def board(self) -> CallbackBoard:
        """What wakes the wait for a task when a callback about it arrives."""
