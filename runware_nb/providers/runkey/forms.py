"""Forms of RunKey.ai: `rw.form("runkey:TEMPLATE")` and `%runkey form TEMPLATE`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...commands.as_cell import quote_word
from ...commands.names import escape_names
from ...commands.object_input import parse_pairs
from ...errors import MagicUsageError, RunNotFound
from ...notebook.forms.api import users_names
from ...notebook.forms.object_form import Conversion, ObjectForm
from ...providers.runware.catalog import Field, Kind, fields_of_schema
from .commands import medium_of, past_inputs
from .package import SERVICES
from .planning import TASK_TYPE, is_reference
from .writing import input_as_logged

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["build_form", "schema_of_inputs"]

_LONG_TEXT = 80


def build_form(
    session: Session,
    what: str,
    *,
    schema: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    **values: Any,
) -> ObjectForm:
    """Build a form for a template.

    Args:
        session: Who sends.
        what: The id of the template, or a run of RunKey in the log, whose input is shown.
        schema: JSON Schema of the input; without it, the fields are those of earlier runs of the template.
        request: A task in our form to begin with.
        **values: Inputs to begin with, by name.

    Raises:
        MagicUsageError: There is no template, or the schema cannot be used.
    """
    template = what.strip()
    given = dict(request or _logged(session, template) or {})
    if given:
        template = str(given.get("model"))
    if not template:
        raise MagicUsageError('A form needs the id of a template, such as rw.form("runkey:tpl_abc123").')
    past = past_inputs(session, template)
    own_schema = schema if schema is not None else schema_of_inputs(past)
    try:
        fields = [_without_upload(field) for field in fields_of_schema(own_schema)]
    except ValueError as error:
        raise MagicUsageError(f"The schema cannot be used: {error}. Expected a JSON Schema of an object.") from error
    if schema is not None and not fields:
        raise MagicUsageError(
            "The schema has no properties. Expected a JSON Schema of an object, such as "
            '{"type": "object", "properties": {"prompt": {"type": "string"}}}.'
        )
    begin = input_as_logged(given) if given else past[0] if past and schema is None else {}
    media = {name for field in fields_of_schema(own_schema) if field.kind is Kind.MEDIUM for name in [field.name]}
    names = users_names()
    about = "schema given" if schema is not None else "fields of earlier runs" if past else "no earlier runs"
    return ObjectForm(
        session, template, f"RunKey template · {about}", fields, _conversion(session, template, media, names),
        names=names, values={**begin, **values}, suggestions=_suggestions(past),
    )  # fmt: skip


def schema_of_inputs(past: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a JSON Schema of the inputs that earlier runs had. No input is required, because none is known to be."""
    seen: dict[str, list[Any]] = {}
    for given in past:
        for name, value in given.items():
            seen.setdefault(name, []).append(value)
    return {"type": "object", "properties": {name: _schema_of(values) for name, values in seen.items()}}


def _schema_of(values: Sequence[Any]) -> dict[str, Any]:
    """Return the schema that all values fit; an empty one, which is asked for as JSON, if they differ in type."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return {"type": "boolean"}
    if any(isinstance(value, bool) for value in known):
        return {}
    if known and all(isinstance(value, int) for value in known):
        return {"type": "integer"}
    if known and all(isinstance(value, int | float) for value in known):
        return {"type": "number"}
    if known and all(isinstance(value, str) for value in known):
        is_long = any(len(value) > _LONG_TEXT or "\n" in value for value in known)
        return {"type": "string", **({"maxLength": 1_000_000} if is_long else {})}
    if known and all(isinstance(value, list) and all(_is_line(one) for one in value) for value in known):
        return {"type": "array", "items": {"type": "string"}}
    return {}


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and value == value.strip() != "" and len(value.splitlines()) == 1


def _without_upload(field: Field) -> Field:
    """Return a field that asks for a medium as one that asks for a text: RunKey takes URLs and has no upload."""
    if field.kind is Kind.MEDIUM:
        words = "a URL, a variable, _rw, #2 or a run; the medium must have a URL"
        return replace(field, kind=Kind.TEXT, help=f"{field.help}; {words}" if field.help else words)
    if field.kind is Kind.MEDIA:
        return replace(field, kind=Kind.LIST)
    return field


def _suggestions(past: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    seen: dict[str, list[Any]] = {}
    for given in past:
        for name, value in given.items():
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                seen.setdefault(name, []).append(value)
    return seen


def _logged(session: Session, ref: str) -> dict[str, Any] | None:
    """Return the request of a run of RunKey; None if the text names none."""
    try:
        run = session.log.find(ref) if ref else None
    except RunNotFound:
        return None
    return dict(run.request) if run is not None and run.provider in SERVICES else None


def _conversion(session: Session, template: str, media: set[str], names: Mapping[str, Any]) -> Conversion:
    def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Separate the words that mean media of the user's from everything else."""
        words = {
            name: value for name, value in given.items()
            if name in media and isinstance(value, str) and not is_reference(value)
        }  # fmt: skip
        return {name: value for name, value in given.items() if name not in words}, words

    def task(given: dict[str, Any]) -> dict[str, Any]:
        plain, words = split(given)
        made = {"taskType": TASK_TYPE, "model": template, "input": plain}
        return {**made, "assets": words} if words else made

    def resolve(made: dict[str, Any]) -> dict[str, Any]:
        words = made.get("assets")
        if not words:
            return made
        return {**made, "assets": {name: medium_of(word, session, names) for name, word in words.items()}}

    def cell(given: dict[str, Any]) -> str:
        plain, words = split(given)
        line = ["%%runkey", quote_word(template)]
        for name, word in words.items():
            line += ["--asset", quote_word(f"{name}={word}")]
        body = json.dumps(_escaped(plain), ensure_ascii=False, indent=2) if plain else ""
        return f"{' '.join(line)}\n{body}"

    def parse(written: str) -> Any:
        return parse_pairs([f"value={written}"])["value"]

    return Conversion(service="runkey", task=task, resolve=resolve, cell=cell, parse=parse, prefix="input.")


def _escaped(value: Any) -> Any:
    """Double the braces around what a `%%runkey` cell would replace."""
    if isinstance(value, str):
        return escape_names(value)
    if isinstance(value, Mapping):
        return {name: _escaped(inner) for name, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list) else value
