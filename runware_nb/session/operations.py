"""From the entry of an operation to a request and to a Python function.

Magics, cells, forms, methods, the terminal and Python build the request of an operation here, so that the same values
are the same request, whoever sends it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..core.chaining import OF_EVERY_RUN
from ..core.items import Item
from ..core.operations import Operation
from ..engine.jobs import Job
from ..errors import ArgumentInvalid, TaskInvalid
from ..providers.runware.catalog import Model, Rulebook, all_models, find_model
from ..providers.runware.operations import binding_for, has_binding, operation_of_task, option_fields, wire_name
from ..providers.runware.tasks import can_stream, request_of
from ..remedies import Option as RemedyOption
from ..remedies import Remedy, command
from .api import as_tags
from .current import current_session
from .text_requests import compose_text

if TYPE_CHECKING:
    from .session import Session

__all__ = ["build_request", "function_of", "merge_fields", "run_operation", "task_of"]

_SHARED_DEFAULTS = frozenset({"seed", "negative", "format"})
"""Defaults of images that other operations share. The size, steps and guidance of images make no sense elsewhere, and a
number of images would multiply the cost of videos."""
_SINGLE = {"images": "image", "videos": "video", "audios": "audio"}
_MOST_NAMED = 4


def task_of(operation: Operation, values: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Item:
    """Build the task of an operation from what is known without a session.

    Args:
        operation: Its entry.
        values: Inputs and parameters by their names in Python; None for those that are not given. Without a model, the
            first one is used that accepts everything that is given.
        extra: Any other parameters, in wire spelling.

    Returns:
        The task in wire spelling.

    Raises:
        TaskInvalid: A value is not understood; see `request_of`.
    """
    values = _in_capitals(values)
    request = merge_fields(request_of(operation, values), extra or {})
    named = find_model(str(request.get("model", "")))
    if named is not None:
        request["model"] = named.air
    elif "model" not in request:
        default = _default_model(request)
        if default is not None:
            named = default
            request = {"taskType": request["taskType"], "model": default.air, **request}
    schema = None if named is None or named.task_type != request["taskType"] else named.request_schema()
    return _with_defaults(operation, _with_fitting_inputs(request, schema), schema)


def build_request(
    session: Session,
    operation: Operation,
    values: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    is_partial: bool = False,
) -> Item:
    """Build the request of an operation, and check what its entry and its model state.

    Args:
        session: Whose aliases, schemas and settings count.
        operation: Its entry.
        values: Inputs and parameters by their names in Python; None for those that are not given.
        extra: Any other parameters, in wire spelling. They are not checked here.
        defaults: Defaults by the names of options on a line; those of the settings if None.
        is_partial: Whether inputs and the prompt may be missing, because a form asks for them.

    Returns:
        The task in wire spelling.

    Raises:
        TaskInvalid: An input or a prompt is missing, the model is one of another operation or does not accept a
            parameter, or a value is not understood. Nothing was sent.
    """
    extra = extra or {}
    defaults = session.settings.defaults if defaults is None else defaults
    given = {name: value for name, value in values.items() if value is not None}
    if can_stream(binding_for(operation).task_type):
        given, extra = compose_text(session, operation, given, extra)
    if isinstance(given.get("model"), str):
        given["model"] = session.aliases.air_of(given["model"])
    elif "model" not in extra and "model" in defaults and not binding_for(operation).models.keys() & given.keys():
        usual = session.aliases.air_of(str(defaults["model"]))
        if _task_type(session, usual) == binding_for(operation).task_type:
            given["model"] = usual
    rules = _rules(session, given.get("model") or extra.get("model"))
    given = _spoken(operation, given, rules)
    if not is_partial:
        _require_inputs(operation, given, extra)
    task = task_of(operation, given, extra)
    rules = _rules(session, task.get("model"))
    _require_operation(operation, task, rules)
    if rules is not None:
        _require_accepted(operation, given, rules)
        task = _with_defaults(operation, _with_fitting_inputs(task, rules.schema), rules.schema)
        task = _with_shared(operation, task, defaults, rules)
    return task


def run_operation(
    operation: Operation,
    values: Mapping[str, Any],
    *,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: Any = (),
    note: str | None = None,
) -> Job:
    """Build the request of an operation and submit it to the current session, as its function does.

    Args:
        operation: Its entry.
        values: Inputs and parameters by their names in Python.
        extra: Any other parameters, in wire spelling.
        fresh: Whether the service is asked again although the log has the answer.
        agreed: Whether the cost is agreed to beforehand.
        tags: A tag for the log, or several.
        note: A note for the log.

    Raises:
        ArgumentInvalid: A parameter has an unknown name.
        TaskInvalid: See `build_request`.
        RunwareNBError: What `Session.submit` raises.
    """
    known = [entry.name for entry in operation.entries]
    for name in values:
        if name not in known:
            raise _unknown_parameter(operation, name)
    session = current_session()
    labels = as_tags([*as_tags(tags), *as_tags(session.settings.defaults.get("tag"))])
    task = build_request(session, operation, values, extra=extra)
    return session.submit(task, fresh=fresh, agreed=agreed, tags=labels, note=note)


def merge_fields(task: Mapping[str, Any], others: Mapping[str, Any]) -> Item:
    """Return a task with further fields; objects are merged, and *others* come first for any other value."""
    merged = dict(task)
    for name, value in others.items():
        known = merged.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[name] = merge_fields(known, value) if both else value  # type: ignore[arg-type]
    return merged


@cache
def function_of(operation: Operation) -> Callable[..., Job]:
    """Build the Python function of an operation.

    Its positional parameters are those that the entry states; all others have to be named.
    """
    signature = _signature(operation)

    def run(*positional: Any, **named: Any) -> Job:
        try:
            given = signature.bind(*positional, **named).arguments
        except TypeError as error:
            for name in named:
                if name not in signature.parameters:
                    raise _unknown_parameter(operation, name) from error
            names = ", ".join(signature.parameters)
            expected = f"those of rw.{operation.function}({names}): {error}. Nothing was sent"
            raise ArgumentInvalid("parameters", ", ".join(map(str, named)), expected) from error
        ours = {name: given.pop(name, default) for name, (default, _) in OF_EVERY_RUN.items()}
        return run_operation(operation, given, **ours)

    run.__name__ = run.__qualname__ = str(operation.function)
    run.__doc__ = _docstring(operation)
    # `help` and completion read it
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


def _signature(operation: Operation) -> inspect.Signature:
    named, either = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    required = {medium.name for medium in operation.inputs if medium.is_required}
    first = operation.positional or tuple(medium.name for medium in operation.words)
    others = [entry.name for entry in operation.entries if entry.name not in first]
    parameters = [
        inspect.Parameter(
            name, either, default=inspect.Parameter.empty if name in required else None
        )
        for name in first
    ]  # fmt: skip
    parameters += [inspect.Parameter(name, named, default=None) for name in others]
    parameters += [inspect.Parameter(name, named, default=default) for name, (default, _) in OF_EVERY_RUN.items()]
    return inspect.Signature(parameters, return_annotation=Job)


def _docstring(operation: Operation) -> str:
    entries = {entry.name: f"{entry.help}." for entry in operation.entries}
    entries |= {name: text for name, (_, text) in OF_EVERY_RUN.items()}
    order = _signature(operation).parameters
    lines = [f"    {name}: {entries[name][:1].upper()}{entries[name][1:]}" for name in order]
    summary = f"{operation.summary[:1].upper()}{operation.summary[1:]}."
    return "\n".join([summary, "", "Args:", *lines, "", "Returns:", "    A job, as `rw.image` returns it."])


def _unknown_parameter(operation: Operation, name: str) -> ArgumentInvalid:
    known = [entry.name for entry in operation.entries]
    # A field of the service is the parameter that fills it, such as positivePrompt or positive_prompt.
    spelled = {name, wire_name(name)}
    fields = {each: _fields(operation, each) for each in known} if has_binding(operation) else {}
    near = [each for each, paths in fields.items() if spelled & {path.rpartition(".")[2] for path in paths}]
    near = near or difflib.get_close_matches(name, [*known, *OF_EVERY_RUN], n=1)
    hint = f"the nearest is {near[0]}" if near else "others go into extra={...}"
    return ArgumentInvalid("parameter", name, f"a parameter of rw.{operation.function}; {hint}. Nothing was sent")


# --- models ----------------------------------------------------------------------------------------------


def _rules(session: Session, name: Any) -> Rulebook | None:
    """Return what a model takes; None if no schema of it is known."""
    return session.planner.rules_for(name) if isinstance(name, str) and name else None


def _task_type(session: Session, name: str) -> str:
    rules = _rules(session, name)
    return "" if rules is None else rules.task_type


def _default_model(request: Mapping[str, Any]) -> Model | None:
    """Return the first model of an operation that accepts a request; else one that accepts its inputs, else the first.

    A video needs another model than an image, and a prompt for an upscale needs a model that reads it.
    """
    models = [model for model in all_models() if model.task_type == request["taskType"]]
    for fits in (_accepts, _accepts_inputs):
        for model in models:
            if fits(model.request_schema(), request):
                return model
    return next(iter(models), None)


def _accepts(schema: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    given = request.keys() - {"taskType"}
    needed = set(schema["required"]) - {"taskType", "model"}
    return given <= schema["properties"].keys() and needed <= given and _accepts_inputs(schema, request)


def _accepts_inputs(schema: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    inputs = schema["properties"].get("inputs", {})
    given = request.get("inputs", {}).keys()
    return bool(given <= inputs.get("properties", {}).keys()) and set(inputs.get("required", ())) <= given


def _takes(schema: Mapping[str, Any], path: str) -> bool:
    """Return whether a schema has a field. An object without a list of its fields may take any."""
    inner: Any = schema
    for number, name in enumerate(path.split(".")):
        properties = inner.get("properties")
        if not isinstance(properties, Mapping):
            return number > 0
        if name not in properties:
            return number > 0 and inner.get("additionalProperties") is not False
        inner = properties[name]
        if not isinstance(inner, Mapping):
            return True
    return True


# --- checks ----------------------------------------------------------------------------------------------


def _require_inputs(operation: Operation, given: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Check that there is something to work on.

    Raises:
        TaskInvalid: There is not, or the prompt is empty.
    """
    prompt = given.get(operation.body) if operation.body else None
    if isinstance(prompt, str) and not prompt.strip():
        raise TaskInvalid("The prompt is empty. Nothing was sent.", parameter=wire_name(str(operation.body), operation))
    if not operation.needs or set(operation.needs) & given.keys():
        return
    fields = {path.partition(".")[0] for name in operation.needs for path in _fields(operation, name)}
    if fields & extra.keys():
        return
    wanted = " or ".join(_called(operation, name) for name in operation.needs[:2])
    word = "IMG" if operation.words else '"..."'
    call = f"rw.{operation.function}({'image' if operation.words else word})"
    example = command(operation.name, word if operation.words else "...", python=call)
    raise TaskInvalid(
        f"{operation.name} needs {wanted}. Nothing was sent.", parameter=_fields(operation, operation.needs[0])[0]
    ).with_remedy(Remedy("Write {0}.", (example,)))


