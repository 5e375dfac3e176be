"""The options with which a line names the parameters of a create call, and the task that a line asks for.

They follow from the table of `models`: cells, commands, forms, corrected lines and written cells have the same names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...errors import MagicUsageError
from ...reprs import short_repr
from .models import (
    DEFAULT_IMAGE_MODEL,
    DEFAULT_VIDEO_MODEL,
    ENDPOINTS,
    Parameter,
    models_for,
    near_model,
    parameters_of,
)
from .provider import call_of

__all__ = [
    "KINDS",
    "MULTISHOT",
    "LineOption",
    "cell_words",
    "default_model",
    "find_path",
    "flags_by_parameter",
    "line_options",
    "model_on_line",
]

KINDS: Mapping[str, str] = MappingProxyType(
    {"video": "videos/create", "image": "images/create", "frames": "frames/create"}
)
"""The words that stand for the create calls that are used most."""
_FLAGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "model": ("--model", "-m"),
        "duration": ("--duration",),
        "seconds": ("--duration", "--seconds"),
        "aspect_ratio": ("--ratio",),
        "num_images": ("-n", "--number"),
        "exploreMode": ("--explore",),
        "maxJobs": ("--max-jobs",),
        "startFrameAssetId": ("--start-frame",),
        "firstImage_assetId": ("--start-frame",),
        "middleImage_assetId": ("--middle-frame",),
        "endFrameAssetId": ("--end-frame",),
        "lastImage_assetId": ("--end-frame",),
        "imageAssetId": ("--image",),
        "image_assetId": ("--image",),
        "videoAssetId": ("--video",),
        "video_assetId": ("--video",),
        "assetId": ("--video",),
        "audioAssetId": ("--audio-file",),
        "audio_assetId": ("--audio-file",),
        "driving_assetId": ("--performance",),
        "character_assetId": ("--character",),
    }
)
"""Options that differ from the name on the wire."""
_NUMBERED = re.compile(r"(\w*AssetId)(\d*)")
MULTISHOT = re.compile(r"multishot_(prompt|duration)_\d")
_DEFAULTS = MappingProxyType({"videos/create": DEFAULT_VIDEO_MODEL, "images/create": DEFAULT_IMAGE_MODEL})


_HEAD = frozenset({"taskType", "taskUUID", "assets", "account", "text_prompt"})


@short_repr()
@dataclass(frozen=True, slots=True)
class LineOption:
    """An option of a line, for one parameter, or for several of the same kind such as the reference images.

    Attributes:
        flags: Its spellings.
        parameters: What it sets, in order.
    """

    flags: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    @property
    def dest(self) -> str:
        """Its name in the parsed options."""
        return f"useapi_{self.parameters[0].name}"

    @property
    def is_list(self) -> bool:
        """Whether it can be repeated."""
        return len(self.parameters) > 1

    @property
    def is_off_switch(self) -> bool:
        """Whether it switches off what is on by default."""
        return self.parameters[0].kind == "flag" and self.parameters[0].default is True

    @property
    def help(self) -> str:
        """Its help: what it decides, what is accepted, and the default."""
        first = self.parameters[0]
        words = re.sub(r" 1$", "", first.help) if self.is_list else first.help
        if first.kind == "flag":
            return f"do not {words}" if self.is_off_switch else words
        details = "" if first.kind == "asset" or (first.kind == "text" and not first.choices) else first.expected
        if self.is_list:
            details = f"at most {len(self.parameters)}; repeatable"
        if first.kind == "text" and first.high is not None:
            details = f"at most {first.high:g} characters"
        default = "" if first.default is None else f"default {first.default}"
        shown = "; ".join(filter(None, ["required" if first.is_required else "", details, default]))
        return f"{words} ({shown})" if shown else words

    def names(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return values by the names of the parameters that they set.

        Raises:
            MagicUsageError: There are more values than parameters.
        """
        if len(values) > len(self.parameters):
            raise MagicUsageError(
                f"{self.flags[0]} was given {len(values)} times: at most {len(self.parameters)} are accepted. "
                "Nothing was sent."
            )
        return {parameter.name: value for parameter, value in zip(self.parameters, values, strict=False)}


def default_model(path: str) -> str | None:
    """Return the model of a create call that a line without `--model` gets; None if the call has no models."""
    return _DEFAULTS.get(path)


def find_path(word: str) -> str | None:
    """Return the create call that a word on a line means; None if it is the name of none."""
    path = KINDS.get(word, word.strip("/"))
    return path if path in ENDPOINTS else None


def line_options(path: str, model: str | None = None) -> list[LineOption]:
    """Return the options of a create call, without the prompt.

    Args:
        path: The create call.
        model: Its model; None for the options of all models.
    """
    groups: dict[tuple[str, ...], list[Parameter]] = {}
    for parameter in parameters_of(path, model):
        if parameter.name == "text_prompt" or MULTISHOT.fullmatch(parameter.name):
            continue
        groups.setdefault(_flags_of(parameter), []).append(parameter)
    return [LineOption(flags, tuple(parameters)) for flags, parameters in groups.items()]


def flags_by_parameter(path: str) -> dict[str, tuple[str, ...]]:
    """Return the options of each parameter of a create call, to correct a line."""
    return {parameter.name: option.flags for option in line_options(path) for parameter in option.parameters}


def model_on_line(path: str, words: Sequence[str]) -> str | None:
    """Return the model that the words of a line name, before they are parsed; None without one."""
    if not models_for(path):
        return None
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in _FLAGS["model"]:
            return value if equals else next(iter(words[number + 1 :]), None)
    return None


def cell_words(task: Mapping[str, Any], word_of: Callable[[Any], str]) -> list[str]:
    """Return the words of the `%%useapi` line that asks for a task; the prompt is not among them.

    Args:
        task: In our form.
        word_of: Returns the word that means a medium.
    """
    path = call_of(task)
    kind = next((kind for kind, known in KINDS.items() if known == path), path)
    words = [kind]
    assets = task.get("assets")
    values = {**{name: value for name, value in task.items() if name not in _HEAD and value is not None},
              **(assets if isinstance(assets, Mapping) else {})}  # fmt: skip
    for option in line_options(path) if path in ENDPOINTS else ():
        for parameter in option.parameters:
            if parameter.name not in values:
                break  # the next one would get this one's place
            value = values.pop(parameter.name)
            if parameter.kind == "flag":
                if value is not option.is_off_switch:
                    words.append(option.flags[0])
                else:
                    values[parameter.name] = value
                    break
            elif parameter.name != "model" or value != default_model(path):
                if parameter.name == "model" and near_model(path, value) is not None:
                    words.append("--unknown-model")
                words += [option.flags[0], word_of(value) if parameter.kind == "asset" else str(value)]
    if task.get("account"):
        words += ["--account", str(task["account"])]
    for name, value in values.items():
        if name != "webhookURL":
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"]
    return words


def _flags_of(parameter: Parameter) -> tuple[str, ...]:
    numbered = _NUMBERED.fullmatch(parameter.name)
    name = numbered[1] if numbered and parameter.kind == "asset" else parameter.name
    own = f"--{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '-', name).replace('_', '-').lower()}"
    if parameter.kind == "flag" and parameter.default is True:
        return (f"--no-{own[2:]}",)
    return _FLAGS.get(name, (own,))
