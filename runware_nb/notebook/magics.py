"""`%runware` and `%%runware`, as IPython sees them; what they do is in `running`, loaded at the first use."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

__all__ = ["RunwareMagics"]


@magics_class
class RunwareMagics(Magics):
    """The magics of one shell."""

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def runware(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> None:
        """Generate images, and everything around it.

        `%%runware [options]` with the prompt as the cell's body generates images; `%%runware -h` lists the
        options. `%runware COMMAND` does everything else; `%runware -h` lists the commands, and
        `%runware COMMAND -h` explains one.
        """
        from .running import Runner

        runner = Runner(self.shell)
        if cell is None:
            runner.run_line(line)
        else:
            runner.run_cell(line, cell, local_ns or {})
