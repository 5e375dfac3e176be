"""From outcomes to views: thumbnails, captions, footers."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..core.media_types import IMAGE_TYPES, sniff
from ..core.money import format_amount, format_sums, sums_by_unit
from ..core.parameters import in_order
from ..core.results import Outcome, Result
from ..core.tasks import prompt_of
from ..errors import MediaError, TaskError
from ..media import decode, make_thumbnail
from ..media.thumbnail import THUMBNAIL_BYTES
from ..present.results import ResultsView, Tile, format_stars, format_usd, render_plain, render_progress, render_results
from ..present.table import Table
from ..printable import printable_bundle
from ..reprs import short_repr
from ..runlog import RunRecord, State
from .front_end import hooks
from .input_lineage import storable_request

if TYPE_CHECKING:
    from ..runlog import RunLog
    from ..runlog.filters import RunFilter
    from .jobs import Job

__all__ = [
    "COUNTED_AT_MOST",
    "OutcomePresenter",
    "OutcomeRenderer",
    "ResultRenderer",
    "error_sentence",
    "extent_of",
    "relative_link",
    "relative_path",
    "render_job",
    "render_outcome",
    "render_result",
    "runs_table",
    "show_outcome",
]


COUNTED_AT_MOST = 10_000
"""More runs than this are not counted one by one, so that a list stays quick in a log of a million."""
_IN_WORDS = {
    State.PREPARED: "waiting for a free slot",
    State.SENT: "sent",
    State.ACCEPTED: "in progress",
    State.DETACHED: "still in progress",
    State.UNKNOWN: "perhaps accepted, and not found at the service",
}


def render_outcome(outcome: Outcome, *, display: str = "html") -> dict[str, str]:
    """Return an outcome as a MIME bundle: its images, what failed, and one line about all.

    It depends on the run alone. An answer from the log gives the same bytes as the first one, so that a notebook that
    was run again differs from the saved one only where an image does. What is new about this time is shown beside it:
    see `show_outcome`.

    Args:
        outcome: What came of a task.
        display: `html`, or `image` for what reads no HTML.
    """
    prompt = prompt_of(outcome.task) or str(outcome.task.get("taskType", ""))
    several = len(outcome.results) > 1
    is_plain = display == "image"
    view = ResultsView(
        prompt=prompt,
        tiles=[] if is_plain else [_tile(result, prompt, outcome.task, several=several) for result in outcome.results],
        failures=[error_sentence(error) for error in outcome.errors],
        facts=_facts(outcome),
    )
    return _render_plain(view, outcome.results) if is_plain else render_results(view)


def show_outcome(outcome: Outcome, notices: Sequence[str], *, display: str) -> None:
    """Show an outcome in the running cell, and each notice as an output of its own below it. Only IPython calls this.

    Always through `display`: as the value of a cell the same images would be an output of another kind.
    """
    from IPython.display import display as show

    for bundle in (render_outcome(outcome, display=display), *({"text/plain": notice} for notice in notices)):
        show(printable_bundle(bundle), raw=True)  # type: ignore[no-untyped-call]


def render_result(
    result: Result, prompt: str, task: Mapping[str, Any] = MappingProxyType({}), *, display: str = "html"
) -> dict[str, str]:
    """Show a single result of a task."""
    facts = [f"#{result.index + 1}", *([f"seed {result.seed}"] if result.seed is not None else []),
             format_usd(result.cost_usd), f"{result.task_uuid[:4]}…"]  # fmt: skip
    if display == "image":
        return _render_plain(ResultsView(prompt, [], facts=facts), [result])
    return render_results(ResultsView(prompt, [_tile(result, prompt, task, several=False)], facts=facts))


@short_repr()
@dataclass(frozen=True, slots=True)
class OutcomeRenderer:
    """What draws an outcome in a notebook; a value, so that an outcome can be pickled and is still drawn afterwards.

    Attributes:
        display: `html` or `image`.
    """

    display: str

    def __call__(self, outcome: Outcome) -> dict[str, str]:
        """Return the outcome's MIME bundle."""
        return render_outcome(outcome, display=self.display)


@short_repr()
@dataclass(frozen=True, slots=True)
class OutcomePresenter:
    """What shows an outcome in a cell, with its notices as outputs of their own; a value, as `OutcomeRenderer` is.

    Attributes:
        notices: Sentences that a user should know.
        display: `html` or `image`.
    """

    notices: Sequence[str]
    display: str

    def __call__(self, outcome: Outcome) -> None:
        """Show the outcome in the running cell."""
        show_outcome(outcome, self.notices, display=self.display)


@short_repr()
@dataclass(frozen=True, slots=True)
class ResultRenderer:
    """What draws a single result in a notebook.

    Attributes:
        prompt: Its caption.
        task: The task that made it, in wire spelling.
        display: `html` or `image`.
    """

    prompt: str
    task: Mapping[str, Any]
    display: str

    def __call__(self, result: Result) -> dict[str, str]:
        """Return the result's MIME bundle."""
        return render_result(result, self.prompt, self.task, display=self.display)


