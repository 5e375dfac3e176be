"""What a form asks for: a model's request schema as fields, and what is wrong with a value."""

from __future__ import annotations

import difflib
import enum
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....core.media_fields import has_media_inside, is_media_key
from ....printable import printable
from ....reprs import short_repr
from ..operations import operation_of_task, option_fields, wire_name
from ..parameters import DELIVERY
from .check import Rulebook
from .reading import plain_schema

__all__ = ["Field", "FieldProblem", "Kind", "check_value", "fields_of", "fields_of_schema", "read_value", "size_pairs"]

_OF_THE_CLIENT = DELIVERY | {"model"}
_LONG = 300
_DEEPEST = 6
_LONGEST_TITLE = 200
_MOST_FIELDS = 600
_MOST_CHOICES = 1000
"""A menu of more choices than this is slow to open; the value is typed then, and the service checks it."""


class Kind(enum.StrEnum):
    """How a field is asked for."""

    TEXT = "text"
    LONG_TEXT = "long text"
    WHOLE = "whole number"
    NUMBER = "number"
    FLAG = "yes or no"
    CHOICE = "choice"
    MEDIUM = "medium"
    MEDIA = "media"
    LIST = "list"
    ROWS = "rows"
    GROUP = "group"
    JSON = "JSON"


class FieldProblem(ValueError):
    """What is wrong with a value, in one sentence that stands beside its field."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Field:
    """One parameter as a form asks for it.

    Attributes:
        path: Where it stands in the request, such as `("inputs", "seedImage")`.
        kind: How it is asked for.
        title: What it is called.
        help: What it means; empty where the schema does not say.
        is_required: Whether it must be given.
        default: What the service takes where nothing is given; None where the schema does not say.
        low: Smallest number.
        high: Largest number.
        step: Numbers are multiples of this.
        shortest: Fewest characters.
        longest: Most characters, or most entries of a list.
        choices: Titles and values.
        fields: Of a group, or of each row.
    """

    path: tuple[str, ...]
    kind: Kind
    title: str
    help: str = ""
    is_required: bool = False
    default: Any = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    shortest: int | None = None
    longest: int | None = None
    choices: tuple[tuple[str, Any], ...] = ()
    fields: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the object it stands in."""
        return self.path[-1]

    @property
    def bounds(self) -> str:
        """What it takes, in a few words: `1 to 100`, `multiples of 16`."""
        low, high = (None if each is None else f"{each:.10g}" for each in (self.low, self.high))
        if low is not None and high is not None:
            span = f"{low} to {high}" if (self.high or 0) < 1e15 else f"{low} or more"
        else:
            span = f"{low} or more" if low is not None else f"up to {high}" if high is not None else ""
        of = f"multiples of {self.step:g}" if self.step not in {None, 1} else ""
        return ", ".join(filter(None, [span, of]))


def fields_of(rules: Rulebook) -> tuple[Field, ...]:
    """List what a form of a model asks for, in the order of its schema; what the client fills in is left out.

    Source:
        Runware reference 7 (request schemas).
    """
    fields = _FieldBuilder(_helps(rules.task_type)).of_object(rules.schema, (), 0)
    operation = operation_of_task(rules.task_type)
    counted = _COUNTED_NOUNS.get("" if operation is None else operation.produces, "results")
    return tuple(
        replace(field, title=f"Number of {counted}") if field.title == _COUNTED_TITLE else field
        for field in fields
        if field.name not in _OF_THE_CLIENT
    )


