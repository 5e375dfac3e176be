"""The source of a cell without keys, as it may be stored.

A key in a cell is usually a literal of Python, and may be joined from pieces or written with escapes. So the source is
parsed, each literal is evaluated (nothing is run), and a literal that holds a key is replaced. Lines of magics and of
the shell, comments, and cells that are no Python are searched as text.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import lru_cache

from .key_shapes import is_secret_name, key_like_spans, passwords_in_urls, spans_in_line
from .provider_secrets import ProviderSecret, declared_secrets
from .redaction import REDACTED, known_secrets

__all__ = ["redact_source"]

_MAGIC = re.compile(r"^(?P<indent>[ \t]*)(?:[%!?]|[^#'\"\n]*=[ \t]*[%!]|[^#'\"\n]*\?[ \t]*$)", re.MULTILINE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
"""A line as Python's parser counts them; `str.splitlines` knows more line ends."""
_CALLS_WITH_KEY = frozenset({"Client", "Key"})
"""Classes whose first argument is a key."""
_SHORTEST = 8
_DYNAMIC = "\0"
"""Stands for what an f-string inserts at run time."""
_MOST_CHARACTERS = 200_000
"""A longer cell is searched as text: to parse it would take too long before each run."""


def redact_source(source: str) -> str:
    """Return the source of a cell with a placeholder for each key.

    Keys that this process knows are replaced in every form, also split into pieces of 8 characters or more. Other
    literals are replaced if they look like a key, or are given to something whose name says that it is one, such as
    `api_key` or `os.environ["HF_TOKEN"]`. A source without keys is returned unchanged.
    """
    return _redacted(source, known_secrets.version, declared_secrets.entries)


@lru_cache(maxsize=8)  # a cell that sends a thousand runs is read once
def _redacted(source: str, version: int, declared: tuple[ProviderSecret, ...]) -> str:  # noqa: ARG001 - see below
    # The cache has an entry for each state of the known and the declared secrets, on which the result depends.
    # What the parser finds first is replaced as a whole; the pieces of a key that it cannot join are left for the end.
    return known_secrets.redact_parts(_without_literals(source))


def _without_literals(source: str) -> str:
    if len(source) > _MOST_CHARACTERS:
        return _redact_line(source)
    tree = _parse(source)
    if tree is not None:
        return _Literals(source).redact(tree, _comments(source))
    # Not plain Python: IPython's lines are searched as text, and hidden from the parser.
    lines = [_redact_line(line) if _MAGIC.match(line) else line for line in _LINE.findall(source)]
    source = "".join(lines)
    blanked = "".join(_blanked(line) for line in lines)
    tree = _parse(blanked)
    if tree is None:
        return _redact_line(source)
    return _Literals(source).redact(tree, _comments(blanked))


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _blanked(line: str) -> str:
    match = _MAGIC.match(line)
    if match is None:
        return line
    end = line[len(line.rstrip("\r\n")) :]
    return f"{match['indent']}pass{end}"


def _redact_line(text: str) -> str:
    """Redact text that is no Python."""
    return _without_spans(text, spans_in_line(text))


def _comments(source: str) -> list[tuple[int, int, int]]:
    """Return line, first column and last column of each comment, in characters."""
    if "#" not in source:
        return []
    try:
        tokens = list(tokenize.generate_tokens(iter(_LINE.findall(source)).__next__))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return []
    return [(token.start[0], token.start[1], token.end[1]) for token in tokens if token.type == tokenize.COMMENT]


class _Literals:
    """The literals of one source.

    Args:
        source: Source that was parsed, line by line the same as the parsed one.
    """

    def __init__(self, source: str) -> None:
        # The parser counts columns in bytes of UTF-8.
        self._lines = [line.encode("utf-8", "surrogatepass") for line in _LINE.findall(source)]
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))
        self._source = b"".join(self._lines)

    def redact(self, tree: ast.Module, comments: Iterable[tuple[int, int, int]]) -> str:
        """Return the source with placeholders."""
        pieces: list[bytes] = []
        copied = 0
        for start, end, new in sorted([*self._changes(tree, ""), *self._in_comments(comments)]):
            if start >= copied:  # else a comment between the parts of a literal that is replaced
                pieces += [self._source[copied:start], new]
                copied = end
        return b"".join([*pieces, self._source[copied:]]).decode("utf-8", "surrogatepass")

    def _changes(self, node: ast.AST, name: str) -> Iterator[tuple[int, int, bytes]]:
        """Yield what to replace in a node; *name* is the name of the key that its value is for, if there is one."""
        value = _value_of(node)
        if value is not None and isinstance(node, ast.expr):
            start, end = self._span(node)
            is_named = bool(name) and _may_be_key(value, name)
            if is_named or _holds_key(value):
                yield start, end, self._literal(node, start, end, value, is_whole=is_named)
                return
        if isinstance(
            node, ast.JoinedStr
        ):  # positions inside it are unreliable before Python 3.12: all of it, or nothing
            inner_values = [_value_of(inner) for inner in ast.walk(node) if inner is not node]
            if any(inner is not None and _holds_key(inner) for inner in inner_values):
                yield (*self._span(node), f'"{REDACTED}"'.encode())
            return
        for inner, inner_name in _inner_nodes(node, name):
            yield from self._changes(inner, inner_name)

    def _literal(self, node: ast.expr, start: int, end: int, value: str, *, is_whole: bool) -> bytes:
        """Return what stands for a literal: the literal with only the key replaced, if that is possible."""
        written = self._source[start:end].decode()
        if not is_whole and isinstance(node, ast.Constant):
            shorter = _redact_value(written)
            try:
                left = _value_of(ast.parse(shorter, mode="eval").body)
            except (SyntaxError, ValueError):
                left = None
            if left == _redact_value(value):  # else the key was written with escapes, or in pieces
                return shorter.encode()
        is_bytes = isinstance(node, ast.Constant) and isinstance(node.value, bytes)
        placeholder = f'{"b" if is_bytes else ""}"{REDACTED}"'
        return placeholder.encode()

    def _in_comments(self, comments: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, bytes]]:
        for number, first, last in comments:
            line = self._lines[number - 1].decode()
            comment = line[first:last]
            redacted = _redact_line(comment)
            if redacted != comment:
                start = self._starts[number - 1] + len(line[:first].encode())
                yield start, start + len(comment.encode()), redacted.encode()

    def _span(self, node: ast.expr) -> tuple[int, int]:
        last_line, last_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[last_line - 1] + last_column


