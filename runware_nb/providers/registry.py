"""The providers. Adding one is a package beside this module, and its name here."""

from __future__ import annotations

import importlib
from functools import cache

from .base import ProviderPackage

__all__ = ["packages"]

_NAMES = ("runware",)


@cache
def packages() -> tuple[ProviderPackage, ...]:
    """Return what each provider's package declares, Runware first."""
    return tuple(importlib.import_module(f"{__package__}.{name}.package").PACKAGE for name in _NAMES)
