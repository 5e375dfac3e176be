"""The functions of the operations, for type checkers. Written by `tests/operation_stubs.py`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..core.option_values import LoRA
from ..core.results import Outcome, Result
from ..engine.jobs import Job

Medium: TypeAlias = Any
"""A path, an image of Pillow, bytes, an array, a URL, a UUID, or an earlier result, outcome or job."""
Text: TypeAlias = str | Result | Outcome | Job
"""A text, or an earlier result, outcome or job whose text is used."""

def upscale(
    image: Medium | None = None,
    factor: float | None = None,
    *,
    video: Medium | None = None,
    model: str | None = None,
    target_megapixels: float | None = None,
    prompt: Text | None = None,
    negative_prompt: str | None = None,
    strength: float | None = None,
    control_net_weight: float | None = None,
    steps: int | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    cfg_scale: float | None = None,
    clip_skip: int | None = None,
    output_format: str | None = None,
    output_quality: int | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Increase the resolution of an image."""

def remove_background(
    image: Medium | None = None,
    *,
    video: Medium | None = None,
    model: str | None = None,
    rgba: Sequence[float] | None = None,
    return_only_mask: bool | None = None,
    post_process_mask: bool | None = None,
    alpha_matting: bool | None = None,
    alpha_matting_foreground_threshold: int | None = None,
    alpha_matting_background_threshold: int | None = None,
    alpha_matting_erode_size: int | None = None,
    output_format: str | None = None,
    output_quality: int | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Remove the background of an image."""

def caption(
    image: Medium | None = None,
    prompt: Text | None = None,
    *,
    video: Medium | None = None,
    model: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Describe an image."""

def mask(
    image: Medium | None = None,
    detector: str | None = None,
    *,
    model: str | None = None,
    confidence: float | None = None,
    max_detections: int | None = None,
    mask_padding: int | None = None,
    mask_blur: int | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Mask the faces, hands or people in an image."""

def controlnet(
    image: Medium | None = None,
    preprocessor: str | None = None,
    *,
    model: str | None = None,
    width: int | None = None,
    height: int | None = None,
    low_threshold_canny: int | None = None,
    high_threshold_canny: int | None = None,
    include_hands_and_face_open_pose: bool | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Prepare a guide image for ControlNet."""

def enhance(
    prompt: Text | None = None,
    *,
    model: str | None = None,
    max_length: int | None = None,
    versions: int | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Write a prompt in more detail."""

def vectorize(
    image: Medium | None = None,
    *,
    model: str | None = None,
    prompt: Text | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Convert an image to SVG."""

def video(
    prompt: Text | None = None,
    *,
    first_frame: Medium | None = None,
    last_frame: Medium | None = None,
    reference_images: Sequence[Medium] | None = None,
    image: Medium | None = None,
    video: Medium | None = None,
    audio: Medium | None = None,
    model: str | None = None,
    negative_prompt: str | None = None,
    duration: float | None = None,
    fps: int | None = None,
    size: str | None = None,
    number_results: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    cfg_scale: float | None = None,
    scheduler: str | None = None,
    loras: str | tuple[str, float] | LoRA | Sequence[str | tuple[str, float] | LoRA] | None = None,
    output_format: str | None = None,
    acceleration: str | None = None,
    speech_text: str | None = None,
    speech_voice: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Generate videos."""

def audio(
    prompt: Text | None = None,
    *,
    audio: Medium | None = None,
    video: Medium | None = None,
    model: str | None = None,
    negative_prompt: str | None = None,
    duration: float | None = None,
    speech_text: Text | None = None,
    speech_voice: str | None = None,
    sample_rate: int | None = None,
    bitrate: int | None = None,
    channels: int | None = None,
    number_results: int | None = None,
    seed: int | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Generate music, sounds or speech."""

def text(
    prompt: Text | None = None,
    *,
    images: Sequence[Medium] | None = None,
    videos: Sequence[Medium] | None = None,
    documents: Sequence[Medium] | None = None,
    model: str | None = None,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    continue_from: str | bool | Result | Outcome | Job | None = None,
    schema: Mapping[str, Any] | str | Path | type | None = None,
    stream: bool | None = None,
    number_results: int | None = None,
    seed: int | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Generate text."""

def model_3d(
    image: Medium | None = None,
    *,
    images: Sequence[Medium] | None = None,
    model: str | None = None,
    prompt: Text | None = None,
    negative_prompt: str | None = None,
    number_results: int | None = None,
    seed: int | None = None,
    output_format: str | None = None,
    extra: Mapping[str, Any] | None = None,
    fresh: bool = False,
    agreed: bool = False,
    tags: str | Iterable[str] | None = (),
    note: str | None = None,
) -> Job:
    """Generate 3D models."""
