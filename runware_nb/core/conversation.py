"""A text of an earlier run in a conversation: it names the run, so that the next one knows what it continues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

__all__ = ["Reply", "replies_in"]


class Reply(str):  # noqa: SLOT000 - copies and pickles keep its attributes without further code
    """What a model answered in a conversation. Every operation on it returns a plain text.

    Attributes:
        task_uuid: The run that generated it.
        position: The number of the result in that run, from 0.
    """

    task_uuid: str
    position: int

    def __new__(cls, text: str, task_uuid: str, position: int = 0) -> Self:
        """Build the reply."""
        reply = super().__new__(cls, text)
        reply.task_uuid, reply.position = task_uuid, position
        return reply

    def __reduce__(self) -> tuple[Any, ...]:
        return Reply, (str(self), self.task_uuid, self.position)


def replies_in(value: Any) -> Iterator[Reply]:
    """Yield the replies in a task, at any depth."""
    if isinstance(value, Reply):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from replies_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from replies_in(inner)
