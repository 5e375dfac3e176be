"""The fate of an attempt: a state machine without I/O, clock and randomness.

`step(fate, event, now)` returns the next state and the actions to perform. A thin shell performs them: the tracker owns
the transport and the clock, the board reports what the transports received, and the client opens the next attempt. At
most one action is a *duty*, which the shell performs next and then reports as an event: `Send`, `Poll`, `Locate`,
`Wait`, `Pause`. `Finish`, `Raise` and `Late` end the attempt. `Wake`, `Count`, `Doubt`,
`ForgetPoll` and `SlowDown` accompany them.

The ladder where the fate of an attempt is unknown: what the service pushes again by itself; `getResponse`;
`getTaskDetails`; and only if the task is still unknown, the task again under the same UUID. A *conflict* in response to
our own second submission means that the first was accepted.

Events that belong to the duty of one phase:

| phase | event | next phase and actions |
| --- | --- | --- |
| UNSENT | `Started` | UNSENT, `Send` |
| UNSENT | `SendStarted` | SENDING |
| UNSENT | `NotConnected` | *weigh* the error |
| SENDING | `Leaving` | SENDING; from here on, the task may have arrived |
| SENDING | `Opened` | SENDING; the response is a stream: the task was accepted, and is never sent again |
| SENDING | `Sent` | *look* |
| SENDING | `SendFailed`, conflict at a second submission | *look*, and ask at once: the first was accepted |
| SENDING | `SendFailed`, the request was refused | *weigh* the error; this submission was not accepted |
| SENDING | `SendFailed`, the deadline is over | ENDED, `Late` |
| SENDING | `SendFailed`, anything else | *weigh* the error; the fate is unknown |
| FOLLOWING | `Started`, `Tick` | *look* |
| ASKING, CONFIRMING | `PollStarted` | the same phase; the answer of an earlier poll is forgotten |
| ASKING, CONFIRMING | `PollSent`, `Tick` | answered: *conclude*; not yet: `Wait`; not for long: `Poll`, at most 3 |
| ASKING, CONFIRMING | `PollEnded` | *conclude* |
| ASKING, CONFIRMING | `PollFailed` | key refused or silence for long: *weigh*; else *conclude*, without news |
| LOCATING | `Located` | *look* |
| LOCATING | `LocateFailed`, the question failed | *look* |
| LOCATING | `LocateFailed`, the task is unknown | *weigh* an error that explains it; UNSENT, `Send`; or *look* |
| PAUSED_TO_ASK | `Resume` | FOLLOWING, and ask at once |
| PAUSED_TO_SEND | `Resume` | UNSENT, `Send` |
| FAILED | `TryAgain` | UNSENT and `NextAttempt`, or `Raise` |

`Heard`, `Piece`, `StreamEnded`, `ErrorNamed`, `Hint`, `EmptyAnswer`, `Resumed` and `Broken` can come in any phase that
is not final. They note a fact, which the next duty respects. `Expired` ends the attempt. The final phases are ANSWERED,
FAILED and ENDED. In them, and for an event that ends the duty of another phase, nothing changes and nothing is to be
done.

Decisions that several rows share, unless the event reports that all results have come: then ANSWERED, `Finish`.

* *look*: everything came -> *finish*; deadline over -> ENDED, `Late`; connection lost for good -> *weigh*; time to ask
  -> ASKING, `Poll`; otherwise FOLLOWING, `Wait`.
* *finish*: results, or a failure that is certain -> ANSWERED or FAILED, `Finish`; a transient failure that was not
  confirmed yet -> CONFIRMING, `Doubt` and `Poll`.
* *conclude*: in ASKING, known -> *look*; unknown -> LOCATING, `Locate`. In CONFIRMING, the task is alive -> *look*;
  otherwise FAILED, `Finish` with the failure that was doubted.
* *weigh*: final or no time left -> ENDED, `Raise`; otherwise PAUSED_TO_ASK or PAUSED_TO_SEND, `Pause`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...core.polling import SYNC_SILENCE_S, UNANSWERED_POLL_S, first_poll_s, poll_delay_s
from ...core.retry import Decision, Step, decide, refuses_request
from ...errors import (
    AuthenticationFailed,
    OutOfCredit,
    ProtocolError,
    RateLimited,
    RunwareNBError,
    TaskError,
    TaskNotFound,
    TransportError,
)
from ...reprs import short_repr
from .classify import CONFLICT
from .operations import is_long_running, operation_of_task

__all__ = [
    "FINAL",
    "QUESTIONS",
    "Action",
    "Actions",
    "Broken",
    "Count",
    "Doubt",
    "EmptyAnswer",
    "ErrorNamed",
    "Event",
    "Expired",
    "Failure",
    "Fate",
    "Finish",
    "ForgetPoll",
    "Heard",
    "Hint",
    "Late",
    "Leaving",
    "Locate",
    "LocateFailed",
    "Located",
    "NextAttempt",
    "NotConnected",
    "Opened",
    "Pause",
    "Phase",
    "Piece",
    "Poll",
    "PollEnded",
    "PollFailed",
    "PollSent",
    "PollStarted",
    "Raise",
    "Report",
    "Resume",
    "Resumed",
    "Send",
    "SendFailed",
    "SendStarted",
    "Sent",
    "SlowDown",
    "Started",
    "StreamEnded",
    "Tick",
    "TryAgain",
    "Wait",
    "Wake",
    "step",
]

QUESTIONS = frozenset({"getResponse", "getTaskDetails"})
"""Task types that ask about another task."""

Failure = TransportError | ProtocolError | TaskError
"""How sending and asking fail."""

_NEVER = float("inf")
_LONGEST_SILENCE_S = 120.0
_MOST_UNKNOWN = 8
_MOST_UNKNOWN_OF_OTHERS = 3
_POLLS_UNANSWERED = 3
_NOT_KNOWN = frozenset({"taskFailedOrNotFound", "taskNotFound"})  # the other form is an empty response
_SERVER_FAULTS = frozenset(
    {"internalServerError", "serviceUnavailable", "serverUnavailable", "gatewayTimeout", "requestTimeout"}
)


class Phase(enum.Enum):
    """Where an attempt is."""

    UNSENT = "it is to be sent, for the first time or again under the same UUID"
    SENDING = "it is handed to a connection"
    FOLLOWING = "it was sent, and its results are awaited"
    ASKING = "a poll is on its way"
    LOCATING = "a poll did not find it, and its details are asked for"
    CONFIRMING = "it failed for a reason that may pass, and a poll asks whether it really did"
    PAUSED_TO_ASK = "a try failed, and after a pause the service is asked about it"
    PAUSED_TO_SEND = "a try failed, and after a pause it is sent again under the same UUID"
    ANSWERED = "final: all that can come has come"
    FAILED = "final for this UUID: the service named the task and failed it, and there is no result"
    ENDED = "final: it ended in an error, or at its deadline"


FINAL = frozenset({Phase.ANSWERED, Phase.FAILED, Phase.ENDED})
_QUESTIONING = frozenset({Phase.ASKING, Phase.CONFIRMING})
_UNDER_WAY = frozenset({Phase.SENDING, Phase.FOLLOWING, Phase.LOCATING})


class Fate(NamedTuple):
    """The state of an attempt. A named tuple, because it is replaced several times for each task.

    Attributes:
        task_uuid: UUID of the task.
        task_type: Its type.
        is_sync: Whether its results are pushed, or its text is streamed, without being asked for.
        max_retries: How many tries may follow one that failed.
        is_ours: Whether it may be sent from here; if not, it is only asked about.
        phase: Where it is.
        deadline: When it ends at the latest, by the monotonic clock.
        attempt: Number of the attempt among those of the same run, from 1. Attempts differ in their UUID, or follow a
            refusal before acceptance.
        times_sent: How often the task was sent under this UUID.
        has_left: Whether any byte of it can have reached the service, as far as that was not refused.
        had_left: The same before the try of the moment.
        failures: How many tries of this attempt have failed.
        polls: How many questions were asked since the last try began.
        unknown: How many of the last ones, without a break, found that the service does not know the task.
        repeats: How many polls of the question of the moment were sent.
        should_ask: Whether to ask now, whatever the clock says.
        is_polling: Whether a statement that the task is not known would be the answer to a poll.
        poll_answer: What the poll brought: True something, False nothing, None no answer yet.
        answer_until: When a poll without an answer is repeated.
        is_confirmed: Whether a transient failure was asked about already.
        unheard_since: Since when no question about it could be asked; None if the last one could.
        broken: What ended the connection, until it was dealt with.
        complaint: The last that the service sent that may concern this task and settles nothing; None if something
            certain came since.
        may_ask_at: When a hint may lead to a question at the earliest.
        next_poll: When to ask next.
        failure: The error with which the service failed the task, in CONFIRMING and FAILED.
        was_opened: Whether the service began to stream the text, which proves that it accepted the task.
        is_streaming: Whether the stream is still open.
    """

    task_uuid: str
    task_type: str
    is_sync: bool = False
    max_retries: int = 0
    is_ours: bool = True
    phase: Phase = Phase.UNSENT
    deadline: float = _NEVER
    attempt: int = 1
    times_sent: int = 0
    has_left: bool = False
    had_left: bool = False
    failures: int = 0
    polls: int = 0
    unknown: int = 0
    repeats: int = 0
    should_ask: bool = False
    is_polling: bool = False
    poll_answer: bool | None = None
    answer_until: float = 0.0
    is_confirmed: bool = False
    unheard_since: float | None = None
    broken: RunwareNBError | None = None
    complaint: RunwareNBError | None = None
    may_ask_at: float = 0.0
    next_poll: float = _NEVER
    failure: TaskError | None = None
    was_opened: bool = False
    is_streaming: bool = False

    @classmethod
    def unsent(cls, task: Mapping[str, Any], *, max_retries: int) -> Fate:
        """Return the state of a task, in wire spelling, that is to be sent."""
        is_sync = task.get("deliveryMethod") in {"sync", "stream"} and not task.get("webhookURL")
        return cls(task["taskUUID"], task["taskType"], is_sync, max_retries)

    @classmethod
    def sent_before(cls, task: Mapping[str, Any], *, max_retries: int, resends: bool, has_begun: bool = False) -> Fate:
        """Return the state of a task that was sent earlier, perhaps by another process, and is asked about first."""
        return cls.unsent(task, max_retries=max_retries)._replace(
            is_ours=resends, phase=Phase.FOLLOWING, times_sent=1, has_left=True, should_ask=True, was_opened=has_begun
        )

    @property
    def is_final(self) -> bool:
        """Return whether nothing is to be done about the attempt any more."""
        return self.phase in FINAL


class Report(NamedTuple):
    """What the shell adds to each event that ends a duty.

    Attributes:
        is_done: Whether every result asked for has come or failed.
        has_results: Whether a result has come.
        error: The first error, if the task is done without a result.
        wants_poll: Whether only a question can tell what is left.
        jitter: A random number in [0, 1).
    """

    is_done: bool = False
    has_results: bool = False
    error: TaskError | None = None
    wants_poll: bool = False
    jitter: float = 0.5


# --- events that end a duty, and those on the way to its end ---------------------------------------


class Started(NamedTuple):
    """The attempt begins; it ends at *deadline*."""

    deadline: float
    report: Report


class SendStarted(NamedTuple):
    """There is a connection, and the task is handed to it now."""


class NotConnected(NamedTuple):
    """There is no connection to send it over."""

    error: Failure
    report: Report


class Leaving(NamedTuple):
    """The first byte may leave now."""


class Opened(NamedTuple):
    """The response to the task has begun, and is a stream of its text."""


class Sent(NamedTuple):
    """The task was sent; *pushes* tells whether results follow without a question."""

    pushes: bool
    report: Report


class SendFailed(NamedTuple):
    """Sending ended in an error, which names no task."""

    error: Failure
    report: Report


class PollStarted(NamedTuple):
    """There is a connection, and the first poll of a question is sent now."""


class PollSent(NamedTuple):
    """A poll was sent, and its answer is pushed."""

    report: Report


class PollEnded(NamedTuple):
    """A poll was answered."""

    is_known: bool
    report: Report


class PollFailed(NamedTuple):
    """A poll could not be sent, or was refused without naming the task."""

    error: Failure
    report: Report


class Located(NamedTuple):
    """The archive has details of the task, which were counted already."""

    report: Report


class LocateFailed(NamedTuple):
    """The archive could not be asked, or does not know the task."""

    error: Failure
    report: Report


class Tick(NamedTuple):
    """A wait is over."""

    report: Report


class Resume(NamedTuple):
    """A pause is over."""

    report: Report


class TryAgain(NamedTuple):
    """The attempt failed, and a decision about another one is wanted. *new_uuid* serves it if it needs its own."""

    jitter: float
    new_uuid: str


# --- events that come by themselves ----------------------------------------------------------------


class Heard(NamedTuple):
    """Results, progress or failures that name the task were counted."""


class Piece(NamedTuple):
    """A piece of a streamed text has come."""


class StreamEnded(NamedTuple):
    """The stream has ended: by itself, or because the connection broke."""

    error: TransportError | None = None


class ErrorNamed(NamedTuple):
    """An error names the task; *is_question* tells whether it came in answer to a question about it."""

    error: TaskError
    is_question: bool


class Hint(NamedTuple):
    """Something came that may concern the task and does not settle it."""

    complaint: RunwareNBError | None = None


class EmptyAnswer(NamedTuple):
    """An empty response came, and this task's poll has waited longest."""


