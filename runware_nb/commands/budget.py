"""budget: what may be spent, in this notebook or in all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.amounts import parse_amount
from ..core.money import COST_UNITS, USD, format_amount
from ..errors import MagicUsageError
from ..remedies import Command, Remedy
from ..runlog.schema import LONGEST_KEY
from ..runlog.spending import Budget, budgets_of, set_budget
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
    parser.add_argument("--unit", choices=COST_UNITS, help="unit of the limit (default: USD; of `off`: each)")
    parser.add_argument("--ask-above", type=float, metavar="USD", help="ask about what costs more than this")


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Set the limit, or show limits and spending.

    Raises:
        MagicUsageError: The amount is invalid, or it is unclear which notebook is meant.
    """
    if options.ask_above is not None:
        session.configure(ask_above_usd=options.ask_above)
    provider = options.service or session.settings.service
    unit = options.unit or USD
    lines: list[str] = []
    is_off = False
    if options.amount is not None:
        limit = _amount(options.amount, unit)
        is_off = limit is None
        notebook = _notebook(session, options)[:LONGEST_KEY]
        if is_off:
            lines.append(_remove(session, provider, notebook, [options.unit] if options.unit else COST_UNITS))
        else:
            with session.log.changing() as connection:
                set_budget(connection, provider, notebook, limit, unit=unit)
    with session.log.reading() as connection:
        # Without a service, the line asks about all budgets: those of other services limit spending as well.
        limits = budgets_of(connection, None if options.amount is None and options.service is None else provider)
    lines += [budget_line(each) for each in limits]
    if not any(each.provider == provider for each in limits):
        lines.append(_no_budget(provider, options))
    thresholds = [
        format_amount(session.settings.ask_above_usd),
        format_amount(session.settings.ask_above_credits, "credits"),
    ]
    lines.append(f"Confirmation threshold: {' or '.join(thresholds)}.")
    written = {"budgets": [budget_row(each) for each in limits], "ask_above_usd": session.settings.ask_above_usd}
    return CommandResult({"text/plain": "\n".join(lines)}, written, _notes(session, provider), value=limits)


def _remove(session: Session, provider: str, notebook: str, units: Sequence[str]) -> str:
    """Remove the budgets of a service for a notebook, and return the sentence that states which.

    Args:
        session: Whose log has them.
        provider: The service.
        notebook: The notebook; empty for the budget of all notebooks together.
        units: Their units.
    """
    with session.log.changing() as connection:
        there = budgets_of(connection)
        removed = [one for one in there if (one.provider, one.notebook) == (provider, notebook) and one.unit in units]
        for each in removed:
            set_budget(connection, provider, notebook, None, unit=each.unit)
    if removed:
        return f"Removed: {', '.join(map(_named, removed))}."
    if not there:
        return "No budget was removed: there is none."
    others = "; ".join(f"{_named(each)}: {session.front_end.remedy(_removal(session, each))}" for each in there)
    whose = f"for {notebook}" if notebook else "for all notebooks together"
    return f"No budget was removed: none limits {provider} {whose}. There are {others}."


def _named(budget: Budget) -> str:
    return f"{budget.name} for {budget.provider} of {format_amount(budget.limit, budget.unit)}"


def _removal(session: Session, budget: Budget) -> Remedy:
    whose: list[tuple[str, str | bool]] = [("notebook", budget.notebook) if budget.notebook else ("all", True)]
    if budget.provider != session.settings.service:
        whose.append(("service", budget.provider))
    return Remedy("{0} removes it", (Command("budget", ("off",), tuple(whose)),))


def _no_budget(provider: str, options: argparse.Namespace) -> str:
    unit = options.unit or USD
    how = f" --unit {unit}" if unit != USD else ""
    how += f" --service {options.service}" if options.service else ""
    return f"No budget limits {provider}. `budget {5 if unit == USD else 100}{how}` sets one."


def _notes(session: Session, provider: str) -> tuple[str, ...]:
    """State that a budget does not limit the service in use: a service and its sandbox have budgets of their own."""
    package = next((package for package in session.providers.packages if provider in package.services), None)
    if package is None or package.build is None:  # without --service, the budget is that of Runware or its sandbox
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
