"""No value floods a notebook with its repr."""

import dataclasses
import importlib
import pkgutil

import pytest

import runware_nb
from runware_nb.core.option_values import LoRA
from runware_nb.errors import RunwareNBError
from runware_nb.providers.runware.tasks import ImageTask
from runware_nb.reprs import shortened
from runware_nb.runlog import RunRecord
from tests.runs import run_record

LONG = "x" * 20_000
WHOLE = {
    "Settings": "values that the user set, and a key that hides itself",
    "Hooks": "functions",
    "Sizes": "numbers",
}


def dataclasses_of_the_package():
    found = {}
    for module in pkgutil.walk_packages(runware_nb.__path__, "runware_nb."):
        if ".sandbox" in module.name or ".migrations" in module.name or module.name.endswith("__main__"):
            continue
        for name, kind in vars(importlib.import_module(module.name)).items():
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not name.startswith("_"):
                found[f"{kind.__module__}.{name}"] = kind
    return found


@pytest.mark.parametrize("filling", [LONG, [LONG] * 50, {"k": LONG}, [run_record()] * 200, LONG.encode()], ids=["text", "list", "dict", "runs", "bytes"])  # fmt: skip
def test_no_dataclass_has_a_long_repr(filling):
    kinds = dataclasses_of_the_package()
    assert len(kinds) > 40
    for name, kind in kinds.items():
        if kind.__name__ in WHOLE:
            continue
        value = object.__new__(kind)
        for field in dataclasses.fields(kind):
            object.__setattr__(value, field.name, filling)
        if kind.__name__ in {"Result", "Outcome", "Provenance", "Awaited"}:
            continue  # they write their own, from fields of certain types: tests of those types hold them
        assert len(repr(value)) < 400, name
        assert len(repr([value] * 3)) < 1200, name


def test_what_is_short_is_shown_whole():
    task = ImageTask(positive_prompt="a ship", model="runware:101@1", width=512, height=512, loras=(LoRA("a:1@1"),))
    assert "positive_prompt='a ship', model='runware:101@1', width=512, height=512" in repr(task)
    assert "<1 items>" in repr(task)
    assert "seed" not in repr(task), "what was not given is not shown"


def test_a_run_shows_what_it_is_and_how_it_went():
    run = run_record(request={"positivePrompt": LONG}, cost=0.0013)
    assert repr(run) == (
        f"RunRecord(task_uuid='{run.task_uuid}', task_type='imageInference', model='m', state='prepared', "
        "cost=0.0013, cost_unit='USD')"
    )
    assert isinstance(run, RunRecord)


def test_shortened_keeps_its_bound():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
    assert len(str(RunwareNBError("x"))) == 1
