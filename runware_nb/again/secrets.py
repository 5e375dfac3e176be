"""Looking for keys in what is about to be shared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import BundleError
from ..settings import Settings, secrets_of_environment, stored_key
from ..wire.redact import looks_like_key

__all__ = ["find_secret", "refuse_secrets", "refuse_secrets_in_notebook", "secrets_in_use"]

_MEDIA = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=\s]+|[A-Za-z0-9+/]{300,}={0,2}")
_KNOWN = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|r8_[A-Za-z0-9]{20,}"
    r"|AKIA[A-Z0-9]{16}|xox[abps]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,})"
)
_NAMED = re.compile(
    r"(?i)(?:api[_-]?key|apikey|access[_-]?key|secret|token|password|passwd|bearer|authorization)"
    r"[\"'\s:=(,>]{1,12}([^\s\"'<>,;)]{8,})"
)
_WORD = re.compile(r"[A-Za-z0-9_-]{24,}")
_HEX = re.compile(r"[0-9a-fA-F-]+")
_URL = re.compile(r"https?://\S+")


def secrets_in_use(settings: Settings) -> list[str]:
    """Give the keys of this machine, so that they are found in whatever shape they are."""
    keys = [key.reveal() for key in (settings.api_key, stored_key(settings.profile)) if key is not None]
    return [*keys, *secrets_of_environment()]


def find_secret(text: str, known: Sequence[str]) -> str | None:
    """Find a key in a text.

    Args:
        text: What is to be shared.
        known: Keys in use.

    Returns:
        What gives it away, without the key itself; None where there is none.
    """
    for key in known:
        if key and key in text:
            return "an API key in use"
    text = _MEDIA.sub(" ", text)
    if _KNOWN.search(text):
        return "a key of a well-known shape"
    for match in _NAMED.finditer(text):
        value = match[1]
        if any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and "[redacted]" not in value:
            return f"something that follows {match[0][: match.start(1) - match.start(0)].strip()!r}"
    for word in _WORD.findall(_URL.sub(" ", text)):
        if looks_like_key(word) and not _HEX.fullmatch(word) and word.lower() != word and word.upper() != word:
            return f"a word of {len(word)} letters and digits, as keys are"
    return None


def refuse_secrets(text: str, what: str, known: Sequence[str]) -> None:
    """Stop where a text holds a key.

    Raises:
        BundleError: It does; the sentence names the place and not the key.
    """
    found = find_secret(text, known)
    if found is not None:
        raise BundleError(
            f"{what} holds {found}; nothing was exported. Remove it, and give the key up: it was saved here"
        )


def refuse_secrets_in_notebook(notebook: Mapping[str, Any], name: str, known: Sequence[str]) -> None:
    """Stop where a notebook holds a key, in a source, an output or its metadata.

    Raises:
        BundleError: It does; the sentence names the cell.
    """
    cells = notebook.get("cells")
    for number, cell in enumerate(cells if isinstance(cells, list) else [], 1):
        if not isinstance(cell, dict):
            continue
        place = f"cell {number} of {name}" + (f" (id {cell['id']})" if cell.get("id") else "")
        refuse_secrets(_joined(cell.get("source")), place, known)
        for text in _texts(cell.get("outputs")):
            refuse_secrets(text, f"the output of {place}", known)
        refuse_secrets(json.dumps([cell.get("metadata"), cell.get("attachments") and "…"]), place, known)
    refuse_secrets(json.dumps(notebook.get("metadata")), f"the metadata of {name}", known)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            yield "".join(value)
        else:
            for each in value:
                yield from _texts(each)
    elif isinstance(value, dict):
        for kind, each in value.items():
            if not str(kind).startswith(("image/", "audio/", "video/")):
                yield from _texts(each)


def _joined(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")
