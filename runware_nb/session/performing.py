"""What starts an operation on a result, an outcome, a job or a group of jobs of a session."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Protocol

from ..core.chaining import OF_EVERY_RUN, method_name, method_signature, subject_of
from ..core.items import Item
from ..core.operations import Operation
from ..core.prompts import as_prompt
from ..core.results import Outcome, Result
from ..engine.chained_job import Awaited
from ..engine.job_group import JobGroup
from ..engine.jobs import Job
from ..engine.ports import Ports
from ..engine.sources import await_recorded, choose, kind_of_run
from ..errors import ArgumentInvalid, TaskInvalid
from ..loading import load
from ..providers.runware.operations import binding_for
from ..providers.runware.tasks import can_stream

__all__ = ["SessionPerformer"]


class Submits(Ports, Protocol):
    """What the methods need of their session, with `submit` and `submit_all` as `Engine` has them."""

    submit: Any
    submit_all: Any


class SessionPerformer:
    """The methods of results, outcomes, jobs and groups. The session lends it to each of them.

    A pickle does not contain it: in another process there is no such session.

    Args:
        session: Submits the tasks.
    """

    def __init__(self, session: Submits) -> None:
        self._session = session

    def __reduce__(self) -> tuple[Any, ...]:
        return _no_session, ()

    def __copy__(self) -> SessionPerformer:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SessionPerformer:
        return self

    def __call__(self, operation: Operation, source: Any, values: Mapping[str, Any]) -> Job | JobGroup:
        """Start an operation on a medium, or on each of several. See `Performer`.

        Raises:
            TaskInvalid: The operation does not take this kind of medium, or the service would refuse a task.
            ArgumentInvalid: A parameter has an unknown name.
        """
        as_tags = load("session.api").as_tags
        media = self._media_of(source)
        _check_names(operation, values)
        ours = {name: values.get(name, default) for name, (default, _) in OF_EVERY_RUN.items()}
        extra = ours.pop("extra")
        ours["tags"] = as_tags([*as_tags(ours["tags"]), *as_tags(self._session.settings.defaults.get("tag"))])
        given = {name: value for name, value in values.items() if name not in OF_EVERY_RUN and value is not None}
        tasks = [self._task(operation, medium, given, extra) for medium in media]
        if len(tasks) == 1 and not isinstance(source, JobGroup):
            job: Job = self._session.submit(tasks[0], **ours)
            return job
        return JobGroup(self._session.submit_all(tasks, **ours))

    def history(self, task_uuid: str) -> Any:
        """Return the tree of a run. See `Performer`."""
        return load("session.history").history(task_uuid, session=self._session)

    def _task(
        self, operation: Operation, medium: Result | Awaited, given: Mapping[str, Any], extra: Mapping[str, Any] | None
    ) -> Item:
        # Loaded by name: the functions of the operations need the current session, which is built with this class.
        build_request = load("session.operations").build_request
        task: Item
        if can_stream(binding_for(operation).task_type) and _is_text(medium):
            # A text that was generated is asked about in its own conversation, and not as the first message of another.
            source = medium.job if isinstance(medium, Awaited) else medium
            task = build_request(self._session, operation, {**given, "continue_from": source}, extra=extra)
            return task
        kind = medium.kind if isinstance(medium, Result) else kind_of_run(medium.job.record)
        subject = subject_of(operation, kind)
        name = operation.body if subject is None else subject.name
        assert name is not None
        if name in given:
            raise ArgumentInvalid(
                name, given[name], f"nothing, because the method of a result fills it; use rw.{operation.function}()"
            )
        value: Any = medium
        if subject is not None and subject.is_list:
            value = [medium]
        elif subject is None:
            value = as_prompt(medium)  # names the run of the text as a parent
        task = build_request(self._session, operation, {**given, name: value}, extra=extra)
        return task

    def _media_of(self, source: Any) -> list[Result | Awaited]:
        """Return the results of a source, those that are not here yet as `Awaited`.

        Raises:
            SourceFailed: The source is a job that has failed.
            TaskInvalid: The source has no result.
        """
        if isinstance(source, Result):
            return [source]
        if isinstance(source, Outcome):
            if not source.results:
                raise TaskInvalid(f"Run {source.task_uuid[:8]} has no result to continue with. Nothing was sent.")
            return list(source.results)
        if isinstance(source, JobGroup):
            if not source:
                raise TaskInvalid("This group has no job to continue with. Nothing was sent.")
            return [medium for job in source for medium in self._media_of_job(job, is_member=True)]
        return self._media_of_job(source, is_member=False)

    def _media_of_job(self, job: Job, *, is_member: bool) -> list[Result | Awaited]:
        await_recorded(job)
        if is_member and job.is_done and job.future.exception() is not None:
            return [Awaited(job)]  # its step ends with this error, and those of the other members are sent
        return choose(self._session, job)


def _is_text(medium: Result | Awaited) -> bool:
    """Return whether a medium is a generated text, unlike a caption."""
    if isinstance(medium, Result):
        return medium.is_written
    return can_stream(medium.job.record.task_type)


def _no_session() -> None:
    """Return what a pickle has in the place of a performer."""


def _check_names(operation: Operation, values: Mapping[str, Any]) -> None:
    known = list(method_signature(operation).parameters)[1:]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"the nearest is {near[0]}" if near else f"they are {', '.join(known)}"
            raise ArgumentInvalid(
                "parameter", name, f"a parameter of {method_name(operation)}(); {hint}. Nothing was sent"
            )
