"""Tasks that were accepted: what they make, when, and what became of each item."""

from __future__ import annotations

import io
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from .models import MODELS, price_usd
from .painter import Brief, encode, paint

__all__ = ["Item", "Work", "plan_image_work", "render_image"]

Json = dict[str, Any]


@dataclass
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


@dataclass
class Work:
    """An accepted task.

    Attributes:
        task: The request as it came.
        air: Its model.
        accepted_at: Seconds since the epoch.
        cost_usd: Price of one item.
        items: What it makes.
        muted: Whether its results are never pushed.
        fingerprint: Hash of the request without its UUID.
    """

    task: Json
    air: str
    accepted_at: float
    cost_usd: float
    items: list[Item] = field(default_factory=list)
    muted: bool = False
    fingerprint: str = ""

    @property
    def uuid(self) -> str:
        """The task's UUID."""
        return str(self.task["taskUUID"])

    @property
    def ready_at(self) -> float:
        """When its last item is finished."""
        return max(item.ready_at for item in self.items)

    @property
    def output_format(self) -> str:
        """JPG, PNG or WEBP."""
        value = str(self.task.get("outputFormat", "JPG")).upper()
        return "JPG" if value == "JPEG" else value

    def progress(self, item: Item, now: float) -> int:
        """How far an item is, 0 to 99."""
        whole = max(item.ready_at - self.accepted_at, 1e-9)
        return max(0, min(99, int(100 * (now - self.accepted_at) / whole)))

    def scope(self) -> Json:
        """What every answer about it begins with."""
        return {"taskType": self.task["taskType"], "taskUUID": self.uuid}


def plan_image_work(task: Json, air: str, *, now: float, latency_s: float, seed: int) -> Work:
    """Decide, at acceptance, everything about an image task.

    Items finish one after the other during the last third of *latency_s*, the last at its end.
    """
    count = int(task.get("numberResults", 1))
    uuid_text = str(task["taskUUID"])
    first = task.get("seed")
    if not isinstance(first, int):
        first = random.Random(f"{seed}/{uuid_text}").randrange(1, 2**32 - count)
    model = MODELS[air]
    work = Work(task, air, now, price_usd(model, int(task["width"]), int(task["height"])))
    for index in range(count):
        share = 2 / 3 + (index + 1) / (3 * count)
        made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{uuid_text}/{index}"))
        work.items.append(Item(made, first + index, now + latency_s * share))
    return work


def render_image(work: Work, item: Item, read_media: Any) -> tuple[bytes, str]:
    """Paint one item of an image task.

    Args:
        work: The task.
        item: Which of its results.
        read_media: Function that gives the bytes of a media value and a parameter name.

    Returns:
        The encoded picture and its media type.
    """
    task, model = work.task, MODELS[work.air]
    nested = task.get("inputs")
    inputs: Json = nested if isinstance(nested, dict) else {}

    def picture(name: str) -> Image.Image | None:
        value = task.get(name) or inputs.get(name)
        return Image.open(io.BytesIO(read_media(value, name))) if value else None

    image = paint(
        Brief(
            prompt=str(task["positivePrompt"]),
            negative_prompt=str(task.get("negativePrompt") or ""),
            seed=item.seed,
            width=int(task["width"]),
            height=int(task["height"]),
            model=work.air,
            steps=int(task.get("steps", max(model.default_steps, 14))),
            cfg=float(task.get("CFGScale", model.default_cfg)),
            scheduler=str(task.get("scheduler", "")),
            seed_image=picture("seedImage"),
            mask=picture("maskImage"),
            strength=float(task.get("strength", 0.8)),
        )
    )
    body, media_type, _ = encode(image, work.output_format, int(task.get("outputQuality", 95)))
    return body, media_type
