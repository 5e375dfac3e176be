"""Tasks: what is asked for, in Python spelling and on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ...core.items import Item
from ...core.operations import Operation, Option
from ...core.option_values import LoRA, parse_loras, parse_size
from ...core.parsing import is_uuid
from ...core.plain_values import plain_task
from ...errors import TaskInvalid
from ...reprs import short_repr
from .operations import UTILITIES, WIRE_NAMES, binding_for, binding_of, operation_of_task, wire_name

__all__ = [
    "WIRE_NAMES",
    "ImageTask",
    "LoRA",
    "Task",
    "as_wire",
    "can_stream",
    "current_task_type",
    "earlier_turns",
    "expected_results",
    "is_utility",
    "is_uuid",
    "message_text",
    "prepare",
    "prompt_of",
    "request_of",
    "require_streamable",
    "values_of",
]


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTask:
    """One `imageInference`, in our spelling.

    Attributes:
        positive_prompt: What to draw.
        model: AIR identifier or slug.
        width: Pixels.
        height: Pixels.
        number_results: How many images, 1 to 20.
        negative_prompt: What to avoid.
        seed: First seed; a batch uses consecutive ones.
        steps: Denoising steps.
        cfg_scale: How closely to follow the prompt; dimensionless.
        scheduler: Name of the sampler.
        loras: Adaptations to apply.
        output_format: JPG, PNG or WEBP.
        output_type: URL, base64Data or dataURI.
        output_quality: 20 to 99, of lossy formats.
        acceleration: none, low, medium or high.
        prompt_weighting: True to apply weights such as `(red:1.3)` in the notation of the model; `compel` or `sdEmbeds`
            for a prompt that is written in this notation.
        delivery_method: sync or async; None leaves it to the client.
        ttl_s: Seconds that the service keeps the file, at least 60.
        extra: Any other parameter, in wire spelling.

    Source:
        Runware reference 5.1 and 5.2.
    """

    positive_prompt: str
    model: str
    width: int | None = None
    height: int | None = None
    number_results: int = 1
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    scheduler: str | None = None
    loras: tuple[LoRA, ...] = ()
    strength: float | None = None
    output_format: str | None = None
    output_type: str | None = None
    output_quality: int | None = None
    acceleration: str | None = None
    prompt_weighting: bool | str | None = None
    delivery_method: str | None = None
    ttl_s: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_wire(self) -> Item:
        """Return the task in wire spelling, without parameters that were not given. `as_wire` converts its values."""
        made: Item = {"taskType": "imageInference"}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "extra" or value is None or (type(value) is tuple and not value):
                continue
            made[WIRE_NAMES[each.name]] = value
        if self.loras:
            made["lora"] = [one.to_wire() for one in self.loras]
        return {**made, **self.extra}

    @classmethod
    def from_wire(cls, task: Mapping[str, Any]) -> ImageTask:
        """Read a wire task; what has no name here goes to *extra*."""
        ours = {wire: name for name, wire in WIRE_NAMES.items()}
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in task.items():
            if key in ours and value is not None:
                known[ours[key]] = value
            elif key != "taskType":
                extra[key] = value
        if "loras" in known:
            known["loras"] = tuple(LoRA(one["model"], one.get("weight", 1.0)) for one in known["loras"])
        return cls(**known, extra=extra)


Task = Mapping[str, Any] | ImageTask
"""What `Client.run` takes: a dict in wire spelling, or a typed task."""


def as_wire(task: Task) -> Item:
    """Return a task in wire spelling, with every value as JSON has it; see `plain_task`.

    Raises:
        TaskInvalid: A value cannot be a parameter.
    """
    return plain_task(task.to_wire() if isinstance(task, ImageTask) else task)


def request_of(operation: Operation, values: Mapping[str, Any]) -> Item:
    """Build the request of an operation.

    Args:
        operation: Its entry.
        values: Inputs and parameters by their names in Python; None for those that are not given.

    Returns:
        The task in wire spelling.

    Raises:
        TaskInvalid: A size or a LoRA is not understood, or a model is given as well as an option that stands for one.
    """
    binding = binding_for(operation)
    media = {medium.name for medium in operation.inputs}
    kinds = {option.name: option.kind for option in operation.options}
    task: Item = {"taskType": binding.task_type}
    inputs: Item = {}
    for name, value in values.items():
        if value is None or name in binding.composed:
            continue
        if name in binding.frames:
            inputs.setdefault("frameImages", []).append({"image": value, "frame": binding.frames[name]})
        elif name in media:
            inputs[wire_name(name, operation)] = value
        elif name in binding.models:
            if values.get("model") is not None:
                raise TaskInvalid(
                    f"Give either model or {name}, which stands for a model. Nothing was sent.", parameter="model"
                )
            task["model"] = binding.models[name].format(value)
        elif name == binding.message:
            task["messages"] = [{"role": "user", "content": value}]
        elif kinds.get(name) == "size":
            task["width"], task["height"] = parse_size(value)
        elif kinds.get(name) == "lora":
            task["lora"] = [lora.to_wire() for lora in parse_loras(value)]
        else:
            *path, last = wire_name(name, operation).split(".")
            inner = task
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = value
    return {**task, "inputs": inputs} if inputs else task


def values_of(operation: Operation, task: Mapping[str, Any]) -> tuple[dict[str, Any], Item]:
    """Return the inputs and parameters of a request by their names in Python: the reverse of `request_of`.

    Args:
        operation: Its entry.
        task: In wire spelling.

    Returns:
        The values, and the fields that no input and no option of the entry can state.
    """
    values: dict[str, Any] = {}
    rest: Item = {name: value for name, value in task.items() if name != "taskType"}
    inputs = rest.pop("inputs", {})
    if isinstance(inputs, Mapping):
        media, inputs = _media_of(operation, inputs)
        values |= media
    if inputs:
        rest["inputs"] = inputs
    binding = binding_for(operation)
    for option in operation.options:
        if option.name in binding.models:
            continue
        if option.kind == "size":
            width, height = rest.get("width"), rest.get("height")
            if type(width) is int and type(height) is int:
                values[option.name] = f"{width}x{height}"
                del rest["width"], rest["height"]
            continue
        name = "messages" if option.name == binding.message else wire_name(option.name, operation)
        head, _, inner = name.partition(".")
        holder = rest.get(head) if inner else rest
        if not isinstance(holder, Mapping) or (inner or head) not in holder:
            continue
        value = _value_for(option, holder[inner or head], is_message=option.name == binding.message)
        if value is None:
            continue
        values[option.name] = value
        if inner:
            rest[head] = {key: each for key, each in holder.items() if key != inner}
            if not rest[head]:
                del rest[head]
        else:
            del rest[head]
    return values, rest


def _media_of(operation: Operation, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Item]:
    """Return the media of a request by the names of its inputs, and what no input states."""
    binding = binding_for(operation)
    values: dict[str, Any] = {}
    rest: Item = dict(inputs)
    for medium in operation.inputs:
        name = wire_name(medium.name, operation)
        if medium.name in binding.frames or name not in rest:
            continue
        if isinstance(rest[name], list | tuple) == medium.is_list and rest[name] is not None:
            values[medium.name] = rest.pop(name)
    frames = rest.get("frameImages")
    names = {frame: name for name, frame in binding.frames.items()}
    if isinstance(frames, list | tuple) and all(isinstance(each, Mapping) for each in frames):
        places = [each.get("frame") for each in frames]
        if all(each.keys() == {"image", "frame"} for each in frames) and places in _FRAMES:
            values |= {names[each["frame"]]: each["image"] for each in rest.pop("frameImages")}
    return values, rest


_FRAMES = (["first"], ["last"], ["first", "last"])


def _value_for(option: Option, value: Any, *, is_message: bool) -> Any:
    """Return a field's value as its option takes it; None if the option cannot state it."""
    if is_message:
        is_one = isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], Mapping)
        if not is_one or value[0].get("role") != "user" or value[0].keys() != {"role", "content"}:
            return None
        return value[0]["content"] if isinstance(value[0]["content"], str) else None
    if option.kind == "lora":
        whole = isinstance(value, list | tuple) and all(
            isinstance(one, Mapping) and one.keys() == {"model", "weight"} for one in value
        )
        return [f"{one['model']}:{one['weight']}" for one in value] or None if whole else None
    if option.kind == "flag":
        return True if value is True else None
    if option.kind == "numbers":
        return list(value) if isinstance(value, list | tuple) else None
    return value if isinstance(value, option.types) and not isinstance(value, bool) else None


