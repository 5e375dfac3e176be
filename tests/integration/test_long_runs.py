"""Videos, audio and 3D models: the wait for them, what becomes of it after Stop or a restart, and how they are shown."""

import json
import re

import pytest
from PIL import Image

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.engine.durations import duration_in_words, in_round_numbers, wait_in_words
from runware_nb.engine.job_view import render_job
from runware_nb.engine.thumbnails import picture_of
from runware_nb.loop import WaitInterrupted, background_loop, wait
from runware_nb.notebook import display as cells
from runware_nb.reproduce.gallery import gallery_page
from runware_nb.runlog import State
from runware_nb.runlog.durations import usual_duration
from runware_nb.runlog.exhibits import list_images
from runware_nb.runlog.filters import RunFilter
from runware_nb.runlog.records import UsualDuration
from runware_nb.sandbox.core.making.films import encode_film, film_frames
from tests.runs import run_record

SCALE = 30
FILM = {"taskType": "videoInference", "model": "google:3@3", "positivePrompt": "a red ship", "duration": 2, "fps": 8,
        "width": 854, "height": 480, "seed": 7}  # fmt: skip


def command(session, name, *words):
    module = find_command(name)
    parser = LineParser(name, module.SUMMARY)
    module.add_arguments(parser)
    return module.run(session, parser.read(list(words)))


@pytest.fixture
def scaled(monkeypatch):
    """Polls that are as much faster as the sandbox is; gives how long after the sending each one was, in its seconds."""
    import time

    from runware_nb.providers.runware import fate, tracker
    from runware_nb.providers.runware.router import Router

    first, later, expect, send = fate.first_poll_s, fate.poll_delay_s, Router.expect_poll, tracker.Tracker._send
    times = []

    def noting(router, flight):
        times.append((time.monotonic() - started[flight.task_uuid]) * SCALE)
        return expect(router, flight)

    started = {}

    def sending(self, flight, deadline):
        started[flight.task_uuid] = time.monotonic()
        return send(self, flight, deadline)

    monkeypatch.setattr(fate, "first_poll_s", lambda operation: first(operation) / SCALE)
    monkeypatch.setattr(fate, "poll_delay_s", lambda attempt: later(attempt) / SCALE)
    monkeypatch.setattr(Router, "expect_poll", noting)
    monkeypatch.setattr(tracker.Tracker, "_send", sending)
    return times


@pytest.fixture
def studio(start_sandbox):
    """A sandbox in which a video takes 60 s, which are 2 s here."""
    return start_sandbox("--latency-s", "60", "--time-scale", str(SCALE))


def test_a_minute_of_video_shows_progress_and_is_polled_rarely(studio, make_session, scaled):
    session = make_session(studio)
    job = session.submit(FILM, agreed=True)
    seen = []
    job.on_change(lambda: seen.append((job.progress, render_job(job)["text/plain"])))
    outcome = job.result(30)
    percents = [percent for percent, _ in seen if percent is not None]
    assert percents == sorted(percents)
    assert 0 < percents[0] < percents[-1] < 100
    assert any(re.search(r"in progress · \d+ % · a red ship", line) for _, line in seen)
    assert min(scaled) >= 10, "a video is not ready sooner"
    assert len(scaled) <= 10
    assert "1 video" in render_job(job)["text/plain"]
    assert len(studio.charges()) == 1
    # The second one is told how long the first one took.
    again = session.submit({**FILM, "seed": 8}, agreed=True)
    panel = render_job(again)
    assert "usually takes about 2 s" in panel["text/plain"]
    assert "aspect-ratio:854/480" in panel["text/html"]
    plan = session.plan({**FILM, "seed": 9})
    assert duration_in_words(plan.usual_duration) == "about 2 s (median of 1 of your similar runs)"
    assert not usual_duration(session.log, {**FILM, "duration": 8}, "sandbox").is_similar
    assert usual_duration(session.log, {**FILM, "model": "another:1@1"}, "sandbox") is None
    assert again.result(30).results[0].bytes != outcome.results[0].bytes


