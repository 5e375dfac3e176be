"""Favourites, and votes on pairs of images."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what curation needs."""
    op.add_column("results", sa.Column("is_favourite", sa.Integer, nullable=False, server_default="0"))
    favourite = sa.text("is_favourite = 1")
    op.create_index("ix_results_favourite", "results", ["run_uuid"], sqlite_where=favourite, postgresql_where=favourite)
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("ballot", sa.String(200), nullable=False),
        sa.Column("left_uuid", sa.String(36), nullable=False),
        sa.Column("left_position", sa.Integer, nullable=False),
        sa.Column("right_uuid", sa.String(36), nullable=False),
        sa.Column("right_position", sa.Integer, nullable=False),
        sa.Column("choice", sa.String(5), nullable=False),
        sa.Column("voter", sa.String(100), nullable=False),
        sa.Column("created_at_utc", sa.String(32), nullable=False),
    )
    op.create_index("ix_votes_ballot", "votes", ["ballot", "id"])


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
