"""logout: forget the key."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..settings import forget_key
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "forget the key, in this session and in the keyring"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def run(session: Session, options: argparse.Namespace) -> Answer:  # noqa: ARG001 - commands share one signature
    """Forget the key; runs in progress are still collected by the next session with a key."""
    was_stored = forget_key(session.settings.profile)
    session.forget_key()
    sentence = "This session no longer uses the key" + (", and it was deleted from the keyring." if was_stored else ".")
    if session.sandbox is not None:
        sentence += " The sandbox stays in use."
    return Answer({"text/plain": sentence}, {"forgotten": True, "was_in_keyring": was_stored})
