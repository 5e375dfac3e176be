"""The session: settings, one client, one log, one folder of media, and the jobs in progress."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalog import Rulebook, check_task, find_model, place_media, rulebook_of
from ..errors import ConfigError, RunLogError, TaskError
from ..images.incoming import is_sendable
from ..loop import background_loop, wait
from ..runlog import MediaStore, RunRecord, State
from ..runlog.bucket import Bucket
from ..settings import Key, Settings, load_settings, stored_key
from ..wire.classify import task_error
from ..wire.frames import Item
from ..wire.places import holds_media, replace_media
from ..wire.redact import REDACTED
from ..wire.service import Service
from ..wire.tasks import ImageTask, Task
from .aliases import AliasBook
from .context import CellContext, environment_snapshot, script_path
from .fresh import FreshSchemas
from .hooks import hooks
from .jobs import Job
from .lineage import put_back
from .money import Estimate, apply_own_budget, estimate
from .pipeline import drive, utc_now
from .show import render_job
from .submit import Labels, submit

if TYPE_CHECKING:
    from ..client import Client
    from ..runlog import RunLog

__all__ = ["Plan", "Session", "current_session"]


@dataclass(slots=True)
class Plan:
    """What would be sent.

    Attributes:
        task: In wire spelling, complete but for the seed that would be picked.
        warnings: What the catalogue does not know.
        price: What it is likely to cost, and how that is known.
    """

    task: Item
    warnings: list[str]
    price: Estimate


class Session:
    """One notebook's connection. Everything in it may be called from any thread.

    Args:
        settings: As loaded from the environment where None.
        fetches_media: Whether results are downloaded; without, only their addresses are kept.
    """

    def __init__(self, settings: Settings | None = None, *, fetches_media: bool = True) -> None:
        self.settings = settings or load_settings()
        self.fetches_media = fetches_media
        self.last: Any = None
        self._client: Client | None = None
        self._log: RunLog | None = None
        self._media: tuple[Any, MediaStore] | None = None
        self._opening_log = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self.lock = threading.Lock()
        self._notices: list[str] = []
        self._budgeted: tuple[Any, ...] | None = None
        self._kept: set[asyncio.Task[None]] = set()
        self._fresh = FreshSchemas(self)
        self.aliases = AliasBook(self)
        self.chance = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone

    # --- connecting ----------------------------------------------------------------------------------

    def connect(self, **values: Any) -> str:
        """Connect now, with other settings if given.

        Args:
            **values: Any of `Settings`, such as `api_key`, `rest_url`, `transport`.

        Returns:
            The transport in use.

        Raises:
            ConfigError: No key, or a value that makes no sense.
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """
        self.configure(**values)
        return wait(background_loop().submit(self._connect()))

    def configure(self, **values: Any) -> None:
        """Change settings; the next task uses them, tasks in flight keep theirs.

        Raises:
            ConfigError: A name is unknown or a value makes no sense.
        """
        self._take(self.settings.with_values(**values))

    def use_profile(self, name: str) -> None:
        """Take the settings of a profile of the user's file: key, budget, folder and the rest; an empty name for none.

        Raises:
            ConfigError: There is no such profile, or a value makes no sense.
        """
        self._take(load_settings(profile=name))

    def _take(self, settings: Settings) -> None:
        if settings == self.settings:
            return
        moved = settings.home != self.settings.home or settings.log_url != self.settings.log_url
        self.settings = settings
        old, self._client = self._client, None
        if old is not None:
            background_loop().submit(_close_when_idle(old, list(self._jobs.values())))
        if moved:
            self._log = None

    @property
    def is_connected(self) -> bool:
        """Whether a client has been made."""
        return self._client is not None

    async def open_service(self) -> Service:
        """Give the client, making it if needed. On the background loop only."""
        return self._make_client()

    async def open_log(self) -> RunLog:
        """Give the log, opening it if needed. On the background loop only."""
        return self._log if self._log is not None else await asyncio.to_thread(self._open_log)

    @property
    def log(self) -> RunLog:
        """The log.

        Raises:
            RunLogError: It cannot be opened.
        """
        return self._log if self._log is not None else self._open_log()

    @property
    def has_log(self) -> bool:
        """Whether the log is open."""
        return self._log is not None

    @property
    def media(self) -> MediaStore:
        """The folder of media: beside the home folder, since Jupyter serves no hidden ones; a bucket where one is set.

        Raises:
            ConfigError: The bucket cannot be used.
        """
        url = self.settings.media_url
        place = (self.settings.home, url)
        if self._media is None or self._media[0] != place:
            beside = self.settings.home.parent / "runware_images"
            is_bucket = url is not None and "://" in url
            store = MediaStore(beside, Bucket(url)) if is_bucket and url else MediaStore(Path(url or beside))
            self._media = place, store
        return self._media[1]

    @property
    def owns_media(self) -> bool:
        """Whether the folder of media is this log's alone, so that a file it does not know is nobody's."""
        own = None if self.settings.log_url else self.settings.home / "runs.sqlite"
        beside = {path for path in self.settings.home.parent.glob("*/runs.sqlite") if path != own}
        return self.settings.media_url is None and not beside

    @property
    def environment(self) -> str:
        """The description of this environment, as JSON."""
        return environment_snapshot()[1]

    def context(self) -> CellContext:
        """Describe the cell that is running; a script has none, but a file."""
        return hooks.find_cell() if hooks.find_cell is not None else CellContext(notebook=script_path())

    def show_job(self, job: Job) -> None:
        """Show a job where the user is looking."""
        if hooks.show_job is not None:
            hooks.show_job(job)
        else:
            print("\n".join([render_job(job)["text/plain"], *job.notices]))  # noqa: T201 - a terminal's display

    def client(self) -> Client:
        """The client, for utilities that need no log."""
        return self._make_client()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background to its end. On the background loop only."""
        task = asyncio.create_task(work)
        self._kept.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._kept.discard)

    def take_notices(self) -> list[str]:
        """Give what a user should know, once."""
        taken, self._notices = self._notices, []
        return taken

    # --- working -------------------------------------------------------------------------------------

    def require_key(self) -> Key:
        """Give the key, looking in the keyring where the environment has none.

        Raises:
            ConfigError: There is none, or replay mode asks nobody.
        """
        if self.settings.mode == "replay":
            raise ConfigError(
                "replay mode: everything is answered from the log, and nobody is asked; `%runware config mode live` "
                "asks the service"
            )
        if self.settings.api_key is None:
            self.settings = self.settings.with_values(api_key=stored_key(self.settings.profile))
        return self.settings.require_key()

    def forget_key(self) -> None:
        """Go on without a key; tasks in flight keep theirs."""
        self.settings = dataclasses.replace(self.settings, api_key=None)
        old, self._client = self._client, None
        if old is not None:
            background_loop().submit(_close_when_idle(old, list(self._jobs.values())))

    def rules_for(self, name: str) -> Rulebook | None:
        """Give what a model takes: fresh from the schema service where it answers, else as bundled.

        Args:
            name: AIR identifier, slug, name or alias.
        """
        air = self.aliases.air_of(name)
        model = find_model(air)
        fresh = self._fresh.rules_for({"model": air, "taskType": "imageInference"})
        return fresh or (rulebook_of(model) if model is not None else None)

    def plan(self, task: Task) -> Plan:
        """Complete and check a task without sending it.

        Raises:
            TaskInvalid: The service would refuse it; the message says what to change.
        """
        wire: Item = dict(task.to_wire() if isinstance(task, ImageTask) else task)
        wire.setdefault("taskType", "imageInference")
        if isinstance(wire.get("model"), str):
            wire["model"] = self.aliases.air_of(wire["model"])
        rules = self._fresh.rules_for(wire)
        wire = place_media(wire, schema=None if rules is None else rules.schema)
        shown = wire
        if holds_media(wire):
            shown = replace_media(wire, lambda value: value if is_sendable(value) else "<medium>")
        return Plan(wire, check_task(shown, rules=rules), estimate(self, wire))

    def submit(
        self,
        task: Task,
        *,
        template: str | None = None,
        tags: tuple[str, ...] = (),
        note: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        replay_of: str | None = None,
        context: CellContext | None = None,
    ) -> Job:
        """Start a task in the background.

        Args:
            task: A dict in wire spelling, or a typed task.
            template: The prompt as typed, before names were filled in.
            tags: Labels for the log.
            note: A note for the log.
            fresh: Whether it is asked again although the log has the answer.
            agreed: Whether its price was agreed to, however high.
            replay_of: The run that is to be made again.
            context: The cell it belongs to, where that is not the one that is running: a form's.

        Returns:
            Its job. The same request with a seed of the user's own (operations on media need none) is answered from
            the log, at no cost, if it has succeeded before; if it is still running, it is joined. In replay mode
            everything is answered from the log.

        Raises:
            TaskInvalid: The service would refuse it.
            ConfigError: There is no key.
            NotConfirmed: It costs more than is sent without a yes, and there was none.
            NotRecorded: Replay mode has no record of it.
        """
        self.apply_budget()
        labels = Labels(template=template, tags=tags, note=note, replay_of=replay_of, context=context)
        return submit(self, task, labels, fresh=fresh, agreed=agreed)

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        with self.lock:
            for job in list(self._jobs.values()):
                if len(ref) >= 4 and job.task_uuid.startswith(ref.lower()):
                    return job
            record = self.log.find(ref)
            running = self._jobs.get(record.task_uuid)
            if running is not None:
                return running
            task = {**record.request, "taskUUID": record.attempt_uuid}
            return self.start(Job(self, record, is_new=False), task, None)

    def take_up(self, record: RunRecord, *, sends: bool) -> Job:
        """Go on with an unfinished run of an earlier kernel.

        Args:
            record: As the log has it.
            sends: Whether it may be sent: one that never left, or one that the service does not know, under its own
                UUID.
        """
        with self.lock:
            running = self._jobs.get(record.task_uuid)
            if running is not None:
                return running
            never_left = record.attempts == 0
            job = Job(self, record, is_new=never_left and sends, resends=sends)
            job.is_logged = True
            request = _sendable(record.request)
            if job.is_new or sends:
                request = put_back(self, request, record.inputs)
            return self.start(job, {**request, "taskUUID": record.attempt_uuid}, None)

    def discard(self, record: RunRecord) -> None:
        """Hide an unfinished run, and go on collecting it quietly if it was ever sent.

        Raises:
            RunLogError: The log cannot be written.
        """
        job = self._jobs.get(record.task_uuid)
        if job is not None:
            job.discard()
        wait(background_loop().submit(self._discard(record)))
        if record.attempts > 0:
            self.take_up(record, sends=False)

    async def _discard(self, record: RunRecord) -> None:
        log = await self.open_log()
        if record.attempts == 0:
            await log.drop_unsent(record.task_uuid, utc_now())
        await log.set_state(record.task_uuid, State.DISCARDED)  # another kernel may have sent it in the meantime
        record.state = State.DISCARDED

    def pending(self) -> list[RunRecord]:
        """List runs that are not finished, whichever kernel began them.

        Raises:
            RunLogError: The log cannot be read.
        """
        return self.log.pending()

    def mark(self, job: Job, state: State) -> None:
        """Mark an unfinished run as detached or discarded, in the log too."""
        if job.record.is_finished:
            return
        if not (state is State.DETACHED and job.record.state is State.PREPARED):
            job.record.state = state
            job.changed()
        log = self._log
        if log is not None:
            background_loop().submit(_mark(log, job.task_uuid, state))

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Make the exception of an error as the log keeps it."""
        raw = kept.get("raw")
        return task_error({**(raw if isinstance(raw, dict) else {}), **{k: v for k, v in kept.items() if k != "raw"}})

    def close(self) -> None:
        """Close connection and log; tasks go on, and the next session can collect them."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                wait(background_loop().submit(client.aclose()), timeout_s=2.0)
        self._fresh.close()
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def find_twin(self, hashed: str, task: Item) -> Job | None:
        """Find an unfinished run of the very same request, in this kernel or another's, and join it.

        A run whose kernel died may never have arrived: then it is sent again, under its own UUID.
        """
        for job in list(self._jobs.values()):
            is_on_its_way = not (job.is_done or job.is_recorded or job.state is State.DISCARDED)
            if is_on_its_way and job.record.request_hash == hashed:
                return job
        try:
            record = self.log.find_twin(hashed)
        except RunLogError:
            return None  # the run itself will meet the same fault, and say so
        if record is None or (record.attempts == 0 and not record.is_joinable):
            return None
        return self.start(self.joined(record), {**task, "taskUUID": record.attempt_uuid}, None)

    def joined(self, record: RunRecord) -> Job:
        """Make the job that joins an unfinished run: it is sent only if nobody has sent it."""
        job = Job(self, record, is_new=record.attempts == 0, resends=True)
        job.is_logged = job.is_joined = True
        job.notices.append(f"joined run {record.task_uuid[:8]}, which was already on its way")
        return job

    def start(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Drive a job to its end in the background."""
        task_uuid = job.task_uuid
        self._jobs[task_uuid] = job
        job.future.add_done_callback(lambda _: self._jobs.pop(task_uuid, None))
        background_loop().submit(drive(self, job, task, cell_source=cell_source))
        return job

    def apply_budget(self) -> None:
        """Enter the budget of the settings into the log, once for each service.

        Raises:
            RunLogError: The log cannot be written.
        """
        place = (self.settings.service, self.settings.budget_usd, self.settings.home, self.settings.log_url)
        if self.settings.budget_usd is not None and place != self._budgeted:
            apply_own_budget(self)
            self._budgeted = place

    def known_rules(self, task: Mapping[str, Any]) -> Rulebook | None:
        """Give the rules for a task's model that are fresher than the bundled ones, as far as they are here."""
        return self._fresh.known(task)

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of media uploaded by this session, by the UUID the service gave them."""
        return self._client.media_hashes if self._client is not None else {}

    # --- inside --------------------------------------------------------------------------------------

    def _make_client(self) -> Client:
        if self._client is None:
            self.require_key()
            from ..client import Client

            self._client = Client(settings=self.settings, on_notice=self._notices.append)
        return self._client

    async def _connect(self) -> str:
        return await self._make_client().open()

    def _open_log(self) -> RunLog:
        with self._opening_log:
            log = self._log
            if log is None:
                from ..runlog import RunLog

                log = self._log = RunLog(self.settings.home, self.settings.log_url)
            return log


def _sendable(request: Mapping[str, Any]) -> Item:
    """Leave out addresses whose secrets were not written to disk: without them they lead nowhere."""
    return {name: value for name, value in request.items() if not (isinstance(value, str) and REDACTED in value)}


async def _mark(log: RunLog, task_uuid: str, state: State) -> None:
    with contextlib.suppress(RunLogError):
        await log.set_state(task_uuid, state)


async def _close_when_idle(client: Client, jobs: list[Job]) -> None:
    """Close a client that was replaced, once the jobs that use it are done."""
    while any(not job.is_done for job in jobs):  # noqa: ASYNC110 - jobs end on threads as well
        await asyncio.sleep(0.2)
    await client.aclose()


_session: Session | None = None
_making = threading.Lock()


def current_session() -> Session:
    """Give this process's session, made on first use."""
    global _session  # noqa: PLW0603 - one per process is the point
    with _making:
        if _session is None:
            import atexit

            _session = Session()
            atexit.register(_session.close)
        return _session
