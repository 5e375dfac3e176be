"""The media type of some bytes, detected from the bytes themselves."""

from __future__ import annotations

__all__ = ["CONVERTED_TYPES", "IMAGE_TYPES", "SNIFFED_BYTES", "ending_for", "sniff"]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff", "image/avif"})
"""Types that are opened as images of pixels."""
CONVERTED_TYPES = frozenset(
    {
        "image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif", "image/avif-sequence",
        "image/tiff",
    }
)  # fmt: skip
"""Image types that the service does not accept as inputs (reference 5.1, 5.4): they are converted before sending."""
SNIFFED_BYTES = 65_536
"""How much of a file `sniff` reads. All types but SVG behind long comments are known from 512 bytes."""

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"glTF", "model/gltf-binary"),
    (b"fLaC", "audio/flac"),
)
_ENDINGS = {
    "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/gif": ".gif",
    "image/bmp": ".bmp", "image/tiff": ".tiff", "image/svg+xml": ".svg", "image/avif": ".avif",
    "image/avif-sequence": ".avifs", "image/heic": ".heic", "image/heif": ".heif", "image/heic-sequence": ".heics",
    "image/heif-sequence": ".heifs", "video/mp4": ".mp4", "video/webm": ".webm", "video/quicktime": ".mov",
    "video/x-matroska": ".mkv", "video/ogg": ".ogv", "video/3gpp": ".3gp", "audio/mpeg": ".mp3", "audio/mp4": ".m4a",
    "audio/aac": ".aac", "audio/wav": ".wav", "audio/flac": ".flac", "audio/ogg": ".ogg",
    "model/gltf-binary": ".glb",
}  # fmt: skip
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis"), "image/heic"),
    **dict.fromkeys((b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic-sequence"),
    b"avif": "image/avif", b"avis": "image/avif-sequence",
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), "audio/mp4"),
}  # fmt: skip
"""Brands of ISO files that decide the type, whether they are the major brand or a compatible one."""
_MAJOR_BRANDS = {b"qt  ": "video/quicktime", b"M4V ": "video/mp4", b"M4VH": "video/mp4", b"M4VP": "video/mp4"}
"""Brands that decide only as the major brand: other files list them as compatible (iTunes videos list `M4A `)."""
_OTHER_BRANDS = frozenset({b"crx ", b"jp2 ", b"jpx ", b"jpm ", b"mjp2", b"jxl "})
"""ISO files that are neither a video nor an image that the service or Pillow reads, such as Canon's raw images."""
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"pnot"})
_DIB_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_KBPS = {  # of MPEG audio by (is version 1, layer): ISO 11172-3 2.4.2.3, ISO 13818-3 2.4.2.3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_HZ = (44_100, 48_000, 32_000)
_LAYER_3, _LAYER_2, _LAYER_1 = 1, 2, 3


def sniff(head: bytes) -> str | None:
    """Return the media type of a file from its first bytes (see `SNIFFED_BYTES`); None if it is not one we know."""
    head = head[:SNIFFED_BYTES]
    if head[:4] in {b"RIFF", b"RF64"}:
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _iso_type(head)
    for start, media_type in _STARTS:
        if head.startswith(start):
            return media_type
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/x-matroska" if b"matroska" in head[:64] else "video/webm"
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:512] else "audio/ogg"
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        return _mpeg_audio_type(head) or _svg_type(head)
    if head[:2] == b"BM":  # two letters alone would make a bitmap of a text that begins with "BMW"
        is_bitmap = head[6:10] == b"\0\0\0\0" and int.from_bytes(head[14:18], "little") in _DIB_HEADER_BYTES
        return "image/bmp" if is_bitmap else None
    if head[4:8] in _QUICKTIME_ATOMS and head[:1] == b"\0":  # QuickTime before it had `ftyp`
        return "video/quicktime"
    return _svg_type(head)


def ending_for(media_type: str) -> str:
    """Return the file ending, dot included; `.bin` for a type that has none here."""
    return _ENDINGS.get(media_type, ".bin")


