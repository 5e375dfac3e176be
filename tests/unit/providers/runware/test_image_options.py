"""The options of image generation as fields, and the models that accept them."""

from __future__ import annotations

import pytest

from runware_nb.core.conditioning import Control
from runware_nb.core.operations import TEXT_TO_IMAGE
from runware_nb.errors import TaskInvalid
from runware_nb.providers.runware.catalog import Rulebook, all_models, check_task, find_model, rulebook_of
from runware_nb.providers.runware.image_options import (
    CONTROL_MODELS,
    STRUCTURED,
    GuideSource,
    accepts,
    check_accepted,
    control_model,
    wire_fields,
)

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
