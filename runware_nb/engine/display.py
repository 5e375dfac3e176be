"""From outcomes to views: thumbnails, captions, footers."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..core.media_types import IMAGE_TYPES, ending_for, sniff
from ..core.money import USD, format_amount, format_costs
from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from ..core.results import PARTIAL, Outcome, Result
from ..errors import MediaError, TaskError
from ..media import MemoryMedium, decode, make_thumbnail
from ..media.medium_kinds import MediumKind, kind_of
from ..media.preview import PREVIEW_BYTES, Preview
from ..media.svg import svg_size
from ..present.results import ResultsView, Tile, format_stars, format_usd, render_plain, render_results
from ..present.sizes import format_size
from ..present.table import Table
from ..present.text import TextView, Turn, render_text
from ..printable import printable_bundle
from ..providers.base import Description
from ..remedies import Option, Remedy
from ..reprs import short_repr
from ..runlog import RunRecord, State
from .front_end import current_front_end
from .guides import Guide
from .structured import problem_of

if TYPE_CHECKING:
    from ..runlog import RunLog
    from ..runlog.filters import RunFilter

__all__ = [
    "COUNTED_AT_MOST",
    "OutcomePresenter",
    "OutcomeRenderer",
    "ResultRenderer",
    "error_sentence",
    "extent_of",
    "relative_link",
    "relative_path",
    "render_outcome",
    "render_result",
    "render_unfinished_text",
    "runs_table",
    "show_outcome",
]


_TOKENS = {"promptTokens": "in", "completionTokens": "out", "thinkingTokens": "for reasoning"}
_ENDED = {
    "length": Remedy("The text ends at the limit of tokens. Raise {0} for a longer one.", (Option("max_tokens"),)),
    "content_filter": Remedy("The content filter of the service ended the text."),
    "unknown": Remedy("The service did not state why the text ended."),
}
_SIDE_PX = 512
_NOUNS = {
    "video": {ending_for(kind) for kind in ("video/mp4", "video/webm", "video/quicktime")},
    "audio file": {ending_for(kind) for kind in ("audio/mpeg", "audio/wav", "audio/flac", "audio/ogg", "audio/mp4")},
    "3D model": {ending_for("model/gltf-binary")},
}
_LEAST_SHARE = 8 * 1024
"""Bytes of a still picture, however many there are in one output."""
COUNTED_AT_MOST = 10_000
"""More runs than this are not counted one by one, so that a list stays quick in a log of a million."""
_OTHER_PAGES = Remedy("{0} and {1} show the others", (Option("page"), Option("limit", "all", python="limit=None")))


def render_outcome(
    outcome: Outcome,
    *,
    description: Description | None = None,
    display: str = "html",
    guides: Sequence[Guide] | None = None,
) -> dict[str, str]:
    """Return an outcome as a MIME bundle: its images, what failed, and one line about all.

    It depends on the run alone. An answer from the log gives the same bytes as the first one, so that a notebook that
    was run again differs from the saved one only where an image does. What is new about this time is shown beside it:
    see `show_outcome`.

    Args:
        outcome: What came of a task.
        description: The task in words; by default as the session described it.
        display: `html`, or `image` for what reads no HTML.
        guides: The guide images, shown before the results; by default those that the session found.
    """
    lent = outcome.renderer
    if guides is None:
        guides = lent.guides if isinstance(lent, OutcomeRenderer) else ()
    if description is None:
        description = lent.description if isinstance(lent, OutcomeRenderer) else Description(_kind(outcome.task))
    if len(outcome.results) == 1 and outcome.results[0].is_written:
        shown = render_text(_text_view(outcome.results[0], description, outcome.errors, outcome))
        return {"text/plain": shown["text/plain"]} if display == "image" else shown
    prompt = description.prompt
    several = len(outcome.results) > 1
    share = max(_LEAST_SHARE, PREVIEW_BYTES // max(1, len(outcome.results)))
    is_plain = display == "image"
    view = ResultsView(
        prompt=prompt,
        tiles=[]
        if is_plain
        else [
            *filter(None, map(_guide_tile, guides)),
            *(_tile(result, description, outcome.task, several=several, share=share) for result in outcome.results),
        ],
        failures=[error_sentence(error) for error in outcome.errors],
        facts=_facts(outcome),
    )
    return _render_plain(view, outcome.results, guides) if is_plain else render_results(view)


def show_outcome(
    outcome: Outcome,
    notices: Sequence[str],
    description: Description,
    *,
    display: str,
    guides: Sequence[Guide] | None = None,
) -> None:
    """Show an outcome in the running cell, and each notice as an output of its own below it. Only IPython calls this.

    Always through `display`: as the value of a cell the same images would be an output of another kind.
    """
    from IPython.display import display as show

    shown = render_outcome(outcome, description=description, display=display, guides=guides)
    for bundle in (shown, *({"text/plain": notice} for notice in notices)):
        show(printable_bundle(bundle), raw=True)  # type: ignore[no-untyped-call]


def render_result(
    result: Result, description: Description, task: Mapping[str, Any] = MappingProxyType({}), *, display: str = "html"
) -> dict[str, str]:
    """Show a single result of a task."""
    if display != "image" and result.is_written:
        return render_text(_text_view(result, description))
    facts = [f"#{result.index + 1}", *([f"seed {result.seed}"] if result.seed is not None else []),
             format_usd(result.cost_usd), f"{result.task_uuid[:4]}…"]  # fmt: skip
    if display == "image":
        return _render_plain(ResultsView(description.prompt, [], facts=facts), [result])
    return render_results(
        ResultsView(description.prompt, [_tile(result, description, task, several=False)], facts=facts)
    )


@short_repr()
@dataclass(frozen=True, slots=True)
class OutcomeRenderer:
    """What draws an outcome in a notebook; a value, so that an outcome can be pickled and is still drawn afterwards.

    Attributes:
        description: The task in words.
        display: `html` or `image`.
        guides: The guide images.
    """

    description: Description
    display: str
    guides: tuple[Guide, ...] = ()

    def __call__(self, outcome: Outcome) -> dict[str, str]:
        """Return the outcome's MIME bundle."""
        return render_outcome(outcome, description=self.description, display=self.display, guides=self.guides)


