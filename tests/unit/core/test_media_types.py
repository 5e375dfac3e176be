"""What a file is, its bytes decide; what the service does not accept is converted or refused before it is sent."""

import base64
import io
import struct

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, features

from runware_nb.core.media_types import CONVERTED_TYPES, ending_for, sniff
from runware_nb.errors import MediaError
from runware_nb.media.incoming import is_sendable, media_bytes

needs_avif = pytest.mark.skipif(
    "avif" not in features.get_supported(), reason="this Pillow writes no AVIF; install Pillow 11.3"
)


def encoded(image, kind, **more):
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def picture(mode="RGB", size=(16, 8)):
    image = Image.new(mode, size, "red" if mode != "RGBA" else (255, 0, 0, 128))
    image.paste((0, 0, 255) if mode != "RGBA" else (0, 0, 255, 255), (0, 0, 4, 4))
    return image


def sound(container, codec, rate, layout="mono"):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        size = stream.codec_context.frame_size or 1152
        for number in range(12):
            samples = (np.sin(np.arange(size) / 9) * 9000).astype("int16").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate, frame.pts = rate, number * size
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return buffer.getvalue()


def film(container, codec):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
        frame = av.VideoFrame.from_image(Image.new("RGB", (176, 144), "teal"))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return buffer.getvalue()


def ftyp(major, *compatible, large=False):
    body = major + b"\0\0\0\0" + b"".join(compatible)
    if large:
        return struct.pack(">I", 1) + b"ftyp" + struct.pack(">Q", len(body) + 16) + body + b"\0\0\0\x08mdat"
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + b"\0\0\0\x08mdat"


REAL = {
    **{kind: (lambda name=name: encoded(picture(), name)) for kind, name in [
        ("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP"), ("image/gif", "GIF"),
        ("image/bmp", "BMP"), ("image/tiff", "TIFF"),
    ]},
    "video/mp4": lambda: film("mp4", "mpeg4"),
    "video/quicktime": lambda: film("mov", "mpeg4"),
    "video/webm": lambda: film("webm", "libvpx"),
    "video/x-matroska": lambda: film("matroska", "mpeg4"),
    "video/3gpp": lambda: film("3gp", "mpeg4"),
    "audio/mp4": lambda: sound("ipod", "aac", 44_100),
    "audio/aac": lambda: sound("adts", "aac", 44_100),
    "audio/ogg": lambda: sound("ogg", "libopus", 48_000),
    "audio/flac": lambda: sound("flac", "flac", 44_100),
    "audio/wav": lambda: sound("wav", "pcm_s16le", 44_100),
}  # fmt: skip


@pytest.mark.parametrize("kind", REAL)
def test_files_of_real_writers_are_detected_whole_and_by_their_beginning(kind):
    body = REAL[kind]()
    assert sniff(body) == kind
    assert sniff(body[:512]) == kind
    assert ending_for(kind) != ".bin"


@needs_avif
def test_avif_images_and_sequences_are_detected():
    assert sniff(encoded(picture(), "AVIF")) == "image/avif"
    frames = [picture(), Image.new("RGB", (16, 8))]
    assert sniff(encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])) == "image/avif-sequence"


@pytest.mark.parametrize(
    ("codec", "container", "rate"),
    [("libmp3lame", "mp3", rate) for rate in (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 11_025, 8_000)]
    + [("mp2", "mp2", rate) for rate in (48_000, 44_100, 32_000, 24_000, 22_050, 16_000)],
)
def test_mpeg_audio_of_each_version_and_layer_is_detected_with_and_without_a_tag(codec, container, rate):
    body = sound(container, codec, rate)
    assert sniff(body) == "audio/mpeg"
    if body[:3] == b"ID3":
        size = body[6] << 21 | body[7] << 14 | body[8] << 7 | body[9]
        assert sniff(body[10 + size :]) == "audio/mpeg"
    else:
        assert sniff(b"ID3\x04\0\0\0\0\x01\0" + bytes(128) + body) == "audio/mpeg"


def test_each_header_of_mpeg_audio_that_an_encoder_can_write_is_detected():
    """No encoder at hand writes layer I: the headers alone are tried, in every version, layer and bit rate."""
    for version in (0, 2, 3):
        for layer in (1, 2, 3):
            for rate in range(1, 15):
                head = bytes([0xFF, 0xE0 | version << 3 | layer << 1 | 1, rate << 4, 0xC4])
                assert sniff(head + bytes(8)) == "audio/mpeg", (version, layer, rate)


