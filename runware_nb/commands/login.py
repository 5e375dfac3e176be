"""login: give the key at a hidden prompt."""

from __future__ import annotations

import argparse
import getpass
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..settings import Key, store_key
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "give the key at a hidden prompt, and keep it in the keyring if there is one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--forget", action="store_true", help="use it for this session only")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Ask, try, keep."""
    try:
        typed = getpass.getpass("Runware API key (not shown): ")
    except Exception as error:  # EOF in a terminal, StdinNotImplementedError in nbclient
        raise ConfigError("nobody is there to type a key; set RUNWARE_API_KEY instead") from error
    key = Key(typed, "the prompt")
    session.configure(api_key=key)
    transport = session.connect()
    where = "for this session"
    if not options.forget and store_key(key, session.settings.profile):
        where = "and kept in the keyring"
    elif not options.forget:
        where += " only; to keep it: pip install 'runware-nb[keyring]', or set RUNWARE_API_KEY"
    sentence = f"the key works ({transport}); it is used {where}"
    return Answer({"text/plain": sentence}, {"transport": transport, "key": where})
