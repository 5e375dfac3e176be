"""Start the sandbox: `python -m runware_nb.sandbox`."""

from __future__ import annotations

import sys

from .core.process import run
from .services import PLANNED_URLS, SERVICES

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run all services until interrupted, and return the exit status."""
    return run(SERVICES, arguments, planned_urls=PLANNED_URLS)


if __name__ == "__main__":
    sys.exit(main())
