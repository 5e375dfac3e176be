"""What finding, spending and sharing need: search, tags by number, a roll-up of costs, budgets, ratings.

As in the first version, everything is written out here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SEARCHED = "coalesce(prompt, '') || ' ' || coalesce(note, '')"
_TWIN = "is_joinable = 1 AND finished_at_utc IS NULL AND state != 'discarded'"


def upgrade() -> None:
    """Bring a log of version 0.1.0 up."""
    for column in (
        sa.Column("inputs", sa.Text),
        sa.Column("estimate_usd", sa.Float),
        sa.Column("sender", sa.String(200)),
        sa.Column("replay_of", sa.String(36)),
        sa.Column("best_rating", sa.Integer),
        sa.Column("is_joinable", sa.Integer, nullable=False, server_default="0"),
        sa.Column("is_imported", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("runs", column)
    twin, rated = sa.text(_TWIN), sa.text("best_rating IS NOT NULL")
    op.create_index("ux_runs_twin", "runs", ["request_hash"], unique=True, sqlite_where=twin, postgresql_where=twin)
    for name in ("model", "state", "created_at_utc", "cell_id", "execution_count", "notebook"):
        op.create_index(f"ix_runs_{name}", "runs", [name, "id"])
    op.create_index("ix_runs_rated", "runs", ["id", "best_rating"], sqlite_where=rated, postgresql_where=rated)
    for name in ("received_sha256", "stored_sha256", "item_uuid"):
        op.create_index(f"ix_results_{name}", "results", [name])
    op.drop_index("ix_runs_request_hash", "runs")
    op.create_index("ix_runs_request_hash", "runs", ["request_hash", "state"])
    _number_tags()
    _add_spending()
    _add_search()


def _number_tags() -> None:
    op.rename_table("run_tags", "old_run_tags")
    op.drop_index("ix_run_tags_tag", "old_run_tags")
    if op.get_bind().dialect.name == "postgresql":  # its constraints keep their names when a table is renamed
        op.execute("ALTER TABLE old_run_tags RENAME CONSTRAINT run_tags_pkey TO old_run_tags_pkey")
    op.create_table(
        "run_tags",
        sa.Column("tag", sa.String(200), primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), primary_key=True),
    )
    op.create_index("ix_run_tags_run_id", "run_tags", ["run_id"])
    op.execute(
        "INSERT INTO run_tags (tag, run_id) SELECT old_run_tags.tag, runs.id FROM old_run_tags "
        "JOIN runs ON runs.task_uuid = old_run_tags.run_uuid"
    )
    op.drop_table("old_run_tags")


def _add_spending() -> None:
    op.create_table(
        "spending",
        sa.Column("dimension", sa.String(8), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("notebook", sa.String(300), primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("results", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sa.Column("cost_usd", sa.Float, nullable=False),
    )
    op.create_table(
        "budgets",
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("notebook", sa.String(300), primary_key=True),
        sa.Column("limit_usd", sa.Float, nullable=False),
        sa.Column("spent_usd", sa.Float, nullable=False),
        sa.Column("reserved_usd", sa.Float, nullable=False),
    )
    made = "(SELECT count(*) FROM results WHERE results.run_uuid = runs.task_uuid AND results.error IS NULL)"
    unknown = "CASE WHEN cost_usd IS NULL AND state IN ('succeeded', 'partial') THEN 1 ELSE 0 END"
    totals = f"count(*), sum({made}), sum({unknown}), coalesce(sum(cost_usd), 0)"
    day, always = "substr(created_at_utc, 1, 10)", "''"
    keys = {
        "cell": "coalesce(cell_id, 'In [' || execution_count || ']', '')", "model": "coalesce(model, '')",
        "day": day, "tag": "run_tags.tag",
    }  # fmt: skip
    for dimension, key in keys.items():
        source = "runs JOIN run_tags ON run_tags.run_id = runs.id" if dimension == "tag" else "runs"
        for when in (always,) if dimension == "day" else (always, day):
            op.execute(
                f"INSERT INTO spending SELECT '{dimension}', {when}, provider, substr(coalesce(notebook, ''), 1, 300), "
                f"substr({key}, 1, 300), {totals} FROM {source} WHERE finished_at_utc IS NOT NULL "
                "GROUP BY 1, 2, 3, 4, 5"
            )


def _add_search() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS pg_trgm; "
            f"CREATE INDEX IF NOT EXISTS ix_runs_text ON runs USING gin (({_SEARCHED}) gin_trgm_ops); "
            "EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN NULL; END $$"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS runs_text USING fts5"
        "(prompt, note, content='runs', content_rowid='id', tokenize='trigram')"
    )
    op.execute(
        "CREATE TRIGGER IF NOT EXISTS runs_text_added AFTER INSERT ON runs BEGIN "
        "INSERT INTO runs_text(rowid, prompt, note) VALUES (new.id, new.prompt, new.note); END"
    )
    op.execute(
        "CREATE TRIGGER IF NOT EXISTS runs_text_removed AFTER DELETE ON runs BEGIN "
        "INSERT INTO runs_text(runs_text, rowid, prompt, note) VALUES ('delete', old.id, old.prompt, old.note); END"
    )
    op.execute("INSERT INTO runs_text(runs_text) VALUES ('rebuild')")


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
