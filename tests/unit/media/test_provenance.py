import io
import json
import shutil
import struct
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from runware_nb.core.infotext import Infotext, parse_infotext, write_infotext
from runware_nb.errors import MediaError
from runware_nb.media.provenance import SOURCE_TYPE, Provenance, embed, read_provenance

TASK = {
    "positivePrompt": "a ship, at sea", "negativePrompt": "text, fog", "steps": 28, "scheduler": "DPM++ 2M Karras",
    "CFGScale": 3.5, "width": 640, "height": 512, "model": "runware:101@1", "lora": [{"model": "a:1@2", "weight": 0.5}],
}  # fmt: skip
RECORD = {"task_uuid": "3f2a", "request": TASK, "cost_usd": 0.0038, "odd": "☕ <&>\" ' ]]>"}
KINDS = [
    ("PNG", "RGB"),
    ("PNG", "RGBA"),
    ("PNG", "P"),
    ("JPEG", "RGB"),
    ("JPEG", "L"),
    ("WEBP", "RGB"),
    ("WEBP", "RGBA"),
]
each_kind = pytest.mark.parametrize(("kind", "mode"), KINDS)


def picture(kind, mode="RGB", **options):
    image = Image.linear_gradient("L").resize((64, 48)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.radial_gradient("L").resize((64, 48)))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(body):
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


@each_kind
@pytest.mark.parametrize("lossless", [False, True])
def test_the_pixels_stay_bit_for_bit_and_the_words_come_back(kind, mode, lossless):
    body = picture(kind, mode, **({"lossless": lossless} if kind == "WEBP" else {}))
    text = write_infotext(TASK, seed=7, version="runware_nb 0.1.0")
    made = embed(body, infotext=text, record=RECORD)
    assert opened(made).tobytes() == opened(body).tobytes()
    assert (opened(made).mode, opened(made).size) == (opened(body).mode, opened(body).size)
    found = read_provenance(made)
    assert found == Provenance(text, RECORD, True, {})
    assert found.parameters.to_wire()["seed"] == 7
    assert repr(found).startswith("<Provenance run 3f2a, Model runware:101@1, Seed 7, marked as generated: 'a ship")


@each_kind
def test_writing_twice_leaves_the_last_word(kind, mode):
    once = embed(picture(kind, mode), infotext="first", record={"n": 1})
    twice = embed(once, infotext="second", record={"n": 2})
    assert opened(twice).tobytes() == opened(once).tobytes()
    assert read_provenance(twice).record == {"n": 2} or kind == "PNG"


def test_pillow_reads_what_web_uis_read():
    text = write_infotext({**TASK, "positivePrompt": "a café ☕"}, seed=7)
    assert opened(embed(picture("PNG"), infotext=text, record={})).text["parameters"] == text
    for kind in ("JPEG", "WEBP"):
        exif = opened(embed(picture(kind), infotext=text, record={})).getexif()
        comment = exif.get_ifd(0x8769)[0x9286]
        assert comment == b"UNICODE\0" + text.encode("utf-16-be")
    assert SOURCE_TYPE.encode() in embed(picture("JPEG"), infotext=text, record={})


def test_what_a_camera_wrote_is_kept():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    body = picture("JPEG", exif=exif, icc_profile=b"profile" * 9000)
    made = opened(embed(body, infotext="x", record={}))
    assert made.getexif()[0x010F] == "Maker"
    assert made.info["icc_profile"] == b"profile" * 9000


def test_files_of_other_tools_are_read():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512")
    info.add_text("workflow", '{"nodes": []}', zip=True)
    info.add_itxt("prompt", "été ☕")
    found = read_provenance(picture("PNG", pnginfo=info))
    assert found.parameters.settings["Sampler"] == "Euler a"
    assert found.others == {"workflow": '{"nodes": []}', "prompt": "été ☕"}
    assert (found.record, found.is_marked_generated) == (None, False)
    for encoded in (
        b"UNICODE\0" + "a cat ☕".encode("utf-16-le"),
        b"ASCII\0\0\0a cat",
        b"\0" * 8 + b"a cat",
        b"a cat no",
    ):
        exif = Image.Exif()
        exif[0x8769] = {0x9286: encoded}
        assert read_provenance(picture("JPEG", exif=exif)).infotext.startswith("a cat")


