"""Pictures from words: a landscape that depends on prompt, seed, model and parameters, and on nothing else."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

__all__ = ["Brief", "Weighted", "encode", "paint"]

RGB = tuple[int, int, int]
Points = Sequence[tuple[float, float]]
Weighted = tuple[Image.Image, float]
"""An image, and how strongly it counts."""
_BACKGROUND: RGB = (1, 2, 3)
"""Stands for transparency while a subject is painted alone."""


@dataclass(frozen=True)
class Brief:
    """All that decides a picture.

    Attributes:
        prompt: What to draw.
        negative_prompt: Words whose motifs and colours are left out.
        seed: Decides everything that the words leave open.
        width: Pixels.
        height: Pixels.
        model: Models have hands of their own: tint and grain.
        steps: Few steps leave the picture soft and grainy.
        cfg: Guidance: how strong colours and contrast are.
        scheduler: Shifts the grain.
        seed_image: Picture to start from, or None.
        mask: Where to change it, white is change; None is everywhere.
        strength: How much of *seed_image* is painted over, 0 to 1.
        guides: Guide images with their weights: what is bright in them is bright in the result.
        adapters: Images with weights, whose mean color the result takes on.
        faces: Images with weights, which appear in an oval in the middle of the result.
        is_refined: Whether a refiner sharpens the result.
        is_transparent: Whether only the subject is painted, on a transparent background.
    """

    prompt: str
    seed: int
    width: int
    height: int
    model: str
    negative_prompt: str = ""
    steps: int = 25
    cfg: float = 7.0
    scheduler: str = ""
    seed_image: Image.Image | None = None
    mask: Image.Image | None = None
    strength: float = 0.8
    guides: tuple[Weighted, ...] = ()
    adapters: tuple[Weighted, ...] = ()
    faces: tuple[Weighted, ...] = ()
    is_refined: bool = False
    is_transparent: bool = False


_COLOURS: dict[str, RGB] = {
    "red": (200, 54, 48), "crimson": (170, 30, 50), "orange": (232, 132, 44), "yellow": (240, 204, 72),
    "gold": (222, 176, 60), "green": (76, 148, 84), "emerald": (30, 140, 100), "teal": (32, 138, 140),
    "turquoise": (52, 180, 178), "blue": (56, 104, 190), "navy": (30, 48, 98), "purple": (120, 70, 160),
    "violet": (140, 90, 190), "pink": (236, 140, 170), "magenta": (200, 60, 140), "brown": (128, 88, 58),
    "white": (240, 240, 236), "silver": (186, 192, 198), "grey": (128, 132, 138), "gray": (128, 132, 138),
    "black": (32, 34, 40),
}  # fmt: skip

_SKIES: dict[str, tuple[RGB, RGB]] = {
    "night": ((10, 14, 40), (58, 60, 110)),
    "sunset": ((70, 50, 110), (250, 160, 96)),
    "sunrise": ((110, 130, 190), (255, 206, 150)),
    "dawn": ((110, 130, 190), (255, 206, 150)),
    "storm": ((52, 60, 74), (128, 138, 146)),
    "winter": ((150, 176, 206), (232, 238, 244)),
    "day": ((74, 138, 206), (206, 228, 240)),
}
_SYNONYMS = {
    "dusk": "sunset", "evening": "sunset", "stars": "night", "moon": "night", "midnight": "night",
    "snow": "winter", "snowy": "winter", "rain": "storm", "stormy": "storm", "morning": "sunrise",
    "ocean": "sea", "lake": "sea", "water": "sea", "river": "sea", "beach": "sea", "woods": "forest",
    "trees": "forest", "tree": "forest", "jungle": "forest", "town": "city", "skyline": "city",
    "village": "city", "dunes": "desert", "mountain": "mountains", "alps": "mountains", "hill": "hills",
    "zeppelin": "airship", "blimp": "airship", "balloons": "balloon", "boat": "ship", "sailboat": "ship",
    "kitten": "cat", "cats": "cat", "birds": "bird", "cottage": "house", "cabin": "house", "rose": "flower",
    "flowers": "flower", "spaceship": "rocket", "ships": "ship", "airships": "airship",
}  # fmt: skip
_GROUNDS = ("forest", "sea", "city", "desert", "mountains", "hills")


class _Canvas:
    """Drawing in the unit square, y down, on a picture of any size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size)
        self.draw = ImageDraw.Draw(self.image)
        self.width, self.height = size

    def at(self, x: float, y: float) -> tuple[float, float]:
        return x * self.width, y * self.height

    def polygon(self, points: Points, colour: RGB) -> None:
        self.draw.polygon([self.at(*point) for point in points], fill=colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: RGB) -> None:
        """Draw around (x, y); radii are fractions of the height, so that a circle is round."""
        cx, cy = self.at(x, y)
        rx, ry = rx * self.height, ry * self.height
        self.draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=colour)

    def line(self, points: Points, colour: RGB, width: float) -> None:
        pixels = max(1, round(width * self.height))
        self.draw.line([self.at(*point) for point in points], fill=colour, width=pixels, joint="curve")


