"""Every event in every state of an attempt: nothing is paid twice, nothing that came is dropped, every path ends."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb.errors import (
    AuthenticationFailed,
    ContentRefused,
    OutOfCredit,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.providers.runware import fate as machine
from runware_nb.providers.runware.fate import (
    FINAL,
    Broken,
    Count,
    EmptyAnswer,
    ErrorNamed,
    Expired,
    Fate,
    Finish,
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
    Started,
    StreamEnded,
    Tick,
    TryAgain,
    Wait,
    step,
)

DEADLINE = 300.0
DUTIES = (Send, Poll, Locate, Wait, Pause)
ENDS = (Finish, Raise, Late)
CODES = ["conflictTaskUUID", "taskNotFound", "taskFailedOrNotFound", "internalServerError", "maintenanceSoon", ""]


def built(kind, *parts):
    """Draw the arguments of a class; unlike `builds`, without a look at its annotations."""
    return st.tuples(*parts).map(lambda values: kind(*values))


task_errors = st.builds(
    lambda kind, code, name, status: kind("x", code=code, task_uuid=name, http_status=status),
    st.sampled_from(
        [AuthenticationFailed, ContentRefused, OutOfCredit, ProviderFailed, RateLimited, TaskInvalid, TaskNotFound]
    ),
    st.sampled_from(CODES),
    st.sampled_from(["", "u0"]),
    st.sampled_from([None, 200, 400, 429, 503]),
)
failures = st.one_of(
    task_errors,
    st.builds(lambda arrived: TransportError("x", may_have_arrived=arrived), st.booleans()),
    built(TransportTimeout, st.just("x")),
    st.builds(lambda status: ProtocolError("x", http_status=status), st.sampled_from([None, 200, 502])),
)
reports = st.one_of(
    st.just(Report()),
    built(Report, st.just(False), st.booleans(), st.none(), st.booleans()),
    st.just(Report(is_done=True, has_results=True)),
    st.builds(lambda error: Report(is_done=True, error=error), task_errors),
)
spontaneous = st.one_of(
    st.just(Heard()), built(ErrorNamed, task_errors, st.booleans()), built(Hint, st.none() | failures),
    st.just(EmptyAnswer()), st.just(Resumed()), built(Broken, failures), st.just(Expired()), st.just(Piece()),
    built(StreamEnded, st.none() | st.builds(TransportError, st.just("x"))),
)  # fmt: skip
events = st.one_of(
    spontaneous,
    built(Started, st.just(DEADLINE), reports), st.just(SendStarted()), built(NotConnected, failures, reports),
    st.just(Leaving()), st.just(Opened()), built(Sent, st.booleans(), reports), built(SendFailed, failures, reports),
    st.just(PollStarted()), built(PollSent, reports), built(PollEnded, st.booleans(), reports),
    built(PollFailed, failures, reports), built(Located, reports), built(LocateFailed, failures, reports),
    built(Tick, reports), built(Resume, reports), built(TryAgain, st.floats(0, 0.99), st.just("u1")),
)  # fmt: skip
TASK = {"taskUUID": "u0", "taskType": "imageInference"}
fates = st.builds(
    lambda phase, failure, is_ours, times, was_opened, **flags: Fate.unsent(TASK, max_retries=3)._replace(
        was_opened=was_opened and phase not in {Phase.UNSENT, Phase.PAUSED_TO_SEND},
        phase=phase, deadline=DEADLINE, is_ours=is_ours or phase in {Phase.UNSENT, Phase.SENDING, Phase.PAUSED_TO_SEND},
        failure=failure if phase in {Phase.FAILED, Phase.CONFIRMING} else None,
        is_confirmed=phase in {Phase.CONFIRMING, Phase.FAILED},
        times_sent=times if phase is Phase.UNSENT else times + 1, **flags,
    ),
    st.sampled_from(Phase), task_errors, st.booleans(), st.integers(0, 3), st.booleans(), is_streaming=st.booleans(),
    has_left=st.booleans(), had_left=st.booleans(), failures=st.integers(0, 4), polls=st.integers(0, 9),
    unknown=st.integers(0, 9), repeats=st.integers(0, 3), should_ask=st.booleans(), is_polling=st.booleans(),
    poll_answer=st.none() | st.booleans(), unheard_since=st.none() | st.floats(1, 100), broken=st.none() | failures,
    complaint=st.none() | failures, next_poll=st.floats(0, 400), may_ask_at=st.floats(0, 400),
)  # fmt: skip
moments = st.floats(1, DEADLINE + 50)


def only(actions, kinds):
    return [action for action in actions if isinstance(action, kinds)]


@settings(max_examples=400)
@given(fates, events, moments)
def test_any_event_in_any_state_keeps_the_rules(fate, event, now):
    after, actions = step(fate, event, now)
    report = getattr(event, "report", Report())
    assert len(only(actions, DUTIES + ENDS)) <= 1, "one duty at a time"
    if only(actions, DUTIES + ENDS):
        assert isinstance(actions[-1], DUTIES + ENDS), "the duty is the last action"
    assert bool(only(actions, ENDS)) == (after.phase in FINAL and (fate.phase not in FINAL or bool(actions)))

    # An attempt whose fate is unknown is never sent under a new UUID: only one that the service has failed.
    if after.task_uuid != fate.task_uuid:
        assert fate.phase is Phase.FAILED
        assert fate.failure.task_uuid == fate.task_uuid
        assert isinstance(event, TryAgain)

    # Nothing is sent after a final state, except as another attempt after a failure that came without a result.
    if fate.phase in FINAL:
        assert not only(actions, DUTIES)
        assert after == fate or only(actions, NextAttempt)
    if only(actions, Send):
        assert fate.is_ours, "what another process has sent is never sent from here"
        assert not fate.was_opened, "what the service has begun to stream was accepted, and is never sent again"
        assert after.phase is Phase.UNSENT
        assert after.task_uuid == fate.task_uuid
        assert not (report.is_done and report.has_results)

    # A result that was received is never dropped: an attempt that has all of them ends by returning them.
    if report.is_done and report.has_results and (after, actions) != (fate, ()):
        assert actions == (Finish(),)
    if only(actions, Finish):
        assert actions[-1].is_doubted <= (fate.phase is Phase.CONFIRMING and not report.has_results)

    # The error in which a task that may be running ends tells so: the log keeps such a run, and a rerun joins it.
    for ended in only(actions, Raise):
        if not isinstance(event, TryAgain):
            assert ended.may_have_arrived or not after.has_left


@settings(max_examples=200)
@given(fates, task_errors, moments)
def test_an_error_about_a_question_never_ends_the_task(fate, error, now):
    """A refused key, a rate limit, an empty balance, a fault of the server, or that the task is not known yet."""
    about_the_question = isinstance(error, (RateLimited, AuthenticationFailed, OutOfCredit)) or error.code in {
        "internalServerError", "taskNotFound", "taskFailedOrNotFound",
    }  # fmt: skip
    after, actions = step(fate, ErrorNamed(error, is_question=True), now)
    assert after.phase is fate.phase
    assert not only(actions, DUTIES + ENDS)
    if about_the_question:
        assert not only(actions, Count)


@settings(max_examples=100)
@given(failures, reports.filter(lambda report: not report.is_done), st.booleans(), moments)
def test_a_question_that_failed_ends_a_task_only_with_its_key_or_after_long_silence(error, report, is_confirming, now):
    phase = Phase.CONFIRMING if is_confirming else Phase.ASKING
    fate = Fate.unsent(TASK, max_retries=3)._replace(
        phase=phase, deadline=10_000.0, times_sent=1, has_left=True, failure=ProviderFailed("x", task_uuid="u0")
    )
    after, _ = step(fate, PollFailed(error, report), now)
    assert (after.phase in FINAL) == isinstance(error, AuthenticationFailed)
    assert after.has_left


def answer_to(duty, fate, data):
    """Draw how the shell may report on a duty."""
    report = data.draw(reports)
    if isinstance(duty, Wait):
        return [Tick(report)]
    if isinstance(duty, Pause):
        return [Resume(report)]
    if isinstance(duty, Locate):
        return [data.draw(st.one_of(st.just(Located(report)), built(LocateFailed, failures, st.just(report))))]
    if isinstance(duty, Send):
        if data.draw(st.booleans()):
            return [NotConnected(data.draw(failures), report)]
        end = data.draw(
            st.one_of(built(Sent, st.booleans(), st.just(report)), built(SendFailed, failures, st.just(report)))
        )
        leaves = isinstance(end, Sent) or data.draw(st.booleans())
        opens = isinstance(end, Sent) and data.draw(st.booleans())
        return [SendStarted(), *([Leaving()] if leaves else []), *([Opened()] if opens else []), end]
    end = data.draw(
        st.one_of(
            st.just(PollSent(report)), built(PollEnded, st.booleans(), st.just(report)),
            built(PollFailed, failures, st.just(report)),
        )
    )  # fmt: skip
    return [PollStarted(), end]


@settings(max_examples=100)
@given(st.booleans(), st.booleans(), st.data())
def test_every_path_ends(is_ours, was_sent, data):
    """Whatever the shell reports and whatever comes meanwhile, the attempt ends at its deadline at the latest."""
    fate = Fate.unsent(TASK, max_retries=3)
    if was_sent:
        fate = Fate.sent_before(TASK, max_retries=3, resends=is_ours)
    now, seen = 1.0, {fate.task_uuid}
    fate, actions = step(fate, Started(DEADLINE, Report()), now)
    for _ in range(2_000):
        duty = actions[-1]
        if isinstance(duty, ENDS):
            break
        assert isinstance(duty, DUTIES), "no state is left without a duty"
        if isinstance(duty, Send):
            assert is_ours or not was_sent
            assert not fate.was_opened
        if isinstance(duty, Wait):
            assert duty.until <= DEADLINE
        if isinstance(duty, Pause):
            assert now + duty.delay_s < DEADLINE
        now += (
            duty.delay_s if isinstance(duty, Pause) else max(0.0, duty.until - now) if isinstance(duty, Wait) else 0.3
        )
        if data.draw(st.booleans()):
            before = fate.phase
            fate, extra = step(fate, data.draw(spontaneous), now)
            if fate.phase in FINAL:
                assert isinstance(extra[-1], Late)
                return
            assert fate.phase is before
        for event in answer_to(duty, fate, data):
            fate, actions = step(fate, event, now)
        seen.add(fate.task_uuid)
    assert fate.phase in FINAL
    assert seen == {"u0"}, "no attempt changes its UUID"
    left = step(fate, data.draw(events.filter(lambda event: not isinstance(event, TryAgain))), now)
    assert left == (fate, ()), "a final state is final"


def test_every_event_has_its_row():
    """The table in the docstring, the table in the code and the events are the same."""
    kinds = set(machine.Event.__args__)
    assert set(machine._TABLE) == kinds
    for kind in kinds:
        assert f"`{kind.__name__}`" in machine.__doc__, kind
    for phase in Phase:
        assert phase.name in machine.__doc__, phase
