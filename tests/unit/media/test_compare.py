import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from runware_nb.errors import MediaError
from runware_nb.media.compare import CLOSE_BITS, Verdict, compare, heat_map, perceptual_hash
from runware_nb.media.provenance import embed


def scene(seed=0, size=(160, 120)):
    """A picture with large shapes, as pictures have."""
    chance = np.random.default_rng(seed)
    small = chance.integers(0, 255, (6, 8, 3), dtype="uint8")
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def png(image):
    body = io.BytesIO()
    image.save(body, "PNG")
    return body.getvalue()


def jpeg(image, quality=60):
    body = io.BytesIO()
    image.save(body, "JPEG", quality=quality)
    return body.getvalue()


def test_the_same_bytes_are_exact():
    assert compare(png(scene()), png(scene())).verdict is Verdict.EXACT
    dressed = [embed(png(scene()), infotext=name, record={"run": name}) for name in ("one", "other")]
    assert compare(*dressed, first_sha256="a", second_sha256="a").verdict is Verdict.EXACT


def test_a_hash_that_another_image_claims_is_not_exact():
    other = scene().rotate(180)
    assert compare(png(scene()), png(other), first_sha256="a", second_sha256="a").verdict is Verdict.DRIFTED


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.point(lambda level: min(255, level + 3)), lambda image: image.filter(ImageFilter.GaussianBlur(1)),
        lambda image: Image.open(io.BytesIO(jpeg(image))), lambda image: image.convert("RGBA"), lambda image: image.convert("P"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(4))
def test_what_looks_the_same_is_close(seed, change):
    found = compare(png(scene(seed)), png(change(scene(seed))))
    assert found.verdict is Verdict.CLOSE
    assert found.hash_bits <= CLOSE_BITS
    assert 0 <= found.mean_difference < 0.08


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.rotate(180), lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda image: scene(99), lambda image: image.resize((80, 60)), lambda image: Image.new("RGB", image.size),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(4))
def test_what_looks_different_has_drifted(seed, change):
    assert compare(png(scene(seed)), png(change(scene(seed)))).verdict is Verdict.DRIFTED


def test_a_small_change_is_counted():
    image = scene()
    image.putpixel((3, 3), (0, 0, 0))
    found = compare(png(scene()), png(image))
    assert found.verdict is Verdict.CLOSE
    assert found.changed_share == pytest.approx(1 / (160 * 120), rel=0.1)


def test_the_map_is_black_where_nothing_changed_and_bright_where_it_did():
    image = scene()
    image.paste((255, 255, 255), (0, 0, 80, 120))
    drawn = heat_map(png(Image.new("RGB", (160, 120))), png(Image.new("RGB", (160, 120))))
    assert drawn.getextrema() == ((0, 0), (0, 0), (0, 0))
    drawn = heat_map(png(scene()), png(image))
    assert drawn.getpixel((140, 60)) == (0, 0, 0)
    assert sum(drawn.getpixel((20, 60))) > 200
    assert heat_map(png(scene()), png(scene(size=(10, 10)))) is None


def test_what_is_transparent_counts():
    clear, solid = Image.new("RGBA", (64, 64), (255, 0, 0, 0)), Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    assert compare(png(clear), png(solid)).mean_difference > 0.3


def test_broken_images_raise_our_error():
    with pytest.raises(MediaError):
        compare(png(scene()), b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(MediaError):
        heat_map(b"no image", png(scene()))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["1", "L", "RGB", "RGBA", "P", "CMYK", "I;16"]))
def test_any_image_has_a_hash_of_sixteen_digits(width, height, mode):
    value = perceptual_hash(Image.new(mode, (width, height)))
    assert len(value) == 16
    assert int(value, 16) >= 0
