"""The tables, defined once for every database."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "HEAD",
    "LONGEST_KEY",
    "SEARCHED",
    "attempts",
    "budgets",
    "cells",
    "environments",
    "has_own_id",
    "is_twin",
    "metadata",
    "results",
    "run_parents",
    "run_tags",
    "runs",
    "spending",
    "sweep_points",
    "sweeps",
    "uploads",
    "uses",
    "votes",
]

HEAD = "0008"
"""The newest migration; a log of this version is opened without Alembic."""

LONGEST_KEY = 300
"""Characters of a notebook, cell, model or label that tell one sum or budget from another."""

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task_uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("attempt_uuid", sa.String(36), nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("task_type", sa.String(40), nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("request_hash", sa.String(80), nullable=False),
    sa.Column("asked_hash", sa.String(80), nullable=False),
    sa.Column("seed_given", sa.Integer, nullable=False),
    sa.Column("prompt_template", sa.Text),
    sa.Column("prompt", sa.Text),
    sa.Column("prompt_origin", sa.Text),
    sa.Column("notebook", sa.Text),
    sa.Column("cell_id", sa.Text),
    sa.Column("cell_hash", sa.String(64)),
    sa.Column("cell_ordinal", sa.Integer),
    sa.Column("execution_count", sa.Integer),
    sa.Column("kernel", sa.Text),
    sa.Column("parent_uuid", sa.String(36)),
    sa.Column("sweep_id", sa.String(36)),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at_utc", sa.String(32), nullable=False),
    sa.Column("sent_at_utc", sa.String(32)),
    sa.Column("finished_at_utc", sa.String(32)),
    sa.Column("duration_s", sa.Float),
    sa.Column("cost", sa.Float),
    sa.Column("error", sa.Text),
    sa.Column("environment_hash", sa.String(64)),
    sa.Column("note", sa.Text),
    sa.Column("inputs", sa.Text),
    sa.Column("estimate", sa.Float),
    sa.Column("sender", sa.String(200)),
    sa.Column("replay_of", sa.String(36)),
    sa.Column("best_rating", sa.Integer),
    sa.Column("is_joinable", sa.Integer, nullable=False, server_default="0"),
    sa.Column("is_imported", sa.Integer, nullable=False, server_default="0"),
    sa.Column("remote_id", sa.Text),
    sa.Column("cost_unit", sa.String(8), nullable=False, server_default="USD"),
    sa.Column("operation", sa.String(40)),
    sa.Column("state_at_utc", sa.String(32)),
)
"""Runs. `cost` and `estimate` are in `cost_unit`."""
sa.Index(
    "ix_runs_unfinished",  # small, since few runs are: what is pending is found at once among a million
    runs.c.id,
    sqlite_where=runs.c.finished_at_utc.is_(None),
    postgresql_where=runs.c.finished_at_utc.is_(None),
)
is_twin = sa.and_(
    runs.c.is_joinable == sa.literal_column("1"),
    runs.c.finished_at_utc.is_(None),
    runs.c.state != sa.literal_column("'discarded'"),
)
"""Unfinished runs of one request that may be joined: the database itself holds that there is only one at a time."""
sa.Index("ux_runs_twin", runs.c.request_hash, unique=True, sqlite_where=is_twin, postgresql_where=is_twin)
sa.Index("ix_runs_request_hash", runs.c.request_hash, runs.c.state)
sa.Index("ix_runs_asked_hash", runs.c.asked_hash)
for _column in ("model", "state", "created_at_utc", "cell_id", "execution_count", "notebook"):
    sa.Index(f"ix_runs_{_column}", runs.c[_column], runs.c.id)  # each serves a filter, newest first without sorting
_is_rated = runs.c.best_rating.is_not(None)
sa.Index("ix_runs_rated", runs.c.id, runs.c.best_rating, sqlite_where=_is_rated, postgresql_where=_is_rated)

_is_imported = runs.c.is_imported == sa.literal_column("1")
sa.Index("ix_runs_imported", runs.c.id, sqlite_where=_is_imported, postgresql_where=_is_imported)

has_own_id = runs.c.remote_id != runs.c.attempt_uuid
"""Runs whose service chose the id. All others are found by the UUID of their attempts, without a second index.

