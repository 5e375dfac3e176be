"""Money in the unit of each service, the operation of a run, ids of any length, and sweeps.

As in the first version, everything is written out here.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_OPERATIONS = {
    "imageInference": "text-to-image", "photoMaker": "text-to-image",
    "upscale": "upscale", "imageUpscale": "upscale",
    "removeBackground": "remove-background", "imageBackgroundRemoval": "remove-background",
    "caption": "caption", "imageCaption": "caption",
    "imageMasking": "mask",
    "controlNetPreprocess": "controlnet", "imageControlNetPreProcess": "controlnet",
    "promptEnhance": "enhance",
    "vectorize": "vectorize",
    "videoInference": "video",
    "audioInference": "audio",
    "textInference": "text",
    "3dInference": "3d",
    "training": "training",
    "tools": "tools",
}  # fmt: skip
"""Operations by the task types of Runware, the only service so far, as `core.bindings` has them at this version."""


def upgrade() -> None:
    """Bring a log in US dollars up to one with a unit for every amount."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table, old, new in (("runs", "cost_usd", "cost"), ("runs", "estimate_usd", "estimate"),
                            ("results", "cost_usd", "cost")):  # fmt: skip
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    _add_operation()
    op.add_column("runs", sa.Column("state_at_utc", sa.String(32)))
    _add_units(is_postgresql)
    own = sa.text("remote_id != attempt_uuid")
    op.create_index("ix_runs_remote_id", "runs", ["remote_id"], sqlite_where=own, postgresql_where=own,
                    postgresql_using="hash")  # fmt: skip
    if is_postgresql:  # SQLite enforces no length
        op.drop_index("ix_results_item_uuid", "results")
        op.execute("ALTER TABLE results ALTER COLUMN item_uuid TYPE TEXT")
        op.create_index("ix_results_item_uuid", "results", ["item_uuid"], postgresql_using="hash")
    _add_sweeps()


def _add_operation() -> None:
    op.add_column("runs", sa.Column("operation", sa.String(40)))
    connection = op.get_bind()
    for task_type, operation in _OPERATIONS.items():
        connection.execute(
            sa.text("UPDATE runs SET operation = :operation WHERE task_type = :task_type"),
            {"operation": operation, "task_type": task_type},
        )


def _add_units(is_postgresql: bool) -> None:
    """Make both tables again, since the unit belongs to their primary keys."""
    for table in ("spending", "budgets"):
        op.rename_table(table, f"old_{table}")
        if is_postgresql:  # its constraints keep their names when a table is renamed
            op.execute(f"ALTER TABLE old_{table} RENAME CONSTRAINT {table}_pkey TO old_{table}_pkey")
    op.create_table(
        "spending",
        sa.Column("dimension", sa.String(8), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("notebook", sa.String(300), primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("results", sa.Integer, nullable=False),
        sa.Column("unknown", sa.Integer, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
    )
    op.create_table(
        "budgets",
        sa.Column("provider", sa.String(40), primary_key=True),
        sa.Column("notebook", sa.String(300), primary_key=True),
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("limit_amount", sa.Float, nullable=False),
        sa.Column("spent", sa.Float, nullable=False),
        sa.Column("reserved", sa.Float, nullable=False),
    )
    amounts = "runs, results, unknown"
    op.execute(
        f"INSERT INTO spending (dimension, day, provider, notebook, key, unit, {amounts}, cost) "
        f"SELECT dimension, day, provider, notebook, key, 'USD', {amounts}, cost_usd FROM old_spending"
    )
    op.execute(
        "INSERT INTO budgets (provider, notebook, unit, limit_amount, spent, reserved) "
        "SELECT provider, notebook, 'USD', limit_usd, spent_usd, reserved_usd FROM old_budgets"
    )
    for table in ("spending", "budgets"):
        op.drop_table(f"old_{table}")


def _add_sweeps() -> None:
    op.create_table(
        "sweeps",
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
    op.create_table(
        "sweep_points",
        sa.Column("sweep_id", sa.String(36), sa.ForeignKey("sweeps.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("coordinates", sa.Text, nullable=False),
        sa.Column("requested_hash", sa.String(80), nullable=False),
        sa.Column("run_uuid", sa.String(36)),
    )
    op.create_index("ix_sweep_points_run_uuid", "sweep_points", ["run_uuid"])
    left = sa.text("run_uuid IS NULL")
    op.create_index("ix_sweep_points_open", "sweep_points", ["sweep_id", "number"], sqlite_where=left,
                    postgresql_where=left)  # fmt: skip


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
