"""The session: settings, one client, one log, one folder of media, and the jobs in progress."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalog import check_task, estimate_usd, find_model, place_media
from ..errors import RunLogError, TaskError, TaskInvalid
from ..images.incoming import content_of, is_sendable
from ..loop import background_loop, wait
from ..runlog import MediaStore, ResultRecord, RunRecord, State
from ..settings import Key, Settings, load_settings, stored_key
from ..wire.canonical import request_hash
from ..wire.classify import task_error
from ..wire.frames import Item
from ..wire.places import holds_media, replace_media
from ..wire.redact import REDACTED, redact_task
from ..wire.service import Service
from ..wire.tasks import ImageTask, Task, is_uuid, prepare, prompt_of
from .context import CellContext, environment_snapshot
from .fresh import FreshSchemas
from .hooks import hooks
from .jobs import Job
from .pipeline import drive, utc_now
from .show import render_job

if TYPE_CHECKING:
    from ..client import Client
    from ..runlog import RunLog

__all__ = ["Plan", "Session", "current_session"]

_LARGEST_SEED = 2**31
_REPEATABLE = frozenset({"upscale", "removeBackground", "caption", "imageMasking", "controlNetPreprocess", "vectorize"})
"""Operations: the same medium gives the same answer, and no seed is asked for."""


@dataclass(slots=True)
class Plan:
    """What would be sent.

    Attributes:
        task: In wire spelling, complete but for the seed that would be picked.
        warnings: What the catalogue does not know.
        estimate_usd: US dollars, from prices seen; None where none is known.
    """

    task: Item
    warnings: list[str]
    estimate_usd: float | None


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
        self._opening_log = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._notices: list[str] = []
        self._kept: set[asyncio.Task[None]] = set()
        self._fresh = FreshSchemas(self)
        self._chance = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone

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
        settings = self.settings.with_values(**values)
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
    def media(self) -> MediaStore:
        """The folder of media: beside the home folder, since Jupyter serves no hidden ones."""
        return MediaStore(Path(self.settings.media_url or self.settings.home.parent / "runware_images"))

    @property
    def environment(self) -> str:
        """The description of this environment, as JSON."""
        return environment_snapshot()[1]

    def context(self) -> CellContext:
        """Describe the cell that is running; a script has none."""
        return hooks.find_cell() if hooks.find_cell is not None else CellContext()

    def show_job(self, job: Job) -> None:
        """Show a job where the user is looking."""
        if hooks.show_job is not None:
            hooks.show_job(job)
        else:
            print(render_job(job)["text/plain"])  # noqa: T201 - a terminal's display

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
            ConfigError: There is none.
        """
        if self.settings.api_key is None:
            self.settings = self.settings.with_values(api_key=stored_key())
        return self.settings.require_key()

    def plan(self, task: Task) -> Plan:
        """Complete and check a task without sending it.

        Raises:
            TaskInvalid: The service would refuse it; the message says what to change.
        """
        wire: Item = dict(task.to_wire() if isinstance(task, ImageTask) else task)
        wire.setdefault("taskType", "imageInference")
        model = find_model(str(wire.get("model", "")))
        if model is not None:
            wire["model"] = model.air
        rules = self._fresh.rules_for(wire)
        wire = place_media(wire, schema=None if rules is None else rules.schema)
        shown = wire
        if holds_media(wire):
            shown = replace_media(wire, lambda value: value if is_sendable(value) else "<medium>")
        return Plan(wire, check_task(shown, rules=rules), estimate_usd(wire))

    def submit(
        self,
        task: Task,
        *,
        template: str | None = None,
        tags: tuple[str, ...] = (),
        note: str | None = None,
        fresh: bool = False,
    ) -> Job:
        """Start a task in the background.

        Args:
            task: A dict in wire spelling, or a typed task.
            template: The prompt as typed, before names were filled in.
            tags: Labels for the log.
            note: A note for the log.
            fresh: Whether it is asked again although the log has the answer.

        Returns:
            Its job. The same request with a seed of the user's own (operations on media need none) is answered from
            the log, at no cost, if it has succeeded before; if it is still running, it is joined.

        Raises:
            TaskInvalid: The service would refuse it.
            ConfigError: There is no key.
        """
        plan = self.plan(task)
        self.require_key()
        plan.task = self._with_media(plan.task)
        provider = self.settings.service
        asked = request_hash(self._by_content(plan.task), service=provider)
        seed_given = plan.task.get("seed") is not None
        wire = self._with_seed(plan.task)
        sent = asked if wire is plan.task else request_hash(self._by_content(wire), service=provider)
        wire = prepare(wire, new_uuid=lambda: str(uuid.uuid4()))
        if not is_uuid(str(wire["taskUUID"])):
            raise TaskInvalid(
                f"taskUUID {wire['taskUUID']!r} is no UUID; leave it out to get one", parameter="taskUUID"
            )
        with self._lock:
            if seed_given or wire["taskType"] in _REPEATABLE:
                known = self._find_twin(sent, wire) or (None if fresh else self._find_recorded(sent))
                if known is not None:
                    return known
            context = self.context()
            record = RunRecord(
                task_uuid=wire["taskUUID"], attempt_uuid=wire["taskUUID"], provider=provider,
                task_type=wire["taskType"], model=wire.get("model"), request=redact_task(wire),
                request_hash=sent, asked_hash=asked, created_at_utc=utc_now(), prompt_template=template,
                prompt=prompt_of(wire), seed_given=seed_given, notebook=context.notebook,
                cell_id=context.cell_id, cell_hash=context.cell_hash, cell_ordinal=context.cell_ordinal,
                execution_count=context.execution_count, kernel=context.kernel,
                environment_hash=environment_snapshot()[0], tags=tags, note=note,
            )  # fmt: skip
            job = Job(self, record, is_new=True)
            job.notices.extend(plan.warnings)
            return self._start(job, wire, context.cell_source)

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        with self._lock:
            for job in list(self._jobs.values()):
                if len(ref) >= 4 and job.task_uuid.startswith(ref.lower()):
                    return job
            record = self.log.find(ref)
            running = self._jobs.get(record.task_uuid)
            if running is not None:
                return running
            task = {**record.request, "taskUUID": record.attempt_uuid}
            return self._start(Job(self, record, is_new=False), task, None)

    def take_up(self, record: RunRecord, *, sends: bool) -> Job:
        """Go on with an unfinished run of an earlier kernel.

        Args:
            record: As the log has it.
            sends: Whether it may be sent: one that never left, or one that the service does not know, under its own
                UUID.
        """
        with self._lock:
            running = self._jobs.get(record.task_uuid)
            if running is not None:
                return running
            never_left = record.attempts == 0
            job = Job(self, record, is_new=never_left and sends, resends=sends)
            job.is_logged = True
            return self._start(job, {**_sendable(record.request), "taskUUID": record.attempt_uuid}, None)

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
        await (await self.open_log()).set_state(record.task_uuid, State.DISCARDED)
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

    # --- inside --------------------------------------------------------------------------------------

    def _find_twin(self, hashed: str, task: Item) -> Job | None:
        """Find an unfinished run of the very same request, in this kernel or another's, and join it.

        A run whose kernel died may never have arrived: then it is sent again, under its own UUID.
        """
        for job in list(self._jobs.values()):
            if job.record.request_hash == hashed and not job.is_done and job.state is not State.DISCARDED:
                return job
        try:
            record = self.log.find_twin(hashed)
        except RunLogError:
            return None  # the run itself will meet the same fault, and say so
        if record is None or record.state is State.PREPARED:
            return None
        job = Job(self, record, is_new=False, resends=True)
        job.notices.append(f"joined run {record.task_uuid[:8]}, which was already on its way")
        return self._start(job, {**task, "taskUUID": record.attempt_uuid}, None)

    def _find_recorded(self, hashed: str) -> Job | None:
        """Find a run of the very same request whose answer is here in full, files included."""
        try:
            record = self.log.find_recorded(hashed)
        except RunLogError:
            return None
        if record is None or not record.results or not all(self._is_here(result) for result in record.results):
            return None
        job = Job(self, record, is_new=False)
        job.is_recorded = True
        made = record.created_at_utc[:16].replace("T", " ")
        job.notices.append(f"recorded: run {record.task_uuid[:8]} of {made} UTC; `--fresh` asks the service again")
        return self._start(job, dict(record.request), None)

    def _is_here(self, result: ResultRecord) -> bool:
        if result.error is not None:
            return False
        return self.media.find(result.file) is not None or (result.url is None and result.medium_state != "stored")

    def _by_content(self, task: Item) -> Item:
        """Write a task with each medium as the hash of its content: the same picture is the same request."""
        if not holds_media(task):
            return task
        hashes = self._client.media_hashes if self._client is not None else {}
        return replace_media(task, lambda value: content_of(value, hashes))

    def _start(self, job: Job, task: Item, cell_source: str | None) -> Job:
        self._jobs[job.task_uuid] = job
        job.future.add_done_callback(lambda _: self._jobs.pop(job.task_uuid, None))
        background_loop().submit(drive(self, job, task, cell_source=cell_source))
        return job

    def _with_media(self, task: Item) -> Item:
        """Upload what a task brings along; most bring nothing."""
        if not holds_media(task):
            return task
        found: list[Any] = []
        replace_media(task, lambda value: found.append(value) if not is_sendable(value) else None)
        return wait(background_loop().submit(self._make_client().prepare_media(task))) if found else task

    def _with_seed(self, task: Item) -> Item:
        """Pin the seed, so that every image can be made again."""
        model = find_model(str(task.get("model", "")))
        rules = self._fresh.known(task)
        takes_seed = "seed" in rules.names if rules is not None else model is not None and model.takes_seed
        if task.get("seed") is not None or not takes_seed:
            return task
        count = task.get("numberResults", 1)
        seed = self._chance.randrange(1, _LARGEST_SEED - (count if isinstance(count, int) else 1))
        return {**task, "seed": seed}

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
