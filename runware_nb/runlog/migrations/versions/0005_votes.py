"""One vote for each ballot, pair and voter, of which the last counts; and an index of imported runs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Keep the last of repeated votes, and let the database hold that there is one."""
    op.add_column("votes", sa.Column("pair", sa.String(100), nullable=False, server_default=""))
    connection = op.get_bind()
    places = "id, ballot, voter, left_uuid, left_position, right_uuid, right_position"
    last: dict[tuple[str, str, str], int] = {}
    repeated: list[int] = []
    pairs: list[dict[str, object]] = []
    for row in connection.execute(sa.text(f"SELECT {places} FROM votes ORDER BY id")).mappings():
        # as `runlog.ballots` writes it at this version: a migration does not change with the code
        sides = sorted([(row["left_uuid"], row["left_position"]), (row["right_uuid"], row["right_position"])])
        pair = " ".join(f"{uuid}#{position}" for uuid, position in sides)
        key = (row["ballot"], row["voter"], pair)
        if key in last:
            repeated.append(last[key])
        last[key] = row["id"]
        pairs.append({"number": row["id"], "pair": pair})
    if repeated:
        connection.execute(sa.text("DELETE FROM votes WHERE id = :number"), [{"number": each} for each in repeated])
    if pairs:
        connection.execute(sa.text("UPDATE votes SET pair = :pair WHERE id = :number"), pairs)
    op.create_index("ux_votes_pair", "votes", ["ballot", "voter", "pair"], unique=True)
    imported = sa.text("is_imported = 1")
    op.create_index("ix_runs_imported", "runs", ["id"], sqlite_where=imported, postgresql_where=imported)


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
