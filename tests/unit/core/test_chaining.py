"""The methods of results, outcomes and jobs agree with the table of operations."""

import inspect

import pytest

from runware_nb.core.chaining import (
    METHODS,
    OF_EVERY_RUN,
    Operations,
    method_signature,
    produced_kind,
    subject_of,
)
from runware_nb.core.operations import OPERATIONS, operation_of
from runware_nb.core.results import Outcome, Result
from runware_nb.engine.job_group import JobGroup
from runware_nb.engine.jobs import Job
from runware_nb.errors import TaskInvalid

WITHOUT_METHOD = {"text-to-image", "upload", "training", "tools"}


def test_every_operation_on_a_medium_is_a_method():
    assert {operation.name for operation in METHODS.values()} | WITHOUT_METHOD >= {each.name for each in OPERATIONS}
    public = {name for name in vars(Operations) if not name.startswith("_")}
    assert public >= set(METHODS)
    for kind in (Result, Outcome, Job, JobGroup):
        assert set(METHODS) <= set(dir(kind))
        for name in METHODS:
            assert getattr(kind, name) is getattr(Operations, name), f"{kind.__name__}.{name} has another meaning"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_signature_and_the_text_of_its_operation(name):
    operation, method = METHODS[name], getattr(Operations, name)
    signature = inspect.signature(method)
    entries = {entry.name for entry in (*operation.inputs, *operation.options)}
    assert set(signature.parameters) <= {"self", *entries, *OF_EVERY_RUN}
    assert {option.name for option in operation.options} - set(signature.parameters) <= {operation.body}
    for parameter in list(signature.parameters)[1:]:
        assert f"    {parameter}: " in method.__doc__
    assert "kernel that ends" in method.__doc__


class Recorder(Operations):
    def _perform(self, method, values):
        return method, values


@pytest.mark.parametrize("name", METHODS)
def test_the_written_parameters_are_the_positional_ones_of_the_table(name):
    """The signature that type checkers read is written by hand, and the one that help shows is not."""
    signature = method_signature(METHODS[name])
    by_position = [each.name for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    written = list(getattr(Operations, name).__annotations__)
    assert written == [*by_position, "options", "return"]
    values = dict.fromkeys([*by_position, "note"], "x")
    given = values.copy()
    note = given.pop("note")
    assert getattr(Recorder(), name)(*given.values(), note=note) == (name, values)


@pytest.mark.parametrize(
    ("operation", "kind", "filled"),
    [
        ("upscale", "image", "image"),
        ("upscale", "video", "video"),
        ("upscale", None, "image"),
        ("caption", "video", "video"),
        ("video", "image", "first_frame"),
        ("video", "audio", "audio"),
        ("text", "image", "images"),
        ("3d", "image", "image"),
        ("audio", "video", "video"),
    ],
)
def test_a_medium_fills_the_first_input_of_its_kind(operation, kind, filled):
    assert subject_of(operation_of(operation), kind).name == filled


@pytest.mark.parametrize("operation", ["enhance", "video", "audio", "text"])
def test_a_text_is_the_prompt(operation):
    assert subject_of(operation_of(operation), "text") is None


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("upscale", "text"), ("vectorize", "video"), ("enhance", "image"), ("mask", "3d"), ("caption", "file")],
)
def test_a_kind_that_an_operation_does_not_take_is_refused(operation, kind):
    with pytest.raises(TaskInvalid, match=f"kind {kind!r}: expected .*Nothing was sent"):
        subject_of(operation_of(operation), kind)


def test_an_operation_on_a_video_produces_a_video():
    upscale = operation_of("upscale")
    assert produced_kind(upscale, {"inputs": {"image": "a"}}) == "image"
    assert produced_kind(upscale, {"inputs": {"video": "a"}}) == "video"
    assert produced_kind(operation_of("caption"), {"inputs": {"video": "a"}}) == "text"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"imageURL": "https://h/x"}, "image"),
        ({"maskImageURL": "https://h/x"}, "image"),
        ({"guideImageBase64Data": "AAAA"}, "image"),
        ({"videoURL": "https://h/x"}, "video"),
        ({"audioDataURI": "data:audio/mpeg;base64,"}, "audio"),
        ({"mediaURL": "https://h/x.mp4?token=1"}, "video"),
        ({"text": "a ship"}, "text"),
        ({"structuredData": {}}, "text"),
        ({"outputs": {"files": [{"uuid": "u", "url": "https://h/x.zip"}]}}, "file"),
        ({}, "file"),
    ],
)
def test_a_result_states_its_kind(raw, kind):
    assert Result(raw, "u").kind == kind
