"""Runs as a data frame."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .records import ResultRecord, RunRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_of"]

_TEXT, _COUNT, _NUMBER, _TIME, _LIST, _FLAG = "object", "Int64", "float64", "datetime64[ns, UTC]", "object", "bool"
_RUN: Mapping[str, str] = {
    "task_uuid": _TEXT, "created_at_utc": _TIME, "state": _TEXT, "provider": _TEXT, "operation": _TEXT,
    "task_type": _TEXT, "model": _TEXT, "prompt": _TEXT, "notebook": _TEXT, "cell_id": _TEXT, "execution_count": _COUNT,
    "cell_ordinal": _COUNT, "duration_s": _NUMBER, "cost_usd": _NUMBER, "cost": _NUMBER, "cost_unit": _TEXT,
    "attempts": _COUNT, "best_rating": _COUNT,
    "note": _TEXT, "parent_uuid": _TEXT, "replay_of": _TEXT, "is_imported": _FLAG, "seed_given": _FLAG, "tags": _LIST,
}  # fmt: skip
_PER_RUN: Mapping[str, str] = {"results": _COUNT, "failed": _COUNT, "seed": _COUNT, "files": _LIST}
_PER_RESULT: Mapping[str, str] = {
    "position": _COUNT, "seed": _COUNT, "media_type": _TEXT, "size_bytes": _COUNT, "received_sha256": _TEXT,
    "rating": _COUNT, "medium_state": _TEXT, "file": _TEXT, "error": _TEXT,
}  # fmt: skip
_COUNTS = frozenset({"width", "height", "number_results", "steps", "output_quality"})
_NUMBERS = frozenset({"cfg_scale", "strength"})
ParametersOf = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Mapping[str, Any]]

_NOT_COLUMNS = frozenset({"model", "seed"})
"""Parameters with a column of their own: the model as resolved, and the seed of the result."""


def frame_of(
    runs: Sequence[RunRecord], *, per: str, media_folder: Path, parameters_of: ParametersOf, columns: Iterable[str]
) -> pd.DataFrame:
    """Return runs or results as a data frame.

    Every parameter of a request is a column under its Python name. The columns for the parameters of `rw.image`, and
    for the first LoRA, are always there, with the same types, even in a frame without rows. Another parameter adds its
    column at the end where a run has it, such as `outpaint.top`.

    Args:
        runs: In order.
        per: `run` or `result`.
        media_folder: Where the files are.
        parameters_of: Returns the parameters of a logged request by their Python names, given its media as well.
        columns: Names of the parameters that always have a column, in order.

    Raises:
        ImportError: pandas is not installed.
    """
    import pandas as pd

    types = {**_RUN, **(_PER_RESULT if per == "result" else _PER_RUN), **_parameter_types(columns)}
    if per == "result":
        rows = [_result_row(run, result, media_folder, parameters_of) for run in runs for result in run.results]
    else:
        rows = [_run_row(run, media_folder, parameters_of) for run in runs]
    others = sorted({name for row in rows for name in row} - types.keys())
    frame = pd.DataFrame(rows, columns=[*types, *others], dtype="object")
    for name, kind in types.items():
        if kind == _TIME:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True).astype(_TIME)
        elif kind != "object":
            # a value that is no number, such as the steps of a request that the service refused, stays as it is
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                frame[name] = frame[name].astype(kind)
    for name in others:
        frame[name] = frame[name].infer_objects()
    return frame


def _parameter_types(columns: Iterable[str]) -> dict[str, str]:
    """Return the types of the parameters that always have a column."""
    types: dict[str, str] = {}
    for name in columns:
        if name in _NOT_COLUMNS:
            continue
        if name == "loras":
            types |= {"loras.0.model": _TEXT, "loras.0.weight": _NUMBER}
        else:
            types[name] = _COUNT if name in _COUNTS else _NUMBER if name in _NUMBERS else _TEXT
    return types


def _run_row(run: RunRecord, folder: Path, parameters_of: ParametersOf) -> dict[str, Any]:
    good = [result for result in run.results if result.error is None]
    return {
        **_shared(run, parameters_of),
        "results": len(good),
        "failed": len(run.results) - len(good),
        "seed": good[0].seed if good else run.request.get("seed"),
        "files": [str(folder / result.file) for result in good if result.file],
    }


def _result_row(run: RunRecord, result: ResultRecord, folder: Path, parameters_of: ParametersOf) -> dict[str, Any]:
    row = _shared(run, parameters_of) | {
        name: getattr(result, name) for name in _PER_RESULT if name not in {"file", "error"}
    }
    row["cost_usd"], row["cost"] = result.cost_usd, result.cost
    row["file"] = str(folder / result.file) if result.file else None
    row["error"] = None if result.error is None else result.error.get("message")
    return row


def _shared(run: RunRecord, parameters_of: ParametersOf) -> dict[str, Any]:
    parameters = parameters_of(run.request, run.inputs)
    row = {name: value for name, value in parameters.items() if name not in _NOT_COLUMNS}
    taken = {f"parameters.{name}": row.pop(name) for name in list(row) if name in {*_RUN, *_PER_RUN, *_PER_RESULT}}
    row |= {
        name: value for name, value in taken.items() if value != run.prompt
    }  # a parameter of some other task may be called as a column of the log is
    row |= {name: getattr(run, name) for name in _RUN if name not in {"state", "tags"}}
    row["state"] = run.state.value
    row["tags"] = list(run.tags)
    return row
