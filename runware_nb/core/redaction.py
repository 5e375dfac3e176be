"""Keeping secrets out of everything that is written, shown or saved.

This is the only place that redacts. It works on values after parsing, so that an escape cannot hide a key, and it
knows every key that this process has seen: `settings` adds the keys of the environment, and each `Key` adds itself.
What looks like a key without being known is in `key_shapes`; the source of a cell is in `cell_source`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import unquote, unquote_plus, urlsplit, urlunsplit

__all__ = [
    "REDACTED",
    "HiddenText",
    "KnownSecrets",
    "host_of",
    "known_secrets",
    "redact_account",
    "redact_task",
    "redact_text",
    "redact_url",
    "redact_urls",
    "redact_values",
    "show_url",
]

REDACTED = "[redacted]"

_BEARER = re.compile(r"(?i)(bearer\s+)[^\s\"',]+")
_BASIC = re.compile(r"(?i)(authorization\b\W{1,8}basic\s+)[^\s\"',]+")
_SECRET_QUERIES = ("webhookURL", "webhook_url", "uploadEndpoint")
_SECRET_FIELDS = {"apiKey", "email"}
_SHORTEST = 8
"""Characters of the shortest secret that is searched for, and of the shortest part of one. Services issue keys of 20
and more. A shorter text, or a word, is no key: typed by mistake, it would make every prompt with that word one."""
_PREFIX = re.compile(r"(?:[A-Za-z]+[-_])+")
_ENCODED = re.compile(r"%(?:25)*[2-7][0-9A-Fa-f]|\\(?:u00|x)[2-7]|&#|&(?:amp|lt|gt|quot);")
_LONGEST_DECODED = 1_000_000
"""Characters of the longest text in which escapes are undone; a longer one is a medium."""
_ESCAPE = re.compile(r"(?<!\\)\\++(?:u00|x)([2-7][0-9A-Fa-f])")
"""Each run of backslashes is read once, from its first one: a text of nothing else would take minutes otherwise."""
_NAMED_ENTITY = {"&": "amp", "<": "lt", ">": "gt", '"': "quot"}


class HiddenText(str):
    """A text that does not show itself in a repr: not in a traceback with local variables, nor in a debugger.

    Args:
        text: The text.
        shown: What its repr is instead.
    """

    __slots__ = ("_shown",)
    _shown: str

    def __new__(cls, text: str, shown: str) -> Self:
        """Make the text; `str` is immutable, so there is no `__init__`."""
        hidden = super().__new__(cls, text)
        hidden._shown = shown
        return hidden

    def __repr__(self) -> str:
        return self._shown

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenText, (str(self), self._shown)

    def __str__(self) -> str:
        return str.__str__(self)


class KnownSecrets:
    """The secrets that this process has seen, in every spelling in which they may come back."""

    __slots__ = ("_secrets",)

    def __init__(self) -> None:
        self._secrets: dict[str, _Secret] = {}

    @property
    def version(self) -> int:
        """A number that changes whenever a secret is added."""
        return len(self._secrets)

    def add(self, text: str) -> None:
        """Search for a secret from now on, as long as the process lives: it may stand in a cell that ran before."""
        is_word = text.isalpha() and len(text) < 2 * _SHORTEST
        if len(text) >= _SHORTEST and not is_word and text not in self._secrets:
            self._secrets = {**self._secrets, text: _Secret(text)}  # replaced, because other threads iterate over it

    def is_in(self, text: str | bytes) -> bool:
        """Return whether a text contains a secret in any spelling, also one that JSON will decode."""
        if not self._secrets:
            return False
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace").replace("\x00", "")  # JSON may be UTF-16 as well
        decoded = _decoded(text)
        return any(secret.is_in(text, decoded) for secret in self._secrets.values())

    def may_be_in(self, texts: Iterable[str]) -> bool:
        """Return whether any of many short texts may contain a secret, with one look at all of them.

        It is for the path of every run, whose texts hardly ever contain one. If the answer is no, none does.
        """
        if not self._secrets:
            return False
        together = "\n".join(texts)
        return len(together) > _LONGEST_DECODED or self.is_in(together)

    def redact(self, text: str) -> str:
        """Replace every secret in a text, in any spelling."""
        if not self._secrets or len(text) < _SHORTEST:
            return text
        decoded = _decoded(text)  # once: to replace one secret makes no other one appear
        for secret in self._secrets.values():
            text = secret.redacted(text, decoded)
        return text

    def redact_parts(self, text: str) -> str:
        """Replace every secret in a text, and also every part of one of 8 characters or more.

        It is slower than `redact`, and meant for what cuts texts: a cell that joins a key from pieces, and a library's
        log that leaves out the middle of a frame.
        """
        text = self.redact(text)
        for secret in self._secrets.values():
            text = secret.without_parts(text)
        return text


class _Secret:
    """One secret, and how to find it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._escaped = text.replace("\\", "\\\\").replace('"', '\\"')  # as in JSON, where only these two differ
        self._compiled: re.Pattern[str] | None = None
        self._cut: frozenset[str] | None = None

    @property
    def _pattern(self) -> re.Pattern[str]:
        if self._compiled is None:  # most secrets never come back in another spelling
            self._compiled = re.compile(r"(?<!\\)" + "".join(map(_spellings, self._text)))
        return self._compiled

    @property
    def _parts(self) -> frozenset[str]:
        """All parts of the shortest length, except those of a prefix such as `sandbox-`, which is no secret."""
        if self._cut is None:
            prefix = _PREFIX.match(self._text)
            free = len(prefix[0]) if prefix is not None else 0
            starts = range(len(self._text) - _SHORTEST + 1)
            self._cut = frozenset(self._text[start : start + _SHORTEST] for start in starts if start + _SHORTEST > free)
        return self._cut

    def is_in(self, text: str, decoded: str | None) -> bool:
        return self._text in text or self._escaped in text or (decoded is not None and self._text in decoded)

    def redacted(self, text: str, decoded: str | None) -> str:
        if self._text in text:
            text = text.replace(self._text, REDACTED)
        if self._escaped is not self._text and self._escaped in text:
            text = text.replace(self._escaped, REDACTED)
        if decoded is not None and self._text in decoded:
            text = self._pattern.sub(REDACTED, text)
        return text

    def without_parts(self, text: str) -> str:
        pieces: list[str] = []
        copied = start = 0
        while start <= len(text) - _SHORTEST:
            if text[start : start + _SHORTEST] not in self._parts:
                start += 1
                continue
            end = start + _SHORTEST
            while text[end - _SHORTEST + 1 : end + 1] in self._parts:
                end += 1
            pieces += [text[copied:start], REDACTED]
            copied = start = end
        return "".join([*pieces, text[copied:]]) if pieces else text


