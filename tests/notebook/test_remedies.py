"""One error in a cell, in a terminal and in Python: each user is told what to type where they are."""

import pytest

import runware_nb as rw
from runware_nb import cli
from runware_nb.engine.front_end import ScriptFrontEnd, current_front_end, use_front_end
from runware_nb.errors import ArgumentInvalid, RunwareNBError
from runware_nb.session import current_session

LINE = "text-to-image --prompt ship --seed 7"
FRONT_ENDS = ["notebook", "terminal", "command", "python"]
CASES = {
    "a run that does not exist": (
        {},
        "show ffffffff",
        lambda: rw.log.find("ffffffff"),
        ("`%runware log` lists", "`runware-nb log` lists", "`rw.log.select()` lists", "`rw.log.select()` lists"),
    ),
    "a model that does not exist": (
        {},
        f"{LINE} -m xyzzy",
        lambda: rw.image("ship", model="xyzzy"),
        (
            "`%runware models xyzzy`",
            "`runware-nb models xyzzy`",
            '`rw.command("models", "xyzzy")`',
            '`rw.command("models", "xyzzy")`',
        ),
    ),
    "a cost that was not agreed to": (
        {"ask_above_usd": 0.0},
        LINE,
        lambda: rw.image("ship", seed=7),
        ("Add `--yes`", "Add `--yes`", "Add `yes=True`", "Add `agreed=True`"),
    ),
    "a request that replay mode has no record of": (
        {"mode": "replay"},
        LINE,
        lambda: rw.image("ship", seed=7),
        (
            "`%runware config mode live` uses",
            "`runware-nb config mode live` uses",
            '`rw.command("config", "mode", "live")` uses',
            '`rw.command("config", "mode", "live")` uses',
        ),
    ),
}


def message_in(front_end, shell, line, call, capsys):
    """Return what one front end shows of the error of a line, or of a call."""
    if front_end == "terminal":
        assert cli.main(line.split()) in {1, 2}
        return capsys.readouterr().err
    name, *words = line.split()
    given = dict(zip((word.lstrip("-") for word in words[::2]), words[1::2], strict=True)) if len(words) > 1 else {}
    given = {"model" if option == "m" else option: value for option, value in given.items()}
    positional = words if len(words) == 1 else []
    work = {
        "notebook": lambda: shell.run(f"%runware {line}"),
        "command": lambda: rw.command(name, *positional, **given),
        "python": call,
    }[front_end]
    with pytest.raises(RunwareNBError) as caught:
        work()
    return "\n".join(caught.value._render_traceback_())


def refuse_input(question):
    raise EOFError


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("case", CASES)
def test_an_error_has_its_remedy_in_the_syntax_of_the_caller(shell, monkeypatch, capsys, case, front_end):
    settings, line, call, expected = CASES[case]
    monkeypatch.setattr("builtins.input", refuse_input)
    current_session().configure(**settings)
    message = message_in(front_end, shell, line, call, capsys)
    assert expected[FRONT_ENDS.index(front_end)] in message
    others = {
        "notebook": ("runware-nb ", "rw."),
        "terminal": ("%runware", "rw."),
        "command": ("%runware", "runware-nb "),
    }
    assert not [text for text in others.get(front_end, ("%runware", "runware-nb ", "--")) if text in message]


@pytest.mark.parametrize(
    ("front_end", "fresh", "resume"),
    [
        ("notebook", "`--fresh` asks", "`%runware resume {}` shows"),
        ("terminal", "`--fresh` asks", "`runware-nb resume {}` shows"),
        ("python", "`fresh=True` asks", '`rw.job("{}").result()` shows'),
    ],
)
def test_a_notice_is_in_the_syntax_of_the_front_end(shell, front_end, fresh, resume):
    if front_end != "notebook":  # what `%load_ext` set
        use_front_end(cli.TerminalFrontEnd() if front_end == "terminal" else ScriptFrontEnd())
    rw.image("ship", seed=7).result()
    job = rw.image("ship", seed=7)
    job.result()
    assert fresh in job.notices[0]
    assert resume.format(job.task_uuid[:8]) in job.goes_on("Stopped waiting")


def test_a_terminal_command_in_a_notebook_leaves_the_front_end_of_the_notebook(shell, capsys):
    notebook = current_front_end()
    assert cli.main(["log"]) == 0
    assert current_front_end() is notebook
    assert cli.main(["show", "ffffffff"]) == 1
    assert current_front_end() is notebook


def test_a_wrong_argument_is_an_option_on_a_line_only_if_the_command_has_it(shell):
    """`rate` has positional words, and `--stars` cannot be typed."""
    with pytest.raises(RunwareNBError, match=r"^Invalid stars 9: expected 1 to 5") as caught:
        shell.run("%runware rate ffffffff 9")
    assert not isinstance(caught.value, ArgumentInvalid)
    with pytest.raises(RunwareNBError, match=r"^Invalid --page 0: "):
        shell.run("%runware log --page 0")


def test_without_its_magics_the_notebook_speaks_python(shell):
    shell.run("%unload_ext runware_nb")
    assert (
        current_front_end().message(message_error())
        == "The log has no run 'ffffffff'. `rw.log.select()` lists the runs."
    )


def message_error():
    with pytest.raises(RunwareNBError) as caught:
        rw.log.find("ffffffff")
    return caught.value
