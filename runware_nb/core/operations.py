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
Kind = Literal["text", "integer", "number", "size"]


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
    """

    name: str
    help: str
    flag: str | None = None
    is_list: bool = False
    is_required: bool = False
    makes_slow: bool = False


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
    """

    name: str
    help: str
    flags: tuple[str, ...]
    metavar: str
    kind: Kind = "text"
    values: tuple[str, ...] = ()
    is_list: bool = False

    @property
    def types(self) -> tuple[type, ...]:
        """The Python types of its value."""
        return {"text": (str,), "size": (str,), "integer": (int,), "number": (int, float)}[self.kind]

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
    deterministic: bool = False
    long_running: bool = False
    least_s: float = 1.0


_IMAGE = Input("image", "the image")
_VIDEO = Input("video", "the video", makes_slow=True)
_SIZES = ("1024x1024", "1152x896", "896x1152", "1216x832", "832x1216", "1344x768", "768x1344", "768x768", "512x512")

TEXT_TO_IMAGE = Operation(
    name="text-to-image",
    summary="generate images from a prompt",
    function="image",
    produces="image",
    inputs=(
        Input("seed_image", "image to start from: a variable, _rw, #3, a file, a run", "--from"),
        Input("mask_image", "where to paint anew: white is painted", "--mask"),
        Input("reference_images", "image to follow; repeatable", "--reference", is_list=True),
    ),
    options=(
        Option("model", "AIR identifier, slug or alias (default runware:101@1)", ("-m", "--model"), "AIR"),
        Option("size", "pixels, such as 1024x768 (default 1024x1024)", ("-s", "--size"), "WxH", "size", _SIZES),
        Option("number_results", "how many images, 1 to 20", ("-n", "--number-results"), "N", "integer"),
        Option("seed", "first seed; picked and logged when left out", ("--seed",), "N", "integer"),
        Option("steps", "denoising steps", ("--steps",), "N", "integer"),
        Option("cfg_scale", "how closely to follow the prompt", ("--cfg",), "X", "number"),
        Option("scheduler", "sampler", ("--scheduler",), "NAME"),
        Option("negative_prompt", "what to avoid", ("--negative",), "TEXT"),
        Option("loras", "adaptation to apply; repeatable", ("--lora",), "AIR[:WEIGHT]", is_list=True),
        Option("output_format", "JPG, PNG or WEBP", ("--format",), "NAME", values=("JPG", "PNG", "WEBP")),
        Option("acceleration", "none, low, medium or high", ("--acceleration",), "NAME",
               values=("none", "low", "medium", "high")),
        Option("strength", "how far to go from the image to start from, 0 to 1", ("--strength",), "X", "number"),
    ),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (
    TEXT_TO_IMAGE,
    Operation(name="upscale", summary="increase the resolution of an image", produces="image",
              inputs=(_IMAGE, _VIDEO), deterministic=True),
    Operation(name="remove-background", summary="remove the background of an image", produces="image",
              inputs=(_IMAGE, _VIDEO), deterministic=True),
    Operation(name="caption", summary="describe an image", produces="text", inputs=(_IMAGE, _VIDEO),
              deterministic=True),
    Operation(name="mask", summary="mask the faces, hands or people in an image", produces="image", inputs=(_IMAGE,),
              deterministic=True),
    Operation(name="controlnet", summary="prepare a guide image for ControlNet", produces="image", inputs=(_IMAGE,),
              deterministic=True),
    Operation(name="enhance", summary="write a prompt in more detail", produces="text"),
    Operation(name="vectorize", summary="convert an image to SVG", produces="image", inputs=(_IMAGE,),
              deterministic=True),
    Operation(name="video", summary="generate videos", produces="video", long_running=True, least_s=10.0),
    Operation(name="audio", summary="generate music, sounds or speech", produces="audio"),
    Operation(name="text", summary="generate text", produces="text"),
    Operation(name="3d", summary="generate 3D models", produces="3d", long_running=True, least_s=10.0),
    Operation(name="training", summary="train a model", produces="model", long_running=True, least_s=30.0),
    Operation(name="tools", summary="process media files", produces="files"),
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
