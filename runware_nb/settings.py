"""Settings: frozen values, where they come from, and the only place that reads the environment."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError

__all__ = [
    "Key",
    "Settings",
    "forget_key",
    "jupyter_session_name",
    "load_settings",
    "save_to_project",
    "secrets_of_environment",
    "store_key",
    "stored_key",
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
        cleaned = value.strip()
        if not cleaned:
            raise ConfigError(f"the key from {source} is empty; get one at https://runware.ai/signup")
        if not cleaned.isascii() or not cleaned.isprintable() or " " in cleaned:
            raise ConfigError(f"the key from {source} holds blanks or odd characters; copy it again")
        self._value = cleaned
        self.source = source

    def reveal(self) -> str:
        """Give the key itself, for the two places where the protocol wants it."""
        return self._value

    def __repr__(self) -> str:
        return f"<key from {self.source}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Key, self._value))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ConfigError("a key is never pickled; load it where it is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set.

    Attributes:
        api_key: The key, or None.
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
        max_frame_bytes: Largest WebSocket message accepted, in bytes.
        mode: `live` asks the service; `replay` answers every task from the log, without key or network.
        ask_above_usd: What costs more, in US dollars, is asked about first.
        budget_usd: What may be spent in all with this log, in US dollars; None is no limit.
        display: `html` shows images inside HTML with everything around them; `image` as plain images, for PDF and
            GitHub.
        profile: Name of the profile in use; empty for none.
        defaults: What a generation takes where the line does not say: `model`, `size`, `steps` and the like.
    """

    api_key: Key | None = None
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

    def __post_init__(self) -> None:
        if self.transport not in {"websocket", "rest"}:
            raise ConfigError(f"transport={self.transport!r}: it is websocket or rest")
        for name, schemes in (("rest_url", ("http", "https")), ("ws_url", ("ws", "wss"))):
            _check_url(name, getattr(self, name), schemes)
        if self.schemas_url:
            _check_url("schemas_url", self.schemas_url, ("http", "https"))
        for name in ("timeout_s", "connect_timeout_s", "ping_s", "max_in_flight", "max_frame_bytes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)!r}: it must be above 0")
        if self.mode not in {"live", "replay"}:
            raise ConfigError(f"mode={self.mode!r}: it is live or replay")
        if self.display not in {"html", "image"}:
            raise ConfigError(f"display={self.display!r}: it is html, or image for PDF export and GitHub")
        for name in ("ask_above_usd", "budget_usd"):
            amount = getattr(self, name)
            if amount is not None and not 0 <= amount < _MOST_USD:
                raise ConfigError(f"{name}={amount!r}: it is an amount in US dollars, 0 or more")
        if self.max_retries < 0:
            raise ConfigError(f"max_retries={self.max_retries}: it is 0 (none) or more")

    def with_values(self, **values: Any) -> Settings:
        """Return a copy with some values replaced; None means "not given".

        Raises:
            ConfigError: A name is unknown or a value is wrong.
        """
        given = {name: value for name, value in values.items() if value is not None}
        unknown = sorted(given.keys() - {each.name for each in fields(self)})
        if unknown:
            raise ConfigError(f"unknown setting {unknown[0]!r}")
        if isinstance(given.get("api_key"), str):
            given["api_key"] = Key(given["api_key"], "the argument api_key")
        return replace(self, **{name: _of_right_type(name, value) for name, value in given.items()})

    def require_key(self) -> Key:
        """Give the key, or say how to get one in.

        Raises:
            ConfigError: There is none.
        """
        if self.api_key is None:
            raise ConfigError(
                "no API key: set RUNWARE_API_KEY, or run `%runware login` (hidden prompt), "
                "or try without one: `%runware sandbox`"
            )
        return self.api_key

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine, as the sandbox is."""
        return urlsplit(self.rest_url).hostname in {"localhost", "127.0.0.1", "::1"}

    @property
    def service(self) -> str:
        """Who answers, for the log: `runware`, or `sandbox` for a service on this machine."""
        return "sandbox" if self.is_local else "runware"


_MOST_USD = 1e9
_NUMBERS: Mapping[str, type] = {
    "max_in_flight": int, "max_retries": int, "timeout_s": float, "connect_timeout_s": float, "ping_s": float,
    "max_frame_bytes": int, "ask_above_usd": float, "budget_usd": float,
}  # fmt: skip
_FOR_PROJECTS = frozenset({"mode", "transport", "max_in_flight", "max_retries", "timeout_s", "display"})
"""What a project's own file may set: it came with a repository, so neither addresses nor limits of money."""
_FOR_USERS = frozenset({"rest_url", "ws_url", "schemas_url", "log_url", "media_url", *_NUMBERS, *_FOR_PROJECTS})
_DEFAULTS: Mapping[str, tuple[type, ...]] = {
    "model": (str,), "size": (str,), "number_results": (int,), "seed": (int,), "steps": (int,), "cfg": (int, float),
    "scheduler": (str,), "negative": (str,), "format": (str,), "acceleration": (str,), "strength": (int, float),
    "tag": (list, str),
}  # fmt: skip
"""What a generation can take by default; spelled as the options of a cell."""
_FOR_PROFILES = frozenset({"api_key_from", "home"})
"""What only a profile may set besides: the variable that holds its key, and its folder."""
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


