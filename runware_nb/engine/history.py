"""What a run was made from and what was made from it, as a tree with small pictures."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..core.items import Item
from ..core.money import format_amount
from ..core.operations import TEXT_TO_IMAGE
from ..core.results import Result
from ..present.compare import Branch, render_tree
from ..printable import printable, printable_bundle
from ..runlog import Parent, ResultRecord, RunLog, RunRecord, State
from .display import relative_link
from .family import Family, Member, find_family
from .thumbnails import ImageSource, picture_of

__all__ = ["History", "operation_words", "parent_words"]

_SIDE_PX = 72
_MOST_PICTURES = 12
"""Pictures of one run."""
_MOST_WORDS = 80
_ROLES = {
    "seedImage": "source", "image": "source", "inputImage": "source", "images": "source", "video": "source",
    "audio": "source", "inputVideo": "source", "inputAudio": "source", "maskImage": "mask", "mask": "mask",
    "referenceImages": "reference", "guideImage": "guide", "frameImages": "frame", "prompt": "prompt",
    "variation": "variation", "conversation": "conversation", "medium": "source",
}  # fmt: skip


_PLAIN = frozenset({"", "source", "variation"})
"""Roles that need no word: the most usual one, and what the operation states already."""


class History(Sequence[RunRecord]):
    """A family of runs: a sequence of its runs, oldest first, that is shown as a tree.

    Args:
        source: Where pictures are found.
        log: Where the runs are.
        chosen: The run that was asked about; the whole family is shown, whichever member it is.
    """

    def __init__(self, source: ImageSource, log: RunLog, chosen: RunRecord) -> None:
        self._source = source
        self.family: Family = find_family(log, chosen)
        self._runs = [member.record for member in self.family.members.values()]

    def __getitem__(self, index: Any) -> Any:
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._runs)

    def __repr__(self) -> str:
        return printable(f"<History of run {self.family.chosen.task_uuid[:8]}: {self._sum()}>")

    def __str__(self) -> str:
        return printable(self.bundle["text/plain"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return printable_bundle(self.bundle)

    @functools.cached_property
    def bundle(self) -> dict[str, str]:
        """The tree, as plain text and as HTML."""
        return render_tree([self._branch(root) for root in self.family.roots], caption=self._sum())

    @functools.cached_property
    def json(self) -> Item:
        """The tree as JSON: the first root with its children, further roots, and the whole."""
        first, *others = [self._item(root) for root in self.family.roots]
        whole = {
            "task_uuid": self.family.chosen.task_uuid, "runs": len(self), "is_complete": self.family.is_complete,
            "costs": [{"amount": cost.amount, "unit": cost.unit} for cost in self.family.costs],
            "unknown_costs": self.family.number_unknown,
        }  # fmt: skip
        return {**first, "other_roots": others, "family": whole}

    def _sum(self) -> str:
        count = f"{len(self)} run" if len(self) == 1 else f"{len(self)} runs"
        costs = " and ".join(format_amount(cost.amount, cost.unit) for cost in self.family.costs)
        unknown = self.family.number_unknown
        parts = [count, *([costs] if costs else []), *([f"the cost of {unknown} is unknown"] if unknown else [])]
        more = "" if self.family.is_complete else " There are more runs, which are not shown."
        return f"{', '.join(parts)}.{more}"

    def _branch(self, member: Member) -> Branch:
        record = member.record
        shown = record.results[:_MOST_PICTURES]
        pictures = [picture_of(self._source, record, result, side_px=_SIDE_PX) for result in shown]
        large = [result for result, picture in zip(shown, pictures, strict=True) if picture is None]
        return Branch(
            self._label(member),
            [picture for picture in pictures if picture is not None],
            record.task_uuid == self.family.chosen.task_uuid,
            [self._branch(child) for child in member.children],
            _texts_of(record),
            tuple(self._drawings(record, large)),
        )

    def _drawings(self, record: RunRecord, results: Iterable[ResultRecord]) -> Iterator[tuple[str, str]]:
        for result in results:
            path = self._source.recovery.find(record, result) if result.media_type == "image/svg+xml" else None
            link = relative_link(path)
            if link is not None:
                yield record.prompt or operation_words(record), link

    def _label(self, member: Member) -> str:
        record = member.record
        words = " ".join((record.prompt or "").split())
        what = operation_words(record)
        role = "" if member.link is None else parent_words(member.link)
        link = "" if role in _PLAIN else " continued" if role == "conversation" else f" with this {role}"
        about = f": {_shortened(words)}" if words else ""
        facts = [record.created_at_utc[:16].replace("T", " ")]
        if record.cost is not None:
            facts.append(format_amount(record.cost, record.cost_unit))
        if record.state is not State.SUCCEEDED:
            facts.append(record.state.value)
        if record.is_imported:
            facts.append("imported")
        also = ", ".join(self._origin(parent) for parent in member.others)
        end = f"; also from {also}" if also and member.link is not None else f"; from {also}" if also else ""
        return f"{record.task_uuid[:8]}  {what}{link}{about} ({', '.join(facts)}){end}"

    def _origin(self, parent: Parent) -> str:
        gone = "" if parent.task_uuid in self.family.members else ", not in the log"
        if parent.task_uuid not in self.family.members and not self.family.is_complete:
            gone = ", not shown"
        return f"{parent.task_uuid[:8]} ({parent_words(parent)}{gone})"

    def _item(self, member: Member) -> Item:
        record = member.record
        return {
            "task_uuid": record.task_uuid, "task_type": record.task_type, "operation": record.operation,
            "model": record.model, "prompt": record.prompt, "state": record.state.value,
            "created_at_utc": record.created_at_utc, "cost_usd": record.cost_usd, "cost": record.cost,
            "cost_unit": record.cost_unit, "files": [result.file for result in record.results if result.file],
            "texts": list(_texts_of(record)),
            "parents": [
                {"task_uuid": parent.task_uuid, "role": parent.role, "index": parent.index}
                for parent in record.parents
            ],
            "children": [self._item(child) for child in member.children],
        }  # fmt: skip


def operation_words(record: RunRecord) -> str:
    """Return the operation of a run as its command is called; an image is named by how it was generated."""
    name = record.operation or record.task_type
    if name != TEXT_TO_IMAGE.name:
        return name
    roles = {parent.role for parent in record.parents}
    inputs = record.request.get("inputs")
    fields = {*record.request, *(inputs if isinstance(inputs, dict) else ())}
    if "variation" in roles:
        return "variation"
    if "outpaint" in fields:
        return "outpaint"
    if "maskImage" in fields:
        return "inpaint"
    return "image to image" if "seedImage" in fields else "image"


def parent_words(parent: Parent) -> str:
    """Return what a result of a parent was used as, with its number if it is not the first: `mask #2`."""
    role = _ROLES.get(parent.role, parent.role)
    number = "" if parent.index in {None, 0} else f" #{(parent.index or 0) + 1}"
    return f"{role}{number}"


def _texts_of(record: RunRecord) -> tuple[str, ...]:
    texts = (Result(result.raw, "", result.position).text for result in record.results if result.error is None)
    return tuple(_shortened(" ".join(text.split())) for text in texts if text)


def _shortened(words: str) -> str:
    return words if len(words) <= _MOST_WORDS else f"{words[: _MOST_WORDS - 1]}…"
