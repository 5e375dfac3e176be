"""Where an image came from, inside the file itself. Pixels are untouched: only the container around them changes.

It is for other tools, for ourselves, and for whoever asks whether a machine made the picture. Three things are
written: the infotext that web UIs read (PNG text `parameters`, else EXIF UserComment), our own JSON (PNG text
`runware_nb`, else inside XMP), and XMP with IPTC's digital source type.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from ..core.infotext import Infotext, parse_infotext
from ..core.media_types import sniff
from ..errors import MediaError
from ..printable import printable
from ..reprs import shortened

__all__ = ["PROVENANCE_TYPES", "Provenance", "embed", "is_same_medium", "read_provenance", "without_origin"]

PROVENANCE_TYPES = ("image/png", "image/jpeg", "image/webp")
"""Types of files into which provenance is written, and from which it is read."""
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for what a trained model made (IPTC NewsCodes, Digital Source Type)."""

_OUR_KEY = "runware_nb"
_OUR_SPACE = "https://runware-nb.dev/ns/1.0/"
_XMP_KEY = b"XML:com.adobe.xmp"
_XMP_START = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF_START = b"Exif\0\0"
_USER_COMMENT, _EXIF_IFD, _ORIENTATION = 0x9286, 0x8769, 0x0112
_PNG_START = b"\x89PNG\r\n\x1a\n"
_MOST_TEXT = 8 * 1024 * 1024
_JPEG_SEGMENT = 65_533