def test_a_video_is_collected_and_shown_after_the_kernel_ended(studio, make_session, scaled):
    first = make_session(studio)
    job = first.submit(FILM, agreed=True)
    while not scaled:  # it was sent, and polled once
        with pytest.raises(TimeoutError):
            job.future.result(0.05)
    job.detach()
    first.close()
    session = make_session(studio)
    answer = command(session, "resume", job.task_uuid[:8])
    assert not answer.is_failure
    (row,) = answer.json
    assert row["state"] == "succeeded"
    assert f"{job.task_uuid[:8]}#1: " in answer.bundle["text/plain"], "a terminal is told the path"
    assert answer.outcome.results[0].path.suffix == ".mp4"
    assert len(studio.charges()) == 1


def test_a_run_that_was_collected_later_says_nothing_about_time(sandbox, make_session, run_async):
    session = make_session(sandbox)
    times = {"created_at_utc": "2026-01-01T00:00:00+00:00", "sent_at_utc": "2026-01-01T00:00:00+00:00"}
    task = {"taskType": "videoInference", "model": "a:1@1", "duration": 5}

    async def write():
        for number, (duration_s, finished) in enumerate([(50.0, "00:00:51"), (70.0, "00:01:12"), (1.0, "09:00:00")]):
            record = run_record(number, **times, request=task, model="a:1@1", task_type="videoInference")
            await session.log.prepare(record)
            uuid = record.task_uuid
            await session.log.mark_sent(uuid, uuid, 1, times["sent_at_utc"], json.dumps(task))
            at_utc = f"2026-01-01T{finished}+00:00"
            await session.log.finish(uuid, State.SUCCEEDED, at_utc=at_utc, duration_s=duration_s, cost=None, error=None)

    wait(background_loop().submit(write()))
    provider = run_record().provider
    assert usual_duration(session.log, task, provider) == UsualDuration(60.0, 2, is_similar=True)
    assert usual_duration(session.log, {**task, "duration": 6}, provider).is_similar
    assert not usual_duration(session.log, {**task, "duration": 10}, provider).is_similar
    assert usual_duration(session.log, {**task, "taskType": "imageInference"}, provider) is None


class LiveFrontEnd:
    """The front end of a notebook, as far as `resume` uses it."""

    def __init__(self, inner):
        self._inner, self.shown = inner, []
        self.has_cells = True

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def wait_for(self, job):
        job.result(30)
        self.shown.append(render_job(job))
        return True


def test_resume_shows_each_result_and_a_table_of_several(sandbox, make_session, polls_soon, run_async):
    from runware_nb.commands import resume
    from tests.fake_front_end import FakeFrontEnd

    front_end = LiveFrontEnd(FakeFrontEnd())
    session = make_session(sandbox, front_end=front_end)
    jobs = [session.submit({**FILM, "seed": seed}, agreed=True) for seed in (1, 2)]
    refs = [job.task_uuid[:8] for job in jobs]
    for job in jobs:
        job.result(30)
    answer = command(session, "resume", *refs)
    assert len(front_end.shown) == 2
    assert all("<video" in shown["text/html"] for shown in front_end.shown)
    assert all(ref in answer.bundle["text/plain"] for ref in refs)
    assert ".mp4" not in answer.bundle["text/plain"]
    single = command(session, "resume", refs[0])
    assert single.bundle == {}, "the result itself is shown, and a table of one row says nothing more"
    assert single.outcome.task_uuid == jobs[0].task_uuid
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "_MOST_SHOWN", 1)
        many = command(session, "resume", *refs)
    assert many.notes == ("1 more were collected and are not shown here. `show UUID` shows one of them.",) or (
        "1 more were collected" in many.notes[0]
    )


def test_stop_at_once_leaves_a_place_for_the_result(studio, make_session, scaled, monkeypatch):
    session = make_session(studio)
    places = []
    monkeypatch.setattr(cells, "open_place", lambda bundle: places.append([bundle]) or places[-1])
    monkeypatch.setattr(cells, "fill_place", lambda place, bundle: place.append(bundle))
    job = session.submit(FILM, agreed=True)

    def stop(on_tick):
        raise WaitInterrupted("Stopped.")

    monkeypatch.setattr(job, "result", stop)
    with pytest.raises(WaitInterrupted):
        cells.wait_and_show(job, is_live=True)
    (place,) = places
    assert "runware-nb-progress" in place[0]["text/html"]
    job.future.result(30)
    cells._drawing.submit(int).result(30)  # the drawing thread has done what came before
    assert "<video" in place[-1]["text/html"]


