"""The variables of the function that a cell magic is called in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

__all__ = ["caller_names"]


def caller_names(local_ns: dict[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the variables of the function that calls `run_cell_magic`: IPython passes a cell only the global ones."""
    here = inspect.currentframe()
    magic = here.f_back if here is not None else None
    caller = magic.f_back if magic is not None else None
    if caller is None or caller.f_code.co_name != "run_cell_magic" or caller.f_back is None:
        return local_ns
    user = caller.f_back
    return local_ns if user.f_locals is user.f_globals else dict(user.f_locals)
