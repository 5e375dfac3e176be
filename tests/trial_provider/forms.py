"""The form of the trial: `rw.form("trial:TEXT")`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["build_form"]


def build_form(session: Session, what: str, placeholder: str = "") -> ipywidgets.Text:
    """Build a field that contains the text."""
    return ipywidgets.Text(value=what, placeholder=placeholder, description=session.settings.value("trial_url"))
