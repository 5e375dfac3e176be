"""Tasks of useapi.net as Python, and their ids and accounts as they are displayed."""

from __future__ import annotations

import pprint
import re
from collections.abc import Mapping
from typing import Any

from .protocol import owner_of, shorten_account, shorten_id
from .provider import call_of

__all__ = ["python_call", "shorten"]

_WIDTH = 100
_EMAIL = re.compile(r"[^\s@:]+@[^\s@:]+\.[^\s@:]+")


def python_call(task: Mapping[str, Any]) -> str:
    """Format a logged task as the call of `rw.useapi` that makes it.

    Args:
        task: In our form. The repr of each value has to be the Python that stands for it.
    """
    path = call_of(task)
    words = {name: value for name, value in task.items() if name not in {"taskType", "taskUUID"}}
    if words.get("webhookURL") is not None:
        words["reply_url"] = words["webhookURL"]
    words.pop("webhookURL", None)
    odd = {name: words.pop(name) for name in list(words) if not name.isidentifier()}
    lines = [f"    {path!r},"]
    for name, value in words.items():
        written = pprint.pformat(value, width=_WIDTH - len(name) - 6, sort_dicts=False)
        lines.append(f"    {name}={_indented(written)},")
    if odd:
        lines.append(f"    **{_indented(pprint.pformat(odd, width=_WIDTH - 8, sort_dicts=False))},")
    return "rw.useapi.create(\n" + "\n".join(lines) + "\n)"


def shorten(text: str) -> str:
    """Shorten an id or an account for display: both contain an e-mail, and outputs are shared."""
    if owner_of(text) is not None:
        return shorten_id(text)
    return shorten_account(text) if _EMAIL.fullmatch(text) else text


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()).lstrip()
