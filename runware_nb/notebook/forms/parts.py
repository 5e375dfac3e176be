"""Which control goes where in a form."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ...core.operations import TEXT_TO_IMAGE
from ...providers.runware.catalog import Field, Kind, Rulebook, fields_of, size_pairs
from ...providers.runware.operations import operation_of_task
from .controls import Control, NumberControl, plain_control
from .look import Look
from .media import FramesControl, MediumControl
from .messages import MessagesControl
from .rows import GroupControl, RowsControl
from .seed import SeedControl
from .size import SizeControl

__all__ = ["Parts", "nested", "sort_fields", "value_at", "without_paths"]

_FIRST = ("messages", "positivePrompt", "prompt", "negativePrompt", "width", "height", "numberResults", "seed", "steps",
          "CFGScale", "scheduler", "duration", "fps", "upscaleFactor")  # fmt: skip
_NO_SIDES = frozenset({Kind.TEXT, Kind.LONG_TEXT, Kind.FLAG, Kind.LIST, Kind.ROWS, Kind.GROUP})
"""A width of one of these kinds has a field of its own: it is not a number of pixels."""
_ADAPTATIONS = frozenset({"lora", "lycoris", "embeddings", "controlNet", "ipAdapters"})


def sort_fields(rules: Rulebook) -> dict[str, list[Field]]:
    """Sort a model's fields into what is always seen and what is folded, by the name of the fold."""
    fields = fields_of(rules)
    order = {name: number for number, name in enumerate(_FIRST)}
    main = [each for each in fields if each.name in order or each.is_required]
    main.sort(key=lambda each: order.get(each.name, len(order) - 1 if each.is_required else len(order)))
    inputs = [inner for each in fields if each.name == "inputs" and each.kind is Kind.GROUP for inner in each.fields]
    main = [each for each in main if each.name != "inputs"]
    needed = [each for each in (*main, *inputs) if each.is_required and each.kind in {Kind.MEDIUM, Kind.MEDIA}]
    main = [*needed, *(each for each in main if each not in needed)]
    main += [each for each in inputs if each.is_required and each not in needed]
    rest = [each for each in fields if each not in main and (each.name != "inputs" or each.kind is not Kind.GROUP)]
    adapted = [each for each in rest if each.name in _ADAPTATIONS]
    media = [each for each in rest if each.kind in {Kind.MEDIUM, Kind.MEDIA} or each.name in {"strength", "maskMargin"}]
    return {
        "main": main,
        _title_of_inputs(rules): [*[each for each in inputs if not each.is_required], *media],
        "LoRA and other adaptations": adapted,
        "More parameters": [each for each in rest if each not in adapted and each not in media],
    }


def _title_of_inputs(rules: Rulebook) -> str:
    operation = operation_of_task(rules.task_type)
    only_images = operation is None or {medium.kind for medium in operation.inputs} <= {"image"}
    return "Images to start from" if only_images else "Media to start from"


class Parts:
    """Makes the controls of one form.

    Args:
        rules: Of the model.
        look: Makes the widgets.
        keep: Stores the bytes of a file, and gives the word that means it.
        chance: Draws seeds.
    """

    def __init__(self, rules: Rulebook, look: Look, keep: Callable[[bytes], str], chance: random.Random) -> None:
        self._pairs = size_pairs(rules)
        self._counts_images = operation_of_task(rules.task_type) is TEXT_TO_IMAGE
        self._look = look
        self._keep = keep
        self._chance = chance
        self.seed: SeedControl | None = None

    def make_all(self, fields: Sequence[Field]) -> list[Control]:
        """Make the controls of several fields; width and height share one."""
        named = {each.name: each for each in fields if len(each.path) == 1}
        has_size = {"width", "height"} <= named.keys() and _NO_SIDES.isdisjoint(
            {named["width"].kind, named["height"].kind}
        )
        made: list[Control] = []
        for each in fields:
            if has_size and each.name == "width":
                made.append(SizeControl(each, named["height"], self._pairs, self._look))
            elif not (has_size and each.name == "height"):
                made.append(self.make(each))
        return made

    def make(self, field: Field) -> Control:
        """Make the control of one field."""
        if field.path == ("seed",):
            self.seed = SeedControl(field, self._look, self._chance)
            return self.seed
        if field.path == ("messages",):
            return MessagesControl(field, self._look)
        if field.path == ("numberResults",):
            # A cell of images states the number in each request, that of another operation only if it is given.
            return NumberControl(field, self._look, 1, is_sent_always=self._counts_images)
        if field.path == ("inputs", "frameImages") and field.kind is Kind.MEDIA:
            return FramesControl(field, self._look, self._keep)
        if field.kind in {Kind.MEDIUM, Kind.MEDIA}:
            return MediumControl(field, self._look, self._keep)
        if field.kind is Kind.GROUP:
            return GroupControl(field, self._look, self.make)
        if field.kind is Kind.ROWS:
            return RowsControl(field, self._look, self.make)
        return plain_control(field, self._look)


def nested(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """Put values by path into objects within objects."""
    made: dict[str, Any] = {}
    for path, value in values.items():
        inner = made
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return made


def value_at(request: Any, path: Sequence[str]) -> Any:
    """Give the value at a path; None where there is none."""
    for part in path:
        request = request.get(part) if isinstance(request, dict) else None
    return request


def without_paths(
    request: Mapping[str, Any], paths: Collection[tuple[str, ...]], at: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return what a request contains besides the values at some paths, also inside objects of which others are shown.

    Args:
        request: In wire spelling.
        paths: The paths of values that are left out.
        at: The path of the request itself.
    """
    left: dict[str, Any] = {}
    for name, value in request.items():
        path = (*at, name)
        if path in paths:
            continue
        if not isinstance(value, Mapping) or not any(other[: len(path)] == path for other in paths):
            left[name] = value
        elif inside := without_paths(value, paths, path):
            left[name] = inside
    return left
