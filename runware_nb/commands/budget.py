"""budget: what may be spent, in this notebook or in all."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..core.amounts import parse_amount
from ..core.money import COST_UNITS, USD, format_amount
from ..errors import MagicUsageError
from ..runlog.schema import LONGEST_KEY
from ..runlog.spending import budgets_of, set_budget
from .base import CommandResult
from .cost import budget_line, budget_row

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "set or show what may be spent; nothing is sent beyond it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "amount", nargs="?", metavar="AMOUNT", help="the limit in US dollars or --unit, or `off`; without it, show"
    )
    parser.add_argument("--all", action="store_true", help="for all notebooks together, not for this one")
    parser.add_argument("--notebook", metavar="FILE", help="for this notebook, as the log names it")
    parser.add_argument("--service", metavar="NAME", help="for this service (default: the service in use)")
    parser.add_argument("--unit", choices=COST_UNITS, default=USD, help="unit of the limit (default: USD)")
    parser.add_argument("--ask-above", type=float, metavar="USD", help="ask about what costs more than this")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Set the limit, or show limits and spending.

    Raises:
        MagicUsageError: The amount is invalid, or it is unclear which notebook is meant.
    """
    if options.ask_above is not None:
        session.configure(ask_above_usd=options.ask_above)
    provider = options.service or session.settings.service
    if options.amount is not None:
        limit = _amount(options.amount, options.unit)
        notebook = _notebook(session, options)
        with session.log.changing() as connection:
            set_budget(connection, provider, notebook[:LONGEST_KEY], limit, unit=options.unit)
    with session.log.reading() as connection:
        limits = budgets_of(connection, provider)
    lines = [budget_line(each) for each in limits] or [_no_budget(provider, options)]
    thresholds = [
        format_amount(session.settings.ask_above_usd),
        format_amount(session.settings.ask_above_credits, "credits"),
    ]
    lines.append(f"Confirmation threshold: {' or '.join(thresholds)}.")
    written = {"budgets": [budget_row(each) for each in limits], "ask_above_usd": session.settings.ask_above_usd}
    return CommandResult({"text/plain": "\n".join(lines)}, written, _notes(session, provider), value=limits)


def _no_budget(provider: str, options: argparse.Namespace) -> str:
    how = f" --unit {options.unit}" if options.unit != USD else ""
    how += f" --service {options.service}" if options.service else ""
    return f"No budget limits {provider}. `budget {5 if options.unit == USD else 100}{how}` sets one."


def _notes(session: Session, provider: str) -> tuple[str, ...]:
    """State that a budget does not limit the service in use: a service and its sandbox have budgets of their own."""
    package = next((package for package in session.providers.packages if provider in package.services), None)
    if package is None or package.build is None:  # the service of Runware in use is the default
        return ()
    in_use = session.provider(package.name).name
    return (
        () if in_use == provider else (f"This session uses {in_use}, and the budget of {provider} does not limit it.",)
    )


def _notebook(session: Session, options: argparse.Namespace) -> str:
    """Return the notebook that the limit is for; an empty text means all notebooks of the log.

    Raises:
        MagicUsageError: The name of the notebook is unknown. A limit for all would outlive this notebook and stop the
            others, so it has to be asked for.
    """
    if options.all and options.notebook:
        raise MagicUsageError("Use either --all or --notebook FILE, not both. The budget was not changed.")
    if options.all:
        return ""
    notebook = options.notebook or session.context().notebook
    if not notebook:
        raise MagicUsageError(
            "The name of this notebook is unknown, so the budget was not changed. Add --all for all notebooks of this "
            "log, or --notebook FILE for one, or set RUNWARE_NB_NOTEBOOK to the name before you start the kernel."
        )
    return str(notebook)


def _amount(text: str, unit: str = USD) -> float | None:
    if text.lower() in {"off", "none"}:
        return None
    try:
        amount = parse_amount(float(text.removeprefix("$")))
    except ValueError:
        amount = None
    if amount is None:
        expected = "US dollars, such as 5 or 0.25" if unit == USD else f"{unit}, such as 100"
        raise MagicUsageError(f"Invalid budget {text!r}: expected an amount in {expected}, or `off`.")
    return amount