@short_repr()
@dataclass(frozen=True, slots=True)
class OutcomePresenter:
    """What shows an outcome in a cell, with its notices as outputs of their own; a value, as `OutcomeRenderer` is.

    Attributes:
        notices: Sentences that a user should know.
        description: The task in words.
        display: `html` or `image`.
        guides: The guide images.
    """

    notices: Sequence[str]
    description: Description
    display: str
    guides: tuple[Guide, ...] = ()

    def __call__(self, outcome: Outcome) -> None:
        """Show the outcome in the running cell."""
        show_outcome(outcome, self.notices, self.description, display=self.display, guides=self.guides)


@short_repr()
@dataclass(frozen=True, slots=True)
class ResultRenderer:
    """What draws a single result in a notebook.

    Attributes:
        description: The task that made it, in words.
        display: `html` or `image`.
        task: The task that made it; its `width` and `height` are shown as a size.
    """

    description: Description
    display: str
    task: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, result: Result) -> dict[str, str]:
        """Return the result's MIME bundle."""
        return render_result(result, self.description, self.task, display=self.display)


def render_unfinished_text(words: str, reasoning: str, sentence: str, task_uuid: str) -> dict[str, str]:
    """Return a text whose run failed before it was complete, as a MIME bundle."""
    raw = {"text": words, **({"reasoningContent": reasoning} if reasoning else {}), PARTIAL: True}
    view = _text_view(Result(raw, task_uuid), Description(""))
    return render_text(replace(view, failures=[sentence]))