def _render_plain(view: ResultsView, results: Sequence[Result]) -> dict[str, str]:
    from ..media.sheet import make_sheet

    images = []
    for result in results:
        with contextlib.suppress(MediaError):
            if result.medium is not None and sniff(result.bytes) in IMAGE_TYPES:
                images.append(result.image)
    sheet = make_sheet(images) if images else None
    return render_plain(view, None if sheet is None else sheet.body, "" if sheet is None else sheet.media_type)


def render_job(job: Job) -> dict[str, str]:
    """Show a job as it stands: its results, its failure, or the place where they will be."""
    if job.is_done:
        error = job.future.exception()
        if error is None:
            return render_outcome(job.future.result(), display=job.session.settings.display)
        return render_results(ResultsView(_prompt(job.record), [], [error_sentence(error)], [job.task_uuid]))
    request = job.record.request
    return render_progress(
        prompt=_prompt(job.record),
        count=_number(request, "numberResults", 1),
        width=_number(request, "width", 1024),
        height=_number(request, "height", 1024),
        percent=job.progress,
        note=_note(job),
    )


def runs_table(
    runs: Sequence[RunRecord],
    pictures: Sequence[object] = (),
    *,
    extent: str = "",
    empty: str = "the log is empty: nothing has been run here yet",
) -> Table:
    """List runs, one line each.

    Args:
        runs: In order.
        pictures: A small picture for each, or an empty text.
        extent: Which part of a longer list this is, such as `20 of 73 runs`; empty where it is whole.
        empty: What to say where there is none.
    """
    rows: list[tuple[object, ...]] = [
        (
            *([picture] if pictures else []),
            run.task_uuid[:8],
            run.created_at_utc[:19].replace("T", " "),
            run.state.value,
            "" if run.execution_count is None else f"[{run.execution_count}]",
            run.model or run.task_type,
            _count(run),
            "" if run.cost is None else format_amount(run.cost, run.cost_unit),
            format_stars(run.best_rating),
            ", ".join(run.tags),
            _clip(run.prompt or run.task_type, 60),
        )
        for run, picture in zip(runs, pictures or [""] * len(runs), strict=True)
    ]
    columns: tuple[str, ...] = (
        "run",
        "time (UTC)",
        "state",
        "cell",
        "model",
        "results",
        "cost",
        "stars",
        "tags",
        "prompt",
    )
    columns = ("", *columns) if pictures else columns
    used = [i for i, name in enumerate(columns) if name not in {"stars", "tags", "cell"} or any(row[i] for row in rows)]
    counted = extent or f"{len(rows)} run{'' if len(rows) == 1 else 's'}"
    caption = f"{counted} · {format_sums(sums_by_unit((run.cost, run.cost_unit) for run in runs))}"
    caption += " · `--page` and `--limit all` show the others" if extent else ""
    shown = [[row[i] for i in used] for row in rows]
    return Table([columns[i] for i in used], shown, caption, empty=empty)


def extent_of(log: RunLog, wanted: RunFilter, shown: int) -> str:
    """Return which part of the runs a list shows, such as `20 of 73 runs`; empty where it shows all."""
    if wanted.limit is None or (wanted.page == 1 and shown < wanted.limit):
        return ""  # nothing was left out, so nothing has to be counted
    total = log.count_matching(wanted, at_most=COUNTED_AT_MOST)
    if total == shown:
        return ""
    whole = f"more than {COUNTED_AT_MOST:,}" if total > COUNTED_AT_MOST else f"{total:,}"
    first = (wanted.page - 1) * wanted.limit + 1
    part = f"{shown:,}" if wanted.page == 1 or not shown else f"{first:,} to {first + shown - 1:,}"
    return f"{part} of {whole} runs"


def error_sentence(error: BaseException) -> str:
    """Format any error as one line: its class, its message, and the code and parameter that the service named."""
    details = [f"code {error.code}"] if isinstance(error, TaskError) and error.code else []
    if isinstance(error, TaskError) and error.parameter:
        details.append(f"parameter {error.parameter}")
    tail = f" ({', '.join(details)})" if details else ""
    return f"{type(error).__name__}: {error}{tail}"


def _tile(result: Result, prompt: str, task: Mapping[str, Any], *, several: bool) -> Tile:
    seed = "" if result.seed is None else f" · seed {result.seed}"
    caption = f"#{result.index + 1}{seed}" if several else ""
    bare = Tile(alt=prompt, caption=caption, href=relative_link(result.path), facts=_parameters(result, task))
    if result.text is not None:
        return replace(bare, words=result.text)
    if result.structured is not None:
        return replace(bare, words=json.dumps(result.structured, ensure_ascii=False))
    try:
        body = result.bytes
        kind = sniff(body)
        if kind not in IMAGE_TYPES:
            return _other_medium(bare, body, kind or "file")
        small = make_thumbnail(decode(body))
    except MediaError as error:
        return Tile(alt=prompt, caption=caption, words=str(error))
    return replace(bare, body=small.body, media_type=small.media_type, width=small.width, height=small.height,
                   is_flagged=result.is_flagged)  # fmt: skip