@pytest.mark.parametrize("tagged", ["audio/aac", "audio/flac"])
def test_a_tag_before_other_audio_does_not_make_it_mp3(tagged):
    assert sniff(b"ID3\x04\0\0\0\0\0\x10" + bytes(16) + REAL[tagged]()) == tagged


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        ((b"heic", b"mif1", b"heic"), "image/heic"), ((b"heix", b"mif1"), "image/heic"),
        ((b"mif1", b"mif1", b"heic"), "image/heic"), ((b"mif1", b"mif1", b"avif", b"miaf"), "image/avif"),
        ((b"mif1", b"mif1", b"miaf"), "image/heif"), ((b"msf1", b"msf1", b"hevc"), "image/heic-sequence"),
        ((b"hevc", b"msf1"), "image/heic-sequence"), ((b"msf1", b"iso8"), "image/heif-sequence"),
        ((b"avif", b"avif", b"mif1"), "image/avif"), ((b"avis", b"msf1"), "image/avif-sequence"),
        ((b"M4A ", b"M4A ", b"mp42", b"isom"), "audio/mp4"), ((b"M4B ",), "audio/mp4"),
        ((b"mp42", b"isom", b"M4A "), "audio/mp4"), ((b"M4V ", b"M4V ", b"M4A ", b"mp42"), "video/mp4"),
        ((b"mp42", b"M4V ", b"M4A "), "video/mp4"), ((b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4"),
        ((b"mp42", b"3gp4", b"qt  "), "video/mp4"), ((b"qt  ", b"qt  "), "video/quicktime"),
        ((b"3gp5", b"isom"), "video/3gpp"), ((b"crx ", b"crx ", b"isom"), None),
    ],
)  # fmt: skip
def test_iso_files_are_told_apart_by_their_brands(brands, kind):
    assert sniff(ftyp(*brands)) == sniff(ftyp(*brands, large=True)) == kind


SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"
PROLOG = st.lists(
    st.sampled_from(
        [
            "<?xml version='1.0'?>", "<?xml-stylesheet href='a.css'?>", "<!-- a > b <html> -->", "<!---->", "\n", " ",
            "<!-- " + "licence " * 400 + "-->",
            '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">',
            '<!DOCTYPE svg [ <!ENTITY a "http://x/"> <!ENTITY b "]"> ]>'.replace('"]"', '"b"'),
        ]
    ),
    max_size=6,
).map("".join)  # fmt: skip


@given(PROLOG, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from([SVG, "<svg>", "<s:svg a='1'/>"]))
def test_svg_is_detected_behind_any_prolog(prolog, encoding, root):
    assert sniff((prolog + root).encode(encoding)) == "image/svg+xml"


@pytest.mark.parametrize(
    "text",
    ["<html><svg/></html>", "<!DOCTYPE html><svg/>", "<!-- <svg/> -->", "<?xml version='1.0'?><a><svg/></a>", "<svgx/>",
     "<!-- never closed <svg>", "a <svg/>"],
)  # fmt: skip
def test_a_page_that_contains_svg_is_not_svg(text):
    assert sniff(text.encode()) is None


@pytest.mark.parametrize("head", [b"BMW is a make of car", b"\xff\xfeh\0e\0l\0l\0o\0", b"\xff\xff\xff\xff", b"ID3",
                                  b"\xff\xfeh\0", b"ID3 is a tag\xff"])  # fmt: skip
def test_texts_are_not_taken_for_media(head):
    assert sniff(head) is None


STARTS = [b"", b"\xff", b"\xff\xfb", b"ID3\x04\0\0", b"\0\0\0\x18ftyp", b"\0\0\0\x01ftyp", b"<?", b"<!--", b"<!DOCTYPE svg[",
          b"\xff\xfe", b"\xfe\xff", b"RIFF", b"BM", b"OggS", b"\x1aE\xdf\xa3", b"\xef\xbb\xbf<"]  # fmt: skip


@given(st.sampled_from(STARTS), st.binary(max_size=80))
def test_no_bytes_whatever_raise(start, rest):
    kind = sniff(start + rest)
    assert kind is None or ending_for(kind) != ".bin"