def fields_of_schema(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """List the fields of an object that any JSON Schema describes, in its order.

    Args:
        schema: In JSON Schema; references inside it are resolved.

    Raises:
        ValueError: It is not an object, refers to another document, or is too large or too deep.
    """
    return tuple(_FieldBuilder({}).of_object(plain_schema(schema), (), 0))


_COUNTED_NOUNS = {"image": "images", "video": "videos", "": "images"}
_COUNTED_TITLE = "Number results"
"""The title that `numberResults` has if its schema states none."""


def size_pairs(rules: Rulebook) -> list[tuple[int, int]]:
    """List the pairs of width and height a model takes; empty where it takes any within its range."""
    from .check import find_pairs

    return list(dict.fromkeys(find_pairs(rules.schema)))


def read_value(field: Field, text: str) -> Any:
    """Read what was typed into a field.

    Returns:
        The value; None for an empty field, which leaves it to the service.

    Raises:
        FieldProblem: It is no such value, or not within its bounds.
    """
    if field.kind in {Kind.TEXT, Kind.LONG_TEXT}:
        value: Any = text if text.strip() else None
    elif not text.strip():
        value = None
    elif field.kind is Kind.WHOLE:
        value = _whole(field, text)
    elif field.kind is Kind.NUMBER:
        value = _number(field, text)
    elif field.kind is Kind.LIST:
        value = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FieldProblem(f"{field.title} is no JSON: {error}") from error
    check_value(field, value)
    return value


def check_value(field: Field, value: Any) -> None:
    """Check a value against the bounds of its field.

    Raises:
        FieldProblem: What is wrong, and what would do.
    """
    if value is None:
        if field.is_required:
            raise FieldProblem(f"{field.title} is needed")
        return
    if field.kind in {Kind.WHOLE, Kind.NUMBER}:
        _check_number(field, value)
    elif field.kind in {Kind.TEXT, Kind.LONG_TEXT} and isinstance(value, str):
        _check_length(field, len(value), "characters")
    elif field.kind in {Kind.LIST, Kind.ROWS, Kind.MEDIA} and isinstance(value, Sequence):
        _check_length(field, len(value), "entries")
    elif field.kind is Kind.CHOICE and value not in [each for _, each in field.choices]:
        near = difflib.get_close_matches(str(value), [title for title, _ in field.choices], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FieldProblem(f"{field.title} cannot be {value!r}{hint}")


def _check_number(field: Field, value: float) -> None:
    low, high, step = field.low, field.high, field.step
    if low is not None and value < low:
        raise FieldProblem(f"{value:g} is too small: {field.bounds}")
    if high is not None and value > high:
        raise FieldProblem(f"{value:g} is too large: {field.bounds}")
    if step and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        near = sorted({math.floor(value / step) * step, math.ceil(value / step) * step})
        good = " or ".join(f"{each:g}" for each in near if (low is None or each >= low) and each <= (high or math.inf))
        raise FieldProblem(f"{value:g} is no multiple of {step:g}; nearest: {good}")


def _check_length(field: Field, size: int, what: str) -> None:
    if field.shortest is not None and size < field.shortest:
        raise FieldProblem(f"{size} {what} are too few: {field.shortest} or more")
    if field.longest is not None and size > field.longest:
        raise FieldProblem(f"{size:,} {what} are too many: {field.longest:,} at most")


def _whole(field: Field, text: str) -> int:
    try:
        return int(text.strip())
    except ValueError as error:
        raise FieldProblem(f"{text.strip()[:40]!r} is no whole number{_expected(field)}") from error


def _number(field: Field, text: str) -> float:
    try:
        value = float(text.strip())
    except ValueError as error:
        raise FieldProblem(f"{text.strip()[:40]!r} is no number{_expected(field)}") from error
    if not math.isfinite(value):
        raise FieldProblem(f"{text.strip()!r} is no number{_expected(field)}")
    return value


def _expected(field: Field) -> str:
    return f": {field.bounds}" if field.bounds else ""


# --- from schema to fields -------------------------------------------------------------------------------


class _FieldBuilder:
    """Builds the fields of one form.

    The schema is a finite tree, see `plain_schema`; the number of fields has a limit of its own, because each becomes
    a widget of the browser. Objects beyond it are asked for as JSON.
    """

    def __init__(self, helps: Mapping[str, str]) -> None:
        self._helps = helps
        self._left = _MOST_FIELDS

    def of_object(self, schema: Mapping[str, Any], path: tuple[str, ...], depth: int) -> list[Field]:
        properties, required = _merged(schema)
        spelled: dict[str, str] = {}
        for name in properties:  # of two spellings of one name, as `puLID` and `pulid`, the first
            spelled.setdefault(name.lower(), name)
        names = [name for name in spelled.values() if isinstance(properties[name], Mapping)]
        self._left -= len(names)
        return [self._field((*path, name), properties[name], name in required, depth) for name in names]

    def _field(self, path: tuple[str, ...], schema: Mapping[str, Any], needed: bool, depth: int) -> Field:
        schema = _without_null(schema)
        kind = _kind(path, schema, depth)
        inner: list[Field] = []
        within = schema if kind is Kind.GROUP else schema.get("items") if kind is Kind.ROWS else None
        if isinstance(within, Mapping):
            if self._left < len(_merged(within)[0]):
                kind = Kind.JSON
            else:
                inner = self.of_object(within, path if kind is Kind.GROUP else (*path, "*"), depth + 1)
        shortest, longest = ("minItems", "maxItems") if kind in _COUNTED else ("minLength", "maxLength")
        step = _amount(schema.get("multipleOf"))
        field = Field(
            path, kind, _title(path[-1], schema),
            _words(schema.get("description")) or self._helps.get(".".join(path), ""), needed, None,
            _amount(schema.get("minimum")), _amount(schema.get("maximum")), step if step and step > 0 else None,
            _count(schema.get(shortest)), _count(schema.get(longest)),
            _choices(schema) if kind is Kind.CHOICE else (), tuple(inner),
        )  # fmt: skip
        return replace(field, default=schema["default"]) if _is_default(field, schema.get("default")) else field


def _helps(task_type: str) -> dict[str, str]:
    """Return what the operations table says about the fields of a task type, by path with dots."""
    operation = operation_of_task(task_type)
    if operation is None:
        return {}
    helps = {path: option.help for option in operation.options for path in option_fields(option, operation)}
    return helps | {f"inputs.{wire_name(medium.name, operation)}": medium.help for medium in operation.inputs}


def _is_default(field: Field, value: Any) -> bool:
    """Return whether a default is a value of its field; a form that began with another one would send it."""
    simple: dict[Kind, type | tuple[type, ...]] = {
        Kind.TEXT: str, Kind.LONG_TEXT: str, Kind.WHOLE: int, Kind.NUMBER: (int, float), Kind.FLAG: bool,
        Kind.LIST: list, Kind.MEDIUM: str, Kind.MEDIA: list,
    }  # fmt: skip
    if value is None or (isinstance(value, bool) and field.kind in {Kind.WHOLE, Kind.NUMBER}):
        return False
    if not isinstance(value, simple.get(field.kind, object)):
        return False
    try:
        check_value(field, value)
    except FieldProblem:
        return False
    return True


def _merged(schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Gather properties, those of `allOf` too; conditions stay with the check of the whole request."""
    properties: dict[str, Any] = {}
    required: set[str] = set()
    for one in (schema, *_list(schema.get("allOf"))):
        inner = one.get("properties") if isinstance(one, Mapping) else None
        properties |= inner if isinstance(inner, Mapping) else {}
        names = one.get("required") if isinstance(one, Mapping) else None
        required |= {name for name in _list(names) if isinstance(name, str)}
    return properties, required


_COUNTED = frozenset({Kind.LIST, Kind.ROWS, Kind.MEDIA})


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take `anyOf: [something, null]` and `type: [something, null]` for that something."""
    for word in ("anyOf", "oneOf"):
        forms = [form for form in _list(schema.get(word)) if isinstance(form, Mapping)]
        real = [each for each in forms if each.get("type") != "null"]
        if len(forms) > 1 and len(real) == 1:
            return {**{key: value for key, value in schema.items() if key != word}, **real[0]}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [each for each in kinds if each != "null"]
        return {**schema, "type": others[0]} if len(others) == 1 else {**schema, "type": None}
    return schema


def _kind(path: tuple[str, ...], schema: Mapping[str, Any], depth: int) -> Kind:
    kind = schema.get("type")
    # The same rule by which media are found when a task is sent: what a form offers an upload for is then uploaded.
    is_medium = is_media_key(path[-1], is_inside=any(has_media_inside(name) for name in path[:-1]))
    if _choices(schema):
        return Kind.CHOICE
    if is_medium:
        return Kind.MEDIA if kind == "array" else Kind.MEDIUM if kind in {None, "string"} else Kind.JSON
    if kind == "string":
        long = isinstance(schema.get("maxLength"), int) and schema["maxLength"] >= _LONG
        return Kind.LONG_TEXT if long or "prompt" in path[-1].lower() else Kind.TEXT
    simple = {"integer": Kind.WHOLE, "number": Kind.NUMBER, "boolean": Kind.FLAG}
    if kind in simple:
        return simple[kind]
    if kind == "object" and schema.get("properties") and depth < _DEEPEST:
        return Kind.GROUP
    if kind == "array":
        return _kind_of_list(schema.get("items"), depth)
    return Kind.JSON


def _kind_of_list(items: Any, depth: int) -> Kind:
    if isinstance(items, Mapping) and items.get("type") == "string" and "enum" not in items:
        return Kind.LIST
    if isinstance(items, Mapping) and items.get("properties") and depth < _DEEPEST:
        return Kind.ROWS
    return Kind.JSON


def _choices(schema: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """List titles and values; of two spellings of one value, as `PNG` and `png`, the first."""
    if "const" in schema:
        return ((printable(str(schema["const"])[:_LONGEST_TITLE]), schema["const"]),)
    listed = _list(schema.get("enum"))
    if len(listed) > _MOST_CHOICES:
        return ()
    titles = [*_list(schema.get("x-titles")), *listed[len(_list(schema.get("x-titles"))) :]]
    forms = [each for each in _list(schema.get("oneOf")) if isinstance(each, Mapping) and "const" in each]
    if not listed and forms and len(forms) == len(_list(schema.get("oneOf"))):
        listed = [each["const"] for each in forms]
        titles = [each.get("title", each["const"]) for each in forms]
    made: dict[str, tuple[str, Any]] = {}
    for title, value in zip(titles, listed, strict=False):
        if value is not None:
            made.setdefault(str(value).lower(), (printable(str(title)[:_LONGEST_TITLE]), value))
    return tuple(made.values())


_NAMES = {
    "positivePrompt": "Prompt", "lora": "LoRA", "controlNet": "ControlNet", "ipAdapters": "IP-Adapters",
    "puLID": "PuLID", "pulid": "PuLID", "vae": "VAE", "fps": "Frames a second", "checkNSFW": "Check for NSFW",
    "CFGScale": "CFG scale", "outputFormat": "Format", "acePlusPlus": "ACE++",
    "outputQuality": "Quality", "layerDiffuse": "LayerDiffuse", "photoMaker": "PhotoMaker",
}  # fmt: skip


def _title(name: str, schema: Mapping[str, Any]) -> str:
    given = _words(schema.get("title"))
    if given and given != name:
        return given
    if name in _NAMES:
        return _NAMES[name]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).replace("_", " ").split()
    said = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
    return said[:1].upper() + said[1:]


def _words(value: Any) -> str:
    return printable(" ".join(value.split())[:400]) if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _amount(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
