"""The small async client: a transport and the rules of `core`. It stores nothing and shows nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ...core.items import Item
from ...core.media_fields import holds_media
from ...core.media_types import SNIFFED_BYTES, sniff
from ...core.redaction import HiddenText, redact_account
from ...core.results import Outcome, Result, is_final
from ...core.retry import backoff_s
from ...core.urls import check_media_url
from ...errors import (
    MediaError,
    MediumExpired,
    RunwareNBError,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from ...forking import disconnect, restart_after_fork
from ...media.medium import MemoryMedium
from ...net.deadlines import Deadline
from ...printable import printable
from ...settings import Settings, load_settings
from ..attempts import carry_out, pause, raise_if_failed
from ..base import Accepted, Attempt, Limiter, Sender
from .attempt import now
from .catalog.placing import place_media
from .concurrency import ConcurrencyLimiter
from .connection import Connection, closed
from .frames import Frame
from .router import Router
from .streams import TextStream
from .tasks import ImageTask, Task, as_wire, prepare, require_streamable
from .tracker import UTILITY_TIMEOUT_S, Tracker, jitter
from .transport import TransportFactory
from .uploader import Upload, Uploader

__all__ = ["Client"]

logger = logging.getLogger("runware_nb")

OnResult = Callable[[Result], None]
OnProgress = Callable[[float], None]
OnAttempt = Callable[[Item, int], Awaitable[None]]
"""Awaited with the task and the attempt's number (from 1) after a slot is free and before a byte leaves."""


def _warn(sentence: str) -> None:
    """Write a notice into the log of a program that has no other place for it."""
    logger.warning("%s", printable(sentence))


_DOWNLOAD_TRIES = 4
_MODEL_UPLOAD_TIMEOUT_S = 900.0
_URL_CHECK_TIMEOUT_S = 5.0


