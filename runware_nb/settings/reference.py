"""The table of settings as text, for `config -h` and for `docs/settings.md`, which a test compares with it."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.provider_secrets import declared_secrets
from .model import GENERATION_DEFAULTS, Place, Setting, other_variables, settings_table
from .packages import declare_provider_secrets

__all__ = ["help_of_settings", "markdown"]

_TYPES = {"str": "text", "Path": "text", "Key": "text", "int": "whole number", "float": "number"}


def help_of_settings() -> str:
    """Return one line for each setting that can be set in the session, with its allowed values."""
    settings = [setting for setting in settings_table().values() if Place.SESSION in setting.places]
    width = max(len(setting.name) for setting in settings)
    lines = [f"  {setting.name.ljust(width)}  {setting.summary.replace('`', '')} ({_allowed(setting)})"
             for setting in settings]  # fmt: skip
    return "\n".join(["settings:", *lines])


def markdown() -> dict[str, str]:
    """Return the parts of the page `docs/settings.md` that follow from the tables, by the name of the part."""
    return {
        "precedence": _precedence(),
        "settings": _settings(),
        "secrets": _secrets(),
        "other variables": _other_variables(),
    }


def _settings() -> str:
    """Return the table of all settings."""
    rows = [
        (f"`{setting.name}`", setting.summary, _allowed(setting), _default(setting),
         f"`{setting.variable}`" if setting.variable else "", _files(setting))
        for setting in settings_table().values()
    ]  # fmt: skip
    return _table(("setting", "what it is", "allowed values", "default", "environment variable", "where"), rows)


def _other_variables() -> str:
    """Return the table of the environment variables that belong to no setting."""
    rows = [(f"`{name}`", text) for name, text in other_variables().items()]
    return _table(("environment variable", "what it is"), rows)


def _secrets() -> str:
    """Return the table of the secrets of all providers."""
    declare_provider_secrets()
    rows = [
        (secret.label, ", ".join(f"`{name}`" for name in secret.variables),
         f"`login {secret.provider}`" if secret.keyring_user else "")
        for secret in declared_secrets.entries
    ]  # fmt: skip
    return _table(("secret", "environment variable", "keyring"), rows)


def _precedence() -> str:
    """Return the sources in descending order of precedence, and the defaults of a generation that a file may set."""
    places = ", ".join(f"*{place.value}*" for place in reversed(Place))
    names = ", ".join(f"`{name}`" for name in GENERATION_DEFAULTS)
    return f"From the highest to the lowest precedence: {places}, default. Files may also set {names}."


def _allowed(setting: Setting) -> str:
    if setting.choices or setting.kind is bool or setting.unit == "USD" or setting.schemes:
        return setting.expected
    if setting.is_url:
        return "a URL"
    if setting.above is None and setting.minimum is None:
        return _TYPES[setting.kind.__name__]
    text = setting.expected.replace("a number", _TYPES[setting.kind.__name__])
    return f"{text}, in {setting.unit}"


def _default(setting: Setting) -> str:
    if setting.default_text:
        return setting.default_text
    if setting.default is None:
        return "none"
    if setting.kind is float or setting.kind is int:
        return f"{setting.default:,.15g}"
    return f"`{str(setting.default).lower() if setting.kind is bool else setting.default}`"


def _files(setting: Setting) -> str:
    """Return the places other than the environment, which has a column of its own."""
    return ", ".join(place.value for place in reversed(Place) if place in setting.places - {Place.ENVIRONMENT})


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
