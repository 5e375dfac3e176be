"""Tasks that were accepted: what they make, when, and what became of each item."""

from __future__ import annotations

import asyncio
import hashlib
import math
import uuid
from dataclasses import dataclass, field
from typing import Any

from .kinds import KINDS, OUTPUTS, Kind
from .models import MODELS, Model, price_usd
from .requests import normalise
from .schemas import FORMATS

__all__ = ["Item", "Work", "checks_content", "plan_work"]

Json = dict[str, Any]
_UNSAFE = frozenset({"nsfw", "nude", "naked", "gore"})


@dataclass(slots=True)
class Item:
    """One result to be.

    Attributes:
        uuid: Its UUID, known from the start and the same in every poll.
        seed: Its seed.
        ready_at: When it is finished, in seconds since the epoch.
        error: Code and message, if it is going to fail.
        flagged: Whether the safety check marks it.
        is_billed: Whether it has been charged.
    """

    uuid: str
    seed: int
    ready_at: float
    error: Json | None = None
    flagged: bool = False
    is_billed: bool = False


@dataclass(slots=True)
class Work:
    """An accepted task.

    Attributes:
        asked: The request as it came.
        task: The same in today's spelling.
        model: Who does it.
        accepted_at: Seconds since the epoch.
        cost_usd: Price of one item.
        items: What it makes.
        muted: Whether its results are never pushed.
        media_fault: What is wrong with its files, if anything.
        drip: How its files are sent byte by byte: `seconds` and `size`; None if they are not.
        bad_urls: URLs that are given instead of the right ones, by index of the item.
        stays_bad: Whether polls give those, too.
        wording: What it answers in place of its own text, as fields of a result; None for its own.
        released: Set when a stream that is held back may continue; None if none is.
    """

    asked: Json
    task: Json
    model: Model
    accepted_at: float
    cost_usd: float
    items: list[Item] = field(default_factory=list)
    muted: bool = False
    media_fault: str = ""
    drip: Json | None = None
    bad_urls: dict[int, str] = field(default_factory=dict)
    stays_bad: bool = False
    wording: Json | None = None
    released: asyncio.Event | None = None

    @property
    def uuid(self) -> str:
        """The task's UUID."""
        return str(self.asked["taskUUID"])

    @property
    def kind(self) -> Kind:
        """What its kind of task answers with."""
        return KINDS[self.task["taskType"]]

    @property
    def stem(self) -> str | None:
        """What its result keys begin with, such as `image` in `imageUUID`; None for words."""
        is_film = "video" in self.model.needs_inputs and self.kind.stem == "image"
        return "video" if is_film else self.kind.stem

    @property
    def ready_at(self) -> float:
        """When its last item is finished."""
        return max(item.ready_at for item in self.items)

    @property
    def is_inline(self) -> bool:
        """Whether its files travel inside the answer."""
        return self.stem not in {None, OUTPUTS} and self.task.get("outputType", "URL") != "URL"

    @property
    def output_format(self) -> str:
        """Format of its files, in capitals."""
        formats = self.model.formats or FORMATS.get(self.task["taskType"], ("BIN",))
        return str(self.task.get("outputFormat") or formats[0])

    def file_name(self, item: Item) -> str:
        """Name of an item's file."""
        return f"{item.uuid}.{self.output_format.lower()}"

    def progress(self, item: Item, now: float) -> int:
        """How far an item is, 0 to 99."""
        whole = max(item.ready_at - self.accepted_at, 1e-9)
        return max(0, min(99, int(100 * (now - self.accepted_at) / whole)))

    def scope(self) -> Json:
        """What every answer about it begins with."""
        return {"taskType": self.asked["taskType"], "taskUUID": self.uuid}


def plan_work(asked: Json, task: Json, model: Model, *, now: float, latency_s: float, seed: int) -> Work:
    """Decide, at acceptance, everything about a task.

    Items finish one after the other during the last third of *latency_s*, the last at its end.

    Args:
        asked: The request as it came.
        task: The same, normalised.
        model: Who does it.
        now: Seconds since the epoch.
        latency_s: How long it takes, in seconds.
        seed: Decides the seed where the request has none.
    """
    kind = KINDS[task["taskType"]]
    count = int(task.get(kind.count_key, 1))
    uuid_text = str(asked["taskUUID"])
    first = task.get("seed")
    if not isinstance(first, int):
        digest = hashlib.blake2b(f"{seed}/{uuid_text}".encode(), digest_size=4).digest()
        first = 1 + int.from_bytes(digest, "big") % (2**32 - count - 1)
    work = Work(asked, task, model, now, price_usd(model, kind.units(task, model)))
    for index in range(count):
        share = 2 / 3 + (index + 1) / (3 * count)
        made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{uuid_text}/{index}"))
        work.items.append(Item(made, first + index, now + latency_s * share, flagged=_is_unsafe(task)))
    return work


def checks_content(task: Json) -> bool:
    """Return whether a task asks for the safety check; `mode` counts more than `checkContent` (reference 5.1)."""
    safety = task.get("safety") or {}
    mode = safety.get("mode")
    return bool(safety.get("checkContent")) if mode is None else mode != "none"


def _is_unsafe(task: Json) -> bool:
    """Return whether the safety check is on and marks the results: those of prompts that name such content."""
    words = set(str(task.get("positivePrompt") or "").lower().replace(",", " ").split())
    return checks_content(task) and not words.isdisjoint(_UNSAFE)


def restored_work(event: Json, *, seed: int) -> Work:
    """Read an accepted task back from the journal.

    Raises:
        Exception: The event is damaged: any kind of error, or a ValueError.
    """
    model = MODELS[event["air"]]
    task = normalise(event["task"], is_strict=False)
    work = plan_work(event["task"], task, model, now=event["at"], latency_s=0, seed=seed)
    work.items = [_restored_item(*values) for values in event["items"]]
    work.muted = event["muted"]
    work.media_fault = event.get("media_fault", "")
    work.drip = event.get("drip")
    work.bad_urls = {int(index): url for index, url in event.get("bad_urls", {}).items()}
    work.stays_bad = event.get("stays_bad", False)
    work.wording = event.get("wording")
    return work


def _restored_item(name: str, seed: int, ready_at: float, error: Json | None, flagged: bool) -> Item:
    if not isinstance(name, str) or not isinstance(seed, int) or not math.isfinite(ready_at):
        raise ValueError(name)
    return Item(name, seed, float(ready_at), None if error is None else dict(error), bool(flagged))
