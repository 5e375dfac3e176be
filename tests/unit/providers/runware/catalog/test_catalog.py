import jsonschema_rs
import pytest

from runware_nb.core.air import parse_air
from runware_nb.errors import TaskInvalid
from runware_nb.providers.runware.catalog import (
    DEFAULT_MODEL,
    all_models,
    check_task,
    estimate_usd,
    find_model,
    nearest_names,
)


def task(**changes):
    made = {
        "taskType": "imageInference", "model": DEFAULT_MODEL, "positivePrompt": "a ship", "width": 1024, "height": 1024,
    }  # fmt: skip
    return {key: value for key, value in (made | changes).items() if value is not ...}


def refusal(**changes):
    with pytest.raises(TaskInvalid) as caught:
        check_task(task(**changes))
    return caught.value


def test_every_model_has_a_valid_schema():
    assert sum(model.task_type == "imageInference" for model in all_models()) >= 30
    for model in all_models():
        assert parse_air(model.air)
        jsonschema_rs.meta.validate(model.request_schema())


def test_no_name_means_two_models():
    names = [name for model in all_models() for name in (model.air, model.slug, *model.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["runware:101@1", "bfl-flux-1-dev", "flux", " FLUX-dev "])
def test_a_model_is_found_by_any_of_its_names(name):
    model = find_model(name)
    assert model is not None
    assert model.air == "runware:101@1"


def test_a_misspelt_model_has_a_nearest():
    assert find_model("sdlx") is None
    assert "sdxl" in nearest_names("sdlx")


def test_a_good_task_passes_without_a_word():
    assert check_task(task(seed=1, steps=20, CFGScale=3.5, numberResults=20)) == []


def test_a_size_off_the_grid_names_both_neighbours():
    error = refusal(model="civitai:101055@128078", width=1000)
    assert str(error).startswith("width=1000 px refused by civitai:101055@128078; nearest accepted: 960 or 1024")
    assert error.parameter == "width"
    assert error.allowed_values == (960, 1024)
    assert error.documentation == "https://runware.ai/docs/models/stability-sdxl-1-0#request-width"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 1000}, "nearest accepted: 992 or 1008"),
        ({"width": 64}, "nearest accepted: 128"),
        ({"width": 99999}, "nearest accepted: 2048"),
        ({"numberResults": 0}, "nearest accepted: 1"),
        ({"numberResults": 21}, "nearest accepted: 20"),
        ({"steps": 101}, "nearest accepted: 100"),
        ({"scheduler": "Eular"}, "nearest: Euler"),
        ({"outputFormat": "JPX"}, "nearest: JPG"),
        ({"width": "wide"}, "it takes a whole number"),
        ({"seed": -5}, "nearest accepted: 0"),
        ({"positivePrompt": "x"}, "2 to 3000"),
        ({"positivePrompt": "x" * 3001}, "3001 characters"),
        ({"positivePrompt": " \n "}, "the prompt is empty"),
        ({"width": ...}, "width is missing"),
        ({"lora": [{"weight": 1}]}, "missing"),
        ({"lora": [{"model": "a", "weight": 9}]}, "lora.0.weight=9"),
    ],
)
def test_each_refusal_says_what_to_change(changes, words):
    assert words in str(refusal(**changes))


def test_an_unknown_model_is_sent_with_a_warning():
    (warning,) = check_task(task(model="acme:new@1", width=3))
    assert "acme:new@1" in warning


@pytest.mark.parametrize(
    ("name", "words"), [("sdlx", "did you mean sdxl?"), ("", "AIR identifier"), ("a b", "AIR identifier")]
)
def test_a_name_that_is_no_identifier_is_refused_with_the_nearest(name, words):
    assert words in str(refusal(model=name))


def test_an_unknown_parameter_is_sent_with_a_warning():
    (warning,) = check_task(task(stepps=3))
    assert "stepps" in warning
    assert "did you mean steps?" in warning


def test_other_tasks_are_not_judged():
    assert check_task({"taskType": "upscale"}) == []


@pytest.mark.parametrize(("width", "price"), [(512, 0.0019), (1024, 0.0038)])
def test_the_estimate_meets_the_prices_seen(width, price):
    assert estimate_usd(task(width=width, height=width)) == pytest.approx(price)


def test_four_images_cost_four_times_as_much():
    assert estimate_usd(task(numberResults=4)) == pytest.approx(4 * 0.0038)


def test_an_unknown_price_is_unknown():
    assert estimate_usd(task(model="sdxl")) is None
    assert estimate_usd(task(model="acme:new@1")) is None
