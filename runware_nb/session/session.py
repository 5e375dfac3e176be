"""The session: one notebook's settings, connection, log, media and runs, put together."""

from __future__ import annotations

import contextlib
import random
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.cell_source import redact_source
from ..engine.consent import Consent
from ..engine.context import CellContext, environment_snapshot, script_path
from ..engine.display import render_job
from ..engine.front_end import hooks
from ..engine.job_table import JobTable
from ..engine.jobs import Job
from ..engine.known_runs import Plan, Runs
from ..engine.media_recovery import MediaRecovery
from ..engine.run_queue import RunQueue
from ..forking import disconnect, make_lock, restart_after_fork
from ..loading import FIRST_NEEDED, load
from ..printable import printable
from ..runlog import MediaStore
from ..settings import Settings, notebook_name, remember_secrets
from .aliases import AliasBook
from .connection import ServiceConnection
from .storage import Storage

if TYPE_CHECKING:
    from ..runlog import RunLog

__all__ = ["Plan", "Session", "current_session"]


class Session:
    """One notebook's connection. Everything in it may be called from any thread.

    Its verbs are those of its parts; see there.

    Args:
        settings: As loaded from the environment where None.
        fetches_media: Whether results are downloaded; without, only their URLs are kept.

    Attributes:
        connection: Settings, key, client and sandbox.
        storage: The log and the media store.
        runs: What starts a run or finds one again.
        queue: The runs that wait for their turn.
        jobs: The jobs of this session.
        consent: What the user has agreed to spend.
        aliases: The names that the user gave to models.
        recovery: Finds the files of results.
        chance: Picks seeds.
        last: The last outcome.
    """

    def __init__(self, settings: Settings | None = None, *, fetches_media: bool = True) -> None:
        self.fetches_media = fetches_media
        self.last: Any = None
        self.jobs = JobTable()
        self.storage = storage = Storage(lambda: self.settings)
        self.connection = connection = ServiceConnection(
            settings,
            hooks.working_folder,
            running_jobs=self.running_jobs,
            on_change=storage.on_settings_changed,
        )
        self.consent = Consent(self)
        self.aliases = AliasBook(self)
        self.recovery = MediaRecovery(self)
        self.runs = runs = Runs(self)
        self.queue = queue = RunQueue(self)
        self.chance = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone
        self.connect = connection.connect
        self.configure = connection.configure
        self.client = connection.client
        self.open_service = connection.open_service
        self.require_key = connection.require_key
        self.open_log = storage.open_log
        self.plan = runs.plan
        self.submit = runs.submit
        self.submit_all = runs.submit_all
        self.job = runs.job
        self.pending = runs.pending
        self.discard = queue.discard
        self.cancel = queue.cancel
        self.cancel_queued = queue.cancel_queued
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: the parent goes on with its jobs, and this process has none.

        New seeds are drawn, so that parent and child do not pick the same ones.
        """
        disconnect((), self.jobs)
        self.jobs = JobTable()
        self.chance = random.Random()  # noqa: S311 - as above

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

    def running_jobs(self) -> list[Job]:
        """Return the jobs of this session that are not done."""
        return [job for job in self.jobs if not job.is_done]

    @property
    def environment(self) -> str:
        """The description of this environment, as JSON."""
        return environment_snapshot()[1]

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

    def show_job(self, job: Job) -> None:
        """Show a job where the user is looking."""
        if hooks.show_job is not None:
            hooks.show_job(job)
        else:
            print(printable("\n".join([render_job(job)["text/plain"], *job.notices])))  # noqa: T201 - in a terminal

    def close(self) -> None:
        """Close connection, log and sandbox. Runs that were sent continue, and the next session can collect them.

        The queue ends first: when the connection closes, the tasks in flight end and make room, and a queued run must
        not be claimed then.
        """
        for close in (self.queue.close, self.connection.close, self.runs.close):
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
