"""The connection of a session to its service: settings, key, client, and the sandbox in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.provider_secrets import ProviderSecret
from ..core.redaction import show_url
from ..engine.jobs import Job
from ..errors import ConfigError, TransportError
from ..forking import disconnect, make_lock, restart_after_fork
from ..loading import load
from ..loop import background_loop, wait
from ..remedies import LEAVE_REPLAY, RESUME, Remedy, command
from ..settings import Key, Settings, find_key, hash_of_secret, hash_of_variable, hide_key, variable_in_use
from .layers import SERVICE_SETTINGS, SettingLayers
from .local_sandbox import LocalSandbox, check_listening

if TYPE_CHECKING:
    from ..providers.runware.client import Client

__all__ = ["ServiceConnection"]


class ServiceConnection:
    """The settings in use, and the client that is built from them on first use. It can be used from any thread.

    Args:
        settings: The settings of the session; None loads them from environment and files.
        folder: The working directory at first use, which contains `.runware` by default.
        running_jobs: Returns the jobs in progress: a client that is replaced stays open for them.
        on_change: Called with the settings before and after a change, while no other change can happen.

    Attributes:
        settings: The settings that apply.
    """

    def __init__(
        self,
        settings: Settings | None,
        folder: Path | None,
        *,
        running_jobs: Callable[[], list[Job]],
        on_change: Callable[[Settings, Settings], None],
    ) -> None:
        self._layers = SettingLayers(settings, folder)
        self.settings = self._layers.effective
        self._running_jobs = running_jobs
        self._on_change = on_change
        self._sandbox: LocalSandbox | None = None
        self._client: Client | None = None
        self._notices: list[str] = []
        self._entered: dict[ProviderSecret, Key] = {}
        self._of_keyring: dict[tuple[str, ProviderSecret], Key] = {}
        """What the keyring contained, by profile and secret. Reading it takes long, and it may ask the user."""
        self._lock = make_lock()
        """Guards settings, sandbox and client: only ever held to look and to assign, never during I/O."""
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start without a connection after a fork: the parent's belongs to the parent."""
        disconnect((), self._client)
        self._client = None

    def connect(self, **values: Any) -> str:
        """Connect now, with other settings if given.

        Args:
            **values: Any of `Settings`, such as `api_key`, `rest_url`, `transport`.

        Returns:
            The transport in use.

        Raises:
            ConfigError: No key, or a value that makes no sense.
            TransportError: The service cannot be reached.
            AuthenticationFailed: The key is refused.
        """
        hide_key(values)
        self.configure(**values)
        self.require_key()
        return wait(background_loop().submit(self._connect()))

    def configure(self, **values: Any) -> None:
        """Change settings; the next task uses them, tasks in flight keep theirs.

        A key or a URL of a service ends the use of the sandbox: neither is mixed with those of the sandbox.

        Raises:
            ConfigError: A name is unknown or a value is invalid.
        """
        hide_key(values)
        given = {name: value for name, value in values.items() if value is not None}
        self.settings.with_values(**given)  # raises before anything has changed
        if given.keys() & (SERVICE_SETTINGS | self._layers.of_sandbox):
            self.leave_sandbox()
        self._change(lambda: self._layers.set(given))

    def use_profile(self, name: str) -> None:
        """Use the settings of a profile of the user's file: key, budget, folder and the rest; an empty name for none.

        Raises:
            ConfigError: There is no such profile, or a value is invalid.
        """
        with self._lock:
            sandbox, client = self._swap(lambda: self._layers.use_profile(name), None)
        if sandbox is not None:
            self._stop(sandbox, client)
        elif client is not None:
            background_loop().submit(_close_when_idle(client, self._running_jobs()))

    def _change(self, action: Callable[[], object]) -> None:
        """Change the layers of settings, and use what applies then; what two threads change at once is all changed."""
        with self._lock:
            _, client = self._swap(action, self._sandbox)
        if client is not None:
            background_loop().submit(_close_when_idle(client, self._running_jobs()))

    def _swap(
        self, action: Callable[[], object], sandbox: LocalSandbox | None
    ) -> tuple[LocalSandbox | None, Client | None]:
        """Change the layers of settings and the sandbox in one step, under the lock; return what is no longer in use.

        Between two steps, another thread would see the URLs of the sandbox without the sandbox, and send the real key
        there, or send the sandbox's key to the real service.

        Args:
            action: Changes the layers. If it raises, nothing has changed.
            sandbox: The sandbox that is used from then on; None for none.

        Returns:
            The sandbox that was used before, and the client that was replaced; None if there is none.
        """
        action()
        old, self._sandbox = self._sandbox, sandbox
        settings, before = self._layers.effective, self.settings
        if settings == before and old is sandbox:
            return old, None
        self.settings = settings
        client, self._client = self._client, None
        if settings != before:
            self._on_change(before, settings)
        return old, client

    def in_use(self) -> tuple[Settings, LocalSandbox | None]:
        """Return the settings that apply now, and the sandbox that they point to; None for the real services."""
        with self._lock:
            return self.settings, self._sandbox

    def follow_environment(self) -> None:
        """Use a key or a budget that the environment has by now, or no longer has."""
        if self._layers.is_outdated():
            self._change(self._layers.follow_environment)

    async def verify_key(self, key: Key) -> str:
        """Ask the service whether it accepts a key, over a connection of its own. On the background loop only.

        Returns:
            The transport over which it was accepted.

        Raises:
            AuthenticationFailed: The service refused it.
            TransportError: The service cannot be reached.
            ConfigError: A part of the settings could not be read, so the service is unknown.
        """
        from ..providers.runware.client import Client

        client = Client(settings=self.settings.with_values(api_key=key), on_notice=self._notices.append)
        try:
            return await client.verify_key()
        finally:
            await client.aclose()

    @property
    def sandbox(self) -> LocalSandbox | None:
        """The sandbox that this session started and uses; it may have ended."""
        return self._sandbox

    def use_sandbox(self, arguments: Sequence[str] = ()) -> LocalSandbox:
        """Start a local sandbox and use it in place of the service. One that runs already is replaced.

        Raises:
            ConfigError: It did not start. The previous service is in use again.
        """
        self.settings.check("home")
        self.leave_sandbox(tells=False)  # it holds the folder of its state, and maybe the port
        home = self.settings.home
        sandbox = LocalSandbox(arguments, state_dir=home / "sandbox", on_end=self._on_sandbox_ended)
        values = sandbox.values
        with self._lock:
            replaced, client = self._swap(lambda: self._layers.use_sandbox(values), sandbox)
        if replaced is not None:  # another thread has started one at the same time
            self._stop(replaced, client, tells=False)
        elif client is not None:
            background_loop().submit(_close_when_idle(client, self._running_jobs()))
        return sandbox

    def leave_sandbox(self, *, tells: bool = True) -> bool:
        """Stop the sandbox if this session uses one, and return to the service that was in use before.

        Unfinished runs of the sandbox stay in the log. They can be collected once it runs again: it keeps its state.

        Args:
            tells: Whether a notice is left for the user.

        Returns:
            Whether a sandbox was in use.
        """
        with self._lock:
            if self._sandbox is None:
                return False
            sandbox, client = self._swap(self._layers.leave_sandbox, None)
        assert sandbox is not None
        self._stop(sandbox, client, tells=tells)
        return True

    def _stop(self, sandbox: LocalSandbox, client: Client | None, *, tells: bool = True) -> None:
        """Stop a sandbox that is no longer in use, and end what waits for it."""
        if client is not None:  # waiting for a service that ends would only take its full time
            wait(background_loop().submit(client.aclose(_sandbox_ended("was stopped"))))
        sandbox.stop()
        if tells:
            self._notices.append(f"The sandbox was stopped. The service is {show_url(self.settings.rest_url)} again.")

    def _on_sandbox_ended(self, sandbox: LocalSandbox) -> None:
        """End what waits for a sandbox that crashed or was killed. Called on a thread."""
        with self._lock:
            if self._sandbox is not sandbox:
                return
            client, self._client = self._client, None
        if client is not None:
            background_loop().submit(client.aclose(_sandbox_ended(f"has ended ({sandbox.end})")))

    def check_sandbox(self) -> None:
        """Raise at once if the sandbox in use has ended: a client would try to connect for many seconds.

        Raises:
            TransportError: It has ended.
        """
        if self._sandbox is not None and not self._sandbox.is_running:
            before = show_url(self._layers.rest_url_before_sandbox)
            raise TransportError(
                f"The sandbox has ended ({self._sandbox.end}). Without it, the service is {before}. Nothing was sent.",
                may_have_arrived=False,
            ).with_remedy(
                Remedy(
                    "Start it again with {0}, or return to the service with {1}.",
                    (command("sandbox"), command("sandbox", stop=True)),
                )
            )

    def _check_local(self) -> None:
        """Raise at once if nothing listens at the URL of a local service any more, as in `check_sandbox`.

        Raises:
            TransportError: The connection is refused.
        """
        if self.settings.is_local and self._client is not None and self._client.is_lost:
            check_listening(self.settings.ws_url if self.settings.transport == "websocket" else self.settings.rest_url)

    @property
    def is_connected(self) -> bool:
        """Whether a client has been made."""
        return self._client is not None

    def open_client(self) -> Client:
        """Return the client for what is sent now, built on first use.

        Raises:
            ConfigError: There is no key.
        """
        return self._make_client()

    def client(self) -> Client:
        """The client, for utilities that need no log."""
        self.follow_environment()
        return self._make_client()

    def require_key(self) -> Key:
        """Return the key, from the keyring if the environment has none. Call it before something is sent.

        Raises:
            ConfigError: There is no key, replay mode sends nothing, or a part of the settings could not be read.
            TransportError: The local sandbox has ended.
        """
        self.check_live()
        self.check_sandbox()
        self._check_local()
        if self.settings.api_key is None:
            self._layers.look_into_keyring()  # without the lock: the keyring may ask the user
            self._change(lambda: None)
        return self.settings.require_key()

    def check_live(self) -> None:
        """Check that anything may be sent, to whichever service.

        Raises:
            ConfigError: Replay mode sends nothing, or a part of the settings could not be read.
        """
        self.follow_environment()
        if self.settings.mode == "replay":
            raise ConfigError("Replay mode answers all requests from the log and sends nothing.").with_remedy(
                LEAVE_REPLAY
            )
        if self.settings.problems:
            raise ConfigError(self.settings.problems[0].sentence)

    def secret(self, secret: ProviderSecret) -> Key | None:
        """Return a secret of a provider: one that was entered in this session, else that of environment or keyring.

        Raises:
            ConfigError: It is unusable.
        """
        profile = self.settings.profile
        entered = self._entered.get(secret)
        if entered is not None:
            return entered
        if variable_in_use(secret) is None and (profile, secret) in self._of_keyring:
            return self._of_keyring[profile, secret]
        key = find_key(secret, profile)
        if key is not None and variable_in_use(secret) is None:
            self._of_keyring[profile, secret] = key
        return key

    def secret_in_short(self, secret: ProviderSecret) -> str | None:
        """Return a hash of the secret that `secret` would return now, to notice a change; None if none is known.

        This is quick: the keyring is not read. What it contained when it was read last counts, until the secret is
        forgotten. An unusable value has a hash too.
        """
        entered = self._entered.get(secret)
        if entered is not None:
            return hash_of_secret(entered.reveal())
        of_variable = hash_of_variable(secret)
        if of_variable is not None:
            return of_variable
        stored = self._of_keyring.get((self.settings.profile, secret))
        return None if stored is None else hash_of_secret(stored.reveal())

    def enter_secret(self, key: Key) -> None:
        """Use a secret of a provider in this session, in place of that of environment and keyring."""
        self._entered[key.secret] = key

    def forget_secret(self, secret: ProviderSecret) -> bool:
        """Stop using a secret that was entered in this session; return whether there was one.

        The keyring is read again when the secret is needed next.
        """
        for known in [known for known in self._of_keyring if known[1] is secret]:
            self._of_keyring.pop(known, None)
        return self._entered.pop(secret, None) is not None

    def forget_key(self) -> None:
        """Continue without the key of the service; tasks in flight keep theirs, and the sandbox keeps its own."""
        self._change(self._layers.forget_key)

    @property
    def uploaded_hashes(self) -> Mapping[str, str]:
        """SHA-256 of media uploaded by this session, by the UUID the service gave them."""
        return self._client.media_hashes if self._client is not None else {}

    def _make_client(self) -> Client:
        client = self._client
        if client is not None:
            return client
        self.require_key()  # before the lock: a keyring may have to be asked
        load("providers.runware.client")
        from ..providers.runware.client import Client

        with self._lock:
            if self._client is None:
                self._client = Client(settings=self.settings, on_notice=self._notices.append)
            return self._client

    async def _connect(self) -> str:
        return await self._make_client().verify_key()

    def take_notices(self) -> list[str]:
        """Give what a user should know, once."""
        taken, self._notices = self._notices, []
        return taken

    def close(self) -> None:
        """Close the client. Runs that were sent continue, and the next session can collect them."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            wait(background_loop().submit(client.aclose()), timeout_s=2.0)

    def stop_sandbox(self) -> None:
        """Stop the sandbox if this session uses one.

        It stays the sandbox in use, because the settings still point to it: what a run in flight asks for must not be a
        real key.
        """
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.stop()


def _sandbox_ended(how: str) -> TransportError:
    return TransportError(f"The sandbox {how}. Unfinished runs stay in the log.").with_remedy(
        Remedy("To collect them, run {0}, then {1}.", (command("sandbox"), RESUME))
    )


async def _close_when_idle(client: Client, jobs: list[Job]) -> None:
    """Close a client that was replaced, once the jobs that use it are done."""
    while any(not job.is_done for job in jobs):  # noqa: ASYNC110 - jobs end on threads as well
        await asyncio.sleep(0.2)
    await client.aclose()
