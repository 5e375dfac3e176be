"""What was spent and what may be: the roll-up of costs, budgets, and medians of one's own runs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from ..core.amounts import MOST_USD
from ..core.money import COST_UNITS, USD, Money
from ..errors import BudgetExceeded
from ..remedies import Remedy, command
from ..reprs import short_repr
from .databases import upsert_for
from .records import UNFINISHED_STATES, State
from .schema import LONGEST_KEY, budgets, has_own_id, results, run_tags, runs, spending

__all__ = [
    "FROM_SETTINGS", "Budget", "OwnCosts", "Spent", "budget_name", "budgets_in_force", "budgets_of",
    "carry_budgets", "count_for_settings", "count_uncounted", "dollars_first", "left_clause", "limit_values",
    "median_cost", "refuse_over_budget", "set_budget", "sum_imported", "sum_spending", "uncounted_sentence",
]  # fmt: skip

FROM_SETTINGS = "*settings*"
"""Stands for the notebook in the row that counts for limits from settings (`RUNWARE_NB_BUDGET_USD`, `budget_usd`).

The row only holds what was spent and reserved, so that kernels share one count. The limit itself belongs to the
session and is handed in with each run: when the variable is removed, the limit ends.
"""
_LOOKED_AT = 50
_NO_LIMIT = 1e18


@short_repr()
@dataclass(frozen=True, slots=True)
class Spent:
    """One line of a cost summary.

    Attributes:
        key: The cell (`notebook` and `cell`), day, model or tag.
        runs: How many.
        results: How many results they made.
        cost: What they cost in *unit*, as far as known.
        unknown: Runs whose cost the service did not report, although it made results or accepted the task.
        unit: `USD` or `credits`. A key with runs in several units has one line for each.
    """

    key: tuple[str, ...]
    runs: int
    results: int
    cost: float
    unknown: int
    unit: str = USD

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars, as far as known; None for a line in another unit."""
        return self.cost if self.unit == USD else None


@short_repr()
@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, in one unit.

    Attributes:
        provider: Whose service; the sandbox's money is not the real one's.
        notebook: Which notebook; empty for all together; `FROM_SETTINGS` for the limit of a session's settings.
        limit: What may be spent, in *unit*.
        spent: What was.
        reserved: Estimates of runs in progress, also of those whose fate is unknown: they may have been charged.
        unit: `USD` or `credits`.
        uncounted: Runs that `spent` and `reserved` leave out, because neither their cost nor an estimate is known. Only
            `budgets_of` counts them.
    """

    provider: str
    notebook: str
    limit: float
    spent: float
    reserved: float
    unit: str = USD
    uncounted: int = 0

    @property
    def left(self) -> float:
        """What may still be spent; negative if more was spent than the limit allows."""
        return self.limit - self.spent - self.reserved

    @property
    def limit_usd(self) -> float | None:
        """The limit in US dollars; None for one in another unit."""
        return self._in_usd(self.limit)

    @property
    def spent_usd(self) -> float | None:
        """What was spent in US dollars; None for a limit in another unit."""
        return self._in_usd(self.spent)

    @property
    def reserved_usd(self) -> float | None:
        """What is reserved in US dollars; None for a limit in another unit."""
        return self._in_usd(self.reserved)

    @property
    def left_usd(self) -> float | None:
        """What may still be spent in US dollars; None for a limit in another unit."""
        return self._in_usd(self.left)

    def _in_usd(self, amount: float) -> float | None:
        return amount if self.unit == USD else None

    @property
    def name(self) -> str:
        """What the budget is called in messages."""
        return budget_name(self.notebook, self.unit)


def sum_spending(
    connection: sa.Connection,
    by: str,
    *,
    since: str | None = None,
    provider: str | None = None,
    notebook: str | None = None,
) -> list[Spent]:
    """Sum the roll-up for each unit: dollars first, the most expensive first; days in order.

    Args:
        connection: To the log.
        by: `cell`, `day`, `model`, `tag` or `notebook`.
        since: From this day on.
        provider: Of this service only.
        notebook: In this notebook only.
    """
    keys = {"cell": (spending.c.notebook, spending.c.key), "notebook": (spending.c.notebook,)}.get(
        by, (spending.c.key,)
    )
    cost, unit = sa.func.sum(spending.c.cost), spending.c.unit
    found = sa.select(
        *keys, sa.func.sum(spending.c.runs), sa.func.sum(spending.c.results), cost, sa.func.sum(spending.c.unknown),
        unit,
    ).group_by(*keys, unit)  # fmt: skip
    found = found.where(spending.c.dimension == ("model" if by == "notebook" else by))
    if since is None or by == "day":
        found = found.where(spending.c.day == "")
    if since is not None:
        found = found.where((spending.c.key if by == "day" else spending.c.day) >= since[:10])
    if provider is not None:
        found = found.where(spending.c.provider == provider)
    if notebook is not None:
        found = found.where(spending.c.notebook == notebook)
    found = found.order_by(*keys, dollars_first(unit)) if by == "day" else found.order_by(
        dollars_first(unit), cost.desc(), *keys
    )  # fmt: skip
    width = len(keys)
    return [Spent(tuple(map(str, row[:width])), *row[width:]) for row in connection.execute(found)]


def dollars_first(unit: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Build the order of units, which is not that of an alphabet and the same in every database."""
    return sa.case({name: number for number, name in enumerate(COST_UNITS)}, value=unit, else_=len(COST_UNITS))


