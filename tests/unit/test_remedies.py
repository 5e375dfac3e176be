"""What a user can do about an error: data below the front ends, and text in the syntax of each of them."""

import argparse
import ast
import pickle
from pathlib import Path

import pytest

import runware_nb
from runware_nb.commands import COMMANDS, find_command
from runware_nb.errors import RunNotFound
from runware_nb.notebook.syntax import NOTEBOOK as NOTEBOOK_SYNTAX
from runware_nb.providers.registry import packages
from runware_nb.remedies import COMMAND_CALL, LIST_RUNS, PYTHON, LineSyntax, Option, Remedy, command

PACKAGE = Path(runware_nb.__file__).parent
NOTEBOOK, TERMINAL = NOTEBOOK_SYNTAX, LineSyntax("runware-nb")


def word(term, syntax):
    return Remedy("{0}", (term,)).word(syntax).strip("`")


def name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def test_each_remedy_names_a_command_and_options_that_exist():
    of_providers = {f"{package.name} {name}" for package in packages() for name in package.commands}
    names = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and name_of(call.func) == "command"):
                continue
            if not call.args or not isinstance(call.args[0], ast.Constant):
                continue  # the corrected name of a command, which was looked up
            name = call.args[0].value
            assert name in COMMANDS or name in of_providers, path
            parser = argparse.ArgumentParser()
            find_command(name).add_arguments(parser)
            flags = {flag for action in parser._actions for flag in action.option_strings}
            for option in call.keywords:
                if option.arg not in {"python", None}:  # None: `**options`
                    assert f"--{option.arg.replace('_', '-')}" in flags, (path, name, option.arg)
            names.add(name)
    assert {"log", "resume", "sandbox", "budget", "login", "models"} <= names


@pytest.mark.parametrize(
    ("term", "notebook", "terminal", "python"),
    [
        (command("resume", python="rw.resume()"), "%runware resume", "runware-nb resume", "rw.resume()"),
        (command("budget", "5.00", all=True), "%runware budget 5.00 --all", "runware-nb budget 5.00 --all",
         'rw.command("budget", "5.00", all=True)'),
        (command("runkey task", "t1", collect=True), "%runkey task t1 --collect", "runware-nb runkey task t1 --collect",
         'rw.command("runkey task", "t1", collect=True)'),
        (Option("yes", True, python="agreed=True"), "--yes", "--yes", "agreed=True"),
        (Option("limit", "all", python="limit=None"), "--limit all", "--limit all", "limit=None"),
    ],
)  # fmt: skip
def test_a_command_and_an_option_are_written_in_each_syntax(term, notebook, terminal, python):
    assert word(term, NOTEBOOK) == notebook
    assert word(term, TERMINAL) == terminal
    assert word(term, PYTHON) == python


def test_a_command_called_from_python_has_the_options_of_the_line_as_parameters():
    assert COMMAND_CALL.option(Option("yes", True, python="agreed=True")) == "yes=True"


def test_an_error_is_worded_by_whoever_shows_it_also_after_a_pickle():
    error = pickle.loads(pickle.dumps(RunNotFound("The log has no run 'x'.").with_remedy(LIST_RUNS)))
    assert str(error) == "The log has no run 'x'. `rw.log.select()` lists the runs."
    assert error.worded(NOTEBOOK) == "The log has no run 'x'. `%runware log` lists the runs."
    error.syntax = TERMINAL
    assert error._render_traceback_() == ["RunNotFound: The log has no run 'x'. `runware-nb log` lists the runs."]
    assert error.problem == "The log has no run 'x'."
