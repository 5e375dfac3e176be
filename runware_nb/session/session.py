"""The session: one notebook's settings, connection, log, media and engine, put together."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.context import environment_snapshot
from ..engine.engine import Engine
from ..engine.front_end import FrontEnd, current_front_end
from ..forking import restart_after_fork
from ..loop import background_loop, wait
from ..providers.runware.planner import Planner
from ..providers.webhook import CallbackBoard
from ..runlog import MediaStore, State
from ..settings import Settings, current_folder
from .aliases import AliasBook
from .callbacks import Callbacks
from .cells import current_cell
from .connection import ServiceConnection
from .performing import SessionPerformer
from .prompt_files import PromptFiles, WildcardFiles
from .providers import Providers
from .storage import Storage

if TYPE_CHECKING:
    from ..engine.context import CellContext
    from ..engine.jobs import Job
    from ..providers.package import ProviderPackage
    from ..runlog import RunLog

__all__ = ["Session"]

_IDS_S = 2.0
"""Longest wait for the ids of tasks that were submitted while the session closed: a write to the log takes far less."""


class Session:
    """One notebook's connection. Everything in it may be called from any thread.

    Args:
        settings: As loaded from the environment where None.
        fetches_media: Whether results are downloaded; without, only their URLs are kept.
        packages: What the providers declare; None for all that are registered.
        front_end: Where its user is; None for the front end of the process, also if that changes later, as it does
            when the extension is loaded.

    Attributes:
        connection: Settings, key, client and sandbox.
        storage: The log and the media store.
        engine: Starts runs, and finds them again.
        jobs: The jobs in progress.
        queue: The runs that wait for their turn.
        recovery: Finds the files of results.
        consent: What the user has agreed to spend.
        aliases: The names that the user gave to models.
        prompts: The saved prompts of the project.
        wildcards: The wildcards of the project.
        planner: What is known about Runware's models.
        providers: The services.
        callbacks: The receiver of callbacks, if one was started.
        rng: Picks seeds.
        performer: What starts an operation on a result, an outcome or a job of this session.
        last: The last outcome.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        fetches_media: bool = True,
        packages: Sequence[ProviderPackage] | None = None,
        front_end: FrontEnd | None = None,
    ) -> None:
        self._front_end = front_end
        self.fetches_media = fetches_media
        self.last: Any = None
        self.storage = storage = Storage(lambda: self.settings)
        self.connection = connection = ServiceConnection(
            settings,
            self.front_end.working_folder,
            running_jobs=self._running_jobs,
            on_change=storage.on_settings_changed,
        )
        self.aliases = AliasBook(lambda: self.settings.home, connection.client)
        self.prompts = PromptFiles(self._project_folder, lambda: self.settings.home)
        self.wildcards = WildcardFiles(self._project_folder)
        self.planner = Planner(lambda: self.settings, self.aliases.air_of)
        board = CallbackBoard(lambda: self.settings.home / "callbacks")
        self.providers = providers = Providers(
            connection, self.planner, packages, board,
            lambda service, is_local: self.callbacks.url_of(service, is_local=is_local),
        )  # fmt: skip
        self.callbacks = Callbacks(providers, board)
        self.provider, self.serves, self.require_key = providers.provider, providers.serves, providers.require_key
        self.take_notices = providers.take_notices
        self.rng = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone
        self.performer = SessionPerformer(self)
        self.engine = engine = Engine(self)
        self.consent, self.jobs, self.recovery, self.queue = engine.consent, engine.jobs, engine.recovery, engine.queue
        self.connect, self.configure, self.client = connection.connect, connection.configure, connection.client
        self.open_log, self.apply_budget = storage.open_log, storage.apply_budget
        self.plan, self.submit, self.submit_all = engine.plan, engine.submit, engine.submit_all
        self.running_jobs, self.show_job, self.adopt = engine.running_jobs, engine.show_job, engine.adopt
        self.job, self.pending = engine.job, engine.known.pending
        queue = engine.queue
        self.discard, self.cancel, self.cancel_queued = queue.discard, queue.cancel, queue.cancel_queued
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: new seeds are drawn, so that parent and child do not pick the same ones."""
        self.rng = random.Random()  # noqa: S311 - as above

    def _project_folder(self) -> Path | None:
        """Return the folder of saved prompts and wildcards: the one that contains `.runware` by default."""
        return self.front_end.working_folder or current_folder()

    def _running_jobs(self) -> list[Job]:
        return self.engine.running_jobs()

    @property
    def front_end(self) -> FrontEnd:
        """Where the user of this session is."""
        return current_front_end() if self._front_end is None else self._front_end

    def context(self, *, counts: bool = True) -> CellContext:
        """Return the cell that is running. See `Ports.context`."""
        return current_cell(self.front_end, counts=counts)

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
    def environment(self) -> str:
        """The description of this environment, as JSON."""
        return environment_snapshot()[1]

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("A session belongs to its process and cannot be pickled. Make one where it is needed.")

    def close(self) -> None:
        """Close connection, log and sandbox. Runs that were sent continue, and the next session can collect them.

        The queue ends first: when the connection closes, the tasks in flight end and make room, and a queued run must
        not be claimed then. The log closes last: an id that a service gives to a paid task is still written to it.
        """
        closing = (
            self.callbacks.close,
            self._keep_texts,
            self.queue.close,
            self.connection.close,
            self.planner.close,
            self.providers.close,
            self._wait_for_ids,
        )
        for close in closing:
            with contextlib.suppress(Exception):
                close()
        self.storage.close()
        self.connection.stop_sandbox()

    def _keep_texts(self) -> None:
        """Have the part of each text that has arrived written to the log: the connection is about to close."""

        async def keep() -> None:
            for job in self.running_jobs():
                if job.keep_text is not None:
                    job.keep_text()

        wait(background_loop().submit(keep()), timeout_s=1.0)

    def _wait_for_ids(self) -> None:
        """Wait until the ids of tasks whose submission has just ended are written to the log.

        The providers have closed, so each submission has its answer. Without its id, nobody could collect a paid task.
        """
        jobs = [job for job in self.running_jobs() if _awaits_id(job)]
        if jobs:
            wait(background_loop().submit(_ids_are_written(jobs)), timeout_s=_IDS_S)


def _awaits_id(job: Job) -> bool:
    """Return whether a task has been sent, and neither its id nor another end of its submission is written."""
    record = job.record
    return job.is_leaving and not job.is_done and record.remote_id is None and record.state is State.SENT


async def _ids_are_written(jobs: list[Job]) -> None:
    while any(_awaits_id(job) for job in jobs):  # noqa: ASYNC110 - the log answers each job, which has no event for it
        await asyncio.sleep(0.01)
