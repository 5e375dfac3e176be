"""The short rules of `core`: polling, limits, identifiers, media kinds, redaction, tasks, canonical form."""

import pytest

from runware_nb.core.air import parse_air
from runware_nb.core.canonical import canonical_request, request_hash
from runware_nb.core.key_shapes import looks_like_key
from runware_nb.core.limits import InFlightLimit
from runware_nb.core.media_types import ending_for, sniff
from runware_nb.core.operations import operation_of
from runware_nb.core.option_values import LoRA
from runware_nb.core.parsing import is_uuid
from runware_nb.core.polling import first_poll_s, poll_delay_s
from runware_nb.core.redaction import redact_account, redact_task, redact_text, redact_url
from runware_nb.core.results import Outcome, Result
from runware_nb.errors import MediaError, TaskInvalid
from runware_nb.providers.runware.tasks import ImageTask, expected_results, is_utility, prepare


def test_polling_begins_early_and_slows_down():
    waits = [poll_delay_s(n) for n in range(10)]
    assert waits[0] == 1.0
    assert waits == sorted(waits)
    assert waits[-1] == 10.0


def test_long_tasks_are_asked_about_later():
    assert first_poll_s(operation_of("video")) > first_poll_s(operation_of("text-to-image")) == first_poll_s(None)


@pytest.mark.parametrize("arguments", [(-1, 1.0, 2.0), (0, 3.0, 2.0), (0, 0.0, 2.0)])
def test_an_impossible_wait_is_refused(arguments):
    with pytest.raises(ValueError, match="impossible wait"):
        poll_delay_s(arguments[0], first_s=arguments[1], longest_s=arguments[2])


def test_a_rate_limit_halves_the_bound_and_success_restores_it():
    limit = InFlightLimit(8, recovery=2)
    limit.on_rate_limited()
    limit.on_rate_limited()
    assert limit.current == 2
    for _ in range(100):
        limit.on_success()
    assert limit.current == 8


def test_the_bound_never_falls_below_one():
    limit = InFlightLimit(1)
    limit.on_rate_limited()
    assert limit.current == 1
    with pytest.raises(ValueError, match="impossible"):
        InFlightLimit(0)


@pytest.mark.parametrize("text", ["runware:101@1", "google:nano-banana@2.1", "ideogram:4@q", "civitai:102438@133677"])
def test_air_identifiers_are_read_and_written(text):
    assert str(parse_air(text)) == text


@pytest.mark.parametrize("text", ["flux", "runware:101", "a:b@c d", "", "runware:101@1 "])
def test_what_is_no_air_identifier_is_none(text):
    assert parse_air(text) is None


@pytest.mark.parametrize(
    ("head", "kind", "ending"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg", ".jpg"), (b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", ".webp"), (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav", ".wav"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", ".mp4"), (b"\x00\x00\x00\x18ftypqt  ", "video/quicktime", ".mov"),
        (b"glTF\x02", "model/gltf-binary", ".glb"), (b"<?xml version='1.0'?><svg>", "image/svg+xml", ".svg"),
        (b"<svg xmlns=''>", "image/svg+xml", ".svg"), (b"OggS", "audio/ogg", ".ogg"),
    ],
)  # fmt: skip
def test_a_medium_is_known_by_its_content(head, kind, ending):
    assert (sniff(head), ending_for(kind)) == (kind, ending)


@pytest.mark.parametrize("head", [b"", b"<html>", b"hello", b"<?xml version='1.0'?><html>", b"RIFF"])
def test_what_is_no_medium_is_none(head):
    assert sniff(head) is None


def test_secrets_leave_every_text():
    assert "s3cret" not in redact_text("key s3cret, Authorization: Bearer s3cret", ["s3cret"])
    assert "other" not in redact_text("Bearer other", [])


def test_tokens_leave_addresses():
    assert redact_url("https://u:p@h.example/hook?token=t") == "https://h.example/hook?[redacted]"


def test_a_task_is_written_without_secrets():
    task = redact_task({"webhookURL": "https://h/x?token=t", "apiKey": "k", "positivePrompt": "x"})
    assert "apiKey" not in task
    assert "token=t" not in task["webhookURL"]
    assert task["positivePrompt"] == "x"


def test_an_account_answer_loses_keys_and_addresses():
    answer = redact_account({"apiKeys": [{"apiKey": "k", "name": "n"}], "team": [{"email": "e", "name": "m"}]})
    assert "k" not in str(answer["apiKeys"][0]["apiKey"])
    assert answer["team"][0]["email"] == "[redacted]"
    assert answer["team"][0]["name"] == "m"


@pytest.mark.parametrize("word", ["aB3dE6gH9jK2mN5pQ8sT1vW4", "sandbox-0123456789abcdef0123456789abcdef"])
def test_a_key_is_known_by_its_shape(word):
    assert looks_like_key(word)


@pytest.mark.parametrize(
    "word",
    [
        "3f2a91c0-0000-4000-8000-000000000000",
        "runware:101@1",
        "a-long-word-without-any-digits",
        "12345678901234567890123456",
    ],
)
def test_what_is_no_key_is_let_through(word):
    assert not looks_like_key(word)


def test_a_task_is_completed_for_sending_but_not_changed():
    task = {"taskType": "imageInference", "positivePrompt": "x"}
    made = prepare(task, new_uuid=lambda: "u")
    assert made == {**task, "taskUUID": "u", "includeCost": True, "deliveryMethod": "sync"}
    assert "taskUUID" not in task


