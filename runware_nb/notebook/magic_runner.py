"""What the magics do: parse, call, show."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..commands import CommandResult
from ..commands.arguments import HelpRequested, split_line
from ..commands.correcting import corrected_line, line_with_choice
from ..commands.dispatch import LineStyle, list_commands, read_line
from ..commands.image_options import fill_in, refuse_keys
from ..commands.names import notice_about
from ..commands.text_to_image import submit
from ..errors import SeveralResults, TaskInvalid
from ..session import current_session
from .display import show_bundle, wait_and_show
from .parsing import (
    CellRequest,
    Placement,
    add_run_placement,
    cell_parser,
    fill_line,
    parse_cell,
    parse_operation_cell,
    placement_of,
)

__all__ = ["Runner", "usage"]

_STYLE = LineStyle("%runware {}")
_CELL_STYLE = LineStyle("%%runware {}")
_PROVIDER_STYLE = LineStyle("%{}")


class Runner:
    """One call of the magic.

    Args:
        shell: IPython's shell.
        defaults: What `%config` has set, by the names of a cell's options.
        local_names: The variables of the function that the magic is in; empty at the top of a cell.

    Attributes:
        names: The user's variables.
    """

    def __init__(self, shell: Any, defaults: Mapping[str, Any], local_names: Mapping[str, Any] | None = None) -> None:
        self._shell = shell
        self._defaults = defaults
        self._globals: dict[str, Any] = shell.user_ns
        self.names: Mapping[str, Any] = ChainMap(dict(local_names or {}), self._globals)
        self._session = current_session()

    def run_cell(self, line: str, cell: str) -> None:
        """Run a cell: the operation that its line names, with the body as its prompt; images by default.

        Raises:
            RunwareNBError: One sentence about what is wrong.
        """
        words = split_line(line)
        if words[:1] == ["prompt"]:
            self.run_words(words, style=LineStyle("%%runware {}"), values={"body": cell.strip("\r\n")})
            return
        try:
            asked = parse_operation_cell(line, cell, self.names)
            if asked is None:
                self._generate(line, cell)
            else:
                values = {"body": asked.body, "template": asked.template}
                self._command(asked.words, asked.typed, asked.notice, _CELL_STYLE, values)
        except HelpRequested as text:
            show_bundle({"text/plain": str(text)})

    def run_line(self, line: str, *, provider: str = "") -> None:
        """Run one command.

        Args:
            line: What follows the magic.
            provider: The provider whose magic it is; empty for `%runware`.

        Raises:
            RunwareNBError: One sentence about what is wrong.
        """
        typed = split_line(line)
        # A template is saved as it was typed: its names are replaced when it is used.
        words, problems = (typed, []) if typed[:1] == ["prompt"] else fill_line(line, self.names)
        before = [provider] if provider else []
        self.run_words(
            [*before, *words],
            typed=[*before, *typed],
            notice=notice_about(problems),
            style=_PROVIDER_STYLE if provider else _STYLE,
        )

    def run_words(
        self,
        words: list[str],
        *,
        typed: list[str] | None = None,
        notice: str | None = None,
        style: LineStyle = _PROVIDER_STYLE,
        values: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Run the command that the first words name, and show its answer.

        Args:
            words: The command, and what follows it. A command of a provider begins with the provider's name.
            typed: The same words before names in braces were replaced, for the corrected line.
            notice: A sentence to show before the command runs.
            style: How the magic writes a line; that of a provider's magic by default.
            values: Further options that no line can hold, such as the body of a cell, by name.

        Raises:
            RunwareNBError: One sentence about what is wrong.
        """
        try:
            self._command(words, typed, notice, style, values)
        except HelpRequested as text:
            show_bundle({"text/plain": str(text)})

    def _generate(self, line: str, cell: str) -> None:
        request = parse_cell(line, cell, self.names, keys=self._keys())
        fill_in(request.options, self._defaults)
        if request.notice and not request.quiet:
            # An output of its own, before anything is sent: the output of the images stays the same, whether the
            # service or the log answers.
            show_bundle({"text/plain": request.notice})
        try:
            answer = submit(self._session, request.options, request.unfilled, request.template, self.names)
        except TaskInvalid as error:
            error.corrected = corrected_line("%%runware", split_line(line), error)
            raise
        except SeveralResults as error:
            error.corrected = line_with_choice("%%runware", split_line(line), error)
            raise
        if answer.job is None:
            if not request.quiet:
                self._show(answer)
            return
        answer.job.notices.extend(request.notes)
        if request.notice and request.quiet:
            answer.job.notices.append(request.notice)  # -q shows nothing now; the outcome shows it when it is shown
        self._follow(answer, request)

    def _follow(self, answer: CommandResult, request: CellRequest | Placement) -> None:
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

    def _command(
        self,
        words: list[str],
        typed: list[str] | None,
        notice: str | None,
        style: LineStyle,
        values: Mapping[str, Any],
    ) -> None:
        if not words or words[0] in {"-h", "--help"}:
            show_bundle({"text/plain": usage()})
            return
        call = read_line(
            words, style, typed=typed, refuse=lambda line: refuse_keys(line, self._keys()), extend=add_run_placement
        )
        options = call.options
        options.names, options.defaults = self.names, self._defaults
        vars(options).update(values)
        placement = placement_of(call)
        if notice and not placement.quiet:
            show_bundle({"text/plain": notice})
        answer = call.run(self._session)
        if answer.job is None:
            if not placement.quiet:
                self._show(answer)
            if answer.outcome is not None:
                self._bind(answer.outcome, placement.output)
            return
        if notice and placement.quiet:
            answer.job.notices.append(notice)
        self._follow(answer, placement)

    def _show(self, answer: CommandResult) -> None:
        if answer.bundle:
            show_bundle(answer.bundle)
        for note in answer.notes:
            show_bundle({"text/plain": note})
        if answer.next_cell is not None:
            self._shell.set_next_input(answer.next_cell)

    def _bind(self, value: Any, name: str | None) -> None:
        self._globals["_rw"] = value
        self._session.last = value
        if name is not None:
            self._globals[name] = value

    def _is_live(self) -> bool:
        return hasattr(self._shell, "kernel")

    def _keys(self) -> tuple[str, ...]:
        key = self._session.settings.api_key
        return () if key is None else (key.reveal(),)


def usage() -> str:
    """Write what `%runware` prints alone."""
    lines = [
        "%%runware [options], and the prompt below it, generates images; %%runware -h lists the options.",
        "%%runware OPERATION [options], such as %%runware video, takes the prompt of another operation below it.",
        "",
    ]
    lines += list_commands("%runware {}")
    return "\n".join([*lines, "", f"options of a cell: {' '.join(cell_parser().option_names())}"])
