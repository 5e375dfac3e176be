"""RunKey tasks as Python."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

__all__ = ["input_as_logged", "python_call"]

_WIDTH = 100


def python_call(task: Mapping[str, Any]) -> str:
    """Format a logged task as the call of `rw.runkey.run` that makes it.

    Args:
        task: In our form. The repr of each value has to be the Python that stands for it.
    """
    template = repr(str(task.get("model")))
    given = input_as_logged(task)
    if not given:
        return f"rw.runkey.run({template})"
    written = pprint.pformat(given, width=_WIDTH - 8, sort_dicts=False)
    if len(template) + len(written) < _WIDTH - 20 and "\n" not in written:
        return f"rw.runkey.run({template}, {written})"
    inner = "\n".join(f"    {line}" for line in written.splitlines())
    return f"rw.runkey.run(\n    {template},\n{inner},\n)"


def input_as_logged(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole input of a task, with its media and its seed in their places."""
    given, assets = task.get("input"), task.get("assets")
    whole = {**(given if isinstance(given, Mapping) else {}), **(assets if isinstance(assets, Mapping) else {})}
    if task.get("seed") is not None:
        whole["seed"] = task["seed"]
    return whole
