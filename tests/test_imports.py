"""Importing costs next to nothing, and every public name is there on purpose."""

import subprocess
import sys

import pytest

import runware_nb
from runware_nb.core.operations import OPERATIONS

HEAVY = ["httpx", "websockets", "sqlalchemy", "PIL", "IPython", "ipywidgets", "alembic", "jsonschema_rs"]


def loaded_after(code):
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("code", ["import runware_nb", "from runware_nb import Client, Result, Outcome, TaskError"])
def test_importing_loads_nothing_heavy(code):
    assert not loaded_after(code) & set(HEAVY)


def test_the_session_loads_neither_network_nor_notebook():
    assert not loaded_after("from runware_nb import Session, image, job") & {
        "httpx",
        "websockets",
        "IPython",
        "PIL",
        "sqlalchemy",
    }


def test_reading_settings_loads_only_the_declarations_of_providers():
    """Settings and secrets of all providers are known then, and `%load_ext` stays quick."""
    code = "from runware_nb.settings import load_settings; load_settings({})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("runware_nb.providers.") for name in done.stdout.split() if ".providers." in name}
    names = {name.partition(".")[0] for name in loaded if "." in name}
    assert loaded == {"package", "registry", *names, *(f"{name}.package" for name in names)}
    assert "runware" in names


def test_asyncio_is_left_unpatched():
    code = "import asyncio; before = asyncio.run; from runware_nb import image; assert asyncio.run is before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_reachable_and_nothing_else_is_promised():
    assert set(runware_nb.__all__) <= set(runware_nb.__dir__())
    for name in runware_nb.__dir__():
        assert getattr(runware_nb, name) is not None
    functions = {operation.function for operation in OPERATIONS} - {None}
    assert set(runware_nb._HOMES) | {"__version__"} | functions == set(runware_nb.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'sweep_all'"):
        _ = runware_nb.sweep_all


def test_no_module_shares_a_public_name():
    import pkgutil

    modules = {module.name for module in pkgutil.iter_modules(runware_nb.__path__)}
    assert not modules & set(runware_nb.__all__)
