"""A URL is shown without its user and password, and without the values of secret parameters, wherever it appears."""

import pickle
import string
import traceback
from urllib.parse import quote, urlsplit

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from runware_nb.commands import find_command
from runware_nb.commands.arguments import LineParser
from runware_nb.core.redaction import host_of, redact_url, redact_urls, show_url
from runware_nb.errors import ConfigError, MediaError, RunLogError, RunwareNBError
from runware_nb.media.bucket import Bucket
from runware_nb.net.address_policy import check_hop
from runware_nb.runlog import RunLog
from runware_nb.runlog.databases import in_words
from runware_nb.session.layers import SettingLayers
from runware_nb.settings import Settings, load_settings

SECRET = "s3cr3tw0rd"
HIDDEN = [
    f"https://user:{SECRET}@h.example/v1",
    f"https://{SECRET}@h.example/v1",
    f"https://user:a/{SECRET}@h.example/v1",
    f"https://user:a@{SECRET}@h.example/v1",
    f"https://user:a?{SECRET}#@h.example/v1",
    f"postgresql+psycopg://user@h.example/db?password={SECRET}&sslmode=require",
    f"postgresql://h.example/db?sslmode=require&Password={SECRET}",
    f"s3://key:{SECRET}@bucket/folder",
    f"https://h.example/x.png?X-Amz-Signature={SECRET}&X-Amz-Date=2026",
    f"https://h.example/x.png?AWSAccessKeyId={SECRET}",
    f"https://h.example/x.png?sv=1&sig={SECRET}",
    f"https://h.example/x.png?%74oken={SECRET}",
    f"https://h.example/x.png#access_token={SECRET}",
    f"https://h.example/x.png?a=1;api_key={SECRET}",
    f"https://[::1:user:{SECRET}@h.example",
]
PLAIN = [
    "https://api.runware.ai/v1",
    "http://127.0.0.1:8123/media/a@2x.png",
    "http://127.0.0.1:8123",
    "ws://[::1]:80/v1",
    "https://h.example/x.png?width=3&author=me&keyword=cat&design=2",
    "sqlite:///log.sqlite",
    "s3://bucket/folder",
    "",
]


@pytest.mark.parametrize("url", HIDDEN)
def test_a_secret_in_a_url_is_not_shown(url):
    assert SECRET not in show_url(url)
    assert SECRET not in redact_urls(f"cannot open '{url}': refused")
    assert SECRET not in redact_url(url)


@pytest.mark.parametrize("url", PLAIN)
def test_a_url_without_a_secret_is_shown_as_it_is(url):
    assert show_url(url) == url


def test_the_host_is_still_named():
    assert show_url(HIDDEN[0]) == "https://h.example/v1"
    assert host_of(f"wss://u:{SECRET}@h.example:81/v1?token=x") == "h.example:81"
    assert show_url(HIDDEN[5]) == "postgresql+psycopg://h.example/db?password=[redacted]&sslmode=require"


WORDS = st.text(st.sampled_from(string.ascii_uppercase + string.digits), min_size=10, max_size=20)


@settings(deadline=None, max_examples=100)
@given(
    password=st.text(st.characters(exclude_characters="@"), max_size=10).map(quote), secret=WORDS,
    name=st.sampled_from(["token", "Password", "api_key", "X-Amz-Credential", "signature", "auth"]),
    path=st.text(st.sampled_from(string.ascii_lowercase + "/.-"), max_size=20),
)  # fmt: skip
def test_no_password_and_no_secret_parameter_is_shown(password, secret, name, path):
    url = f"https://user:{password}{secret}@h.example/{path}?a=1&{name}={secret}&b=2"
    shown = show_url(url)
    assert secret not in shown
    assert urlsplit(shown).hostname == "h.example"
    assert shown.startswith(f"https://h.example/{path}?a=1&{name}=")
    assert show_url(shown) == shown


# --- settings ----------------------------------------------------------------------------------------

WITH_PASSWORDS = {
    "rest_url": f"https://user:{SECRET}@h.example/v1",
    "ws_url": f"wss://user:{SECRET}@h.example/v1?token={SECRET}",
    "schemas_url": f"https://user:{SECRET}@h.example",
    "log_url": f"postgresql://user@127.0.0.1:1/db?password={SECRET}",
    "media_url": f"nosuch://user:{SECRET}@bucket",
}


