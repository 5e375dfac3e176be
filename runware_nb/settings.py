"""Settings: frozen values, where they come from, and the only place that reads the environment."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .core.operations import TEXT_TO_IMAGE
from .errors import ConfigError
from .printable import printable
from .reprs import short_repr
from .wire.amounts import MOST_USD, parse_amount
from .wire.key_shapes import PROVIDER_VARIABLES, key_like_spans, looks_like_key
from .wire.log_filter import filter_logs
from .wire.redact import HiddenText, known_secrets, redact_urls, show_url

__all__ = [
    "Key",
    "SettingProblem",
    "Settings",
    "child_environment",
    "current_folder",
    "environment_fingerprint",
    "forget_key",
    "hide_key",
    "jupyter_session_name",
    "load_settings",
    "notebook_name",
    "remember_secrets",
    "save_to_project",
    "secrets_of_environment",
    "store_key",
    "stored_key",
    "user_cache_folder",
    "user_file",
]

REST_URL = "https://api.runware.ai/v1"
WS_URL = "wss://ws-api.runware.ai/v1"
SCHEMAS_URL = "https://schemas.runware.ai"
SERVICES = ("runware", "sandbox")
"""Who may have answered a run of the log."""


class Key:
    """An API key that does not show itself: not in a repr, not in a traceback, not in a pickle.

    Args:
        value: The key.
        source: Where it came from, in words, such as `RUNWARE_API_KEY`.

    Raises:
        ConfigError: It is empty, or holds blanks or characters that cannot travel in a header.
    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self.source = source
        value = HiddenText(value.strip(), f"<key from {source}>")  # this frame, too, may be shown with its variables
        if not value:
            raise ConfigError(f"The key from {source} is empty. Get a key at https://runware.ai/signup.")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                f"The key from {source} contains blanks, control characters or characters outside ASCII. Copy it again."
            )
        self._value = value
        known_secrets.add(str(value))
        filter_logs()

    def reveal(self) -> str:
        """Give the key itself, for the two places where the protocol wants it. Its repr does not show it."""
        return self._value

    def __repr__(self) -> str:
        return f"<key from {self.source}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Key, self._value))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ConfigError("a key is never pickled; load it where it is needed")


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
    """Everything that can be set.

    Attributes:
        api_key: The key, or None.
        api_key_from: Environment variable that contains the key.
        rest_url: Where REST requests go.
        ws_url: Where the WebSocket connects.
        schemas_url: Where fresh model schemas are; empty (or `off` in the environment) to use the bundled ones only.
        media_url: Where our own media are kept; None is `runware_images` beside *home*.
        transport: `websocket` or `rest`.
        auth_in_payload: Send the key as the first element of a REST array instead of in a header.
        home: Folder of the log.
        log_url: Database of the log; None is SQLite in *home*.
        max_in_flight: Tasks sent and not yet answered, at most.
        max_retries: Further attempts after the first; 0 means none.
        timeout_s: Longest wait for a task, in seconds.
        connect_timeout_s: Longest wait for a connection and its authentication, in seconds.
        ping_s: Seconds between pings.
        max_frame_bytes: Largest WebSocket message or HTTP response accepted, in bytes, after decompression.
        mode: `live` asks the service; `replay` answers every task from the log, without key or network.
        ask_above_usd: What costs more, in US dollars, is asked about first.
        budget_usd: What may be spent in all with this log, in US dollars; None is no limit.
        display: `html` shows images inside HTML with everything around them; `image` as plain images, for PDF and
            GitHub.
        profile: Name of the profile in use; empty for none.
        defaults: What a generation takes where the line does not say: `model`, `size`, `steps` and the like.
        problems: What could not be read; see `check`.
    """

    api_key: Key | None = None
    api_key_from: str = "RUNWARE_API_KEY"
    rest_url: str = REST_URL
    ws_url: str = WS_URL
    schemas_url: str = SCHEMAS_URL
    media_url: str | None = None
    transport: str = "websocket"
    auth_in_payload: bool = False
    home: Path = field(default_factory=lambda: Path(".runware"))
    log_url: str | None = None
    max_in_flight: int = 4
    max_retries: int = 3
    timeout_s: float = 1200.0
    connect_timeout_s: float = 15.0
    ping_s: float = 25.0
    max_frame_bytes: int = 128 * 1024 * 1024
    mode: str = "live"
    ask_above_usd: float = 1.0
    budget_usd: float | None = None
    display: str = "html"
    profile: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[SettingProblem, ...] = ()

    def __post_init__(self) -> None:
        for name in _URLS:
            url = getattr(self, name)
            if isinstance(url, str) and not isinstance(url, HiddenText) and (shown := show_url(url)) != url:
                object.__setattr__(self, name, HiddenText(url, repr(shown)))
        if self.transport not in {"websocket", "rest"}:
            raise ConfigError(f"Invalid transport {_quoted(self.transport)}: expected 'websocket' or 'rest'.")
        for name, schemes in (("rest_url", ("http", "https")), ("ws_url", ("ws", "wss"))):
            _check_url(name, getattr(self, name), schemes)
        if self.schemas_url:
            _check_url("schemas_url", self.schemas_url, ("http", "https"))
        for name in ("timeout_s", "connect_timeout_s", "ping_s", "max_in_flight", "max_frame_bytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"Invalid {name} {getattr(self, name)!r}: expected a number above 0.")
        if self.mode not in {"live", "replay"}:
            raise ConfigError(f"Invalid mode {_quoted(self.mode)}: expected 'live' or 'replay'.")
        if self.display not in {"html", "image"}:
            raise ConfigError(
                f"Invalid display {_quoted(self.display)}: expected 'html', or 'image' for PDF export and GitHub."
            )
        for name in ("ask_above_usd", "budget_usd"):
            amount = getattr(self, name)
            if amount is not None and parse_amount(amount) is None:
                raise ConfigError(
                    f"Invalid {name} {amount!r}: expected an amount in US dollars, from 0 to below {MOST_USD:,.0f}."
                )
        if self.max_retries < 0:
            raise ConfigError(f"Invalid max_retries {self.max_retries}: expected 0 (no retries) or more.")

    def with_values(self, **values: Any) -> Settings:
        """Return a copy with some values replaced; None means "not given".

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        hide_key(values)
        given = {name: value for name, value in values.items() if value is not None}
        unknown = sorted(given.keys() - {each.name for each in fields(self)})
        if unknown:
            raise ConfigError(f"Unknown setting {unknown[0]!r}.")
        if isinstance(given.get("api_key"), str):
            given["api_key"] = Key(given["api_key"], "the argument api_key")
        given = {name: _of_right_type(name, value) for name, value in given.items()}
        return replace(self, **{"problems": tuple(_without(self.problems, given)), **given})

    def require_key(self) -> Key:
        """Return the key.

        Raises:
            ConfigError: There is no key, or a part of the settings could not be read: then it is unknown which service,
                limit or mode applies, and nothing may be sent.
        """
        if self.problems:
            raise ConfigError(self.problems[0].sentence)
        if self.api_key is None:
            raise ConfigError(
                f"No API key. Set {self.api_key_from}, or enter the key at a hidden prompt with `%runware login`, "
                "or try the product without a key: `%runware sandbox`."
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

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine, as the sandbox is."""
        return urlsplit(self.rest_url).hostname in {"localhost", "127.0.0.1", "::1"}

    @property
    def service(self) -> str:
        """Who answers, for the log: `runware`, or `sandbox` for a service on this machine."""
        return "sandbox" if self.is_local else "runware"


_URLS = ("rest_url", "ws_url", "schemas_url", "log_url", "media_url")
_NUMBERS: Mapping[str, type] = {
    "max_in_flight": int, "max_retries": int, "timeout_s": float, "connect_timeout_s": float, "ping_s": float,
    "max_frame_bytes": int, "ask_above_usd": float, "budget_usd": float,
}  # fmt: skip
_FOR_PROJECTS = frozenset({"mode", "transport", "max_in_flight", "max_retries", "timeout_s", "display"})
"""What a project's file may set: it may come from a cloned repository, so neither URLs nor spending limits."""
_FOR_USERS = frozenset({"rest_url", "ws_url", "schemas_url", "log_url", "media_url", *_NUMBERS, *_FOR_PROJECTS})
_DEFAULTS: Mapping[str, tuple[type, ...]] = {
    **{option.long: option.types for option in TEXT_TO_IMAGE.options if not option.is_list},
    "tag": (list, str),
}
"""What a generation can take by default; spelled as the options of a cell."""
_FOR_PROFILES = frozenset({"api_key_from", "home"})
"""What only a profile may set: the variable that holds its key, and its folder."""
_ENVIRONMENT = {
    "RUNWARE_NB_DISPLAY": "display",
    "RUNWARE_NB_REST_URL": "rest_url",
    "RUNWARE_NB_WS_URL": "ws_url",
    "RUNWARE_NB_SCHEMAS_URL": "schemas_url",
    "RUNWARE_NB_TRANSPORT": "transport",
    "RUNWARE_NB_LOG_URL": "log_url",
    "RUNWARE_NB_MEDIA_URL": "media_url",
    "RUNWARE_NB_MODE": "mode",
    "RUNWARE_NB_ASK_ABOVE_USD": "ask_above_usd",
    "RUNWARE_NB_BUDGET_USD": "budget_usd",
}
_OTHER_VARIABLES = ("RUNWARE_NB_HOME", "RUNWARE_NB_PROFILE", "RUNWARE_NB_NOTEBOOK", "RUNWARE_NB_RUNKEY_URL",
                    "RUNWARE_NB_USEAPI_URL")  # fmt: skip


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    profile: str | None = None,
    strict: bool = True,
) -> Settings:
    """Return the settings of this process: environment over project files, profile, user file and default.

    The project's files are `config.toml` in the home folder and `[tool.runware-nb]` of the nearest `pyproject.toml`,
    the user's is `~/.config/runware_nb/config.toml`, with a table `[profiles.NAME]` for each profile. Unknown variables
    that start with `RUNWARE_NB_` are reported once per process.

    Args:
        environ: The environment; `os.environ` when None.
        cwd: The working directory, which contains `.runware` unless RUNWARE_NB_HOME or a profile names another folder.
        profile: Name of the profile; RUNWARE_NB_PROFILE when None.
        strict: Whether a problem is raised. Otherwise the settings carry it in `problems`, and it is raised where its
            value is needed.

    Raises:
        ConfigError: *strict*, and a value is invalid or a file cannot be read; the message names the variable or file.
    """
    remember_secrets()
    # The environment is in no local variable: a traceback that shows variables would show every key in it.
    reader = _Reader(os.environ if environ is None else environ, cwd or current_folder())
    settings = reader.read(profile)
    for name in reader.variables:
        if name.startswith("RUNWARE_NB_") and name not in _ENVIRONMENT and name not in _OTHER_VARIABLES:
            _report_unknown(name)
    if strict and settings.problems:
        raise ConfigError(settings.problems[0].sentence)
    return settings


