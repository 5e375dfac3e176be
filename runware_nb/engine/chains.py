"""Steps of chains: checked and agreed to when the chain is built, and submitted when their sources are there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from ..core.items import Item
from ..errors import ConfigError, RunCancelled, TaskInvalid
from ..forking import Workers, disconnect, make_lock, restart_after_fork
from ..providers.base import Provider, Task
from ..runlog import RunRecord
from .chained_job import Awaited, ChainedJob, Step
from .consent import priced
from .execution import utc_now
from .jobs import JobOwner
from .media_sources import RemembersUploads
from .ports import Ports
from .sources import deliver
from .submission import Plan, RunMetadata, Submitter, refuse_keys

__all__ = ["Chains"]

_AT_ONCE = 4
"""Steps that are submitted at the same moment. A submission may wait for an upload, but never for a run."""
_NOT_SENT = "This step was not sent. Steps of the chain that were submitted before it continue."


class Chains:
    """The steps of one session that wait for their sources. It can be used from any thread.

    No thread waits for a source: the end of the last one starts the submission in a worker thread, since a submission
    may wait for the background loop, which brings the sources to their ends. The submission is the ordinary one. So a
    step is hashed by the content of its sources, answered from the log, joined, counted in budgets, claimed and logged
    like any other run.

    Args:
        ports: Settings, log and services.
        owner: Carries out the wishes of the jobs.
        plan: Checks a task, as `Engine.plan` does.
        submitter: Submits the steps.
    """

    def __init__(self, ports: Ports, owner: JobOwner, *, plan: Callable[..., Plan], submitter: Submitter) -> None:
        self._ports = ports
        self._owner = owner
        self._plan = plan
        self._submitter = submitter
        self._workers = Workers(_AT_ONCE, "runware chains")
        self._lock = make_lock()
        # By identity: two steps under one UUID must both be known to Stop, however they came to be.
        self._waiting: dict[int, ChainedJob] = {}
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Forget all steps after a fork: they belong to the parent, which sends them."""
        disconnect((), self._waiting)
        self._waiting = {}

    # --- while the chain is built -------------------------------------------------------------------------

    def prepare(
        self,
        provider: Provider,
        steps: Sequence[tuple[Item, list[Awaited], Plan]],
        metadata: RunMetadata,
        *,
        fresh: bool,
        agreed: bool,
        as_is: bool,
        service: str,
    ) -> list[ChainedJob]:
        """Build the jobs of steps, and ask the user for their cost as for any batch. Nothing starts yet.

        The user is asked here, where the chain is built, because nobody can be asked when a step is sent. Each step
        counts towards the sum of the cell, so the question about a later step names the sum of the chain. A budget is
        checked when a step is sent: what it does not cover then ends with that error and is not sent.

        Args:
            provider: The service that they were planned for.
            steps: Each task with what it waits for and its plan.
            metadata: What the log records with each run.
            fresh: Whether recorded answers are ignored.
            agreed: Whether the user agreed to the cost beforehand.
            as_is: Whether the tasks are sent exactly as they are written.
            service: Who performs them, as `Engine.submit` takes it.

        Raises:
            TaskInvalid: A task contains a key, or another step waits under its UUID.
            NotConfirmed: The user did not agree, or this session cannot ask.
            BudgetExceeded: A budget cannot cover the batch.
        """
        refuse_keys([plan for _, _, plan in steps], metadata)
        if self._ports.settings.mode != "replay":
            self._ports.require_key(provider.name)
        account = self._account(provider)
        found: list[ChainedJob | Step] = []
        new: list[tuple[Step, Plan]] = []
        for task, sources, plan in steps:
            named = {**task, "taskUUID": task.get("taskUUID") or str(uuid.uuid4())}
            step = Step(
                task=named, sources=sources, service=service, provider=provider.name, account=account,
                metadata=metadata, agreed_price=plan.price, agreed=agreed, fresh=fresh, as_is=as_is,
            )  # fmt: skip
            known = self._find_uuid(step, [each for each, _ in new])
            if known is None:
                new.append((step, plan))
            found.append(step if known is None else known)
        if self._ports.settings.mode != "replay":
            self._submitter.consent.require(
                [priced(plan.task, plan.price, provider.name) for _, plan in new],
                context=metadata.context or self._ports.context(counts=False),
                agreed=agreed,
                undone=_NOT_SENT,
            )
        built: dict[int, ChainedJob] = {}
        for step, plan in new:
            # The cell that builds the chain is the cell of the run, whichever one is running when it is sent.
            own = replace(step, metadata=replace(metadata, context=metadata.context or self._ports.context()))
            built[id(step)] = ChainedJob(self._owner, _placeholder(provider, own.task, plan), own)
        return [each if isinstance(each, ChainedJob) else built[id(each)] for each in found]

    def _account(self, provider: Provider) -> object:
        """Return what identifies the account that a provider sends with; None in replay mode.

        A provider whose service does not keep uploads is built anew when its settings or secrets change, so it is its
        own identity.
        """
        if self._ports.settings.mode == "replay":
            return None
        return provider.upload_scope() if isinstance(provider, RemembersUploads) else provider

    def _find_uuid(self, step: Step, others: Sequence[Step]) -> ChainedJob | Step | None:
        """Find what waits, or is about to wait, under the UUID of a step: a UUID is sent once.

        Raises:
            TaskInvalid: It is another request.
        """
        name = str(step.task["taskUUID"]).lower()
        candidates: list[ChainedJob | Step] = [*self.waiting, *others]
        for known in candidates:
            waiting = known.step if isinstance(known, ChainedJob) else known
            if str(waiting.task["taskUUID"]).lower() != name:
                continue
            if waiting.is_same_request(step):
                return known
            raise TaskInvalid(
                f"Another step of a chain waits under taskUUID {name}. Nothing was sent. Leave taskUUID out to get a "
                "new one.",
                parameter="taskUUID",
            )
        return None

    def start(self, jobs: Sequence[ChainedJob]) -> None:
        """Have each step submitted when its sources have ended."""
        for job in jobs:
            if not job.start_waiting():
                continue  # the same step was built twice
            with self._lock:
                self._waiting[id(job)] = job
            job.future.add_done_callback(lambda _, job=job: self._forget(job))  # type: ignore[misc]
            for source in {id(each.job): each.job for each in job.step.sources}.values():
                source.future.add_done_callback(lambda _, job=job: self._source_ended(job))  # type: ignore[misc]

    def _source_ended(self, job: ChainedJob) -> None:
        """Submit a step whose sources have all ended, or of which one has failed. Called from any thread."""
        futures = [source.job.future for source in job.step.sources]
        has_failed = any(future.done() and future.exception() is not None for future in futures)
        if not (has_failed or all(future.done() for future in futures)) or not job.begin():
            return
        try:
            self._workers.submit(self._submit, job)
        except RuntimeError:  # the interpreter ends, and starts no thread any more
            job.drop(RunCancelled(_ENDED.format(job.task_uuid)))

    # --- when its sources are there ------------------------------------------------------------------------

    def _submit(self, job: ChainedJob) -> None:
        """Submit a step in the ordinary way, in a worker thread. Whatever goes wrong before it is sent ends its job."""
        step = job.step
        try:
            task: Task = deliver(step.task, step.sources, job.task_uuid)
            provider = self._ports.provider(step.service)
            if provider.name != step.provider:
                # Its price was agreed to at another service, and the sandbox may have been left for the paid one.
                raise ConfigError(
                    f"Run {job.task_uuid[:8]} was not sent and cost nothing: its chain was built for the service "
                    f"{step.provider!r}, and {provider.name!r} is in use now. Build the chain again."
                )
            if self._ports.settings.mode != "replay" and self._account(provider) != step.account:
                raise ConfigError(
                    f"Run {job.task_uuid[:8]} was not sent and cost nothing: its chain was built for another account "
                    f"or with other settings of the service {step.provider!r}. Build the chain again."
                )
            self._ports.apply_budget(provider.name, provider.capabilities.money)
            plan = self._plan(task, as_is=step.as_is, service=step.service)
            (submitted,) = self._submitter.submit_all(
                provider, [plan], step.metadata, fresh=step.fresh, agreed=step.agreed, as_is=step.as_is, chained=job
            )
        except BaseException as error:  # noqa: BLE001 - it reaches whoever waits for the step
            job.settle(None, error)
        else:
            job.follow(submitted)
        finally:
            self._forget(job)

    def _forget(self, job: ChainedJob) -> None:
        with self._lock:
            self._waiting.pop(id(job), None)

    # --- what a user wishes ----------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[ChainedJob]:
        """The steps that were not submitted yet, oldest first."""
        with self._lock:
            return [job for job in self._waiting.values() if job.is_waiting]

    def starting_with(self, beginning: str) -> ChainedJob | None:
        """Return a step that waits whose task UUID begins so; None if there is none."""
        return next((job for job in self.waiting if job.task_uuid.startswith(beginning)), None)

    def drop(self, reason: str, *, scope: Hashable = None, is_of_scope: bool = False) -> list[ChainedJob]:
        """Drop steps that were not submitted; return those that were dropped.

        The last ones are dropped first. So the end of a step that others wait for does not reach them, and each has the
        reason of the user and not that of a failed source.

        Args:
            reason: What happened to each, as a sentence with `{}` for its task UUID.
            scope: The cell that built them.
            is_of_scope: Whether only those of this cell are dropped.
        """
        jobs = [job for job in reversed(self.waiting) if not is_of_scope or job.scope == scope]
        return [job for job in jobs if job.drop(RunCancelled(reason.format(job.task_uuid)))]


_ENDED = "Run {} was not sent, because its process ended. It cost nothing."


def _placeholder(provider: Provider, task: Item, plan: Plan) -> RunRecord:
    """Build the record that describes a step until it has one in the log."""
    operation = provider.operation(task)
    name = str(task["taskUUID"])
    request: dict[str, Any] = {**plan.task, "taskUUID": name}
    return RunRecord(
        task_uuid=name, attempt_uuid=name, provider=provider.name,
        task_type=str(plan.task.get("taskType", "imageInference")), model=plan.task.get("model"), request=request,
        request_hash="", asked_hash="", created_at_utc=utc_now(), prompt=provider.prompt(plan.task),
        operation=None if operation is None else operation.name, cost_unit=plan.price.unit,
    )  # fmt: skip
