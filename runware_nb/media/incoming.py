"""Media that a user gives: a path, bytes, a PIL image, an array. What it is, its content decides."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.media_types import CONVERTED_TYPES, IMAGE_TYPES, SNIFFED_BYTES, sniff
from ..core.parsing import is_uuid
from ..core.results import Outcome, Result
from ..errors import MediaError
from ..reprs import short_repr
from .decode import MAX_PIXELS, ImageDamaged, ImageTooLarge, decode

__all__ = ["LoadedMedium", "cannot_use", "check_kind", "content_of", "given_bytes", "is_sendable", "load_medium",
           "media_bytes", "shown"]  # fmt: skip

_MAX_FILE_BYTES = 512 * 1024 * 1024
_ORIENTATION = 0x0112
"""The tag of EXIF that states how an image is to be turned."""
_MOST_OF_BYTE, _MOST_OF_TWO_BYTES = 255, 65_535
_TURNED = frozenset(range(2, 9))
_LOSSY = frozenset({"image/jpeg", "image/webp", "image/heic", "image/heif", "image/heic-sequence",
                    "image/heif-sequence", "image/avif", "image/avif-sequence"})  # fmt: skip
_ACCEPTED: Mapping[str, str] = {
    "image": "a PNG, JPEG, WEBP, BMP or GIF image",
    "video": "an MP4, MOV or WEBM video",
    "audio": "an MP3, WAV, FLAC, OGG or M4A file",
}
_WHAT_TO_DO: Mapping[type[MediaError], str] = {
    ImageTooLarge: " Reduce its size.", ImageDamaged: " Save or download it again.",
}  # fmt: skip
_DTYPES = {"f2": "float16", "f4": "float32", "f8": "float64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
           "u8": "uint64", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "b1": "bool"}  # fmt: skip


def is_sendable(value: Any) -> bool:
    """Return whether a media value can be sent as it is: a URL, a UUID, a data URI, or base64 of a known type.

    Inline data of a type that the service does not accept has to be converted first.
    """
    if not isinstance(value, str):
        return False
    if value.startswith(("http://", "https://")) or is_uuid(value):
        return True
    kind = _inline_type(value)
    return kind not in CONVERTED_TYPES and (kind is not None or value.startswith("data:"))


@short_repr()
@dataclass(frozen=True, slots=True)
class LoadedMedium:
    """A medium that was read once, and is sent as it is here.

    Attributes:
        name: What it is, for messages, such as its path.
        original: The bytes as given.
        sha256: SHA-256 of the bytes as given.
        body: The bytes as they are sent: upright, and of a type that services accept. Mostly these are the same.
        media_type: Media type of *body*.
        size_px: Width and height in pixels, as it is sent; None if it is not an image of pixels.
    """

    name: str = field(repr=False)
    original: bytes = field(repr=False)
    sha256: str
    body: bytes = field(repr=False)
    media_type: str
    size_px: tuple[int, int] | None = None

    @property
    def sent_sha256(self) -> str:
        """SHA-256 of the bytes as they are sent."""
        return self.sha256 if self.body is self.original else hashlib.sha256(self.body).hexdigest()


def load_medium(value: Any, *, kind: str | None = None, is_mask: bool = False) -> LoadedMedium:
    """Read a medium, check it, and bring it into the form in which it is sent.

    Args:
        value: Bytes; a path (`str` or `Path`); a data URI or base64; a PIL image; a numpy array of shape
            `(height, width)`, `(height, width, 3)` or `(height, width, 4)`, uint8, top row first; anything with such
            a `bytes` attribute, as an earlier result has; an outcome with exactly one result.
        kind: `image`, `video` or `audio` if only that makes sense in its place.
        is_mask: Whether it is a mask, which has no transparency: transparent pixels are black, so they are kept.

    Raises:
        MediaError: It does not exist, is empty, is of no known type, is broken, or cannot be converted.
    """
    if isinstance(value, LoadedMedium):
        return value
    name, original = _read_value(value)
    if not original:
        raise cannot_use(name, "it is empty (0 bytes)", "Choose another file.")
    sniffed = sniff(original)
    if sniffed is None:
        raise cannot_use(
            name,
            f"it is not an image, video, audio or 3D file of a known type: it begins with {_start_of(original)}",
            f"Use {_ACCEPTED[kind or 'image']}.",
        )
    check_kind(name, sniffed, kind)
    try:
        body, media_type, size_px = _sendable_form(original, sniffed, is_mask=is_mask)
    except MediaError as error:
        why = error.problem.removeprefix("Cannot use it: ").removesuffix(".")
        what_to_do = next((text for kind_of, text in _WHAT_TO_DO.items() if isinstance(error, kind_of)), "")
        raise MediaError(f"Cannot use {name}: {why}.{what_to_do}") from error
    return LoadedMedium(name, original, hashlib.sha256(original).hexdigest(), body, media_type, size_px)


def given_bytes(value: Any) -> tuple[bytes, str]:
    """Return the bytes of a medium as they were given, and their media type. See `load_medium`.

    A photo that would be turned upright keeps what its file says about its origin.

    Raises:
        MediaError: It does not exist, is empty, is of no known type, is broken, or cannot be converted.
    """
    medium = load_medium(value)
    return medium.original, sniff(medium.original) or medium.media_type


def media_bytes(value: Any) -> tuple[bytes, str]:
    """Return the bytes of a medium as they are sent, and their media type. See `load_medium`.

    Raises:
        MediaError: It does not exist, is empty, is of no known type, is broken, or cannot be converted.
    """
    medium = load_medium(value)
    return medium.body, medium.media_type


def check_kind(name: str, media_type: str, kind: str | None) -> None:
    """Raise if a medium is of another kind than its place in a task takes.

    Args:
        name: What the medium is, for the message.
        media_type: Its media type.
        kind: `image`, `video` or `audio`; None if any is accepted.

    Raises:
        MediaError: It is of another kind, or an SVG file, which has no pixels.
    """
    if kind is None:
        return
    found = media_type.partition("/")[0]
    if found == "model":
        found = "3D"
    is_fine = found == kind or (kind == "audio" and found == "video")  # a video may have a sound track
    if not is_fine:
        article = "an" if found in {"image", "audio"} else "a"
        needed = "an image" if kind == "image" else f"a {kind}" if kind == "video" else "audio"
        raise cannot_use(name, f"it is {article} {found} file ({media_type}), and {needed} is needed",
                         f"Use {_ACCEPTED[kind]}.")  # fmt: skip
    if media_type == "image/svg+xml":
        raise cannot_use(
            name,
            "it is an SVG drawing, which has no pixels",
            f"Use the image that it was made from, or export it as {_ACCEPTED['image']}.",
        )


def cannot_use(name: str, why: str, what_to_do: str) -> MediaError:
    """Build the error about a medium that cannot be sent, as one sentence and what to do."""
    return MediaError(f"Cannot use {name}: {why}. {what_to_do}")


def shown(text: str, most: int = 80) -> str:
    """Quote a value in a few characters; of a path, the end is what tells it from others."""
    return repr(text if len(text) <= most else f"{text[:20]}...{text[20 - most :]}")


def content_of(value: Any, hashes: Mapping[str, str]) -> Any:
    """Name a sendable medium by its content: `sha256:...` for bytes that are known, an address as it is.

    Args:
        value: As `is_sendable` lets pass.
        hashes: SHA-256 of media by UUID.
    """
    if not isinstance(value, str):
        return value
    if value in hashes:
        return f"sha256:{hashes[value]}"
    if value.startswith(("http://", "https://")) or is_uuid(value):
        return value
    try:
        body = base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _inline_type(text: str) -> str | None:
    """Return the media type of a data URI or of base64, detected from its content; None if it is neither."""
    start = text.find(",") + 1 if text.startswith("data:") else 0
    head = text[start : start + SNIFFED_BYTES * 4 // 3].rstrip("=")
    try:
        return sniff(base64.b64decode(head[: len(head) // 4 * 4], validate=True))
    except (binascii.Error, ValueError):
        return None


def _read_value(value: Any) -> tuple[str, bytes]:
    """Return what a medium is, for messages, and its bytes as given."""
    if isinstance(value, str) and (value.startswith("data:") or _inline_type(value) is not None):
        return f"the inline data {shown(value, 40)}", _inline_body(value)
    if isinstance(value, bytes | bytearray | memoryview):
        body = bytes(value)
        return f"these {len(body):,} bytes", body
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        name = shown(path if isinstance(path, str) else os.fsdecode(path))
        return name, _read(path, name)
    if hasattr(value, "__array_interface__") and not hasattr(value, "save"):
        return _array_name(value), _encoded(_from_array(value), _array_name(value))
    if hasattr(value, "save") and hasattr(value, "mode"):
        name = f"the PIL image ({value.mode}, {'x'.join(map(str, value.size))} px)"
        return name, _encoded(_upright(value), name)
    if isinstance(value, Outcome):
        return _read_value(_only_result(value))
    if isinstance(value, Result):
        name = f"result #{value.index + 1} of run {value.task_uuid[:8]}"
        if value.medium is None and value.text is not None:
            raise cannot_use(name, "it is text, and a file is needed", "Use a result that is a file.")
        return name, value.bytes
    content = getattr(value, "bytes", None)
    if isinstance(content, bytes):
        return "the result's file", content
    raise MediaError(
        f"Cannot use a value of type {type(value).__name__} as a medium. Use a path, bytes, a PIL image, a numpy array "
        "of uint8, a URL, a data URI, a UUID, or an earlier result."
    )


def _only_result(outcome: Outcome) -> Result:
    results = outcome.results
    if len(results) == 1:
        return results[0]
    name = f"the outcome of run {outcome.task_uuid[:8]}"
    if not results:
        raise cannot_use(name, "it has no result", "Use an outcome with a result.")
    raise cannot_use(name, f"it has {len(results)} results, and one is needed", "Choose one by its index, such as [0].")


def _inline_body(text: str) -> bytes:
    head, comma, rest = text.partition(",") if text.startswith("data:") else ("", ",", text)
    name = f"the inline data {shown(text, 40)}"
    if not comma or (head and not head.endswith(";base64")):
        raise cannot_use(name, "it is not a data URI with base64", "Write it as data:image/png;base64,....")
    try:
        return base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError) as error:
        raise cannot_use(name, f"its base64 is invalid ({error})", "Copy it again as a whole.") from error


def _read(value: str | bytes, name: str) -> bytes:
    try:
        path = Path(os.fsdecode(value)).expanduser()
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise cannot_use(name, "it is a directory", "Give one file in it.")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a terminal might never end
            raise cannot_use(name, "it is not a regular file", "Save the data as a file first.")
        if status.st_size > _MAX_FILE_BYTES:
            raise cannot_use(
                name, f"it has {status.st_size:,} bytes, and files up to {_MAX_FILE_BYTES:,} are sent", "Reduce it."
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise cannot_use(
            name, f"there is no such file in {shown(str(Path.cwd()))}", "Check the path, or give a URL or a run."
        ) from error
    except PermissionError as error:
        raise cannot_use(name, "you have no permission to read it", "Change its permissions.") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise cannot_use(name, f"it cannot be read ({reason})", "Check the path, or give a URL or a run.") from error


def _start_of(body: bytes) -> str:
    text = body[:16].decode("utf-8", "replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else repr(body[:8])


def _sendable_form(original: bytes, kind: str, *, is_mask: bool) -> tuple[bytes, str, tuple[int, int] | None]:
    """Return a medium as it is sent, its media type, and its size in pixels if it is an image of pixels.

    An image is encoded again only if the service would not accept its type, or if it would have to be turned upright:
    services differ in whether they honor the orientation in the file, and a mask has to fit in any case.
    """
    if kind not in IMAGE_TYPES and kind not in CONVERTED_TYPES:
        return original, kind, None
    image: Any = decode(original)
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if is_mask and has_alpha:
        flat = _upright(image).convert("RGBA")
        return _png(_over_black(flat)), "image/png", flat.size
    if kind in CONVERTED_TYPES or _is_turned(image):
        body, media_type = _converted(image, kind)
        return body, media_type, _size_of(body)
    return original, kind, image.size


def _over_black(image: Any) -> Any:
    """Lay a mask over black: what is transparent is not marked, so it is kept."""
    from PIL import Image

    flat = Image.new("RGBA", image.size, (0, 0, 0, 255))
    flat.alpha_composite(image)
    return flat.convert("L")


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _size_of(body: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(body)) as image:
        return image.size


def _is_turned(image: Any) -> bool:
    """Return whether a file states that its image is shown in another orientation than its pixels are stored in."""
    try:
        return image.getexif().get(_ORIENTATION, 1) in _TURNED
    except Exception:  # noqa: BLE001 - Pillow raises many classes for broken EXIF; it is then no reason to turn
        return False


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    with contextlib.suppress(Exception):  # as above
        return ImageOps.exif_transpose(image) if _is_turned(image) else image
    return image


def _converted(image: Any, kind: str) -> tuple[bytes, str]:
    """Convert an image to a type that the service accepts, as it is meant to look.

    It is turned upright, and its colors are converted to sRGB, since the service may ignore both. An image with
    transparency and one of a type without losses become a PNG; others become a JPEG of high quality, because they were
    compressed with losses already and a PNG of a photo is many times larger.

    Args:
        image: Decoded. It is untyped, because Pillow's own types differ between versions.
        kind: Media type of its file.

    Raises:
        MediaError: It contains several images.
    """
    count = getattr(image, "n_frames", 1)
    if count > 1 and (kind.endswith("-sequence") or kind == "image/tiff"):
        raise MediaError(f"it contains {count} images, and one is needed. Save one of them as PNG or JPEG")
    image = _upright(image)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _encoded(image, "it"), "image/png"
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else None
    upright, profile = _in_srgb(image)
    if alpha is not None:
        upright.putalpha(alpha)
    buffer = io.BytesIO()
    more = {} if profile is None else {"icc_profile": profile}
    try:
        if alpha is None and kind in _LOSSY:
            upright.save(buffer, "JPEG", quality=95, subsampling=0, **more)
            return buffer.getvalue(), "image/jpeg"
        upright.save(buffer, "PNG", **more)
    except (OSError, ValueError) as error:
        raise MediaError(f"the {kind} file cannot be converted: {error}") from error
    return buffer.getvalue(), "image/png"


def _in_srgb(image: Any) -> tuple[Any, bytes | None]:
    """Return an image in RGB with its colors in sRGB; also its profile, if it could not be applied."""
    profile = image.info.get("icc_profile")
    plain = image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")
    if not profile:
        return plain.convert("RGB"), None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        turned: Any = ImageCms.profileToProfile(plain, source, target, outputMode="RGB")
    except (ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):  # ImportError: Pillow without lcms
        return plain.convert("RGB"), profile if plain.mode == "RGB" else None
    turned.info.pop("icc_profile", None)
    return turned, None


def _array_name(array: Any) -> str:
    interface = array.__array_interface__
    kind = str(interface.get("typestr"))
    return f"the array of shape {interface.get('shape')} and type {_DTYPES.get(kind[1:], kind)}"


def _from_array(array: Any) -> Any:
    from PIL import Image

    name, interface = _array_name(array), array.__array_interface__
    shape, kind = interface.get("shape"), str(interface.get("typestr"))
    is_shape = len(shape) == 2 or (len(shape) == 3 and shape[2] in {3, 4})
    if not is_shape or 0 in shape:
        raise cannot_use(
            name, "it is not an image", "Use the shape (height, width), (height, width, 3) or (height, width, 4)."
        )
    if kind[1:] not in {"u1", "b1"}:  # others would be squeezed into 8 bits without a word
        raise cannot_use(name, f"pixels are uint8 from 0 to 255{_range_of(array)}", _how_to_scale(array, kind))
    try:
        return Image.fromarray(array)
    except (TypeError, ValueError, AttributeError) as error:
        raise cannot_use(name, f"it is not an image ({error})", "Use an array of uint8.") from error


def _range_of(array: Any) -> str:
    with contextlib.suppress(Exception):
        return f", and its values are {float(array.min()):g} to {float(array.max()):g}"
    return ""


def _how_to_scale(array: Any, kind: str) -> str:
    if kind[1:] == "u2":
        return "Convert it with (x // 257).astype('uint8')."
    with contextlib.suppress(Exception):
        low, high = float(array.min()), float(array.max())
        if low >= 0 and 1 < high <= 255:
            return "Convert it with x.round().astype('uint8')."
    return "Scale it from 0 to 1, and convert it with (x * 255).round().astype('uint8')."


def _in_bytes(image: Any, name: str) -> Any:
    """Convert an image of floats or of 32-bit integers, whose range nothing states, if its values show the range."""
    low, high = image.getextrema()
    if low >= 0 and 1 < high <= _MOST_OF_BYTE:
        return image.convert("L")
    if image.mode == "I" and low >= 0 and high <= _MOST_OF_TWO_BYTES:
        return image  # written with 16 bits
    raise cannot_use(
        name,
        f"its values are {low:g} to {high:g}, and pixels are 0 to 255",
        "Scale it to 0 to 255, and convert it with .convert('L').",
    )


def _encoded(image: Any, name: str) -> bytes:
    """Encode an image in memory as PNG."""
    if 0 in image.size:
        raise cannot_use(name, "it has no pixels", "Use an image of at least 1x1 px.")
    if image.width * image.height > MAX_PIXELS:
        raise cannot_use(name, f"it has more than {MAX_PIXELS:,} pixels", "Reduce it.")
    if image.mode in {"F", "I"}:
        image = _in_bytes(image, name)
    buffer = io.BytesIO()
    try:
        if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}:
            image = image.convert("RGBA" if "A" in image.getbands() or "a" in image.getbands() else "RGB")
        image.save(buffer, "PNG")
    except (OSError, ValueError, TypeError, SystemError) as error:
        raise cannot_use(name, f"it cannot be encoded as PNG ({error})", "Convert it with .convert('RGB').") from error
    return buffer.getvalue()
