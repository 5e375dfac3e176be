"""Fresh schemas from the schema service, kept on disk and never waited for longer than a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ....errors import MediaError, RunwareNBError
from ....forking import Workers
from .check import Rulebook
from .reading import SchemaRefused, plain_schema

__all__ = ["Answer", "LiveCatalogue"]

Answer = tuple[int, bytes, str | None]
"""HTTP status, body, ETag."""

_FRESH_S = 300.0
_PATIENCE_S = 3.0
_MAX_SCHEMA_BYTES = 4 * 1024 * 1024
_LINK = re.compile(r"https?://[A-Za-z0-9.:/_~%?&=#@+-]{1,500}")


class LiveCatalogue:
    """The request schemas of models, as the schema service returns them.

    Args:
        url: URL of the service; empty if it is not used.
        folder: Folder of cached responses; None keeps them in memory only. It must be the user's own, because its
            files are used without a request to the service.
        get: Function that fetches a URL. It gets the URL and the known ETag, and returns status, body and ETag.
    """

    def __init__(self, url: str, folder: Path | None, get: Callable[[str, str | None], Awaitable[Answer]]) -> None:
        self._url = url.rstrip("/")
        self._folder = folder
        self._get = get
        self._asked_at: dict[str, float] = {}
        self._rules: dict[str, Rulebook | None] = {}
        self._reading = Workers(1, "runware schemas")
        self._refused: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()

    @property
    def url(self) -> str:
        """URL of the service; empty if it is not used."""
        return self._url

    @property
    def is_on(self) -> bool:
        """Whether there is a service to ask."""
        return bool(self._url)

    def known_rules(self, name: str) -> Rulebook | None:
        """Give a model's rules as far as they are here already; never waits."""
        if self.is_on and name not in self._rules:
            kept = self._read(name)
            if kept is not None:
                with contextlib.suppress(Exception):  # a damaged file, or one that an older version wrote: ask again
                    self._rules[name] = _rules(name, kept.get("body"))
        return self._rules.get(name)

    def is_fresh(self, name: str) -> bool:
        """Whether the service was asked about a model within the last five minutes."""
        return time.monotonic() - self._asked_at.get(name, -_FRESH_S) < _FRESH_S

    def refusal(self, name: str) -> str | None:
        """Return why the schema of a model was refused; None where it was not."""
        return self._refused.get(name)

    def take_refusal(self, name: str) -> str | None:
        """Return why the schema of a model was refused, once for each reason; None where it was not."""
        reason = self._refused.get(name)
        if reason is None or (name, reason) in self._told:
            return None
        self._told.add((name, reason))
        return reason

    async def rules(self, name: str) -> Rulebook | None:
        """Give a model's rules, asking the service unless it was asked within the last five minutes.

        The response is read and compiled in a thread: a wait for it can be stopped, and ends after three seconds.

        Args:
            name: AIR identifier or slug.

        Returns:
            None where the service is off, out of reach, slower than three seconds, or does not know the model.
        """
        known = self.known_rules(name)
        if not self.is_on or self.is_fresh(name):
            return known
        self._asked_at[name] = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                kept = await self._in_thread(self._read, name) or {}
                etag = kept.get("etag")
                status, body, etag = await self._get(
                    f"{self._url}/resolve/{quote(name, safe='')}", etag if isinstance(etag, str) else None
                )
                if status == 200:
                    rules = await self._in_thread(self._take_in, name, body, etag)
                    if rules is not None:
                        self._rules[name] = rules
                        self._refused.pop(name, None)
        except SchemaRefused as error:
            self._refused[name] = str(error)
        except (RunwareNBError, TimeoutError, OSError):
            return known
        except Exception as error:  # noqa: BLE001 - no schema may prevent a task from being sent
            self._refused[name] = f"it cannot be read ({type(error).__name__})"
        return self._rules.get(name)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.wrap_future(self._reading.submit(function, *arguments))

    def _take_in(self, name: str, body: bytes, etag: str | None) -> Rulebook | None:
        """Read a response of `/resolve`, and keep it.

        Raises:
            SchemaRefused: It contains a schema that is not compiled here.
        """
        if len(body) > _MAX_SCHEMA_BYTES:
            raise SchemaRefused(f"it is larger than {_MAX_SCHEMA_BYTES // 1024**2} MiB")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return None
        rules = _rules(name, answer)
        if rules is not None:
            self._write(name, {"etag": etag, "body": answer})
        return rules

    def _path(self, name: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / f"{hashlib.sha256(f'{self._url} {name}'.encode()).hexdigest()[:24]}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._path(name)
        if path is None:
            return None
        try:
            if path.stat().st_size > 2 * _MAX_SCHEMA_BYTES:
                return None
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return kept if isinstance(kept, dict) else None

    def _write(self, name: str, kept: dict[str, Any]) -> None:
        """Write a response to the cache. If the disk is full, the service is asked again next time."""
        path = self._path(name)
        if path is None:
            return
        from ....media.medium import write_whole

        with contextlib.suppress(OSError, MediaError, ValueError, RecursionError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, json.dumps(kept).encode())


def _rules(name: str, answer: Any) -> Rulebook | None:
    """Parse a response of `/resolve`; None if it does not have the documented form.

    Raises:
        SchemaRefused: The schema is not one that is compiled here.
    """
    schema = answer.get("requestSchema") if isinstance(answer, Mapping) else None
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return None
    plain = plain_schema(schema)
    plain.setdefault("properties", {})
    task_type = plain["properties"].get("taskType")
    kind = task_type.get("const", "") if isinstance(task_type, dict) else ""
    documentation = answer.get("documentation")
    is_link = isinstance(documentation, str) and _LINK.fullmatch(documentation) is not None
    link = str(documentation) if is_link else "https://runware.ai/docs/models"  # it becomes a link to click
    rules = Rulebook(name, plain, link, kind if isinstance(kind, str) and kind.isalnum() else "")
    try:
        _ = rules.validator
    except Exception as error:
        raise SchemaRefused("it does not compile") from error
    return rules
