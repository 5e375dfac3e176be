"""Settings: frozen values, where they come from, and the only place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError

__all__ = ["Key", "Settings", "jupyter_session_name", "load_settings", "store_key", "stored_key"]

REST_URL = "https://api.runware.ai/v1"
WS_URL = "wss://ws-api.runware.ai/v1"
SCHEMAS_URL = "https://schemas.runware.ai"


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
        return replace(self, **given)

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


_ENVIRONMENT = {
    "RUNWARE_NB_REST_URL": "rest_url",
    "RUNWARE_NB_WS_URL": "ws_url",
    "RUNWARE_NB_SCHEMAS_URL": "schemas_url",
    "RUNWARE_NB_TRANSPORT": "transport",
    "RUNWARE_NB_LOG_URL": "log_url",
    "RUNWARE_NB_MEDIA_URL": "media_url",
}


def load_settings(environ: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> Settings:
    """Read the settings of this process: environment over default.

    Args:
        environ: Taken for the environment; `os.environ` when None.
        cwd: Taken for the working directory, which holds `.runware` unless RUNWARE_NB_HOME says else.

    Raises:
        ConfigError: A variable has a value that makes no sense; the message names it.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {
        name: environ[variable] for variable, name in _ENVIRONMENT.items() if environ.get(variable)
    }
    if values.get("schemas_url", "").lower() == "off":
        values["schemas_url"] = ""
    values["home"] = (cwd or Path.cwd()) / Path(environ.get("RUNWARE_NB_HOME") or ".runware").expanduser()
    if environ.get("RUNWARE_API_KEY", "").strip():
        values["api_key"] = Key(environ["RUNWARE_API_KEY"], "RUNWARE_API_KEY")
    budget = environ.get("RUNWARE_NB_BUDGET_USD")
    if budget:
        raise ConfigError(
            f"RUNWARE_NB_BUDGET_USD={budget!r}: this version keeps no budgets, and will not spend as if it did; "
            "unset it to go on without one"
        )
    media = environ.get("RUNWARE_NB_MEDIA_URL", "")
    if "://" in media:
        raise ConfigError(f"RUNWARE_NB_MEDIA_URL={media!r}: this version keeps media in local folders only")
    return Settings(**values)


_KEYRING_SERVICE = "runware_nb"


def stored_key() -> Key | None:
    """Find the key that `login` put into the system's keyring; None without one, or without the keyring extra."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        value = keyring.get_password(_KEYRING_SERVICE, "default")
    except KeyringError:
        return None
    return Key(value, "the keyring") if value else None


def store_key(key: Key) -> bool:
    """Put the key into the system's keyring; False where there is none to put it into."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return False
    try:
        keyring.set_password(_KEYRING_SERVICE, "default", key.reveal())
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
