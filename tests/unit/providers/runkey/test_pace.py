"""The budget of requests, the places of tasks and the intervals of polls, with a clock that the test moves."""

import asyncio
import contextlib
import os
import threading

import pytest

from runware_nb.errors import TransportTimeout
from runware_nb.net.clock import Clock
from runware_nb.providers.runkey.pace import PLANS, Pace
from runware_nb.providers.runkey.protocol import RateHeaders

NOTHING = RateHeaders(None, None, None)
FAR = 1e9


class StillClock(Clock):
    """Time passes only while somebody sleeps, and then at once."""

    def __init__(self):
        super().__init__()
        self.time = 1000.0

    def now(self):
        return self.time

    async def sleep(self, seconds):
        await asyncio.sleep(0)
        self.time += max(0.0, seconds)


@pytest.fixture
def pace():
    return Pace(StillClock(), rng=lambda: 0.5)


async def send(pace, kind, until=FAR):
    async with pace.request(kind, until):
        return pace.clock.now()


def count_at_start(pace, kind, run_async, most=200):
    """Return how many requests leave without a wait."""

    async def count():
        began = pace.clock.now()
        for number in range(most):
            if await send(pace, kind) > began:
                return number
        return most

    return run_async(count())


@pytest.mark.parametrize(("plan", "limit"), [("", 30), ("Free", 30), ("pro", 60), ("TEAM", 120), ("galactic", 30)])
def test_the_plan_gives_the_limit(pace, run_async, plan, limit):
    pace.learn_plan(plan)
    assert (pace.limit, count_at_start(pace, "submit", run_async)) == (limit, limit)


def test_questions_leave_a_tenth_to_submissions(pace, run_async):
    assert count_at_start(pace, "question", run_async) == 27


def test_submissions_use_what_questions_leave(pace, run_async):
    async def run():
        for _ in range(27):
            await send(pace, "question")

    run_async(run())
    assert count_at_start(pace, "submit", run_async) == 3


def test_the_headers_count_more_than_the_plan(pace):
    pace.learn_plan("free")
    pace.learn(RateHeaders(120, 100, 30.0))
    assert (pace.limit, pace.tasks_at_once) == (120, 25)
    pace.learn(RateHeaders(77, None, None))
    assert (pace.limit, pace.tasks_at_once) == (77, 5)


def test_the_plan_that_the_user_has_set_counts_most(pace):
    pace.learn_plan("team", is_fixed=True)
    pace.learn_plan("free")
    pace.learn(RateHeaders(30, 20, 30.0))
    assert (pace.tasks_at_once, pace.knows_plan) == (25, True)


@pytest.mark.parametrize(("limit", "span"), [(30, 60.0), (120, 60.0)])
def test_no_window_of_a_minute_has_more_than_the_limit(pace, run_async, limit, span):
    """Whatever the window of the service is: fixed or sliding."""
    pace.learn(RateHeaders(limit, None, None))

    async def send_many():
        return sorted(await asyncio.gather(*(send(pace, "submit") for _ in range(4 * limit))))

    times = run_async(send_many())
    assert all(later - earlier >= span for earlier, later in zip(times, times[limit:], strict=False))


