"""The table of settings: each field of `Settings` is one entry, and the packages of providers add theirs.

A field states the name, the type and the default. Its `_entry` states the rest: unit, allowed values, environment
variable, where the setting may be set, and a summary. Parsing, validation, the files that may set it, `config -h` and
the page `docs/settings.md` follow from the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

from ..core.money import USD
from ..core.operations import TEXT_TO_IMAGE
from ..errors import ConfigError
from ..remedies import Remedy, command
from ..reprs import short_repr
from .packages import provider_packages
from .secrets import RUNWARE_KEY, Key, hide_key
from .setting import ANYWHERE, NOT_IN_PROJECTS, Place, Setting, quoted

__all__ = [
    "GENERATION_DEFAULTS",
    "SCHEMAS_URL",
    "SERVICES",
    "SETTINGS",
    "Place",
    "Setting",
    "SettingProblem",
    "Settings",
    "as_fields",
    "other_variables",
    "parse_setting",
    "quoted",
    "settings_for",
    "settings_table",
    "without_problems",
]

SCHEMAS_URL = "https://schemas.runware.ai"
SERVICES = ("runware", "sandbox")
"""Who may have answered a run of the log."""


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
        provider_values: The settings of the packages of providers, by name, as far as a source sets them; see `value`.
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
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_REST_URL", is_url=True, schemes=("http", "https"),
    )  # fmt: skip
    ws_url: str = _entry(
        "wss://ws-api.runware.ai/v1", "the URL of the WebSocket",
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_WS_URL", is_url=True, schemes=("ws", "wss"),
    )  # fmt: skip
    schemas_url: str = _entry(
        SCHEMAS_URL, "the URL of current model schemas; `off` uses only the bundled ones",
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_SCHEMAS_URL", is_url=True, schemes=("http", "https"),
        words={"off": ""},
    )  # fmt: skip
    media_url: str | None = _entry(
        None, "the folder or bucket of your images at full size",
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_MEDIA_URL", is_url=True,
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
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_LOG_URL", is_url=True, default_text="SQLite in the log's folder",
    )  # fmt: skip
    max_in_flight: int = _entry(
        4, "how many tasks may be sent and not yet answered", unit="tasks", above=0,
        places=ANYWHERE - {Place.ENVIRONMENT},
    )  # fmt: skip
    max_retries: int = _entry(
        3, "how many attempts may follow the first; 0 means no retries", unit="attempts", minimum=0,
        places=ANYWHERE - {Place.ENVIRONMENT},
    )  # fmt: skip
    timeout_s: float = _entry(
        1200.0, "the longest wait for a task", unit="s", above=0, places=ANYWHERE - {Place.ENVIRONMENT}
    )
    connect_timeout_s: float = _entry(
        15.0, "the longest wait for a connection and its authentication", unit="s", above=0,
        places=NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    ping_s: float = _entry(
        25.0, "the time between pings of the WebSocket", unit="s", above=0,
        places=NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    max_frame_bytes: int = _entry(
        128 * 1024 * 1024, "the largest WebSocket message or HTTP response that is accepted, after decompression",
        unit="bytes", above=0, places=NOT_IN_PROJECTS - {Place.ENVIRONMENT},
    )  # fmt: skip
    mode: str = _entry(
        "live", "whether tasks are sent, or all are answered from the log without key or network",
        variable="RUNWARE_NB_MODE", choices={"live": "", "replay": ""},
    )  # fmt: skip
    ask_above_usd: float = _entry(
        1.0, "the estimated cost above which you are asked for confirmation", unit="USD",
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_ASK_ABOVE_USD",
    )  # fmt: skip
    budget_usd: float | None = _entry(
        None, "the most that may be spent with this log in all", unit="USD",
        places=NOT_IN_PROJECTS, variable="RUNWARE_NB_BUDGET_USD", default_text="no limit",
    )  # fmt: skip
    ask_above_credits: float = _entry(
        100.0, "the estimated cost above which you are asked for confirmation, for services that charge in credits",
        unit="credits", minimum=0, places=NOT_IN_PROJECTS, variable="RUNWARE_NB_ASK_ABOVE_CREDITS",
    )  # fmt: skip
    budget_credits: float | None = _entry(
        None, "the most credits that may be spent with this log, for each service that charges in credits",
        unit="credits", minimum=0, places=NOT_IN_PROJECTS, variable="RUNWARE_NB_BUDGET_CREDITS",
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
    provider_values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[SettingProblem, ...] = ()

    def __post_init__(self) -> None:
        for setting in SETTINGS.values():
            value = getattr(self, setting.name)
            checked = setting.checked(value)
            if checked is not value:
                object.__setattr__(self, setting.name, checked)
        if self.provider_values:  # only then, so that settings without them load no provider
            table = settings_table()
            checked = {name: table[name].checked(value) for name, value in self.provider_values.items()}
            object.__setattr__(self, "provider_values", checked)

    def value(self, name: str) -> Any:
        """Return the value of a setting by its name, whether it is a field or a setting of a provider's package.

        Raises:
            KeyError: There is no setting of this name.
        """
        if name in SETTINGS:
            return getattr(self, name)
        setting = settings_table()[name]
        return self.provider_values.get(name, setting.default)

    def with_values(self, **values: Any) -> Settings:
        """Return a copy with some values replaced; None means "not given".

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        hide_key(values)
        given = {name: value for name, value in values.items() if value is not None}
        others = given.keys() - {entry.name for entry in fields(self)}
        unknown = sorted(others - settings_table().keys()) if others else []
        if unknown:
            raise ConfigError(f"Unknown setting {unknown[0]!r}.")
        if isinstance(given.get("api_key"), str):
            given["api_key"] = Key(given["api_key"], "the argument api_key")
        given = {name: parse_setting(name, value) for name, value in given.items()}
        problems = tuple(without_problems(self.problems, given))
        return replace(self, **{"problems": problems, **as_fields(given, self.provider_values)})

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
            continue  # `defaults` and `provider_values` have tables of their own, and `problems` cannot be set
        kind = next((kind for kind in get_args(types[entry.name]) if kind is not type(None)), types[entry.name])
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        table[entry.name] = Setting(name=entry.name, kind=kind, default=default, **entry.metadata)
    return MappingProxyType(table)


