"""What the packages of providers add to the settings and the secrets.

Settings are a lower layer than providers and import none of them. This is the one place where they reach them: it loads
the registry late and by name, when settings are read and not when this module is imported.
"""

from __future__ import annotations

from typing import Protocol

from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..loading import load
from .setting import Setting

__all__ = ["ProviderDeclaration", "declare_provider_secrets", "provider_packages"]


class ProviderDeclaration(Protocol):
    """The part of `ProviderPackage` that settings read."""

    @property
    def name(self) -> str:
        """The name of the provider."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Its settings."""

    @property
    def secrets(self) -> tuple[ProviderSecret, ...]:
        """Its secrets."""


def provider_packages() -> tuple[ProviderDeclaration, ...]:
    """Return what the package of each registered provider declares."""
    packages: tuple[ProviderDeclaration, ...] = load("providers.registry").packages()
    return packages


def declare_provider_secrets() -> None:
    """Declare the secrets of all registered providers, so that they are redacted before a session exists."""
    for package in provider_packages():
        declared_secrets.declare_of_provider(package.name, package.secrets)