def paint(brief: Brief) -> Image.Image:
    """Paint one picture.

    Returns:
        An image of exactly the requested size: RGBA if its background is transparent, else RGB.
    """
    words = _words(brief.prompt) - _words(brief.negative_prompt)
    digest = hashlib.sha256(f"{brief.prompt}\0{brief.negative_prompt}\0{brief.seed}\0{brief.model}".encode())
    chance = random.Random(digest.digest())
    scale = 1.5 if brief.width * brief.height <= 1_600_000 else 1.0
    canvas = _Canvas((round(brief.width * scale), round(brief.height * scale)))
    _scene(canvas, words, chance, is_alone=brief.is_transparent)
    size = (brief.width, brief.height)
    opaque = _opaque(canvas.image).resize(size, Image.Resampling.BOX) if brief.is_transparent else None
    made = canvas.image.resize(size, Image.Resampling.BOX)
    made = _style(made, brief, words, chance)
    if brief.is_refined:
        made = made.filter(ImageFilter.UnsharpMask(2, 120, 1))
    for image, weight in brief.adapters:
        tint = Image.new("RGB", size, image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
        made = Image.blend(made, tint, 0.6 * min(max(weight, 0.0), 1.0))
    for image, weight in brief.guides:
        lines = image.convert("L").resize(size, Image.Resampling.BILINEAR)
        guided = ImageChops.screen(made, Image.merge("RGB", [lines] * 3))
        made = Image.blend(made, guided, min(max(weight, 0.0), 1.0))
    for image, weight in brief.faces:
        made = _with_face(made, image, weight)
    made = _over_seed_image(made, brief)
    if opaque is not None:
        made.putalpha(opaque)
    return made


def _opaque(image: Image.Image) -> Image.Image:
    """Return a mask: white where a subject is painted, black where the background shows."""
    difference = ImageChops.difference(image, Image.new("RGB", image.size, _BACKGROUND))
    red, green, blue = difference.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue).point(lambda value: 255 if value else 0)


