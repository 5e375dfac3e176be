"""Results: what comes back, typed where a user touches it, complete in `raw`."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from ..errors import MediaError, TaskError, TaskInvalid
from ..printable import printable, printable_bundle
from ..reprs import shortened
from .amounts import parse_amount
from .chaining import METHODS, Operations, Performer
from .items import ITEM_IDS, Item
from .money import USD, Money
from .parsing import as_identifier

if TYPE_CHECKING:
    from PIL.Image import Image

    # Only the names that type checkers show for the results of methods. Nothing of an upper layer is used here: a
    # session lends each result the object that starts operations.
    from .. import Job, JobGroup

__all__ = ["ITEM_IDS", "PARTIAL", "Medium", "Outcome", "Result", "is_final", "item_id", "result_index"]

PARTIAL = "isPartial"
"""Field of ours in a result whose text is incomplete: the stream broke off, or has not ended yet."""
_MEDIA = ("image", "video", "audio", "maskImage", "guideImage", "media")
"""What the names of result fields begin with, as in `imageURL`. A result with several is known by the first."""
_KINDS = {"image": "image", "maskImage": "image", "guideImage": "image", "video": "video", "audio": "audio"}
"""What a result is, by the beginning of the name of its media field."""
_KINDS_OF_TYPES = {"image": "image", "video": "video", "audio": "audio", "model": "3d"}
"""What a file is, by the first part of its media type."""
_FINAL_TEXTS = ("text", "air")
_FINAL_VALUES = ("structuredData", "result")
_MOST_RESULTS = 10_000
"""No task has as many results; a larger index is a fault, and would not fit into the log."""
_UNFINISHED = {"processing", "pending", "validated", "downloaded", "optimized", "stored"}
"""Words for "not yet": of polls, and of a model upload on its way (reference 3.2, 5.15)."""
_FINISHED = {"success", "ready"}

Bundle = Mapping[str, str]
"""A MIME bundle, as notebooks show it."""


class Medium(Protocol):
    """The bytes of a result, wherever they are kept. `runware_nb.media` implements it."""

    @property
    def bytes(self) -> bytes:
        """The bytes: as received where they are in memory, and the stored file with its provenance where it is one."""

    @property
    def received_sha256(self) -> str | None:
        """SHA-256 of the bytes received, as 64 hexadecimal digits; None if it is not known."""

    @property
    def image(self) -> Image:
        """The decoded image."""

    @property
    def path(self) -> Path | None:
        """The file that holds them; None when they are only in memory."""

    def save(self, path: str | Path) -> Path:
        """Copy them to *path*."""


def item_id(item: Mapping[str, Any]) -> str | None:
    """Find what tells one item of a task from another; None when nothing does."""
    index = result_index(item)
    return _uuid_of(item) if index is None else f"#{index}"


def result_index(item: Mapping[str, Any]) -> int | None:
    """Return the place of an item among the results of its task, from 0; None if it states none that makes sense."""
    index = item.get("resultIndex")
    is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < _MOST_RESULTS
    return index if is_index else None


def _uuid_of(item: Mapping[str, Any]) -> str | None:
    """Return the service's UUID of an item, or of the first of its files; None if it has none."""
    for key in ITEM_IDS:  # on the hottest path: the first name fits nearly always
        name = item.get(key)
        if name and (name := as_identifier(name)) is not None:
            return name
    for file in _files_of(item):
        name = as_identifier(file.get("uuid"))
        if name is not None:
            return name
    return None


def _files_of(item: Mapping[str, Any]) -> list[Item]:
    outputs = item.get("outputs")
    files = outputs.get("files") if isinstance(outputs, dict) else None
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def _media_field(item: Mapping[str, Any], *ends: str) -> str | None:
    """Return the name of the field that holds a result's medium, as a URL or inline; None if there is none.

    Other fields with such names may stand beside it or come before it, such as `previewURL` or `inputImageURL`. A kind
    of media that is not known here counts if its UUID is beside it, as `imageUUID` is beside `imageURL`.
    """
    for kind in _MEDIA:
        for end in ends:
            value = item.get(kind + end)
            if value and isinstance(value, str):
                return kind + end
    for key, value in item.items():
        if value and isinstance(value, str) and key.endswith(ends):
            end = next(end for end in ends if key.endswith(end))
            if as_identifier(item.get(f"{key.removesuffix(end)}UUID")) and not key.startswith("input"):
                return key
    return None


