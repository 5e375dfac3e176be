"""Runs as a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .records import ResultRecord, RunRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of"]

_RUN = ("task_uuid", "created_at_utc", "state", "provider", "task_type", "model", "prompt", "notebook", "cell_id",
        "execution_count", "cell_ordinal", "duration_s", "cost_usd", "attempts", "best_rating", "note", "parent_uuid",
        "replay_of")  # fmt: skip
_ASKED = ("width", "height", "steps", "CFGScale", "scheduler", "numberResults", "negativePrompt")
_RESULT = ("position", "seed", "media_type", "size_bytes", "received_sha256", "rating", "medium_state")


def frame_of(runs: Sequence[RunRecord], *, per: str, media_folder: Path) -> pd.DataFrame:
    """Make the frame.

    Args:
        runs: In order.
        per: `run` or `result`.
        media_folder: Where the files are.

    Raises:
        ImportError: pandas is not installed.
    """
    import pandas as pd

    if per == "result":
        rows = [_result_row(run, result, media_folder) for run in runs for result in run.results]
    else:
        rows = [_run_row(run, media_folder) for run in runs]
    frame = pd.DataFrame(rows)
    if rows:
        frame["created_at_utc"] = pd.to_datetime(frame["created_at_utc"], format="ISO8601", utc=True)
    return frame


def _run_row(run: RunRecord, folder: Path) -> dict[str, Any]:
    good = [result for result in run.results if result.error is None]
    return {
        **_shared(run),
        "results": len(good),
        "failed": len(run.results) - len(good),
        "seed": good[0].seed if good else run.request.get("seed"),
        "files": [str(folder / result.file) for result in good if result.file],
    }


def _result_row(run: RunRecord, result: ResultRecord, folder: Path) -> dict[str, Any]:
    row = _shared(run) | {name: getattr(result, name) for name in _RESULT}
    row["cost_usd"] = result.cost_usd
    row["file"] = str(folder / result.file) if result.file else None
    row["error"] = None if result.error is None else result.error.get("message")
    return row


def _shared(run: RunRecord) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in _RUN}
    row["state"] = run.state.value
    row["tags"] = list(run.tags)
    return row | {name: run.request.get(name) for name in _ASKED}
