"""Commands that start a task at useapi.net."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....commands.arguments import whole_number
from ....commands.base import Command, CommandResult
from ....commands.image_options import add_label_options, read_set
from ....commands.images_in import find_image
from ....commands.text_to_image import dry_run
from ....errors import (
    MagicUsageError,
    TaskInvalid,
)
from ....session.api import as_tags
from ..assets import is_asset_id
from ..models import ENDPOINTS, models_for, near_model
from ..options import (
    KINDS,
    LineOption,
    default_model,
    find_path,
    flags_by_parameter,
    line_options,
    model_on_line,
)
from ..provider import PREFIX

if TYPE_CHECKING:
    from ....session import Session

__all__ = ["Generate", "create", "find_asset", "frames", "image", "task_on_line", "video"]


class Generate:
    """`video`, `image`, `frames` and `create PATH`: a task from one line.

    Args:
        path: The create call; None if the line names it.
        model: The model whose options are declared; None for those of all models.
    """

    IS_RUN = True

    def __init__(self, path: str | None, model: str | None = None) -> None:
        self._path = path
        self._model = model
        self.SUMMARY = "start a task with any create call" if path is None else ENDPOINTS[path].summary

    @property
    def flags_by_parameter(self) -> Mapping[str, Sequence[str]]:
        """See `LineCommand`."""
        return {} if self._path is None else {**flags_by_parameter(self._path), "account": ("--account",)}

    def for_words(self, words: Sequence[str]) -> Command:
        """Return the command with the create call of a line, and for help with the options of its model alone."""
        path = self._path or (find_path(words[0]) if words else None)
        if path is None:
            return self
        model = model_on_line(path, words) if {"-h", "--help"} & set(words) else None
        bound = Generate(path, model if model in models_for(path) else None)
        bound.names_path = self._path is None
        return bound

    names_path = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        if self._path is None or self.names_path:
            parser.add_argument("path", metavar="PATH", help="a create call, such as gen4/create; `models` lists them")
            parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="parameters as the service names them")
        else:
            parser.add_argument("words", nargs="*", help="the prompt")
        parser.add_argument("--prompt", metavar="TEXT", help="the prompt, as an option")
        if self._path is not None:
            title = f"{self._path}{f' with {self._model}' if self._model else ''}"
            group = parser.add_argument_group(title)
            for option in line_options(self._path, self._model):
                group.add_argument(*option.flags, dest=option.dest, help=option.help.replace("%", "%%"), **_how(option))
        group = parser.add_argument_group("run")
        group.add_argument("--account", metavar="EMAIL", help="the Runway account that runs it; any by default")
        group.add_argument("--set", action="append", metavar="KEY=JSON", help="any other parameter of the service")
        if self._path is None or self.names_path or models_for(self._path):
            group.add_argument(
                "--unknown-model",
                action="store_true",
                help="send a model that looks like a mistyped name of a known one",
            )
        group.add_argument("--fresh", action="store_true", help="ask again, although the log has the answer")
        group.add_argument("--yes", action="store_true", help="agree to the unknown price")
        add_label_options(parser)

    def run(self, session: Session, options: argparse.Namespace) -> CommandResult:
        """Send the task and return its job; with `--dry-run` only plan it.

        Raises:
            MagicUsageError: A word means no image, or the call is not known.
            TaskInvalid: The model does not accept a value.
        """
        task = self._task(session, options)
        if options.dry_run:
            return dry_run(session.plan(task, service="useapi"))
        defaults = getattr(options, "defaults", {}) or session.settings.defaults
        job = session.submit(
            task,
            service="useapi",
            template=getattr(options, "template", None),
            tags=as_tags([*options.tag, *as_tags(defaults.get("tag"))]),
            note=options.note,
            fresh=options.fresh,
            agreed=options.yes,
        )
        return CommandResult(job=job, value=job)

    def _task(self, session: Session, options: argparse.Namespace) -> dict[str, Any]:
        path = self._path
        pairs = [*getattr(options, "pairs", []), *(options.set or ())]
        if path is None:
            path = options.path.strip("/")  # the provider refuses it, or warns that it is unknown
        words = getattr(options, "words", [])
        if options.prompt is not None and words:
            raise MagicUsageError("There are two prompts: one on the line, and one in --prompt. Nothing was sent.")
        prompt = options.prompt if options.prompt is not None else " ".join(words)
        names = getattr(options, "names", {})
        return task_on_line(path, options, prompt, pairs, lambda word: find_asset(word, session, names))


def _how(option: LineOption) -> dict[str, Any]:
    first = option.parameters[0]
    if first.kind == "flag":
        return {"action": "store_const", "const": not option.is_off_switch}
    if first.kind == "asset":
        return {"metavar": "IMG" if "image" in first.help or "frame" in first.help else "FILE",
                **({"action": "append"} if option.is_list else {})}  # fmt: skip
    kind: Callable[[str], Any] | None = {"integer": whole_number, "number": _number_of}.get(first.kind)
    return {"metavar": {"integer": "N", "number": "X"}.get(first.kind, "TEXT"), "type": kind or str}


def _number_of(typed: str) -> float:
    """Parse a number.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, not {typed[:40]!r}") from None
    return int(value) if value.is_integer() else value