@pytest.fixture
def shelf(sandbox, make_session, polls_soon):
    """A session with a video, audio, a 3D model and an image."""
    session = make_session(sandbox)
    tasks = [
        FILM,
        {
            "taskType": "audioInference",
            "model": "runware:ace-step@v1.5-turbo",
            "positivePrompt": "a tune",
            "duration": 2,
        },
        {"taskType": "3dInference", "model": "trellis", "inputs": {"image": Image.new("RGB", (64, 64), "teal")}},
        {
            "taskType": "imageInference",
            "model": "runware:101@1",
            "positivePrompt": "a ship",
            "width": 128,
            "height": 128,
        },
    ]
    session.jobs_made = [session.submit(task, agreed=True) for task in tasks]
    session.made = [job.result(60) for job in session.jobs_made]
    return session


def test_each_medium_is_shown_with_a_still_picture_and_its_file(shelf):
    film, tune, vase, _ = (outcome._repr_mimebundle_() for outcome in shelf.made)
    for bundle in (film, tune, vase):
        assert len(bundle["text/html"]) < 100 * 1024
        assert 'src="data:image/' in bundle["text/html"]
        assert ">download</a>" in bundle["text/html"]
        assert (">open full file</a>" in bundle["text/html"]) == (bundle is not vase)
    assert re.search(r'<video src="runware_images/[^"]+\.mp4"', film["text/html"])
    assert re.search(r'<audio src="runware_images/[^"]+"', tune["text/html"])
    assert 'alt="Video: a red ship"' in film["text/html"]
    assert re.search(r'download="a-red-ship-[0-9a-f]{8}\.mp4"', film["text/html"])
    starts = [bundle["text/plain"].partition(" · ")[0] for bundle in (film, tune, vase)]
    assert starts == ["1 video", "1 audio file", "1 3D model"]
    assert re.search(r"MP4 video, 2\.0 s, 854 × 480, 8 fps, \d+ KiB", film["text/plain"])
    assert re.search(r"GLB 3D model, 288 vertices, 528 triangles, [\d. ×]+ units, \d+ KiB", vase["text/plain"])
    assert film == shelf.job(shelf.made[0].task_uuid).result(30)._repr_mimebundle_(), "the log draws the same"


def test_what_reads_no_html_gets_the_still_picture_and_the_path(shelf):
    from runware_nb.engine.display import render_outcome

    shown = render_outcome(shelf.made[0], display="image")
    assert "image/jpeg" in shown
    assert re.search(r"MP4 video, .*: runware_images/.*\.mp4", shown["text/plain"])


def test_without_the_extra_a_sentence_says_once_how_to_get_it(shelf, monkeypatch):
    from runware_nb.media import preview

    for file in shelf.settings.home.glob("thumbnails/*/*-preview"):
        file.unlink()
    monkeypatch.setattr(preview.importlib.util, "find_spec", lambda name: None)
    html = shelf.job(shelf.made[0].task_uuid).result(30)._repr_mimebundle_()["text/html"]
    assert html.count("pip install &quot;runware-nb[preview]&quot;") == 1
    assert "<video" in html


def test_gallery_history_compare_and_page_show_every_medium(shelf, tmp_path):
    places = list_images(shelf.log, RunFilter())
    assert {uuid for uuid, _ in places} == {outcome.task_uuid for outcome in shelf.made}
    assert len(list_images(shelf.log, RunFilter(), types=("image/",))) == 1
    for job in shelf.jobs_made:
        run = shelf.log.find(job.task_uuid)
        picture = picture_of(shelf, run, run.results[0], side_px=72)
        assert picture.media_type.startswith("image/")
        assert picture.href.startswith("runware_images/")
        assert "<img" in command(shelf, "history", job.task_uuid[:8]).bundle["text/html"]
    page = gallery_page(shelf, shelf.log.select(RunFilter()), title="all", link=lambda _: None)
    assert page.count("<img") == 4
    names = [job.task_uuid[:8] for job in shelf.jobs_made]
    compared = command(shelf, "compare", names[0], names[2])
    assert "2.0 s, 854x480" in compared.bundle["text/plain"]
    assert "528 triangles" in compared.bundle["text/plain"]
    assert "<video" in command(shelf, "show", names[0]).bundle["text/html"]


