"""`rw.form`: what a form is made for, and how it begins."""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.operations import OPERATIONS, TEXT_TO_IMAGE, Operation
from ...core.results import Outcome, Result
from ...errors import MagicUsageError, RunNotFound
from ...providers.registry import load_module, package_named
from ...providers.runware.catalog import DEFAULT_MODEL, Rulebook, find_model, nearest_names
from ...providers.runware.operations import operation_of_task
from ...providers.runware.tasks import request_of
from ...reproduce.replay import find_original
from ...session import current_session
from ...session.operations import build_request, merge_fields
from .look import Look
from .media_words import words_of_media
from .model_form import ModelForm
from .picker import ModelPicker

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["form", "last_form", "pick_model", "rules_of", "users_names"]

_last: weakref.ReferenceType[ModelForm] | None = None


def form(what: str | Path | Outcome | Result | None = None, **values: Any) -> Any:
    """Build a form: controls in the cell, results below them.

    Args:
        what: A model (AIR identifier, slug or alias), an operation such as `upscale`, a run (task UUID or its first
            characters), an image file that says where it came from, a result, or a `%%runware` cell; the default model
            where None. `NAME:WHAT` is a form of the provider of this name, if it has forms.
        **values: To begin with: the names of the operation's function, such as `prompt`, `image` or `factor`, and
            fields in wire spelling, such as `positivePrompt`.

    Returns:
        A `ModelForm`; for another provider, what its form is.

    Raises:
        MagicUsageError: Nothing of that name is known here.
        MediaError: The file does not say where it came from.
    """
    global _last  # noqa: PLW0603 - the gallery reuses parameters in the form that was made last
    session = current_session()
    name, colon, rest = what.partition(":") if isinstance(what, str) else ("", "", "")
    package = package_named(name.strip()) if colon else None
    if package is not None and package.form:
        return getattr(load_module(package.name, "forms"), package.form)(session, rest, **values)
    names = users_names()
    request, values = _begun_with(session, what, values, names)
    made_by = package_named(str(request.get("taskType", "")).partition("/")[0])
    if made_by is not None and made_by.form:
        return getattr(load_module(made_by.name, "forms"), made_by.form)(session, "", request=request, **values)
    rules = rules_of(session, str(request.get("model") or DEFAULT_MODEL))
    made = ModelForm(session, rules, names=names, request=merge_fields(request, values))
    _last = weakref.ref(made)
    return made


def pick_model(*, task_type: str = "imageInference") -> ModelPicker:
    """Show a list of models to choose from: search, architecture, price, usual settings, the last image of each.

    The chosen model is taken by the form that was made last; without one, by the cells of this kernel.

    Args:
        task_type: Which kind of models, in wire spelling.
    """
    session = current_session()

    def choose(air: str) -> None:
        shown = last_form()
        if shown is not None:
            shown.use_model(air)
        else:
            session.configure(defaults={**session.settings.defaults, "model": air})

    return ModelPicker(session, Look(), choose, task_type=task_type)


def last_form() -> ModelForm | None:
    """Give the form that was made last, as long as it is there."""
    return _last() if _last is not None else None


def rules_of(session: Session, name: str) -> Rulebook:
    """Give what a model takes.

    Raises:
        MagicUsageError: No such model is known here.
    """
    rules = session.planner.rules_for(name, waits=True)
    if rules is None:
        session.planner.check_refused(name, "It has no form.")
        functions = [operation.function for operation in OPERATIONS if operation.function is not None]
        operation = difflib.get_close_matches(name, functions, n=1, cutoff=0.7)
        if operation:
            raise MagicUsageError(
                f"There is no model or operation {name!r}. Did you mean the operation {operation[0]}?",
                corrected=f'rw.form("{operation[0]}")',
            )
        near = nearest_names(name)
        hint = f"did you mean {near[0]}?" if near else "`%runware models` searches them"
        raise MagicUsageError(f"no schema of a model {name!r} is known here, so it has no form; {hint}")
    return rules


def _begun_with(
    session: Session, what: Any, values: Mapping[str, Any], names: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the request that a form begins with, and what was given beside it, in wire spelling."""
    operation = _operation_named(what)
    request: dict[str, Any] = {} if operation is not None else _request_of(session, what)
    if operation is None:
        rules = session.planner.rules_for(str(request.get("model") or DEFAULT_MODEL), waits=True)
        operation = None if rules is None else operation_of_task(rules.task_type)
        if operation is None:
            return request, dict(values)
        python, wire = _spelled(operation, values)
        given = request_of(operation, python)
        del given["taskType"]
        return request, words_of_media(merge_fields(given, wire), session, names)
    python, wire = _spelled(operation, values)
    return words_of_media(build_request(session, operation, python, extra=wire, is_partial=True), session, names), {}


def _operation_named(what: Any) -> Operation | None:
    """Return the operation of a name such as `upscale`; None if it names none, or images, whose form has a default."""
    word = what.strip() if isinstance(what, str) else ""
    named = next((operation for operation in OPERATIONS if operation.name == word), None)
    return None if named is TEXT_TO_IMAGE else named


def _spelled(operation: Operation, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values by names in Python, and the others, which are fields in wire spelling."""
    known = {entry.name for entry in operation.entries} | {operation.body}
    python = {name: value for name, value in values.items() if name in known}
    return python, {name: value for name, value in values.items() if name not in known}


def _request_of(session: Session, what: Any) -> dict[str, Any]:
    if what is None:
        return {"model": DEFAULT_MODEL}
    if isinstance(what, Outcome):
        return dict(what.task)
    if isinstance(what, Result):
        return dict(find_original(session, what.task_uuid)[0].request)
    word = str(what).strip()
    if word.startswith("%%runware"):
        return _request_of_cell(session, str(what))
    if word == TEXT_TO_IMAGE.name:
        return {"model": DEFAULT_MODEL}
    if find_model(session.aliases.air_of(word)) is not None:
        return {"model": word}
    if Path(word).expanduser().is_file():
        return dict(find_original(session, word)[0].request)
    try:
        return dict(find_original(session, word)[0].request)
    except RunNotFound:
        return {"model": word}


def _request_of_cell(session: Session, cell: str) -> dict[str, Any]:
    from ...commands.image_options import task_from
    from ...session.image_request import guide_sources
    from ..parsing import parse_cell

    head, _, body = cell.strip().partition("\n")
    asked = parse_cell(head.removeprefix("%%runware"), body, users_names())
    for option in ("vary", "outpaint"):
        if getattr(asked.options, option) is not None and not (option == "outpaint" and asked.options.size):
            raise MagicUsageError(
                f"A form of a cell with --{option} needs values that only the run of the cell derives. Run the cell, "
                "and make the form of its result."
            )
    task = task_from(asked.options, asked.prompt, lambda word: word)
    if guide_sources(task):
        raise MagicUsageError(
            "A form has no field for a guide image that is made first. Make it with `%runware controlnet`, and write "
            "it as --control guide:IMG:WEIGHT:AIR."
        )
    return session.plan(task).task


def users_names() -> dict[str, Any]:
    """Give the user's variables; none outside IPython."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    names: dict[str, Any] = {} if shell is None else shell.user_ns
    return names
