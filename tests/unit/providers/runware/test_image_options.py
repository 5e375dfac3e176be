"""The options of image generation as fields, and the models that accept them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands.as_cell import as_cell
from runware_nb.commands.image_options import task_from
from runware_nb.core.conditioning import Control
from runware_nb.core.operations import TEXT_TO_IMAGE
from runware_nb.errors import TaskInvalid
from runware_nb.notebook.parsing import parse_cell
from runware_nb.providers.runware.catalog import Rulebook, all_models, check_task, find_model, rulebook_of
from runware_nb.providers.runware.image_options import (
    CONTROL_MODELS,
    STRUCTURED,
    GuideSource,
    accepts,
    check_accepted,
    control_model,
    parameters_from,
    wire_fields,
)
from runware_nb.session.api import make_image_task

GIVEN = {
    "control": ("guide", "a.png", 0.5, "runware:25@1"), "ip_adapters": ("runware:56@1", "a.png"),
    "embeddings": "civitai:1@2", "refiner": "civitai:1@2:80%", "pulid": "a.png", "photomaker": "a.png",
    "transparent": True, "safety": True, "outpaint": "left=64", "acceleration": "high", "strength": 0.5,
    "vary": "a.png", "seed_image": "a.png", "mask_image": "a.png", "reference_images": ["a.png"],
}  # fmt: skip


@pytest.mark.parametrize("model", [model for model in all_models() if model.task_type == "imageInference"],
                         ids=lambda model: model.air)  # fmt: skip
@pytest.mark.parametrize("name", GIVEN)
def test_an_option_is_accepted_exactly_if_the_schema_of_the_model_has_it(model, name):
    field = {"control": "controlNet", "ip_adapters": "ipAdapters", "pulid": "puLID", "photomaker": "photoMaker",
             "transparent": "layerDiffuse", "vary": "seedImage", "seed_image": "seedImage", "mask_image": "maskImage",
             "reference_images": "referenceImages"}.get(name, name)  # fmt: skip
    schema = rulebook_of(model).schema["properties"]
    has_it = field in schema or field in schema.get("inputs", {}).get("properties", {})
    if has_it:
        check_accepted(rulebook_of(model), {name: f"--{name}"})
        return
    with pytest.raises(TaskInvalid) as caught:
        check_accepted(rulebook_of(model), {name: f"--{name}"}, name=model.name)
    sentence = caught.value.problem
    assert sentence.startswith(f"{model.air} ({model.name}) does not accept --{name}; ")
    assert sentence.endswith("accept it. Nothing was sent.")
    named = [known for known in all_models() if f"{known.air} ({known.name})" in sentence and known is not model]
    assert 1 <= len(named) <= 3
    for known in named:
        assert known.task_type == "imageInference"
        check_accepted(rulebook_of(known), {name: f"--{name}"})


def test_nothing_is_refused_for_a_model_without_a_schema_and_for_an_empty_schema():
    check_accepted(None, dict.fromkeys(GIVEN, "x"))
    check_accepted(Rulebook("a:b@1", {"type": "object"}, "", "imageInference"), dict.fromkeys(GIVEN, "x"))


def test_the_name_of_the_documentation_is_sent_where_the_schema_has_the_other_one():
    schema = {"type": "object", "properties": {"model": {}, "pulid": {}, "taskType": {}, "positivePrompt": {}},
              "additionalProperties": False}  # fmt: skip
    assert accepts(schema, "puLID")
    task = {"taskType": "imageInference", "model": "a:b@1", "positivePrompt": "a cat",
            **wire_fields({"pulid": "a.png"}, architecture="", model="a:b@1")}  # fmt: skip
    assert check_task(task, rules=Rulebook("a:b@1", schema, "", "imageInference")) == []


def test_fields_are_those_of_the_service():
    fields = wire_fields(
        {**{name: GIVEN[name] for name in GIVEN if name in STRUCTURED}, "photomaker_style": "Cinematic"},
        architecture="", model="a:b@1",
    )  # fmt: skip
    assert fields == {
        "controlNet": [{"model": "runware:25@1", "guideImage": "a.png", "weight": 0.5}],
        "ipAdapters": [{"model": "runware:56@1", "guideImages": ["a.png"], "weight": 1.0}],
        "embeddings": [{"model": "civitai:1@2", "weight": 1.0}],
        "refiner": {"model": "civitai:1@2", "startStepPercentage": 80},
        "puLID": {"inputImages": ["a.png"], "idWeight": 1.0},
        "photoMaker": {"images": ["a.png"], "style": "Cinematic"},
        "layerDiffuse": True, "safety": {"checkContent": True},
    }  # fmt: skip


@pytest.mark.parametrize("architecture", CONTROL_MODELS)
def test_the_controlnet_follows_from_kind_and_architecture(architecture):
    for kind, model in CONTROL_MODELS[architecture].items():
        assert control_model(Control(kind, "a.png"), architecture, "x") == model
        assert control_model(Control(kind, "a.png", 1.0, "own:model@1"), architecture, "x") == "own:model@1"
    with pytest.raises(TaskInvalid, match=r"Add its AIR identifier, such as shuffle:a\.png:0\.5:runware:25@1"):
        control_model(Control("shuffle", "a.png", 0.5), architecture, "x")


def test_a_guide_source_is_the_task_of_a_preprocessor():
    task = GuideSource("lineart-anime", "a.png").to_task()
    assert task == {"taskType": "controlNetPreprocess", "model": "runware:controlnet-preprocess@lineart-anime",
                    "outputFormat": "PNG", "inputs": {"image": "a.png"}}  # fmt: skip
    assert find_model(task["model"]).task_type == task["taskType"]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"photomaker": ["a.png"] * 5}, "5 images; expected 1 to 4"), ({"photomaker": []}, "0 images"),
     ({"photomaker_style": "Cinematic"}, "need the image of a person"),
     ({"embeddings": "civitai:1@2:x"}, "of the embedding civitai:1@2 is not a number")],
)  # fmt: skip
def test_a_value_that_cannot_be_sent_is_refused(values, message):
    with pytest.raises(TaskInvalid, match=message):
        wire_fields(values, architecture="", model="x")


def test_every_option_of_the_table_has_a_field():
    names = {option.name for option in TEXT_TO_IMAGE.options}
    assert names >= STRUCTURED


MODEL = "civitai:101055@128078"
IMAGES = st.sampled_from(["a.png", "https://example.org:80/a:b.png", "photos/my image.png", "#2", "3f2a9c1b#2"])
WEIGHTS = st.floats(0, 1).map(lambda value: round(value, 2))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "control": st.lists(st.tuples(st.just("guide"), IMAGES, WEIGHTS, st.just("runware:20@1")), min_size=1,
                            max_size=2),
        "ip_adapters": st.lists(st.tuples(st.just("runware:55@1"), IMAGES, WEIGHTS), min_size=1, max_size=2),
        "embeddings": st.lists(st.tuples(st.just("civitai:1@2"), st.floats(-4, 4).map(lambda value: round(value, 2))),
                               min_size=1, max_size=2),
        "refiner": st.sampled_from(["civitai:1@2", "civitai:1@2:7", "civitai:1@2:80%"]),
        "photomaker": st.lists(IMAGES, min_size=1, max_size=4),
        "safety": st.just(True),
        "outpaint": st.fixed_dictionaries({"left": st.integers(1, 4).map(lambda steps: steps * 64)},
                                          optional={"blur": st.integers(0, 32)}),
        "loras": st.just([("civitai:5@6", 0.5)]),
    },
)  # fmt: skip


@given(OPTIONS)
def test_a_request_comes_back_from_a_copied_cell_and_from_code(options):
    source = {"seed_image": "source.png"} if "outpaint" in options else {}
    task = make_image_task("a ship", model=MODEL, width=1024, height=1024, **source, **options).to_wire()
    if source:
        task["inputs"] = {"seedImage": task.pop("seedImage")}
    cell = as_cell(task)
    assert cell is not None
    request = parse_cell(*cell.removeprefix("%%runware").split("\n", 1), {})
    again = task_from(request.options, request.prompt, str).to_wire()
    if source:
        again["inputs"] = {"seedImage": again.pop("seedImage")}
    assert again == task
    known = {name: value for name, value in task.items() if name in {"controlNet", "ipAdapters", "embeddings",
             "refiner", "photoMaker", "safety"}}  # fmt: skip
    values, rest = parameters_from(MODEL, known)
    assert rest == {}
    assert wire_fields(values, architecture="", model=MODEL) == known


@given(st.dictionaries(st.sampled_from(sorted(["controlNet", "ipAdapters", "refiner", "puLID", "photoMaker", "safety"])),
                       st.recursive(st.none() | st.integers() | st.text(max_size=4),
                                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
                                        st.sampled_from(["model", "images", "weight", "guideImages"]), inner))))  # fmt: skip
def test_fields_of_any_form_are_kept(fields):
    values, rest = parameters_from("own:model@1", fields)
    assert {**wire_fields(values, architecture="", model="own:model@1"), **rest} == fields
