"""Runs and results as the log remembers them."""

from __future__ import annotations

import enum
import os
import platform
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.money import COST_UNITS, USD
from ..errors import RunLogError
from ..reprs import short_repr

__all__ = [
    "COST_UNITS",
    "FINAL_STATES",
    "UNFINISHED_STATES",
    "FoundResult",
    "Parent",
    "ResultRecord",
    "RunClaimed",
    "RunMissing",
    "RunRecord",
    "State",
    "TwinExists",
    "Uploaded",
    "UseRecord",
    "is_gone",
    "this_process",
]


class State(enum.StrEnum):
    """Where a run stands."""

    PREPARED = "prepared"
    """On disk; proven not to have left."""
    SENT = "sent"
    """Perhaps left; may have been accepted."""
    ACCEPTED = "accepted"
    """The service has shown that it knows it."""
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    """Some results came, some failed."""
    FAILED = "failed"
    DETACHED = "detached"
    """Sent, and nobody waits for it at the moment."""
    DISCARDED = "discarded"
    """Nobody wants to see it; collected all the same."""
    LOST = "lost"
    """Unknown to the service for a day."""
    UNKNOWN = "unknown"
    """May have been accepted, but cannot be located, and sending it again could be charged twice."""


FINAL_STATES = frozenset({State.SUCCEEDED, State.PARTIAL, State.FAILED, State.LOST})
UNFINISHED_STATES = frozenset({State.PREPARED, State.SENT, State.ACCEPTED, State.DETACHED, State.UNKNOWN})


@short_repr()
@dataclass(frozen=True, slots=True)
class Parent:
    """A run that another run was made from.

    Attributes:
        task_uuid: Task UUID of the parent.
        role: What the result of the parent was used as: the field of a medium, such as `seedImage`, or `prompt`,
            `variation` or `conversation`.
        index: Which of its results was used, from 0; None if this is not known.
    """

    task_uuid: str
    role: str
    index: int | None = None


class FoundResult(NamedTuple):
    """A result that was found by its content or by its UUID.

    Attributes:
        task_uuid: Task UUID of the run that it came from.
        sha256: Hash of the bytes received.
        file: Its file in the store.
        position: Its place in the run, from 0.
        item_uuid: The service's UUID of it.
        provider: The service.
        url: Where the service keeps it, perhaps for a limited time.
        finished_at_utc: When the run finished.
        media_type: MIME type of the file.
    """

    task_uuid: str
    sha256: str
    file: str | None
    position: int
    item_uuid: str | None
    provider: str
    url: str | None
    finished_at_utc: str | None
    media_type: str | None


class Uploaded(NamedTuple):
    """A medium that was uploaded.

    Attributes:
        media_uuid: The service's UUID of it.
        sha256: Hash of what was sent.
        given_sha256: Hash of the file as it was given, which is another one if it was turned or converted.
        used_at_utc: When it was named last, in ISO 8601.
    """

    media_uuid: str
    sha256: str
    given_sha256: str
    used_at_utc: str


