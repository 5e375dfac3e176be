"""The declaration of a provider's secret, and the secrets that are declared in this process.

A provider declares each of its secrets once. Redaction, the search for keys in what is shared, the keyring, `login` and
`logout` follow from the declaration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..reprs import short_repr

__all__ = ["DeclaredSecrets", "ProviderSecret", "declared_secrets"]


@short_repr()
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProviderSecret:
    """A secret of a provider, such as its API key.

    Attributes:
        provider: Name of the provider, as in `login NAME`.
        label: What the secret is called in prompts and messages, such as `Runware API key`.
        variables: Environment variables whose values are this secret. The first one is named in messages.
        shown: What the repr shows in place of the value: `key` is shown as `<key from ...>`.
        shape: Regular expression that matches this secret and no ordinary word; empty if it has no shape of its own.
            The general shape of keys is found without it.
        keyring_service: Service in the system's keyring.
        keyring_user: User in the system's keyring, where `{profile}` is the profile in use or `default`. If empty,
            the secret is read from the environment only, and `login` does not ask for it.
        get_it_at: URL where a user gets one; empty if there is none.
        asked_by: Words of the command that asks for it at a hidden prompt, if it is not `login`.
    """

    provider: str
    label: str
    variables: tuple[str, ...]
    shown: str = "key"
    shape: str = ""
    keyring_service: str = "runware_nb"
    keyring_user: str = ""
    get_it_at: str = ""
    asked_by: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that messages name."""
        return self.variables[0]

    def keyring_name(self, profile: str) -> tuple[str, str]:
        """Return the service and the user under which the keyring stores the secret of a profile."""
        return self.keyring_service, self.keyring_user.format(profile=profile or "default")


class DeclaredSecrets:
    """The secrets of all providers that this process knows, whether a provider is in use or not.

    Attributes:
        entries: The declarations, in order of declaration.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: tuple[ProviderSecret, ...] = ()

    def declare(self, *secrets: ProviderSecret) -> None:
        """Add declarations.

        Raises:
            ValueError: A variable or an entry of the keyring belongs to another declaration, or a shape is not a
                regular expression.
        """
        for secret in secrets:
            if secret in self.entries:
                continue
            if secret.shape:
                try:
                    re.compile(secret.shape)
                except re.error as error:
                    raise ValueError(f"Invalid shape of the {secret.label}: {error}.") from error
            for other in self.entries:
                common = set(secret.variables) & set(other.variables)
                if common:
                    raise ValueError(f"Invalid {secret.label}: {min(common)} is a variable of the {other.label}.")
                if secret.keyring_user and secret.keyring_name("") == other.keyring_name(""):
                    raise ValueError(f"Invalid {secret.label}: the keyring stores the {other.label} under its name.")
            self.entries = (*self.entries, secret)  # replaced, because other threads iterate over it

    def declare_of_provider(self, provider: str, secrets: tuple[ProviderSecret, ...]) -> None:
        """Declare all secrets of a provider, in place of those that were declared for it before, and in their order.

        Raises:
            ValueError: See `declare`. The secrets that were declared before remain.
        """
        before = self.entries
        if set(secrets) == {secret for secret in before if secret.provider == provider}:
            return
        place = next((number for number, secret in enumerate(before) if secret.provider == provider), len(before))
        after = [secret for secret in before[place:] if secret.provider != provider]
        DeclaredSecrets().declare(*before[:place], *after, *secrets)  # raises before anything has changed
        self.entries = (
            *before[:place],
            *secrets,
            *after,
        )  # in one step: another thread never sees the provider without its secrets

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables whose values are secrets."""
        return tuple(name for secret in self.entries for name in secret.variables)

    def for_login(self, provider: str) -> tuple[ProviderSecret, ...]:
        """Return the secrets of a provider that `login` asks for; an unknown provider has none."""
        return tuple(secret for secret in self.entries if secret.provider == provider and secret.keyring_user)

    @property
    def login_names(self) -> tuple[str, ...]:
        """The providers that `login` has a secret to ask for."""
        return tuple(dict.fromkeys(secret.provider for secret in self.entries if secret.keyring_user))


declared_secrets = DeclaredSecrets()
"""Those of this process. They belong to no session: a log or a bundle may contain a secret of any provider."""
