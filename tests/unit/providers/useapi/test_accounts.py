"""Rules about accounts, and secrets that show themselves in no textual form."""

import asyncio
import copy
import json
import pickle
import pprint

import pytest

from runware_nb.core.redaction import known_secrets
from runware_nb.errors import ArgumentInvalid, ProtocolError, TransportError
from runware_nb.net.clock import Clock
from runware_nb.providers.useapi.accounts import (
    AccountsLimiter,
    MaskedText,
    Password,
    UseApiAccount,
    check_email,
    check_max_jobs,
    parse_account,
    parse_accounts,
    path_segment,
)

PLANTED = "lantern~4711~harbor"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2Vzc2lvbg.planted-4711"
WIRE = {
    "email": "me@example.com",
    "password": PLANTED,
    "maxJobs": 5,
    "jwt": {"token": TOKEN, "exp": 1.5, "iat": 1, "id": 7},
}


@pytest.mark.parametrize("email", ["me@example.com", "a+b@x.org", "a.b-c_d~e@x.org", "o'neil@x.org", "x!$&*=;@y.z"])
def test_characters_that_a_path_may_contain_stay_literal(email):
    assert check_email(email) == email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "me",
        "@",
        "a b@x.org",
        "a/b@x.org",
        "a?b@x.org",
        "a#b@x.org",
        "a%40x.org",
        "ä@x.org",
        "a\n@x.org",
        None,
        7,
        b"a@b",
    ],
)
def test_an_email_that_would_have_to_be_encoded_is_refused(email):
    with pytest.raises(ArgumentInvalid, match="Invalid email"):
        check_email(email)


@pytest.mark.parametrize("email", ["me@example", "a@b@example.com", "me@example.", "me@.com", "me@a..com"])
def test_an_incomplete_email_is_refused_for_a_new_account_only(email):
    assert check_email(email) == email
    with pytest.raises(ArgumentInvalid, match="Invalid email"):
        check_email(email, is_new=True)


@pytest.mark.parametrize("identifier", ["", "a/b", "..", ".", "a?b", "a b", None, "ä"])
def test_an_id_that_could_name_another_path_is_refused(identifier):
    with pytest.raises(ArgumentInvalid):
        path_segment(identifier, "task_id")


@pytest.mark.parametrize("value", [1, 5, 10])
def test_max_jobs_is_an_integer_from_1_to_10(value):
    assert check_max_jobs(value) == value


@pytest.mark.parametrize("value", [0, 11, -1, True, False, 5.0, "5", None])
def test_other_values_of_max_jobs_are_refused(value):
    with pytest.raises(ArgumentInvalid, match="integer from 1 to 10"):
        check_max_jobs(value)


def test_a_password_shows_itself_in_no_textual_form():
    password = Password(PLANTED, "a test")
    account = {"nested": [password]}
    forms = [
        str(password), repr(password), f"{password}", f"{password:>40}", f"{password}",
        repr(account), pprint.pformat(account),
    ]  # fmt: skip
    assert not [form for form in forms if PLANTED in form]
    assert password.reveal() == PLANTED
    assert json.dumps({"password": password.reveal()})
    assert known_secrets.is_in(f"x {PLANTED} y")
    for copying in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            copying(password)


def test_a_password_made_from_a_masked_one_is_the_same_password():
    assert Password(Password(PLANTED)).reveal() == PLANTED


@pytest.mark.parametrize("text", ["", None, 5])
def test_an_empty_password_is_refused_without_quoting_it(text):
    with pytest.raises(ArgumentInvalid, match="Invalid password"):
        Password(text)


def test_secrets_of_an_account_are_dropped_after_parsing():
    account = parse_account(WIRE)
    assert account.secrets is None
    assert (account.email, account.max_jobs, account.error, account.session_expires_at) == (
        "me@example.com",
        5,
        None,
        1.5,
    )
    assert not known_secrets.is_in(TOKEN)  # it is not even remembered
    for text in (repr(account), str(account), repr(vars(type(account)))):
        assert PLANTED not in text
        assert TOKEN not in text


def test_secrets_are_revealed_only_if_asked_for_and_masked_even_then():
    secrets = parse_account(WIRE, reveals=True).secrets
    assert (secrets.password.reveal(), secrets.session_token.reveal()) == (PLANTED, TOKEN)
    assert isinstance(secrets.session_token, MaskedText)
    for text in (repr(secrets), f"{secrets.password} {secrets.session_token}", str(secrets)):
        assert PLANTED not in text
        assert TOKEN not in text
    assert known_secrets.is_in(TOKEN)


@pytest.mark.parametrize(
    "wire", [{**WIRE, "jwt": None}, {**WIRE, "jwt": "odd"}, {"email": "me@example.com", "maxJobs": 5}]
)
def test_accounts_without_a_session_are_parsed(wire):
    account = parse_account(wire, reveals=True)
    assert account.secrets.session_token is None
    assert account.max_jobs == 5


