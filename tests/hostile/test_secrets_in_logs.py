"""No record of a logger contains a key or a part of it, whatever level a user sets after the import."""

import asyncio
import json
import logging
import string
import time
import traceback

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from runware_nb import Client
from runware_nb.core.key_shapes import passwords_in_urls
from runware_nb.core.redaction import KnownSecrets, known_secrets, redact_urls, redact_values
from runware_nb.errors import AuthenticationFailed, ConfigError, ProtocolError
from runware_nb.net.trace import WireTrace
from runware_nb.providers.runware import websocket
from runware_nb.providers.runware.frames import parse_frame
from runware_nb.providers.runware.sse import delta_of
from runware_nb.runlog import RunLog
from runware_nb.settings import Key, Settings, child_environment, load_settings
from tests.conftest import TASK

LOGGERS = ("", "runware_nb", "runware_nb.websocket", "httpx", "httpcore", "websockets", "asyncio", "sqlalchemy.engine")
KEY = "Zk3vQ9sT7bW2xY5mN8pR1cL4dF6gH0jA"


def parts_of(key, size=8):
    """Give every part of a key that shows something of it; the word `sandbox-` in front of a sandbox's does not."""
    return [key[start : start + size] for start in range(len(key) - size + 1) if "sandbox-" not in key[start:][:size]]


