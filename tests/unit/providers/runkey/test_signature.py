"""Verification of RunKey's callbacks: the vectors of the reference, each negative case, and properties."""

import datetime as dt
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.core.provider_secrets import ProviderSecret
from runware_nb.errors import ConfigError, RunwareNBError
from runware_nb.providers.runkey.signature import CallbackStale, SignatureVerifier
from runware_nb.providers.webhook import CallbackRefused, VerifiedCallback
from runware_nb.settings import Key

SECRET = "whsec_example_not_a_real_secret"
BODY = (
    b'{"event":"task.completed","timestamp":"2026-03-23T00:00:10Z","data":{"task_id":"task_vector_1",'
    b'"template_id":"tpl_vector","status":"completed","output":{"result_url":"https://cdn.example.test/r.png"},'
    b'"processing_time":8.2,"credits_used":15}}'
)
DIGITS = "d1a673281844a47883d6a6f07595becd6eb971238dc3f4210c240540a64aee25"
BODY_2 = BODY[:-1] + b',"signature":"sha256=' + DIGITS.encode() + b'"}'
DIGITS_2 = "55daeb9ecb49fa30059be79252652621bea8cd9a25180d38f9dd3961993ba387"
SENT = dt.datetime(2026, 3, 23, 0, 0, 10, tzinfo=dt.UTC).timestamp()
DONE = VerifiedCallback("task.completed", ("task_vector_1",))


def verifier(secrets=SECRET, **options):
    return SignatureVerifier(secrets, **{"now": lambda: SENT + 5, **options})


def headers(value, name="X-RunKey-Signature"):
    return [("host", "127.0.0.1"), (name, value), ("content-type", "text/plain")]


def sign(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def refusal(of, given_headers, body, status=401):
    with pytest.raises(CallbackRefused) as caught:
        of.verify(given_headers, body)
    assert caught.value.status == status
    assert isinstance(caught.value, RunwareNBError)
    text = str(caught.value)
    assert SECRET not in text
    assert not any(value[7:] and value[7:] in text for _, value in given_headers if value.startswith("sha256="))
    return text


def test_the_vectors_have_the_lengths_of_the_reference():
    assert (len(BODY), len(BODY_2)) == (241, 327)


@pytest.mark.parametrize(("body", "digits"), [(BODY, DIGITS), (BODY_2, DIGITS_2)])
def test_both_vectors_pass(body, digits):
    assert verifier().verify(headers(f"sha256={digits}"), body) == DONE


@pytest.mark.parametrize("name", ["x-runkey-signature", "X-RUNKEY-SIGNATURE", "X-Runkey-SIGNATURE"])
def test_the_name_of_the_header_may_have_any_case(name):
    assert verifier().verify(headers(f"sha256={DIGITS}", name), BODY) == DONE


@pytest.mark.parametrize("value", [f"sha256={DIGITS.upper()}", f" sha256={DIGITS}\t"])
def test_upper_case_digits_and_blanks_around_pass(value):
    assert verifier().verify(headers(value), BODY) == DONE


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b"15}", b"16}"),
        json.dumps(json.loads(BODY), indent=2).encode(),
        json.dumps(json.loads(BODY)).encode(),
        BODY + b"\n",
        b"\xef\xbb\xbf" + BODY,
        BODY_2,
        b"",
    ],
)
def test_a_changed_body_is_refused(body):
    assert "its signature is wrong" in refusal(verifier(), headers(f"sha256={DIGITS}"), body)


@pytest.mark.parametrize(
    "value",
    [
        DIGITS,
        f"sha1={DIGITS}",
        f"SHA256={DIGITS}",
        f"sha256={DIGITS[:-1]}",
        f"sha256={DIGITS}0",
        f"sha256={DIGITS[:-1]}g",
        f"sha256={DIGITS[:-1]}５",  # a digit of another alphabet
        f"sha256= {DIGITS}",
        f"sha256={DIGITS}\n",
        f"sha256={DIGITS}, sha256={DIGITS}",
        f"\u00a0sha256={DIGITS}",
        "sha256=",
        "0RpzKBhEpHiD1qbwdZW+zW65cSONw/QhDCQFQKZK7iU=",
    ],
)
def test_any_other_form_of_the_header_is_refused(value):
    assert "is not `sha256=` and 64 hexadecimal digits" in refusal(verifier(), headers(value), BODY)


def test_a_missing_an_empty_and_a_repeated_header_are_refused():
    good = ("X-RunKey-Signature", f"sha256={DIGITS}")
    assert "no header X-RunKey-Signature" in refusal(verifier(), [], BODY)
    assert "is empty" in refusal(verifier(), headers(""), BODY)
    assert "is empty" in refusal(verifier(), headers(" \t"), BODY)
    assert "more than one" in refusal(verifier(), [good, good], BODY)
    assert "more than one" in refusal(verifier(), [good, ("x-runkey-SIGNATURE", "sha256=0")], BODY)


