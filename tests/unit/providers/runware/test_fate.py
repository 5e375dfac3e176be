"""The rows of the transition table, one by one."""

import pytest

from runware_nb.errors import (
    AuthenticationFailed,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskError,
    TaskInvalid,
    TaskNotFound,
    TransportError,
)
from runware_nb.providers.runware.fate import (
    FINAL,
    Broken,
    Count,
    Doubt,
    EmptyAnswer,
    ErrorNamed,
    Expired,
    Fate,
    Finish,
    ForgetPoll,
    Heard,
    Hint,
    Late,
    Leaving,
    Locate,
    Located,
    LocateFailed,
    NextAttempt,
    NotConnected,
    Opened,
    Pause,
    Phase,
    Piece,
    Poll,
    PollEnded,
    PollFailed,
    PollSent,
    PollStarted,
    Raise,
    Report,
    Resume,
    Resumed,
    Send,
    SendFailed,
    SendStarted,
    Sent,
    SlowDown,
    Started,
    StreamEnded,
    Tick,
    TryAgain,
    Wait,
    Wake,
    step,
)

TASK = {"taskUUID": "u", "taskType": "imageInference"}
OPEN, DONE = Report(), Report(is_done=True, has_results=True)
LOST = TransportError("gone")
UNSENT_LOSS = TransportError("gone", may_have_arrived=False)
OPENED = {"was_opened": True}
STREAMS = {"was_opened": True, "is_streaming": True}
KEY = AuthenticationFailed("no")
REFUSED = TaskInvalid("bad width", http_status=400)
CONFLICT = TaskInvalid("twice", code="conflictTaskUUID")
UNKNOWN = TaskNotFound("unknown", code="taskNotFound")
BUSY = RateLimited("slow down")
FAILED = ProviderFailed("broke", task_uuid="u")
FAILED_FOR_GOOD = TaskError("broke", task_uuid="u")


def fate(phase, **flags):
    flags = {
        "deadline": 100.0,
        "times_sent": 0 if phase is Phase.UNSENT else 1,
        "has_left": phase is not Phase.UNSENT,
        **flags,
    }
    return Fate.unsent(TASK, max_retries=3)._replace(phase=phase, **flags)


