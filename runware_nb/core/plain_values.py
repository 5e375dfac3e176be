"""Values of a task as JSON has them: numpy, pandas and other Python values are converted here, once.

Every task passes through `plain_task` before it is checked, hashed, logged and sent. A value therefore has one form:
`seed=5.0`, `seed=np.int64(5)` and `seed=5` are the same request, and the same bytes on the wire.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from ..errors import TaskInvalid
from .items import Item
from .media_fields import has_media_inside, holds_assets, is_media_key

__all__ = ["plain_task"]

_AS_IT_IS = frozenset({str, int, bool, type(None)})
_LARGEST_EXACT = 2**53
"""Above this, a float does not name one integer; such a value stays a float."""

_MOST_BITS = 1024
"""Of an integer: as many as the largest floating number has."""

_NEVER_MEDIA = frozenset(
    {
        "taskType", "taskUUID", "positivePrompt", "negativePrompt", "prompt", "model", "width", "height",
        "numberResults", "seed", "steps", "CFGScale", "scheduler", "strength", "outputFormat", "outputType",
        "outputQuality", "acceleration", "deliveryMethod", "ttl", "clipSkip", "weight", "duration", "fps", "lora",
        "upscaleFactor", "promptVersions", "promptMaxLength", "text", "content", "messages", "includeCost", "vae",
    }
)  # fmt: skip
"""Parameters that take text or numbers. At a parameter with an unknown name a file may be meant, and is uploaded."""

_MISSING = frozenset({"NAType", "NaTType"})
"""The types of pandas' missing values; pandas itself is not imported."""


def plain_task(task: Mapping[str, Any]) -> Item:
    """Convert the values of a task to plain JSON values.

    Whole floats become integers, because JSON readers differ about `5.0` where an integer is expected. Scalars of
    numpy and pandas, `Decimal`, `Fraction`, enumerations and subclasses of `str`, `int` and `float` become plain Python
    values. None is kept. Media stay as they are where media stand.

    Args:
        task: In wire spelling; not changed.

    Returns:
        A copy as deep as needed.

    Raises:
        TaskInvalid: A value is missing (NaN, NA, NaT), infinite, or cannot be a parameter: bytes, a path or an
            array where text or a number is expected.
    """
    return {
        str(key): (value if is_media_key(key, is_at_top=True) else _sendable(value, str(key)))
        if type(value) in _AS_IT_IS
        else _plain(
            value, str(key), str(key), is_medium=is_media_key(key, is_at_top=True), is_inside=False,
            is_asset=holds_assets(str(key)),
        )
        for key, value in task.items()
    }  # fmt: skip


def _plain(value: Any, key: str, path: str, *, is_medium: bool, is_inside: bool, is_asset: bool = False) -> Any:
    """Convert one value; *key* decides whether a medium may stand here, *path* names the value in a message."""
    if type(value) in _AS_IT_IS:
        return value if is_medium else _sendable(value, path)
    if isinstance(value, float):
        return _number(value, path)
    if isinstance(value, Mapping):
        inside = is_inside or has_media_inside(key)
        return {
            str(name): _plain(inner, str(name), f"{path}.{name}", is_inside=inside,
                              is_medium=is_asset or is_media_key(name, is_inside=inside), is_asset=is_asset)
            for name, inner in value.items()
        }  # fmt: skip
    if isinstance(value, list | tuple):
        return [
            _plain(inner, key, f"{path}[{number}]", is_medium=is_medium, is_inside=is_inside)
            for number, inner in enumerate(value)
        ]
    if isinstance(value, enum.Enum):
        return _plain(value.value, key, path, is_medium=is_medium, is_inside=is_inside)
    if isinstance(value, str):
        return str.__str__(value) if is_medium else _sendable(str.__str__(value), path)
    if isinstance(value, int):
        return _sendable(int(value), path)
    if isinstance(value, Decimal | Fraction):
        return _exact_number(value, path)
    if type(value).__name__ in _MISSING:
        raise _missing(value, path)
    if _is_array_scalar(value):
        return _plain(_item_of(value), key, path, is_medium=is_medium, is_inside=is_inside)
    if hasattr(value, "to_wire"):  # such as a LoRA in a dict
        return _plain(value.to_wire(), key, path, is_medium=is_medium, is_inside=is_inside)
    if is_medium or (key not in _NEVER_MEDIA and not _is_array(value) and _may_be_medium(value)):
        return value
    raise _refused(value, path)