class Collector(logging.Handler):
    """Formats each record as a handler of the user's would, with everything that it carries."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        carried = {name: value for name, value in vars(record).items() if isinstance(value, str)}
        self.texts.append(logging.Formatter().format(record) + repr(record.args) + repr(carried))


@pytest.fixture
def debug_log():
    """Everything that is logged, with every logger set to DEBUG after the import, which sets one of them."""
    assert websocket.__name__
    collector = Collector()
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(collector)
    yield collector.texts
    logging.getLogger().removeHandler(collector)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("transport", ["websocket", "rest", "payload"])
def test_debug_logs_of_a_task_contain_no_part_of_the_key(sandbox, debug_log, transport):
    """The frame with the key is logged, cut in the middle, and neither half shows anything of the key."""
    values = {"transport": "websocket" if transport == "websocket" else "rest", **sandbox.urls}
    values["auth_in_payload"] = transport == "payload"
    used = load_settings().with_values(api_key=sandbox.api_key, **values)

    async def main():
        asyncio.get_running_loop().set_debug(True)
        async with Client(settings=used) as client:
            await client.verify_key()
            await client.run({**TASK, "seed": 1})

    asyncio.run(main())
    assert len(debug_log) > 3
    if transport == "websocket":
        assert any("authentication" in text and "[redacted]" in text for text in debug_log)
    seen = "\n".join(debug_log)
    assert [part for part in parts_of(sandbox.api_key) if part in seen] == []


def test_the_statements_of_the_log_contain_no_key(debug_log, tmp_path, run_async):
    """SQLAlchemy logs statements with their values."""
    from tests.runs import run_record

    Key(KEY, "the test")
    log = RunLog(tmp_path)
    run_async(asyncio.wait_for(as_coroutine(log, run_record(1)), 20))
    log.recent()
    log.close()
    assert not any(part in "\n".join(debug_log) for part in parts_of(KEY))
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def as_coroutine(log, run):
    run.note = f"note with {KEY}"
    run.notebook = f"/home/{KEY}/n.ipynb"
    await log.prepare(run, cell_source=f"x = {KEY!r}")


def test_an_exception_in_a_record_is_redacted(debug_log):
    Key(KEY, "the test")
    try:
        raise ValueError(f"header {KEY[:20]} is bad")
    except ValueError:
        logging.getLogger("httpx").exception("failed with %s", KEY[4:28], extra={"where": f"x{KEY}"})
    assert len(debug_log) == 1
    assert "ValueError: header [redacted] is bad" in debug_log[0]
    assert not any(part in debug_log[0] for part in parts_of(KEY))


def test_records_of_other_loggers_are_left_alone(debug_log):
    Key(KEY, "the test")
    logging.getLogger("mine").warning("what I log, %s, is mine", KEY)
    assert KEY in debug_log[0]


# --- what a service returns --------------------------------------------------------------------------

SPELLINGS = {
    "as it is": json.dumps,
    "JSON escapes": lambda key: '"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"',
    "JSON escapes in capitals": lambda key: '"' + "".join(f"\\u{ord(c):04X}" for c in key) + '"',
    "some JSON escapes": lambda key: '"' + "".join(f"\\u{ord(c):04x}" if n % 3 else json.dumps(c)[1:-1]
                                                   for n, c in enumerate(key)) + '"',
    "percent": lambda key: json.dumps("https://h/?q=" + "".join(f"%{ord(c):02X}" for c in key)),
    "percent twice": lambda key: json.dumps("".join(f"%25{ord(c):02x}" for c in key)),
    "HTML, decimal": lambda key: json.dumps("".join(f"&#{ord(c)};" for c in key)),
    "HTML, hexadecimal": lambda key: json.dumps("<p>" + "".join(f"&#x{ord(c):X};" for c in key)),
    "JSON in JSON": lambda key: json.dumps(json.dumps({"you sent": key})),
}  # fmt: skip
SECRETS = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_.~!&<%+/="), min_size=12, max_size=60).map(
    "0".__add__
)


@settings(deadline=None, max_examples=60)
@given(key=SECRETS, spelling=st.sampled_from(sorted(SPELLINGS)), around=st.text(max_size=5))
def test_a_secret_is_found_in_any_spelling(key, spelling, around):
    secrets = KnownSecrets()
    secrets.add(key)
    for text in (SPELLINGS[spelling](key), json.loads(SPELLINGS[spelling](key))):
        shown = secrets.redact(f"{around}{text}{around}")
        assert secrets.is_in(f"{around}{text}{around}")
        assert "[redacted]" in shown
        assert not secrets.is_in(shown)


@given(
    st.lists(st.text(max_size=30), max_size=4),
    st.sampled_from(sorted(SPELLINGS)),
    st.lists(st.text(max_size=30), max_size=4),
)
def test_one_look_at_many_texts_misses_no_secret(before, spelling, after):
    """What is written for a run is looked at as a whole, and only then value by value."""
    secrets = KnownSecrets()
    secrets.add(KEY)
    assert secrets.may_be_in([*before, SPELLINGS[spelling](KEY), *after])


def test_one_look_is_not_trusted_with_a_long_text():
    """Escapes are not undone in a text of megabytes, so each value has to be looked at."""
    secrets = KnownSecrets()
    secrets.add(KEY)
    assert secrets.may_be_in(["x" * 600_000, "y" * 600_000])
    assert not secrets.may_be_in(["x" * 600_000])


LONG = 50_000


@pytest.mark.parametrize(
    "text", ["%41" + "\\" * LONG, "&" + "amp;" * LONG + "%41", "%" + "25" * LONG + "%41", "&amp;" * LONG, "a" * LONG + " ://",
             "http://" + "a@" * LONG, "http://h/" + "b" * LONG + "@", "a://b:" * LONG],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_no_text_takes_long_to_redact(text):
    """A regular expression that reads a run of characters again from each of them takes minutes here."""
    secrets = KnownSecrets()
    for number in range(5):
        secrets.add(f"{KEY}{number}")
    started_at = time.monotonic()
    secrets.redact(text + "\\u0041")
    secrets.redact(f"{text}{SPELLINGS['JSON escapes'](KEY + '1')}")
    redact_urls(text)
    list(passwords_in_urls(text))
    assert time.monotonic() - started_at < 10


@pytest.mark.parametrize("word", ["airships", "password", "a-key", "k1", ""])
def test_a_word_that_was_typed_as_a_key_is_no_secret(word):
    """Else no prompt could contain it any more."""
    secrets = KnownSecrets()
    secrets.add(word)
    assert not secrets.is_in(f"two {word} over a forest")
    assert secrets.redact(f"two {word} over a forest") == f"two {word} over a forest"


@settings(deadline=None, max_examples=60)
@given(key=SECRETS, cuts=st.lists(st.integers(8, 60), max_size=3), around=st.text(max_size=5))
def test_no_part_of_a_secret_is_left(key, cuts, around):
    """Not even where a library cuts its text in the middle of the key."""
    secrets = KnownSecrets()
    secrets.add(key)
    for cut in cuts:
        for text in (key[:cut], key[-cut:]):
            shown = secrets.redact_parts(f"{around}{text}{around}")
            assert not any(part in shown.replace("[redacted]", "\n") for part in parts_of(key) if part.isalnum())


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_that_the_service_repeats_is_redacted(spelling):
    """After parsing, in every text and in the keys of objects, whatever escapes the service used."""
    known_secrets.add(KEY)
    text = SPELLINGS[spelling](KEY)
    body = f'{{"data": [{{"taskType": "x", {text}: {{"a": [{text}, 1]}}}}], "errors": [{{"code": "c", "message": {text}}}]}}'
    for written in (body, body.encode(), body.encode("utf-16")):
        frame = parse_frame(written)
        shown = json.dumps([frame.items, frame.errors])
        assert "[redacted]" in frame.errors[0]["message"]
        assert not known_secrets.is_in(shown)
        assert frame.items[0]["taskType"] == "x"


def test_what_is_no_json_is_redacted_in_the_error():
    Key(KEY, "the test")
    with pytest.raises(Exception, match="web page") as caught:
        parse_frame(f"<html>Authorization: Bearer {KEY} {''.join(f'&#{ord(c)};' for c in KEY)}")
    assert not known_secrets.is_in(caught.value.frame)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_that_a_stream_repeats_is_redacted(spelling):
    known_secrets.add(KEY)
    text = SPELLINGS[spelling](KEY)
    delta = delta_of(f'{{"delta": {{"text": {text}}}}}')
    frame = delta_of(f'{{"errors": [{{"code": "c", "message": {text}}}]}}')
    assert "[redacted]" in delta.text
    assert not known_secrets.is_in(json.dumps([delta.raw, frame.errors]))
    for event in (f"[{text}]", f"{KEY} is no JSON"):
        with pytest.raises(ProtocolError) as caught:
            delta_of(event)
        assert not known_secrets.is_in(f"{caught.value} {caught.value.frame}")


@pytest.mark.parametrize("length", [0, 200_000])
def test_a_frame_of_no_known_shape_is_redacted_in_the_error(length):
    known_secrets.add(KEY)
    for body in ([KEY, "x" * length], {"else": KEY, "x": "x" * length}, {"data": [KEY, "x" * length]}):
        with pytest.raises(ProtocolError) as caught:
            parse_frame(json.dumps(body))
        assert not known_secrets.is_in(f"{caught.value} {caught.value.frame}")


def test_a_short_key_is_redacted_in_the_response_to_it():
    (error,) = parse_frame('{"errors": [{"code": "c", "message": "you sent s3cret"}]}', key="s3cret").errors
    assert error["message"] == "you sent [redacted]"


@settings(deadline=None, max_examples=30)
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)
                          | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_values_without_a_secret_are_unchanged(value):
    known_secrets.add(KEY)
    assert redact_values(value) == value


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_trace_redacts_after_parsing(spelling):
    trace = WireTrace(is_on=True)
    known_secrets.add(KEY)
    trace.note("received", "h", f'{{"data": [{{"a": {SPELLINGS[spelling](KEY)}}}]}}', KEY)
    trace.note("received", "h", f"no JSON {SPELLINGS[spelling](KEY)}", KEY)
    shown = json.dumps([frame.frame for frame in trace.frames])
    assert "[redacted]" in shown
    assert not known_secrets.is_in(shown)


# --- tracebacks with local variables -----------------------------------------------------------------


def with_locals(error):
    """Write a traceback as tools do that show local variables, without this test's own frame."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if "test_secrets" not in frame.filename]
    assert frames
    return "\n".join(f"{frame.name} {frame.locals}" for frame in frames)


