"""The functions behind `rw.image(...)` and its friends: magics, forms and scripts call the same ones."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..core.operations import TEXT_TO_IMAGE
from ..core.option_values import parse_size
from ..core.plain_values import plain_task
from ..core.prompts import as_prompt
from ..core.results import Outcome, Result
from ..engine.display import extent_of, runs_table
from ..engine.jobs import Job
from ..engine.media_sources import look_up, upload_media
from ..engine.thumbnails import first_picture
from ..errors import ArgumentInvalid, ConfigError, TaskInvalid
from ..loop import background_loop, wait
from ..media.incoming import given_bytes, media_bytes
from ..media.provenance import PROVENANCE_TYPES, Provenance, read_provenance
from ..present.table import render_table
from ..printable import printable, printable_bundle
from ..providers.runware.operations import WIRE_NAMES
from ..providers.runware.parameters import DELIVERY, parameters_of
from ..providers.runware.tasks import ImageTask, Task
from ..providers.runware.uploader import Upload
from ..runlog import RunRecord
from ..runlog.dataframe import frame_of
from ..runlog.filters import RunFilter, parse_since
from ..settings import hide_key
from .current import current_session
from .image_request import image_request, submit_image
from .session import Session

if TYPE_CHECKING:
    import pandas as pd

    from ..runlog.spending import Spent

__all__ = [
    "cancel_queued",
    "connect",
    "image",
    "job",
    "log",
    "make_image_task",
    "pending",
    "read",
    "resume",
    "run",
    "upload",
]


def image(
    prompt: str | Result | Outcome | Job = "",
    *,
    extra: Mapping[str, Any] | None = None,
    enhance: bool = False,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
    **parameters: Any,
) -> Job:
    """Generate images.

    Args:
        prompt: What to draw: a text, a version that `enhance` wrote, or the job that writes one. With `vary`, it may be
            left out.
        extra: Any other parameter, in wire spelling.
        enhance: Whether the prompt is enhanced first. The price of both is agreed to together.
        fresh: Whether the service is asked again although the log has the answer to this very request.
        agreed: Whether its price is agreed to, however high: nothing is asked.
        tags: A tag for the log, or several.
        note: A note for the log.
        **parameters: `model`, `width`, `height`, `number_results`, `seed`, `steps`, `cfg_scale`, `scheduler`,
            `negative_prompt`, `loras`, `output_format`, `acceleration` and the other fields of `ImageTask`. Images:
            `seed_image`, `mask_image`, `reference_images`, `strength`, `vary`. What guides it: `outpaint`, `control`,
            `ip_adapters`, `embeddings`, `refiner`, `pulid`, `photomaker`. `transparent` and `safety`. A model that does
            not accept one of these is refused, and nothing is sent.

    Returns:
        A job: `.result()` waits, `await` waits too, and as the last line of a cell it shows itself.

    Raises:
        TaskInvalid: The service would refuse it; the message says what to change.
        ConfigError: There is no key.
        NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
        NotRecorded: Replay mode has no record of it.
        ArgumentInvalid: A parameter has an unknown name.
    """
    session = current_session()
    labels = as_tags([*as_tags(tags), *as_tags(session.settings.defaults.get("tag"))])
    defaults = _defaults(session.settings.defaults, parameters)
    request = image_request(
        session,
        as_prompt(prompt),
        {**defaults, **parameters},
        extra=extra,
        defaults=defaults.keys() - parameters.keys(),
    )
    request = dataclasses.replace(request, enhances=enhance)
    return submit_image(session, request, fresh=fresh, agreed=agreed, tags=labels, note=note)


def as_tags(tags: Any) -> tuple[str, ...]:
    """Return tags as a tuple, without repetitions. One text is one tag, and not a tag for each of its letters.

    Args:
        tags: A text, several, or None. Values of pandas, numpy and enumerations count as their text.

    Raises:
        ArgumentInvalid: A tag is no text.
    """
    if tags is None:
        return ()
    if isinstance(tags, str | enum.Enum) or not isinstance(tags, Iterable):
        tags = [tags]
    elif isinstance(tags, bytes | Mapping):
        raise ArgumentInvalid("tags", tags, "a text, or a list of texts")
    texts = []
    for tag in tags:
        value = tag.value if isinstance(tag, enum.Enum) else tag
        if not isinstance(value, str | int):
            raise ArgumentInvalid("tag", value, "a text")
        texts.append(str(value))
    return tuple(dict.fromkeys(text for text in texts if text.strip()))


_IN_PYTHON = {option.long: option.name for option in TEXT_TO_IMAGE.options}
"""Settings bear the names of options on a line; the functions take the names of parameters."""


def _defaults(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Spell the defaults of the settings' files as parameters; a size counts where no side is given."""
    made = {_IN_PYTHON.get(name, name): value for name, value in defaults.items() if name not in {"size", "tag"}}
    if "size" in defaults and not {"width", "height"} & given.keys():
        made["width"], made["height"] = parse_size(defaults["size"])
    return made


