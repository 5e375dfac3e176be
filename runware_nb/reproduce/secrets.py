"""Looking for keys in what is about to be shared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.key_shapes import key_like_spans
from ..core.redaction import known_secrets
from ..errors import BundleError
from ..settings import Settings, secrets_of_environment, stored_keys

__all__ = ["find_secret", "refuse_secrets", "refuse_secrets_in_notebook", "secrets_in_use"]


def secrets_in_use(settings: Settings) -> list[str]:
    """Return the secrets of all providers on this machine, so that they are found in whatever shape they are."""
    keys = [key.reveal() for key in (settings.api_key, *stored_keys(settings.profile)) if key is not None]
    return [*keys, *secrets_of_environment()]


def find_secret(text: str, known: Sequence[str]) -> str | None:
    """Find a key in a text.

    Args:
        text: What is to be shared.
        known: Keys in use.

    Returns:
        What gives it away, without the key itself; None where there is none.
    """
    if known_secrets.is_in(text) or any(key and key in text for key in known):
        return "an API key in use"
    return next((sign for _, _, sign in key_like_spans(text)), None)


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
