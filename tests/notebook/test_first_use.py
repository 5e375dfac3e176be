"""What a shell meets first: broken settings, late keys, unknown variables, `%cd`, and a notebook without a name."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

import pytest

from runware_nb.engine.display import relative_link, relative_path
from runware_nb.engine.front_end import ScriptFrontEnd, use_front_end
from runware_nb.errors import ConfigError, MagicUsageError
from runware_nb.notebook.cell import CellFinder
from runware_nb.runlog.spending import budgets_of
from runware_nb.session import current_session
from runware_nb.settings import sources

SMALL = "-s 128x128"


@pytest.fixture
def loads(shell, monkeypatch, capsys, tmp_path):
    """Loads the extension as a kernel's first cell does, and returns what it printed."""
    from runware_nb.session import current

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def load(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(current, "_session", None)
        capsys.readouterr()
        shell.run("%reload_ext runware_nb")
        return capsys.readouterr().out

    return load


@pytest.mark.parametrize("key", ["two words", "clé-de-test", "tab\tinside"])
def test_an_unusable_key_does_not_prevent_loading(shell, loads, key):
    first, *others = loads(RUNWARE_API_KEY=key).splitlines()
    assert "no usable key" in first
    assert len(others) == 1
    assert "RUNWARE_API_KEY" in others[0]
    assert key not in first + others[0]
    shell.run("%runware log")
    with pytest.raises(ConfigError, match="RUNWARE_API_KEY"):
        shell.run(f"%%runware {SMALL}\na ship")


@pytest.mark.parametrize(
    ("file", "body", "environment"),
    [
        ("pyproject.toml", "[tool\n", {}),
        ("pyproject.toml", "[tool.runware-nb]\nsteps = 'many'\n", {}),
        ("pyproject.toml", "[tool.runware-nb]\nrest_url = 'http://evil'\n", {}),
        ("config/runware_nb/config.toml", "= 1\n", {}),
        ("config/runware_nb/config.toml", "\udcff", {}),
        (".runware/config.toml", "mode = 3\n", {}),
        (None, "", {"RUNWARE_NB_TRANSPORT": "pigeon"}),
        (None, "", {"RUNWARE_NB_BUDGET_USD": "two"}),
        (None, "", {"RUNWARE_NB_PROFILE": "nobody"}),
    ],
)
def test_a_broken_setting_is_one_line_and_nothing_is_sent(shell, loads, sandbox, tmp_path, file, body, environment):
    if file is not None:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(body, errors="surrogateescape")
    _, *others = loads(**environment).splitlines()
    assert len(others) == 1
    assert others[0].endswith("Until this is corrected, nothing is sent.")
    shell.run("%runware config")
    shell.run("%runware status")
    with pytest.raises(ConfigError) as caught:
        shell.run(f"%%runware {SMALL}\na ship")
    assert str(caught.value) in others[0]
    assert sandbox.charges() == []


def test_a_broken_file_in_a_parent_folder_does_not_prevent_loading(shell, loads, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool\n")
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    use_front_end(ScriptFrontEnd())  # a kernel in which nothing was loaded
    assert "pyproject.toml cannot be read" in loads()


def test_a_setting_given_in_the_session_replaces_a_wrong_one(shell, loads):
    assert "pigeon" in loads(RUNWARE_NB_TRANSPORT="pigeon")
    shell.run("%runware config transport rest")
    shell.run(f"%%runware -q {SMALL}\na ship")


def test_a_late_key_is_reported_and_used(shell, loads, sandbox, monkeypatch, capsys):
    monkeypatch.delenv("RUNWARE_API_KEY")
    assert "no key yet" in loads()
    with pytest.raises(ConfigError, match="No API key"):
        shell.run(f"%%runware {SMALL}\na ship")
    shell.run(f"%env RUNWARE_API_KEY={sandbox.api_key}")
    capsys.readouterr()
    shell.run("%reload_ext runware_nb")
    assert "key from RUNWARE_API_KEY" in capsys.readouterr().out
    shell.run(f"%%runware -q {SMALL}\na ship")


def test_the_load_line_reports_the_key_that_is_used(shell, loads, capsys):
    loads()
    shell.run("%runware logout")
    capsys.readouterr()
    shell.run("%reload_ext runware_nb")
    assert "no key yet" in capsys.readouterr().out


def test_an_unknown_variable_is_named_once_with_the_nearest_name(loads, caplog):
    sources._report_unknown.cache_clear()
    with caplog.at_level(logging.WARNING, "runware_nb"):
        loads(RUNWARE_NB_BUGDET_USD="3", RUNWARE_NB_QQQ="1")
        loads()
        current_session()
    messages = [record.getMessage() for record in caplog.records]
    assert sum("RUNWARE_NB_BUGDET_USD" in message for message in messages) == 1
    assert any("Did you mean RUNWARE_NB_BUDGET_USD?" in message for message in messages)
    assert sum("RUNWARE_NB_QQQ" in message for message in messages) == 1


def test_the_load_line_suggests_a_command_that_works(shell, loads, tmp_path):
    shell.run("%runware sandbox --latency-s 30")
    shell.run(f"%%runware -q --background {SMALL}\na ship")
    session = current_session()
    deadline = time.monotonic() + 20
    while not session.pending() and time.monotonic() < deadline:
        time.sleep(0.01)
    line = loads()
    command = re.search(r"1 unfinished run: (.*) lists it", line)
    assert command, line
    shell.run(command[1])
    session.connection.leave_sandbox()


# --- %cd ------------------------------------------------------------------------------------------------


def test_links_and_folders_survive_cd(shell, tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    shell.run(f"%cd -q {tmp_path}/deep/er")
    shell.run(f"%%runware -q {SMALL} --seed 3\na ship")
    path = shell.names["_rw"][0].path
    within = path.relative_to(tmp_path)  # the folder was fixed when the extension was loaded
    assert within.parts[0] == "runware_images"
    assert relative_link(path) == within.as_posix()
    assert f'href="{within.as_posix()}"' in shell.names["_rw"]._repr_mimebundle_()["text/html"]


def test_a_path_for_a_line_names_the_file_before_and_after_cd(shell, tmp_path):
    file = tmp_path / "a file.png"
    file.write_bytes(b"x")
    assert relative_path(file) == "a file.png"
    (tmp_path / "deep").mkdir()
    shell.run(f"%cd -q {tmp_path}/deep")
    assert Path(relative_path(file)).read_bytes() == b"x"
    assert relative_link(file) == "a%20file.png"


def test_cd_before_loading_moves_the_log_and_not_the_links(shell, loads, tmp_path):
    (tmp_path / "sub").mkdir()
    use_front_end(ScriptFrontEnd())  # a kernel in which nothing was loaded
    shell.run(f"%cd -q {tmp_path}/sub")
    loads()
    shell.run(f"%cd -q {tmp_path}")
    shell.run(f"%%runware -q {SMALL} --seed 4\na ship")
    assert current_session().settings.home == tmp_path / "sub/.runware"
    assert relative_link(shell.names["_rw"][0].path).startswith("sub/runware_images/")


def test_vs_code_names_the_folder_of_its_notebook(shell, loads, tmp_path):
    shell.names["__vsc_ipynb_file__"] = str(tmp_path / "notes/a.ipynb")
    loads()
    assert relative_link(tmp_path / "runware_images/x.png") == "../runware_images/x.png"


# --- the notebook's name --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "environment", "expected"),
    [
        ({}, {}, None),
        ({}, {"RUNWARE_NB_NOTEBOOK": "study.ipynb"}, "study.ipynb"),
        ({"__session__": "/n/a.ipynb"}, {"RUNWARE_NB_NOTEBOOK": "study.ipynb"}, "/n/a.ipynb"),
        ({}, {"JPY_SESSION_NAME": "/n/a.ipynb", "RUNWARE_NB_NOTEBOOK": "x"}, "/n/a.ipynb"),
        ({"PAPERMILL_INPUT_PATH": "s3://b/in.ipynb", "PAPERMILL_OUTPUT_PATH": "out.ipynb"}, {}, "s3://b/in.ipynb"),
        ({"PAPERMILL_INPUT_PATH": "-", "PAPERMILL_OUTPUT_PATH": "out.ipynb"}, {}, "out.ipynb"),
        ({"PAPERMILL_INPUT_PATH": "in.ipynb", "__session__": "/n/outer.ipynb"}, {}, "in.ipynb"),
        ({"__vsc_ipynb_file__": "/v/c.ipynb", "PAPERMILL_INPUT_PATH": "in.ipynb"}, {}, "/v/c.ipynb"),
        ({"PAPERMILL_INPUT_PATH": 3, "__session__": None}, {}, None),
    ],
)
def test_the_notebooks_name_is_found_where_a_front_end_gives_one(shell, monkeypatch, names, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shell.names.update(names)
    assert CellFinder(shell.shell)().notebook == expected


def test_papermills_path_is_whole_where_the_file_is(shell, tmp_path):
    Path("in.ipynb").write_text("{}")
    shell.names["PAPERMILL_INPUT_PATH"] = "in.ipynb"
    assert CellFinder(shell.shell)().notebook == str((tmp_path / "in.ipynb").resolve())


def limits():
    with current_session().log.reading() as connection:
        return [(budget.notebook, budget.limit_usd) for budget in budgets_of(connection)]


@pytest.mark.parametrize("amount", ["2", "off"])
def test_a_budget_for_an_unknown_notebook_is_refused_with_the_ways(shell, amount):
    with pytest.raises(MagicUsageError) as caught:
        shell.run(f"%runware budget {amount}")
    assert all(way in str(caught.value) for way in ("--all", "--notebook FILE", "RUNWARE_NB_NOTEBOOK"))
    assert limits() == []
    shell.run("%runware budget")  # showing needs no name


@pytest.mark.parametrize(
    ("line", "environment", "expected"),
    [
        ("budget 2 --all", {}, ("", 2.0)),
        ("budget 2 --notebook a.ipynb", {}, ("a.ipynb", 2.0)),
        ("budget 2", {"RUNWARE_NB_NOTEBOOK": "b.ipynb"}, ("b.ipynb", 2.0)),
    ],
)
def test_each_of_the_ways_sets_the_budget_that_was_meant(shell, monkeypatch, line, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shell.run(f"%runware {line}")
    assert limits() == [expected]


def test_two_notebooks_in_one_budget_are_refused(shell):
    with pytest.raises(MagicUsageError, match="not both"):
        shell.run("%runware budget 2 --all --notebook a.ipynb")
    assert limits() == []
