"""What a task will cost, and whether that was agreed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..catalog import estimate_usd
from ..errors import RunLogError
from ..reprs import short_repr
from ..view.results import format_usd
from .hooks import confirm

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Estimate", "agree", "apply_own_budget", "estimate", "question_about"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Estimate:
    """What a task is likely to cost.

    Attributes:
        usd: US dollars for all its results; None where nobody knows.
        basis: How that is known, in words.
    """

    usd: float | None
    basis: str

    def __str__(self) -> str:
        return "unknown" if self.usd is None else f"about {format_usd(self.usd)} ({self.basis})"


def estimate(session: Session, task: Mapping[str, Any]) -> Estimate:
    """Estimate from the catalogue's prices, else from the median of one's own runs."""
    listed = estimate_usd(task)
    if listed is not None:
        return Estimate(listed, "price list")
    try:
        own = session.log.median_cost(task, session.settings.service) if task.get("model") else None
    except RunLogError:
        own = None
    if own is None:
        return Estimate(None, "nobody knows: no price is listed, and no run of this kind is in the log")
    usd, count = own
    return Estimate(round(usd, 6), f"median of {count} run{'' if count == 1 else 's'} of yours")


def agree(session: Session, price: Estimate, *, agreed: bool, count: int = 1) -> None:
    """Ask about what costs more than the threshold, or may cost anything where there is a budget.

    Args:
        session: Whose settings and budgets count.
        price: Of all that is about to be sent.
        agreed: Whether the user has said yes beforehand.
        count: How many tasks.

    Raises:
        NotConfirmed: The answer was no, or nobody is there to answer.
    """
    question = None if agreed else question_about(session, price, count=count)
    if question is not None:
        confirm(question, remedy="add --yes, or agreed=True in Python")


def question_about(session: Session, price: Estimate, *, count: int = 1) -> str | None:
    """Write the question that has to be asked before something is sent; None where there is none."""
    threshold = session.settings.ask_above_usd
    what = "this" if count == 1 else f"these {count} runs"
    if price.usd is not None and price.usd > threshold:
        return f"{what} will cost {price}, and more than {format_usd(threshold)} is asked about"
    if price.usd is None and _has_budget(session):
        return f"the price of {what} is unknown, and there is a budget"
    return None


def apply_own_budget(session: Session) -> None:
    """Enter the budget of the settings into the log, where all kernels see it."""
    limit = session.settings.budget_usd
    if limit is not None:
        from ..runlog.spending import set_budget

        with session.log.changing() as connection:
            set_budget(connection, session.settings.service, "", limit)


def _has_budget(session: Session) -> bool:
    from ..runlog.spending import budgets_of

    try:
        with session.log.reading() as connection:
            return bool(budgets_of(connection, session.settings.service))
    except RunLogError:
        return False
