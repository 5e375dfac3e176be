"""The options of image generation as fields of `imageInference`, and which models accept them.

Source:
    Runware reference 5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...core.conditioning import (
    Control,
    parse_control,
    parse_face,
    parse_ip_adapter,
    parse_refiner,
    parse_several,
)
from ...core.items import Item
from ...core.operations import TEXT_TO_IMAGE, Operation, operation_of
from ...core.option_values import parse_embeddings
from ...errors import TaskInvalid
from ...reprs import short_repr
from .catalog import Rulebook, all_models, find_model, rulebook_of
from .operations import binding_for, option_fields, wire_name
from .tasks import request_of

__all__ = [
    "CONTROL_MODELS",
    "STRUCTURED",
    "GuideSource",
    "accepts",
    "check_accepted",
    "control_model",
    "is_known_to_accept",
    "parameters_from",
    "wire_fields",
]

STRUCTURED = frozenset({"control", "ip_adapters", "embeddings", "refiner", "pulid", "photomaker", "photomaker_style",
                        "photomaker_strength", "transparent", "safety"})  # fmt: skip
"""Parameters that `wire_fields` converts."""

CONTROL_MODELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "flux-1-dev": {"canny": "runware:25@1", "tile": "runware:26@1", "depth": "runware:27@1",
                       "openpose": "runware:29@1"},
        # The documentation lists canny; depth is stated by third parties, and is in the model's schema.
        "sdxl": {"canny": "runware:20@1", "depth": "runware:3@1"},
        "sd-1-5": {"canny": "civitai:38784@44716", "lineart": "civitai:38784@44877", "mlsd": "civitai:38784@44795",
                   "normalbae": "civitai:38784@44774"},
    }
)  # fmt: skip
"""ControlNets by the architecture of the image model and the kind of guide.

Source:
    runware.ai/docs/en/image-inference/models (2025-10). For other kinds, no model is documented.
"""

_SPELLINGS: Mapping[str, frozenset[str]] = MappingProxyType({"puLID": frozenset({"puLID", "pulid"})})
"""Fields that schemas spell otherwise than the documentation.