def current_folder() -> Path | None:
    """Return the working directory; None if it was deleted while the process was in it."""
    try:
        return Path.cwd()
    except OSError:
        return None


class _Reader:
    """One reading of all sources, which collects problems instead of raising the first."""

    def __init__(self, environ: Mapping[str, str], cwd: Path | None) -> None:
        self._environ = environ
        self._cwd = cwd
        self._problems: list[SettingProblem] = []
        self._values: dict[str, Any] = {}
        self._defaults: dict[str, Any] = {}

    @property
    def variables(self) -> list[str]:
        """The names of all variables of the environment."""
        return list(self._environ)

    def read(self, profile: str | None) -> Settings:
        profile = self._environ.get("RUNWARE_NB_PROFILE", "") if profile is None else profile
        profile_home = self._read_user_file(profile)
        home = self._home(self._environ.get("RUNWARE_NB_HOME") or profile_home or ".runware")
        self._read_pyproject()
        self._read_table(home / "config.toml", _FOR_PROJECTS)
        for variable, name in _ENVIRONMENT.items():
            if self._environ.get(variable):
                value = self._environ[variable]
                self._set(name, "" if name == "schemas_url" and value.lower() == "off" else value, variable)
        if self._values.get("schemas_url", "").lower() == "off":
            self._values["schemas_url"] = ""
        self._read_key()
        return Settings(**self._values, home=home, profile=profile, defaults=self._defaults,
                        problems=tuple(self._problems))  # fmt: skip

    def _read_user_file(self, profile: str) -> str:
        """Read what the user's file sets for all and for one profile, and return the profile's folder."""
        path = user_file(self._environ)
        everything = frozenset({*_FOR_USERS, *_DEFAULTS})
        if profile:  # a profile may name another key and another folder: without it, both are unknown
            everything |= {*_FOR_PROFILES, "api_key"}
        tables = self._parse(path, everything)
        profiles = tables.pop("profiles", {})
        self._apply(tables, _FOR_USERS, str(path))
        if not profile or self._problems:
            return ""
        if not isinstance(profiles, dict) or not isinstance(profiles.get(profile), dict):
            known = ", ".join(profiles) if isinstance(profiles, dict) and profiles else "none"
            self._report(
                f"Cannot find the profile {_quoted(profile)}: {path} has no table [profiles.{profile}]. "
                f"Known profiles: {known}.",
                everything,
            )
            return ""
        self._apply(profiles[profile], {*_FOR_USERS, *_FOR_PROFILES}, f"[profiles.{profile}] in {path}")
        return str(self._values.pop("home", ""))

    def _home(self, text: str) -> Path:
        """Return the folder of the log. Where a problem is reported instead, the path is only a placeholder."""
        try:
            home = Path(text).expanduser()
        except RuntimeError as error:  # no such user, or no home folder
            self._report(
                f"Invalid home {_quoted(text)}: {str(error).rstrip('.')}. Set RUNWARE_NB_HOME to a folder. "
                "Nothing was sent.",
                {"home"},
            )
            home = Path(".runware")
        if "\x00" in text:
            self._report(f"Invalid home {_quoted(text)}: a path contains no NUL character.", {"home"})
            home = Path(".runware")
        if self._cwd is None and not home.is_absolute():
            self._report(
                f"Cannot find the home folder {str(home)!r}: the working directory was deleted. Change to another one, "
                "or set RUNWARE_NB_HOME to an absolute path. Nothing was sent.",
                {"home"},
            )
        return home if self._cwd is None else self._cwd / home

    def _read_pyproject(self) -> None:
        """Read `[tool.runware-nb]` of the nearest `pyproject.toml`; there may be none."""
        for folder in () if self._cwd is None else (self._cwd, *self._cwd.parents):
            path = folder / "pyproject.toml"
            if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a folder may not be searched
                tool = self._parse(path, frozenset({*_FOR_PROJECTS, *_DEFAULTS})).get("tool", {})
                table = tool.get("runware-nb", {}) if isinstance(tool, dict) else {}
                if isinstance(table, dict):
                    self._apply(table, _FOR_PROJECTS, f"[tool.runware-nb] in {path}")
                return

    def _read_table(self, path: Path, allowed: Collection[str]) -> None:
        self._apply(self._parse(path, frozenset({*allowed, *_DEFAULTS})), allowed, str(path))

    def _read_key(self) -> None:
        variable = self._values.get("api_key_from", "RUNWARE_API_KEY")  # a profile's key is used, or no key at all
        if self._environ.get(variable, "").strip():
            try:
                self._values["api_key"] = Key(self._environ[variable], variable)
            except ConfigError as error:
                self._report(str(error), {"api_key"})

    def _parse(self, path: Path, names: frozenset[str]) -> dict[str, Any]:
        try:
            return _parse(path)
        except ConfigError as error:
            self._report(str(error), names)
            return {}

    def _apply(self, table: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
        """Read a table: each valid value, and a problem for each other one."""
        for name, value in table.items():
            try:
                values, defaults = _checked(name, value, allowed, where)
            except ConfigError as error:
                # A name that may not be set here stays a problem, even where another source sets the same name.
                is_allowed = name in allowed or name in _DEFAULTS
                self._report(str(error), {name if is_allowed else f"{name} in {where}"})
                continue
            self._defaults |= defaults
            for setting, known in values.items():
                self._set(setting, known, f"{setting} in {where}")

    def _set(self, name: str, value: Any, source: str) -> None:
        try:
            typed = _of_right_type(name, value, source=source)
            if name not in _FOR_PROFILES:
                Settings(**{name: typed})
        except ConfigError as error:
            sentence = str(error)
            self._report(sentence if source in sentence else f"{source}: {sentence}", {name})
        else:
            self._values[name] = typed
            self._problems = _without(self._problems, {name})

    def _report(self, sentence: str, names: Iterable[str]) -> None:
        self._problems.append(SettingProblem(sentence, frozenset(names)))


def _without(problems: Iterable[SettingProblem], known: Iterable[str]) -> list[SettingProblem]:
    """Return the problems that remain when these settings are known from a source of higher precedence."""
    names = frozenset(known)
    rest = [replace(problem, names=problem.names - names) for problem in problems]
    return [problem for problem in rest if problem.names]


@cache
def _report_unknown(name: str) -> None:
    """Report an unknown environment variable; the cache makes it once per process."""
    import difflib

    near = difflib.get_close_matches(name, [*_ENVIRONMENT, *_OTHER_VARIABLES], n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}?" if near else f"Known variables: {', '.join([*_ENVIRONMENT, *_OTHER_VARIABLES])}."
    sentence = printable(f"The environment variable {name} is unknown and has no effect. {hint}")
    logging.getLogger("runware_nb").warning("%s", sentence)


def user_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the user's settings."""
    base = Path(environ.get("XDG_CONFIG_HOME") or "~/.config")
    with contextlib.suppress(RuntimeError):  # a container's user may have no home folder, and therefore no file
        base = base.expanduser()
    return base / "runware_nb" / "config.toml"


def user_cache_folder() -> Path | None:
    """Return the user's folder for what can be fetched again; None where there is no home folder.

    It is never the project's: a file that comes with a cloned project must not be taken for a response of a service.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "runware_nb"
    if sys.platform == "win32" and Path(os.environ.get("LOCALAPPDATA", "")).is_absolute():
        return Path(os.environ["LOCALAPPDATA"]) / "runware_nb" / "cache"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if not home.is_absolute():
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "runware_nb"


def save_to_project(home: Path, values: Mapping[str, Any]) -> Path:
    """Write settings into a project's file, next to what it already contains.

    Raises:
        ConfigError: A project's file may not set this name, or the file cannot be read or written.
    """
    path = home / "config.toml"
    for name in values:
        if name not in _FOR_PROJECTS:
            raise ConfigError(f"{name} cannot be saved with a project. Set it in {user_file(os.environ)} instead.")
    saved: dict[str, Any] = {}
    for name, value in _parse(path).items():
        known, defaults = _checked(name, value, _FOR_PROJECTS, str(path))
        saved |= {**known, **defaults}
    saved |= values
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in saved.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        import tomllib  # only where there is a file: most notebooks have none, and `%load_ext` is quicker without

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:  # a ValueError: the file is neither UTF-8 nor TOML
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _checked(name: str, value: Any, allowed: Iterable[str], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort an entry of a table into settings and defaults of a generation.

    Raises:
        ConfigError: The table may not set this name, or the value has the wrong type.
    """
    if name in _DEFAULTS:
        if not isinstance(value, _DEFAULTS[name]) or isinstance(value, bool):
            types = " or ".join(kind.__name__ for kind in _DEFAULTS[name])
            raise ConfigError(f"Invalid {name} {_quoted(value)} in {where}: expected {types}.")
        return {}, {name: value}
    if name not in allowed:
        raise ConfigError(f"{where} sets {name}; it may set only {', '.join(sorted({*allowed, *_DEFAULTS}))}.")
    return {name: _of_right_type(name, value, source=f"{name} in {where}")}, {}


def _of_right_type(name: str, value: Any, *, source: str = "") -> Any:
    """Convert the text of a setting that is a number."""
    kind = _NUMBERS.get(name)
    if kind is None:
        if name in {*_FOR_USERS, *_FOR_PROFILES} and not isinstance(value, str | Path):
            raise ConfigError(f"Invalid {source or name} {_quoted(value)}: expected text.")
        if name == "api_key_from" and (not value.isidentifier() or (looks_like_key(value) and value.upper() != value)):
            known_secrets.add(value)  # it is not quoted: somebody may have written the key itself here
            raise ConfigError(
                f"Invalid {source or name}: expected the name of the environment variable that contains the key, such "
                "as RUNWARE_API_KEY, and not a key. A key in a file is a key that others can read: replace it."
            )
        return value
    try:
        if isinstance(value, bool):
            raise ValueError(value)  # noqa: TRY004 - reported as any other wrong value, below
        return kind(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"Invalid {source or name} {_quoted(value)}: expected a number.") from error


def _quoted(value: object) -> str:
    """Return a value for a message, unless it looks like a key that was given to the wrong setting."""
    text = redact_urls(repr(value))
    return "(not shown, because it looks like a key)" if next(key_like_spans(text), None) is not None else text


def hide_key(values: dict[str, Any]) -> None:
    """Replace a key among keyword arguments by one whose repr does not show it.

    A function that takes a key as text calls this first: a traceback with local variables then does not show the key.
    """
    value = values.get("api_key")
    if isinstance(value, str) and not isinstance(value, HiddenText):
        values["api_key"] = HiddenText(value, "<key from the argument api_key>")


def forget_key(profile: str = "") -> bool:
    """Delete a profile's key from the system's keyring; return whether there was one."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        if keyring.get_password(_KEYRING_SERVICE, profile or "default") is None:
            return False
        keyring.delete_password(_KEYRING_SERVICE, profile or "default")
    except Exception:  # noqa: BLE001 - as in `stored_key`
        return False
    return True


def secrets_of_environment() -> list[str]:
    """Return the keys in the environment, to search for them in what is shared."""
    return [os.environ[name].strip() for name in PROVIDER_VARIABLES if os.environ.get(name, "").strip()]


def remember_secrets() -> None:
    """Add the keys that the environment contains by now to those that are redacted everywhere."""
    for name in PROVIDER_VARIABLES:
        if name in os.environ:
            known_secrets.add(os.environ[name].strip())
    if known_secrets.version:
        filter_logs()


def child_environment() -> dict[str, str]:
    """Return the environment for a child process: what a program needs to run, and no secret.

    It lists what is passed on. Which variables of other programs contain secrets cannot be known.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (name.upper() in _FOR_CHILDREN or name.upper().startswith(_PREFIXES_FOR_CHILDREN))
        and not known_secrets.is_in(value)
    }


