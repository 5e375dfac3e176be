"""Open the work in the current folder as a user of this version does, and print what there is as JSON.

Only public names are used, so that the test means the same after any change inside.
"""

import contextlib
import hashlib
import io
import json
import warnings
from pathlib import Path

import runware_nb as rw

warnings.simplefilter("error")


def main() -> None:
    runs = rw.log.select(limit=100)
    shown = {}
    for run in runs:
        for name in ("show", "code", "history"):
            shown[f"{name} {run.task_type}"] = bool(rw.command(name, run.task_uuid).text.strip())
        compile(rw.code(run.task_uuid), "cell", "exec")
    finished = [run for run in runs if run.is_finished]
    files = {}
    for run in finished:
        for result in rw.log.find(run.task_uuid).results:
            if result.file:
                files[result.file] = result.stored_sha256
    provenance = {}
    for name in files:
        if name.endswith((".jpg", ".png", ".webp")):
            provenance[name] = rw.read(f"runware_images/{name}").record["task_uuid"]
    hashes = {name: hashlib.sha256(Path("runware_images", name).read_bytes()).hexdigest() for name in files}
    with contextlib.redirect_stdout(io.StringIO()):
        commands = {
            name: rw.command(*name.split()).is_failure
            for name in ("log", "cost", "methods", "pending", "status", "gallery gallery.html", "export again.jsonl",
                         "bundle make again.zip", "diff {} {}".format(*(run.task_uuid for run in finished[:2])))
        }  # fmt: skip
    print(json.dumps({
        "states": {run.task_uuid: str(getattr(run.state, "value", run.state)) for run in runs},
        "types": sorted({run.task_type for run in runs}), "shown": shown, "files": files, "hashes": hashes,
        "provenance": provenance, "commands": commands, "pending": [run.task_uuid for run in rw.pending()],
    }))  # fmt: skip


main()
