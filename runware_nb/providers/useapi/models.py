"""The create calls and the models of useapi.net, with their parameters, ranges and defaults.

This table is the one home of these facts. Checks, the options of `%%useapi`, forms and completion read it. A model that
is not listed passes all checks, because the list grows faster than this package.

Source: useapi-runwayml reference 6.1 to 6.4.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...errors import TaskInvalid
from ...reprs import short_repr

__all__ = [
    "ENDPOINTS",
    "MODELS",
    "Endpoint",
    "Model",
    "Parameter",
    "check_task",
    "model_of",
    "near_model",
    "parameters_of",
]

Kind = Literal["text", "integer", "number", "flag", "asset"]
_RATIO_FORM = re.compile(r"\d+(\.\d+)?:\d+(\.\d+)?|[A-Za-z_-]+")
"""Two numbers, or a word such as `portrait`: the documents do not list the values of each model."""
_SIDES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*[xX×*/_;,:-]\s*(\d+(?:\.\d+)?)\s*")
_TYPING_MISTAKE = 0.8
MOST_REFERENCE_CHARACTERS = 1024
"""Of `replyUrl` and `replyRef`."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a create call.

    Attributes:
        name: Its name on the wire, such as `aspect_ratio`.
        kind: Type of its value; `asset` is an input file.
        help: What it decides, as a phrase.
        low: Smallest number, or fewest characters; None if it is not known.
        high: Largest number, or most characters; None if it is not known.
        choices: Accepted values; empty if any value is accepted.
        default: What the service uses if it is left out; None if that is not known.
        is_required: Whether the call is refused without it.
    """

    name: str
    kind: Kind
    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    default: Any = None
    is_required: bool = False

    @property
    def expected(self) -> str:
        """The accepted values, to follow "expected" in a message."""
        if self._is_free_ratio:
            return "width:height, such as 16:9, or a word that the model has for it"
        if self.choices:
            return " or ".join(filter(None, [", ".join(map(str, self.choices[:-1])), str(self.choices[-1])]))
        if self.kind == "text":
            return "a text" if self.high is None else f"a text of at most {self.high:g} characters"
        if self.kind == "flag":
            return "true or false"
        if self.kind == "asset":
            return "an input file or the id of an asset"
        what = "an integer" if self.kind == "integer" else "a number"
        return what if self.low is None else f"{what} from {self.low:.10g} to {self.high:.10g}"

    @property
    def _is_free_ratio(self) -> bool:
        """Whether it is an aspect ratio whose values are not documented, so that only its form can be checked."""
        return self.name.endswith("aspect_ratio") and not self.choices

    def suggestions(self, value: Any) -> tuple[Any, ...]:
        """Return values to put in the place of a refused one."""
        written = _SIDES.fullmatch(value) if self._is_free_ratio and isinstance(value, str) else None
        if written is not None:
            return (f"{written[1]}:{written[2]}",)
        return self.choices or (() if self.low is None or self.kind == "text" else (self.low, self.high))

    def accepts(self, value: Any) -> bool:
        """Return whether a value is accepted, as far as it is known."""
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "asset":
            return True
        if self.kind == "text":
            is_text = isinstance(value, str) and (self.high is None or len(value) <= self.high)
            if self._is_free_ratio:
                return is_text and _RATIO_FORM.fullmatch(value) is not None
            return is_text and (not self.choices or value in self.choices)
        types = (int,) if self.kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        if self.choices:
            return value in self.choices
        return not (self.low is not None and value < self.low) and not (self.high is not None and value > self.high)


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A create call.

    Attributes:
        path: Path below `/v1/runwayml`, without slashes around it.
        summary: What it does, as a phrase.
        produces: `image` or `video`.
        parameters: What it takes.
        any_of: Parameters of which at least one is needed; empty for none.
        takes_account: Whether the account can be chosen with `email`. Otherwise the owner of the asset runs it.
        is_closed: Whether the parameters are complete. The unified calls take others, which depend on the model.
    """

    path: str
    summary: str
    produces: Literal["image", "video"]
    parameters: tuple[Parameter, ...] = ()
    any_of: tuple[str, ...] = ()
    takes_account: bool = True
    is_closed: bool = True

    def parameter(self, name: str) -> Parameter | None:
        """Return a parameter by name; None if it has none of this name."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of a unified create call.

    Attributes:
        name: As `model` names it.
        path: Create call that takes it.
        prompt_most: Most characters of the prompt.
        durations: Accepted lengths in seconds; empty if it takes none.
        num_images: Accepted numbers of images; empty for a video model.
        start_frames_most: Most start and end frames; None if it is not known.
        takes_seed: Whether it takes a seed.
        takes_explore: Whether it runs in the free queue of Runway's Unlimited plan.
        needs_prompt: Whether it cannot do without a prompt.
        diversity: Range of `diversity`; None if it takes none.
    """

    name: str
    path: str
    prompt_most: int = 5000
    durations: tuple[int, ...] = ()
    num_images: tuple[int, ...] = ()
    start_frames_most: int | None = None
    takes_seed: bool = False
    takes_explore: bool = True
    needs_prompt: bool = False
    diversity: tuple[int, int] | None = None


