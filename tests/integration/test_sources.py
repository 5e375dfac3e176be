"""Sources of a task: looked up once, uploaded once, renewed if the service has deleted them, and refused if unusable."""

import base64
import hashlib
import http.server
import io
import os
import threading
import urllib.request
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

import runware_nb as rw
from runware_nb.core.results import Outcome
from runware_nb.engine.media_sources import look_up
from runware_nb.errors import MediaError, MediumExpired, RunwareNBError
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 5, "width": 128, "height": 128, "outputFormat": "PNG"}
UPSCALE = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}
UNKNOWN = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


def picture(width=64, height=32, mode="RGB", color="teal", **changes):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), color).save(buffer, changes.pop("format", "PNG"), **changes)
    return buffer.getvalue()


def upscale(session, source, **changes):
    job = session.submit({**UPSCALE, "inputs": {"image": source}, **changes}, agreed=True)
    job.result(30)
    return job


def sent_image(sandbox, number=-1):
    return sandbox.requests()[number]["inputs"]["image"]


# --- looked up once -----------------------------------------------------------------------------------


def test_a_file_is_uploaded_once_for_all_kernels(sandbox, make_session, tmp_path):
    """The second session has the same log, as another kernel has. The same content under another name counts."""
    (tmp_path / "a.png").write_bytes(picture())
    upscale(make_session(sandbox), tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(picture())
    other = make_session(sandbox)
    upscale(other, tmp_path / "b.png", upscaleFactor=4)
    upscale(other, picture(), upscaleFactor=3)
    assert len(sandbox.uploads()) == 1
    assert {task["inputs"]["image"] for task in sandbox.requests()} == {sandbox.uploads()[0]["uuid"]}
    assert len(sandbox.requests()) == 3


def test_two_sources_of_one_task_are_uploaded_once_if_they_are_equal(sandbox, make_session):
    session = make_session(sandbox)
    image = picture(64, 64)
    session.submit({**SEEDED, "seedImage": image, "referenceImages": [image, Image.open(io.BytesIO(image))]}).result(30)
    assert len(sandbox.uploads()) <= 2  # Pillow may encode the pixels in another way


def test_an_earlier_result_is_named_by_its_uuid_in_whatever_form_it_is_given(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    copied = tmp_path / "copy.png"
    copied.write_bytes(result.bytes)
    inline = f"data:image/png;base64,{base64.b64encode(result.bytes).decode()}"
    outcome = Outcome({}, result.task_uuid, [result], [])
    forms = [result, outcome, result.path, str(copied), result.bytes, inline, result.item_uuid]
    for number, form in enumerate(forms):
        job = session.submit({**UPSCALE, "inputs": {"image": form}}, fresh=True, agreed=True)
        job.result(30)
        assert sent_image(sandbox) == result.item_uuid, f"form {number}"
        assert [parent.task_uuid for parent in job.record.parents] == [result.task_uuid]
    assert sandbox.uploads() == []


def test_an_earlier_result_of_another_sandbox_is_uploaded(start_sandbox, make_session, tmp_path):
    """A sandbox that was started again has no media of the first: neither its results nor what was uploaded to it."""
    key = ("--key-file", str(tmp_path / "key"))
    first = start_sandbox(*key)
    session = make_session(first)
    result = session.submit(SEEDED).result(30)[0]
    upscale(session, picture())
    first.kill()
    second = start_sandbox(*key)
    later = make_session(second)
    upscale(later, result, upscaleFactor=3)
    upscale(later, picture(), upscaleFactor=3)
    assert len(second.charges()) == 2
    assert len(second.uploads()) == 2


# --- the service has deleted it -----------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_an_upload_that_the_service_has_deleted_is_uploaded_again_and_paid_once(
    sandbox, make_session, tmp_path, transport
):
    """The refusal comes before acceptance. The run has two attempts, and its request stays the same."""
    (tmp_path / "a.png").write_bytes(picture())
    first = upscale(make_session(sandbox), tmp_path / "a.png")
    sandbox.reset()
    job = make_session(sandbox, transport=transport).submit(
        {**UPSCALE, "inputs": {"image": tmp_path / "a.png"}}, fresh=True, agreed=True
    )
    assert job.result(30)[0].image.size == (128, 64)
    record = job.record
    assert (len(sandbox.charges()), len(sandbox.uploads()), record.attempts) == (1, 1, 2)
    assert record.request_hash == first.record.request_hash
    assert record.attempt_uuid != record.task_uuid
    assert any("uploaded again" in notice for notice in job.notices)
    upscale(make_session(sandbox), picture(), upscaleFactor=4)
    assert len(sandbox.uploads()) == 1  # the new UUID is remembered in place of the old one


def test_several_media_return_to_their_own_places(sandbox, make_session):
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    task = {**SEEDED, "seed": 8, "maskImage": picture(128, 128, "L", 255), "referenceImages": [picture(16, 16), result],
            "seedImage": picture(128, 128, "RGB", "red")}  # fmt: skip
    session.submit(task).result(30)
    before = {upload["uuid"]: upload["sha256"] for upload in sandbox.uploads()}
    sent = sandbox.requests()[-1]["inputs"]
    sandbox.reset()
    job = session.submit(task, fresh=True)
    job.result(30)
    after = {upload["uuid"]: upload["sha256"] for upload in sandbox.uploads()}
    again = sandbox.requests()[-1]["inputs"]
    for name in ("seedImage", "maskImage"):
        assert after[again[name]] == before[sent[name]]
    assert after[again["referenceImages"][0]] == before[sent["referenceImages"][0]]
    assert again["referenceImages"][1] in after
    assert (len(after), job.record.attempts, len(sandbox.charges())) == (4, 2, 1)


def test_a_result_that_has_expired_is_uploaded_from_its_file(sandbox, make_session):
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    sandbox.reset()
    job = upscale(session, result)
    assert (len(sandbox.charges()), len(sandbox.uploads()), job.record.attempts) == (1, 1, 2)
    assert sent_image(sandbox) == sandbox.uploads()[0]["uuid"] != result.item_uuid


def test_an_expired_file_of_the_service_is_told_from_an_unknown_one(sandbox, make_session):
    session = make_session(sandbox)
    sandbox.faults({"kind": "expire"})
    kept = session.submit({**SEEDED, "outputType": "URL"})
    with pytest.raises(RunwareNBError):
        upscale(session, kept.result(30)[0].url)
    assert len(sandbox.charges()) == 1


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_an_unknown_uuid_is_one_sentence_and_costs_nothing(sandbox, make_session, transport):
    session = make_session(sandbox, transport=transport)
    job = session.submit({**UPSCALE, "inputs": {"image": UNKNOWN}}, agreed=True)
    with pytest.raises(MediumExpired, match=rf"^The service does not have the medium {UNKNOWN}.*Nothing was charged\."):
        job.result(30)
    assert (sandbox.charges(), sandbox.requests(), job.record.state) == ([], [], "failed")


def test_the_uuid_of_an_upload_that_was_not_used_for_a_month_is_not_sent(sandbox, make_session):
    """The service has deleted it by then. Its file is uploaded again; without the file, nothing is sent."""
    session = make_session(sandbox)
    first = upscale(session, picture())
    (upload,) = sandbox.uploads()
    with session.log.changing() as connection:
        connection.execute(sa.text("UPDATE uploads SET used_at_utc = '2026-01-02T00:00:00.000+00:00'"))
    job = upscale(session, upload["uuid"], upscaleFactor=4)
    assert (job.record.attempts, job.record.inputs[0]["sha256"]) == (1, first.record.inputs[0]["sha256"])
    assert sent_image(sandbox) == sandbox.uploads()[-1]["uuid"] != upload["uuid"]
    with session.log.changing() as connection:
        connection.execute(sa.text("UPDATE uploads SET used_at_utc = '2026-01-02T00:00:00.000+00:00'"))
    (session.media.folder / first.record.inputs[0]["file"]).unlink()
    with pytest.raises(
        MediaError, match=r"^Cannot use the medium .*: it has expired: .*2026-01-02.* Nothing was sent\.$"
    ):
        session.submit({**UPSCALE, "upscaleFactor": 3, "inputs": {"image": sandbox.uploads()[-1]["uuid"]}}, agreed=True)
    assert len(sandbox.requests()) == 2


def turned_photo(path):
    """Write a photo that is turned before it is sent, so that other bytes are sent than those of the file."""
    exif = Image.Exif()
    exif[0x112] = 6
    path.write_bytes(picture(64, 48, format="JPEG", exif=exif))
    return path


def test_an_upload_of_a_turned_photo_is_the_same_request_in_every_session(sandbox, make_session, tmp_path, monkeypatch):
    session = make_session(sandbox)
    monkeypatch.setattr("runware_nb.session.current._session", session)
    path = turned_photo(tmp_path / "photo.jpg")
    name = str(rw.upload(path))
    assert not upscale(session, name).is_recorded
    later = make_session(sandbox)
    monkeypatch.setattr("runware_nb.session.current._session", later)
    for form in (name, str(rw.upload(path)), path):
        assert upscale(later, form).is_recorded
    assert (len(sandbox.charges()), len(sandbox.uploads())) == (1, 1)


def test_a_turned_photo_is_found_in_the_store_by_its_expired_upload(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    upscale(session, turned_photo(tmp_path / "photo.jpg"))
    (upload,) = sandbox.uploads()
    with session.log.changing() as connection:
        connection.execute(sa.text("UPDATE uploads SET used_at_utc = '2026-01-02T00:00:00.000+00:00'"))
    job = upscale(make_session(sandbox), upload["uuid"], upscaleFactor=4)
    assert job.record.attempts == 1
    assert sent_image(sandbox) == sandbox.uploads()[-1]["uuid"] != upload["uuid"]


def test_only_the_urls_of_a_result_stand_for_it(sandbox, make_session):
    """An edited copy on a server of the user's may have the UUID of its original in its name."""
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    host = sandbox.urls["rest_url"].split("/")[2]
    for url, is_it in {
        f"{result.url}?width=64": True,
        f"http://{host}/other/{result.item_uuid}.png": True,
        f"https://im.runware.ai/image/ws/2/ii/{result.item_uuid}.png": True,
        f"https://example.org/edited/{result.item_uuid}-red.png": False,
        f"https://im.runware.ai.example.org/{result.item_uuid}.png": False,
        f"https://[{result.item_uuid}": False,
    }.items():
        named = {"seedImage": url}
        (medium,) = look_up(session, session.provider(""), named, keeps=False).inputs
        assert (medium.maker == result.task_uuid) is is_it, url


def test_a_result_of_last_month_is_sent_as_a_file(sandbox, make_session):
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    with session.log.changing() as connection:
        connection.execute(sa.text("UPDATE runs SET finished_at_utc = '2026-01-02T00:00:00.000+00:00'"))
    for number, form in enumerate([result, result.item_uuid, result.url, result.path]):
        job = upscale(session, form, upscaleFactor=(2, 3, 4, 6)[number])
        assert job.record.attempts == 1
        assert sent_image(sandbox) == sandbox.uploads()[0]["uuid"]
        assert job.record.parents[0].task_uuid == result.task_uuid
    assert len(sandbox.uploads()) == 1


def test_a_file_that_is_refused_again_is_not_uploaded_for_ever(sandbox, make_session):
    session = make_session(sandbox)
    refusal = {"kind": "refuse", "code": "mediaExpired", "message": "gone", "status": 404, "on": "upscale"}
    sandbox.faults({**refusal, "count": 10})
    job = session.submit({**UPSCALE, "inputs": {"image": picture()}}, agreed=True)
    with pytest.raises(MediumExpired):
        job.result(30)
    assert (sandbox.charges(), job.record.attempts) == ([], 2)


# --- orientation --------------------------------------------------------------------------------------


def photo(orientation):
    """A picture of 40x20 px whose left half is red, as a camera stores it that was turned."""
    image = Image.new("RGB", (40, 20), "blue")
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a photo"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_sent_upright_and_kept_as_it_was(sandbox, make_session, tmp_path, orientation):
    body = photo(orientation)
    (tmp_path / "photo.jpg").write_bytes(body)
    session = make_session(sandbox)
    job = upscale(session, tmp_path / "photo.jpg")
    (medium,) = job.record.inputs
    assert medium["sha256"] == hashlib.sha256(body).hexdigest()
    assert (session.media.folder / medium["file"]).read_bytes() == body
    (upload,) = sandbox.uploads()
    assert (upload["sha256"] == medium["sha256"]) == (orientation == 1)
    with urllib.request.urlopen(upload["url"]) as answer, Image.open(io.BytesIO(answer.read())) as sent:
        assert sent.getexif().get(0x0112, 1) == 1
        assert sent.size == ((40, 20) if orientation <= 4 else (20, 40))
        corners = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}
        red, _, blue = sent.getpixel({"left": (3, 3), "right": (sent.width - 3, 3), "top": (3, 3),
                                      "bottom": (3, sent.height - 3)}[corners[orientation]])  # fmt: skip
        assert (red > 200, blue < 60) == (True, True)
    assert job.result(5)[0].image.size == (sent.width * 2, sent.height * 2)


def test_a_turned_photo_keeps_what_it_says_about_its_origin(sandbox, make_session, tmp_path):
    """Reading it does not encode it again."""
    import runware_nb as rw

    make_session(sandbox)
    (tmp_path / "photo.jpg").write_bytes(photo(6))
    assert rw.read(tmp_path / "photo.jpg") == rw.read(photo(6))


def test_an_image_in_memory_is_sent_upright(sandbox, make_session):
    upscale(make_session(sandbox), Image.open(io.BytesIO(photo(6))))
    with urllib.request.urlopen(sandbox.uploads()[0]["url"]) as answer:
        assert Image.open(io.BytesIO(answer.read())).size == (20, 40)


def test_a_mask_fits_the_photo_as_it_is_shown(sandbox, make_session):
    session = make_session(sandbox)
    task = {**SEEDED, "seedImage": photo(6), "strength": 0.8}
    session.submit({**task, "maskImage": picture(20, 40, "L", 255)}).result(30)
    with pytest.raises(MediaError, match=r"^The mask has 40x20 px, and its image has 20x40 px .* Nothing was sent\.$"):
        session.submit({**task, "maskImage": picture(40, 20, "L", 255)})
    assert len(sandbox.requests()) == 1


# --- bad sources --------------------------------------------------------------------------------------


@pytest.fixture
def web():
    """A web server that counts its requests."""
    visits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        pages: ClassVar = {
            "/page": ("text/html", b"<!DOCTYPE html><html><body>an album</body></html>"),
            "/page.png": ("image/png", b"\xef\xbb\xbf\n<html lang=en>"),
            "/image.png": ("image/png", picture()), "/sound.mp3": ("audio/mpeg", b"ID3\x04\0\0\0\0\0\0" + bytes(64)),
            "/photo.heic": ("image/heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(80)),
            "/text": ("text/plain", b"not a medium"),
        }  # fmt: skip

        def do_GET(self):
            visits.append((self.path, self.headers.get("Authorization"), self.headers.get("Cookie")))
            media_type, body = self.pages.get(self.path, ("text/plain", b""))
            self.send_response(403 if self.path == "/denied" else 302 if self.path == "/moved" else 200)
            if self.path == "/moved":
                self.send_header("Location", "/page")
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.visits = visits
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "words"),
    [("/page", "web page (HTML)"), ("/page.png", "web page (HTML)"), ("/moved", "web page (HTML)"),
     ("/sound.mp3", "an audio file (audio/mpeg), and an image is needed"), ("/text", "does not lead to an image"),
     ("/photo.heic", "image/heic, which the service does not take")],
)  # fmt: skip
def test_a_url_that_leads_to_something_else_is_refused_before_anything_is_sent(sandbox, make_session, web, path, words):
    session = make_session(sandbox)
    for _ in range(2):
        with pytest.raises(MediaError) as caught:
            session.submit({**UPSCALE, "inputs": {"image": web.url + path}})
        assert words in str(caught.value)
        assert str(caught.value).endswith("Nothing was sent.")
        assert f"{web.url}{path}" in str(caught.value)
    assert len(web.visits) == (2 if path == "/moved" else 1)  # remembered
    assert {visit[1:] for visit in web.visits} == {(None, None)}
    assert sandbox.requests() == []