def test_a_request_on_its_way_counts(pace, run_async):
    async def run():
        hold = asyncio.Event()

        async def slow():
            async with pace.request("submit", FAR):
                await hold.wait()

        slow_ones = [asyncio.ensure_future(slow()) for _ in range(30)]
        await asyncio.sleep(0)
        pace.clock.time += 1000
        late = asyncio.ensure_future(send(pace, "submit"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not late.done()
        released = pace.clock.now()
        hold.set()
        await asyncio.gather(*slow_ones)
        assert await late - released >= 60

    run_async(run())


def test_submissions_go_first(pace, run_async):
    async def run():
        for _ in range(30):
            await send(pace, "submit")
            pace.clock.time += 1  # so that one place after the other gets free
        order = []

        async def note(kind):
            await send(pace, kind)
            order.append(kind)

        waiting = [asyncio.ensure_future(note("question")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting += [asyncio.ensure_future(note("submit")) for _ in range(3)]
        await asyncio.gather(*waiting)
        return order

    assert run_async(run())[:3] == ["submit"] * 3


@pytest.mark.parametrize("kind", ["submit", "question"])
def test_a_wait_that_ends_too_late_fails_at_once_and_sends_nothing(pace, run_async, kind):
    async def run():
        for _ in range(30):
            await send(pace, "submit")
        began = pace.clock.now()
        with pytest.raises(TransportTimeout, match=r"another 60 s.*was not sent") as caught:
            await send(pace, kind, until=began + 30)
        assert pace.clock.now() == began
        return caught.value

    assert not run_async(run()).may_have_arrived


def test_nothing_leaves_after_the_time_limit(pace, run_async):
    with pytest.raises(TransportTimeout, match="was not sent"):
        run_async(send(pace, "submit", until=pace.clock.now() - 1))
    assert pace.clock.now() == 1000


def test_a_cancelled_wait_leaves_no_trace(pace, run_async):
    async def run():
        for _ in range(30):
            await send(pace, "submit")
        waiting = asyncio.ensure_future(send(pace, "submit"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await send(pace, "question")

    run_async(run())


# --- what the service states ------------------------------------------------------------------------


def test_what_others_have_used_is_not_ours(pace, run_async):
    pace.learn(RateHeaders(30, 5, 40.0))
    assert count_at_start(pace, "question", run_async) == 2  # a tenth is left
    pace.clock.time += 100
    pace.learn(RateHeaders(30, 5, 40.0))
    assert count_at_start(pace, "submit", run_async) == 5


def test_a_statement_is_forgotten_at_its_reset(pace, run_async):
    pace.learn(RateHeaders(30, 0, 40.0))
    assert run_async(send(pace, "submit")) == 1040.0


@pytest.mark.parametrize("reset_s", [0.0, None, 1e12])
def test_an_odd_reset_never_stops_this_process_for_long(pace, run_async, reset_s):
    pace.learn(RateHeaders(30, 0, reset_s))
    assert run_async(send(pace, "submit")) - 1000 <= 120


@pytest.mark.parametrize(
    ("kind", "stated", "submit_s", "question_s"),
    [
        ("question", RateHeaders(30, 20, None), 30, 30),  # a question can only meet the limit of requests
        ("submit", RateHeaders(30, 0, None), 30, 30),
        ("submit", RateHeaders(30, 20, None), 30, 0),  # requests are left, so it is the limit of tasks
        ("submit", NOTHING, 30, 0),
    ],
)
def test_a_refusal_holds_back_what_it_concerns(pace, run_async, kind, stated, submit_s, question_s):
    assert pace.refused(kind, 30.0, stated, is_wait_stated=True) == 30
    assert pace.submit_hold_s() == submit_s
    assert run_async(send(pace, "question")) - 1000 == question_s


def test_without_a_stated_wait_it_grows_from_5_to_30_s(pace):
    waits = [pace.refused("submit", None, NOTHING, is_wait_stated=False) for _ in range(5)]
    assert waits == [4.5, 9.0, 18.0, 27.0, 27.0]
    pace.submitted()
    assert pace.refused("submit", None, NOTHING, is_wait_stated=False) == 4.5
    # the reset of the window of requests says nothing about when a task ends
    assert pace.refused("submit", 55.0, RateHeaders(30, 9, 55.0), is_wait_stated=False) == 9.0


def test_no_refusal_stops_this_process_for_long(pace):
    assert pace.refused("submit", 86_400.0, NOTHING, is_wait_stated=True) == 120


# --- reserved turns ---------------------------------------------------------------------------------


def test_a_reserved_turn_counts_until_it_is_returned(pace, run_async):
    async def run():
        turn = await pace.reserve("submit", FAR)
        assert turn.is_usable
        for _ in range(29):
            await send(pace, "submit")
        with pytest.raises(TransportTimeout, match="was not sent"):
            await send(pace, "submit", until=pace.clock.now())
        turn.end()
        turn.end()  # whoever ends it again returns nothing more
        assert not turn.is_usable
        await send(pace, "submit", until=pace.clock.now())
        with pytest.raises(TransportTimeout, match="was not sent"):
            await send(pace, "submit", until=pace.clock.now())

    run_async(run())


def test_a_turn_that_was_used_counts_for_a_minute(pace, run_async):
    async def run():
        pace.learn(RateHeaders(1, None, None))
        turn = await pace.reserve("submit", FAR)
        turn.leave()
        turn.end()
        return await send(pace, "submit") - 1000.0

    assert run_async(run()) >= 60


@pytest.mark.parametrize("news", ["refusal", "headers"])
def test_news_of_the_limit_stop_a_reserved_turn(pace, run_async, news):
    async def run():
        turn = await pace.reserve("submit", FAR)
        if news == "refusal":
            pace.refused("submit", 30.0, RateHeaders(30, 12, 40.0), is_wait_stated=True)
        else:
            pace.learn(RateHeaders(30, 0, 30.0))
        assert not turn.is_usable
        pace.clock.time += 31
        assert turn.is_usable

    run_async(run())


def test_what_is_stated_as_left_is_enough_for_the_turns_that_are_reserved(pace, run_async):
    async def run():
        first, second = await pace.reserve("submit", FAR), await pace.reserve("submit", FAR)
        pace.learn(RateHeaders(30, 2, 30.0))
        assert (first.is_usable, second.is_usable) == (True, True)
        pace.learn(RateHeaders(30, 1, 30.0))
        assert (first.is_usable, second.is_usable) == (False, False)
        first.end()
        assert second.is_usable

    run_async(run())


# --- polls ------------------------------------------------------------------------------------------


def test_intervals_grow_from_2_to_15_s_with_a_jitter():
    middle, low, high = (Pace(StillClock(), rng=lambda value=value: value) for value in (0.5, 0.0, 1.0))
    assert [round(middle.interval_s(polls), 2) for polls in range(7)] == [2.0, 3.0, 4.5, 6.75, 10.12, 15.0, 15.0]
    assert (low.interval_s(0), high.interval_s(0)) == (1.6, 2.4)
    assert (low.interval_s(10**9), high.interval_s(99)) == (12.0, 18.0)
    assert middle.interval_s(0, expects_callback=True) == 15


@pytest.mark.parametrize(("plan", "least_s"), [("free", 20), ("pro", 20), ("team", 25)])
def test_all_polls_together_use_at_most_half_of_the_limit(plan, least_s):
    """The table of section 6: N tasks at the full concurrency of each plan."""
    for value in (0.0, 0.5, 1.0):
        pace = Pace(StillClock(), rng=lambda value=value: value)
        pace.learn_plan(plan)
        with contextlib.ExitStack() as watched:
            for _ in range(PLANS[plan][1]):
                watched.enter_context(pace.watch())
            assert least_s <= pace.interval_s(0) <= 1.2 * least_s
            assert least_s <= pace.interval_s(50)
        assert pace.interval_s(0) <= 2.4


# --- places -----------------------------------------------------------------------------------------


def test_places_are_given_in_the_order_of_asking(pace, run_async):
    async def run():
        order = []

        async def use(number):
            await pace.places.acquire()
            order.append(number)

        tasks = [asyncio.ensure_future(use(number)) for number in range(8)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert order == [0, 1, 2, 3, 4]
        tasks[5].cancel()
        for _ in range(3):
            await pace.places.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    assert run_async(run()) == [0, 1, 2, 3, 4, 6, 7]


def test_a_larger_plan_gives_more_places_at_once(pace, run_async):
    async def run():
        tasks = [asyncio.ensure_future(pace.places.acquire()) for _ in range(12)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) == 5
        pace.learn(RateHeaders(60, 50, 30.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) == 10
        pace.learn_plan("team", is_fixed=True)
        await asyncio.gather(*tasks)

    run_async(run())


def test_a_place_waits_for_the_end_of_a_hold(pace, run_async):
    pace.refused("submit", 50.0, NOTHING, is_wait_stated=True)

    async def run():
        await pace.places.acquire()
        return pace.clock.now()

    assert run_async(run()) == 1050


def test_places_are_shared_by_event_loops(pace):
    """A place that a loop in one thread returns goes to a waiter in another thread; a closed loop gets none."""
    got = []

    async def hold(event):
        await pace.places.acquire()
        got.append(threading.current_thread().name)
        await asyncio.to_thread(event.wait)
        await pace.places.release()

    async def abandon():
        asyncio.ensure_future(pace.places.acquire()).cancel()
        await asyncio.sleep(0)

    event = threading.Event()
    threads = [threading.Thread(target=lambda: asyncio.run(hold(event))) for _ in range(12)]
    for thread in threads:
        thread.start()
    while len(got) < 5:
        pass
    asyncio.run(abandon())
    event.set()
    for thread in threads:
        thread.join(20)
    assert len(set(got)) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_a_child_has_no_waits_and_no_places_of_its_parent(pace, run_async):
    async def run():
        for _ in range(5):
            await pace.places.acquire()
        async with pace.request("submit", FAR):
            child = os.fork()
            if not child:
                # of the parent's request the child knows only that it counts
                is_right = pace.places._taken == 0 and pace._in_flight == 0 and len(pace._done) == 1
                os._exit(0 if is_right else 1)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert run_async(run()) == 0