@short_repr("position", "seed", "cost", "file", "medium_state")
@dataclass(slots=True, kw_only=True)
class ResultRecord:
    """One result, or one failure, of a run.

    Attributes:
        position: Its place in the run, from 0.
        item_uuid: The service's UUID of it.
        url: Where the service kept it.
        seed: Seed.
        cost: What the service charged for it, in the unit of its run; None is unknown.
        media_type: MIME type of the file.
        size_bytes: Size of the file as stored.
        received_sha256: Hash of the bytes received.
        stored_sha256: Hash of the file as stored: the same, and where it came from besides.
        file: Path of the file, relative to the media folder.
        medium_state: none, pending, stored, expired or missing.
        raw: The answer as it came.
        error: The error object, for a failure.
        rating: Stars that the user gave, 1 to 5; None for none.
        perceptual_hash: 64 bits in hex, alike for images that look alike; None until it was asked for.
        is_favourite: Whether the user marked it.
        cost_unit: Unit of the cost, which is that of its run: `USD` or `credits`. It is stored with the run.
    """

    position: int
    item_uuid: str | None = None
    url: str | None = None
    seed: int | None = None
    cost: float | None = None
    media_type: str | None = None
    size_bytes: int | None = None
    received_sha256: str | None = None
    stored_sha256: str | None = None
    file: str | None = None
    medium_state: str = "none"
    raw: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    rating: int | None = None
    perceptual_hash: str | None = None
    is_favourite: bool = False
    cost_unit: str = USD

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars; None if it is unknown, or in another unit."""
        return self.cost if self.cost_unit == USD else None


@short_repr("task_uuid", "task_type", "model", "state", "cost", "cost_unit")
@dataclass(slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        task_uuid: UUID of its first attempt, and its name for ever.
        attempt_uuid: UUID of its last attempt.
        provider: Who was asked, such as `runware` or `sandbox`.
        task_type: Kind of task.
        model: AIR identifier.
        request: The task in wire spelling, without secrets.
        request_hash: Hash of the canonical request as sent.
        asked_hash: Hash of what was asked, before a seed was picked.
        prompt_template: The prompt as typed, before names were filled in.
        prompt: The prompt as sent.
        prompt_origin: What the template was filled with: `values`, `saved` prompts and drawn `wildcards`.
        state: Where it stands.
        attempts: How many times it was sent under a UUID of its own.
        seed_given: Whether the user chose the seed.
        notebook: Path of the notebook.
        cell_id: The cell, as the front end names it.
        cell_hash: Hash of the cell's source.
        cell_ordinal: How many runs the same cell execution made before this one.
        execution_count: The cell's number.
        kernel: The kernel's session.
        created_at_utc: ISO 8601, as are all times.
        sent_at_utc: First byte of the last attempt.
        finished_at_utc: Last result.
        duration_s: From sending to the last result, in seconds.
        cost: What the service charged, in `cost_unit`; None is unknown.
        error: The error object that ended it, or what is known about a run of the state `unknown`.
        environment_hash: Names the snapshot of versions.
        tags: Labels.
        note: Free text.
        parent_uuid: The first of its parents.
        parents: All runs whose results it was made from, in order.
        inputs: The media it was made from: `place`, `sha256`, and `file` in the store or `named` as sent.
        estimate: What it was expected to cost, in `cost_unit`; None if its price was unknown.
        sender: The process that sent it last, as `this_process` names it.
        replay_of: The run that it was to make again; such a run answers no other request.
        best_rating: Stars of its best result.
        is_joinable: Whether the same request joins it while it is unfinished.
        is_imported: Whether it came from somebody else's log.
        remote_id: The service's id of the last attempt; None before the service is known to have one.
        cost_unit: Unit in which the service charges: `USD` or `credits`. It is fixed when the run is prepared.
        operation: Name of the operation, such as `text-to-image`; None for a task type that no operation has.
        state_at_utc: When the service's acceptance, or that its fate is unknown, was recorded.
        results: What came of it.
    """

    task_uuid: str
    attempt_uuid: str
    provider: str
    task_type: str
    model: str | None
    request: dict[str, Any]
    request_hash: str
    asked_hash: str
    created_at_utc: str
    prompt_template: str | None = None
    prompt: str | None = None
    prompt_origin: dict[str, Any] | None = None
    state: State = State.PREPARED
    attempts: int = 0
    seed_given: bool = False
    notebook: str | None = None
    cell_id: str | None = None
    cell_hash: str | None = None
    cell_ordinal: int | None = None
    execution_count: int | None = None
    kernel: str | None = None
    sent_at_utc: str | None = None
    finished_at_utc: str | None = None
    duration_s: float | None = None
    cost: float | None = None
    error: dict[str, Any] | None = None
    environment_hash: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    parent_uuid: str | None = None
    parents: tuple[Parent, ...] = ()
    inputs: list[dict[str, Any]] = field(default_factory=list)
    estimate: float | None = None
    sender: str | None = None
    replay_of: str | None = None
    best_rating: int | None = None
    is_joinable: bool = False
    is_imported: bool = False
    remote_id: str | None = None
    cost_unit: str = USD
    operation: str | None = None
    state_at_utc: str | None = None
    results: list[ResultRecord] = field(default_factory=list)

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars; None if it is unknown, or in another unit."""
        return self.cost if self.cost_unit == USD else None

    @property
    def estimate_usd(self) -> float | None:
        """The estimate in US dollars; None if it is unknown, or in another unit."""
        return self.estimate if self.cost_unit == USD else None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come of it."""
        if self.is_imported:
            return True  # it is never sent, polled or collected here, whatever its record says
        return self.state in FINAL_STATES or (self.state is State.DISCARDED and self.finished_at_utc is not None)


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class UseRecord:
    """One use of a run by a cell or a script.

    Attributes:
        run_uuid: Task UUID of the run.
        how: `sent` for the use that paid for it, `imported` where that was in another log; later ones are `recorded`
            (answered from the log), `joined` (the same request was in flight) or `replayed` (replay mode).
        used_at_utc: ISO 8601.
        notebook: Path of the notebook or script.
        cell_id: The cell, as the front end names it.
        cell_hash: SHA-256 of the cell's source.
        cell_ordinal: How many tasks this execution of the cell had before.
        execution_count: The cell's number.
        kernel: The kernel's session.
        tags: Tags given with this use.
        note: Note given with this use.
    """

    run_uuid: str
    how: str
    used_at_utc: str
    notebook: str | None = None
    cell_id: str | None = None
    cell_hash: str | None = None
    cell_ordinal: int | None = None
    execution_count: int | None = None
    kernel: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None


class TwinExists(RunLogError):
    """An unfinished run of the very same request is in the log already: join it."""


class RunClaimed(RunLogError):
    """Another process is sending this run: collect it."""


class RunMissing(RunLogError):
    """The log does not contain the run that something was to be written about."""


def this_process() -> str:
    """Return the name of this process, by which another can see whether it still runs; a forked child has its own."""
    return f"{platform.node()[:150]}/{os.getpid()}"


def is_here(sender: str | None) -> bool:
    """Return whether a process is another one of this machine that has not ended."""
    host = (sender or "").rpartition("/")[0]
    return host == platform.node()[:150] and sender != this_process() and not is_gone(sender)


def is_gone(sender: str | None) -> bool:
    """Whether a process of this machine has ended for certain; of others nobody here can say."""
    host, _, number = (sender or "").rpartition("/")
    if os.name != "posix" or host != platform.node()[:150] or not re.fullmatch(r"[1-9]\d{0,9}", number):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


@short_repr()
@dataclass(frozen=True, slots=True)
class UsualDuration:
    """How long earlier runs took.

    Attributes:
        seconds: Median from sending to the last result.
        runs: How many runs it is the median of.
        is_similar: Whether they had the same size and a similar length; otherwise the log has no such run.
    """

    seconds: float
    runs: int
    is_similar: bool
