"""What an earlier image was made with, for a variation of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.air import parse_air
from ..core.media_fields import replace_media
from ..core.option_values import LoRA
from ..core.results import Outcome, Result
from ..engine.jobs import Job
from ..engine.media_sources import look_up
from ..errors import MediaError, RunNotFound, RunwareNBError
from ..media.incoming import media_bytes
from ..media.provenance import read_provenance
from ..providers.runware.catalog import find_model
from ..providers.runware.operations import WIRE_NAMES, operation_name
from ..providers.runware.parameters import DELIVERY
from ..reprs import short_repr
from ..runlog import RunRecord
from ..runlog.records import Parent

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Original", "original_of"]

_NOT_TAKEN = DELIVERY | {"positivePrompt", "seed", "numberResults", "strength", "outpaint", "maskMargin"}
"""Fields that belong to one image, or to the image that it was made from, and not to its variations."""
_MOST_ANCESTORS = 50
_PYTHON_NAMES = {wire: name for name, wire in WIRE_NAMES.items()}


@short_repr()
@dataclass(frozen=True, slots=True)
class Original:
    """What an earlier image was made with.

    Attributes:
        prompt: Its prompt.
        parameters: Its parameters by their names in Python, without seed and media.
        extra: Its other parameters, in wire spelling.
        parents: The run that made it, if the log has it.
    """

    prompt: str
    parameters: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[Parent, ...] = ()


def original_of(session: Session, image: Any) -> Original | None:
    """Return what an image was made with: from the log, else from its file; None if neither knows.

    An image that was edited, such as an upscaled one, has the prompt of the image that it was made from.
    """
    run, index = _run_of(session, image)
    parents = () if run is None else (Parent(run.task_uuid, "variation", index),)
    for _ in range(_MOST_ANCESTORS):
        if run is None or operation_name(run.task_type) == "text-to-image":
            break
        run = _find(session, run.parent_uuid)
    if run is not None and isinstance(run.request.get("positivePrompt"), str):
        return _from_request(run.request, parents)
    told = None if isinstance(image, Job) else _infotext(image)
    return None if told is None else _from_request(told, parents)


def _run_of(session: Session, image: Any) -> tuple[RunRecord | None, int | None]:
    """Return the run that made an image, and which of its results it is; the latter is None if it is not known."""
    if isinstance(image, Job):
        return image.record, 0
    if isinstance(image, Outcome) and len(image.results) == 1:
        image = image.results[0]
    if isinstance(image, Result):
        return _find(session, image.task_uuid), image.index
    found = look_up(session, session.provider(""), {"seedImage": image}, keeps=False).inputs
    run = _find(session, found[0].maker) if found else None
    if run is not None:
        return run, found[0].index
    record = _record_in_file(image)
    return _find(session, record.get("task_uuid")), None


def _find(session: Session, task_uuid: Any) -> RunRecord | None:
    if not isinstance(task_uuid, str) or not task_uuid:
        return None
    try:
        return session.log.find(task_uuid)
    except (RunNotFound, RunwareNBError):
        return None


def _record_in_file(image: Any) -> Mapping[str, Any]:
    try:
        record = read_provenance(media_bytes(image)[0]).record
    except MediaError:
        return {}
    return record if isinstance(record, dict) else {}


def _infotext(image: Any) -> Mapping[str, Any] | None:
    try:
        told = read_provenance(media_bytes(image)[0]).parameters
    except MediaError:
        return None
    if told is None or not told.prompt.strip():
        return None
    made = {**told.to_wire(), "positivePrompt": told.prompt}
    model = str(made.get("model", ""))
    if find_model(model) is None and parse_air(model) is None:
        made.pop("model", None)  # another tool's name of a model means nothing to the service
    return made


def _from_request(request: Mapping[str, Any], parents: tuple[Parent, ...]) -> Original:
    parameters: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in request.items():
        if name in _NOT_TAKEN or value is None or _has_medium(name, value):
            continue
        if name == "lora":
            parameters["loras"] = tuple(LoRA(one["model"], one.get("weight", 1.0)) for one in value)
        elif name in _PYTHON_NAMES:
            parameters[_PYTHON_NAMES[name]] = value
        else:
            extra[name] = value
    return Original(str(request["positivePrompt"]), parameters, extra, parents)


def _has_medium(name: str, value: Any) -> bool:
    found: list[Any] = []
    replace_media({name: value}, found.append)
    return bool(found)
