"""A small solid as a GLB file: a vase turned from the silhouette of a picture, in its colour."""

from __future__ import annotations

import json
import math
import struct

from PIL import Image

from .pictures import mean_colour

__all__ = ["turned_solid"]

_RINGS, _SIDES = 12, 24


def turned_solid(image: Image.Image | None, seed: int) -> bytes:
    """Turn a profile around the y axis.

    Args:
        image: Where the profile and the colour come from; None for a plain one.
        seed: Varies the profile.

    Returns:
        A binary glTF 2.0 file.
    """
    profile = _profile(image, seed)
    points: list[tuple[float, float, float]] = []
    for ring, radius in enumerate(profile):
        height = ring / (_RINGS - 1) * 2 - 1
        for side in range(_SIDES):
            angle = 2 * math.pi * side / _SIDES
            points.append((radius * math.cos(angle), height, radius * math.sin(angle)))
    triangles: list[int] = []
    for ring in range(_RINGS - 1):
        for side in range(_SIDES):
            near, far = ring * _SIDES + side, ring * _SIDES + (side + 1) % _SIDES
            triangles += [near, near + _SIDES, far, far, near + _SIDES, far + _SIDES]
    colour = mean_colour(image) if image is not None else (180, 120, 80)
    return _glb(points, triangles, [*(round(part / 255, 4) for part in colour), 1.0])


def _profile(image: Image.Image | None, seed: int) -> list[float]:
    if image is None:
        return [0.4 + 0.25 * math.sin(ring * 0.7 + seed % 7) for ring in range(_RINGS)]
    rows = image.convert("L").resize((1, _RINGS), Image.Resampling.BOX).tobytes()
    return [0.25 + 0.5 * value / 255 + 0.02 * ((seed >> ring) & 1) for ring, value in enumerate(reversed(rows))]


def _glb(points: list[tuple[float, float, float]], triangles: list[int], colour: list[float]) -> bytes:
    body = b"".join(struct.pack("<3f", *point) for point in points)
    indices = struct.pack(f"<{len(triangles)}H", *triangles)
    blob = body + indices + b"\0" * (-(len(body) + len(indices)) % 4)
    lows, highs = ([ends(axis) for axis in zip(*points, strict=True)] for ends in (min, max))
    document = {
        "asset": {"version": "2.0", "generator": "runware_nb sandbox"},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": colour, "metallicFactor": 0.1},
                       "doubleSided": True}],
        "buffers": [{"byteLength": len(blob)}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(body), "target": 34962},
                        {"buffer": 0, "byteOffset": len(body), "byteLength": len(indices), "target": 34963}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3", "min": lows,
                       "max": highs},
                      {"bufferView": 1, "componentType": 5123, "count": len(triangles), "type": "SCALAR"}],
    }  # fmt: skip
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    whole = 12 + 8 + len(text) + 8 + len(blob)
    return (struct.pack("<4sII", b"glTF", 2, whole) + struct.pack("<I4s", len(text), b"JSON") + text
            + struct.pack("<I4s", len(blob), b"BIN\0") + blob)  # fmt: skip