def test_the_member_of_the_body_is_never_trusted_by_itself():
    assert "no header" in refusal(verifier(), [], BODY_2)


def test_the_bare_form_passes_only_if_it_is_allowed():
    refusal(verifier(), headers(DIGITS), BODY)
    lenient = verifier(accepts_bare=True)
    assert lenient.verify(headers(DIGITS), BODY) == lenient.verify(headers(f"sha256={DIGITS}"), BODY) == DONE
    refusal(lenient, headers(f"sha1={DIGITS}"), BODY)
    refusal(lenient, headers(DIGITS[:-1]), BODY)
    refusal(lenient, headers(DIGITS_2), BODY)


@pytest.mark.parametrize("secrets", ["", " ", (), [""], [SECRET, ""]])
def test_a_verifier_without_a_secret_cannot_be_built(secrets):
    with pytest.raises(ConfigError, match="secret"):
        SignatureVerifier(secrets)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_an_invalid_age_is_refused(seconds):
    with pytest.raises(ConfigError, match="Invalid max_age_s"):
        SignatureVerifier(SECRET, max_age_s=seconds)


def test_several_secrets_are_accepted_while_one_is_replaced():
    both = verifier(["an earlier secret", SECRET])
    assert both.verify(headers(f"sha256={DIGITS}"), BODY) == DONE
    assert both.verify(headers(sign(BODY, "an earlier secret")), BODY) == DONE
    refusal(both, headers(sign(BODY, "another secret")), BODY)
    secret = ProviderSecret(provider="runkey", label="secret", variables=("X",))
    assert verifier([Key(SECRET, "X", secret)]).verify(headers(f"sha256={DIGITS}"), BODY) == DONE


def test_a_text_is_one_secret_and_no_list_of_letters():
    refusal(verifier(), headers(sign(BODY, SECRET[0])), BODY)


def test_the_secret_is_not_in_the_repr():
    assert repr(verifier()) == "<SignatureVerifier with 1 secret>"
    assert SECRET not in repr(vars(verifier()))


# --- freshness ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "word"), [(301, "ago"), (-301, "ahead"), (1e9, "ago")])
def test_a_stale_callback_has_an_error_of_its_own(seconds, word):
    late = verifier(now=lambda: SENT + seconds)
    with pytest.raises(CallbackStale, match=f"s {word}, and 300 s are allowed") as caught:
        late.verify(headers(f"sha256={DIGITS}"), BODY)
    assert caught.value.status == 401


@pytest.mark.parametrize("seconds", [300, -300, 0])
def test_a_callback_is_fresh_up_to_the_limit(seconds):
    assert verifier(now=lambda: SENT + seconds).verify(headers(f"sha256={DIGITS}"), BODY) == DONE


def test_freshness_can_be_switched_off_and_changed():
    assert verifier(max_age_s=None, now=lambda: SENT + 1e9).verify(headers(f"sha256={DIGITS}"), BODY) == DONE
    with pytest.raises(CallbackStale, match="6 s ago, and 5 s are allowed"):
        verifier(max_age_s=5, now=lambda: SENT + 6).verify(headers(f"sha256={DIGITS}"), BODY)


def test_a_wrong_signature_is_refused_as_such_even_if_it_is_stale():
    assert "signature is wrong" in refusal(verifier(now=lambda: SENT + 1e9), headers(f"sha256={DIGITS_2}"), BODY)


# --- the body, after it is trusted ----------------------------------------------------------------------


