"""`%runware` and `%%runware`, as IPython sees them; what they do is in `running`, loaded at the first use."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import CaselessStrEnum, Float, Integer, List, Unicode, Union, observe

from ..core.operations import TEXT_TO_IMAGE
from ..errors import RunwareNBError, TaskError
from ..loading import FIRST_NEEDED, load
from .caller import caller_names
from .provider_magics import has_magic
from .syntax import NOTEBOOK

__all__ = ["RunwareMagics", "allow_empty_bodies", "forbid_empty_bodies"]


_HELP = MappingProxyType({option.long: option.help for option in TEXT_TO_IMAGE.options})


@magics_class
class RunwareMagics(Magics):
    """The magics of one shell, and what `%config RunwareMagics` sets: defaults of every `%%runware` cell."""

    model = Unicode(None, allow_none=True, help=_HELP["model"]).tag(config=True)
    size = Unicode(None, allow_none=True, help=_HELP["size"]).tag(config=True)
    number_results = Integer(None, allow_none=True, help=_HELP["number_results"]).tag(config=True)
    seed = Integer(None, allow_none=True, help=_HELP["seed"]).tag(config=True)
    steps = Integer(None, allow_none=True, help=_HELP["steps"]).tag(config=True)
    cfg = Float(None, allow_none=True, help=_HELP["cfg"]).tag(config=True)
    scheduler = Unicode(None, allow_none=True, help=_HELP["scheduler"]).tag(config=True)
    negative = Unicode(None, allow_none=True, help=_HELP["negative"]).tag(config=True)
    format = Unicode(None, allow_none=True, help=_HELP["format"]).tag(config=True)
    acceleration = Unicode(None, allow_none=True, help=_HELP["acceleration"]).tag(config=True)
    tag = Union(
        [Unicode(), List(Unicode())], default_value=[], help="a tag for the log, or a list of tags; added to the cell's"
    ).tag(config=True)
    display = CaselessStrEnum(
        ["html", "image"], default_value=None, allow_none=True,
        help="html, or image for PDF export and GitHub, which show no HTML",
    ).tag(config=True)  # fmt: skip
    profile = Unicode(None, allow_none=True, help="a profile of the user's file").tag(config=True)

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def runware(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> None:
        """Generate images, and everything around it.

        `%%runware [options]` with the prompt as the cell's body generates images; `%%runware -h` lists the
        options. `%runware COMMAND` does everything else; `%runware -h` lists the commands, and
        `%runware COMMAND -h` explains one. `%config RunwareMagics` sets defaults.
        """
        load(*FIRST_NEEDED)
        from .magic_runner import Runner

        try:
            if cell is None:
                Runner(self.shell, self.defaults(), local_ns).run_line(line)
            else:
                Runner(self.shell, self.defaults(), caller_names(local_ns)).run_cell(line, cell)
        except RunwareNBError as error:
            error.syntax = NOTEBOOK
            if isinstance(error, TaskError):
                from ..providers.runware.operations import option_of_field

                error.flag = option_of_field(error.parameter)
            raise

    def defaults(self) -> dict[str, Any]:
        """Give what `%config` has set, by the names of a cell's options."""
        named = {name: getattr(self, name) for name in self.class_own_traits(config=True)}
        return {name: each for name, each in named.items() if each not in (None, [], "") and name not in _OF_SESSION}

    @observe("display", "profile")
    def _set_session(self, change: Any) -> None:
        from ..session import current_session

        if change["new"] is None:
            return
        if change["name"] == "profile":
            current_session().connection.use_profile(change["new"])
        else:
            current_session().configure(display=change["new"])


def allow_empty_bodies(shell: Any) -> None:
    """Let `%%runware -h` and `%%runware` alone reach the magic, and those of providers as well.

    IPython (8 and 9) refuses every cell magic without a body before it calls it. An input transformation gives these
    cells an empty line as their body.
    """
    forbid_empty_bodies(shell)
    shell.input_transformers_cleanup.append(_add_empty_line)


def forbid_empty_bodies(shell: Any) -> None:
    """Remove what `allow_empty_bodies` added."""
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if getattr(one, "__qualname__", "") != _add_empty_line.__qualname__]


def _add_empty_line(lines: list[str]) -> list[str]:
    magic = re.match(r"%%(\w+)(?=\s|$)", lines[0]) if len(lines) == 1 else None
    is_ours = magic is not None and (magic[1] == "runware" or has_magic(magic[1]))
    return [lines[0].rstrip("\n") + "\n", "\n"] if is_ours else lines


# IPython in a terminal leaves such transformations out when it decides whether a cell is complete; otherwise the first
# Enter would run `%%runware` before its prompt can be written.
_add_empty_line.has_side_effects = True  # type: ignore[attr-defined]


_OF_SESSION = frozenset({"display", "profile"})