def _holds_key(value: str) -> bool:
    return _redact_value(value) != value


def _redact_value(value: str) -> str:
    value = known_secrets.redact_parts(value)
    spans = [(start, end) for start, end, _ in key_like_spans(value)]
    return _without_spans(value, [*spans, *passwords_in_urls(value)])


def _may_be_key(value: str, name: str) -> bool:
    """Return whether a value that is given to a key's name is one, and not another name, a URL or a placeholder."""
    if len(value) < _SHORTEST or re.search(r"\s|://|^[\w.-]+:\d{1,5}$", value) or REDACTED in value:
        return False
    if re.fullmatch(r"[A-Z][A-Z_]+|<.*>|\.{3,}|\*+", value):
        return False
    is_certain = re.search(r"(?i)key$|passw", name) is not None
    return is_certain or (any(c.isdigit() for c in value) and any(c.isalpha() for c in value))


def _value_of(node: ast.AST) -> str | None:
    """Evaluate an expression of literals: text, bytes, f-strings, and both joined; None for anything else."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return node.value.decode("latin-1")
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_value_of(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        value = _value_of(node.value)
        return _DYNAMIC if value is None else value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value_of(node.left), _value_of(node.right)
        return None if left is None or right is None else left + right
    if (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"
        and len(node.args) == 1 and isinstance(node.args[0], ast.List | ast.Tuple)
    ):  # fmt: skip
        separator = _value_of(node.func.value)
        parts = [_value_of(part) for part in node.args[0].elts]
        return None if separator is None or None in parts else separator.join(part or "" for part in parts)
    return None


def _inner_nodes(node: ast.AST, name: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the nodes directly below, each with the name of the key that its value is for, or an empty text."""
    named: dict[ast.AST, str] = {}

    def give(names: Iterable[str], value: ast.AST | None) -> None:
        secret = next(filter(is_secret_name, names), "")
        if value is not None and secret:
            named[value] = secret

    if isinstance(node, ast.Assign):
        give(map(_name_of, node.targets), node.value)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        give([_name_of(node.target)], node.value)
    elif isinstance(node, ast.keyword):
        give([node.arg or ""], node.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            give([(key is not None and _value_of(key)) or ""], value)
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        defaulted = positional[len(positional) - len(node.defaults) :]
        for argument, default in zip([*defaulted, *node.kwonlyargs], [*node.defaults, *node.kw_defaults], strict=True):
            give([argument.arg], default)
    elif isinstance(node, ast.Call):
        if name:
            named[node.func] = name  # such as "...".strip()
        if _name_of(node.func) in _CALLS_WITH_KEY and node.args:
            named[node.args[0]] = "argument"
        elif len(node.args) > 1:
            give([_value_of(node.args[0]) or ""], node.args[1])  # such as os.environ.setdefault("HF_TOKEN", "...")
    elif name and isinstance(node, ast.BoolOp | ast.IfExp | ast.Attribute | ast.Await):
        named = dict.fromkeys(ast.iter_child_nodes(node), name)
    for inner in ast.iter_child_nodes(node):
        yield inner, named.get(inner, "")


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return _value_of(node.slice) or ""
    return ""


def _without_spans(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Replace spans, of which some may overlap, by the placeholder."""
    pieces: list[str] = []
    copied = 0
    for start, end in sorted(spans):
        if start >= copied:
            pieces += [text[copied:start], REDACTED]
        copied = max(copied, end)
    return "".join([*pieces, text[copied:]]) if pieces else text
