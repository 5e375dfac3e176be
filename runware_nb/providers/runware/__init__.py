"""Bringing a task to its end: who waits for which frame, and what is done when none comes."""

from .attempt import Flight
from .concurrency import Slots
from .connection import Connection
from .router import Board
from .streams import StreamLine, TextStream
from .tracker import Courier
from .uploader import UploadDesk

__all__ = ["Board", "Connection", "Courier", "Flight", "Slots", "StreamLine", "TextStream", "UploadDesk"]