def _spellings(character: str) -> str:
    """Write the pattern of one character: itself, and its escapes in URLs, JSON, Python and HTML.

    A run of backslashes is matched as a whole (`++`), so that a long one is read once.
    """
    code = ord(character)
    entities = [f"#0*{code}", f"#[xX]0*(?i:{code:x})"]
    if character in _NAMED_ENTITY:
        entities.append(_NAMED_ENTITY[character])
    hexadecimal = f"(?i:{code:02x})"
    entity = f"&(?:amp;)*(?:{'|'.join(entities)});"
    plain = re.escape(character)
    if character == "\\":
        return rf"(?:{plain}{{1,2}}|%(?:25)*{hexadecimal}|{plain}*(?:u00|x){hexadecimal}|{entity})"
    return rf"(?:{plain}|\\++(?:{plain}|(?:u00|x){hexadecimal})|%(?:25)*{hexadecimal}|{entity})"


def _is_encoded(text: str) -> bool:
    """Return whether a text contains escapes that may hide a secret; most texts are done after three quick looks."""
    if not ("%" in text or "\\" in text or "&" in text) or len(text) > _LONGEST_DECODED:
        return False
    return _ENCODED.search(text) is not None


def _decoded(text: str) -> str | None:
    """Undo the escapes of JSON, URLs and HTML, as far as they hide printable ASCII characters; None without any."""
    if not _is_encoded(text):
        return None
    from html import unescape  # loads 2,000 names of characters, which few processes need

    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    forms = [text]
    for _ in range(3):  # a URL inside a URL is escaped once more
        text = unescape(unquote(text))
        if text == forms[-1]:
            break
        forms.append(text)
    return "\n".join(forms)  # all of them: a secret such as `a%20b` is gone after one step too many