class Resumed(NamedTuple):
    """The connection was lost and is back. What it would have brought may be lost."""


class Broken(NamedTuple):
    """The connection does not come back by itself."""

    error: RunwareNBError


class Expired(NamedTuple):
    """The deadline is over, and whatever the shell was doing was cancelled."""


Event = (
    Started | SendStarted | NotConnected | Leaving | Opened | Sent | SendFailed | PollStarted | PollSent | PollEnded
    | PollFailed | Located | LocateFailed | Tick | Resume | TryAgain
    | Heard | Piece | StreamEnded | ErrorNamed | Hint | EmptyAnswer | Resumed | Broken | Expired
)  # fmt: skip


# --- actions ---------------------------------------------------------------------------------------


@short_repr()
@dataclass(frozen=True, slots=True)
class Send:
    """Send the task under its UUID."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the task's results; *is_repeat* if the same question was sent before."""

    is_repeat: bool = False


@short_repr()
@dataclass(frozen=True, slots=True)
class Locate:
    """Ask for the task's details."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until something comes, or until a moment by the monotonic clock."""

    until: float


@short_repr()
@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while, in seconds."""

    delay_s: float


@short_repr()
@dataclass(frozen=True, slots=True)
class Finish:
    """Return the outcome; the one that was doubted, if *is_doubted*."""

    is_doubted: bool = False


@short_repr()
@dataclass(frozen=True, slots=True)
class Raise:
    """Raise an error.

    Attributes:
        error: The error.
        may_have_arrived: Whether the task may be running all the same.
        delay_s: How long the next try would have had to wait, if only the deadline prevents it.
    """

    error: RunwareNBError
    may_have_arrived: bool
    delay_s: float | None = None


@short_repr()
@dataclass(frozen=True, slots=True)
class Late:
    """Raise that the deadline is over, from *cause*. `Fate.has_left` tells whether the task may be running."""

    cause: RunwareNBError | None = None


@short_repr()
@dataclass(frozen=True, slots=True)
class NextAttempt:
    """Begin another attempt after a pause, in seconds, in the state and under the UUID that came with this action."""

    delay_s: float


@short_repr()
@dataclass(frozen=True, slots=True)
class Wake:
    """End the wait of the moment, so that the next duty is decided."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Count:
    """Count the error as a failure of the task."""


