"""What was spent and what may be: the roll-up of costs, budgets, and medians of one's own runs."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..errors import BudgetExceeded
from ..wire.tasks import expected_results
from .databases import upsert_for
from .records import UNFINISHED_STATES, State
from .schema import LONGEST_KEY, budgets, results, run_tags, runs, spending

__all__ = [
    "Budget",
    "Spent",
    "budgets_of",
    "median_cost",
    "refuse_over_budget",
    "set_budget",
    "sum_imported",
    "sum_spending",
]

_LOOKED_AT = 50


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


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit.

    Attributes:
        provider: Whose service; the sandbox's money is not the real one's.
        notebook: Which notebook; empty for all together.
        limit_usd: What may be spent.
        spent_usd: What was.
        reserved_usd: Estimates of what is on its way.
    """

    provider: str
    notebook: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float

    @property
    def left_usd(self) -> float:
        """What may still be spent."""
        return self.limit_usd - self.spent_usd - self.reserved_usd


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

    They are in no roll-up, since nobody here paid for them; an index of their own keeps this quick.
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
    """List the limits."""
    found = sa.select(budgets).order_by(budgets.c.provider, budgets.c.notebook)
    if provider is not None:
        found = found.where(budgets.c.provider == provider)
    return [Budget(**row) for row in connection.execute(found).mappings()]


def set_budget(connection: sa.Connection, provider: str, notebook: str, limit_usd: float | None) -> None:
    """Set or (with None) lift a limit; what was spent and is on its way counts from the log's beginning."""
    if limit_usd is None:
        connection.execute(sa.delete(budgets).where(budgets.c.provider == provider, budgets.c.notebook == notebook))
        return
    spent = sa.select(sa.func.coalesce(sa.func.sum(spending.c.cost_usd), 0.0)).where(
        spending.c.provider == provider, spending.c.dimension == "model", spending.c.day == ""
    )
    held = sa.select(sa.func.coalesce(sa.func.sum(runs.c.estimate_usd), 0.0)).where(
        runs.c.provider == provider, runs.c.finished_at_utc.is_(None), runs.c.is_imported == 0
    )
    if notebook:
        spent = spent.where(spending.c.notebook == notebook[:LONGEST_KEY])
        held = held.where(runs.c.notebook == notebook)
    row = {
        "provider": provider, "notebook": notebook, "limit_usd": limit_usd,
        "spent_usd": float(connection.execute(spent).scalar_one()),
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
    """Raise where a limit would be passed.

    Args:
        rows: Limits that are passed, with the estimate reserved already.
        estimate_usd: Of the run in question.

    Raises:
        BudgetExceeded: There is such a limit.
    """
    if not rows:
        return
    notebook, limit, spent, reserved = rows[0]
    left = max(0.0, limit - spent - (reserved - estimate_usd))
    whose = f"the budget of {notebook}" if notebook else "the budget"
    enough = math.ceil((spent + reserved) * 100) / 100
    raise BudgetExceeded(
        f"{whose} is ${limit:g} and ${left:g} of it is left; this run costs about ${estimate_usd:g}, so nothing was "
        f"sent. `%runware budget {enough:.2f}{'' if notebook else ' --all'}` makes room for it"
    )


def median_cost(connection: sa.Connection, task: Mapping[str, Any], provider: str) -> tuple[float, int] | None:
    """Look up what one's own last runs of this kind cost.

    Args:
        connection: To the log.
        task: In wire spelling; runs of the same model, size and steps count.
        provider: Who is asked.

    Returns:
        US dollars for all its results, and of how many runs this is the median; None without any.
    """
    finished = runs.c.state.not_in([state.value for state in UNFINISHED_STATES])
    found = (
        sa.select(runs.c.request, runs.c.cost_usd)
        .where(runs.c.model == task.get("model"), runs.c.cost_usd > 0, runs.c.provider == provider, finished,
               runs.c.task_type == task.get("taskType"))
        .order_by(runs.c.id.desc())
        .limit(_LOOKED_AT)
    )  # fmt: skip
    alike = []
    for request, cost in connection.execute(found):
        earlier = json.loads(request)
        if all(earlier.get(name) == task.get(name) for name in ("width", "height", "steps", "duration")):
            alike.append(cost / expected_results(earlier))
    if not alike:
        return None
    return statistics.median(alike) * expected_results(task), len(alike)