Such an id is known only from the service's answer, so it proves that the last attempt was accepted.
"""
# A hash, since an id may be longer than what PostgreSQL keeps in an ordered index.
sa.Index("ix_runs_remote_id", runs.c.remote_id, sqlite_where=has_own_id, postgresql_where=has_own_id,
         postgresql_using="hash")  # fmt: skip

SEARCHED = "coalesce(prompt, '') || ' ' || coalesce(note, '')"
"""What a search looks through, in PostgreSQL's words; SQLite has a table of its own for it."""
_TEXT_TABLE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS runs_text USING fts5"
    "(prompt, note, content='runs', content_rowid='id', tokenize='trigram')"
)
_TEXT_ADDED = (
    "CREATE TRIGGER IF NOT EXISTS runs_text_added AFTER INSERT ON runs BEGIN "
    "INSERT INTO runs_text(rowid, prompt, note) VALUES (new.id, new.prompt, new.note); END"
)
_TEXT_REMOVED = (
    "CREATE TRIGGER IF NOT EXISTS runs_text_removed AFTER DELETE ON runs BEGIN "
    "INSERT INTO runs_text(runs_text, rowid, prompt, note) VALUES ('delete', old.id, old.prompt, old.note); END"
)
_TRIGRAMS = (  # where the extension is not to be had, a search reads every row
    "DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS pg_trgm; "
    f"CREATE INDEX IF NOT EXISTS ix_runs_text ON runs USING gin (({SEARCHED}) gin_trgm_ops); "
    "EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN NULL; END $$"
)
for _statement in (_TEXT_TABLE, _TEXT_ADDED, _TEXT_REMOVED):
    sa.event.listen(runs, "after_create", sa.DDL(_statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
sa.event.listen(runs, "after_create", sa.DDL(_TRIGRAMS).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]

results = sa.Table(
    "results",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    # Text of any length. SQLite enforces no length, so that its tables of earlier versions stay as they are.
    sa.Column("item_uuid", sa.Text().with_variant(sa.String(36), "sqlite")),
    sa.Column("url", sa.Text),
    sa.Column("seed", sa.BigInteger),
    sa.Column("cost", sa.Float),
    sa.Column("media_type", sa.String(60)),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("received_sha256", sa.String(64)),
    sa.Column("stored_sha256", sa.String(64)),
    sa.Column("perceptual_hash", sa.String(32)),
    sa.Column("file", sa.Text),
    sa.Column("medium_state", sa.String(10), nullable=False),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("rating", sa.Integer),
    sa.Column("is_favourite", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("run_uuid", "position", name="uq_results_place"),
)
for _column in ("received_sha256", "stored_sha256"):
    sa.Index(f"ix_results_{_column}", results.c[_column])  # which run made this file?
sa.Index("ix_results_item_uuid", results.c.item_uuid, postgresql_using="hash")  # for the reason of `ix_runs_remote_id`

_is_favourite = results.c.is_favourite == sa.literal_column("1")
sa.Index("ix_results_favourite", results.c.run_uuid, sqlite_where=_is_favourite, postgresql_where=_is_favourite)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("task_uuid", sa.String(36), primary_key=True),
    sa.Column("run_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("sent_at_utc", sa.String(32), nullable=False),
)

run_parents = sa.Table(
    "run_parents",
    metadata,
    sa.Column("task_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("parent_uuid", sa.String(36), nullable=False),
    sa.Column("role", sa.String(40), nullable=False),
    sa.Column("position", sa.Integer),
)
"""What a run was made from, in order. `position` is the result of the parent, from 0; null if it is not known.

There is no foreign key to the parent: it may be removed from the log, or be in the log of another user."""
sa.Index("ix_run_parents_parent_uuid", run_parents.c.parent_uuid)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("service", sa.String(100), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("given_sha256", sa.String(64), nullable=False),
    sa.Column("media_uuid", sa.Text, nullable=False),
    sa.Column("uploaded_at_utc", sa.String(32), nullable=False),
    sa.Column("used_at_utc", sa.String(32), nullable=False),
)
"""Media that a service has, by the hash of what was sent. `service` names the service and the account.

`given_sha256` is the hash of the file as it was given, which is the name of the file in the store. It differs from that
of what was sent if a photo was turned or converted. Requests are hashed by it, also those that name the upload.
"""

run_tags = sa.Table(
    "run_tags",
    metadata,
    sa.Column("tag", sa.String(200), primary_key=True),
    sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("of_use", sa.Integer, nullable=False, server_default="0"),
)
"""Tags by run. One that came with a later use (`of_use` = 1) finds the run, but no money counts under it: the money
was spent once, under the tags that the run was sent with."""
sa.Index("ix_run_tags_run_id", run_tags.c.run_id)

uses = sa.Table(
    "uses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_uuid", sa.String(36), nullable=False),
    sa.Column("how", sa.String(10), nullable=False),
    sa.Column("notebook", sa.Text),
    sa.Column("cell_id", sa.Text),
    sa.Column("cell_hash", sa.String(64)),
    sa.Column("cell_ordinal", sa.Integer),
    sa.Column("execution_count", sa.Integer),
    sa.Column("kernel", sa.Text),
    sa.Column("tags", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("used_at_utc", sa.String(32), nullable=False),
)
"""Each later use of a run: `recorded`, `joined` or `replayed`. The first use, which sent it, is its row of `runs`.

There is no foreign key: a request may be joined before its run is on disk."""
for _column in ("run_uuid", "cell_hash", "cell_id", "notebook"):
    sa.Index(f"ix_uses_{_column}", uses.c[_column])

cells = sa.Table(
    "cells",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
)

environments = sa.Table(
    "environments",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("snapshot", sa.Text, nullable=False),
)

spending = sa.Table(
    "spending",
    metadata,
    sa.Column("dimension", sa.String(8), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("provider", sa.String(40), primary_key=True),
    sa.Column("notebook", sa.String(LONGEST_KEY), primary_key=True),
    sa.Column("key", sa.String(LONGEST_KEY), primary_key=True),
    sa.Column("unit", sa.String(8), primary_key=True),
    sa.Column("runs", sa.Integer, nullable=False),
    sa.Column("results", sa.Integer, nullable=False),
    sa.Column("unknown", sa.Integer, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)
"""What was spent, rolled up as runs finish: by `cell`, `day`, `model` and `tag`, for each day and in all, per unit."""

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("provider", sa.String(40), primary_key=True),
    sa.Column("notebook", sa.String(LONGEST_KEY), primary_key=True),
    sa.Column("unit", sa.String(8), primary_key=True),
    sa.Column("limit_amount", sa.Float, nullable=False),
    sa.Column("spent", sa.Float, nullable=False),
    sa.Column("reserved", sa.Float, nullable=False),
)
"""Limits per service and unit; an empty notebook is all of them.

The estimate of a run is reserved in the transaction that prepares it. It counts for the limits in its own unit only.
"""

sweeps = sa.Table(
    "sweeps",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("operation", sa.String(40), nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("created_at_utc", sa.String(32), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("notebook", sa.Text),
    sa.Column("cell_id", sa.Text),
    sa.Column("cell_hash", sa.String(64)),
    sa.Column("execution_count", sa.Integer),
    sa.Column("kernel", sa.Text),
    sa.Column("tags", sa.Text),
    sa.Column("note", sa.Text),
)
"""Plans of sweeps, written before the first of their tasks is sent. `plan` has axes, design and seed, as JSON."""

sweep_points = sa.Table(
    "sweep_points",
    metadata,
    sa.Column("sweep_id", sa.String(36), sa.ForeignKey("sweeps.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("coordinates", sa.Text, nullable=False),
    sa.Column("requested_hash", sa.String(80), nullable=False),
    sa.Column("run_uuid", sa.String(36)),
)
"""Points of a plan, each with the run that answers it.

There is no foreign key to the run: one that was removed from the log was paid for, and its point is not sent again.
"""
sa.Index("ix_sweep_points_run_uuid", sweep_points.c.run_uuid)
_has_no_run = sweep_points.c.run_uuid.is_(None)
sa.Index("ix_sweep_points_open", sweep_points.c.sweep_id, sweep_points.c.number, sqlite_where=_has_no_run,
         postgresql_where=_has_no_run)  # fmt: skip

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("ballot", sa.String(200), nullable=False),
    sa.Column("left_uuid", sa.String(36), nullable=False),
    sa.Column("left_position", sa.Integer, nullable=False),
    sa.Column("right_uuid", sa.String(36), nullable=False),
    sa.Column("right_position", sa.Integer, nullable=False),
    sa.Column("choice", sa.String(5), nullable=False),
    sa.Column("voter", sa.String(100), nullable=False),
    sa.Column("pair", sa.String(100), nullable=False, server_default=""),
    sa.Column("created_at_utc", sa.String(32), nullable=False),
)
"""Blind choices between two results: `left`, `right` or `tie`. A ballot is what votes are counted under.

A vote is known by its ballot, its pair and its voter, whichever side each image was shown on: voting again replaces it.
*pair* is the two places in order, as text, so that one index holds them whichever side they were on.
"""
sa.Index("ix_votes_ballot", votes.c.ballot, votes.c.id)
sa.Index("ux_votes_pair", votes.c.ballot, votes.c.voter, votes.c.pair, unique=True)
