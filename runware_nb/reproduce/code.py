"""The Python that makes a run again."""

from __future__ import annotations

import contextlib
import pprint
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..core.items import Item
from ..core.operations import TEXT_TO_IMAGE
from ..core.option_values import LoRA
from ..core.redaction import REDACTED
from ..engine.display import relative_path
from ..engine.input_lineage import with_files
from ..errors import TaskInvalid
from ..providers.registry import load_module, package_of_service
from ..providers.runware.image_options import parameters_from
from ..providers.runware.operations import binding_for, operation_of_task
from ..providers.runware.parameters import DELIVERY
from ..providers.runware.tasks import ImageTask, can_stream, values_of
from ..runlog import RunRecord
from ..session.operations import task_of

__all__ = ["code_for", "operation_call", "run_call"]

_WIDTH = 100


def code_for(run: RunRecord, media_folder: Path) -> str:
    """Format the cell that makes the request of a run again.

    With the seed in it, the answer comes from the log while the log has it, and costs nothing.

    Args:
        run: The run, of any operation.
        media_folder: The folder of its input files.
    """
    task = _with_files(run, media_folder)
    when = run.created_at_utc[:16].replace("T", " ")
    # Only the repr of a value gets into the cell, in a comment too: a line break would end the comment.
    about = [repr(str(value))[1:-1] for value in (run.task_uuid, when, run.provider)]
    head = "# run {}, {} UTC, {}\n".format(*about) + "import runware_nb as rw\n\n"
    if run.task_type == binding_for(TEXT_TO_IMAGE).task_type and isinstance(task.get("positivePrompt"), str):
        # A request that the service refused may have any form. It is written unchanged.
        with contextlib.suppress(TypeError, KeyError, AttributeError):
            return head + _image_call(task)
    whole = {"taskType": run.task_type, **_without_delivery(task)}
    package = package_of_service(run.provider)
    if package is None:
        waits = can_stream(run.task_type) and task.get("deliveryMethod") == "sync"
        call = operation_call(whole, streams=not waits) or run_call(whole)
    elif package.python_call:
        call = getattr(load_module(package.name, "writing"), package.python_call)(whole)
    else:
        call = run_call(whole, service=package.name)
    return f"{head}results = {call}.result()\nresults\n"


def operation_call(task: Mapping[str, Any], *, streams: bool = True) -> str | None:
    """Format the call of an operation's function that makes a request, such as `rw.upscale("in.png", factor=2)`.

    Args:
        task: In wire spelling. The repr of each value has to be the Python that stands for it.
        streams: Whether a text may be streamed, as it is by default.

    Returns:
        The call; None if the operation has no function, or the call would make another request.
    """
    operation = operation_of_task(str(task.get("taskType")))
    if operation is None or operation.function is None or operation is TEXT_TO_IMAGE:
        return None
    values, rest = values_of(operation, task)
    try:
        if task_of(operation, values, rest) != task:
            return None
    except TaskInvalid:
        return None
    first = operation.positional[0] if operation.positional and operation.positional[0] in values else None
    lines = [] if first is None else [f"    {_argument(values.pop(first))},"]
    more = ({} if streams else {"stream": False}) | ({"extra": rest} if rest else {})
    for name, value in (values | more).items():
        written = pprint.pformat(value, width=_WIDTH - len(name) - 6, sort_dicts=False)
        lines.append(f"    {name}={_indented(written).lstrip()},")
    return f"rw.{operation.function}(\n" + "\n".join(lines) + "\n)"


def run_call(task: Mapping[str, Any], *, service: str = "") -> str:
    """Format the call of `rw.run` that makes a request.

    Args:
        task: In wire spelling. The repr of each value has to be the Python that stands for it.
        service: The service, if it is not Runware.
    """
    end = f",\n    service={service!r},\n)" if service else "\n)"
    return f"rw.run(\n{_indented(pprint.pformat(dict(task), width=_WIDTH - 8, sort_dicts=False))}{end}"


def _image_call(task: Item) -> str:
    typed = ImageTask.from_wire(_without_delivery(task))
    values: dict[str, Any] = {}
    for each in fields(ImageTask):
        value = getattr(typed, each.name)
        if each.name not in {"positive_prompt", "extra", "loras"} and value is not None:
            values[each.name] = value
    if typed.loras:
        values["loras"] = [_lora(one) for one in typed.loras]
    parameters, rest = parameters_from(typed.model, typed.extra)
    if str(typed.output_format).upper() not in {"PNG", "WEBP"} and parameters.pop("transparent", None):
        rest["layerDiffuse"] = True  # the parameter would add a format
    values |= parameters
    if rest:
        values["extra"] = rest
    lines = [f"    {_text(typed.positive_prompt)},"]
    for name, value in values.items():
        written = pprint.pformat(value, width=_WIDTH - len(name) - 6, sort_dicts=False)
        lines.append(f"    {name}={_indented(written).lstrip()},")
    return "images = rw.image(\n" + "\n".join(lines) + "\n).result()\nimages\n"


def _lora(one: LoRA) -> tuple[str, float]:
    return one.model, one.weight


def _argument(value: Any) -> str:
    return _text(value) if isinstance(value, str) else repr(value)


def _text(prompt: str) -> str:
    """Write a prompt over several lines where it has them."""
    parts = prompt.splitlines(keepends=True) or [""]
    if len(parts) == 1:
        return repr(prompt)
    return "(\n" + "\n".join(f"        {part!r}" for part in parts) + "\n    )"


def _with_files(run: RunRecord, folder: Path) -> Item:
    """Name the files that a run was made from; one that is gone is named all the same, for the error to name it."""
    # Another service has its own name of a medium in the request, and may not take files.
    is_other = package_of_service(run.provider) is not None
    return with_files(run.request, run.inputs, lambda name: relative_path(folder / name), only_hashed=is_other)


def _without_delivery(task: Mapping[str, Any]) -> Item:
    return {
        name: value
        for name, value in task.items()
        if name not in DELIVERY
        and not (isinstance(value, str) and REDACTED in value)
        and not (name == "includeUsage" and value is True)  # the client asks for it with each text
    }


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
