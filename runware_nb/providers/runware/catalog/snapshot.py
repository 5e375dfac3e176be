"""The bundled snapshot: popular models and every operation, written from the facts in Runware reference 5 and 6."""

from __future__ import annotations

from .models import Model, Sizes

__all__ = ["MODELS"]

_PROMPTED = ("positivePrompt",)
_SIZED = ("positivePrompt", "width", "height")
_EDITED = ("seedImage", "maskImage", "referenceImages")
_DIFFUSION = frozenset(
    {"negativePrompt", "seed", "steps", "scheduler", "CFGScale", "acceleratorOptions", "lora", "ultralytics"}
)
_INPAINTING = _DIFFUSION | {"strength", "maskMargin", "outpaint"}
_SD = _INPAINTING | {"clipSkip", "vae", "promptWeighting", "controlNet", "ipAdapters", "embeddings", "hiresFix"}
_SDXL = _SD | {"refiner", "photoMaker"}
_SCHNELL = _INPAINTING | {"trueCFGScale", "promptWeighting", "hiresFix", "acceleration"}
_DEV = _SCHNELL | {"controlNet", "ipAdapters", "puLID", "pulid", "layerDiffuse"}
_KONTEXT = _DIFFUSION | {"trueCFGScale"}
_FLUX_2 = frozenset(
    {"negativePrompt", "seed", "steps", "scheduler", "CFGScale", "acceleration", "acceleratorOptions", "lora"}
)
_CLOSED = frozenset({"seed", "settings", "providerSettings"})
_BY_16, _BY_64, _FLUX_2_SIZES = Sizes(16), Sizes(64), Sizes(16, 256, 2048)
_KONTEXT_PRO = Sizes(pairs_px=((1024, 1024), (1392, 752), (752, 1392), (1184, 880), (880, 1184)))
_GPT = Sizes(pairs_px=((1024, 1024), (1536, 1024), (1024, 1536)))

