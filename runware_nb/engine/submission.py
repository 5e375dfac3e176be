"""The one way from a task to its job: joined, answered from the log, replayed, or sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.canonical import request_hash
from ..core.conversation import Reply
from ..core.items import Item
from ..core.media_fields import holds_media, replace_media
from ..core.money import format_amount
from ..core.parsing import is_uuid
from ..core.prompts import PromptOrigin
from ..core.redaction import known_secrets
from ..errors import RunLogError, TaskInvalid
from ..loop import background_loop, wait
from ..providers.base import Provider
from ..remedies import Option, Remedy
from ..reprs import short_repr
from ..runlog import Parent, RunRecord
from ..runlog.records import UsualDuration
from ..settings import remember_secrets
from .chained_job import ChainedJob
from .consent import Consent, Priced, priced
from .context import CellContext, environment_snapshot
from .estimates import Estimate
from .execution import utc_now
from .executor import Executor
from .input_lineage import by_content, parents_of, storable_request
from .job_table import JobTable
from .jobs import Job, JobOwner
from .known_runs import KnownRuns
from .media_sources import Sources, UrlChecks, look_up, upload_media
from .ports import Ports
from .replay_lookup import find_replay
from .uses import record_use

__all__ = ["Plan", "RunMetadata", "Submission", "Submitter", "contains_secret", "refuse_keys"]

_LARGEST_SEED = 2**31
_FRESH = Remedy("{0} asks the service again", (Option("fresh", True),))


@short_repr()
@dataclass(slots=True)
class Plan:
    """What would be sent.

    Attributes:
        task: The task, complete except for the seed that would be picked.
        warnings: What could not be checked, as sentences.
        price: What it is likely to cost, and how that is known.
        usual_duration: How long the user's own runs of this kind took; None if the log has none.
        origin: Where its prompts come from; None for plain texts.
        continues: The texts of earlier runs in its conversation.
    """

    task: Item
    warnings: list[str]
    price: Estimate
    usual_duration: UsualDuration | None = None
    origin: PromptOrigin | None = None
    continues: tuple[Reply, ...] = ()


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetadata:
    """What goes into the log with a run.

    Attributes:
        template: The prompt as typed, before names were filled in.
        tags: Labels.
        note: A note.
        replay_of: The run that is to be made again.
        parents: Runs that it was made from otherwise than by a medium, such as the one that wrote its prompt.
        context: The cell it belongs to; the running one where None.
    """

    template: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    replay_of: str | None = None
    parents: tuple[Parent, ...] = ()
    context: CellContext | None = None


class Submitter:
    """Everything that a submission needs; the only way by which a task leaves a session.

    Attributes:
        ports: Settings, log and services.
        owner: Carries out the wishes of the jobs that are built here.
        jobs: The jobs in progress.
        executor: Brings jobs to their ends.
        known: Finds runs again.
        consent: What the user has agreed to spend.
        urls: What is behind the URLs of the user's.
    """

    def __init__(
        self,
        ports: Ports,
        owner: JobOwner,
        *,
        jobs: JobTable,
        executor: Executor,
        known: KnownRuns,
        consent: Consent,
    ) -> None:
        self.ports = ports
        self.owner = owner
        self.jobs = jobs
        self.executor = executor
        self.known = known
        self.consent = consent
        self.urls = UrlChecks()

    def submit_all(
        self,
        provider: Provider,
        plans: Sequence[Plan],
        metadata: RunMetadata,
        *,
        fresh: bool,
        agreed: bool,
        as_is: bool = False,
        chained: ChainedJob | None = None,
    ) -> list[Job]:
        """Submit planned tasks as one batch: the user agrees to all of them before the first is sent.

        Args:
            provider: The service that they were planned for.
            plans: The tasks.
            metadata: What the log records with each run.
            fresh: Whether recorded answers are ignored.
            agreed: Whether the user agreed to the cost beforehand.
            as_is: Whether the tasks are sent exactly as they are written.
            chained: The step of a chain that the only task is. The user agreed to it when the chain was built, and
                cannot be asked now: it is only checked that it has not become more expensive.
        """
        if self.ports.settings.mode == "replay":
            refuse_keys(plans, metadata)
            return [self._replay(provider, plan, metadata) for plan in plans]
        self.ports.require_key(provider.name)
        refuse_keys(plans, metadata)
        submissions = [
            Submission(self, provider, plan, metadata, fresh=fresh, as_is=as_is, chained=chained) for plan in plans
        ]
        known = [submission.find_known() for submission in submissions]
        # The same request twice in a batch is sent once: the second joins the first, and costs nothing.
        unsent = {
            submission.identity: submission for submission, job in zip(submissions, known, strict=True) if job is None
        }
        context = metadata.context or self.ports.context(counts=False)
        prices = [submission.priced for submission in unsent.values()]
        if chained is None:
            self.consent.require(prices, context=context, agreed=agreed)
        elif not agreed:
            for price in prices:
                self.consent.recheck(price, chained.step.agreed_price, context=context)
        jobs = [
            submission.start() if job is None else submission.use(job)
            for submission, job in zip(submissions, known, strict=True)
        ]
        for sentence in self.ports.take_notices() if jobs else ():
            if not self.ports.front_end.tell(sentence):
                jobs[0].notices.append(sentence)
        return jobs

    def agree_to_chain(self, provider: Provider, first: Sequence[Plan], last: Plan, *, agreed: bool) -> bool:
        """Ask once for the cost of a task and of the tasks that have to be done before it.

        Asked one by one, the user could agree to the first tasks, pay for them, and refuse the last one, for which
        they were done.

        Args:
            provider: The service that they were planned for.
            first: The tasks whose results the last one needs.
            last: The last task.
            agreed: Whether the user agreed to the cost beforehand.

        Returns:
            Whether the user has agreed to all of it, so that nothing is asked when the tasks are submitted.

        Raises:
            NotConfirmed: The answer was no, or this session cannot ask. Nothing was sent.
            BudgetExceeded: A budget cannot cover all of it. Nothing was sent.
        """
        if self.ports.settings.mode == "replay":
            return agreed
        self.ports.require_key(provider.name)
        metadata = RunMetadata()
        submissions = [Submission(self, provider, plan, metadata, fresh=False, as_is=False) for plan in first]
        unsent = [submission.priced for submission in submissions if not submission.is_known]
        if not unsent:
            return agreed  # only the last task may cost something, and it is asked about when it is submitted
        # Also if the user has agreed to the cost: a budget that covers the first tasks only must refuse all of them.
        last_one = priced(last.task, last.price, provider.name)
        self.consent.require([*unsent, last_one], context=self.ports.context(counts=False), agreed=agreed)
        return True

    def _replay(self, provider: Provider, plan: Plan, metadata: RunMetadata) -> Job:
        """Answer a task from the log, in replay mode."""
        context = metadata.context or self.ports.context()
        job = self.answer_from_log(find_replay(self.ports, provider, plan.task, context), "replayed")
        record_use(self.ports, job, context, tags=metadata.tags, note=metadata.note, how="replayed")
        return job

    def answer_from_log(self, record: RunRecord, how: str) -> Job:
        """Return a job that answers with a finished run, and send nothing."""
        job = Job(self.owner, record, is_new=False)
        job.is_recorded = True
        started = record.created_at_utc[:16].replace("T", " ")
        remedy = "" if how == "replayed" else f"; {self.ports.front_end.remedy(_FRESH)}"
        cost = None if record.cost is None else format_amount(record.cost, record.cost_unit)
        then = "" if cost is None else f" (it cost {cost} when it was generated)"
        free = format_amount(0.0, record.cost_unit)
        job.notices.append(f"{how}: run {record.task_uuid[:8]} of {started} UTC answered at {free}{then}{remedy}")
        return self.executor.start(job, dict(record.request), None)

    def find_recorded(self, hashed: str) -> Job | None:
        """Find a run of the very same request that succeeded.

        It answers even if its files are not on this machine: they were paid for. They are downloaded again if the
        service still has them, and otherwise the answer states what is missing.
        """
        record = self.recorded(hashed)
        return None if record is None else self.answer_from_log(record, "recorded")

    def recorded(self, hashed: str) -> RunRecord | None:
        """Return the run of a request that succeeded; None if the log has none."""
        try:
            record = self.ports.log.find_recorded(hashed)
        except RunLogError:
            return None
        if record is None or not record.results or any(result.error is not None for result in record.results):
            return None
        return record


class Submission:
    """A task that has been checked, hashed and brought into the form in which it is sent.

    Args:
        submitter: What it needs.
        provider: The service.
        plan: The checked task.
        metadata: What the log records with the run.
        fresh: Whether a recorded answer is ignored.
        as_is: Whether the task is sent exactly as it is written.
        chained: The step of a chain that it is; None if it is none.
    """

    def __init__(
        self,
        submitter: Submitter,
        provider: Provider,
        plan: Plan,
        metadata: RunMetadata,
        *,
        fresh: bool,
        as_is: bool,
        chained: ChainedJob | None = None,
    ) -> None:
        self._submitter = submitter
        self._ports = ports = submitter.ports
        self._provider = provider
        self._plan = plan
        self._metadata = metadata
        self._fresh = fresh
        self._as_is = as_is
        self._chained = chained
        self._seen_ended = 0
        self._unsent: RunRecord | None = None
        self._how = "joined"
        is_resolved = not as_is or _is_all_sendable(provider, plan.task)
        sources = look_up(ports, provider, plan.task, urls=submitter.urls) if is_resolved else Sources(plan.task)
        self._inputs = sources.inputs
        named = by_content(plan.task, self._inputs)
        self._requested_hash = self._sent_hash = request_hash(named, service=provider.name)
        self._seed_given = plan.task.get("seed") is not None
        self._names_uuid = plan.task.get("taskUUID") is not None
        task = sources.task if not as_is else plan.task
        # A seed is picked, so that every image can be made again.
        if not as_is and not self._seed_given and provider.takes_seed(plan.task):
            count = task.get("numberResults", 1)
            seed = ports.rng.randrange(1, _LARGEST_SEED - (count if isinstance(count, int) else 1))
            task = {**task, "seed": seed}
            self._sent_hash = request_hash({**named, "seed": seed}, service=provider.name)
        self._task = provider.complete(task, as_is=as_is)
        if not is_uuid(str(self._task["taskUUID"])):
            raise TaskInvalid(
                f"Invalid taskUUID {self._task['taskUUID']!r}: expected a UUID. Nothing was sent. Leave taskUUID out "
                "to get a new one.",
                parameter="taskUUID",
            )
        self._operation = operation = provider.operation(self._task)
        # Without a seed only a deterministic operation has one answer, so that a recorded or a running one is as good.
        self._is_joinable = self._seed_given or (operation is not None and operation.deterministic)

    @property
    def priced(self) -> Priced:
        """What the user is asked to agree to."""
        return priced(self._plan.task, self._plan.price, self._provider.name)

    @property
    def identity(self) -> str:
        """What is sent once: the request if another may join it, else the task UUID."""
        return self._sent_hash if self._is_joinable else str(self._task["taskUUID"])

    @property
    def is_known(self) -> bool:
        """Whether the same request is in progress or has a recorded answer, so that it costs nothing."""
        if not self._is_joinable or self._fresh:
            return False
        known, hashed = self._submitter.known, self._sent_hash
        if known.find_twin(hashed) is not None:
            return True
        record = known.find_logged_twin(hashed)
        if record is not None:
            return record.attempts > 0
        return self._submitter.recorded(hashed) is not None

    def find_known(self) -> Job | None:
        """Find the same request in progress, or its recorded answer; None if it has to be sent."""
        self._seen_ended = self._submitter.jobs.number_ended
        self._how = "joined"
        if self._names_uuid:
            job = self._find_uuid()
            if job is not None:
                return job
        if not self._is_joinable:
            return None
        job = self._submitter.known.find_twin(self._sent_hash)
        if job is not None:
            return job
        record = self._submitter.known.find_logged_twin(self._sent_hash)
        if record is not None and record.attempts:
            self._upload_media()
            return self._join(record, self._scope)
        # Nobody has sent that run yet. This request adopts it, after the user has agreed to its cost.
        self._unsent = record
        if self._fresh or record is not None:
            return None
        self._how = "recorded"
        return self._submitter.find_recorded(self._sent_hash)

    def start(self) -> Job:
        """Write the run to the log and send it; or join the same request that another thread has just submitted."""
        self._upload_media()
        context = self._metadata.context or self._ports.context()
        job = Job(self._submitter.owner, self._record(context), is_new=True)
        job.scope, job.as_is = context.scope, self._as_is
        job.notices.extend(self._plan.warnings)
        known: Job | None = None
        while known is None:
            unsent = self._unsent
            if unsent is not None:
                if self._chained is not None and self._chained.withdrawn is not None:
                    raise self._chained.withdrawn  # dropped by Stop meanwhile: the run stays unsent
                return self.use(self._join(unsent, context.scope), context)
            if self._submitter.jobs.add_if_new(job, since=self._seen_ended):
                if self._chained is not None:
                    self._chained.adopt(job)  # it is in the table of jobs now, so from here on Stop finds it there
                return self._submitter.executor.execute(job, self._task, context.cell_source)
            known = self.find_known()
        return self.use(known, context)

    def _join(self, record: RunRecord, scope: Hashable) -> Job:
        """Join an unfinished run. The step of a chain adopts the job before anything of it can be sent."""
        chained = self._chained
        return self._submitter.known.join(
            record, self._task, scope=scope, on_added=None if chained is None else chained.adopt
        )

    def use(self, job: Job, context: CellContext | None = None) -> Job:
        """Record that this cell uses the answer of a job that it did not send; return the job."""
        context = context or self._metadata.context or self._ports.context()
        metadata = self._metadata
        record_use(self._ports, job, context, tags=metadata.tags, note=metadata.note, how=self._how)
        return job

    @property
    def _scope(self) -> Hashable:
        """The cell that the run belongs to."""
        return (self._metadata.context or self._ports.context(counts=False)).scope

    def _upload_media(self) -> None:
        """Upload the media that the task contains, once the user has agreed to its cost."""
        task, provider = self._task, self._provider
        # Most tasks bring nothing along, and then nothing waits for the background loop.
        if self._as_is or not holds_media(task) or _is_all_sendable(provider, task):
            return
        self._task = wait(background_loop().submit(upload_media(self._ports.log, provider, task)))

    def _find_uuid(self) -> Job | None:
        """Find the run of a task that names its own UUID: a UUID is sent once, and then it is asked about."""
        name = str(self._task["taskUUID"])
        running = self._submitter.jobs.get(name)  # its row may not be in the log yet
        if running is not None and running.record.request_hash == self._sent_hash:
            return running
        try:
            record = self._ports.log.find(name) if running is None else running.record
        except RunLogError:
            return None  # a new UUID; any other fault of the log is met again when the run is written
        if record.request_hash != self._sent_hash or record.is_imported:
            raise TaskInvalid(
                f"The log has another request under taskUUID {name}. Nothing was sent. Leave taskUUID out to get a new "
                "one.",
                parameter="taskUUID",
            )
        if record.attempts == 0 and not record.is_finished:
            self._unsent = record
            return None
        if record.is_finished and not any(result.error is None for result in record.results):
            raise TaskInvalid(
                f"Run {name} ended without a result ({record.state.value}) and cannot be sent again under the same "
                "taskUUID. Nothing was sent. Leave taskUUID out to send the task as a new run.",
                parameter="taskUUID",
            )
        return self._submitter.known.job(record.task_uuid)

    @property
    def _template(self) -> str | None:
        """The prompt as typed: of the front end, else that with which the prompt itself was rendered."""
        origin = self._plan.origin
        return self._metadata.template if self._metadata.template is not None or origin is None else origin.template

    def _record(self, context: CellContext) -> RunRecord:
        task, metadata, price = self._task, self._metadata, self._plan.price.cost
        origin = self._plan.origin
        written = () if origin is None else (Parent(each.task_uuid, "prompt", each.index) for each in origin.parents)
        # The last reply has the others in its own conversation.
        continued = [Parent(reply.task_uuid, "conversation", reply.position) for reply in self._plan.continues[-1:]]
        parents = (*continued, *parents_of(self._plan.task, self._inputs), *metadata.parents, *written)
        return RunRecord(
            task_uuid=task["taskUUID"], attempt_uuid=task["taskUUID"], provider=self._provider.name,
            task_type=task["taskType"], model=task.get("model"), request=storable_request(task),
            request_hash=self._sent_hash, asked_hash=self._requested_hash, created_at_utc=utc_now(),
            prompt_template=self._template, prompt_origin=None if origin is None else origin.to_json(),
            prompt=self._provider.prompt(task), notebook=context.notebook, cell_id=context.cell_id,
            cell_hash=context.cell_hash,
            cell_ordinal=context.cell_ordinal, execution_count=context.execution_count, kernel=context.kernel,
            environment_hash=environment_snapshot()[0], tags=tuple(dict.fromkeys(metadata.tags)), note=metadata.note,
            inputs=[medium.as_item() for medium in self._inputs], parents=parents,
            parent_uuid=parents[0].task_uuid if parents else None,
            replay_of=metadata.replay_of, seed_given=self._seed_given, is_joinable=self._is_joinable,
            estimate=None if price is None else price.amount, cost_unit=self._plan.price.unit,
            operation=None if self._operation is None else self._operation.name,
        )  # fmt: skip


def refuse_keys(plans: Sequence[Plan], metadata: RunMetadata) -> None:
    """Raise if a request, or what the log records with it, contains a key that this process knows.

    It is refused, and not redacted: a request that differs from what is stored could not be sent again, and a prompt
    with a key is a mistake that its author must know of before it is sent.

    Raises:
        TaskInvalid: It does; the message names the place, and not the key.
    """
    remember_secrets()
    origins = [plan.origin.to_json() for plan in plans if plan.origin is not None]
    typed = {"prompt": metadata.template, "values": origins, "note": metadata.note, "tags": list(metadata.tags)}
    for values in (*(plan.task for plan in plans), typed):
        path = _find_key("", values)
        if path is not None:
            raise contains_secret(path)


def contains_secret(path: str) -> TaskInvalid:
    """Build the error about a value that contains a key; it names the place, and not the key."""
    return TaskInvalid(
        f"Invalid {path}: it contains an API key or another secret of this session. Nothing was sent or stored. "
        "Remove it. If the notebook was shared, replace the key.",
        parameter=path,
    )


def _find_key(path: str, value: Any) -> str | None:
    """Return the path of the first text in a value that contains a known secret; None if there is none."""
    if isinstance(value, str):
        return path if known_secrets.is_in(value) else None
    if isinstance(value, Mapping):
        if known_secrets.is_in("\n".join(map(str, value))):
            return path or "parameter name"
        inner = ((f"{path}.{name}" if path else name, part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        inner = ((f"{path}[{number}]", part) for number, part in enumerate(value))
    else:
        return None
    return next((place for name, part in inner if (place := _find_key(name, part)) is not None), None)


def _is_all_sendable(provider: Provider, task: Mapping[str, Any]) -> bool:
    """Return whether every medium of a task is written as the service takes it, such as a URL or the service's id."""
    media: list[Any] = []
    if holds_media(task):
        replace_media(task, media.append)
    return all(isinstance(value, str) and provider.is_reference(value) for value in media)