@pytest.mark.parametrize(
    "fails",
    [
        lambda key: Key(f"{key} x", "the test"),
        lambda key: Settings().with_values(api_key=key, transport="pigeon"),
        lambda key: Client(key, transport="pigeon"),
        lambda key: Client(f"{key} x"),
    ],
)
def test_a_traceback_with_variables_does_not_show_the_key(fails):
    with pytest.raises(ConfigError) as caught:
        fails(KEY)
    assert KEY[:12] not in with_locals(caught.value)


def test_a_traceback_with_variables_does_not_show_the_environment(monkeypatch):
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_NB_TRANSPORT", "pigeon")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert KEY[:12] not in with_locals(caught.value)


def test_connecting_with_a_refused_key_does_not_show_it(sandbox, make_session):
    session = make_session(sandbox)
    with pytest.raises(AuthenticationFailed) as caught:
        session.connect(api_key=KEY)
    shown = with_locals(caught.value)
    assert KEY[:12] not in shown


def test_a_child_process_gets_no_secret(monkeypatch, make_session, sandbox):
    """The environment of the sandbox, which other programs may read while it runs."""
    names = ("RUNWARE_API_KEY", "RUNKEY_API_KEY", "RUNKEY_WEBHOOK_SECRET", "USEAPI_TOKEN", "OPENAI_API_KEY",
             "AWS_SECRET_ACCESS_KEY", "RUNWARE_NB_LOG_URL", "PYTHON_KEYRING_PASSWORD")  # fmt: skip
    for name in names:
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("LANG", "C.UTF-8")
    load_settings()
    child = child_environment()
    assert KEY not in child.values()
    assert child["LANG"] == "C.UTF-8"
    assert child["PATH"]
    session = make_session(sandbox)
    started = session.connection.use_sandbox()
    with open(f"/proc/{started.info['pid']}/environ", "rb") as file:
        assert KEY.encode() not in file.read()
    assert started.info["api_key"] not in repr(vars(started))
