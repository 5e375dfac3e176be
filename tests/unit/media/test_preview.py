"""Previews of real files, and of files that were made to do harm."""

import base64
import io
import json
import math
import os
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageStat

from runware_nb.media import MemoryMedium, decode, preview
from runware_nb.media.drawn import NoPreview
from runware_nb.media.kept_previews import kept_preview
from runware_nb.media.model_preview import draw_model
from runware_nb.media.preview import PREVIEW_BYTES, preview_of
from runware_nb.media.svg import svg_size
from runware_nb.sandbox.core.making.films import encode_film, encode_sound, film_frames, melody
from runware_nb.sandbox.core.making.solids import turned_solid

GLB = "model/gltf-binary"


def gradient(size=(320, 180)):
    return Image.radial_gradient("L").resize(size).convert("RGB")


@pytest.fixture(scope="module")
def film():
    return encode_film(film_frames(gradient(), None, (320, 180), 12), fps=6, output_format="MP4")[0]


def glb(document, binary=b""):
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def triangle(points=((0, 0, 0), (1, 0, 0), (0, 1, 0)), **changes):
    """A file of one triangle without indices; *changes* replace parts of the document."""
    binary = b"".join(struct.pack("<3f", *point) for point in points)
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}], "buffers": [{"byteLength": len(binary)}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(binary)}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"}],
    }  # fmt: skip
    return glb({**document, **changes}, binary)


def test_a_video_has_a_poster_and_facts(film):
    made = preview_of(film, "video/mp4")
    assert made.facts == ("2.0 s", "320 × 180", "6 fps")
    assert (made.width, made.height, made.problem) == (320, 180, "")
    poster = decode(made.body)
    assert poster.size == (320, 180)
    assert poster.getpixel((160, 90))[0] > 200, "the play mark is white in the middle"


def test_the_poster_is_not_the_black_frame_of_the_start():
    def frames():
        for number in range(12):
            yield Image.new("RGB", (320, 180)) if number < 6 else gradient()

    made = preview_of(encode_film(frames(), fps=6, output_format="WEBM")[0], "video/webm")
    corner = decode(made.body).crop((0, 0, 40, 40))
    assert ImageStat.Stat(corner.convert("L")).mean[0] > 100


@pytest.mark.parametrize("name", ["MP3", "WAV", "FLAC", "OGG"])
def test_audio_has_a_waveform_and_facts(name):
    samples = melody("a tune", 3, 1.5, rate=44_100, is_speech=False)
    body, media_type = encode_sound(samples, rate=44_100, output_format=name)
    made = preview_of(body, media_type)
    assert made.facts[0] == "1.5 s"
    assert made.facts[2] == "mono"
    assert decode(made.body).getbbox() is not None
    assert (made.width, made.height) == (512, 96)


def test_a_3d_model_is_drawn_with_its_size(film):
    made = preview_of(turned_solid(gradient(), 3), GLB)
    assert made.facts[:2] == ("288 vertices", "528 triangles")
    assert decode(made.body).getchannel("A").getextrema() == (0, 255)


def test_nodes_move_and_scale_their_meshes():
    nodes = [{"children": [1], "scale": [10, 1, 1]}, {"mesh": 0, "translation": [5, 0, 0]}]
    assert draw_model(triangle(nodes=nodes), side_px=64).facts[2] == "10 × 1 × 0 units"
    turned = [{"mesh": 0, "rotation": [0, 0, math.sqrt(0.5), math.sqrt(0.5)], "scale": [3, 1, 1]}]
    assert draw_model(triangle(nodes=turned), side_px=64).facts[2] == "1 × 3 × 0 units"


