"""Refusing a request the way the service does: one error object, naming the parameter."""

from __future__ import annotations

import json
import uuid
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from .behaviour import Behaviour
from .models import MODELS, Model, find
from .schemas import request_schema, utility_schema

__all__ = ["Refused", "check_task", "check_utility", "check_uuid", "model_of"]

_LONG = 300


class Refused(Exception):
    """A task that is not accepted.

    Attributes:
        status: HTTP status.
        error: The error object, less its scope.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **more}


def check_uuid(task: dict[str, Any]) -> str:
    """Give the task's UUID.

    Raises:
        Refused: It is missing or no UUID.
    """
    value = task.get("taskUUID")
    if not isinstance(value, str):
        raise Refused("missingTaskUUID", "Missing value for 'taskUUID' parameter.", parameter="taskUUID")
    try:
        uuid.UUID(value)
    except ValueError:
        message = "Invalid value for 'taskUUID' parameter. It must be a UUID v4."
        raise Refused("invalidTaskUUID", message, parameter="taskUUID") from None
    return value


def model_of(task: dict[str, Any], kind: str) -> Model:
    """Find the model a normalised task names.

    Raises:
        Refused: It names none, or one of another kind.
    """
    name = task.get("model")
    if name is None:
        raise Refused("missingModel", "Missing value for 'model' parameter.", parameter="model")
    model = find(name)
    if model is None:
        raise Refused(
            "invalidModel",
            f"Invalid value for 'model' parameter. {name!s:.80} is not a model of this service.",
            parameter="model",
            allowedValues=sorted(air for air, each in MODELS.items() if each.task_type == kind),
            documentation="https://runware.ai/docs/models",
        )
    if model.task_type != kind:
        message = f"Model {model.air} does '{model.task_type}', not '{kind}'."
        raise Refused("unsupportedTaskType", message, parameter="taskType", allowedValues=[model.task_type])
    return model


def check_task(task: dict[str, Any], model: Model, behaviour: Behaviour) -> None:
    """Check a normalised task against its model's schema.

    Raises:
        Refused: The first thing wrong with it.
    """
    strict = {"by_model": model.is_strict, "refuse": True, "ignore": False}[behaviour.unknown_parameters]
    shape = {name: _shape(name, value) for name, value in task.items()}
    try:
        text = json.dumps(shape)
        refused = _first_error(model.air, strict, text)
    except (TypeError, ValueError, RecursionError):
        raise Refused("invalidRequest", "The request is not plain JSON.") from None
    if refused is not None:
        raise Refused(**refused)


def check_utility(task: dict[str, Any], task_type: str) -> None:
    """Check a utility's parameters.

    Raises:
        Refused: The first thing wrong with them.
    """
    error = best_match(_utility_validator(task_type).iter_errors(task))
    if error is not None:
        raise Refused(**_refusal(error, task_type))


def _shape(name: str, value: Any) -> Any:
    """Reduce a value to what decides whether it is valid, so that a stress test does not measure a validator."""
    if isinstance(value, str) and (len(value) > _LONG or name == "positivePrompt"):
        return "x" * min(len(value), 3001)
    if name == "taskUUID":
        return ""
    if name == "seed" and type(value) is int and 0 <= value <= 9223372036854775807:
        return 0
    if name == "inputs":
        return _shorten(value)
    return value


def _shorten(value: Any) -> Any:
    if isinstance(value, str):
        return value[:1]
    if isinstance(value, dict):
        return {name: _shorten(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shorten(inner) for inner in value]
    return value


@lru_cache(maxsize=4096)
def _first_error(air: str, strict: bool, shape: str) -> dict[str, Any] | None:
    errors = sorted(_validator(air, strict).iter_errors(json.loads(shape)),
                    key=lambda error: (error.validator != "required", str(error.path)))  # fmt: skip
    return _refusal(errors[0], MODELS[air].slug) if errors else None


@lru_cache
def _validator(air: str, strict: bool) -> Draft202012Validator:
    return Draft202012Validator(request_schema(air, strict=strict))


@lru_cache
def _utility_validator(task_type: str) -> Draft202012Validator:
    return Draft202012Validator(utility_schema(task_type))


def _refusal(error: ValidationError, slug: str) -> dict[str, Any]:
    rule, schema = str(error.validator), error.schema
    assert isinstance(schema, dict)
    parents = ".".join(str(part) for part in error.absolute_path)
    more: dict[str, Any] = {}
    if rule in {"required", "dependentRequired"}:
        parameter = _joined(parents, error.message.split("'")[1])
        code = f"missing{_title(parameter.rpartition('.')[2])}"
        message = f"Missing value for '{parameter}' parameter."
    elif rule == "additionalProperties":
        parameter = _joined(parents, error.message.rpartition("(")[2].split("'")[1])
        code, message = "unsupportedParameter", f"Unsupported use of '{parameter}' parameter for this model."
    elif rule == "oneOf" and not parents:
        parameter, code = "width", "invalidWidth"
        pairs = [choice["title"] for choice in schema["oneOf"]]
        message = f"Invalid value for 'width' and 'height' parameters. The pair must be one of: {', '.join(pairs)}."
        more["allowedValues"] = pairs
    else:
        parameter = parents or "request"
        code = f"invalid{_title(parameter.split('.')[0])}"
        if parameter == "positivePrompt" and rule in {"minLength", "maxLength"}:
            code += "Length"
        message = f"Invalid value for '{parameter}' parameter. {_wanted(schema)}"
        if rule == "type":
            more["type"] = schema["type"]
        if rule == "oneOf":
            more["allowedValues"] = [choice["const"] for choice in schema["oneOf"]]
    more["documentation"] = f"https://runware.ai/docs/models/{slug}#request-{parameter.lower().replace('.', '-')}"
    return {"code": code, "message": message, "parameter": parameter, **more}


def _joined(parents: str, name: str) -> str:
    return f"{parents}.{name}" if parents else name


def _title(parameter: str) -> str:
    return parameter[:1].upper() + parameter[1:]


def _wanted(schema: Any) -> str:
    if "oneOf" in schema:
        return f"It must be one of: {', '.join(str(choice['const']) for choice in schema['oneOf'])}."
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and high is not None:
        of = f" and a multiple of {step}" if step else ""
        return f"It must be {'an integer' if schema['type'] == 'integer' else 'a number'} between {low} and {high}{of}."
    if "minLength" in schema and "maxLength" in schema:
        return f"It must be {schema['minLength']} to {schema['maxLength']} characters."
    return f"It must be of type {schema.get('type')}." if schema.get("type") else "It is not valid."
