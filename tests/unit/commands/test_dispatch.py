"""One path from the words of a line to an answer, for every front end."""

import ast
from pathlib import Path

import pytest

import runware_nb
from runware_nb.commands import COMMANDS
from runware_nb.commands.arguments import HelpRequested, LineParser
from runware_nb.commands.base import CommandResult
from runware_nb.commands.dispatch import CommandCall, LineStyle, command_names, find_command, list_commands, read_line
from runware_nb.errors import MagicUsageError, TaskInvalid

PACKAGE = Path(runware_nb.__file__).parent
MAGIC, TERMINAL, CALL = (
    LineStyle("%runware {}"),
    LineStyle("runware-nb {}"),
    LineStyle("rw.command({!r})", is_line=False),
)


def test_only_one_module_reads_and_runs_lines_of_commands():
    def callers(name):
        return {
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name
        }

    assert callers("run_command") == {"commands/dispatch.py"}
    assert callers("read_line") == {"cli.py", "commands/call.py", "notebook/magic_runner.py"}


@pytest.mark.parametrize("style", [MAGIC, TERMINAL, CALL])
def test_a_line_means_the_same_in_every_front_end(style):
    call = read_line(["log", "--tag", "a", "--limit", "3"], style)
    assert (call.name, call.options.tag, call.options.limit) == ("log", ["a"], 3)
    assert call.typed == ["--tag", "a", "--limit", "3"]


@pytest.mark.parametrize(
    ("style", "corrected"),
    [(MAGIC, "%runware ranking"), (TERMINAL, "runware-nb ranking"), (CALL, "rw.command('ranking')")],
)
def test_an_unknown_command_is_corrected_in_the_syntax_of_the_front_end(style, corrected):
    with pytest.raises(MagicUsageError, match="did you mean ranking") as caught:
        read_line(["rankin"], style)
    assert caught.value.corrected == corrected


def test_help_and_options_of_a_front_end():
    def extend(parser, command):
        assert command is find_command("log")
        parser.add_argument("--json", action="store_true", help="as JSON")

    assert read_line(["log", "--json"], TERMINAL, extend=extend).options.json is True
    with pytest.raises(HelpRequested, match="as JSON"):
        read_line(["log", "-h"], TERMINAL, extend=extend)
    with pytest.raises(MagicUsageError, match="unknown option --json"):
        read_line(["log", "--json"], MAGIC)


def test_a_key_is_refused_before_the_line_is_parsed():
    with pytest.raises(MagicUsageError, match="there is a key in this line"):
        read_line(["log", "--nonsense", "--api-key=abc"], MAGIC)


class Refusing:
    SUMMARY = "refuse"

    @staticmethod
    def run(session, options) -> CommandResult:
        raise TaskInvalid("x", parameter="steps", allowed_values=[4, 50])


class NoLog:
    has_log = False


@pytest.mark.parametrize(
    ("style", "corrected"),
    [
        (MAGIC, "%runware text-to-image ship --steps 50"),
        (TERMINAL, "runware-nb text-to-image ship --steps 50"),
        (CALL, None),
    ],
)
def test_a_refused_value_is_corrected_on_lines_only(style, corrected):
    words = ["ship", "--steps", "99"]
    call = read_line(["text-to-image", *words], style)
    with pytest.raises(TaskInvalid) as caught:
        CommandCall(call.name, Refusing(), call.options, call.typed, style).run(NoLog())
    assert caught.value.corrected == corrected


def test_every_command_is_listed():
    names = [line.split()[1] for line in list_commands("%runware {}")]
    assert names == [*COMMANDS, *dict.fromkeys(name.split()[0] for name in command_names() if " " in name)]


def test_values_of_an_option():
    parser = LineParser("x", "")
    parser.add_argument("kind", choices=["image", "video"])
    parser.add_argument("--size", choices=[1, 2])
    parser.add_argument("--note")
    assert (parser.values_of("--size"), parser.values_of(""), parser.values_of("--note")) == (
        ["1", "2"],
        ["image", "video"],
        None,
    )
