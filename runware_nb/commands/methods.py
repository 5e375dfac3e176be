"""methods: a paragraph for a paper."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.money import format_sums, sums_by_unit
from ..errors import RunNotFound
from ..present.html import element, text
from ..providers.registry import package_of_service
from ..providers.runware.catalog import find_model, rulebook_of
from ..providers.runware.operations import WIRE_NAMES
from ..providers.runware.parameters import parameters_of
from ..runlog import RunRecord, State
from .base import CommandResult
from .filters import add_filters, filter_from

if TYPE_CHECKING:
    from ..session import Session

SUMMARY = "write the paragraph about these runs for a paper's methods section"

_SERVICES = {"runware": "the Runware API (https://runware.ai)", "sandbox": "runware_nb's local sandbox (no real model)"}
_MOST_VALUES = 12
"""More different values of one parameter than this are summed up, and the sentence says so."""
_MOST_PROMPTS = 3
_LONGEST_VALUE = 400
_USUAL = ("negative_prompt", "steps", "cfg_scale", "scheduler", "loras", "acceleration", "seed", "output_format")
"""Parameters that a reader expects: they are named even where no run gives them, if the model takes them."""
_NONE_WITHOUT = frozenset({"negative_prompt", "loras"})
"""Parameters that are not used where they are not given; every other one has a default of the model."""
_PROTOCOL_DEFAULTS: Mapping[str, str] = {"output_format": "JPG", "output_quality": "95", "number_results": "1"}
_WORDS = {"cfg_scale": "CFG scale", "loras": "LoRA", "positive_prompt": "prompt", "number_results": "number of results"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_filters(parser, limit=None)


def run(session: Session, options: argparse.Namespace) -> CommandResult:
    """Return the paragraph about the runs that the filters select."""
    wanted = filter_from(options, session)
    selected = session.log.select(wanted)
    chosen = [run for run in selected if run.state in {State.SUCCEEDED, State.PARTIAL}]
    if not chosen:
        raise RunNotFound("no finished run fits, so there is nothing to write about")
    failed = sum(run.state in {State.FAILED, State.LOST} for run in selected)
    left_out = 0
    if not wanted.with_replays and wanted.limit is None:
        left_out = len(session.log.select(dataclasses.replace(wanted, with_replays=True))) - len(selected)
    written = paragraph(session, chosen, failed=failed, left_out=left_out)
    bundle = {"text/html": element("p", text(written)), "text/plain": written}
    return CommandResult(bundle, {"methods": written, "runs": len(chosen), "failed": failed}, value=written)


def paragraph(session: Session, runs: Sequence[RunRecord], *, failed: int = 0, left_out: int = 0) -> str:
    """Return the paragraph: what was generated with which parameters, how often, when, and for how much.

    Args:
        session: Whose log and schemas count.
        runs: Runs with results.
        failed: Further runs of the selection, which gave no result.
        left_out: Re-runs of the selection that are not among *runs*.
    """
    results = sum(result.error is None for run in runs for result in run.results)
    services = _listed([_cited(name) for name in sorted({run.provider for run in runs})])
    days = sorted({run.created_at_utc[:10] for run in runs})
    when = f"on {days[0]}" if len(days) == 1 else f"between {days[0]} and {days[-1]}"
    verb = "result was" if results == 1 else "results were"
    counted = _count(len(runs), "run")
    sentences = [f"{results} {verb} generated in {counted} with {_models(runs)} through {services} {when} (UTC)."]
    groups = _groups(runs)
    for task_type, group in groups.items():
        about = f" of the {_count(len(group), task_type + ' run')}" if len(groups) > 1 else ""
        sentences += _parameter_sentences(session, group, about)
    sentences += _completeness(runs, failed, left_out)
    sentences += [
        _cost(runs),
        _software(session, runs),
        "Every request, seed, cost and SHA-256 of the files received is kept in a run log.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _cited(service: str) -> str:
    """Return a service as a paper names it."""
    package = package_of_service(service)
    if package is None or not package.citation:
        return _SERVICES.get(service, service)
    return package.citation if service == package.services[0] else _SERVICES["sandbox"]


def _groups(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.task_type, []).append(run)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def _parameter_sentences(session: Session, runs: Sequence[RunRecord], about: str) -> list[str]:
    """Return what was fixed, what varied, and what was left to the model, for runs of one operation."""
    described = [_described(run) for run in runs]
    names = list(dict.fromkeys(name for one in described for name in one))
    names.sort(key=lambda name: list(WIRE_NAMES).index(name) if name in WIRE_NAMES else len(WIRE_NAMES))
    takes = [_taken(session, run) for run in runs]
    defaults = [name for name in _USUAL if name not in names and any(name in schema for schema in takes)]
    fixed, varied, is_cut = [], [], False
    for name in names:
        values = [one.get(name) for one in described]
        counted = Counter(value for value in values if value is not None)
        absent = [schema for schema, value in zip(takes, values, strict=True) if value is None]
        if len(counted) == 1 and not absent:
            value, shortened = _value(next(iter(counted)))
            fixed.append(f"{_word(name)} {value}")
        else:
            listed, shortened = _distribution(name, counted)
            rest = f" and {_absence(name, absent)} in {_count(len(absent), 'run')}" if absent else ""
            varied.append(f"{_word(name)} was {listed}{rest}")
        is_cut = is_cut or shortened
    sentences = [_seeds(runs)] if any(result.seed is not None for run in runs for result in run.results) else []
    if fixed:
        sentences.append(f"Fixed parameters{about}: {'; '.join(fixed)}.")
    if varied:
        sentences.append(f"Varied parameters{about}: {'; '.join(varied)}.")
    if defaults:
        left = [f"{_word(name)} ({_absence(name, takes)})" for name in defaults]
        sentences.append(f"Not given in any run{about}: {'; '.join(left)}.")
    sentences.append(_templates(runs))
    if is_cut:
        sentences.append(
            "Values that are summed up here are listed in full, run by run, in the supplementary table "
            "(`rw.log.df()`, or `runware-nb export`)."
        )
    return sentences


def _described(run: RunRecord) -> dict[str, str]:
    """Return the parameters of a run as text: the size as a pair, and each LoRA with its weight."""
    parameters = parameters_of(run.request, run.inputs)
    parameters.pop("model", None)  # the first sentence has it
    described: dict[str, str] = {}
    loras = run.request.get("lora")
    if isinstance(loras, list) and loras and all(isinstance(lora, Mapping) for lora in loras):
        described["loras"] = _listed([_lora(lora) for lora in loras])
        parameters = {name: value for name, value in parameters.items() if not name.startswith("loras.")}
    if isinstance(parameters.get("width"), int) and isinstance(parameters.get("height"), int):
        described["size"] = f"{parameters.pop('width')} × {parameters.pop('height')} pixels"
    return described | {name: _text(value) for name, value in parameters.items()}


def _lora(lora: Mapping[str, Any]) -> str:
    others = [f"{name} {_text(value)}" for name, value in lora.items() if name not in {"model", "weight"}]
    weight = f"weight {_text(lora['weight'])}" if "weight" in lora else "the default weight"
    return f"{lora.get('model')} ({', '.join([weight, *others])})"


def _distribution(name: str, counted: Counter[str]) -> tuple[str, bool]:
    """Return values with the number of runs of each, and whether they are only summed up."""
    most = _MOST_PROMPTS if name == "positive_prompt" else _MOST_VALUES
    if len(counted) <= most:
        written = [(_value(value), count) for value, count in sorted(counted.items(), key=lambda each: _key(each[0]))]
        listed = _listed([f"{value} in {_count(count, 'run')}" for (value, _), count in written])
        return listed, any(is_cut for (_, is_cut), _ in written)
    numbers = [_key(value) for value in counted]
    runs = _count(sum(counted.values()), "run")
    if all(is_text == 0 for is_text, _, _ in numbers):
        low, high = min(counted, key=_key), max(counted, key=_key)
        return f"one of {len(counted)} different values from {low} to {high} in {runs}", True
    return f"one of {len(counted)} different values in {runs}", True


def _absence(name: str, schemas: Sequence[Mapping[str, Any]]) -> str:
    """Return what held where a parameter was not given; a value only where the schema or the protocol states it."""
    if name in _NONE_WITHOUT:
        return "none"
    if name in _PROTOCOL_DEFAULTS:
        return f"the API's default, {_PROTOCOL_DEFAULTS[name]}"
    stated = {
        _text(schema[name]["default"]) if isinstance(schema.get(name), Mapping) and "default" in schema[name] else None
        for schema in schemas
    }
    known = sorted(value for value in stated if value is not None)
    if not known:
        return "the model's default"
    return f"the model's default, {' or '.join(known)} by its schema{' where it states one' if None in stated else ''}"


def _taken(session: Session, run: RunRecord) -> dict[str, Any]:
    """Return the schemas of the parameters that a run's model takes, by Python name, as far as they are known here."""
    model = find_model(run.model) if run.model else None
    rules = session.planner.known_rules(run.request) or (None if model is None else rulebook_of(model))
    properties = {} if rules is None else rules.schema.get("properties", {})
    return {name: properties[wire] for name, wire in WIRE_NAMES.items() if isinstance(properties.get(wire), Mapping)}