class Client:
    """A connection to Runware, for any event loop. Use it as an async context manager.

    Args:
        api_key: The key; None takes it from the environment.
        rest_url: Address for REST.
        ws_url: Address for WebSocket.
        transport: `websocket` (the default) or `rest`; or a function that builds another transport from the settings
            and the listener that hears what arrives (see `transport.base.Transport`). Downloads, uploads and streams
            use REST in every case.
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
        transport: str | TransportFactory | None = None,
        max_in_flight: int | None = None,
        max_retries: int | None = None,
        timeout_s: float | None = None,
        settings: Settings | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        if api_key is not None and not isinstance(api_key, HiddenText):
            api_key = HiddenText(api_key, "<key from the argument api_key>")  # see `hide_key`
        self.settings = (settings or load_settings()).with_values(
            api_key=api_key, rest_url=rest_url, ws_url=ws_url,
            transport=None if callable(transport) else transport,
            max_in_flight=max_in_flight, max_retries=max_retries, timeout_s=timeout_s,
        )  # fmt: skip
        self.settings.require_key()
        self._factory = transport if callable(transport) else None
        self._on_notice = on_notice or _warn
        self._start()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: connections and tasks in flight are the parent's."""
        disconnect((), self._router, self._limiter, self._connection, self._tracker, self._uploads)
        self._start()

    def _start(self) -> None:
        self._router = Router()
        self._limiter = ConcurrencyLimiter(self.settings.max_in_flight)
        self._connection = Connection(
            self.settings, self._router, user_agent=_user_agent(), on_notice=self._on_notice, factory=self._factory
        )
        self._tracker = Tracker(self.settings, self._router, self._connection, self._limiter)
        self._uploads = Uploader(self._tracker, timeout_s=self.settings.timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> str:
        """Connect now rather than with the first task.

        Returns:
            The transport in use, `websocket` or `rest`.

        Raises:
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """
        return "websocket" if (await self._connection.ready()).pushes else "rest"

    async def verify_key(self) -> str:
        """Have the service confirm the key.

        A WebSocket is open only after the service has accepted the key. A REST connection proves nothing by itself, so
        the key is sent in an authentication task.

        Returns:
            The transport in use, `websocket` or `rest`.

        Raises:
            AuthenticationFailed: The service refused the key.
            TransportError: The service cannot be reached.
            ProtocolError: The response neither accepts nor refuses the key.
        """
        transport = await self.open()
        if transport == "rest":
            await self._connection.rest().authenticate()
        return transport

    @property
    def is_lost(self) -> bool:
        """Return whether there was a connection, and it is interrupted."""
        return self._connection.is_lost

    async def aclose(self, reason: TransportError | None = None) -> None:
        """Close; tasks in flight go on at the service and can be collected by their UUIDs.

        Args:
            reason: Error for those that wait for a task; by default that the client was closed.
        """
        # The queue ends before what is in flight: a task in flight that ends makes room, and nothing may be sent then.
        reason = closed() if reason is None else reason
        reason.retryable = False  # a closed client does not open again
        self._limiter.close(reason)
        self._router.close()
        self._router.on_broken(reason)
        await self._connection.aclose(reason)

    # --- tasks -------------------------------------------------------------------------------------

    async def run(
        self,
        task: Task,
        *,
        on_result: OnResult | None = None,
        on_progress: OnProgress | None = None,
        on_attempt: OnAttempt | None = None,
        timeout_s: float | None = None,
        as_is: bool = False,
    ) -> Outcome:
        """Send a task and wait for all its results.

        Args:
            task: A dict in wire spelling, or a typed task. Where it takes a medium, a path, bytes, a PIL image,
                a numpy array or an earlier result does as well as what the service itself takes.
            on_result: Called with each result as it comes.
            on_progress: Called with 0 to 100.
            on_attempt: Awaited before an attempt leaves, with the task and the attempt's number; what it
                raises stops the attempt.
            timeout_s: Longest wait in seconds, from the moment when the task is sent; None takes the setting. The
                time that a task waits for its turn does not count.
            as_is: Whether the task is sent exactly as it is written, `taskUUID` included.

        Returns:
            What came; where some results failed, the errors with it.

        Raises:
            MediaError: A medium does not exist, or is none.
            TaskError: The service refused, and there is no result; it carries `.outcome`.
            TransportTimeout: The wait is over; the task goes on, see `.task_uuid` (None where it was not sent).
            TransportError: The service could not be reached.
        """
        wire = _exact(task) if as_is else await self._prepare_until(self._deadline(timeout_s), task)
        return await carry_out(
            self._tracker, wire, observer=_Callbacks(on_result, on_progress, on_attempt), limiter=self._limiter,
            timeout_s=self.settings.timeout_s if timeout_s is None else timeout_s,
        )  # fmt: skip

    @property
    def sender(self) -> Sender:
        """What sends attempts and follows them, for a provider that wraps this client."""
        return self._tracker

    @property
    def limiter(self) -> Limiter:
        """The bound on the tasks in flight of this client."""
        return self._limiter

    async def prepare(self, task: Task) -> Item:
        """Complete a task for sending, and upload the media it brings along.

        Returns:
            A new dict in wire spelling, with a UUID, every medium as text, and standing where its model wants it.

        Raises:
            MediaError: A medium does not exist, or is none.
            TransportError: A medium could not be uploaded.
        """
        return prepare(place_media(await self.prepare_media(as_wire(task))), new_uuid=_new_uuid)

    @property
    def media_hashes(self) -> Mapping[str, str]:
        """SHA-256 of each medium uploaded through this client, by its UUID."""
        return self._uploads.hashes

    async def prepare_media(self, task: Mapping[str, Any]) -> Item:
        """Upload the media that a task brings along, and put their UUIDs in their places.

        Raises:
            MediaError: A medium does not exist, or is none.
            TransportError: A medium could not be uploaded.
        """
        return await self._uploads.settle(task)

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
        accepted = await self._tracker.locate(Attempt(dict(task), may_resend=resends), deadline)
        return raise_if_failed(await self._tracker.follow(accepted, _Callbacks(on_result, on_progress), deadline))

    def stream(self, task: Task, *, timeout_s: float | None = None) -> TextStream:
        """Read a text while it is written, over HTTP.

        Args:
            task: A `textInference`, for one result.
            timeout_s: Longest time until the text is complete, in seconds, from the moment when the task is sent; None
                takes the setting. Your own code between two pieces counts.

        Returns:
            Something to iterate over, best in `async with`; see `TextStream`.

        Raises:
            TaskInvalid: It is no text task, or asks for several results.
        """
        wire = dict(prepare(as_wire(task), new_uuid=_new_uuid), deliveryMethod="stream")
        require_streamable(wire)
        limit_s = self.settings.timeout_s if timeout_s is None else timeout_s
        return TextStream(wire, self._tracker, self._limiter, limit_s)

    async def send(self, tasks: Sequence[Mapping[str, Any]], *, timeout_s: float | None = None) -> Frame:
        """Send tasks over REST just as they are, and return the answer just as it comes. Nothing is retried.

        Args:
            tasks: In wire spelling.
            timeout_s: Longest time until the whole answer is here, in seconds; None takes the setting.

        Raises:
            TransportTimeout: The time is over.
            TransportError: It could not be sent, or the answer was lost.
            ProtocolError: The answer cannot be read.
        """
        return await self._connection.rest().exchange(
            [dict(task) for task in tasks], timeout_s=self.settings.timeout_s if timeout_s is None else timeout_s
        )

    async def poll(self, task_uuid: str) -> Frame:
        """Ask once about a task; an empty frame means that the service does not know it (yet).

        Raises:
            TransportError: The service could not be reached.
        """
        return await self.send([{"taskType": "getResponse", "taskUUID": task_uuid}], timeout_s=UTILITY_TIMEOUT_S)

    async def task_details(self, task_uuid: str) -> Item:
        """Ask for a task's `request` and archived `response`, which is None where there is none.

        Raises:
            TaskNotFound: The service does not know it.
        """
        return await self._tracker.ask({"taskType": "getTaskDetails"}, task_uuid=task_uuid)

    # --- models, media, account --------------------------------------------------------------------

    async def search_models(self, search: str = "", **filters: Any) -> Item:
        """Search the service's models.

        Args:
            search: Words.
            **filters: `category`, `architecture`, `limit` (1-100), `offset` and others, in wire spelling.

        Returns:
            `totalResults` and `results`, as they came.
        """
        return await self._tracker.ask({"taskType": "modelSearch", "search": search, **filters})

    async def upload_model(self, model: Mapping[str, Any], *, timeout_s: float = _MODEL_UPLOAD_TIMEOUT_S) -> Item:
        """Bring a model of your own to the service.

        Args:
            model: `category`, `architecture`, `format`, `name`, `version`, `downloadURL`, and `air` or
                `uniqueIdentifier`; see reference 5.15 for the rest.
            timeout_s: Longest wait until it is ready, in seconds.

        Returns:
            The last answer: its `status` is `ready`, its `air` the model's identifier.

        Raises:
            TaskError: It was refused, or could not be fetched.
        """
        task = {"taskType": "modelUpload", **model}
        answers = await self._tracker.call(task, until=is_final, timeout_s=timeout_s)
        return answers[-1]

    async def upload(self, media: Any) -> Upload:
        """Upload a medium, unless the service has it already. This costs nothing.

        Args:
            media: A path, an image of Pillow, bytes, an array, a data URI, a URL, the UUID of a medium, or an earlier
                result.

        Returns:
            Its UUID, which is a medium for any task, with its URL as `url`. The service keeps it for 30 days after its
            last use.

        Raises:
            MediaError: It cannot be read, is empty, broken, or of no known kind.
            TransportError: It could not be sent.
        """
        return await self._uploads.upload_named(media)

    def forget_upload(self, sha256: str) -> None:
        """Upload a medium again the next time: the service no longer has it. *sha256* is that of what was sent."""
        self._uploads.forget_hash(sha256)

    async def read_start(self, url: str) -> bytes:
        """Read the first bytes of a file that a user named by its URL, without the key.

        Raises:
            MediaError: The URL is not one to visit from here.
            TransportError: It could not be read.
        """
        return await self._connection.downloads().read_start(
            url, max_bytes=SNIFFED_BYTES, timeout_s=_URL_CHECK_TIMEOUT_S
        )

    async def delete_media(self, media_uuid: str) -> None:
        """Delete an uploaded medium.

        Raises:
            TaskNotFound: There is none of this UUID.
        """
        try:
            await self._tracker.call({"taskType": "mediaStorage", "operation": "delete", "media": media_uuid})
        except MediumExpired as error:
            raise TaskNotFound(error.problem, task_uuid=error.task_uuid, code=error.code, raw=error.raw) from error
        self._uploads.forget(media_uuid)

    async def account(self) -> Item:
        """Ask for balance and usage; keys and e-mail addresses are taken out of the answer."""
        return await self._ask_account({"operation": "getDetails"})

    async def usage(self, report: str = "activity", **filters: Any) -> Item:
        """Ask what was used, over at most 30 days.

        Args:
            report: `activity`, `performance` or `errors`.
            **filters: `startDate`, `endDate`, `models`, `groupBy` (`date`, `model`, `apiKey`), `timezone`.

        Returns:
            The answer as it came, keys taken out.
        """
        return await self._ask_account({"operation": f"getUsage{report.capitalize()}", **filters})

    async def ping(self) -> None:
        """Ask whether the service answers.

        Raises:
            TransportError: It does not.
        """
        await self._tracker.call({"taskType": "ping", "ping": True}, task_uuid="")

    async def fetch(self, result: Result, *, timeout_s: float | None = None) -> Result:
        """Load a result's bytes, so that `.bytes` and `.image` work.

        Args:
            result: With a URL, or with its bytes inside.
            timeout_s: Longest time for all tries, in seconds; None takes the setting.

        Raises:
            MediaError: It has no file, the file is gone, or it may not be fetched.
            TransportTimeout: The time is over; the file may be fetched later.
            TransportError: Every try to download it failed.
        """
        # A service sends one of the two. Where both came, neither an odd value beside the URL nor an expired URL beside
        # the bytes may cost the image, which is paid for.
        body = result.inline if result.url is None else None
        if body is None:
            try:
                body = await self._download(result, self._deadline(timeout_s))
            except (MediaError, TransportError):
                body = _inline_medium(result)
                if body is None:
                    raise
        result.medium = MemoryMedium(body)
        return result

    # --- inside ------------------------------------------------------------------------------------

    async def _prepare_until(self, deadline: float, task: Task) -> Item:
        """Prepare a task; where it brings media along, by its deadline."""
        wire = as_wire(task)
        if not holds_media(wire):
            return prepare(place_media(wire), new_uuid=_new_uuid)

        def late() -> TransportTimeout:
            return TransportTimeout(
                "the task's media were not uploaded by its deadline; it was not sent", may_have_arrived=False
            )

        async with Deadline(deadline, late):
            return await self.prepare(wire)

    async def _ask_account(self, task: Item) -> Item:
        answer = await self._tracker.ask({"taskType": "accountManagement", **task})
        redacted: Item = redact_account(answer)
        return redacted

    async def _download(self, result: Result, deadline: float) -> bytes:
        url = result.url
        if url is None:
            raise MediaError(f"result {result.index} of task {result.task_uuid} has no file")
        check_media_url(url)
        failures = 0
        while True:
            try:
                return await self._connection.downloads().download(url, timeout_s=deadline - now())
            except TransportTimeout:
                raise
            except TransportError as error:
                failures += 1
                if failures >= _DOWNLOAD_TRIES or not error.retryable:
                    raise
                await pause(backoff_s(failures, jitter=jitter(), first_s=0.2), deadline, error)
            except RunwareNBError:
                raise
            except Exception as error:
                # A redirect may lead to a URL that a library refuses in its own way. The other images are not affected.
                raise MediaError(
                    f"result {result.index} of task {result.task_uuid} could not be downloaded "
                    f"({type(error).__name__}: {error})"
                ) from error

    def _deadline(self, timeout_s: float | None) -> float:
        return now() + (self.settings.timeout_s if timeout_s is None else timeout_s)


class _Callbacks:
    """Passes what happens to a task on to functions, each of which may be missing."""

    __slots__ = ("_on_attempt", "_on_progress", "_on_result")

    def __init__(
        self, on_result: OnResult | None, on_progress: OnProgress | None, on_attempt: OnAttempt | None = None
    ) -> None:
        self._on_result = on_result
        self._on_progress = on_progress
        self._on_attempt = on_attempt

    async def before_attempt(self, attempt: Attempt) -> None:
        if self._on_attempt is not None:
            await self._on_attempt(attempt.task, attempt.number)

    async def on_accepted(self, accepted: Accepted) -> None:
        """Do nothing: the id is ours, and known before."""

    async def on_refused(self, attempt: Attempt) -> None:
        """Do nothing: the attempt that follows is announced by `on_attempt`."""

    def on_result(self, result: Result) -> None:
        if self._on_result is not None:
            self._on_result(result)

    def on_text(self, text: str, reasoning: str) -> None:
        """Do nothing: `Client.stream` hands out the pieces, and the result has the whole text."""

    def on_progress(self, percent: float) -> None:
        if self._on_progress is not None:
            self._on_progress(percent)

    def on_waiting(self, reason: str | None) -> None:
        """Do nothing: a task is accepted when the service begins it, and no caller asks for more."""


def _exact(task: Task) -> Item:
    return dict(task.to_wire() if isinstance(task, ImageTask) else task)


def _inline_medium(result: Result) -> bytes | None:
    """Return the bytes inside a result if they are a medium; None for anything else."""
    try:
        body = result.inline
    except MediaError:
        return None
    return body if body is not None and sniff(body) is not None else None


def _new_uuid() -> str:
    return str(uuid.uuid4())


def _user_agent() -> str:
    from ... import __version__

    return f"runware-nb/{__version__}"