def sum_imported(
    connection: sa.Connection,
    by: str,
    *,
    since: str | None = None,
    provider: str | None = None,
    notebook: str | None = None,
) -> list[Spent]:
    """Return what the imported runs cost those who generated them, as `sum_spending` does for one's own runs.

    They are in no roll-up, since they were not paid for here; an index of their own keeps this quick.
    """
    cell = sa.func.coalesce(runs.c.cell_id, "In [" + sa.cast(runs.c.execution_count, sa.String) + "]", "")
    book, day = sa.func.coalesce(runs.c.notebook, ""), sa.func.substr(runs.c.created_at_utc, 1, 10)
    keys: tuple[sa.ColumnElement[Any], ...] = {
        "cell": (book, cell), "notebook": (book,), "day": (day,), "model": (sa.func.coalesce(runs.c.model, ""),),
        "tag": (run_tags.c.tag,),
    }[by]  # fmt: skip
    count = sa.select(sa.func.count()).where(results.c.run_uuid == runs.c.task_uuid, results.c.error.is_(None))
    is_unknown = sa.and_(runs.c.cost.is_(None), sa.or_(runs.c.state != State.FAILED.value, has_own_id))
    selected = sa.select(
        *(key.label(f"key{number}") for number, key in enumerate(keys)),
        count.scalar_subquery().label("results"), sa.func.coalesce(runs.c.cost, 0.0).label("cost"),
        runs.c.cost_unit.label("unit"), sa.case((is_unknown, 1), else_=0).label("unknown"),
    ).where(runs.c.is_imported == sa.literal_column("1"))  # fmt: skip
    if by == "tag":
        selected = selected.join(run_tags, run_tags.c.run_id == runs.c.id)
    if since is not None:
        selected = selected.where(runs.c.created_at_utc >= since[:10])
    if provider is not None:
        selected = selected.where(runs.c.provider == provider)
    if notebook is not None:
        selected = selected.where(runs.c.notebook == notebook)
    each = selected.subquery()
    names = [each.c[f"key{number}"] for number in range(len(keys))]
    cost, unit = sa.func.sum(each.c.cost), each.c.unit
    summed = sa.select(*names, sa.func.count(), sa.func.sum(each.c.results), cost, sa.func.sum(each.c.unknown), unit)
    order = [*names, dollars_first(unit)] if by == "day" else [dollars_first(unit), cost.desc(), *names]
    rows = connection.execute(summed.group_by(*names, unit).order_by(*order))
    width = len(names)
    return [
        Spent(tuple(map(str, row[:width])), int(row[-5]), int(row[-4]), float(row[-3]), int(row[-2]), str(row[-1]))
        for row in rows
    ]


