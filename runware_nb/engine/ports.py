"""What the engine needs of the session around it. The parts of the engine import this, and never the session."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from ..providers.base import Provider
from .context import CellContext

if TYPE_CHECKING:
    from ..core.chaining import Performer
    from ..media.store import MediaStore
    from ..runlog import RunLog
    from ..settings import Settings
    from .front_end import FrontEnd

__all__ = ["Ports"]


class Ports(Protocol):
    """Settings, log, media, services and front end of one session.

    Attributes:
        fetches_media: Whether results are downloaded; otherwise only their URLs are recorded.
        rng: Picks seeds.
    """

    fetches_media: bool
    rng: random.Random

    @property
    def performer(self) -> Performer:
        """What starts an operation on a result, an outcome or a job."""

    @property
    def front_end(self) -> FrontEnd:
        """Where the user of the session is."""

    @property
    def settings(self) -> Settings:
        """The settings that apply now."""

    @property
    def log(self) -> RunLog:
        """The log, opened on first use.

        Raises:
            RunLogError: It cannot be opened.
        """

    @property
    def has_log(self) -> bool:
        """Whether the log is open."""

    async def open_log(self) -> RunLog:
        """Return the log, opened on first use. On the background loop only."""

    @property
    def media(self) -> MediaStore:
        """Where files are stored.

        Raises:
            ConfigError: The bucket cannot be used.
        """

    @property
    def environment(self) -> str:
        """The description of this environment, as JSON."""

    def apply_budget(self, service: str, unit: str) -> None:
        """Have the log count what is spent at a service, if the settings have a budget in its unit.

        Raises:
            RunLogError: The log cannot be written.
        """

    def provider(self, service: str = "") -> Provider:
        """Return the provider of a service.

        Args:
            service: As runs of the log name it; empty for Runware, or the sandbox in its place.

        Raises:
            ConfigError: Another service is in use, or none of this name is known.
        """

    def serves(self, service: str) -> bool:
        """Return whether `provider` returns one for this service."""

    def require_key(self, service: str = "") -> None:
        """Check that tasks can be sent to a service.

        Raises:
            ConfigError: There is no key, replay mode sends nothing, or a part of the settings could not be read.
            TransportError: The sandbox has ended.
        """

    def take_notices(self) -> list[str]:
        """Return what providers want the user to know, once."""

    def context(self, *, counts: bool = True) -> CellContext:
        """Return the cell that is running.

        Args:
            counts: Whether a run of the cell begins, which counts towards the ordinals of its runs.
        """
