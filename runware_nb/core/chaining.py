"""The operations as methods of results, outcomes and jobs, as in `image.upscale(2).remove_background()`.

The methods are written out here for type checkers and editors. Their full signatures and their texts come from the
table of operations when this module is loaded, so that `help` and completion show what the table contains.

Nothing here can send a task: an object that has the methods passes the call to the `Performer` that its session has
lent to it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from ..errors import TaskInvalid
from .operations import OPERATIONS, Input, Operation

__all__ = [
    "METHODS",
    "OF_EVERY_RUN",
    "Operations",
    "Performer",
    "method_name",
    "method_signature",
    "produced_kind",
    "subject_of",
]

T_co = TypeVar("T_co", covariant=True)

_RENAMED: Mapping[str, str] = {"text": "ask"}
"""Methods that cannot have the name of their function: a result has its text as `text`."""
_WITHOUT_METHOD = frozenset({"text-to-image"})
"""Operations that have a function and no method: an image is one of several media from which images are generated."""

OF_EVERY_RUN: Mapping[str, tuple[Any, str]] = {
    "extra": (None, "Any other parameter, in wire spelling; objects are merged with those of the other parameters."),
    "fresh": (False, "Whether the service is asked again although the log has the answer."),
    "agreed": (False, "Whether its price is agreed to, however high: nothing is asked."),
    "tags": ((), "A tag for the log, or several."),
    "note": (None, "A note for the log."),
}
"""Parameters of every function and method, in addition to those of its operation: the default, and what it means."""
_RETURNS = """\
Returns:
    A job; a group of jobs if there are several results. It is returned at once. A job that is not finished is waited
    for in the background: until then, nothing of this step is in the log or at the service, so a kernel that ends
    before that has neither sent nor paid for this step.

Raises:
    TaskInvalid: The service would refuse the task, or the operation does not take this kind of medium.
    SourceFailed: The run whose result is needed has failed.
    NotConfirmed: The user did not agree to the cost, or this session cannot ask."""


class Performer(Protocol):
    """What starts an operation on a result, an outcome, a job or a group of jobs. The session lends it."""

    def __call__(self, operation: Operation, source: Any, values: Mapping[str, Any]) -> Any:
        """Start an operation.

        Args:
            operation: Its entry.
            source: The object whose method was called.
            values: Parameters by their names in Python.

        Returns:
            A job, or a group of jobs.
        """

    def history(self, task_uuid: str) -> Any:
        """Return the tree of the runs that a run was made from, and of those made from it."""


class Operations(Generic[T_co]):
    """The operations as methods. What each returns is the type argument: a job, or a group of jobs."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a type checker shall report an unknown name

        def __getattr__(self, name: str) -> NoReturn:
            """Raise an error that names the attribute that was probably meant; IPython adds no such hint itself.

            Raises:
                AttributeError: There is no such attribute.
            """
            kind = type(self)
            near = [] if name.startswith("_") else difflib.get_close_matches(name, dir(self), 1)
            hint = f". Did you mean: {near[0]!r}?" if near and near[0] != name else ""
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}{hint}")

    def _perform(self, method: str, values: Mapping[str, Any]) -> T_co:
        """Start an operation on this object."""
        raise NotImplementedError

    def upscale(self, factor: float | None = None, **options: Any) -> T_co:
        """Increase the resolution of an image or a video."""
        return self._perform("upscale", {"factor": factor, **options})

    def remove_background(self, **options: Any) -> T_co:
        """Remove the background of an image or a video."""
        return self._perform("remove_background", options)

    def caption(self, prompt: str | None = None, **options: Any) -> T_co:
        """Describe an image or a video."""
        return self._perform("caption", {"prompt": prompt, **options})

    def mask(self, detector: str | None = None, **options: Any) -> T_co:
        """Mask the faces, hands or people in an image."""
        return self._perform("mask", {"detector": detector, **options})

    def controlnet(self, preprocessor: str | None = None, **options: Any) -> T_co:
        """Prepare a guide image for ControlNet."""
        return self._perform("controlnet", {"preprocessor": preprocessor, **options})

    def enhance(self, **options: Any) -> T_co:
        """Write a prompt in more detail."""
        return self._perform("enhance", options)

    def vectorize(self, **options: Any) -> T_co:
        """Convert an image to SVG."""
        return self._perform("vectorize", options)

    def video(self, prompt: str | None = None, **options: Any) -> T_co:
        """Generate a video that begins with an image, or from a video or audio."""
        return self._perform("video", {"prompt": prompt, **options})

    def audio(self, prompt: str | None = None, **options: Any) -> T_co:
        """Generate audio from a video or audio."""
        return self._perform("audio", {"prompt": prompt, **options})

    def ask(self, prompt: str | None = None, **options: Any) -> T_co:
        """Generate a text that answers a question about an image, a video or a document."""
        return self._perform("ask", {"prompt": prompt, **options})

    def model_3d(self, **options: Any) -> T_co:
        """Generate a 3D model from an image."""
        return self._perform("model_3d", options)


