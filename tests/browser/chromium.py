"""Find a Chromium for the browser tests, or get one: a system's own, else Playwright's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Give the path of a Chromium; None when there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


def main() -> int:
    """Make sure that there is one."""
    if find():
        return 0
    print("no Chromium found; installing one for the browser tests ...", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if find():
        return 0
    print("the browser tests need Chromium: install it (Debian: apt-get install chromium), then try again")
    return 1


if __name__ == "__main__":
    sys.exit(main())
