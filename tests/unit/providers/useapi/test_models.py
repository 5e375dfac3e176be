"""The table of models and create calls, and the checks that follow from it."""

import pytest

from runware_nb.errors import TaskInvalid
from runware_nb.providers.useapi import models
from runware_nb.sandbox.useapi import endpoints as sandbox
from tests.contract.test_useapi_examples import CREATE

VIDEO = "videos/create"


def test_the_calls_are_those_of_the_documents():
    """The sandbox was written from the same documents, independently."""
    assert set(models.ENDPOINTS) == set(sandbox.ENDPOINTS)
    for path, endpoint in models.ENDPOINTS.items():
        other = sandbox.ENDPOINTS[path]
        assert endpoint.produces == other.product, path
        assert {parameter.name for parameter in endpoint.parameters if parameter.is_required} == set(other.required), (
            path
        )
        assert endpoint.any_of == other.any_of, path


def test_durations_and_prompts_of_video_models_are_those_of_the_documents():
    for name, model in models.VIDEO_MODELS.items():
        assert model.durations == sandbox._DURATIONS.get(name, ()), name
        assert model.prompt_most == sandbox._PROMPTS.get(name, 5000), name


@pytest.mark.parametrize(("source", "path", "body"), CREATE)
def test_every_example_of_the_documents_passes(source, path, body):
    models.check_task(path, body)


@pytest.mark.parametrize(
    ("path", "body", "parameter", "words"),
    [
        (VIDEO, {}, "model", "Missing model"),
        (VIDEO, {"model": "gen4", "text_prompt": "x" * 513}, "text_prompt", "513 characters.*at most 512"),
        (VIDEO, {"model": "gen4", "duration": 7}, "duration", "5 or 10"),
        (VIDEO, {"model": "gen4", "duration": True}, "duration", "accepts 5 or 10"),
        (VIDEO, {"model": "kling-3.0-motion-control", "duration": 5}, "duration", "does not accept it"),
        (VIDEO, {"model": "sora-2", "seed": 5}, "seed", "does not accept it"),
        (VIDEO, {"model": "gen4", "seed": 0}, "seed", "from 1 to 4294967294"),
        (VIDEO, {"model": "gen4", "seed": 4294967295}, "seed", "from 1 to 4294967294"),
        (VIDEO, {"model": "gen4", "seed": 1.5}, "seed", "an integer"),
        (
            VIDEO,
            {"model": "gen4", "startFrameAssetId": "a", "endFrameAssetId": "b"},
            "endFrameAssetId",
            "does not accept",
        ),
        (VIDEO, {"model": "seedance-2", "endFrameAssetId": "b"}, "endFrameAssetId", "needs a startFrameAssetId"),
        (VIDEO, {"model": "veo-3.1", "exploreMode": True}, "exploreMode", "does not accept"),
        (VIDEO, {"model": "gen4", "exploreMode": "yes"}, "exploreMode", "true or false"),
        (VIDEO, {"model": "seedance-2", "audio": 1}, "audio", "true or false"),
        (VIDEO, {"model": "kling-3.0-pro", "multishot_duration_1": 5}, "multishot_duration_1", "two shots"),
        (
            VIDEO,
            {"model": "kling-3.0-pro", "multishot_duration_1": 9, "multishot_duration_2": 9},
            "multishot_duration_1",
            "15 s",
        ),
        ("images/create", {"model": "gen4", "num_images": 2}, "num_images", "1 or 4"),
        ("images/create", {"model": "nano-banana", "diversity": 3}, "diversity", "does not accept"),
        ("images/create", {"model": "flux-2-max"}, "text_prompt", "The prompt is empty"),
        (
            "images/create",
            {"model": "gen4", "text_prompt": " "},
            "text_prompt",
            r"The prompt is empty\. Nothing was sent",
        ),
        (VIDEO, {"model": "gen4.5", "duration": 5, "email": "a@b.com"}, "text_prompt", "The prompt is empty"),
        ("gen3/create", {}, "text_prompt", "The prompt is empty"),
        ("gen4/video", {"video_assetId": "a", "text_prompt": "\n"}, "text_prompt", "The prompt is empty"),
        (VIDEO, {"model": "gen4", "text_prompt": "x", "aspect_ratio": "16x9"}, "aspect_ratio", "such as 16:9"),
        (VIDEO, {"model": "gen4", "text_prompt": "x", "aspect_ratio": "16:"}, "aspect_ratio", "such as 16:9"),
        ("images/create", {"model": "gen4", "diversity": 0}, "diversity", "from 1 to 5"),
        ("frames/create", {"text_prompt": "x", "aspect_ratio": "2:1"}, "aspect_ratio", "16:9"),
        ("frames/create", {"text_prompt": "x", "promt": "y"}, "promt", "Unknown parameter"),
        ("frames/create", {"text_prompt": "x", "divrsity": 1}, "divrsity", "Did you mean diversity"),
        ("gen4_5/create", {}, "text_prompt", "needs one of them"),
        ("super_slow_motion", {"assetId": "a", "speed": 0.05}, "speed", "from 0.1 to 1"),
        ("gen3turbo/create", {"zoom": 11}, "zoom", "from -10 to 10"),
        ("lipsync/create", {"image_assetId": "a", "model_id": "x"}, "model_id", "eleven_multilingual_v1"),
    ],
)
def test_what_the_service_would_refuse_is_refused_here(path, body, parameter, words):
    with pytest.raises(TaskInvalid, match=words) as raised:
        models.check_task(path, body)
    assert raised.value.parameter == parameter
    assert raised.value.problem.endswith("Nothing was sent.") or "Did you mean" in raised.value.problem


