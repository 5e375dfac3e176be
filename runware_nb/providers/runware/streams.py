"""Text as it is written: one HTTP answer, read piece by piece, and collected when it breaks off."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

from ...core.items import Item
from ...core.results import Outcome, Result
from ...core.retry import Decision, Step, decide
from ...errors import ProtocolError, RateLimited, RunwareNBError, TaskError, TransportError, TransportTimeout
from ...settings import Settings
from ..attempts import pause
from .attempt import now
from .classify import task_error
from .concurrency import ConcurrencyLimiter
from .connection import Connection
from .frames import Frame
from .sse import Delta, EventDecoder, delta_of
from .tracker import jitter

__all__ = ["StreamLine", "TextStream"]


class StreamLine:
    """What a stream needs of its client.

    Args:
        settings: Bounds.
        connection: The way to the service.
        slots: Places in flight.
        collect: The client's own.
        timeout_s: Longest time until the text is complete, from the moment when the task has a slot, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        slots: ConcurrencyLimiter,
        collect: Callable[..., Awaitable[Outcome]],
        timeout_s: float,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._limiter = slots
        self._collect = collect
        self.timeout_s = timeout_s

    def open(self, task: Item, deadline: float) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Send the task, and yield the bytes of its response as they arrive, up to the deadline."""
        return self._connection.rest().stream([task], timeout_s=deadline - now())

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places in flight."""
        await self._limiter.acquire()
        try:
            yield
        finally:
            await self._limiter.release()

    def decide(self, error: RunwareNBError, attempt: int) -> Decision:
        """Say what a failure before the first piece means."""
        if isinstance(error, RateLimited):
            self._limiter.limit.on_rate_limited()
        return decide(error, attempt=attempt, max_retries=self._settings.max_retries, long_running=False,
                      has_results=False, jitter=jitter())  # fmt: skip

    async def collect(self, task: Item, deadline: float) -> Outcome:
        """Wait for the whole text; send the task again, under its own UUID, if the service does not know it."""
        return await self._collect({**task, "deliveryMethod": "sync"}, resends=True, timeout_s=deadline - now())


class TextStream:
    """A text on its way: iterate over it for its pieces, and ask for its `outcome` at the end.

    ```python
    async with client.stream(task) as stream:
        async for delta in stream:
            print(delta.text, end="")
    print(stream.outcome.cost_usd)
    ```

    Leaving early ends the reading, not the task: the service writes to the end and bills it, and
    `client.collect(stream.task)` has the whole text. Where the connection breaks, the rest is collected by itself.

    Attributes:
        task: As it is sent, in wire spelling.
        text: What has come so far.
        reasoning: What has come of the model's reasoning.
    """

    def __init__(self, task: Item, line: StreamLine) -> None:
        self.task = task
        self.text = ""
        self.reasoning = ""
        self._line = line
        self._pieces: AsyncIterator[Delta] | None = None
        self._last = Delta()
        self._started_at = now()
        self._outcome: Outcome | None = None

    @property
    def task_uuid(self) -> str:
        """The task's UUID."""
        return str(self.task["taskUUID"])

    @property
    def outcome(self) -> Outcome:
        """The whole answer, as `run` would give it; as far as it has come while the stream runs."""
        return self._outcome or self._summed_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading; the task goes on."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    def __aiter__(self) -> AsyncIterator[Delta]:
        if self._pieces is None:
            self._pieces = self._read()
        return self._pieces

    async def _read(self) -> AsyncIterator[Delta]:
        """Give the pieces; begin again where nothing was accepted, collect where something was.

        Raises:
            TaskError: The service refused or broke off; `.outcome` has what came.
            TransportTimeout: The time is over; the task goes on, and `.outcome` has what came.
            TransportError: The connection broke, and the task could not be collected either.
            ProtocolError: What came is no stream.
        """
        attempt = 0
        left_s = self._line.timeout_s
        while True:
            attempt += 1
            deadline = now() + left_s
            try:
                async with self._line.place():
                    deadline = now() + left_s  # the wait for a slot does not count
                    async for delta in self._once(deadline):
                        yield delta
                break
            except (TaskError, TransportError, ProtocolError) as error:
                has_begun = bool(self.text or self.reasoning)
                decision = self._line.decide(error, attempt)
                if not isinstance(error, ProtocolError):
                    error.outcome = self._summed_up()
                if isinstance(error, TransportTimeout):
                    raise
                if has_begun and not isinstance(error, TaskError):
                    decision = Decision(Step.ASK_FIRST)
                elif has_begun or decision.step is Step.GIVE_UP:
                    raise
                await pause(decision.delay_s, deadline, error)
                left_s = deadline - now()
                if decision.step is Step.ASK_FIRST:
                    yield await self._rest(error, deadline)
                    break
                if decision.step is Step.NEW_ATTEMPT:
                    self.task = {**self.task, "taskUUID": str(uuid.uuid4())}
        self._outcome = self._outcome or self._summed_up()

    async def _once(self, deadline: float) -> AsyncIterator[Delta]:
        """Read one answer to its end."""
        decoder = EventDecoder()
        async with self._line.open(self.task, deadline) as chunks:
            async for chunk in chunks:
                for event in decoder.feed(chunk):
                    yield self._take(event)
                if decoder.is_done:
                    return
            for event in decoder.finish():
                yield self._take(event)
        if not decoder.is_done and self._last.finish_reason is None:
            raise TransportError("the stream broke off")

    async def _rest(self, cause: Exception, deadline: float) -> Delta:
        """Collect what a broken stream did not bring, and give it as one piece."""
        try:
            outcome = await self._line.collect(self.task, deadline)
        except (TaskError, TransportError) as error:
            error.outcome = self._summed_up()
            raise error from cause
        self._outcome = outcome
        result = outcome[0]
        whole, reasoning = result.text or "", result.reasoning or ""
        delta = Delta(
            text=whole.removeprefix(self.text) if whole.startswith(self.text) else whole,
            reasoning=reasoning.removeprefix(self.reasoning),
            finish_reason=result.finish_reason, usage=result.usage or None, cost_usd=result.cost_usd, raw=result.raw,
        )  # fmt: skip
        self.text, self.reasoning = whole, reasoning or self.reasoning
        return delta

    def _take(self, event: str) -> Delta:
        piece = delta_of(event)
        if isinstance(piece, Frame):
            raise task_error({"taskUUID": self.task_uuid, **piece.errors[0]})
        self.text += piece.text
        self.reasoning += piece.reasoning
        if piece.finish_reason is not None or piece.usage or piece.cost_usd is not None:
            self._last = Delta(
                finish_reason=piece.finish_reason or self._last.finish_reason,
                usage=piece.usage or self._last.usage,
                cost_usd=self._last.cost_usd if piece.cost_usd is None else piece.cost_usd,
            )
        return piece

    def _summed_up(self) -> Outcome:
        """Make what `run` would give of the pieces that came."""
        raw: Item = {"taskType": self.task["taskType"], "taskUUID": self.task_uuid, "text": self.text}
        told = {"reasoningContent": self.reasoning or None, "finishReason": self._last.finish_reason,
                "usage": self._last.usage, "cost": self._last.cost_usd}  # fmt: skip
        raw |= {name: value for name, value in told.items() if value is not None}
        results = [Result(raw, self.task_uuid)] if self.text or self._last.finish_reason else []
        return Outcome(self.task, self.task_uuid, results, [], now() - self._started_at)