def load_settings(
    environ: Mapping[str, str] | None = None, *, cwd: Path | None = None, profile: str | None = None
) -> Settings:
    """Read the settings of this process: environment over project files, profile, user file and default.

    The project's files are `config.toml` in the home folder and `[tool.runware-nb]` of the nearest `pyproject.toml`,
    the user's is `~/.config/runware_nb/config.toml`, with a table `[profiles.NAME]` for each profile.

    Args:
        environ: Taken for the environment; `os.environ` when None.
        cwd: Taken for the working directory, which holds `.runware` unless RUNWARE_NB_HOME says else.
        profile: Name of the profile; RUNWARE_NB_PROFILE when None.

    Raises:
        ConfigError: A value makes no sense; the message names the variable or the file.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or Path.cwd()
    profile = environ.get("RUNWARE_NB_PROFILE", "") if profile is None else profile
    values, mine = _read_user_file(user_file(environ), profile)
    home = cwd / Path(environ.get("RUNWARE_NB_HOME") or mine.pop("home", "") or ".runware").expanduser()
    defaults: dict[str, Any] = {**values.pop("defaults", {}), **mine.pop("defaults", {})}
    variable = mine.pop("api_key_from", None)
    values |= mine
    for read in (_read_pyproject(cwd), _read_file(home / "config.toml", _FOR_PROJECTS)):
        defaults |= read.pop("defaults", {})
        values |= read
    for variable_name, name in _ENVIRONMENT.items():
        if environ.get(variable_name):
            values[name] = _of_right_type(name, environ[variable_name], said=variable_name)
    if values.get("schemas_url", "").lower() == "off":
        values["schemas_url"] = ""
    values |= {"home": home, "profile": profile, "defaults": defaults}
    source = variable or "RUNWARE_API_KEY"  # a profile that names its own pays with no other
    if environ.get(source, "").strip():
        values["api_key"] = Key(environ[source], source)
    return Settings(**values)


def _read_user_file(path: Path, profile: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what the user's file sets for all, and for one profile.

    Raises:
        ConfigError: There is no such profile.
    """
    tables = _parse(path)
    profiles = tables.pop("profiles", {})
    mine: dict[str, Any] = {}
    if profile:
        if not isinstance(profiles, dict) or not isinstance(profiles.get(profile), dict):
            there = ", ".join(profiles) if isinstance(profiles, dict) and profiles else "there are none yet"
            raise ConfigError(f"no profile {profile!r} in {path}: it is a table [profiles.{profile}]; {there}")
        mine = _checked(profiles[profile], {*_FOR_USERS, *_FOR_PROFILES}, f"[profiles.{profile}] in {path}")
    return _checked(tables, _FOR_USERS, str(path)), mine


