"""Three secrets at once: the token of useapi.net, a Runway password and a Runway session token. They are found nowhere."""

import asyncio
import dataclasses
import logging
import sqlite3
import subprocess
import sys
import traceback

import pytest

import runware_nb as rw
from runware_nb.core.key_shapes import looks_like_key
from runware_nb.core.redaction import known_secrets
from runware_nb.errors import MagicUsageError, RunwareNBError
from runware_nb.net.clock import Clock
from runware_nb.net.trace import wire_trace
from runware_nb.providers.useapi.client import UseApi
from runware_nb.providers.useapi.package import PACKAGE
from runware_nb.providers.useapi.provider import UseApiProvider
from runware_nb.session import Session
from runware_nb.settings import load_settings
from tests.useapi_sandbox import FIRST, UseApiSandbox

PASSWORD = "lantern~harbor~4711"
SCALE = 500.0
IMAGE = {"taskType": "useapi/images/create", "model": "gen4", "text_prompt": "a ship", "seed": 7}


@pytest.fixture(scope="module")
def sandbox():
    sandbox = UseApiSandbox("--time-scale", str(SCALE), "--latency-s", "20")
    sandbox.switch(password="echoed")
    yield sandbox
    sandbox.close()


@pytest.fixture
def planted(sandbox):
    """The three secrets. The service returns the last one with every account."""
    sandbox.faults()
    sandbox.call("POST", f"/accounts/{FIRST}", {"email": FIRST, "password": PASSWORD, "maxJobs": 5})
    return sandbox.token, PASSWORD, sandbox.call("GET", "/accounts")[1][FIRST]["jwt"]["token"]


@pytest.fixture
def trace():
    wire_trace.is_on = True
    yield wire_trace.frames
    wire_trace.is_on = False
    wire_trace.frames.clear()


class Texts(list):
    """Texts that are not shown among the variables of a frame."""

    def __repr__(self):
        return "<texts>"


def leaks(planted, *texts):
    return [text for text in texts for secret in planted if secret in text]


def error_in_full(error):
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()) + repr(vars(error))


async def use_every_call(url, token, texts):
    async with UseApi(token, url=url, clock=Clock(SCALE)) as client:
        texts.append(repr(await client.save_account(FIRST, PASSWORD, 5)))
        texts += [
            repr(await client.accounts()),
            repr(await client.account(FIRST)),
            str(await client.accounts(reveals=True)),
        ]
        texts.append(repr(await client.wait(await client.images_create("gen4", "a ship"))))
        texts += [
            repr(await client.features()),
            repr(await client.platform_account()),
            repr(client),
            repr(vars(client)),
        ]


def test_no_secret_is_in_a_value_a_log_or_the_trace(sandbox, planted, trace, caplog):
    caplog.set_level(logging.DEBUG)
    texts = []
    asyncio.run(use_every_call(sandbox.url, sandbox.token, texts))
    assert leaks(planted, *texts, caplog.text, *map(repr, trace)) == []
    assert len(trace) > 4  # the calls about accounts stay out of it, and all others are in


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "login", "on": "accounts", "reason": "password", "count": 3},
        {"kind": "login", "on": "accounts", "reason": "suspended", "count": 3},
        {"kind": "refuse", "on": "accounts", "status": 400, "message": f"you sent {PASSWORD}", "count": 3},
        {"kind": "html", "on": "accounts", "count": 9},
        {"kind": "cut", "on": "accounts", "when": "mid_body", "count": 9},
        {"kind": "cut", "on": "accounts", "when": "after_accept", "count": 9},
    ],
)
def test_no_secret_is_in_an_error_or_in_the_variables_of_its_frames(sandbox, planted, trace, caplog, fault):
    caplog.set_level(logging.DEBUG)
    shown = Texts()

    async def scenario():
        async with UseApi(sandbox.token, url=sandbox.url, clock=Clock(SCALE)) as client:
            for question in (client.save_account, client.account, client.accounts):
                sandbox.faults(fault)
                try:
                    await (question(FIRST, PASSWORD) if question == client.save_account else
                           question(FIRST) if question == client.account else question())  # fmt: skip
                except RunwareNBError as error:
                    shown.append(error_in_full(error))

    asyncio.run(scenario())
    assert shown or fault["kind"] == "login"
    # The frames of this test have the password itself; those of the package are looked at.
    ours = ["\n".join(text.split('File "')[2:]) for text in shown]
    assert leaks(planted[:1] + planted[2:], *shown, caplog.text, *map(repr, trace)) == []
    assert leaks(planted, *ours, caplog.text, *map(repr, trace)) == []


def test_no_secret_is_in_the_log_a_file_an_output_or_the_process_list(sandbox, planted, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("USEAPI_TOKEN", sandbox.token)
    monkeypatch.setenv("USEAPI_RUNWAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("RUNWARE_NB_USEAPI_URL", sandbox.url)
    package = dataclasses.replace(PACKAGE, build=lambda context: UseApiProvider(context, clock=Clock(SCALE)))
    session = Session(load_settings().with_values(home=tmp_path / ".runware"), packages=[package])
    monkeypatch.setattr("runware_nb.providers.useapi.api.current_session", lambda: session)
    rw.useapi.save_account(FIRST)
    job = session.submit(IMAGE, service="useapi", agreed=True)
    outcome = job.result(60)
    texts = [
        repr(each)
        for each in (session.settings, job, outcome, outcome[0], vars(session), rw.useapi, rw.useapi.accounts())
    ]
    texts += [*outcome._repr_mimebundle_().values(), caplog.text, repr(session.provider("useapi").__dict__)]
    if sys.platform == "linux":
        texts.append(subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=False).stdout)
    sandbox.faults({"kind": "refuse", "status": 400, "message": " ".join(planted)})
    failed = session.submit({**IMAGE, "seed": 8}, service="useapi", agreed=True)
    with pytest.raises(RunwareNBError) as raised:
        failed.result(60)
    texts.append("".join(traceback.format_exception(raised.value)) + repr(vars(raised.value)))
    assert leaks(planted[:2], *texts) == []
    session.close()
    bodies = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert [body for body in bodies for secret in planted[:2] if secret.encode() in body] == []
    with sqlite3.connect(tmp_path / ".runware" / "runs.sqlite") as log:
        dump = "\n".join(log.iterdump())
    log.close()
    assert leaks(planted[:2], dump) == []


def test_a_password_or_a_token_on_a_line_is_refused(sandbox, monkeypatch):
    monkeypatch.setenv("USEAPI_RUNWAY_PASSWORD", PASSWORD)
    assert looks_like_key(sandbox.token)
    load_settings()
    from runware_nb.settings import remember_secrets

    remember_secrets()
    assert known_secrets.is_in(f"%useapi account add me@example.com {PASSWORD}")
    for word in (PASSWORD, sandbox.token):
        with pytest.raises(MagicUsageError) as raised:
            rw.command("log", "--filter", word)
        assert word not in str(raised.value)
