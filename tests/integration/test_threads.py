"""A session may be used from any thread: everything exists once, and nothing waits for a lock held during I/O."""

import threading
import time

from runware_nb.errors import RunCancelled
from runware_nb.runlog import store as store_module
from runware_nb.session import Session
from runware_nb.settings import Key, Settings
from tests.conftest import TASK

MANY = 12


def at_once(*works):
    """Call functions at the same moment, each in a thread, and return what they return; none may hang."""
    barrier = threading.Barrier(len(works))
    results = [None] * len(works)

    def call(number, work):
        barrier.wait(10)
        try:
            results[number] = work()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return results


def test_first_use_by_many_threads_makes_one_of_each(sandbox, make_session):
    for session in [make_session(sandbox) for _ in range(5)]:
        found = at_once(
            *[session.client] * MANY, *[lambda s=session: s.log] * MANY, *[lambda s=session: s.media] * MANY,
            *[lambda s=session: s.plan(dict(TASK)).warnings] * MANY,
        )  # fmt: skip
        for start in range(0, 3 * MANY, MANY):
            assert len({id(each) for each in found[start : start + MANY]}) == 1, found[start]
        assert found[0] is session.client()
        assert found[MANY] is session.log
        assert found[2 * MANY] is session.media
        assert found[3 * MANY :] == [[]] * MANY


def test_the_current_session_is_one(monkeypatch, sandbox):
    from runware_nb.session import current, current_session

    monkeypatch.setattr(current, "_session", None)
    assert len({id(each) for each in at_once(*[current_session] * MANY)}) == 1


def test_one_failure_to_open_the_log_reaches_every_thread_and_the_next_try_succeeds(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    session = Session(Settings(api_key=Key("x" * 32, "the test"), home=blocked / "home"))
    errors = at_once(*[lambda s=session: s.log] * MANY)
    assert {type(error).__name__ for error in errors} == {"RunLogError"}
    blocked.unlink()
    assert session.log is session.log
    session.close()


def test_settings_changed_by_two_threads_are_all_changed(sandbox, make_session):
    session = make_session(sandbox)
    for n in range(1, 30):
        at_once(lambda: session.configure(timeout_s=float(n)), lambda: session.configure(max_retries=n))  # noqa: B023
        assert (session.settings.timeout_s, session.settings.max_retries) == (float(n), n)


def test_a_slow_log_blocks_no_other_thread(sandbox, make_session, monkeypatch, tmp_path):
    """While one thread opens the log, others take up clients, settings, media and jobs that are known."""
    session = make_session(sandbox)
    job = session.submit({**TASK, "seed": 1})
    job.result(30)
    opening, goes_on = threading.Event(), threading.Event()
    errors = []
    before = store_module.open_engine

    def slow(*arguments):
        opening.set()
        assert goes_on.wait(30)
        return before(*arguments)

    monkeypatch.setattr(store_module, "open_engine", slow)
    session.configure(log_url=f"sqlite:///{tmp_path}/elsewhere.sqlite")
    finder = threading.Thread(target=lambda: errors.extend(at_once(lambda: session.job("abcd"))), daemon=True)
    finder.start()
    assert opening.wait(30)
    started = time.monotonic()
    found = at_once(session.client, lambda: session.media, lambda: session.configure(max_retries=3),
                    lambda: session.jobs.twin("another"))  # fmt: skip
    assert not [each for each in found if isinstance(each, BaseException)]
    assert time.monotonic() - started < 20, "they did not wait for the log"
    assert not goes_on.is_set()
    goes_on.set()
    finder.join(30)
    assert [type(error).__name__ for error in errors] == ["RunNotFound"]


def test_jobs_are_made_found_discarded_and_closed_from_many_threads(sandbox, make_session):
    session = make_session(sandbox)
    cancelled = []

    def work(number):
        is_discarded = number % 6 == 5
        job = session.submit({**TASK, "width": 128, "height": 128, "seed": number if is_discarded else number % 4})
        found = session.job(job.task_uuid)
        assert found.task_uuid == job.task_uuid
        if is_discarded:
            job.discard()
        session.configure(max_retries=number % 3)
        try:
            return len(job.result(40))
        except RunCancelled:
            assert is_discarded  # before it was sent, so it cost nothing
            cancelled.append(number)
            return 1

    counts = at_once(*[lambda number=number: work(number) for number in range(24)])
    assert counts == [1] * 24
    assert len(sandbox.charges()) == 4 + 4 - len(cancelled), "the same request is paid for once, whichever thread asks"
    assert at_once(*[session.close] * 4) == [None] * 4


def test_an_observer_may_call_the_job_and_the_session(sandbox, make_session):
    """No lock is held while a callback runs."""
    session = make_session(sandbox)
    job = session.submit({**TASK, "seed": 9})
    seen = []

    def observer():
        thread = threading.Thread(target=lambda: seen.append(job.is_done), daemon=True)
        thread.start()
        thread.join(10)
        job.on_change(lambda: None)

    job.on_change(observer)
    job.result(30)
    assert at_once(lambda: job.settle(None, ValueError("late"))) == [None]
    assert len(job.result()) == 1
    assert seen


def test_a_job_is_settled_once(sandbox, make_session):
    session = make_session(sandbox)
    done = session.submit({**TASK, "seed": 3})
    outcome = done.result(30)
    from runware_nb.session import Job

    for _ in range(50):
        job = Job(session, done.record, is_new=False)
        at_once(lambda: job.settle(outcome, None), lambda: job.settle(None, ValueError("x")))  # noqa: B023
        assert job.is_done