# --- parameters that several calls have in common -------------------------------------------------------------

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9")
STYLES_NOTE = "name of a style"
_SEED = Parameter("seed", "integer", "makes the result repeatable", 1, 4294967294)
_EXPLORE = Parameter("exploreMode", "flag", "use the free, slower queue of the Unlimited plan", default=False)
_MAX_JOBS = Parameter("maxJobs", "integer", "lower the number of tasks that the account takes at once", 1, 10)
_COMMON = (_SEED, _EXPLORE, _MAX_JOBS)


def _prompt(most: int = 5000, *, is_required: bool = False) -> Parameter:
    return Parameter("text_prompt", "text", "what to generate", high=most, is_required=is_required)


def _asset(name: str, help_text: str, *, is_required: bool = False) -> Parameter:
    return Parameter(name, "asset", help_text, is_required=is_required)


def _choice(name: str, help_text: str, *choices: Any, default: Any = None) -> Parameter:
    kind: Kind = "text" if isinstance(choices[0], str) else "integer"
    return Parameter(name, kind, help_text, choices=choices, default=default)


def _seconds(*choices: int, default: int | None = None) -> Parameter:
    return _choice("seconds", "length of the video in seconds", *choices, default=default)


_RATIO = _choice("aspect_ratio", "width to height", *RATIOS, default="16:9")
_WIDE = _choice("aspect_ratio", "orientation", "landscape", "portrait")
_FIRST = "first frame of the video"
_CAMERA = tuple(
    Parameter(name, "number", f"camera movement: {name}", -10, 10)
    for name in ("horizontal", "vertical", "roll", "zoom", "pan", "tilt")
)
_720P = _choice("resolution", "resolution", "720p")
_STRUCTURE = Parameter("structure_transformation", "integer", "how far the structure may change", 0, 10, default=3)
_NAME = Parameter("name", "text", "name of the result")


def _numbered(stem: str, count: int, help_text: str) -> tuple[Parameter, ...]:
    return tuple(_asset(f"{stem}{number}", f"{help_text} {number}") for number in range(1, count + 1))


_MULTISHOT = tuple(
    parameter
    for number in range(1, 7)
    for parameter in (
        Parameter(f"multishot_prompt_{number}", "text", f"prompt of shot {number}"),
        Parameter(f"multishot_duration_{number}", "number", f"length of shot {number} in seconds", 3, 12),
    )
)


def _endpoint(path: str, summary: str, produces: Literal["image", "video"], *own: Parameter, **more: Any) -> Endpoint:
    return Endpoint(path=path, summary=summary, produces=produces, parameters=(*own, *_COMMON), **more)


