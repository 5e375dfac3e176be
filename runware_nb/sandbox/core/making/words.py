"""Words: captions from colours, richer prompts, and answers to messages."""

from __future__ import annotations

import colorsys
import hashlib
import random
from collections.abc import Sequence
from typing import Any

from PIL import Image

from .pictures import _flat

__all__ = ["age_groups", "answer", "caption", "enhanced_prompt", "example_of"]

Json = dict[str, Any]

_HUES = ((0.03, "red"), (0.1, "orange"), (0.19, "yellow"), (0.45, "green"), (0.53, "teal"), (0.7, "blue"),
         (0.82, "purple"), (0.95, "pink"), (1.01, "red"))  # fmt: skip


def caption(image: Image.Image, question: str = "") -> str:
    """Describe a picture by the colours that are really in it."""
    small = _flat(image).resize((64, 64), Image.Resampling.BOX).quantize(6).convert("RGB")
    counted = sorted(small.getcolors(4096) or [], key=lambda entry: -entry[0])
    names: list[str] = []
    for _, colour in counted:
        name = _colour_name(colour)  # type: ignore[arg-type]
        if name not in names:
            names.append(name)
    shape = "wide" if image.width > image.height else "tall" if image.height > image.width else "square"
    said = f"A {shape} picture of {image.width} by {image.height} pixels, mostly {names[0]}"
    said += f" with {' and '.join(names[1:3])}." if len(names) > 1 else "."
    return f"{said} You asked: {question}" if question else said


def _colour_name(colour: tuple[int, int, int]) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    if lightness < 0.12:
        return "black"
    if lightness > 0.92:
        return "white"
    if saturation < 0.12:
        return "grey"
    name = next(name for bound, name in _HUES if hue <= bound)
    return f"dark {name}" if lightness < 0.3 else name


def age_groups(image: Image.Image) -> Json:
    """Answer as a classifier does: shares that sum to 1."""
    digest = hashlib.sha256(image.convert("RGB").resize((8, 8)).tobytes()).digest()
    weights = [1 + part for part in digest[:4]]
    groups = ("0-17", "18-34", "35-59", "60+")
    return {"ages": [{"label": label, "score": round(each / sum(weights), 4)}
                     for label, each in zip(groups, weights, strict=True)]}  # fmt: skip


_LIGHT = ("soft morning light", "golden hour light", "dramatic side light", "an overcast sky", "moonlight")
_STYLE = ("fine detail", "a shallow depth of field", "a wide-angle view", "muted colours", "a painterly texture")
_MOOD = ("calm", "hopeful", "mysterious", "playful", "solemn")


def enhanced_prompt(prompt: str, version: int, most_tokens: int) -> str:
    """Write a richer prompt around the given one."""
    chance = random.Random(f"{prompt}/{version}")
    said = f"{prompt.strip()}, {chance.choice(_LIGHT)}, {chance.choice(_STYLE)}, a {chance.choice(_MOOD)} mood"
    return " ".join(said.split()[:most_tokens])


def example_of(schema: Json, *, seed: int) -> Any:
    """Return a value that matches a JSON Schema, as far as its types and simple bounds say."""
    chance = random.Random(f"{schema.get('title')}/{seed}")
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: example_of(inner, seed=seed) for name, inner in properties.items()}
    if kind == "array":
        return [example_of(schema.get("items") or {"type": "string"}, seed=seed + number)
                for number in range(max(2, int(schema.get("minItems", 2))))]  # fmt: skip
    if kind == "string":
        return chance.choice(("airship", "forest", "lantern", "harbor"))
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "null":
        return None
    low = int(schema.get("minimum", 1))
    return low + chance.randrange(max(1, int(schema.get("maximum", low + 9)) - low + 1))


def answer(messages: list[Json], settings: Json, *, seed: int, seen: Sequence[str] = ()) -> Json:
    """Answer the last message.

    Args:
        messages: The conversation.
        settings: Settings of the task.
        seed: Decides the words.
        seen: Descriptions of the images of the task.

    Returns:
        `text`, `finishReason`, `usage` and, where thinking was asked for, `reasoningContent`.
    """
    asked = _plain(messages[-1].get("content"))
    chance = random.Random(f"{asked}/{seed}")
    opening = chance.choice(("Gladly.", "Here is a thought —", "Voilà:", "In short:"))
    words = f"{opening} You wrote “{asked}”. " if asked else f"{opening} "
    words += chance.choice((
        "A sandbox knows little, but it answers at once, naïvely and free of charge. ",
        "Nothing here left your machine; it is a small café of words — 小さな喫茶店 ☕. ",
    ))  # fmt: skip
    words += "".join(f"{line} " for line in seen)
    if len(messages) > 1:
        first = _plain(messages[0].get("content"))
        words += f"This is message {len(messages)} of a conversation that began with “{first}”. "
    if settings.get("systemPrompt"):
        words += f"I was told: {settings['systemPrompt']} "
    tokens = words.split()
    most = int(settings.get("maxTokens", 10_000))
    used = sum(len(_plain(each.get("content")).split()) for each in messages)
    made: Json = {
        "text": " ".join(tokens[:most]),
        "finishReason": "length" if len(tokens) > most else "stop",
        "usage": {"promptTokens": used, "completionTokens": min(len(tokens), most),
                  "totalTokens": used + min(len(tokens), most)},
    }  # fmt: skip
    if any("think" in name.lower() for name in settings):
        made["reasoningContent"] = f"The question has {len(asked.split())} words. I weigh them — 慎重に — and answer."
        made["usage"]["thinkingTokens"] = len(made["reasoningContent"].split())
    return made


def _plain(content: Any) -> str:
    """Give the text of a message, whether a string or a list of parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
