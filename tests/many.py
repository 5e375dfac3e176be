"""A log with thousands of images in it, made in seconds: each its own small file."""

from __future__ import annotations

import hashlib
import io
import random
import sys
import uuid
from pathlib import Path

from PIL import Image

from runware_nb.runlog import MediaStore, ResultRecord, RunLog, RunRecord, State
from runware_nb.runlog.maintenance import add_runs

_WORDS = ("airship", "forest", "harbour", "lantern", "meadow", "castle", "river", "storm", "orchard", "bridge")
_MODELS = ("runware:101@1", "runware:100@1", "civitai:133005@782002")


def fill(folder: Path, images: int, *, side_px: int = 256) -> None:
    """Write so many images into the log of *folder*, four to a run."""
    log, store = RunLog(folder / ".runware"), MediaStore(folder / "runware_images")
    chance = random.Random(7)
    runs = []
    for number in range(-(-images // 4)):
        name = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        prompt = " ".join(chance.sample(_WORDS, 4))
        when = f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}T12:00:00.000+00:00"
        runs.append(RunRecord(
            task_uuid=name, attempt_uuid=name, provider="sandbox", task_type="imageInference",
            model=chance.choice(_MODELS), prompt=prompt, request={"positivePrompt": prompt, "width": side_px, "height": side_px},
            request_hash=f"1:{name}", asked_hash=f"1:{name}", created_at_utc=when, state=State.SUCCEEDED,
            finished_at_utc=when, cost=0.0152, attempts=1,
            results=[_result(store, chance, name, position, side_px) for position in range(min(4, images - 4 * number))],
        ))  # fmt: skip
    add_runs(log, runs, sources={}, snapshots={})
    log.close()


def _result(store: MediaStore, chance: random.Random, name: str, position: int, side_px: int) -> ResultRecord:
    image = Image.new("RGB", (side_px, side_px), tuple(chance.randrange(256) for _ in range(3)))
    image.paste(tuple(chance.randrange(256) for _ in range(3)), (40, 40, 200, chance.randrange(60, 250)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    body = buffer.getvalue()
    digest = hashlib.sha256(body).hexdigest()
    path = store.folder / digest[:2] / f"{digest}.jpg"  # not `put`: ten thousand of its fsyncs take a minute
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    seed = chance.randrange(2**31)
    return ResultRecord(
        position=position, seed=seed, cost=0.0038, media_type="image/jpeg", size_bytes=len(body),
        received_sha256=digest, stored_sha256=digest, file=f"{digest[:2]}/{path.name}", medium_state="stored",
        raw={"taskUUID": name, "seed": seed},
    )  # fmt: skip


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