@each_kind
def test_a_file_without_any_says_so(kind, mode):
    assert read_provenance(picture(kind, mode)).is_empty


def test_other_kinds_are_left_alone_and_cannot_be_read():
    gif = picture("GIF", "P")
    assert embed(gif, infotext="x", record={}) == gif
    with pytest.raises(MediaError, match="image/gif"):
        read_provenance(gif)
    with pytest.raises(MediaError, match="Only PNG, JPEG and WebP files contain provenance"):
        read_provenance(b"hello")


def test_a_text_bomb_gives_its_beginning():
    packed = zlib.compress(b"x" * 100_000_000, 9)
    content = b"workflow\0\0" + packed
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    body = picture("PNG")
    found = read_provenance(body[:33] + chunk + body[33:])
    assert len(found.others["workflow"]) <= 8 * 1024 * 1024


def test_what_has_no_place_in_a_jpeg_is_left_out_and_the_rest_stays():
    made = embed(picture("JPEG"), infotext="short", record={"long": "x" * 100_000})
    assert read_provenance(made).infotext == "short"
    assert opened(made).size == (64, 48)


@given(st.sampled_from([kind for kind, mode in KINDS if mode == "RGB"]), st.integers(12, 2000), st.binary(max_size=40))
def test_broken_files_raise_nothing_but_our_error(kind, cut, garbage):
    body = picture(kind)
    for broken in (body[:cut], body[:cut] + garbage, body[:cut] + garbage + body[cut:]):
        embed(broken, infotext="x", record={})
        try:
            read_provenance(broken)
        except MediaError:
            continue


plain = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40).map(str.strip)


@given(plain, plain, st.integers(0, 2**63), st.integers(1, 100), plain.filter(bool))
def test_an_infotext_survives_any_words(prompt, negative, seed, steps, sampler):
    task = {**TASK, "positivePrompt": prompt, "negativePrompt": negative, "steps": steps, "scheduler": sampler}
    found = parse_infotext(write_infotext(task, seed=seed))
    if not prompt.startswith("Negative prompt:"):
        assert found.prompt == prompt
        assert found.negative_prompt == negative
    assert found.settings["Seed"] == str(seed)
    assert found.settings["Sampler"] == sampler


@given(st.text(max_size=300))
def test_any_text_is_at_least_a_prompt(text):
    found = parse_infotext(text)
    assert isinstance(found, Infotext)
    json.dumps(found.to_wire())


def test_the_well_known_form():
    text = (
        "masterpiece, a ship\non two lines\nNegative prompt: bad, worse\nworst\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: abc, Model: v1-5, "
        'Lora hashes: "a: 1, b: 2", Version: v1.9'
    )
    found = parse_infotext(text)
    assert found.prompt == "masterpiece, a ship\non two lines"
    assert found.negative_prompt == "bad, worse\nworst"
    assert found.settings["Lora hashes"] == "a: 1, b: 2"
    assert found.to_wire() == {
        "positivePrompt": found.prompt, "negativePrompt": found.negative_prompt, "steps": 20, "scheduler": "Euler a",
        "CFGScale": 7, "seed": 1, "model": "v1-5", "width": 512, "height": 768,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exiftool_reads_it_as_well(tmp_path, kind):
    """A reader that nobody here wrote: every convention is met, or it would warn."""
    if shutil.which("exiftool") is None:
        pytest.fail("exiftool is missing: install libimage-exiftool-perl (Debian) or exiftool (elsewhere)")
    text = write_infotext({**TASK, "positivePrompt": "a café ☕"}, seed=7)
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(embed(picture(kind), infotext=text, record=RECORD))
    done = subprocess.run(
        ["exiftool", "-j", "-Warning", "-Error", "-UserComment", "-Parameters", "-DigitalSourceType", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (found,) = json.loads(done.stdout)
    assert found.pop("SourceFile")
    place = "Parameters" if kind == "PNG" else "UserComment"
    assert found == {place: text, "DigitalSourceType": SOURCE_TYPE}