@dataclass(frozen=True, slots=True, repr=False)
class Provenance:
    """What a file says about where it came from.

    Attributes:
        infotext: The parameters in the form of the web UIs, as text; None where there are none.
        record: Our own JSON; None where we did not write the file.
        is_marked_generated: Whether XMP says that a trained model made it.
        others: Texts that other tools left, by name, such as ComfyUI's `workflow`.
    """

    infotext: str | None = None
    record: dict[str, Any] | None = None
    is_marked_generated: bool = False
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the file says nothing at all."""
        return self.infotext is None and self.record is None and not self.is_marked_generated and not self.others

    def __repr__(self) -> str:
        if self.is_empty:
            return "<Provenance: the file says nothing>"
        run = str((self.record or {}).get("task_uuid", ""))[:8]
        read = self.parameters
        parts = [f"run {run}" if run else "", *(f"{name} {read.settings[name]}" for name in ("Model", "Seed")
                                              if read is not None and name in read.settings),
                 "marked as generated" if self.is_marked_generated else "", *self.others]  # fmt: skip
        prompt = "" if read is None else f": {read.prompt[:80]!r}"
        return printable(f"<Provenance {shortened(', '.join(filter(None, parts)), 200)}{prompt}>")

    @property
    def parameters(self) -> Infotext | None:
        """The infotext, read; None where there is none."""
        return None if self.infotext is None else parse_infotext(self.infotext)


def embed(body: bytes, *, infotext: str, record: Mapping[str, Any]) -> bytes:
    """Write provenance into a PNG, JPEG or WebP; any other kind of file is returned as it is.

    Args:
        body: The file, as received.
        infotext: Parameters, for other tools.
        record: Our own JSON.

    Returns:
        A file with the same pixels, bit for bit; *body* itself where it has no place for this.
    """
    kind = sniff(body)
    ours = json.dumps(record, ensure_ascii=False, sort_keys=True)
    try:
        if kind == "image/png":
            return _into_png(body, infotext, ours)
        if kind == "image/jpeg":
            return _into_jpeg(body, infotext, ours)
        if kind == "image/webp":
            return _into_webp(body, infotext, ours)
    except (struct.error, IndexError, ValueError, OverflowError, OSError, RuntimeError):
        return body  # a container that is not what it says: the bytes matter more than our words in them
    return body


def read_provenance(body: bytes) -> Provenance:
    """Read what a file says; nothing in it is believed or run.

    Raises:
        MediaError: It is no image of a kind that carries provenance.
    """
    kind = sniff(body)
    readers = {"image/png": _from_png, "image/jpeg": _from_jpeg, "image/webp": _from_webp}
    if kind not in readers:
        raise MediaError(f"Only PNG, JPEG and WebP files contain provenance, and this is {kind or 'of another type'}.")
    texts = dict(readers[kind](body))
    xmp = texts.pop("XML:com.adobe.xmp", "")
    record = _record(texts.pop(_OUR_KEY, "") or _from_xmp(xmp))
    return Provenance(texts.pop("parameters", None), record, SOURCE_TYPE in xmp, texts)


def is_same_medium(first: bytes, second: bytes) -> bool:
    """Return whether two files show the same, bit for bit, whatever they say about where they came from."""
    return first == second or (sniff(first) == sniff(second) and _shown(first) == _shown(second))


def without_origin(body: bytes) -> bytes:
    """Return a file without what `embed` added to it.

    For a PNG these are exactly the bytes that `embed` was given. A JPEG or WebP loses all its EXIF and XMP, because
    `embed` merges its own with what was there before. Any other file is returned as it is.
    """
    try:
        kind = sniff(body)
        if kind == "image/png":
            return _bare_png(body)
        if kind == "image/jpeg":
            return _bare_jpeg(body)
        if kind == "image/webp":
            return _bare_webp(body)
    except (struct.error, IndexError, ValueError):
        return body
    return body


def _shown(body: bytes) -> tuple[bytes, int]:
    """Return what decides how a file looks: its bytes without texts, and the orientation that its EXIF asks for."""
    try:
        kind = sniff(body)
        if kind == "image/png":
            return _bare_png(body), 0
        if kind == "image/jpeg":
            exif = next(
                (part for _, marker, part in _jpeg_segments(body) if marker == 0xE1 and part[:6] == _EXIF_START), b""
            )
            return _bare_jpeg(body), _orientation(exif)
        if kind == "image/webp":
            exif = next((part for name, part in _webp_chunks(body) if name == b"EXIF"), b"")
            return _bare_webp(body), _orientation(exif)
    except (struct.error, IndexError, ValueError):
        pass  # a broken container is compared as it is
    return body, 0


def _bare_png(body: bytes) -> bytes:
    chunks = list(_png_chunks(body))
    ours = [name + content.partition(b"\0")[0] for _, name, content in chunks[1:4]]
    texts = {b"tEXtparameters", b"iTXtparameters"}, {b"tEXt" + _OUR_KEY.encode(), b"iTXt" + _OUR_KEY.encode()}
    if len(ours) < 3 or ours[0] not in texts[0] or ours[1] not in texts[1] or ours[2] != b"iTXt" + _XMP_KEY:
        return body
    end = chunks[3][0] + 12 + len(chunks[3][2])
    return body[: chunks[1][0]] + body[end:]


def _bare_jpeg(body: bytes) -> bytes:
    kept, end = bytearray(body[:2]), 2
    for at, marker, content in _jpeg_segments(body):
        kept += body[end:at]
        end = at + 4 + len(content)
        if not (marker == 0xE1 and content.startswith((_EXIF_START, _XMP_START))):
            kept += body[at:end]
    return bytes(kept) + body[end:]


def _bare_webp(body: bytes) -> bytes:
    chunks = list(_webp_chunks(body))
    if sum(8 + len(part) + len(part) % 2 for _, part in chunks) + 12 != len(body):
        raise ValueError("cut short, or followed by something else")
    kept = []
    for name, content in chunks:
        if name in {b"EXIF", b"XMP "}:
            continue
        if name == b"VP8X":
            flags = content[0] & ~0x0C
            if not flags & ~0x10:
                continue  # it announces nothing else: `embed` added it, or may have
            kept.append((name, bytes([flags]) + content[1:]))
        else:
            kept.append((name, content))
    content = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in kept)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def _orientation(exif_bytes: bytes) -> int:
    if not exif_bytes:
        return 1
    from PIL.Image import Exif

    exif = Exif()
    try:
        exif.load(exif_bytes)
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - as in `_exif`: broken EXIF says nothing
        return 1
    return value if isinstance(value, int) else 1


def _xmp(ours: str) -> str:
    """Write an XMP packet; *ours* only where the container has no other place for it."""
    record = f"<ours:record>{escape(ours)}</ours:record>" if ours else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:ours="{_OUR_SPACE}">'
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>{record}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _from_xmp(xmp: str) -> str:
    from xml.sax.saxutils import unescape

    start, end = xmp.find("<ours:record>"), xmp.find("</ours:record>")
    return unescape(xmp[start + len("<ours:record>") : end]) if 0 <= start < end else ""


def _record(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# --- PNG ---------------------------------------------------------------------------------------------


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _text_chunk(key: bytes, text: str) -> bytes:
    """Write `tEXt` where Latin-1 is enough, as most readers look for, else `iTXt`."""
    try:
        return _chunk(b"tEXt", key + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", key + b"\0\0\0\0\0" + text.encode())


def _png_chunks(body: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Give each chunk's place, name and content."""
    at = len(_PNG_START)
    while at + 12 <= len(body):
        (size,) = struct.unpack_from(">I", body, at)
        if at + 12 + size > len(body):
            return
        yield at, body[at + 4 : at + 8], body[at + 8 : at + 8 + size]
        at += 12 + size


