"""The services of a session: which are in use, and the provider of each."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..errors import ConfigError
from ..forking import disconnect, make_lock, restart_after_fork
from ..loop import background_loop, wait
from ..providers.registry import packages as registered_packages
from ..providers.runware.provider import RunwareProvider
from ..remedies import CHANGE_SERVICE
from ..settings import Key, Settings, find_key

if TYPE_CHECKING:
    from ..providers.base import Provider
    from ..providers.package import ProviderPackage
    from ..providers.runware.planner import Planner
    from .connection import ServiceConnection

__all__ = ["Providers"]


class Providers:
    """Builds the provider of each service on first use. It can be used from any thread.

    Args:
        connection: Runware's connection, and the settings.
        planner: What is known about Runware's models.
        packages: What the providers declare; None for all that are registered.
    """

    def __init__(
        self, connection: ServiceConnection, planner: Planner, packages: Sequence[ProviderPackage] | None = None
    ) -> None:
        self._connection = connection
        self._planner = planner
        self._packages = registered_packages() if packages is None else tuple(packages)
        for package in self._packages:
            declared_secrets.declare_of_provider(package.name, package.secrets)
        self._built: dict[str, Provider] = {}
        self._lock = make_lock()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Build new providers after a fork: connections belong to the parent."""
        disconnect((), self._built)
        self._built = {}

    @property
    def settings(self) -> Settings:
        """The settings that apply now. See `ProviderContext`."""
        return self._connection.settings

    def key(self, secret: ProviderSecret) -> Key:
        """Return a secret from the environment, else from the keyring. See `ProviderContext`.

        Raises:
            ConfigError: There is none.
        """
        key = find_key(secret, self.settings.profile)
        if key is None:
            raise ConfigError(f"No {secret.label}. Set {secret.variable}. Nothing was sent.")
        return key

    def notify(self, sentence: str) -> None:
        """Tell the user something with the next output. See `ProviderContext`."""
        self._connection.notify(sentence)

    def provider(self, service: str = "") -> Provider:
        """Return the provider of a service. See `Ports.provider`."""
        own = self.settings.service
        if service in {"", own}:
            return RunwareProvider(own, self._planner, self._connection.open_client)
        for package in self._packages:
            if package.build is not None and service in {package.name, *package.services}:
                provider = self._provider_of(package)
                if service in {package.name, provider.name}:
                    return provider
                own = provider.name
        raise ConfigError(f"The service {service!r} is not in use, and {own!r} is. Nothing was sent.").with_remedy(
            CHANGE_SERVICE
        )

    def serves(self, service: str) -> bool:
        """Return whether a run of this service can be continued here. See `Ports.serves`."""
        if service == self.settings.service:
            return True
        packages = [package for package in self._packages if package.build is not None and service in package.services]
        return any(self._provider_of(package).name == service for package in packages)

    def require_key(self, service: str = "") -> None:
        """Check that tasks can be sent to a service. See `Ports.require_key`."""
        provider = self.provider(service)
        if isinstance(provider, RunwareProvider):
            self._connection.require_key()
        else:
            self._connection.check_live()
            provider.require_key()

    def _provider_of(self, package: ProviderPackage) -> Provider:
        assert package.build is not None
        with self._lock:
            provider = self._built.get(package.name)
            if provider is None:
                provider = self._built[package.name] = package.build(self)
            return provider

    def close(self) -> None:
        """Close the connections of all providers except Runware's. Tasks go on at the services."""
        built, self._built = self._built, {}
        for provider in built.values():
            with contextlib.suppress(Exception):
                wait(background_loop().submit(provider.aclose()), timeout_s=2.0)
