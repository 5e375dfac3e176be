"""The operations: what each is called, what it takes and what it returns. No service appears here.

Commands, completion, corrections, cells, forms and the rules about money read these entries. A provider maps each entry
to its own task type and field names; for Runware this is `providers/runware/operations.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..reprs import short_repr

__all__ = ["OPERATIONS", "TEXT_TO_IMAGE", "Input", "Operation", "Option", "operation_of"]

Produces = Literal["image", "video", "audio", "text", "3d", "model", "files"]
Kind = Literal[
    "text", "integer", "number", "flag", "numbers", "size", "lora", "embedding", "outpaint", "control", "ip-adapter",
    "refiner", "pulid", "image", "images", "conversation", "schema",
]  # fmt: skip
MediumKind = Literal["image", "video", "audio", "document", "file"]


@short_repr()
@dataclass(frozen=True, slots=True)
class Input:
    """A medium that an operation takes.

    Attributes:
        name: Its name in Python.
        help: What it is for, for `-h`.
        flag: Its option on a line, such as `--mask`; None if it is a positional word of the line.
        is_list: Whether several are taken, so that the option is repeatable.
        is_required: Whether nothing can be done without it.
        makes_slow: Whether the operation takes minutes with this input, as with a video, so that its result is polled.
        kind: What kind of medium it is.
    """

    name: str
    help: str
    flag: str | None = None
    is_list: bool = False
    is_required: bool = False
    makes_slow: bool = False
    kind: MediumKind = "image"


@short_repr()
@dataclass(frozen=True, slots=True)
class Option:
    """A parameter of an operation that has an option on a line.

    Attributes:
        name: Its name in Python, such as `cfg_scale`.
        help: What it means, for `-h`.
        flags: Its options, the short one first, such as `-m` and `--model`.
        metavar: What stands for its value in `-h`.
        kind: How its value is read.
        values: All values that it takes, or suggestions for a size; empty if any value is accepted.
        is_list: Whether it is repeatable.
        low: The smallest number, or the fewest characters of a text; None if it is not known.
        high: The largest number, or the most characters of a text; None as for *low*.
        count: How many numbers a list of numbers has.
        default: The value that is sent if none is given; None if the service decides.
    """

    name: str
    help: str
    flags: tuple[str, ...]
    metavar: str
    kind: Kind = "text"
    values: tuple[str, ...] = ()
    is_list: bool = False
    low: float | None = None
    high: float | None = None
    count: int | None = None
    default: str | None = None

    @property
    def types(self) -> tuple[type, ...]:
        """The Python types of its value."""
        types: dict[Kind, tuple[type, ...]] = {
            "integer": (int,), "number": (int, float), "flag": (bool,), "numbers": (list, tuple),
            "conversation": (object,), "schema": (object,),
        }  # fmt: skip
        return types.get(self.kind, (str,))

    @property
    def long(self) -> str:
        """The long option as a name, such as `cfg`: the name of the value after parsing, and in settings."""
        return self.flags[-1].lstrip("-").replace("-", "_")


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of work.

    Attributes:
        name: As a user types it, such as `remove-background`.
        summary: One line, for the list of commands.
        function: Its function in Python, such as `image` for `rw.image`. An entry with a function has a command, too.
            None if it is reached by forms and `raw` only.
        produces: What the result is.
        inputs: The media that it takes.
        options: The parameters that have an option on a line.
        positional: Names of the inputs and options that its function takes by position, in this order.
        subjects: Names of the inputs that the medium of a method fills, as in `image.upscale(2)`: the first one whose
            kind fits.
        body: The name of the option that the body of a cell fills, and the free words of a line; None if the operation
            takes no prompt.
        spoken: The name of the option that takes the place of *body* for models that take it and not *body*.
        examples: What may follow its name on a line, for `-h`.
        needs: Names of inputs and options of which at least one has to be given; empty if the model decides alone.
        deterministic: Whether the same input gives the same result without a seed. Such a run is answered from the
            log, and joins one in progress, although no seed was given.
        long_running: Whether it takes minutes and costs accordingly: its result is polled, and it is never started
            again under a new id without the user.
        least_s: Seconds that it takes at least; an earlier poll is pointless.
    """

    name: str
    summary: str
    produces: Produces
    function: str | None = None
    inputs: tuple[Input, ...] = ()
    options: tuple[Option, ...] = ()
    positional: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    body: str | None = None
    spoken: str | None = None
    examples: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    deterministic: bool = False
    long_running: bool = False
    least_s: float = 1.0

    @property
    def entries(self) -> tuple[Input | Option, ...]:
        """The inputs, and the options behind them: what its function takes by name."""
        return (*self.inputs, *self.options)

    @property
    def words(self) -> tuple[Input, ...]:
        """The inputs that are words of a line, in order."""
        return tuple(medium for medium in self.inputs if medium.flag is None)

    @property
    def has_free_prompt(self) -> bool:
        """Whether words of a line without an option are its prompt."""
        return self.body is not None and not self.words

    def option(self, name: str) -> Option | None:
        """Return the option with a name in Python; None if there is none."""
        return next((option for option in self.options if option.name == name), None)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of its results, the default first, where a model does not state its own."""
        return next((option.values for option in self.options if option.name == "output_format"), ())

    @property
    def most_results(self) -> int | None:
        """The largest number of results of one request; None if a request has no such number."""
        return next(
            (int(option.high) for option in self.options if option.name == "number_results" and option.high), None
        )


_IMAGE = Input("image", "the image")
_VIDEO = Input("video", "the video", "--video", makes_slow=True, kind="video")
_MODEL = Option("model", "AIR identifier, slug or alias", ("-m", "--model"), "AIR")
_PROMPT = Option("prompt", "what to generate", ("--prompt",), "TEXT")
_NEGATIVE = Option("negative_prompt", "what to avoid", ("--negative",), "TEXT")
_SEED = Option("seed", "whole number that fixes the result", ("--seed",), "N", "integer")
_STEPS = Option("steps", "denoising steps", ("--steps",), "N", "integer")
_CFG = Option("cfg_scale", "how closely to follow the prompt", ("--cfg",), "X", "number")
_SCHEDULER = Option("scheduler", "sampler", ("--scheduler",), "NAME")
_LORAS = Option("loras", "adaptation to apply; repeatable", ("--lora",), "AIR[:WEIGHT]", "lora", is_list=True)
_QUALITY = Option("output_quality", "quality of JPG and WEBP, 20 to 99 (default 95)", ("--quality",), "N", "integer",
                  low=20, high=99)  # fmt: skip
_DURATION = Option(
    "duration", "length in seconds; the range depends on the model", ("--duration",), "SECONDS", "number"
)


def _format(*values: str, default: str | None = None) -> Option:
    """Return the option for the format of the results: the service's default first, and the one that is sent."""
    names = values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
    help_text = names if default is None else f"{names} (default {default})"
    return Option("output_format", help_text, ("--format",), "NAME", values=values, default=default)


