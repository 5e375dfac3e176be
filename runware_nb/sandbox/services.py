"""The services of the sandbox. A new one is a package beside `runware`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from .core.service import Service
from .runkey.service import RunKeyService
from .runware.service import RunwareService
from .useapi.service import UseApiService

__all__ = ["SERVICES"]

SERVICES: Mapping[str, type[Service]] = {
    "runware": RunwareService,
    "runkey": RunKeyService,
    "useapi": UseApiService,
}
"""Services by name. The options of the command line apply to the first one."""