def test_a_texture_colors_the_model():
    stored = io.BytesIO()
    Image.new("RGB", (4, 4), (0, 200, 0)).save(stored, "PNG")
    points = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    places = struct.pack("<6f", 0, 0, 1, 0, 0, 1)
    binary = points + places + stored.getvalue() + b"\0" * (-len(stored.getvalue()) % 4)
    views = [(0, 36), (36, 24), (60, len(stored.getvalue()))]
    document = {
        "asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}], "textures": [{"source": 0}],
        "images": [{"bufferView": 2, "mimeType": "image/png"}], "buffers": [{"byteLength": len(binary)}],
        "bufferViews": [{"buffer": 0, "byteOffset": start, "byteLength": size} for start, size in views],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
                      {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"}],
    }  # fmt: skip
    image = draw_model(glb(document, binary), side_px=64).image
    red, green, blue, _ = image.getpixel((image.width // 3, image.height * 2 // 3))
    assert green > 60 > red == blue == 0


def test_a_model_of_many_triangles_is_drawn_in_bounded_time():
    side = 300
    binary = struct.pack(f"<{3 * side * side}f", *(
        value for row in range(side) for column in range(side) for value in (column, row, math.sin(row / 20) * 9)
    ))  # fmt: skip
    corners = [
        corner
        for row in range(side - 1)
        for column in range(side - 1)
        for here in [row * side + column]
        for corner in (here, here + 1, here + side, here + 1, here + side + 1, here + side)
    ]
    indices = struct.pack(f"<{len(corners)}I", *corners)
    document = json.loads(triangle()[20:].split(b"BIN\0")[0][:-4].decode().rstrip())
    document["meshes"][0]["primitives"][0]["indices"] = 1
    document["buffers"] = [{"byteLength": len(binary) + len(indices)}]
    document["bufferViews"] = [{"buffer": 0, "byteLength": len(binary)},
                               {"buffer": 0, "byteOffset": len(binary), "byteLength": len(indices)}]  # fmt: skip
    document["accessors"] = [{"bufferView": 0, "componentType": 5126, "count": side * side, "type": "VEC3"},
                             {"bufferView": 1, "componentType": 5125, "count": len(corners), "type": "SCALAR"}]  # fmt: skip
    drawn = draw_model(glb(document, binary + indices), side_px=256)
    assert drawn.facts[:2] == ("90,000 vertices", "178,802 triangles")
    inside = drawn.image.crop(
        (drawn.image.width // 3, drawn.image.height // 3, drawn.image.width // 2, drawn.image.height // 2)
    )
    assert inside.getchannel("A").getextrema() == (255, 255), "the surface has no holes"


LOOP = {"nodes": [{"children": [0]}]}
HUGE = {"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**12, "type": "VEC3"}]}
BEFORE = {"bufferViews": [{"buffer": 0, "byteOffset": -36, "byteLength": 36}]}
OUTSIDE = {"buffers": [{"byteLength": 36, "uri": "file:///etc/passwd"}]}
PACKED = {"extensionsRequired": ["KHR_draco_mesh_compression"]}


@pytest.mark.parametrize(
    ("body", "media_type", "why"),
    [
        (b"\0\0\0\x20ftypisom" + b"\xff" * 500, "video/mp4", "cannot be read"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "video/mp4", "cannot be read"),
        (b"ID3\x04\0\0\0\0\0\0" + b"\0" * 200, "audio/mpeg", "no preview"),
        (b"", "video/webm", "no preview"),
        (triangle(**LOOP), GLB, "nested too deeply"),
        (triangle(**HUGE), GLB, "too large"),
        (triangle(**BEFORE), GLB, "ends too early"),
        (triangle(**OUTSIDE), GLB, "in another file"),
        (triangle(**PACKED), GLB, "compressed with Draco"),
        (triangle(points=((0, 0, math.nan), (1, 0, 0), (0, 1, 0))), GLB, "not a finite number"),
        (triangle(points=((0, 0, math.inf), (1, 0, 0), (0, 1, 0))), GLB, "not a finite number"),
        (triangle(meshes=[]), GLB, "does not exist"),
        (triangle()[:60], GLB, "cut short"),
    ],
)  # fmt: skip
def test_a_hostile_file_has_no_preview_and_one_sentence(body, media_type, why):
    made = preview_of(body, media_type)
    assert made.body is None
    assert made.problem.startswith("no preview: ")
    assert why in made.problem


def test_a_video_that_is_cut_short_has_what_is_there_or_a_sentence(film):
    for size in (100, len(film) // 2, len(film) - 10):
        made = preview_of(film[:size], "video/mp4")
        assert (made.body is None) == bool(made.problem)


@settings(max_examples=150)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_no_change_of_a_model_does_more_than_fail(at, change):
    body = bytearray(triangle())
    at %= len(body)
    body[at : at + len(change)] = change
    try:
        draw_model(bytes(body), side_px=32)
    except NoPreview as reason:
        assert str(reason)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("while True: pass", "longer than 0.5 s"),
        ("import os; os.abort()", "cannot be read"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "cannot be read"),
        ("print('[1, 2]')", "cannot be read"),
    ],
)
def test_a_worker_that_hangs_crashes_or_floods_is_ended(film, monkeypatch, code, why):
    monkeypatch.setattr(preview, "_WORKER", code)
    before = time.monotonic()
    made = preview_of(film, "video/mp4", timeout_s=0.5)
    assert time.monotonic() - before < 10
    assert made.body is None
    assert why in made.problem


def answer_of_worker(**changes):
    answer = {"body": "", "width": 1, "height": 1, "facts": [], "problem": "", **changes}
    return f"print({json.dumps(json.dumps(answer))})"


@pytest.mark.parametrize(
    "changes",
    [
        {"body": base64.b64encode(b"<script>alert(1)</script>").decode()},
        {"body": base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * PREVIEW_BYTES).decode()},
        {"width": 10**9},
        {"facts": 7},
    ],
)
def test_an_answer_that_is_no_preview_is_refused(film, monkeypatch, changes):
    monkeypatch.setattr(preview, "_WORKER", answer_of_worker(**changes))
    assert preview_of(film, "video/mp4").problem == "no preview: the file cannot be read"


def test_facts_from_a_worker_are_plain_and_short(film, monkeypatch):
    monkeypatch.setattr(preview, "_WORKER", answer_of_worker(facts=["\u202ea" * 200] * 20))
    facts = preview_of(film, "video/mp4").facts
    assert len(facts) == 8
    assert all(len(fact) <= 80 and "\u202e" not in fact for fact in facts)


def test_the_worker_has_no_key(film, monkeypatch):
    monkeypatch.setenv("RUNWARE_API_KEY", "secret-of-the-user")
    monkeypatch.setattr(preview, "_WORKER", (
        "import json, os; print(json.dumps({'body': '', 'width': 0, 'height': 0, 'facts': "
        "[name for name in os.environ if 'KEY' in name], 'problem': 'x'}))"
    ))  # fmt: skip
    assert preview_of(film, "video/mp4").facts == ()


def test_a_module_of_the_folder_is_not_imported(film, tmp_path):
    (tmp_path / "av.py").write_text("raise SystemExit('imported from the folder of the notebook')")
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the folder of the notebook')")
    assert os.getcwd() == str(tmp_path)
    assert preview_of(film, "video/mp4").body is not None


def test_without_the_package_a_sentence_says_how_to_get_it(film, tmp_path, monkeypatch):
    monkeypatch.setattr(preview.importlib.util, "find_spec", lambda name: None)
    made = preview_of(film, "video/mp4")
    assert made.body is None
    assert 'pip install "runware-nb[preview]"' in made.problem
    assert preview_of(turned_solid(None, 1), GLB).body is not None, "3D models need no package"
    file = tmp_path / "ab" / "film.mp4"
    file.parent.mkdir()
    file.write_bytes(film)
    kept_preview(file, tmp_path / "thumbnails")
    assert not (tmp_path / "thumbnails").exists(), "it is drawn once the package is there"


def test_a_preview_is_drawn_once_and_kept(film, tmp_path, monkeypatch):
    file = tmp_path / "ab" / "film.mp4"
    file.parent.mkdir()
    file.write_bytes(film)
    first = kept_preview(file, tmp_path / "thumbnails")
    monkeypatch.setattr(preview, "_ask_worker", lambda *_: pytest.fail("it is drawn again"))
    assert kept_preview(file, tmp_path / "thumbnails") == first
    assert first.body is not None
    (kept,) = (tmp_path / "thumbnails" / "ab").iterdir()
    assert kept.name == "film-preview", "what deletes small copies finds it"
    kept.write_bytes(b"damaged")
    monkeypatch.undo()
    assert kept_preview(file, tmp_path / "thumbnails") == first


def test_images_and_unknown_files_have_none(film, tmp_path):
    buffer = io.BytesIO()
    gradient().save(buffer, "PNG")
    assert preview_of(buffer.getvalue(), "image/png") is None
    assert preview_of(b"text", "") is None
    assert MemoryMedium(buffer.getvalue()).preview is None
    assert MemoryMedium(film).preview.facts[0] == "2.0 s"
    assert kept_preview(tmp_path / "missing.mp4", None) is None


@pytest.mark.parametrize(
    ("svg", "size"),
    [
        ('<svg width="20" height="10px"/>', (20, 10)),
        ("<?xml version='1.0'?><svg:svg xmlns:svg='x' viewBox='0, 0, 30, 40'>", (30, 40)),
        ('<svg width="100%" height="100%" viewBox="0 0 5 6">', (5, 6)),
        ('<svg width="1.2.3" height="4">', None), ('<svg width="0" height="4">', None), ("<svg>", None), ("", None),
    ],
)  # fmt: skip
def test_the_size_of_a_drawing(svg, size):
    assert svg_size(svg.encode()) == size
