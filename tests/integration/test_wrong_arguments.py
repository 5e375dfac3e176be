"""A value that makes no sense is named in the words of whoever gave it: Python has parameters, a line has options."""

import copy
import pickle

import numpy as np
import pytest

import runware_nb as rw
from runware_nb.errors import ArgumentInvalid, MagicUsageError
from tests.conftest import TASK

WRONG = [
    ("limit", 0, "None for all"), ("limit", "5", "None for all"), ("limit", 1.5, "None for all"), ("limit", True, "None for all"),
    ("page", -1, "1 or more"), ("page", None, "1 or more"), ("sort", "x", "newest"), ("state", "x", "succeeded"),
    ("min_rating", 6, "from 1 to 5"), ("search", " ", "a word"), ("search", 7, "a word"), ("since", "soon", "2026-11-01"),
    ("until", "soon", "2026-11-01"), ("state", ["failed"], "succeeded"), ("sort", ["newest"], "newest"), ("provider", ["a"], "a text"),
    ("since", 7, "a datetime"), ("cell", "ab", "4 characters"),
]  # fmt: skip


@pytest.fixture
def session(sandbox, make_session, monkeypatch):
    import runware_nb.session.current as sessions

    session = make_session(sandbox)
    monkeypatch.setattr(sessions, "_session", session)
    return session


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_python_is_told_about_its_parameter(session, name, value, words):
    with pytest.raises(ArgumentInvalid, match=f"^Invalid {name} ") as caught:
        list(rw.log.select(**{name: value}))
    assert words in str(caught.value)
    assert "--" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    for twin in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert (str(twin), twin.on_line) == (str(caught.value), caught.value.on_line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--limit 0", r"Invalid --limit 0: expected .*`all`"),
        ("--page 0", "Invalid --page 0"),
        ("--since soon", "Invalid --since soon"),
        ("--until soon", "Invalid --until soon"),
        ("--min-rating 6", "min-rating"),
        ("--cell ab", "Invalid --cell ab"),
    ],
)
def test_a_line_is_told_about_its_option(session, line, words):
    with pytest.raises(MagicUsageError, match=words):
        rw.command("log", *line.split())


def test_an_unknown_filter_is_named_with_the_nearest(session):
    with pytest.raises(MagicUsageError, match=r"^Invalid filter 'limitt': .*; the nearest is limit\."):
        rw.log.select(limitt=3)
    with pytest.raises(MagicUsageError, match=r"^Invalid filter 'tags': .*; the nearest is tag\."):
        rw.log.select(tags="x")


def test_numbers_of_numpy_are_numbers(session):
    session.submit({**TASK, "seed": 3}).result()
    assert len(list(rw.log.select(limit=np.int64(3), page=np.int32(1)))) == 1
