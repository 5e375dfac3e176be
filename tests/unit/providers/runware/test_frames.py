import json

import pytest

from runware_nb.core.results import is_final
from runware_nb.errors import ProtocolError
from runware_nb.providers.runware.classify import task_error
from runware_nb.providers.runware.collect import Collector
from runware_nb.providers.runware.frames import authentication_task, encode_frame, parse_frame


def test_data_and_errors_of_one_frame_are_both_kept():
    frame = parse_frame('{"data":[{"taskUUID":"a"}],"errors":[{"code":"x","message":"m","taskUUID":"b"}]}')
    assert [item["taskUUID"] for item in frame.items] == ["a"]
    assert [error["taskUUID"] for error in frame.errors] == ["b"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('{"errors":[{"code":"invalidModel","message":"no"}]}', "invalidModel", "no"),
        ('{"error":{"code":"invalidModel","message":"no"}}', "invalidModel", "no"),
        ('{"error":[{"code":"invalidModel","message":"no"}]}', "invalidModel", "no"),
        ('{"error":true,"errorMessageContentId":1212,"errorId":19,"errorMessage":"Invalid api key"}',
         "invalidApiKey", "Invalid api key"),
        ('{"error":true,"errorId":7,"errorMessage":"odd"}', "error7", "odd"),
        ('{"data":[{"taskUUID":"a","status":"error","error":{"code":"c","message":"no"}}]}', "c", "no"),
        ('{"error":{"message":"no","code":"c"},"taskUUID":"a","taskType":"textInference"}', "c", "no"),
        ('{"message":"gateway says no"}', "unknownError", "gateway says no"),
    ],
)  # fmt: skip
def test_every_error_shape_becomes_one(text, code, message):
    (error,) = parse_frame(text).errors
    assert (error["code"], error["message"]) == (code, message)


def test_the_task_of_an_error_is_found_outside_it():
    (error,) = parse_frame('{"error":{"message":"no","code":"c"},"taskUUID":"a","taskType":"textInference"}').errors
    assert (error["taskUUID"], error["taskType"]) == ("a", "textInference")


def test_a_failed_item_keeps_its_own_identity():
    (error,) = parse_frame(
        '{"data":[{"taskUUID":"a","imageUUID":"i","status":"error","error":{"code":"c","message":"m"}}]}'
    ).errors
    assert error["imageUUID"] == "i"


def test_one_object_in_place_of_an_array_is_an_item():
    assert parse_frame('{"data":{"taskUUID":"a"}}').items == ({"taskUUID": "a"},)


@pytest.mark.parametrize("text", ["", "<html>", "[]", "3", "null", '{"other":1}', '{"data":[', "\x00", "[" * 100_000])
def test_anything_else_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse_frame(text)


def test_a_web_page_is_called_one():
    with pytest.raises(ProtocolError, match=r"a web page \(HTTP 502\) instead of JSON"):
        parse_frame("<!DOCTYPE html><html></html>", http_status=502)


def test_an_empty_answer_is_an_empty_frame():
    assert parse_frame('{"data":[]}').items == ()


def test_tasks_are_written_as_one_compact_array():
    assert encode_frame([authentication_task("k", "s")]) == (
        '[{"taskType":"authentication","apiKey":"k","connectionSessionUUID":"s"}]'
    )


def test_numbers_that_json_cannot_say_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        encode_frame([{"steps": float("nan")}])


def test_text_of_all_languages_stays_readable():
    assert (
        json.loads(encode_frame([{"positivePrompt": "ein Schiff 🚢 שלום"}]))[0]["positivePrompt"]
        == "ein Schiff 🚢 שלום"
    )


@pytest.mark.parametrize("odd", [[], {}, [1], {"a": 1}, 7, None, True, 1.5])
def test_a_word_of_another_type_breaks_nothing(odd):
    item = {
        "taskType": "imageInference",
        "taskUUID": "u",
        "status": odd,
        "imageURL": odd,
        "resultIndex": odd,
        "code": odd,
    }
    body = {"data": [item, {"error": {"code": odd, "message": odd, "parameter": odd, "taskUUID": odd}}]}
    frame = parse_frame(json.dumps({**body, "errors": [{"code": odd, "message": odd, "taskUUID": odd}]}))
    for error in frame.errors:
        assert str(task_error(error))
    collector = Collector({"taskType": "imageInference", "taskUUID": "u"})
    collector.add([{**item, "taskUUID": "u"}])
    assert is_final(item) in {True, False}
