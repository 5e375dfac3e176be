"""A request as the cell that asks for it: what `%%runware` reads, written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..core.infotext import is_infotext
from ..core.operations import TEXT_TO_IMAGE, Operation
from ..errors import RunwareNBError
from ..providers.runware.image_options import is_known_to_accept
from ..providers.runware.operations import binding_for, flags_by_field, operation_of_task, wire_name
from ..providers.runware.tasks import can_stream, values_of
from ..session.operations import task_of
from .arguments import HelpRequested, LineParser
from .image_options import add_image_options, read_set, task_from
from .names import escape_names
from .operation import OperationCommand
from .prompts_in import escape_wildcards

__all__ = ["as_cell", "quote_word"]

_PLAIN = re.compile(r"[\w@%+=:,./#-]+", re.ASCII)
_SKIPPED = frozenset({"taskType", "taskUUID", "positivePrompt", "width", "height", "lora", "inputs", "includeCost",
                      "includeUsage", "deliveryMethod"})  # fmt: skip
_OF_THE_CLIENT = frozenset({"taskUUID", "includeCost", "includeUsage", "deliveryMethod"})
_TASK_TYPE = binding_for(TEXT_TO_IMAGE).task_type
_FLAGS = MappingProxyType({field: flags[0] for field, flags in flags_by_field(TEXT_TO_IMAGE).items()})
_INPUTS = MappingProxyType({wire_name(medium.name): medium for medium in TEXT_TO_IMAGE.inputs})


_PROMPT_FLAGS = frozenset({"--prompt", "--negative"})


def as_cell(task: Mapping[str, Any]) -> str | None:
    """Format the cell of a request: `%%runware`, `%%runware OPERATION`, or the line `%runware OPERATION`.

    Args:
        task: In wire spelling; media as words that the magic understands: a path, a URL, a run.

    Returns:
        The cell; None if no such cell makes exactly this request: an operation without a magic, or a prompt that a cell
        would trim. `runware_nb.reproduce.code.run_call` formats any request as Python.
    """
    task_type = str(task.get("taskType", _TASK_TYPE))
    if task_type != _TASK_TYPE:
        operation = operation_of_task(task_type)
        is_current = operation is not None and binding_for(operation).task_type == task_type
        return _operation_cell(operation, task) if operation is not None and operation.function and is_current else None
    prompt = task.get("positivePrompt")
    if not isinstance(prompt, str):
        return None
    if not {"model", "width", "height"} <= task.keys() or any("." in name for name in task):
        return None  # the magic would fill in a model and a size; dots go deeper in --set
    if not prompt.strip() or prompt != prompt.strip("\r\n") or is_infotext(prompt):
        return None
    words = [*_options(task), *_media(task)]
    line = " ".join(["%%runware", *map(quote_word, _escaped(words))])
    return None if "\n" in line or "\r" in line else line + "\n" + escape_wildcards(escape_names(prompt))


def _operation_cell(operation: Operation, task: Mapping[str, Any]) -> str | None:
    """Format a request as a line, or as a cell if it has a prompt; None if that would make another request."""
    asked = {name: value for name, value in task.items() if name not in _OF_THE_CLIENT and value is not None}
    if asked.get("includeUsage") is True:
        del asked["includeUsage"]  # the client asks for it with each text
    if "model" not in asked or any("." in name for name in asked):
        return None
    values, rest = values_of(operation, asked)
    prompt = values.pop(operation.body, None) if operation.body else None
    words = _operation_words(operation, values, rest)
    if can_stream(task["taskType"]) and task.get("deliveryMethod") == "sync":
        words.append("--no-stream")
    line = " ".join([operation.name, *map(quote_word, _escaped(words))])
    if "\n" in line or "\r" in line or (prompt is not None and prompt != prompt.strip("\r\n")):
        return None
    if _request_of_line(operation, words, prompt) != asked:
        return None
    return f"%runware {line}" if prompt is None else f"%%runware {line}\n{escape_wildcards(escape_names(prompt))}"


def _operation_words(operation: Operation, values: Mapping[str, Any], rest: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for medium in (*operation.words, *(each for each in operation.inputs if each.flag is not None)):
        given = values.get(medium.name)
        for word in given or () if medium.is_list else [given] if given is not None else ():
            words += [str(word)] if medium.flag is None else _option_words(medium.flag, str(word))
    for option in operation.options:
        value = values.get(option.name)
        if value is None:
            continue
        if option.kind == "flag":
            words.append(option.flags[-1])
        elif option.kind == "numbers":
            words += _option_words(option.flags[0], ",".join(map(str, value)))
        else:
            for each in value if option.is_list else [value]:
                words += _option_words(option.flags[0], str(each))
    for name, value in rest.items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"]
    return words


def _option_words(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _request_of_line(operation: Operation, words: list[str], prompt: str | None) -> Any:
    """Return the request that a line makes; None if it is refused."""
    command = OperationCommand(operation)
    parser = LineParser("", "")
    command.add_arguments(parser)
    try:
        options = parser.read(words)
        options.body = prompt
        return task_of(operation, command.values_of(options, lambda word: word), read_set(options.set or ()))
    except (RunwareNBError, HelpRequested):
        return None


def _escaped(words: list[str]) -> list[str]:
    """Return words in which no prompt of an option contains a wildcard. `quote_word` does the same for names."""
    escaped = list(words)
    for number, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in _PROMPT_FLAGS and equals:
            escaped[number] = f"{flag}={escape_wildcards(value)}"
        elif number and words[number - 1] in _PROMPT_FLAGS:
            escaped[number] = escape_wildcards(word)
    return escaped


def quote_word(word: str) -> str:
    """Quote a word for a magic's line, where it needs it."""
    if word.startswith("-") and _PLAIN.fullmatch(word):
        return word
    word = escape_names(word)
    if _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _options(task: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    if "width" in task and "height" in task:
        words += ["-s", f"{task['width']}x{task['height']}"]
    for name, value in task.items():
        if name == "numberResults" and value == 1:
            continue  # what a cell without -n asks for
        option = None if name in _SKIPPED else _FLAGS.get(name)
        if name == "outputFormat" and value != str(value).upper():
            option = None  # --format writes capitals
        if option is not None and isinstance(value, str | int | float) and not isinstance(value, bool):
            words += [option, str(value)] if not str(value).startswith("-") else [f"{option}={value}"]
        elif (structured := _structured(task, name)) is not None:
            words += structured
        elif name not in _SKIPPED and value is not None:
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    for one in task.get("lora") or ():
        words += ["--lora", f"{one['model']}:{one.get('weight', 1.0)}"]
    return words


def _structured(request: Mapping[str, Any], name: str) -> list[str] | None:
    """Return the options of a field that is an object or a list; None if they do not give exactly its value."""
    write, value = _WRITERS.get(name), request[name]
    if write is None or not is_known_to_accept(str(request["model"]), name):
        return None  # an option that the model is not known to accept is refused, and --set is not
    try:
        words = write(value)
        parser = LineParser("%%runware", "")
        add_image_options(parser)
        task = task_from(parser.read([*_SOURCE, *words]), "a prompt", str).to_wire()
    except (KeyError, TypeError, ValueError, AttributeError, RunwareNBError, HelpRequested):
        return None
    return words if task.get(name) == value else None


_SOURCE = ("--from", "a.png", "-s", "90000x90000")
"""What outpainting needs on a line. A cell has it from other fields of the request."""


def _option(flag: str, *parts: Any) -> str:
    """Return an option with its value as one word, so that a value may begin with a dash."""
    return f"{flag}={':'.join(str(part) for part in parts)}"


def _refiner(value: Mapping[str, Any]) -> list[str]:
    percent = value.get("startStepPercentage")
    start = [value["startStep"]] if "startStep" in value else [] if percent is None else [f"{percent}%"]
    return [_option("--refiner", value["model"], *start)]


def _people(value: Mapping[str, Any]) -> list[str]:
    words = [_option("--photomaker", image) for image in value["images"]]
    words += [_option(f"--photomaker-{name}", value[name]) for name in ("style", "strength") if name in value]
    return words


_WRITERS: Mapping[str, Callable[[Any], list[str]]] = MappingProxyType(
    {
        "outpaint": lambda value: [_option("--outpaint", ",".join(f"{side}={px}" for side, px in value.items()))],
        "controlNet": lambda value: [
            _option("--control", "guide", one["guideImage"], one["weight"], one["model"]) for one in value
        ],
        "ipAdapters": lambda value: [
            _option("--ip-adapter", one["model"], *one["guideImages"], one["weight"]) for one in value
        ],
        "embeddings": lambda value: [_option("--embedding", one["model"], one["weight"]) for one in value],
        "refiner": _refiner,
        "puLID": lambda value: [_option("--pulid", *value["inputImages"], value["idWeight"])],
        "photoMaker": _people,
        "layerDiffuse": lambda _: ["--transparent"],
        "safety": lambda _: ["--safety"],
    }
)
"""How fields are written as options. `_structured` reads the options again, so that none of them changes a request."""


def _media(task: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    inputs = task.get("inputs")
    for name, value in (inputs if isinstance(inputs, Mapping) else {}).items():
        medium = _INPUTS.get(name)
        if medium is not None and medium.flag is not None:
            for word in value if medium.is_list else [value]:
                words += [medium.flag, str(word)]
        else:
            words += ["--set", f"inputs.{name}={json.dumps(value, ensure_ascii=False, default=str)}"]
    return words