def _text_view(
    result: Result, description: Description, errors: Sequence[TaskError] = (), outcome: Outcome | None = None
) -> TextView:
    """Return a generated text as a cell shows it."""
    problem = problem_of(result, description.schema) if description.is_json else None
    is_data = description.is_json and result.json is not None
    ended = _ENDED.get(result.finish_reason or "stop")
    notices = [current_front_end().remedy(ended)] if ended is not None else []
    return TextView(
        text=result.text or "",
        reasoning=result.reasoning or "",
        data=json.dumps(result.json, ensure_ascii=False, indent=2) if is_data else "",
        turns=[Turn(role, words) for role, words in description.turns],
        failures=[*(error_sentence(error) for error in errors), *([problem] if problem else [])],
        notices=notices,
        facts=_facts_of_text(result, outcome),
        is_partial=result.is_partial,
    )


def _facts_of_text(result: Result, outcome: Outcome | None) -> list[str]:
    usage = {name: count for name, count in result.usage.items() if isinstance(count, int)}
    tokens = [f"{usage[name]:,} {label}" for name, label in _TOKENS.items() if name in usage]
    facts = ["incomplete"] if result.is_partial else []
    if tokens:
        facts.append(f"tokens: {', '.join(tokens)}")
    facts.append("cost unknown" if result.cost_usd is None else _small_amount(result.cost_usd))
    if outcome is not None and outcome.duration_s is not None:
        facts.append(f"{outcome.duration_s:.{1 if outcome.duration_s >= 0.1 else 2}f} s")
    return [*facts, f"{result.task_uuid[:4]}…"]


def _small_amount(cost_usd: float) -> str:
    """Format a cost; that of a short text is often far below the digits that other costs have."""
    return f"${cost_usd:.6f}".rstrip("0") if 0.000001 <= cost_usd < 0.0005 else format_usd(cost_usd)


def _render_plain(view: ResultsView, results: Sequence[Result], guides: Sequence[Guide] = ()) -> dict[str, str]:
    from ..media.sheet import make_sheet

    images = []
    notices = []
    texts = []
    for guide in guides:
        with contextlib.suppress(MediaError, OSError):
            images.append(decode(guide.path.read_bytes()))
    for result in results:
        with contextlib.suppress(MediaError):
            if result.text is not None:
                texts.append(result.text)
            elif result.structured is not None:
                texts.append(json.dumps(result.structured, ensure_ascii=False))
            if result.medium is None:
                continue
            body = result.bytes
            media_type = sniff(body)
            if media_type in IMAGE_TYPES:
                images.append(result.image)
                continue
            tile = _other_medium(Tile(view.prompt), result, body, media_type or "", view.prompt)
            notices.append(tile.words if result.path is None else f"{tile.words}: {_from_notebook(result.path)}")
            if tile.body is not None and tile.media_type in IMAGE_TYPES:
                images.append(decode(tile.body))
    view = replace(view, notices=[*view.notices, *notices])
    sheet = make_sheet(images) if images else None
    shown = render_plain(view, None if sheet is None else sheet.body, "" if sheet is None else sheet.media_type)
    return {**shown, "text/plain": "\n".join([*texts, shown["text/plain"]])}


def _work_of(run: RunRecord) -> str:
    """Return what a run was asked to do: its prompt, with the operation before it if it is not the usual one."""
    operation = run.operation or run.task_type
    is_named = operation in _NAMED or not run.prompt
    return ": ".join(filter(None, [operation if is_named else "", run.prompt]))


_NAMED = frozenset(operation.name for operation in OPERATIONS if operation is not TEXT_TO_IMAGE)


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
            run.model or run.operation or run.task_type,
            _count(run),
            "" if run.cost is None else format_amount(run.cost, run.cost_unit),
            format_stars(run.best_rating),
            ", ".join(run.tags),
            _clip(_work_of(run), 60),
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
    caption = f"{counted} · {format_costs((run.cost, run.cost_unit) for run in runs if _may_have_cost(run))}"
    caption += f" · {current_front_end().remedy(_OTHER_PAGES)}" if extent else ""
    shown = [[row[i] for i in used] for row in rows]
    return Table([columns[i] for i in used], shown, caption, empty=empty)


