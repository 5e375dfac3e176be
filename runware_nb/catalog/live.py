"""Fresh schemas from the schema service, kept on disk and never waited for longer than a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import MediaError, RunwareNBError
from .check import Rulebook

__all__ = ["Answer", "LiveCatalogue", "plain_schema"]

Answer = tuple[int, bytes, str | None]
"""HTTP status, body, ETag."""

_FRESH_S = 300.0
_PATIENCE_S = 3.0
_MAX_SCHEMA_BYTES = 4 * 1024 * 1024


class LiveCatalogue:
    """What the schema service says about models, as far as it can be had.

    Args:
        url: Its address; empty where it is not to be asked at all.
        folder: Where answers are kept; None keeps them in memory only.
        get: Fetches an address: given it and the ETag that is known, gives status, body and ETag.
    """

    def __init__(self, url: str, folder: Path | None, get: Callable[[str, str | None], Awaitable[Answer]]) -> None:
        self._url = url.rstrip("/")
        self._folder = folder
        self._get = get
        self._asked_at: dict[str, float] = {}
        self._rules: dict[str, Rulebook | None] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is a service to ask."""
        return bool(self._url)

    def known_rules(self, name: str) -> Rulebook | None:
        """Give a model's rules as far as they are here already; never waits."""
        if self.is_on and name not in self._rules:
            kept = self._read(name)
            if kept is not None:
                self._rules[name] = _rules(name, kept.get("body"))
        return self._rules.get(name)

    def is_fresh(self, name: str) -> bool:
        """Whether the service was asked about a model within the last five minutes."""
        return time.monotonic() - self._asked_at.get(name, -_FRESH_S) < _FRESH_S

    async def rules(self, name: str) -> Rulebook | None:
        """Give a model's rules, asking the service unless it was asked within the last five minutes.

        Args:
            name: AIR identifier or slug.

        Returns:
            None where the service is off, out of reach, slower than three seconds, or does not know the model.
        """
        known = self.known_rules(name)
        if not self.is_on or self.is_fresh(name):
            return known
        self._asked_at[name] = time.monotonic()
        kept = self._read(name) or {}
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, body, etag = await self._get(f"{self._url}/resolve/{quote(name, safe='')}", kept.get("etag"))
        except (RunwareNBError, TimeoutError, OSError):
            return known
        if status == 200 and len(body) <= _MAX_SCHEMA_BYTES:
            with contextlib.suppress(ValueError, RecursionError):
                answer = json.loads(body)
                rules = _rules(name, answer)
                if rules is not None:
                    self._rules[name] = rules
                    self._write(name, {"etag": etag, "body": answer})
        return self._rules.get(name)

    def _path(self, name: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / f"{hashlib.sha256(f'{self._url} {name}'.encode()).hexdigest()[:24]}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        if path is None:
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return kept if isinstance(kept, dict) else None

    def _write(self, name: str, kept: dict[str, Any]) -> None:
        """Keep an answer; that the disk is full costs no more than asking again."""
        path = self._path(name)
        if path is None:
            return
        from ..images.medium import write_whole

        with contextlib.suppress(OSError, MediaError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(kept).encode())


def _rules(name: str, answer: Any) -> Rulebook | None:
    """Read an answer of `/resolve`; None where it is not what the reference describes."""
    schema = answer.get("requestSchema") if isinstance(answer, dict) else None
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return None
    plain = plain_schema(schema)
    task_type = plain["properties"].get("taskType")
    kind = task_type.get("const", "") if isinstance(task_type, dict) else ""
    documentation = answer.get("documentation")
    is_address = isinstance(documentation, str) and documentation.startswith(("https://", "http://"))
    link = str(documentation) if is_address else "https://runware.ai/docs/models"  # it becomes a link to click
    rules = Rulebook(name, plain, link, str(kind))
    try:
        _ = rules.validator
    except ValueError:  # jsonschema-rs: it does not compile
        return None
    return rules


def plain_schema(schema: Any) -> Any:
    """Rewrite a schema of the service: inner `$id`s, which repeat, are dropped; lists of constants become `enum`.

    Source:
        Runware reference 7.
    """
    if isinstance(schema, list):
        return [plain_schema(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: plain_schema(value) for key, value in schema.items() if key != "$id" or not isinstance(value, str)}
    choices = made.get("oneOf")
    if isinstance(choices, list) and choices and all(isinstance(each, dict) and "const" in each for each in choices):
        del made["oneOf"]
        made["enum"] = [each["const"] for each in choices]
        made["x-titles"] = [str(each.get("title", each["const"])) for each in choices]  # an annotation, for forms
    return made
