"""What holds for every input, tried with many."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.commands.arguments import split_line
from runware_nb.commands.names import fill_names
from runware_nb.core.canonical import canonical_request, request_hash
from runware_nb.core.limits import InFlightLimit
from runware_nb.core.option_values import LoRA
from runware_nb.core.polling import poll_delay_s
from runware_nb.core.redaction import redact_text
from runware_nb.core.retry import Step, backoff_s, decide, reconnect_delay_s
from runware_nb.errors import ProtocolError, RunwareNBError, TaskInvalid
from runware_nb.providers.runware.catalog import all_models, check_task
from runware_nb.providers.runware.catalog.check import _nearest
from runware_nb.providers.runware.classify import classify, task_error
from runware_nb.providers.runware.collect import Collector
from runware_nb.providers.runware.frames import encode_frame, parse_frame
from runware_nb.providers.runware.tasks import ImageTask

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["taskUUID", "taskType", "data", "errors", "error", "code", "message", "status", "imageURL", "seed"]
)
answers = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=15
)

tasks = st.builds(
    ImageTask,
    positive_prompt=st.text(max_size=50),
    model=st.text(min_size=1, max_size=20),
    width=st.none() | st.integers(),
    height=st.none() | st.integers(),
    number_results=st.integers(1, 20),
    seed=st.none() | st.integers(),
    steps=st.none() | st.integers(),
    cfg_scale=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    scheduler=st.none() | st.text(max_size=10),
    loras=st.lists(st.builds(LoRA, st.text(min_size=1, max_size=10), st.floats(-4, 4)), max_size=3).map(tuple),
    extra=st.dictionaries(
        st.sampled_from(["vae", "clipSkip", "inputs"]), plain.filter(lambda v: v is not None), max_size=3
    ),
)


@given(tasks)
def test_a_typed_task_survives_the_wire(task):
    assert ImageTask.from_wire(json.loads(encode_frame([task.to_wire()]))[0]) == task


@given(st.one_of(st.text(), st.binary(), answers.map(json.dumps)))
def test_the_frame_parser_raises_nothing_but_our_error(text):
    try:
        frame = parse_frame(text)
    except ProtocolError:
        return
    for error in frame.errors:
        assert task_error(error).args


@given(st.integers(0, 10_000), st.floats(0.001, 100), st.floats(1, 10))
def test_poll_waits_stay_in_bounds_and_never_shrink(attempt, first, factor):
    longest = first * factor
    now, later = (poll_delay_s(n, first_s=first, longest_s=longest) for n in (attempt, attempt + 1))
    assert first <= now <= later <= longest


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_in_bounds(attempt, jitter):
    assert 0.25 <= backoff_s(attempt, jitter=jitter) <= 20.0
    assert 0.0 <= reconnect_delay_s(attempt, jitter=jitter) <= 15.0


errors = st.builds(
    lambda code, named, status: task_error({"code": code, **({"taskUUID": "u"} if named else {})}, http_status=status),
    st.text(max_size=30)
    | st.sampled_from(["timeoutProvider", "rateLimitExceeded", "invalidWidth", "internalServerError"]),
    st.booleans(),
    st.none() | st.integers(100, 599),
)


@given(errors, st.integers(1, 20), st.integers(0, 10), st.booleans(), st.booleans())
def test_no_decision_ever_pays_twice(error, attempt, most, has_results, long_running):
    decision = decide(
        error, attempt=attempt, max_retries=most, long_running=long_running, has_results=has_results, jitter=0.5
    )
    if has_results or attempt > most or not error.retryable:
        assert decision.step is Step.GIVE_UP
    if decision.step is Step.NEW_ATTEMPT:
        assert error.task_uuid
        assert not long_running


@given(st.text(max_size=40), st.none() | st.integers(0, 999))
def test_every_code_has_a_class(code, status):
    assert issubclass(classify(code, status), RunwareNBError)


@given(st.dictionaries(st.text(max_size=10), plain, max_size=6))
def test_the_canonical_form_is_a_fixed_point(task):
    once = canonical_request(task, service="s")
    assert canonical_request(once, service="s") == once
    assert request_hash(once, service="s") == request_hash(task, service="s")


@given(st.dictionaries(st.text(max_size=10), plain, min_size=1, max_size=6))
def test_the_hash_does_not_see_the_order_of_keys(task):
    turned = dict(reversed(list(task.items())))
    assert request_hash(task, service="s") == request_hash(turned, service="s")


items = st.lists(st.integers(0, 7), max_size=30)


@given(items, st.integers(1, 8), st.lists(st.booleans(), max_size=30))
def test_no_result_is_lost_or_counted_twice_in_any_order(numbers, expected, polls):
    found = Collector({"taskType": "imageInference", "taskUUID": "u", "numberResults": expected})
    for position, number in enumerate(numbers):
        if position < len(polls) and polls[position]:
            found.begin_poll()
        found.add([{"taskUUID": "u", "imageUUID": f"i{number}", "imageURL": "x"}])
    assert {one.item_uuid for one in found.outcome()} == {f"i{number}" for number in numbers}
    assert len(found.outcome()) == len(set(numbers))


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=200))
def test_the_bound_on_tasks_in_flight_stays_between_one_and_its_start(most, events):
    limit = InFlightLimit(most)
    for is_success in events:
        if is_success:
            limit.on_success()
        else:
            limit.on_rate_limited()
        assert 1 <= limit.current <= most


STEPPED = [model for model in all_models() if model.architecture and model.sizes and model.inputs]


@given(st.sampled_from(STEPPED), st.integers(-(10**6), 10**6))
def test_every_suggested_size_is_accepted(model, width):
    schema = model.request_schema()["properties"]["width"]
    task = {"taskType": "imageInference", "model": model.air, "positivePrompt": "xy", "height": 1024}
    for good in _nearest(width, schema):
        assert check_task({**task, "width": good}) == []
    try:
        check_task({**task, "width": width})
    except TaskInvalid as error:
        assert all(str(good) in str(error) for good in _nearest(width, schema))


@given(st.text(max_size=200))
def test_any_text_is_a_prompt(text):
    assert fill_names(text, {}).text == text or "{{" in text


@given(st.text(st.sampled_from("{}ab_1 "), max_size=40))
def test_only_known_names_in_single_braces_are_filled_in_and_once(text):
    filled = fill_names(text, {"ab": "{b}", "b": "never"}).text
    if "{ab}" not in text and "{b}" not in text and "{{" not in text:
        assert filled == text
    assert "never" not in fill_names("{ab}", {"ab": "{b}", "b": "never"}).text


words = st.text(string.ascii_letters + string.digits + " \\\"'{}[]#$%é🚢", min_size=1, max_size=12)


@given(st.lists(words, max_size=6))
def test_a_quoted_line_is_split_into_what_was_quoted(parts):
    line = " ".join("'" + part.replace("\\", "\\\\").replace("'", "'\\''") + "'" for part in parts)
    if "\\" not in line:
        assert split_line(line) == parts


@given(st.text(max_size=60))
def test_a_line_is_split_or_refused_in_one_sentence(line):
    try:
        assert all(isinstance(word, str) for word in split_line(line))
    except RunwareNBError as error:
        assert "quote" in str(error)


@given(st.text(max_size=40), st.text(string.ascii_letters, min_size=8, max_size=20))
def test_a_secret_never_survives(text, secret):
    assert secret not in redact_text(f"{text}{secret}{text}", [secret]).replace("[redacted]", "")


@pytest.mark.parametrize("model", [each for each in STEPPED if each.steps], ids=lambda model: model.air)
def test_the_usual_settings_of_every_model_are_accepted(model):
    task = {"taskType": "imageInference", "model": model.air, "positivePrompt": "a ship", "width": 1024, "height": 1024,
            "steps": model.steps, "CFGScale": model.cfg_scale}  # fmt: skip
    assert check_task(task) == []
