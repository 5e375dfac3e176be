"""The sandbox's own catalogue: models of every kind, what they take, what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LORAS", "MODELS", "SCHEDULERS", "Model", "Sizes", "find", "price_usd"]

SCHEDULERS = (
    "Default", "DDIM", "DDIMScheduler", "DPM++", "DPM++ 2M", "DPM++ 2M Beta", "DPM++ 2M Karras", "DPM++ 2M SDE",
    "DPM++ 2M SDE Karras", "DPM++ 3M", "DPM++ 3M Karras", "DPM++ Karras", "DPM++ SDE", "DPM++ SDE Karras",
    "DPMSolverMultistepScheduler", "Euler", "Euler a", "Euler Beta", "Euler Exponential", "Euler Karras",
    "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "Heun",
    "Heun Karras", "LCM", "LCMScheduler", "LMS", "LMS Karras", "PNDMScheduler", "TCDScheduler", "UniPC",
    "UniPC 2M", "UniPC 2M Karras", "UniPC 3M", "UniPC Karras", "UniPC Uniform",
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """Which widths and heights a model takes.

    Attributes:
        step: Both are multiples of this.
        low: Smallest, in pixels.
        high: Largest, in pixels.
        pairs: Where not empty, these pairs and no others.
    """

    step: int = 64
    low: int = 128
    high: int = 2048
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Model:
    """One model.

    Attributes:
        air: Identifier.
        slug: Name in documentation addresses.
        name: Name for people.
        task_type: The one kind of task it does.
        architecture: As modelSearch spells it; empty for most.
        takes: Parameters beyond those of its kind.
        needs: Which of its parameters are required.
        inputs: What may stand under `inputs`.
        needs_inputs: Which of those must.
        sizes: Widths and heights; None where it takes neither.
        steps: Steps when the request has none.
        cfg: Guidance when the request has none.
        usd: Price of one result without its units.
        usd_per_unit: Price of a megapixel, a second or a thousand tokens, whatever its kind counts.
        is_strict: Whether parameters it does not know are refused (sources disagree; it differs by model).
        formats: Output formats, the default first; empty for those of its kind.
    """

    air: str
    slug: str
    name: str
    task_type: str = "imageInference"
    architecture: str = ""
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    needs_inputs: tuple[str, ...] = ()
    sizes: Sizes | None = None
    steps: int = 25
    cfg: float = 7.0
    usd: float = 0.001
    usd_per_unit: float = 0.0
    is_strict: bool = True
    formats: tuple[str, ...] = field(default=())


_PROMPT_AND_SIZE = ("positivePrompt", "width", "height")
_DIFFUSION = (
    "negativePrompt", "seed", "steps", "scheduler", "CFGScale", "strength", "maskMargin", "acceleratorOptions",
    "outpaint", "lora", "ultralytics",
)  # fmt: skip
_SD = (*_DIFFUSION, "clipSkip", "vae", "promptWeighting", "controlNet", "ipAdapters", "embeddings", "hiresFix",
       "lycoris")  # fmt: skip
_SDXL = (*_SD, "refiner", "photoMaker")
_FLUX = (*_DIFFUSION, "trueCFGScale", "promptWeighting", "hiresFix", "acceleration")
_FLUX_DEV = (*_FLUX, "controlNet", "ipAdapters", "pulid", "puLID", "layerDiffuse")
_SEED_AND_MASK = ("seedImage", "maskImage", "referenceImages")
_KONTEXT = ("negativePrompt", "seed", "steps", "scheduler", "CFGScale", "trueCFGScale", "acceleratorOptions", "lora",
            "ultralytics")  # fmt: skip
_PAIRS_1K = ((1024, 1024), (1536, 1024), (1024, 1536))
_NANO = ((1024, 1024), (1264, 848), (848, 1264), (1200, 896), (896, 1200), (1376, 768), (768, 1376),
         (2048, 2048), (512, 512))  # fmt: skip
_BY_16 = Sizes(16, 128, 2048)
_BY_64 = Sizes(64, 128, 2048)


def _checkpoint(air: str, slug: str, name: str, architecture: str, usd: float, per_mp: float) -> Model:
    takes = _SDXL if architecture == "sdxl" else _SD
    return Model(air, slug, name, architecture=architecture, takes=takes, needs=_PROMPT_AND_SIZE, inputs=_SEED_AND_MASK,
                 sizes=_BY_64, usd=usd, usd_per_unit=per_mp)  # fmt: skip


def _flux(air: str, slug: str, name: str, *, takes: tuple[str, ...] = _FLUX_DEV, steps: int = 28) -> Model:
    return Model(air, slug, name, architecture="flux1d", takes=takes, needs=_PROMPT_AND_SIZE, inputs=_SEED_AND_MASK,
                 sizes=_BY_16, steps=steps, cfg=3.5, usd=0.001267, usd_per_unit=0.002416, is_strict=False)  # fmt: skip


def _closed(
    air: str, slug: str, name: str, usd: float, *, sizes: Sizes = _BY_16, takes: tuple[str, ...] = (),
    needs: tuple[str, ...] = ("positivePrompt",), inputs: tuple[str, ...] = ("referenceImages",),
) -> Model:  # fmt: skip
    takes = ("seed", "settings", "providerSettings", *takes)
    return Model(air, slug, name, takes=takes, needs=needs, inputs=inputs, sizes=sizes, usd=usd)


_IMAGE = (
    Model("runware:100@1", "bfl-flux-1-schnell", "FLUX.1 [schnell]", architecture="flux1s", takes=_FLUX,
          needs=_PROMPT_AND_SIZE, inputs=_SEED_AND_MASK, sizes=_BY_16, steps=4, cfg=1.0, usd=0.0003,
          usd_per_unit=0.001144, is_strict=False),
    _flux("runware:101@1", "bfl-flux-1-dev", "FLUX.1 [dev]"),
    _flux("runware:102@1", "bfl-flux-1-fill-dev", "FLUX.1 Fill [dev]", takes=(*_FLUX_DEV, "acePlusPlus")),
    _flux("runware:107@1", "krea-flux-1-krea-dev", "FLUX.1 Krea [dev]"),
    Model("runware:106@1", "bfl-flux-1-kontext-dev", "FLUX.1 Kontext [dev]", architecture="fluxkontext",
          takes=_KONTEXT, needs=("positivePrompt",), inputs=("referenceImages",), sizes=_BY_16, steps=28, cfg=2.5,
          usd=0.0105),
    Model("runware:400@1", "bfl-flux-2-dev", "FLUX.2 [dev]", architecture="flux2d",
          takes=("negativePrompt", "seed", "steps", "scheduler", "CFGScale", "acceleration", "acceleratorOptions",
                 "lora"),
          needs=_PROMPT_AND_SIZE, inputs=("referenceImages",), sizes=Sizes(16, 256, 2048), steps=28, cfg=4.0,
          usd=0.004, usd_per_unit=0.004),
    _closed("bfl:2@1", "bfl-flux-1-1-pro", "FLUX1.1 [pro]", 0.04, sizes=Sizes(32, 256, 1440), needs=_PROMPT_AND_SIZE,
            inputs=()),
    _closed("bfl:3@1", "bfl-flux-1-kontext-pro", "FLUX.1 Kontext [pro]", 0.04, needs=_PROMPT_AND_SIZE,
            sizes=Sizes(pairs=((1024, 1024), (1392, 752), (752, 1392), (1184, 880), (880, 1184)))),
    _closed("bfl:5@1", "bfl-flux-2-pro", "FLUX.2 [pro]", 0.03, needs=_PROMPT_AND_SIZE, sizes=Sizes(16, 256, 2048)),
    _checkpoint("civitai:101055@128078", "stability-sdxl-1-0", "SDXL 1.0 VAE fix", "sdxl", 0.0005, 0.002),
    _checkpoint("civitai:133005@782002", "civitai-juggernaut-xl-xi", "Juggernaut XL XI", "sdxl", 0.0005, 0.002),
    _checkpoint("civitai:4384@128713", "civitai-dreamshaper-8", "DreamShaper 8", "sd1x", 0.0003, 0.0012),
    _checkpoint("civitai:102438@133677", "civitai-102438", "Example checkpoint", "sd1x", 0.0003, 0.0012),
    Model("runware:z-image@turbo", "alibaba-z-image-turbo", "Z-Image Turbo", architecture="zimage",
          takes=(*_DIFFUSION, "controlNet"), needs=_PROMPT_AND_SIZE, inputs=_SEED_AND_MASK, sizes=_BY_64, steps=8,
          cfg=1.0, usd=0.0004, usd_per_unit=0.0015),
    Model("runware:108@1", "alibaba-qwen-image", "Qwen-Image", architecture="qwen_image",
          takes=(*_DIFFUSION, "settings"), needs=_PROMPT_AND_SIZE, inputs=_SEED_AND_MASK, sizes=_BY_16, steps=20,
          cfg=4.0, usd=0.0058),
    _closed("google:4@3", "google-nano-banana-2", "Nano Banana 2", 0.06895, sizes=Sizes(pairs=_NANO),
            takes=("resolution",)),
    _closed("openai:gpt-image@2", "openai-gpt-image-2", "GPT Image 2", 0.053, sizes=Sizes(pairs=_PAIRS_1K)),
    _closed("bytedance:seedream@4.5", "bytedance-seedream-4-5", "Seedream 4.5", 0.04, sizes=Sizes(16, 960, 4096),
            takes=("resolution",)),
    _closed("ideogram:4.5@0", "ideogram-4-5", "Ideogram 4.5", 0.008, sizes=Sizes(pairs=_PAIRS_1K)),
    Model("bfl:flux@erase", "bfl-flux-erase", "FLUX Erase", takes=("settings",), inputs=("image", "mask"),
          needs=("inputs",), needs_inputs=("image", "mask"), usd=0.03),
    Model("bfl:flux@outpainting", "bfl-flux-outpainting", "FLUX Outpainting", takes=("settings", "outpaint"),
          inputs=("image",), needs=("inputs", "outpaint"), needs_inputs=("image",), usd=0.03),
)  # fmt: skip


def _operation(air: str, slug: str, name: str, task_type: str, *, takes: tuple[str, ...] = (), usd: float = 0.0006,
               inputs: tuple[str, ...] = ("image",), formats: tuple[str, ...] = ()) -> Model:  # fmt: skip
    needs = ("inputs",) if inputs else ()
    return Model(air, slug, name, task_type, takes=takes, needs=needs, inputs=inputs, needs_inputs=inputs, usd=usd,
                 formats=formats)  # fmt: skip


_UPSCALERS = tuple(
    _operation(air, slug, name, "upscale", takes=("upscaleFactor", "targetMegapixels", "settings"), usd=0.0019)
    for air, slug, name in (
        ("runware:504@1", "real-esrgan", "Real-ESRGAN"), ("runware:500@1", "clarity", "Clarity"),
        ("runware:501@1", "ccsr", "CCSR"), ("runware:502@1", "stable-diffusion-latent-upscaler", "SD latent upscaler"),
        ("runware:503@1", "swinir", "SwinIR"),
    )
)  # fmt: skip
_REMOVERS = (
    _operation("runware:109@1", "rembg-v1-4", "RemBG 1.4", "removeBackground", takes=("settings",)),
    _operation("bria:2@1", "bria-rmbg-v2-0", "RMBG 2.0", "removeBackground", takes=("providerSettings",), usd=0.018),
    *(_operation(f"runware:112@{n}", f"birefnet-{n}", f"BiRefNet {n}", "removeBackground", takes=("settings",))
      for n in (1, 2, 3, 5, 6, 7, 8, 9, 10)),
)  # fmt: skip
_MASKERS = tuple(
    _operation(f"runware:35@{n}", slug, name, "imageMasking", takes=("settings",))
    for n, slug, name in (
        (1, "yolov8n-face", "Face n"), (2, "yolov8s-face", "Face s"), (3, "yolov8n-hand", "Hand n"),
        (4, "yolov8n-person", "Person n"), (5, "yolov8s-person", "Person s"),
        (6, "mediapipe-face-full", "Face full"), (7, "mediapipe-face-short", "Face short"),
        (8, "mediapipe-face-mesh", "Face mesh"), (9, "mediapipe-eyes", "Eyes"),
        (10, "mediapipe-eyes-lips", "Eyes and lips"), (11, "mediapipe-nose-eyes", "Nose and eyes"),
        (12, "mediapipe-nose-lips", "Nose and lips"), (13, "mediapipe-nose", "Nose"), (14, "mediapipe-lips", "Lips"),
        (15, "mediapipe-eyes-mesh", "Eyes mesh"),
    )
)  # fmt: skip
GUIDES = ("canny", "depth", "lineart", "lineart-anime", "mlsd", "normalbae", "openpose", "scribble", "seg", "shuffle",
          "softedge", "tile")  # fmt: skip
_PREPROCESSORS = tuple(
    _operation(f"runware:controlnet-preprocess@{kind}", f"controlnet-preprocess-{kind}", f"ControlNet {kind}",
               "controlNetPreprocess", takes=("settings",))
    for kind in GUIDES
)  # fmt: skip
_WORDS = (
    *(_operation(air, slug, name, "caption", takes=("prompt",), usd=0.0008) for air, slug, name in (
        ("runware:150@2", "meta-llava-1-6-mistral-7b", "LLaVA 1.6"), ("runware:151@1", "openai-clip-vit-l-14", "CLIP"),
        ("runware:152@1", "alibaba-qwen2-5-vl-3b", "Qwen2.5-VL 3B"),
        ("runware:152@2", "alibaba-qwen2-5-vl-7b", "Qwen2.5-VL 7B"))),
    _operation("runware:154@1", "open-age-detection", "Open age detection", "caption", usd=0.0008),
    Model("memories:1@1", "memories-caption", "Video captions", "caption", takes=("prompt",), needs=("inputs",),
          inputs=("video",), needs_inputs=("video",), usd=0.01),
    Model("runware:llama-3-1-8b@prompt-enhancer", "llama-3-1-8b-prompt-enhancer", "Prompt enhancer", "promptEnhance",
          takes=("prompt", "promptMaxLength", "promptVersions"), needs=("prompt",), usd=0.0),
    *(Model(air, slug, name, "textInference",
            takes=("messages", "settings", "tools", "toolChoice", "jsonSchema", "includeUsage", "seed"),
            needs=("messages",), inputs=("images", "videos", "documents"), usd=0.0, usd_per_unit=per_1k)
      for air, slug, name, per_1k in (
        ("google:gemma@4-31b", "google-gemma-4-31b", "Gemma 4 31B", 0.0004),
        ("openai:gpt@5.5", "openai-gpt-5-5", "GPT-5.5", 0.01),
        ("google:gemini@3.5-flash", "google-gemini-3-5-flash", "Gemini 3.5 Flash", 0.002),
        ("minimax:m3@0", "minimax-m3", "MiniMax M3", 0.001))),
)  # fmt: skip
_FILM_SIZES = Sizes(pairs=((1280, 720), (720, 1280), (854, 480), (480, 854), (640, 640), (1920, 1080), (1366, 768),
                           (512, 512), (256, 256)))  # fmt: skip
_FILMS = tuple(
    Model(air, slug, name, "videoInference",
          takes=("positivePrompt", "negativePrompt", "duration", "fps", "resolution", "seed", "steps", "CFGScale",
                 "providerSettings", "settings", "speech"),
          needs=("positivePrompt",), inputs=("frameImages", "referenceImages", "image", "video", "audio"),
          sizes=_FILM_SIZES, usd=0.02, usd_per_unit=per_s)
    for air, slug, name, per_s in (
        ("google:3@3", "google-veo-3-1-fast", "Veo 3.1 Fast", 0.1), ("minimax:1@1", "minimax-01", "MiniMax 01", 0.07),
        ("klingai:5@3", "klingai-2-1-standard", "Kling 2.1", 0.05),
        ("bytedance:2@1", "bytedance-seedance-1-0-pro", "Seedance 1.0 Pro", 0.06),
        ("alibaba:wan@2.6", "alibaba-wan2-6", "Wan 2.6", 0.05))
)  # fmt: skip
_FILM_OPERATIONS = (
    _operation("bria:50@1", "bria-video-increase-resolution", "Video upscaler", "upscale", takes=("upscaleFactor",),
               inputs=("video",), usd=0.14, formats=("MP4", "WEBM", "MOV")),
    _operation("bria:51@1", "bria-video-background-removal", "Video background removal", "removeBackground",
               takes=("settings",), inputs=("video",), usd=0.14, formats=("WEBM", "MOV", "MP4")),
)  # fmt: skip
_SOUNDS = (
    Model("runware:ace-step@v1.5-turbo", "ace-step-v1-5-turbo", "ACE-Step 1.5 Turbo", "audioInference",
          takes=("positivePrompt", "duration", "seed", "steps", "strength", "settings", "audioSettings"),
          needs=("positivePrompt",), inputs=("audio",), usd=0.0, usd_per_unit=0.0005),
    Model("minimax:music@2.6", "minimax-music-2-6", "MiniMax Music 2.6", "audioInference",
          takes=("positivePrompt", "negativePrompt", "duration", "seed", "settings", "audioSettings"),
          needs=("positivePrompt",), usd=0.15),
    *(Model(air, slug, name, "audioInference", takes=("speech", "settings", "audioSettings", "positivePrompt"),
            needs=("speech",), usd=0.003)
      for air, slug, name in (("minimax:speech@2.8", "minimax-speech-2-8", "MiniMax Speech 2.8"),
                              ("inworld:tts@2", "inworld-tts-2", "Inworld TTS 2"))),
)  # fmt: skip
_SOLIDS = (
    Model("microsoft:trellis-2@4b", "microsoft-trellis-2", "TRELLIS 2", "3dInference", takes=("seed", "settings"),
          needs=("inputs",), inputs=("image",), needs_inputs=("image",), usd=0.05),
    Model("tripo:v3.1@0", "tripo-v3-1", "Tripo 3.1", "3dInference",
          takes=("positivePrompt", "negativePrompt", "seed", "settings"), inputs=("images",), usd=0.2),
)  # fmt: skip
_OTHERS = (
    _operation("recraft:1@1", "recraft-vectorize", "Recraft Vectorize", "vectorize", usd=0.01, formats=("SVG",)),
    Model("recraft:v4@vector", "recraft-v4-vector", "Recraft V4 Vector", "vectorize",
          takes=("positivePrompt", "settings"), needs=("positivePrompt",), sizes=_BY_64, usd=0.08, formats=("SVG",)),
    Model("runware:flux-1-dev@style-lora-training", "runware-flux-1-dev-style-lora-training", "FLUX style training",
          "training", takes=("importModel", "learningRate", "trainingSteps", "triggerWord"),
          needs=("inputs", "importModel"), inputs=("dataset",), needs_inputs=("dataset",), usd=1.5),
    Model("runware:ffmpeg@0", "ffmpeg", "FFmpeg", "tools", takes=("settings",), needs=("inputs",),
          inputs=("image", "images", "video", "videos", "audio", "audios"), usd=0.001, is_strict=False,
          formats=("MP4", "WEBM", "MOV", "MP3", "WAV", "FLAC", "OGG", "PNG", "JPG", "WEBP")),
)  # fmt: skip

MODELS = {
    model.air: model
    for group in (_IMAGE, _UPSCALERS, _REMOVERS, _MASKERS, _PREPROCESSORS, _WORDS, _FILMS, _FILM_OPERATIONS, _SOUNDS,
                  _SOLIDS, _OTHERS)
    for model in group
}  # fmt: skip

LORAS = (
    ("civitai:120096@135931", "Pixel Art XL", "sdxl", ["pixel art", "retro", "game"], "pixel, pixel art"),
    ("civitai:43820@52591", "Pixel Art Style Model 8bit", "sd1x", ["pixel art", "8bit"], "pixelart"),
    ("civitai:640459@716306", "Retro Pixel FLUX", "flux1d", ["pixel art", "flux"], "retro pixel"),
    ("civitai:652699@730120", "Amateur Photography", "flux1d", ["photo", "realism"], "amateur photo"),
    ("civitai:58390@62833", "Detail Tweaker", "sd1x", ["detail", "enhancer"], ""),
    ("civitai:122359@135867", "Detail Tweaker XL", "sdxl", ["detail", "enhancer"], ""),
    ("civitai:25995@32988", "Watercolour blend", "sd1x", ["watercolour", "painting"], "watercolour"),
    ("civitai:99532@106568", "Ink line art", "sdxl", ["ink", "line art"], "ink drawing"),
    ("civitai:73756@83390", "Paper cut-out", "sdxl", ["paper", "craft"], "papercut"),
)

_BY_SLUG = {model.slug: model for model in MODELS.values()}


def find(name: object) -> Model | None:
    """Find a model by AIR or slug."""
    if not isinstance(name, str):
        return None
    return MODELS.get(name) or _BY_SLUG.get(name)


def price_usd(model: Model, units: float) -> float:
    """Price one result, in US dollars, by what its kind counts in."""
    return round(model.usd + model.usd_per_unit * units, 4 if model.task_type == "imageInference" else 6)
