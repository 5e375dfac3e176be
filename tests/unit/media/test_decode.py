import io
import os
import random
import zlib
from pathlib import Path

import pytest
from PIL import Image

from runware_nb.errors import MediaError
from runware_nb.media import THUMBNAIL_BYTES, FileMedium, MemoryMedium, decode, make_thumbnail


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def noise(mode, side=1024):
    data = random.Random(1).randbytes(side * side * len(mode))
    return Image.frombytes(mode, (side, side), data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_known_kinds_are_decoded(kind):
    assert decode(encoded(Image.new("RGB", (8, 6), "red"), kind)).size == (8, 6)


@pytest.mark.parametrize("body", [b"", b"hello", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_one_sentence(body):
    with pytest.raises(MediaError):
        decode(body)


def test_an_image_cut_short_is_refused():
    with pytest.raises(MediaError, match="is damaged or incomplete"):
        decode(encoded(noise("RGB", 64))[:-200])


def test_an_image_bomb_is_not_opened():
    header = b"\x89PNG\r\n\x1a\n"
    size = (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    chunk = b"IHDR" + size
    bomb = header + len(size).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    data = zlib.compress(b"\0" * 1000)
    bomb += len(data).to_bytes(4, "big") + b"IDAT" + data + zlib.crc32(b"IDAT" + data).to_bytes(4, "big")
    with pytest.raises(MediaError, match=r"3,600 megapixels \(60000x60000 px\)"):
        decode(bomb)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_even_noise_fits_its_share(mode):
    small = make_thumbnail(noise(mode))
    assert len(small.body) <= THUMBNAIL_BYTES
    assert max(small.width, small.height) <= 512
    assert small.media_type == ("image/webp" if mode == "RGBA" else "image/jpeg")
    assert decode(small.body).size == (small.width, small.height)


def test_a_wide_image_keeps_its_shape_and_a_small_one_its_size():
    wide = make_thumbnail(Image.new("RGB", (2048, 512)))
    assert (wide.width, wide.height) == (512, 128)
    tiny = make_thumbnail(Image.new("RGB", (3, 2)))
    assert (tiny.width, tiny.height) == (3, 2)


def test_the_original_is_not_changed():
    image = Image.new("RGB", (1024, 1024))
    make_thumbnail(image)
    assert image.size == (1024, 1024)


def test_saving_is_whole_or_not_at_all(tmp_path):
    body = encoded(Image.new("RGB", (2, 2)))
    saved = MemoryMedium(body).save(tmp_path / "deep" / "a.png")
    assert saved.read_bytes() == body
    assert [path.name for path in saved.parent.iterdir()] == ["a.png"]


def test_saving_into_a_folder_finds_a_name(tmp_path):
    assert MemoryMedium(encoded(Image.new("RGB", (2, 2)))).save(tmp_path).name == "image.png"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MediaError, match="cannot be written"):
        MemoryMedium(b"x").save(tmp_path / "file" / "a.png")


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MediaError, match="No space left"):
        MemoryMedium(b"x").save(tmp_path / "a.png")
    assert list(tmp_path.glob("*.png")) + list(tmp_path.glob(".part*")) == []


def test_a_file_that_went_away_is_one_sentence():
    with pytest.raises(MediaError, match="cannot be read"):
        FileMedium(Path("gone.png")).bytes  # noqa: B018
