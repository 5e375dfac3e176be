"""The commands, one file each, for magics and terminal alike."""

from typing import Any

from .base import COMMANDS, Command, CommandResult
from .dispatch import find_command, run_command

__all__ = ["COMMANDS", "Command", "CommandResult", "find_command", "run_command"]


def __getattr__(name: str) -> Any:
    from ..moved import find_renamed

    return find_renamed("commands", name)
