"""Images from requests: painting, in- and outpainting, and the operations on images."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from .painter import Brief, Weighted, encode, paint

__all__ = [
    "cut_out",
    "detections",
    "encode",
    "guide",
    "mask_picture",
    "mean_colour",
    "open_image",
    "paint_image",
    "trace",
    "upscale",
]

Json = dict[str, Any]
Media = Callable[[Any], bytes]
Box = tuple[int, int, int, int]
_LONGEST_SIDE_PX = 4096


def open_image(body: bytes) -> Image.Image:
    """Decode an image, the right way up.

    Raises:
        OSError: It is none, or broken.
    """
    image = Image.open(io.BytesIO(body))
    image.load()
    return ImageOps.exif_transpose(image)


def paint_image(task: Json, *, air: str, seed: int, steps: int, cfg: float, media: Media) -> Image.Image:
    """Paint one result of an `imageInference`, editing what it was given."""
    inputs = task.get("inputs") or {}

    def picture(name: str) -> Image.Image | None:
        value = inputs.get(name)
        return open_image(media(value)) if value else None

    references = [_reference(each) for each in inputs.get("referenceImages") or []]
    start, mask = picture("seedImage"), picture("maskImage")
    strength = float(task.get("strength", 0.8))
    if "image" in inputs:  # erasing and outpainting models
        start, mask, strength = picture("image"), picture("mask"), 1.0
    elif references and start is None:
        start, strength = open_image(media(references[0])), 0.45
    width, height = _size(task, start)
    outpaint = task.get("outpaint")
    if outpaint and start is not None:
        start, mask = _extend(start, outpaint, (width, height))
        strength = 1.0
    return paint(
        Brief(
            prompt=_prompt(task),
            negative_prompt=str(task.get("negativePrompt") or ""),
            seed=seed,
            width=width,
            height=height,
            model=_hand(task, air),
            steps=steps,
            cfg=cfg,
            scheduler=str(task.get("scheduler", "")),
            seed_image=start,
            mask=mask,
            strength=strength,
            guides=tuple(_guides(task, media)),
            adapters=tuple(_adapters(task, media)),
            faces=tuple(_faces(task, media)),
            is_refined="refiner" in task,
            is_transparent=bool(task.get("layerDiffuse")),
        )
    )


def _prompt(task: Json) -> str:
    """Return the prompt with the style of PhotoMaker."""
    prompt = str(task.get("positivePrompt") or "the scene behind it")
    style = str((task.get("photoMaker") or {}).get("style") or "No style")
    return prompt if style == "No style" else f"{prompt}, {style}"


def _guides(task: Json, media: Media) -> Iterator[Weighted]:
    for each in task.get("controlNet") or []:
        yield open_image(media(each["guideImage"])), float(each.get("weight", 1))


def _adapters(task: Json, media: Media) -> Iterator[Weighted]:
    for each in task.get("ipAdapters") or []:
        for value in each.get("guideImages") or [each.get("guideImage")]:
            if value:
                yield open_image(media(value)), float(each.get("weight", 1))


def _faces(task: Json, media: Media) -> Iterator[Weighted]:
    """Return the faces of PuLID and PhotoMaker.

    The service ignores the images of the documentation under the name of the schema, so `pulid.inputImages` has no
    effect (reference 5.2).
    """
    for name, key in (("puLID", "inputImages"), ("pulid", "images")):
        settings = task.get(name) or {}
        for value in settings.get(key) or []:
            yield open_image(media(value)), float(settings.get("idWeight", 1))
    people = task.get("photoMaker") or {}
    for value in people.get("images") or []:
        yield open_image(media(value)), float(people.get("strength", 15)) / 50


def _reference(value: Any) -> Any:
    return value.get("image") if isinstance(value, dict) else value


def _hand(task: Json, air: str) -> str:
    """Return what decides the style: the model and its adaptations."""
    parts = [air]
    for name in ("lora", "lycoris", "embeddings"):
        used = [each for each in task.get(name) or [] if isinstance(each, dict)]
        parts += [f"{each.get('model')}:{each.get('weight', 1)}" for each in used]
    return "+".join(parts)


def _size(task: Json, start: Image.Image | None) -> tuple[int, int]:
    if task.get("width") and task.get("height"):
        return int(task["width"]), int(task["height"])
    outpaint = task.get("outpaint") or {}
    if start is not None:
        wide = start.width + int(outpaint.get("left", 0)) + int(outpaint.get("right", 0))
        tall = start.height + int(outpaint.get("top", 0)) + int(outpaint.get("bottom", 0))
        return min(wide, _LONGEST_SIDE_PX), min(tall, _LONGEST_SIDE_PX)
    side = {"0.5K": 512, "2K": 2048, "4K": 4096}.get(str(task.get("resolution")), 1024)
    return side, side


def _extend(start: Image.Image, outpaint: Json, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Put the picture where it belongs in the larger one; the mask is everything around it."""
    left, top = int(outpaint.get("left", 0)), int(outpaint.get("top", 0))
    inner = (size[0] - left - int(outpaint.get("right", 0)), size[1] - top - int(outpaint.get("bottom", 0)))
    kept = start.convert("RGB").resize((max(1, inner[0]), max(1, inner[1])), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", size, mean_colour(kept))
    canvas.paste(kept, (left, top))
    mask = Image.new("L", size, 255)
    mask.paste(0, (left, top, left + kept.width, top + kept.height))
    return canvas, mask


def upscale(task: Json, image: Image.Image) -> Image.Image:
    """Enlarge and sharpen; at most 4096 px a side."""
    factor = float(task.get("upscaleFactor", 2))
    megapixels = task.get("targetMegapixels")
    if megapixels:
        factor = (float(megapixels) * 1e6 / (image.width * image.height)) ** 0.5
    factor = min(factor, _LONGEST_SIDE_PX / max(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return _flat(image).resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.UnsharpMask(2, 60, 2))


def cut_out(task: Json, image: Image.Image) -> Image.Image:
    """Make what has the colour of the border transparent, beginning at the border."""
    settings = task.get("settings") or {}
    alpha = _foreground(image)
    if settings.get("returnOnlyMask"):
        return alpha
    made = image.convert("RGB").convert("RGBA")
    made.putalpha(alpha)
    rgba = settings.get("rgba")
    if isinstance(rgba, list) and len(rgba) == 4 and float(rgba[3]) > 0:
        opacity = float(rgba[3]) * (255 if float(rgba[3]) <= 1 else 1)
        backdrop = Image.new("RGBA", made.size, (int(rgba[0]), int(rgba[1]), int(rgba[2]), int(opacity)))
        made = Image.alpha_composite(backdrop, made)
    return made


def _foreground(image: Image.Image) -> Image.Image:
    """Find what differs from the border: white where it does. The edge is as hard as the difference."""
    flat = _flat(image)
    border = mean_colour(flat, border=True)
    difference = ImageChops.difference(flat, Image.new("RGB", flat.size, border))
    distance = ImageChops.lighter(ImageChops.lighter(*difference.split()[:2]), difference.split()[2])
    wall = distance.point(lambda value: 255 if value > 40 else 0)
    framed = ImageOps.expand(wall, 1, 0)
    ImageDraw.floodfill(framed, (0, 0), 128)
    outside = framed.crop((1, 1, framed.width - 1, framed.height - 1))
    return outside.point(lambda value: 0 if value == 128 else 255)


def detections(task: Json, image: Image.Image) -> list[Json]:
    """Find what stands out, as boxes in pixels: `x_min`, `y_min`, `x_max`, `y_max`."""
    settings = task.get("settings") or {}
    most = int(settings.get("maxDetections", 6))
    boxes = _boxes(_foreground(image))[:most]
    return [{"x_min": left, "y_min": top, "x_max": right, "y_max": bottom} for left, top, right, bottom in boxes]


def _boxes(mask: Image.Image) -> list[Box]:
    """Split a mask at its empty columns, and give the box of each part, the largest first."""
    whole = mask.getbbox()
    if whole is None:
        return []
    columns = mask.resize((mask.width, 1), Image.Resampling.BOX).tobytes()
    parts: list[Box] = []
    start: int | None = None
    for x, value in enumerate([*columns, 0]):
        if value and start is None:
            start = x
        elif not value and start is not None:
            box = mask.crop((start, 0, x, mask.height)).getbbox()
            if box is not None and (x - start) * (box[3] - box[1]) >= 16:
                parts.append((start, box[1], x, box[3]))
            start = None
    return sorted(parts, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))


def mask_picture(task: Json, image: Image.Image) -> Image.Image:
    """Draw the mask of what `detections` finds: white on black."""
    settings = task.get("settings") or {}
    padding, blur = int(settings.get("maskPadding", 4)), float(settings.get("maskBlur", 4))
    mask = Image.new("L", image.size)
    draw = ImageDraw.Draw(mask)
    for found in detections(task, image):
        box = (found["x_min"] - padding, found["y_min"] - padding, found["x_max"] + padding, found["y_max"] + padding)
        if box[2] > box[0] and box[3] > box[1]:
            draw.ellipse(box, fill=255)
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def guide(task: Json, image: Image.Image, kind: str) -> Image.Image:
    """Make the guide image of a ControlNet preprocessor: edges, a depth-like ramp, blocks of colour and so on."""
    settings = task.get("settings") or {}
    image = _shrunk(_flat(image), settings)
    grey = ImageOps.autocontrast(image.convert("L"))
    made = _GUIDES.get(kind, _edges)(image, grey)
    if kind == "canny":
        low = int(settings.get("lowThresholdCanny", 100))
        made = made.point(lambda value: 255 if value > low / 2 else 0)
    return made.convert("RGB")


def _shrunk(image: Image.Image, settings: Json) -> Image.Image:
    wide, tall = settings.get("width"), settings.get("height")
    if wide or tall:
        share = min(float(wide or image.width) / image.width, float(tall or image.height) / image.height, 1.0)
        image = image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))
    return image