def budgets_of(connection: sa.Connection, provider: str | None = None) -> list[Budget]:
    """List the limits that were set with the `budget` command; they hold for every session of this log."""
    found = sa.select(budgets).where(budgets.c.notebook != FROM_SETTINGS)
    found = found.order_by(budgets.c.provider, budgets.c.notebook, dollars_first(budgets.c.unit))
    if provider is not None:
        found = found.where(budgets.c.provider == provider)
    limits = [_budget_of(row) for row in connection.execute(found).mappings()]
    return [
        replace(limit, uncounted=count_uncounted(connection, limit.provider, limit.notebook, limit.unit))
        for limit in limits
    ]


def _budget_of(row: RowMapping, *, limit: float | None = None) -> Budget:
    """Build a limit from its row.

    Args:
        row: The row.
        limit: The limit of the session's settings, which no row has.
    """
    return Budget(
        provider=row["provider"], notebook=row["notebook"], limit=row["limit_amount"] if limit is None else limit,
        spent=row["spent"], reserved=row["reserved"], unit=row["unit"],
    )  # fmt: skip


def budgets_in_force(
    connection: sa.Connection, provider: str, notebook: str | None, limit: Money | None, *, unit: str = USD
) -> list[Budget]:
    """List the limits that apply to a run of a notebook.

    Args:
        connection: To the log.
        provider: The service that the run is sent to.
        notebook: Path of the notebook; None if it is unknown.
        limit: The limit of the session's settings; None without one. In another unit than the run's it is not in force.
        unit: The unit in which the run will be charged.
    """
    of_settings = limit.amount if limit is not None and limit.unit == unit else None
    names = ["", (notebook or "")[:LONGEST_KEY], *([] if of_settings is None else [FROM_SETTINGS])]
    rows = sa.select(budgets).where(
        budgets.c.provider == provider, budgets.c.unit == unit, budgets.c.notebook.in_(names)
    )
    return [
        _budget_of(row, limit=of_settings if row["notebook"] == FROM_SETTINGS else None)
        for row in connection.execute(rows.order_by(budgets.c.notebook)).mappings()
    ]


def budget_name(notebook: str, unit: str = USD) -> str:
    """Return what a budget is called in messages."""
    if notebook == FROM_SETTINGS:
        name = "usd" if unit == USD else unit
        return f"the budget of your settings (budget_{name} or RUNWARE_NB_BUDGET_{name.upper()})"
    return f"the budget of {notebook}" if notebook else "the budget"


def limit_values(limit: Money | None, unit: str) -> dict[str, float]:
    """Return the parameter of the statement that compares limits: the limit of the session's settings.

    Args:
        limit: That limit; None without one.
        unit: The unit of the run. A limit in another unit does not apply to it, because credits are not dollars.
    """
    return {"settings_limit": limit.amount if limit is not None and limit.unit == unit else _NO_LIMIT}


def count_for_settings(connection: sa.Connection, provider: str, unit: str = USD) -> None:
    """Begin to count what is spent for limits from settings, unless this log does so already."""
    have = sa.select(budgets.c.provider).where(
        budgets.c.provider == provider, budgets.c.notebook == FROM_SETTINGS, budgets.c.unit == unit
    )
    if connection.execute(have).first() is None:
        set_budget(connection, provider, FROM_SETTINGS, 0.0, unit=unit)


