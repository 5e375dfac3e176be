"""Checking a task before it is sent: the sentence says what to change."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....core.air import parse_air
from ....errors import TaskInvalid
from ....forking import block_fork
from ....remedies import Remedy, command
from ....reprs import short_repr
from ..tasks import current_task_type, is_utility
from .models import Model, find_model, nearest_names
from .placing import place_media
from .reading import compile_schema

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

__all__ = ["Rulebook", "check_task", "find_pairs", "rulebook_of"]

_LARGEST_SIDE_PX = 100_000
_LARGEST_STEPPED = 2**64
_UNITS = {"width": " px", "height": " px", "duration": " s", "ttl": " s"}
_MOST_COMPARED = 500
"""Of a longer list of allowed values, these are compared with a refused one."""
_TWO_SPELLINGS = {"puLID": "pulid"}
"""Fields of the documentation that schemas spell otherwise. The service accepts the documentation's (reference 5.2)."""
_OURS = {"taskType", "taskUUID", "deliveryMethod"}  # put in by the client, after the check


@short_repr()
@dataclass(frozen=True, eq=False)
class Rulebook:
    """What one model takes: a schema and where to read about it.

    Attributes:
        air: The model.
        schema: Its request schema.
        documentation: Address of its documentation.
        task_type: The kind of task it does; empty where not known.
    """

    air: str
    schema: Mapping[str, Any]
    documentation: str
    task_type: str = ""

    @property
    def validator(self) -> Draft202012Validator:
        """The compiled schema, compiled on first use.

        Not a `functools.cached_property`: on Python 3.11 that has one lock for all instances, and a child that is
        forked while another thread compiles would wait for this lock permanently. Two threads may both compile.
        """
        compiled: Draft202012Validator | None = self.__dict__.get("_validator")
        if compiled is None:
            with block_fork():  # the first use imports the library, and the child cannot take a lock of that import
                required = [name for name in self.schema.get("required", ()) if name not in _OURS]
                compiled = compile_schema({**self.schema, "required": required})
                self.__dict__["_validator"] = compiled
        return compiled

    @property
    def names(self) -> list[str]:
        """Every parameter it takes."""
        return list(self.schema.get("properties", {}))


_bundled: dict[Model, Rulebook] = {}


def rulebook_of(model: Model) -> Rulebook:
    """Give the snapshot's rules for a model."""
    if model not in _bundled:
        _bundled[model] = Rulebook(model.air, model.request_schema(), model.documentation, model.task_type)
    return _bundled[model]


def check_task(task: Mapping[str, Any], *, rules: Rulebook | None = None) -> list[str]:
    """Check a task against its model's schema.

    Args:
        task: In wire spelling.
        rules: The model's rules, fresh from the schema service; the snapshot's where None.

    Returns:
        Warnings, a sentence each, about what is not known here: it can still be sent.

    Raises:
        TaskInvalid: The service would refuse it; the message names the parameter, the value, what is
            allowed and the nearest good value.
    """
    task_type = str(task.get("taskType", ""))
    if is_utility(task_type) or task_type != current_task_type(task_type):
        return []
    _check_prompt(task)
    name = task.get("model")
    if rules is None:
        model = find_model(str(name or ""))
        if model is None:
            return _without_rules(task_type, name)
        rules = rulebook_of(model)
    if rules.task_type and rules.task_type != task_type:
        raise TaskInvalid(f"{rules.air} does {rules.task_type}, not {task_type}", parameter="model",
                          documentation=rules.documentation)  # fmt: skip
    placed = place_media(task, schema=rules.schema)
    warnings = []
    for error in sorted(_errors(placed, rules), key=lambda error: _importance(error, list(placed))):
        if error.kind.name == "additionalProperties":
            warnings += _unknown(error, rules)
        else:
            raise _refusal(error, rules)
    return warnings


def _errors(task: Mapping[str, Any], rules: Rulebook) -> list[ValidationError]:
    """List the errors of a task.

    Raises:
        TaskInvalid: The task is too deep, or contains text that is not Unicode: it cannot be sent as JSON either.
    """
    try:
        return list(rules.validator.iter_errors(task))
    except (ValueError, RecursionError) as error:
        reason = "it contains text that is not Unicode" if isinstance(error, UnicodeError) else "it is too deep"
        raise TaskInvalid(f"The request cannot be sent: {reason}. Nothing was sent.") from error


def _without_rules(task_type: str, name: Any) -> list[str]:
    if name is None:
        if task_type == "imageInference":
            raise TaskInvalid("model is missing; write its AIR identifier, such as runware:101@1", parameter="model")
        return []  # some operations have a default of the service's own
    if parse_air(str(name)) is None:
        raise _unknown_name(str(name))
    return [f"model {name} is not in the bundled catalogue, so its parameters are not checked"]


def _unknown_name(name: str) -> TaskInvalid:
    near = nearest_names(name)
    hint = f"did you mean {near[0]}?" if near else "write its AIR identifier, such as runware:101@1."
    error = TaskInvalid(f"No model is called {name!r}; {hint}", parameter="model", allowed_values=near)
    return error.with_remedy(Remedy("{0} searches models.", (command("models", name or "flux"),)))


def _check_prompt(task: Mapping[str, Any]) -> None:
    for name in ("positivePrompt", "prompt"):
        prompt = task.get(name)
        if isinstance(prompt, str) and not prompt.strip():
            raise TaskInvalid("the prompt is empty: write what to draw", parameter=name)


def _importance(error: ValidationError, names: list[str]) -> tuple[int, int]:
    """Missing parameters first, then wrong kinds, then wrong values, each in the order of the request."""
    order = {"required": 0, "type": 1}
    first = error.instance_path[0] if error.instance_path else None
    return order.get(error.kind.name, 2), names.index(str(first)) if first in names else -1