def _completeness(runs: Sequence[RunRecord], failed: int, left_out: int) -> list[str]:
    """Return what the counts leave open: failures, re-runs, imported runs, and recorded answers."""
    parts = [result for run in runs for result in run.results if result.error is not None]
    partial = sum(run.state is State.PARTIAL for run in runs)
    again = sum(run.replay_of is not None for run in runs)
    imported = sum(run.is_imported for run in runs)
    sentences = []
    if partial:
        sentences.append(
            f"{_count(partial, 'run')} returned only a part of the results; {_count(len(parts), 'result')} failed."
        )
    if failed:
        sentences.append(f"{_count(failed, 'further run')} failed and returned no result.")
    if again:
        sentences.append(f"{again} of the runs repeat an earlier one, to verify it.")
    if left_out:
        sentences.append(f"{_count(left_out, 're-run')} made to verify or replay others {_are(left_out)} not counted.")
    if imported:
        sentences.append(f"{imported} of the runs {_are(imported)} imported from another run log.")
    sentences.append("A run counts once, however often its recorded result was used again.")
    return sentences


def _templates(runs: Sequence[RunRecord]) -> str:
    filled = {run.prompt_template for run in runs if run.prompt_template and run.prompt_template != run.prompt}
    if not filled:
        return ""
    quoted = _listed([f'"{" ".join(template.split())}"' for template in sorted(filled)])
    return f"Prompts were filled in from the template{'' if len(filled) == 1 else 's'} {quoted}."


