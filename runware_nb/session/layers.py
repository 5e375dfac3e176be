"""The settings of a session, from sources of different precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..settings import Key, Settings, current_folder, environment_fingerprint, load_settings, stored_key

__all__ = ["SERVICE_SETTINGS", "SettingLayers"]

SERVICE_SETTINGS = frozenset({"api_key", "rest_url", "ws_url", "schemas_url"})
"""The settings that name a service and the key for it. They belong together: a key is sent to its own service only."""


class SettingLayers:
    """Three layers: what was loaded, over it what the user set in this session, over it the sandbox in use.

    Args:
        settings: The lowest layer as an argument; None loads it from environment and files, and follows the key in
            the environment.
        folder: The working directory at first use, which contains `.runware` by default.

    Attributes:
        effective: The settings that apply.
    """

    def __init__(self, settings: Settings | None, folder: Path | None) -> None:
        self._follows_environment = settings is None
        self._folder = folder or current_folder()
        self._profile: str | None = None
        self._loaded = settings or self._load()
        self._given: dict[str, Any] = {}
        self._sandbox: Mapping[str, Any] = {}
        self._fingerprint = environment_fingerprint(self._loaded.api_key_from)
        self._is_key_forgotten = False
        self._forgotten_key: Key | None = None
        self.effective = self._loaded

    def set(self, values: Mapping[str, Any]) -> None:
        """Set values for this session; they take precedence over environment and files.

        Raises:
            ConfigError: A name is unknown or a value is invalid. Nothing has changed.
        """
        self.effective = self._combine({**self._given, **values})
        self._given |= values
        if "api_key" in values:
            self._is_key_forgotten = False

    def use_sandbox(self, values: Mapping[str, Any]) -> None:
        """Replace the URLs and the key of the service by those of a sandbox."""
        self._sandbox = values
        self.effective = self._combine(self._given)

    @property
    def of_sandbox(self) -> frozenset[str]:
        """The settings that a sandbox in use decides, of all providers."""
        return frozenset(self._sandbox)

    def leave_sandbox(self) -> None:
        """Return to the URLs and the key that applied before the sandbox."""
        self._sandbox = {}
        self.effective = self._combine(self._given)

    @property
    def rest_url_before_sandbox(self) -> str:
        """The REST URL of the service that the sandbox stands in for."""
        return self._loaded.with_values(**self._given).rest_url

    def use_profile(self, name: str) -> None:
        """Load the settings of a profile in place of everything else; an empty name means no profile.

        Raises:
            ConfigError: There is no such profile, or a value is invalid. Nothing has changed.
        """
        self._loaded = load_settings(profile=name, cwd=self._folder)
        self._profile, self._given, self._sandbox = name, {}, {}
        self._follows_environment = True
        self._fingerprint = environment_fingerprint(self._loaded.api_key_from)
        self._is_key_forgotten = False
        self.effective = self._loaded

    def is_outdated(self) -> bool:
        """Return whether the environment has another key or budget by now, or may have a key where there is none yet.

        A key may appear late: from `os.environ`, `%env` or `load_dotenv()`. A budget ends with its variable.
        """
        if not self._follows_environment:
            return False
        may_have_key = not (self._loaded.api_key or self._is_key_forgotten or "api_key" in self._given or self._sandbox)
        return may_have_key or environment_fingerprint(self._loaded.api_key_from) != self._fingerprint

    def follow_environment(self) -> None:
        """Load the settings again.

        A key that the user gave in this session takes precedence, and the sandbox has its own. The home folder stays
        as it was at first use.
        """
        self._loaded = replace(self._load(), home=self._loaded.home)
        self._fingerprint = environment_fingerprint(self._loaded.api_key_from)
        if self._is_key_forgotten and self._loaded.api_key == self._forgotten_key:
            self._loaded = replace(self._loaded, api_key=None)  # another variable changed: logout stays in force
        else:
            self._is_key_forgotten = False
        self.effective = self._combine(self._given)

    def look_into_keyring(self) -> None:
        """Read the key from the system's keyring if no other source has one.

        Raises:
            ConfigError: The keyring contains an unusable key.
        """
        if self.effective.api_key is None and not any("api_key" in each.names for each in self.effective.problems):
            self._loaded = self._loaded.with_values(api_key=stored_key(self.effective.profile))
            self.effective = self._combine(self._given)

    def forget_key(self) -> None:
        """Continue without the key of the service; the environment's key is used again once it changes."""
        self._given.pop("api_key", None)
        self._forgotten_key = self._loaded.api_key
        self._loaded = replace(self._loaded, api_key=None)
        self._fingerprint = environment_fingerprint(self._loaded.api_key_from)
        self._is_key_forgotten = True
        self.effective = self._combine(self._given)

    def _load(self) -> Settings:
        return load_settings(cwd=self._folder, profile=self._profile, strict=False)

    def _combine(self, given: Mapping[str, Any]) -> Settings:
        return self._loaded.with_values(**given).with_values(**self._sandbox)
