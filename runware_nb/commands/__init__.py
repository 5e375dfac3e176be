"""The commands, one file each, for magics and terminal alike."""

from .base import COMMANDS, Answer, Command
from .dispatch import find_command, run_command

__all__ = ["COMMANDS", "Answer", "Command", "find_command", "run_command"]
