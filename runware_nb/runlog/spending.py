"""What was spent and what may be: the roll-up of costs, budgets, and medians of one's own runs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..core.amounts import MOST_USD
from ..core.tasks import expected_results
from ..errors import BudgetExceeded
from ..remedies import Remedy, command
from ..reprs import short_repr
from .databases import upsert_for
from .records import UNFINISHED_STATES, State
from .schema import LONGEST_KEY, budgets, results, run_tags, runs, spending

__all__ = [
    "FROM_SETTINGS", "Budget", "OwnCosts", "Spent", "budget_name", "budgets_in_force", "budgets_of",
    "carry_budgets", "count_for_settings", "limit_values", "median_cost", "refuse_over_budget", "set_budget",
    "sum_imported", "sum_spending",
]  # fmt: skip

FROM_SETTINGS = "*settings*"
"""Stands for the notebook in the row that counts for limits from settings (`RUNWARE_NB_BUDGET_USD`, `budget_usd`).

The row only holds what was spent and reserved, so that kernels share one count. The limit itself belongs to the
session and is handed in with each run: when the variable is removed, the limit ends.
"""
_LOOKED_AT = 50
_NO_LIMIT_USD = 1e18


@short_repr()
@dataclass(frozen=True, slots=True)
class Spent:
    """One line of a cost summary.

    Attributes:
        key: The cell (`notebook` and `cell`), day, model or tag.
        runs: How many.
        results: How many results they made.
        cost_usd: US dollars, as far as known.
        unknown: Runs with results whose cost the service did not say.
    """

    key: tuple[str, ...]
    runs: int
    results: int
    cost_usd: float
    unknown: int


@short_repr()
@dataclass(frozen=True, slots=True)
class Budget:
    """A limit.

    Attributes:
        provider: Whose service; the sandbox's money is not the real one's.
        notebook: Which notebook; empty for all together; `FROM_SETTINGS` for the limit of a session's settings.
        limit_usd: What may be spent.
        spent_usd: What was.
        reserved_usd: Estimates of runs in progress.
    """

    provider: str
    notebook: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float

    @property
    def left_usd(self) -> float:
        """US dollars that may still be spent; negative if more was spent than the limit allows."""
        return self.limit_usd - self.spent_usd - self.reserved_usd

    @property
    def name(self) -> str:
        """What the budget is called in messages."""
        return budget_name(self.notebook)


def sum_spending(
    connection: sa.Connection,
    by: str,
    *,
    since: str | None = None,
    provider: str | None = None,
    notebook: str | None = None,
) -> list[Spent]:
    """Sum the roll-up, the most expensive first; days in order.

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
    cost = sa.func.sum(spending.c.cost_usd)
    found = sa.select(
        *keys, sa.func.sum(spending.c.runs), sa.func.sum(spending.c.results), cost, sa.func.sum(spending.c.unknown)
    ).group_by(*keys)
    found = found.where(spending.c.dimension == ("model" if by == "notebook" else by))
    if since is None or by == "day":
        found = found.where(spending.c.day == "")
    if since is not None:
        found = found.where((spending.c.key if by == "day" else spending.c.day) >= since[:10])
    if provider is not None:
        found = found.where(spending.c.provider == provider)
    if notebook is not None:
        found = found.where(spending.c.notebook == notebook)
    found = found.order_by(*keys) if by == "day" else found.order_by(cost.desc(), *keys)
    width = len(keys)
    return [Spent(tuple(map(str, row[:width])), *row[width:]) for row in connection.execute(found)]


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
    is_unknown = sa.and_(runs.c.cost_usd.is_(None), runs.c.state != State.FAILED.value)
    selected = sa.select(
        *(key.label(f"key{number}") for number, key in enumerate(keys)),
        count.scalar_subquery().label("results"), sa.func.coalesce(runs.c.cost_usd, 0.0).label("cost_usd"),
        sa.case((is_unknown, 1), else_=0).label("unknown"),
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
    cost = sa.func.sum(each.c.cost_usd)
    summed = sa.select(*names, sa.func.count(), sa.func.sum(each.c.results), cost, sa.func.sum(each.c.unknown))
    order = names if by == "day" else [cost.desc(), *names]
    rows = connection.execute(summed.group_by(*names).order_by(*order))
    width = len(names)
    return [
        Spent(tuple(map(str, row[:width])), int(row[-4]), int(row[-3]), float(row[-2]), int(row[-1])) for row in rows
    ]


def budgets_of(connection: sa.Connection, provider: str | None = None) -> list[Budget]:
    """List the limits that were set with the `budget` command; they hold for every session of this log."""
    found = sa.select(budgets).where(budgets.c.notebook != FROM_SETTINGS)
    found = found.order_by(budgets.c.provider, budgets.c.notebook)
    if provider is not None:
        found = found.where(budgets.c.provider == provider)
    return [Budget(**row) for row in connection.execute(found).mappings()]


def budgets_in_force(
    connection: sa.Connection, provider: str, notebook: str | None, settings_usd: float | None
) -> list[Budget]:
    """List the limits that apply to a run of a notebook.

    Args:
        connection: To the log.
        provider: The service that the run is sent to.
        notebook: Path of the notebook; None if it is unknown.
        settings_usd: The limit of the session's settings in US dollars; None without one.
    """
    names = ["", (notebook or "")[:LONGEST_KEY], *([] if settings_usd is None else [FROM_SETTINGS])]
    rows = sa.select(budgets).where(budgets.c.provider == provider, budgets.c.notebook.in_(names))
    in_force = []
    for row in connection.execute(rows.order_by(budgets.c.notebook)).mappings():
        limit = settings_usd if row["notebook"] == FROM_SETTINGS else row["limit_usd"]
        in_force.append(Budget(**{**row, "limit_usd": limit}))
    return in_force


def budget_name(notebook: str) -> str:
    """Return what a budget is called in messages."""
    if notebook == FROM_SETTINGS:
        return "the budget of your settings (budget_usd or RUNWARE_NB_BUDGET_USD)"
    return f"the budget of {notebook}" if notebook else "the budget"


def limit_values(settings_usd: float | None) -> dict[str, float]:
    """Return the parameter of the statement that compares limits: the limit of the session's settings."""
    return {"settings_usd": _NO_LIMIT_USD if settings_usd is None else settings_usd}


def count_for_settings(connection: sa.Connection, provider: str) -> None:
    """Begin to count what is spent for limits from settings, unless this log does so already."""
    have = sa.select(budgets.c.provider).where(budgets.c.provider == provider, budgets.c.notebook == FROM_SETTINGS)
    if connection.execute(have).first() is None:
        set_budget(connection, provider, FROM_SETTINGS, 0.0)


def carry_budgets(connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the limits of a log that was replaced into the one in its place: a limit must not end because a file did.

    What was spent counts on; of two counts, the larger one is nearer to what was paid. What was reserved does not: the
    runs in flight reserve it again.
    """
    for row in rows:
        put = upsert_for(connection.dialect)(budgets).values({**row, "reserved_usd": 0.0})
        larger = sa.case(
            (put.excluded.spent_usd > budgets.c.spent_usd, put.excluded.spent_usd), else_=budgets.c.spent_usd
        )
        connection.execute(
            put.on_conflict_do_update(index_elements=["provider", "notebook"], set_={"spent_usd": larger})
        )


def set_budget(connection: sa.Connection, provider: str, notebook: str, limit_usd: float | None) -> None:
    """Set or (with None) remove a limit; what was spent and reserved counts from the beginning of the log."""
    if limit_usd is None:
        connection.execute(sa.delete(budgets).where(budgets.c.provider == provider, budgets.c.notebook == notebook))
        return
    spent = sa.select(sa.func.coalesce(sa.func.sum(spending.c.cost_usd), 0.0)).where(
        spending.c.provider == provider, spending.c.dimension == "model", spending.c.day == ""
    )
    held = sa.select(sa.func.coalesce(sa.func.sum(runs.c.estimate_usd), 0.0)).where(
        runs.c.provider == provider, runs.c.finished_at_utc.is_(None), runs.c.is_imported == 0
    )
    # A finished run whose cost the service did not report counts with its estimate, as it does in `settle`.
    unreported = sa.select(sa.func.coalesce(sa.func.sum(runs.c.estimate_usd), 0.0)).where(
        runs.c.provider == provider, runs.c.finished_at_utc.is_not(None), runs.c.cost_usd.is_(None),
        runs.c.is_imported == 0, runs.c.attempts > 0, runs.c.error.is_(None),
        runs.c.state.in_([State.SUCCEEDED.value, State.PARTIAL.value, State.DISCARDED.value]),
    )  # fmt: skip
    if notebook not in {"", FROM_SETTINGS}:
        spent = spent.where(spending.c.notebook == notebook[:LONGEST_KEY])
        held, unreported = (sums.where(runs.c.notebook == notebook) for sums in (held, unreported))
    row = {
        "provider": provider, "notebook": notebook, "limit_usd": limit_usd,
        "spent_usd": sum(float(connection.execute(sums).scalar_one()) for sums in (spent, unreported)),
        "reserved_usd": float(connection.execute(held).scalar_one()),
    }  # fmt: skip
    put = upsert_for(connection.dialect)(budgets).values(row)
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["provider", "notebook"],
            set_={name: put.excluded[name] for name in ("limit_usd", "spent_usd", "reserved_usd")},
        )
    )


def refuse_over_budget(rows: list[Any], estimate_usd: float) -> None:
    """Raise an error if a limit would be exceeded.

    Args:
        rows: Limits that are exceeded, with the estimate reserved already.
        estimate_usd: Of the run in question.

    Raises:
        BudgetExceeded: There is such a limit.
    """
    if not rows:
        return
    notebook, limit, spent, reserved = rows[0]
    left = max(0.0, limit - spent - (reserved - estimate_usd))
    enough = math.ceil((spent + reserved) * 100) / 100
    if notebook == FROM_SETTINGS:
        remedy = Remedy(f"Raise budget_usd (RUNWARE_NB_BUDGET_USD) to {enough:.2f} or more, or send less.")
    else:
        amount = f"{enough:.2f}"
        budget = command("budget", amount) if notebook else command("budget", amount, all=True)
        remedy = Remedy("{0} raises the budget.", (budget,))
    raise BudgetExceeded(
        f"This run costs about ${estimate_usd:g}, and ${left:g} is left of {budget_name(notebook)} of ${limit:g}. "
        "Nothing was sent."
    ).with_remedy(remedy)


@short_repr()
@dataclass(frozen=True, slots=True)
class OwnCosts:
    """What the user's own runs of one kind cost.

    Attributes:
        usd: Median in US dollars, for all results of the task in question.
        runs: How many runs it is the median of.
        is_similar: Whether these runs had the same size, steps and duration; otherwise no such run is in the log.
    """

    usd: float
    runs: int
    is_similar: bool


def median_cost(connection: sa.Connection, task: Mapping[str, Any], provider: str) -> OwnCosts | None:
    """Look up what the user's own last runs of this kind cost.

    Runs of the same model, size, steps and duration count; if there are none, all runs of this model and task type.

    Args:
        connection: To the log.
        task: In wire spelling.
        provider: The service that it would be sent to.

    Returns:
        The median; None if the log has no run of this model and task type with a known cost.
    """
    finished = runs.c.state.not_in([state.value for state in UNFINISHED_STATES])
    model = task.get("model")
    rows = (
        sa.select(runs.c.request, runs.c.cost_usd)
        .where(runs.c.model.is_(None) if model is None else runs.c.model == str(model), runs.c.cost_usd > 0,
               runs.c.cost_usd < MOST_USD, runs.c.provider == provider, finished, runs.c.is_imported == 0,
               runs.c.task_type == task.get("taskType", "imageInference"))
        .order_by(runs.c.id.desc())
        .limit(_LOOKED_AT)
    )  # fmt: skip
    similar: list[float] = []
    others: list[float] = []
    for request, cost in connection.execute(rows):
        try:
            earlier = json.loads(request)
            count = expected_results(earlier)
            if not isinstance(cost, int | float) or not math.isfinite(cost):
                continue
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # a damaged row, which `log` names
        is_similar = all(earlier.get(name) == task.get(name) for name in ("width", "height", "steps", "duration"))
        (similar if is_similar else others).append(cost / count)
    costs = similar or others
    if not costs:
        return None
    return OwnCosts(statistics.median(costs) * expected_results(task), len(costs), bool(similar))
