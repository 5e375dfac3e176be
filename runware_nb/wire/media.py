"""What kind of medium some bytes are, decided by the bytes."""

from __future__ import annotations

__all__ = ["IMAGE_TYPES", "ending_for", "sniff"]

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"})

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"glTF", "model/gltf-binary"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_ENDINGS = {
    "image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/gif": ".gif",
    "image/bmp": ".bmp", "image/tiff": ".tiff", "image/svg+xml": ".svg", "video/mp4": ".mp4",
    "video/webm": ".webm", "video/quicktime": ".mov", "audio/mpeg": ".mp3", "audio/wav": ".wav",
    "audio/flac": ".flac", "audio/ogg": ".ogg", "model/gltf-binary": ".glb",
}  # fmt: skip


def sniff(head: bytes) -> str | None:
    """Name the media type of a file from its first bytes (512 are plenty); None when it is none we know."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:10] == b"qt" else "video/mp4"
    for start, media_type in _STARTS:
        if head.startswith(start):
            return media_type
    text = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "image/svg+xml" if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text else None


def ending_for(media_type: str) -> str:
    """Give the file ending, dot included; `.bin` for a type that has none here."""
    return _ENDINGS.get(media_type, ".bin")
