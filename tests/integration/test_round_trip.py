"""Every type of task, from the request to a colleague's folder and back."""

import argparse

from PIL import Image

from runware_nb.commands import diff, methods, show
from runware_nb.reproduce.bundle import make_bundle, merge_bundle, open_into
from runware_nb.reproduce.bundle_files import read_bundle
from runware_nb.reproduce.code import code_for
from runware_nb.reproduce.records import write_lines
from runware_nb.runlog.filters import RunFilter
from runware_nb.sandbox.core.making.films import encode_film, film_frames
from runware_nb.session.session import Session
from runware_nb.settings import Settings
from tests.conftest import TASK


def image():
    return Image.new("RGB", (64, 64), "teal")


def every_task():
    film, _ = encode_film(film_frames(image(), None, (64, 64), 3), fps=3, output_format="MP4")
    placed = {"inputs": {"image": image()}}
    return [
        {**TASK, "seed": 1},
        {**TASK, "seed": 2, "lora": [{"model": "civitai:1@1", "weight": 0.5}], "width": 128, "height": 128},
        {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2, **placed},
        {"taskType": "imageUpscale", "upscaleFactor": 2, "inputImage": image()},
        {"taskType": "upscale", "model": "bria:50@1", "upscaleFactor": 2, "inputs": {"video": film}},
        {"taskType": "removeBackground", "model": "runware:109@1", **placed},
        {"taskType": "imageBackgroundRemoval", "inputImage": image()},
        {"taskType": "caption", **placed},
        {"taskType": "caption", "model": "runware:154@1", **placed},
        {"taskType": "imageMasking", "model": "runware:35@1", **placed, "settings": {"maskBlur": 0}},
        {"taskType": "controlNetPreprocess", "model": "runware:controlnet-preprocess@canny", **placed},
        {"taskType": "vectorize", "model": "recraft:1@1", **placed},
        {"taskType": "promptEnhance", "prompt": "a cat \u2028 & a dog", "promptVersions": 2, "promptMaxLength": 64},
        {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hi"}],
         "settings": {"maxTokens": 4}},
        {"taskType": "videoInference", "model": "google:3@3", "positivePrompt": "it moves", "duration": 1, "fps": 5},
        {"taskType": "audioInference", "model": "runware:ace-step@v1.5-turbo", "positivePrompt": "a tune", "duration": 1,
         "outputFormat": "WAV"},
        {"taskType": "3dInference", "model": "microsoft:trellis-2@4b", **placed},
        {"taskType": "training", "model": "runware:flux-1-dev@style-lora-training", "inputs": {"dataset": image()},
         "importModel": {"air": "me:style@1"}},
        {"taskType": "tools", "model": "runware:ffmpeg@0", **placed, "outputFormat": "PNG", "settings": {"anything": 1}},
        {"taskType": "modelSearch", "search": "pixel", "limit": 1},
        {"taskType": "telepathy", "thought": "x"},
    ]  # fmt: skip


def settled(session, tasks):
    """Run tasks to their end; one that the service or the catalogue refuses is a kind of run, too."""
    jobs = []
    for task in tasks:
        try:
            jobs.append(session.submit(task, agreed=True))
        except Exception as error:
            assert "\n" not in str(error)
    for job in jobs:
        try:
            job.result(timeout_s=60)
        except Exception as error:
            assert "\n" not in str(error)
    return jobs


def test_every_type_of_task_makes_the_round_trip(sandbox, make_session, tmp_path, polls_soon):
    session = make_session(sandbox)
    settled(session, every_task())
    runs = session.log.select(RunFilter(limit=100))
    types = {run.task_type for run in runs}
    assert {"imageInference", "upscale", "caption", "textInference", "promptEnhance", "vectorize", "tools"} <= types
    assert any(run.model is None for run in runs)
    for run in runs:
        answer = show.run(session, argparse.Namespace(ref=run.task_uuid))
        assert run.task_uuid in answer.bundle["text/plain"]
        compile(code_for(run, session.media.folder), "cell", "exec")
        assert diff.run(session, argparse.Namespace(first=run.task_uuid, second=runs[0].task_uuid)).json["first"]
    parser = argparse.ArgumentParser()
    methods.add_arguments(parser)
    assert methods.run(session, parser.parse_args([])).bundle["text/plain"]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(write_lines(session.log, runs)), encoding="utf-8")
    other = make_session(sandbox, home=tmp_path / "other" / ".runware")
    finished = [run for run in runs if run.is_finished]
    merged = merge_bundle(other, path)
    assert (len(merged.added), merged.skipped) == (len(finished), ())
    make_bundle(session, tmp_path / "all.zip", runs)
    with read_bundle(tmp_path / "all.zip") as bundle:
        bundle.check()
    open_into(tmp_path / "all.zip", tmp_path / "opened")
    paid = len(sandbox.charges())
    replaying = Session(Settings(home=tmp_path / "opened" / ".runware", mode="replay", **sandbox.urls))
    try:
        recorded = {run.asked_hash for run in runs if run.results}
        answered = settled(replaying, every_task())
        missing = recorded - {job.record.asked_hash for job in answered}
        assert [run.request for run in runs if run.asked_hash in missing] == []
        for job in answered:
            if job.record.state == "succeeded":
                count = sum(result.error is None for result in session.log.find(job.task_uuid).results)
                assert len(job.future.result(timeout=30)) == count, job.record.task_type
    finally:
        replaying.close()
    assert len(sandbox.charges()) == paid
