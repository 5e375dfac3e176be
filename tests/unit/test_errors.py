import inspect

import pytest

from runware_nb import errors
from runware_nb.errors import (
    ArgumentInvalid,
    MagicUsageError,
    RateLimited,
    RunwareNBError,
    SeveralResults,
    TaskInvalid,
    TransportTimeout,
)

TREE = [error for name, error in vars(errors).items() if inspect.isclass(error) and issubclass(error, BaseException)]


def test_every_error_is_exported_and_in_the_drawing():
    names = {error.__name__ for error in TREE}
    assert names == set(errors.__all__)
    for name in names:
        assert name in (errors.__doc__ or "")


def test_every_error_has_the_one_root():
    assert all(issubclass(error, RunwareNBError) for error in TREE)
    assert not issubclass(RunwareNBError, OSError)


def test_no_error_takes_a_builtins_name():
    import builtins

    assert not {error.__name__ for error in TREE} & set(dir(builtins))


def test_a_timeout_is_a_builtin_one_too():
    assert issubclass(TransportTimeout, TimeoutError)


@pytest.mark.parametrize("error", TREE)
def test_a_notebook_shows_one_line(error):
    special = {
        ArgumentInvalid: (("limit", 0, "1 or more"), "Invalid limit 0: expected 1 or more."),
        SeveralResults: (
            ("two", 2),
            "`two` has 2 results, and one is expected here. Nothing was sent. Choose one of `two#1` to `two#2`.",
        ),
    }
    arguments, sentence = special.get(error, (("what happened",), "what happened"))
    wrong = error(*arguments)
    assert wrong._render_traceback_() == [f"{error.__name__}: {sentence}"]


def test_a_corrected_line_stands_below():
    assert MagicUsageError("no", corrected="%runware log")._render_traceback_()[1] == "Try: %runware log"


def test_a_task_error_says_what_helps():
    error = TaskInvalid("too wide", code="invalidWidth", parameter="width", allowed_values=[512], raw={"x": 1},
                        documentation="https://d", task_uuid="u")  # fmt: skip
    (line,) = error._render_traceback_()
    for part in ("too wide", "invalidWidth", "width", "512", "https://d", "u"):
        assert part in line


def test_whether_to_retry_is_a_property():
    assert RateLimited("x").retryable
    assert not TaskInvalid("x").retryable