def find_asset(word: str, session: Session, names: Mapping[str, Any]) -> Any:
    """Return what a word means: the id of an asset, or an image or another file. See `find_image`."""
    known = names.get(word) if word.isidentifier() else None
    if is_asset_id(known):
        return known
    return word if is_asset_id(word) else find_image(word, session, names)


def task_on_line(
    path: str,
    options: argparse.Namespace,
    prompt: str,
    pairs: Sequence[str],
    find: Callable[[str], Any],
) -> dict[str, Any]:
    """Return the task that parsed options ask for.

    Args:
        path: The create call.
        options: As parsed.
        prompt: What to generate; empty if the call is to have none.
        pairs: Further parameters, each as `KEY=JSON`.
        find: Returns the medium that a word means.

    Raises:
        MagicUsageError: A value cannot be read, or a word means no medium.
    """
    task: dict[str, Any] = {"taskType": PREFIX + path}
    assets: dict[str, Any] = {}
    model = default_model(path)
    if model is not None:
        task["model"] = model
    if prompt.strip():
        task["text_prompt"] = prompt
    for option in line_options(path) if path in ENDPOINTS else ():
        given = getattr(options, option.dest, None)
        if given is None:
            continue
        if option.parameters[0].name == "model" and not getattr(options, "unknown_model", False):
            _refuse_mistyped_model(path, given)
        named = option.names(given if option.is_list else [given])
        if option.parameters[0].kind == "asset":
            assets |= {name: find(word) for name, word in named.items()}
        else:
            task |= named
    if options.account is not None:
        task["account"] = options.account
    for name, value in read_set(pairs).items():
        if path in ENDPOINTS and (known := ENDPOINTS[path].parameter(name)) is not None and known.kind == "asset":
            assets[name] = find(str(value))
        else:
            task[name] = value
    return {**task, "assets": assets} if assets else task


def _refuse_mistyped_model(path: str, name: str) -> None:
    """Refuse a model that is probably a mistyped one: a notice would be read after the task was paid.

    Raises:
        TaskInvalid: It looks like a known model. The corrected line names that one.
    """
    near = near_model(path, name)
    if near is not None:
        raise TaskInvalid(
            f"Unknown model {name!r}. Did you mean {near!r}? Add --unknown-model if the model is new. Nothing was "
            "sent.",
            parameter="model", allowed_values=(near,),
        )  # fmt: skip


video, image, frames = (Generate(KINDS[kind]) for kind in ("video", "image", "frames"))
create = Generate(None)