ENDPOINTS: Mapping[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        _endpoint(
            "videos/create", "generate a video with a model of your choice", "video",
            Parameter("model", "text", "name of the model", is_required=True),
            _prompt(),
            Parameter("duration", "integer", "length of the video in seconds"),
            Parameter("aspect_ratio", "text", "width to height", default="16:9"),
            Parameter("resolution", "text", "resolution, which depends on the model"),
            Parameter("audio", "flag", "generate sound too", default=True),
            _asset("startFrameAssetId", _FIRST), _asset("endFrameAssetId", "last frame of the video"),
            *_numbered("imageAssetId", 11, "reference image"),
            _asset("videoAssetId", "reference video"), _asset("videoAssetId2", "reference video 2"),
            _asset("videoAssetId3", "reference video 3"),
            *_numbered("audioAssetId", 3, "reference audio"),
            _choice("characterOrientation", "what the character's orientation follows", "image", "video"),
            *_MULTISHOT,
            is_closed=False,
        ),
        _endpoint("videos/upscale", "increase the resolution of a video to 4K", "video",
                  _asset("videoAssetId", "video of at most 40 s", is_required=True), takes_account=False),
        _endpoint(
            "images/create", "generate images with a model of your choice", "image",
            Parameter("model", "text", "name of the model", is_required=True),
            _prompt(),
            _choice("num_images", "number of images", 1, 4, default=1),
            Parameter("aspect_ratio", "text", "width to height"),
            Parameter("resolution", "text", "resolution, which depends on the model"),
            Parameter("style", "text", STYLES_NOTE),
            Parameter("diversity", "integer", "how much the images differ", 1, 5),
            *_numbered("imageAssetId", 8, "reference image"),
            is_closed=False,
        ),
        _endpoint(
            "frames/create", "generate images with Frames", "image",
            _prompt(1000, is_required=True),
            Parameter("style", "text", STYLES_NOTE), _RATIO,
            Parameter("diversity", "integer", "how much the images differ", 0, 5, default=2),
            _choice("num_images", "number of images", 1, 4),
            *_numbered("imageAssetId", 3, "reference image, addressed in the prompt as @IMG_"),
        ),
        _endpoint("gen4_5/create", "generate a video with Gen-4.5", "video",
                  _prompt(), _asset("firstImage_assetId", _FIRST), _seconds(5, 8, 10), _RATIO,
                  any_of=("text_prompt", "firstImage_assetId")),
        *(
            _endpoint(f"{name}/create", f"generate a video from an image with {shown}", "video",
                      _asset("firstImage_assetId", _FIRST, is_required=True), _prompt(), _RATIO, _seconds(5, 10))
            for name, shown in (("gen4", "Gen-4"), ("gen4turbo", "Gen-4 Turbo"))
        ),
        _endpoint("gen4/upscale", "increase the resolution of a Gen-4 video", "video",
                  _asset("assetId", "the video", is_required=True)),
        _endpoint("gen4/video", "change a video with Aleph", "video",
                  _asset("video_assetId", "the video", is_required=True), _prompt(1000, is_required=True),
                  _asset("image_assetId", "reference image"), is_closed=False),
        _endpoint(
            "gen4/act-two", "let a character perform what a video shows", "video",
            _asset("driving_assetId", "video of the performance, 3 to 30 s", is_required=True),
            _asset("character_assetId", "image or video of the character", is_required=True),
            Parameter("expression_intensity", "integer", "strength of the expression", 1, 5, default=3),
            Parameter("body_control", "flag", "transfer the movement of the body", default=True),
            Parameter("aspect_ratio", "text", "width to height"),
        ),
        _endpoint("gen4/act-two-voice", "change the voice of a video", "video",
                  _asset("video_assetId", "the video, 3 to 30 s", is_required=True),
                  Parameter("voiceId", "text", "id of the voice", is_required=True)),
        _endpoint("gen3turbo/create", "generate a video with Gen-3 Turbo", "video",
                  _asset("firstImage_assetId", _FIRST), _asset("middleImage_assetId", "middle frame of the video"),
                  _asset("lastImage_assetId", "last frame of the video"), _prompt(), _WIDE, _seconds(5, 10), *_CAMERA),
        _endpoint("gen3turbo/video", "change a video with Gen-3 Turbo", "video",
                  _asset("assetId", "the video", is_required=True), _prompt(is_required=True), _STRUCTURE,
                  _seconds(5, 10, default=10), _720P, _WIDE),
        _endpoint("gen3/video", "change a video with Gen-3", "video",
                  _asset("assetId", "the video", is_required=True), _prompt(is_required=True), _STRUCTURE,
                  _seconds(5, 10, default=10), _720P),
        _endpoint("gen3turbo/extend", "extend a Gen-3 Turbo video by 8 s", "video",
                  _asset("assetId", "the video", is_required=True), _prompt()),
        _endpoint("gen3/extend", "extend a Gen-3 video", "video",
                  _asset("assetId", "the video", is_required=True), _seconds(5, 10), _prompt()),
        _endpoint("gen3turbo/expand", "extend the edges of a video", "video",
                  _asset("videoAssetId", "the video", is_required=True), _asset("imageAssetId", "extended frame"),
                  _prompt(), Parameter("seconds", "number", "length of the video in seconds"),
                  Parameter("outpaint_aspect_ratio", "text", "width to height of the result")),
        *(
            _endpoint(
                f"{name}/actone", "let a character perform what a video shows", "video",
                _asset("driving_assetId", "video of the performance", is_required=True),
                _asset("character_assetId", "image or video of the character", is_required=True),
                Parameter("motion_multiplier", "number", "strength of the movement", 1, 5, default=3),
                Parameter("aspect_ratio", "text", "width to height, for an image of the character"),
            )
            for name in ("gen3turbo", "gen3")
        ),
        _endpoint("gen3/create", "generate a video with Gen-3", "video",
                  _prompt(), _asset("image_assetId", "first or last frame"),
                  Parameter("image_as_end_frame", "flag", "use the image as the last frame"),
                  Parameter("enhance_prompt", "flag", "let the service improve the prompt"), _seconds(5, 10), _720P),
        _endpoint("gen3alpha/upscale", "increase the resolution of a Gen-3 video", "video",
                  _asset("assetId", "the video", is_required=True)),
        _endpoint("gen2/create", "generate a clip of 4 s with Gen-2", "video",
                  _prompt(), _asset("image_assetId", _FIRST), Parameter("image_preview", "text", "image of a preview"),
                  Parameter("motion", "number", "amount of movement", 1, 10), *_CAMERA, is_closed=False),
        _endpoint("gen2/extend", "extend a Gen-2 clip", "video",
                  _asset("assetId", "the video", is_required=True), _prompt(),
                  Parameter("motion", "number", "amount of movement", 1, 10), *_CAMERA, is_closed=False),
        _endpoint(
            "lipsync/create", "let a face speak", "video",
            _asset("image_assetId", "image with a face"), _asset("video_assetId", "video with a face"),
            _asset("audio_assetId", "what is spoken, as audio"), Parameter("voiceId", "text", "id of the voice"),
            Parameter("voice_text", "text", "what is spoken, as text"),
            _choice("model_id", "model of the voice", "eleven_multilingual_v1", "eleven_multilingual_v2",
                    default="eleven_multilingual_v1"),
            any_of=("image_assetId", "video_assetId"),
        ),
        _endpoint("super_slow_motion", "slow a video down", "video",
                  _asset("assetId", "the video", is_required=True),
                  Parameter("speed", "number", "speed of the result", 0.1, 1, is_required=True),
                  Parameter("duration", "number", "length of the video in seconds"),
                  Parameter("width", "integer", "width of the video in pixels"),
                  Parameter("height", "integer", "height of the video in pixels"),
                  _choice("format", "format of the result", "mp4", "prores"), _NAME),
    )
}  # fmt: skip
"""All create calls, by path."""