_FLUX = (
    Model("runware:101@1", "bfl-flux-1-dev", "FLUX.1 [dev]", architecture="flux-1-dev", aliases=("flux", "flux-dev"),
          takes=_DEV, needs=_SIZED, inputs=_EDITED, sizes=_BY_16, steps=28, cfg_scale=3.5,
          price_points=((0.262144, 0.0019), (1.048576, 0.0038))),
    Model("runware:100@1", "bfl-flux-1-schnell", "FLUX.1 [schnell]", architecture="flux-1-schnell",
          aliases=("schnell", "flux-schnell"), takes=_SCHNELL, needs=_SIZED, inputs=_EDITED, sizes=_BY_16, steps=4,
          cfg_scale=1.0, price_points=((0.262144, 0.0006),)),
    Model("runware:102@1", "bfl-flux-1-fill-dev", "FLUX.1 Fill [dev]", architecture="flux-1-dev",
          aliases=("flux-fill",), takes=_DEV | {"acePlusPlus"}, needs=_SIZED, inputs=_EDITED, sizes=_BY_16, steps=28,
          cfg_scale=3.5),
    Model("runware:106@1", "bfl-flux-1-kontext-dev", "FLUX.1 Kontext [dev]", architecture="flux-1-kontext-dev",
          aliases=("kontext",), takes=_KONTEXT, needs=_PROMPTED, inputs=("referenceImages",), sizes=_BY_16, steps=28,
          cfg_scale=2.5),
    Model("runware:107@1", "krea-flux-1-krea-dev", "FLUX.1 Krea [dev]", architecture="flux-1-dev", aliases=("krea",),
          takes=_DEV, needs=_SIZED, inputs=_EDITED, sizes=_BY_16, steps=28, cfg_scale=3.5),
    Model("runware:111@1", "flux-1-dev-srpo", "FLUX.1 [dev] SRPO", architecture="flux-1-dev", aliases=("srpo",),
          takes=_DEV, needs=_SIZED, inputs=_EDITED, sizes=_BY_16, steps=28, cfg_scale=3.5),
    Model("runware:400@1", "bfl-flux-2-dev", "FLUX.2 [dev]", aliases=("flux-2",), takes=_FLUX_2, needs=_SIZED,
          inputs=("referenceImages",), sizes=_FLUX_2_SIZES, steps=28, cfg_scale=4.0),
    Model("runware:400@2", "bfl-flux-2-klein-9b", "FLUX.2 [klein] 9B", aliases=("klein",), takes=_FLUX_2, needs=_SIZED,
          inputs=("referenceImages",), sizes=_FLUX_2_SIZES, steps=4, cfg_scale=1.0),
    Model("bfl:2@1", "bfl-flux-1-1-pro", "FLUX1.1 [pro]", aliases=("flux-pro",), takes=_CLOSED - {"settings"},
          needs=_SIZED, sizes=Sizes(32, 256, 1440)),
    Model("bfl:3@1", "bfl-flux-1-kontext-pro", "FLUX.1 Kontext [pro]", aliases=("kontext-pro",),
          takes=_CLOSED - {"settings"}, needs=_SIZED, inputs=("referenceImages",), sizes=_KONTEXT_PRO),
    Model("bfl:4@1", "bfl-flux-1-kontext-max", "FLUX.1 Kontext [max]", aliases=("kontext-max",),
          takes=_CLOSED - {"settings"}, needs=_SIZED, inputs=("referenceImages",), sizes=_KONTEXT_PRO),
    Model("bfl:5@1", "bfl-flux-2-pro", "FLUX.2 [pro]", aliases=("flux-2-pro",), takes=_CLOSED - {"settings"},
          needs=_SIZED, inputs=("referenceImages",), sizes=_FLUX_2_SIZES),
    Model("bfl:6@1", "bfl-flux-2-flex", "FLUX.2 [flex]", aliases=("flux-2-flex",),
          takes=(_CLOSED - {"settings"}) | {"steps", "CFGScale"}, needs=_SIZED, inputs=("referenceImages",),
          sizes=_FLUX_2_SIZES),
    Model("bfl:flux@erase", "bfl-flux-erase", "FLUX Erase", aliases=("flux-erase",), takes=frozenset({"settings"}),
          needs=("inputs",), inputs=("image", "mask"), needs_inputs=("image", "mask")),
    Model("bfl:flux@outpainting", "bfl-flux-outpainting", "FLUX Outpainting", aliases=("flux-outpainting",),
          takes=frozenset({"settings", "outpaint"}), needs=("inputs", "outpaint"), inputs=("image",),
          needs_inputs=("image",)),
)  # fmt: skip


def _checkpoint(air: str, name: str, alias: str, architecture: str, *, slug: str = "") -> Model:
    is_xl = architecture == "sdxl"
    return Model(
        air, slug or air.replace(":", "-").replace("@", "-"), name, architecture=architecture, aliases=(alias,),
        takes=_SDXL if is_xl else _SD, needs=_SIZED, inputs=_EDITED, sizes=_BY_64, steps=25, cfg_scale=7.0,
    )  # fmt: skip