@short_repr()
@dataclass(frozen=True, slots=True)
class Doubt:
    """Put the outcome so far aside, and count anew."""


@short_repr()
@dataclass(frozen=True, slots=True)
class ForgetPoll:
    """Do not take an empty response for the answer to the last poll any more."""


@short_repr()
@dataclass(frozen=True, slots=True)
class SlowDown:
    """Have fewer tasks in flight: the service asked for it."""


Action = (
    Send | Poll | Locate | Wait | Pause | Finish | Raise | Late | NextAttempt
    | Wake | Count | Doubt | ForgetPoll | SlowDown
)  # fmt: skip
Actions = tuple[Action, ...]
Next = tuple[Fate, Actions]

_SEND: Actions = (Send(),)
_POLL: Actions = (Poll(),)
_REPEAT: Actions = (Poll(is_repeat=True),)
_LOCATE: Actions = (Locate(),)
_WAKE: Actions = (Wake(),)
_COUNT: Actions = (Count(),)
_FINISH: Actions = (Finish(),)


def step(fate: Fate, event: Event, now: float) -> Next:
    """Return the state after an event, and what to do.

    Args:
        fate: The state so far.
        event: What happened.
        now: The moment by the monotonic clock, in seconds.
    """
    phases, transition = _TABLE[type(event)]
    if fate.phase not in phases:  # it comes too late, or answers the duty of another phase
        return fate, ()
    report = getattr(event, "report", None)
    if report is not None and report.is_done and report.has_results:
        # All results have come, and are paid for. Whatever the duty ended in, they are returned, and nothing is sent.
        return _finish(fate, report)
    return transition(fate, event, now)


