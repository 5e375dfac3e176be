"""What `text` takes beside the fields of its request: a conversation, a JSON Schema, and how the text is delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.conversation import Reply
from ..core.items import Item
from ..core.operations import Operation
from ..core.prompts import INCOMPLETE, incomplete_sentence
from ..core.results import PARTIAL, Outcome, Result
from ..engine.chained_job import Awaited
from ..engine.jobs import Job
from ..errors import ArgumentInvalid, RunNotFound, TaskInvalid
from ..providers.runware.operations import binding_for, option_fields
from ..providers.runware.tasks import message_text
from ..remedies import Option, Remedy
from ..runlog import RunRecord, State
from ..runlog.filters import RunFilter

if TYPE_CHECKING:
    from .session import Session

__all__ = ["compose_text"]

_SEARCHED = 200
"""Runs that are looked at for the last text."""
_UNSENT = "Nothing was sent"


def compose_text(
    session: Session, operation: Operation, given: Mapping[str, Any], extra: Mapping[str, Any]
) -> tuple[dict[str, Any], Item]:
    """Replace the options of a text that have no field of their own by the fields that they stand for.

    Args:
        session: Whose log has the conversation.
        operation: The entry of the operation.
        given: Inputs and parameters by their names in Python.
        extra: Other parameters, in wire spelling. They count before everything else.

    Returns:
        Both, completed.

    Raises:
        TaskInvalid: There is no such conversation.
        ArgumentInvalid: The schema cannot be read.
    """
    values = dict(given)
    fields: Item = {}
    earlier = values.pop("continue_from", None)
    if earlier is not None and earlier is not False:
        values, fields = _continued(session, operation, values, earlier)
    schema = values.pop("schema", None)
    if schema is not None:
        fields["jsonSchema"] = _schema(schema)
        values.setdefault("output_format", "JSON")
    streams = values.pop("stream", None)
    is_one = values.get("number_results", extra.get("numberResults", 1)) == 1
    if streams is not False and is_one and "webhookURL" not in extra:
        fields["deliveryMethod"] = "stream"
    elif streams is False:
        fields["deliveryMethod"] = "sync"
    return values, {**fields, **extra}


# --- conversations ---------------------------------------------------------------------------------------


def _continued(
    session: Session, operation: Operation, values: dict[str, Any], earlier: Any
) -> tuple[dict[str, Any], Item]:
    """Return the values and fields of a request that continues a conversation.

    The service remembers no conversation, so all of it is sent: the messages of the earlier run, what it answered, and
    the new prompt. Its model, settings and media apply where nothing else is given.
    """
    reply: Any
    if isinstance(earlier, Job) and not earlier.is_done:
        # Of several results, one has to be chosen, which the job itself states.
        is_one = earlier.record.request.get("numberResults", 1) == 1
        record, reply = (
            earlier.record,
            Awaited(earlier, is_reply=True) if is_one else earlier,
        )  # its text is put in when it is there: see `ChainedJob`
    else:
        record, index = _find(session, earlier)
        reply = Reply(_reply_of(record, index), record.task_uuid, index)
    request = record.request
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise _cannot_continue(f"run {record.task_uuid[:8]}", f"it did not generate text ({record.task_type})")
    fields: Item = {}
    prompt = values.pop(str(binding_for(operation).message), None)
    if prompt is not None:
        fields["messages"] = [
            *messages, {"role": "assistant", "content": reply}, {"role": "user", "content": prompt}
        ]  # fmt: skip
        values[str(binding_for(operation).message)] = prompt
    if "model" not in values and isinstance(request.get("model"), str):
        values["model"] = request["model"]
    settings = dict(request.get("settings") or {})
    for option in operation.options:
        for path in option_fields(option, operation):
            head, _, inner = path.partition(".")
            if head == "settings" and inner in settings:
                values.setdefault(option.name, settings.pop(inner))
    if settings:
        fields["settings"] = settings
    media = {medium.name for medium in operation.inputs}
    if not media & values.keys() and isinstance(request.get("inputs"), Mapping):
        fields["inputs"] = dict(request["inputs"])
    fields |= {name: request[name] for name in ("tools", "toolChoice") if name in request}
    return values, fields


def _find(session: Session, earlier: Any) -> tuple[RunRecord, int]:
    """Find the run that is continued, and the number of its result.

    Raises:
        TaskInvalid: It is neither a result nor a run, or there is none.
    """
    index = 0
    if isinstance(earlier, Result):
        name, index = earlier.task_uuid, earlier.index
    elif isinstance(earlier, Outcome | Job):
        name = earlier.task_uuid
    elif earlier is True or earlier == "":
        return _last(session), 0
    elif isinstance(earlier, str):
        name, _, number = earlier.partition("#")
        index = int(number) - 1 if number.isdecimal() and int(number) else 0
    else:
        raise _cannot_continue(f"{earlier!r:.60}", "it is not a run, or a result, outcome or job of one")
    try:
        return session.log.find(name), index
    except RunNotFound:
        remedy = Remedy(
            "{0} without a value continues the last text; write it after the prompt.",
            (Option("continue", python="continue_from=True"),),
        )
        error = _cannot_continue(f"{earlier!s:.60}", "no run and no variable has this name")
        raise error.with_remedy(remedy) from None


def _last(session: Session) -> RunRecord:
    """Return the last text of this notebook.

    Raises:
        TaskInvalid: There is none.
    """
    notebook = session.context(counts=False).notebook
    recent = session.log.select(RunFilter(limit=_SEARCHED, notebook=notebook))
    for record in recent:
        # A text that is still written is the last one too: to continue the one before it would not be what is meant.
        is_written = record.attempts > 0 and not record.is_finished and record.state is not State.DISCARDED
        has_text = is_written or any(kept.error is None for kept in record.results)
        if isinstance(record.request.get("messages"), list) and has_text:
            return record
    raise _cannot_continue("the last text", "the log has no text of this notebook")


def _reply_of(record: RunRecord, index: int) -> str:
    for kept in record.results:
        if kept.position == index and kept.error is None:
            if kept.raw.get(PARTIAL) is True:
                # The model would be asked, and paid, for an answer to half a text.
                raise TaskInvalid(incomplete_sentence(record.task_uuid), parameter="continue_from").with_remedy(
                    INCOMPLETE
                )
            return message_text({"content": kept.raw.get("text")})
    raise _cannot_continue(f"run {record.task_uuid[:8]}", f"it has no text (state: {record.state.value})")


def _cannot_continue(what: str, why: str) -> TaskInvalid:
    return TaskInvalid(f"Cannot continue {what}: {why}. Nothing was sent.", parameter="continue_from")


# --- JSON Schemas ----------------------------------------------------------------------------------------


def _schema(value: Any) -> Item:
    """Return a JSON Schema from an object, a class of Pydantic, JSON, or the path of a file.

    Raises:
        ArgumentInvalid: It cannot be read, or is not a JSON Schema.
    """
    shown = value if isinstance(value, str) else type(value).__name__
    build = getattr(value, "model_json_schema", None)
    if callable(build):
        value = build()
    if isinstance(value, str | Path):
        value = _read(value)
    if not isinstance(value, Mapping):
        raise ArgumentInvalid("schema", shown, f"a JSON Schema, which is a JSON object. {_UNSENT}")
    from jsonschema_rs import meta, validator_for

    schema = json.loads(json.dumps(value, default=str))
    try:
        meta.validate(schema)
        validator_for(schema)
    except ValueError as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise ArgumentInvalid("schema", shown, f"a valid JSON Schema: {reason:.200}. {_UNSENT}") from error
    return dict(schema)


def _read(value: str | Path) -> Any:
    text = str(value)
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ArgumentInvalid(
                "schema", value, f"a variable, or the path of a JSON file ({reason}). {_UNSENT}"
            ) from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentInvalid("schema", value, f"JSON: {error}. {_UNSENT}") from error
