"""The same request is answered from the log: at no cost, and only when it really is the same."""

import base64
import re

import pytest
from PIL import Image, features

from runware_nb.errors import MediaError
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 7}


def picture(colour="teal"):
    return Image.new("RGB", (64, 64), colour)


def test_the_same_request_costs_nothing_the_second_time(sandbox, make_session):
    session = make_session(sandbox)
    first = session.submit(SEEDED).result()
    job = session.submit(SEEDED)
    second = job.result()
    assert second.is_recorded
    assert not first.is_recorded
    assert [result.bytes for result in second] == [result.bytes for result in first]
    assert second.task_uuid == first.task_uuid
    assert len(sandbox.charges()) == 1
    assert session.log.count() == 1
    assert second._repr_mimebundle_() == first._repr_mimebundle_(), "the same images are the same output"
    assert [result._repr_mimebundle_() for result in second] == [result._repr_mimebundle_() for result in first]
    (notice,) = job.notices
    assert re.search(r"recorded: run \w{8} of .* answered at \$0\.00 \(it cost \$0\.\d+ when .*fresh=True", notice)


@pytest.mark.parametrize(
    "task",
    [
        {"taskType": "caption", "model": "runware:150@2", "inputs": {"image": None}},
        {"taskType": "upscale", "model": "runware:504@1", "inputs": {"image": None}, "upscaleFactor": 2},
        {**TASK, "seed": 7, "seedImage": None, "strength": 0.5},
        {**TASK, "seed": 7, "numberResults": 3, "steps": 9, "CFGScale": 3.5, "negativePrompt": "x" * 500,
         "lora": [{"weight": 0.5, "model": "civitai:1@1"}], "scheduler": "Euler"},
    ],
    ids=lambda task: task["taskType"] + ("-seed-image" if "seedImage" in task else ""),
)  # fmt: skip
def test_every_kind_of_answer_is_the_same_output_the_second_time(sandbox, make_session, task):
    session = make_session(sandbox)
    image = picture("red")
    task = {**task, **({"inputs": {"image": image}} if "inputs" in task else {})}
    task = {**task, **({"seedImage": image} if "seedImage" in task else {})}
    first = session.submit(task, agreed=True).result()
    again = session.submit(dict(reversed(task.items()))).result()
    assert again.is_recorded
    assert again._repr_mimebundle_() == first._repr_mimebundle_()


def test_a_part_that_failed_is_the_same_output_in_replay_mode(sandbox, make_session):
    session = make_session(sandbox)
    sandbox.faults({"kind": "fail", "items": [1]})
    first = session.submit({**SEEDED, "numberResults": 3}).result()
    assert len(first.errors) == 1
    session.configure(mode="replay")
    again = session.submit({**SEEDED, "numberResults": 3}).result()
    assert again._repr_mimebundle_() == first._repr_mimebundle_()


def test_in_another_kernel_too_and_without_the_service(start_sandbox, make_session):
    sandbox = start_sandbox()
    first = make_session(sandbox).submit(SEEDED).result()
    sandbox.kill()
    again = make_session(sandbox).submit({**SEEDED, "numberResults": 1, "outputFormat": "JPG"}).result(10)
    assert again.is_recorded  # spelt out defaults of the protocol are the same request
    assert again[0].bytes == first[0].bytes


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"numberResults": 2}, {"width": 320}, {"outputFormat": "PNG"}, {"outputQuality": 80}, {"steps": 9},
     {"positivePrompt": "another"}, {"model": "runware:100@1"}],
    ids="-".join,
)  # fmt: skip
def test_any_change_asks_again(sandbox, make_session, change):
    session = make_session(sandbox)
    session.submit(SEEDED).result()
    assert not session.submit({**SEEDED, **change}).result().is_recorded
    assert len(sandbox.charges()) == 2


def test_without_a_seed_of_ones_own_every_run_is_new(sandbox, make_session):
    session = make_session(sandbox)
    session.submit(TASK).result()
    assert not session.submit(TASK).result().is_recorded
    assert len(sandbox.charges()) == 2


def test_fresh_asks_again(sandbox, make_session):
    session = make_session(sandbox)
    session.submit(SEEDED).result()
    assert not session.submit(SEEDED, fresh=True).result().is_recorded
    assert len(sandbox.charges()) == 2


def test_a_failure_or_a_partial_answer_is_no_answer_and_a_missing_file_is_downloaded_again(sandbox, make_session):
    session = make_session(sandbox)
    sandbox.faults({"kind": "fail", "items": [0]})
    assert session.submit({**SEEDED, "numberResults": 2}).result().errors
    whole = session.submit({**SEEDED, "numberResults": 2}).result()
    assert not whole.errors
    assert not whole.is_recorded
    paid, body = len(sandbox.charges()), whole[1].image.tobytes()
    whole[1].path.unlink()
    again = session.submit({**SEEDED, "numberResults": 2}).result()
    assert again.is_recorded
    assert again[1].path.is_file()
    assert again[1].image.tobytes() == body
    assert len(sandbox.charges()) == paid


def test_operations_need_no_seed_and_media_count_by_content(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    picture().save(tmp_path / "in.png")
    task = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}
    first = session.submit({**task, "inputs": {"image": picture()}}, agreed=True).result()
    assert not first.is_recorded
    for same in (picture(), tmp_path / "in.png", (tmp_path / "in.png").read_bytes()):
        assert session.submit({**task, "inputImage": same}).result().is_recorded
    assert not session.submit({**task, "inputs": {"image": picture("red")}}).result().is_recorded
    assert len(sandbox.charges()) == 2


def test_texts_are_recorded_as_well(sandbox, make_session):
    session = make_session(sandbox)
    task = {"taskType": "caption", "model": "runware:150@2", "inputs": {"image": picture()}}
    first, second = (session.submit(task, agreed=True).result() for _ in range(2))
    assert second.is_recorded
    assert second[0].text == first[0].text
    assert len(sandbox.charges()) == 1


def test_a_heic_image_is_refused_before_anything_is_sent(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    task = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}
    with pytest.raises(MediaError, match=r"photo\.jpg.*pip install .runware-nb\[heic\].*Nothing was sent"):
        session.submit({**task, "inputs": {"image": str(tmp_path / "photo.jpg")}})
    assert sandbox.charges() == []
    assert session.log.count() == 0


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF; install Pillow 11.3")
def test_an_avif_image_is_converted_for_the_service_whatever_carries_it(sandbox, make_session, tmp_path):
    session = make_session(sandbox)
    path = tmp_path / "photo.avif"
    picture().save(path)
    inline = f"data:image/avif;base64,{base64.b64encode(path.read_bytes()).decode()}"
    task = {"taskType": "upscale", "model": "runware:504@1", "upscaleFactor": 2}
    results = [session.submit({**task, "inputs": {"image": value}}, agreed=True).result() for value in (path, inline)]
    assert [result.is_recorded for result in results] == [False, True]
    assert results[0][0].image.size == (128, 128)
    assert len(sandbox.charges()) == 1