_STABLE_DIFFUSION = (
    _checkpoint("civitai:101055@128078", "SDXL 1.0 VAE fix", "sdxl", "sdxl", slug="stability-sdxl-1-0"),
    _checkpoint("civitai:133005@782002", "Juggernaut XL XI", "juggernaut", "sdxl"),
    _checkpoint("civitai:139562@297320", "RealVisXL", "realvis", "sdxl"),
    _checkpoint("civitai:4384@128713", "DreamShaper", "dreamshaper", "sd-1-5"),
    _checkpoint("civitai:4201@130090", "Realistic Vision", "realistic-vision", "sd-1-5"),
    _checkpoint("civitai:25694@143906", "epiCRealism", "epicrealism", "sd-1-5"),
)
_OPEN = (
    Model("runware:5@1", "stabilityai-stable-diffusion-3", "Stable Diffusion 3", architecture="sd3", aliases=("sd3",),
          takes=_INPAINTING | {"clipSkip", "controlNet"}, needs=_SIZED, inputs=_EDITED, sizes=_BY_64, steps=28,
          cfg_scale=5.0),
    Model("runware:97@1", "hidream-i1-full", "HiDream-I1 Full", aliases=("hidream",),
          takes=_DIFFUSION - {"ultralytics"}, needs=_PROMPTED, sizes=_BY_64, steps=28, cfg_scale=3.5),
    Model("runware:108@1", "alibaba-qwen-image", "Qwen-Image", aliases=("qwen", "qwen-image"),
          takes=_INPAINTING | {"settings"}, needs=_SIZED, inputs=_EDITED, sizes=Sizes(16, 128, 3584), steps=20,
          cfg_scale=4.0),
    Model("runware:108@20", "alibaba-qwen-image-edit", "Qwen-Image Edit", aliases=("qwen-edit",),
          takes=_DIFFUSION | {"settings"}, needs=("inputs", "positivePrompt"), inputs=("referenceImages",),
          needs_inputs=("referenceImages",), sizes=Sizes(16, 128, 3584), steps=20, cfg_scale=4.0),
    Model("runware:z-image@turbo", "alibaba-z-image-turbo", "Z-Image Turbo", architecture="z-image-turbo",
          aliases=("z-image-turbo", "z-image"), takes=_INPAINTING | {"controlNet"}, needs=_SIZED, inputs=_EDITED,
          sizes=_BY_64, steps=8, cfg_scale=1.0),
    Model("runware:z-image@0", "alibaba-z-image", "Z-Image", architecture="z-image", aliases=("z-image-base",),
          takes=_INPAINTING, needs=_SIZED, inputs=_EDITED, sizes=_BY_64, steps=28, cfg_scale=4.0),
)  # fmt: skip
_CLOSED_MODELS = (
    Model("google:4@2", "google-nano-banana-pro", "Nano Banana Pro", aliases=("nano-banana-pro",),
          takes=_CLOSED | {"resolution"}, needs=_PROMPTED, inputs=("referenceImages",), sizes=Sizes(1, 128, 12288)),
    Model("google:4@3", "google-nano-banana-2", "Nano Banana 2", aliases=("nano-banana",),
          takes=_CLOSED | {"resolution"}, needs=_PROMPTED, inputs=("referenceImages",), sizes=Sizes(1, 128, 12288),
          price_points=((0.262144, 0.04657), (1.048576, 0.06895), (4.194304, 0.10255), (16.777216, 0.15295))),
    Model("openai:gpt-image@2", "openai-gpt-image-2", "GPT Image 2", aliases=("gpt-image",),
          takes=frozenset({"settings"}), needs=_PROMPTED, inputs=("referenceImages", "mask"), sizes=_GPT),
    Model("bytedance:seedream@4.5", "bytedance-seedream-4-5", "Seedream 4.5", aliases=("seedream",),
          takes=frozenset({"seed", "settings", "resolution"}), needs=_PROMPTED, inputs=("referenceImages",),
          sizes=Sizes(1, 512, 4096)),
    Model("ideogram:4.5@0", "ideogram-4-5", "Ideogram 4.5", aliases=("ideogram",),
          takes=frozenset({"seed", "settings"}), needs=_PROMPTED, inputs=("referenceImages",),
          sizes=Sizes(1, 512, 2048), price_points=((1.048576, 0.008),)),
    Model("recraft:v4.1@0", "recraft-v4-1", "Recraft V4.1", aliases=("recraft",), takes=frozenset({"settings"}),
          needs=_SIZED, sizes=Sizes(1, 512, 2048)),
)  # fmt: skip


def _operation(air: str, slug: str, name: str, task_type: str, *aliases: str, takes: tuple[str, ...] = (),
               inputs: tuple[str, ...] = ("image",), formats: tuple[str, ...] = ()) -> Model:  # fmt: skip
    return Model(air, slug, name, task_type, aliases=aliases, takes=frozenset(takes), needs=("inputs",), inputs=inputs,
                 needs_inputs=inputs, formats=formats)  # fmt: skip


