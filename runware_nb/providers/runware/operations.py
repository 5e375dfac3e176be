"""How Runware calls the operations of `core/operations.py`: task types, older names, and names of fields.

Source:
    Runware reference 5.0 (task types), 5.1 (formats, numbers of results, delivery) and the section of each task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ...core.operations import OPERATIONS, Operation, Option, operation_of
from ...reprs import short_repr

__all__ = [
    "BINDINGS",
    "UTILITIES",
    "WIRE_NAMES",
    "Binding",
    "binding_for",
    "binding_of",
    "flags_by_field",
    "has_binding",
    "is_long_running",
    "operation_label",
    "operation_name",
    "operation_of_task",
    "option_fields",
    "option_of_field",
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
        "prompt_weighting": "promptWeighting",
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
            underscores do not give them. A dot leads into an object, as in `settings.confidence`.
        models: How the model is called that an option stands for, by the name of the option: `mask-{}` and the value.
        frames: Values of `frame` by the names of the inputs that are frames of a video.
        message: The option whose text is the message of the user.
        count_field: The field with the number of results.
        common: Fields that each model of this task type accepts, in addition to those of all task types.
        is_url_only: Whether results are delivered as URLs only.
        can_stream: Whether results may be streamed.
        composed: Options without a field of their own: `session/text_requests.py` turns them into other fields.
    """

    operation: str
    task_type: str
    older_names: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    frames: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    count_field: str = "numberResults"
    common: frozenset[str] = frozenset()
    is_url_only: bool = False
    can_stream: bool = False
    composed: frozenset[str] = frozenset()


def _inside(name: str, *options: str, **others: str) -> dict[str, str]:
    """Return the fields of options whose values are inside the object *name*."""
    return {option: f"{name}.{_in_capitals(option)}" for option in options} | {
        option: f"{name}.{field_name}" for option, field_name in others.items()
    }


def _in_capitals(name: str) -> str:
    head, *rest = name.split("_")
    return WIRE_NAMES.get(name) or head + "".join(word.capitalize() for word in rest)


_PROMPT = {"prompt": "positivePrompt"}
_SPEECH = {"speech_text": "speech.text", "speech_voice": "speech.voice"}

BINDINGS: tuple[Binding, ...] = (
    Binding(operation="text-to-image", task_type="imageInference", older_names=("photoMaker",),
            common=_QUALITY | _SAFETY,
            fields={**_PROMPT, "control": "controlNet", "ip_adapters": "ipAdapters", "pulid": "puLID",
                    "photomaker": "photoMaker.images", "photomaker_style": "photoMaker.style",
                    "photomaker_strength": "photoMaker.strength", "transparent": "layerDiffuse",
                    "safety": "safety.checkContent"}),
    Binding(operation="upscale", task_type="upscale", older_names=("imageUpscale",), common=_QUALITY,
            fields={"factor": "upscaleFactor",
                    **_inside("settings", "negative_prompt", "strength", "control_net_weight", "steps", "scheduler",
                              "seed", "cfg_scale", "clip_skip", prompt="positivePrompt")}),
    Binding(operation="remove-background", task_type="removeBackground", older_names=("imageBackgroundRemoval",),
            common=_QUALITY,
            fields=_inside("settings", "rgba", "return_only_mask", "post_process_mask", "alpha_matting",
                           "alpha_matting_foreground_threshold", "alpha_matting_background_threshold",
                           "alpha_matting_erode_size")),
    Binding(operation="caption", task_type="caption", older_names=("imageCaption",)),
    Binding(operation="mask", task_type="imageMasking", models={"detector": "mask-{}"},
            fields=_inside("settings", "confidence", "max_detections", "mask_padding", "mask_blur")),
    Binding(operation="controlnet", task_type="controlNetPreprocess", older_names=("imageControlNetPreProcess",),
            models={"preprocessor": "{}"},
            fields=_inside("settings", "width", "height", "low_threshold_canny", "high_threshold_canny",
                           "include_hands_and_face_open_pose")),
    Binding(operation="enhance", task_type="promptEnhance", count_field="promptVersions",
            fields={"max_length": "promptMaxLength", "versions": "promptVersions"}),
    Binding(operation="vectorize", task_type="vectorize", fields=_PROMPT),
    Binding(operation="video", task_type="videoInference", common=_SAFETY, is_url_only=True,
            fields=_SPEECH | _PROMPT,
            frames={"first_frame": "first", "last_frame": "last"}),
    Binding(operation="audio", task_type="audioInference",
            fields=_SPEECH | _PROMPT | _inside("audioSettings", "sample_rate", "bitrate", "channels")),
    Binding(operation="text", task_type="textInference", can_stream=True, message="prompt",
            composed=frozenset({"continue_from", "schema", "stream"}),
            fields=_inside("settings", "system_prompt", "max_tokens", "temperature", "top_p", "top_k")),
    Binding(operation="3d", task_type="3dInference", is_url_only=True, fields=_PROMPT),
    Binding(operation="training", task_type="training",
            fields=_inside("importModel", "name", "version", "air", "private", identifier="uniqueIdentifier",
                           description="shortDescription")),
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


def binding_for(operation: Operation) -> Binding:
    """Return the binding of an operation.

    Raises:
        KeyError: There is none.
    """
    for binding in BINDINGS:
        if binding.operation == operation.name:
            return binding
    raise KeyError(operation.name)


def has_binding(operation: Operation) -> bool:
    """Return whether Runware performs an operation."""
    return any(binding.operation == operation.name for binding in BINDINGS)


def operation_of_task(task_type: str) -> Operation | None:
    """Return the operation of a task type, also of an older name; None for a utility, or one that is not known yet."""
    return _OPERATIONS.get(task_type)


def operation_name(task_type: str) -> str | None:
    """Return the name of the operation of a task type; None for a utility, or a task type that is not known yet."""
    operation = operation_of_task(task_type)
    return None if operation is None else operation.name


def operation_label(task_type: str) -> str:
    """Return what users read as the operation of a task type: the name of its command, and `image` for a cell."""
    operation = operation_of_task(task_type)
    if operation is None:
        return task_type
    return "image" if operation.name == "text-to-image" else operation.name


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
    if operation is not None and name in (fields := binding_for(operation).fields):
        return fields[name]
    return _in_capitals(name)


def option_fields(option: Option, operation: Operation) -> tuple[str, ...]:
    """Return the fields that an option fills, with dots into objects; none if it has no field of its own."""
    binding = binding_for(operation)
    if option.name in binding.models or option.name in binding.composed:
        return ()
    if option.name == binding.message:
        return ("messages",)
    return ("width", "height") if option.kind == "size" else (wire_name(option.name, operation),)


def flags_by_field(operation: Operation) -> dict[str, tuple[str, ...]]:
    """Return the options of an operation's parameters on a line, by field; see `option_fields`."""
    flags: dict[str, tuple[str, ...]] = {}
    for option in operation.options:
        flags |= dict.fromkeys(option_fields(option, operation), option.flags)
    return flags


def option_of_field(field: str | None) -> str | None:
    """Return the option that sets a field in all operations that have one for it; None if there is no such option."""
    tables = [flags_by_field(operation) for operation in OPERATIONS]
    flags = {table[field][-1] for table in tables if field in table}
    return flags.pop() if len(flags) == 1 else None
