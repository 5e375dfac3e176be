"""The session: settings, one client, one log, one folder of media, and the jobs in progress."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalog import Rulebook, check_task, find_model, place_media, rulebook_of
from ..errors import ConfigError, MagicUsageError, RunCancelled, RunLogError, TaskError, TransportError
from ..forking import Workers, disconnect, make_lock, restart_after_fork
from ..images.incoming import is_sendable
from ..loading import FIRST_NEEDED, load
from ..loop import background_loop, wait
from ..printable import printable
from ..reprs import short_repr
from ..runlog import MediaStore, RunRecord, State
from ..runlog.bucket import Bucket
from ..settings import Key, Settings, hide_key, notebook_name, remember_secrets
from ..wire.cell_source import redact_source
from ..wire.classify import task_error
from ..wire.frames import Item
from ..wire.places import holds_media, replace_media
from ..wire.redact import REDACTED, show_url
from ..wire.service import Service
from ..wire.tasks import ImageTask, Task, as_wire
from .aliases import AliasBook
from .consent import Consent
from .context import CellContext, environment_snapshot, script_path
from .estimates import Estimate, estimate
from .fresh import FreshSchemas
from .hooks import hooks
from .job_table import JobTable
from .jobs import Job
from .layers import SERVICE_SETTINGS, SettingLayers
from .lineage import put_back
from .local_sandbox import LocalSandbox, check_listening
from .media_recovery import MediaRecovery
from .pipeline import drive, utc_now
from .show import render_job
from .submit import Labels, submit, submit_all

if TYPE_CHECKING:
    from ..client import Client
    from ..runlog import RunLog

__all__ = ["Plan", "Session", "Stopped", "current_session"]

_STOP_S = 0.15
"""Longest wait for the background loop while Stop is handled, in seconds: the prompt must return within 0.25 s."""


@short_repr()
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


@short_repr()
@dataclass(frozen=True, slots=True)
class Stopped:
    """What Stop did to the runs of a cell.

    Attributes:
        sent: How many runs of the cell were sent, before or during Stop.
        dropped: How many were not sent.
    """

    sent: int
    dropped: int

    @property
    def sentence(self) -> str:
        """What a user should know, in complete sentences."""
        sent = "1 run of this cell was" if self.sent == 1 else f"{self.sent} runs of this cell were"
        unsent = "1 run was" if self.dropped == 1 else f"{self.dropped} runs were"
        goes_on = "; what is not finished continues, and its result goes to the log" if self.sent else ""
        return f"{sent} sent{goes_on}. {unsent} not sent and cost nothing."


_CANCELLED = "Run {} was cancelled before it was sent. It cost nothing."
_DISCARDED = "Run {} was discarded before it was sent. It cost nothing."
_STOPPED = "Run {} was not sent, because its cell was stopped. It cost nothing."
_CLOSED = "Run {} was not sent, because the session was closed. It cost nothing. `%runware resume --send` sends it."


class Session:
    """One notebook's connection. Everything in it may be called from any thread.

    Args:
        settings: As loaded from the environment where None.
        fetches_media: Whether results are downloaded; without, only their addresses are kept.
    """

    def __init__(self, settings: Settings | None = None, *, fetches_media: bool = True) -> None:
        self._layers = SettingLayers(settings, hooks.working_folder)
        self.settings = self._layers.effective
        self._sandbox: LocalSandbox | None = None
        self.fetches_media = fetches_media
        self.last: Any = None
        self._client: Client | None = None
        self._log: RunLog | None = None
        self._media: tuple[Any, MediaStore] | None = None
        self._opening: dict[tuple[Path, str | None], concurrent.futures.Future[RunLog | None]] = {}
        self.jobs = JobTable()
        self.consent = Consent(self)
        self._price_locks: dict[str, asyncio.Lock] = {}
        self._connecting = make_lock()
        """Guards settings, client, log and media: only ever held to look and to assign, never during I/O."""
        self._notices: list[str] = []
        self._budgeted: tuple[Any, ...] | None = None
        self._kept: set[asyncio.Task[None]] = set()
        self._fresh = FreshSchemas(self)
        self.aliases = AliasBook(self)
        self.recovery = MediaRecovery(self)
        self.chance = random.Random()  # noqa: S311 - picks seeds; of its own, so that random.seed() leaves it alone
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start again after a fork: the parent goes on with its jobs and its connection, and this process has none.

        The log starts again by itself. New seeds are drawn, so that parent and child do not pick the same ones.
        """
        disconnect((), self._client, self._kept, self.jobs, self._fresh, self._opening, self._media)
        self._client = self._media = None
        self.jobs, self._kept, self._opening = JobTable(), set(), {}
        self._price_locks = {}
        self._fresh = FreshSchemas(self)
        self.chance = random.Random()  # noqa: S311 - as above

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
        hide_key(values)
        self.configure(**values)
        self.require_key()
        return wait(background_loop().submit(self._connect()))

    def configure(self, **values: Any) -> None:
        """Change settings; the next task uses them, tasks in flight keep theirs.

        A key or a URL of a service ends the use of the sandbox: neither is mixed with those of the sandbox.

        Raises:
            ConfigError: A name is unknown or a value is invalid.
        """
        hide_key(values)
        given = {name: value for name, value in values.items() if value is not None}
        self.settings.with_values(**given)  # raises before anything has changed
        if given.keys() & SERVICE_SETTINGS:
            self.leave_sandbox()
        self._change(lambda: self._layers.set(given))

    def use_profile(self, name: str) -> None:
        """Use the settings of a profile of the user's file: key, budget, folder and the rest; an empty name for none.

        Raises:
            ConfigError: There is no such profile, or a value is invalid.
        """
        self._change(lambda: self._layers.use_profile(name))
        self.leave_sandbox()

    def _change(self, action: Callable[[], object]) -> None:
        """Change the layers of settings, and use what applies then; what two threads change at once is all changed."""
        with self._connecting:
            action()
            settings, before = self._layers.effective, self.settings
            if settings == before:
                return
            self.settings = settings
            old, self._client = self._client, None
            if _log_place(settings) != _log_place(before):
                self._log = None
        if old is not None:
            background_loop().submit(_close_when_idle(old, list(self.jobs)))

    def follow_environment(self) -> None:
        """Use a key or a budget that the environment has by now, or no longer has."""
        if self._layers.is_outdated():
            self._change(self._layers.follow_environment)

    async def verify_key(self, key: Key) -> str:
        """Ask the service whether it accepts a key, over a connection of its own. On the background loop only.

        Returns:
            The transport over which it was accepted.

        Raises:
            AuthenticationFailed: The service refused it.
            TransportError: The service cannot be reached.
            ConfigError: A part of the settings could not be read, so the service is unknown.
        """
        from ..client import Client

        client = Client(settings=self.settings.with_values(api_key=key), on_notice=self._notices.append)
        try:
            return await client.verify_key()
        finally:
            await client.aclose()

    def running_jobs(self) -> list[Job]:
        """Return the jobs of this session that are not done."""
        return [job for job in self.jobs if not job.is_done]

    # --- the sandbox ---------------------------------------------------------------------------------

    @property
    def sandbox(self) -> LocalSandbox | None:
        """The sandbox that this session started and uses; it may have ended."""
        return self._sandbox

    def use_sandbox(self, arguments: Sequence[str] = ()) -> LocalSandbox:
        """Start a local sandbox and use it in place of the service. One that runs already is replaced.

        Raises:
            ConfigError: It did not start. The previous service is in use again.
        """
        self.settings.check("home")
        self.leave_sandbox(tells=False)  # it holds the folder of its state, and maybe the port
        home = self.settings.home
        sandbox = self._sandbox = LocalSandbox(arguments, state_dir=home / "sandbox", on_end=self._on_sandbox_ended)
        self._change(lambda: self._layers.use_sandbox(sandbox.values))
        return sandbox

    def leave_sandbox(self, *, tells: bool = True) -> bool:
        """Stop the sandbox if this session uses one, and return to the service that was in use before.

        Unfinished runs of the sandbox stay in the log. They can be collected once it runs again: it keeps its state.

        Args:
            tells: Whether a notice is left for the user.

        Returns:
            Whether a sandbox was in use.
        """
        with self._connecting:
            sandbox, self._sandbox = self._sandbox, None
            if sandbox is None:
                return False
            client, self._client = self._client, None
        self._change(self._layers.leave_sandbox)
        if client is not None:  # waiting for a service that ends would only take its full time
            wait(background_loop().submit(client.aclose(_sandbox_ended("was stopped"))))
        sandbox.stop()
        if tells:
            self._notices.append(f"The sandbox was stopped. The service is {show_url(self.settings.rest_url)} again.")
        return True

    def _on_sandbox_ended(self, sandbox: LocalSandbox) -> None:
        """End what waits for a sandbox that crashed or was killed. Called on a thread."""
        with self._connecting:
            if self._sandbox is not sandbox:
                return
            client, self._client = self._client, None
        if client is not None:
            background_loop().submit(client.aclose(_sandbox_ended(f"has ended ({sandbox.end})")))

    def _check_sandbox(self) -> None:
        """Raise at once where the local service has ended: a client would try to connect for many seconds.

        Raises:
            TransportError: It has ended, or nothing listens at its URL.
        """
        if self._sandbox is not None and not self._sandbox.is_running:
            before = show_url(self._layers.rest_url_before_sandbox)
            raise TransportError(
                f"The sandbox has ended ({self._sandbox.end}). Nothing was sent. Start it again with "
                f"`%runware sandbox`, or return to {before} with `%runware sandbox --stop`.",
                may_have_arrived=False,
            )
        if self.settings.is_local and self._client is not None and self._client.is_lost:
            check_listening(self.settings.ws_url if self.settings.transport == "websocket" else self.settings.rest_url)

    @property
    def is_connected(self) -> bool:
        """Whether a client has been made."""
        return self._client is not None

    async def open_service(self) -> Service:
        """Give the client, making it if needed. On the background loop only."""
        return self._make_client()

    async def open_log(self) -> RunLog:
        """Give the log, opening it if needed. On the background loop only."""
        log = self._log
        return log if log is not None else await asyncio.to_thread(self._open_log)

    @property
    def log(self) -> RunLog:
        """The log.

        Raises:
            RunLogError: It cannot be opened.
        """
        log = self._log
        return log if log is not None else self._open_log()

    @property
    def has_log(self) -> bool:
        """Whether the log is open."""
        return self._log is not None

    @property
    def media(self) -> MediaStore:
        """The folder of media: next to the home folder, since Jupyter serves no hidden ones; a bucket where one is set.

        Raises:
            ConfigError: The bucket cannot be used, or the setting could not be read.
        """
        settings, media = self.settings, self._media
        settings.check("home", "media_url")
        place = (settings.home, settings.media_url)
        if media is not None and media[0] == place:
            return media[1]
        url, beside = settings.media_url, settings.home.parent / "runware_images"
        is_bucket = url is not None and "://" in url
        store = MediaStore(beside, Bucket(url)) if is_bucket and url else MediaStore(Path(url or beside))
        with self._connecting:  # another thread may have been faster: all use the first one
            if self._media is None or self._media[0] != place:
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

    def client(self) -> Client:
        """The client, for utilities that need no log."""
        self.follow_environment()
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
        """Return the key, from the keyring if the environment has none. Call it before something is sent.

        Raises:
            ConfigError: There is no key, replay mode sends nothing, or a part of the settings could not be read.
            TransportError: The local sandbox has ended.
        """
        self.follow_environment()
        if self.settings.mode == "replay":
            raise ConfigError(
                "Replay mode answers all requests from the log and sends nothing. `%runware config mode live` "
                "asks the service"
            )
        self._check_sandbox()
        if self.settings.api_key is None:
            self._layers.look_into_keyring()  # without the lock: the keyring may ask the user
            self._change(lambda: None)
        return self.settings.require_key()

    def forget_key(self) -> None:
        """Continue without the key of the service; tasks in flight keep theirs, and the sandbox keeps its own."""
        self._change(self._layers.forget_key)

    def rules_for(self, name: str) -> Rulebook | None:
        """Give what a model takes: fresh from the schema service where it answers, else as bundled.

        Args:
            name: AIR identifier, slug, name or alias.
        """
        air = self.aliases.air_of(name)
        model = find_model(air)
        fresh = self._fresh.rules_for({"model": air, "taskType": "imageInference"})
        return fresh or (rulebook_of(model) if model is not None else None)

    def check_refused(self, name: str, consequence: str) -> None:
        """Check that the schema of a model was not refused.

        Args:
            name: AIR identifier, slug, name or alias.
            consequence: A sentence on what is missing without a schema.

        Raises:
            MagicUsageError: It was refused; the model can still be used.
        """
        air = self.aliases.air_of(name)
        reason = self._fresh.refusal(air)
        if reason is not None:
            raise MagicUsageError(
                f"The schema of model {air} is not used: {reason}. {consequence} "
                "Cells and rw.run() accept the model; the service checks its parameters."
            )

    def plan(self, task: Task, *, as_is: bool = False) -> Plan:
        """Complete and check a task without sending it.

        Args:
            task: A dict in wire spelling, or a typed task.
            as_is: Whether the task is left exactly as it is written, and not checked.

        Raises:
            TaskInvalid: The service would refuse it; the message states what to change.
        """
        if as_is:
            wire = dict(task.to_wire() if isinstance(task, ImageTask) else task)
            return Plan(wire, [], estimate(self, wire))
        wire = as_wire(task)
        wire.setdefault("taskType", "imageInference")
        if isinstance(wire.get("model"), str):
            wire["model"] = self.aliases.air_of(wire["model"])
        rules = self._fresh.rules_for(wire)
        wire = place_media(wire, schema=None if rules is None else rules.schema)
        shown = wire
        if holds_media(wire):
            shown = replace_media(wire, lambda value: value if is_sendable(value) else "<medium>")
        warnings = check_task(shown, rules=rules)
        refused = self._fresh.take_notice(wire)
        return Plan(wire, warnings if refused is None else [refused, *warnings], estimate(self, wire))

    def submit(
        self,
        task: Task,
        *,
        template: str | None = None,
        tags: str | Sequence[str] = (),
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
        labels = Labels(
            template=template, tags=_as_tuple(tags), note=note, replay_of=replay_of, context=context
        )  # fmt: skip
        self.apply_budget()
        return submit(self, task, labels, fresh=fresh, agreed=agreed)

    def submit_all(
        self,
        tasks: Sequence[Task],
        *,
        tags: str | Sequence[str] = (),
        note: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        as_is: bool = False,
    ) -> list[Job]:
        """Start several tasks as one batch.

        All of them are checked before the first is sent. There is at most one question about the cost, and a budget
        that cannot cover the batch refuses it as a whole.

        Args:
            tasks: Each a dict in wire spelling, or a typed task.
            tags: Tags for the log.
            note: A note for the log.
            fresh: Whether recorded answers are ignored.
            agreed: Whether the user agreed to the cost beforehand.
            as_is: Whether the tasks are sent exactly as they are written: unchecked, and completed only by a task UUID.

        Returns:
            A job for each task, in the same order.

        Raises:
            TaskInvalid: The service would refuse one of them. Nothing was sent.
            NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
            BudgetExceeded: A budget cannot cover the batch. Nothing was sent.
        """
        self.apply_budget()
        return submit_all(self, tasks, Labels(tags=_as_tuple(tags), note=note), fresh=fresh, agreed=agreed, as_is=as_is)

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        running = self.jobs.starting_with(ref.lower()) if len(ref) >= 4 else None
        if running is not None:
            return running
        record = self.log.find(ref)
        running = self.jobs.get(record.task_uuid)
        if running is not None:
            return running
        self._check_owner(record)
        task = {**record.request, "taskUUID": record.attempt_uuid}
        return self.start(Job(self, record, is_new=False), task, None)

    def take_up(self, record: RunRecord, *, sends: bool) -> Job:
        """Resume an unfinished run of an earlier kernel.

        Args:
            record: The run as the log has it.
            sends: Whether it may be sent: a run that was never sent, or one that the service does not know, under its
                own UUID.
        """
        self._check_owner(record)
        was_never_sent = record.attempts == 0
        job = Job(self, record, is_new=was_never_sent and sends, resends=sends)
        job.is_logged = True
        job.scope = self.context(counts=False).scope
        request = _sendable(record.request)
        if job.is_new or sends:
            request = put_back(self, request, record.inputs)
        return self.start(job, {**request, "taskUUID": record.attempt_uuid}, None)

    def belongs_here(self, record: RunRecord) -> bool:
        """Return whether a run is finished, or belongs to the service in use."""
        return record.is_finished or record.provider == self.settings.service

    def _check_owner(self, record: RunRecord) -> None:
        """Raise if another service has an unfinished run: this one does not know it, and would bill it when sent.

        Raises:
            ConfigError: The run belongs to another service.
        """
        if not self.belongs_here(record):
            raise ConfigError(
                f"Run {record.task_uuid[:8]} belongs to the service {record.provider!r}, and {self.settings.service!r} "
                "is in use. Nothing was sent. `%runware sandbox` starts the sandbox, and `%runware sandbox --stop` "
                "returns to the service."
            )

    def discard(self, record: RunRecord) -> bool:
        """Hide an unfinished run.

        A run that was not sent is dropped, and costs nothing. A run that was sent is paid for: it is collected without
        output, and a later identical request is answered from it.

        Args:
            record: The run.

        Returns:
            Whether it was dropped before it was sent.

        Raises:
            RunLogError: The log cannot be read or written, or the fate of the run is unknown.
        """
        if record.is_finished:
            return False
        if record.state is State.UNKNOWN:
            raise RunLogError(
                f"Run {record.task_uuid[:8]} cannot be hidden: it may have been accepted and charged. "
                "`%runware resume` asks the service again."
            )
        job = self.jobs.get(record.task_uuid)
        if job is not None and self.withdraw([job], _DISCARDED):
            return True
        wait(background_loop().submit(self._discard(record.task_uuid)))
        current = self.log.find(record.task_uuid)
        record.state = current.state
        if job is not None:
            job.record.state = current.state
            job.changed()
        elif not current.is_finished:
            self.take_up(current, sends=False)
        return current.is_finished and current.attempts == 0

    async def _discard(self, task_uuid: str) -> None:
        """Drop a run that was not sent, else hide it; the log decides, since another kernel may be sending it."""
        log = await self.open_log()
        dropped = log.drop_unsent(task_uuid, utc_now())
        hidden = log.set_state(task_uuid, State.DISCARDED)
        await asyncio.gather(dropped, hidden)

    def cancel(self, job: Job) -> bool:
        """Cancel one run of this kernel if it was not sent yet; return whether it was cancelled."""
        return bool(self.withdraw([job], _CANCELLED))

    def cancel_queued(self, *, of_other_kernels: bool = False) -> list[str]:
        """Cancel the runs that wait for their turn. None of them was sent, and they cost nothing.

        Args:
            of_other_kernels: Whether runs that other kernels wrote to the log and did not send are cancelled too. Such
                a kernel may have ended, or still have them in its queue.

        Returns:
            Task UUIDs of the runs that were cancelled.

        Raises:
            RunLogError: The log cannot be read or written.
        """
        cancelled = [job.task_uuid for job in self.withdraw(self.jobs.unsent(), _CANCELLED)]
        if of_other_kernels:
            unsent = [run.task_uuid for run in self.pending() if run.attempts == 0 and run.task_uuid not in cancelled]
            wait(background_loop().submit(self._drop_unsent(unsent)))
            still = {run.task_uuid for run in self.pending()}
            cancelled += [name for name in unsent if name not in still and not self.log.find(name).attempts]
        return cancelled

    async def _drop_unsent(self, task_uuids: Sequence[str]) -> None:
        log = await self.open_log()
        await asyncio.gather(*(log.drop_unsent(name, utc_now()) for name in task_uuids))

    def withdraw(self, jobs: Sequence[Job], what: str, *, timeout_s: float | None = None) -> list[Job]:
        """Take runs out of the queue and drop them in the log; return those that had not been sent.

        Args:
            jobs: Jobs of this session.
            what: What happened to each run, as a sentence with `{}` for its task UUID.
            timeout_s: Longest wait in seconds, for Stop; after it the runs are still withdrawn, but not returned, and
                the log is written in the background. None waits until the log is written.
        """
        if not jobs:
            return []
        future = background_loop().submit(self._withdraw(jobs, what, drops=True))
        try:
            withdrawn, writes = future.result(timeout_s)
        except TimeoutError:
            return []
        if timeout_s is None and writes is not None:
            background_loop().submit(_settled(writes)).result()
        return withdrawn

    async def _withdraw(
        self, jobs: Sequence[Job], what: str, *, drops: bool
    ) -> tuple[list[Job], asyncio.Future[Any] | None]:
        """Withdraw runs; return those that had not been sent, and what is still being written about them.

        What decides is that this runs on the loop that claims attempts: see `Job.withdraw`.
        """
        withdrawn: list[Job] = []
        writes: list[asyncio.Future[None]] = []
        for job in jobs:
            if not job.withdraw(RunCancelled(what.format(job.task_uuid))):
                continue
            withdrawn.append(job)
            # The row of a run that was joined belongs to the kernel that wrote it, and stays.
            if drops and not job.is_joined and self._log is not None:
                writes.append(self._log.drop_unsent(job.task_uuid, utc_now()))
                job.record.state, job.record.finished_at_utc = State.DISCARDED, utc_now()
        # A row that cannot be dropped stays prepared, which is as true: so an error here is none for the user.
        return withdrawn, asyncio.gather(*writes, return_exceptions=True) if writes else None

    def stop(self, job: Job) -> str:
        """Stop the cell that waits for a job: nothing more of it is sent. Return the sentence for the user.

        Runs that the cell has sent continue, because they are paid for. Runs of other cells stay queued.
        """
        stopped = self.stop_cell()
        if job.is_withdrawn and stopped.sent == 0 and stopped.dropped <= 1:
            return f"Stopped. Run {job.task_uuid} was not sent and cost nothing."
        if stopped.dropped == 0 and stopped.sent <= 1:
            job.detach()
            return job.goes_on("Stopped waiting")
        if not job.is_withdrawn:
            job.detach()
        return f"Stopped waiting for run {job.task_uuid}. {stopped.sentence}"

    def stop_cell(self) -> Stopped:
        """Withdraw every run that the current cell submitted and that was not sent."""
        scope = self.context(counts=False).scope
        mine = [job for job in self.jobs.unsent() if job.scope == scope]
        dropped = self.withdraw(mine, _STOPPED, timeout_s=_STOP_S)
        return Stopped(self.jobs.sent_by(scope), len(dropped))

    def pending(self) -> list[RunRecord]:
        """List runs that are not finished, whichever kernel began them.

        Raises:
            RunLogError: The log cannot be read.
        """
        return self.log.pending()

    def mark_detached(self, job: Job) -> None:
        """Mark a run in progress as detached, in the log too. A run that was not sent yet stays prepared."""
        if job.record.is_finished or job.record.state in {State.PREPARED, State.DISCARDED, State.UNKNOWN}:
            return
        job.record.state = State.DETACHED
        job.changed()
        log = self._log
        if log is not None:
            background_loop().submit(_mark_detached(log, job.task_uuid))

    def error_of(self, kept: Mapping[str, Any]) -> TaskError:
        """Make the exception of an error as the log keeps it."""
        raw = kept.get("raw")
        return task_error({**(raw if isinstance(raw, dict) else {}), **{k: v for k, v in kept.items() if k != "raw"}})

    def close(self) -> None:
        """Close connection, log and sandbox. Runs that were sent continue, and the next session can collect them.

        The queue ends first: when the connection closes, the tasks in flight end and make room, and a queued run must
        not be claimed then. Its row stays `prepared`, which proves that it was not sent.
        """
        with contextlib.suppress(Exception):
            work = self._withdraw(self.jobs.unsent(), _CLOSED, drops=False)
            wait(background_loop().submit(work), timeout_s=2.0)
        with self._connecting:
            client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                wait(background_loop().submit(client.aclose()), timeout_s=2.0)
        self._fresh.close()
        with self._connecting:
            log, self._log = self._log, None
        if log is not None:
            log.close()
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.stop()

    def find_twin(self, request_hash: str) -> Job | None:
        """Find a run of the very same request that this kernel has in progress; None if there is none."""
        job = self.jobs.twin(request_hash)
        if job is not None and job.state is State.DISCARDED:
            job.record.state = State.DETACHED
            self._restore(job.record)
        return job

    def find_logged_twin(self, request_hash: str) -> RunRecord | None:
        """Find an unfinished run of the very same request in the log, of an earlier kernel or another one.

        A run that was never sent counts only if it is joinable.
        """
        try:
            record = self.log.find_twin(request_hash)
        except RunLogError:
            return None  # the run itself meets the same fault, and reports it
        return None if record is None or (record.attempts == 0 and not record.is_joinable) else record

    def join(self, record: RunRecord, task: Item) -> Job:
        """Join an unfinished run of the very same request.

        It is sent only if no kernel has sent it. A run whose kernel died may not have arrived: then it is sent again,
        under its own UUID.
        """
        if record.state is State.DISCARDED:
            self._restore(record)
        return self.start(self.joined(record), {**task, "taskUUID": record.attempt_uuid}, None)

    def joined(self, record: RunRecord) -> Job:
        """Build the job that joins an unfinished run."""
        job = Job(self, record, is_new=record.attempts == 0, resends=True)
        job.is_logged = job.is_joined = True
        job.scope = self.context(counts=False).scope
        job.notices.append(f"Joined run {record.task_uuid[:8]}, which was already in progress.")
        return job

    def start(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Bring a job to its end in the background; if its run is in progress here already, return that job."""
        present = self.jobs.add_or_get(job)
        return self.execute(job, task, cell_source) if present is job else present

    def execute(self, job: Job, task: Item, cell_source: str | None) -> Job:
        """Bring a job of the table to its end in the background."""
        background_loop().submit(drive(self, job, task, cell_source=cell_source))
        return job

    def price_lock(self, kind: str) -> asyncio.Lock:
        """Return the lock that lets runs of an unknown price be sent one at a time. On the background loop only."""
        return self._price_locks.setdefault(kind, asyncio.Lock())

    def _restore(self, record: RunRecord) -> None:
        """Show a discarded run again, since the same request was made again."""
        record.state = State.DETACHED
        log = self._log
        if log is not None:
            background_loop().submit(_restore(log, record.task_uuid))

    def apply_budget(self) -> None:
        """Have the log count what is spent, if the settings have a budget.

        The limit itself is handed to the log with each run. It ends with the setting.

        Raises:
            RunLogError: The log cannot be written.
        """
        settings = self.settings
        place = (settings.service, settings.home, settings.log_url)
        if settings.budget_usd is None or place == self._budgeted:
            return
        from ..runlog.spending import count_for_settings

        with self.log.changing() as connection:
            count_for_settings(connection, settings.service)
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
        client = self._client
        if client is not None:
            return client
        self.require_key()  # before the lock: a keyring may have to be asked
        load("client")
        from ..client import Client

        with self._connecting:
            if self._client is None:
                self._client = Client(settings=self.settings, on_notice=self._notices.append)
            return self._client

    async def _connect(self) -> str:
        return await self._make_client().verify_key()

    def _open_log(self) -> RunLog:
        """Open the log once, however many threads want it: they all wait for the one that opens it.

        That one is a thread of its own, which Stop does not interrupt: a half-opened log would block the next cell.
        """
        while True:
            with self._connecting:
                if self._log is not None:
                    return self._log
                place = _log_place(self.settings)
                opening = self._opening.get(place)
                if opening is None:
                    opening = self._opening[place] = Workers(1, "runware log opening").submit(self._open_log_at, place)
            is_main = threading.current_thread() is threading.main_thread()
            log: RunLog | None = wait(opening) if is_main else opening.result()
            if log is not None:
                return log

    def _open_log_at(self, place: tuple[Path, str | None]) -> RunLog | None:
        """Open the log of a place; return None if the settings have named another one meanwhile."""
        log: RunLog | None = None
        try:
            load("runlog.store")
            from ..runlog import RunLog

            self.settings.check("home", "log_url")
            log = RunLog(*place)
        finally:
            with self._connecting:
                self._opening.pop(place, None)
                is_wanted = _log_place(self.settings) == place and self._log is None
                if is_wanted and log is not None:
                    self._log = log
        if not is_wanted:
            log.close()
            return None
        return log


def _log_place(settings: Settings) -> tuple[Path, str | None]:
    return settings.home, settings.log_url


def _sandbox_ended(how: str) -> TransportError:
    return TransportError(
        f"The sandbox {how}. Unfinished runs stay in the log. "
        "To collect them, run `%runware sandbox`, then `%runware resume`."
    )


def _as_tuple(tags: str | Sequence[str]) -> tuple[str, ...]:
    """Return tags as a tuple; one text is one tag, and not its letters."""
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _sendable(request: Mapping[str, Any]) -> Item:
    """Leave out addresses whose secrets were not written to disk: without them they lead nowhere."""
    return {name: value for name, value in request.items() if not (isinstance(value, str) and REDACTED in value)}


async def _mark_detached(log: RunLog, task_uuid: str) -> None:
    with contextlib.suppress(RunLogError):
        await log.set_state(task_uuid, State.DETACHED)


async def _restore(log: RunLog, task_uuid: str) -> None:
    with contextlib.suppress(RunLogError):
        await log.restore(task_uuid)


async def _settled(writes: asyncio.Future[Any]) -> None:
    await writes


async def _close_when_idle(client: Client, jobs: list[Job]) -> None:
    """Close a client that was replaced, once the jobs that use it are done."""
    while any(not job.is_done for job in jobs):  # noqa: ASYNC110 - jobs end on threads as well
        await asyncio.sleep(0.2)
    await client.aclose()


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
    session.follow_environment()
    return session.settings


def stop_current_cell() -> str:
    """Withdraw what the cell that was stopped has not sent yet; return a sentence, or an empty text for nothing.

    It makes no session: a cell that was stopped before the first one existed has submitted nothing.
    """
    if _session is None:
        return ""
    stopped = _session.stop_cell()
    return f"Stopped. {stopped.sentence}" if stopped.dropped else ""