def method_name(operation: Operation) -> str | None:
    """Return the name of an operation's method; None if it has none."""
    if operation.function is None or operation.name in _WITHOUT_METHOD:
        return None
    return _RENAMED.get(operation.function, operation.function)


def takes_text(operation: Operation) -> bool:
    """Return whether an operation can begin with a text alone, so that a text has the method."""
    return operation.body is not None and all(medium.flag is not None for medium in operation.inputs)


def subject_of(operation: Operation, kind: str | None) -> Input | None:
    """Return the input of an operation that a medium of this kind fills; None for a text, which is the prompt.

    Args:
        operation: Its entry.
        kind: Kind of the medium, such as `image` or `text`; None if it is not known, which takes the first input.

    Raises:
        TaskInvalid: The operation does not take this kind of medium.
    """
    inputs = {medium.name: medium for medium in operation.inputs}
    subjects = [inputs[name] for name in operation.subjects]
    if kind == "text" and takes_text(operation):
        return None
    for medium in subjects:
        if kind is None or medium.kind == kind:
            return medium
    kinds = list(dict.fromkeys(medium.kind for medium in subjects)) + ["text"] * takes_text(operation)
    accepted = " or ".join(kinds) if len(kinds) < 3 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"
    raise TaskInvalid(
        f"Cannot use {method_name(operation)}() on a result of the kind {kind!r}: expected {accepted}. "
        "Nothing was sent.",
        parameter=operation.subjects[0] if operation.subjects else operation.body,
    )


def produced_kind(operation: Operation, task: Mapping[str, Any]) -> str:
    """Return the kind of what a task produces: an operation on images that is given a video returns a video."""
    inputs = task.get("inputs")
    videos = {medium.name for medium in operation.inputs if medium.kind == "video"}
    if operation.produces == "image" and isinstance(inputs, Mapping) and not videos.isdisjoint(inputs):
        return "video"
    return operation.produces


def method_signature(operation: Operation) -> inspect.Signature:
    """Return the signature of an operation's method: everything but the medium, which is the object itself."""
    filled = {operation.subjects[0] if operation.subjects else operation.body}
    if operation.needs == operation.subjects:  # these inputs are alternatives, and the object is one of them
        filled.update(operation.subjects)
    by_position = [name for name in operation.positional if name not in filled]
    named = [name for name in _texts_of(operation) if name not in filled and name not in by_position]
    parameter = inspect.Parameter
    return inspect.Signature(
        [
            parameter("self", parameter.POSITIONAL_ONLY),
            *(parameter(name, parameter.POSITIONAL_OR_KEYWORD, default=None) for name in by_position),
            *(parameter(name, parameter.KEYWORD_ONLY, default=None) for name in named),
            *(parameter(name, parameter.KEYWORD_ONLY, default=default) for name, (default, _) in OF_EVERY_RUN.items()),
        ]
    )


def _texts_of(operation: Operation) -> dict[str, str]:
    """Return what each input and option of an operation means, by its name in Python."""
    inputs = {medium.name: medium.help for medium in operation.inputs}
    return inputs | {option.name: option.help for option in operation.options}


def _docstring(operation: Operation, signature: inspect.Signature) -> str:
    texts = {name: f"{text[:1].upper()}{text[1:]}." for name, text in _texts_of(operation).items()}
    texts |= {name: text for name, (_, text) in OF_EVERY_RUN.items()}
    lines = [f"    {name}: {texts[name]}" for name in signature.parameters if name in texts]
    summary = f"{operation.summary[:1].upper()}{operation.summary[1:]}."
    return "\n".join([summary, "", "Args:", *lines, "", _RETURNS])


def _describe(operation: Operation, method: Callable[..., Any]) -> None:
    """Give a method the signature and the text of its operation, for `help` and completion."""
    method.__signature__ = method_signature(operation)  # type: ignore[attr-defined]
    method.__doc__ = _docstring(operation, method.__signature__)  # type: ignore[attr-defined]


METHODS: Mapping[str, Operation] = {
    name: operation for operation in OPERATIONS if (name := method_name(operation)) is not None
}
"""The operation of each method."""

for _name, _operation in METHODS.items():
    if hasattr(Operations, _name):  # an operation that is only in the table has no method; a test finds it
        _describe(_operation, getattr(Operations, _name))
