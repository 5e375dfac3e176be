"""From what a user submits to what is sent."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from runware_nb.core.results import Result
from runware_nb.errors import TaskInvalid
from runware_nb.media.medium import MemoryMedium
from runware_nb.providers.runkey.planning import body_of, input_of, is_reference, plan_task

URL = "https://cdn.example/a.png"


def plan(given=None, **more):
    return plan_task({"model": "tpl", "input": given, **more}).task


def test_the_names_of_the_service_are_understood():
    task = plan_task({"template_id": "tpl", "input": {"a": 1}, "webhook_url": "https://a.example/x"}).task
    assert task == {"taskType": "runkey/run", "model": "tpl", "input": {"a": 1}, "webhookURL": "https://a.example/x"}
    assert plan_task(task).task == task
    assert json.loads(body_of(task)) == {
        "template_id": "tpl", "input": {"a": 1}, "webhook_url": "https://a.example/x",
    }  # fmt: skip


def test_a_plain_webhook_url_is_warned_about():
    assert "plain http" in plan_task({"model": "tpl", "webhookURL": "http://a.example/x"}).warnings[0]
    assert plan_task({"model": "tpl", "webhookURL": "https://a.example/x"}).warnings == ()


def test_an_integer_seed_is_the_seed_of_the_run_and_is_sent_in_its_place():
    task = plan({"seed": np.int64(7), "a": 1})
    assert (task["seed"], task["input"]) == (7, {"a": 1})
    assert input_of(task) == {"a": 1, "seed": 7}
    assert "seed" not in plan({"seed": "seven"})
    assert plan({"seed": True})["input"] == {"seed": True}
    assert plan_task(task).task == task


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.7), 0.7), (np.int64(5), 5), (np.bool_(True), True), (np.array(3), 3), (5.0, 5), (Decimal("1.5"), 1.5),
        ((1, 2), [1, 2]), ({"a": {"b": np.int8(1)}}, {"a": {"b": 1}}), (None, None), (True, True), ("", ""),
        (pd.Timestamp("2026-03-07"), "2026-03-07T00:00:00"), (dt.date(2026, 3, 7), "2026-03-07"),
        (pd.Series([1.5]).iloc[0], 1.5),
    ],
)  # fmt: skip
def test_values_of_python_become_values_of_json(value, expected):
    assert plan({"x": value})["input"]["x"] == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), r"Invalid input\.x nan: a missing value"),
        (float("inf"), r"Invalid input\.x inf: expected a finite number"),
        (pd.NA, r"Invalid input\.x.*missing value"),
        (pd.NaT, r"Invalid input\.x.*missing value"),
        (np.array([1, 2]), r"Invalid input\.x.*array of shape 2.*tolist"),
        ({1, 2}, r"Invalid input\.x.*Use list"),
        (object(), r"Invalid input\.x.*Convert it to text"),
        (["a", {"b": object()}], r"Invalid input\.x\[1\]\.b"),
        (b"\x89PNG", "not bytes. RunKey has no upload"),
        (Path("cat.png"), r"not the path 'cat\.png'. RunKey has no upload"),
        (Image.new("RGB", (2, 2)), "not an image. RunKey has no upload"),
        (np.zeros((2, 2, 3), "uint8"), "not an image. RunKey has no upload"),
        ("\ud800", "half of a character"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value, said):
    with pytest.raises(TaskInvalid, match=said) as caught:
        plan({"x": value})
    assert "Nothing was sent" in str(caught.value)


def test_a_result_is_used_by_its_url():
    fetched = Result({"imageURL": URL}, "u", medium=MemoryMedium(b"x"))
    task = plan({"image_url": fetched, "more": [Result({"mediaURL": URL}, "u")]})
    assert task["assets"] == {"image_url": fetched}
    assert task["input"] == {"more": [URL]}
    assert plan({"image_url": Result({"imageURL": URL}, "u")})["input"] == {"image_url": URL}
    for given in ({"text": Result({"text": "x"}, "u")}, {"deep": [Result({"text": "x"}, "u")]}):
        with pytest.raises(TaskInvalid, match="this result has no URL, and RunKey has no upload"):
            plan(given)


def test_assets_are_urls():
    task = plan({"a": 1}, assets={"image_url": URL})
    assert input_of(task) == {"a": 1, "image_url": URL}
    with pytest.raises(TaskInvalid, match=r"not the text 'cat\.png'"):
        plan({}, assets={"image_url": "cat.png"})
    with pytest.raises(TaskInvalid, match="both in input and in assets"):
        plan({"image_url": URL}, assets={"image_url": URL})
    assert is_reference(URL)
    assert not is_reference("cat.png")


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"model": "tpl", "prompt": "x"}, "Unknown field 'prompt'"),
        ({"model": "tpl", "taskType": "imageInference"}, "Invalid taskType"),
        ({"input": {}}, "Invalid template id None"),
        ({"model": " "}, "Invalid template id"),
        ({"model": "tpl", "input": [1]}, "not list"),
        ({"model": "tpl", "assets": [1]}, "Invalid assets"),
        ({"model": "tpl", "webhookURL": "x"}, "Invalid webhook URL"),
        ({"model": "tpl", "input": {"a": "x" * 2**20}}, "Pass files by their URLs"),
    ],
)
def test_what_is_no_task_is_refused(task, said):
    with pytest.raises(TaskInvalid, match=said):
        plan_task(task)


def test_nothing_is_changed_in_what_was_given():
    given = {"seed": 7, "list": [1]}
    plan(given)
    assert given == {"seed": 7, "list": [1]}
