"""What `make test` decides on a machine without its programs, with real commands on a PATH of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup import machine
from tests.setup.machine import Machine

REPO = Path(__file__).resolve().parents[2]
ALL = ("chromium", "exiftool", "postgresql", "libatomic", "venv")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_nothing_is_installed_where_nothing_is_missing():
    assert Machine(missing=(), as_root=()).install_commands() == []


@pytest.mark.parametrize("as_root", [(), ("sudo", "-n")])
def test_one_command_installs_everything_with_root_rights(as_root):
    update, install = Machine(missing=ALL, as_root=as_root, python="3.12").install_commands()
    assert tuple(install[: len(as_root)]) == as_root
    assert update[-2:] == ["update", "-qq"]
    assert install[-5:] == ["chromium", "libatomic1", "libimage-exiftool-perl", "postgresql", "python3.12-venv"]


@pytest.mark.parametrize("changed", [{"as_root": None}, {"has_apt": False}])
def test_nothing_is_tried_without_root_rights_or_without_apt(changed):
    assert Machine(**{"missing": ALL, "as_root": (), **changed}).install_commands() == []


def test_what_has_no_second_source_stops_the_set_up():
    assert Machine(missing=ALL).hopeless == ("exiftool", "libatomic")
    assert Machine(missing=("chromium", "postgresql", "venv")).hopeless == ()


@pytest.mark.parametrize(("as_root", "start"), [(None, "    sudo apt-get"), ((), "    apt-get")])
def test_the_advice_is_one_command_for_everything(as_root, start):
    advice = Machine(missing=("exiftool", "postgresql"), as_root=as_root).advice()
    commands = [line for line in advice.splitlines() if line.startswith("    ")]
    assert commands == [f"{start} install -y libimage-exiftool-perl postgresql"]
    assert "ExifTool, PostgreSQL" in advice


def test_on_ubuntu_chromium_comes_from_playwright():
    ubuntu = Machine(missing=("chromium",), as_root=(), distribution="ubuntu")
    assert ubuntu.install_commands() == []
    assert "playwright install chromium" in ubuntu.advice()


def test_another_system_is_told_what_is_missing():
    assert "package manager" in Machine(missing=("exiftool",), has_apt=False).advice()


def test_sudo_that_asks_for_a_password_gives_no_root_rights(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.root_prefix() is None
    program(folder, "sudo", "exit 1")
    assert machine.root_prefix() is None
    program(folder, "sudo", "exit 0")
    assert machine.root_prefix() == ("sudo", "-n")


def test_a_browser_counts_only_if_it_starts(folder):
    assert machine.find_browser() is None
    program(folder, "chromium", "echo 'install the snap'; exit 1")
    assert machine.find_browser() is None
    real = program(folder, "chromium-browser", "echo Chromium 1")
    assert machine.find_browser() == str(real)


def test_postgresql_needs_both_of_its_programs_in_one_folder(folder, monkeypatch):
    monkeypatch.setattr(machine.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(machine, "postgres_of_wheel", lambda: None)
    program(folder, "pg_ctl", "")
    assert machine.find_postgres() is None
    program(folder, "initdb", "")
    assert machine.find_postgres() == folder


@pytest.mark.parametrize(("text", "name"), [('NAME="X"\nID=ubuntu\n', "ubuntu"), ('ID="debian"\n', "debian"), ("", "")])
def test_the_distribution_is_read(tmp_path, text, name):
    (tmp_path / "os-release").write_text(text)
    assert machine.distribution(str(tmp_path / "os-release")) == name
    assert machine.distribution(str(tmp_path / "missing")) == ""


def run_step(folder, *words):
    return subprocess.run(
        [sys.executable, REPO / "tests/setup/machine.py", *words], env={"PATH": str(folder)}, cwd=folder,
        capture_output=True, text=True,
    )  # fmt: skip


def test_without_root_rights_the_command_is_printed_once_and_nothing_is_tried(folder, monkeypatch, capfd):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(folder, "apt-get", f"echo run > {folder}/called")
    assert machine.main(["programs"]) == 1
    output = capfd.readouterr().out
    assert output.count("sudo apt-get install -y") == 1
    assert "libimage-exiftool-perl" in output
    assert not (folder / "called").exists()


def test_a_failure_of_the_package_manager_is_reported_with_the_command(folder):
    program(folder, "sudo", 'shift; exec "$@"')  # for whoever is not root
    program(folder, "env", 'shift; exec "$@"')
    program(folder, "true", "")
    program(folder, "apt-get", f"echo \"$@\" >> {folder}/calls; echo 'E: no network' >&2; exit 100")
    done = run_step(folder, "programs")
    assert "install -y -qq --no-install-recommends" in (folder / "calls").read_text()
    assert done.returncode == 1
    assert "E: no network" in done.stdout
    assert "apt-get install -y" in done.stdout


def test_a_virtual_environment_is_created_with_pip(tmp_path):
    assert machine.create_venv(str(tmp_path / "venv")) == 0
    assert (tmp_path / "venv/bin/pip").exists()


def test_without_ensurepip_an_installed_pip_creates_it(tmp_path):
    """The last of the ways, which needs neither ensurepip nor virtualenv."""
    *_, commands = machine.venv_commands(str(tmp_path / "venv"))
    assert [command[1:4] for command in commands] == [["-m", "venv", "--without-pip"], ["-m", "pip", "--quiet"]]
    subprocess.run(commands[0], check=True, capture_output=True)
    assert (tmp_path / "venv/bin/python").exists()


def test_an_unknown_step_is_explained():
    assert machine.main(["nonsense"]) == 2


def test_nest_asyncio_is_part_of_the_base_installation():
    import tomllib

    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert any(requirement.startswith("nest-asyncio>=") for requirement in project["dependencies"])
    assert any(requirement.startswith("nest-asyncio2>=") for requirement in project["dependencies"])
    assert project["optional-dependencies"]["asyncio"] == []  # old instructions still install
