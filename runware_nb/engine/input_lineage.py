"""What a task is made from: each medium by its content, its file, and the run that made it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.canonical import request_hash
from ..core.items import Item
from ..core.media_fields import holds_media, list_media, replace_media
from ..core.parsing import is_uuid
from ..core.redaction import redact_task
from ..errors import TaskInvalid
from ..media.incoming import media_bytes
from ..reprs import short_repr
from ..runlog.records import Parent

if TYPE_CHECKING:
    from ..runlog import RunRecord

__all__ = [
    "Input",
    "by_content",
    "hashes_of",
    "inline_bytes",
    "parents_of",
    "restore_inputs",
    "storable_request",
    "with_files",
]

_UNKNOWN_ROLE = "medium"
_INLINE_FROM = 1000
"""Characters from which on a text in the place of a medium is the medium itself, and not its name."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Input:
    """One medium that a task is made from.

    Attributes:
        sha256: Hash of its content; of one that the service made, as it was received. None where only a name is known.
        file: Its file in the store.
        named: The address or UUID that was given.
        maker: Task UUID of the run that made it.
        index: Which result of that run it is, from 0; None if this is not known.
    """

    sha256: str | None = None
    file: str | None = None
    named: str | None = None
    maker: str | None = None
    index: int | None = None

    def as_item(self) -> Item:
        """Write it for the log, which has the index with the parents of the run."""
        return {name: value for name, value in asdict(self).items() if value is not None and name != "index"}


def by_content(task: Item, inputs: Sequence[Input]) -> Item:
    """Write a task with each medium as the hash of its content: the same picture is the same request."""
    if not inputs:
        return task
    each = iter(inputs)

    def name(value: Any) -> Any:
        one = next(each, None)
        if one is None:  # an imported record may list fewer media
            return value
        return f"sha256:{one.sha256}" if one.sha256 else one.named or value

    return replace_media(task, name)


def hashes_of(run: RunRecord) -> tuple[str, str]:
    """Compute the hashes of a logged request from the request itself.

    Args:
        run: Its request, inputs, provider and `seed_given` count; the hashes that it states do not.

    Returns:
        The hash of the request as sent, and of what was asked, before a seed was picked.

    Raises:
        TaskInvalid: The request has no JSON form.
    """
    inputs = [Input(sha256=medium.get("sha256"), named=medium.get("named")) for medium in run.inputs]
    named = by_content(run.request, inputs)
    asked = named if run.seed_given else {name: value for name, value in named.items() if name != "seed"}
    return request_hash(named, service=run.provider), request_hash(asked, service=run.provider)


def parents_of(task: Mapping[str, Any], inputs: Sequence[Input]) -> tuple[Parent, ...]:
    """Return the runs that the media of a task came from, in order, each with the field of its medium.

    Args:
        task: With the media, or with what the log has in their places.
        inputs: What is known about each of them.
    """
    roles = [field for field, _ in list_media(task)] if any(medium.maker for medium in inputs) else []
    if len(roles) != len(inputs):  # an imported record may list fewer media
        roles = [_UNKNOWN_ROLE] * len(inputs)
    return tuple(
        dict.fromkeys(
            Parent(medium.maker, role, medium.index)
            for role, medium in zip(roles, inputs, strict=True)
            if medium.maker is not None
        )
    )


def storable_request(task: Mapping[str, Any]) -> Item:
    """Make the form of a task that is written to the log: no secrets, and media by name or hash."""
    return redact_task(replace_media(task, _name_inline) if holds_media(task) else task)


def with_files(
    request: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    find: Callable[[str], Any],
    *,
    only_hashed: bool = False,
) -> Item:
    """Rebuild a logged request with the files it was made from, rather than what the service called them then.

    Args:
        request: As logged.
        inputs: As logged, in the order in which the media stand.
        find: Gives what is to stand for a file of the store; None where it is not there.
        only_hashed: Whether what has a name at the service keeps it.

    Raises:
        TaskInvalid: A medium is named by its hash only, and its file is gone.
    """
    if not holds_media(request):
        return dict(request)
    each = iter(inputs)

    def fetch(value: Any) -> Any:
        name = next(each, {}).get("file")
        is_hash = isinstance(value, str) and value.startswith("sha256:")
        found = find(name) if name and (is_hash or not only_hashed) else None
        if found is None and is_hash:
            raise TaskInvalid(f"the run was made from a medium ({value[:19]}…) that is not here any more")
        return value if found is None else found

    return replace_media(request, fetch)


def restore_inputs(find_file: Callable[[str], Path | None], request: Item, inputs: Sequence[Mapping[str, Any]]) -> Item:
    """Put media that were logged by their hash back into a request that is to be sent as it was.

    Args:
        find_file: Returns the path of a file of the store by its name; None if it cannot be had.
        request: As logged.
        inputs: As logged.

    Raises:
        TaskInvalid: One of them is not in the store any more.
    """

    def inline(name: str) -> str | None:
        path = find_file(name)
        if path is None:
            return None
        body, kind = media_bytes(path)
        return f"data:{kind};base64,{base64.b64encode(body).decode()}"

    return with_files(request, inputs, inline, only_hashed=True)


def inline_bytes(value: str) -> bytes | None:
    """Return the bytes of a data URI or of base64; None for anything else."""
    if value.startswith(("http://", "https://")) or is_uuid(value):
        return None
    try:
        return base64.b64decode(value.partition(",")[2] if value.startswith("data:") else value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _name_inline(value: Any) -> Any:
    if not isinstance(value, str) or len(value) < _INLINE_FROM:
        return value
    body = inline_bytes(value)
    return value if body is None else f"sha256:{hashlib.sha256(body).hexdigest()}"
