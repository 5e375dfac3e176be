"""The functions behind `rw.image(...)` and its friends: magics, forms and scripts call the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..catalog import DEFAULT_MODEL
from ..errors import MagicUsageError
from ..images.incoming import media_bytes
from ..images.provenance import Provenance, read_provenance
from ..runlog import RunRecord
from ..view.table import render_table
from ..wire.tasks import WIRE_NAMES, ImageTask, LoRA, Task
from .jobs import Job
from .session import current_session
from .show import runs_table

__all__ = ["connect", "image", "job", "log", "make_image_task", "pending", "read", "resume", "run"]


def image(prompt: str, *, extra: Mapping[str, Any] | None = None, fresh: bool = False, **parameters: Any) -> Job:
    """Generate images.

    Args:
        prompt: What to draw.
        extra: Any other parameter, in wire spelling.
        fresh: Whether the service is asked again although the log has the answer to this very request.
        **parameters: `model`, `width`, `height`, `number_results`, `seed`, `steps`, `cfg_scale`, `scheduler`,
            `negative_prompt`, `loras`, `output_format`, `acceleration` and the other fields of `ImageTask`.

    Returns:
        A job: `.result()` waits, `await` waits too, and as the last line of a cell it shows itself.

    Raises:
        TaskInvalid: The service would refuse it; the message says what to change.
        ConfigError: There is no key.
        MagicUsageError: A parameter has an unknown name.
    """
    return current_session().submit(make_image_task(prompt, extra=extra, **parameters), fresh=fresh)


def make_image_task(prompt: str, *, extra: Mapping[str, Any] | None = None, **parameters: Any) -> ImageTask:
    """Make the typed task of `image`: the default model and size where none are given."""
    import difflib

    known = [name for name in WIRE_NAMES if name != "positive_prompt"]
    for name in parameters:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; others go into extra={...}"
            raise MagicUsageError(f"unknown parameter {name!r}{hint}")
    values = {"model": DEFAULT_MODEL, "width": 1024, "height": 1024, **parameters}
    if "loras" in values:
        values["loras"] = tuple(one if isinstance(one, LoRA) else LoRA(*_pair(one)) for one in values["loras"])
    return ImageTask(positive_prompt=prompt, extra=dict(extra or {}), **values)


def run(task: Task, *, fresh: bool = False) -> Job:
    """Run any task, given as a dict in wire spelling or as a typed task. See `image`."""
    return current_session().submit(task, fresh=fresh)


def connect(**values: Any) -> str:
    """Connect now, with other settings if given; returns the transport in use. See `Session.connect`."""
    return current_session().connect(**values)


def job(task_uuid: str) -> Job:
    """Take up a run again, in this kernel or the next. See `Session.job`."""
    return current_session().job(task_uuid)


def pending() -> list[RunRecord]:
    """List runs that are not finished, whichever kernel began them."""
    return current_session().pending()


def resume() -> list[Job]:
    """Collect every run that was sent and is not finished; nothing is sent again."""
    return [job(record.task_uuid) for record in pending() if record.attempts > 0]


def read(image: Any) -> Provenance:
    """Read where an image came from, as far as its file says.

    Args:
        image: A path, bytes, or an earlier result; PNG, JPEG or WebP, written by us or by another tool.

    Raises:
        MediaError: It cannot be read, or is a kind of file that carries no provenance.
    """
    return read_provenance(media_bytes(image)[0])


class LogBook:
    """The run log, as `rw.log`: shows itself as a table, newest first."""

    def recent(self, limit: int = 20) -> list[RunRecord]:
        """List runs, newest first."""
        return current_session().log.recent(limit)

    def find(self, ref: str) -> RunRecord:
        """Find a run by task UUID, or by its first characters.

        Raises:
            RunNotFound: None fits, or more than one.
        """
        return current_session().log.find(ref)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self.recent(1_000_000))

    def __len__(self) -> int:
        return current_session().log.count()

    def __repr__(self) -> str:
        return f"<run log in {current_session().settings.home}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return render_table(runs_table(self.recent()))


log = LogBook()


def _pair(value: Any) -> tuple[str, float]:
    if isinstance(value, str):
        air, colon, weight = value.rpartition(":")
        try:
            return (air, float(weight)) if colon and "@" in air else (value, 1.0)
        except ValueError:
            return value, 1.0
    if isinstance(value, Mapping):
        return str(value["model"]), float(value.get("weight", 1.0))
    model, weight = value
    return str(model), float(weight)