def carry_budgets(connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the limits of a log that was replaced into the one in its place: a limit must not end because a file did.

    What was spent counts on; of two counts, the larger one is nearer to what was paid. What was reserved does not: the
    runs in flight reserve it again.
    """
    for row in rows:
        put = upsert_for(connection.dialect)(budgets).values({**row, "reserved": 0.0})
        larger = sa.case((put.excluded.spent > budgets.c.spent, put.excluded.spent), else_=budgets.c.spent)
        connection.execute(
            put.on_conflict_do_update(index_elements=["provider", "notebook", "unit"], set_={"spent": larger})
        )


def set_budget(
    connection: sa.Connection, provider: str, notebook: str, limit: float | None, *, unit: str = USD
) -> None:
    """Set or (with None) remove a limit; what was spent and reserved counts from the beginning of the log.

    Args:
        connection: To the log.
        provider: Whose service.
        notebook: Which notebook; empty for all together.
        limit: The limit in *unit*.
        unit: `USD` or `credits`. Amounts in other units do not count.
    """
    if limit is None:
        connection.execute(
            sa.delete(budgets).where(
                budgets.c.provider == provider, budgets.c.notebook == notebook, budgets.c.unit == unit
            )
        )
        return
    spent = sa.select(sa.func.coalesce(sa.func.sum(spending.c.cost), 0.0)).where(
        spending.c.provider == provider, spending.c.unit == unit, spending.c.dimension == "model",
        spending.c.day == "",
    )  # fmt: skip
    held = sa.select(sa.func.coalesce(sa.func.sum(runs.c.estimate), 0.0)).where(
        runs.c.provider == provider, runs.c.cost_unit == unit, runs.c.finished_at_utc.is_(None),
        runs.c.is_imported == 0,
    )  # fmt: skip
    # A finished run whose cost the service did not report counts with its estimate, as it does in `settle`.
    unreported = sa.select(sa.func.coalesce(sa.func.sum(runs.c.estimate), 0.0)).where(
        runs.c.provider == provider, runs.c.cost_unit == unit, runs.c.is_imported == 0, _has_unreported_cost(),
    )  # fmt: skip
    if notebook not in {"", FROM_SETTINGS}:
        spent = spent.where(spending.c.notebook == notebook[:LONGEST_KEY])
        held, unreported = (sums.where(runs.c.notebook == notebook) for sums in (held, unreported))
    row = {
        "provider": provider, "notebook": notebook, "unit": unit, "limit_amount": limit,
        "spent": sum(float(connection.execute(sums).scalar_one()) for sums in (spent, unreported)),
        "reserved": float(connection.execute(held).scalar_one()),
    }  # fmt: skip
    put = upsert_for(connection.dialect)(budgets).values(row)
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["provider", "notebook", "unit"],
            set_={name: put.excluded[name] for name in ("limit_amount", "spent", "reserved")},
        )
    )


def _has_unreported_cost() -> sa.ColumnElement[bool]:
    """Build the condition of a finished run that the service may have charged for, without stating how much.

    A run without results of a service that chose its id was accepted, and may have been charged. Runware, which takes
    our ids, does not charge for a task that failed.
    """
    with_results = [State.SUCCEEDED.value, State.PARTIAL.value, State.DISCARDED.value]
    return sa.and_(
        runs.c.finished_at_utc.is_not(None), runs.c.cost.is_(None), runs.c.attempts > 0,
        sa.or_(has_own_id, sa.and_(runs.c.error.is_(None), runs.c.state.in_(with_results))),
    )  # fmt: skip


def count_uncounted(connection: sa.Connection, provider: str, notebook: str, unit: str = USD) -> int:
    """Count the runs that a budget leaves out, because neither their cost nor an estimate is known.

    Args:
        connection: To the log.
        provider: Whose service.
        notebook: Which notebook; empty or `FROM_SETTINGS` for all together.
        unit: The unit in which they are charged.
    """
    may_be_charged = sa.or_(sa.and_(runs.c.finished_at_utc.is_(None), runs.c.attempts > 0), _has_unreported_cost())
    uncounted = sa.select(sa.func.count()).where(
        runs.c.provider == provider, runs.c.cost_unit == unit, runs.c.is_imported == 0,
        runs.c.replay_of.is_(None), runs.c.cost.is_(None), runs.c.estimate.is_(None), may_be_charged,
    )  # fmt: skip
    if notebook not in {"", FROM_SETTINGS}:
        uncounted = uncounted.where(runs.c.notebook == notebook)
    return int(connection.execute(uncounted).scalar_one())


def uncounted_sentence(count: int) -> str:
    """Return the phrase that states how many runs a sum leaves out; empty if it has all."""
    if not count:
        return ""
    return f"{count} {'run' if count == 1 else 'runs'} of unknown cost {'is' if count == 1 else 'are'} not counted"


def refuse_over_budget(rows: list[Any], estimate: Money, provider: str) -> None:
    """Raise an error if a limit would be exceeded.

    Args:
        rows: Limits in the unit of the estimate that are exceeded, with the estimate reserved already.
        estimate: Of the run in question.
        provider: The service that it would be sent to.

    Raises:
        BudgetExceeded: There is such a limit.
    """
    if not rows:
        return
    notebook, limit, spent, reserved = rows[0]
    left = max(0.0, limit - spent - (reserved - estimate.amount))
    enough = f"{math.ceil((spent + reserved) * 100) / 100:.2f}"
    if notebook == FROM_SETTINGS:
        remedy = Remedy(f"Raise budget_usd (RUNWARE_NB_BUDGET_USD) to {enough} or more, or send less.")
        if estimate.unit != USD:
            remedy = Remedy(f"Raise budget_credits (RUNWARE_NB_BUDGET_CREDITS) to {enough} or more, or send less.")
    else:
        budget = command("budget", enough) if notebook else command("budget", enough, all=True)
        if estimate.unit != USD:
            of_service = command("budget", enough, unit=estimate.unit, service=provider)
            budget = replace(of_service, options=(*budget.options, *of_service.options))
        remedy = Remedy("{0} raises the budget.", (budget,))
    costs, *of_budget = [_in_short(amount, estimate.unit) for amount in (estimate.amount, left, limit)]
    clause = left_clause(budget_name(notebook, estimate.unit), *of_budget)
    raise BudgetExceeded(f"This run costs about {costs}, and {clause}. Nothing was sent.").with_remedy(remedy)


def left_clause(name: str, left: str, limit: str) -> str:
    """Return the clause that states what is left of a budget.

    Args:
        name: What the budget is called; see `budget_name`.
        left: What is left, as text, such as `2 credits`.
        limit: Its limit, as text.
    """
    if limit in {"$0", "$0.00", "0 credits"}:
        return f"{name} is {limit}"
    verb = "is" if left.startswith(("$", "1 ")) else "are"
    return f"{left} {verb} left of {name} of {limit}"


def _in_short(amount: float, unit: str) -> str:
    if unit == USD:
        return f"${amount:g}"
    return f"{amount:g} {'credit' if amount == 1 and unit == 'credits' else unit}"


@short_repr()
@dataclass(frozen=True, slots=True)
class OwnCosts:
    """What the user's own runs of one kind cost.

    Attributes:
        amount: Median in *unit*, for all results of the task in question.
        runs: How many runs it is the median of.
        is_similar: Whether these runs had the same size, steps and duration; otherwise no such run is in the log.
        unit: `USD` or `credits`.
    """

    amount: float
    runs: int
    is_similar: bool
    unit: str = USD

    @property
    def usd(self) -> float | None:
        """The median in US dollars; None if it is in another unit."""
        return self.amount if self.unit == USD else None


def median_cost(
    connection: sa.Connection,
    task: Mapping[str, Any],
    provider: str,
    results_of: Callable[[Mapping[str, Any]], int],
    unit: str = USD,
) -> OwnCosts | None:
    """Look up what the user's own last runs of this kind cost.

    Runs of the same model, size, steps and duration count; if there are none, all runs of this model and task type.

    Args:
        connection: To the log.
        task: In wire spelling.
        provider: The service that it would be sent to.
        results_of: Returns how many results a request asks for, at least 1. Only its provider can tell.
        unit: The unit in which it charges. Runs in other units do not count.

    Returns:
        The median; None if the log has no run of this model and task type with a known cost.
    """
    finished = runs.c.state.not_in([state.value for state in UNFINISHED_STATES])
    model = task.get("model")
    rows = (
        sa.select(runs.c.request, runs.c.cost)
        .where(runs.c.model.is_(None) if model is None else runs.c.model == str(model), runs.c.cost > 0,
               runs.c.cost < MOST_USD, runs.c.provider == provider, runs.c.cost_unit == unit, finished,
               runs.c.is_imported == 0, runs.c.task_type == str(task.get("taskType")))
        .order_by(runs.c.id.desc())
        .limit(_LOOKED_AT)
    )  # fmt: skip
    similar: list[float] = []
    others: list[float] = []
    for request, cost in connection.execute(rows):
        try:
            earlier = json.loads(request)
            count = results_of(earlier)
            if not isinstance(cost, int | float) or not math.isfinite(cost):
                continue
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # a damaged row, which `log` names
        is_similar = all(earlier.get(name) == task.get(name) for name in ("width", "height", "steps", "duration"))
        (similar if is_similar else others).append(cost / count)
    costs = similar or others
    if not costs:
        return None
    return OwnCosts(statistics.median(costs) * results_of(task), len(costs), bool(similar), unit)