def signed(body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return headers(sign(body)), body


GOOD = {"event": "task.failed", "timestamp": "2026-03-23T00:00:10Z", "data": {"task_id": "t"}}


def test_fields_that_may_be_absent_are_not_needed():
    assert verifier().verify(*signed(GOOD)) == VerifiedCallback("task.failed", ("t",))


def test_an_unknown_event_is_acknowledged_and_about_nothing():
    assert verifier().verify(*signed({**GOOD, "event": "task.paused"})) == VerifiedCallback("task.paused")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"\xff",
        json.dumps(GOOD).encode("utf-16"),
        b'{"event": ' + b"9" * 5000 + b"}",
        {},
        {**GOOD, "event": None},
        {**GOOD, "event": ""},
        {**GOOD, "timestamp": 5},
        {**GOOD, "data": []},
        {**GOOD, "data": {}},
        {**GOOD, "data": {"task_id": 7}},
        {**GOOD, "data": {"task_id": ""}},
        {**GOOD, "timestamp": "yesterday"},
        {**GOOD, "timestamp": "2026-03-23"},
        {**GOOD, "timestamp": "2026-03-23T00:00:10"},
        {**GOOD, "timestamp": "0001-01-01T00:00:00+23:59"},
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_signed_body_that_is_no_callback_is_refused(body):
    status = 401 if isinstance(body, dict) and str(body.get("timestamp")).startswith("0001") else 400
    refusal(verifier(), *signed(body), status=status)


# --- the compatibility mode -----------------------------------------------------------------------------


def test_the_member_is_accepted_without_a_header_if_that_is_turned_on():
    lenient = verifier(accepts_body_member=True)
    assert lenient.verify([], BODY_2) == DONE
    assert lenient.verify([], BODY_2.replace(b'":', b'": ')) == DONE  # compact again
    assert lenient.verify(headers(f"sha256={DIGITS}"), BODY) == DONE


def test_the_member_is_never_tried_if_the_header_is_present():
    lenient = verifier(accepts_body_member=True)
    for value in ("", "sha256=", f"sha256={DIGITS}", "x"):
        refusal(lenient, headers(value), BODY_2)
    refusal(lenient, [*headers(f"sha256={DIGITS_2}"), *headers(f"sha256={DIGITS_2}")], BODY_2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (BODY, 401),
        (BODY_2.replace(b"15}", b"16}"), 401),
        (BODY_2.replace(b"sha256=", b""), 401),
        (BODY[:-1] + b',"signature":5}', 401),
        (BODY[:-1] + b',"signature":"sha256=' + b"0" * 64 + b'"}', 401),
        (b'{"a":"\\ud800","signature":"sha256=' + b"0" * 64 + b'"}', 401),
        (b"[" * 200_000, 400),
        (b"x", 400),
    ],
    ids=range(8),
)
def test_the_compatibility_mode_refuses_what_does_not_fit(body, status):
    refusal(verifier(accepts_body_member=True), [], body, status)


# --- properties -----------------------------------------------------------------------------------------


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_change_of_one_byte_is_refused(place, change):
    changed = bytearray(BODY)
    changed[place] ^= change
    refusal(verifier(), headers(f"sha256={DIGITS}"), bytes(changed))


@given(st.integers(0, len(BODY)), st.binary(min_size=1, max_size=4))
def test_any_inserted_bytes_are_refused(place, more):
    refusal(verifier(), headers(f"sha256={DIGITS}"), BODY[:place] + more + BODY[place:])


@given(st.integers(0, len(BODY) - 1))
def test_any_removed_byte_is_refused(place):
    refusal(verifier(), headers(f"sha256={DIGITS}"), BODY[:place] + BODY[place + 1 :])


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_any_other_digit_is_refused(place, digit):
    changed = DIGITS[:place] + digit + DIGITS[place + 1 :]
    if changed == DIGITS:
        assert verifier().verify(headers(f"sha256={changed}"), BODY) == DONE
    else:
        refusal(verifier(), headers(f"sha256={changed}"), BODY)


@given(st.text(max_size=100))
def test_any_other_header_is_refused(value):
    refusal(verifier(), headers(value), BODY)


@given(st.text(min_size=1, max_size=40).filter(str.strip), st.binary(max_size=300))
def test_any_bytes_end_in_a_callback_or_a_refusal(secret, body):
    try:
        secret.encode()
    except UnicodeEncodeError:
        return
    of = SignatureVerifier(secret, now=lambda: SENT)
    with pytest.raises(CallbackRefused) as caught:
        of.verify(headers(sign(body, secret)), body)
    assert caught.value.status == 400  # the signature is right, and random bytes are no callback


@given(st.text(min_size=1, max_size=60), st.sampled_from(["task.completed", "task.failed"]), st.integers(-300, 300))
def test_whatever_is_signed_is_read_as_it_is(task_id, event, age):
    payload = {"event": event, "timestamp": "2026-03-23T00:00:10+00:00", "data": {"task_id": task_id}}
    of = SignatureVerifier(SECRET, now=lambda: SENT + age)
    assert of.verify(*signed(payload)) == VerifiedCallback(event, (task_id,))


@given(st.lists(st.text(min_size=8, max_size=20).filter(str.strip), min_size=1, max_size=4, unique=True), st.data())
def test_each_of_several_secrets_is_accepted_in_any_order(secrets, data):
    if any("\ud800" <= letter <= "\udfff" for secret in secrets for letter in secret):
        return
    chosen = data.draw(st.sampled_from(secrets))
    assert SignatureVerifier(secrets, now=lambda: SENT).verify(headers(sign(BODY, chosen)), BODY) == DONE
