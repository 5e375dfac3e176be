"""config: settings, shown and changed."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..settings import Settings, save_to_project
from ..view.table import render_facts
from ..wire.redact import show_url
from .base import Answer

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show settings, or change one for this session: `config mode replay`"

_NOT_HERE = frozenset({"api_key", "api_key_from", "home", "defaults", "problems"})

_NOT_SHOWN = frozenset({"api_key", "problems"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="which setting")
    parser.add_argument("value", nargs="?", metavar="VALUE", help="its new value")
    parser.add_argument("--save", action="store_true", help="save it with this project, for its next kernels")


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Show or change."""
    if options.value is not None and options.name == "profile":
        session.use_profile("" if options.value in {"none", "-"} else options.value)
    elif options.value is not None:
        _change(session, options.name, options.value, saves=options.save)
    shown = _shown(session.settings)
    if options.name is not None:
        if options.name not in shown:
            raise MagicUsageError(f"Unknown setting {options.name!r}. Known settings: {', '.join(shown)}.")
        shown = {options.name: shown[options.name]}
    facts = [(name, "none" if value is None else value) for name, value in shown.items()]
    notes = [problem.sentence for problem in session.settings.problems] + session.take_notices()
    return Answer(render_facts(facts), shown, tuple(notes), value=shown)


def _change(session: Session, name: str, value: str, *, saves: bool) -> None:
    if name in _NOT_HERE or name not in {each.name for each in fields(Settings)}:
        remedies = {"api_key": "Use `login`.", "home": "Set RUNWARE_NB_HOME before the first use."}
        raise MagicUsageError(f"`config` cannot set {name}. {remedies.get(name, '`config` lists what it can set.')}")
    changed: Any = {"true": True, "false": False}.get(value.lower(), value) if name == "auth_in_payload" else value
    session.configure(**{name: changed})
    if saves:
        save_to_project(session.settings.home, {name: getattr(session.settings, name)})


def _shown(settings: Settings) -> dict[str, Any]:
    values = {each.name: getattr(settings, each.name) for each in fields(Settings) if each.name not in _NOT_SHOWN}
    values["home"] = str(settings.home)
    for name in ("rest_url", "ws_url", "schemas_url", "log_url", "media_url"):
        values[name] = show_url(values[name]) if values[name] is not None else None
    return values
