"""Command for the forms of useapi.net."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ....commands.base import CommandResult
from ....errors import (
    MagicUsageError,
)

if TYPE_CHECKING:
    from ....session import Session

__all__ = ["FormCommand"]


class FormCommand:
    """`form [WHAT]`: the form for accounts, or for a model."""

    SUMMARY = "show a form: accounts, or a model such as gen4"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("what", nargs="?", default="accounts", metavar="WHAT",
                            help="accounts (default), a model, or a create call")  # fmt: skip

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Show it.

        Raises:
            MagicUsageError: There is no notebook to show it in.
        """
        if not session.front_end.show_form(f"useapi:{options.what}"):
            raise MagicUsageError("A form needs a notebook. `account add` and `create` do the same here.")
        return CommandResult()
