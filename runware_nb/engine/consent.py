"""Consent: every question that this package asks before it spends money or removes something.

No other module asks. What is about to be sent is announced here first, with its estimates:

* The estimates of all tasks that one cell submits are added up. The question comes when the sum exceeds
  `ask_above_usd`. A yes covers the cell until the sum reaches twice the amount that was announced; then the question
  comes again. A script has no cells: there the whole process counts as one.
* A task whose price is unknown is asked about once for each kind of task and model in a session. Where a budget
  applies, each batch of such tasks is asked about, because the budget cannot count them.
* Several tasks that are known beforehand are one batch. If a budget cannot cover the batch, it is refused before its
  first task.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.money import USD, Money, format_amount
from ..errors import BudgetExceeded, NotConfirmed, RunLogError
from ..forking import make_lock
from ..remedies import Option, Remedy
from ..reprs import short_repr
from .estimates import Estimate

if TYPE_CHECKING:
    from ..runlog.spending import Budget
    from ..settings import Settings
    from .context import CellContext
    from .front_end import FrontEnd
    from .ports import Ports

__all__ = ["Consent", "Priced", "confirm", "limit_of", "priced"]

_AGREE = Remedy("Add {0} to agree to the cost.", (Option("yes", True, python="agreed=True"),))
_ROUNDING = 1e-9
"""Sums of floating-point amounts differ from the exact sum by less than this."""
_MOST_SCOPES = 256
"""Cells whose sums are remembered; a notebook rarely has this many, and an old cell's question may be asked again."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Priced:
    """A task that is about to be sent, as far as consent is concerned.

    Attributes:
        kind: Task type and model: what a question about an unknown price is about.
        price: Its estimate.
        service: Who performs it, as the log names it; empty for Runware, or the sandbox in its place.
    """

    kind: str
    price: Estimate
    service: str = ""


def priced(task: Mapping[str, Any], price: Estimate, service: str = "") -> Priced:
    """Build the entry for a task."""
    return Priced(str(task.get("model") or task.get("taskType") or "imageInference"), price, service)


@dataclass(slots=True)
class _Scope:
    """The spending of one cell in one unit.

    Attributes:
        total: Estimates of everything that it submitted.
        agreed: The sum that the user last agreed to; None before the first question.
    """

    total: float = 0.0
    agreed: float | None = None


@dataclass(slots=True)
class _Question:
    """A question that has to be answered before the tasks are sent.

    Attributes:
        text: What is about to happen, in complete sentences.
        total: What the cell's sum is with these tasks.
        unknown: Kinds of tasks whose price is unknown.
    """

    text: str
    total: float
    unknown: list[str] = field(default_factory=list)


