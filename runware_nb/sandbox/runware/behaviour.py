"""Switches for what the sources disagree about: each names one reading, and the other can be had."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["Behaviour"]


@dataclass(frozen=True)
class Behaviour:
    """How this service answers where two honest observers saw different things.

    Attributes:
        unknown_task: Answer to a poll for a task nobody knows: `empty`, or `error` (taskFailedOrNotFound).
        running_status: Word for unfinished: `processing`, or `pending`.
        poll_task_type: Task type of a polled item: `original`, or `getResponse`.
        failed_items: Where a poll lists failures: `errors`, or `data`.
        conflict_status: HTTP status for a UUID used before: 400, or 409.
        unknown_parameters: `by_model`, `refuse`, or `ignore`.
        flat_inputs: Whether strict models take media at the top level: `by_model`, or `accept`.
        refusal_uses_uuid: Whether a refused request uses its UUID up.
        failure_is_billed: Whether a failed item costs money.
        enhance_index: Whether versions of a prompt carry `resultIndex`.
        search_source: Word for our own models in modelSearch: `official`, `featured`, or `curated`.
        upload_as_object: Whether imageUpload answers one object where an array is due.
        balance_as_number: Whether getDetails gives the balance as a plain number.

    Source:
        Runware reference 1-5 and 10.7, wherever it says CONFLICT or "undetermined".
    """

    unknown_task: str = "empty"
    running_status: str = "processing"
    poll_task_type: str = "original"
    failed_items: str = "errors"
    conflict_status: int = 400
    unknown_parameters: str = "by_model"
    flat_inputs: str = "by_model"
    refusal_uses_uuid: bool = False
    failure_is_billed: bool = False
    enhance_index: bool = False
    search_source: str = "official"
    upload_as_object: bool = False
    balance_as_number: bool = False

    def with_values(self, values: dict[str, Any]) -> Behaviour:
        """Return a copy with some switches set.

        Raises:
            ValueError: A name is unknown, or a value makes no sense for it.
        """
        names = {each.name for each in fields(self)}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(names))}")
            allowed = _ALLOWED.get(name, (True, False))
            if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
                raise ValueError(f"{name}={value!r}: it is one of {', '.join(str(each) for each in allowed)}")
        return replace(self, **values)


_ALLOWED: dict[str, tuple[Any, ...]] = {
    "unknown_task": ("empty", "error"),
    "running_status": ("processing", "pending"),
    "poll_task_type": ("original", "getResponse"),
    "failed_items": ("errors", "data"),
    "conflict_status": (400, 409),
    "unknown_parameters": ("by_model", "refuse", "ignore"),
    "flat_inputs": ("by_model", "accept"),
    "search_source": ("official", "featured", "curated"),
}
