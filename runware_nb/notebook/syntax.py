"""How a notebook writes commands and options."""

from __future__ import annotations

from ..remedies import LineSyntax

__all__ = ["NOTEBOOK"]

NOTEBOOK = LineSyntax("%runware", provider_prefix="%")