# --- decisions that several transitions share ------------------------------------------------------


def _look(fate: Fate, report: Report, now: float) -> Next:
    """Decide what comes next for a task that was sent."""
    if report.is_done:
        return _finish(fate, report)
    if now >= fate.deadline:
        return _late(fate)
    if fate.broken is not None:
        # The task was sent, and only the way to it is gone. Like any failed try, this says nothing about the task.
        error = fate.broken
        return _weigh(fate._replace(broken=None), error, report, now)
    if fate.should_ask or report.wants_poll or now >= fate.next_poll:
        return fate._replace(phase=Phase.ASKING, should_ask=False, repeats=0), _POLL
    until = min(fate.next_poll, fate.deadline)
    return (fate if fate.phase is Phase.FOLLOWING else fate._replace(phase=Phase.FOLLOWING)), (Wait(until),)


def _finish(fate: Fate, report: Report) -> Next:
    """End an attempt of which everything came; ask first, where its failure would lead to a second one."""
    error = report.error
    if report.has_results or error is None:
        # Results came: they are paid for and returned, also beside failures. Nothing is sent after them.
        return fate._replace(phase=Phase.ANSWERED), _FINISH
    if error.retryable and fate.is_ours and not fate.is_confirmed:
        # Known: the service named the task and failed it for a reason that may pass. Another attempt would have a new
        # UUID, so it would be charged even if this one finishes after all. A question costs nothing: it goes first.
        # What was noted before belongs to the failure. The task was sent, since the service has named it.
        doubting = fate._replace(
            phase=Phase.CONFIRMING, is_confirmed=True, failure=error, has_left=True, repeats=0, should_ask=False,
            is_polling=False, poll_answer=None, unheard_since=None, broken=None, complaint=None, may_ask_at=0.0,
            next_poll=_NEVER,
        )  # fmt: skip
        return doubting, (Doubt(), Poll())
    return fate._replace(phase=Phase.FAILED, failure=error), _FINISH


