"""Find a Chromium for the browser tests: the system's, else Playwright's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.setup.machine import find_browser, starts

__all__ = ["find"]


@cache
def find_of_system() -> str | None:
    """Return the path of the system's Chromium; None if there is none that starts."""
    return find_browser()


def find() -> str | None:
    """Return the path of a Chromium that starts; None if there is none."""
    system = find_of_system()
    if system is not None:
        return system
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() and starts(own) else None
