"""Schemas fresher than the bundled ones, for a session: known ones at once, others within a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...core.air import parse_air
from ...loop import background_loop, wait
from ...settings import SCHEMAS_URL, Settings, user_cache_folder
from .catalog import LiveCatalogue, Rulebook, find_model
from .tasks import is_utility

if TYPE_CHECKING:
    from ...net.http import HttpConnection
    from .catalog.live import Answer

__all__ = ["FreshSchemas"]


def _cache_of(url: str) -> Path | None:
    """Return where the schemas of a service are kept; None for one on this machine, whose port others use later."""
    cache = user_cache_folder()
    is_local = urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}
    return None if cache is None or is_local else cache / "schemas"


class FreshSchemas:
    """Asks the schema service, and never lets anyone wait for a model that the snapshot knows.

    A service on this machine, as the sandbox is, has its own schemas or none: the public ones are not asked then.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._catalogues: dict[str, LiveCatalogue] = {}
        self._http: HttpConnection | None = None
        self._asking: dict[asyncio.Task[Any], tuple[LiveCatalogue, str]] = {}
        self._is_closed = False

    def rules_for(self, task: Mapping[str, Any], *, waits: bool = False) -> Rulebook | None:
        """Return the rules for a task's model; None where the snapshot has to do.

        Args:
            task: In wire spelling.
            waits: Whether the service's response is awaited also for a model that the snapshot contains. A wait ends
                after a few seconds.
        """
        name = task.get("model")
        live = self._live()
        if not live.is_on or not isinstance(name, str) or not name or is_utility(str(task.get("taskType"))):
            return None
        known = live.known_rules(name)
        if known is not None and live.is_fresh(name):
            return known
        asked = background_loop().submit(self._ask(live, name))
        if waits or (known is None and find_model(name) is None and parse_air(name) is not None):
            return wait(asked)
        return known

    @property
    def is_on(self) -> bool:
        """Whether there is a schema service to ask."""
        return self._live().is_on

    def known(self, task: Mapping[str, Any]) -> Rulebook | None:
        """Give the rules that are here already."""
        return self._live().known_rules(str(task.get("model", "")))

    def refusal(self, name: str) -> str | None:
        """Return why the schema of a model was refused; None where it was not."""
        return self._live().refusal(name)

    def take_notice(self, task: Mapping[str, Any]) -> str | None:
        """Return a sentence about a schema that was refused, once for each reason; None where there is none."""
        name = str(task.get("model", ""))
        live = self._live()
        reason = live.take_refusal(name)
        if reason is None:
            return None
        if live.known_rules(name) is not None:
            instead = "The schema that was received before is used."
        elif find_model(name) is not None:
            instead = "The bundled schema is used."
        else:
            instead = "Parameters are not checked here before they are sent; the service checks them."
        return f"The schema of model {name} from {live.url} is not used: {reason}. {instead}"

    def close(self) -> None:
        """Stop asking, and close the connection to the schema service."""
        if self._catalogues:
            with contextlib.suppress(Exception):
                wait(background_loop().submit(self._close()), timeout_s=2.0)

    async def _ask(self, live: LiveCatalogue, name: str) -> Rulebook | None:
        task = asyncio.current_task()
        if self._is_closed or task is None:
            return None
        earlier = [each for each, asked in self._asking.items() if asked == (live, name)]
        if earlier:  # `LiveCatalogue.rules` returns at once while the service is asked: the response is awaited here
            await asyncio.wait(earlier)
        self._asking[task] = (live, name)
        try:
            return await live.rules(name)
        finally:
            del self._asking[task]

    async def _close(self) -> None:
        self._is_closed = True
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _live(self) -> LiveCatalogue:
        settings = self._settings()
        asks_nobody = settings.mode == "replay" or (settings.is_local and settings.schemas_url == SCHEMAS_URL)
        url = "" if asks_nobody else settings.schemas_url
        if url not in self._catalogues:
            self._catalogues[url] = LiveCatalogue(url, _cache_of(url), self._get)
        return self._catalogues[url]

    async def _get(self, url: str, etag: str | None) -> Answer:
        if self._http is None:
            from ... import __version__
            from ...net.http import HttpConnection

            settings = self._settings()
            self._http = HttpConnection(
                settings.schemas_url,
                user_agent=f"runware-nb/{__version__}",
                connect_timeout_s=settings.connect_timeout_s,
            )
        response = await self._http.get(url, etag)
        return response.status, response.body, response.headers.get("etag")