def test_unknown_models_and_calls_pass_with_a_warning():
    checked = models.check_task(VIDEO, {"model": "gen5", "duration": 99, "style": "odd", "seed": 5})
    assert "'gen5' is not known here" in checked.warnings[0]
    assert "Did you mean 'videos/create'" in models.check_task("video/create", {"x": 1}).warnings[0]


def test_a_medium_or_a_parameter_that_is_not_known_can_stand_in_place_of_the_prompt():
    for body in ({"startFrameAssetId": "a"}, {"multishot_prompt_1": "x"}, {"script": "x"}, {"text_prompt": "x"}):
        models.check_task(VIDEO, {"model": "kling-3.0-pro", **body})
    models.check_task("gen4/upscale", {"assetId": "a"})


@pytest.mark.parametrize("ratio", ["16:9", "1280:720", "2.39:1", "portrait", "auto"])
def test_a_ratio_that_may_be_accepted_passes(ratio):
    models.check_task(VIDEO, {"model": "gen4", "text_prompt": "x", "aspect_ratio": ratio})


def test_a_mistyped_model_is_told_from_a_new_one():
    assert models.near_model(VIDEO, "gen44") == "gen4"
    assert models.near_model(VIDEO, "seedance2") == "seedance-2"
    assert models.near_model(VIDEO, "gen4") is None
    assert models.near_model(VIDEO, "luma-9") is None
    assert models.near_model(VIDEO, 5) is None
    assert models.near_model("frames/create", "gen44") is None


def test_unknown_parameters_of_a_known_model_pass_with_a_warning():
    assert models.check_task(VIDEO, {"model": "gen4", "newOption": 1}).warnings == [
        "The parameter newOption is not known here, so it was not checked."
    ]


def test_the_parameters_of_a_model_are_those_that_it_takes():
    names = {parameter.name: parameter for parameter in models.parameters_of(VIDEO, "gen4")}
    assert names["duration"].choices == (5, 10)
    assert names["text_prompt"].high == 512
    assert "seed" in names
    assert "endFrameAssetId" not in names
    assert "seed" not in {parameter.name for parameter in models.parameters_of(VIDEO, "sora-2")}
    assert models.parameters_of(VIDEO, "no-such-model") == models.ENDPOINTS[VIDEO].parameters
    assert models.parameters_of("images/create", "gen4") != models.parameters_of(VIDEO, "gen4")
    with pytest.raises(KeyError):
        models.parameters_of("no/such/call")


def test_two_models_of_one_name_belong_to_two_calls():
    assert models.model_of(VIDEO, "gen4").durations == (5, 10)
    assert models.model_of("images/create", "gen4").num_images == (1, 4)
    assert models.model_of("frames/create", "gen4") is None
    assert models.model_of(VIDEO, 5) is None


def test_every_parameter_states_what_it_accepts():
    for path, endpoint in models.ENDPOINTS.items():
        for parameter in endpoint.parameters:
            assert parameter.help, (path, parameter.name)
            assert parameter.expected, (path, parameter.name)
            if parameter.default is not None:
                assert parameter.accepts(parameter.default), (path, parameter.name)
            for choice in parameter.choices:
                assert parameter.accepts(choice), (path, parameter.name)
