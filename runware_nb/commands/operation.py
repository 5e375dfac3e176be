"""The command of an operation, from its entry in the table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.items import Item
from ..core.operations import Operation
from ..core.prompts import Prompt
from ..errors import MagicUsageError
from ..providers.runware.operations import flags_by_field
from ..session.api import as_tags
from ..session.operations import build_request
from .base import CommandResult
from .image_options import METAVARS, add_label_options, add_operation_options, read_set
from .images_in import find_image
from .prompts_in import PROMPT_OPTIONS, add_prompt_options, how_to_use_versions, notices_of, render_options
from .text_to_image import dry_run

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["OperationCommand"]


class OperationCommand:
    """A command such as `%runware NAME IMG --option VALUE`, and the cell `%%runware NAME` with a prompt as its body.

    Inputs without an option are words on the line, in the order of the entry. Without such inputs, the words are the
    prompt.

    Args:
        operation: Its entry.
    """

    IS_RUN = True

    def __init__(self, operation: Operation) -> None:
        self.SUMMARY = operation.summary
        self.operation = operation

    @property
    def flags_by_parameter(self) -> Mapping[str, tuple[str, ...]]:
        """The options of each parameter. See `LineCommand`."""
        return flags_by_field(self.operation)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        if self.operation.has_free_prompt:
            parser.add_argument("words", nargs="*", help="the prompt")
        for medium in self.operation.words:
            metavar = METAVARS.get(medium.kind, "FILE")
            parser.add_argument(medium.name, nargs="?", metavar=metavar, help=medium.help)
        add_operation_options(parser, self.operation, title=self.operation.name)
        if any(option.name in PROMPT_OPTIONS for option in self.operation.options):
            add_prompt_options(parser)
        add_label_options(parser)
        self._add_examples(parser)

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the task and return its job; with `--dry-run` only plan it.

        Raises:
            MagicUsageError: A value cannot be read, a word means no medium, or there are two prompts.
            TaskInvalid: See `build_request`.
        """
        task = self.task_for(session, options)
        if options.dry_run:
            plan = session.plan(task)
            plan.warnings += options.prompt_notices
            return dry_run(plan, getattr(options, "names", {}))
        job = session.submit(task, **self.submission_of(session, options))
        job.notices.extend(options.prompt_notices)
        if self.operation.name == "enhance" and session.front_end.has_cells:
            job.notices.append(how_to_use_versions(getattr(options, "output", None) or "_rw", options.versions or 1))
        return CommandResult(job=job, value=job)

    def task_for(self, session: Session, options: argparse.Namespace) -> Item:
        """Build the task of a line or a cell.

        Args:
            session: Whose last result, log, aliases and settings count.
            options: As parsed. `names` has the user's variables, `defaults` what `%config` has set, and `body` the body
                of a cell with names filled in.

        Raises:
            MagicUsageError: A value cannot be read, a word means no medium, or there are two prompts.
            TaskInvalid: See `build_request`.
        """
        names = getattr(options, "names", {})
        values = self.values_of(options, lambda word: find_image(word, session, names))
        prompts = self._rendered(session, options, values)
        options.prompt_notices = notices_of(prompts)
        values |= prompts
        for option in self.operation.options:
            word = values.get(option.name)
            if option.kind in {"conversation", "schema"} and isinstance(word, str) and word in names:
                values[option.name] = names[word]
        defaults = {**session.settings.defaults, **getattr(options, "defaults", {})}
        return build_request(session, self.operation, values, extra=read_set(options.set or ()), defaults=defaults)

    def values_of(self, options: argparse.Namespace, find: Callable[[str], Any]) -> dict[str, Any]:
        """Return the inputs and parameters of a line or a cell, by their names in Python.

        Args:
            options: As parsed. `body` has the body of a cell with names filled in.
            find: Returns the medium that a word means.

        Raises:
            MagicUsageError: There are two prompts, the operation takes none, or the body is empty.
        """
        values: dict[str, Any] = {option.name: getattr(options, option.long) for option in self.operation.options}
        for medium in self.operation.inputs:
            words = getattr(options, medium.name)
            if words:
                values[medium.name] = [find(word) for word in words] if medium.is_list else find(words)
        prompt = self._prompt(options)
        return values if prompt is None else {**values, str(self.operation.body): prompt}

    def submission_of(self, session: Session, options: argparse.Namespace) -> dict[str, Any]:
        """Return what `Session.submit` takes beside the task."""
        usual = [session.settings.defaults.get("tag"), getattr(options, "defaults", {}).get("tag")]
        tags = as_tags([*options.tag, *(tag for each in usual for tag in as_tags(each))])
        return {
            "template": getattr(options, "template", None),
            "tags": tags,
            "note": options.note,
            "fresh": options.fresh,
            "agreed": options.yes,
        }

    def _prompt(self, options: argparse.Namespace) -> str | None:
        """Return the prompt: the words of the line, or the body of the cell; None if there is neither.

        Raises:
            MagicUsageError: There are two prompts, the operation takes none, or the body is empty.
        """
        operation = self.operation
        words = " ".join(getattr(options, "words", ()))
        body: str | None = getattr(options, "body", None)
        option = None if operation.body is None else operation.option(operation.body)
        if option is None:
            if body is not None and body.strip():
                raise MagicUsageError(
                    f"{operation.name} takes no prompt. Delete the text below the line, or write the line with one %. "
                    "Nothing was sent."
                )
            return None
        if body is not None and not body.strip():
            if words or getattr(options, option.long) is not None:
                end = "A prompt on the line needs one %."
            else:
                end = "Write it below the line." if operation.has_free_prompt else (
                    "Write it below the line, or write the line with one %."
                )  # fmt: skip
            raise MagicUsageError(f"The prompt is empty. {end} Nothing was sent.")
        flag = option.flags[-1]
        given = {
            f"{flag} {getattr(options, option.long)!r:.60}": getattr(options, option.long),
            f"{words!r:.60}": words or None,
            "the body of the cell": body,
        }
        prompts = {where: text for where, text in given.items() if text is not None}
        if len(prompts) > 1:
            raise MagicUsageError(
                f"There are two prompts: {' and '.join(prompts)}. Keep one of them. Nothing was sent."
            )
        return next(iter(prompts.values()), None)

    def _rendered(self, session: Session, options: argparse.Namespace, values: Mapping[str, Any]) -> dict[str, Prompt]:
        """Return the prompts among the values, rendered from what was typed. See `render_options`."""
        typed: dict[str, str] = dict(getattr(options, "typed_words", {}))
        prompt = values.get(str(self.operation.body))
        if prompt is not None and getattr(options, "template", None) is not None:
            typed[prompt] = options.template
        elif prompt is not None and self.operation.has_free_prompt and options.words:
            typed[prompt] = " ".join(typed.get(word, word) for word in options.words)
        options.typed_words = typed
        return render_options(session, options, {name: values[name] for name in PROMPT_OPTIONS if name in values})

    def _add_examples(self, parser: argparse.ArgumentParser) -> None:
        line = parser.prog.replace("%%", "%")
        examples = [f"  {line} {example}" for example in self.operation.examples]
        if not examples or not parser.prog:
            return
        if line.startswith("%") and self.operation.has_free_prompt:
            examples += [f"  %{line} -o result", "  (and the prompt below the line)"]
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = "\n".join(["examples:", *examples])