def _conclude(fate: Fate, report: Report, now: float, *, is_known: bool) -> Next:
    """Decide what the answer to a question means."""
    if fate.phase is Phase.CONFIRMING:
        if report.has_results or (is_known and not report.is_done):
            # The service has taken the failure back, or did not repeat it: the task is alive, and its result would be
            # paid for. It is followed on under its UUID. A second attempt would be paid for as well.
            alive = fate._replace(
                phase=Phase.FOLLOWING, failure=None, polls=0, unknown=0, next_poll=now + poll_delay_s(0)
            )
            return _look(alive, report, now)
        # The service has failed the task twice, or does not know it any more: nothing of it can be charged later.
        return fate._replace(phase=Phase.FAILED), (Finish(is_doubted=True),)
    at = now + poll_delay_s(fate.polls)
    unknown = 0 if is_known else fate.unknown + 1
    asked = fate._replace(
        phase=Phase.FOLLOWING, polls=fate.polls + 1, unknown=unknown, next_poll=at, may_ask_at=at
    )  # fmt: skip
    if unknown and not report.is_done:
        # The service keeps results for a while only. That a poll finds nothing does not prove that nothing was made.
        return asked._replace(phase=Phase.LOCATING), _LOCATE
    return _look(asked, report, now)


def _weigh(fate: Fate, error: RunwareNBError, report: Report, now: float) -> Next:
    """Decide what the failure of a try means: another one after a pause, or the end."""
    failures = fate.failures + 1
    slow: Actions = (SlowDown(),) if isinstance(error, RateLimited) else ()
    decision = decide(
        error, attempt=failures, max_retries=fate.max_retries, long_running=is_long_running(fate.task_type),
        has_results=False, jitter=report.jitter,
    )  # fmt: skip
    # The decision is about this try. The error is about the task: an earlier try may have arrived, and then the run
    # must not be recorded as never sent, even if this try certainly did not arrive.
    may_have_arrived = bool(getattr(error, "may_have_arrived", True)) or fate.has_left
    ended = fate._replace(phase=Phase.ENDED, failures=failures)
    if decision.step not in {Step.ASK_FIRST, Step.SEND_AGAIN}:
        # A fresh UUID is never taken here: only a failure that names the task, and is confirmed, leads to one.
        return ended, (*slow, Raise(error, may_have_arrived))
    if not decision.delay_s < max(0.0, fate.deadline - now):
        return ended, (*slow, Raise(error, may_have_arrived, decision.delay_s))
    # SEND_AGAIN: this try did not arrive, or was refused before acceptance. Sending under the same UUID cannot be
    # charged twice. ASK_FIRST: it may be running, so the service is asked. What is not ours is only ever asked about,
    # and so is a task whose text was streamed: it was accepted.
    sends = decision.step is Step.SEND_AGAIN and fate.is_ours and not fate.was_opened
    phase = Phase.PAUSED_TO_SEND if sends else Phase.PAUSED_TO_ASK
    return fate._replace(phase=phase, failures=failures), (*slow, Pause(decision.delay_s))


def _late(fate: Fate, cause: RunwareNBError | None = None) -> Next:
    # The task goes on at the service if it has left, and is collected later under its UUID. If no byte of it has left,
    # nothing can have been charged. In both cases, nothing more is sent.
    return fate._replace(phase=Phase.ENDED), (Late(cause),)


# --- sending ---------------------------------------------------------------------------------------


def _on_started(fate: Fate, event: Started, now: float) -> Next:
    fate = fate._replace(deadline=event.deadline)
    return (fate, _SEND) if fate.phase is Phase.UNSENT else _look(fate, event.report, now)


def _on_send_started(fate: Fate, event: SendStarted, now: float) -> Next:
    del event
    silence_s = SYNC_SILENCE_S if fate.is_sync else first_poll_s(operation_of_task(fate.task_type))
    return fate._replace(
        phase=Phase.SENDING, times_sent=fate.times_sent + 1, had_left=fate.has_left, next_poll=now + silence_s
    ), ()  # fmt: skip


def _on_not_connected(fate: Fate, event: NotConnected, now: float) -> Next:
    return _weigh(fate, event.error, event.report, now)


def _on_leaving(fate: Fate, event: Leaving, now: float) -> Next:
    # Until here, a cancelled task is proven not to have been charged. From here on it may have been.
    del event, now
    return fate if fate.has_left else fate._replace(has_left=True), ()


