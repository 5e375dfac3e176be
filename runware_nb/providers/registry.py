"""The providers. Adding one is a package beside this module, and its name here.

Layers below load this module late, see `settings/packages.py`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from ..loading import load
from .package import ProviderPackage

__all__ = ["exported", "exported_names", "load_module", "package_named", "packages"]

_NAMES = ("runware", "useapi")


@cache
def packages() -> tuple[ProviderPackage, ...]:
    """Return what each provider's package declares, Runware first."""
    return tuple(load_module(name, "package").PACKAGE for name in _NAMES)


def package_named(name: str) -> ProviderPackage | None:
    """Return what the package of a provider declares; None if no provider has this name."""
    return next((package for package in packages() if package.name == name), None)


def exported_names() -> tuple[str, ...]:
    """Return the names that the providers add to `runware_nb`."""
    return tuple(name for package in packages() for name in package.exports)


def exported(name: str) -> Any:
    """Return what a provider adds to `runware_nb` under a name.

    Raises:
        KeyError: No provider adds this name.
    """
    for package in packages():
        if name in package.exports:
            module, _, attribute = package.exports[name].partition(":")
            return getattr(load_module(package.name, module), attribute)
    raise KeyError(name)


def load_module(provider: str, module: str) -> ModuleType:
    """Load a module of a provider's package, such as `commands`, on its first use."""
    return load(f"providers.{provider}.{module}")
