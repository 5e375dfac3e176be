"""Command for the models and create calls of useapi.net."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....commands.base import CommandResult
from ....errors import (
    MagicUsageError,
)
from ....present.html import element, text
from ....present.table import Table, render_table
from ..models import ENDPOINTS, IMAGE_MODELS, VIDEO_MODELS, Parameter, models_for, parameters_of
from ..options import (
    KINDS,
    MULTISHOT,
    find_path,
    flags_by_parameter,
)

if TYPE_CHECKING:
    from ....session import Session

__all__ = ["Models"]


class Models:
    """`models [MODEL]`: what is known about models."""

    SUMMARY = "list the models, or the options of one with their ranges and defaults"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("model", nargs="?", metavar="MODEL", help="a model, or a create call such as frames")

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them; nothing is sent.

        Raises:
            MagicUsageError: No such model or call is known here.
        """
        del session
        return _list_models() if options.model is None else _describe_model(options.model)


def _list_models() -> CommandResult:
    rows: list[dict[str, Any]] = []
    for kind, models in (("video", VIDEO_MODELS), ("image", IMAGE_MODELS)):
        rows += [
            {
                "model": model.name, "cell": f"%%useapi {kind} --model {model.name}", "produces": kind,
                "durations_s": list(model.durations), "prompt_characters": model.prompt_most,
                "takes_seed": model.takes_seed,
            }
            for model in models.values()
        ]  # fmt: skip
    for path, endpoint in ENDPOINTS.items():
        if not models_for(path):
            word = next((kind for kind, known in KINDS.items() if known == path), path)
            rows.append({"model": word, "cell": f"%%useapi {word}", "produces": endpoint.produces,
                         "durations_s": [], "prompt_characters": None, "takes_seed": True})  # fmt: skip
    cells = [
        [row["model"], row["produces"], _range(row["durations_s"]), row["prompt_characters"] or "",
         "yes" if row["takes_seed"] else "no", row["cell"]]
        for row in rows
    ]  # fmt: skip
    caption = "From the documents of useapi.net. `models MODEL` lists the options of one; other models can be used too."
    table = Table(["model", "produces", "seconds", "prompt (characters)", "seed", "cell"], cells, caption=caption)
    return CommandResult(render_table(table), rows)


def _range(numbers: Sequence[int]) -> str:
    is_row = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if is_row else ", ".join(map(str, numbers))


def _describe_model(name: str) -> CommandResult:
    found = [(path, name) for path in ("videos/create", "images/create") if name in models_for(path)]
    path = find_path(name)
    calls: list[tuple[str, str | None]] = [*found] if found else [(path, None)] if path is not None else []
    if not calls:
        import difflib

        names = [*VIDEO_MODELS, *IMAGE_MODELS, *KINDS, *ENDPOINTS]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`models` lists them."
        raise MagicUsageError(f"Unknown model or create call {name!r}. {hint}")
    rows: list[dict[str, Any]] = []
    tables: list[dict[str, str]] = []
    for call, model in calls:
        flags = flags_by_parameter(call)
        groups: dict[str, list[dict[str, Any]]] = {}
        for parameter in parameters_of(call, model):
            row = _parameter_row(call, parameter, flags.get(parameter.name, ()))
            rows.append(row)
            shot = MULTISHOT.fullmatch(parameter.name)
            groups.setdefault(f"multishot {shot[1]}" if shot else row["option"], []).append(row)
        cells = [_option_cells(group) for group in groups.values()]
        columns = ["option", "accepts", "default", "meaning", "name at the service"]
        word = next((kind for kind, known in KINDS.items() if known == call), call)
        heading = f"%%useapi {word}{f' --model {model}' if model else ''}: {ENDPOINTS[call].summary}"
        table = render_table(Table(columns, cells))
        tables.append(
            {
                "text/html": element("div", element("strong", text(heading)) + table["text/html"]),
                "text/plain": f"{heading}\n{table['text/plain']}",
            }
        )
    bundle = {
        "text/html": "".join(table["text/html"] for table in tables),
        "text/plain": "\n\n".join(table["text/plain"] for table in tables),
    }
    return CommandResult(bundle, rows)


def _option_cells(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what is shown of an option, which may set several parameters: the reference images, or the shots."""
    first, last = rows[0], rows[-1]
    default = "" if first["default"] is None else first["default"]
    if len(rows) == 1:
        return [first["option"], first["accepts"], default, first["help"], first["name"]]
    is_shot = MULTISHOT.fullmatch(first["name"]) is not None
    option = f"multishot: {first['option']}, up to {len(rows)}" if is_shot else (
        f"{first['option']}, up to {len(rows)} times"
    )  # fmt: skip
    help_text = re.sub(r" 1\b", "", first["help"])
    return [option, first["accepts"], default, help_text, f"{first['name']} to {last['name']}"]


def _parameter_row(call: str, parameter: Parameter, flags: Sequence[str]) -> dict[str, Any]:
    option = flags[0] if flags else "the prompt" if parameter.name == "text_prompt" else f"--set {parameter.name}=…"
    accepts = parameter.expected if parameter.kind != "flag" else "yes or no"
    return {
        "option": option, "name": parameter.name, "call": call, "accepts": accepts, "default": parameter.default,
        "is_required": parameter.is_required, "help": parameter.help + (" (required)" if parameter.is_required else ""),
    }  # fmt: skip
