"""A request schema from outside as a plain, finite tree: no references, known keywords only, limited in size.

A JSON Schema is a program. It can name files and URLs, refer to itself, multiply without end, and contain regular
expressions. Everything that reads a schema (the validator, forms, the placing of media) therefore receives what this
module returns, and needs no limits of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["SchemaRefused", "compile_schema", "plain_schema"]

_MOST_PARTS = 20_000
"""Schemas, list entries and values together. Compiling this many takes about 0.2 s, during which no other thread of
the process continues (measured with jsonschema-rs 0.61: it keeps Python's interpreter lock)."""
_MOST_PROPERTIES = 300
_MOST_PATTERNS = 200
_DEEPEST = 60
"""Levels of schemas within schemas. jsonschema-rs refuses documents of about 250 levels of lists and objects."""
_DEEPEST_DATA = 20
_UNROLLED = (3, 1, 0)
"""How often a schema that contains itself is repeated; the next smaller number is tried where the result is too large.
At the end of the repetition anything is allowed, and the service checks it."""
_LONGEST_REF = 500
_LONGEST_PATTERN = 1000
_LONGEST_TEXT = 2000
_REGEX_BYTES = 1_000_000

_LARGEST_WHOLE = 2**64
_SMALLEST_STEP, _LARGEST_STEP = 1e-9, 2.0**53

_NAME = re.compile(r"[A-Za-z0-9_$@.:-]{1,100}")
"""Names of parameters. They are written into cells, and into sentences."""
_TYPES = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
                     "maxContains"})  # fmt: skip
