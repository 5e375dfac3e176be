"""text-to-image: the same as `%%runware`, from one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.media_fields import holds_media, list_media, replace_media
from ..core.operations import TEXT_TO_IMAGE
from ..core.results import Outcome, Result
from ..engine.durations import duration_in_words
from ..engine.submission import Plan
from ..errors import MagicUsageError, TaskError
from ..present.table import render_facts
from ..providers.runware.image_options import GuideSource
from ..reprs import shortened
from ..session.image_request import plan_image, submit_image
from .base import CommandResult
from .image_options import add_image_options, add_label_options, fill_in, refuse_keys, request_from
from .images_in import find_image
from .prompts_in import add_prompt_options, notices_of, render_options

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = TEXT_TO_IMAGE.summary
IS_RUN = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", nargs="*", help="the prompt")
    parser.add_argument("--prompt", metavar="TEXT", help="the prompt, as an option")
    add_image_options(parser)
    add_prompt_options(parser, for_images=True)
    add_label_options(parser)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Send the task and return its job.

    Raises:
        MagicUsageError: There is no prompt, or there are two.
    """
    if options.prompt is not None and options.words:
        raise MagicUsageError(
            f"There are two prompts: {' '.join(options.words)!r} and --prompt {options.prompt!r}. Keep one of them. "
            "Nothing was sent."
        )
    words = [options.prompt] if options.prompt is not None else options.words
    if not " ".join(words).strip() and options.vary is None:
        raise MagicUsageError('the prompt is empty: write what to draw, such as --prompt "a small airship"')
    refuse_keys([options.model or "", options.scheduler or ""])
    fill_in(options, getattr(options, "defaults", {}))  # of the notebook; there are none in a terminal
    typed = getattr(options, "typed_words", {})
    prompt = " ".join(typed.get(word, word) for word in words)
    return submit(session, options, prompt, names=getattr(options, "names", {}))


def submit(
    session: Session,
    options: argparse.Namespace,
    prompt: str,
    template: str | None = None,
    names: Mapping[str, Any] = MappingProxyType({}),
) -> CommandResult:
    """Plan or send a prompt with parsed options.

    Args:
        session: The session.
        options: As parsed.
        prompt: The prompt as typed, before names and wildcards were replaced.
        template: What the log records as typed; the prompt by default.
        names: The user's variables.

    Raises:
        MagicUsageError: The prompt cannot be rendered, or a value cannot be read.
    """
    fill_in(options, session.settings.defaults)
    options.names = names
    # The prompt is what was typed, also if the value of another option has the same text.
    options.typed_words = {**getattr(options, "typed_words", {}), prompt: prompt}
    prompts = render_options(session, options, {"positive": prompt, "negative": options.negative})
    options.negative = prompts.get("negative")
    request = request_from(options, prompts["positive"], lambda word: find_image(word, session, names), session)
    if options.enhance:
        request = replace(request, enhances=True)
    if options.weights:
        request = replace(request, task=replace(request.task, prompt_weighting=True))
    if options.dry_run:
        plan = plan_image(session, request)
        plan.warnings += notices_of(prompts)
        return dry_run(plan, names)
    job = submit_image(
        session,
        request,
        template=template,
        tags=tuple(options.tag),
        note=options.note,
        fresh=options.fresh,
        agreed=options.yes,
    )
    job.notices.extend(notices_of(prompts))
    return CommandResult(job=job, value=job)


def _named(value: Any, names: Mapping[str, Any]) -> str:
    """Name a medium that would be uploaded: as a variable, or as what it is."""
    if isinstance(value, Result):
        return f"result #{value.index + 1} of run {value.task_uuid[:8]}"
    if isinstance(value, str | PurePath | GuideSource):
        shown = str(value)
    else:
        variables = (name for name, held in names.items() if held is value and not name.startswith("_"))
        shown = next(variables, f"<{type(value).__name__}>")
    return shown if len(shown) <= 200 else f"{shown[:199]}…"


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as the service answered, and where its files are."""
    made: dict[str, Any] = {"data": [result.raw for result in outcome.results]}
    if outcome.errors:
        made["errors"] = [_raw(error) for error in outcome.errors]
    if outcome.is_recorded:
        made["recorded"] = True
    made["files"] = [str(result.path) for result in outcome.results if result.path]
    return made


def _raw(error: TaskError) -> dict[str, Any]:
    return error.raw or {"code": error.code, "message": error.problem, "taskUUID": error.task_uuid}


def dry_run(plan: Plan, names: Mapping[str, Any] = MappingProxyType({})) -> CommandResult:
    """Return what a plan would send, and its price.

    Args:
        plan: The plan.
        names: The user's variables, by which media are named.
    """
    task = replace_media(plan.task, lambda value: _named(value, names)) if holds_media(plan.task) else plan.task
    usual = plan.usual_duration
    expected = [] if usual is None else [("expected time", duration_in_words(usual))]
    urls = [value for _, value in list_media(plan.task) if _is_url(value)]
    shown = [(name, _written(value)) for name, value in task.items()]
    facts = [*shown, ("price", str(plan.price)), *expected, ("sent", "nothing (dry run)")]
    written = {
        "task": task,
        "estimate_usd": plan.price.usd,
        "estimate_basis": plan.price.basis,
        "expected_s": None if usual is None else round(usual.seconds, 1),
    }
    return CommandResult(render_facts(facts), written, (*plan.warnings, *_notes_on_urls(urls)), value=plan)


def _written(value: Any) -> Any:
    """Write an object or a list as JSON; other values stay."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping | list | tuple) else value


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _notes_on_urls(urls: Sequence[str]) -> list[str]:
    """Return that URLs were not checked: the service fetches them when it gets the task."""
    if not urls:
        return []
    names = ", ".join(shortened(url, 100) for url in urls)
    is_one = len(urls) == 1
    verb, it = ("was", "it") if is_one else ("were", "them")
    return [f"The {'URL' if is_one else 'URLs'} {names} {verb} not checked: the service fetches {it}."]
