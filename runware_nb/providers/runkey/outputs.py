"""What a RunKey task produced, as results. The contents of `output` are the template's own (section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ...core.items import Item
from .protocol import RunKeyTask

__all__ = ["Output", "outputs_of"]

_SMALL = ("thumb", "preview", "poster")
"""What the names of small versions begin with or contain, as in `thumbnail_url`."""
_KINDS: Mapping[str, tuple[str, ...]] = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".svg"),
    "video": (".mp4", ".mov", ".webm", ".mkv"),
    "audio": (".mp3", ".wav", ".flac", ".ogg", ".m4a", ".aac"),
}
_TEXT_KEYS = frozenset(
    {"text", "caption", "answer", "content", "transcript", "description", "prompt", "result", "output"}
)
_DEEPEST = 32

Output = Item
"""The `raw` of a result: its medium, text or JSON, and `runkey` with the service's object."""


def outputs_of(task: RunKeyTask, given: Mapping[str, Any]) -> list[Output]:
    """Return the results of a completed task, each as its `raw`.

    Each URL is a result. Thumbnails and previews are left out if there is another URL. Everything that is not a URL
    is one further result: a text if it is nothing else, otherwise JSON.

    Args:
        task: Completed.
        given: The input that was sent. A URL in it is no result where a template repeats it in its output.
    """
    own_urls = {url for _, url in _urls(given, "")}
    urls = [(path, url) for path, url in _urls(task.output, "") if url not in own_urls]
    main = [(path, url) for path, url in urls if not _is_small(path)]
    results: list[Output] = []
    for path, url in main or urls:
        results.append({_field_of(url): url, "outputPath": path})
    rest = _without_urls(task.output, own_urls)
    text = _text_of(rest)
    if text is not None:
        results.append({"text": text})
    elif not _is_empty(rest) or not results:
        results.append({"structuredData": {} if rest is None else rest})
    described = {name: value for name, value in task.raw.items() if name != "input"}
    return [{**result, "resultIndex": index, "runkey": described} for index, result in enumerate(results)]


def document_kind(url: str) -> str:
    """Return `json` or `text` if a URL leads to such a file, by its ending; empty otherwise."""
    ending = _ending(url)
    return "json" if ending == ".json" else "text" if ending in {".txt", ".md", ".srt", ".vtt"} else ""


def _urls(value: Any, path: str, levels: int = _DEEPEST) -> Iterator[tuple[str, str]]:
    """Yield each URL in a value, with the names that lead to it."""
    if isinstance(value, str):
        if _is_url(value):
            yield path, value
    elif levels and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _urls(inner, f"{path}.{name}" if path else str(name), levels - 1)
    elif levels and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _urls(inner, f"{path}[{number}]", levels - 1)


def _without_urls(value: Any, kept_urls: set[str]) -> Any:
    """Return a value without its URLs, and without what is empty then; None if nothing is left."""
    if isinstance(value, str):
        return None if value not in kept_urls and _is_url(value) else value
    if isinstance(value, Mapping):
        kept = {name: _without_urls(inner, kept_urls) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if not (_is_empty(inner) and not _is_empty(value[name]))}
    if isinstance(value, list):
        return [kept for kept in (_without_urls(inner, kept_urls) for inner in value) if not _is_empty(kept)]
    return value


def _text_of(rest: Any) -> str | None:
    if isinstance(rest, str):
        return rest
    if isinstance(rest, Mapping) and len(rest) == 1:
        name, value = next(iter(rest.items()))
        return value if name in _TEXT_KEYS and isinstance(value, str) else None
    return None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping | list | str) and not value)


def _is_url(text: str) -> bool:
    """Return whether a text is nothing but a URL."""
    if not text.startswith(("http://", "https://")) or not text.isprintable() or " " in text:
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _is_small(path: str) -> bool:
    name = path.rpartition(".")[2].lower()
    return any(word in name for word in _SMALL)


def _ending(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).suffix.lower()


def _field_of(url: str) -> str:
    """Return the name of the field for a URL: of its kind if the ending tells it."""
    ending = _ending(url)
    return f"{next((kind for kind, endings in _KINDS.items() if ending in endings), 'media')}URL"