def _on_opened(fate: Fate, event: Opened, now: float) -> Next:
    # A refusal has another form, so the task was accepted and is going to be charged. A service that does not know it
    # later has forgotten it, and may then accept its UUID a second time: from here on, it is only asked about.
    del event, now
    return fate._replace(has_left=True, was_opened=True, is_streaming=True), ()


def _on_sent(fate: Fate, event: Sent, now: float) -> Next:
    next_poll = fate.next_poll
    if not event.pushes and not event.report.is_done:  # nothing follows by itself
        next_poll = now + (0 if fate.is_sync else first_poll_s(operation_of_task(fate.task_type)))
    return _look(fate._replace(phase=Phase.FOLLOWING, has_left=True, next_poll=next_poll), event.report, now)


def _on_send_failed(fate: Fate, event: SendFailed, now: float) -> Next:
    error = event.error
    if isinstance(error, TransportError):
        # The transport knows whether a byte has left in this try; an earlier try may have arrived all the same.
        fate = fate._replace(has_left=fate.had_left or error.may_have_arrived)
        return _late(fate, error) if now >= fate.deadline else _weigh(fate, error, event.report, now)
    if isinstance(error, ProtocolError):
        return _weigh(
            fate, error, event.report, now
        )  # the task has left, and its response says nothing: it is asked about
    if error.code == CONFLICT and fate.times_sent > 1:
        # The service refuses the UUID as a duplicate: an earlier submission was accepted. It is asked about, and the
        # duplicate was not charged.
        return _look(fate._replace(phase=Phase.FOLLOWING, has_left=True, should_ask=True), event.report, now)
    if error.retryable or refuses_request(error):
        # A refusal of exactly this request: it was not accepted, although it left. An error that may pass says nothing
        # about that, so that the task may be running.
        return _weigh(fate._replace(has_left=fate.had_left or error.retryable), error, event.report, now)
    # The response names no task and is not a refusal. The task may be running, so it is asked about.
    unnamed = TransportError(
        f"the service reported an error without naming the task: {error}",
        http_status=error.http_status,
        retry_after_s=error.retry_after_s,
    )
    unnamed.__cause__ = error
    return _weigh(fate._replace(has_left=True), unnamed, event.report, now)


# --- following and asking --------------------------------------------------------------------------


def _on_tick(fate: Fate, event: Tick, now: float) -> Next:
    if fate.phase is Phase.FOLLOWING:
        return _look(fate, event.report, now)
    if fate.poll_answer is not None:
        return _conclude(fate._replace(unheard_since=None), event.report, now, is_known=fate.poll_answer)
    if now >= fate.deadline:
        # A wait from here on would end in the past.
        return _conclude(fate, event.report, now, is_known=True) if event.report.is_done else _late(fate)
    if now < fate.answer_until and fate.broken is None:
        return fate, (Wait(min(fate.answer_until, fate.deadline)),)
    if fate.repeats >= _POLLS_UNANSWERED or fate.broken is not None:
        # No answer says nothing about the task: the wait goes on.
        fate, actions = _conclude(fate._replace(unheard_since=None), event.report, now, is_known=True)
        return fate, (ForgetPoll(), *actions)
    return fate, _REPEAT


def _on_poll_started(fate: Fate, event: PollStarted, now: float) -> Next:
    del event, now
    return fate._replace(poll_answer=None, is_polling=True), ()


def _on_poll_sent(fate: Fate, event: PollSent, now: float) -> Next:
    fate = fate._replace(repeats=fate.repeats + 1, answer_until=now + UNANSWERED_POLL_S)
    return _on_tick(fate, Tick(event.report), now)


def _on_poll_ended(fate: Fate, event: PollEnded, now: float) -> Next:
    return _conclude(fate._replace(unheard_since=None), event.report, now, is_known=event.is_known)


def _on_poll_failed(fate: Fate, event: PollFailed, now: float) -> Next:
    # An error about the question does not concern the task, which may be running and paid for. Only a refused key ends
    # the wait, because no further question could succeed. The task can be collected with another key.
    error = event.error
    fate = fate._replace(complaint=error)
    if isinstance(error, AuthenticationFailed):
        return _weigh(fate, error, event.report, now)
    if not (isinstance(error, TaskError) and error.retryable):
        since = fate.unheard_since or now
        fate = fate._replace(unheard_since=since)
        if now - since > _LONGEST_SILENCE_S:
            return _weigh(fate, error, event.report, now)
    return _conclude(fate, event.report, now, is_known=True)


def _on_located(fate: Fate, event: Located, now: float) -> Next:
    return _look(fate._replace(phase=Phase.FOLLOWING), event.report, now)