def _may_have_cost(run: RunRecord) -> bool:
    """Return whether a run belongs in the sum of a list.

    A run that was never sent, or that the service refused in dollars, has cost nothing. The cost of every other run
    that the log has no cost of is unknown: it was sent, so it may have been charged.
    """
    is_free = run.attempts == 0 or (run.state is State.FAILED and run.cost_unit == USD)
    return run.cost is not None or not is_free


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
    if isinstance(error, TaskError):
        error.flag = current_front_end().option_for(error.parameter)
        details += filter(None, [error.parameter_in(current_front_end().syntax)])
    tail = f" ({', '.join(details)})" if details else ""
    return f"{type(error).__name__}: {current_front_end().message(error)}{tail}"


def _tile(
    result: Result, description: Description, task: Mapping[str, Any], *, several: bool, share: int = PREVIEW_BYTES
) -> Tile:
    prompt = description.prompt
    seed = "" if result.seed is None else f" · seed {result.seed}"
    caption = f"#{result.index + 1}{seed}" if several else ""
    bare = Tile(
        alt=prompt, caption=caption, href=relative_link(result.path), facts=_parameters(result, description, task)
    )
    if result.text is not None:
        return replace(bare, words=result.text)
    if result.structured is not None:
        data = json.dumps(result.structured, ensure_ascii=False, indent=2)
        return replace(bare, words=json.dumps(result.structured, ensure_ascii=False), data=data)
    try:
        body = result.bytes
        kind = sniff(body)
        if kind not in IMAGE_TYPES:
            return _other_medium(bare, result, body, kind or "", prompt, share=share)
        small = make_thumbnail(decode(body))
    except MediaError as error:
        return Tile(alt=prompt, caption=caption, words=str(error))
    return replace(bare, body=small.body, media_type=small.media_type, width=small.width, height=small.height,
                   is_flagged=result.is_flagged)  # fmt: skip


def _guide_tile(guide: Guide) -> Tile | None:
    """Return the tile of a guide image; None if its file cannot be read."""
    try:
        small = make_thumbnail(decode(guide.path.read_bytes()))
    except (MediaError, OSError):
        return None
    return Tile(alt=guide.caption, caption=guide.caption, href=relative_link(guide.path), body=small.body,
                media_type=small.media_type, width=small.width, height=small.height)  # fmt: skip


def _other_medium(
    bare: Tile, result: Result, body: bytes, media_type: str, prompt: str, *, share: int = PREVIEW_BYTES
) -> Tile:
    """Return the tile of a file that is not an image of pixels.

    Args:
        bare: The tile so far.
        result: The result.
        body: Its file.
        media_type: As it was detected.
        prompt: What was asked for.
        share: Most bytes of its still picture, because several share one output.
    """
    kind = kind_of(media_type)
    ending = ending_for(media_type)
    noun = f"{kind[0].upper()}{kind[1:]}"
    alt = prompt if kind is MediumKind.IMAGE else f"{noun}: {prompt}" if prompt else noun
    tile = replace(bare, alt=alt, file_name=_file_name(result, prompt, ending), is_flagged=result.is_flagged)
    name = f"{ending[1:].upper()} {kind}" if media_type else "file of an unknown type"
    if kind is MediumKind.IMAGE:
        return (
            _drawing(tile, body, name, share)
            if media_type == "image/svg+xml"
            else replace(tile, words=_join(name, body))
        )
    preview = _preview(result)
    tile = replace(
        tile,
        words=_join(name, body, *(preview.facts if preview is not None else ())),
        player=kind.value if kind in {MediumKind.VIDEO, MediumKind.AUDIO} else "",
        note="" if preview is None else preview.problem,
        is_only_saved=kind in {MediumKind.MODEL, MediumKind.OTHER},
    )
    if preview is None or preview.body is None:
        return tile
    if len(preview.body) > share:
        small = make_thumbnail(decode(preview.body), max_bytes=share)
        return replace(tile, body=small.body, media_type=small.media_type, width=small.width, height=small.height)
    return replace(tile, body=preview.body, media_type=preview.media_type, width=preview.width, height=preview.height)


