"""The text of one task while it is written, for users of the bare client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from ...core.items import Item
from ...core.results import PARTIAL, Outcome, Result
from ...errors import TransportTimeout
from ..attempts import carry_out
from ..base import Accepted, Attempt, Limiter, Sender
from .attempt import now
from .sse import Delta

__all__ = ["TextStream"]


class TextStream:
    """A text on its way: iterate over it for its pieces, and read its `outcome` at the end.

    ```python
    async with client.stream(task) as stream:
        async for delta in stream:
            print(delta.text, end="")
    print(stream.outcome.cost_usd)
    ```

    The task takes the path of all tasks (`carry_out`), so the same rules decide what is sent again. Leaving early ends
    the reading, not the task: the service writes to the end and charges for it, and `client.collect(stream.task)`
    returns the whole text. If the connection breaks, the rest is collected and arrives as one piece.

    Args:
        task: In wire spelling, with its UUID.
        sender: Sends and follows it.
        limiter: The bound on tasks in flight.
        timeout_s: Longest time until the text is complete, from the moment when the task has a place, in seconds.

    Attributes:
        task: The task as it was sent last.
        text: The text so far.
        reasoning: The model's reasoning so far.
    """

    def __init__(self, task: Item, sender: Sender, limiter: Limiter, timeout_s: float) -> None:
        self.task = task
        self.text = ""
        self.reasoning = ""
        self._sender = sender
        self._limiter = limiter
        self._timeout_s = timeout_s
        self._pieces: AsyncIterator[Delta] | None = None
        self._started_at = now()
        self._outcome: Outcome | None = None

    @property
    def task_uuid(self) -> str:
        """The task's UUID."""
        return str(self.task["taskUUID"])

    @property
    def outcome(self) -> Outcome:
        """The outcome, as `run` returns it. While the stream runs, it has the text so far, marked as partial."""
        if self._outcome is not None:
            return self._outcome
        raw: Item = {"taskType": self.task["taskType"], "taskUUID": self.task_uuid, "text": self.text, PARTIAL: True}
        raw |= {"reasoningContent": self.reasoning} if self.reasoning else {}
        results = [Result(raw, self.task_uuid)] if self.text or self.reasoning else []
        return Outcome(self.task, self.task_uuid, results, [], now() - self._started_at)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading. The task continues at the service."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    def __aiter__(self) -> AsyncIterator[Delta]:
        if self._pieces is None:
            self._pieces = self._read()
        return self._pieces

    async def _read(self) -> AsyncIterator[Delta]:
        """Yield the pieces, and the end of the text with its usage and cost.

        Raises:
            TaskError: The service refused or failed the task; `.outcome` has what came.
            TransportTimeout: The time is over; the task goes on, and `.outcome` has what came.
            TransportError: The connection broke, and the text could not be collected either.
            ProtocolError: The response is no stream.
        """
        heard: asyncio.Queue[Delta | None] = asyncio.Queue()
        run = asyncio.create_task(
            carry_out(
                self._sender, self.task, observer=_Pieces(self, heard), limiter=self._limiter,
                timeout_s=self._timeout_s,
            )
        )  # fmt: skip
        run.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (piece := await heard.get()) is not None:
                if run.done() and not run.cancelled() and isinstance(run.exception(), TransportTimeout):
                    break  # the caller's own code between two pieces counts: the time is over
                self.text += piece.text
                self.reasoning += piece.reasoning
                yield piece
            yield self._end(await run)
        finally:
            run.cancel()  # the reader has left; this ends the wait here, and not the task at the service
            await asyncio.gather(run, return_exceptions=True)

    def _end(self, outcome: Outcome) -> Delta:
        """Note the outcome, and return what the pieces did not bring.

        Raises:
            TaskError: The stream ended in an error; `.outcome` has what came before it.
        """
        self._outcome = outcome
        if outcome.errors:
            outcome.errors[0].outcome = outcome
            raise outcome.errors[0]
        result = outcome[0]
        whole, reasoning = result.text or "", result.reasoning or ""
        end = Delta(
            text=whole.removeprefix(self.text), reasoning=reasoning.removeprefix(self.reasoning),
            finish_reason=result.finish_reason, usage=result.usage or None, cost_usd=result.cost_usd, raw=result.raw,
        )  # fmt: skip
        self.text, self.reasoning = whole, reasoning or self.reasoning
        return end


class _Pieces:
    """Passes the pieces of a text on to its stream."""

    def __init__(self, stream: TextStream, heard: asyncio.Queue[Delta | None]) -> None:
        self._stream = stream
        self._heard = heard

    async def before_attempt(self, attempt: Attempt) -> None:
        self._stream.task = attempt.task

    async def on_accepted(self, accepted: Accepted) -> None:
        """Do nothing: the id is ours, and known before."""

    async def on_refused(self, attempt: Attempt) -> None:
        """Do nothing: `before_attempt` announces the next one."""

    def on_result(self, result: Result) -> None:
        """Do nothing: it is in the outcome."""

    def on_text(self, text: str, reasoning: str) -> None:
        self._heard.put_nowait(Delta(text=text, reasoning=reasoning))

    def on_progress(self, percent: float) -> None:
        """Do nothing: the pieces show it."""

    def on_waiting(self, reason: str | None) -> None:
        """Do nothing: the stream has no place for it."""
