"""A shaded picture of a 3D model in a binary glTF file (GLB). Only the preview process imports this module.

It reads what generators of 3D models return: triangles with positions, and a color, colors of vertices or a texture. It
reads no lines, animations or compressed geometry. Pillow draws the triangles from back to front.
"""

from __future__ import annotations

import array
import contextlib
import json
import math
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..reprs import short_repr
from .drawn import Drawn, NoPreview

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw_model"]

_MOST_VERTICES = 3_000_000
_MOST_TRIANGLES = 3_000_000
_DRAWN_TRIANGLES = 60_000
"""More triangles than this are not all drawn. Those that are drawn are enlarged, so that the surface stays closed."""
_MOST_NODES = 10_000
_MOST_DEPTH = 64
_TEXTURE_PX = 512
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_TYPES = {5120: "b", 5121: "B", 5122: "h", 5123: "H", 5125: "I", 5126: "f"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_NORMALIZED = {5121: 255.0, 5123: 65535.0}
_COMPRESSED = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt"}
_GRAY = (0.72, 0.72, 0.72)
_LIGHT = (0.35, 0.62, 0.70)
_YAW, _PITCH = math.radians(30), math.radians(18)

Color = tuple[float, float, float]
Matrix = tuple[float, ...]
_IDENTITY: Matrix = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)  # in columns, as glTF writes it


@short_repr()
@dataclass(slots=True)
class Mesh:
    """Triangles in the coordinates of the scene.

    Attributes:
        points: x, y and z of each vertex, one after the other.
        triangles: Three indices of vertices for each triangle.
        color: Of the material.
        colors: Red, green and blue of each vertex; None if they have none.
        texture: Of the material; None if it has none.
        places: Where each vertex is in the texture.
    """

    points: Sequence[float]
    triangles: Sequence[int]
    color: Color
    colors: Sequence[float] | None
    texture: Image | None
    places: Sequence[float] | None