def test_long_tasks_go_async_and_utilities_stay_as_they_are():
    assert prepare({"taskType": "videoInference"}, new_uuid=lambda: "u")["deliveryMethod"] == "async"
    assert prepare({"taskType": "modelSearch"}, new_uuid=lambda: "u") == {"taskType": "modelSearch", "taskUUID": "u"}


def test_the_users_own_choices_are_kept():
    made = prepare({"taskType": "imageInference", "taskUUID": "mine", "includeCost": False, "deliveryMethod": "async"},
                   new_uuid=lambda: "u")  # fmt: skip
    assert (made["taskUUID"], made["includeCost"], made["deliveryMethod"]) == ("mine", False, "async")


@pytest.mark.parametrize(("task", "count"), [({"numberResults": 3}, 3), ({}, 1), ({"numberResults": "x"}, 1), ({"numberResults": True}, 1),
                                             ({"taskType": "promptEnhance", "promptVersions": 5}, 5)])  # fmt: skip
def test_how_many_results_are_due(task, count):
    assert expected_results(task) == count


def test_uuids_and_utilities():
    assert is_uuid("3f2a91c0-0000-4000-8000-000000000000")
    assert not is_uuid("3f2a91c0")
    assert is_utility("getResponse")
    assert not is_utility("imageInference")


def test_a_typed_task_is_written_in_wire_spelling():
    task = ImageTask(positive_prompt="x", model="m", cfg_scale=3.5, loras=(LoRA("a:b@1", 0.5),), extra={"vae": "v"})
    assert task.to_wire() == {
        "taskType": "imageInference", "positivePrompt": "x", "model": "m", "numberResults": 1, "CFGScale": 3.5,
        "lora": [{"model": "a:b@1", "weight": 0.5}], "vae": "v",
    }  # fmt: skip


def test_delivery_and_defaults_do_not_change_the_hash():
    plain = {"taskType": "imageInference", "positivePrompt": "x", "steps": 20}
    dressed = {**plain, "taskUUID": "u", "deliveryMethod": "async", "outputType": "base64Data", "numberResults": 1,
               "outputFormat": "jpg", "includeCost": True, "ttl": 60, "webhookURL": "https://h", "steps": 20.0,
               "negativePrompt": None}  # fmt: skip
    assert request_hash(plain, service="s") == request_hash(dressed, service="s")


@pytest.mark.parametrize(
    "change", [{"positivePrompt": "y"}, {"outputFormat": "PNG"}, {"outputQuality": 80}, {"seed": 1}]
)
def test_what_decides_the_picture_changes_the_hash(change):
    plain = {"taskType": "imageInference", "positivePrompt": "x"}
    assert request_hash(plain, service="s") != request_hash({**plain, **change}, service="s")


def test_each_service_has_its_own_hash():
    assert request_hash({"a": 1}, service="runware") != request_hash({"a": 1}, service="sandbox")


def test_an_old_name_for_the_model_is_the_same_request():
    assert canonical_request({"modelId": "m"}, service="s") == canonical_request({"model": "m"}, service="s")


def test_what_json_cannot_say_has_no_hash():
    with pytest.raises(TaskInvalid, match="JSON"):
        request_hash({"seed": float("inf")}, service="s")


def test_a_result_without_bytes_says_how_to_get_them():
    with pytest.raises(MediaError, match="await client"):
        Result({}, "u").bytes  # noqa: B018


def test_a_result_reads_what_came_and_keeps_the_rest():
    raw = {"imageURL": "http://x", "seed": 3, "cost": 0.002, "imageUUID": "i", "NSFWContent": True, "imageAltText": "y"}
    result = Result(raw, "u", 1)
    assert (result.url, result.seed, result.cost_usd, result.item_uuid, result.is_flagged) == (
        "http://x",
        3,
        0.002,
        "i",
        True,
    )
    assert result.raw["imageAltText"] == "y"


def test_inline_bytes_are_decoded_from_both_forms():
    assert Result({"imageBase64Data": "aGk="}, "u").inline == b"hi"
    assert Result({"imageDataURI": "data:image/png;base64,aGk="}, "u").inline == b"hi"
    with pytest.raises(MediaError, match="base64"):
        _ = Result({"imageBase64Data": "%%%"}, "u").inline


def test_an_unknown_cost_is_unknown_and_not_zero():
    known, unknown = Result({"cost": 0.1}, "u"), Result({}, "u")
    assert Outcome({}, "u", [known, known], []).cost_usd == 0.2
    assert Outcome({}, "u", [known, unknown], []).cost_usd is None
    assert Outcome({}, "u", [], []).cost_usd is None


def test_an_outcome_is_a_sequence_of_its_results():
    results = [Result({}, "u", n) for n in range(3)]
    outcome = Outcome({}, "u", results, [])
    assert (list(outcome), len(outcome), outcome[1], outcome[1:]) == (results, 3, results[1], results[1:])


def test_a_template_with_unknown_fields_or_folders_is_refused():
    outcome = Outcome({}, "u", [Result({}, "u")], [])
    with pytest.raises(MediaError, match="knows"):
        outcome.save("x", "{nothing}")
    with pytest.raises(MediaError, match="plain file name"):
        outcome.save("x", "../{index}")


def test_tasks_of_one_moment_share_a_frame_up_to_a_bound():
    from runware_nb.providers.runware.websocket import _frame_length

    assert _frame_length(["x"]) == 1
    assert _frame_length(["x"] * 40) == 16
    assert _frame_length(["x" * 300_000, "x"]) == 1  # too large by itself: it goes alone
    assert _frame_length(["x" * 100_000] * 5) == 2
