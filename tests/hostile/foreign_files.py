"""Records and bundles as a stranger would write them."""

import hashlib
import io
import json
import shlex
import zipfile

from PIL import Image

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser

HEAD = {"kind": "runware_nb records", "version": 1}
UUID = "3f2a0000-0000-4000-8000-00000000000{}"
WHEN = "2026-01-02T03:04:05.000+00:00"


def picture(color, kind="PNG"):
    body = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(body, kind)
    return body.getvalue()


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def media_name(digest, ending="png"):
    return f"{digest[:2]}/{digest}.{ending}"


def run(number=1, **changes):
    """A run that the reader accepts, with changes."""
    task_uuid = UUID.format(number)
    request = {"taskType": "imageInference", "taskUUID": task_uuid, "model": "runware:101@1", "positivePrompt": "a fox",
               "width": 256, "height": 256, "seed": 5}  # fmt: skip
    values = {
        "kind": "run", "task_uuid": task_uuid, "attempt_uuid": task_uuid, "provider": "sandbox", "task_type": "imageInference",
        "model": "runware:101@1", "request": request, "request_hash": "1:r", "asked_hash": "1:a", "state": "succeeded",
        "seed_given": True, "created_at_utc": WHEN, "finished_at_utc": WHEN, "cost_usd": 0.001, "attempts": 1,
        "prompt": "a fox", "results": [result()],
    }  # fmt: skip
    return values | changes


def result(**changes):
    values = {
        "position": 0,
        "seed": 5,
        "cost_usd": 0.001,
        "raw": {"taskType": "imageInference", "seed": 5, "cost": 0.001},
    }
    return values | changes


def write_records(path, *items):
    path.write_text("".join(json.dumps(item) + "\n" for item in (HEAD, *items)), encoding="utf-8")
    return path


def write_bundle(path, files, *, compression=zipfile.ZIP_DEFLATED):
    """Write a zip file with a manifest and a crate that fit."""
    files = {"ro-crate-metadata.json": b'{"@graph":[]}', **files}
    sums = "".join(f"{sha256(body)}  {name}\n" for name, body in sorted(files.items()))
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, body in {**files, "manifest-sha256.txt": sums.encode()}.items():
            archive.writestr(name, body)
    return path


def bundle_of(path, *items, **media):
    """Write a bundle of records; each medium is named by what the records call it."""
    records = "".join(json.dumps(item) + "\n" for item in (HEAD, *items)).encode()
    return write_bundle(path, {"records.jsonl": records, **{f"media/{name}": body for name, body in media.items()}})


def command(session, line):
    """Run a command as the magics do, and return its answer."""
    name, *words = shlex.split(line)
    module = find_command(name)
    parser = LineParser(name, "")
    module.add_arguments(parser)
    return module.run(session, parser.read(words))