ROWS = [
    (Phase.UNSENT, {}, Started(100.0, OPEN), Phase.UNSENT, [Send]),
    (Phase.UNSENT, {}, SendStarted(), Phase.SENDING, []),
    (Phase.UNSENT, {}, NotConnected(TransportError("x", may_have_arrived=False), OPEN), Phase.PAUSED_TO_SEND, [Pause]),
    (Phase.UNSENT, {}, NotConnected(LOST, OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.UNSENT, {}, NotConnected(KEY, OPEN), Phase.ENDED, [Raise]),
    (Phase.SENDING, {}, Leaving(), Phase.SENDING, []),
    (Phase.SENDING, {"next_poll": 50.0}, Sent(True, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.SENDING, {"is_sync": True}, Sent(False, OPEN), Phase.ASKING, [Poll]),
    (Phase.SENDING, {}, Sent(False, DONE), Phase.ANSWERED, [Finish]),
    (Phase.SENDING, {"times_sent": 2}, SendFailed(CONFLICT, OPEN), Phase.ASKING, [Poll]),
    (Phase.SENDING, {}, SendFailed(CONFLICT, OPEN), Phase.ENDED, [Raise]),
    (Phase.SENDING, {}, SendFailed(REFUSED, OPEN), Phase.ENDED, [Raise]),
    (Phase.SENDING, {}, SendFailed(BUSY, OPEN), Phase.PAUSED_TO_SEND, [SlowDown, Pause]),
    (Phase.SENDING, {}, SendFailed(LOST, OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.SENDING, {"deadline": 5.0}, SendFailed(LOST, OPEN), Phase.ENDED, [Late]),
    (Phase.SENDING, {"deadline": 10.1}, SendFailed(LOST, OPEN), Phase.ENDED, [Raise]),  # no time for the pause
    (Phase.SENDING, {"failures": 3}, SendFailed(LOST, OPEN), Phase.ENDED, [Raise]),
    (Phase.SENDING, {}, SendFailed(TaskError("odd", http_status=200), OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.SENDING, {}, SendFailed(ProtocolError("cut", frame="{"), OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.FOLLOWING, {}, Started(100.0, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.FOLLOWING, {"should_ask": True}, Started(100.0, OPEN), Phase.ASKING, [Poll]),
    (Phase.FOLLOWING, {}, Tick(DONE), Phase.ANSWERED, [Finish]),
    (Phase.FOLLOWING, {}, Tick(Report(wants_poll=True)), Phase.ASKING, [Poll]),
    (Phase.FOLLOWING, {"next_poll": 9.0}, Tick(OPEN), Phase.ASKING, [Poll]),
    (Phase.FOLLOWING, {"deadline": 9.0}, Tick(OPEN), Phase.ENDED, [Late]),
    (Phase.FOLLOWING, {"broken": LOST}, Tick(OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.FOLLOWING, {"broken": KEY}, Tick(OPEN), Phase.ENDED, [Raise]),
    (Phase.FOLLOWING, {}, Tick(Report(is_done=True, error=FAILED)), Phase.CONFIRMING, [Doubt, Poll]),
    (Phase.FOLLOWING, {"is_confirmed": True}, Tick(Report(is_done=True, error=FAILED)), Phase.FAILED, [Finish]),
    (Phase.FOLLOWING, {"is_ours": False}, Tick(Report(is_done=True, error=FAILED)), Phase.FAILED, [Finish]),
    (Phase.FOLLOWING, {}, Tick(Report(is_done=True, error=FAILED_FOR_GOOD)), Phase.FAILED, [Finish]),
    (Phase.ASKING, {"poll_answer": True}, PollStarted(), Phase.ASKING, []),
    (Phase.ASKING, {}, PollSent(OPEN), Phase.ASKING, [Wait]),
    (Phase.ASKING, {"answer_until": 9.0, "repeats": 1}, Tick(OPEN), Phase.ASKING, [Poll]),
    (Phase.ASKING, {"answer_until": 9.0, "repeats": 3}, Tick(OPEN), Phase.FOLLOWING, [ForgetPoll, Wait]),
    (Phase.ASKING, {"answer_until": 20.0, "deadline": 9.0}, Tick(OPEN), Phase.ENDED, [Late]),
    (Phase.ASKING, {"poll_answer": True}, Tick(OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.ASKING, {"poll_answer": False}, Tick(OPEN), Phase.LOCATING, [Locate]),
    (Phase.ASKING, {}, PollEnded(True, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.ASKING, {}, PollEnded(False, OPEN), Phase.LOCATING, [Locate]),
    (Phase.ASKING, {}, PollFailed(LOST, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.ASKING, {"unheard_since": -111.0}, PollFailed(LOST, OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.ASKING, {"unheard_since": -111.0}, PollFailed(BUSY, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.ASKING, {}, PollFailed(KEY, OPEN), Phase.ENDED, [Raise]),
    (Phase.CONFIRMING, {}, PollEnded(True, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.CONFIRMING, {}, PollEnded(False, OPEN), Phase.FAILED, [Finish]),
    (Phase.CONFIRMING, {}, PollEnded(True, Report(is_done=True, error=FAILED)), Phase.FAILED, [Finish]),
    (Phase.CONFIRMING, {}, PollEnded(False, Report(has_results=True)), Phase.FOLLOWING, [Wait]),
    (Phase.CONFIRMING, {}, PollFailed(LOST, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {}, Located(DONE), Phase.ANSWERED, [Finish]),
    (Phase.LOCATING, {}, Located(OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {}, LocateFailed(LOST, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {}, LocateFailed(KEY, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {"unknown": 1}, LocateFailed(UNKNOWN, OPEN), Phase.UNSENT, [Send]),
    (Phase.LOCATING, {"unknown": 1, "times_sent": 2}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {"unknown": 1}, LocateFailed(UNKNOWN, DONE), Phase.ANSWERED, [Finish]),
    (Phase.LOCATING, {"unknown": 2, "is_ours": False}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {"unknown": 3, "is_ours": False}, LocateFailed(UNKNOWN, OPEN), Phase.ENDED, [Raise]),
    (Phase.LOCATING, {"unknown": 8}, LocateFailed(UNKNOWN, OPEN), Phase.ENDED, [Raise]),
    (Phase.LOCATING, {"unknown": 1, "complaint": BUSY}, LocateFailed(UNKNOWN, OPEN), Phase.PAUSED_TO_SEND, [SlowDown, Pause]),
    (Phase.LOCATING, {"unknown": 1, "complaint": REFUSED}, LocateFailed(UNKNOWN, OPEN), Phase.UNSENT, [Send]),
    (Phase.LOCATING, {"unknown": 2, "times_sent": 2, "complaint": REFUSED}, LocateFailed(UNKNOWN, OPEN), Phase.ENDED, [Raise]),
    (Phase.PAUSED_TO_ASK, {}, Resume(OPEN), Phase.ASKING, [Poll]),
    (Phase.PAUSED_TO_SEND, {}, Resume(OPEN), Phase.UNSENT, [Send]),
    (Phase.PAUSED_TO_SEND, {}, Resume(DONE), Phase.ANSWERED, [Finish]),
    (Phase.FAILED, {"failure": FAILED}, TryAgain(0.5, "new"), Phase.UNSENT, [NextAttempt]),
    (Phase.FAILED, {"failure": FAILED_FOR_GOOD}, TryAgain(0.5, "new"), Phase.FAILED, [Raise]),
    (Phase.FAILED, {"failure": FAILED, "attempt": 4}, TryAgain(0.5, "new"), Phase.FAILED, [Raise]),
    (Phase.FAILED, {"failure": FAILED, "is_ours": False}, TryAgain(0.5, "new"), Phase.FAILED, []),
    (Phase.FOLLOWING, {}, Heard(), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, {}, ErrorNamed(FAILED, False), Phase.FOLLOWING, [Count]),
    (Phase.FOLLOWING, {"times_sent": 2}, ErrorNamed(CONFLICT, False), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, {}, ErrorNamed(CONFLICT, False), Phase.FOLLOWING, [Count]),
    (Phase.ASKING, {"is_polling": True}, ErrorNamed(UNKNOWN, True), Phase.ASKING, [Wake]),
    (Phase.FOLLOWING, {}, ErrorNamed(UNKNOWN, True), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, {}, ErrorNamed(UNKNOWN, False), Phase.FOLLOWING, [Count]),
    (Phase.ASKING, {}, ErrorNamed(KEY, True), Phase.ASKING, [Wake]),
    (Phase.FOLLOWING, {}, Hint(LOST), Phase.FOLLOWING, [Wake]),
    (Phase.ASKING, {}, Hint(LOST), Phase.ASKING, []),
    (Phase.ASKING, {}, EmptyAnswer(), Phase.ASKING, [Wake]),
    (Phase.ASKING, {"poll_answer": True}, EmptyAnswer(), Phase.ASKING, []),
    (Phase.FOLLOWING, {}, Resumed(), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, {}, Broken(LOST), Phase.FOLLOWING, [Wake]),
    (Phase.SENDING, {}, Expired(), Phase.ENDED, [Late]),
    (Phase.SENDING, {}, Opened(), Phase.SENDING, []),
    (Phase.FOLLOWING, {}, Piece(), Phase.FOLLOWING, []),
    (Phase.FOLLOWING, STREAMS, StreamEnded(), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, STREAMS, StreamEnded(LOST), Phase.FOLLOWING, [Wake]),
    (Phase.FOLLOWING, {**OPENED, "broken": UNSENT_LOSS}, Tick(OPEN), Phase.PAUSED_TO_ASK, [Pause]),
    (Phase.LOCATING, {**STREAMS, "unknown": 8}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {**OPENED, "unknown": 1}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {**OPENED, "unknown": 2, "complaint": BUSY}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
    (Phase.LOCATING, {**OPENED, "unknown": 30}, LocateFailed(UNKNOWN, OPEN), Phase.FOLLOWING, [Wait]),
]  # fmt: skip


@pytest.mark.parametrize(("phase", "flags", "event", "after", "kinds"), ROWS)
def test_a_row_of_the_table(phase, flags, event, after, kinds):
    state, actions = step(fate(phase, **flags), event, 10.0)
    assert state.phase is after
    assert [type(action) for action in actions] == kinds


@pytest.mark.parametrize("phase", sorted(FINAL, key=lambda phase: phase.name))
def test_a_final_state_stays_as_it_is(phase):
    for *_, event, _after, _kinds in ROWS:
        if not isinstance(event, TryAgain):
            assert step(fate(phase), event, 10.0) == (fate(phase), ())


def test_a_stream_is_asked_about_only_after_a_long_silence():
    silent = fate(Phase.FOLLOWING, next_poll=10.0, **STREAMS)
    state, actions = step(step(silent, Piece(), 10.0)[0], Tick(OPEN), 10.0)
    assert (state.phase, [type(action) for action in actions]) == (Phase.FOLLOWING, [Wait])
    assert step(state, Tick(OPEN), 31.0)[0].phase is Phase.ASKING


def test_the_end_of_a_stream_notes_why_it_broke():
    assert step(fate(Phase.FOLLOWING, **STREAMS), StreamEnded(LOST), 10.0)[0].broken is LOST
    assert not step(fate(Phase.FOLLOWING, **STREAMS), StreamEnded(), 10.0)[0].is_streaming


def test_a_refused_first_submission_has_not_left_and_a_refused_second_one_leaves_the_first_open():
    """The log then knows whether the run can have been charged."""
    for had_left in (False, True):
        state, actions = step(fate(Phase.SENDING, had_left=had_left), SendFailed(REFUSED, OPEN), 10.0)
        assert state.has_left is had_left
        assert actions[-1].may_have_arrived is had_left


def test_another_attempt_has_a_new_uuid_unless_the_first_was_refused_before_acceptance():
    named_busy = RateLimited("slow down", task_uuid="u")
    cases = [("imageInference", FAILED, "new", 0), ("videoInference", named_busy, "u", 1)]
    for task_type, error, task_uuid, times_sent in cases:
        failed = fate(Phase.FAILED, failure=error, task_type=task_type)
        state, _ = step(failed, TryAgain(0.5, "new"), 10.0)
        assert (state.task_uuid, state.times_sent, state.attempt, state.has_left) == (task_uuid, times_sent, 2, False)


def test_a_statement_that_nothing_is_known_does_not_outweigh_what_came_during_the_poll():
    state = fate(Phase.CONFIRMING, failure=FAILED, is_polling=True)
    state, _ = step(state, Heard(), 10.0)
    state, _ = step(state, ErrorNamed(UNKNOWN, True), 10.0)
    assert state.poll_answer is True


def test_hints_lead_to_one_question_after_a_pause():
    state, _ = step(fate(Phase.FOLLOWING, may_ask_at=15.0), Hint(LOST), 10.0)
    state, actions = step(state, Tick(OPEN), 10.0)
    assert actions == (Wait(15.0),)
    state, actions = step(state, Tick(OPEN), 15.0)
    assert actions == (Poll(),)


def test_the_failure_that_was_doubted_is_what_an_attempt_ends_in():
    _, actions = step(fate(Phase.CONFIRMING, failure=FAILED), PollEnded(False, OPEN), 10.0)
    assert actions == (Finish(is_doubted=True),)


def test_a_task_of_another_process_is_asked_about_and_never_sent():
    state = Fate.sent_before(TASK, max_retries=3, resends=False)
    state, actions = step(state, Started(100.0, OPEN), 10.0)
    assert actions == (Poll(),)
    state, actions = step(state, PollFailed(TransportError("x", may_have_arrived=False), OPEN), 10.0)
    assert state.phase is Phase.FOLLOWING
    state, _ = step(state._replace(broken=TransportError("x", may_have_arrived=False)), Tick(OPEN), 10.5)
    assert state.phase is Phase.PAUSED_TO_ASK
