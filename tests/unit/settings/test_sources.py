import pickle
from pathlib import Path

import pytest

from runware_nb.errors import ConfigError
from runware_nb.settings import Key, Settings, jupyter_session_name, load_settings


def test_the_environment_decides_where_nothing_else_does(tmp_path):
    settings = load_settings(
        {"RUNWARE_API_KEY": " k1 ", "RUNWARE_NB_REST_URL": "http://h/v1", "RUNWARE_NB_TRANSPORT": "rest",
         "RUNWARE_NB_LOG_URL": "sqlite:///x"},
        cwd=tmp_path,
    )  # fmt: skip
    assert settings.api_key is not None
    assert settings.api_key.reveal() == "k1"
    assert settings.api_key.source == "RUNWARE_API_KEY"
    assert (settings.rest_url, settings.transport, settings.log_url) == ("http://h/v1", "rest", "sqlite:///x")
    assert settings.home == tmp_path / ".runware"


def test_an_argument_wins_over_the_environment(tmp_path):
    settings = load_settings({"RUNWARE_NB_TRANSPORT": "rest"}, cwd=tmp_path).with_values(transport="websocket")
    assert settings.transport == "websocket"


def test_none_means_not_given():
    assert Settings().with_values(transport=None) == Settings()


def test_the_home_folder_can_be_moved(tmp_path):
    assert load_settings({"RUNWARE_NB_HOME": "here"}, cwd=tmp_path).home == tmp_path / "here"
    assert load_settings({"RUNWARE_NB_HOME": str(tmp_path / "abs")}, cwd=Path("/")).home == tmp_path / "abs"


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"RUNWARE_NB_TRANSPORT": "pigeon"},
            "RUNWARE_NB_TRANSPORT: Invalid transport 'pigeon': expected 'websocket' or 'rest'.",
        ),
        ({"RUNWARE_NB_REST_URL": "ftp://x"}, "RUNWARE_NB_REST_URL: Invalid rest_url 'ftp://x'"),
        ({"RUNWARE_NB_WS_URL": "https://x"}, "Invalid ws_url 'https://x': expected ws:// or wss:// and a host."),
        ({"RUNWARE_NB_REST_URL": "http://h:notaport/"}, "Invalid rest_url"),
        ({"RUNWARE_NB_BUDGET_USD": "two"}, "Invalid RUNWARE_NB_BUDGET_USD 'two': expected a number."),
        ({"RUNWARE_NB_BUDGET_USD": "-1"}, "RUNWARE_NB_BUDGET_USD: Invalid budget_usd -1.0: expected an amount"),
        ({"RUNWARE_NB_ASK_ABOVE_USD": "nan"}, "Invalid ask_above_usd nan"),
        ({"RUNWARE_NB_MODE": "offline"}, "expected 'live' or 'replay'"),
        ({"RUNWARE_API_KEY": "two words"}, "The key from RUNWARE_API_KEY contains blanks"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(environ, sentence):
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("values", [{"max_in_flight": 0}, {"timeout_s": -1}, {"max_retries": -1}, {"nonsense": 1}])
def test_impossible_settings_are_refused(values):
    with pytest.raises(ConfigError):
        Settings().with_values(**values)


def test_no_key_says_how_to_get_one_in():
    with pytest.raises(ConfigError, match=r'`rw\.command\("login"\)`'):
        Settings().require_key()


def test_a_key_never_shows_itself():
    key = Key("s3cret-s3cret", "a test")
    for text in (repr(key), str(key), f"{key}", repr(Settings(api_key=key)), str([key])):
        assert "s3cret" not in text
    with pytest.raises(ConfigError, match="never pickled"):
        pickle.dumps(key)


def test_an_empty_key_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        Key("  ", "a test")


def test_keys_compare_by_value():
    assert Key("a", "x") == Key("a", "y")
    assert len({Key("a", "x"), Key("a", "y")}) == 1


def test_a_local_service_is_known_as_the_sandbox():
    assert Settings(rest_url="http://127.0.0.1:1/v1").service == "sandbox"
    assert Settings().service == "runware"


def test_the_notebooks_name_comes_from_jupyter(monkeypatch):
    assert jupyter_session_name() is None
    monkeypatch.setenv("JPY_SESSION_NAME", "/n/a.ipynb")
    assert jupyter_session_name() == "/n/a.ipynb"