def make_image_task(prompt: str, *, extra: Mapping[str, Any] | None = None, **parameters: Any) -> ImageTask:
    """Build the typed task of `image` without a session: the default model and size where none are given."""
    return image_request(None, prompt, parameters, extra=extra).task


def run(
    task: Task,
    *,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
    service: str = "",
) -> Job:
    """Run any task, given as a dict in wire spelling or as a typed task. See `image`.

    Args:
        task: The task.
        fresh: Whether the service is asked again although the log has the answer.
        agreed: Whether its cost is agreed to beforehand.
        tags: A tag for the log, or several.
        note: A note for the log.
        service: Who performs it, such as `runkey`; empty for Runware.
    """
    tags = as_tags(tags)
    return current_session().submit(task, fresh=fresh, agreed=agreed, tags=tags, note=note, service=service)


def connect(**values: Any) -> str:
    """Connect now, with other settings if given; returns the transport in use. See `Session.connect`."""
    hide_key(values)
    return current_session().connect(**values)


def job(task_uuid: str) -> Job:
    """Take up a run again, in this kernel or the next. See `Session.job`."""
    return current_session().job(task_uuid)


def pending() -> list[RunRecord]:
    """List runs that are not finished, whichever kernel began them."""
    return current_session().pending()


def resume() -> list[Job]:
    """Collect every run of the service in use that was sent and is not finished; nothing is sent again."""
    session = current_session()
    runs = [run for run in session.pending() if run.attempts > 0 and session.engine.known.belongs_here(run)]
    return [_taken_up(session, run) for run in runs]


def _taken_up(session: Session, run: RunRecord) -> Job:
    """Take up a run; if that fails, its job carries the error, and the other runs are collected all the same."""
    try:
        return session.job(run.task_uuid)
    except Exception as error:  # noqa: BLE001 - see above
        job = Job(session.engine, run, is_new=False)
        job.settle(None, error)
        return job


def cancel_queued(*, of_other_kernels: bool = False) -> list[str]:
    """Cancel the runs that wait for their turn or for the results of others; none was sent, and they cost nothing.

    Args:
        of_other_kernels: Whether runs that other kernels wrote to the log and did not send are cancelled too.

    Returns:
        Task UUIDs of the runs that were cancelled.

    Raises:
        RunLogError: The log cannot be read or written.
    """
    return current_session().cancel_queued(of_other_kernels=of_other_kernels)


def read(image: Any) -> Provenance:
    """Read where an image came from, as far as its file says.

    Args:
        image: A path, bytes, or an earlier result; PNG, JPEG or WebP, written by us or by another tool.

    Raises:
        MediaError: It cannot be read, or is a kind of file that carries no provenance.
    """
    body, media_type = given_bytes(image)
    return read_provenance(body if media_type in PROVENANCE_TYPES else media_bytes(image)[0])