SETTINGS = _table()
"""The entries that are fields of `Settings`, by name and in their order. `settings_table` has all entries."""


@cache
def settings_table() -> Mapping[str, Setting]:
    """Return all entries by name: the fields of `Settings`, then what the packages of providers declare."""
    declared = {setting.name: setting for package in provider_packages() for setting in package.settings}
    return MappingProxyType({**SETTINGS, **declared})


def as_fields(values: Mapping[str, Any], provider_values: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return the arguments of `Settings` for values by the name of their setting.

    Args:
        values: The values.
        provider_values: The values of providers' settings that remain where *values* has no other.
    """
    own = {entry.name for entry in fields(Settings)}
    others = {name: value for name, value in values.items() if name not in own}
    arguments = {name: value for name, value in values.items() if name in own}
    return {**arguments, "provider_values": {**provider_values, **others}} if others else arguments


GENERATION_DEFAULTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **{
            option.long: option.types
            for option in TEXT_TO_IMAGE.options
            # An image, and what is relative to it, belong to one request.
            if not option.is_list
            and option.kind not in {"image", "outpaint", "pulid"}
            and not option.name.startswith("photomaker")
        },
        "tag": (list, str),
    }
)
"""What a file may set as the default of a generation, with its types; spelled as the options of a cell."""

_OTHER_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "RUNWARE_NB_NOTEBOOK": "the name of the notebook, for front ends that pass none to the kernel",
    }
)
"""Environment variables that belong to no setting."""


def other_variables() -> Mapping[str, str]:
    """Return the environment variables that belong to no setting, with a summary of each."""
    settings = {setting.variable for setting in settings_table().values()}
    return {name: summary for name, summary in _OTHER_VARIABLES.items() if name not in settings}


def settings_for(place: Place) -> frozenset[str]:
    """Return the names of the settings that may be set in a place."""
    return frozenset(name for name, setting in settings_table().items() if place in setting.places)


def parse_setting(name: str, value: Any, *, source: str = "") -> Any:
    """Return the value of a setting in its type; the value of any other name is returned as it is.

    Raises:
        ConfigError: The value has another type. The message calls it *source*, or *name* without one.
    """
    setting = SETTINGS.get(name) or settings_table().get(name)
    return value if setting is None else setting.parse(value, source or name)


def without_problems(problems: Iterable[SettingProblem], known: Iterable[str]) -> list[SettingProblem]:
    """Return the problems that remain when these settings are known from a source of higher precedence."""
    names = frozenset(known)
    rest = [replace(problem, names=problem.names - names) for problem in problems]
    return [problem for problem in rest if problem.names]
