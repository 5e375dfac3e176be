"""Files are uploaded in a type that the service accepts, and a task's assets have one owner."""

import io

import pytest
from PIL import Image

from runware_nb.errors import MediaError, TaskInvalid
from runware_nb.providers.useapi.assets import ACCEPTED_TYPES, common_owner, file_name, is_asset_id, read_upload

FIRST = "user:1-runwayml:first@example.com-asset:a"
SECOND = "user:1-runwayml:second@example.com-asset:b"


def picture(form, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, (16, 8), 200 if mode == "L" else (40, 90, 160, 128)[: len(mode)]).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF"])
def test_accepted_types_are_sent_as_they_are(form):
    content = picture(form, "L" if form == "GIF" else "RGB")
    sent, media_type = read_upload(content)
    assert sent == content
    assert media_type in ACCEPTED_TYPES


@pytest.mark.parametrize(
    ("form", "mode", "media_type"),
    [
        ("WEBP", "RGB", "image/jpeg"),
        ("WEBP", "RGBA", "image/png"),
        ("BMP", "RGB", "image/png"),
        ("TIFF", "RGB", "image/png"),
    ],
)
def test_other_images_are_converted(form, mode, media_type):
    sent, found = read_upload(picture(form, mode))
    assert found == media_type
    image = Image.open(io.BytesIO(sent))
    assert image.size == (16, 8)
    assert image.mode == mode
    assert f"image/{image.format.lower()}" == media_type


@pytest.mark.parametrize("content", [b"glTF" + bytes(60), b'<svg xmlns="http://www.w3.org/2000/svg"/>'])
def test_types_that_cannot_be_converted_are_refused(content):
    with pytest.raises(MediaError, match=r"not sent.*\.$"):
        read_upload(content)


def test_a_broken_image_is_refused():
    with pytest.raises(MediaError, match=r"damaged or incomplete"):
        read_upload(picture("WEBP")[:60])


def test_ids_of_assets_are_told_from_other_texts():
    assert is_asset_id(FIRST)
    assert not any(map(is_asset_id, ["user:1-runwayml:first@example.com-task:a", "clip-asset:.mp4", "", None, 5]))


def test_all_assets_have_one_owner():
    assert common_owner([FIRST, FIRST]) == "first@example.com"
    assert common_owner(["unknown form"]) is None
    assert common_owner([]) is None
    with pytest.raises(TaskInvalid, match="different accounts") as raised:
        common_owner([FIRST, SECOND])
    assert raised.value.parameter == "assets"
    assert "first@" not in raised.value.problem  # shortened


def test_the_name_of_an_upload_comes_from_its_content():
    assert file_name("0123456789abcdef0123", "video/mp4") == "0123456789abcdef.mp4"
