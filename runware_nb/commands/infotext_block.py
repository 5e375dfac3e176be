"""A block of parameters below a prompt, as web UIs write it: pasted into a cell, it is understood."""

from __future__ import annotations

import argparse
from types import MappingProxyType
from typing import Any

from ..core.air import parse_air
from ..core.infotext import is_infotext, parse_infotext
from ..core.operations import TEXT_TO_IMAGE, Option
from ..providers.runware.catalog import find_model
from ..providers.runware.operations import wire_name

__all__ = ["take_block"]

_OPTIONS = MappingProxyType(
    {wire_name(option.name): option for option in TEXT_TO_IMAGE.options if not option.is_list and option.kind != "size"}
)
_UNDERSTOOD = frozenset({"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Denoising strength", "Clip skip",
                         "Version"})  # fmt: skip


def take_block(options: argparse.Namespace, body: str) -> tuple[str, tuple[str, ...]]:
    """Move the parameters of a block into the options; what stands on the line wins.

    Args:
        options: Of the line; filled in.
        body: The cell's body.

    Returns:
        The prompt above the block, or *body* itself where there is no block; and sentences about what was left out.
    """
    if not is_infotext(body):
        return body, ()
    told = parse_infotext(body)
    values: dict[str, Any] = told.to_wire()
    left_out = [name for name in told.settings if name not in _UNDERSTOOD]
    model = values.get("model")
    if model is not None and find_model(str(model)) is None and parse_air(str(model)) is None:
        left_out.append(f"Model {model} (no AIR identifier)")
        del values["model"]
    for name, option in _OPTIONS.items():
        if name in values and getattr(options, option.long) is None and _fits(option, values[name]):
            setattr(options, option.long, values[name])
    if options.size is None and {"width", "height"} <= values.keys():
        options.size = f"{values['width']}x{values['height']}"
    if "clipSkip" in values:
        options.set = [f"clipSkip={values['clipSkip']}", *(options.set or [])]
    notes = (f"left out of the pasted parameters: {', '.join(left_out)}",) if left_out else ()
    return told.prompt, notes


def _fits(option: Option, value: Any) -> bool:
    return option.kind == "text" or isinstance(value, option.types)  # a sampler may be written as a number