def upload(medium: Any) -> Upload:
    """Upload a medium to the service, unless it is there already. This costs nothing, and the log has no run of it.

    Args:
        medium: A path, an image of Pillow, bytes, an array, a data URI, a URL, an earlier result, or an outcome or a
            finished job with one result.

    Returns:
        The UUID, which is a medium for any task: `rw.upscale(rw.upload("photo.png"), 2)`. Its `url` is the URL that the
        service has given to the medium.

    Raises:
        MediaError: It is not a medium, or it is broken. Nothing was uploaded.
        ConfigError: There is no key.
        TransportError: It could not be sent.
    """
    return upload_with(current_session(), medium)


def upload_with(session: Session, medium: Any) -> Upload:
    """Upload a medium in a session. See `upload`; the command `upload` is the same.

    Raises:
        ArgumentInvalid: A job is not done, or there is not exactly one result.
    """
    if isinstance(medium, Job):
        if not medium.is_done:
            raise ArgumentInvalid("medium", medium, "a medium; this job has no result yet. Nothing was uploaded")
        medium = medium.result()
    if isinstance(medium, Outcome) and len(medium.results) != 1:
        raise ArgumentInvalid("medium", medium, "one result, such as outcome[0]. Nothing was uploaded")
    client = session.client()
    # The same lookup as for the media of a task: what the service has from an earlier task is not uploaded again.
    provider = session.provider("")
    found = look_up(session, provider, {_FIELD: medium}).task
    if isinstance(found[_FIELD], str) and found[_FIELD].startswith(("http://", "https://")):
        return wait(background_loop().submit(client.upload(found[_FIELD])))
    ready = wait(background_loop().submit(upload_media(session.log, provider, found)))
    return wait(background_loop().submit(client.upload(ready[_FIELD])))


_FIELD = "media"
"""A field of a task for a medium of any kind."""


class LogBook:
    """The run log, as `rw.log`: shows itself as a table, newest first."""

    def recent(self, limit: int | None = 20) -> list[RunRecord]:
        """List the last runs, newest first, without those that `replay` and `verify` made; None for all."""
        return current_session().log.recent(limit)

    def select(
        self,
        *,
        model: str | None = None,
        tag: str | Sequence[str] = (),
        since: str | dt.datetime | None = None,
        until: str | dt.datetime | None = None,
        **others: Any,
    ) -> list[RunRecord]:
        """List all runs that filters choose, newest first.

        Args:
            model: AIR identifier or alias.
            tag: A tag, or several that a run must all have.
            since: A time, or words such as `2026-11-01`, `today`, `7d`.
            until: Likewise.
            **others: `cell`, `notebook`, `state`, `search`, `min_rating`, `provider`, `with_replays`, `sort`, `limit`,
                `page`: see `runlog.filters.RunFilter`. There is no limit by default.

        Raises:
            ArgumentInvalid: A value makes no sense, or a filter has an unknown name.
        """
        return current_session().log.select(self.filter_of(model=model, tag=tag, since=since, until=until, **others))

    def filter_of(
        self,
        *,
        model: str | None = None,
        tag: str | Sequence[str] = (),
        since: str | dt.datetime | None = None,
        until: str | dt.datetime | None = None,
        **others: Any,
    ) -> RunFilter:
        """Make the filter that `select` takes its words for.

        Raises:
            ArgumentInvalid: A value makes no sense, or a filter has an unknown name.
        """
        import difflib

        known = ["tag", *(field.name for field in dataclasses.fields(RunFilter) if field.name != "tags")]
        for name in others:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; the nearest is {near[0]}" if near else ""
                raise ArgumentInvalid("filter", name, f"one of {', '.join(known)}{hint}")
        cell = others.pop("cell", None)
        return RunFilter(
            model=current_session().aliases.air_of(model) if model else None,
            tags=as_tags(tag),
            since=_moment(since, "since"),
            until=_moment(until, "until"),
            cell=None if cell is None else str(cell),
            **others,
        )

    def df(self, *, per: Literal["run", "result"] = "run", **filters: Any) -> pd.DataFrame:
        """Return runs as a pandas data frame, newest first.

        Args:
            per: One row for each `run`, or for each `result`.
            **filters: As `select` takes them; all runs by default, without re-runs.

        Raises:
            ConfigError: pandas is not installed.
        """
        runs = self.select(**filters)
        try:
            return frame_of(
                runs, per=per, media_folder=current_session().media.folder, parameters_of=parameters_of,
                columns=[name for name, wire in WIRE_NAMES.items() if wire not in DELIVERY],
            )  # fmt: skip
        except ImportError as error:
            raise ConfigError("a data frame needs pandas: pip install pandas") from error

    def find(self, ref: str) -> RunRecord:
        """Find a run by task UUID, or by its first characters.

        Raises:
            RunNotFound: None fits, or more than one.
        """
        return current_session().log.find(ref)

    def rate(self, ref: str, stars: int, *, index: int | None = None) -> None:
        """Rate a result from 1 to 5, or remove its rating with 0.

        Args:
            ref: Task UUID or its first characters; `3f2a9c1b#2` is its second result.
            stars: The rating.
            index: The number of the result, counted from 1 as in its caption; all results of the run by default.

        Raises:
            ArgumentInvalid: A number is out of range.
            RunNotFound: There is no such run or result.
        """
        rate_reference(current_session(), ref, stars, index=index)

    def cost(self, by: Literal["cell", "day", "model", "tag", "notebook"] = "day") -> list[Spent]:
        """Sum up what was spent."""
        from ..runlog.spending import sum_spending

        with current_session().log.reading() as connection:
            return sum_spending(connection, by)

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self.recent(None))

    def __len__(self) -> int:
        return current_session().log.count()

    def __repr__(self) -> str:
        count = len(self)
        home = printable(str(current_session().settings.home))
        return f"<run log in {home}: {count:,} run{'' if count == 1 else 's'}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        session = current_session()
        wanted = RunFilter(limit=20)
        runs = session.log.select(wanted)
        pictures = [first_picture(session, run) for run in runs]
        table = runs_table(runs, pictures, extent=extent_of(session.log, wanted, len(runs)))
        return printable_bundle(render_table(table))


