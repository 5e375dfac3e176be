"""Refusing a request the way the service does: one error object, naming the parameter."""

from __future__ import annotations

import json
import uuid
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from .models import MODELS, request_schema

__all__ = ["Refused", "check_image_task", "check_uuid"]


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


def check_image_task(task: dict[str, Any]) -> str:
    """Check an imageInference against its model's schema and give the model's AIR.

    Raises:
        Refused: The first thing wrong with it.
    """
    name = task.get("model", task.get("modelId"))
    if name is None:
        raise Refused("missingModel", "Missing value for 'model' parameter.", parameter="model")
    air = next((model.air for model in MODELS.values() if name in {model.air, model.slug}), None)
    if air is None:
        raise Refused(
            "invalidModel",
            f"Invalid value for 'model' parameter. {name!s:.80} is not a model of this service.",
            parameter="model",
            allowedValues=sorted(MODELS),
            documentation="https://runware.ai/docs/models",
        )
    prompt = task.get("positivePrompt")
    varying = {"taskUUID": "", "seed": task.get("seed", 0) if not _plain_seed(task) else 0}
    shape = {
        **task,
        **varying,
        "positivePrompt": "x" * min(len(prompt), 3001) if isinstance(prompt, str) else prompt,
    }
    try:
        refused = _first_error(air, json.dumps(shape, sort_keys=True))
    except (TypeError, ValueError):
        raise Refused("invalidRequest", "The request is not plain JSON.") from None
    if refused is not None:
        raise refused
    return air


def _plain_seed(task: dict[str, Any]) -> bool:
    seed = task.get("seed")
    return type(seed) is int and 0 <= seed <= 9223372036854775807


@lru_cache(maxsize=4096)
def _first_error(air: str, shape: str) -> Refused | None:
    """Validate, remembering requests of the same shape: a stress test must not measure a validator."""
    validator = _validator(air)
    task = json.loads(shape)
    errors = sorted(validator.iter_errors(task), key=lambda error: (error.validator != "required", str(error.path)))
    return _refusal(errors[0], MODELS[air].slug) if errors else None


@lru_cache
def _validator(air: str) -> Draft202012Validator:
    return Draft202012Validator(request_schema(air))


def _refusal(error: ValidationError, slug: str) -> Refused:
    rule = str(error.validator)
    if rule in {"required", "dependentRequired"}:
        parameter = error.message.split("'")[1]
        code, message = f"missing{_title(parameter)}", f"Missing value for '{parameter}' parameter."
    elif rule == "additionalProperties":
        parameter = error.message.rpartition("(")[2].split("'")[1]
        code, message = "unsupportedParameter", f"Unsupported use of '{parameter}' parameter for this model."
    else:
        parameter = ".".join(str(part) for part in error.absolute_path) or "request"
        code = f"invalid{_title(parameter.split('.')[0])}"
        if parameter == "positivePrompt" and rule in {"minLength", "maxLength"}:
            code += "Length"
        message = f"Invalid value for '{parameter}' parameter. {_wanted(error.schema)}"
    more: dict[str, Any] = {"parameter": parameter}
    schema = error.schema if isinstance(error.schema, dict) else {}
    if rule == "type":
        more["type"] = schema.get("type")
    if rule == "oneOf":
        more["allowedValues"] = [choice["const"] for choice in schema["oneOf"]]
    more["documentation"] = f"https://runware.ai/docs/models/{slug}#request-{parameter.lower().replace('.', '-')}"
    return Refused(code, message, **more)


def _title(parameter: str) -> str:
    return parameter[:1].upper() + parameter[1:]


def _wanted(schema: Any) -> str:
    if "oneOf" in schema:
        return f"It must be one of: {', '.join(str(choice['const']) for choice in schema['oneOf'])}."
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and high is not None:
        of = f" and a multiple of {step}" if step else ""
        return f"It must be {'an integer' if schema['type'] == 'integer' else 'a number'} between {low} and {high}{of}."
    if "minLength" in schema:
        return f"It must be {schema['minLength']} to {schema['maxLength']} characters."
    return f"It must be of type {schema.get('type')}." if schema.get("type") else "It is not valid."
