"""login: enter the key at a hidden prompt."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..core.redaction import HiddenText, show_url
from ..errors import AuthenticationFailed, ConfigError, MagicUsageError, RunwareNBError
from ..loop import background_loop, wait
from ..settings import RUNWARE_KEY, Key, store_key
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "enter the key at a hidden prompt, check it, and store it in the keyring if there is one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    # Anything but the name of a provider is taken for a key and refused, without repeating it.
    parser.add_argument("provider", nargs="*", metavar="PROVIDER", help="whose secrets; runware by default")
    parser.add_argument("--forget", action="store_true", help="use the key for this session only")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Read the key, leave the sandbox, and use the key unless the service refuses it.

    Only a key that the service has accepted is stored in the keyring. A key that could not be checked is used for this
    session, because its first task will be refused at no cost if it is wrong.

    Raises:
        MagicUsageError: The line contains anything but the name of a provider, which may be a key.
        ConfigError: No key can be entered here, or the key is unusable.
        AuthenticationFailed: The service refused the key. The session keeps the key that it had.
    """
    secrets = secrets_named(options.provider, "login")
    if RUNWARE_KEY not in secrets:
        return _store_others(session, secrets, forget=options.forget)
    key = _ask_for(RUNWARE_KEY)
    if session.settings.mode == "replay":
        return _unchecked(session, key, ConfigError("replay mode sends nothing"))
    session.connection.leave_sandbox()  # before anything is sent: the sandbox must not get a real key
    try:
        transport = wait(background_loop().submit(session.connection.verify_key(key)))
    except AuthenticationFailed:
        raise
    except RunwareNBError as error:
        return _unchecked(session, key, error)
    session.configure(api_key=key)
    where = "in this session"
    if not options.forget and store_key(key, session.settings.profile):
        where += " and stored in the keyring"
    elif not options.forget:
        where += f" only. To store it: pip install 'runware-nb[keyring]', or set {RUNWARE_KEY.variable}"
    host = show_url(session.settings.rest_url if transport == "rest" else session.settings.ws_url)
    sentence = f"{host} accepted the key ({transport}). It is used {where}."
    return CommandResult(
        {"text/plain": sentence},
        {"is_checked": True, "transport": transport, "key": where},
        tuple(session.connection.take_notices()),
    )


def _unchecked(session: Session, key: Key, error: RunwareNBError) -> CommandResult:
    """Use a key that the service has neither accepted nor refused."""
    session.configure(api_key=key)
    reason = session.front_end.message(error).rstrip(".")
    sentence = (
        f"The key was not checked: {reason}. It is used in this session and was not stored. "
        "Run `connect` to check it, and `login` again to store it."
    )
    written = {"is_checked": False, "transport": None, "key": "in this session", "reason": error.problem}
    return CommandResult({"text/plain": sentence}, written, tuple(session.connection.take_notices()), is_failure=True)


def secrets_named(words: Sequence[str], command: str) -> tuple[ProviderSecret, ...]:
    """Return the secrets of the provider that a line names, or those of Runware if it names none.

    Raises:
        MagicUsageError: It is not the name of a provider. The message does not repeat the word: it may be a key.
    """
    secrets = declared_secrets.for_login(words[0] if words else RUNWARE_KEY.provider) if len(words) <= 1 else ()
    if not secrets:
        raise MagicUsageError(
            f"`{command}` does not accept a key on its line, because lines are saved and shared. Nothing was sent "
            "or stored. Delete the key from the line, and enter it at the hidden prompt of `login`. If the notebook or "
            "the history of a shell was shared, replace the key. The only word that can follow is the name of a "
            f"provider: {', '.join(declared_secrets.login_names)}."
        )
    return secrets


def _ask_for(secret: ProviderSecret) -> Key:
    """Ask for a secret at a hidden prompt.

    Raises:
        ConfigError: This session cannot ask, or the secret is unusable.
    """
    try:
        typed = HiddenText(getpass.getpass(f"{secret.label} (not shown): "), f"<{secret.shown} from the prompt>")
    except Exception as error:  # EOF in a terminal, StdinNotImplementedError in nbclient
        raise ConfigError(f"This session cannot ask for the {secret.shown}. Set {secret.variable} instead.") from error
    return Key(typed, "the prompt", secret)


def _store_others(session: Session, secrets: Sequence[ProviderSecret], *, forget: bool) -> CommandResult:
    """Ask for the secrets of a provider that this session does not use itself, and store them in the keyring.

    Raises:
        ConfigError: There is no keyring, this session cannot ask, or a secret is unusable.
    """
    if forget:
        raise ConfigError(
            f"This session does not use a {secrets[0].label} itself, so `--forget` would have no effect. "
            f"Nothing was stored. Set {secrets[0].variable}, or leave `--forget` out."
        )
    keys = [_ask_for(secret) for secret in secrets]  # all are asked for before the first is stored
    for key in keys:
        if not store_key(key, session.settings.profile):
            raise ConfigError(
                f"There is no keyring to store the {key.secret.label} in. Install one with "
                f"pip install 'runware-nb[keyring]', or set {key.secret.variable}. Nothing was sent."
            )
    labels = " and ".join(key.secret.label for key in keys)
    sentence = f"The {labels} was stored in the keyring. It was not checked."
    written = {"is_checked": False, "transport": None, "key": "in the keyring", "provider": secrets[0].provider}
    return CommandResult({"text/plain": sentence}, written)