def is_final(item: Mapping[str, Any]) -> bool:
    """Whether an item is a result, rather than an acknowledgement or news of progress."""
    status = item.get("status")
    if not isinstance(status, str):
        status = None  # whatever else came in its place says nothing
    if status in _UNFINISHED:
        return False
    if status in _FINISHED or _media_field(item, "URL", "Base64Data", "DataURI") is not None:
        return True
    if any(isinstance(item.get(key), str) for key in _FINAL_TEXTS) or isinstance(item.get("outputs"), dict):
        return True
    return any(item.get(key) is not None for key in _FINAL_VALUES)


@dataclass(slots=True, eq=False)
class Result(Operations["Job"]):
    """One thing that a task made.

    It has the operations as methods, such as `upscale`: each starts a run and returns its job.

    Attributes:
        raw: The answer as it came, every field kept.
        task_uuid: The task that made it.
        index: Its place among the task's results, from 0.
        medium: Its bytes, once fetched; None before.
        renderer: Who draws it in a notebook; lent by the session.
        performer: What starts an operation on it; lent by the session, and not part of a pickle.
    """

    raw: Item
    task_uuid: str
    index: int = 0
    medium: Medium | None = None
    renderer: Callable[[Result], Bundle] | None = field(default=None, repr=False)
    performer: Performer | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """What it is: `image`, `video`, `audio`, `text`, `3d`, or `file` for anything else."""
        if self.text is not None or self.structured is not None:
            return "text"
        name = _media_field(self.raw, "URL", "Base64Data", "DataURI") or ""
        for prefix, kind in _KINDS.items():
            if name.startswith(prefix):
                return kind
        location = str(self.path or self.url or "").partition("?")[0]
        return _KINDS_OF_TYPES.get((mimetypes.guess_type(location)[0] or "").partition("/")[0], "file")

    @property
    def url(self) -> str | None:
        """Where the service keeps it; None for text and inline data. Such addresses expire."""
        field_name = _media_field(self.raw, "URL")
        return self.raw[field_name] if field_name else next((file["url"] for file in self.files), None)

    @property
    def files(self) -> list[Item]:
        """The files of a task that makes several, each with `uuid` and `url`: 3D, training, tools."""
        return [file for file in _files_of(self.raw) if isinstance(file.get("url"), str)]

    @property
    def inline(self) -> bytes | None:
        """The bytes that came inside the answer (base64 or data URI); None when it holds an address.

        Raises:
            MediaError: They are not valid base64.
        """
        field_name = _media_field(self.raw, "Base64Data", "DataURI")
        if field_name is None:
            return None
        value = self.raw[field_name]
        return _decode_base64(value.partition(",")[2] if value.startswith("data:") else value)

    @property
    def text(self) -> str | None:
        """The text, for tasks that answer with text."""
        value = self.raw.get("text")
        return value if isinstance(value, str) else None

    @property
    def reasoning(self) -> str | None:
        """What the model thought before it answered; None where it did not say."""
        value = self.raw.get("reasoningContent")
        return value if isinstance(value, str) else None

    @property
    def json(self) -> Any:
        """The value of a text that is JSON, or what a classifier returned; None if the text is not JSON.

        Models often write JSON as a block of code in Markdown; the marks around it are not part of the value.
        """
        if self.structured is not None or self.text is None:
            return self.structured
        text = self.text.strip()
        if text.startswith("```") and text.endswith("```") and "\n" in text:
            text = text.partition("\n")[2].removesuffix("```")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None

    @property
    def is_written(self) -> bool:
        """Whether it is a generated text, unlike a caption: the service states why it ended, or it has not ended."""
        return self.text is not None and (self.is_partial or self.finish_reason is not None)

    @property
    def is_partial(self) -> bool:
        """Whether its text is incomplete: the stream broke off, or has not ended yet."""
        return self.raw.get(PARTIAL) is True

    @property
    def finish_reason(self) -> str | None:
        """Why a text ended: `stop`, `length`, `content_filter` or `unknown`."""
        value = self.raw.get("finishReason")
        return value if isinstance(value, str) else None

    @property
    def usage(self) -> Item:
        """Tokens counted for a text, in wire spelling; empty where the service did not count."""
        value = self.raw.get("usage")
        return value if isinstance(value, dict) else {}

    @property
    def structured(self) -> Any:
        """What a classifier answers instead of a text; None for everything else."""
        return self.raw.get("structuredData")

    @property
    def detections(self) -> list[Item]:
        """Boxes that a masking found, in pixels of the input: `x_min`, `y_min`, `x_max`, `y_max`."""
        value = self.raw.get("detections")
        return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []

    @property
    def air(self) -> str | None:
        """AIR identifier of the model that a training or a model upload made."""
        value = self.raw.get("air")
        return value if isinstance(value, str) else None

    @property
    def seed(self) -> int | None:
        """The seed that made it; None when the service named none."""
        value = self.raw.get("seed")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def cost_usd(self) -> float | None:
        """What it cost, in US dollars; None is unknown, not free."""
        return parse_amount(self.raw.get("cost"))

    @property
    def item_uuid(self) -> str | None:
        """The service's UUID of this one result."""
        return _uuid_of(self.raw)

    @property
    def is_flagged(self) -> bool:
        """Whether the service's safety check marked it."""
        return self.raw.get("NSFWContent") is True

    @property
    def bytes(self) -> bytes:
        """The file.

        In a session it is the stored file, to which its provenance was added: the pixels are those received, and the
        bytes are not. From a bare `Client` it is the file as received. `received_sha256` is the hash of that in
        both cases.

        Raises:
            MediaError: Nothing was fetched yet.
        """
        return self._fetched().bytes

    @property
    def received_sha256(self) -> str | None:
        """SHA-256 of the bytes received from the service, as 64 hexadecimal digits; None if it is not known.

        Raises:
            MediaError: Nothing was fetched yet.
        """
        return self._fetched().received_sha256

    @property
    def image(self) -> Image:
        """The decoded image.

        Raises:
            MediaError: Nothing was fetched yet, or it is not an image that can be opened safely.
        """
        image = self._fetched().image
        # kept by copies and edits: so their origin is known when they are sent
        image.info["runware_nb"] = TaskOrigin(self.task_uuid)
        return image

    @property
    def path(self) -> Path | None:
        """The file on disk; None from a bare client."""
        return self.medium.path if self.medium else None

    def save(self, path: str | Path) -> Path:
        """Copy the file to *path* and return it; a folder gets the name of the file inside.

        Raises:
            MediaError: Nothing was fetched yet, or *path* cannot be written.
        """
        return self._fetched().save(path)

    def history(self) -> Any:
        """Return the runs that it was made from, and those made from it, as a tree with small pictures.

        Raises:
            RunNotFound: The log does not have it.
            TaskInvalid: It belongs to no session.
        """
        return _lent(self.performer, "result").history(self.task_uuid)

    def _fetched(self) -> Medium:
        if self.medium is None:
            raise MediaError(
                f"result {self.index} of task {self.task_uuid} has no bytes yet; "
                "with a bare client: `await client.fetch(result)`"
            )
        return self.medium

    def _perform(self, method: str, values: Mapping[str, Any]) -> Job:
        job: Job = _lent(self.performer, "result")(METHODS[method], self, values)
        return job

    def __repr__(self) -> str:
        what = shortened(str(self.path or self.url or self.text or "inline"), 100)
        seed = "" if self.seed is None else f" seed={shortened(str(self.seed), 24)}"
        return printable(f"<Result {self.index} of {self.task_uuid[:8]}{seed} {what}>")

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        return printable_bundle(self.renderer(self)) if self.renderer else {"text/plain": repr(self)}


