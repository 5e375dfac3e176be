"""What follows from the table of settings, for every entry: parsing, validation, precedence and help."""

from __future__ import annotations

import argparse
import itertools
import json

import pytest

from runware_nb.commands import config
from runware_nb.commands.arguments import HelpRequested, LineParser
from runware_nb.core.redaction import known_secrets
from runware_nb.errors import ConfigError, MagicUsageError
from runware_nb.settings import Place, Settings, load_settings, save_to_project, settings_table, user_file

SETTINGS = settings_table()  # with the settings of all providers
FILES = (Place.USER, Place.PROFILE, Place.PROJECT)
READ_FIRST = {"api_key", "home", "profile"}  # they decide what is read, and have tests of their own


def values_of(setting):
    """Return three allowed values of a setting, each as text."""
    if setting.choices:
        return list(itertools.islice(itertools.cycle(reversed(setting.choices)), 3))
    if setting.is_url:
        scheme = setting.schemes[0] if setting.schemes else "https"
        return [f"{scheme}://host{number}/x" for number in range(3)]
    if setting.kind in {int, float}:
        return ["7", "8", "9"]
    if setting.kind is bool:
        return ["true", "false", "true"]
    return ["FIRST", "SECOND", "THIRD"]


def load(folder, values):
    """Load settings from real files, with one value in each place."""
    environ = {"XDG_CONFIG_HOME": str(folder / "xdg"), "RUNWARE_NB_PROFILE": "lab"}
    lines = {place: [] for place in FILES}
    for place, (name, value) in values.items():
        if place is Place.ENVIRONMENT:
            environ[SETTINGS[name].variable] = value
        else:
            lines[place].append(f"{name} = {json.dumps(value)}")
    for path, text in (
        (user_file(environ), "\n".join([*lines[Place.USER], "[profiles.lab]", *lines[Place.PROFILE]])),
        (folder / ".runware" / "config.toml", "\n".join(lines[Place.PROJECT])),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_settings(environ, cwd=folder)


CASES = [(name, place) for name in SETTINGS if name not in READ_FIRST for place in (*FILES, Place.ENVIRONMENT)]


@pytest.mark.parametrize(("name", "place"), CASES)
def test_a_setting_is_read_exactly_where_the_table_allows_it(tmp_path, name, place):
    setting = SETTINGS[name]
    value = values_of(setting)[0]
    if place is Place.ENVIRONMENT:
        assert bool(setting.variable) == (place in setting.places)
        if not setting.variable:
            return
    if place in setting.places:
        assert load(tmp_path, {place: (name, value)}).value(name) == setting.parse(value, name)
    else:
        with pytest.raises(ConfigError, match=f"sets {name}; it may set only"):
            load(tmp_path, {place: (name, value)})


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in READ_FIRST])
def test_the_place_of_higher_precedence_wins(tmp_path, name):
    """Each pair of neighboring places, with different values in both."""
    setting = SETTINGS[name]
    low, high, _ = values_of(setting)
    places = [place for place in Place if place in setting.places]
    for number, (below, above) in enumerate(itertools.pairwise(places)):
        folder = tmp_path / str(number)
        if above is Place.SESSION:
            settings = load(folder, {below: (name, low)}).with_values(**{name: high})
        else:
            settings = load(folder, {below: (name, low), above: (name, high)})
        assert settings.value(name) == setting.parse(high, name) != setting.parse(low, name)


def test_every_field_is_an_entry_or_has_a_table_of_its_own():
    assert {*Settings.__dataclass_fields__} - {*SETTINGS} == {"defaults", "provider_values", "problems"}
    assert all(setting.summary and not setting.summary.endswith(".") for setting in SETTINGS.values())


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.kind in {int, float, bool}])
@pytest.mark.parametrize("value", ["two", "", [1], {}])
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"^Invalid {name} "):
        Settings().with_values(**{name: value})


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.kind in {int, float}])
def test_a_number_outside_its_range_is_refused_with_the_range(name):
    setting = SETTINGS[name]
    for value in (-1, *([0] if setting.above is not None else [])):
        with pytest.raises(ConfigError) as caught:
            Settings().with_values(**{name: value})
        assert f"Invalid {name} {setting.kind(value)}: expected {setting.expected}." == str(caught.value)


@pytest.mark.parametrize("place", [Place.USER, Place.ENVIRONMENT])
def test_schemas_can_be_turned_off_in_every_place(tmp_path, place):
    assert load(tmp_path, {place: ("schemas_url", "OFF")}).schemas_url == ""
    assert Settings().with_values(schemas_url="off").schemas_url == ""


@pytest.mark.parametrize("name", SETTINGS)
def test_only_what_a_project_may_set_is_saved_with_it(tmp_path, name):
    value = values_of(SETTINGS[name])[0]
    if Place.PROJECT in SETTINGS[name].places:
        assert name in save_to_project(tmp_path, {name: value}).read_text()
    else:
        with pytest.raises(ConfigError, match=f"{name} cannot be saved with a project"):
            save_to_project(tmp_path, {name: value})


def test_the_help_of_config_lists_what_it_can_set():
    parser = LineParser("%runware config", config.SUMMARY)
    config.add_arguments(parser)
    with pytest.raises(HelpRequested) as caught:
        parser.read(["-h"])
    for setting in SETTINGS.values():
        listed = f"\n  {setting.name} " in str(caught.value)
        assert listed == (Place.SESSION in setting.places), setting.name


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if Place.SESSION not in s.places] + ["defaults"])
def test_config_refuses_what_cannot_be_set_in_a_session(sandbox, make_session, name):
    options = argparse.Namespace(name=name, value="x", save=False)
    with pytest.raises(MagicUsageError, match=f"`config` cannot set {name}. "):
        config.run(make_session(sandbox), options)


def test_config_sets_a_yes_or_no_setting(sandbox, make_session):
    session = make_session(sandbox)
    config.run(session, argparse.Namespace(name="auth_in_payload", value="True", save=False))
    assert session.settings.auth_in_payload is True
    with pytest.raises(ConfigError, match="Invalid auth_in_payload 'maybe': expected 'true' or 'false'"):
        config.run(session, argparse.Namespace(name="auth_in_payload", value="maybe", save=False))


TOKEN = "k7Qm2vXw9Zr4Tn6Lp3Hd"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://hook.example/useapi/{TOKEN}", "https://hook.example/…"),
        (f"https://me:word@hook.example:8443/{TOKEN}/?a=1", "https://hook.example:8443/…"),
        (f"https://hook.example/{TOKEN}#part", "https://hook.example/…"),
        (f"hook.example/{TOKEN}", "…"),
    ],
)
def test_a_path_that_protects_a_url_is_not_shown(url, shown):
    settings = Settings().with_values(useapi_reply_url=url)
    assert settings.value("useapi_reply_url") == url
    assert settings_table()["useapi_reply_url"].shown(url) == shown
    assert shown in repr(settings)
    assert TOKEN not in repr(settings)
    assert config._shown(settings)["useapi_reply_url"] == shown
    assert TOKEN not in known_secrets.redact(f"called {url} today")
    assert Settings().value("useapi_reply_url") == ""
