"""The engine: one path for everything that costs money, whichever service answers.

The magic, a form, the terminal, Python, `raw`, replay and verify all submit here. A submission is answered from the
log, joins the same request in progress, is refused by a budget or the user, or becomes a new run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.chaining import Performer
from ..core.conversation import replies_in
from ..core.items import Item
from ..core.prompts import origin_of
from ..printable import printable
from ..providers.base import Task
from ..remedies import Remedy
from ..runlog import RunRecord
from ..runlog.records import Parent, UsualDuration
from .adoption import adopt
from .chained_job import Awaited
from .chains import Chains
from .consent import Consent
from .context import CellContext
from .durations import expected_duration
from .estimates import estimate
from .execution import SharedWork
from .executor import Executor
from .job_table import JobTable
from .job_view import render_job
from .jobs import Job
from .known_runs import KnownRuns
from .media_recovery import MediaRecovery
from .ports import Ports
from .run_queue import RunQueue
from .sources import resolve, stand_ins
from .submission import Plan, RunMetadata, Submitter

__all__ = ["Engine"]


class Engine:
    """The runs of one session. Everything in it may be called from any thread.

    Args:
        ports: Settings, log, media, services and front end of the session.

    Attributes:
        jobs: The jobs in progress.
        consent: What the user has agreed to spend.
        recovery: Finds the files of results.
        known: Finds runs again.
        queue: The runs that wait for their turn.
        chains: The steps that wait for the results of other runs.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.consent = Consent(ports)
        self.recovery = MediaRecovery(ports)
        self.jobs = JobTable()
        executor = Executor(SharedWork(ports, self.jobs, self.consent, self.recovery))
        self.known = KnownRuns(ports, self, self.jobs, executor, self.recovery)
        self._submitter = Submitter(
            ports, self, jobs=self.jobs, executor=executor, known=self.known, consent=self.consent
        )
        self.chains = Chains(ports, self, plan=self.plan, submitter=self._submitter)
        self.queue = RunQueue(ports, self.jobs, self.known, self.chains)

    def plan(self, task: Task, *, as_is: bool = False, service: str = "") -> Plan:
        """Complete and check a task without sending it.

        Args:
            task: As the service takes it, or a typed task. Jobs may stand in the places of media and texts.
            as_is: Whether the task is left exactly as it is written, and not checked.
            service: Who performs it, as the log names it; empty for Runware, or the sandbox in its place.

        Raises:
            TaskInvalid: The service would refuse it; the message states what to change.
        """
        plan = self._plan(*resolve(self._ports, task), as_is=as_is, service=service)
        return replace(plan, usual_duration=expected_duration(self._ports, plan.task, service))

    def _plan(self, task: Task, awaited: Sequence[Awaited], *, as_is: bool, service: str) -> Plan:
        if awaited and isinstance(task, Mapping):
            task = stand_ins(dict(task))
        # A provider converts texts to plain ones, so the origin of prompts and what they continue are read before.
        origin = origin_of(task if isinstance(task, Mapping) else task.to_wire())
        continues = tuple(replies_in(task)) if isinstance(task, Mapping) else ()
        plan = self._ports.provider(service).plan(task, as_is=as_is)
        said = [self._ports.front_end.remedy(each) if isinstance(each, Remedy) else each for each in plan.warnings]
        warnings = [*said, *(() if origin is None else origin.sentences())]
        price = estimate(self._ports, plan.task, service)
        return Plan(plan.task, warnings, price, origin=origin, continues=continues)

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
        parents: Sequence[Parent] = (),
        service: str = "",
    ) -> Job:
        """Start a task in the background.

        Args:
            task: As the service takes it, or a typed task. A job may stand in the place of a medium or a text: the job
                of this task is then returned at once, and sent when the result is there. See `ChainedJob`.
            template: The prompt as typed, before names were filled in.
            tags: Tags for the log.
            note: A note for the log.
            fresh: Whether it is asked again although the log has the answer.
            agreed: Whether its price was agreed to, however high.
            replay_of: The run that is to be made again.
            context: The cell it belongs to, if that is not the one that is running: a form's.
            parents: Runs that it depends on otherwise than by a medium of the task.
            service: Who performs it, as the log names it; empty for Runware, or the sandbox in its place.

        Returns:
            Its job. The same request with a seed of the user's own (operations on media need none) is answered from
            the log, at no cost, if it has succeeded before; if it is still running, it is joined. In replay mode
            everything is answered from the log.

        Raises:
            TaskInvalid: The service would refuse it.
            SourceFailed: A job in it has failed.
            ConfigError: There is no key.
            NotConfirmed: It costs more than is sent without a yes, and there was none.
            NotRecorded: Replay mode has no record of it.
        """
        metadata = RunMetadata(
            template=template, tags=_as_tuple(tags), note=note, replay_of=replay_of, context=context,
            parents=tuple(parents),
        )  # fmt: skip
        return self._submit([task], metadata, fresh=fresh, agreed=agreed, service=service)[0]

    def submit_all(
        self,
        tasks: Sequence[Task],
        *,
        tags: str | Sequence[str] = (),
        note: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        as_is: bool = False,
        service: str = "",
    ) -> list[Job]:
        """Start several tasks as one batch.

        All of them are checked before the first is sent. There is at most one question about the cost, and a budget
        that cannot cover the batch refuses it as a whole.

        Args:
            tasks: Each as the service takes it, or a typed task.
            tags: Tags for the log.
            note: A note for the log.
            fresh: Whether recorded answers are ignored.
            agreed: Whether the user agreed to the cost beforehand.
            as_is: Whether the tasks are sent exactly as they are written: unchecked, and completed only by a task UUID.
            service: Who performs them, as the log names it; empty for Runware, or the sandbox in its place.

        Returns:
            A job for each task, in the same order.

        Raises:
            TaskInvalid: The service would refuse one of them. Nothing was sent.
            NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
            BudgetExceeded: A budget cannot cover the batch. Nothing was sent.
        """
        metadata = RunMetadata(tags=_as_tuple(tags), note=note)
        return self._submit(tasks, metadata, fresh=fresh, agreed=agreed, as_is=as_is, service=service)

    def agree_to_chain(self, first: Sequence[Task], last: Plan, *, agreed: bool, service: str = "") -> bool:
        """Ask once for the cost of tasks and of the one that needs their results. See `Submitter.agree_to_chain`.

        Args:
            first: The tasks whose results the last one needs.
            last: The last task, planned.
            agreed: Whether the user agreed to the cost beforehand.
            service: Who performs them, as the log names it; empty for Runware, or the sandbox in its place.
        """
        provider = self._ports.provider(service)
        self._ports.apply_budget(provider.name, provider.capabilities.money)
        plans = [self.plan(task, service=service) for task in first]
        return self._submitter.agree_to_chain(provider, plans, last, agreed=agreed)

    def adopt(
        self, task: Mapping[str, Any], remote_id: str, *, service: str, tags: str | Sequence[str] = (),
        note: str | None = None,
    ) -> Job:  # fmt: skip
        """Write a task that was submitted elsewhere to the log, and collect its results. Nothing is sent.

        Args:
            task: The task in the form of its service.
            remote_id: The id under which the service has it.
            service: The service, as the log names it.
            tags: Tags for the log.
            note: A note for the log.

        Returns:
            Its job; that of the run which the log has under this id, if there is one.
        """
        self._ports.require_key(service)
        provider = self._ports.provider(service)
        return self.known.job(adopt(self._ports, provider, task, remote_id, tags=_as_tuple(tags), note=note).task_uuid)

    def _submit(
        self,
        tasks: Sequence[Task],
        metadata: RunMetadata,
        *,
        fresh: bool,
        agreed: bool,
        service: str,
        as_is: bool = False,
    ) -> list[Job]:
        provider = self._ports.provider(service)
        self._ports.apply_budget(provider.name, provider.capabilities.money)
        resolved = [resolve(self._ports, task) for task in tasks]
        plans = [self._plan(task, awaited, as_is=as_is, service=service) for task, awaited in resolved]
        ready = [plan for plan, (_, awaited) in zip(plans, resolved, strict=True) if not awaited]
        if len(ready) == len(plans):
            return self._submitter.submit_all(provider, plans, metadata, fresh=fresh, agreed=agreed, as_is=as_is)
        steps: list[tuple[Item, list[Awaited], Plan]] = [
            (dict(task), awaited, plan)
            for plan, (task, awaited) in zip(plans, resolved, strict=True)
            if awaited and isinstance(task, Mapping)
        ]
        # The user agrees to all of them before anything starts: a refusal below leaves the steps unstarted.
        chained = self.chains.prepare(
            provider, steps, metadata, fresh=fresh, agreed=agreed, as_is=as_is, service=service
        )
        sent = self._submitter.submit_all(provider, ready, metadata, fresh=fresh, agreed=agreed, as_is=as_is)
        self.chains.start(chained)
        jobs = {True: iter(chained), False: iter(sent)}
        return [next(jobs[bool(awaited)]) for _, awaited in resolved]

    def job(self, ref: str) -> Job:
        """Take up a run again, in this kernel or the next; a step that waits for its sources is found here only.

        Args:
            ref: Task UUID, or its first characters (4 or more).

        Raises:
            RunNotFound: None fits, or more than one.
        """
        step = self.chains.starting_with(ref.lower()) if len(ref) >= 4 else None
        return self.known.job(ref) if step is None else step

    def running_jobs(self) -> list[Job]:
        """Return the jobs of this session that are not done."""
        return [job for job in self.jobs if not job.is_done]

    # --- what a job wishes ---------------------------------------------------------------------------

    @property
    def performer(self) -> Performer:
        """What starts an operation on the result of a job."""
        return self._ports.performer

    @property
    def display(self) -> str:
        """How images are shown: `html` or `image`."""
        return self._ports.settings.display

    def stop(self, job: Job) -> str:
        """Stop the cell that waits for a job. See `RunQueue.stop`."""
        return self.queue.stop(job)

    def mark_detached(self, job: Job) -> None:
        """Mark a run as one that nobody waits for. See `RunQueue.mark_detached`."""
        self.queue.mark_detached(job)

    def discard(self, record: RunRecord) -> bool:
        """Hide a run. See `RunQueue.discard`."""
        return self.queue.discard(record)

    def cancel(self, job: Job) -> bool:
        """Cancel a run that was not sent yet. See `RunQueue.cancel`."""
        return self.queue.cancel(job)

    def show_job(self, job: Job) -> None:
        """Show a job where the user is looking."""
        if not self._ports.front_end.show_job(job):
            print(printable("\n".join([render_job(job)["text/plain"], *job.notices])))  # noqa: T201 - in a terminal

    def remedy(self, remedy: Remedy) -> str:
        """Return what the user can do, in the syntax of the session's front end."""
        return self._ports.front_end.remedy(remedy)

    def render_job(self, job: Job) -> dict[str, str]:
        """Return a job as a MIME bundle, as it stands."""
        return render_job(job)

    def expected_duration(self, record: RunRecord) -> UsualDuration | None:
        """Return how long runs of this kind usually take; None if that is not known."""
        return expected_duration(self._ports, record.request, record.provider)


def _as_tuple(tags: str | Sequence[str]) -> tuple[str, ...]:
    """Return tags as a tuple; one text is one tag, and not its letters."""
    return (tags,) if isinstance(tags, str) else tuple(tags)
