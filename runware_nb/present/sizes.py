"""Sizes of files, in words."""

from __future__ import annotations

__all__ = ["format_size"]


def format_size(count: int) -> str:
    """Format a number of bytes: in KiB below one MiB, else in MiB with one decimal."""
    if count < 1024**2:
        return f"{max(1, round(count / 1024)):,} KiB"
    return f"{count / 1024**2:,.1f} MiB"
