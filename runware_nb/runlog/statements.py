"""The hot statements as SQL text, made once from the table definitions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ..core.results import PARTIAL
from .databases import upsert_for
from .records import UNFINISHED_STATES
from .rows import PARENT_COLUMNS, RESULT_COLUMNS, RUN_COLUMNS, USE_COLUMNS
from .schema import (
    LONGEST_KEY,
    attempts,
    budgets,
    cells,
    environments,
    has_own_id,
    results,
    run_parents,
    run_tags,
    runs,
    spending,
    uploads,
    uses,
)
from .spending import FROM_SETTINGS

__all__ = ["Statements", "is_incomplete"]

_AMOUNTS = ("runs", "results", "unknown", "cost")
_OF_FILE = {
    "media_type", "size_bytes", "received_sha256", "stored_sha256", "perceptual_hash", "file", "medium_state",
}  # fmt: skip


class Statements:
    """For one kind of database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        upsert = upsert_for(dialect)

        def text(statement: sa.ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        mine = runs.c.task_uuid == sa.bindparam("run_uuid")
        self.insert_run = text(sa.insert(runs).values(_bind(*RUN_COLUMNS)))
        self.insert_parent = text(sa.insert(run_parents).values(_bind(*PARENT_COLUMNS)))
        tagged = sa.select(sa.bindparam("tag", type_=sa.String), runs.c.id).where(mine)
        self.insert_tag = text(upsert(run_tags).from_select(["tag", "run_id"], tagged).on_conflict_do_nothing())
        used = sa.select(sa.bindparam("tag", type_=sa.String), runs.c.id, _word(1)).where(mine)
        self.insert_tag_of_use = text(
            upsert(run_tags).from_select(["tag", "run_id", "of_use"], used).on_conflict_do_nothing()
        )
        self.insert_use = text(sa.insert(uses).values(_bind(*USE_COLUMNS)))
        body: Any = sa.bindparam("body")
        key: Any = sa.bindparam("hash")
        # An import of an earlier version may have left another text under this hash: the text of one's own cell wins.
        own_text = upsert(cells).values(hash=key, source=body)
        self.insert_cell = text(
            own_text.on_conflict_do_update(index_elements=["hash"], set_={"source": own_text.excluded.source})
        )
        self.insert_environment = text(upsert(environments).values(hash=key, snapshot=body).on_conflict_do_nothing())
        self.insert_attempt = text(
            sa.insert(attempts).values(
                task_uuid=sa.bindparam("attempt_uuid"), run_uuid=sa.bindparam("run_uuid"),
                number=sa.bindparam("number"), sent_at_utc=sa.bindparam("at_utc"),
            )
        )  # fmt: skip
        self.claim = text(
            sa.update(runs)
            .where(
                mine,
                runs.c.attempts == sa.bindparam("before"),
                runs.c.finished_at_utc.is_(None),
                # It may have been accepted: a further attempt could be charged a second time.
                runs.c.state != _word("unknown"),
            )
            .values(
                state=sa.case((runs.c.state == _word("prepared"), _word("sent")), else_=runs.c.state),
                attempt_uuid=sa.bindparam("attempt_uuid"), attempts=sa.bindparam("number"),
                sent_at_utc=sa.bindparam("at_utc"), request=sa.bindparam("request"), sender=sa.bindparam("sender"),
                remote_id=sa.bindparam("remote_id"),
            )
        )  # fmt: skip
        # Only a claim that is still the last one, of an attempt that no id or result has arrived for.
        self.refused = text(
            sa.update(runs)
            .where(
                mine,
                runs.c.attempt_uuid == sa.bindparam("attempt_uuid"),
                runs.c.sender == sa.bindparam("sender"),
                runs.c.attempts == _word(1),
                runs.c.finished_at_utc.is_(None),
                runs.c.remote_id.is_(None),
                runs.c.state.in_([_word("sent"), _word("detached"), _word("discarded")]),
            )
            .values(
                state=sa.case((runs.c.state == _word("discarded"), runs.c.state), else_=_word("prepared")),
                attempts=_word(0),
                sent_at_utc=sa.null(),
            )
        )
        used_again = upsert(uploads).values(
            service=sa.bindparam("service"), sha256=sa.bindparam("sha256"),
            given_sha256=sa.bindparam("given_sha256"), media_uuid=sa.bindparam("media_uuid"),
            uploaded_at_utc=sa.bindparam("at_utc"), used_at_utc=sa.bindparam("at_utc"),
        )  # fmt: skip
        self.put_upload = text(
            used_again.on_conflict_do_update(
                index_elements=["service", "sha256"],
                set_={
                    "uploaded_at_utc": sa.case(
                        (uploads.c.media_uuid == used_again.excluded.media_uuid, uploads.c.uploaded_at_utc),
                        else_=used_again.excluded.uploaded_at_utc,
                    ),
                    # Two files may be sent in the same form. The first counts, or a request would have two hashes.
                    "given_sha256": sa.case(
                        (uploads.c.media_uuid == used_again.excluded.media_uuid, uploads.c.given_sha256),
                        else_=used_again.excluded.given_sha256,
                    ),
                    "media_uuid": used_again.excluded.media_uuid,
                    "used_at_utc": used_again.excluded.used_at_utc,
                },
            )
        )
        self.drop_upload = text(
            sa.delete(uploads).where(
                uploads.c.service == sa.bindparam("service"), uploads.c.sha256 == sa.bindparam("sha256")
            )
        )
        put = upsert(results).values(_bind(*RESULT_COLUMNS))
        kept = {"run_uuid", "position"}
        # Two kernels may complete the same run. What one of them has stored stays known, although the other one could
        # not download the file or has not done so yet: else the file of a paid result would be in the folder, and the
        # log would not know it.
        stays = sa.and_(
            results.c.medium_state == _word("stored"),
            put.excluded.medium_state.in_([_word(state) for state in ("pending", "missing", "expired")]),
        )
        # Nor does an incomplete text of one kernel replace the whole one, which is paid for, of another.
        is_worse = sa.and_(is_incomplete(put.excluded.raw), sa.not_(is_incomplete(results.c.raw)))
        self.put_result = text(
            put.on_conflict_do_update(
                index_elements=["run_uuid", "position"],
                set_={
                    name: sa.case((sa.or_(is_worse, stays) if name in _OF_FILE else is_worse, results.c[name]),
                                  else_=put.excluded[name])
                    for name in RESULT_COLUMNS
                    if name not in kept
                },
            )
        )  # fmt: skip
        # A text while it is written. Another kernel may have collected the whole text since: then nothing changes.
        is_open_run = sa.select(*(sa.bindparam(name, type_=results.c[name].type) for name in RESULT_COLUMNS)).where(
            sa.exists().where(mine, runs.c.finished_at_utc.is_(None))
        )
        so_far = upsert(results).from_select(list(RESULT_COLUMNS), is_open_run)
        self.put_text_so_far = text(
            so_far.on_conflict_do_update(
                index_elements=["run_uuid", "position"],
                set_={"raw": so_far.excluded.raw},
                where=is_incomplete(results.c.raw),
            )
        )
        is_unconfirmed = runs.c.state.in_([_word("sent"), _word("unknown")])  # a result proves that it was accepted
        self.accept = text(sa.update(runs).where(mine, is_unconfirmed).values(state=_word("accepted")))
        discarded = _word("discarded")
        # Changes nothing, and finds no row if the fate of the run has become known.
        self.still_unknown = text(
            sa.update(runs)
            .where(mine, runs.c.state == _word("unknown"), runs.c.finished_at_utc.is_(None))
            .values(state=_word("unknown"))
        )
        # A run that has succeeded stays so, although another kernel ends it with an incomplete text or a failure.
        is_better = sa.and_(
            runs.c.state == _word("succeeded"), sa.cast(sa.bindparam("state"), sa.String) != _word("succeeded")
        )
        self.finish = text(
            sa.update(runs).where(mine).values(
                state=sa.case(
                    (sa.or_(runs.c.state == discarded, is_better), runs.c.state), else_=sa.bindparam("state")
                ),
                finished_at_utc=sa.case((is_better, runs.c.finished_at_utc), else_=sa.bindparam("at_utc")),
                duration_s=sa.case(
                    (is_better, runs.c.duration_s), else_=sa.cast(sa.bindparam("duration_s"), sa.Float)
                ),
                cost=_reported_cost(), error=sa.case((is_better, runs.c.error), else_=sa.bindparam("error")),
            )
        )  # fmt: skip
        # The service has answered with its id: it has accepted the task, even if its fate was unknown before. A run
        # that is hidden or that no kernel waits for stays so. With the id, any kernel can collect it.
        self.accepted = text(
            sa.update(runs)
            .where(mine, runs.c.finished_at_utc.is_(None), runs.c.attempts > _word(0))
            .values(
                state=sa.case((is_unconfirmed, _word("accepted")), else_=runs.c.state),
                remote_id=sa.bindparam("remote_id"), state_at_utc=sa.bindparam("at_utc"),
                error=sa.null(),
            )
        )  # fmt: skip
        # It left and may be paid for, whatever state it was in: also a discarded run is shown again, because the user
        # has to decide. It stays unfinished, so that its reservation in the budgets stays too. A run whose id has
        # arrived meanwhile, in another kernel, can be asked about and is left as it is.
        is_known = sa.or_(
            runs.c.remote_id.is_(None),
            runs.c.remote_id == runs.c.attempt_uuid,
            runs.c.remote_id == sa.bindparam("remote_id"),
        )
        is_same_claim = sa.func.coalesce(runs.c.sent_at_utc, _word("")) == sa.bindparam("sent_at_utc")
        self.touch = text(sa.update(runs).where(mine).values(state=runs.c.state))  # finds out whether the run is there
        self.mark_unknown = text(
            sa.update(runs)
            .where(mine, runs.c.finished_at_utc.is_(None), runs.c.attempts > _word(0), is_known, is_same_claim)
            .values(state=_word("unknown"), error=sa.bindparam("error"), state_at_utc=sa.bindparam("at_utc"))
        )
        is_open = runs.c.state.in_([_word(state.value) for state in sorted(UNFINISHED_STATES)])
        self.set_state = text(
            sa.update(runs)
            # A deadline that passes, or a kernel that leaves, says nothing about an unknown fate: as `detached`, it
            # would be sent again; as `discarded` too, once the same request restores it.
            .where(mine, is_open, runs.c.state != _word("unknown"))
            .where(sa.or_(runs.c.attempts > _word(0), sa.bindparam("state") == discarded))
            .values(state=sa.bindparam("state"))
        )
        self.restore = text(
            sa.update(runs)
            .where(mine, runs.c.state == discarded, runs.c.finished_at_utc.is_(None), runs.c.attempts > _word(0))
            .values(state=_word("detached"))
        )
        self.drop_unsent = text(
            sa.update(runs)
            .where(mine, runs.c.attempts == _word(0), runs.c.finished_at_utc.is_(None))
            .values(state=discarded, finished_at_utc=sa.bindparam("at_utc"))
        )
        # What `InFlight` writes again to a log that lost it: nothing that is there already is changed or counted twice.
        self.carry_run = text(upsert(runs).values(_bind(*RUN_COLUMNS)).on_conflict_do_nothing())
        carried_attempt = upsert(attempts).values(
            task_uuid=sa.bindparam("attempt_uuid"), run_uuid=sa.bindparam("run_uuid"),
            number=sa.bindparam("number"), sent_at_utc=sa.bindparam("at_utc"),
        )  # fmt: skip
        unchanged = (self.put_text_so_far, self.insert_tag, self.insert_cell, self.insert_environment, self.claim,
                     self.accept, self.accepted, self.refused, self.touch, self.mark_unknown, self.set_state,
                     )  # fmt: skip
        self.carried: dict[str, str] = {
            **{sql: sql for sql in unchanged},
            self.insert_attempt: text(carried_attempt.on_conflict_do_nothing()),
            self.insert_parent: text(upsert(run_parents).values(_bind(*PARENT_COLUMNS)).on_conflict_do_nothing()),
            self.put_result: text(put.on_conflict_do_nothing()),
        }
        self._add_money(upsert, text)

    def _add_money(self, upsert: Any, text: Any) -> None:
        """Make what keeps roll-up and budgets right, run before `finish`: a run that is finished counts no more."""
        mine = runs.c.task_uuid == sa.bindparam("run_uuid")
        cost = sa.func.coalesce(_reported_cost(), _word(0))
        # The service did not report the cost, or reported it in another unit than the run was prepared in. Without
        # results, a service that accepts our ids charges nothing (Runware). A service that chose an id has accepted the
        # task, and may charge for one that fails: its cost is unknown then, and never 0.
        may_be_charged = sa.or_(sa.cast(sa.bindparam("has_results"), sa.Integer) == _word(1), has_own_id)
        is_unknown = sa.and_(may_be_charged, _reported_cost().is_(None))
        counted = sa.select(*_counted(cost, is_unknown)).where(mine, runs.c.is_imported == _word(0)).cte("counted")
        parts = [
            _part(counted, dimension, counted.c[dimension], by_day=by_day)
            for dimension in ("cell", "model", "day")
            for by_day in (False, True)
            if not (by_day and dimension == "day")
        ]
        tags = [
            _part(counted, "tag", run_tags.c.tag, by_day=by_day).where(
                run_tags.c.run_id == counted.c.run_id,
                run_tags.c.of_use == _word(0),  # money counts under the tags it was spent for, and not again
            )
            for by_day in (False, True)
        ]
        self.roll_up = text(_adding(upsert, sa.union_all(*parts)))
        self.roll_up_tags = text(_adding(upsert, sa.union_all(*tags)))

        estimate: Any = sa.bindparam("estimate", type_=sa.Float)
        limited = sa.and_(
            budgets.c.provider == sa.bindparam("provider"),
            budgets.c.unit == sa.bindparam("unit"),
            budgets.c.notebook.in_([*_FOR_ALL_NOTEBOOKS, sa.bindparam("notebook")]),
        )
        self.reserve = text(sa.update(budgets).where(limited).values(reserved=budgets.c.reserved + estimate))
        limit = sa.case(
            (budgets.c.notebook == _word(FROM_SETTINGS), sa.cast(sa.bindparam("settings_limit"), sa.Float)),
            else_=budgets.c.limit_amount,
        )
        self.over_budget = text(
            sa.select(budgets.c.notebook, limit, budgets.c.spent, budgets.c.reserved).where(
                limited, budgets.c.spent + budgets.c.reserved > limit + _word(1e-9)
            )
        )
        # Where the cost is unknown, a budget counts the estimate, never 0.
        estimated = sa.func.coalesce(runs.c.estimate, _word(0))
        charged = sa.case((is_unknown, estimated), else_=cost)
        self.settle = text(_settling(mine, charged))
        self.settle_unsent = text(_settling(sa.and_(mine, runs.c.attempts == _word(0)), _word(0)))
        self.any_budget = text(sa.select(budgets.c.provider))
        self.of_budgets = frozenset({self.reserve, self.over_budget, self.settle, self.settle_unsent})


def _settling(mine: sa.ColumnElement[bool], charged: sa.ColumnElement[Any]) -> Any:
    """Build the statement that turns what was reserved for a run into what it cost."""
    estimate = sa.func.coalesce(runs.c.estimate, _word(0))
    held = sa.select(sa.case((runs.c.finished_at_utc.is_(None), estimate), else_=_word(0))).where(mine)
    was_charged = sa.and_(sa.or_(runs.c.error.is_(None), has_own_id), runs.c.attempts > _word(0))
    # What an earlier end of the same run has counted already: a run can end again when its result arrives late.
    counted = sa.case(
        (runs.c.finished_at_utc.is_(None), _word(0)),
        else_=sa.func.coalesce(runs.c.cost, sa.case((was_charged, estimate), else_=_word(0))),
    )
    spent = sa.select(charged - counted).where(mine)
    own = sa.and_(mine, runs.c.is_imported == _word(0))
    provider = sa.select(runs.c.provider).where(own).scalar_subquery()
    unit = sa.select(runs.c.cost_unit).where(own).scalar_subquery()
    notebook = sa.select(_key(runs.c.notebook)).where(own).scalar_subquery()
    left = budgets.c.reserved - held.scalar_subquery()
    whose = sa.or_(budgets.c.notebook.in_(_FOR_ALL_NOTEBOOKS), budgets.c.notebook == notebook)
    return (
        sa.update(budgets)
        .where(budgets.c.provider == provider, budgets.c.unit == unit, whose)
        .values(
            reserved=sa.case((left > _word(0), left), else_=_word(0.0)),
            spent=budgets.c.spent + spent.scalar_subquery(),
        )
    )


def is_incomplete(raw: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Return whether a result is a text that has not arrived completely.

    The mark is the last field of such a result. Within a text, a quotation mark is written with a backslash, so that no
    text looks like the mark.
    """
    return sa.func.coalesce(raw, _word("")).like(_word(f'%"{PARTIAL}": true}}'))


def _reported_cost() -> sa.ColumnElement[Any]:
    """Build the cost that the service reported; unknown if it is in another unit than the one of the run.

    Another kernel may have completed the run, with its cost: an end that reports none does not take it away.
    """
    reported = sa.case((runs.c.cost_unit == sa.bindparam("unit"), sa.cast(sa.bindparam("cost"), sa.Float)))
    return sa.func.coalesce(reported, runs.c.cost)


def _counted(cost: sa.ColumnElement[Any], is_unknown: sa.ColumnElement[bool]) -> list[Any]:
    """Return what the roll-up needs of one run; the amounts of a run that was finished before are only what changed."""
    is_new = sa.case((runs.c.finished_at_utc.is_(None), _word(1)), else_=_word(0))
    number = _word("In [") + sa.cast(runs.c.execution_count, sa.String) + _word("]")
    own = sa.and_(results.c.run_uuid == sa.bindparam("run_uuid"), results.c.error.is_(None))
    made = sa.select(sa.func.count()).select_from(results).where(own).scalar_subquery()
    return [
        runs.c.id.label("run_id"),
        sa.func.substr(runs.c.created_at_utc, _word(1), _word(10)).label("day"),
        runs.c.provider.label("provider"),
        _key(runs.c.notebook).label("notebook"),
        _key(sa.func.coalesce(runs.c.cell_id, number)).label("cell"),
        _key(runs.c.model).label("model"),
        runs.c.cost_unit.label("unit"),
        is_new.label("runs"),
        (is_new * made).label("results"),
        (is_new * sa.case((is_unknown, _word(1)), else_=_word(0))).label("unknown"),
        (cost - sa.func.coalesce(runs.c.cost, _word(0))).label("cost"),
    ]


def _part(counted: sa.CTE, dimension: str, key: Any, *, by_day: bool) -> sa.Select[Any]:
    day = counted.c.day if by_day else _word("")
    amounts = [counted.c[name] for name in _AMOUNTS]
    # a condition of its own, since SQLite would take the ON of ON CONFLICT for one of a join
    return sa.select(
        _word(dimension), day, counted.c.provider, counted.c.notebook, key, counted.c.unit, *amounts
    ).where(sa.true())


def _adding(upsert: Any, rows: Any) -> Any:
    """Add amounts to the roll-up."""
    names = [column.name for column in spending.columns]
    added = upsert(spending).from_select(names, rows)
    return added.on_conflict_do_update(
        index_elements=[name for name in names if name not in _AMOUNTS],
        set_={name: spending.c[name] + added.excluded[name] for name in _AMOUNTS},
    )


def _bind(*names: str) -> dict[str, sa.BindParameter[Any]]:
    return {name: sa.bindparam(name) for name in names}


def _word(value: str | float) -> sa.ColumnElement[Any]:
    """Write a constant of ours into the text; never anything from outside."""
    return sa.literal_column(repr(value), sa.String if isinstance(value, str) else None)


def _key(column: Any) -> sa.ColumnElement[Any]:
    return sa.func.substr(sa.func.coalesce(column, _word("")), _word(1), _word(LONGEST_KEY))


_FOR_ALL_NOTEBOOKS = (_word(""), _word(FROM_SETTINGS))
"""Rows of the table of budgets that count the runs of every notebook."""
