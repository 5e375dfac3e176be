"""Words that are left over after an option: refused, with the line that was probably meant."""

import shlex

import pytest

from runware_nb.commands import COMMANDS, find_command
from runware_nb.commands.arguments import LineParser, split_line
from runware_nb.commands.correcting import corrected_line
from runware_nb.errors import MagicUsageError, TaskInvalid
from runware_nb.notebook.parsing import parse_cell


def read(line, command="text-to-image", prog="%runware text-to-image"):
    parser = LineParser(prog, "")
    find_command(command).add_arguments(parser)
    return parser.read(split_line(line))


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("--prompt red cat", "--prompt 'red cat'"),
        ("--prompt red cat --seed 7", "--prompt 'red cat' --seed 7"),
        ("--seed 7 --prompt red fluffy cat", "--seed 7 --prompt 'red fluffy cat'"),
        ("a cat --negative blurry text", "a cat --negative 'blurry text'"),
        ("--prompt x --negative blurry text -n 2", "--prompt x --negative 'blurry text' -n 2"),
        ("--note two words --prompt x", "--note 'two words' --prompt x"),
        ("--tag study a red cat", "'a red cat' --tag study"),
        ("--scheduler Euler a --prompt x", "--scheduler 'Euler a' --prompt x"),
        ("--reference a.png b.png", "b.png --reference a.png"),
        ("--set a=red cat --prompt x", "--set 'a=red cat' --prompt x"),
        ("a red --seed 7 cat", "'a red cat' --seed 7"),
        ("--prompt red cat --tag {x} y", "--prompt 'red cat' --tag '{x} y'"),
    ],
)
def test_words_that_may_belong_to_an_option_are_refused(line, corrected):
    with pytest.raises(MagicUsageError, match="Nothing was sent") as caught:
        read(line)
    assert caught.value.corrected == f"%runware text-to-image {corrected}"
    read(caught.value.corrected.removeprefix("%runware text-to-image "))  # and that line is taken
    with pytest.raises(MagicUsageError):  # a terminal's words are the same
        read(shlex.join(line.split()), prog="runware-nb text-to-image")


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("a red cat", "a red cat"), ("-s 256x256 a blue ship", "a blue ship"), ("--fresh a cat", "a cat"),
        ("-m sdxl -n 2 --cfg 3 a cat", "a cat"), ("--negative 'blurry, text' a cat", "a cat"), ("--negative=blurry a cat", "a cat"),
        ("a cat --tag study", "a cat"), ("--tag study 'a cat'", "a cat"), ("--from ships a cat", "a cat"), ("--cfg -3 a cat", "a cat"),
    ],
)  # fmt: skip
def test_a_prompt_behind_an_option_of_one_value_is_a_prompt(line, prompt):
    assert " ".join(read(line).words) == prompt


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("--negative blurry text", "--negative 'blurry text'"), ("--note two words -n 3", "--note 'two words' -n 3"),
        ("--tag a b", "--tag 'a b'"), ("--tag a b --note c d", "--tag 'a b' --note 'c d'"), ("-s 512 x 512", "-s '512 x 512'"),
        ("--negative {style} text", "--negative '{style} text'"), ("--negative=blurry text", "'--negative=blurry text'"),
        ("--seed 7 cat", None), ("-o a b", None), ("--fresh cat", None),
    ],
)  # fmt: skip
def test_a_cell_refuses_words_that_are_left_over(line, corrected):
    with pytest.raises(MagicUsageError, match="one word too many") as caught:
        parse_cell(line, "a ship", {"style": "very wild"})
    assert caught.value.corrected == (None if corrected is None else f"%%runware {corrected}")


def test_other_commands_correct_such_lines_too():
    with pytest.raises(MagicUsageError) as caught:
        read("--search red cat --limit 3", "log", "%runware log")
    assert caught.value.corrected == "%runware log --search 'red cat' --limit 3"


def test_a_command_with_two_percent_signs_is_told_apart():
    with pytest.raises(MagicUsageError) as caught:
        parse_cell("log --limit 3", "a ship", {})
    assert caught.value.corrected == "%runware log --limit 3"
    assert "log" in COMMANDS


@pytest.mark.parametrize("text", ["7", "7.0", "7e0", " 7 "])
def test_a_whole_number_may_have_a_point(text):
    assert read(f"--seed '{text}' a cat").seed == 7


@pytest.mark.parametrize("text", ["7.5", "seven", "nan", "inf", "1e999", ""])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(MagicUsageError, match="expected a whole number"):
        read(f"--seed '{text}' a cat")


def test_a_corrected_line_keeps_names_in_braces():
    error = TaskInvalid("x", parameter="steps", allowed_values=[50])
    line = corrected_line("%%runware", split_line("--steps 500 --tag {mood} --note '{a} b'"), error)
    assert line == "%%runware --steps 50 --tag {mood} --note '{a} b'"


@pytest.mark.parametrize("line", ["{p}", "--negative {p}", "'{p} x'"])
@pytest.mark.parametrize("value", ["--yes", "-n8", "-blurry"])
def test_a_value_that_begins_with_a_dash_is_no_option(line, value):
    with pytest.raises(MagicUsageError, match="would be taken for an option"):
        parse_cell(line, "a ship", {"p": value})
    assert parse_cell("--negative={p}", "a ship", {"p": value}).options.negative == value
    assert parse_cell("--cfg {p}", "a ship", {"p": -3}).options.cfg == -3
