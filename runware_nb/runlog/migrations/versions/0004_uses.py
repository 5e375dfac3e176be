"""Uses of recorded answers, and which tags came with a use."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table of uses. A run's own first use is in its row of `runs`, so old logs need no new rows."""
    op.add_column("run_tags", sa.Column("of_use", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "uses",
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
    for column in ("run_uuid", "cell_hash", "cell_id", "notebook"):
        op.create_index(f"ix_uses_{column}", "uses", [column])


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
