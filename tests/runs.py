"""Runs as tests need them."""

from runware_nb.runlog import RunRecord


def run_record(number=1, **changes):
    name = f"{number:08x}-0000-4000-8000-000000000000"
    values = {
        "task_uuid": name, "attempt_uuid": name, "provider": "sandbox", "task_type": "imageInference", "model": "m",
        "request": {"positivePrompt": "größe 🚢", "taskUUID": name}, "request_hash": "1:r", "asked_hash": "1:a",
        "created_at_utc": "2026-01-01T00:00:00.000+00:00", "prompt": "größe 🚢",
    }  # fmt: skip
    return RunRecord(**(values | changes))
