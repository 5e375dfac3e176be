"""All storms of one seed; a module of its own, because other processes import it."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from .session_storm import SessionStorm, events_of
from .storm import Storm


def storms(seed: int, transport: str, options: argparse.Namespace) -> tuple[int, list[str], list[str]]:
    """Run the storms of one seed over one transport; return the seed, a line about each, and their complaints."""
    lines, complaints = [], []
    for kills in sorted({0, options.kills}) if options.tasks else ():
        with tempfile.TemporaryDirectory() as folder:
            storm = Storm(seed, transport, options.tasks, options.rate, kills, Path(folder))
            asyncio.run(storm.blow())
        lines.append(storm.summary())
        complaints += storm.complaints()
    if options.session_tasks:
        with tempfile.TemporaryDirectory() as folder:
            through = SessionStorm(seed, transport, options.session_tasks, options.rate, events_of(seed), Path(folder))
            through.blow()
        lines.append(through.summary())
        complaints += through.complaints()
    return seed, lines, complaints
