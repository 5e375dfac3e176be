"""Bringing a task to its end: who waits for which frame, and what is done when none comes."""

from .board import Board
from .connection import Connection
from .courier import Courier
from .flight import Flight
from .slots import Slots
from .streams import StreamLine, TextStream
from .uploads import UploadDesk

__all__ = ["Board", "Connection", "Courier", "Flight", "Slots", "StreamLine", "TextStream", "UploadDesk"]
