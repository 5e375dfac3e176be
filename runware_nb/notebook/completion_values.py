"""What may stand on a line: for each option its values, for each command what it is about."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.conditioning import CONTROL_KINDS
from ..core.operations import OPERATIONS, TEXT_TO_IMAGE
from ..errors import RunwareNBError
from ..printable import hides
from ..settings import settings_table

if TYPE_CHECKING:
    from ..runlog import RunRecord
    from ..session import Session

__all__ = ["after_command", "after_option", "typable"]

_RECENT = 40
_ABOUT_RUNS = frozenset({"show", "code", "diff", "history", "rate", "forget", "replay", "verify", "discard", "poll"})
_ABOUT_IMAGES = frozenset({"compare", "upload"})
_ABOUT_MODELS = frozenset({"model", "form"})


_BEGINNINGS: Mapping[str, list[str]] = MappingProxyType(
    {
        "control": [f"{kind}:" for kind in (*CONTROL_KINDS, "guide")],
        "outpaint": ["16:9", "9:16", "4:3", "3:4", "1:1", "left=128,right=128", "top=128,bottom=128"],
    }
)
"""What values of an option begin with, or examples of them, by its kind."""


def after_option(
    option: str, session: Session, names: Mapping[str, Any], command: str = "", fragment: str = ""
) -> list[str] | None:
    """List the values of an option; None where it takes none that are known.

    Args:
        option: As typed, such as `-m`.
        session: Whose models, log and last result count.
        names: The user's variables.
        command: The command on the line. If it is an operation, its own values and models count.
        fragment: What has been typed of the value.
    """
    about = [operation for operation in OPERATIONS if operation.name == command] or list(OPERATIONS)
    makers: dict[str, Callable[[], list[str]]] = {
        "-m": lambda: _models(session, command), "--model": lambda: _models(session, command),
        "--scheduler": _schedulers,
        "--seed": lambda: _seeds(session), "--tag": lambda: _tags(session), "--lora": lambda: _loras(session),
        "--state": _states, "--sort": lambda: ["newest", "oldest", "cost", "time", "rating"],
        "--service": _services,
        "--ballot": lambda: _ballots(session), "--by": lambda: ["cell", "day", "model", "tag", "notebook"],
    }  # fmt: skip
    make = makers.get(option)
    if make is not None:
        return typable(make())
    for operation in about:
        for medium in operation.inputs:
            if option == medium.flag:
                return typable([*_images(session, names), *_files(fragment, medium.kind)])
        for declared in operation.options:
            if option in declared.flags:
                if declared.kind in {"image", "images", "pulid"}:
                    return typable([*_images(session, names), *_files(fragment, "image")])
                return list(declared.values) or _BEGINNINGS.get(declared.kind)
    return None


def after_command(command: str, session: Session, names: Mapping[str, Any], fragment: str = "") -> list[str]:
    """List what a command may be about; *fragment* is what has been typed of it."""
    return typable(_after_command(command, session, names, fragment))


def typable(candidates: list[str]) -> list[str]:
    """Leave out what a terminal cannot show: a tag of an imported run may contain control characters."""
    return [candidate for candidate in candidates if not hides(candidate) and "\n" not in candidate]


def _after_command(command: str, session: Session, names: Mapping[str, Any], fragment: str) -> list[str]:
    if command in _ABOUT_RUNS:
        return [run.task_uuid[:8] for run in _recent(session)]
    if command in _ABOUT_IMAGES:
        return [*_images(session, names), *_files(fragment, "image")]
    for operation in OPERATIONS:
        if operation.name == command and operation.words:
            return [*_images(session, names), *_files(fragment, operation.words[0].kind)]
    if command in _ABOUT_MODELS:
        return [*_models(session), *((operation.name for operation in OPERATIONS) if command == "form" else ())]
    if command == "ranking":
        return _ballots(session)
    if command == "config":
        return [name for name in settings_table() if name != "api_key"]
    if command == "prompt":
        return session.prompts.names()
    if command == "alias":
        return list(_aliases(session))
    return []


def _models(session: Session, command: str = "") -> list[str]:
    """List the user's aliases, and the names of the models of an operation; those for images without one."""
    from ..providers.runware.catalog import all_models
    from ..providers.runware.operations import task_types_by_name

    types = task_types_by_name()
    task_type = types.get(command, types[TEXT_TO_IMAGE.name])
    models = [model for model in all_models() if model.task_type == task_type]
    return [*_aliases(session), *(name for model in models for name in model.typed_names)]


