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
    """Forget it; runs that are on their way are still collected by the next session with a key."""
    was_kept = forget_key(session.settings.profile)
    session.forget_key()
    said = "the key is forgotten" + (", and gone from the keyring" if was_kept else "")
    return Answer({"text/plain": said}, {"forgotten": True, "was_in_keyring": was_kept})