class TaskOrigin(str):
    """Task UUID of the run that an image in memory came from, as no text in a file can be."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Outcome(Sequence[Result], Operations["Job | JobGroup"]):
    """What became of a task: the results that came and the errors that came with them.

    It has the operations as methods, such as `upscale`. With several results, a method acts on each of them and returns
    a group of jobs.

    Attributes:
        task: The task as it was sent, in wire spelling.
        task_uuid: Its UUID; the last attempt's, where there were several.
        results: Ordered by index, then seed.
        errors: One for each result that failed.
        duration_s: Seconds from sending to the last result.
        is_recorded: Whether the log answered, at no cost: `cost_usd` is what it cost when it was made.
        charged: What the service charged for the task as a whole, if it does not price each result; None otherwise.
        renderer: Who draws it in a notebook; lent by the session.
        presenter: Who shows it in a cell, with notices as outputs of their own; lent by the session.
        performer: What starts an operation on its results; lent by the session, and not part of a pickle.
    """

    task: Item
    task_uuid: str
    results: list[Result]
    errors: list[TaskError]
    duration_s: float | None = None
    is_recorded: bool = False
    charged: Money | None = None
    renderer: Callable[[Outcome], Bundle] | None = field(default=None, repr=False)
    presenter: Callable[[Outcome], None] | None = field(default=None, repr=False)
    performer: Performer | None = field(default=None, repr=False)

    @property
    def cost(self) -> Money | None:
        """What it cost, in the unit of the service; None if that is not known."""
        if self.charged is not None:
            return self.charged
        costs = [result.cost_usd for result in self.results]
        known = [cost for cost in costs if cost is not None]
        return Money(round(sum(known), 9)) if known and len(known) == len(costs) else None

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars; None if the cost of any result is unknown, or the service charges in another unit."""
        cost = self.cost
        return cost.amount if cost is not None and cost.unit == USD else None

    def save(self, folder: str | Path, template: str = "{task}-{index}") -> list[Path]:
        """Copy every file into *folder*, which is made if needed.

        Args:
            folder: Where to.
            template: File name without its ending; `{task}`, `{index}` and `{seed}` are filled in.

        Raises:
            MediaError: A file is missing or cannot be written, or the template has an unknown field.
        """
        saved = []
        for result in self.results:
            values = {"task": self.task_uuid, "index": result.index, "seed": result.seed}
            try:
                name = template.format(**values)
            except (KeyError, IndexError, ValueError) as error:
                raise MediaError(f"template {template!r} knows {{task}}, {{index}}, {{seed}} only") from error
            if "/" in name or "\\" in name:
                raise MediaError(f"template {template!r} gives {name!r}, which is no plain file name")
            ending = result.path.suffix if result.path else ""
            saved.append(result.save(Path(folder) / f"{name}{ending}"))
        return saved

    def history(self) -> Any:
        """Return the runs that it was made from, and those made from it, as a tree with small pictures.

        Raises:
            RunNotFound: The log does not have it.
            TaskInvalid: It belongs to no session.
        """
        return _lent(self.performer, "outcome").history(self.task_uuid)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        return self.results[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def _perform(self, method: str, values: Mapping[str, Any]) -> Job | JobGroup:
        jobs: Job | JobGroup = _lent(self.performer, "outcome")(METHODS[method], self, values)
        return jobs

    def __repr__(self) -> str:
        cost = "" if self.cost is None else f" ${self.cost.amount:g}" if self.cost.unit == USD else f" {self.cost}"
        failed = f" {len(self.errors)} failed" if self.errors else ""
        return printable(f"<Outcome {self.task_uuid[:8]}: {len(self.results)} results{failed}{cost}>")

    def _ipython_display_(self) -> None:
        if self.presenter is None:
            raise NotImplementedError  # IPython then asks for the MIME bundle
        self.presenter(self)

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        return printable_bundle(self.renderer(self)) if self.renderer else {"text/plain": repr(self)}


def _lent(performer: Performer | None, what: str) -> Performer:
    """Return what starts operations.

    Raises:
        TaskInvalid: No session has lent it.
    """
    if performer is None:
        raise TaskInvalid(
            f"This {what} belongs to no session, because it was unpickled or comes from a bare client, so its methods "
            "cannot send anything. Nothing was sent. Pass a result to a function instead, such as rw.upscale(result)."
        )
    return performer


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"the inline data is not base64: {error}") from error
