"""A parameter of an earlier image, used again: in the form that is open, or as an option to type."""

from __future__ import annotations

import shlex

from ..core.operations import TEXT_TO_IMAGE
from ..curation.exhibition import Exhibit
from ..errors import MagicUsageError
from ..providers.runware.operations import flags_by_field

__all__ = ["reuse"]


def reuse(exhibit: Exhibit, name: str) -> str:
    """Use one parameter of an image again.

    Args:
        exhibit: The image.
        name: In wire spelling; `size` is width and height, `model` changes the form.

    Returns:
        What was done, in a sentence.

    Raises:
        MagicUsageError: The image has no such parameter, or the form does not take it.
    """
    from .forms.api import last_form

    request = exhibit.run.request
    size = (request.get("width"), request.get("height"))
    value = exhibit.result.seed if name == "seed" else size if name == "size" else request.get(name)
    if value is None or value == (None, None):
        raise MagicUsageError(f"that image has no {name}")
    form = last_form()
    if form is None:
        words = f"{size[0]}x{size[1]}" if name == "size" else str(value)
        flags = flags_by_field(TEXT_TO_IMAGE).get("width" if name == "size" else name)
        written = words if flags is None else f"{flags[0]} {shlex.quote(words)}"
        return f"no form is open; in a cell: {written}"
    if name == "model":
        form.use_model(str(value))
    else:
        form.set(name, value)
    return f"{name} {value} is now in the form"