_RESULT = re.compile(r"([^#]+)(?:#([1-9]\d{0,3}))?")


def rate_reference(session: Session, ref: str, stars: int, *, index: int | None = None) -> tuple[str, int | None]:
    """Rate one result or all results of a run. See `LogBook.rate`; the command `rate` is the same.

    Returns:
        The task UUID, and the number of the result, counted from 1; None for all results of the run.
    """
    from ..runlog.maintenance import rate_result

    rating = _whole(stars)
    if rating is None or not 0 <= rating <= 5:
        raise ArgumentInvalid("stars", stars, "1 to 5, or 0 to remove the rating")
    match = _RESULT.fullmatch(ref)
    if match is None:
        raise ArgumentInvalid("ref", ref, "a run such as 3f2a9c1b, or one of its results such as 3f2a9c1b#3")
    number = int(match[2]) if match[2] else None
    if index is not None:
        given = _whole(index)
        if given is None or given < 1:
            raise ArgumentInvalid("index", index, "a number counted from 1, as in the captions of results")
        if number not in {None, given}:
            raise ArgumentInvalid("index", given, f"{number}, as in {ref!r}, or no index")
        number = given
    task_uuid = session.log.find(match[1]).task_uuid
    rate_result(session.log, task_uuid, None if number is None else number - 1, rating or None)
    return task_uuid, number


def _whole(value: Any) -> int | None:
    """Return a whole number as an int, also one of numpy or pandas; None if it is none."""
    try:
        plain = plain_task({"value": value})["value"]
    except TaskInvalid:
        return None
    return plain if isinstance(plain, int) and not isinstance(plain, bool) else None


log = LogBook()


def _moment(when: str | dt.datetime | None, name: str) -> str | None:
    if when is None or isinstance(when, str):
        return None if when is None else parse_since(when, name=name)
    if not isinstance(when, dt.datetime):
        raise ArgumentInvalid(name, when, "a text such as 2026-11-01 or 7d, or a datetime")
    return when.astimezone(dt.UTC).isoformat(timespec="milliseconds")
