"""An entry of the table of settings: its type, its allowed values, and where it may be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.amounts import MOST_USD, parse_amount
from ..core.key_shapes import key_like_spans, looks_like_key
from ..core.log_filter import filter_logs
from ..core.redaction import HiddenText, host_of, known_secrets, redact_urls, show_url
from ..errors import ConfigError
from ..reprs import short_repr
from .secrets import RUNWARE_KEY

__all__ = ["ANYWHERE", "NOT_IN_PROJECTS", "Place", "Setting", "quoted"]


class Place(Enum):
    """Where a setting may be set, in ascending order of precedence. The value is the name in the documentation."""

    USER = "your file"
    PROFILE = "profile"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    SESSION = "session"


ANYWHERE = frozenset(Place)
# A project's file may come from a cloned repository, so it sets neither URLs nor spending limits.
NOT_IN_PROJECTS = ANYWHERE - {Place.PROJECT}


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One entry of the table.

    Attributes:
        name: Key in the files, and attribute of `Settings`; `Settings.value` returns it if a provider declares it.
        kind: `str`, `int`, `float`, `bool`, `Path` or `Key`.
        default: The value if no source sets it.
        summary: What it decides, as a phrase.
        places: Where it may be set.
        variable: Its environment variable; empty if it has none.
        unit: Unit of a number, such as `s`.
        choices: The allowed texts, with a remark on each that needs one; empty if any text is allowed.
        is_url: Whether it is a URL, which is shown without user and password.
        hides_path: Whether the path of a URL protects what it leads to, so that it is not shown, and the last part of
            it is redacted everywhere.
        schemes: The allowed schemes of a URL; empty if the URL is checked where it is opened.
        above: A number must be greater than this.
        minimum: A number must be at least this.
        words: Texts with a meaning of their own, such as `off`, and the value that each stands for.
        default_text: The default in words, if the value alone does not explain it.
        remedy: What to do instead of setting it in the session, as a sentence.
    """

    name: str
    kind: type
    default: Any
    summary: str
    places: frozenset[Place] = ANYWHERE
    variable: str = ""
    unit: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    is_url: bool = False
    hides_path: bool = False
    schemes: tuple[str, ...] = ()
    above: float | None = None
    minimum: float | None = None
    words: Mapping[str, Any] = field(default_factory=dict)
    default_text: str = ""
    remedy: str = ""

    @property
    def expected(self) -> str:
        """The allowed values, to follow "expected" in a message."""
        if self.choices:
            return " or ".join(f"'{value}'" + (f" ({why})" if why else "") for value, why in self.choices.items())
        if self.kind is bool:
            return "'true' or 'false'"
        if self.unit == "USD":
            return f"an amount in US dollars, from 0 to below {MOST_USD:,.0f}"
        if self.above is not None:
            return f"a number above {self.above:g}"
        if self.minimum is not None:
            return f"a number of {self.minimum:g} or more"
        if self.schemes:
            return f"{self.schemes[0]}:// or {self.schemes[1]}:// and a host"
        return "text"

    def parse(self, value: Any, source: str) -> Any:
        """Return a value of the right type from what a file, a variable or an argument contains.

        Args:
            value: Text or a value of TOML.
            source: What to call the value in an error.

        Raises:
            ConfigError: The value has another type.
        """
        if isinstance(value, str) and value.lower() in self.words:
            return self.words[value.lower()]
        if self.kind is bool:
            parsed = {"true": True, "false": False}.get(str(value).lower())
            if parsed is None:
                raise ConfigError(f"Invalid {source} {quoted(value)}: expected {self.expected}.")
            return parsed
        if self.kind in {int, float}:
            try:
                if isinstance(value, bool):
                    raise ValueError(value)  # noqa: TRY004 - reported as any other wrong value, below
                return self.kind(value)
            except (ValueError, TypeError, OverflowError) as error:
                raise ConfigError(f"Invalid {source} {quoted(value)}: expected a number.") from error
        if self.kind in {str, Path} and not isinstance(value, str | Path):
            raise ConfigError(f"Invalid {source} {quoted(value)}: expected text.")
        if self.name == "api_key_from":
            _check_variable_name(value, source)
        return value

    def checked(self, value: Any) -> Any:
        """Return a value that is allowed. A URL with a part that is not shown becomes text whose repr does not show it.

        Raises:
            ConfigError: It is not allowed.
        """
        if self.is_url and isinstance(value, str) and not isinstance(value, HiddenText):
            shown = self.shown(value)
            if self.hides_path and value:
                known_secrets.add(value.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2])
                filter_logs()
            if shown != value:
                value = HiddenText(value, repr(shown))
        self._check(value)
        return value

    def shown(self, value: Any) -> Any:
        """Return what may be shown of a value."""
        if not self.is_url or not isinstance(value, str) or not value:
            return value
        if not self.hides_path:
            return show_url(value)
        scheme, colon, _ = value.partition("://")
        host = host_of(value)
        return f"{scheme}://{host}/…" if colon and host else "…"

    def _check(self, value: Any) -> None:
        if value is None and self.default is None:
            return
        if self.choices:
            if value not in self.choices:
                raise ConfigError(f"Invalid {self.name} {quoted(value)}: expected {self.expected}.")
        elif self.schemes:
            if value not in self.words.values():
                self._check_url(value)
        elif (
            (self.unit == "USD" and parse_amount(value) is None)
            or (self.above is not None and not value > self.above)
            or (self.minimum is not None and not value >= self.minimum)
        ):
            raise ConfigError(f"Invalid {self.name} {value!r}: expected {self.expected}.")

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except (ValueError, AttributeError, TypeError):
            # The parser's own message is neither used nor chained: it quotes what precedes the host, a password too.
            raise ConfigError(f"Invalid {self.name} {quoted(url)}: its host or its port cannot be read.") from None
        if parts.scheme not in self.schemes or not parts.hostname:
            raise ConfigError(f"Invalid {self.name} {quoted(url)}: expected {self.expected}.")


def quoted(value: object) -> str:
    """Return a value for a message, unless it looks like a key that was given to the wrong setting."""
    text = redact_urls(repr(value))
    return "(not shown, because it looks like a key)" if next(key_like_spans(text), None) is not None else text


def _check_variable_name(value: str, source: str) -> None:
    if not value.isidentifier() or (looks_like_key(value) and value.upper() != value):
        known_secrets.add(value)  # it is not quoted: a user may have written the key itself here
        raise ConfigError(
            f"Invalid {source}: expected the name of the environment variable that contains the key, such as "
            f"{RUNWARE_KEY.variable}, and not a key. A key in a file is a key that others can read: replace it."
        )