def _models(path: str, *names: str, **facts: Any) -> list[Model]:
    return [Model(name=name, path=path, **facts) for name in names]


_VIDEO, _IMAGE = "videos/create", "images/create"
_MANY = (1, 4)

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        *_models(_VIDEO, "seedance-2", "seedance-2-fast", prompt_most=3500, durations=tuple(range(4, 16))),
        *_models(_VIDEO, "grok-imagine-1.5", "happyhorse-1.0", prompt_most=2500, durations=tuple(range(3, 16))),
        *_models(_VIDEO, "kling-o3-4k", "kling-o3-pro", "kling-o3-standard", prompt_most=2500, durations=(5, 10, 15)),
        *_models(_VIDEO, "kling-3.0-pro", "kling-3.0-standard", durations=(5, 10, 15)),
        *_models(_VIDEO, "kling-3.0-motion-control", prompt_most=2500),
        *_models(_VIDEO, "kling-2.6-pro", "kling-2.6-i2v", durations=(5, 10)),
        *_models(_VIDEO, "wan-2.6-flash", durations=(5, 10, 15)),
        *_models(_VIDEO, "wan-2.2-animate"),
        *_models(_VIDEO, "veo-3.1", durations=(4, 6, 8), takes_explore=False),
        *_models(_VIDEO, "sora-2", "sora-2-pro", durations=(4, 8, 12)),
        *_models(_VIDEO, "gen4.5", durations=tuple(range(2, 11)), takes_seed=True, start_frames_most=1),
        *_models(
            _VIDEO, "gen4", "gen4-turbo", prompt_most=512, durations=(5, 10), takes_seed=True, start_frames_most=1
        ),
        *_models(_IMAGE, "flux-2-max", "flux-2-klein", prompt_most=4000, num_images=_MANY, needs_prompt=True),
        *_models(_IMAGE, "nano-banana", "nano-banana-pro", "nano-banana-2", "nano-banana-2-lite", num_images=_MANY),
        *_models(_IMAGE, "gpt-image-1-5", "gpt-image-1-mini", "seedream-5", num_images=_MANY),
    )
}
"""Models by name. `gen4` and `gen4-turbo` are video models here; see `IMAGE_MODELS` for those of the same name."""

