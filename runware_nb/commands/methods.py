"""methods: a paragraph for a paper."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..catalog import find_model
from ..errors import RunNotFound
from ..runlog import RunLog, RunRecord, State
from ..view.html import element, text
from ..view.results import format_usd
from .base import Answer
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "write the paragraph about these runs for a paper's methods section"

_SERVICES = {"runware": "the Runware API (https://runware.ai)", "sandbox": "runware_nb's local sandbox (no real model)"}
_MOST_SEEDS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> Answer:
    """Write it."""
    chosen = [
        each
        for each in session.log.select(filter_from(options, session))
        if each.state in {State.SUCCEEDED, State.PARTIAL}
    ]
    if not chosen:
        raise RunNotFound("no finished run fits, so there is nothing to write about")
    written = paragraph(session.log, chosen)
    bundle = {"text/html": element("p", text(written)), "text/plain": written}
    return Answer(bundle, {"methods": written, "runs": len(chosen)}, value=written)


def paragraph(log: RunLog, runs: Sequence[RunRecord]) -> str:
    """Write about runs: what made them, how many, from which seeds, when, and for how much."""
    results = sum(result.error is None for run in runs for result in run.results)
    services = " and ".join(_SERVICES.get(name, name) for name in sorted({run.provider for run in runs}))
    days = sorted({run.created_at_utc[:10] for run in runs})
    when = f"on {days[0]}" if len(days) == 1 else f"between {days[0]} and {days[-1]}"
    made = "1 result was" if results == 1 else f"{results} results were"
    sentences = [
        f"{made} generated in {_count(len(runs), 'run')} with {_models(runs)} through {services} {when} (UTC).",
        _seeds(runs),
        _sizes(runs),
        _cost(runs),
        _software(log, runs),
        "Every request, seed, cost and SHA-256 of the files received is kept in a run log.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _models(runs: Sequence[RunRecord]) -> str:
    counted = Counter(run.model or run.task_type for run in runs).most_common()
    named = []
    for air, count in counted:
        known = find_model(air)
        name = f"{known.name} ({air})" if known is not None else air
        named.append(name if len(counted) == 1 else f"{name} in {_count(count, 'run')}")
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + f" and {named[-1]}"


def _seeds(runs: Sequence[RunRecord]) -> str:
    seeds = sorted({result.seed for run in runs for result in run.results if result.seed is not None})
    if not seeds:
        return ""
    if len(seeds) > 1 and seeds[-1] - seeds[0] == len(seeds) - 1:
        listed = f"{seeds[0]} to {seeds[-1]}"
    elif len(seeds) <= _MOST_SEEDS:
        listed = ", ".join(map(str, seeds))
    else:
        return f"Each result has a recorded seed ({len(seeds)} different ones)."
    return f"The random {'seed was' if len(seeds) == 1 else 'seeds were'} {listed}."


def _sizes(runs: Sequence[RunRecord]) -> str:
    sizes = Counter(
        f"{run.request['width']} × {run.request['height']}"
        for run in runs
        if isinstance(run.request.get("width"), int) and isinstance(run.request.get("height"), int)
    )
    steps = sorted({run.request["steps"] for run in runs if isinstance(run.request.get("steps"), int)})
    said = f"Images were {' and '.join(size for size, _ in sizes.most_common(4))} pixels" if sizes else ""
    if said and steps:
        said += f", made in {' or '.join(map(str, steps[:6]))} steps"
    return f"{said}." if said else ""


def _cost(runs: Sequence[RunRecord]) -> str:
    known = [run.cost_usd for run in runs if run.cost_usd is not None]
    unknown = len(runs) - len(known)
    if not known:
        return ""
    return f"The cost was {format_usd(sum(known))}" + (f", not counting {_count(unknown, 'run')}." if unknown else ".")


def _software(log: RunLog, runs: Sequence[RunRecord]) -> str:
    versions: set[str] = set()
    for environment_hash in {run.environment_hash for run in runs if run.environment_hash}:
        snapshot = log.environment(environment_hash) or {}
        package = (snapshot.get("packages") or {}).get("runware-nb")
        if package:
            versions.add(f"runware_nb {package} on Python {snapshot.get('python')}")
    return f"Requests were made with {' and '.join(sorted(versions))}." if versions else ""