def _preview(result: Result) -> Preview | None:
    return result.medium.preview if isinstance(result.medium, MemoryMedium) else None


def _drawing(tile: Tile, body: bytes, name: str, share: int) -> Tile:
    """Return the tile of an SVG file: as an image, which runs no script. A large one is shown from its file."""
    size = svg_size(body)
    width = min(_SIDE_PX, round(size[0])) if size is not None else _SIDE_PX
    height = 0 if size is None else max(1, round(width * size[1] / size[0]))
    if height > _SIDE_PX:
        width, height = max(1, round(width * _SIDE_PX / height)), _SIDE_PX
    tile = replace(
        tile,
        width=max(1, width),
        words=_join(name, body, *([f"{size[0]:g} × {size[1]:g}"] if size is not None else [])),
    )
    if len(body) <= share:
        return replace(tile, body=body, media_type="image/svg+xml", height=height)
    return replace(
        tile, source=tile.href or "", note="The image is too large for the notebook: it is shown from its file."
    )


def _join(name: str, body: bytes, *facts: str) -> str:
    return ", ".join([name, *facts, format_size(len(body))])


def _file_name(result: Result, prompt: str, ending: str) -> str:
    """Return a readable name for a download: from the prompt, and unique."""
    words = "-".join(re.findall(r"\w+", prompt.lower()))[:40].strip("-")
    number = f"-{result.index + 1}" if result.index else ""
    return f"{words or 'result'}-{result.task_uuid[:8]}{number}{ending}"


def _parameters(result: Result, description: Description, task: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what made this one image, for the panel below it."""
    values = dict(description.parameters)
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


def _kind(task: Mapping[str, Any]) -> str:
    return str(task.get("taskType", ""))


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
        return Path(os.path.relpath(path, current_front_end().notebook_folder)).as_posix()
    except (ValueError, OSError):  # an OSError: the working directory was deleted
        return str(path)


def _facts(outcome: Outcome) -> list[str]:
    count = len(outcome.results)
    noun = "image" if outcome.task.get("taskType") == "imageInference" else _noun(outcome.results)
    facts = [f"{count} {noun}{'' if count == 1 else 's'}"]
    if outcome.errors:
        facts.append(f"{len(outcome.errors)} failed")
    facts.append("cost unknown" if outcome.cost is None else str(outcome.cost))
    if outcome.duration_s is not None:
        facts.append(f"{outcome.duration_s:.{1 if outcome.duration_s >= 0.1 else 2}f} s")
    seeds = sorted({result.seed for result in outcome.results if result.seed is not None})
    if seeds:
        is_range = len(seeds) > 1 and seeds[-1] - seeds[0] == len(seeds) - 1
        facts.append(f"seed {seeds[0]}-{seeds[-1]}" if is_range else "seed " + ", ".join(map(str, seeds)))
    facts.append(f"{outcome.task_uuid[:4]}…")
    return facts


def _noun(results: Sequence[Result]) -> str:
    """Return what results are called: videos, audio and 3D models by their names, everything else `result`."""
    endings = {result.path.suffix for result in results if result.path is not None}
    found = [noun for noun, suffixes in _NOUNS.items() if endings and endings <= suffixes]
    return found[0] if found else "result"


def _count(run: RunRecord) -> str:
    if any(result.raw.get(PARTIAL) is True for result in run.results):
        return "incomplete"
    good = sum(result.error is None for result in run.results)
    failed = len(run.results) - good
    return f"{good} + {failed} failed" if failed else str(good or "")


def _clip(line: str, width: int) -> str:
    one_line = " ".join(line.split())
    return one_line if len(one_line) <= width else f"{one_line[: width - 1]}…"