def _into_png(body: bytes, infotext: str, ours: str) -> bytes:
    first = next(_png_chunks(body), None)
    if first is None or first[1] != b"IHDR":
        raise ValueError("no header first")
    at = first[0] + 12 + len(first[2])
    xmp = _chunk(b"iTXt", _XMP_KEY + b"\0\0\0\0\0" + _xmp("").encode())
    return body[:at] + _text_chunk(b"parameters", infotext) + _text_chunk(_OUR_KEY.encode(), ours) + xmp + body[at:]


def _from_png(body: bytes) -> Iterator[tuple[str, str]]:
    for _, name, content in _png_chunks(body):
        key, _, rest = content.partition(b"\0")
        try:
            if name == b"tEXt":
                yield key.decode("latin-1"), rest.decode("latin-1")
            elif name == b"zTXt":
                yield key.decode("latin-1"), _inflated(rest[1:]).decode("latin-1")
            elif name == b"iTXt":
                is_packed = rest[:1] == b"\1"
                text = rest[2:].split(b"\0", 2)[2]
                yield key.decode("latin-1"), (_inflated(text) if is_packed else text).decode("utf-8", "replace")
        except (zlib.error, IndexError):
            continue
        if name == b"IEND":
            return


def _inflated(packed: bytes) -> bytes:
    """Unpack a text, as far as a text may go: a bomb gives its beginning."""
    return zlib.decompressobj().decompress(packed, _MOST_TEXT)


# --- JPEG --------------------------------------------------------------------------------------------


