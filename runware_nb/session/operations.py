"""A task and a Python function from the entry of an operation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..core.items import Item
from ..core.operations import Operation
from ..engine.jobs import Job
from ..errors import ArgumentInvalid
from ..providers.runware.catalog import all_models, find_model
from ..providers.runware.tasks import request_of
from .api import as_tags
from .current import current_session

__all__ = ["function_of", "task_of"]

_OF_EVERY_RUN: Mapping[str, tuple[Any, str]] = {
    "fresh": (False, "Whether the service is asked again although the log has the answer."),
    "agreed": (False, "Whether its price is agreed to, however high: nothing is asked."),
    "tags": ((), "A tag for the log, or several."),
    "note": (None, "A note for the log."),
}


def task_of(operation: Operation, values: Mapping[str, Any]) -> Item:
    """Build the task of an operation.

    Args:
        operation: Its entry.
        values: Inputs and parameters by their names in Python; None for those that are not given. Without a model, the
            first one that is known here for this operation is used, as in a form.

    Returns:
        The task in wire spelling.

    Raises:
        TaskInvalid: A value is not understood; see `request_of`.
    """
    request = request_of(operation, values)
    named = find_model(str(request.get("model", "")))
    if named is not None:
        request["model"] = named.air
    elif "model" not in request:
        known = next((model.air for model in all_models() if model.task_type == request["taskType"]), None)
        if known is not None:
            return {"taskType": request["taskType"], "model": known, **request}
    return request


@cache
def function_of(operation: Operation) -> Callable[..., Job]:
    """Build the Python function of an operation: its inputs by position or name, its options by name."""
    signature = _signature(operation)

    def run(*media: Any, **values: Any) -> Job:
        try:
            given = signature.bind(*media, **values).arguments
        except TypeError as error:
            names = ", ".join(signature.parameters)
            expected = f"those of rw.{operation.function}({names}): {error}. Nothing was sent"
            raise ArgumentInvalid("parameters", ", ".join(values), expected) from error
        ours = {name: given.pop(name, default) for name, (default, _) in _OF_EVERY_RUN.items()}
        ours["tags"] = as_tags(ours["tags"])
        return current_session().submit(task_of(operation, given), **ours)

    run.__name__ = run.__qualname__ = str(operation.function)
    run.__doc__ = _docstring(operation)
    # `help` and completion read it
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def _signature(operation: Operation) -> inspect.Signature:
    named = inspect.Parameter.KEYWORD_ONLY
    media = [
        inspect.Parameter(
            medium.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if medium.is_required else None,
        )
        for medium in operation.inputs
    ]
    options = [inspect.Parameter(option.name, named, default=None) for option in operation.options]
    common = [inspect.Parameter(name, named, default=default) for name, (default, _) in _OF_EVERY_RUN.items()]
    return inspect.Signature([*media, *options, *common])


def _docstring(operation: Operation) -> str:
    entries = [(medium.name, f"{medium.help}.") for medium in operation.inputs]
    entries += [(option.name, f"{option.help}.") for option in operation.options]
    entries += [(name, text) for name, (_, text) in _OF_EVERY_RUN.items()]
    lines = [f"    {name}: {text[:1].upper()}{text[1:]}" for name, text in entries]
    summary = f"{operation.summary[:1].upper()}{operation.summary[1:]}."
    return "\n".join([summary, "", "Args:", *lines, "", "Returns:", "    A job, as `rw.image` returns it."])