IMAGE_MODELS: Mapping[str, Model] = {
    **{name: model for name, model in MODELS.items() if model.path == _IMAGE},
    **{
        model.name: model
        for model in _models(_IMAGE, "gen4", "gen4-turbo", num_images=_MANY, takes_seed=True, diversity=(1, 5))
    },
}
VIDEO_MODELS: Mapping[str, Model] = {name: model for name, model in MODELS.items() if model.path == _VIDEO}
DEFAULT_VIDEO_MODEL, DEFAULT_IMAGE_MODEL = "gen4.5", "gen4"


def models_for(path: str) -> Mapping[str, Model]:
    """Return the models that a create call takes, by name; empty for a call that has no `model`."""
    return {_VIDEO: VIDEO_MODELS, _IMAGE: IMAGE_MODELS}.get(path, {})


def model_of(path: str, name: object) -> Model | None:
    """Return a model of a create call; None if it is not known."""
    return models_for(path).get(name) if isinstance(name, str) else None


def near_model(path: str, name: object) -> str | None:
    """Return the known model that an unknown one looks like a mistyped form of; None for a known or another one."""
    if not isinstance(name, str) or model_of(path, name) is not None:
        return None
    return next(iter(difflib.get_close_matches(name, models_for(path), n=1, cutoff=_TYPING_MISTAKE)), None)


def parameters_of(path: str, model: str | None = None) -> tuple[Parameter, ...]:
    """Return the parameters of a create call with a model, for options, forms and completion.

    Args:
        path: The create call.
        model: Its model; None leaves out what a model decides.

    Raises:
        KeyError: The call is not known.
    """
    endpoint = ENDPOINTS[path]
    known = model_of(path, model)
    if known is None:
        return endpoint.parameters
    kept = []
    for parameter in endpoint.parameters:
        changed = _for_model(parameter, known)
        if changed is not None:
            kept.append(changed)
    return tuple(kept)


def _for_model(parameter: Parameter, model: Model) -> Parameter | None:
    """Return a parameter as a model takes it; None if the model does not take it."""
    name = parameter.name
    if name == "text_prompt":
        return replace(parameter, high=model.prompt_most, is_required=model.needs_prompt)
    if name == "duration":
        return replace(parameter, choices=model.durations) if model.durations else None
    if name == "seed":
        return parameter if model.takes_seed else None
    if name == "exploreMode":
        return parameter if model.takes_explore else None
    if name == "diversity":
        return None if model.diversity is None else replace(parameter, low=model.diversity[0], high=model.diversity[1])
    if name == "num_images":
        return replace(parameter, choices=model.num_images) if model.num_images else None
    if name == "endFrameAssetId" and model.start_frames_most == 1:
        return None
    return parameter


@short_repr()
@dataclass(slots=True)
class Checked:
    """What a check found.

    Attributes:
        warnings: What could not be checked, as sentences.
    """

    warnings: list[str] = field(default_factory=list)


