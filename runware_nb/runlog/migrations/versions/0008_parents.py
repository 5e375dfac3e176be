"""All parents of a run, what its prompt was rendered from, and the media that have been uploaded.

As in the first version, everything is written out here.
"""

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_KEYS = {
    "seedImage", "maskImage", "inputImage", "inputImages", "referenceImages", "referenceVideos", "inputAudio",
    "inputAudios", "inputVideo", "inputMasks", "guideImage", "guideImages", "frameImages",
    "superResolutionReferences", "media",
}  # fmt: skip
_INSIDE = {"image", "images", "mask", "video", "videos", "audio", "audios", "documents", "dataset", "references"}
_HOLDERS = {"inputs", "puLID", "pulid", "photoMaker", "acePlusPlus", "watermark", "frameImages", "referenceImages"}
_UNKNOWN_ROLE = "medium"
_LONGEST_ROLE = 40
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_AT_A_TIME = 500


def upgrade() -> None:
    """Add the column and both tables, and fill that of the parents from what each run was made from."""
    op.add_column("runs", sa.Column("prompt_origin", sa.Text))
    op.create_table(
        "run_parents",
        sa.Column("task_uuid", sa.String(36), sa.ForeignKey("runs.task_uuid"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("parent_uuid", sa.String(36), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("position", sa.Integer),
    )
    op.create_index("ix_run_parents_parent_uuid", "run_parents", ["parent_uuid"])
    op.create_table(
        "uploads",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("given_sha256", sa.String(64), nullable=False),
        sa.Column("media_uuid", sa.Text, nullable=False),
        sa.Column("uploaded_at_utc", sa.String(32), nullable=False),
        sa.Column("used_at_utc", sa.String(32), nullable=False),
    )
    _fill()


def _fill() -> None:
    """Add the parents of the runs that have any, some at a time: a log may have a million runs."""
    connection = op.get_bind()
    some = sa.text(
        "SELECT id, task_uuid, parent_uuid, request, inputs FROM runs WHERE id > :last "
        "AND (parent_uuid IS NOT NULL OR inputs IS NOT NULL) ORDER BY id LIMIT :most"
    )
    added = sa.text(
        "INSERT INTO run_parents (task_uuid, number, parent_uuid, role) VALUES (:task_uuid, :number, :parent, :role)"
    )
    last = -(2**62)
    while True:
        found = connection.execute(some, {"last": last, "most": _AT_A_TIME}).all()
        rows = [
            {"task_uuid": task_uuid, "number": number, "parent": parent, "role": role}
            for _, task_uuid, first, request, inputs in found
            if isinstance(task_uuid, str)
            for number, (parent, role) in enumerate(_parents(first, request, inputs))
        ]
        if rows:
            connection.execute(added, rows)
        if len(found) < _AT_A_TIME:
            return
        last = found[-1][0]


def _parents(first: object, request: object, inputs: object) -> list[tuple[str, str]]:
    """Return the parents of a run with their roles; a row that cannot be read loses them and nothing else."""
    media = _parsed(inputs)
    media = media if isinstance(media, list) else []
    roles = _roles(_parsed(request))
    found = [
        (str(medium["maker"]), roles[number] if len(roles) == len(media) else _UNKNOWN_ROLE)
        for number, medium in enumerate(media)
        if isinstance(medium, dict) and _is_uuid(medium.get("maker"))
    ]
    if _is_uuid(first) and first not in {parent for parent, _ in found}:
        found.insert(0, (str(first), _UNKNOWN_ROLE))
    return list(dict.fromkeys(found))


def _is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _parsed(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _roles(request: object) -> list[str]:
    """Return the fields of a request that contain media, in the order in which its inputs were recorded."""
    roles: list[str] = []

    def look(value: object, key: str, *, inside: bool, at_top: bool, asset: bool) -> None:
        if isinstance(value, dict):
            within = inside or key in _HOLDERS
            for name, part in value.items():
                look(part, name, inside=within, at_top=False, asset=asset)
        elif isinstance(value, list):
            for part in value:
                look(part, key, inside=inside, at_top=at_top, asset=asset)
        elif value is not None and (
            asset or key in _KEYS or (inside and key in _INSIDE) or (at_top and key == "image")
        ):
            roles.append(key[:_LONGEST_ROLE])

    if isinstance(request, dict):
        for key, value in request.items():
            if not (key == "input" and isinstance(value, dict)):
                look(value, key, inside=False, at_top=True, asset=key == "assets")
    return roles


def downgrade() -> None:
    """Refuse: a log is never taken back, since that would forget runs."""
    raise NotImplementedError("a run log is never downgraded")
