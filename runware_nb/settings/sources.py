"""Where settings come from: environment, files and profiles, and their precedence."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..printable import printable
from .environment import current_folder, user_file
from .model import (
    GENERATION_DEFAULTS,
    SETTINGS,
    Place,
    SettingProblem,
    Settings,
    as_fields,
    other_variables,
    parse_setting,
    quoted,
    settings_for,
    settings_table,
    without_problems,
)
from .packages import declare_provider_secrets
from .secrets import Key, remember_secrets

__all__ = ["load_settings", "save_to_project"]

_READ_FIRST = frozenset({"home", "profile"})
"""Settings that decide which files are read."""


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
    declare_provider_secrets()
    remember_secrets()
    # The environment is in no local variable: a traceback that shows variables would show every key in it.
    reader = _Reader(os.environ if environ is None else environ, cwd or current_folder())
    settings = reader.read(profile)
    known = {*_variables(), *other_variables()}
    for name in reader.variables:
        if name.startswith("RUNWARE_NB_") and name not in known:
            _report_unknown(name)
    if strict and settings.problems:
        raise ConfigError(settings.problems[0].sentence)
    return settings


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
        profile = self._environ.get(SETTINGS["profile"].variable, "") if profile is None else profile
        profile_home = self._read_user_file(profile)
        home = self._home(self._environ.get(SETTINGS["home"].variable) or profile_home or str(SETTINGS["home"].default))
        self._read_pyproject()
        self._read_table(home / "config.toml", settings_for(Place.PROJECT))
        for variable, name in _variables().items():
            if name not in _READ_FIRST and self._environ.get(variable):
                self._set(name, self._environ[variable], variable)
        self._read_key()
        return Settings(**as_fields(self._values), home=home, profile=profile, defaults=self._defaults,
                        problems=tuple(self._problems))  # fmt: skip

    def _read_user_file(self, profile: str) -> str:
        """Read what the user's file sets for all and for one profile, and return the profile's folder."""
        path = user_file(self._environ)
        everything = frozenset({*settings_for(Place.USER), *GENERATION_DEFAULTS})
        if profile:  # a profile may name another key and another folder: without it, both are unknown
            everything |= settings_for(Place.PROFILE) | {"api_key"}
        tables = self._parse(path, everything)
        profiles = tables.pop("profiles", {})
        self._apply(tables, settings_for(Place.USER), str(path))
        if not profile or self._problems:
            return ""
        if not isinstance(profiles, dict) or not isinstance(profiles.get(profile), dict):
            known = ", ".join(profiles) if isinstance(profiles, dict) and profiles else "none"
            self._report(
                f"Cannot find the profile {quoted(profile)}: {path} has no table [profiles.{profile}]. "
                f"Known profiles: {known}.",
                everything,
            )
            return ""
        self._apply(profiles[profile], settings_for(Place.PROFILE), f"[profiles.{profile}] in {path}")
        return str(self._values.pop("home", ""))

    def _home(self, text: str) -> Path:
        """Return the folder of the log. Where a problem is reported instead, the path is only a placeholder."""
        try:
            home = Path(text).expanduser()
        except RuntimeError as error:  # no such user, or no home folder
            self._report(
                f"Invalid home {quoted(text)}: {str(error).rstrip('.')}. Set RUNWARE_NB_HOME to a folder. "
                "Nothing was sent.",
                {"home"},
            )
            home = Path(".runware")
        if "\x00" in text:
            self._report(f"Invalid home {quoted(text)}: a path contains no NUL character.", {"home"})
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
                tool = self._parse(path, frozenset({*settings_for(Place.PROJECT), *GENERATION_DEFAULTS})).get(
                    "tool", {}
                )
                table = tool.get("runware-nb", {}) if isinstance(tool, dict) else {}
                if isinstance(table, dict):
                    self._apply(table, settings_for(Place.PROJECT), f"[tool.runware-nb] in {path}")
                return

    def _read_table(self, path: Path, allowed: Collection[str]) -> None:
        self._apply(self._parse(path, frozenset({*allowed, *GENERATION_DEFAULTS})), allowed, str(path))

    def _read_key(self) -> None:
        variable = self._values.get(
            "api_key_from", SETTINGS["api_key_from"].default
        )  # a profile's key is used, or no key at all
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
                is_allowed = name in allowed or name in GENERATION_DEFAULTS
                self._report(str(error), {name if is_allowed else f"{name} in {where}"})
                continue
            self._defaults |= defaults
            for setting, known in values.items():
                self._set(setting, known, f"{setting} in {where}")

    def _set(self, name: str, value: Any, source: str) -> None:
        try:
            typed = settings_table()[name].checked(parse_setting(name, value, source=source))
        except ConfigError as error:
            sentence = str(error)
            self._report(sentence if source in sentence else f"{source}: {sentence}", {name})
        else:
            self._values[name] = typed
            self._problems = without_problems(self._problems, {name})

    def _report(self, sentence: str, names: Iterable[str]) -> None:
        self._problems.append(SettingProblem(sentence, frozenset(names)))


@cache
def _variables() -> Mapping[str, str]:
    """Return the name of the setting that each environment variable sets. The key is read by `_read_key`."""
    return {
        setting.variable: name
        for name, setting in settings_table().items()
        if setting.variable and setting.kind is not Key
    }


@cache
def _report_unknown(name: str) -> None:
    """Report an unknown environment variable; the cache makes it once per process."""
    import difflib

    known = (*_variables(), *other_variables())
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}?" if near else f"Known variables: {', '.join(known)}."
    sentence = printable(f"The environment variable {name} is unknown and has no effect. {hint}")
    logging.getLogger("runware_nb").warning("%s", sentence)


def save_to_project(home: Path, values: Mapping[str, Any]) -> Path:
    """Write settings into a project's file, next to what it already contains.

    Raises:
        ConfigError: A project's file may not set this name, or the file cannot be read or written.
    """
    path = home / "config.toml"
    for name in values:
        if name not in settings_for(Place.PROJECT):
            raise ConfigError(f"{name} cannot be saved with a project. Set it in {user_file(os.environ)} instead.")
    saved: dict[str, Any] = {}
    for name, value in _parse(path).items():
        known, defaults = _checked(name, value, settings_for(Place.PROJECT), str(path))
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
    if name in GENERATION_DEFAULTS:
        if not isinstance(value, GENERATION_DEFAULTS[name]) or isinstance(value, bool):
            types = " or ".join(kind.__name__ for kind in GENERATION_DEFAULTS[name])
            raise ConfigError(f"Invalid {name} {quoted(value)} in {where}: expected {types}.")
        return {}, {name: value}
    if name not in allowed:
        raise ConfigError(
            f"{where} sets {name}; it may set only {', '.join(sorted({*allowed, *GENERATION_DEFAULTS}))}."
        )
    return {name: parse_setting(name, value, source=f"{name} in {where}")}, {}
