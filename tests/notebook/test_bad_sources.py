"""Sources that cannot be used, in a cell, a function and a terminal: one sentence each, and nothing is sent."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

import runware_nb as rw
from runware_nb.cli import main
from runware_nb.errors import RunwareNBError

UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def png(width, height, color="teal"):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png():
    header = struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


FILES = {
    "notes.png": b"just some notes", "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(80), "big.png": huge_png(),
    "empty.png": b"", "half.png": png(300, 300)[:-40], "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "größe 'x'.png": b"", "sound.mp3": b"ID3\x04\0\0\0\0\0\0" + bytes(64),
}  # fmt: skip
SOURCES = {
    "nowhere.png": "nowhere.png",
    "notes.png": "not an image, video, audio or 3D file of a known type",
    "photo.heic": "Install the converter",
    "big.png": "300 megapixels (20000x15000 px)",
    "empty.png": "it is empty",
    "half.png": "damaged or incomplete",
    "drawing.svg": "an SVG drawing",
    "größe 'x'.png": "größe",
    "sound.mp3": "an audio file (audio/mpeg), and an image is needed",
    ".": "it is a directory",
    "data:image/png;base64,iVBORw": "the inline data",
}


@pytest.fixture
def said(shell, sandbox, tmp_path, monkeypatch, capsys):
    """Returns what each front end says about a call, and checks that nothing was sent or uploaded."""
    monkeypatch.chdir(tmp_path)
    for name, body in FILES.items():
        (tmp_path / name).write_bytes(body)

    def ask(cell, call, words):
        sentences = []
        for attempt in (lambda: shell.run(cell), call):
            with pytest.raises(RunwareNBError) as caught:
                attempt()
            sentences.append(str(caught.value))
        capsys.readouterr()
        assert main(words) != 0
        sentences.append(capsys.readouterr().err.strip())
        assert (sandbox.requests(), sandbox.uploads(), sandbox.charges()) == ([], [], [])
        for sentence in sentences:
            assert "Nothing was sent." in sentence
            assert "Traceback" not in sentence
            assert "\n" not in sentence
        return sentences

    return ask


@pytest.mark.parametrize("source", SOURCES)
def test_a_bad_source_is_one_sentence_everywhere(said, source):
    quoted = f'"{source}"'
    sentences = said(
        f"%runware upscale {quoted} --factor 2 --yes",
        lambda: rw.upscale(source, factor=2, agreed=True),
        ["upscale", source, "--factor", "2", "--yes"],
    )
    for sentence in sentences:
        assert SOURCES[source] in sentence


def test_a_mask_without_an_image_or_of_another_size_is_refused_everywhere(said, tmp_path):
    (tmp_path / "image.png").write_bytes(png(64, 64))
    (tmp_path / "mask.png").write_bytes(png(32, 64))
    size = ["-s", "256x256", "--seed", "1"]
    sentences = said(
        "%%runware -s 256x256 --seed 1 --mask mask.png\na ship",
        lambda: rw.image("a ship", width=256, height=256, seed=1, mask_image="mask.png"),
        ["text-to-image", *size, "--mask", "mask.png", "a ship"],
    )
    assert all("mask" in sentence.lower() and "image" in sentence for sentence in sentences)
    sentences = said(
        "%%runware -s 256x256 --seed 1 --from image.png --mask mask.png\na ship",
        lambda: rw.image("a ship", width=256, height=256, seed=1, seed_image="image.png", mask_image="mask.png"),
        ["text-to-image", *size, "--from", "image.png", "--mask", "mask.png", "a ship"],
    )
    assert all("32x64 px" in sentence and "64x64 px" in sentence for sentence in sentences)


def test_a_parameter_that_the_model_does_not_accept_is_refused_everywhere(said):
    sentences = said(
        "%%runware -m bfl:2@1 -s 1024x1024 --yes --transparent\na ship",
        lambda: rw.image("a ship", model="bfl:2@1", width=1024, height=1024, transparent=True, agreed=True),
        ["text-to-image", "-m", "bfl:2@1", "-s", "1024x1024", "--yes", "--transparent", "a ship"],
    )
    for sentence in sentences:
        assert "bfl:2@1" in sentence
        assert "does not accept" in sentence
        assert "transparent" in sentence


def test_a_result_that_is_not_there_is_one_sentence(shell, sandbox):
    shell.run("%%runware -s 128x128 -n 4 --seed 1 -q\na ship")
    shell.names["nothing"] = None
    for source, words in (("#9", "has 4 images, and no #9. Nothing was sent. Use #1 to #4."),
                          ("nothing", "is None, so there is no image")):  # fmt: skip
        with pytest.raises(RunwareNBError) as caught:
            shell.run(f"%runware upscale {source} --factor 2 --yes")
        assert words in str(caught.value)
    with pytest.raises(RunwareNBError):
        rw.upscale(None, factor=2)
    assert len(sandbox.requests()) == 1


def test_an_expired_uuid_costs_nothing(shell, sandbox):
    with pytest.raises(RunwareNBError, match=f"does not have the medium {UNKNOWN}.*Nothing was charged"):
        shell.run(f"%runware upscale {UNKNOWN} --factor 2 --yes")
    assert (sandbox.requests(), sandbox.charges()) == ([], [])
