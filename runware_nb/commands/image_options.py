"""The common options of image generation, for `%%runware` and `text-to-image`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import MagicUsageError
from ..session.api import as_tags, make_image_task, parse_size
from ..settings import RUNWARE_KEY, remember_secrets
from ..wire.key_shapes import looks_like_key
from ..wire.redact import known_secrets
from ..wire.tasks import ImageTask, LoRA
from .arguments import whole_number

__all__ = ["OPTIONS_OF", "add_image_options", "fill_in", "refuse_keys", "refuse_known_keys", "task_from"]

OPTIONS_OF = {
    "model": "-m", "numberResults": "-n", "seed": "--seed", "steps": "--steps", "CFGScale": "--cfg",
    "scheduler": "--scheduler", "negativePrompt": "--negative", "outputFormat": "--format",
    "acceleration": "--acceleration", "strength": "--strength",
}  # fmt: skip
"""The option of each parameter that has one, by its name on the wire."""


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("image")
    group.add_argument("-m", "--model", metavar="AIR", help="AIR identifier, slug or alias (default runware:101@1)")
    group.add_argument("-s", "--size", metavar="WxH", help="pixels, such as 1024x768 (default 1024x1024)")
    group.add_argument("-n", "--number-results", type=whole_number, metavar="N", help="how many images, 1 to 20")
    group.add_argument("--seed", type=whole_number, metavar="N", help="first seed; picked and logged when left out")
    group.add_argument("--steps", type=whole_number, metavar="N", help="denoising steps")
    group.add_argument("--cfg", type=float, metavar="X", help="how closely to follow the prompt")
    group.add_argument("--scheduler", metavar="NAME", help="sampler")
    group.add_argument("--negative", metavar="TEXT", help="what to avoid")
    group.add_argument("--lora", action="append", metavar="AIR[:WEIGHT]", help="adaptation to apply; repeatable")
    group.add_argument("--format", metavar="NAME", help="JPG, PNG or WEBP")
    group.add_argument("--acceleration", metavar="NAME", help="none, low, medium or high")
    group.add_argument(
        "--from", dest="from_", metavar="IMG", help="image to start from: a variable, _rw, #3, a file, a run"
    )
    group.add_argument("--mask", metavar="IMG", help="where to paint anew: white is painted")
    group.add_argument("--strength", type=float, metavar="X", help="how far to go from it, 0 to 1")
    group.add_argument("--reference", action="append", metavar="IMG", help="image to follow; repeatable")
    group.add_argument("--fresh", action="store_true", help="ask again, although the log has the answer")
    group.add_argument("--yes", action="store_true", help="agree to the price, however high")
    group.add_argument("--set", action="append", metavar="KEY=JSON", help="any other parameter; dots go deeper")


def task_from(options: argparse.Namespace, prompt: str, find: Callable[[str], Any]) -> ImageTask:
    """Make the task.

    Args:
        options: As parsed.
        prompt: What to draw.
        find: Gives the image that a word means.

    Raises:
        MagicUsageError: A value cannot be read.
    """
    values: dict[str, Any] = {
        "model": options.model, "number_results": options.number_results, "seed": options.seed,
        "steps": options.steps, "cfg_scale": options.cfg, "scheduler": options.scheduler,
        "negative_prompt": options.negative, "acceleration": options.acceleration,
        "output_format": options.format.upper() if options.format else None,
    }  # fmt: skip
    if options.size:
        values["width"], values["height"] = parse_size(options.size)
    if options.lora:
        values["loras"] = tuple(_lora(text) for text in options.lora)
    values["strength"] = options.strength
    media = {name: find(word) for name, word in (("seedImage", options.from_), ("maskImage", options.mask)) if word}
    if options.reference:
        media["referenceImages"] = [find(word) for word in options.reference]
    given = {name: value for name, value in values.items() if value is not None}
    return make_image_task(prompt, extra={**media, **_extra(options.set or ())}, **given)


def fill_in(options: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Take defaults for what the line does not say; labels are added to its own.

    Args:
        options: As parsed; filled in.
        defaults: By the names of options.
    """
    for name, value in defaults.items():
        if name == "tag":
            options.tag = list(as_tags([*options.tag, *as_tags(value)]))
        elif getattr(options, name) is None:
            setattr(options, name, value)


def refuse_keys(words: Sequence[str], known: Sequence[str] = ()) -> None:
    """Refuse a line that holds a key: a notebook is shared, and a key in it with it.

    Args:
        words: The line.
        known: Keys in use, which are refused in whatever shape they are.

    Raises:
        MagicUsageError: A word looks like a key; the message does not repeat it.
    """
    refuse_known_keys(words)
    for word in words:
        value = word.partition("=")[2] or word
        if looks_like_key(value) or word.lower().startswith(("--api-key", "--key")) or any(k in word for k in known):
            raise MagicUsageError(_KEY_IN_LINE)


def refuse_known_keys(words: Sequence[str]) -> None:
    """Refuse a line that contains a key which this process knows, in whatever spelling.

    Raises:
        MagicUsageError: A word contains one; the message does not repeat it.
    """
    remember_secrets()
    if any(known_secrets.is_in(word) for word in words):
        raise MagicUsageError(_KEY_IN_LINE)


_KEY_IN_LINE = (
    "there is a key in this line, and lines are saved and shared. Nothing was sent. Delete it from the line. Use "
    f"`%runware login`, which has a hidden prompt, or set {RUNWARE_KEY.variable}"
)


def _lora(text: str) -> LoRA:
    air, colon, weight = text.rpartition(":")
    if not colon or "@" not in air:
        return LoRA(text)
    try:
        return LoRA(air, float(weight))
    except ValueError as error:
        raise MagicUsageError(f"--lora {text}: the weight {weight!r} is no number; write it as {air}:0.8") from error


def _extra(pairs: Sequence[str]) -> Mapping[str, Any]:
    made: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise MagicUsageError(f"--set {pair}: write it as key=value, such as --set outputQuality=90")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        inner = made
        *path, last = key.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise MagicUsageError(f"--set {pair}: {part} was set to a plain value before")
        inner[last] = value
    return made