@pytest.mark.parametrize("path", ["/image.png", "/denied"])
def test_a_url_of_an_image_or_one_that_cannot_be_read_is_passed_on(sandbox, make_session, web, path):
    with pytest.raises(RunwareNBError, match="fetches only from itself"):
        upscale(make_session(sandbox), web.url + path)
    assert len(web.visits) == 1


def test_a_server_that_is_not_there_or_silent_does_not_stop_a_task(sandbox, make_session):
    with pytest.raises(RunwareNBError, match="fetches only from itself"):
        upscale(make_session(sandbox), "http://127.0.0.1:1/image.png")


def huge_png():
    """A PNG of 300 megapixels that is no longer than its header says."""
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 20_000, 15_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def as_file(name, body):
    def write(folder):
        (folder / name).write_bytes(body)
        return folder / name

    return write


def fifo(folder):
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(80)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'
BAD = {
    "missing file": (lambda folder: folder / "nowhere.png", "nowhere.png': there is no such file"),
    "missing, unicode": (lambda folder: "größe 'x'.png", "größe"),
    "wrong type": (as_file("notes.png", b"just some notes"), "notes.png': it is not an image, video, audio or 3D file"),
    "audio": (as_file("a.png", b"ID3\x04\0\0\0\0\0\0" + bytes(64)), "an audio file (audio/mpeg), and an image is needed"),
    "svg": (as_file("a.svg", SVG), "an SVG drawing"),
    "heic": (as_file("photo.jpg", HEIC), "photo.jpg': HEIC and HEIF images cannot be converted here. Install the"),
    "300 megapixels": (as_file("big.png", huge_png()), "300 megapixels (20000x15000 px)"),
    "directory": (lambda folder: folder, "it is a directory"),
    "empty file": (as_file("a.png", b""), "a.png': it is empty (0 bytes)"),
    "truncated": (as_file("a.png", np.random.default_rng(1).bytes(3) and picture(300, 300)[:-60]), "damaged or incomplete"),
    "pipe": (fifo, "it is not a regular file"),
    "device": (lambda _: "/dev/zero", "it is not a regular file"),
    "float 0 to 1": (lambda _: np.full((4, 4, 3), 0.5), "type float64: pixels are uint8 from 0 to 255, and its values are"),
    "float 0 to 255": (lambda _: np.full((4, 4), 200.0), "x.round().astype('uint8')"),
    "16 bits": (lambda _: np.full((4, 4), 2000, "uint16"), "x // 257"),
    "channels first": (lambda _: np.zeros((3, 8, 8), "uint8"), "shape (3, 8, 8) and type uint8: it is not an image"),
    "no pixels": (lambda _: Image.new("RGB", (0, 4)), "it has no pixels"),
    "floats of Pillow": (lambda _: Image.new("F", (4, 4), 0.5), "its values are 0.5 to 0.5"),
    "data URI": (lambda _: "data:image/png;base64,iVBORw0KGgo", "the inline data"),
    "data URI without base64": (lambda _: "data:image/png,abc", "not a data URI with base64"),
    "a number": (lambda _: 7, "a value of type int as a medium"),
    "several results": (lambda _: Outcome({}, UNKNOWN, [], []), "has no result"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_source_is_one_sentence_and_nothing_is_sent(sandbox, make_session, tmp_path, kind):
    make, words = BAD[kind]
    session = make_session(sandbox)
    with pytest.raises(RunwareNBError) as caught:
        session.submit({**UPSCALE, "inputs": {"image": make(tmp_path)}})
    sentence = str(caught.value)
    assert words in sentence
    assert "Nothing was sent." in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert (sandbox.requests(), sandbox.uploads(), session.log.recent()) == ([], [], [])


def test_a_file_that_may_not_be_read_is_one_sentence(sandbox, make_session, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(picture())
    session = make_session(sandbox)

    def refuse(path):  # the superuser, who runs these tests in containers, may read every file
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(MediaError, match="no permission"):
        session.submit({**UPSCALE, "inputs": {"image": tmp_path / "a.png"}})


@pytest.mark.parametrize(
    ("media", "words"),
    [({"maskImage": picture(8, 8, "L", 0)}, "A mask needs the image"),
     ({"maskImage": picture(8, 8, "L", 0), "seedImage": picture()}, "The mask has 8x8 px, and its image has 64x32 px")],
)  # fmt: skip
def test_a_mask_that_does_not_fit_is_refused(sandbox, make_session, media, words):
    with pytest.raises(RunwareNBError) as caught:
        make_session(sandbox).submit({**SEEDED, **media})
    assert words in str(caught.value)
    assert str(caught.value).endswith("Nothing was sent.")
    assert (sandbox.requests(), sandbox.uploads()) == ([], [])


def test_a_mask_is_compared_with_a_result_that_is_not_uploaded(sandbox, make_session):
    session = make_session(sandbox)
    result = session.submit(SEEDED).result(30)[0]
    with pytest.raises(MediaError, match="its image has 128x128 px"):
        session.submit({**SEEDED, "seedImage": result, "maskImage": picture(8, 8, "L", 255)})
    session.submit({**SEEDED, "seed": 6, "seedImage": result, "maskImage": picture(128, 128, "L", 255)}).result(30)
    assert len(sandbox.uploads()) == 1


def test_what_is_transparent_in_a_mask_is_kept(sandbox, make_session):
    """Strokes on a transparent layer, as painting programs export them, become white on black."""
    strokes = Image.new("RGBA", (64, 32), (255, 255, 255, 0))
    strokes.paste((255, 255, 255, 255), (0, 0, 32, 32))
    make_session(sandbox).submit({**SEEDED, "seedImage": picture(), "maskImage": strokes}).result(30)
    with urllib.request.urlopen(sandbox.uploads()[-1]["url"]) as answer:
        sent = Image.open(io.BytesIO(answer.read()))
    masks = [sent] if sent.mode == "L" else []
    for upload in sandbox.uploads():
        with urllib.request.urlopen(upload["url"]) as answer:
            masks += [image for image in [Image.open(io.BytesIO(answer.read()))] if image.mode == "L"]
    assert (masks[0].getpixel((3, 3)), masks[0].getpixel((60, 3))) == (255, 0)


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("P", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("1", "PNG"), ("RGB", "GIF")]
)
def test_unusual_images_are_sent_as_they_are(sandbox, make_session, mode, kind):
    image = Image.new(mode, (16, 16))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    upscale(make_session(sandbox), buffer.getvalue())
    assert sandbox.uploads()[0]["sha256"] == hashlib.sha256(buffer.getvalue()).hexdigest()
    upscale(make_session(sandbox), image, upscaleFactor=4)


def test_an_animation_is_sent_as_it_is(sandbox, make_session):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    body = picture(16, 16, "RGB", "red", format="GIF", save_all=True, append_images=frames)
    upscale(make_session(sandbox), body)
    assert len(sandbox.requests()) == 1