def test_the_repr_of_settings_shows_no_password():
    held = Settings(**WITH_PASSWORDS)
    shown = repr(held) + repr([getattr(held, name) for name in WITH_PASSWORDS]) + repr(vars(SettingLayers(held, None)))
    assert SECRET not in shown
    assert "h.example" in shown
    assert {name: getattr(held, name) for name in WITH_PASSWORDS} == WITH_PASSWORDS  # used as they were given
    copied = pickle.loads(pickle.dumps(held.rest_url))
    assert (copied, repr(copied)) == (held.rest_url, "'https://h.example/v1'")


@pytest.mark.parametrize(
    "environ",
    [
        {"RUNWARE_NB_REST_URL": f"ftp://user:{SECRET}@h"},
        {"RUNWARE_NB_REST_URL": f"https://user:pa/{SECRET}@h"},
        {"RUNWARE_NB_WS_URL": f"wss://user:{SECRET}@"},
        {"RUNWARE_NB_WS_URL": f"wss://user:{SECRET}\u2100@h"},
        {"RUNWARE_NB_REST_URL": "sk-abcdefghijklmnop12345678"},
        {"RUNWARE_NB_TRANSPORT": "sk-abcdefghijklmnop12345678"},
        {"RUNWARE_NB_BUDGET_USD": "Zk3vQ9sT7bW2xY5mN8pR1cL4dF6gH0jA"},
    ],
)
def test_the_error_about_a_setting_quotes_no_secret(environ):
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    chain = "".join(traceback.format_exception(caught.value))
    for secret in (SECRET, "sk-abcdefghijklmnop12345678", "Zk3vQ9sT7bW2xY5mN8pR1cL4dF6gH0jA"):
        assert secret not in chain
    assert next(iter(environ)) in str(caught.value)


def test_a_key_written_as_the_name_of_its_variable_is_not_quoted(tmp_path):
    """A profile names the variable of its key; somebody may write the key itself there."""
    key = "Zk3vQ9sT7bW2xY5mN8pR1cL4dF6gH0jA"
    file = tmp_path / "runware_nb" / "config.toml"
    file.parent.mkdir()
    file.write_text(f'[profiles.lab]\napi_key_from = "{key}"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "RUNWARE_NB_PROFILE": "lab"}
    with pytest.raises(ConfigError, match="expected the name of the environment variable") as caught:
        load_settings(environ)
    assert key not in str(caught.value)


# --- the log and the media ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:1/db",
        f"postgresql://user@127.0.0.1:1/db?password={SECRET}",
        f"postgresql://user:a@{SECRET}@127.0.0.1:1/db",
        f"postgresql://user:a@{SECRET}@nosuchhost.invalid/db",
        f"postgresql://user:{SECRET}@127.0.0.1:port/db",
        f"mysql://user:{SECRET}@h/db",
        f"user:{SECRET}@h",
    ],
)
def test_the_error_of_a_log_shows_no_password(tmp_path, url):
    with pytest.raises(RunLogError) as caught:
        RunLog(tmp_path, Settings(log_url=url).log_url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "runware_nb" in frame.filename]
    assert SECRET not in repr([frame.locals for frame in ours])


def test_a_driver_that_quotes_a_url_is_not_repeated():
    assert SECRET not in in_words(ValueError(f'bad URL "postgresql://u:{SECRET}@h/db?password={SECRET}"'))
    assert SECRET not in in_words(ValueError(f'could not translate host name "{SECRET}@h" to address'))


@pytest.mark.parametrize("url", [f"nosuch://user:{SECRET}@bucket", f"nosuch://bucket?token={SECRET}"])
def test_the_error_of_a_bucket_shows_no_password(url):
    with pytest.raises(ConfigError, match="RUNWARE_NB_MEDIA_URL") as caught:
        Bucket(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_error_of_a_medium_shows_no_signature():
    with pytest.raises(MediaError) as caught:
        check_hop(f"http://user:{SECRET}@10.0.0.1/x?sig={SECRET}", came_from=None, endpoint="https://h.example")
    assert SECRET not in str(caught.value)
    assert "10.0.0.1" in str(caught.value)


@pytest.mark.parametrize("name", ["config", "status", "connect"])
def test_commands_show_no_password(sandbox, make_session, name):
    """Endpoints with a user work as before, and are shown without it."""
    parts = {key: url.replace("://", f"://user:{SECRET}@") for key, url in sandbox.urls.items()}
    session = make_session(sandbox, **parts)
    command, parser = find_command(name), LineParser(name, "")
    command.add_arguments(parser)
    try:
        answer = command.run(session, parser.read([]))
    except RunwareNBError as error:
        shown = f"{error}"
    else:
        shown = f"{answer.bundle}{answer.json}{answer.notes}"
        assert "127.0.0.1" in shown
    assert SECRET not in shown