def _iso_type(head: bytes) -> str | None:
    """Return the type of a file of the ISO family (MP4, QuickTime, HEIF, AVIF, M4A) from its brands."""
    size = int.from_bytes(head[:4], "big")
    start, end = (16, int.from_bytes(head[8:16], "big")) if size == 1 else (8, size or len(head))
    major = head[start : start + 4]
    end = min(end, len(head), 512)
    compatible = [head[at : at + 4] for at in range(start + 8, end - 3, 4)]
    if major in _OTHER_BRANDS:
        return None
    if major in _MAJOR_BRANDS:
        return _MAJOR_BRANDS[major]
    if major in _BRANDS:
        return _BRANDS[major]
    if major[:2] == b"3g":
        return "video/3gpp"
    if b"M4V " in compatible:
        return "video/mp4"
    specific = next((_BRANDS[brand] for brand in compatible if brand in _BRANDS), None)
    if specific is not None:
        return specific
    brands = {major, *compatible}
    if b"msf1" in brands:
        return "image/heif-sequence"
    return "image/heif" if brands & {b"mif1", b"mif2", b"miaf"} else "video/mp4"


def _mpeg_audio_type(head: bytes) -> str | None:
    """Return the type of MP3 (MPEG 1, 2 and 2.5, layers I to III) or ADTS AAC, with or without an ID3 tag."""
    if head[:3] == b"ID3":
        if len(head) < 10 or head[3] not in {2, 3, 4} or max(head[6:10]) >= 0x80:  # ID3v2.2 to 2.4
            return None
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        after = head[10 + size + (10 if head[5] & 0x10 else 0) :]  # with a footer
        return "audio/flac" if after[:4] == b"fLaC" else _frame_type(after) or "audio/mpeg"
    return _frame_type(head)


def _frame_type(head: bytes) -> str | None:
    """Return the type of audio that begins with a frame; the second frame, if it is in *head*, has to be one too."""
    media_type, size = _frame(head)
    if media_type is None:
        return None
    if len(head) >= size + 2:
        return media_type if _is_frame_sync(head, head[size : size + 2]) else None
    # FF FE is also the byte order mark of UTF-16 text
    return None if head[:2] == b"\xff\xfe" and head[3:4] == b"\0" else media_type


def _frame(head: bytes) -> tuple[str | None, int]:
    """Return the type and the size in bytes of the audio frame that *head* begins with; None and 0 if it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None, 0
    layer, version = head[1] >> 1 & 3, head[1] >> 3 & 3
    if layer == 0:  # ADTS: twelve bits of sync, and the layer always 0
        size = (head[3] & 3) << 11 | (head[4] << 3 if len(head) > 4 else 0) | (head[5] >> 5 if len(head) > 5 else 0)
        is_adts = head[1] & 0xF0 == 0xF0 and head[2] >> 2 & 0xF < 13 and (len(head) < 6 or size >= 7)
        return ("audio/aac", max(size, 7)) if is_adts else (None, 0)
    rate, frequency = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate in {0, 15} or frequency == 3:  # reserved values; 0 is "free", which no encoder writes
        return None, 0
    is_first = version == 3
    hz = _HZ[frequency] // {3: 1, 2: 2, 0: 4}[version]
    number = {_LAYER_1: 1, _LAYER_2: 2, _LAYER_3: 3}[layer]
    bps = _KBPS[is_first, number][rate - 1] * 1000
    padding = head[2] >> 1 & 1
    if layer == _LAYER_1:
        return "audio/mpeg", (12 * bps // hz + padding) * 4
    return "audio/mpeg", (144 if is_first or layer == _LAYER_2 else 72) * bps // hz + padding


def _is_frame_sync(first: bytes, second: bytes) -> bool:
    return second[0] == 0xFF and second[1] & 0xFE == first[1] & 0xFE


def _svg_type(head: bytes) -> str | None:
    """Return the type of SVG, behind a byte order mark, XML declaration, comments and DOCTYPE; else None."""
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while text[:2] in {b"<?", b"<!"}:
        if text.startswith(b"<?"):
            end = text.find(b"?>")
        elif text.startswith(b"<!--"):
            end = text.find(b"-->")
        elif text[:9].lower() == b"<!doctype":
            if text[9:].lstrip()[:3] != b"svg" and b":svg" not in text[9:40]:
                return None
            end, inner = text.find(b">"), text.find(b"[")
            if 0 <= inner < end:  # declarations of its own, as Illustrator writes them
                inner = text.find(b"]", inner)
                end = text.find(b">", inner) if inner >= 0 else -1
        else:
            return None
        if end < 0:
            return None
        text = text[text.index(b">", end) + 1 :].lstrip()
    name = text[1:64].replace(b"/", b" ").replace(b">", b" ").split(None, 1)[:1] if text[:1] == b"<" else []
    return "image/svg+xml" if name and name[0].rpartition(b":")[2] == b"svg" and text[1:2] != b" " else None
