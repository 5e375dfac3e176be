"""Text as it is written: one HTTP answer, read piece by piece, and collected when it breaks off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from ..errors import ProtocolError, TaskError, TransportError
from ..wire.classify import task_error
from ..wire.frames import Frame, Item
from ..wire.results import Outcome, Result
from ..wire.sse import Delta, EventDecoder, delta_of
from .flight import now

__all__ = ["OpenStream", "TextStream"]

OpenStream = Callable[[Item], AbstractAsyncContextManager[AsyncIterator[bytes]]]
Collect = Callable[[Item], Any]


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

    def __init__(self, task: Item, open_stream: OpenStream, collect: Collect) -> None:
        self.task = task
        self.text = ""
        self.reasoning = ""
        self._open = open_stream
        self._collect = collect
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
        """Give the pieces.

        Raises:
            TaskError: The service refused or broke off; `.outcome` has what came.
            TransportError: The connection broke, and the task could not be collected either.
            ProtocolError: What came is no stream.
        """
        decoder = EventDecoder()
        try:
            async with self._open(self.task) as chunks:
                async for chunk in chunks:
                    for event in decoder.feed(chunk):
                        yield self._take(event)
                    if decoder.is_done:
                        break
                for event in decoder.finish():
                    yield self._take(event)
            if not decoder.is_done and self._last.finish_reason is None:
                raise TransportError("the stream broke off")
        except TaskError as error:
            error.outcome = self._summed_up()
            raise
        except TransportError as error:
            if not error.may_have_arrived:
                raise
            async for delta in self._rest(error):
                yield delta
        self._outcome = self._outcome or self._summed_up()

    async def _rest(self, cause: TransportError) -> AsyncIterator[Delta]:
        """Collect what a broken stream did not bring, and give it as one piece."""
        try:
            outcome: Outcome = await self._collect(self.task)
        except (TaskError, TransportError, ProtocolError) as error:
            error.outcome = self._summed_up()  # type: ignore[union-attr]
            raise error from cause
        self._outcome = outcome
        for result in outcome.results:
            whole, reasoning = result.text or "", result.reasoning or ""
            delta = Delta(
                text=whole.removeprefix(self.text) if whole.startswith(self.text) else whole,
                reasoning=reasoning.removeprefix(self.reasoning),
                finish_reason=result.finish_reason, usage=result.usage or None, cost_usd=result.cost_usd,
                index=result.index, raw=result.raw,
            )  # fmt: skip
            self.text, self.reasoning = whole, reasoning or self.reasoning
            yield delta

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
