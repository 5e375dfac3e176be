"""Secrets: the declarations, keys that do not show themselves, and the system's keyring."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from ..core.log_filter import filter_logs
from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..core.redaction import HiddenText, known_secrets
from ..errors import ConfigError

__all__ = [
    "RUNWARE_KEY",
    "Key",
    "find_key",
    "forget_key",
    "hash_of_secret",
    "hash_of_variable",
    "hide_key",
    "is_set_variable",
    "key_of_variable",
    "remember_secrets",
    "secrets_of_environment",
    "store_key",
    "stored_key",
    "stored_keys",
    "variable_in_use",
]

RUNWARE_KEY = ProviderSecret(
    provider="runware",
    label="Runware API key",
    variables=("RUNWARE_API_KEY",),
    keyring_user="{profile}",
    get_it_at="https://runware.ai/signup",
)
"""The secret that the settings `api_key` and `api_key_from` are about."""

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

declared_secrets.declare(
    RUNWARE_KEY,
    # The packages of these providers are not written yet. Their secrets are declared already, because users have them.
    # `declare_provider_secrets` replaces them by what a package declares, once it is registered.
    ProviderSecret(provider="runkey", label="RunKey.ai API key", variables=("RUNKEY_API_KEY",)),
    ProviderSecret(
        provider="runkey", label="RunKey.ai webhook secret", variables=("RUNKEY_WEBHOOK_SECRET",), shown="secret"
    ),
    ProviderSecret(provider="useapi", label="useapi.net token", variables=("USEAPI_TOKEN",), shown="token"),
)


class Key:
    """A secret that does not show itself: not in a repr, not in a traceback, not in a pickle.

    Args:
        value: The key.
        source: Where it came from, in words, such as `RUNWARE_API_KEY`.
        secret: Which secret it is; the Runware API key by default.

    Raises:
        ConfigError: It is empty, or contains blanks or characters that cannot be sent in a header.
    """

    __slots__ = ("_value", "secret", "source")

    def __init__(self, value: str, source: str, secret: ProviderSecret = RUNWARE_KEY) -> None:
        self.source = source
        self.secret = secret
        value = HiddenText(value.strip(), repr(self))  # a traceback may show the variables of this frame
        if not value:
            remedy = f"Get a {secret.shown} at {secret.get_it_at}." if secret.get_it_at else f"Set {secret.variable}."
            raise ConfigError(f"The {secret.shown} from {source} is empty. {remedy}")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                f"The {secret.shown} from {source} contains blanks, control characters or characters outside ASCII. "
                "Copy it again."
            )
        self._value = value
        known_secrets.add(str(value))
        filter_logs()

    def reveal(self) -> str:
        """Return the key itself, for the places where a protocol requires it. Its repr does not show it."""
        return self._value

    def __repr__(self) -> str:
        return f"<{self.secret.shown} from {self.source}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Key, self._value))

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ConfigError("a key is never pickled; load it where it is needed")


def hide_key(values: dict[str, Any]) -> None:
    """Replace a key among keyword arguments by one whose repr does not show it.

    A function that takes a key as text calls this first: a traceback with local variables then does not show the key.
    """
    value = values.get("api_key")
    if isinstance(value, str) and not isinstance(value, HiddenText):
        values["api_key"] = HiddenText(value, "<key from the argument api_key>")


def secrets_of_environment() -> list[str]:
    """Return the values of all declared secrets in the environment, to search for them in what is shared."""
    return [os.environ[name].strip() for name in declared_secrets.variables if os.environ.get(name, "").strip()]


def remember_secrets() -> None:
    """Add the secrets that the environment contains by now to those that are redacted everywhere."""
    for name in declared_secrets.variables:
        if name in os.environ:
            known_secrets.add(os.environ[name].strip())
    if known_secrets.version:
        filter_logs()


def stored_key(profile: str = "", secret: ProviderSecret = RUNWARE_KEY) -> Key | None:
    """Return the key that `login` stored in the system's keyring; None without one, or without the keyring extra.

    Raises:
        ConfigError: The keyring contains an unusable key.
    """
    try:
        import keyring
    except ImportError:
        return None
    try:
        value = keyring.get_password(*secret.keyring_name(profile))
    except Exception:  # noqa: BLE001 - each backend has errors of its own, and some of them quote what they were given
        return None
    value = HiddenText(value, f"<{secret.shown} from the keyring>") if value else None
    return Key(value, "the keyring", secret) if value else None


def variable_in_use(secret: ProviderSecret) -> str | None:
    """Return the first environment variable that contains a secret; None if none does."""
    return next((name for name in secret.variables if os.environ.get(name, "").strip()), None)


def hash_of_secret(value: str) -> str:
    """Return the SHA-256 of a secret, by which a change is noticed without keeping the secret."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def hash_of_variable(secret: ProviderSecret) -> str | None:
    """Return the hash of a secret in the environment, also of an unusable one; None if no variable contains it."""
    variable = variable_in_use(secret)
    return None if variable is None else hash_of_secret(os.environ[variable].strip())


def find_key(secret: ProviderSecret, profile: str = "") -> Key | None:
    """Return a secret from the first of its variables that is set, else from the keyring; None without one.

    Raises:
        ConfigError: It is unusable.
    """
    variable = variable_in_use(secret)
    if variable is not None:
        return Key(os.environ[variable], variable, secret)
    return stored_key(profile, secret) if secret.keyring_user else None


def is_set_variable(name: str) -> bool:
    """Return whether a word is the name of an environment variable that is set."""
    return bool(_VARIABLE_NAME.fullmatch(name)) and name in os.environ


def key_of_variable(variable: str) -> Key | None:
    """Return the webhook secret in an environment variable whose name the user chose; None if it is not set.

    Raises:
        ConfigError: It is unusable.
    """
    if not is_set_variable(variable) or not os.environ[variable].strip():
        return None
    return Key(os.environ[variable], variable, ProviderSecret(
        provider="", label="webhook secret", variables=(variable,), shown="secret"
    ))  # fmt: skip


def stored_keys(profile: str = "") -> list[Key]:
    """Return the keys of all providers that `login` stored for a profile.

    Raises:
        ConfigError: The keyring contains an unusable key.
    """
    keys = (stored_key(profile, secret) for secret in declared_secrets.entries if secret.keyring_user)
    return [key for key in keys if key is not None]


def store_key(key: Key, profile: str = "") -> bool:
    """Store a profile's key in the system's keyring; return whether there is a keyring to store it in."""
    try:
        import keyring
    except ImportError:
        return False
    try:
        keyring.set_password(*key.secret.keyring_name(profile), key.reveal())
    except Exception:  # noqa: BLE001 - as in `stored_key`
        return False
    return True


def forget_key(profile: str = "", secret: ProviderSecret = RUNWARE_KEY) -> bool:
    """Delete a profile's key from the system's keyring; return whether there was one."""
    try:
        import keyring
    except ImportError:
        return False
    service, user = secret.keyring_name(profile)
    try:
        if keyring.get_password(service, user) is None:
            return False
        keyring.delete_password(service, user)
    except Exception:  # noqa: BLE001 - as in `stored_key`
        return False
    return True