def test_the_log_knows_a_video_by_its_hash(shelf, tmp_path):
    outcome = shelf.made[0]
    (file,) = outcome.save(tmp_path / "out")
    answer = command(shelf, "read", str(file))
    said = answer.bundle["text/plain"]
    assert said.startswith(f"Run {outcome.task_uuid[:8]} generated this video with google:3@3 on ")
    assert '"a red ship"' in said
    assert answer.json["run"]["task_uuid"] == outcome.task_uuid
    file.write_bytes(file.read_bytes() + b"\0")
    unknown = command(shelf, "read", str(file))
    assert unknown.is_failure
    assert "contains no record of its origin, and the log has no run that generated it" in unknown.bundle["text/plain"]


def test_a_video_is_verified_by_its_bytes(shelf):
    answer = command(shelf, "verify", shelf.made[0].task_uuid[:8], "--yes")
    assert answer.json["runs"][0]["verdict"] == "exact"
    assert "<img" not in answer.bundle["text/html"], "what is exact is not shown side by side"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (9.4, "9 s"), (23, "25 s"), (52, "50 s"), (58, "1 min"), (200, "3 min"), (9000, "2 h")],
)
def test_durations_pretend_no_precision(seconds, words):
    assert in_round_numbers(seconds) == words


def test_a_wait_is_worded_by_what_is_known():
    usual = UsualDuration(50.0, 3, is_similar=True)
    assert wait_in_words(0.2, None) == []
    assert wait_in_words(12.9, usual) == ["12 s so far", "usually takes about 50 s"]
    assert wait_in_words(131, usual) == ["2:11 min so far", "longer than the usual 50 s"]


def film_result(body, index=0, **raw):
    from runware_nb.core.results import Result
    from runware_nb.media import MemoryMedium

    return Result({"videoURL": "https://example.com/a.mp4", **raw}, "3f2a9c1b-0000-4000-8000-000000000000", index,
                  MemoryMedium(body))  # fmt: skip


def bundle_of(results, prompt="a red ship"):
    from runware_nb.core.results import Outcome
    from runware_nb.engine.display import render_outcome
    from runware_nb.providers.base import Description

    outcome = Outcome({"taskType": "videoInference"}, "3f2a9c1b-0000-4000-8000-000000000000", results, [])
    return render_outcome(outcome, description=Description(prompt))


def test_several_noisy_videos_share_one_output():
    noise = Image.effect_noise((640, 640), 120).convert("RGB")
    film = encode_film(film_frames(noise, None, (640, 640), 2), fps=2, output_format="MP4")[0]
    html = bundle_of([film_result(film, index) for index in range(4)])["text/html"]
    assert html.count("<img ") == 4
    assert len(html) < 100 * 1024


def test_a_flagged_video_is_folded_and_a_prompt_is_no_markup():
    film = encode_film(film_frames(Image.new("RGB", (64, 64)), None, (64, 64), 2), fps=2, output_format="MP4")[0]
    html = bundle_of([film_result(film, NSFWContent=True)], '"><script>alert(1)</script>')["text/html"]
    assert "flagged by the service; open to see" in html
    assert "<script" not in html


def test_a_damaged_video_is_still_linked(tmp_path):
    from runware_nb.media import FileMedium

    path = tmp_path / "runware_images" / "ab" / "film.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0\0\0\x20ftypisom" + b"\xff" * 500)
    result = film_result(b"")
    result.medium = FileMedium(path)
    html = bundle_of([result])["text/html"]
    assert 'src="runware_images/ab/film.mp4"' in html
    assert "no preview: the file cannot be read" in html


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_drawing_is_stored_or_shown_from_its_file(tmp_path, size):
    from runware_nb.core.results import Result
    from runware_nb.media import FileMedium

    path = tmp_path / "drawing.svg"
    path.write_bytes(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 400">' + b" " * size + b"</svg>")
    html = bundle_of([Result({}, "3f2a9c1b-0000-4000-8000-000000000000", 0, FileMedium(path))])["text/html"]
    assert len(html) < 100 * 1024
    assert ('src="data:image/svg+xml' in html) == (size == 1000)
    assert ('<img alt="a red ship" width="200" style' in html and 'src="drawing.svg"' in html) == (size > 1000)
    assert "SVG image, 200 × 400" in html
