"""logout: forget the key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.provider_secrets import ProviderSecret
from ..settings import RUNWARE_KEY, forget_key, variable_in_use
from .base import CommandResult
from .login import secrets_named

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "forget the key, in this session and in the keyring"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    # As for `login`: a word that is not the name of a provider may be a key, and is not repeated.
    parser.add_argument("provider", nargs="*", metavar="PROVIDER", help="whose secrets; runware by default")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Forget the key; runs in progress are still collected by the next session with a key.

    Raises:
        MagicUsageError: The line contains anything but the name of a provider, which may be a key.
    """
    secrets = secrets_named(options.provider, "logout")
    if RUNWARE_KEY not in secrets:
        return _forget_others(session, secrets)
    was_stored = forget_key(session.settings.profile)
    session.connection.forget_key()
    sentence = "This session no longer uses the key" + (", and it was deleted from the keyring." if was_stored else ".")
    if session.connection.sandbox is not None:
        sentence += " The sandbox stays in use."
    return CommandResult({"text/plain": sentence}, {"forgotten": True, "was_in_keyring": was_stored})


def _forget_others(session: Session, secrets: Sequence[ProviderSecret]) -> CommandResult:
    """Forget the secrets of another provider, in this session and in the keyring."""
    entered = [session.connection.forget_secret(secret) for secret in secrets]
    deleted = [secret.label for secret in secrets if forget_key(session.settings.profile, secret)]
    labels = " and ".join(secret.label for secret in secrets)
    if deleted:
        sentence = f"Deleted from the keyring: {', '.join(deleted)}."
    elif any(entered):
        sentence = f"This session no longer uses the {labels} that was entered in it."
    else:
        sentence = f"Neither this session nor the keyring contains the {labels}."
    variables = [name for secret in secrets if (name := variable_in_use(secret)) is not None]
    if variables:
        sentence += f" {' and '.join(variables)} in the environment still applies."
    return CommandResult(
        {"text/plain": sentence}, {"forgotten": bool(deleted) or any(entered), "was_in_keyring": bool(deleted)}
    )