_INNER = frozenset({"additionalProperties", "items", "contains", "propertyNames", "then", "else"})
_INNER_STRICT = frozenset({"not", "if"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_DATA = frozenset({"const", "enum", "default"})
_WORDS = frozenset({"title", "description"})
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_FREE = frozenset({"title", "description", "default", "type", "enum", "const", "x-titles", "minimum", "maximum",
                   "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
                   "minItems", "maxItems", "required", "anyOf", "allOf"})  # fmt: skip
"""Keywords that mean the same in any place. Others, such as `additionalProperties`, look at their neighbors."""


class SchemaRefused(ValueError):
    """The schema is not one that is compiled here; the message is a clause, such as `it has no properties`."""


class _TooLarge(SchemaRefused):
    """The schema has too many parts, or is too deep."""


class _Odd(Exception):
    """A keyword whose value means nothing."""


def plain_schema(schema: Any) -> dict[str, Any]:
    """Rewrite a schema of the service as a finite tree without references.

    `$id`, `$schema`, anchors and every unknown keyword are left out: references are resolved here, and nowhere else.
    A keyword whose value means nothing, such as `minimum: "low"`, is left out, too. The request is then checked less
    strictly, and the service still checks it. A list of constants becomes `enum`, with titles under `x-titles`.

    Args:
        schema: What the service sent; not changed.

    Returns:
        A schema in JSON Schema 2020-12 that contains no reference.

    Raises:
        SchemaRefused: A reference leads out of the schema or nowhere, or the schema is too large or too deep.

    Source:
        Runware reference 7: inner `$id`s repeat and must be removed before compiling.
    """
    if not isinstance(schema, Mapping):
        raise SchemaRefused("it is not a JSON object")
    for unrolled in _UNROLLED:
        try:
            return _Reader(schema, unrolled).read()
        except _TooLarge as error:
            refused = error
        except RecursionError as error:
            raise SchemaRefused("it is too deep") from error
    raise refused


def compile_schema(schema: Mapping[str, Any]) -> Any:
    """Compile a schema for validation; it fetches nothing and reads no file.

    Raises:
        ValueError: The schema does not compile, or contains a reference to another document.
    """
    from jsonschema_rs import Draft202012Validator, RegexOptions

    return Draft202012Validator(
        dict(schema), retriever=_retrieve_nothing, pattern_options=RegexOptions(size_limit=_REGEX_BYTES)
    )


def _retrieve_nothing(uri: str) -> Any:
    raise ValueError(f"a schema refers to {uri[:100]!r}, and nothing is fetched")


class _Reader:
    """One pass over one schema.

    Args:
        root: The document that references point into.
        unrolled: How often a schema may contain itself.
    """

    def __init__(self, root: Mapping[str, Any], unrolled: int) -> None:
        self._root = root
        self._unrolled = unrolled
        self._left = _MOST_PARTS
        self._patterns: dict[str, bool] = {}
        self._targets: dict[str, Any] = {}
        self._anchors: dict[str, Any] | None = None
        self._open = ["#"]  # the references on the way from the root to here; the root is one to itself

    def read(self) -> dict[str, Any]:
        plain = self._schema(self._root, 0, strict=False)
        return plain if isinstance(plain, dict) else {}

    def _count(self, parts: int = 1) -> None:
        self._left -= parts
        if self._left < 0:
            raise _TooLarge(f"it has more than {_MOST_PARTS:,} parts")

    def _schema(self, schema: Any, depth: int, *, strict: bool) -> dict[str, Any] | bool:
        """Read one schema.

        Args:
            schema: Any value.
            depth: Levels of schemas above it.
            strict: Whether a schema that allows more would make an outer one allow less, as inside `not`.

        Raises:
            _Odd: Part of it means nothing, and *strict*.
        """
        self._count()
        if depth > _DEEPEST:
            raise _TooLarge(f"it has more than {_DEEPEST} levels")
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            return self._odd(strict)
        plain: dict[str, Any] = {}
        for keyword, value in schema.items():
            try:
                self._keyword(plain, keyword, value, depth, strict)
            except _Odd:
                if strict:
                    raise
        if "if" not in plain:  # the condition was left out, and what follows from it with it
            plain.pop("then", None)
            plain.pop("else", None)
        _name_choices(plain)
        for target in self._referenced(schema, depth, strict):
            plain = _joined(plain, target)
        return plain

    def _keyword(self, plain: dict[str, Any], keyword: Any, value: Any, depth: int, strict: bool) -> None:
        """Read one keyword into *plain*; unknown ones, and those that look at their neighbors' success, are not read.

        Raises:
            _Odd: Its value means nothing.
        """
        if keyword in _INNER:
            if keyword == "items" and isinstance(value, list):  # as JSON Schema wrote it until 2019-09
                keyword, value = "prefixItems", [self._schema(inner, depth + 1, strict=strict) for inner in value]
                plain[keyword] = value or _raise_odd()
            else:
                plain[keyword] = self._schema(value, depth + 1, strict=strict)
        elif keyword in _INNER_STRICT:
            plain[keyword] = self._schema(value, depth + 1, strict=True)
        elif keyword in _LISTS:
            is_strict = strict or keyword == "oneOf"  # a second alternative that fits would make it fail
            inner = [self._schema(entry, depth + 1, strict=is_strict) for entry in _listed(value)]
            plain[keyword] = inner or _raise_odd()
        elif keyword in _MAPS:
            plain[keyword] = self._map(keyword, value, depth, strict)
        elif keyword in _DATA:
            data = self._data(value, 0)
            plain[keyword] = data if keyword != "enum" or (isinstance(data, list) and data) else _raise_odd()
        elif keyword in _NUMBERS:
            plain[keyword] = _step(value) if keyword == "multipleOf" else _number(value)
        elif keyword in _COUNTS:
            plain[keyword] = _counted(value)
        elif keyword in _WORDS:
            if isinstance(value, str):
                plain[keyword] = value[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
        elif keyword == "type":
            plain["type"] = _type(value)
        elif keyword == "required":
            plain["required"] = self._names(value)
        elif keyword == "dependentRequired" and isinstance(value, Mapping):
            plain[keyword] = {_named(name): self._names(names) for name, names in value.items()}
        elif keyword == "uniqueItems" and isinstance(value, bool):
            plain[keyword] = value
        elif keyword == "pattern":
            plain[keyword] = self._pattern(value)
        elif keyword == "x-titles" and isinstance(value, list):
            plain[keyword] = [title for title in self._data(value, 0) if isinstance(title, str)]
        elif strict and keyword in {"unevaluatedProperties", "unevaluatedItems", "dependencies"}:
            raise _Odd

    def _map(self, keyword: str, value: Any, depth: int, strict: bool) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _Odd
        if len(value) > _MOST_PROPERTIES:
            raise SchemaRefused(f"an object in it has more than {_MOST_PROPERTIES} properties")
        plain: dict[str, Any] = {}
        for name, inner in value.items():
            try:
                key = self._pattern(name) if keyword == "patternProperties" else _named(name)
            except _Odd:
                if strict:
                    raise
                continue
            plain[key] = self._schema(inner, depth + 1, strict=strict)
        return plain

    def _referenced(self, schema: Mapping[str, Any], depth: int, strict: bool) -> Iterator[dict[str, Any] | bool]:
        """Read what a schema refers to, which is copied in its place."""
        for keyword in _REFERENCES:
            ref = schema.get(keyword)
            if ref is None:
                continue
            if not isinstance(ref, str) or not ref.startswith("#") or len(ref) > _LONGEST_REF:
                raise SchemaRefused(f"it refers to {str(ref)[:100]!r}, which is outside of the schema")
            if self._open.count(ref) > self._unrolled:
                yield self._odd(strict)
                continue
            if ref not in self._targets:
                self._targets[ref] = self._target(ref)
            self._open.append(ref)
            try:
                target = self._schema(self._targets[ref], depth + 1, strict=strict)
            finally:
                self._open.pop()
            yield target

    def _target(self, ref: str) -> Any:
        pointer = unquote(ref[1:])
        found: Any = self._root
        if pointer and not pointer.startswith("/"):
            if self._anchors is None:
                self._anchors = dict(_anchors_in(self._root))
            found = self._anchors.get(pointer)
        else:
            for part in pointer.split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                if isinstance(found, list) and name.isdecimal() and len(name) < 6:
                    found = found[int(name)] if int(name) < len(found) else None
                else:
                    found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping | bool):
            raise SchemaRefused(f"it refers to {ref[:100]!r}, and nothing is there")
        return found

    def _data(self, value: Any, depth: int) -> Any:
        """Copy a JSON value.

        Raises:
            _Odd: It contains what JSON does not have, a number out of range, or text that is not Unicode.
        """
        self._count()
        if depth > _DEEPEST_DATA:
            raise _Odd
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, list):
            return [self._data(inner, depth + 1) for inner in value]
        if isinstance(value, Mapping):
            return {_text(name): self._data(inner, depth + 1) for name, inner in value.items()}
        raise _Odd

    def _names(self, value: Any) -> list[str]:
        names = _listed(value)
        self._count(len(names))
        return list(dict.fromkeys(_named(name) for name in names))

    def _pattern(self, value: Any) -> str:
        r"""Check a regular expression: only what a linear engine accepts is kept, so that no text takes long to check.

        Raises:
            _Odd: It is none, is too large, or needs an engine that backtracks (`(?=...)`, `\1`).
        """
        if not isinstance(value, str) or len(value) > _LONGEST_PATTERN:
            raise _Odd
        if value not in self._patterns:
            if len(self._patterns) >= _MOST_PATTERNS:
                raise _Odd
            self._patterns[value] = _is_linear(_text(value))
        return value if self._patterns[value] else _raise_odd()

    def _odd(self, strict: bool) -> dict[str, Any]:
        """Allow anything where a schema means nothing.

        Raises:
            _Odd: An outer schema would allow less.
        """
        if strict:
            raise _Odd
        return {}


def _is_linear(pattern: str) -> bool:
    from ....forking import block_fork

    with block_fork():  # the first use imports the library, and a child cannot take a lock of that import
        try:
            compile_schema({"pattern": pattern})
        except ValueError:
            return False
    return True


def _anchors_in(schema: Any) -> Iterator[tuple[str, Any]]:
    waiting, left = [schema], 10 * _MOST_PARTS
    while waiting and left:
        left -= 1
        value = waiting.pop()
        if isinstance(value, Mapping):
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(value.get(keyword), str):
                    yield value[keyword], value
        if isinstance(value, Mapping | list):
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _joined(plain: dict[str, Any], target: dict[str, Any] | bool) -> dict[str, Any]:
    """Join a schema with what it refers to: as one where they do not touch, else under `allOf`."""
    if isinstance(target, dict) and (plain.keys() <= _FREE or target.keys() <= _FREE):
        same = plain.keys() & target.keys() - {"title", "description", "default"}
        if not same:
            return {**target, **plain}  # the title of the place, and not that of the definition
    return {**plain, "allOf": [*plain.get("allOf", ()), target]}


def _name_choices(plain: dict[str, Any]) -> None:
    """Write a list of constants as `enum`, with their titles beside it."""
    choices = plain.get("oneOf")
    if choices and "enum" not in plain and all(isinstance(entry, dict) and "const" in entry for entry in choices):
        del plain["oneOf"]
        plain["enum"] = [entry["const"] for entry in choices]
        plain["x-titles"] = [str(entry.get("title", entry["const"])) for entry in choices]  # an annotation, for forms


def _raise_odd() -> Any:
    raise _Odd


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else _raise_odd()


def _text(value: Any) -> str:
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _Odd
    return value


def _named(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _Odd
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Odd
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_WHOLE else _raise_odd()
    return value if math.isfinite(value) else _raise_odd()


def _step(value: Any) -> int | float:
    step = _number(value)
    return step if _SMALLEST_STEP <= step <= _LARGEST_STEP else _raise_odd()


def _counted(value: Any) -> int:
    number = _number(value)
    if number < 0 or number > _LARGEST_STEP or number != int(number):
        raise _Odd
    return int(number)


def _type(value: Any) -> Any:
    kinds = value if isinstance(value, list) else [value]
    if not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise _Odd
    unknown = [kind for kind in kinds if kind not in _TYPES]
    if unknown:
        raise SchemaRefused(f"it has a type {unknown[0][:40]!r}")
    return list(dict.fromkeys(kinds)) if isinstance(value, list) else value
