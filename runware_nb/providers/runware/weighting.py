"""Prompt weighting: from the weights in a prompt to the notation that a model reads.

Source:
    Runware reference 5.2: `promptWeighting` is `compel` or `sdEmbeds`; models of the FLUX family take `sdEmbeds` only.
    Compel reads `(red)1.3`, and sdEmbeds reads `(red:1.3)`, as web UIs do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.items import Item
from ...core.prompt_weights import WeightsInvalid, WeightSyntax, find_weight, format_weights, parse_weights
from ...errors import TaskInvalid
from ...remedies import Option, Remedy
from .catalog import Rulebook, all_models, find_model

__all__ = ["apply_weights", "weights_notice"]

_FIELD = "promptWeighting"
_PROMPTS = ("positivePrompt", "negativePrompt")
_WEIGHTS = Option("weights", True, python="prompt_weighting=True")
_COMPEL: WeightSyntax = "compel"
_SD_EMBEDS: WeightSyntax = "sdEmbeds"


def apply_weights(task: Item, rules: Rulebook | None) -> Item:
    """Return a task whose prompts have their weights in the notation of its model, if `promptWeighting` is True.

    A task that names a notation itself, or has False, is left as it is, except that False is not sent.

    Raises:
        TaskInvalid: The model takes no weights or is not known here, or a weight cannot be used. Nothing was sent.
    """
    asked = task.get(_FIELD)
    if asked is False:
        return {name: value for name, value in task.items() if name != _FIELD}
    if asked is not True:
        return task
    syntax = _syntax_of(task, rules)
    prompts: dict[str, str] = {}
    for name in _PROMPTS:
        text = task.get(name)
        if isinstance(text, str):
            try:
                prompts[name] = format_weights(parse_weights(text), syntax)
            except WeightsInvalid as error:
                raise TaskInvalid(
                    f"{error}. Nothing was sent. Write a backslash before a bracket that is plain text, such as \\(.",
                    parameter=name,
                ) from error
    return {**task, **prompts, _FIELD: syntax}


def weights_notice(task: Mapping[str, Any], rules: Rulebook | None) -> str | Remedy | None:
    """Return what to tell about a prompt with weights that are not applied; None if there are none."""
    if task.get("taskType") != "imageInference" or task.get(_FIELD):
        return None
    for name in _PROMPTS:
        text = task.get(name)
        weight = find_weight(text) if isinstance(text, str) else None
        if weight is not None:
            is_taken = _notations(rules, task)
            off = f"{weight[:40]} in the prompt is plain text, because prompt weighting is off."
            if is_taken:
                plain = off.replace("{", "{{").replace("}", "}}")
                return Remedy(f"{plain} Add {{0}} to apply it.", (_WEIGHTS,))
            return f"{off} {task.get('model')} takes no weights. Models that take them: {_models_with_weights()}."
    return None


def _syntax_of(task: Mapping[str, Any], rules: Rulebook | None) -> WeightSyntax:
    name = str(task.get("model", ""))
    if rules is None and find_model(name) is None:
        raise TaskInvalid(
            f"Invalid {_FIELD} True: the parameters of {name} are not known here, so neither is its notation. Nothing "
            "was sent.",
            parameter=_FIELD,
        ).with_remedy(
            Remedy(
                "Write the prompt in one notation and name it, with {0} or {1}.",
                (
                    Option("set", "promptWeighting=compel", python='prompt_weighting="compel"'),
                    Option("set", "promptWeighting=sdEmbeds", python='prompt_weighting="sdEmbeds"'),
                ),
            )
        )
    notations = _notations(rules, task)
    if not notations:
        raise TaskInvalid(
            f"Invalid {_FIELD} True: {name} takes no weights. Nothing was sent. Models that take them: "
            f"{_models_with_weights()}.",
            parameter=_FIELD,
        )
    return notations[0]


def _notations(rules: Rulebook | None, task: Mapping[str, Any]) -> list[WeightSyntax]:
    """Return the notations that the model of a task reads, the better one first."""
    model = find_model(str(task.get("model", "")))
    schema: Mapping[str, Any] = {} if rules is None else rules.schema
    if rules is None and model is not None:
        schema = model.request_schema()
    stated = schema.get("properties", {}).get(_FIELD)
    if not isinstance(stated, Mapping):
        return []
    values = stated.get("enum")
    known = [notation for notation in (_COMPEL, _SD_EMBEDS) if not values or notation in values]
    if model is not None and model.architecture.startswith("flux"):
        return [_SD_EMBEDS] if _SD_EMBEDS in known else known
    return known


def _models_with_weights() -> str:
    """Name a few models that take weights, of different architectures."""
    by_architecture: dict[str, str] = {}
    for model in all_models():
        if _FIELD in model.takes:
            by_architecture.setdefault(model.architecture, (model.aliases or (model.air,))[0])
    return ", ".join(list(by_architecture.values())[:4])