def check_task(path: str, body: Mapping[str, Any]) -> Checked:
    """Check the parameters of a create call against this table.

    Args:
        path: The create call.
        body: Its parameters on the wire, with anything where an asset may stand.

    Raises:
        TaskInvalid: The service would refuse it; the message states what to change.
    """
    endpoint = ENDPOINTS.get(path)
    if endpoint is None:
        near = difflib.get_close_matches(path, ENDPOINTS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        unknown = f"The call {path!r} is not known here, so its parameters were not checked.{hint}"
        return Checked([unknown])
    checked = Checked()
    model = model_of(path, body.get("model"))
    if model is None and isinstance(body.get("model"), str) and models_for(path):
        near = difflib.get_close_matches(body["model"], models_for(path), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        checked.warnings.append(
            f"The model {body['model']!r} is not known here, so its options were not checked.{hint}"
        )
    taken = {parameter.name: parameter for parameter in parameters_of(path, model.name if model else None)}
    what = f"the model {model.name}" if model else path
    for parameter in taken.values():
        if parameter.is_required and parameter.name == "text_prompt" and _is_blank(body.get("text_prompt")):
            raise _invalid("text_prompt", _EMPTY_PROMPT)
        if parameter.is_required and body.get(parameter.name) in (None, ""):
            raise _invalid(parameter.name, f"Missing {parameter.name}: {what} needs it ({parameter.expected}).")
    if endpoint.any_of and not any(body.get(name) for name in endpoint.any_of):
        raise _invalid(endpoint.any_of[0], f"Missing {' or '.join(endpoint.any_of)}: {what} needs one of them.")
    for name, value in body.items():
        if value is None or name in _OF_THE_PROXY:
            continue
        found = taken.get(name)
        if found is not None and not found.accepts(value):
            shown = f"{len(value)} characters" if isinstance(value, str) and len(value) > 60 else repr(value)
            raise _invalid(
                name, f"Invalid {name} {shown}: {what} accepts {found.expected}.", allowed=found.suggestions(value)
            )
        if found is None and endpoint.parameter(name) is not None:
            raise _invalid(name, f"Invalid {name}: {what} does not accept it. Leave it out.")
        if found is None and endpoint.is_closed:
            near = difflib.get_close_matches(name, taken, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise _invalid(name, f"Unknown parameter {name}: {what} does not accept it.{hint}")
        if found is None and model is not None:
            checked.warnings.append(f"The parameter {name} is not known here, so it was not checked.")
    _check_together(body)
    if _has_no_input(endpoint, body):
        raise _invalid("text_prompt", _EMPTY_PROMPT)
    return checked


_EMPTY_PROMPT = "The prompt is empty."


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _has_no_input(endpoint: Endpoint, body: Mapping[str, Any]) -> bool:
    """Return whether a call has nothing to generate from: no prompt, no medium, and nothing that is not known here."""
    if endpoint.parameter("text_prompt") is None:
        return False
    for name, value in body.items():
        if _is_blank(value) or name in _OF_THE_PROXY:
            continue
        known = endpoint.parameter(name)
        if known is None or known.kind == "asset" or "prompt" in name:
            return False
    return True


_OF_THE_PROXY = frozenset({"email", "replyUrl", "replyRef"})


def _check_together(body: Mapping[str, Any]) -> None:
    """Check the rules about several parameters.

    Raises:
        TaskInvalid: One is broken.
    """
    if body.get("endFrameAssetId") is not None and body.get("startFrameAssetId") is None:
        raise _invalid("endFrameAssetId", "Invalid endFrameAssetId: an end frame needs a startFrameAssetId.")
    durations = [body.get(f"multishot_duration_{number}") for number in range(1, 7)]
    shots = [value for value in durations if isinstance(value, int | float)]
    if len(shots) == 1 or sum(shots) > 15:
        raise _invalid(
            "multishot_duration_1",
            f"Invalid shots of {sum(shots):g} s: at least two shots, of 15 s together, are accepted.",
        )


def _invalid(name: str, sentence: str, *, allowed: Sequence[Any] = ()) -> TaskInvalid:
    return TaskInvalid(f"{sentence} Nothing was sent.", parameter=name, allowed_values=allowed)
