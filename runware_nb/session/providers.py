"""The services of a session: which are in use, and the provider of each."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..errors import ConfigError
from ..forking import disconnect, make_lock, restart_after_fork
from ..loop import background_loop, wait
from ..providers.registry import packages as registered_packages
from ..providers.runware.provider import RunwareProvider
from ..providers.webhook import CallbackBoard
from ..remedies import CHANGE_SERVICE, Remedy, command
from ..reprs import short_repr
from ..settings import Key, Settings

if TYPE_CHECKING:
    from ..providers.base import Provider, ProviderContext
    from ..providers.package import ProviderPackage
    from ..providers.runware.client import Client
    from ..providers.runware.planner import Planner
    from .connection import ServiceConnection
    from .local_sandbox import LocalSandbox

__all__ = ["Providers"]

_CLOSE_S = 8.0
"""Longest wait for all providers to close. A provider waits up to 5 s for its submissions in flight."""


class Providers:
    """Builds the provider of each service on first use. It can be used from any thread.

    Args:
        connection: Runware's connection, and the settings.
        planner: What is known about Runware's models.
        packages: What the providers declare; None for all that are registered.
        board: What callbacks are posted to; None for a board of this process.
        callback_url: Returns the URL of the receiver of callbacks for a service, which may be on this machine.

    Attributes:
        packages: What the providers declare.
    """

    def __init__(
        self,
        connection: ServiceConnection,
        planner: Planner,
        packages: Sequence[ProviderPackage] | None = None,
        board: CallbackBoard | None = None,
        callback_url: Callable[[str, bool], str | None] = lambda _service, _is_local: None,
    ) -> None:
        self._connection = connection
        self._planner = planner
        self._board = CallbackBoard() if board is None else board
        self._callback_url = callback_url
        self.packages = registered_packages() if packages is None else tuple(packages)
        for package in self.packages:
            declared_secrets.declare_of_provider(package.name, package.secrets)
        self._built: dict[str, tuple[_Context, Provider]] = {}
        self._all: list[Provider] = []
        self._told: dict[str, bool] = {}
        self._lock = make_lock()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Build new providers after a fork: connections belong to the parent."""
        disconnect((), self._built, self._all)
        self._built, self._all = {}, []

    @property
    def settings(self) -> Settings:
        """The settings that apply now."""
        return self._connection.settings

    def provider(self, service: str = "") -> Provider:
        """Return the provider of a service. See `Ports.provider`."""
        own = self.settings.service
        if service in {"", own}:
            connection = self._connection
            client = functools.partial(self._client_of, own)
            return RunwareProvider(own, self._planner, client, lambda: connection.uploaded_hashes)
        for package in self.packages:
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
        for package in self.packages:
            if package.build is not None and service in package.services:
                # One provider that cannot be built, such as for want of a key, must not stop what concerns the others.
                with contextlib.suppress(ConfigError, ImportError):
                    return self._provider_of(package).name == service
        return False

    def require_key(self, service: str = "") -> None:
        """Check that tasks can be sent to a service. See `Ports.require_key`."""
        provider = self.provider(service)
        if isinstance(provider, RunwareProvider):
            self._connection.require_key()
        else:
            self._connection.check_live()
            self._connection.check_sandbox()
            provider.require_key()

    def notify(self, sentence: str) -> None:
        """Keep a sentence of a provider until the next output; the same sentence is shown once in a session."""
        self._told.setdefault(sentence, False)

    def take_notices(self) -> list[str]:
        """Return the sentences of providers that were not shown yet. See `Ports.take_notices`."""
        taken = [sentence for sentence, was_told in list(self._told.items()) if not was_told]
        self._told.update(dict.fromkeys(taken, True))
        return taken

    def _client_of(self, service: str) -> Client:
        """Return Runware's client, unless another service has taken its place since a run was submitted.

        A run of the sandbox that had to wait would otherwise be sent to the real service, and be charged there.

        Raises:
            ConfigError: The service has changed, or there is no key.
        """
        if self.settings.service != service:
            raise ConfigError(f"The service {service!r} is not in use any more. Nothing was sent.").with_remedy(
                CHANGE_SERVICE
            )
        return self._connection.open_client()

    def _provider_of(self, package: ProviderPackage) -> Provider:
        """Return the provider for the settings, the sandbox and the secrets that apply now.

        Runs in flight keep the one that they began with. A provider whose key was replaced or forgotten is not used
        for anything new: its tasks would be charged to the account of the earlier key.
        """
        assert package.build is not None
        with self._lock:
            built = self._built.get(package.name)
            if built is not None and built[0].is_current():
                return built[1]
            context = self._context(package.secrets)
            provider = package.build(context)
            self._built[package.name] = context, provider
            self._all.append(provider)
            return provider

    def check_key(self, key: Key) -> None:
        """Ask the service of a key whether it accepts the key, with a provider that is used for nothing else.

        What is sent meanwhile, by a queue or another thread, is sent with the key in use.

        Raises:
            AuthenticationFailed: The service refused it.
            ConfigError: Its provider cannot be asked.
            TransportError: The service cannot be reached.
        """
        name = key.secret.provider
        package = next((package for package in self.packages if package.name == name), None)
        if package is None or package.build is None:
            raise ConfigError(f"The service {name!r} is not in use. Nothing was sent.").with_remedy(CHANGE_SERVICE)
        context = self._context(package.secrets)
        if context.sandbox is not None:  # it would be asked in place of the service, with its own key
            raise ConfigError("The sandbox is in use, and no key is checked there.")
        context.keys[key.secret] = key
        provider = package.build(context)
        try:
            wait(background_loop().submit(provider.account()))
        finally:
            _close_all([provider])

    def context(self) -> ProviderContext:
        """Return what a provider is built from, for the settings, the sandbox and the secrets that apply now."""
        return self._context(())

    def _context(self, secrets: Sequence[ProviderSecret]) -> _Context:
        settings, sandbox = self._connection.in_use()
        context = _Context(settings, self._connection, sandbox, self.notify, self._board, self._callback_url)
        for secret in secrets if sandbox is None else ():
            context.remember(secret)
        return context

    def close(self) -> None:
        """Close the connections of all providers except Runware's. Tasks go on at the services.

        A provider waits for the submissions in flight, so that the ids of the tasks that were accepted are known, and
        can be written to the log before it closes.
        """
        providers, self._all, self._built = self._all, [], {}
        _close_all(providers)