_LARGER = ("upscaleFactor", "targetMegapixels")
_UPSCALERS = (
    _operation("runware:504@1", "real-esrgan", "Real-ESRGAN", "upscale", "esrgan", takes=_LARGER),
    _operation("runware:500@1", "clarity", "Clarity", "upscale", takes=(*_LARGER, "settings")),
    _operation("runware:501@1", "ccsr", "CCSR", "upscale", takes=(*_LARGER, "settings")),
    _operation("runware:502@1", "stable-diffusion-latent-upscaler", "SD latent upscaler", "upscale", "latent-upscaler",
               takes=(*_LARGER, "settings")),
    _operation("runware:503@1", "swinir", "SwinIR", "upscale", takes=_LARGER),
    _operation("bria:50@1", "bria-video-increase-resolution", "Bria video upscaler", "upscale", "video-upscaler",
               takes=("upscaleFactor",), inputs=("video",), formats=("MP4", "WEBM", "MOV")),
)  # fmt: skip
_REMOVERS = (
    _operation("runware:109@1", "rembg-v1-4", "RemBG 1.4", "removeBackground", "rembg", takes=("settings",)),
    _operation("runware:112@5", "birefnet-general", "BiRefNet", "removeBackground"),
    _operation("bria:2@1", "bria-rmbg-v2-0", "RMBG 2.0", "removeBackground", "rmbg", takes=("providerSettings",)),
    _operation("bria:51@1", "bria-video-background-removal", "Bria video background removal", "removeBackground",
               takes=("settings",), inputs=("video",), formats=("WEBM", "MOV")),
)  # fmt: skip
_MASK_SUBJECTS = (
    (1, "yolov8n-face", "face"), (2, "yolov8s-face", "face-s"), (3, "yolov8n-hand", "hand"),
    (4, "yolov8n-person", "person"), (5, "yolov8s-person", "person-s"), (6, "mediapipe-face-full", "face-full"),
    (7, "mediapipe-face-short", "face-short"), (8, "mediapipe-face-mesh", "face-mesh"), (9, "mediapipe-eyes", "eyes"),
    (10, "mediapipe-eyes-lips", "eyes-lips"), (11, "mediapipe-nose-eyes", "nose-eyes"),
    (12, "mediapipe-nose-lips", "nose-lips"), (13, "mediapipe-nose", "nose"), (14, "mediapipe-lips", "lips"),
    (15, "mediapipe-eyes-mesh", "eyes-mesh"),
)  # fmt: skip
_MASKERS = tuple(
    _operation(f"runware:35@{number}", slug, f"Mask: {subject}", "imageMasking", f"mask-{subject}", takes=("settings",))
    for number, slug, subject in _MASK_SUBJECTS
)
_GUIDES = tuple(
    _operation(f"runware:controlnet-preprocess@{kind}", f"controlnet-preprocess-{kind}", f"ControlNet: {kind}",
               "controlNetPreprocess", kind, takes=("settings",))
    for kind in ("canny", "depth", "lineart", "lineart-anime", "mlsd", "normalbae", "openpose", "scribble", "seg",
                 "shuffle", "softedge", "tile")
)  # fmt: skip
_WORDS = (
    _operation("runware:150@2", "meta-llava-1-6-mistral-7b", "LLaVA 1.6", "caption", "llava", takes=("prompt",)),
    _operation("runware:151@1", "openai-clip-vit-l-14", "CLIP ViT-L/14", "caption", "clip", takes=("prompt",)),
    _operation("runware:152@2", "alibaba-qwen2-5-vl-7b", "Qwen2.5-VL 7B", "caption", "qwen-vl", takes=("prompt",)),
    _operation("runware:154@1", "open-age-detection", "Open age detection", "caption", "age"),
    Model("runware:llama-3-1-8b@prompt-enhancer", "llama-3-1-8b-prompt-enhancer", "Prompt enhancer", "promptEnhance",
          aliases=("enhancer",), takes=frozenset({"prompt", "promptMaxLength", "promptVersions"}), needs=("prompt",)),
    *(Model(air, slug, name, "textInference", aliases=(alias,),
            takes=frozenset({"messages", "settings", "tools", "toolChoice", "jsonSchema", "includeUsage", "seed"}),
            needs=("messages",), inputs=("images", "videos", "documents"))
      for air, slug, name, alias in (
          ("google:gemma@4-31b", "google-gemma-4-31b", "Gemma 4 31B", "gemma"),
          ("google:gemini@3.5-flash", "google-gemini-3-5-flash", "Gemini 3.5 Flash", "gemini"),
          ("openai:gpt@5.5", "openai-gpt-5-5", "GPT-5.5", "gpt"),
          ("minimax:m3@0", "minimax-m3", "MiniMax M3", "m3"))),
)  # fmt: skip
_FILMS = tuple(
    Model(air, slug, name, "videoInference", aliases=(alias,),
          takes=frozenset({"positivePrompt", "negativePrompt", "duration", "fps", "resolution", "seed", "steps",
                           "CFGScale", "providerSettings", "settings", "speech"}),
          needs=_PROMPTED, inputs=("frameImages", "referenceImages", "image", "video", "audio"),
          sizes=Sizes(1, 256, 4096))
    for air, slug, name, alias in (
        ("google:3@3", "google-veo-3-1-fast", "Veo 3.1 Fast", "veo"),
        ("bytedance:2@1", "bytedance-seedance-1-0-pro", "Seedance 1.0 Pro", "seedance"),
        ("minimax:1@1", "minimax-01", "MiniMax 01", "hailuo"),
        ("alibaba:wan@2.6", "alibaba-wan2-6", "Wan 2.6", "wan"))
)  # fmt: skip
_SOUNDS = (
    Model("runware:ace-step@v1.5-turbo", "ace-step-v1-5-turbo", "ACE-Step 1.5 Turbo", "audioInference",
          aliases=("ace-step",),
          takes=frozenset({"positivePrompt", "duration", "seed", "steps", "strength", "settings", "audioSettings"}),
          needs=_PROMPTED, inputs=("audio",)),
    Model("minimax:music@2.6", "minimax-music-2-6", "MiniMax Music 2.6", "audioInference", aliases=("music",),
          takes=frozenset({"positivePrompt", "negativePrompt", "seed", "settings", "audioSettings", "duration"}),
          needs=_PROMPTED),
    *(Model(air, slug, name, "audioInference", aliases=(alias,),
            takes=frozenset({"speech", "settings", "audioSettings"}), needs=("speech",))
      for air, slug, name, alias in (
          ("minimax:speech@2.8", "minimax-speech-2-8", "MiniMax Speech 2.8", "speech"),
          ("inworld:tts@2", "inworld-tts-2", "Inworld TTS 2", "tts"))),
)  # fmt: skip
_OTHERS = (
    Model("microsoft:trellis-2@4b", "microsoft-trellis-2", "TRELLIS 2", "3dInference", aliases=("trellis",),
          takes=frozenset({"seed", "settings"}), needs=("inputs",), inputs=("image",), needs_inputs=("image",)),
    Model("tripo:v3.1@0", "tripo-v3-1", "Tripo 3.1", "3dInference", aliases=("tripo",),
          takes=frozenset({"positivePrompt", "negativePrompt", "seed", "settings"}), inputs=("images",),
          formats=("GLB", "FBX")),
    _operation("recraft:1@1", "recraft-vectorize", "Recraft Vectorize", "vectorize", "vectorizer"),
    Model("recraft:v4@vector", "recraft-v4-vector", "Recraft V4 Vector", "vectorize", aliases=("recraft-vector",),
          takes=frozenset({"positivePrompt", "settings"}), needs=_PROMPTED, sizes=Sizes(1, 512, 2048)),
    Model("runware:flux-1-dev@style-lora-training", "runware-flux-1-dev-style-lora-training", "FLUX.1 style training",
          "training", aliases=("flux-training",),
          takes=frozenset({"importModel", "learningRate", "trainingSteps", "triggerWord"}),
          needs=("inputs", "importModel"), inputs=("dataset",), needs_inputs=("dataset",)),
    Model("runware:ffmpeg@0", "ffmpeg", "FFmpeg", "tools", aliases=("ffmpeg-tool",), takes=frozenset({"settings"}),
          needs=("inputs",), inputs=("image", "images", "video", "videos", "audio", "audios"),
          formats=("MP4", "WEBM", "MOV", "MKV", "MP3", "WAV", "AAC", "FLAC", "OGG", "PNG", "JPG", "WEBP")),
)  # fmt: skip

MODELS: tuple[Model, ...] = (
    *_FLUX, *_OPEN, *_STABLE_DIFFUSION, *_CLOSED_MODELS, *_UPSCALERS, *_REMOVERS, *_MASKERS, *_GUIDES, *_WORDS,
    *_FILMS, *_SOUNDS, *_OTHERS,
)  # fmt: skip
