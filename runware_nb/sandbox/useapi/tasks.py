"""Tasks: their course over time, and the object that reports them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["FINAL", "Artifact", "Task", "plan_steps", "timestamp"]

Json = dict[str, Any]
FINAL = frozenset({"SUCCEEDED", "FAILED"})
_PENDING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Artifact:
    """One result file of a task.

    Attributes:
        uuid: UUID, also the id of its file.
        extension: Extension of its file.
        width: Pixels.
        height: Pixels.
        duration_s: Seconds; 0 for an image.
    """

    uuid: str
    extension: str
    width: int
    height: int
    duration_s: float = 0.0

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.uuid}.{self.extension}"

    def metadata(self, form: str, frame_rate: int) -> Json | None:
        """Return its metadata in one of the documented forms: `new`, `old`, or `null`."""
        if form == "null":
            return None
        time: Json = {"frameRate": frame_rate, "duration": self.duration_s} if self.duration_s else {}
        if form == "old":
            return {**time, "dimensions": [self.width, self.height]}
        return {**time, "width": self.width, "height": self.height, "hasAudio": False, "hasAlphaChannel": False}


@dataclass
class Task:
    """An accepted task.

    Attributes:
        uuid: Bare UUID.
        owner: Start of its long id, up to and with the account's e-mail.
        email: E-mail of the account that serves it.
        path: Create call.
        options: Request as it was sent, without the fields of the proxy.
        reply_url: URL of callbacks; empty for none.
        reply_ref: Reference of the caller; None if there is none.
        steps: Times in seconds since the epoch, and the status from each time on. The last one is final.
        artifacts: Results.
        error: Reason of a failure; empty if it succeeds.
        is_tracked: Whether it occupies a slot and callbacks are sent.
        is_deleted: Whether its record is deleted.
        callbacks: How often each change is posted.
        posted: Number of changes that need no callback any more.
    """

    uuid: str
    owner: str
    email: str
    path: str
    options: Json
    reply_url: str
    reply_ref: str | None
    steps: Sequence[tuple[float, str]]
    artifacts: list[Artifact] = field(default_factory=list)
    error: str = ""
    is_tracked: bool = True
    is_deleted: bool = False
    callbacks: int = 1
    posted: int = 0

    @classmethod
    def from_record(cls, record: Json) -> Task:
        """Build a task from what `to_record` returned."""
        steps = [(float(time), str(status)) for time, status in record["steps"]]
        artifacts = [Artifact(**values) for values in record["artifacts"]]
        return cls(**{**record, "steps": steps, "artifacts": artifacts})

    def to_record(self) -> Json:
        """Return all attributes, as the journal keeps them."""
        return asdict(self)

    @property
    def id(self) -> str:
        """The long id."""
        return f"{self.owner}-task:{self.uuid}"

    @property
    def ready_at(self) -> float:
        """When it ends, in seconds since the epoch."""
        return self.steps[-1][0]

    def status(self, now: float) -> str:
        """Return its status at a time."""
        current = self.steps[0][1]
        for time, status in self.steps:
            if time <= now:
                current = status
        return current

    def occupies_slot(self, now: float) -> bool:
        """Return whether the service tracks it at a time."""
        return self.is_tracked and now < self.ready_at

    def progress(self, now: float) -> str | None:
        """Return the documented text of its progress, 0 to 1; None before it runs."""
        status = self.status(now)
        if status == "SUCCEEDED":
            return "1"
        if status != "RUNNING":
            return None
        started_at = next(time for time, status in self.steps if status == "RUNNING")
        return f"{(now - started_at) / max(self.ready_at - started_at, 1e-9):.2f}"

    def to_wire(self, now: float, artifacts: list[Json], *, failure: str, with_reply: bool) -> Json:
        """Return the task object.

        Args:
            now: Seconds since the epoch.
            artifacts: Objects of its results; only used once it has succeeded.
            failure: Form of `error`: `string`, `object`, or `null`.
            with_reply: Whether `replyUrl` and `replyRef` are included.
        """
        status = self.status(now)
        has_failed = status == "FAILED"
        error: Any = None
        if has_failed and failure == "string":
            error = self.error
        elif has_failed and failure == "object":
            error = {"errorMessage": self.error, "reason": "SAFETY.INPUT.TEXT"}
        created_at = self.steps[0][0]
        changed_at = max((time for time, _ in self.steps if time <= now), default=created_at)
        body: Json = {
            "taskId": self.id, "id": self.uuid, "name": str(self.options.get("text_prompt") or self.path)[:80],
            "image": None, "createdAt": timestamp(created_at), "updatedAt": timestamp(changed_at),
            "taskType": str(self.options.get("model") or self.path.partition("/")[0]), "options": self.options,
            "status": status, "error": error, "progressText": None, "progressRatio": self.progress(now),
            "estimatedTimeToStartSeconds": 60 if status == "THROTTLED" else None,
            "artifacts": artifacts if status == "SUCCEEDED" else [], "sharedAsset": None,
        }  # fmt: skip
        if with_reply and self.reply_url:
            body["replyUrl"] = self.reply_url
        if with_reply and self.reply_ref is not None:
            body["replyRef"] = self.reply_ref
        return body


def plan_steps(
    now: float,
    *,
    duration_s: float,
    throttled_s: float,
    others: Iterable[float],
    parallel: int,
    final: str,
) -> list[tuple[float, str]]:
    """Return the times and statuses of a task.

    Args:
        now: Time of acceptance, in seconds since the epoch.
        duration_s: Time from acceptance to the end if it is not throttled.
        throttled_s: Minimum time in the queue.
        others: Ends of the tasks that the account has at this time.
        parallel: Number of tasks that Runway runs at once for the account; 0 for no limit.
        final: Status at the end.
    """
    ends = sorted(others)
    queue_end = ends[-parallel] if parallel and len(ends) >= parallel else now
    pending_until = now + duration_s * _PENDING_SHARE
    runs_at = max(pending_until, queue_end, now + throttled_s)
    steps = [(now, "PENDING")]
    if runs_at > pending_until:
        steps.append((pending_until, "THROTTLED"))
    steps += [(runs_at, "RUNNING"), (runs_at + duration_s * (1 - _PENDING_SHARE), final)]
    return steps


def timestamp(time: float) -> str:
    """Format a time as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
