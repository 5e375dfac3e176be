"""`%runware` and `%%runware`: they parse, call, show."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from ..commands import COMMANDS, Answer, find_command
from ..commands.arguments import HelpRequested, LineParser, split_line
from ..commands.image_options import refuse_keys
from ..commands.text_to_image import submit
from ..errors import MagicUsageError
from ..session import Session
from .display import show_bundle, wait_and_show
from .parsing import CellRequest, cell_parser, parse_cell

__all__ = ["RunwareMagics", "usage"]


@magics_class
class RunwareMagics(Magics):
    """The magics of one shell.

    Args:
        shell: IPython's shell.
        session: What they work on.
    """

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._names: dict[str, Any] = shell.user_ns
        self._session = session

    @no_var_expand
    @needs_local_scope
    @line_cell_magic
    def runware(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Generate images, and everything around it.

        `%%runware [options]` with the prompt as the cell's body generates images; `%%runware -h` lists the
        options. `%runware COMMAND` does everything else; `%runware -h` lists the commands, and
        `%runware COMMAND -h` explains one.
        """
        try:
            if cell is not None:
                return self._generate(line, cell, {**self._names, **(local_ns or {})})
            return self._command(split_line(line))
        except HelpRequested as text:
            show_bundle({"text/plain": str(text)})
            return None

    def _generate(self, line: str, cell: str, names: dict[str, Any]) -> Any:
        request = parse_cell(line, cell, names, keys=self._keys())
        answer = submit(self._session, request.options, request.prompt, request.template)
        if answer.job is None:
            if not request.quiet:
                self._show(answer)
            return None
        return self._follow(answer, request)

    def _follow(self, answer: Answer, request: CellRequest) -> None:
        """Wait for a job and show it, or only bind it."""
        job = answer.job
        assert job is not None
        if request.background:
            self._bind(job, request.output)
            if not request.quiet:
                self._session.show_job(job)
            return
        self._bind(job, request.output)  # until there is more: after Stop the job is what the name holds
        outcome = job.result() if request.quiet else wait_and_show(job, is_live=self._is_live())
        self._bind(outcome, request.output)

    def _command(self, words: list[str]) -> Any:
        if not words or words[0] in {"-h", "--help"}:
            show_bundle({"text/plain": usage()})
            return None
        command = find_command(words[0])
        parser = LineParser(f"%runware {words[0]}", command.SUMMARY)
        command.add_arguments(parser)
        refuse_keys(words, self._keys())
        try:
            options = parser.read(words[1:])
        except MagicUsageError as error:
            raise error from None
        answer = command.run(self._session, options)
        if answer.job is not None:
            self._bind(answer.job, None)
            self._bind(wait_and_show(answer.job, is_live=self._is_live()), None)
        else:
            self._show(answer)

    def _show(self, answer: Answer) -> None:
        if answer.bundle:
            show_bundle(answer.bundle)
        for note in answer.notes:
            show_bundle({"text/plain": note})

    def _bind(self, value: Any, name: str | None) -> None:
        self._names["_rw"] = value
        self._session.last = value
        if name is not None:
            self._names[name] = value

    def _is_live(self) -> bool:
        return hasattr(self.shell, "kernel")

    def _keys(self) -> tuple[str, ...]:
        key = self._session.settings.api_key
        return () if key is None else (key.reveal(),)


def usage() -> str:
    """Write what `%runware` prints alone."""
    width = max(map(len, COMMANDS))
    lines = ["%%runware [options], and the prompt below it, generates images; %%runware -h lists the options.", ""]
    lines += [f"  %runware {name.ljust(width)}  {find_command(name).SUMMARY}" for name in COMMANDS]
    return "\n".join([*lines, "", f"options of a cell: {' '.join(cell_parser().option_names())}"])