def _fields(operation: Operation, name: str) -> tuple[str, ...]:
    option = operation.option(name)
    if option is not None:
        return option_fields(option, operation)
    return (f"inputs.{wire_name(name, operation)}",)


def _called(operation: Operation, name: str) -> str:
    """Return what a user calls an input or an option, with its article."""
    word = "prompt" if name == operation.body else name.replace("_", " ")
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _require_operation(operation: Operation, task: Mapping[str, Any], rules: Rulebook | None) -> None:
    """Check that a model belongs to the operation.

    Raises:
        TaskInvalid: It belongs to another one.
    """
    if rules is None or not rules.task_type or rules.task_type == task["taskType"]:
        return
    other = operation_of_task(rules.task_type)
    names = [model.short_name for model in _models_of(operation)]
    raise TaskInvalid(
        f"{rules.air} is a model for {rules.task_type if other is None else other.name}, not for {operation.name}. "
        f"Models for {operation.name}: {_listed(names)}. Nothing was sent.",
        parameter="model", allowed_values=names, documentation=rules.documentation,
    )  # fmt: skip


def _require_accepted(operation: Operation, given: Mapping[str, Any], rules: Rulebook) -> None:
    """Check that a model accepts each option.

    Raises:
        TaskInvalid: It does not accept one.
    """
    for option in operation.options:
        if option.name not in given or option.name in {"model", *binding_for(operation).models}:
            continue
        paths = option_fields(option, operation)
        if all(_takes(rules.schema, path) for path in paths):
            continue
        others = [
            model.short_name
            for model in _models_of(operation)
            if all(_takes(model.request_schema(), path) for path in paths)
        ]
        error = TaskInvalid(
            f"{rules.air} does not accept {_called(operation, option.name)}. Nothing was sent.",
            parameter="model", allowed_values=others[:1], documentation=rules.documentation,
        )  # fmt: skip
        names = f" These models for {operation.name} accept {{0}}: {_listed(others)}." if others else ""
        text = f"Leave {{0}} out.{names}"
        raise error.with_remedy(Remedy(text, (RemedyOption(option.long, python=option.name),)))


