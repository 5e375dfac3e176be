"""How Runware calls the operations of `core/operations.py`: task types, older names, and names of fields.

Source:
    Runware reference 5.0 (task types), 5.1 (formats, numbers of results, delivery) and the section of each task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ...core.operations import OPERATIONS, Operation, operation_of
from ...reprs import short_repr

__all__ = [
    "BINDINGS",
    "UTILITIES",
    "WIRE_NAMES",
    "Binding",
    "binding_of",
    "flags_by_field",
    "is_long_running",
    "operation_of_task",
    "task_types_by_name",
    "wire_name",
]

WIRE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "positive_prompt": "positivePrompt",
        "negative_prompt": "negativePrompt",
        "model": "model",
        "width": "width",
        "height": "height",
        "number_results": "numberResults",
        "seed": "seed",
        "steps": "steps",
        "cfg_scale": "CFGScale",
        "scheduler": "scheduler",
        "loras": "lora",
        "strength": "strength",
        "output_format": "outputFormat",
        "output_type": "outputType",
        "output_quality": "outputQuality",
        "acceleration": "acceleration",
        "delivery_method": "deliveryMethod",
        "ttl_s": "ttl",
    }
)
"""Our names for the service's."""

UTILITIES = frozenset(
    {
        "authentication", "ping", "getResponse", "getTaskDetails", "modelSearch", "modelUpload",
        "imageUpload", "mediaStorage", "accountManagement",
    }
)  # fmt: skip
"""Task types that are not operations: they generate nothing and cost nothing."""

_IMAGE_FORMATS = ("JPG", "PNG", "WEBP")
_QUALITY = frozenset({"outputQuality"})
_SAFETY = frozenset({"checkNSFW", "safety", "advancedFeatures", "watermark"})


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """An operation in Runware's words.

    Attributes:
        operation: The name of the operation.
        task_type: The task type of today.
        older_names: Task types that the service still accepts for it.
        fields: Fields of parameters and inputs by their names in Python, where `WIRE_NAMES` and capitals in place of
            underscores do not give them.
        formats: Values of `outputFormat`, the default first, where a model does not state its own.
        most_results: The largest `numberResults`; None if the operation has no such field.
        count_field: The field with the number of results.
        common: Fields that each model of this task type accepts, in addition to those of all task types.
        is_url_only: Whether results are delivered as URLs only.
        can_stream: Whether results may be streamed.
    """

    operation: str
    task_type: str
    older_names: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    most_results: int | None = None
    count_field: str = "numberResults"
    common: frozenset[str] = frozenset()
    is_url_only: bool = False
    can_stream: bool = False


BINDINGS: tuple[Binding, ...] = (
    Binding(operation="text-to-image", task_type="imageInference", older_names=("photoMaker",), formats=_IMAGE_FORMATS,
            most_results=20, common=_QUALITY | _SAFETY),
    Binding(operation="upscale", task_type="upscale", older_names=("imageUpscale",), formats=_IMAGE_FORMATS,
            common=_QUALITY),
    Binding(operation="remove-background", task_type="removeBackground", older_names=("imageBackgroundRemoval",),
            formats=_IMAGE_FORMATS, common=_QUALITY),
    Binding(operation="caption", task_type="caption", older_names=("imageCaption",)),
    Binding(operation="mask", task_type="imageMasking", formats=_IMAGE_FORMATS),
    Binding(operation="controlnet", task_type="controlNetPreprocess", older_names=("imageControlNetPreProcess",),
            formats=_IMAGE_FORMATS),
    Binding(operation="enhance", task_type="promptEnhance", count_field="promptVersions"),
    Binding(operation="vectorize", task_type="vectorize", formats=("SVG",)),
    Binding(operation="video", task_type="videoInference", formats=("MP4", "WEBM", "MOV"), most_results=4,
            common=_SAFETY, is_url_only=True),
    Binding(operation="audio", task_type="audioInference", formats=("MP3", "WAV", "FLAC", "OGG"), most_results=4),
    Binding(operation="text", task_type="textInference", formats=("TEXT", "JSON"), most_results=4, can_stream=True),
    Binding(operation="3d", task_type="3dInference", formats=("GLB",), most_results=4, is_url_only=True),
    Binding(operation="training", task_type="training"),
    Binding(operation="tools", task_type="tools", is_url_only=True),
)  # fmt: skip
"""One binding for each operation."""


def _by_task_type(bindings: Iterable[Binding]) -> Mapping[str, Binding]:
    return MappingProxyType(
        {name: binding for binding in bindings for name in (binding.task_type, *binding.older_names)}
    )


_BY_TASK_TYPE = _by_task_type(BINDINGS)
_OPERATIONS = MappingProxyType({name: operation_of(binding.operation) for name, binding in _BY_TASK_TYPE.items()})


def binding_of(task_type: str) -> Binding | None:
    """Return the binding of a task type, also of an older name; None for a utility, or one that is not known yet."""
    return _BY_TASK_TYPE.get(task_type)


def operation_of_task(task_type: str) -> Operation | None:
    """Return the operation of a task type, also of an older name; None for a utility, or one that is not known yet."""
    return _OPERATIONS.get(task_type)


def is_long_running(task_type: str) -> bool:
    """Return whether a task type takes minutes and costs accordingly; False for a utility or an unknown type."""
    operation = operation_of_task(task_type)
    return operation is not None and operation.long_running


def task_types_by_name() -> dict[str, str]:
    """Return the task type of each operation by the name that a user types, in the order of the table."""
    by_operation = {binding.operation: binding.task_type for binding in BINDINGS}
    return {operation.name: by_operation[operation.name] for operation in OPERATIONS}


def wire_name(name: str, operation: Operation | None = None) -> str:
    """Return the field of a parameter or an input by its name in Python: `mask_image` is `maskImage`.

    Args:
        name: In Python.
        operation: Whose field it is, if its binding may name it otherwise than all others do.
    """
    binding = next((one for one in BINDINGS if operation is not None and one.operation == operation.name), None)
    if binding is not None and name in binding.fields:
        return binding.fields[name]
    head, *rest = name.split("_")
    return WIRE_NAMES.get(name) or head + "".join(word.capitalize() for word in rest)


def flags_by_field(operation: Operation) -> dict[str, tuple[str, ...]]:
    """Return the options of an operation's parameters on a line, by field; a size stands for both sides."""
    flags: dict[str, tuple[str, ...]] = {}
    for option in operation.options:
        fields = ("width", "height") if option.kind == "size" else (wire_name(option.name, operation),)
        flags |= dict.fromkeys(fields, option.flags)
    return flags
