"""The command of an operation, from its entry in the table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..core.operations import Operation
from ..session.api import as_tags
from ..session.operations import task_of
from .base import CommandResult
from .image_options import add_label_options, add_operation_options, read_set
from .images_in import find_image
from .prompts_in import PROMPT_OPTIONS, add_prompt_options, notices_of, render_options
from .text_to_image import dry_run

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["OperationCommand"]


class OperationCommand:
    """A command such as `%runware NAME IMG --option VALUE`.

    Args:
        operation: Its entry. Inputs without an option are words on the line, in the order of the entry.
    """

    IS_RUN = True

    def __init__(self, operation: Operation) -> None:
        self.SUMMARY = operation.summary
        self._operation = operation

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        for medium in self._operation.inputs:
            if medium.flag is None:
                parser.add_argument(
                    medium.name, nargs=None if medium.is_required else "?", metavar="IMG", help=medium.help
                )
        add_operation_options(parser, self._operation, title=self._operation.name)
        if any(option.name in PROMPT_OPTIONS for option in self._operation.options):
            add_prompt_options(parser)
        add_label_options(parser)

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the task and return its job; with `--dry-run` only plan it.

        Raises:
            MagicUsageError: A value cannot be read, or a word means no image.
        """
        names = getattr(options, "names", {})
        values: dict[str, Any] = {option.name: getattr(options, option.long) for option in self._operation.options}
        prompts = render_options(session, options, {name: values[name] for name in PROMPT_OPTIONS if name in values})
        values |= prompts
        for medium in self._operation.inputs:
            words = getattr(options, medium.name)
            if words:
                one = not medium.is_list
                values[medium.name] = (
                    find_image(words, session, names) if one else [find_image(word, session, names) for word in words]
                )
        task = {**task_of(self._operation, values), **read_set(options.set or ())}
        if options.dry_run:
            plan = session.plan(task)
            plan.warnings += notices_of(prompts)
            return dry_run(plan)
        defaults = getattr(options, "defaults", {}) or session.settings.defaults
        tags = as_tags([*options.tag, *as_tags(defaults.get("tag"))])
        job = session.submit(task, tags=tags, note=options.note, fresh=options.fresh, agreed=options.yes)
        job.notices.extend(notices_of(prompts))
        return CommandResult(job=job, value=job)
