"""Where media stand in a task (reference 5): which keys hold them, at any depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "MASKED_FIELDS",
    "MASK_FIELDS",
    "has_media_inside",
    "holds_assets",
    "holds_media",
    "is_media_key",
    "kind_of_field",
    "list_media",
    "replace_media",
    "replace_media_at",
]

_KEYS = frozenset(
    {
        "seedImage", "maskImage", "inputImage", "inputImages", "referenceImages", "referenceVideos", "inputAudio",
        "inputAudios", "inputVideo", "inputMasks", "guideImage", "guideImages", "frameImages",
        "superResolutionReferences", "media",
    }
)  # fmt: skip
_AT_TOP = frozenset({"image"})
"""Names that mean media only outside of every object, as in an upload."""
_INSIDE = frozenset(
    {"image", "images", "mask", "video", "videos", "audio", "audios", "documents", "dataset", "references"}
)
"""Names that mean media only inside these objects: elsewhere they may mean something else."""
_HOLDERS = frozenset({"inputs", "puLID", "pulid", "photoMaker", "acePlusPlus", "watermark", "frameImages",
                      "referenceImages"})  # fmt: skip
MASK_FIELDS = frozenset({"maskImage", "mask"})
"""Fields of a mask, which has the size of the image that it is for."""
MASKED_FIELDS = frozenset({"seedImage", "image", "inputImage"})
"""Fields of the image that a mask is for."""
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("seedImage", "maskImage", "inputImage", "inputImages", "referenceImages", "inputMasks", "guideImage",
         "guideImages", "frameImages", "image", "images", "mask"), "image"
    ),
    **dict.fromkeys(("referenceVideos", "inputVideo", "video", "videos"), "video"),
    **dict.fromkeys(("inputAudio", "inputAudios", "audio", "audios"), "audio"),
}  # fmt: skip
_ASSETS = "assets"
"""An object of a task in which every value is a medium, whatever its name. Providers whose service has many names for
media write tasks in this form, and give the values their names when they send the task."""
_OPAQUE = "input"
"""An object of a task whose names belong to the user's own template: a text named `media` there is a text. The provider
moves media out of it into `assets`."""
_PLAIN = (str, int, float, bool, type(None))
_SCALARS = frozenset(_PLAIN)


def holds_assets(key: str) -> bool:
    """Return whether every value inside the object at *key* of a task is a medium, whatever its name."""
    return key == _ASSETS


def is_media_key(key: str, *, is_inside: bool = False, is_at_top: bool = False) -> bool:
    """Return whether a medium is at *key*.

    Args:
        key: Name of the field.
        is_inside: Whether an object such as `inputs` is around it.
        is_at_top: Whether it is a field of the task itself.
    """
    return key in _KEYS or (is_inside and key in _INSIDE) or (is_at_top and key in _AT_TOP)


def kind_of_field(field: str) -> str | None:
    """Return whether a field takes an `image`, a `video` or `audio`; None if it takes several kinds."""
    return _KINDS.get(field)


def has_media_inside(key: str) -> bool:
    """Return whether the object at *key* holds media under general names, such as `image`."""
    return key in _HOLDERS


def holds_media(task: Mapping[str, Any]) -> bool:
    """Return whether a task can hold media at all; most are text and numbers, and this is asked for each of them."""
    return any(key in _KEYS or key in _AT_TOP or type(value) not in _SCALARS for key, value in task.items())


def replace_media(
    task: Mapping[str, Any], replace: Callable[[Any], Any], *, elsewhere: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Rebuild a task with every media value put through *replace*.

    Args:
        task: In wire spelling, with any object where a medium stands; not changed.
        replace: Gives what is to stand there instead.
        elsewhere: Returns what replaces an object in another place, such as that of a prompt; *replace* by default,
            because a medium may stand at a name that is not known here.

    Returns:
        A copy as deep as needed.
    """
    other = replace if elsewhere is None else elsewhere
    return _replace(task, lambda _, value: replace(value), lambda _, value: other(value))


def list_media(task: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List the media values of a task with the innermost field of each, in the order in which they are replaced."""
    found: list[tuple[str, Any]] = []

    def note(field: str, value: Any) -> None:
        found.append((field, value))

    _replace(task, note, note)
    return found


def replace_media_at(task: Mapping[str, Any], replace: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Rebuild a task as `replace_media` does, where *replace* also gets the innermost field of each value."""
    return _replace(task, replace, replace)


_Replace = Callable[[str, Any], Any]


def _replace(task: Mapping[str, Any], replace: _Replace, elsewhere: _Replace) -> dict[str, Any]:
    return {
        key: value
        if key == _OPAQUE and isinstance(value, Mapping)
        else _walk(value, replace, elsewhere, key, is_inside=False, is_at_top=True, is_asset=key == _ASSETS)
        for key, value in task.items()
    }


def _walk(
    value: Any,
    replace: _Replace,
    elsewhere: _Replace,
    key: str,
    *,
    is_inside: bool,
    is_at_top: bool = False,
    is_asset: bool = False,
) -> Any:
    is_place = is_asset or is_media_key(key, is_inside=is_inside, is_at_top=is_at_top)
    if isinstance(value, Mapping):
        inside = is_inside or has_media_inside(key)
        return {
            name: _walk(each, replace, elsewhere, name, is_inside=inside, is_asset=is_asset)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _walk(each, replace, elsewhere, key, is_inside=is_inside, is_at_top=is_at_top, is_asset=is_asset)
            for each in value
        ]
    if is_place and value is not None:
        return replace(key, value)
    return value if isinstance(value, _PLAIN) else elsewhere(key, value)
