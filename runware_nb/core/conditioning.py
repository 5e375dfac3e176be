"""What guides the generation of an image besides its prompt: ControlNets, IP-Adapters, a refiner, faces.

Each value has a spelling for a line, in which an image may be a path or a URL with colons of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import TaskInvalid
from ..reprs import short_repr

__all__ = [
    "CONTROL_KINDS",
    "NO_PREPROCESSOR",
    "Control",
    "Face",
    "IPAdapter",
    "Refiner",
    "parse_control",
    "parse_face",
    "parse_ip_adapter",
    "parse_refiner",
    "parse_several",
]

CONTROL_KINDS = ("canny", "depth", "lineart", "lineart-anime", "mlsd", "normalbae", "openpose", "scribble", "seg",
                 "shuffle", "softedge", "tile")  # fmt: skip
"""The preprocessors, which make a guide image from any image."""
NO_PREPROCESSOR = ("guide", "none")
"""What stands in place of a preprocessor if the image is a guide image already."""
_AIR = r"[A-Za-z0-9._-]+:[A-Za-z0-9._-]+@[A-Za-z0-9._-]+"
_STARTS_WITH_AIR = re.compile(rf"({_AIR}):(.+)", re.DOTALL)
_ENDS_WITH_AIR = re.compile(rf"(.+):({_AIR})", re.DOTALL)
_ENDS_WITH_NUMBER = re.compile(r"(.+):(-?(?:\d+(?:\.\d*)?|\.\d+))", re.DOTALL | re.ASCII)
_ONLY_HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?(?:\[[^\]]*\]|[^/:@\[\]]*)", re.IGNORECASE)
"""A URL without a path and a port: the number behind it is its port."""
_DRIVE = re.compile(r"[A-Za-z]")
"""The drive of a Windows path: the number behind it is a file name, such as `C:1`."""

T = TypeVar("T")


@short_repr()
@dataclass(frozen=True, slots=True)
class Control:
    """A ControlNet with its guide image, or with the image that a preprocessor makes it from.

    Attributes:
        kind: A preprocessor, such as `canny`; `guide` if *image* is a guide image already.
        image: The image.
        weight: How strongly it guides, 0 to 1.
        model: AIR identifier of the ControlNet; None chooses it by *kind* and the architecture of the image model.
    """

    kind: str
    image: Any
    weight: float = 1.0
    model: str | None = None

    @property
    def is_guide(self) -> bool:
        """Whether the image is a guide image already."""
        return self.kind in NO_PREPROCESSOR


@short_repr()
@dataclass(frozen=True, slots=True)
class IPAdapter:
    """An IP-Adapter with its image.

    Attributes:
        model: AIR identifier of the adapter.
        image: The image whose content or style the result takes on.
        weight: How strongly, 0 to 1.
    """

    model: str
    image: Any
    weight: float = 1.0


@short_repr()
@dataclass(frozen=True, slots=True)
class Refiner:
    """A model that continues the last steps.

    Attributes:
        model: AIR identifier.
        start_step: The step from which on it works, from 2; None if *start_percent* states it.
        start_percent: The same as a percentage of the steps, 1 to 99.
    """

    model: str
    start_step: int | None = None
    start_percent: int | None = None


@short_repr()
@dataclass(frozen=True, slots=True)
class Face:
    """The image of a face that results resemble (PuLID).

    Attributes:
        image: The image.
        weight: How closely, 0 to 3.
    """

    image: Any
    weight: float = 1.0


def parse_several(values: Any, parse: Callable[[Any], T]) -> tuple[T, ...]:
    """Parse one value or several.

    Args:
        values: None, a value in any form that *parse* takes, or several in a list. A tuple is several values unless it
            begins with a text, as the parts of one value do.
        parse: Parses one value.

    Raises:
        TaskInvalid: One of them is not understood.
    """
    if values is None:
        return ()
    if isinstance(values, list) or (isinstance(values, tuple) and values and not isinstance(values[0], str)):
        return tuple(parse(value) for value in values)
    return (parse(values),)


def parse_control(value: Any) -> Control:
    """Parse the value of `--control`.

    Args:
        value: `KIND:IMG[:WEIGHT][:AIR]`, a tuple or list of these parts, a mapping with `kind`, `image`, `weight` and
            `model`, or a `Control`.

    Raises:
        TaskInvalid: It is something else, the kind is unknown, or the weight is not between 0 and 1.
    """
    if isinstance(value, Control):
        return value
    if isinstance(value, str):
        kind, colon, rest = value.partition(":")
        if not colon or not rest:
            raise _control_not_understood(value)
        image, weight, model = _split_end(rest, takes_air=True)
        return _control(kind, image, weight, model, value)
    if isinstance(value, Mapping) and {"kind", "image"} <= value.keys() <= {"kind", "image", "weight", "model"}:
        return _control(value["kind"], value["image"], value.get("weight"), value.get("model"), value)
    if isinstance(value, tuple | list) and 2 <= len(value) <= 4:
        kind, image, *more = value
        return _control(kind, image, more[0] if more else None, more[1] if len(more) > 1 else None, value)
    raise _control_not_understood(value)


def _control(kind: Any, image: Any, weight: Any, model: Any, value: Any) -> Control:
    name = str(kind).strip().lower().replace("_", "-")
    if name not in {*CONTROL_KINDS, *NO_PREPROCESSOR}:
        raise TaskInvalid(
            f"control {_shown(value)!r}: unknown kind {_shown(kind)!r}; expected {', '.join(CONTROL_KINDS)}, or guide "
            "if the image is a guide image already. Nothing was sent.",
            parameter="controlNet",
        )
    if image is None or image == "":
        raise _control_not_understood(value)
    number = _weight(weight, 1, value, "controlNet")
    return Control(name, image, number, None if model is None else str(model))


def parse_ip_adapter(value: Any) -> IPAdapter:
    """Parse the value of `--ip-adapter`.

    Args:
        value: `AIR:IMG[:WEIGHT]`, a tuple or list of these parts, a mapping with `model`, `image` and `weight`, or an
            `IPAdapter`.

    Raises:
        TaskInvalid: It is something else, or the weight is not between 0 and 1.
    """
    if isinstance(value, IPAdapter):
        return value
    parts: list[Any] | None = None
    if isinstance(value, str):
        match = _STARTS_WITH_AIR.fullmatch(value)
        if match is not None:
            image, weight, _ = _split_end(match[2], takes_air=False)
            parts = [match[1], image, weight]
    elif isinstance(value, Mapping) and {"model", "image"} <= value.keys() <= {"model", "image", "weight"}:
        parts = [value["model"], value["image"], value.get("weight")]
    elif isinstance(value, tuple | list) and 2 <= len(value) <= 3 and isinstance(value[0], str):
        parts = [*value, None][:3]
    if parts is None or parts[1] is None or parts[1] == "":
        raise TaskInvalid(
            f"IP-Adapter {_shown(value)!r} is not understood; write it as its AIR identifier, the image and the "
            "weight, such as runware:55@1:photo.png:0.7. Nothing was sent.",
            parameter="ipAdapters",
        )
    return IPAdapter(str(parts[0]), parts[1], _weight(parts[2], 1, value, "ipAdapters"))


def parse_refiner(value: Any) -> Refiner:
    """Parse the value of `--refiner`.

    Args:
        value: `AIR`, `AIR:STEP` or `AIR:PERCENT%`, a mapping with `model` and `start_step` or `start_percent`, or a
            `Refiner`.

    Raises:
        TaskInvalid: It is something else, or the start is out of range.
    """
    if isinstance(value, Refiner):
        return value
    if isinstance(value, Mapping) and {"model"} <= value.keys() <= {"model", "start_step", "start_percent"}:
        step, percent = value.get("start_step"), value.get("start_percent")
        start = None if step is None and percent is None else f"{percent}%" if step is None else str(step)
        return _refiner(str(value["model"]), start, value)
    if isinstance(value, tuple | list) and len(value) == 2:
        return _refiner(str(value[0]), str(value[1]), value)
    if isinstance(value, str) and value:
        match = _STARTS_WITH_AIR.fullmatch(value)
        return _refiner(value, None, value) if match is None else _refiner(match[1], match[2], value)
    raise _refiner_not_understood(value)


def _refiner(model: str, start: str | None, value: Any) -> Refiner:
    if start is None:
        return Refiner(model)
    is_percent = start.endswith("%")
    digits = start.rstrip("%")
    number = int(digits) if digits.isdecimal() and len(digits) < 6 else 0
    if is_percent and 1 <= number <= 99:
        return Refiner(model, start_percent=number)
    if not is_percent and number >= 2:
        return Refiner(model, start_step=number)
    raise _refiner_not_understood(value)


def _refiner_not_understood(value: Any) -> TaskInvalid:
    return TaskInvalid(
        f"refiner {_shown(value)!r} is not understood; write its AIR identifier, and the step (from 2) or the "
        "percentage (1% to 99%) from which on it works, such as civitai:101055@128080:80%. Nothing was sent.",
        parameter="refiner",
    )


def parse_face(value: Any) -> Face:
    """Parse the value of `--pulid`.

    Args:
        value: `IMG[:WEIGHT]`, a tuple of these parts, a mapping with `image` and `weight`, a `Face`, or any image.

    Raises:
        TaskInvalid: It is empty, or the weight is not between 0 and 3.
    """
    if isinstance(value, Face):
        return value
    image, weight = value, None
    if isinstance(value, str):
        image, weight, _ = _split_end(value, takes_air=False)
    elif isinstance(value, Mapping):
        image, weight = value.get("image"), value.get("weight")
    elif isinstance(value, tuple) and len(value) == 2:
        image, weight = value
    if image is None or image == "":
        raise TaskInvalid(
            f"pulid {_shown(value)!r} is not understood; write it as the image of a face and the weight, such as "
            "face.png:0.8. Nothing was sent.",
            parameter="puLID",
        )
    return Face(image, _weight(weight, 3, value, "puLID"))


def _split_end(text: str, *, takes_air: bool) -> tuple[str, str | None, str | None]:
    """Split `IMG[:WEIGHT][:AIR]` into its parts. The image may contain colons."""
    model: str | None = None
    if takes_air:
        match = _ENDS_WITH_AIR.fullmatch(text)
        if match is not None and not _is_alone(match[1]):
            text, model = match[1], match[2]
    match = _ENDS_WITH_NUMBER.fullmatch(text)
    if match is None or _is_alone(match[1]):
        return text, None, model
    return match[1], match[2], model


def _is_alone(image: str) -> bool:
    """Return whether what follows the next colon belongs to the image, as a port or a file on a drive does."""
    return _ONLY_HOST.fullmatch(image) is not None or _DRIVE.fullmatch(image) is not None


def _weight(value: Any, high: float, whole: Any, parameter: str) -> float:
    """Return the weight in a value, from 0; 1 if there is none."""
    if value is None:
        return 1.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= high:
        raise TaskInvalid(
            f"{parameter} {_shown(whole)!r}: the weight {_shown(value)} must be between 0 and {high:g}. "
            "Nothing was sent.",
            parameter=parameter,
        )
    return number


def _control_not_understood(value: Any) -> TaskInvalid:
    return TaskInvalid(
        f"control {_shown(value)!r} is not understood; write it as kind, image and weight, such as "
        "canny:photo.png:0.8. Nothing was sent.",
        parameter="controlNet",
    )


def _shown(value: Any) -> str:
    return value[:80] if isinstance(value, str) else repr(value)[:80]
