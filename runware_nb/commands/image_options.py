"""The common options of image generation, for `%%runware` and `text-to-image`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..core.conditioning import parse_control, parse_face, parse_ip_adapter
from ..core.key_shapes import contains_key, looks_like_key
from ..core.operations import TEXT_TO_IMAGE, Kind, Operation, Option
from ..core.option_values import parse_size
from ..core.provider_secrets import ProviderSecret, declared_secrets
from ..core.redaction import known_secrets
from ..errors import MagicUsageError
from ..providers.runware.tasks import ImageTask
from ..remedies import Remedy, command
from ..session.api import as_tags
from ..session.image_request import ImageRequest, image_request
from ..settings import RUNWARE_KEY, is_set_variable, remember_secrets, text_of_variable
from .arguments import whole_number

if TYPE_CHECKING:
    from ..session import Session

__all__ = [
    "METAVARS",
    "add_image_options",
    "add_label_options",
    "add_operation_options",
    "add_run_options",
    "fill_in",
    "key_in_line",
    "read_set",
    "refuse_keys",
    "refuse_keys_of_known_shape",
    "refuse_known_keys",
    "request_from",
    "task_from",
]


METAVARS: Mapping[str, str] = MappingProxyType({"image": "IMG", "video": "VIDEO", "audio": "AUDIO"})
"""What stands for a medium in `-h`, by its kind; FILE for any other."""


def _numbers(text: str) -> list[float]:
    """Return the numbers of a text such as `255,255,255,255`.

    Raises:
        argparse.ArgumentTypeError: It contains something else.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r}: expected numbers with commas, such as 255,255,255,0"
        ) from None


_READERS: Mapping[Kind, Callable[[str], Any]] = MappingProxyType(
    {"integer": whole_number, "number": float, "numbers": _numbers}
)


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `text-to-image`, and those of every paid run."""
    add_operation_options(parser, TEXT_TO_IMAGE, title="image")


def add_operation_options(parser: argparse.ArgumentParser, operation: Operation, *, title: str) -> None:
    """Declare the options of an operation as its entry states them, and those of every paid run."""
    group = parser.add_argument_group(title)
    for option in operation.options:
        how: dict[str, Any] = {"metavar": option.metavar}
        if option.kind == "flag":
            # Left out, the service decides. None is sent in this case, and not False.
            how = {"action": "store_const", "const": not option.flags[-1].startswith("--no-")}
        elif option.kind == "conversation":
            how |= {"nargs": "?", "const": ""}  # without a value, it is the last one
        elif option.is_list:
            how |= {"action": "append"}
        else:
            how |= {"type": _READERS.get(option.kind)}
        group.add_argument(*option.flags, help=option.help, **how)
    for medium in operation.inputs:
        if medium.flag is not None:
            action = "append" if medium.is_list else "store"
            group.add_argument(medium.flag, dest=medium.name, action=action, metavar=METAVARS.get(medium.kind, "FILE"),
                               help=medium.help)  # fmt: skip
    group.add_argument("--fresh", action="store_true", help="ask again, although the log has the answer")
    group.add_argument("--yes", action="store_true", help="agree to the price, however high")
    group.add_argument("--set", action="append", metavar="KEY=JSON", help="any other parameter; dots go deeper")


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are common to the commands of all operations."""
    parser.add_argument("--dry-run", action="store_true", help="show request and price, send nothing")
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="label for the log; repeatable")
    parser.add_argument("--note", metavar="TEXT", help="note for the log")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of every paid run, for the commands of providers."""
    group = parser.add_argument_group("run")
    group.add_argument("--fresh", action="store_true", help="ask the service again, although the log has the answer")
    group.add_argument("--yes", action="store_true", help="agree to the cost beforehand")
    add_label_options(parser)


def request_from(
    options: argparse.Namespace, prompt: str, find: Callable[[str], Any], session: Session | None
) -> ImageRequest:
    """Build the request of images.

    Args:
        options: As parsed.
        prompt: What to draw.
        find: Returns the image that a word means.
        session: Finds earlier runs and the rules of models; None checks nothing that needs them.

    Raises:
        MagicUsageError: A value cannot be read.
    """
    values = {option.name: _with_media(option, getattr(options, option.long), find) for option in TEXT_TO_IMAGE.options}
    if values["output_format"]:
        values["output_format"] = values["output_format"].upper()
    size = values.pop("size")
    if size:
        values["width"], values["height"] = parse_size(size)
    for medium in TEXT_TO_IMAGE.inputs:
        words = getattr(options, medium.name)
        if words:
            values[medium.name] = [find(word) for word in words] if medium.is_list else find(words)
    typed = {option.name: option.flags[-1] for option in TEXT_TO_IMAGE.options}
    typed |= {medium.name: medium.flag for medium in TEXT_TO_IMAGE.inputs if medium.flag}
    filled: frozenset[str] = getattr(options, "filled", frozenset())
    defaults = {option.name for option in TEXT_TO_IMAGE.options if option.long in filled}
    if "size" in filled:
        defaults |= {"width", "height"}
    return image_request(session, prompt, values, extra=read_set(options.set or ()), typed=typed, defaults=defaults)


def task_from(options: argparse.Namespace, prompt: str, find: Callable[[str], Any]) -> ImageTask:
    """Build the task of images without a session. See `request_from`."""
    return request_from(options, prompt, find, None).task


def _with_media(option: Option, value: Any, find: Callable[[str], Any]) -> Any:
    """Return the value of an option with the images that its words mean."""
    if value is None:
        return None
    if option.kind == "image":
        return find(value)
    if option.kind == "images":
        return [find(word) for word in value]
    if option.kind == "control":
        return [replace(one, image=find(one.image)) for one in map(parse_control, value)]
    if option.kind == "ip-adapter":
        return [replace(one, image=find(one.image)) for one in map(parse_ip_adapter, value)]
    if option.kind == "pulid":
        face = parse_face(value)
        return replace(face, image=find(face.image))
    return value


def fill_in(options: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Take defaults for what the line does not state; tags are added to its own.

    Args:
        options: As parsed; filled in. `filled` gets the names of the options whose values are defaults.
        defaults: By the names of options.
    """
    for name, value in defaults.items():
        if name == "tag":
            options.tag = list(as_tags([*options.tag, *as_tags(value)]))
        elif getattr(options, name) is None:
            setattr(options, name, value)
            options.filled = frozenset({*getattr(options, "filled", ()), name})