def is_utility(task_type: str) -> bool:
    """Whether a kind of task makes nothing and costs nothing, such as a search or a poll."""
    return task_type in UTILITIES


def current_task_type(task_type: str) -> str:
    """Return today's name of a task type; the service still accepts older names (reference 5.0)."""
    binding = binding_of(task_type)
    return task_type if binding is None else binding.task_type


def prepare(wire: Mapping[str, Any], *, new_uuid: Callable[[], str]) -> Item:
    """Complete a task for sending: its UUID, its delivery, and the request for its cost and its tokens.

    Args:
        wire: The task as `as_wire` returns it; not changed.
        new_uuid: Builds the UUID v4 for a task without one.

    Returns:
        A new dict. Utilities get nothing but the UUID.
    """
    made = dict(wire)
    if made.get("taskUUID") is None:
        made["taskUUID"] = new_uuid()
    task_type = made.get("taskType", "imageInference")
    made["taskType"] = task_type
    if task_type not in UTILITIES:
        made.setdefault("includeCost", True)
        if can_stream(task_type):
            made.setdefault("includeUsage", True)
        if made.get("deliveryMethod") is None:
            made["deliveryMethod"] = "async" if _is_slow(made) else "sync"
    return made


def _is_slow(task: Mapping[str, Any]) -> bool:
    """Return whether a task is done asynchronously only: videos, 3D models, training, and operations on videos."""
    operation = operation_of_task(task["taskType"])
    if operation is None or operation.long_running:
        return operation is not None
    inputs = task.get("inputs")
    slow = {medium.name for medium in operation.inputs if medium.makes_slow}
    return isinstance(inputs, Mapping) and not slow.isdisjoint(inputs)