def _unknown(error: ValidationError, rules: Rulebook) -> list[str]:
    where = ".".join(str(part) for part in error.instance_path)
    known = list(_schema_at(error.instance_path, rules).get("properties", {}))
    sentences = []
    for name in error.kind.as_dict()["unexpected"]:
        if _TWO_SPELLINGS.get(name) in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        shown = f"{where}.{name}" if where else name
        sentences.append(f"{rules.air} is not known to take {shown}; it is sent all the same{hint}")
    return sentences


def _refusal(error: ValidationError, rules: Rulebook) -> TaskInvalid:
    rule, details = error.kind.name, error.kind.as_dict()
    where = ".".join(str(part) for part in error.instance_path)
    if rule == "required":
        name = f"{where}.{details['property']}" if where else str(details["property"])
        return _invalid(f"{name} is missing; {rules.air} needs it", name, rules)
    # A field of an object has an option of its own; an entry of a list has none, and is corrected as a whole.
    is_field = all(isinstance(part, str) for part in error.instance_path)
    where = where or "request"
    name = where if is_field else str(error.instance_path[0])
    schema = _schema_at(error.instance_path, rules)
    value = _shown(error.instance)
    said = f"{where}={value}{_UNITS.get(where, '')} refused by {rules.air}"
    if rule in {"anyOf", "oneOf"} and where == "request":
        return _wrong_pair(error.instance, rules)
    if rule in {"enum", "const"}:
        allowed = list(details["options"]) if "options" in details else [details["expected_value"]]
        allowed = allowed[:_MOST_COMPARED]
        near = difflib.get_close_matches(str(error.instance)[:100], [str(each) for each in allowed], n=1, cutoff=0.4)
        hint = f"nearest: {near[0]}" if near else "allowed: " + ", ".join(str(each) for each in allowed[:8])
        return _invalid(f"{said}; {hint}", name, rules, allowed)
    if rule in {"minimum", "maximum", "multipleOf"} and isinstance(error.instance, int | float):
        good = _nearest(error.instance, schema)
        return _invalid(f"{said}; nearest accepted: {' or '.join(_shown(each) for each in good)}{_range(schema)}",
                        name, rules, good)  # fmt: skip
    if rule in {"minLength", "maxLength"}:
        size = len(str(error.instance))
        return _invalid(
            f"{where} of {size} characters refused by {rules.air}; "
            f"it takes {schema.get('minLength', 0)} to {schema.get('maxLength', 'any number of')}",
            name, rules,
        )  # fmt: skip
    if rule == "type":
        return _invalid(f"{said}; it takes {_kind(schema)}", name, rules)
    return _invalid(f"{said}: {error.message[:200]}", name, rules)


def _wrong_pair(task: Any, rules: Rulebook) -> TaskInvalid:
    """Name the pair of width and height that is nearest in area and shape."""
    pairs = find_pairs(rules.schema)
    width, height = task.get("width"), task.get("height")
    if not pairs or not isinstance(width, int) or not isinstance(height, int) or width <= 0 or height <= 0:
        return _invalid(f"{rules.air} does not take these parameters together", "request", rules)

    def distance(pair: tuple[int, int]) -> float:
        shape = abs(math.log(pair[0] / pair[1] * height / width))
        return shape * 2 + abs(math.log(pair[0] * pair[1] / (width * height)))

    near = sorted(pairs, key=distance)[:3]
    shown = " or ".join(f"{one}x{other}" for one, other in near[:1])
    others = ", ".join(f"{one}x{other}" for one, other in pairs[:10])
    return _invalid(f"size={width}x{height} px refused by {rules.air}; nearest accepted: {shown} (it takes {others})",
                    "width", rules, [f"{one}x{other}" for one, other in near])  # fmt: skip


def find_pairs(schema: Any) -> list[tuple[int, int]]:
    """Find every pair of width and height that a schema lists, wherever it lists them."""
    found: list[tuple[int, int]] = []
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            pair = [properties.get(side, {}).get("const") for side in ("width", "height")
                    if isinstance(properties.get(side), Mapping)]  # fmt: skip
            if len(pair) == 2 and all(type(side) is int and 0 < side <= _LARGEST_SIDE_PX for side in pair):
                return [(pair[0], pair[1])]
        for value in schema.values():
            found += find_pairs(value)
    elif isinstance(schema, list):
        for value in schema:
            found += find_pairs(value)
    return found


def _invalid(message: str, name: str, rules: Rulebook, allowed: Sequence[Any] = ()) -> TaskInvalid:
    link = f"{rules.documentation}#request-{name.lower().replace('.', '-')}"
    return TaskInvalid(message, parameter=name, allowed_values=allowed, documentation=link)


def _schema_at(path: Sequence[Any], rules: Rulebook) -> Mapping[str, Any]:
    schema: Any = rules.schema
    for part in path:
        inner = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        schema = inner if isinstance(inner, Mapping) else {}
    return schema  # type: ignore[no-any-return]


def _nearest(value: float, schema: Mapping[str, Any]) -> list[int | float]:
    """Give the one or two accepted values next to a refused one."""
    low, high, step = (
        schema.get("minimum", -math.inf),
        schema.get("maximum", math.inf),
        schema.get("multipleOf"),
    )
    if step and abs(value) <= _LARGEST_STEPPED:
        first = math.ceil(low / step) * step if low > -math.inf else -math.inf
        last = math.floor(high / step) * step if high < math.inf else math.inf
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
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(names.get(str(kind), "something else") for kind in listed)


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _LARGEST_STEPPED:
        return f"a number of {math.ceil(value.bit_length() * math.log10(2))} digits"
    text = f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