known_secrets = KnownSecrets()
"""Those of this process. A key is a fact about the process: logs of libraries, for instance, belong to no session."""


def redact_values(value: Any) -> Any:
    """Replace every known secret in a parsed value: in all texts, at any depth, and in the keys of objects too."""
    if isinstance(value, str):
        return known_secrets.redact(value)
    if isinstance(value, Mapping):
        return {redact_values(key): redact_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(inner) for inner in value]
    return value


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace every known secret in text that is no parsed value, such as a line of a log, and any credentials.

    Args:
        text: The text.
        secrets: Further secrets, of any length.
    """
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, REDACTED)
    text = known_secrets.redact(text)
    if "earer " in text or "EARER " in text:
        text = _BEARER.sub(rf"\g<1>{REDACTED}", text)
    return _BASIC.sub(rf"\g<1>{REDACTED}", text)


def redact_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Make the form of a task that may be written to disk."""
    return {
        key: redact_url(value) if key in _SECRET_QUERIES and isinstance(value, str) else value
        for key, value in task.items()
        if key not in _SECRET_FIELDS
    }


def redact_account(value: Any) -> Any:
    """Take keys and e-mail addresses out of an account answer, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if key in _SECRET_FIELDS and inner else redact_account(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redact_account(inner) for inner in value]
    return value


# --- URLs --------------------------------------------------------------------------------------------

_USER_INFO = re.compile(
    r"(?P<scheme>[A-Za-z][\w+.-]{0,40}:)?//(?:[^/?#\s@]*@|(?!\[)(?![^/?#\s@:]*\.[^/?#\s@:]*:\d{1,5}[/?#])[^/?#\s@:]*:[^@\s]*@)"
)
"""The second form is a password with a slash, which a parser takes for the end of the host, unless a host with a dot
and a port stand there."""
_USER_ALONE = re.compile(r"^[^/\s@]*:[^\s@]*@")
_PARAMETER = re.compile(r"(?P<before>[?&;#])(?P<name>[^=&;#?\s]+)=(?P<value>[^&;#\s]*)")
_SECRET_PARAMETER = re.compile(
    r"(?i)token|passw|pwd|secret|key(?!word)|(?:^|[_-])sig|signature|credential|auth(?!or(?!i[sz]))|^sas$|session|jwt|^code$"
)
_URL = re.compile(r"[A-Za-z][\w+.-]{0,40}://[^\s'\"<>]+")


def show_url(url: str) -> str:
    """Return the form of a URL that may be shown: without user and password, and with secret parameters masked.

    A parameter is secret if its name says so (`token`, `password`, `sig`, `X-Amz-Signature` and the like). Text that
    is no URL is returned with the same parts removed, because an error may be about that.
    """
    url = str(url)
    before = None
    while "@" in url and url != before:  # several "@"
        before, url = url, _USER_INFO.sub(r"\g<scheme>//", url, count=1)
    if "://" not in url:
        url = _USER_ALONE.sub("", url)
    if "=" in url:
        url = _PARAMETER.sub(_masked, url)
    return known_secrets.redact(url)


def _masked(match: re.Match[str]) -> str:
    is_secret = match["value"] and _SECRET_PARAMETER.search(unquote_plus(match["name"]))
    return f"{match['before']}{match['name']}={REDACTED}" if is_secret else match[0]


def redact_urls(text: str) -> str:
    """Apply `show_url` to every URL in a sentence, such as a library's error, and redact known secrets."""
    if "://" in text:
        text = _URL.sub(lambda match: show_url(match[0]), text)
    return known_secrets.redact(text)


def host_of(url: str) -> str:
    """Return the host and port of a URL, without user and password; "" if it cannot be parsed."""
    try:
        return urlsplit(show_url(url)).netloc.rpartition("@")[2][:200]
    except ValueError:
        return ""


def redact_url(url: str) -> str:
    """Make the form of a URL that is stored: without its query, where tokens travel, and without any password."""
    try:
        parts = urlsplit(show_url(url))
    except ValueError:
        return REDACTED  # it cannot be taken apart, so nothing of it is known to be harmless
    return urlunsplit((parts.scheme, parts.netloc, parts.path, REDACTED if parts.query else "", ""))
