"""What the package of Runware declares."""

from __future__ import annotations

from ...settings import RUNWARE_KEY, SERVICES
from ..package import ProviderPackage

__all__ = ["PACKAGE"]

PACKAGE = ProviderPackage(name="runware", services=SERVICES, secrets=(RUNWARE_KEY,))
