"""What counts as a result in the output of a template."""

import pytest

from runware_nb.core.results import Result
from runware_nb.providers.runkey.outputs import document_kind, outputs_of
from runware_nb.providers.runkey.protocol import parse_task

URL = "https://cdn.example/a"


def outputs(output, given=None):
    task = parse_task({"task_id": "t", "status": "completed", "output": output, "input": {"private": 1}})
    return outputs_of(task, given or {})


def essence(output, given=None):
    left_out = {"runkey", "resultIndex", "outputPath"}
    return [{name: value for name, value in raw.items() if name not in left_out} for raw in outputs(output, given)]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"result_url": f"{URL}.png", "thumbnail_url": f"{URL}.t.png"}, [{"imageURL": f"{URL}.png"}]),
        ({"thumbnail_url": f"{URL}.png"}, [{"imageURL": f"{URL}.png"}]),
        ({"a": f"{URL}.mp4?sig=1", "b": {"c": [f"{URL}.mp3"]}}, [{"videoURL": f"{URL}.mp4?sig=1"}, {"audioURL": f"{URL}.mp3"}]),
        ({"file": URL}, [{"mediaURL": URL}]),
        ([f"{URL}.webp", f"{URL}.JPG"], [{"imageURL": f"{URL}.webp"}, {"imageURL": f"{URL}.JPG"}]),
        (f"{URL}.png", [{"imageURL": f"{URL}.png"}]),
        ({"result_url": f"{URL}.png", "width": 64}, [{"imageURL": f"{URL}.png"}, {"structuredData": {"width": 64}}]),
        ({"text": "A ship."}, [{"text": "A ship."}]),
        ("A ship.", [{"text": "A ship."}]),
        ({"label": "ship"}, [{"structuredData": {"label": "ship"}}]),
        ({"text": "A ship.", "score": 1}, [{"structuredData": {"text": "A ship.", "score": 1}}]),
        ({"note": f"see {URL}"}, [{"structuredData": {"note": f"see {URL}"}}]),
        ({}, [{"structuredData": {}}]),
        (None, [{"structuredData": {}}]),
        (7, [{"structuredData": 7}]),
        ({"url": "https://"}, [{"structuredData": {"url": "https://"}}]),
        ({"empty": [], "ok": False}, [{"structuredData": {"empty": [], "ok": False}}]),
    ],
)  # fmt: skip
def test_urls_are_results_and_the_rest_is_one(output, expected):
    assert essence(output) == expected


def test_an_input_that_a_template_repeats_is_no_result():
    output = {"input": {"image_url": f"{URL}.png"}, "result_url": f"{URL}.mp4"}
    assert essence(output, {"image_url": f"{URL}.png"}) == [
        {"videoURL": f"{URL}.mp4"}, {"structuredData": {"input": {"image_url": f"{URL}.png"}}},
    ]  # fmt: skip


def test_each_result_has_its_place_and_the_object_of_the_service():
    first, second = outputs({"a": f"{URL}.png", "b": [{"c": f"{URL}.png?2"}]})
    assert (first["resultIndex"], second["resultIndex"]) == (0, 1)
    assert (first["outputPath"], second["outputPath"]) == ("a", "b[0].c")
    assert first["runkey"]["status"] == "completed"
    assert "input" not in first["runkey"]
    assert Result(second, "u", 1).url == f"{URL}.png?2"


@pytest.mark.parametrize(
    ("url", "kind"), [(f"{URL}.json?x=1", "json"), (f"{URL}.TXT", "text"), (f"{URL}.png", ""), (URL, "")]
)
def test_documents_are_told_by_their_ending(url, kind):
    assert document_kind(url) == kind


def test_an_output_of_any_depth_ends():
    output = {"a": f"{URL}.png"}
    for _ in range(60):
        output = {"a": output}
    assert outputs(output)
