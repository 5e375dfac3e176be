"""`%runware` and `%%runware`, as IPython sees them; what they do is in `running`, loaded at the first use."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import CaselessStrEnum, Float, Integer, List, Unicode, observe

from ..loading import FIRST_NEEDED, load

__all__ = ["RunwareMagics"]


@magics_class
class RunwareMagics(Magics):
    """The magics of one shell, and what `%config RunwareMagics` sets: defaults of every `%%runware` cell."""

    model = Unicode(None, allow_none=True, help="AIR identifier, slug or alias").tag(config=True)
    size = Unicode(None, allow_none=True, help="pixels, such as 1024x768").tag(config=True)
    number_results = Integer(None, allow_none=True, help="how many images, 1 to 20").tag(config=True)
    seed = Integer(None, allow_none=True, help="first seed").tag(config=True)
    steps = Integer(None, allow_none=True, help="denoising steps").tag(config=True)
    cfg = Float(None, allow_none=True, help="how closely to follow the prompt").tag(config=True)
    scheduler = Unicode(None, allow_none=True, help="sampler").tag(config=True)
    negative = Unicode(None, allow_none=True, help="what to avoid").tag(config=True)
    format = Unicode(None, allow_none=True, help="JPG, PNG or WEBP").tag(config=True)
    acceleration = Unicode(None, allow_none=True, help="none, low, medium or high").tag(config=True)
    tag = List(Unicode(), help="labels for the log, besides those of the cell").tag(config=True)
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
        from .running import Runner

        runner = Runner(self.shell, self.defaults())
        if cell is None:
            runner.run_line(line)
        else:
            runner.run_cell(line, cell, local_ns or {})

    def defaults(self) -> dict[str, Any]:
        """Give what `%config` has set, by the names of a cell's options."""
        named = {name: getattr(self, name) for name in self.class_own_traits(config=True)}
        return {name: each for name, each in named.items() if each not in (None, []) and name not in _OF_SESSION}

    @observe("display", "profile")
    def _set_session(self, change: Any) -> None:
        from ..session import current_session

        if change["new"] is None:
            return
        if change["name"] == "profile":
            current_session().use_profile(change["new"])
        else:
            current_session().configure(display=change["new"])


_OF_SESSION = frozenset({"display", "profile"})
