"""Tasks that were submitted elsewhere: written to the log as runs, so that their results can be collected."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.canonical import request_hash
from ..core.redaction import known_secrets
from ..errors import RunNotFound, TaskInvalid
from ..loop import background_loop, wait
from ..providers.base import Provider
from ..runlog import RunRecord, State
from ..settings import remember_secrets
from .context import environment_snapshot
from .execution import utc_now
from .input_lineage import storable_request
from .ports import Ports

__all__ = ["adopt"]


def adopt(
    ports: Ports,
    provider: Provider,
    task: Mapping[str, Any],
    remote_id: str,
    *,
    tags: Sequence[str] = (),
    note: str | None = None,
) -> RunRecord:
    """Write a task that the service has to the log, as a run that was sent and accepted. Nothing is sent.

    The run can then be collected as any other. It was paid for when it was submitted, so no budget is asked.

    Args:
        ports: The log, and where the user is.
        provider: The service that has the task.
        task: The task in the form of the provider.
        remote_id: The service's id of it.
        tags: Tags for the log.
        note: A note for the log.

    Returns:
        The run; the one that the log has under this id, if there is one.

    Raises:
        TaskInvalid: The task contains a key.
        RunLogError: The log cannot be written.
    """
    log = ports.log
    try:
        found = log.find(remote_id)
        if found.remote_id == remote_id and found.provider == provider.name:
            return found
    except RunNotFound:
        pass
    remember_secrets()
    if known_secrets.is_in(json.dumps(task, default=str)):
        raise TaskInvalid("The task contains an API key or another secret of this session. It was not recorded.")
    context = ports.context()
    own_id = str(uuid.uuid4())
    whole = {**task, "taskUUID": own_id}
    request = storable_request(whole)
    hashed = request_hash(dict(task), service=provider.name)
    operation = provider.operation(whole)
    record = RunRecord(
        task_uuid=own_id, attempt_uuid=own_id, provider=provider.name, task_type=str(task["taskType"]),
        model=task.get("model"), request=request, request_hash=hashed, asked_hash=hashed, created_at_utc=utc_now(),
        prompt=provider.prompt(whole), notebook=context.notebook, cell_id=context.cell_id, cell_hash=context.cell_hash,
        cell_ordinal=context.cell_ordinal, execution_count=context.execution_count, kernel=context.kernel,
        environment_hash=environment_snapshot()[0], tags=tuple(dict.fromkeys(tags)), note=note,
        seed_given=task.get("seed") is not None, is_joinable=False, cost_unit=provider.capabilities.money,
        operation=None if operation is None else operation.name,
    )  # fmt: skip

    async def write() -> None:
        # The three steps of a run that was sent from here, in their order. If the process ends between them, what is
        # left is a run that was never sent or whose fate is unknown, and neither is ever sent by itself.
        await log.prepare(record, cell_source=context.cell_source, environment=ports.environment, is_paid=True)
        await log.mark_sent(own_id, own_id, 1, utc_now(), json.dumps(request))
        await log.accepted(own_id, remote_id, utc_now())

    wait(background_loop().submit(write()))
    record.attempts, record.remote_id, record.state = 1, remote_id, State.ACCEPTED
    return record