def _read_pyproject(cwd: Path) -> dict[str, Any]:
    """Give what the nearest `pyproject.toml` says in `[tool.runware-nb]`; nothing where there is none."""
    for folder in (cwd, *cwd.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            tool = _parse(path).get("tool", {})
            table = tool.get("runware-nb", {}) if isinstance(tool, dict) else {}
            return _checked(table, _FOR_PROJECTS, f"[tool.runware-nb] in {path}") if isinstance(table, dict) else {}
    return {}


def user_file(environ: Mapping[str, str]) -> Path:
    """Give the path of the user's own settings."""
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "runware_nb" / "config.toml"


def save_to_project(home: Path, values: Mapping[str, Any]) -> Path:
    """Write settings into a project's own file, beside what stands there.

    Raises:
        ConfigError: A name may not stand there, or the file cannot be written.
    """
    path = home / "config.toml"
    for name in values:
        if name not in _FOR_PROJECTS:
            raise ConfigError(f"{name} is not saved with a project; set it in {user_file(os.environ)} instead")
    kept = {**_read_file(path, _FOR_PROJECTS), **values}
    kept |= kept.pop("defaults", {})
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in kept.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _read_file(path: Path, allowed: Iterable[str]) -> dict[str, Any]:
    """Read a settings file; without one there are none."""
    return _checked(_parse(path), allowed, str(path))


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _checked(table: Mapping[str, Any], allowed: Iterable[str], where: str) -> dict[str, Any]:
    """Sort a table into settings and defaults of a generation, each of its own kind."""
    made: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, value in table.items():
        if name in _DEFAULTS:
            if not isinstance(value, _DEFAULTS[name]) or isinstance(value, bool):
                kinds = " or ".join(kind.__name__ for kind in _DEFAULTS[name])
                raise ConfigError(f"{name} in {where}={value!r}: it is {kinds}")
            defaults[name] = value
        elif name not in allowed:
            there = ", ".join(sorted({*allowed, *_DEFAULTS}))
            raise ConfigError(f"{where} sets {name}; it may set {there}")
        else:
            made[name] = _of_right_type(name, value, said=f"{name} in {where}")
    return {**made, "defaults": defaults} if defaults else made


def _of_right_type(name: str, value: Any, *, said: str = "") -> Any:
    """Turn a text into the number that a setting is."""
    kind = _NUMBERS.get(name)
    if kind is None:
        if name in {*_FOR_USERS, *_FOR_PROFILES} and not isinstance(value, str):
            raise ConfigError(f"{said or name}={value!r}: it is a text")
        return value
    try:
        if isinstance(value, bool):
            raise ValueError(value)  # noqa: TRY004 - told as any other wrong value, below
        return kind(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{said or name}={value!r}: it is a number") from error


def forget_key(profile: str = "") -> bool:
    """Take a profile's key out of the system's keyring; False where there was none."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return False
    try:
        if keyring.get_password(_KEYRING_SERVICE, profile or "default") is None:
            return False
        keyring.delete_password(_KEYRING_SERVICE, profile or "default")
    except KeyringError:
        return False
    return True


def secrets_of_environment() -> list[str]:
    """Give the keys that this process was started with, to look for them in what is shared."""
    return [os.environ[name].strip() for name in _KEY_VARIABLES if os.environ.get(name, "").strip()]


_KEY_VARIABLES = ("RUNWARE_API_KEY", "RUNKEY_API_KEY", "RUNKEY_WEBHOOK_SECRET", "USEAPI_TOKEN")
_KEYRING_SERVICE = "runware_nb"


def stored_key(profile: str = "") -> Key | None:
    """Find the key that `login` put into the system's keyring; None without one, or without the keyring extra."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        value = keyring.get_password(_KEYRING_SERVICE, profile or "default")
    except KeyringError:
        return None
    return Key(value, "the keyring") if value else None


def store_key(key: Key, profile: str = "") -> bool:
    """Put a profile's key into the system's keyring; False where there is none to put it into."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return False
    try:
        keyring.set_password(_KEYRING_SERVICE, profile or "default", key.reveal())
    except KeyringError:
        return False
    return True


def jupyter_session_name() -> str | None:
    """Give the notebook's path as JupyterLab hands it to the kernel; stale after a rename."""
    return os.environ.get("JPY_SESSION_NAME")


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{name}={url!r}: {error}") from error
    if parts.scheme not in schemes or not parts.hostname:
        raise ConfigError(f"{name}={url!r}: it starts with {schemes[0]}:// or {schemes[1]}:// and names a host")