def _count(what: str, most: int) -> Option:
    """Return the option for the number of results."""
    return Option("number_results", f"how many {what}, 1 to {most}", ("-n", "--number-results"), "N", "integer",
                  low=1, high=most)  # fmt: skip


_IMAGE_FORMATS = _format("JPG", "PNG", "WEBP")
_SIZES = ("1024x1024", "1152x896", "896x1152", "1216x832", "832x1216", "1344x768", "768x1344", "768x768", "512x512")

TEXT_TO_IMAGE = Operation(
    name="text-to-image",
    summary="generate images from a prompt",
    function="image",
    produces="image",
    body="prompt",
    inputs=(
        Input("seed_image", "image to start from: a variable, _rw, #3, a file, a run", "--from"),
        Input("mask_image", "where to change the image: white is changed", "--mask"),
        Input("reference_images", "image to follow; repeatable", "--reference", is_list=True),
    ),
    options=(
        Option("model", "AIR identifier, slug or alias (default runware:101@1)", ("-m", "--model"), "AIR"),
        Option("size", "pixels, such as 1024x768 (default 1024x1024)", ("-s", "--size"), "WxH", "size", _SIZES),
        _count("images", 20),
        Option("seed", "first seed; picked and logged when left out", ("--seed",), "N", "integer"),
        _STEPS,
        _CFG,
        _SCHEDULER,
        _NEGATIVE,
        _LORAS,
        _IMAGE_FORMATS,
        Option("acceleration", "none, low, medium or high", ("--acceleration",), "NAME",
               values=("none", "low", "medium", "high")),
        Option("strength", "how far to go from the image to start from, 0 to 1", ("--strength",), "X", "number"),
        Option("vary", "earlier image to make a variation of; its prompt, model and parameters are the defaults",
               ("--vary",), "IMG", "image"),
        Option("outpaint", "extend the image of --from: pixels per side, such as left=128,right=128, or a ratio, such "
               "as 16:9", ("--outpaint",), "SIDES", "outpaint"),
        Option("control", "guide by a ControlNet: canny, depth, ..., or guide for an image that is a guide already; "
               "repeatable", ("--control",), "KIND:IMG[:WEIGHT][:AIR]", "control", is_list=True),
        Option("ip_adapters", "guide by content or style of an image; repeatable", ("--ip-adapter",),
               "AIR:IMG[:WEIGHT]", "ip-adapter", is_list=True),
        Option("embeddings", "textual inversion to apply; repeatable", ("--embedding",), "AIR[:WEIGHT]", "embedding",
               is_list=True),
        Option("refiner", "model that continues from a step, or from a percentage of the steps", ("--refiner",),
               "AIR[:STEP|:PERCENT%]", "refiner"),
        Option("pulid", "image of a face to resemble, with a weight from 0 to 3", ("--pulid",), "IMG[:WEIGHT]",
               "pulid"),
        Option("photomaker", "image of a person, whom the prompt calls rwre; up to 4", ("--photomaker",), "IMG",
               "images", is_list=True),
        Option("photomaker_style", "style of the person's image, such as Cinematic", ("--photomaker-style",), "NAME",
               values=("No style", "Cinematic", "Disney Character", "Digital Art", "Photographic", "Fantasy art",
                       "Neonpunk", "Enhance", "Comic book", "Lowpoly", "Line art")),
        Option("photomaker_strength", "strength of the style, 15 to 50 (default 15)", ("--photomaker-strength",), "N",
               "integer", low=15, high=50),
        Option("transparent", "generate a transparent background; PNG or WEBP", ("--transparent",), "", "flag"),
        Option("safety", "check the results for unsafe content", ("--safety",), "", "flag"),
    ),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (
    TEXT_TO_IMAGE,
    Operation(name="upscale", function="upscale", summary="increase the resolution of an image", produces="image",
              examples=("photo.png --factor 2", 'photo.png -m clarity --prompt "sharp leaves"'),
              positional=("image", "factor"), subjects=("image", "video"), body="prompt",
              needs=("image", "video"), inputs=(_IMAGE, _VIDEO), deterministic=True, options=(
        _MODEL,
        Option("factor", "how many times wider and higher; either this or the size of the result", ("--factor",), "N",
               "number"),
        Option("target_megapixels", "size of the result in megapixels; either this or the factor", ("--megapixels",),
               "X", "number"),
        Option("prompt", "what the details show; diffusion upscalers only", ("--prompt",), "TEXT"),
        Option("negative_prompt", "what to avoid; diffusion upscalers only", ("--negative",), "TEXT"),
        Option("strength", "how far to go from the image; Clarity only", ("--strength",), "X", "number"),
        Option("control_net_weight", "how closely to follow the image; CCSR and Clarity only",
               ("--control-net-weight",), "X", "number"),
        _STEPS, _SCHEDULER, _SEED, _CFG,
        Option("clip_skip", "layers of CLIP to leave out; latent upscaler only", ("--clip-skip",), "N", "integer"),
        _IMAGE_FORMATS, _QUALITY,
    )),
    Operation(name="remove-background", function="remove_background", summary="remove the background of an image",
              produces="image",
              examples=("photo.png", "photo.png --rgba 255,255,255,255"),
              positional=("image",), subjects=("image", "video"), needs=("image", "video"),
              inputs=(_IMAGE, _VIDEO), deterministic=True, options=(
        _MODEL,
        Option("rgba", "color of the new background: red, green, blue and alpha, such as 255,255,255,255; RemBG only",
               ("--rgba",), "R,G,B,A", "numbers", low=0, high=255, count=4),
        Option("return_only_mask", "return the mask instead of the image; RemBG only", ("--only-mask",), "", "flag"),
        Option("post_process_mask", "smooth the mask; RemBG only", ("--post-process-mask",), "", "flag"),
        Option("alpha_matting", "refine fine edges such as hair; RemBG only", ("--alpha-matting",), "", "flag"),
        Option("alpha_matting_foreground_threshold", "from which value a pixel is foreground, 1 to 255 (default 240)",
               ("--foreground-threshold",), "N", "integer", low=1, high=255),
        Option("alpha_matting_background_threshold", "up to which value a pixel is background, 1 to 255 (default 10)",
               ("--background-threshold",), "N", "integer", low=1, high=255),
        Option("alpha_matting_erode_size", "how far to erode the mask, 1 to 255 (default 10)", ("--erode-size",), "N",
               "integer", low=1, high=255),
        _format("JPG", "PNG", "WEBP", default="PNG"), _QUALITY,
    )),
    Operation(name="caption", function="caption", summary="describe an image", produces="text",
              examples=("photo.png", 'photo.png --prompt "What color is the car?"'),
              positional=("image", "prompt"), subjects=("image", "video"), body="prompt", needs=("image", "video"),
              inputs=(_IMAGE, _VIDEO),
              deterministic=True, options=(
        _MODEL,
        Option("prompt", "question about the image", ("--prompt",), "TEXT"),
    )),
    Operation(name="mask", function="mask", summary="mask the faces, hands or people in an image",
              produces="image",
              examples=("photo.png --detector face", "photo.png --detector hand --blur 8"),
              positional=("image", "detector"), subjects=("image",), needs=("image",),
              inputs=(_IMAGE,),
              deterministic=True, options=(
        _MODEL,
        Option("detector", "what to find, in place of a model", ("--detector",), "NAME", values=(
            "face", "face-s", "hand", "person", "person-s", "face-full", "face-short", "face-mesh", "eyes",
            "eyes-lips", "nose-eyes", "nose-lips", "nose", "lips", "eyes-mesh")),
        Option("confidence", "how sure a detection has to be, 0 to 1 (default 0.25)", ("--confidence",), "X", "number",
               low=0, high=1),
        Option("max_detections", "how many to mask at most, 1 to 20 (default 6)", ("--max-detections",), "N", "integer",
               low=1, high=20),
        Option("mask_padding", "pixels by which each mask grows, or shrinks if negative (default 4)", ("--padding",),
               "PX", "integer"),
        Option("mask_blur", "pixels by which edges are blurred (default 4)", ("--blur",), "PX", "integer", low=0),
        _IMAGE_FORMATS,
    )),
    Operation(name="controlnet", function="controlnet", summary="prepare a guide image for ControlNet",
              produces="image",
              examples=("photo.png --preprocessor canny",),
              positional=("image", "preprocessor"), subjects=("image",), needs=("image",),
              inputs=(_IMAGE,),
              deterministic=True, options=(
        _MODEL,
        Option("preprocessor", "kind of guide, in place of a model", ("--preprocessor",), "NAME", values=(
            "canny", "depth", "lineart", "lineart-anime", "mlsd", "normalbae", "openpose", "scribble", "seg", "shuffle",
            "softedge", "tile")),
        Option("width", "largest width in pixels; the guide is never enlarged", ("--width",), "PX", "integer"),
        Option("height", "largest height in pixels; the guide is never enlarged", ("--height",), "PX", "integer"),
        Option("low_threshold_canny", "lower threshold of canny, 0 to 255 (default 100)", ("--low-threshold",), "N",
               "integer", low=0, high=255),
        Option("high_threshold_canny", "upper threshold of canny, 0 to 255 (default 200)", ("--high-threshold",), "N",
               "integer", low=0, high=255),
        Option("include_hands_and_face_open_pose", "find hands and faces too; openpose only", ("--hands-and-face",), "",
               "flag"),
        _IMAGE_FORMATS,
    )),
    Operation(name="enhance", function="enhance", summary="write a prompt in more detail", produces="text",
              examples=("a cat on a roof", '"a cat on a roof" --versions 3'),
              positional=("prompt",), body="prompt", needs=("prompt",),
              options=(
        _MODEL,
        Option("prompt", "the prompt, 1 to 300 characters", ("--prompt",), "TEXT", low=1, high=300),
        Option("max_length", "longest result in tokens, 12 to 400", ("--max-length",), "N", "integer", low=12,
               high=400),
        Option("versions", "how many versions, 1 to 5", ("-n", "--versions"), "N", "integer", low=1, high=5),
    )),
    Operation(name="vectorize", function="vectorize", summary="convert an image to SVG",
              produces="image",
              examples=("logo.png", '--prompt "a paper boat"'),
              positional=("image",), subjects=("image",), body="prompt", needs=("image", "prompt"),
              inputs=(_IMAGE,),
              deterministic=True, options=(
        _MODEL,
        Option("prompt", "what to draw, for models that take no image", ("--prompt",), "TEXT"),
        _format("SVG"),
    )),
    Operation(name="video", function="video", summary="generate videos",
              produces="video", long_running=True, least_s=10.0,
              examples=('"a storm at sea" --duration 5', '"the ship sails away" --first-frame ship.png'),
              positional=("prompt",), subjects=("first_frame", "video", "audio"), body="prompt",
              needs=("prompt", "first_frame", "last_frame", "reference_images", "image", "video", "audio",
                     "speech_text"),
              inputs=(
        Input("first_frame", "image of the first frame", "--first-frame"),
        Input("last_frame", "image of the last frame", "--last-frame"),
        Input("reference_images", "image to follow; repeatable", "--reference", is_list=True),
        Input("image", "image to animate, for models that take one apart from the frames", "--image"),
        Input("video", "video to start from", "--video", kind="video"),
        Input("audio", "audio to follow", "--audio", kind="audio"),
    ), options=(
        _MODEL, _PROMPT, _NEGATIVE, _DURATION,
        Option("fps", "frames per second; the range depends on the model", ("--fps",), "N", "integer"),
        Option("size", "pixels, such as 1280x720; left out, a frame image or the model decides", ("-s", "--size"),
               "WxH", "size", ("1280x720", "720x1280", "1920x1080", "1080x1920")),
        _count("videos", 4), _SEED, _STEPS, _CFG, _SCHEDULER, _LORAS, _format("MP4", "WEBM", "MOV"),
        Option("acceleration", "none, low, medium or high", ("--acceleration",), "NAME",
               values=("none", "low", "medium", "high")),
        Option("speech_text", "words that are spoken, for models with speech", ("--speech",), "TEXT"),
        Option("speech_voice", "voice that speaks them", ("--voice",), "NAME"),
    )),
    Operation(name="audio", function="audio", summary="generate music, sounds or speech", produces="audio",
              examples=('"rain on a tin roof" --duration 10', '-m speech "The ship leaves at noon."'),
              positional=("prompt",), subjects=("video", "audio"), body="prompt",
              spoken="speech_text", needs=("prompt", "speech_text", "audio", "video"),
              inputs=(
        Input("audio", "audio to start from", "--audio", kind="audio"),
        Input("video", "video to follow", "--video", kind="video"),
    ), options=(
        _MODEL, _PROMPT, _NEGATIVE, _DURATION,
        Option("speech_text", "words that are spoken, for models of speech", ("--speech",), "TEXT"),
        Option("speech_voice", "voice that speaks them", ("--voice",), "NAME"),
        Option("sample_rate", "samples per second, 8000 to 48000 (default 44100)", ("--sample-rate",), "HZ", "integer",
               low=8000, high=48000),
        Option("bitrate", "kilobits per second, 32 to 320 (default 128)", ("--bitrate",), "KBPS", "integer", low=32,
               high=320),
        Option("channels", "1 for mono, 2 for stereo", ("--channels",), "N", "integer", ("1", "2")),
        _count("results", 4), _SEED, _format("MP3", "WAV", "FLAC", "OGG"),
    )),
    Operation(name="text", function="text", summary="generate text", produces="text",
              examples=('"Name three oceans."', '"What is in this image?" --image photo.png',
                         '"And which is the deepest?" --continue'),
              positional=("prompt",), subjects=("images", "videos", "documents"), body="prompt", needs=("prompt",),
              inputs=(
        Input("images", "image to read; repeatable", "--image", is_list=True),
        Input("videos", "video to read; repeatable", "--video", is_list=True, kind="video"),
        Input("documents", "document to read; repeatable", "--document", is_list=True, kind="document"),
    ), options=(
        _MODEL,
        Option("prompt", "what to answer", ("--prompt",), "TEXT"),
        Option("system_prompt", "instructions for the whole conversation", ("--system",), "TEXT"),
        Option("max_tokens", "longest result in tokens", ("--max-tokens",), "N", "integer", low=1),
        Option("temperature", "how freely to choose words, 0 to 2", ("--temperature",), "X", "number", low=0, high=2),
        Option("top_p", "share of the probability to choose from, 0 to 1", ("--top-p",), "X", "number", low=0, high=1),
        Option("top_k", "how many words to choose from", ("--top-k",), "N", "integer", low=1),
        Option("continue_from", "continue a conversation: with a run, or with your last text if nothing follows",
               ("--continue",), "REF", "conversation"),
        Option("schema", "JSON Schema that the text has to match, in a variable or a file", ("--schema",), "SCHEMA",
               "schema"),
        Option("stream", "show the text when it is complete, and not while it is written", ("--no-stream",), "",
               "flag"),
        _count("results", 4), _SEED, _format("TEXT", "JSON"),
    )),
    Operation(name="3d", function="model_3d", summary="generate 3D models",
              produces="3d", long_running=True, least_s=10.0,
              examples=("chair.png", '--prompt "a wooden chair" -m tripo'),
              positional=("image",), subjects=("image",), body="prompt",
              needs=("image", "images", "prompt"),
              inputs=(
        Input("image", "image of the object, for models that take one"),
        Input("images", "image of the object, for models that take several; repeatable", "--image", is_list=True),
    ), options=(_MODEL, _PROMPT, _NEGATIVE, _count("results", 4), _SEED, _format("GLB"))),
    Operation(name="training", summary="train a model", produces="model", long_running=True, least_s=30.0, inputs=(
        Input("dataset", "the dataset, as a ZIP file", kind="file"),
    ), options=(
        _MODEL,
        Option("name", "name of the new model", ("--name",), "TEXT"),
        Option("version", "version of the new model", ("--version",), "TEXT"),
        Option("identifier", "word in the AIR identifier of the new model", ("--identifier",), "WORD"),
        Option("air", "AIR identifier of the new model", ("--air",), "AIR"),
        Option("private", "whether only you can use the new model", ("--private",), "", "flag"),
        Option("description", "short description of the new model", ("--description",), "TEXT"),
    )),
    Operation(name="tools", summary="process media files", produces="files", inputs=(
        Input("image", "the image"),
        Input("images", "one of several images; repeatable", "--image", is_list=True),
        Input("video", "the video", "--video", kind="video"),
        Input("videos", "one of several videos; repeatable", "--videos", is_list=True, kind="video"),
        Input("audio", "the audio", "--audio", kind="audio"),
        Input("audios", "one of several audio files; repeatable", "--audios", is_list=True, kind="audio"),
    ), options=(_MODEL, Option("output_format", "format of the result, such as MP4", ("--format",), "NAME"))),
)  # fmt: skip
"""Every operation, in the order in which lists name them."""


def operation_of(name: str) -> Operation:
    """Return the operation that a user types as *name*.

    Raises:
        KeyError: There is none.
    """
    for operation in OPERATIONS:
        if operation.name == name:
            return operation
    raise KeyError(name)
