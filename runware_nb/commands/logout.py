"""logout: forget the key."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.provider_secrets import ProviderSecret
from ..settings import RUNWARE_KEY, forget_key
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
    """Delete the secrets of a provider that this session does not use itself."""
    deleted = [secret.label for secret in secrets if forget_key(session.settings.profile, secret)]
    if deleted:
        sentence = f"Deleted from the keyring: {', '.join(deleted)}."
    else:
        sentence = f"The keyring contains no {' and no '.join(secret.label for secret in secrets)}."
    return CommandResult({"text/plain": sentence}, {"forgotten": bool(deleted), "was_in_keyring": bool(deleted)})
