"""Every error this package raises on purpose, in one tree; each leaf is a different decision for the reader.

```
RunwareNBError
    ConfigError          fix a setting or a key
    MagicUsageError      fix the line you typed
        SeveralResults       choose one of the results that a word means
        ArgumentInvalid      also a builtin ValueError; fix the argument of the call
    MediaError           the bytes are missing, broken or not what they claim to be
    TransportError       could not talk; trying again may help
        TransportTimeout     also a builtin TimeoutError; the task goes on, ask for it by its UUID
        FateUnknown          perhaps accepted and charged; look at the service, and decide
    ProtocolError        an answer we cannot read; keep the frame, report it
    TaskError            the service said no; carries task_uuid, parameter, code, message
        TaskInvalid          change the request
            MediumExpired        give the file again
        AuthenticationFailed get or fix the key
        OutOfCredit          top up
        RateLimited          wait, then send again
        ContentRefused       change the content
        ProviderFailed       try again: the fault was theirs
        TaskNotFound         the service does not know it (any more)
        TaskFailed           everything else
    RunLogError          the run log
        SchemaTooNew         upgrade this package
        RunNotFound          no such run, or too many
    SpendingRefused      nothing was sent
        BudgetExceeded       raise the budget, or send less
        NotConfirmed         answer yes, or add --yes
    RunCancelled         the run was cancelled before it was sent; run it again
    SourceFailed         a chained step was not sent, because the run before it failed; fix that run
    NotRecorded          replay mode has no record of this request
    BundleError          a bundle that cannot be made, is damaged, or is not what it claims to be
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from .printable import printable
from .remedies import PYTHON, PythonSyntax, Remedy, Syntax

__all__ = [
    "ArgumentInvalid",
    "AuthenticationFailed",
    "BudgetExceeded",
    "BundleError",
    "ConfigError",
    "ContentRefused",
    "FateUnknown",
    "MagicUsageError",
    "MediaError",
    "MediumExpired",
    "NotConfirmed",
    "NotRecorded",
    "OutOfCredit",
    "ProtocolError",
    "ProviderFailed",
    "RateLimited",
    "RunCancelled",
    "RunLogError",
    "RunNotFound",
    "RunwareNBError",
    "SchemaTooNew",
    "SeveralResults",
    "SourceFailed",
    "SpendingRefused",
    "TaskError",
    "TaskFailed",
    "TaskInvalid",
    "TaskNotFound",
    "TransportError",
    "TransportTimeout",
]


class RunwareNBError(Exception):
    """The root. In a notebook it is shown as its one line, without a traceback.

    Its text is printable, although it may quote a service, a file or a record: Python prints it to stderr, and others
    put it into a log or a page. `args` has it as it came.

    Attributes:
        remedy: What the user can do, where that is a command or an option; None otherwise.
        syntax: How `str(error)` words it: as Python, unless a front end has caught the error and set its own.
        request_id: The service's id of the request that failed, to be quoted to its support; None if it stated none.
    """

    remedy: Remedy | None = None
    request_id: str | None = None
    syntax: Syntax = PYTHON

    def with_remedy(self, remedy: Remedy | None) -> Self:
        """Set what the user can do, such as that of another error, and return this error."""
        self.remedy = remedy
        return self

    @property
    def problem(self) -> str:
        """The message without the remedy, as the log keeps it: whoever reads it later may use another front end."""
        return printable(super().__str__())

    def worded(self, syntax: Syntax) -> str:
        """Return the message with its remedy, in the syntax of a front end."""
        return self.problem if self.remedy is None else printable(f"{self.problem} {self.remedy.word(syntax)}")

    def __str__(self) -> str:
        return self.worded(self.syntax)

    def __repr__(self) -> str:
        return printable(super().__repr__())

    def add_note(self, note: str, /) -> None:
        """Add a sentence that a traceback shows below the message."""
        super().add_note(printable(note))

    def _render_traceback_(self) -> list[str]:
        """Tell IPython what to print instead of a traceback (IPython's own hook for exceptions)."""
        return [printable(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        """Return what is shown in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(RunwareNBError):
    """A setting or a key is missing or wrong."""


class MagicUsageError(RunwareNBError):
    """The line cannot be understood.

    Attributes:
        corrected: A line that would work, to paste; None when there is no good guess.
    """

    def __init__(self, message: str, *, corrected: str | None = None) -> None:
        super().__init__(message)
        self.corrected = corrected

    def _lines(self) -> list[str]:
        lines = super()._lines()
        return [*lines, f"Try: {self.corrected}"] if self.corrected else lines


class SeveralResults(MagicUsageError):
    """A word on a line means several results, and one is expected.

    Attributes:
        word: The word as typed.
        count: How many results it means.
    """

    def __init__(self, word: str, count: int = 2) -> None:
        super().__init__(
            f"`{word}` has {count} results, and one is expected here. Nothing was sent. Choose one of "
            f"`{word}#1` to `{word}#{count}`."
        )
        self.word = word
        self.count = count

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.word, self.count), self.__dict__

    @property
    def first(self) -> str:
        """The word that means the first result."""
        return f"{self.word}#1"


class ArgumentInvalid(MagicUsageError, ValueError):
    """A value that a function cannot use. It is worded for Python; a line rewords it with its option.

    It is a `MagicUsageError` so that code which catches that one continues to work.

    Attributes:
        name: The parameter in Python, such as `min_rating`.
        value: What was given.
        expected: What is accepted, in Python.
        expected_on_line: What is accepted on a line, where that differs.
    """

    def __init__(self, name: str, value: Any, expected: str, *, expected_on_line: str | None = None) -> None:
        super().__init__(f"Invalid {name} {value!r:.60}: expected {expected}.")
        self.name = name
        self.value = value
        self.expected = expected
        self.expected_on_line = expected_on_line or expected

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.value, self.expected), self.__dict__

    @property
    def on_line(self) -> str:
        """The sentence for a line, which has options in place of parameters."""
        return f"Invalid {self.option} {self.value!s:.60}: expected {self.expected_on_line}."

    @property
    def option(self) -> str:
        """The option of a line that is this parameter."""
        return f"--{self.name.replace('_', '-')}"


class MediaError(RunwareNBError):
    """Bytes that are missing, broken, too large, or not the kind they claim to be.

    Attributes:
        is_expired: Whether the service no longer has them.
    """

    def __init__(self, message: str, *, is_expired: bool = False) -> None:
        super().__init__(message)
        self.is_expired = is_expired


class TransportError(RunwareNBError):
    """The service could not be reached, or the connection broke.

    Attributes:
        http_status: HTTP status, when there was an answer at all.
        retry_after_s: Seconds that the server asked us to wait; None when it did not say.
        may_have_arrived: Whether the request can have reached the service. False proves that it did not.
        outcome: The `Outcome` so far, when a task was lost sight of under way. (`Any`, since nothing lies below
            this module.)
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.may_have_arrived = may_have_arrived
        self.outcome: Any = None


class TransportTimeout(TransportError, TimeoutError):
    """A deadline passed. The task may still be running, and is paid for: ask for it by *task_uuid*.

    Attributes:
        task_uuid: The task that was waited for; None when the wait was not about a task, or the task was not sent.
    """

    def __init__(self, message: str, *, task_uuid: str | None = None, may_have_arrived: bool = True) -> None:
        super().__init__(message, may_have_arrived=may_have_arrived)
        self.task_uuid = task_uuid


class FateUnknown(TransportError):
    """A task was sent, its response was lost, and the service cannot be asked for it.

    It may have been accepted and charged. It is never sent again by itself: the user looks at the service's own page,
    and decides.
    """

    retryable = False


class ProtocolError(RunwareNBError):
    """An answer that cannot be read.

    Attributes:
        frame: The first 2,000 characters of what came.
        http_status: HTTP status, when it came over HTTP.
        may_have_arrived: Whether the request can have reached the service.
    """

    may_have_arrived = True

    def __init__(self, message: str, *, frame: str = "", http_status: int | None = None) -> None:
        super().__init__(message)
        self.frame = frame[:2000]
        self.http_status = http_status

    @property
    def is_cut_short(self) -> bool:
        """Whether it began as the service's answers do: then the task was read, and its fate is unknown."""
        return self.frame.lstrip()[:1] in {"{", ""} and self.http_status in {200, None}


class TaskError(RunwareNBError):
    """The service refused a task or failed at it.

    Attributes:
        task_uuid: The task; empty when the service named none.
        code: The service's own code, such as `invalidWidth`.
        parameter: The parameter at fault, in wire spelling; None when none was named.
        allowed_values: Values that the service says it would take.
        documentation: A link to read.
        http_status: HTTP status; None over WebSocket.
        retry_after_s: Seconds that the service asked us to wait; None when it did not say.
        raw: The error object as it came.
        may_have_arrived: Whether the task can be on its way at the service all the same: this error then says
            nothing about it.
        flag: The option of a line that sets the parameter; None if there is none, or no front end has looked it up.
        outcome: The `Outcome` of the task, when this error ended it. (`Any`, since nothing lies below this module.)
    """

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        task_uuid: str = "",
        code: str = "",
        parameter: str | None = None,
        allowed_values: Sequence[Any] = (),
        documentation: str | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.task_uuid = task_uuid
        self.code = code
        self.parameter = parameter
        self.allowed_values = tuple(allowed_values)
        self.documentation = documentation
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.raw: dict[str, Any] = dict(raw or {})
        self.may_have_arrived = False
        self.outcome: Any = None
        self.flag: str | None = None

    def parameter_in(self, syntax: Syntax) -> str | None:
        """Return how a front end names the parameter; None if it has none, or if the user cannot have typed it.

        A line has options in place of most parameters. Our own sentences name what was typed, so only the name that a
        service gave is added, if `--set` takes it as it is.
        """
        if not self.parameter or isinstance(syntax, PythonSyntax):
            return f"parameter {self.parameter}" if self.parameter else None
        if self.flag is not None:
            return None if self.flag in self.problem else self.flag
        is_plain = self.parameter.isidentifier() and self.parameter not in self.problem
        return f"parameter {self.parameter}" if self.raw and is_plain else None

    def _lines(self) -> list[str]:
        details = [f"code {self.code}"] if self.code and f"code {self.code}" not in self.problem else []
        where = self.parameter_in(self.syntax)
        if where:
            details.append(where)
        if self.allowed_values and self.raw:  # our own sentences name them already
            details.append("allowed: " + ", ".join(map(str, self.allowed_values[:8])))
        if self.documentation:
            details.append(self.documentation)
        if self.task_uuid:
            details.append(f"task {self.task_uuid}")
        tail = f" ({'; '.join(details)})" if details else ""
        return [f"{type(self).__name__}: {self}{tail}"]


class TaskInvalid(TaskError):
    """The request is wrong: change the parameter it names.

    Attributes:
        corrected: A line that would work, to paste; None when there is no good guess.
    """

    corrected: str | None = None

    def _lines(self) -> list[str]:
        lines = super()._lines()
        return [*lines, f"Try: {self.corrected}"] if self.corrected else lines


class MediumExpired(TaskInvalid):
    """The service refused the task, because it does not have a medium that the task names. It charged nothing."""


class AuthenticationFailed(TaskError):
    """The key is missing, wrong, or may not do this."""


class OutOfCredit(TaskError):
    """The balance does not cover the task."""


class RateLimited(TaskError):
    """The service asked us to slow down. Wait *retry_after_s* seconds, then send again."""

    retryable = True


class ContentRefused(TaskError):
    """The prompt, an input or the output was refused by a safety check."""


class ProviderFailed(TaskError):
    """The service or the model's provider failed; the same request may work later."""

    retryable = True


class TaskNotFound(TaskError):
    """The service does not know the task, medium or model, or has forgotten it."""


class TaskFailed(TaskError):
    """The task failed for a reason that fits no other class."""


class RunLogError(RunwareNBError):
    """The run log cannot be opened, read or written."""


class SchemaTooNew(RunLogError):
    """The run log was written by a newer version of this package; nothing was touched."""


class RunNotFound(RunLogError):
    """No run fits what was asked for, or too many do."""


class SpendingRefused(RunwareNBError):
    """Nothing was sent, since it would cost more than was allowed."""


class BudgetExceeded(SpendingRefused):
    """A budget would be passed; nothing was sent."""


class NotConfirmed(SpendingRefused):
    """The user did not agree to the cost, or this session cannot ask for confirmation; nothing was sent."""


class RunCancelled(RunwareNBError):
    """The run was cancelled before it was sent. It cost nothing."""


class SourceFailed(RunwareNBError):
    """The run whose result a task needs has failed, or has no such result. The task was not sent and cost nothing.

    Attributes:
        source_uuid: Task UUID of that run, the first of its chain that failed.
    """

    def __init__(self, message: str, *, source_uuid: str = "") -> None:
        super().__init__(message)
        self.source_uuid = source_uuid


class NotRecorded(RunwareNBError):
    """Replay mode asks nobody, and the log has no run of this request."""


class BundleError(RunwareNBError):
    """A bundle that cannot be made, is damaged, or is not what it claims to be."""
