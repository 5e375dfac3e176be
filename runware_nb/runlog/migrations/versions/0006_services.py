"""Runs of services that choose their own ids and charge in their own unit."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the service's id of a run and the unit of its cost; so far each id was the attempt's UUID, in US dollars."""
    op.add_column("runs", sa.Column("remote_id", sa.Text))
    op.add_column("runs", sa.Column("cost_unit", sa.String(8), nullable=False, server_default="USD"))
    # A run without an attempt never left, so no service has an id for it.
    op.execute("UPDATE runs SET remote_id = attempt_uuid WHERE attempts > 0")


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