def _edges(_: Image.Image, grey: Image.Image) -> Image.Image:
    return ImageOps.autocontrast(grey.filter(ImageFilter.GaussianBlur(1)).filter(ImageFilter.FIND_EDGES), cutoff=1)


def _depth(_: Image.Image, grey: Image.Image) -> Image.Image:
    """Lower in the picture is nearer, and so is what is bright: near is white."""
    ramp = Image.linear_gradient("L").resize(grey.size)
    return ImageOps.autocontrast(Image.blend(ramp, grey.filter(ImageFilter.GaussianBlur(6)), 0.35))


def _normals(image: Image.Image, grey: Image.Image) -> Image.Image:
    soft = grey.filter(ImageFilter.GaussianBlur(2))
    right = ImageChops.subtract(ImageChops.offset(soft, 1, 0), soft, 1, 128)
    down = ImageChops.subtract(ImageChops.offset(soft, 0, 1), soft, 1, 128)
    return Image.merge("RGB", (right, down, Image.new("L", image.size, 230)))


def _segments(image: Image.Image, _: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image.quantize(8).convert("RGB").filter(ImageFilter.ModeFilter(7))).enhance(2.0)


def _pose(image: Image.Image, _: Image.Image) -> Image.Image:
    """Draw a figure of sticks into each thing found."""
    made = Image.new("RGB", image.size)
    draw = ImageDraw.Draw(made)
    for left, top, right, bottom in _boxes(_foreground(image))[:4]:
        middle, tall = (left + right) / 2, bottom - top
        width = max(2, tall // 40)
        neck, hips = (middle, top + tall * 0.2), (middle, top + tall * 0.55)
        for start, end, colour in (
            ((middle, top), neck, "red"), (neck, hips, "orange"), (neck, (left, top + tall * 0.45), "lime"),
            (neck, (right, top + tall * 0.45), "cyan"), (hips, (left, bottom), "blue"),
            (hips, (right, bottom), "magenta"),
        ):  # fmt: skip
            draw.line((start, end), fill=colour, width=width)
    return made


def _shuffle(image: Image.Image, _: Image.Image) -> Image.Image:
    return ImageChops.offset(image, image.width // 3, image.height // 3).filter(ImageFilter.GaussianBlur(8))


def _scribble(_: Image.Image, grey: Image.Image) -> Image.Image:
    return _edges(grey, grey).filter(ImageFilter.MaxFilter(5)).point(lambda value: 255 if value > 90 else 0)


_GUIDES: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "depth": _depth, "normalbae": _normals, "seg": _segments, "openpose": _pose, "shuffle": _shuffle,
    "scribble": _scribble, "tile": lambda image, _: image.filter(ImageFilter.BoxBlur(3)),
    "softedge": lambda _, grey: _edges(grey, grey).filter(ImageFilter.GaussianBlur(3)),
}  # fmt: skip


def trace(image: Image.Image) -> bytes:
    """Write a picture as SVG: one rectangle for each run of equal colour."""
    side = 96 / max(image.size)
    size = (max(1, round(image.width * side)), max(1, round(image.height * side)))
    small = _flat(image).resize(size, Image.Resampling.BOX).quantize(16).convert("RGB")
    pixels = small.load()
    assert pixels is not None
    rows = []
    for y in range(size[1]):
        start = 0
        for x in range(1, size[0] + 1):
            if x == size[0] or pixels[x, y] != pixels[start, y]:
                red, green, blue = pixels[start, y]  # type: ignore[misc]
                rows.append(
                    f'<path fill="#{red:02x}{green:02x}{blue:02x}" d="M{start} {y}h{x - start}v1h{start - x}z"/>'
                )
                start = x
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{image.width}" height="{image.height}" '
            f'viewBox="0 0 {size[0]} {size[1]}" shape-rendering="crispEdges">')  # fmt: skip
    return (head + "".join(rows) + "</svg>").encode()


def mean_colour(image: Image.Image, *, border: bool = False) -> tuple[int, int, int]:
    """Give the average colour, or the middle one of the border."""
    if not border:
        red, green, blue = _flat(image).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
        return red, green, blue
    wide, tall = image.size
    points = [image.getpixel((x, y)) for x in range(0, wide, max(1, wide // 16)) for y in (0, tall - 1)]
    points += [image.getpixel((x, y)) for y in range(0, tall, max(1, tall // 16)) for x in (0, wide - 1)]
    red, green, blue = (int(statistics.median(point[band] for point in points)) for band in range(3))  # type: ignore[index]
    return red, green, blue


def _flat(image: Image.Image) -> Image.Image:
    """Lay transparent parts on white."""
    if image.mode in {"RGBA", "LA", "P"}:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def data_uri(body: bytes, media_type: str) -> str:
    """Write bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(body).decode()}"