@given(st.sampled_from(sorted(REAL)), st.integers(0, 600))
def test_no_cut_of_a_real_file_raises(kind, size):
    assert sniff(_BODIES.setdefault(kind, REAL[kind]())[:size]) in {None, kind, "video/webm", "video/mp4", "audio/mpeg"}


_BODIES: dict[str, bytes] = {}


# --- what the service does not accept ---------------------------------------------------------------


def opened(body):
    return Image.open(io.BytesIO(body))


@needs_avif
def test_an_avif_image_is_converted_upright_and_keeps_its_transparency():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    body, kind = media_bytes(encoded(picture(), "AVIF", exif=exif, quality=100))
    assert (kind, opened(body).format, opened(body).size) == ("image/jpeg", "JPEG", (8, 16))
    body, kind = media_bytes(encoded(picture("RGBA"), "AVIF", quality=100))
    assert (kind, opened(body).mode) == ("image/png", "RGBA")
    assert abs(opened(body).getpixel((12, 6))[3] - 128) <= 2


def test_a_color_profile_is_applied():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = picture()
    plain, _ = media_bytes(encoded(image, "TIFF"))
    same, kind = media_bytes(encoded(image, "TIFF", icc_profile=profile))
    assert kind == "image/png"
    assert "icc_profile" not in opened(same).info
    difference = np.asarray(opened(plain)).astype(int) - np.asarray(opened(same)).astype(int)
    assert abs(difference).max() <= 2
    broken, _ = media_bytes(encoded(image, "TIFF", icc_profile=b"no profile"))
    assert opened(broken).info["icc_profile"] == b"no profile"  # it could not be applied, and is not lost


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_a_tiff_of_any_mode_becomes_a_png(mode):
    image = (
        Image.new("L", (8, 8), 200).convert("LA" if mode == "LA" else mode)
        if mode != "I;16"
        else Image.new(mode, (8, 8), 9)
    )
    body, kind = media_bytes(encoded(image, "TIFF"))
    assert (kind, opened(body).size) == ("image/png", (8, 8))


def test_a_file_of_several_images_is_refused():
    pages = encoded(picture(), "TIFF", save_all=True, append_images=[picture()])
    with pytest.raises(MediaError, match=r"contains 2 images, and one is needed"):
        media_bytes(pages)


HEIC = ftyp(b"heic", b"mif1", b"heic")


def test_heic_is_refused_with_what_to_install_if_pillow_cannot_read_it(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(HEIC)  # whatever its name says
    inline = base64.b64encode(HEIC).decode()
    for value in (HEIC, tmp_path / "photo.jpg", inline, f"data:image/heic;base64,{inline}"):
        assert not is_sendable(value)
        with pytest.raises(MediaError, match=r"pip install .runware-nb\[heic\].*PNG or JPEG"):
            media_bytes(value)


@pytest.fixture
def heif_plugin():
    """A Pillow plugin that opens HEIF, as pillow-heif registers one."""

    class HeifFile(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (4, 2), "RGB"
            self.tile = [("raw", (0, 0, 4, 2), len(HEIC), ("RGB", 0, 1))]

    Image.init()
    Image.register_open("HEIF", HeifFile, lambda prefix: prefix[4:8] == b"ftyp")
    yield
    del Image.OPEN["HEIF"]
    Image.ID.remove("HEIF")


@pytest.mark.usefixtures("heif_plugin")
def test_heic_is_converted_if_pillow_has_a_reader():
    body, kind = media_bytes(HEIC + bytes([250, 0, 0] * 8))
    assert (kind, opened(body).size) == ("image/jpeg", (4, 2))
    assert opened(body).getpixel((0, 0))[0] > 240


def test_inline_data_of_accepted_types_is_sent_as_it_is():
    for kind in ("PNG", "JPEG", "WEBP"):
        inline = base64.b64encode(encoded(picture(), kind)).decode()
        assert is_sendable(inline)
        assert is_sendable(f"data:image/x;base64,{inline}")
    tiff = base64.b64encode(encoded(picture(), "TIFF")).decode()
    assert not is_sendable(tiff)
    assert media_bytes(f"data:image/tiff;base64,{tiff}")[1] == "image/png"
    assert "image/tiff" in CONVERTED_TYPES


def test_audio_in_an_mp4_container_is_named_as_audio():
    assert media_bytes(REAL["audio/mp4"]())[1] == "audio/mp4"
