"""The table of settings: each field of `Settings` is one entry.

A field states the name, the type and the default. Its `_entry` states the rest: unit, allowed values, environment
variable, where the setting may be set, and a summary. Parsing, validation, the files that may set it, `config -h` and
the page `docs/settings.md` follow from the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

from ..core.amounts import MOST_USD, parse_amount
from ..core.key_shapes import key_like_spans, looks_like_key
from ..core.money import USD
from ..core.operations import TEXT_TO_IMAGE
from ..core.redaction import HiddenText, known_secrets, redact_urls, show_url
from ..errors import ConfigError
from ..remedies import Remedy, command
from ..reprs import short_repr
from .secrets import RUNWARE_KEY, Key, hide_key

__all__ = [
    "GENERATION_DEFAULTS",
    "OTHER_VARIABLES",
    "SCHEMAS_URL",
    "SERVICES",
    "SETTINGS",
    "Place",
    "Setting",
    "SettingProblem",
    "Settings",
    "parse_setting",
    "quoted",
    "settings_for",
    "without_problems",
]

SCHEMAS_URL = "https://schemas.runware.ai"
SERVICES = ("runware", "sandbox")
"""Who may have answered a run of the log."""


class Place(Enum):
    """Where a setting may be set, in ascending order of precedence. The value is the name in the documentation."""

    USER = "your file"
    PROFILE = "profile"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    SESSION = "session"


_ANYWHERE = frozenset(Place)
# A project's file may come from a cloned repository, so it sets neither URLs nor spending limits.
_NOT_IN_PROJECTS = _ANYWHERE - {Place.PROJECT}


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One entry of the table.

    Attributes:
        name: Attribute of `Settings`, and key in the files.
        kind: `str`, `int`, `float`, `bool`, `Path` or `Key`.
        default: The value if no source sets it.
        summary: What it decides, as a phrase.
        places: Where it may be set.
        variable: Its environment variable; empty if it has none.
        unit: Unit of a number, such as `s`.
        choices: The allowed texts, with a remark on each that needs one; empty if any text is allowed.
        is_url: Whether it is a URL, which is shown without user and password.
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
    places: frozenset[Place] = _ANYWHERE
    variable: str = ""
    unit: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    is_url: bool = False
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

    def check(self, value: Any) -> None:
        """Check that a value is allowed.

        Raises:
            ConfigError: It is not.
        """
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


def _entry(default: Any, summary: str, **rest: Any) -> Any:
    """Return the field of a setting; the return type is that of the annotation."""
    metadata = {"summary": summary, **rest}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@short_repr()
@dataclass(frozen=True, slots=True)
class SettingProblem:
    """A part of the settings that could not be read.

    Attributes:
        sentence: What is wrong, where, and what to do.
        names: The settings whose values are unknown because of it. A file that cannot be parsed may have set any of
            the names that it may contain.
    """

    sentence: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Each field is an entry of the table: its summary is in the field.

    Attributes:
        defaults: The values that a generation uses if the line does not give them: `model`, `size`, `steps` and so on.
        problems: What could not be read; see `check`.
    """

    api_key: Key | None = _entry(  # noqa: RUF009 - it returns a field
        None, "the key for the service; `login` enters it at a hidden prompt",
        places=frozenset({Place.ENVIRONMENT}), variable=RUNWARE_KEY.variable, remedy="Use `login`.",
    )  # fmt: skip
    api_key_from: str = _entry(
        RUNWARE_KEY.variable, "the environment variable that contains the key", places=frozenset({Place.PROFILE})
    )
    rest_url: str = _entry(
        "https://api.runware.ai/v1", "the URL for REST requests",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_REST_URL", is_url=True, schemes=("http", "https"),
    )  # fmt: skip
    ws_url: str = _entry(
        "wss://ws-api.runware.ai/v1", "the URL of the WebSocket",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_WS_URL", is_url=True, schemes=("ws", "wss"),
    )  # fmt: skip
    schemas_url: str = _entry(
        SCHEMAS_URL, "the URL of current model schemas; `off` uses only the bundled ones",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_SCHEMAS_URL", is_url=True, schemes=("http", "https"),
        words={"off": ""},
    )  # fmt: skip
    media_url: str | None = _entry(
        None, "the folder or bucket of your images at full size",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_MEDIA_URL", is_url=True,
        default_text="`runware_images` beside the log's folder",
    )  # fmt: skip
    transport: str = _entry(
        "websocket", "how to connect to the service",
        variable="RUNWARE_NB_TRANSPORT", choices={"websocket": "", "rest": ""},
    )  # fmt: skip
    auth_in_payload: bool = _entry(
        False, "whether REST sends the key as the first element of the array instead of in a header",
        places=frozenset({Place.SESSION}),
    )  # fmt: skip
    home: Path = _entry(  # noqa: RUF009 - it returns a field
        lambda: Path(".runware"), "the folder of the log",
        places=frozenset({Place.PROFILE, Place.ENVIRONMENT}), variable="RUNWARE_NB_HOME",
        default_text="`.runware` in the working directory", remedy="Set RUNWARE_NB_HOME before the first use.",
    )  # fmt: skip
    log_url: str | None = _entry(
        None, "the database of the log",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_LOG_URL", is_url=True, default_text="SQLite in the log's folder",
    )  # fmt: skip
    max_in_flight: int = _entry(
        4, "how many tasks may be sent and not yet answered", unit="tasks", above=0,
        places=_ANYWHERE - {Place.ENVIRONMENT},
    )  # fmt: skip
    max_retries: int = _entry(
        3, "how many attempts may follow the first; 0 means no retries", unit="attempts", minimum=0,
        places=_ANYWHERE - {Place.ENVIRONMENT},
    )  # fmt: skip
    timeout_s: float = _entry(
        1200.0, "the longest wait for a task", unit="s", above=0, places=_ANYWHERE - {Place.ENVIRONMENT}
    )
    connect_timeout_s: float = _entry(
        15.0, "the longest wait for a connection and its authentication", unit="s", above=0,
        places=_NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    ping_s: float = _entry(
        25.0, "the time between pings of the WebSocket", unit="s", above=0,
        places=_NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    max_frame_bytes: int = _entry(
        128 * 1024 * 1024, "the largest WebSocket message or HTTP response that is accepted, after decompression",
        unit="bytes", above=0, places=_NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    mode: str = _entry(
        "live", "whether tasks are sent, or all are answered from the log without key or network",
        variable="RUNWARE_NB_MODE", choices={"live": "", "replay": ""},
    )  # fmt: skip
    ask_above_usd: float = _entry(
        1.0, "the estimated cost above which you are asked for confirmation", unit="USD",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_ASK_ABOVE_USD",
    )  # fmt: skip
    budget_usd: float | None = _entry(
        None, "the most that may be spent with this log in all", unit="USD",
        places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_BUDGET_USD", default_text="no limit",
    )  # fmt: skip
    ask_above_credits: float = _entry(
        100.0, "the estimated cost above which you are asked for confirmation, for services that charge in credits",
        unit="credits", minimum=0, places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_ASK_ABOVE_CREDITS",
    )  # fmt: skip
    budget_credits: float | None = _entry(
        None, "the most credits that may be spent with this log, for each service that charges in credits",
        unit="credits", minimum=0, places=_NOT_IN_PROJECTS, variable="RUNWARE_NB_BUDGET_CREDITS",
        default_text="no limit",
    )  # fmt: skip
    display: str = _entry(
        "html", "how images are shown",
        variable="RUNWARE_NB_DISPLAY", choices={"html": "", "image": "for PDF export and GitHub"},
    )  # fmt: skip
    profile: str = _entry(
        "", "the profile of your file that applies",
        places=frozenset({Place.ENVIRONMENT, Place.SESSION}), variable="RUNWARE_NB_PROFILE", default_text="none",
    )  # fmt: skip
    defaults: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[SettingProblem, ...] = ()

    def __post_init__(self) -> None:
        for setting in SETTINGS.values():
            value = getattr(self, setting.name)
            if setting.is_url and isinstance(value, str) and not isinstance(value, HiddenText):
                shown = show_url(value)
                if shown != value:
                    value = HiddenText(value, repr(shown))
                    object.__setattr__(self, setting.name, value)
            setting.check(value)

    def with_values(self, **values: Any) -> Settings:
        """Return a copy with some values replaced; None means "not given".

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        hide_key(values)
        given = {name: value for name, value in values.items() if value is not None}
        unknown = sorted(given.keys() - {entry.name for entry in fields(self)})
        if unknown:
            raise ConfigError(f"Unknown setting {unknown[0]!r}.")
        if isinstance(given.get("api_key"), str):
            given["api_key"] = Key(given["api_key"], "the argument api_key")
        given = {name: parse_setting(name, value) for name, value in given.items()}
        return replace(self, **{"problems": tuple(without_problems(self.problems, given)), **given})

    def require_key(self) -> Key:
        """Return the key.

        Raises:
            ConfigError: There is no key, or a part of the settings could not be read: then it is unknown which service,
                limit or mode applies, and nothing may be sent.
        """
        if self.problems:
            raise ConfigError(self.problems[0].sentence)
        if self.api_key is None:
            raise ConfigError(f"No API key. Set {self.api_key_from}.").with_remedy(
                Remedy(
                    "You can also enter the key at a hidden prompt with {0}, or try the product without a key: {1}.",
                    (command("login"), command("sandbox")),
                )
            )
        return self.api_key

    def check(self, *names: str) -> None:
        """Raise the problem that makes one of these settings unknown.

        Raises:
            ConfigError: One of them could not be read.
        """
        for problem in self.problems:
            if not problem.names.isdisjoint(names):
                raise ConfigError(problem.sentence)

    def budget(self, unit: str) -> float | None:
        """Return the limit on spending in a unit, `USD` or `credits`; None without one."""
        return self.budget_usd if unit == USD else self.budget_credits

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine, as the sandbox is."""
        return urlsplit(self.rest_url).hostname in {"localhost", "127.0.0.1", "::1"}

    @property
    def service(self) -> str:
        """Who answers, for the log: `runware`, or `sandbox` for a service on this machine."""
        return "sandbox" if self.is_local else "runware"


def _table() -> Mapping[str, Setting]:
    types = get_type_hints(Settings)
    table = {}
    for entry in fields(Settings):
        if not entry.metadata:
            continue  # `defaults` is a table of its own, and `problems` cannot be set
        kind = next((kind for kind in get_args(types[entry.name]) if kind is not type(None)), types[entry.name])
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        table[entry.name] = Setting(name=entry.name, kind=kind, default=default, **entry.metadata)
    return MappingProxyType(table)


SETTINGS = _table()
"""The entries by name, in the order of `Settings`."""

GENERATION_DEFAULTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **{option.long: option.types for option in TEXT_TO_IMAGE.options if not option.is_list},
        "tag": (list, str),
    }
)
"""What a file may set as the default of a generation, with its types; spelled as the options of a cell."""

OTHER_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "RUNWARE_NB_NOTEBOOK": "the name of the notebook, for front ends that pass none to the kernel",
        "RUNWARE_NB_RUNKEY_URL": "the URL of RunKey.ai",
        "RUNWARE_NB_USEAPI_URL": "the URL of useapi.net",
    }
)
"""Environment variables that belong to no field of `Settings`, with a summary of each."""


def settings_for(place: Place) -> frozenset[str]:
    """Return the names of the settings that may be set in a place."""
    return frozenset(name for name, setting in SETTINGS.items() if place in setting.places)


def parse_setting(name: str, value: Any, *, source: str = "") -> Any:
    """Return the value of a setting in its type; a name that is not in the table keeps its value.

    Raises:
        ConfigError: The value has another type. The message calls it *source*, or *name* without one.
    """
    setting = SETTINGS.get(name)
    return value if setting is None else setting.parse(value, source or name)


def without_problems(problems: Iterable[SettingProblem], known: Iterable[str]) -> list[SettingProblem]:
    """Return the problems that remain when these settings are known from a source of higher precedence."""
    names = frozenset(known)
    rest = [replace(problem, names=problem.names - names) for problem in problems]
    return [problem for problem in rest if problem.names]


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
