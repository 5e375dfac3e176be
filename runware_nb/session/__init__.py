"""One notebook's connection: it ties client, log and images together, and hands out jobs."""

from .api import connect, image, job, log, pending, resume, run
from .context import CellContext
from .jobs import Job
from .session import Plan, Session, current_session

__all__ = [
    "CellContext",
    "Job",
    "Plan",
    "Session",
    "connect",
    "current_session",
    "image",
    "job",
    "log",
    "pending",
    "resume",
    "run",
]