def _close_all(providers: Sequence[Provider]) -> None:
    """Close providers, all at the same time and within a time limit."""

    async def close() -> None:
        closing = [asyncio.ensure_future(provider.aclose()) for provider in providers]
        done, _ = await asyncio.wait(closing, timeout=_CLOSE_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # retrieved: a connection that cannot be closed is none of the user's concern

    if providers:
        with contextlib.suppress(Exception):
            wait(background_loop().submit(close()), timeout_s=_CLOSE_S + 1.0)


@short_repr("settings")
@dataclass(frozen=True, slots=True)
class _Context:
    """What a provider is built from. See `ProviderContext`.

    Attributes:
        settings: The settings that apply.
        connection: Has the secrets that were entered in this session.
        sandbox: The sandbox that the settings point to; None for the real services. It stays that of the time when the
            provider was built: a run that is in flight when the user leaves the sandbox must not get a real key.
        tell: Keeps a sentence for the next output.
        board: What wakes the waits for tasks.
        receiver_url: Returns the URL of the receiver of callbacks for a service, which may be on this machine.
        hashes: Hash of each secret of the provider when it was built, or read later; None for one that was unknown.
        keys: The secrets that the provider was given. It keeps them: a run in flight must not change its account.
    """

    settings: Settings
    connection: ServiceConnection
    sandbox: LocalSandbox | None
    tell: Callable[[str], None]
    board: CallbackBoard
    receiver_url: Callable[[str, bool], str | None]
    hashes: dict[ProviderSecret, str | None] = field(default_factory=dict)
    keys: dict[ProviderSecret, Key] = field(default_factory=dict)

    def is_current(self) -> bool:
        """Return whether the settings, the sandbox and the secrets still apply."""
        settings, sandbox = self.connection.in_use()
        if sandbox is not self.sandbox or settings != self.settings:
            return False
        return all(self.connection.secret_in_short(secret) == known for secret, known in self.hashes.items())

    def remember(self, secret: ProviderSecret) -> None:
        """Keep a secret as it is now, as far as the keyring need not be read for it."""
        known = self.hashes[secret] = self.connection.secret_in_short(secret)
        if known is not None:
            with contextlib.suppress(ConfigError):  # unusable: reported when it is needed
                key = self.connection.secret(secret)
                if key is not None:
                    self.keys[secret] = key

    def callback_url(self, service: str, *, is_local: bool) -> str | None:
        """Return the URL on which callbacks are received now. See `ProviderContext.callback_url`."""
        return self.receiver_url(service, is_local)

    def key(self, secret: ProviderSecret) -> Key:
        """Return a secret. See `ProviderContext.key`.

        Raises:
            ConfigError: There is none.
        """
        if self.sandbox is not None:
            key = self.sandbox.secret(secret)
            if key is None:
                raise ConfigError(f"The sandbox in use has no {secret.label}. Nothing was sent.")
            return key
        key = self.keys.get(secret)
        if key is None:
            key = self.connection.secret(secret)
            if key is not None:
                self.keys[secret] = key
                if secret in self.hashes:  # it was in the keyring, or in a variable that was set since
                    self.hashes[secret] = self.connection.secret_in_short(secret)
        if key is None:
            missing = ConfigError(f"No {secret.label}. Set {secret.variable}. Nothing was sent.")
            if secret.keyring_user:
                missing.with_remedy(Remedy("{0} asks for it.", (command("login", secret.provider),)))
            raise missing
        return key

    def notify(self, sentence: str) -> None:
        """Tell the user something with the next output."""
        self.tell(sentence)
