"""upload: send a medium to the service once, and print its UUID."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..present.table import render_facts
from ..session.api import upload_with
from .base import CommandResult
from .images_in import find_image

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "upload a medium, which costs nothing, and print its UUID and URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMG", help="the medium: a variable, _rw, #3, a file, a URL or a run")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Upload it. A medium that was uploaded before is not uploaded again."""
    medium = find_image(options.image, session, getattr(options, "names", {}))
    uploaded = upload_with(session, medium)
    facts = [("UUID", str(uploaded)), *([] if uploaded.url is None else [("URL", uploaded.url)])]
    value = {"media_uuid": str(uploaded), "url": uploaded.url}
    return CommandResult(render_facts(facts), value, value=uploaded)
