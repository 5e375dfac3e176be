"""Checking a task before it is sent: the sentence says what to change."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import TaskInvalid
from ..wire.air import parse_air
from .models import Model, find_model, nearest_names

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

__all__ = ["check_task"]

_UNITS = {"width": " px", "height": " px"}
_FLAGS = {"numberResults": "-n", "steps": "--steps", "CFGScale": "--cfg", "scheduler": "--scheduler"}


def check_task(task: Mapping[str, Any]) -> list[str]:
    """Check an `imageInference` against its model's schema.

    Args:
        task: In wire spelling.

    Returns:
        Warnings, a sentence each, about what the snapshot does not know: it can still be sent.

    Raises:
        TaskInvalid: The service would refuse it; the message names the parameter, the value, what is
            allowed and the nearest good value.
    """
    if task.get("taskType") != "imageInference":
        return []
    _check_prompt(task)
    name = str(task.get("model", ""))
    model = find_model(name)
    if model is None:
        if parse_air(name) is None:
            raise _unknown_name(name)
        return [f"model {name} is not in the bundled catalogue, so its parameters are not checked"]
    warnings = []
    for error in sorted(_validator(model).iter_errors(dict(task)), key=lambda each: _importance(each, list(task))):
        if error.kind.name == "additionalProperties":
            warnings += _unknown(error, model)
        else:
            raise _refusal(error, model)
    return warnings


def _unknown_name(name: str) -> TaskInvalid:
    near = nearest_names(name)
    hint = f"did you mean {near[0]}?" if near else "write its AIR identifier, such as runware:101@1"
    return TaskInvalid(
        f"no model is called {name!r}; {hint} (`%runware models {name or 'flux'}` searches)", parameter="model",
        allowed_values=near,
    )  # fmt: skip


def _check_prompt(task: Mapping[str, Any]) -> None:
    prompt = task.get("positivePrompt")
    if isinstance(prompt, str) and not prompt.strip():
        raise TaskInvalid("the prompt is empty: write what to draw", parameter="positivePrompt")


@cache
def _validator(model: Model) -> Draft202012Validator:
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(model.request_schema())


def _importance(error: ValidationError, names: list[str]) -> tuple[int, int]:
    """Missing parameters first, then wrong kinds, then wrong values, each in the order of the request."""
    order = {"required": 0, "type": 1}
    first = error.instance_path[0] if error.instance_path else None
    return order.get(error.kind.name, 2), names.index(str(first)) if first in names else -1


def _unknown(error: ValidationError, model: Model) -> list[str]:
    known = list(model.request_schema()["properties"])
    sentences = []
    for name in error.kind.as_dict()["unexpected"]:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sentences.append(f"{model.air} is not known to take {name}; it is sent all the same{hint}")
    return sentences


def _refusal(error: ValidationError, model: Model) -> TaskInvalid:
    rule, details = error.kind.name, error.kind.as_dict()
    if rule == "required":
        name = str(details["property"])
        return _invalid(f"{name} is missing; {model.air} needs it", name, model)
    name = str(error.instance_path[0]) if error.instance_path else "request"
    where = ".".join(str(part) for part in error.instance_path) or "request"
    schema = _schema_at(error.instance_path, model)
    value = _shown(error.instance)
    said = f"{where}={value}{_UNITS.get(where, '')} refused by {model.air}"
    if rule == "enum":
        allowed = list(details["options"]) if "options" in details else list(schema.get("enum", []))
        near = difflib.get_close_matches(str(error.instance), [str(each) for each in allowed], n=1, cutoff=0.4)
        hint = f"nearest: {near[0]}" if near else "allowed: " + ", ".join(str(each) for each in allowed[:8])
        return _invalid(f"{said}; {hint}", name, model, allowed)
    if rule in {"minimum", "maximum", "multipleOf"} and isinstance(error.instance, int | float):
        good = _nearest(error.instance, schema)
        return _invalid(f"{said}; nearest accepted: {' or '.join(_shown(each) for each in good)}{_range(schema)}",
                        name, model, good)  # fmt: skip
    if rule in {"minLength", "maxLength"}:
        size = len(str(error.instance))
        return _invalid(
            f"{where} of {size} characters refused by {model.air}; "
            f"it takes {schema.get('minLength', 0)} to {schema.get('maxLength', 'any number of')}",
            name, model,
        )  # fmt: skip
    if rule == "type":
        return _invalid(f"{said}; it takes {_kind(schema)}", name, model)
    return _invalid(f"{said}: {error.message[:200]}", name, model)


def _invalid(message: str, name: str, model: Model, allowed: Sequence[Any] = ()) -> TaskInvalid:
    link = f"{model.documentation}#request-{name.lower()}"
    return TaskInvalid(message, parameter=name, allowed_values=allowed, documentation=link)


def _schema_at(path: Sequence[Any], model: Model) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = model.request_schema()
    for part in path:
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    return schema


def _nearest(value: float, schema: Mapping[str, Any]) -> list[int | float]:
    """Give the one or two accepted values next to a refused one."""
    low, high, step = (
        schema.get("minimum", -math.inf),
        schema.get("maximum", math.inf),
        schema.get("multipleOf"),
    )
    if step:
        first, last = math.ceil(low / step) * step, math.floor(high / step) * step
        around = {min(max(math.floor(value / step) * step, first), last),
                  min(max(math.ceil(value / step) * step, first), last)}  # fmt: skip
        return sorted(around)
    return [min(max(value, low), high)]


def _range(schema: Mapping[str, Any]) -> str:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    of = f" in steps of {step}" if step else ""
    return f" ({_shown(low)} to {_shown(high)}{of})" if low is not None and high is not None else ""


def _kind(schema: Mapping[str, Any]) -> str:
    names = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false",
             "array": "a list", "object": "an object"}  # fmt: skip
    return names.get(str(schema.get("type")), "something else")


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