def can_stream(task_type: str) -> bool:
    """Return whether results of a task type may be streamed."""
    binding = binding_of(task_type)
    return binding is not None and binding.can_stream


def require_streamable(task: Mapping[str, Any]) -> None:
    """Check that a task can be streamed, if it asks for that.

    Raises:
        TaskInvalid: It does not generate text, or asks for several results.
    """
    if task.get("deliveryMethod") != "stream":
        return
    if not can_stream(str(task.get("taskType"))):
        raise TaskInvalid(
            f"Only text can be streamed, and {task.get('taskType')} does not generate text. Nothing was sent.",
            parameter="deliveryMethod",
        )
    if task.get("numberResults", 1) != 1:
        raise TaskInvalid(
            f"Only one result can be streamed, and numberResults is {task['numberResults']!r}. Nothing was sent.",
            parameter="numberResults",
        )


def expected_results(task: Mapping[str, Any]) -> int:
    """Return how many results a task in wire spelling asks for; 1 where its number makes no sense."""
    binding = binding_of(str(task.get("taskType")))
    value = task.get("numberResults" if binding is None else binding.count_field, 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def earlier_turns(task: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the messages of a conversation before the last one, as roles and texts."""
    messages = task.get("messages")
    earlier = messages[:-1] if isinstance(messages, list) else []
    return tuple(
        (str(message.get("role")), message_text(message)) for message in earlier if isinstance(message, Mapping)
    )


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, which may be in several parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content or "")


def prompt_of(task: Mapping[str, Any]) -> str | None:
    """Give the words that a task was asked with: a prompt, or the last message; None where there are none."""
    for name in ("positivePrompt", "prompt"):
        if isinstance(task.get(name), str):
            return str(task[name])
    speech, messages = task.get("speech"), task.get("messages")
    if isinstance(speech, Mapping) and isinstance(speech.get("text"), str):
        return str(speech["text"])
    if isinstance(messages, list) and messages and isinstance(messages[-1], Mapping):
        content = messages[-1].get("content")
        return content if isinstance(content, str) else None
    return None
