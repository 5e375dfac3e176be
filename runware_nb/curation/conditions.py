"""Conditions of a comparison: the values of the parameters that a study varies, and what else must be equal."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.operations import TEXT_TO_IMAGE
from ..errors import ArgumentInvalid
from ..providers.runware.parameters import parameters_of
from ..reprs import short_repr
from ..runlog import ResultRecord, RunRecord

__all__ = ["Condition", "condition_of", "names_of", "setting_of"]

_SHORT: Mapping[str, tuple[str, ...]] = {
    **{option.long: (option.name,) for option in TEXT_TO_IMAGE.options if option.long != option.name},
    "size": ("width", "height"),
    "prompt": ("positive_prompt",),
}
"""Options of a cell, and the parameters that they set."""
_NOT_COMPARED = frozenset({"number_results"})
"""An image of a batch equals one that was generated alone from the same seed."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Condition:
    """The values of the varied parameters, as text that can be compared and shown.

    Attributes:
        values: Names, and values as JSON; `default` where a run left a parameter to the model.
    """

    values: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.values)


def names_of(by: Iterable[str], runs: Iterable[RunRecord]) -> tuple[str, ...]:
    """Return the names of parameters, as Python has them, for what a user calls them.

    Raises:
        ArgumentInvalid: No run has such a parameter.
    """
    known = {"seed", "model", "positive_prompt"}
    for run in runs:
        known |= {name.partition(".")[0] for name in parameters_of(run.request, run.inputs)} | set(
            parameters_of(run.request, run.inputs)
        )
    names: list[str] = []
    for word in by:
        for name in _SHORT.get(word.strip().lower(), (word.strip().lower().replace("-", "_"),)):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"the nearest is {near[0]}" if near else f"their parameters are: {', '.join(sorted(known))}"
                expected = f"a parameter of these runs; no run here has a parameter {name}; {hint}"
                raise ArgumentInvalid("by", word, expected)
            names.append(name)
    return tuple(dict.fromkeys(names))


def condition_of(run: RunRecord, result: ResultRecord, names: Sequence[str]) -> Condition:
    """Return the condition that a result belongs to."""
    parameters = _parameters(run, result)
    values = [(each, parameters[each]) for name in names for each in _belonging(parameters, name)]
    given = {name for name in names if any(True for _ in _belonging(parameters, name))}
    missing = [(name, "default") for name in names if name not in given]
    return Condition(tuple(sorted([*((name, _text(value)) for name, value in values), *missing])))


def setting_of(run: RunRecord, result: ResultRecord, names: Sequence[str]) -> str:
    """Return everything else that made a result, prompt and seed included: equal texts make a fair pair."""
    parameters = _parameters(run, result)
    varied = {each for name in names for each in _belonging(parameters, name)}
    rest = {name: value for name, value in parameters.items() if name not in varied | _NOT_COMPARED}
    return json.dumps([run.provider, run.task_type, rest], sort_keys=True, default=str)


def _parameters(run: RunRecord, result: ResultRecord) -> dict[str, Any]:
    parameters = parameters_of(run.request, run.inputs)
    if result.seed is not None:
        parameters["seed"] = result.seed  # of this image: the request has the seed of the first of a batch
    return parameters


def _belonging(parameters: Mapping[str, Any], name: str) -> Iterable[str]:
    return (each for each in parameters if each == name or each.startswith(f"{name}."))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7 and 7.0 are one condition
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