def _on_locate_failed(fate: Fate, event: LocateFailed, now: float) -> Next:
    error = event.error
    following = fate._replace(phase=Phase.FOLLOWING)
    if not isinstance(error, TaskError) or error.retryable or isinstance(error, AuthenticationFailed | OutOfCredit):
        return _look(following, event.report, now)  # a question that failed proves nothing about the task
    if fate.was_opened:
        # The text has begun, so the task was accepted and is going to be charged. A service may list a streamed task
        # only after its end. So "unknown" proves nothing, however often it is stated: the run must not end without the
        # rest of a text that is paid for. It is asked about, with growing pauses, until the deadline.
        return _look(following._replace(unknown=0), event.report, now)
    complaint = fate.complaint
    following = following._replace(complaint=None)
    may_send = fate.is_ours
    is_refusal = isinstance(complaint, TaskError) and refuses_request(complaint) and fate.times_sent > 1
    if isinstance(complaint, TaskError) and may_send and (complaint.retryable or is_refusal):
        # The service has stated twice that it does not know the task, and has reported an error that names no task.
        # That error is the likely reason. It decides whether and when the task is sent again, under the same UUID, so
        # that it cannot be charged twice. An error that refuses no task, such as an announcement of maintenance,
        # decides nothing: the task is sent again as if there had been no error.
        complaint.__cause__ = error
        return _weigh(following, complaint, event.report, now)
    if fate.unknown >= (_MOST_UNKNOWN if may_send else _MOST_UNKNOWN_OF_OTHERS):
        # It is not ours to send, or was sent in vain. Sending it on and on would not end.
        last = "" if complaint is None else f"; the last error that it sent is: {complaint}"
        lost = TaskNotFound(
            f"the service does not know task {fate.task_uuid}{last}", task_uuid=fate.task_uuid, code=error.code
        )
        lost.__cause__ = error
        return _weigh(following, lost, event.report, now)
    if may_send and (fate.unknown >= 2 or fate.times_sent <= 1):
        # Neither the results nor the archive have the task. If it arrives late all the same, the service refuses the
        # second submission as a conflict, because it has the same UUID: it cannot be charged twice.
        return following._replace(phase=Phase.UNSENT), _SEND
    return _look(following, event.report, now)


def _on_resume(fate: Fate, event: Resume, now: float) -> Next:
    fate = fate._replace(polls=0, unknown=0, should_ask=fate.phase is Phase.PAUSED_TO_ASK)
    if fate.phase is Phase.PAUSED_TO_SEND:
        return fate._replace(phase=Phase.UNSENT), _SEND
    return _look(fate._replace(phase=Phase.FOLLOWING), event.report, now)


# --- what comes by itself --------------------------------------------------------------------------


def _on_heard(fate: Fate, event: Heard, now: float) -> Next:
    del event, now
    if fate.poll_answer and fate.complaint is None:
        return fate, _WAKE
    return fate._replace(poll_answer=True, complaint=None), _WAKE


def _on_piece(fate: Fate, event: Piece, now: float) -> Next:
    # As long as pieces come, nothing has to be asked. After a long silence the connection may be dead, and a question
    # costs nothing.
    del event
    return fate._replace(next_poll=now + SYNC_SILENCE_S), ()


def _on_stream_ended(fate: Fate, event: StreamEnded, now: float) -> Next:
    # A stream that broke off says nothing about its task, which the service works on and charges. It is a try that
    # failed: after a pause, the whole text is asked for. The task is not sent again.
    del now
    return fate._replace(is_streaming=False, broken=event.error or fate.broken), _WAKE


def _on_error_named(fate: Fate, event: ErrorNamed, now: float) -> Next:
    error = event.error
    if error.code == CONFLICT and fate.times_sent > 1:
        # The service refuses the UUID as a duplicate: the first submission was accepted, and may have been charged.
        return _on_hint(fate, Hint(), now)
    if error.code in _NOT_KNOWN and fate.is_polling:
        # What came under this UUID since the poll began proves more than a statement that nothing is known.
        answer = fate.poll_answer or False
        return fate._replace(poll_answer=answer, is_polling=False), _WAKE
    if error.code in _NOT_KNOWN and event.is_question:
        # A second answer to a poll that was repeated. It says no more than the first: not that the task failed.
        return _on_hint(fate, Hint(), now)
    if event.is_question and _is_about_question(error):
        # The question was refused, and the task may be running. A refused key is reported to the caller, who can
        # collect the task with another one. After any other error, the question is repeated later.
        broken = error if isinstance(error, AuthenticationFailed) else fate.broken
        return fate._replace(poll_answer=True, complaint=error, broken=broken), _WAKE
    return fate, _COUNT