def _aliases(session: Session) -> list[str]:
    try:
        return list(session.aliases.all())
    except RunwareNBError:
        return []


def _schedulers() -> list[str]:
    from ..providers.runware.catalog.schemas import SCHEDULERS

    return [shlex.quote(name) for name in SCHEDULERS]


def _states() -> list[str]:
    from ..runlog.records import State

    return [state.value for state in State]


def _services() -> list[str]:
    from ..providers.registry import packages

    return [service for package in packages() for service in package.services]


def _images(session: Session, names: Mapping[str, Any]) -> list[str]:
    """List variables that hold images, the last result's, and those of recent runs."""
    held = [name for name, value in names.items() if _holds_image(value) and not name.startswith("_")]
    last = session.last
    count = len(getattr(last, "results", ()))
    numbered = [f"#{n}" for n in range(1, count + 1)]
    runs = [run.task_uuid[:8] for run in _recent(session) if run.results]
    return [*held, *(["_rw"] if count else []), *numbered, *runs]


_ENDINGS: Mapping[str, frozenset[str]] = MappingProxyType({
    "image": frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".heic", ".heif", ".avif", ".tif", ".tiff"}),
    "video": frozenset({".mp4", ".webm", ".mov", ".mkv"}),
    "audio": frozenset({".mp3", ".wav", ".flac", ".ogg", ".aac", ".m4a"}),
    "document": frozenset({".pdf", ".txt", ".md", ".docx"}),
})  # fmt: skip
_MOST_FILES = 60
_MOST_LOOKED_AT = 2000
"""Entries of a folder that are looked at: completion must not wait for a folder of a million files."""


def _files(fragment: str, kind: str) -> list[str]:
    """List files of a kind, and folders, in the folder that a fragment of a path names."""
    folder, slash, _ = fragment.rpartition("/")
    found: list[str] = []
    try:
        with os.scandir(os.path.expanduser(folder) or (slash or ".")) as entries:  # noqa: PTH111 - keeps the text as typed
            for entry in itertools.islice(entries, _MOST_LOOKED_AT):
                if entry.name.startswith("."):
                    continue
                path = f"{folder}{slash}{entry.name}"
                if entry.is_dir():
                    found.append(f"{path}/")
                elif os.path.splitext(entry.name)[1].lower() in _ENDINGS.get(kind, ()):  # noqa: PTH122 - as above
                    found.append(path)
    except OSError:
        return []
    matching = sorted(path for path in found if path.startswith(fragment) and " " not in path)
    return matching[:_MOST_FILES]


def _holds_image(value: Any) -> bool:
    kind = type(value)
    is_ours = kind.__module__.startswith("runware_nb.") and kind.__name__ in {
        "ChainedJob",
        "Job",
        "Mask",
        "Outcome",
        "Result",
    }
    return is_ours or kind.__module__.startswith("PIL.")


def _seeds(session: Session) -> list[str]:
    seeds = [result.seed for run in _recent(session) for result in run.results if result.seed is not None]
    return [str(seed) for seed in dict.fromkeys(seeds)]


def _tags(session: Session) -> list[str]:
    return list(dict.fromkeys(tag for run in _recent(session) for tag in run.tags))


def _loras(session: Session) -> list[str]:
    used = [each for run in _recent(session) for each in run.request.get("lora") or () if isinstance(each, dict)]
    return list(dict.fromkeys(f"{each.get('model')}:{each.get('weight', 1.0)}" for each in used))


def _ballots(session: Session) -> list[str]:
    from ..runlog.ballots import ballots_of

    try:
        return list(ballots_of(session.log)) if session.has_log else []
    except RunwareNBError:
        return []


def _recent(session: Session) -> list[RunRecord]:
    """Give the newest runs; a log that is not open yet is left alone: completion must not wait."""
    if not session.has_log:
        return []
    try:
        return session.log.recent(_RECENT)
    except RunwareNBError:
        return []
