"""useapi.net in front ends: a session whose polls are as fast as its sandbox, and shells on it."""

from __future__ import annotations

import contextlib
import dataclasses

from runware_nb.net.clock import Clock
from runware_nb.providers.registry import packages
from runware_nb.providers.useapi.provider import UseApiProvider
from runware_nb.session import Session, current
from runware_nb.settings import load_settings
from tests.notebook.conftest import open_shell

TIME_SCALE = 1000


def fast_packages():
    """Return the packages of all providers, with useapi.net as fast as a sandbox with `--time-scale 1000`."""

    def build(context):
        return UseApiProvider(context, clock=Clock(TIME_SCALE))

    return [dataclasses.replace(each, build=build) if each.name == "useapi" else each for each in packages()]


def environment_of(useapi):
    """Return what connects a process to a sandbox of `tests.useapi_sandbox`."""
    return {**useapi.process.environment, "USEAPI_TOKEN": useapi.token, "RUNWARE_NB_USEAPI_URL": useapi.url}


@contextlib.contextmanager
def open_useapi_shell(useapi, monkeypatch):
    """Open an IPython shell whose session uses a sandbox of useapi.net."""
    with open_shell(environment_of(useapi), monkeypatch) as shell:
        current._session = Session(load_settings(), packages=fast_packages())
        shell.run("import runware_nb as rw")
        yield shell