def _other_medium(bare: Tile, body: bytes, kind: str) -> Tile:
    """Show what is no picture of pixels: a drawing as an image, where it runs no script; films and sounds to play."""
    words = f"{kind}, {len(body) / 1024:,.0f} KiB"
    if kind == "image/svg+xml" and len(body) <= THUMBNAIL_BYTES:
        return replace(bare, body=body, media_type=kind, width=512, words=words)
    player = kind.partition("/")[0]
    return replace(bare, words=words, player=player if player in {"video", "audio"} else "")


_DELIVERY = frozenset({"taskType", "taskUUID", "deliveryMethod", "includeCost", "outputType", "webhookURL",
                       "uploadEndpoint", "ttl", "numberResults", "width", "height"})  # fmt: skip


def _parameters(result: Result, task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what made this one image, for the panel below it."""
    # as the log has it, in an order of its own: an answer from the log or from a bundle has lost that of the request
    values = {name: value for name, value in in_order(storable_request(task)).items() if name not in _DELIVERY}
    if result.seed is not None:
        values["seed"] = result.seed
    if isinstance(task.get("width"), int) and isinstance(task.get("height"), int):
        values["size"] = f"{task['width']} × {task['height']}"
    if result.cost_usd is not None:
        values["cost"] = format_usd(result.cost_usd)
    if result.path is not None:
        values["file"] = _from_notebook(result.path)
    values["run"] = result.task_uuid
    return [(name, _fact(value)) for name, value in values.items() if value is not None]


def _fact(value: Any) -> str:
    if isinstance(value, str | int | float | bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=lambda each: f"<{type(each).__name__}>")


def relative_link(path: Path | None) -> str | None:
    """Return the link to a file from the notebook's folder; None for a file on another drive."""
    if path is None:
        return None
    near = _from_notebook(path)
    return None if Path(near).is_absolute() else quote(os.fsencode(near))  # bytes: a name need not be UTF-8


def relative_path(path: Path) -> str:
    """Return a path that a line or a call can name, with slashes.

    It is relative as long as the working directory is the notebook's folder: then it means the same file after a
    restart. After `%cd` it is the whole path, because the process would look for a relative one elsewhere.
    """
    near = _from_notebook(path)
    try:
        return near if Path(near).resolve() == path.resolve() else path.resolve().as_posix()
    except OSError:  # the working directory was deleted
        return path.as_posix()


def _from_notebook(path: Path) -> str:
    """Return a path relative to the notebook's folder, with slashes; the whole path if it is on another drive.

    The folder was fixed when the extension was loaded: the front end resolves links from the notebook, wherever `%cd`
    has gone since. Without a notebook it is the working directory.
    """
    try:
        return Path(os.path.relpath(path, hooks.notebook_folder)).as_posix()
    except (ValueError, OSError):  # an OSError: the working directory was deleted
        return str(path)


def _facts(outcome: Outcome) -> list[str]:
    count = len(outcome.results)
    noun = "image" if outcome.task.get("taskType") == "imageInference" else "result"
    facts = [f"{count} {noun}{'' if count == 1 else 's'}"]
    if outcome.errors:
        facts.append(f"{len(outcome.errors)} failed")
    facts.append(format_usd(outcome.cost_usd))
    if outcome.duration_s is not None:
        facts.append(f"{outcome.duration_s:.{1 if outcome.duration_s >= 0.1 else 2}f} s")
    seeds = sorted({result.seed for result in outcome.results if result.seed is not None})
    if seeds:
        is_range = len(seeds) > 1 and seeds[-1] - seeds[0] == len(seeds) - 1
        facts.append(f"seed {seeds[0]}-{seeds[-1]}" if is_range else "seed " + ", ".join(map(str, seeds)))
    facts.append(f"{outcome.task_uuid[:4]}…")
    return facts


def _prompt(record: RunRecord) -> str:
    return record.prompt or record.task_type


def _number(request: dict[str, Any], name: str, default: int) -> int:
    value = request.get(name, default)
    return value if isinstance(value, int) and value > 0 else default


def _note(job: Job) -> str:
    done = len(job.arrived)
    asked = _number(job.record.request, "numberResults", 1)
    said = _IN_WORDS.get(job.state, job.state.value)
    return f"{said}, {done} of {asked} here" if done else said


def _count(run: RunRecord) -> str:
    good = sum(result.error is None for result in run.results)
    failed = len(run.results) - good
    return f"{good} + {failed} failed" if failed else str(good or "")


def _clip(line: str, width: int) -> str:
    one_line = " ".join(line.split())
    return one_line if len(one_line) <= width else f"{one_line[: width - 1]}…"