def _sendable(value: Any, path: str) -> Any:
    """Return a text or an integer, if JSON can hold it and every reader of JSON can read it.

    Not for media: a file's name may contain bytes that are no text, which Python has as halves of surrogate pairs.

    Raises:
        TaskInvalid: Half of a surrogate pair is not a character, or the number is larger than any floating number.
    """
    if type(value) is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = ord(value[error.start])
            raise TaskInvalid(
                f"Invalid {path}: the text contains U+{half:04X}, which is half of a character. Remove it. "
                "Nothing was sent.", parameter=path,
            ) from error  # fmt: skip
    elif type(value) is int and value.bit_length() > _MOST_BITS:
        digits = math.ceil(value.bit_length() * math.log10(2))
        raise TaskInvalid(
            f"Invalid {path}: a number of {digits:,} digits is too large. Nothing was sent.", parameter=path
        )
    return value


def _number(value: float, path: str) -> int | float:
    if math.isnan(value):
        raise _missing(value, path)
    if math.isinf(value):
        raise TaskInvalid(f"Invalid {path} {value}: expected a finite number. Nothing was sent.", parameter=path)
    whole = value.is_integer() and abs(value) <= _LARGEST_EXACT
    return int(value) if whole else float(value)  # also turns -0.0 into 0


def _exact_number(value: Decimal | Fraction, path: str) -> int | float:
    if isinstance(value, Decimal) and not value.is_finite():
        return _number(float(value) if not value.is_snan() else math.nan, path)
    return _sendable(int(value), path) if value == int(value) else _number(float(value), path)


def _missing(value: Any, path: str) -> TaskInvalid:
    return TaskInvalid(
        f"Invalid {path} {value}: a missing value cannot be sent. Leave {path} out, or give a value. Nothing was sent.",
        parameter=path,
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _is_array_scalar(value: Any) -> bool:
    return _is_array(value) and hasattr(value, "item") and tuple(value.shape) == ()


def _item_of(scalar: Any) -> Any:
    """Return the Python value of a scalar of numpy, pandas or another array library."""
    item = scalar.item()
    if isinstance(item, float) and getattr(scalar.dtype, "itemsize", 8) < 8:
        try:
            return float(str(scalar))  # 0.7 as float32 is meant as 0.7, and not as 0.699999988079071
        except ValueError:
            return item
    return float(item) if type(item) is type(scalar) else item  # numpy's long double returns itself


def _may_be_medium(value: Any) -> bool:
    """Return whether a value has the form of a medium: bytes, a path, an image object, or an earlier result."""
    if isinstance(value, bytes | bytearray | memoryview | PurePath):
        return True
    return hasattr(value, "save") or hasattr(value, "bytes") or hasattr(value, "__fspath__")


def _refused(value: Any, path: str) -> TaskInvalid:
    if isinstance(value, bytes | bytearray | memoryview):
        what, remedy = "bytes", "Decode text with .decode()"
    elif hasattr(value, "__fspath__"):
        what, remedy = "a path", "Use str(path) for its name, or path.read_text() for the text in the file"
    elif _is_array(value):
        shape = "x".join(map(str, value.shape))
        what, remedy = f"an array of shape {shape}", "Take one element, or use .tolist() for a list"
    elif isinstance(value, set | frozenset | range) or hasattr(value, "__next__"):
        what, remedy = f"a {type(value).__name__}", "Use list(...)"
    else:
        what, remedy = f"a {type(value).__name__}", "Convert it to text or a number"
    return TaskInvalid(
        f"Invalid {path}: expected text, a number, a list or a dict, not {what}. {remedy}. Nothing was sent.",
        parameter=path,
    )
