"""From what a user submits to a task in our form, and from that to the body that is sent. No I/O.

In our form a task is `{"taskType": "runkey/run", "model": TEMPLATE, "input": {...}}`. Media of the input stand in
`assets`, where the engine looks for them, an integer seed stands at the top, where it is the seed of the run, and
`webhookURL` is left out of the hash of the request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Any

from ...core.items import Item
from ...core.plain_values import plain_task
from ...core.results import Result
from ...errors import TaskInvalid
from ..base import Plan, Task
from .protocol import check_webhook_url, encode_run

__all__ = ["TASK_TYPE", "body_of", "input_of", "is_reference", "plan_task"]

TASK_TYPE = "runkey/run"
_FIELDS = frozenset(
    {"taskType", "taskUUID", "model", "template_id", "input", "assets", "webhookURL", "webhook_url", "seed"}
)
_DEEPEST = 50


def plan_task(task: Task, *, as_is: bool = False) -> Plan:
    """Bring a task into our form, and check it.

    Args:
        task: In our form, or with the names of the service (`template_id`, `webhook_url`).
        as_is: Whether unknown fields are kept and the input is not changed.

    Raises:
        TaskInvalid: It cannot be sent.
    """
    given: Item = dict(task) if isinstance(task, Mapping) else dict(task.to_wire())
    template = given.pop("template_id", None) if given.get("model") is None else given["model"]
    given.pop("template_id", None)
    webhook = given.pop("webhook_url", None) or given.pop("webhookURL", None)
    given.pop("webhookURL", None)
    unknown = sorted(str(name) for name in given.keys() - _FIELDS)
    if unknown:
        raise TaskInvalid(
            f"Unknown field {unknown[0]!r:.60} of a RunKey task: expected model (the template id), input, assets, seed "
            "or webhookURL. What the template takes belongs into input. Nothing was sent.",
            parameter=unknown[0],
        )
    if given.get("taskType", TASK_TYPE) != TASK_TYPE:
        raise TaskInvalid(
            f"Invalid taskType {given['taskType']!r:.60}: RunKey has {TASK_TYPE!r} only. Nothing was sent.",
            parameter="taskType",
        )
    if not isinstance(template, str) or not template.strip():
        raise TaskInvalid(
            f"Invalid template id {template!r:.60}: expected text, such as tpl_abc123. Nothing was sent.",
            parameter="template_id",
        )
    own = given.get("input")
    if own is not None and not isinstance(own, Mapping):
        raise TaskInvalid(
            f"Invalid input: expected an object (a dict), not {type(own).__name__}. Nothing was sent.",
            parameter="input",
        )
    assets = given.get("assets")
    if assets is not None and not isinstance(assets, Mapping):
        raise TaskInvalid("Invalid assets: expected an object (a dict). Nothing was sent.", parameter="assets")
    planned: Item = {"taskType": TASK_TYPE, "model": str(template)}
    if given.get("taskUUID") is not None:
        planned["taskUUID"] = given["taskUUID"]
    plain: Item = {}
    media: Item = {}
    for name, value in (own or {}).items():
        if isinstance(value, Result) and value.medium is not None:
            media[str(name)] = value  # the engine knows it by its content, and notes where it came from
        else:
            plain[str(name)] = _plain(value, f"input.{name}")
    for name, value in (assets or {}).items():
        media[str(name)] = value.url if isinstance(value, Result) and value.medium is None and value.url else value
    twice = sorted(media.keys() & plain.keys())
    if twice:
        raise TaskInvalid(f"{twice[0]!r} is both in input and in assets. Nothing was sent.", parameter=twice[0])
    for name, value in media.items():
        check_medium(value, f"input.{name}")
    seed = given.get("seed")
    if seed is None and not as_is and type(plain.get("seed")) is int:
        seed = plain.pop("seed")
    planned["input"] = plain
    if media:
        planned["assets"] = media
    if seed is not None:
        planned["seed"] = _plain(seed, "seed")
    warnings: tuple[str, ...] = ()
    if webhook is not None:
        warning = check_webhook_url(str(webhook))
        planned["webhookURL"] = str(webhook)
        warnings = () if warning is None else (warning,)
    encode_run(planned["model"], input_of({**planned, "assets": {}}), planned.get("webhookURL"))
    return Plan(planned, warnings)


def input_of(task: Mapping[str, Any]) -> Item:
    """Return the input as it is sent, with media and seed in their places."""
    whole = {**task.get("input", {}), **task.get("assets", {})}
    if task.get("seed") is not None:
        whole["seed"] = task["seed"]
    return whole


def body_of(task: Mapping[str, Any]) -> bytes:
    """Return the body of `POST /run`.

    Raises:
        TaskInvalid: It cannot be sent as JSON, or is too large.
    """
    return encode_run(task["model"], input_of(task), task.get("webhookURL"))


def is_reference(text: str) -> bool:
    """Return whether a text names a medium that RunKey can fetch: a URL."""
    return text.startswith(("http://", "https://"))


def check_medium(value: Any, path: str) -> None:
    """Check that a medium can be sent: RunKey has no upload, so it must have a URL.

    Raises:
        TaskInvalid: It has none.
    """
    if (isinstance(value, str) and is_reference(value)) or (isinstance(value, Result) and value.url):
        return
    if isinstance(value, Result):
        raise TaskInvalid(
            f"Invalid {path}: this result has no URL, and RunKey has no upload. Nothing was sent. Pass the URL of a "
            "file that RunKey can fetch.", parameter=path,
        )  # fmt: skip
    raise no_upload(value, path)


def no_upload(value: Any, path: str) -> TaskInvalid:
    """Build the error of a file or an image in the input."""
    what = f"the text {value!r:.60}" if isinstance(value, str) else f"{_what(value)}"
    return TaskInvalid(
        f"Invalid {path}: expected the URL of a file, not {what}. RunKey has no upload: put the file where RunKey can "
        "fetch it, and pass its URL, or pass a result whose URL has not expired. Nothing was sent.", parameter=path,
    )  # fmt: skip


def _plain(value: Any, path: str, levels: int = _DEEPEST) -> Any:
    """Return a value as JSON has it. Scalars of numpy and pandas are converted; media are refused."""
    if levels == 0:
        raise TaskInvalid(f"Invalid {path:.60}: it is nested too deep. Nothing was sent.", parameter=path)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{path}.{name}", levels - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{path}[{number}]", levels - 1) for number, inner in enumerate(value)]
    if isinstance(value, Result):
        check_medium(value, path)
        return value.url
    if isinstance(value, bytes | bytearray | memoryview | PurePath) or _is_image(value):
        raise no_upload(value, path)
    if isinstance(value, date) and type(value).__name__ != "NaTType":
        return value.isoformat()  # of datetime and pandas' Timestamp, too
    if isinstance(value, float) and math.isinf(value):
        raise TaskInvalid(f"Invalid {path} {value}: expected a finite number. Nothing was sent.", parameter=path)
    # `text` is a name at which no medium may stand, so that everything but text and numbers is refused there
    try:
        return plain_task({"text": value})["text"]
    except TaskInvalid as error:
        message = error.problem.replace("Invalid text", f"Invalid {path}", 1).replace(
            "Leave text out", f"Leave {path} out"
        )
        raise TaskInvalid(message, parameter=path) from None


def _is_image(value: Any) -> bool:
    """Return whether a value is an image of PIL, or an array with as many dimensions as an image."""
    if hasattr(value, "save") and hasattr(value, "size") and hasattr(value, "mode"):
        return True
    shape = getattr(value, "shape", None)
    return hasattr(value, "dtype") and isinstance(shape, tuple) and len(shape) >= 2


def _what(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    if isinstance(value, PurePath):
        return f"the path {str(value)!r:.60}"
    return "an image" if _is_image(value) else f"a {type(value).__name__}"
