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
        return _login_other(session, secrets, forget=options.forget)
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
    return Key(_prompt(secret, " (not shown): "), "the prompt", secret)


def _prompt(secret: ProviderSecret, question: str) -> HiddenText:
    try:
        return HiddenText(getpass.getpass(secret.label + question), f"<{secret.shown} from the prompt>")
    except Exception as error:  # EOF in a terminal, StdinNotImplementedError in nbclient
        raise ConfigError(f"This session cannot ask for the {secret.shown}. Set {secret.variable} instead.") from error


def _login_other(session: Session, secrets: Sequence[ProviderSecret], *, forget: bool) -> CommandResult:
    """Ask for the secrets of another provider, use them in this session, and store them in the keyring.

    The first one is checked with a request that costs nothing. The others, such as that of webhooks, are optional. A
    key that could not be checked is not stored.

    Raises:
        AuthenticationFailed: The service refused it. The session uses what it used before.
        ConfigError: This session cannot ask, or a secret is unusable.
    """
    main, *others = secrets
    keys = [_ask_for(main)]  # all are asked for before anything changes
    keys += [key for secret in others if (key := _ask_for_optional(secret)) is not None]
    session.connection.leave_sandbox()  # before anything is sent: the sandbox must not get a real key
    reason = _check(session, keys[0])
    for key in keys:
        session.connection.enter_secret(key)
    labels = " and ".join(key.secret.label for key in keys)
    verb = "is" if len(keys) == 1 else "are"
    stored = [store_key(key, session.settings.profile) for key in keys] if reason is None and not forget else [False]
    where = "in this session" + (" and stored in the keyring" if all(stored) else " only")
    sentence = f"The {labels} {verb} used {where}."
    if reason is None:
        sentence = f"The service accepted the {main.label}. {sentence}"
        if not all(stored) and not forget:
            sentence += f" To store it: pip install 'runware-nb[keyring]', or set {main.variable}."
    else:
        sentence += f" It was not checked: {reason.rstrip('.')}."
    written = {"is_checked": reason is None, "provider": main.provider, "key": where}
    notes = tuple(session.connection.take_notices())
    return CommandResult({"text/plain": sentence}, written, notes, is_failure=reason is not None)


def _check(session: Session, key: Key) -> str | None:
    """Ask the service whether it accepts a key; return why it could not be asked, or None if it accepted the key.

    Raises:
        AuthenticationFailed: The service refused it. The session uses what it used before.
    """
    if session.settings.mode == "replay":
        return "replay mode sends nothing"
    try:
        session.providers.check_key(key)
    except AuthenticationFailed:
        raise
    except RunwareNBError as error:
        return session.front_end.message(error)
    return None


def _ask_for_optional(secret: ProviderSecret) -> Key | None:
    """Ask for a secret that may be left out; return None for an empty line.

    Raises:
        ConfigError: This session cannot ask, or the secret is unusable.
    """
    typed = _prompt(secret, " (not shown; empty to skip): ")
    return Key(typed, "the prompt", secret) if typed.strip() else None
