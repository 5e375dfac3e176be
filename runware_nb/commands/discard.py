"""discard: hide a run that is not finished, or end one whose fate is unknown."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..core.amounts import parse_amount
from ..core.money import Money
from ..errors import MagicUsageError
from ..runlog import RunRecord, State
from .base import CommandResult
from .log import row_of

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "hide an unfinished run, whose result is collected all the same; or end one of the state `unknown`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ref", metavar="UUID", help="task UUID, or its first characters")
    parser.add_argument(
        "--not-charged", action="store_true",
        help="end a run of the state `unknown` that the service did not charge, as its website shows",
    )  # fmt: skip
    parser.add_argument(
        "--charged", metavar="AMOUNT",
        help="end a run of the state `unknown`, and record what the service charged, in dollars or credits",
    )  # fmt: skip


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Hide the run, or end it.

    Raises:
        MagicUsageError: The run is finished, or the options do not fit its state.
        RunLogError: The log cannot be written.
    """
    record = session.log.find(options.ref)
    name = record.task_uuid[:8]
    if record.is_finished:
        raise MagicUsageError(f"run {name} is finished ({record.state.value}); nothing to discard")
    charged = _charged(record, options)
    if charged is not None:
        session.queue.give_up(record, charged)
        cost = f"charged with {charged}" if options.charged is not None else "not charged"
        sentence = f"run {name} has ended as lost, {cost}; its estimate is no longer reserved in budgets"
    else:
        session.discard(record)
        sentence = f"run {name} is hidden; if it was sent, its result goes to the log all the same"
    return CommandResult({"text/plain": sentence}, row_of(session.log.find(record.task_uuid)), value=record)


def _charged(record: RunRecord, options: argparse.Namespace) -> Money | None:
    """Return what the service charged for a run of unknown fate, as the user states it; None without a statement.

    Raises:
        MagicUsageError: The statement is invalid, or the fate of the run is not unknown.
    """
    if options.charged is None and not options.not_charged:
        return None
    if options.charged is not None and options.not_charged:
        raise MagicUsageError("Use either --not-charged or --charged AMOUNT, not both. The run was not changed.")
    if record.state is not State.UNKNOWN:
        # The service can still be asked about it. To end it here would hide a result that is paid for.
        raise MagicUsageError(
            f"Run {record.task_uuid[:8]} has the state {record.state.value}: expected unknown for --not-charged and "
            "--charged. The run was not changed. `resume` collects it."
        )
    if options.not_charged:
        return Money(0.0, record.cost_unit)
    try:
        amount = parse_amount(float(options.charged.removeprefix("$")))
    except ValueError:
        amount = None
    if amount is None:
        unit = "US dollars, such as 0.05" if record.cost_unit == "USD" else f"{record.cost_unit}, such as 12"
        raise MagicUsageError(f"Invalid --charged {options.charged!r}: expected an amount in {unit}.")
    return Money(amount, record.cost_unit)
