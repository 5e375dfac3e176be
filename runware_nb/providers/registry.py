"""The providers. Adding one is a package beside this module, and its name here.

Layers below load this module late, see `settings/packages.py`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from ..loading import load
from .package import ProviderPackage

__all__ = ["load_module", "package_named", "packages"]

_NAMES = ("runware",)


@cache
def packages() -> tuple[ProviderPackage, ...]:
    """Return what each provider's package declares, Runware first."""
    return tuple(load_module(name, "package").PACKAGE for name in _NAMES)


def package_named(name: str) -> ProviderPackage | None:
    """Return what the package of a provider declares; None if no provider has this name."""
    return next((package for package in packages() if package.name == name), None)


def load_module(provider: str, module: str) -> ModuleType:
    """Load a module of a provider's package, such as `commands`, on its first use."""
    return load(f"providers.{provider}.{module}")