def test_the_list_of_accounts_is_an_object_keyed_by_email():
    accounts = parse_accounts({"a@x.org": {**WIRE, "email": None}, "b@x.org": {"maxJobs": True, "error": "broken"}})
    assert [(account.email, account.max_jobs, account.error) for account in accounts] == [
        ("a@x.org", 5, None), ("b@x.org", None, "broken"),
    ]  # fmt: skip
    assert [account.email for account in parse_accounts([WIRE])] == ["me@example.com"]


@pytest.mark.parametrize("answer", [None, "text", 5])
def test_an_unreadable_list_is_an_error_that_quotes_nothing(answer):
    with pytest.raises(ProtocolError) as raised:
        parse_accounts(answer)
    assert raised.value.frame == ""
    with pytest.raises(ProtocolError) as raised:
        parse_account([PLANTED])
    assert PLANTED not in repr(raised.value)


# --- the limiter ---


def accounts(*most, broken=()):
    return [UseApiAccount(email=f"{n}@x.org", max_jobs=jobs) for n, jobs in enumerate(most)] + [
        UseApiAccount(email=f"b{n}@x.org", max_jobs=jobs, error="broken") for n, jobs in enumerate(broken)
    ]


class Service:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def read(self):
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


class StoppedClock(Clock):
    __slots__ = ("time",)

    def __init__(self):
        super().__init__()
        self.time = 0.0

    def now(self):
        return self.time


def limiter(*answers):
    service, clock = Service(*answers), StoppedClock()
    return AccountsLimiter(service.read, clock), service, clock


def test_the_bound_is_the_sum_of_the_accounts_without_an_error():
    async def scenario():
        bound, service, _ = limiter(accounts(2, 5, 10, broken=(7,)))
        for _ in range(17):
            await asyncio.wait_for(bound.acquire(), 5)
        waiting = asyncio.create_task(bound.acquire())
        await asyncio.sleep(0)
        assert not waiting.done()
        await bound.release()
        await asyncio.wait_for(waiting, 5)
        assert service.asked == 1

    asyncio.run(scenario())


def test_the_bound_is_5_while_the_accounts_are_not_known():
    async def scenario():
        bound, _, _ = limiter(TransportError("gone"))
        await bound.acquire()
        assert bound.most == 5
        bound.learn([])
        assert bound.most == 5

    asyncio.run(scenario())


def test_the_accounts_are_read_again_after_a_while_sooner_after_a_doubt_and_at_once_after_a_change():
    async def scenario():
        bound, service, clock = limiter(accounts(2), accounts(3), accounts(4), accounts(9))
        await bound.acquire()
        clock.time = 299
        await bound.acquire()
        assert service.asked == 1
        clock.time = 301
        waiting = asyncio.create_task(bound.acquire())  # the new bound lets it pass
        await asyncio.wait_for(waiting, 5)
        assert (service.asked, bound.most) == (2, 3)
        bound.refused(60, everywhere=False)
        clock.time += 31
        await asyncio.wait_for(bound.acquire(), 5)
        assert (service.asked, bound.most) == (3, 4)
        bound.expire()
        await asyncio.wait_for(bound.acquire(), 5)
        assert (service.asked, bound.most) == (4, 9)

    asyncio.run(scenario())


def test_no_place_is_given_for_a_while_after_all_accounts_were_full():
    """Each task of a long queue would be sent otherwise, only to be refused."""

    async def scenario():
        bound, _, clock = limiter(accounts(5))
        await bound.acquire()
        bound.refused(0.2, everywhere=True)
        waiting = asyncio.create_task(bound.acquire())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        clock.time += 1
        await asyncio.wait_for(waiting, 5)
        bound.refused(1000, everywhere=True)
        waiting = asyncio.create_task(bound.acquire())
        await asyncio.sleep(0)
        bound.close(TransportError("closed"))
        with pytest.raises(TransportError, match="closed"):
            await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())


def test_closing_ends_all_waits_and_refuses_later_ones():
    async def scenario():
        bound, _, _ = limiter(accounts(1))
        await bound.acquire()
        waiting = asyncio.create_task(bound.acquire())
        await asyncio.sleep(0)
        bound.close(TransportError("closed", may_have_arrived=False))
        for late in (waiting, asyncio.create_task(bound.acquire())):
            with pytest.raises(TransportError, match="closed"):
                await late

    asyncio.run(scenario())


def test_a_place_that_was_given_to_a_wait_that_is_cancelled_goes_to_the_next():
    async def scenario():
        bound, _, _ = limiter(accounts(1))
        await bound.acquire()
        first, second = asyncio.create_task(bound.acquire()), asyncio.create_task(bound.acquire())
        await asyncio.sleep(0)
        await bound.release()
        first.cancel()
        await asyncio.wait_for(second, 5)

    asyncio.run(scenario())
