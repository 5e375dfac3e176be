"""Commands of useapi.net: `%useapi NAME`, `runware-nb useapi NAME` and `rw.command("useapi NAME")`."""

from __future__ import annotations

from .accounts import Account, Accounts, Credits
from .assets import Assets, OneAsset
from .form import FormCommand
from .generation import create, frames, image, video
from .models import Models
from .tasks import OneTask, Tasks

__all__ = [
    "Account",
    "Accounts",
    "Assets",
    "Credits",
    "FormCommand",
    "Models",
    "OneAsset",
    "OneTask",
    "Tasks",
    "create",
    "frames",
    "image",
    "video",
]