def _is_about_question(error: TaskError) -> bool:
    """Return whether an error in answer to a question that names a task is about the question, and not about the task.

    Some services state the failure of a task under the type of the poll, so the type alone does not tell. A task that
    was accepted can no longer be refused for the rate, the key or the balance. A fault of the server during a look-up
    proves nothing about the task.
    """
    return isinstance(error, RateLimited | AuthenticationFailed | OutOfCredit) or error.code in _SERVER_FAULTS


def _on_hint(fate: Fate, event: Hint, now: float) -> Next:
    # However often this happens, one poll is sent at a time, and the next one only after a pause.
    del now
    if event.complaint is not None:
        fate = fate._replace(complaint=event.complaint)
    if fate.phase not in _UNDER_WAY:
        return fate, ()
    return fate._replace(next_poll=min(fate.next_poll, fate.may_ask_at)), _WAKE


def _on_empty_answer(fate: Fate, event: EmptyAnswer, now: float) -> Next:
    del event, now
    return (fate._replace(poll_answer=False), _WAKE) if fate.poll_answer is None else (fate, ())


def _on_resumed(fate: Fate, event: Resumed, now: float) -> Next:
    # Results may have been sent into the gap. The service replays some; the question finds the others.
    del event, now
    return fate._replace(should_ask=True), _WAKE


def _on_broken(fate: Fate, event: Broken, now: float) -> Next:
    del now
    return fate._replace(broken=event.error), _WAKE


def _on_expired(fate: Fate, event: Expired, now: float) -> Next:
    del event, now
    return _late(fate)


# --- the next attempt ------------------------------------------------------------------------------


def _on_try_again(fate: Fate, event: TryAgain, now: float) -> Next:
    """Decide whether another attempt follows one that the service has failed, without any result."""
    del now
    error = fate.failure
    if error is None or not fate.is_ours:  # what another process has sent is never paid for again from here
        return fate, ()
    slow: Actions = (SlowDown(),) if isinstance(error, RateLimited) else ()
    decision: Decision = decide(
        error, attempt=fate.attempt, max_retries=fate.max_retries, long_running=is_long_running(fate.task_type),
        has_results=False, jitter=event.jitter,
    )  # fmt: skip
    if decision.step not in {Step.NEW_ATTEMPT, Step.SEND_AGAIN}:
        return fate, (*slow, Raise(error, error.may_have_arrived))
    # NEW_ATTEMPT: the service named the task and failed it, and has confirmed that. A failed task is not charged, and
    # its UUID is used up, so that only a new UUID can succeed. SEND_AGAIN: it was refused for the rate before it was
    # accepted, and its UUID is as good as new.
    is_new = decision.step is Step.NEW_ATTEMPT
    task_uuid, times_sent = (event.new_uuid, 0) if is_new else (fate.task_uuid, fate.times_sent)
    fresh = Fate(
        task_uuid, fate.task_type, fate.is_sync, fate.max_retries, attempt=fate.attempt + 1, times_sent=times_sent
    )
    return fresh, (*slow, NextAttempt(decision.delay_s))


_LIVE = frozenset(Phase) - FINAL
_TABLE: Mapping[type, tuple[frozenset[Phase], Callable[[Fate, Any, float], Next]]] = {
    Started: (frozenset({Phase.UNSENT, Phase.FOLLOWING}), _on_started),
    SendStarted: (frozenset({Phase.UNSENT}), _on_send_started),
    NotConnected: (frozenset({Phase.UNSENT}), _on_not_connected),
    Leaving: (frozenset({Phase.SENDING}), _on_leaving),
    Opened: (frozenset({Phase.SENDING}), _on_opened),
    Sent: (frozenset({Phase.SENDING}), _on_sent),
    SendFailed: (frozenset({Phase.SENDING}), _on_send_failed),
    Tick: (_QUESTIONING | {Phase.FOLLOWING}, _on_tick),
    PollStarted: (_QUESTIONING, _on_poll_started),
    PollSent: (_QUESTIONING, _on_poll_sent),
    PollEnded: (_QUESTIONING, _on_poll_ended),
    PollFailed: (_QUESTIONING, _on_poll_failed),
    Located: (frozenset({Phase.LOCATING}), _on_located),
    LocateFailed: (frozenset({Phase.LOCATING}), _on_locate_failed),
    Resume: (frozenset({Phase.PAUSED_TO_ASK, Phase.PAUSED_TO_SEND}), _on_resume),
    Heard: (_LIVE, _on_heard),
    Piece: (_LIVE, _on_piece),
    StreamEnded: (_LIVE, _on_stream_ended),
    ErrorNamed: (_LIVE, _on_error_named),
    Hint: (_LIVE, _on_hint),
    EmptyAnswer: (_LIVE, _on_empty_answer),
    Resumed: (_LIVE, _on_resumed),
    Broken: (_LIVE, _on_broken),
    Expired: (_LIVE, _on_expired),
    TryAgain: (frozenset({Phase.FAILED}), _on_try_again),
}