def _models_of(operation: Operation) -> Iterator[Model]:
    task_type = binding_for(operation).task_type
    return (model for model in all_models() if model.task_type == task_type)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


# --- values ----------------------------------------------------------------------------------------------


def _in_capitals(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with the format in capitals, so that `png` and `PNG` are the same request."""
    written = values.get("output_format")
    return {**values, "output_format": written.upper()} if isinstance(written, str) else dict(values)


def _spoken(operation: Operation, given: Mapping[str, Any], rules: Rulebook | None) -> dict[str, Any]:
    """Return values whose prompt is the text to speak, if the model speaks and takes no prompt."""
    prompt, speech = operation.body, operation.spoken
    if rules is None or prompt is None or speech is None or prompt not in given or speech in given:
        return dict(given)
    reads, speaks = (any(_takes(rules.schema, path) for path in _fields(operation, name)) for name in (prompt, speech))
    if reads or not speaks:
        return dict(given)
    return {speech if name == prompt else name: value for name, value in given.items()}


def _with_fitting_inputs(task: Item, schema: Mapping[str, Any] | None) -> Item:
    """Return a task whose only image is a list of one where the model takes a list, and the reverse."""
    inputs = task.get("inputs")
    if schema is None or not isinstance(inputs, Mapping):
        return task
    known = schema.get("properties", {}).get("inputs", {}).get("properties", {})
    fitting: Item = {}
    for name, value in inputs.items():
        several = next((many for many, one in _SINGLE.items() if one == name), "")
        one = _SINGLE.get(name, "")
        if name not in known and several in known and several not in inputs:
            fitting[several] = [value]
        elif name not in known and one in known and isinstance(value, list | tuple) and len(value) == 1:
            fitting[one] = value[0]
        else:
            fitting[name] = value
    return {**task, "inputs": fitting}


def _with_defaults(operation: Operation, task: Item, schema: Mapping[str, Any] | None) -> Item:
    """Return a task with the defaults of its entry where nothing is given, if the model is known to take them."""
    filled = dict(task)
    for option in operation.options:
        paths = option_fields(option, operation)
        if option.default is None or schema is None or len(paths) != 1 or paths[0] in filled:
            continue
        if option.default in schema["properties"].get(paths[0], {}).get("enum", ()):
            filled[paths[0]] = option.default
    return filled


def _with_shared(operation: Operation, task: Item, defaults: Mapping[str, Any], rules: Rulebook) -> Item:
    """Return a task with the defaults of images that this operation and its model share."""
    options = {option.long: option for option in operation.options}
    filled: Item = {}
    for name in _SHARED_DEFAULTS & defaults.keys() & options.keys():
        option, value = options[name], defaults[name]
        value = value.upper() if option.name == "output_format" and isinstance(value, str) else value
        (path,) = option_fields(option, operation)
        head, _, inner = path.partition(".")
        is_given = head in task and (not inner or inner in task[head])
        fits = not option.values or value in option.values
        if not is_given and fits and option.default is None and _takes(rules.schema, path):
            filled = merge_fields(filled, {head: {inner: value}} if inner else {head: value})
    return merge_fields(task, filled)
