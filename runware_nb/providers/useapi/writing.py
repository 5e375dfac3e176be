"""Tasks of useapi.net as Python, as cells, and their ids and accounts as they are displayed."""

from __future__ import annotations

import json
import pprint
import re
from collections.abc import Callable, Mapping
from typing import Any

from .models import ENDPOINTS
from .options import KINDS, default_model, line_options
from .protocol import owner_of, shorten_account, shorten_id
from .provider import call_of

__all__ = ["cell_words", "python_call", "shorten"]

_WIDTH = 100
_HEAD = frozenset({"taskType", "taskUUID", "assets", "account", "text_prompt"})
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


def cell_words(task: Mapping[str, Any], word_of: Callable[[Any], str]) -> list[str]:
    """Return the words of the `%%useapi` line that asks for a task; the prompt is not among them.

    Args:
        task: In our form.
        word_of: Returns the word that means a medium.
    """
    path = call_of(task)
    kind = next((kind for kind, known in KINDS.items() if known == path), path)
    words = [kind]
    assets = task.get("assets")
    values = {**{name: value for name, value in task.items() if name not in _HEAD and value is not None},
              **(assets if isinstance(assets, Mapping) else {})}  # fmt: skip
    for option in line_options(path) if path in ENDPOINTS else ():
        for parameter in option.parameters:
            if parameter.name not in values:
                break  # the next one would get this one's place
            value = values.pop(parameter.name)
            if parameter.kind == "flag":
                if value is not option.is_off_switch:
                    words.append(option.flags[0])
                else:
                    values[parameter.name] = value
                    break
            elif parameter.name != "model" or value != default_model(path):
                words += [option.flags[0], word_of(value) if parameter.kind == "asset" else str(value)]
    if task.get("account"):
        words += ["--account", str(task["account"])]
    for name, value in values.items():
        if name != "webhookURL":
            words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"]
    return words


def shorten(text: str) -> str:
    """Shorten an id or an account for display: both contain an e-mail, and outputs are shared."""
    if owner_of(text) is not None:
        return shorten_id(text)
    return shorten_account(text) if _EMAIL.fullmatch(text) else text


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()).lstrip()