def _jpeg_segments(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Give each segment's place, marker and content, up to the picture itself."""
    at = 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in {0xDA, 0xD9}:
            return
        (size,) = struct.unpack_from(">H", body, at + 2)
        yield at, marker, body[at + 4 : at + 2 + size]
        at += 2 + size


def _into_jpeg(body: bytes, infotext: str, ours: str) -> bytes:
    """Put EXIF and XMP behind the JFIF header; what was there of both is replaced, its EXIF values kept."""
    kept, old_exif = bytearray(body[:2]), b""
    after_header = 2
    end = 2
    for at, marker, content in _jpeg_segments(body):
        end = at + 4 + len(content)
        if marker == 0xE1 and content.startswith(_EXIF_START):
            old_exif = content
        elif not (marker == 0xE1 and content.startswith(_XMP_START)):
            kept += body[at:end]
            if marker == 0xE0:
                after_header = len(kept)
    segments = b""
    for content in (_exif(infotext, old_exif), _XMP_START + _xmp(ours).encode()):
        if len(content) <= _JPEG_SEGMENT:  # what is larger has no place in a JPEG
            segments += b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    return bytes(kept[:after_header]) + segments + bytes(kept[after_header:]) + body[end:]


def _from_jpeg(body: bytes) -> Iterator[tuple[str, str]]:
    for _, marker, content in _jpeg_segments(body):
        if marker == 0xE1 and content.startswith(_EXIF_START):
            comment = _user_comment(content)
            if comment:
                yield "parameters", comment
        elif marker == 0xE1 and content.startswith(_XMP_START):
            yield "XML:com.adobe.xmp", content[len(_XMP_START) :].decode("utf-8", "replace")
        elif marker == 0xFE:
            yield "comment", content.decode("utf-8", "replace")


# --- EXIF --------------------------------------------------------------------------------------------


def _exif(infotext: str, old: bytes) -> bytes:
    """Write EXIF with the infotext as UserComment, in the encoding that web UIs use; other values are kept."""
    from PIL.Image import Exif

    exif = Exif()
    try:
        exif.load(old)
        inner = dict(exif.get_ifd(_EXIF_IFD))
    except Exception:  # noqa: BLE001 - Pillow raises many kinds for broken EXIF, and broken EXIF is no loss
        exif, inner = Exif(), {}
    inner[_USER_COMMENT] = b"UNICODE\0" + infotext.encode("utf-16-be", "replace")
    exif[_EXIF_IFD] = inner
    made: bytes = exif.tobytes()
    for as_byte, as_undefined in ((b"\x92\x86\0\x01", b"\x92\x86\0\x07"), (b"\x86\x92\x01\0", b"\x86\x92\x07\0")):
        made = made.replace(as_byte, as_undefined, 1)  # Pillow gives the comment the wrong type of EXIF 2.3, 4.6.5
    return made if made.startswith(_EXIF_START) else _EXIF_START + made


def _user_comment(exif_bytes: bytes) -> str:
    from PIL.Image import Exif

    exif = Exif()
    try:
        exif.load(exif_bytes)
        value = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except Exception:  # noqa: BLE001 - as above: what cannot be read says nothing
        return ""
    if isinstance(value, str):
        return value.strip("\0 ")
    if not isinstance(value, bytes):
        return ""
    label, text = value[:8], value[8:]
    if label == b"UNICODE\0":
        # the standard leaves the byte order open: whichever gives more zero bytes in its high half is right
        is_little = text[1::2].count(0) > text[0::2].count(0)
        return text.decode("utf-16-le" if is_little else "utf-16-be", "replace").strip("\0 \ufeff")
    if label in {b"ASCII\0\0\0", b"\0" * 8}:
        return text.decode("utf-8", "replace").strip("\0 ")
    return value.decode("utf-8", "replace").strip("\0 ")


# --- WebP --------------------------------------------------------------------------------------------


def _webp_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(body):
        (size,) = struct.unpack_from("<I", body, at + 4)
        yield body[at : at + 4], body[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _into_webp(body: bytes, infotext: str, ours: str) -> bytes:
    """Append EXIF and XMP, and announce them in the extended header, which a simple file has not got yet."""
    chunks = list(_webp_chunks(body))
    if sum(8 + len(part) + len(part) % 2 for _, part in chunks) + 12 != len(body):
        raise ValueError("cut short, or followed by something else")
    old_exif = next((content for name, content in chunks if name == b"EXIF"), b"")
    kept = [(name, content) for name, content in chunks if name not in {b"EXIF", b"XMP ", b"VP8X"}]
    header = next((content for name, content in chunks if name == b"VP8X"), None) or _extended_header(body, kept)
    flags = header[0] | 0x08 | 0x04
    exif = _exif(infotext, old_exif)
    made = [(b"VP8X", bytes([flags]) + header[1:]), *kept, (b"EXIF", exif.removeprefix(_EXIF_START)),
            (b"XMP ", _xmp(ours).encode())]  # fmt: skip
    content = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in made)
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def _extended_header(body: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Make the header that a simple file lacks: flags, three bytes reserved, width and height less one."""
    from PIL import Image

    with Image.open(io.BytesIO(body), formats=["WEBP"]) as image:
        width, height = image.size
    has_alpha = any(name == b"VP8L" and len(part) > 4 and part[4] & 0x10 for name, part in chunks)
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes([0x10 if has_alpha else 0, 0, 0, 0]) + size


def _from_webp(body: bytes) -> Iterator[tuple[str, str]]:
    for name, content in _webp_chunks(body):
        if name == b"EXIF":
            comment = _user_comment(content if content.startswith(_EXIF_START) else _EXIF_START + content)
            if comment:
                yield "parameters", comment
        elif name == b"XMP ":
            yield "XML:com.adobe.xmp", content.decode("utf-8", "replace")
