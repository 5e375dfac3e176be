"""login: enter the key at a hidden prompt."""

from __future__ import annotations

import argparse
import getpass
from typing import TYPE_CHECKING

from ..errors import AuthenticationFailed, ConfigError, MagicUsageError, RunwareNBError
from ..loop import background_loop, wait
from ..settings import Key, store_key
from ..wire.redact import HiddenText, show_url
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "enter the key at a hidden prompt, check it, and store it in the keyring if there is one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", nargs="*", help=argparse.SUPPRESS)  # refused, without repeating it
    parser.add_argument("--forget", action="store_true", help="use the key for this session only")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Read the key, leave the sandbox, and use the key unless the service refuses it.

    Only a key that the service has accepted is stored in the keyring. A key that could not be checked is used for this
    session, because its first task will be refused at no cost if it is wrong.

    Raises:
        MagicUsageError: The line contains a key.
        ConfigError: No key can be entered here, or the key is unusable.
        AuthenticationFailed: The service refused the key. The session keeps the key that it had.
    """
    if options.key:
        raise MagicUsageError(
            "`login` does not accept a key on its line, because lines are saved and shared. Nothing was sent "
            "or stored. Delete the key from the line, and enter it at the hidden prompt of `login`. If the notebook or "
            "the history of a shell was shared, replace the key."
        )
    try:
        typed = HiddenText(getpass.getpass("Runware API key (not shown): "), "<key from the prompt>")
    except Exception as error:  # EOF in a terminal, StdinNotImplementedError in nbclient
        raise ConfigError("This session cannot ask for the key. Set RUNWARE_API_KEY instead.") from error
    key = Key(typed, "the prompt")
    if session.settings.mode == "replay":
        return _unchecked(session, key, ConfigError("replay mode sends nothing"))
    session.leave_sandbox()  # before anything is sent: the sandbox must not get a real key
    try:
        transport = wait(background_loop().submit(session.verify_key(key)))
    except AuthenticationFailed:
        raise
    except RunwareNBError as error:
        return _unchecked(session, key, error)
    session.configure(api_key=key)
    where = "in this session"
    if not options.forget and store_key(key, session.settings.profile):
        where += " and stored in the keyring"
    elif not options.forget:
        where += " only. To store it: pip install 'runware-nb[keyring]', or set RUNWARE_API_KEY"
    host = show_url(session.settings.rest_url if transport == "rest" else session.settings.ws_url)
    sentence = f"{host} accepted the key ({transport}). It is used {where}."
    return Answer({"text/plain": sentence}, {"is_checked": True, "transport": transport, "key": where},
                  tuple(session.take_notices()))  # fmt: skip


def _unchecked(session: Session, key: Key, error: RunwareNBError) -> Answer:
    """Use a key that the service has neither accepted nor refused."""
    session.configure(api_key=key)
    reason = str(error).rstrip(".")
    sentence = (
        f"The key was not checked: {reason}. It is used in this session and was not stored. "
        "Run `connect` to check it, and `login` again to store it."
    )
    written = {"is_checked": False, "transport": None, "key": "in this session", "reason": str(error)}
    return Answer({"text/plain": sentence}, written, tuple(session.take_notices()), is_failure=True)
