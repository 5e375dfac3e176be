"""Start the sandbox: `python -m runware_nb.sandbox`."""

from __future__ import annotations

import sys

# Where Jupyter is installed, jsonschema imports this package for two formats that no schema here uses, and the package
# builds a grammar for more than two seconds. Without it, jsonschema leaves these formats unchecked.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

from .core.process import run  # noqa: E402
from .services import SERVICES  # noqa: E402

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run all services until interrupted, and return the exit status."""
    return run(SERVICES, arguments)


if __name__ == "__main__":
    sys.exit(main())
