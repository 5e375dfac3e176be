"""config: settings, shown and changed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import MagicUsageError
from ..present.table import render_facts
from ..settings import Place, Settings, save_to_project, settings_table
from ..settings.reference import help_of_settings
from .base import CommandResult

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "show settings, or change one for this session: `config mode replay`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and list the settings below them."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = help_of_settings()
    parser.add_argument("name", nargs="?", metavar="NAME", help="which setting")
    parser.add_argument("value", nargs="?", metavar="VALUE", help="its new value")
    parser.add_argument("--save", action="store_true", help="save it with this project, for its next kernels")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Show or change."""
    if options.value is not None and options.name == "profile":
        session.connection.use_profile("" if options.value in {"none", "-"} else options.value)
    elif options.value is not None:
        _change(session, options.name, options.value, saves=options.save)
    shown = _shown(session.settings)
    if options.name is not None:
        if options.name not in shown:
            raise MagicUsageError(f"Unknown setting {options.name!r}. Known settings: {', '.join(shown)}.")
        shown = {options.name: shown[options.name]}
    facts = [(name, "none" if value is None else value) for name, value in shown.items()]
    notes = [problem.sentence for problem in session.settings.problems] + session.connection.take_notices()
    return CommandResult(render_facts(facts), shown, tuple(notes), value=shown)


def _change(session: Session, name: str, value: str, *, saves: bool) -> None:
    setting = settings_table().get(name)
    if setting is None or Place.SESSION not in setting.places:
        remedy = setting.remedy if setting is not None else ""
        raise MagicUsageError(f"`config` cannot set {name}. {remedy or '`config` lists what it can set.'}")
    session.configure(**{name: value})
    if saves:
        save_to_project(session.settings.home, {name: session.settings.value(name)})


def _shown(settings: Settings) -> dict[str, Any]:
    table = settings_table()
    values = {name: settings.value(name) for name in table if name != "api_key"}
    values["home"] = str(settings.home)
    for name, value in values.items():
        values[name] = table[name].shown(value)
    return values | {"defaults": settings.defaults}
