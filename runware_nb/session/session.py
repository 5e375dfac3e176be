"""The session: one notebook's settings, connection, log, media and engine, put together."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.cell_source import redact_source
from ..engine.context import CellContext, environment_snapshot, script_path
from ..engine.engine import Engine
from ..engine.front_end import hooks
from ..errors import ConfigError
from ..forking import make_lock, restart_after_fork
from ..loading import FIRST_NEEDED, load
from ..providers.runware.planner import Planner
from ..providers.runware.provider import RunwareProvider
from ..remedies import CHANGE_SERVICE
from ..runlog import MediaStore
from ..settings import Settings, notebook_name, remember_secrets
from .aliases import AliasBook
from .connection import ServiceConnection
from .storage import Storage

if TYPE_CHECKING:
    from ..engine.jobs import Job
    from ..providers.base import Provider
    from ..runlog import RunLog

__all__ = ["Session", "current_session"]


class Session:
    """One notebook's connection. Everything in it may be called from any thread.

    Its verbs are those of its parts; see there.

    Args:
        settings: As loaded from the environment where None.
        fetches_media: Whether results are downloaded; without, only their URLs are kept.

    Attributes:
        connection: Settings, key, client and sandbox.
        storage: The log and the media store.
        engine: Starts runs, and finds them again.
        jobs: The jobs in progress.
        queue: The runs that wait for their turn.
        recovery: Finds the files of results.
        consent: What the user has agreed to spend.
        aliases: The names that the user gave to models.
        planner: What is known about Runware's models.
        rng: Picks seeds.
        last: The last outcome.
    """

    def __init__(self, settings: Settings | None = None, *, fetches_media: bool = True) -> None:
        self.fetches_media = fetches_media
        self.last: Any = None
        self.storage = storage = Storage(lambda: self.settings)
        self.connection = connection = ServiceConnection(
            settings,
            hooks.working_folder,
            running_jobs=self._running_jobs,
            on_change=storage.on_settings_changed,
        )
        self.aliases = AliasBook(lambda: self.settings.home, connection.client)
        self.planner = Planner(lambda: self.settings, self.aliases.air_of)
        self.rng = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone
        self.engine = engine = Engine(self)
        self.consent = engine.consent
        self.connect = connection.connect
        self.configure = connection.configure
        self.client = connection.client
        self.open_log = storage.open_log
        self.apply_budget = storage.apply_budget
        self.plan = engine.plan
        self.submit = engine.submit
        self.submit_all = engine.submit_all
        self.running_jobs = engine.running_jobs
        self.show_job = engine.show_job
        self.jobs = engine.jobs
        self.recovery = engine.recovery
        self.queue = engine.queue
        self.job = engine.known.job
        self.pending = engine.known.pending
        self.discard = engine.queue.discard
        self.cancel = engine.queue.cancel
        self.cancel_queued = engine.queue.cancel_queued
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: new seeds are drawn, so that parent and child do not pick the same ones."""
        self.rng = random.Random()  # noqa: S311 - as above

    def _running_jobs(self) -> list[Job]:
        return self.engine.running_jobs()

    @property
    def settings(self) -> Settings:
        """The settings that apply."""
        return self.connection.settings

    @property
    def log(self) -> RunLog:
        """The log. See `Storage.log`."""
        return self.storage.log

    @property
    def has_log(self) -> bool:
        """Whether the log is open."""
        return self.storage.has_log

    @property
    def media(self) -> MediaStore:
        """The folder of media. See `Storage.media`."""
        return self.storage.media

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of media that this session uploaded, by the id that the service gave them."""
        return self.connection.uploaded_hashes

    @property
    def environment(self) -> str:
        """The description of this environment, as JSON."""
        return environment_snapshot()[1]

    def provider(self, service: str = "") -> Provider:
        """Return the provider of a service. See `Ports.provider`."""
        own = self.settings.service
        if service and service != own:
            raise ConfigError(f"The service {service!r} is not in use, and {own!r} is. Nothing was sent.").with_remedy(
                CHANGE_SERVICE
            )
        return RunwareProvider(own, self.planner, self.connection.open_client)

    def serves(self, service: str) -> bool:
        """Return whether a run of this service can be continued here. See `Ports.serves`."""
        return service == self.settings.service

    def require_key(self, service: str = "") -> None:
        """Check that tasks can be sent. See `ServiceConnection.require_key`."""
        del service
        self.connection.require_key()

    def context(self, *, counts: bool = True) -> CellContext:
        """Return a description of the cell that is running; a script has no cell, but a file.

        Args:
            counts: Whether a run of the cell begins, which counts towards the ordinals of its runs.
        """
        remember_secrets()
        if hooks.find_cell is None:
            return CellContext(notebook=script_path() or notebook_name())
        found = hooks.find_cell(counts=counts)
        # Here, because from here on the source is stored, hashed and compared, and it must be the same text each time.
        return found if found.cell_source is None else replace(found, cell_source=redact_source(found.cell_source))

    def close(self) -> None:
        """Close connection, log and sandbox. Runs that were sent continue, and the next session can collect them.

        The queue ends first: when the connection closes, the tasks in flight end and make room, and a queued run must
        not be claimed then.
        """
        for close in (self.queue.close, self.connection.close, self.planner.close):
            with contextlib.suppress(Exception):
                close()
        self.storage.close()
        self.connection.stop_sandbox()


_session: Session | None = None
_making = make_lock()


def current_session() -> Session:
    """Return this process's session, made on first use."""
    global _session  # noqa: PLW0603 - one per process is the point
    if _session is not None:
        return _session
    if "IPython" in sys.modules:  # elsewhere Ctrl-C ends the program, and a script loads only what it uses
        load(*FIRST_NEEDED)
    made = Session()  # before the lock: files of settings are read
    with _making:
        if _session is None:
            import atexit

            _session = made
            hooks.session_settings = _settings_in_use
            atexit.register(made.close)
        return _session


def _settings_in_use() -> Settings:
    session = current_session()
    session.connection.follow_environment()
    return session.settings


def stop_current_cell() -> str:
    """Withdraw what the cell that was stopped has not sent yet; return a sentence, or an empty text for nothing.

    It makes no session: a cell that was stopped before the first one existed has submitted nothing.
    """
    if _session is None:
        return ""
    stopped = _session.queue.stop_cell()
    return f"Stopped. {stopped.sentence}" if stopped.dropped else ""