class Consent:
    """What the user of one session has agreed to spend. It can be used from any thread.

    Args:
        ports: Whose settings and budgets count.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._lock = make_lock()
        self._scopes: collections.OrderedDict[Hashable, _Scope] = collections.OrderedDict()
        self._accepted_kinds: set[tuple[str, str]] = set()

    def require(
        self,
        tasks: Sequence[Priced],
        *,
        context: CellContext,
        agreed: bool = False,
        announces: str | None = None,
        undone: str = "Nothing was sent.",
    ) -> None:
        """Check that the user agrees to the cost of tasks that are about to be sent.

        Args:
            tasks: All of them, for one service; several are a batch that is refused as a whole if a budget cannot
                cover it.
            context: The cell that submits them.
            agreed: Whether the user agreed beforehand, with `--yes` or `agreed=True`.
            announces: A sentence that is always asked about, whatever the price; None asks only if a rule says so.
            undone: What did not happen after a no, as a sentence.

        Raises:
            NotConfirmed: The answer was no, or this session cannot ask. Nothing was sent.
            BudgetExceeded: A budget cannot cover the batch. Nothing was sent.
        """
        if not tasks:
            return
        if len({task.price.unit for task in tasks}) > 1:
            raise ValueError("tasks of several units are asked about separately")  # their sum would mean nothing
        if len(tasks) > 1:
            self._refuse_uncovered(tasks, context.notebook)
        scope = context.scope
        blind = None if agreed else self._blind_budget(tasks, context.notebook)
        if agreed:
            self.accept(tasks, scope=scope, counts=False)
            return
        with self._lock:  # checking and adding are one step: two threads of a cell must not both pass below the limit
            question = self._question(tasks, scope, announces, blind)
            if question is None:
                self._scope(scope, _unit(tasks)).total += _known(tasks)
                return
        # The lock is free: the user may take minutes to answer.
        confirm(self._ports.front_end, question.text, undone=undone)
        self.accept(tasks, scope=scope)

    def recheck(self, task: Priced, agreed: Estimate, *, context: CellContext) -> None:
        """Check that a task still costs what it was expected to cost when the user agreed to it.

        A step of a chain is agreed to when the chain is built, and sent later, when nobody can be asked. Its estimate
        can have changed in between: it may be the median of runs that have ended since. A higher one is accepted if the
        difference alone would not need a question; then it counts towards the sum of the cell. So is the whole price if
        it was unknown and is known now: a sum of money was never agreed to.

        Args:
            task: The task as it is about to be sent.
            agreed: The estimate when the user agreed.
            context: The cell that built the chain.

        Raises:
            NotConfirmed: It has become more expensive. It was not sent.
        """
        now = task.price.cost
        if agreed.cost is None:
            if now is None:  # agreed to as unknown
                return
            more: Money | None = now
            before = f"the price of this step ({task.kind}) was unknown"
        else:
            if now is not None and now.amount <= agreed.cost.amount + _ROUNDING:
                return
            more = None if now is None else Money(now.amount - agreed.cost.amount, now.unit)
            about = format_amount(agreed.cost.amount, agreed.cost.unit)
            before = f"you agreed to about {about} for this step ({task.kind})"
        difference = [Priced(task.kind, Estimate(more, task.price.basis, task.price.unit), task.service)]
        if self.question(difference, scope=context.scope, notebook=context.notebook) is None:
            self.accept(difference, scope=context.scope)
            return
        cost = "is unknown now" if now is None else f"is now {format_amount(now.amount, now.unit)}"
        raise NotConfirmed(
            f"When this chain was built, {before}. Its estimated cost {cost}. The step was not sent and cost nothing. "
            "Build the chain again to be asked about the new cost."
        )

    def question(self, tasks: Sequence[Priced], *, scope: Hashable, notebook: str | None = None) -> str | None:
        """Return the question that these tasks need, for a front end that asks in its own way; None for no question.

        The front end calls `accept` after a yes.

        Args:
            tasks: What is about to be sent.
            scope: The cell, or a click.
            notebook: The notebook whose budgets apply.
        """
        blind = self._blind_budget(tasks, notebook)
        with self._lock:
            question = self._question(tasks, scope, None, blind)
        return None if question is None else question.text

    def accept(self, tasks: Sequence[Priced], *, scope: Hashable, counts: bool = True) -> None:
        """Remember that the user agreed to these tasks.

        Args:
            tasks: What was agreed to.
            scope: The cell.
            counts: Whether the tasks are added to the cell's sum. A price that was agreed to beforehand is not: each
                such task carries its own yes.
        """
        with self._lock:
            self._accepted_kinds.update(self._key(task) for task in tasks if task.price.cost is None)
            if not counts:
                return
            state = self._scope(scope, _unit(tasks))
            state.total += _known(tasks)
            # A yes to an unknown price says nothing about the sum. Below the threshold, the threshold still asks; after
            # a yes to a sum, twice that sum still asks, so the yes must not raise it.
            if state.agreed is None:
                names_sum = state.total > self._threshold(_unit(tasks))
            else:
                names_sum = state.total >= 2 * state.agreed - _ROUNDING
            if names_sum:
                state.agreed = state.total

    # --- inside --------------------------------------------------------------------------------------

    def _question(
        self, tasks: Sequence[Priced], scope: Hashable, announces: str | None, blind: str | None
    ) -> _Question | None:
        unit = _unit(tasks)
        state = self._scope(scope, unit)
        total = _known(tasks)
        with_these = state.total + total
        threshold = self._threshold(unit)
        unknown = list(dict.fromkeys(task.kind for task in tasks if task.price.cost is None))
        if announces is not None:
            announcement = " ".join(filter(None, [announces, _cost_sentence(tasks), blind]))
            return _Question(announcement, with_these, unknown)
        sentences: list[str] = []
        # After a yes only the doubled amount asks again, not the threshold, which the cell has passed already.
        if total > 0 and state.agreed is not None:
            if with_these >= 2 * state.agreed - _ROUNDING:
                sentences.append(
                    f"You agreed to about {format_amount(state.agreed, unit)} for {_place(scope)}. With "
                    f"{_these(tasks)}, the sum is about {format_amount(with_these, unit)}, twice that amount or more."
                )
        elif total > 0 and with_these > threshold + _ROUNDING:
            sentences.append(_above_threshold(tasks, scope, state.total, threshold))
        asked = list(
            dict.fromkeys(
                task.kind
                for task in tasks
                # A yes to a kind would end the only protection where a budget cannot count: it covers one batch there.
                if task.price.cost is None and (blind is not None or self._key(task) not in self._accepted_kinds)
            )
        )
        if asked:
            names = ", ".join(asked)
            sentences.append(
                f"The price of {names} is unknown: no price is listed, and the log has no such run with a known cost."
            )
            if blind is not None:
                sentences.append(blind)
        return _Question(" ".join(sentences), with_these, asked) if sentences else None

    def _blind_budget(self, tasks: Sequence[Priced], notebook: str | None) -> str | None:
        """Return why a budget does not limit these tasks: their price is unknown. None if it does, or there is none."""
        missing = sum(task.price.cost is None for task in tasks)
        if not missing:
            return None
        from ..runlog.spending import count_uncounted, uncounted_sentence

        service, unit = tasks[0].service or self._ports.settings.service, _unit(tasks)
        limits = self._budgets(notebook, service, unit)
        if not limits:
            return None
        limit = limits[0]
        these = (
            "this task" if len(tasks) == 1 else "these tasks" if missing == len(tasks) else f"{missing} of these tasks"
        )
        sentence = (
            f"{limit.name[0].upper()}{limit.name[1:]} of {format_amount(limit.limit, unit)} cannot count {these}."
        )
        try:
            with self._ports.log.reading() as connection:
                uncounted = max(count_uncounted(connection, service, each.notebook, unit) for each in limits)
        except RunLogError:
            uncounted = 0  # each run meets the same fault when it is written, and is not sent
        if uncounted:
            sentence += f" {uncounted_sentence(uncounted)}."
        return sentence

    def _refuse_uncovered(self, tasks: Sequence[Priced], notebook: str | None) -> None:
        """Refuse a batch that a budget cannot cover, before its first task is written or sent."""
        from ..runlog.spending import left_clause

        total, unit = _known(tasks), _unit(tasks)
        for budget in self._budgets(notebook, tasks[0].service, unit):
            if total > budget.left + _ROUNDING:
                left, limit = (format_amount(amount, unit) for amount in (max(0.0, budget.left), budget.limit))
                raise BudgetExceeded(
                    f"These {len(tasks)} tasks cost about {format_amount(total, unit)}, and "
                    f"{left_clause(budget.name, left, limit)}. Nothing was sent. Send fewer tasks, or raise the budget."
                )

    def _budgets(self, notebook: str | None, service: str, unit: str) -> list[Budget]:
        from ..runlog.spending import budgets_in_force

        settings = self._ports.settings
        try:
            with self._ports.log.reading() as connection:
                return budgets_in_force(
                    connection, service or settings.service, notebook, limit_of(settings, unit), unit=unit
                )
        except RunLogError:
            return []  # each run meets the same fault when it is written, and is not sent

    def has_budget(self, notebook: str | None, service: str, unit: str) -> bool:
        """Return whether any budget applies to what this session sends to a service from a notebook."""
        return bool(self._budgets(notebook, service, unit))

    def _threshold(self, unit: str) -> float:
        settings = self._ports.settings
        return settings.ask_above_usd if unit == USD else settings.ask_above_credits

    def _key(self, task: Priced) -> tuple[str, str]:
        return task.service or self._ports.settings.service, task.kind

    def _scope(self, scope: Hashable, unit: str) -> _Scope:
        state = self._scopes.setdefault((scope, unit), _Scope())
        self._scopes.move_to_end((scope, unit))
        while len(self._scopes) > _MOST_SCOPES:
            self._scopes.popitem(last=False)
        return state


def confirm(
    front_end: FrontEnd,
    statement: str,
    *,
    verb: str = "Send",
    undone: str = "Nothing was sent.",
    remedy: Remedy = _AGREE,
) -> None:
    """Ask the user to confirm something that costs money or cannot be undone.

    Args:
        front_end: Where the user is.
        statement: What is about to happen, in complete sentences.
        verb: What a yes does.
        undone: What did not happen after a no, as a sentence.
        remedy: What to do in a session that cannot ask, as a sentence.

    Raises:
        NotConfirmed: The answer was no, or this session cannot ask.
    """
    is_agreed = front_end.confirm(f"{statement} {verb}? [y/N] ")
    if is_agreed is None:
        raise NotConfirmed(f"{statement} This session cannot ask for confirmation. {undone}").with_remedy(remedy)
    if not is_agreed:
        raise NotConfirmed(f"You answered no. {undone}")  # the question is still there to read


def limit_of(settings: Settings, unit: str) -> Money | None:
    """Return the limit that the settings put on spending in a unit; None without one."""
    limit = settings.budget(unit)
    return None if limit is None else Money(limit, unit)


def _unit(tasks: Sequence[Priced]) -> str:
    """Return the unit of the prices of tasks: all of them are for one service."""
    return tasks[0].price.unit


def _known(tasks: Sequence[Priced]) -> float:
    return sum(task.price.cost.amount for task in tasks if task.price.cost is not None)


def _cost_sentence(tasks: Sequence[Priced]) -> str:
    known = [task for task in tasks if task.price.cost is not None]
    missing = len(tasks) - len(known)
    if not known:
        return "The cost is unknown."
    bases = list(dict.fromkeys(task.price.basis for task in known))
    basis = f" ({bases[0]})" if len(bases) == 1 else ""
    of_some = f" for {len(known)} of them; the price of the other {missing} is unknown" if missing else ""
    return f"The estimated cost is {format_amount(_known(tasks), _unit(tasks))}{basis}{of_some}."


def _above_threshold(tasks: Sequence[Priced], scope: Hashable, before: float, threshold: float) -> str:
    total, unit = _known(tasks), _unit(tasks)
    limit = f"above your confirmation threshold of {format_amount(threshold, unit)}"
    if before <= 0:
        what = f"The estimated cost of {format_amount(total, unit)}"
        if len(tasks) > 1:
            return f"{what} for these {len(tasks)} tasks is {limit}."
        return f"{what} ({tasks[0].price.basis}) is {limit}."
    return (
        f"The tasks that {_place(scope)} has submitted so far cost about {format_amount(before, unit)}. "
        f"With {_these(tasks)}, the sum is about {format_amount(before + total, unit)}, {limit}."
    )


def _these(tasks: Sequence[Priced]) -> str:
    return "this task" if len(tasks) == 1 else f"these {len(tasks)} tasks"


def _place(scope: Hashable) -> str:
    return "this process" if scope is None else "this cell"
