"""Earlier names of modules."""

import importlib
import subprocess
import sys

import pytest

from runware_nb.moved import MOVED, RENAMED


def test_each_earlier_name_is_the_same_module_and_warns():
    code = f"""
import importlib, sys, warnings
for earlier, name in {MOVED!r}.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module("runware_nb." + earlier)
    new = importlib.import_module("runware_nb." + name)
    assert module is new, earlier
    assert not hasattr(new, "__path__") or new.__spec__.origin.endswith("__init__.py"), name
    assert new.__spec__.parent == new.__package__, name
    assert new.__spec__.name == new.__name__ == "runware_nb." + name, new.__spec__
    # A package whose modules went to several places warns once, when it is imported itself.
    warned = " ".join(str(warning.message) for warning in caught)
    assert "runware_nb." + name in warned, (earlier, warned)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_module_inside_a_package_that_moved_is_the_same_module():
    code = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from runware_nb.wire.results import Outcome
import runware_nb
assert Outcome is runware_nb.Outcome
assert [str(warning.message).partition(";")[0] for warning in caught] == [
    "runware_nb.wire is now runware_nb.core", "runware_nb.wire.results is now runware_nb.core.results",
]
assert {warning.filename for warning in caught} == {"<string>"}, caught  # where the line is that has to be changed
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_never_existed_is_an_import_error():
    with pytest.raises(ModuleNotFoundError, match=r"runware_nb\.nothing"):
        importlib.import_module("runware_nb.nothing")


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in RENAMED.items() for name in names])
def test_earlier_names_of_classes_warn_and_are_the_same_class(module, name):
    owner = importlib.import_module(f"runware_nb.{module}")
    with pytest.warns(DeprecationWarning, match=RENAMED[module][name]):
        earlier = getattr(owner, name)
    assert earlier is getattr(owner, RENAMED[module][name])


def test_a_name_that_never_existed_is_none_of_them():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        importlib.import_module("runware_nb.commands").Nothing  # noqa: B018
