"""The tables, defined once for every database."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["HEAD", "attempts", "cells", "environments", "metadata", "results", "run_tags", "runs"]

HEAD = "0001"
"""The newest migration; a log of this version is opened without Alembic."""

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
    sa.Column("cost_usd", sa.Float),
    sa.Column("error", sa.Text),
    sa.Column("environment_hash", sa.String(64)),
    sa.Column("note", sa.Text),
)
sa.Index(
    "ix_runs_unfinished",  # small, since few runs are: what is pending is found at once among a million
    runs.c.id,
    sqlite_where=runs.c.finished_at_utc.is_(None),
    postgresql_where=runs.c.finished_at_utc.is_(None),
)
sa.Index("ix_runs_request_hash", runs.c.request_hash)
sa.Index("ix_runs_asked_hash", runs.c.asked_hash)

results = sa.Table(
    "results",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("item_uuid", sa.String(36)),
    sa.Column("url", sa.Text),
    sa.Column("seed", sa.BigInteger),
    sa.Column("cost_usd", sa.Float),
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
    sa.UniqueConstraint("run_uuid", "position", name="uq_results_place"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("task_uuid", sa.String(36), primary_key=True),
    sa.Column("run_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("sent_at_utc", sa.String(32), nullable=False),
)

run_tags = sa.Table(
    "run_tags",
    metadata,
    sa.Column("run_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), primary_key=True),
    sa.Column("tag", sa.String(200), primary_key=True),
)
sa.Index("ix_run_tags_tag", run_tags.c.tag)

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