def draw_model(body: bytes, *, side_px: int) -> Drawn:
    """Draw a 3D model.

    Raises:
        NoPreview: The file is damaged, or contains something that is not read.
    """
    try:
        meshes = list(_File(body).meshes())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error, RecursionError) as error:
        raise NoPreview(f"the file is damaged ({type(error).__name__})") from error
    vertices = sum(len(mesh.points) // 3 for mesh in meshes)
    triangles = sum(len(mesh.triangles) // 3 for mesh in meshes)
    if not triangles:
        raise NoPreview("the file has no triangles")
    low, high = _bounds(meshes)
    size = " × ".join(f"{end - start:.3g}" for start, end in zip(low, high, strict=True))
    facts = (f"{vertices:,} vertices", f"{triangles:,} triangles", f"{size} units")
    return Drawn(_render(meshes, low, high, triangles, side_px), facts)


class _File:
    """A parsed GLB file.

    Args:
        body: The bytes.
    """

    def __init__(self, body: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", body)
        if magic != b"glTF" or version != 2:
            raise NoPreview("it is no binary glTF 2.0 file")
        if length > len(body):
            raise NoPreview("the file is cut short")
        chunks: dict[int, memoryview] = {}
        at, view = 12, memoryview(body)
        while at + 8 <= length and len(chunks) < 8:
            size, name = struct.unpack_from("<II", body, at)
            chunks.setdefault(name, view[at + 8 : at + 8 + size])
            at += 8 + size
        self._json: dict[str, Any] = json.loads(bytes(chunks[_JSON]))
        self._binary = chunks.get(_BIN, memoryview(b""))
        self._vertices = self._triangles = self._nodes = 0
        self._textures: dict[int, Image | None] = {}
        for extension in self._json.get("extensionsRequired", []):
            if extension in _COMPRESSED:
                raise NoPreview(f"its geometry is compressed with {_COMPRESSED[extension]}")

    def meshes(self) -> Iterator[Mesh]:
        """Return the meshes of the scene, in its coordinates."""
        scenes = self._json.get("scenes") or [{"nodes": list(range(len(self._json.get("nodes", []))))}]
        for node in scenes[self._index(self._json.get("scene", 0), scenes)].get("nodes", []):
            yield from self._of_node(node, _IDENTITY, 0)

    def _of_node(self, number: int, above: Matrix, depth: int) -> Iterator[Mesh]:
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _MOST_DEPTH:
            raise NoPreview(f"it has more than {_MOST_NODES:,} nodes, or they are nested too deeply")
        nodes = self._json["nodes"]
        node = nodes[self._index(number, nodes)]
        matrix = _times(above, _matrix_of(node))
        if "mesh" in node:
            meshes = self._json["meshes"]
            for primitive in meshes[self._index(node["mesh"], meshes)]["primitives"]:
                if primitive.get("mode", 4) == 4:  # triangles
                    yield self._mesh(primitive, matrix)
        for child in node.get("children", []):
            yield from self._of_node(child, matrix, depth + 1)

    def _mesh(self, primitive: dict[str, Any], matrix: Matrix) -> Mesh:
        attributes = primitive["attributes"]
        points = self._values(attributes["POSITION"], 3)
        count = len(points) // 3
        self._vertices += count
        indices = self._indices(primitive["indices"]) if "indices" in primitive else range(count)
        triangles = indices[: len(indices) // 3 * 3]
        self._triangles += len(triangles) // 3
        if self._vertices > _MOST_VERTICES or self._triangles > _MOST_TRIANGLES:
            raise NoPreview(f"it has more than {_MOST_VERTICES:,} vertices or {_MOST_TRIANGLES:,} triangles")
        if len(triangles) and not 0 <= min(triangles) <= max(triangles) < count:
            raise NoPreview("the file is damaged: a triangle names a vertex that does not exist")
        color, texture = self._material(primitive.get("material"))
        colors = places = None
        with contextlib.suppress(KeyError, NoPreview):
            colors = self._colors(attributes["COLOR_0"], count)
        if texture is not None:
            with contextlib.suppress(KeyError, NoPreview):
                places = self._values(attributes["TEXCOORD_0"], 2)
            if places is None or len(places) != 2 * count:
                texture = None
        return Mesh(_moved(points, matrix), triangles, color, colors, texture, places)

    def _colors(self, number: int, count: int) -> Sequence[float] | None:
        wide = _SIZES[self._json["accessors"][number]["type"]]
        values = self._values(number, wide)
        if wide not in {3, 4} or len(values) != wide * count:
            return None
        return values if wide == 3 else [value for at, value in enumerate(values) if at % 4 != 3]

    def _indices(self, number: int) -> Sequence[int]:
        """Return the indices of vertices in an accessor."""
        values = self._values(number, 1)
        if not isinstance(values, array.array) or values.typecode not in "BHI":
            raise NoPreview("the file is damaged: its triangles are not whole numbers")
        return values

    def _values(self, number: int, width: int) -> Sequence[float]:
        """Return the numbers of an accessor, of which each element has *width*."""
        accessors = self._json["accessors"]
        accessor = accessors[self._index(number, accessors)]
        if _SIZES[accessor["type"]] != width or "bufferView" not in accessor or "sparse" in accessor:
            raise NoPreview("the file stores its geometry in a way that is not read")
        code = _TYPES[accessor["componentType"]]
        count = int(accessor["count"])
        if not 0 <= count <= 3 * _MOST_TRIANGLES:
            raise NoPreview("it is too large")
        view = self._view(accessor["bufferView"])
        element = struct.calcsize(code) * width
        stride = int(self._json["bufferViews"][accessor["bufferView"]].get("byteStride") or element)
        start = int(accessor.get("byteOffset", 0))
        if start < 0 or stride < element or (count and start + stride * (count - 1) + element > len(view)):
            raise NoPreview("the file is damaged: its data ends too early")
        values = array.array(code)
        if stride == element:
            values.frombytes(view[start : start + element * count])
        else:
            for at in range(start, start + stride * count, stride):
                values.frombytes(view[at : at + element])
        if sys.byteorder == "big":
            values.byteswap()
        largest = _NORMALIZED.get(accessor["componentType"]) if accessor.get("normalized") else None
        return values if largest is None else [value / largest for value in values]

    def _view(self, number: int) -> memoryview:
        views = self._json["bufferViews"]
        view = views[self._index(number, views)]
        if int(view.get("buffer", 0)) != 0 or "uri" in self._json["buffers"][0]:
            raise NoPreview("its data is in another file")  # which nothing here opens
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        if start < 0 or length < 0 or start + length > len(self._binary):
            raise NoPreview("the file is damaged: its data ends too early")
        return self._binary[start : start + length]

    def _material(self, number: int | None) -> tuple[Color, Image | None]:
        """Return the color and the texture of a material; gray where they cannot be read."""
        if number is None:
            return _GRAY, None
        materials = self._json.get("materials", [])
        surface = materials[self._index(number, materials)].get("pbrMetallicRoughness", {})
        red, green, blue = (min(1.0, max(0.0, float(part))) for part in surface.get("baseColorFactor", (1, 1, 1))[:3])
        texture = None
        if "baseColorTexture" in surface:
            textures = self._json.get("textures", [])
            source = textures[self._index(surface["baseColorTexture"]["index"], textures)].get("source")
            texture = None if source is None else self._image(source)
        return (red, green, blue), texture

    def _image(self, number: int) -> Image | None:
        if number not in self._textures:
            self._textures[number] = self._decoded(number)
        return self._textures[number]

    def _decoded(self, number: int) -> Image | None:
        from ..errors import MediaError
        from .decode import decode

        images = self._json.get("images", [])
        found = images[self._index(number, images)]
        if "bufferView" not in found:
            return None
        try:
            texture = decode(bytes(self._view(found["bufferView"])))
        except MediaError:
            return None
        texture = texture.convert("RGB")
        texture.thumbnail((_TEXTURE_PX, _TEXTURE_PX))
        return texture

    @staticmethod
    def _index(value: Any, items: Sequence[Any]) -> int:
        """Return an index that is inside a list: in Python, a negative one would count from the end."""
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(items):
            raise NoPreview("the file is damaged: it names something that does not exist")
        return value


def _matrix_of(node: dict[str, Any]) -> Matrix:
    if "matrix" in node:
        matrix = tuple(float(value) for value in node["matrix"])
        if len(matrix) != 16:
            raise NoPreview("the file is damaged: a matrix has not 16 numbers")
        return matrix
    x, y, z, w = (float(value) for value in node.get("rotation", (0, 0, 0, 1)))
    wide, high, deep = (float(value) for value in node.get("scale", (1, 1, 1)))
    right, up, near = (float(value) for value in node.get("translation", (0, 0, 0)))
    return (
        (1 - 2 * (y * y + z * z)) * wide, 2 * (x * y + z * w) * wide, 2 * (x * z - y * w) * wide, 0,
        2 * (x * y - z * w) * high, (1 - 2 * (x * x + z * z)) * high, 2 * (y * z + x * w) * high, 0,
        2 * (x * z + y * w) * deep, 2 * (y * z - x * w) * deep, (1 - 2 * (x * x + y * y)) * deep, 0,
        right, up, near, 1,
    )  # fmt: skip


def _times(first: Matrix, second: Matrix) -> Matrix:
    return tuple(
        sum(first[4 * inner + row] * second[4 * column + inner] for inner in range(4))
        for column in range(4)
        for row in range(4)
    )


def _moved(points: Sequence[float], matrix: Matrix) -> Sequence[float]:
    if matrix == _IDENTITY:
        return points
    a, b, c, _, d, e, f, _, g, h, i, _, x0, y0, z0, _ = matrix
    moved = array.array("f")
    for at in range(0, len(points), 3):
        x, y, z = points[at], points[at + 1], points[at + 2]
        moved.extend((a * x + d * y + g * z + x0, b * x + e * y + h * z + y0, c * x + f * y + i * z + z0))
    return moved


def _bounds(meshes: Sequence[Mesh]) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest coordinate on each axis.

    Raises:
        NoPreview: One is infinite or no number.
    """
    low = [min(min(mesh.points[axis::3]) for mesh in meshes if mesh.points) for axis in range(3)]
    high = [max(max(mesh.points[axis::3]) for mesh in meshes if mesh.points) for axis in range(3)]
    if not all(math.isfinite(value) and abs(value) < 1e30 for value in (*low, *high)):
        raise NoPreview("a coordinate is not a finite number")
    return low, high


def _render(meshes: Sequence[Mesh], low: Sequence[float], high: Sequence[float], triangles: int, side_px: int) -> Image:
    """Draw the triangles from back to front, as seen from above and to the right of the front."""
    from PIL import Image as Images
    from PIL import ImageDraw

    scale = 2  # drawn larger and shrunk, for smooth edges
    whole = side_px * scale
    every = max(1, -(-triangles // _DRAWN_TRIANGLES))
    grown = 1.0 if every == 1 else math.sqrt(every) * 1.2
    middle = [(start + end) / 2 for start, end in zip(low, high, strict=True)]
    reach = math.sqrt(sum((end - start) ** 2 for start, end in zip(low, high, strict=True))) / 2 or 1.0
    shapes: list[tuple[float, tuple[float, ...], tuple[int, int, int]]] = []
    for mesh in meshes:
        shapes += _shapes(mesh, middle, reach, whole=whole, every=every, grown=grown)
    shapes.sort(key=lambda shape: shape[0])
    image = Images.new("RGBA", (whole, whole))
    draw = ImageDraw.Draw(image)
    for _, corners, color in shapes:
        draw.polygon(corners, fill=(*color, 255))
    box = image.getbbox() or (0, 0, whole, whole)
    margin = whole // 40
    box = (max(0, box[0] - margin), max(0, box[1] - margin), min(whole, box[2] + margin), min(whole, box[3] + margin))
    image = image.crop(box)
    return image.resize((max(1, image.width // scale), max(1, image.height // scale)), Images.Resampling.BOX)


def _shapes(
    mesh: Mesh, middle: Sequence[float], reach: float, *, whole: int, every: int, grown: float
) -> Iterator[tuple[float, tuple[float, ...], tuple[int, int, int]]]:
    """Return the distance, the corners and the color of each triangle that is drawn."""
    turn, tilt = (math.cos(_YAW), math.sin(_YAW)), (math.cos(_PITCH), math.sin(_PITCH))
    zoom, half = whole * 0.48 / reach, whole / 2
    points, triangles = mesh.points, mesh.triangles
    for at in range(0, len(triangles), 3 * every):
        corners: list[float] = []
        seen: list[tuple[float, float, float]] = []
        for index in triangles[at : at + 3]:
            x, y, z = (points[3 * index + axis] - middle[axis] for axis in range(3))
            x, z = x * turn[0] - z * turn[1], x * turn[1] + z * turn[0]
            y, z = y * tilt[0] - z * tilt[1], y * tilt[1] + z * tilt[0]
            seen.append((x, y, z))
        one, two, three = seen
        u, v = [two[n] - one[n] for n in range(3)], [three[n] - one[n] for n in range(3)]
        normal = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
        length = math.sqrt(sum(part * part for part in normal))
        if not length:
            continue
        # Surfaces are lit on both sides: many generated models have triangles in the wrong order.
        light = abs(sum(part * ray for part, ray in zip(normal, _LIGHT, strict=True))) / length
        shade = 0.35 + 0.65 * min(1.0, light)
        center = [sum(corner[n] for corner in seen) / 3 for n in range(3)]
        for corner in seen:
            corners += (
                half + zoom * (center[0] + (corner[0] - center[0]) * grown),
                half - zoom * (center[1] + (corner[1] - center[1]) * grown),
            )
        red, green, blue = (round(255 * min(1.0, part * shade)) for part in _color_at(mesh, triangles[at : at + 3]))
        yield center[2], tuple(corners), (red, green, blue)


def _color_at(mesh: Mesh, corners: Sequence[int]) -> Color:
    """Return the color of a triangle, from its material, vertices or texture."""
    red, green, blue = mesh.color
    if mesh.colors is not None:
        red, green, blue = (
            factor * min(1.0, max(0.0, sum(mesh.colors[3 * corner + part] for corner in corners) / 3))
            for part, factor in enumerate((red, green, blue))
        )
    if mesh.texture is not None and mesh.places is not None:
        u, v = (sum(mesh.places[2 * corner + axis] for corner in corners) / 3 for axis in range(2))
        if math.isfinite(u) and math.isfinite(v):
            wide, high = mesh.texture.size
            place = (min(wide - 1, int(u % 1.0 * wide)), min(high - 1, int(v % 1.0 * high)))
            pixel: Any = mesh.texture.getpixel(place)
            return (red * pixel[0] / 255, green * pixel[1] / 255, blue * pixel[2] / 255)
    return red, green, blue
