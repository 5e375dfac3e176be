"""Time windows of the Runware protocol, in protocol seconds."""

from __future__ import annotations

__all__ = ["BUFFER_S", "IDLE_S", "SYNC_WINDOW_S"]

IDLE_S = 120.0
"""A silent socket is closed after this time."""
BUFFER_S = 120.0
"""Results for a lost connection are stored for this time."""
SYNC_WINDOW_S = 120.0
"""The response to a sync task is held open for this time."""