With FLUX.1 [dev], the service ignored the images under the name of the schema and used them under the name of the
documentation (reference 5.2).
"""
_MOST_NAMED = 3
_MOST_PEOPLE = 4


@short_repr()
@dataclass(frozen=True, slots=True)
class GuideSource:
    """An image in the place of a guide image. A preprocessor has to make the guide image from it first.

    Attributes:
        kind: The preprocessor.
        image: The image.
    """

    kind: str
    image: Any

    def __str__(self) -> str:
        return f"guide image, made by the preprocessor {self.kind} first"

    def to_task(self) -> Item:
        """Return the task of the preprocessor. PNG keeps edges sharp."""
        return request_of(operation_of("controlnet"), {
            "preprocessor": None, "model": f"runware:controlnet-preprocess@{self.kind}", "image": self.image,
            "output_format": "PNG",
        })  # fmt: skip


def control_model(control: Control, architecture: str, name: str) -> str:
    """Return the ControlNet of a guide.

    Args:
        control: The guide.
        architecture: Architecture key of the image model; empty if it is not known.
        name: The image model, for the error.

    Raises:
        TaskInvalid: None is documented, so that the user has to name one.
    """
    if control.model is not None:
        return control.model
    known = CONTROL_MODELS.get(architecture, {})
    if control.kind in known:
        return known[control.kind]
    image = control.image if isinstance(control.image, str) else "IMG"
    listed = f" For this model, {', '.join(known)} have one." if known else ""
    raise TaskInvalid(
        f"control {control.kind}: no ControlNet is documented for guides of this kind and the model {name}. Nothing "
        f"was sent.{listed} Add its AIR identifier, such as {control.kind}:{image}:{control.weight:g}:runware:25@1.",
        parameter="controlNet",
    )


def wire_fields(values: Mapping[str, Any], *, architecture: str, model: str) -> Item:
    """Convert parameters to fields of the task.

    Args:
        values: Parameters of `STRUCTURED` by their names in Python; None for those that are not given.
        architecture: Architecture key of the image model; empty if it is not known.
        model: The image model, for errors.

    Returns:
        The fields in wire spelling. A guide that has to be made first is a `GuideSource`.

    Raises:
        TaskInvalid: A value is not understood.
    """
    fields: Item = {}
    controls = parse_several(values.get("control"), parse_control)
    if controls:
        fields["controlNet"] = [_control(one, control_model(one, architecture, model)) for one in controls]
    adapters = parse_several(values.get("ip_adapters"), parse_ip_adapter)
    if adapters:
        fields["ipAdapters"] = [
            {"model": one.model, "guideImages": [one.image], "weight": one.weight} for one in adapters
        ]
    embeddings = parse_embeddings(values.get("embeddings"))
    if embeddings:
        fields["embeddings"] = [one.to_wire() for one in embeddings]
    if values.get("refiner") is not None:
        refiner = parse_refiner(values["refiner"])
        steps = {"startStep": refiner.start_step, "startStepPercentage": refiner.start_percent}
        fields["refiner"] = {"model": refiner.model, **{k: value for k, value in steps.items() if value is not None}}
    if values.get("pulid") is not None:
        face = parse_face(values["pulid"])
        fields["puLID"] = {"inputImages": [face.image], "idWeight": face.weight}
    people = _people(values)
    if people:
        fields["photoMaker"] = people
    if values.get("transparent"):
        fields["layerDiffuse"] = True
    if values.get("safety") is not None:
        fields["safety"] = {"checkContent": bool(values["safety"])}
    return fields


def parameters_from(model: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], Item]:
    """Convert fields of a task back to the parameters that give exactly these fields.

    Args:
        model: The image model. A field that its schema lacks stays a field, because the parameter would be refused.
        fields: In wire spelling.

    Returns:
        The parameters by their names in Python, and the fields that are left.
    """
    values: dict[str, Any] = {}
    rest = dict(fields)
    for name, read in _READERS.items():
        if name not in rest or not is_known_to_accept(model, name):
            continue
        try:
            found = read(rest[name])
            is_same = wire_fields(found, architecture="", model=model) == {name: rest[name]}
        except (TaskInvalid, KeyError, TypeError, ValueError, AttributeError):
            continue  # a request that was sent as it is may have any form
        if is_same:
            values |= found
            del rest[name]
    return values, rest


def is_known_to_accept(model: str, field: str) -> bool:
    """Return whether the bundled schema of a model has a field; True for a model that is not bundled."""
    known = find_model(model)
    return known is None or accepts(rulebook_of(known).schema, field)


def _adapter(entry: Mapping[str, Any]) -> tuple[str, Any, float]:
    (image,) = entry["guideImages"]
    return entry["model"], image, entry["weight"]


def _read_refiner(value: Mapping[str, Any]) -> Item:
    names = {"model": "model", "startStep": "start_step", "startStepPercentage": "start_percent"}
    return {"refiner": {names[name]: part for name, part in value.items()}}


def _read_people(value: Mapping[str, Any]) -> Item:
    names = {"images": "photomaker", "style": "photomaker_style", "strength": "photomaker_strength"}
    return {names[name]: part for name, part in value.items()}


_READERS: Mapping[str, Callable[[Any], Item]] = MappingProxyType(
    {
        "controlNet": lambda value: {
            "control": [("guide", one["guideImage"], one["weight"], one["model"]) for one in value]
        },
        "ipAdapters": lambda value: {"ip_adapters": [_adapter(one) for one in value]},
        "embeddings": lambda value: {"embeddings": [(one["model"], one["weight"]) for one in value]},
        "refiner": _read_refiner,
        "puLID": lambda value: {"pulid": (*value["inputImages"], value["idWeight"])},
        "photoMaker": _read_people,
        "layerDiffuse": lambda value: {"transparent": value},
        "safety": lambda value: {"safety": value["checkContent"]},
    }
)
"""How fields are read as parameters. `parameters_from` converts the parameters again, so that nothing is lost."""


def _control(control: Control, model: str) -> Item:
    guide = control.image if control.is_guide else GuideSource(control.kind, control.image)
    return {"model": model, "guideImage": guide, "weight": control.weight}


def _people(values: Mapping[str, Any]) -> Item:
    images = values.get("photomaker")
    style, strength = values.get("photomaker_style"), values.get("photomaker_strength")
    if images is None:
        if style is None and strength is None:
            return {}
        raise TaskInvalid(
            "photomaker_style and photomaker_strength need the image of a person: add photomaker. Nothing was sent.",
            parameter="photoMaker.images",
        )
    listed = list(images) if isinstance(images, list | tuple) else [images]
    if not 1 <= len(listed) <= _MOST_PEOPLE:
        raise TaskInvalid(
            f"photomaker: {len(listed)} images; expected 1 to {_MOST_PEOPLE}. Nothing was sent.",
            parameter="photoMaker.images",
        )
    more = {"style": style, "strength": strength}
    return {"images": listed, **{name: value for name, value in more.items() if value is not None}}


def check_accepted(
    rules: Rulebook | None, given: Mapping[str, str], *, operation: Operation = TEXT_TO_IMAGE, name: str = ""
) -> None:
    """Refuse a parameter that the schema of the model does not have.

    Args:
        rules: The rules of the model; None if they are not known, so that the service decides.
        given: The parameters and inputs that the user stated, by their names in Python, as they were typed.
        operation: The operation whose parameters these are.
        name: The name of the model for people.

    Raises:
        TaskInvalid: One is not accepted. The message names models that accept it.
    """
    if rules is None or (rules.task_type and rules.task_type != binding_for(operation).task_type):
        return  # a model of another operation is refused as such
    fields = _fields_of(operation)
    for parameter, typed in given.items():
        wanted = fields.get(parameter, ())
        if not wanted or any(accepts(rules.schema, field) for field in wanted):
            continue
        others = [model for model in all_models() if model.task_type == rules.task_type or not rules.task_type]
        named = [f"{model.air} ({model.name})" for model in others
                 if any(field in model.takes or field in model.inputs for field in wanted)]  # fmt: skip
        this = f"{rules.air} ({name})" if name else rules.air
        which = f"; {_listed(named[:_MOST_NAMED])} {'accept' if len(named) > 1 else 'accepts'} it" if named else ""
        raise TaskInvalid(
            f"{this} does not accept {typed}{which}. Nothing was sent.", parameter=wanted[0],
            documentation=rules.documentation,
        )  # fmt: skip


def accepts(schema: Mapping[str, Any], field: str) -> bool:
    """Return whether a schema has a field at the top level or, for a medium, under `inputs`."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return True  # a schema without a list of fields excludes none
    inputs = properties.get("inputs")
    nested = inputs.get("properties") if isinstance(inputs, Mapping) else None
    names = {*properties, *(nested if isinstance(nested, Mapping) else ())}
    return not names.isdisjoint(_SPELLINGS.get(field, {field}))


def _fields_of(operation: Operation) -> dict[str, tuple[str, ...]]:
    """Return the outermost field of each parameter and input."""
    fields = {
        option.name: tuple(path.partition(".")[0] for path in option_fields(option, operation))
        for option in operation.options
        if option.name != "model"
    }
    if "size" in fields:
        fields |= {"width": ("width",), "height": ("height",)}
    if "vary" in fields:
        fields["vary"] = ("seedImage",)
    frames = binding_for(operation).frames
    for medium in operation.inputs:
        fields[medium.name] = ("frameImages",) if medium.name in frames else (wire_name(medium.name, operation),)
    return fields


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
