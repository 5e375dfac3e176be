import pytest

from runware_nb.core.retry import Step, backoff_s, decide, falls_back_to_rest, reconnect_delay_s
from runware_nb.errors import (
    AuthenticationFailed,
    ProtocolError,
    ProviderFailed,
    RateLimited,
    TaskInvalid,
    TransportError,
    TransportTimeout,
)
from runware_nb.providers.runware.operations import is_long_running


def step(error, *, attempt=1, max_retries=3, long_running=False, has_results=False):
    return decide(
        error, attempt=attempt, max_retries=max_retries, long_running=long_running, has_results=has_results, jitter=0.5
    )


def test_a_named_transient_failure_is_a_new_attempt():
    assert step(ProviderFailed("x", task_uuid="u")).step is Step.NEW_ATTEMPT


def test_an_unnamed_server_fault_is_asked_about_first():
    assert step(ProviderFailed("x")).step is Step.ASK_FIRST


def test_a_connection_lost_under_way_is_asked_about_first():
    assert step(TransportError("x")).step is Step.ASK_FIRST


def test_what_cannot_have_arrived_is_simply_sent_again():
    assert step(TransportError("x", may_have_arrived=False)).step is Step.SEND_AGAIN


def test_an_unnamed_rate_limit_keeps_its_uuid_and_waits_as_told():
    decision = step(RateLimited("x", retry_after_s=7.0))
    assert (decision.step, decision.delay_s) == (Step.SEND_AGAIN, 7.0)


@pytest.mark.parametrize("error", [TaskInvalid("x", task_uuid="u"), AuthenticationFailed("x"), TransportTimeout("x"),
                                   ProtocolError("x", http_status=200, frame="<html>")])  # fmt: skip
def test_what_would_fail_again_is_given_up(error):
    assert step(error).step is Step.GIVE_UP


def test_a_web_page_with_a_server_status_is_asked_about():
    assert step(ProtocolError("x", http_status=502)).step is Step.ASK_FIRST


@pytest.mark.parametrize("kind", ["videoInference", "3dInference", "training"])
def test_dear_tasks_are_never_made_again_unasked(kind):
    assert step(ProviderFailed("x", task_uuid="u"), long_running=is_long_running(kind)).step is Step.GIVE_UP


def test_a_task_with_a_result_is_never_retried():
    assert step(ProviderFailed("x", task_uuid="u"), has_results=True).step is Step.GIVE_UP


def test_no_retries_means_none():
    assert step(TransportError("x"), max_retries=0).step is Step.GIVE_UP


def test_retries_end():
    assert step(TransportError("x"), attempt=4, max_retries=3).step is Step.GIVE_UP


def test_waits_double_up_to_a_ceiling():
    assert [backoff_s(n, jitter=1.0) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert backoff_s(1000, jitter=1.0) == 20.0


def test_the_first_reconnection_is_at_once():
    assert reconnect_delay_s(0, jitter=0.9) == 0.0
    assert 0 < reconnect_delay_s(1, jitter=0.0) < reconnect_delay_s(9, jitter=0.9) <= 15.0


def test_rest_takes_over_only_where_websocket_never_worked():
    assert falls_back_to_rest(failed_handshakes=2, was_connected=False)
    assert not falls_back_to_rest(failed_handshakes=1, was_connected=False)
    assert not falls_back_to_rest(failed_handshakes=50, was_connected=True)


@pytest.mark.parametrize("frame", ['{"data":[{"task', ""])
def test_an_answer_cut_short_says_nothing_about_the_task(frame):
    assert step(ProtocolError("x", http_status=200, frame=frame)).step is Step.ASK_FIRST


@pytest.mark.parametrize("task_type", ["videoInference", "3dInference", "training"])
def test_dear_tasks_wait_out_a_refusal_for_rate_and_nothing_else(task_type):
    assert step(RateLimited("x", task_uuid="u"), long_running=is_long_running(task_type)).step is Step.SEND_AGAIN
    assert step(ProviderFailed("x", task_uuid="u"), long_running=is_long_running(task_type)).step is Step.GIVE_UP