_FOR_CHILDREN = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLUMNS", "LINES", "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "TEMP", "TMP", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "FONTCONFIG_PATH", "FONTCONFIG_FILE",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA",
        "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
    }
)  # fmt: skip
_PREFIXES_FOR_CHILDREN = ("LC_", "PYTHON", "XDG_", "CONDA_", "COV_", "COVERAGE_", "OMP_", "OPENBLAS_", "MKL_")
_KEYRING_SERVICE = "runware_nb"


def stored_key(profile: str = "") -> Key | None:
    """Return the key that `login` stored in the system's keyring; None without one, or without the keyring extra.

    Raises:
        ConfigError: The keyring contains an unusable key.
    """
    try:
        import keyring
    except ImportError:
        return None
    try:
        value = keyring.get_password(_KEYRING_SERVICE, profile or "default")
    except Exception:  # noqa: BLE001 - each backend has errors of its own, and some of them quote what they were given
        return None
    value = HiddenText(value, "<key from the keyring>") if value else None
    return Key(value, "the keyring") if value else None


def store_key(key: Key, profile: str = "") -> bool:
    """Store a profile's key in the system's keyring; return whether there is a keyring to store it in."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        keyring.set_password(_KEYRING_SERVICE, profile or "default", key.reveal())
    except Exception:  # noqa: BLE001 - as in `stored_key`
        return False
    return True


def environment_fingerprint(key_variable: str) -> str:
    """Return a text that changes whenever the key or the budget in the environment changes."""
    remember_secrets()
    values = [os.environ.get(name, "").strip() for name in (key_variable, "RUNWARE_NB_BUDGET_USD")]
    return hashlib.sha256("\0".join(values).encode("utf-8", "surrogateescape")).hexdigest()


def jupyter_session_name() -> str | None:
    """Return the notebook's path as JupyterLab passes it to the kernel; outdated after the notebook is renamed."""
    return os.environ.get("JPY_SESSION_NAME")


def notebook_name() -> str | None:
    """Return the name that RUNWARE_NB_NOTEBOOK gives to the notebook, for front ends that pass none to the kernel."""
    return os.environ.get("RUNWARE_NB_NOTEBOOK") or None


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except (ValueError, AttributeError, TypeError):
        # The parser's own message is not used, nor chained: it quotes what stands before the host, such as a password.
        raise ConfigError(f"Invalid {name} {_quoted(url)}: its host or its port cannot be read.") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"Invalid {name} {_quoted(url)}: expected {schemes[0]}:// or {schemes[1]}:// and a host.")