def _seeds(runs: Sequence[RunRecord]) -> str:
    """Return the seeds of the results, in full, as ranges; and which of them the user chose."""
    seeds = sorted({result.seed for run in runs for result in run.results if result.seed is not None})
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    picked = sum(not run.seed_given for run in runs)
    note = f" ({_count(picked, 'run')} with a seed picked at random)" if picked else ""
    if len(ranges) > _MOST_VALUES:
        return (
            f"Each result has a recorded seed: {len(seeds)} different ones from {seeds[0]} to {seeds[-1]}{note}, "
            "listed in the supplementary table (`rw.log.df()`)."
        )
    listed = _listed([str(low) if low == high else f"{low} to {high}" for low, high in ranges])
    return f"The random {'seed was' if len(seeds) == 1 else 'seeds were'} {listed}{note}."


def _models(runs: Sequence[RunRecord]) -> str:
    counted = Counter((run.model or "", run.task_type) for run in runs).most_common()
    several = len({task_type for _, task_type in (key for key, _ in counted)}) > 1
    named = []
    for (air, task_type), count in counted:
        known = find_model(air) if air else None
        name = f"{known.name} ({air})" if known is not None else air or "the service's default model"
        name += f" for {task_type}" if several or not air else ""
        named.append(name if len(counted) == 1 else f"{name} in {_count(count, 'run')}")
    return _listed(named)


def _cost(runs: Sequence[RunRecord]) -> str:
    sums = sums_by_unit((run.cost, run.cost_unit) for run in runs)
    unknown = sum(run.cost is None for run in runs)
    if not sums:
        return "The cost is unknown."
    return f"The cost was {format_sums(sums)}" + (f", not counting {_count(unknown, 'run')}." if unknown else ".")


def _software(session: Session, runs: Sequence[RunRecord]) -> str:
    versions: set[str] = set()
    for environment_hash in {run.environment_hash for run in runs if run.environment_hash}:
        snapshot = session.log.environment(environment_hash) or {}
        package = (snapshot.get("packages") or {}).get("runware-nb")
        if package:
            versions.add(f"runware_nb {package} on Python {snapshot.get('python')}")
    return f"Requests were made with {_listed(sorted(versions))}." if versions else ""


def _word(name: str) -> str:
    # What a template takes stands in an object of its own, which the reader of a paper need not know.
    own = name.removeprefix("input.").removeprefix("assets.")
    return _WORDS.get(own) or own.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7 and 7.0 are one value
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _value(value: str) -> tuple[str, bool]:
    """Return a value as the paragraph contains it, and whether it had to be shortened."""
    line = " ".join(value.split())
    if len(line) > _LONGEST_VALUE:
        return f"a text of {len(value)} characters", True
    return (f'"{line}"' if " " in line and not line.endswith("pixels") else line), False


def _key(value: str) -> tuple[int, float, str]:
    """Sort numbers by value, before texts."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