def _with_face(made: Image.Image, face: Image.Image, weight: float) -> Image.Image:
    """Show an image in an oval in the middle; a weight of 1 or more is opaque."""
    side = max(8, min(made.size) // 3)
    oval = Image.new("L", (side, side))
    ImageDraw.Draw(oval).ellipse((0, 0, side - 1, side - 1), fill=round(255 * min(max(weight, 0.0), 1.0)))
    made = made.copy()
    small = face.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    made.paste(small, ((made.width - side) // 2, (made.height - side) // 2), oval)
    return made


def encode(image: Image.Image, output_format: str, quality: int) -> tuple[bytes, str, str]:
    """Encode a picture.

    Returns:
        The bytes, the media type, the file ending.
    """
    name = {"JPG": "JPEG"}.get(output_format.upper(), output_format.upper())
    buffer = io.BytesIO()
    if name == "JPEG":
        image.convert("RGB").save(buffer, "JPEG", quality=quality)
    elif name == "PNG":
        image.save(buffer, "PNG", compress_level=3)
    else:
        image.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue(), f"image/{name.lower()}", {"JPEG": "jpg"}.get(name, name.lower())


def _words(text: str) -> set[str]:
    plain = {"".join(c for c in word if c.isalpha()) for word in text.lower().split()}
    return {_SYNONYMS.get(word, word) for word in plain if word}


def _mix(a: RGB, b: RGB, share: float) -> RGB:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _scene(canvas: _Canvas, words: set[str], chance: random.Random, *, is_alone: bool = False) -> None:
    sky = next((word for word in _SKIES if word in words), None)
    if sky is None:
        sky = chance.choice(["day", "day", "sunset", "sunrise"])
    top, low = _SKIES[sky]
    turn = chance.uniform(-0.12, 0.12)
    top = _mix(top, (255, 255, 255) if turn > 0 else (0, 0, 40), abs(turn))
    colours = [_COLOURS[word] for word in sorted(words) if word in _COLOURS]
    accent = colours[0] if colours else chance.choice(list(_COLOURS.values())[:16])
    horizon = chance.uniform(0.56, 0.7)
    if is_alone:
        canvas.polygon([(0, 0), (1.01, 0), (1.01, 1.01), (0, 1.01)], _BACKGROUND)
    else:
        _sky(canvas, top, low, horizon, sky, chance)
    ground = next((word for word in _GROUNDS if word in words), None) or chance.choice(["hills", "mountains", "sea"])
    if not is_alone:
        _GROUND[ground](canvas, horizon, low, sky, chance)
    subjects = [draw for name, draw in _SUBJECTS.items() if name in words]
    second = colours[1] if len(colours) > 1 else _mix(accent, (250, 244, 230), 0.7)
    for draw in subjects or [chance.choice([_balloon, _bird, _airship])]:
        draw(canvas, horizon, accent, second, chance)


def _sky(canvas: _Canvas, top: RGB, low: RGB, horizon: float, sky: str, chance: random.Random) -> None:
    ramp = Image.new("RGB", (1, 256))
    for row in range(256):
        ramp.putpixel((0, row), _mix(top, low, min(1.0, row / 256 / horizon) ** 1.3))
    canvas.image.paste(ramp.resize((canvas.width, canvas.height), Image.Resampling.BILINEAR))
    x, y = chance.uniform(0.15, 0.85), chance.uniform(0.12, 0.38)
    if sky == "night":
        for _ in range(160):
            size = chance.choice([0.001, 0.0014, 0.0022])
            canvas.ellipse(chance.random(), chance.random() * horizon, size, size, (236, 236, 250))
        canvas.ellipse(x, y, 0.055, 0.055, (240, 236, 214))
        canvas.ellipse(x + 0.02, y - 0.012, 0.048, 0.048, _mix(top, low, y / horizon))
    else:
        sun = {"sunset": (255, 222, 150), "sunrise": (255, 236, 190)}.get(sky, (255, 246, 214))
        y = y + 0.2 if sky in {"sunset", "sunrise", "dawn"} else y
        for ring in range(6, 0, -1):
            radius = 0.05 + ring * 0.016
            canvas.ellipse(
                x,
                y,
                radius,
                radius,
                _mix(_mix(top, low, min(1.0, y / horizon) ** 1.3), sun, 0.5 - ring * 0.07),
            )
        canvas.ellipse(x, y, 0.05, 0.05, sun)
        for _ in range(chance.randint(2, 5)):
            _cloud(
                canvas,
                chance.random(),
                chance.uniform(0.08, horizon - 0.15),
                _mix(low, (255, 255, 255), 0.55),
                chance,
            )


def _cloud(canvas: _Canvas, x: float, y: float, colour: RGB, chance: random.Random) -> None:
    size = chance.uniform(0.02, 0.045)
    for step in range(-3, 4):
        lift = (9 - step * step) / 9
        radius = size * (0.5 + 0.6 * lift * chance.uniform(0.7, 1.1))
        canvas.ellipse(x + step * size * 0.7, y - lift * size * 0.3, radius * 1.3, radius * 0.75, colour)


def _ridge(chance: random.Random, level: float, height: float, roughness: float, count: int = 65) -> Points:
    """Draw a skyline by midpoint displacement."""
    line = {0: chance.uniform(-1, 1), count - 1: chance.uniform(-1, 1)}
    step, swing = count - 1, 1.0
    while step > 1:
        half = step // 2
        for left in range(0, count - 1, step):
            middle = (line[left] + line[left + step]) / 2
            line[left + half] = middle + chance.uniform(-swing, swing)
        step, swing = half, swing * roughness
    tops = [(i / (count - 1), level - height * (0.5 + 0.5 * math.tanh(line[i]))) for i in range(count)]
    return [*tops, (1.0, 1.01), (0.0, 1.01)]


def _layers(canvas: _Canvas, horizon: float, far: RGB, near: RGB, chance: random.Random, *, height: float,
            roughness: float, count: int = 4) -> None:  # fmt: skip
    for layer in range(count):
        share = layer / max(count - 1, 1)
        level = horizon + 0.02 + share * 0.24
        canvas.polygon(_ridge(chance, level, height * (1 - 0.55 * share), roughness), _mix(far, near, share))


def _hills(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    near = (34, 52, 44) if sky == "night" else chance.choice([(66, 110, 66), (98, 120, 58), (52, 98, 84)])
    _layers(canvas, horizon, _mix(low, near, 0.35), near, chance, height=0.16, roughness=0.42)


def _mountains(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    near = (28, 34, 52) if sky == "night" else (62, 72, 92)
    points = _ridge(chance, horizon + 0.04, 0.36, 0.6)
    canvas.polygon(points, _mix(low, near, 0.45))
    snow = [(x, y) for x, y in points[:-2] if y < horizon - 0.16]
    for x, y in snow:
        canvas.polygon([(x - 0.017, y + 0.02), (x, y - 0.002), (x + 0.017, y + 0.02), (x, y + 0.03)], (238, 242, 248))
    _layers(canvas, horizon + 0.06, _mix(low, near, 0.65), near, chance, height=0.14, roughness=0.5, count=3)


def _forest(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    near = (16, 34, 32) if sky == "night" else (24, 66, 48)
    for layer in range(4):
        share = layer / 3
        colour = _mix(_mix(low, near, 0.4), near, share)
        level = horizon + 0.05 + share * 0.25
        canvas.polygon(_ridge(chance, level, 0.08, 0.4), colour)
        x = -0.02
        while x < 1.02:
            tall = chance.uniform(0.06, 0.1) * (1 + share)
            half = tall * 0.22
            for tier in range(3):
                y = level - tall * (0.25 + 0.25 * tier)
                wide = half * (1 - 0.25 * tier)
                canvas.polygon([(x - wide, y + tall * 0.3), (x, y - tall * 0.12), (x + wide, y + tall * 0.3)], colour)
            x += chance.uniform(0.018, 0.04) * (1 + share)


def _sea(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    deep = (16, 30, 58) if sky == "night" else (28, 92, 120)
    canvas.polygon(_ridge(chance, horizon + 0.01, 0.07, 0.45), _mix(low, deep, 0.5))
    for row in range(40):
        share = row / 39
        y = horizon + share * (1 - horizon)
        canvas.polygon([(0, y), (1, y), (1, 1.01), (0, 1.01)], _mix(_mix(low, deep, 0.35), deep, share))
    for _ in range(90):
        x, share = chance.random(), chance.random()
        y = horizon + share * (1 - horizon)
        canvas.line([(x, y), (x + 0.02 + 0.06 * share, y)], _mix(low, (255, 255, 255), 0.3), 0.0012 + 0.002 * share)


def _city(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    near = (22, 26, 44) if sky in {"night", "sunset"} else (76, 84, 100)
    lit = (250, 214, 130) if sky in {"night", "sunset"} else (190, 208, 222)
    for layer in range(3):
        colour = _mix(_mix(low, near, 0.45), near, layer / 2)
        x = -0.02
        while x < 1.0:
            wide, tall = chance.uniform(0.03, 0.08), chance.uniform(0.08, 0.34) * (1.1 - 0.25 * layer)
            top = horizon + 0.08 + layer * 0.1 - tall
            canvas.polygon([(x, top), (x + wide, top), (x + wide, 1.01), (x, 1.01)], colour)
            for column in range(int(wide / 0.012)):
                for floor in range(int(tall / 0.022)):
                    if chance.random() < 0.35:
                        wx, wy = x + 0.005 + column * 0.012, top + 0.01 + floor * 0.022
                        canvas.polygon([(wx, wy), (wx + 0.006, wy), (wx + 0.006, wy + 0.011), (wx, wy + 0.011)],
                                       _mix(colour, lit, 0.75))  # fmt: skip
            x += wide + chance.uniform(0.0, 0.012)


def _desert(canvas: _Canvas, horizon: float, low: RGB, sky: str, chance: random.Random) -> None:
    near = (70, 54, 60) if sky == "night" else (206, 148, 88)
    _layers(canvas, horizon, _mix(low, near, 0.5), near, chance, height=0.12, roughness=0.3, count=5)


_GROUND: dict[str, Callable[[_Canvas, float, RGB, str, random.Random], None]] = {
    "hills": _hills, "mountains": _mountains, "forest": _forest, "sea": _sea, "city": _city, "desert": _desert,
}  # fmt: skip


def _airship(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, y, size = chance.uniform(0.3, 0.7), chance.uniform(0.22, horizon - 0.18), chance.uniform(0.1, 0.16)
    dark = _mix(main, (20, 20, 30), 0.45)
    ratio = canvas.height / canvas.width
    canvas.polygon(
        [
            (x - size * 1.9 * ratio, y - size * 0.42),
            (x - size * 1.2 * ratio, y),
            (x - size * 1.9 * ratio, y + size * 0.42),
        ],
        dark,
    )
    canvas.ellipse(x, y, size * 1.7, size * 0.52, main)
    for band in (-0.7, 0.0, 0.7):
        canvas.ellipse(x + band * size * ratio, y - size * 0.02, size * 0.08, size * 0.47, second)
    canvas.ellipse(x + size * 0.1 * ratio, y - size * 0.22, size * 1.1, size * 0.14, _mix(main, (255, 255, 255), 0.35))
    left, right = x - size * 0.5 * ratio, x + size * 0.5 * ratio
    canvas.polygon(
        [
            (left, y + size * 0.6),
            (right, y + size * 0.6),
            (right - 0.02, y + size * 0.8),
            (left + 0.02, y + size * 0.8),
        ],
        dark,
    )
    for rope in (-0.45, -0.15, 0.15, 0.45):
        canvas.line(
            [(x + rope * size * ratio, y + size * 0.4), (x + rope * size * ratio, y + size * 0.62)],
            dark,
            0.002,
        )


def _balloon(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 3)):
        x, y, size = (
            chance.uniform(0.15, 0.85),
            chance.uniform(0.18, horizon - 0.2),
            chance.uniform(0.05, 0.1),
        )
        canvas.polygon([(x - size * 0.5, y + size * 0.6), (x + size * 0.5, y + size * 0.6), (x, y + size * 1.5)], main)
        canvas.ellipse(x, y, size, size, main)
        canvas.ellipse(x, y, size * 0.6, size, second)
        canvas.ellipse(x, y, size * 0.22, size, main)
        basket = [
            (x - size * 0.16, y + size * 1.5),
            (x + size * 0.16, y + size * 1.5),
            (x + size * 0.12, y + size * 1.75),
            (x - size * 0.12, y + size * 1.75),
        ]
        canvas.polygon(basket, (110, 78, 50))


def _ship(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, y, size = chance.uniform(0.25, 0.75), horizon + 0.1, chance.uniform(0.1, 0.16)
    canvas.polygon(
        [(x - size, y), (x + size, y), (x + size * 0.7, y + size * 0.35), (x - size * 0.7, y + size * 0.35)],
        _mix(main, (20, 16, 12), 0.3),
    )
    canvas.line([(x, y), (x, y - size * 1.7)], (70, 50, 36), 0.006)
    canvas.polygon(
        [(x + 0.008, y - size * 1.6), (x + size * 0.85, y - size * 0.15), (x + 0.008, y - size * 0.15)],
        second,
    )
    canvas.polygon(
        [(x - 0.008, y - size * 1.4), (x - size * 0.65, y - size * 0.15), (x - 0.008, y - size * 0.15)],
        _mix(second, main, 0.25),
    )


def _cat(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, y, size = chance.uniform(0.35, 0.65), 0.78, chance.uniform(0.1, 0.14)
    ratio = canvas.height / canvas.width
    canvas.line(
        [
            (x + size * 0.7 * ratio, y + size * 0.9),
            (x + size * 1.5 * ratio, y + size * 0.5),
            (x + size * 1.3 * ratio, y - size * 0.4),
        ],
        main,
        size * 0.2,
    )
    canvas.ellipse(x, y + size * 0.5, size * 0.85, size * 1.1, main)
    canvas.ellipse(x, y - size * 0.8, size * 0.65, size * 0.58, main)
    for side in (-1, 1):
        ear = x + side * size * 0.42 * ratio
        canvas.polygon(
            [
                (ear - size * 0.22 * ratio, y - size * 1.15),
                (ear + side * size * 0.1 * ratio, y - size * 1.75),
                (ear + size * 0.22 * ratio, y - size * 1.1),
            ],
            main,
        )
        canvas.ellipse(x + side * size * 0.26 * ratio, y - size * 0.86, size * 0.11, size * 0.14, (236, 214, 96))
        canvas.ellipse(x + side * size * 0.26 * ratio, y - size * 0.86, size * 0.04, size * 0.12, (20, 20, 24))
    canvas.ellipse(x, y + size * 0.55, size * 0.45, size * 0.75, _mix(main, second, 0.6))


def _bird(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    for _ in range(chance.randint(4, 9)):
        x, y, size = chance.uniform(0.1, 0.9), chance.uniform(0.1, horizon - 0.1), chance.uniform(0.012, 0.03)
        canvas.line(
            [
                (x - size, y - size * 0.5),
                (x - size * 0.4, y - size * 0.7),
                (x, y),
                (x + size * 0.4, y - size * 0.7),
                (x + size, y - size * 0.5),
            ],
            _mix(main, (20, 20, 30), 0.5),
            0.004,
        )


def _house(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, y, size = chance.uniform(0.25, 0.7), horizon + 0.18, chance.uniform(0.08, 0.13)
    canvas.polygon(
        [(x - size, y - size), (x + size, y - size), (x + size, y + size * 0.3), (x - size, y + size * 0.3)],
        second,
    )
    canvas.polygon([(x - size * 1.2, y - size), (x, y - size * 1.9), (x + size * 1.2, y - size)], main)
    canvas.polygon(
        [
            (x - size * 0.2, y - size * 0.4),
            (x + size * 0.2, y - size * 0.4),
            (x + size * 0.2, y + size * 0.3),
            (x - size * 0.2, y + size * 0.3),
        ],
        (84, 60, 44),
    )
    for side in (-0.62, 0.62):
        canvas.ellipse(x + side * size, y - size * 0.45, size * 0.18, size * 0.18, (250, 220, 140))


def _lighthouse(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, base, size = chance.uniform(0.2, 0.8), horizon + 0.12, chance.uniform(0.3, 0.42)
    for band in range(6):
        low, high = base - size * band / 6, base - size * (band + 1) / 6
        wide, narrow = 0.05 - 0.004 * band, 0.046 - 0.004 * band
        canvas.polygon(
            [(x - wide, low), (x + wide, low), (x + narrow, high), (x - narrow, high)],
            main if band % 2 == 0 else second,
        )
    canvas.ellipse(x, base - size - 0.015, 0.024, 0.028, (255, 240, 170))
    canvas.polygon(
        [(x - 0.03, base - size - 0.03), (x, base - size - 0.075), (x + 0.03, base - size - 0.03)],
        _mix(main, (10, 10, 10), 0.4),
    )


def _flower(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    for _ in range(chance.randint(5, 9)):
        x, y, size = chance.uniform(0.08, 0.92), chance.uniform(0.72, 0.92), chance.uniform(0.02, 0.045)
        canvas.line([(x, y), (x + chance.uniform(-0.01, 0.01), 1.0)], (60, 110, 60), 0.006)
        for petal in range(7):
            angle = petal * math.tau / 7
            canvas.ellipse(
                x + math.cos(angle) * size * 0.8 * canvas.height / canvas.width,
                y + math.sin(angle) * size * 0.8,
                size * 0.5,
                size * 0.5,
                main,
            )
        canvas.ellipse(x, y, size * 0.5, size * 0.5, (246, 206, 84))


def _rocket(canvas: _Canvas, horizon: float, main: RGB, second: RGB, chance: random.Random) -> None:
    x, y, size = chance.uniform(0.35, 0.65), chance.uniform(0.3, 0.45), chance.uniform(0.13, 0.18)
    canvas.polygon(
        [(x - size * 0.22, y + size * 0.9), (x, y + size * 1.9), (x + size * 0.22, y + size * 0.9)],
        (250, 180, 70),
    )
    for side in (-1, 1):
        canvas.polygon(
            [
                (x + side * size * 0.28, y + size * 0.3),
                (x + side * size * 0.62, y + size),
                (x + side * size * 0.2, y + size * 0.9),
            ],
            main,
        )
    canvas.ellipse(x, y, size * 0.36, size, second)
    canvas.ellipse(x, y - size * 0.25, size * 0.16, size * 0.16, (110, 170, 210))


_SUBJECTS: dict[str, Callable[[_Canvas, float, RGB, RGB, random.Random], None]] = {
    "house": _house, "lighthouse": _lighthouse, "ship": _ship, "airship": _airship, "balloon": _balloon,
    "rocket": _rocket, "bird": _bird, "cat": _cat, "flower": _flower,
}  # fmt: skip


def _style(image: Image.Image, brief: Brief, words: set[str], chance: random.Random) -> Image.Image:
    """Apply what the parameters and the style words ask for."""
    softness = max(0.0, (14 - brief.steps) / 14) * brief.height / 300
    if softness > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(softness))
    guidance = min(max(brief.cfg, 0.0), 20.0)
    image = ImageEnhance.Color(image).enhance(0.75 + guidance * 0.045)
    image = ImageEnhance.Contrast(image).enhance(0.9 + guidance * 0.022)
    prompt = brief.prompt.lower()
    if "pixel" in words:
        block = max(4, brief.height // 96)
        small = image.resize((max(1, brief.width // block), max(1, brief.height // block)), Image.Resampling.BOX)
        return small.quantize(24).convert("RGB").resize(image.size, Image.Resampling.NEAREST)
    if words & {"watercolour", "watercolor", "painting", "oil"}:
        small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BOX)
        image = small.filter(ImageFilter.ModeFilter(5)).resize(image.size, Image.Resampling.BICUBIC)
    if words & {"ink", "sketch", "drawing"} or "line art" in prompt:
        edges = ImageOps.invert(image.convert("L").filter(ImageFilter.FIND_EDGES))
        image = ImageOps.autocontrast(edges, cutoff=2).convert("RGB")
    if "monochrome" in words or "black and white" in prompt:
        image = ImageOps.grayscale(image).convert("RGB")
    return _grain(image, brief, chance)


def _grain(image: Image.Image, brief: Brief, chance: random.Random) -> Image.Image:
    shift = sum(brief.scheduler.encode()) % 97
    tile = random.Random(f"{brief.model}{brief.steps}{shift}{chance.random()}")
    level = 7 if brief.steps >= 14 else 7 + (14 - brief.steps) * 3
    noise = Image.frombytes("L", (128, 128), bytes(128 + tile.randint(-level, level) for _ in range(128 * 128)))
    sheet = Image.new("L", image.size)
    for left in range(0, image.width, 128):
        for top in range(0, image.height, 128):
            sheet.paste(noise.rotate(tile.choice([0, 90, 180, 270])), (left, top))
    return ImageChops.add(image, Image.merge("RGB", [sheet] * 3), offset=-128)


def _over_seed_image(made: Image.Image, brief: Brief) -> Image.Image:
    """Blend with the picture to start from; outside the mask not one pixel changes."""
    if brief.seed_image is None:
        return made
    start = brief.seed_image.convert("RGB").resize(made.size, Image.Resampling.LANCZOS)
    blended = Image.blend(start, made, min(max(brief.strength, 0.0), 1.0))
    if brief.mask is None:
        return blended
    mask = brief.mask.convert("L").resize(made.size, Image.Resampling.NEAREST).point(lambda v: 255 if v >= 128 else 0)
    return Image.composite(blended, start, mask)