def refuse_keys(words: Sequence[str], known: Sequence[str] = ()) -> None:
    """Refuse a line that holds a key: a notebook is shared, and a key in it with it.

    Args:
        words: The line.
        known: Keys in use, which are refused in whatever shape they are.

    Raises:
        MagicUsageError: A word looks like a key; the message does not repeat it.
    """
    refuse_known_keys(words)
    for word in words:
        value = word.partition("=")[2] or word
        # A long name such as RUNKEY_WEBHOOK_SECRET_2026 has the shape of a key, and is none if it is set as a variable.
        has_shape = looks_like_key(value) and not is_set_variable(value)
        if has_shape or word.lower().startswith(("--api-key", "--key")) or any(k in word for k in known):
            raise key_in_line(word, words)


def refuse_known_keys(words: Sequence[str]) -> None:
    """Refuse a line that contains a key which this process knows, in whatever spelling.

    Raises:
        MagicUsageError: A word contains one; the message does not repeat it.
    """
    remember_secrets()
    if any(known_secrets.is_in(word) for word in words):
        raise key_in_line(next(word for word in words if known_secrets.is_in(word)), words)


def refuse_keys_of_known_shape(word: str) -> None:
    """Refuse a key in the place of an id of a service, which may be as long and mixed as a key is.

    Raises:
        MagicUsageError: The word has the shape of a key, or this process knows it as one.
    """
    refuse_known_keys([word])
    if contains_key(word):
        raise key_in_line(word)


def key_in_line(text: str = "", line: Sequence[str] = ()) -> MagicUsageError:
    """Build the error of a line or a cell that contains a key.

    Args:
        text: What contains it, to find out whose key it is. It is not repeated.
        line: The whole line, which may begin with the name of a provider.
    """
    secret = _secret_in(text, line)
    is_runware = secret.provider == RUNWARE_KEY.provider
    asked_by = secret.asked_by or ("login", *(() if is_runware else (secret.provider,)))
    label = "" if is_runware else f" ({secret.label})"
    return MagicUsageError(
        f"there is a key in this line{label}, and lines are saved and shared. Nothing was sent. Delete it from the "
        "line."
    ).with_remedy(Remedy(f"Use {{0}}, which has a hidden prompt, or set {secret.variable}.", (command(*asked_by),)))


def _secret_in(text: str, line: Sequence[str]) -> ProviderSecret:
    """Return which secret a text contains: by its shape, else by its value, else by the provider of the line."""
    for secret in declared_secrets.entries:
        if secret.shape and re.search(secret.shape, text):
            return secret
    for secret in declared_secrets.entries:
        values = [text_of_variable(name) or "" for name in secret.variables]
        if any(value.strip() and value.strip() in text for value in values):
            return secret
    # A secret that was typed at a prompt is in no variable. It does not have the shape of the provider's other secrets.
    of_line = [secret for secret in declared_secrets.entries if line and secret.provider == line[0]]
    return next((secret for secret in of_line if not secret.shape), next(iter(of_line), RUNWARE_KEY))


def read_set(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return the parameters that `--set KEY=JSON` options state, in wire spelling.

    Raises:
        MagicUsageError: One of them cannot be read.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise MagicUsageError(f"--set {pair}: write it as key=value, such as --set outputQuality=90")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        inner = made
        *path, last = key.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise MagicUsageError(f"--set {pair}: {part} was set to a plain value before")
        inner[last] = value
    return made
