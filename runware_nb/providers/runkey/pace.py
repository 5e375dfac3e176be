"""How fast an account is asked: its requests in a minute, its tasks at once, and the intervals between polls.

The limits belong to an account, so everything in this process that uses the same URL and key shares one `Pace`: the
session, bare clients, several threads and event loops. All times are seconds of the service.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Literal

from ...errors import TransportTimeout
from ...forking import make_lock, restart_after_fork
from ...net.clock import Clock
from .protocol import RateHeaders

__all__ = ["PLANS", "Kind", "Pace", "Paces", "Places", "Turn", "pace_of"]

Kind = Literal["submit", "question"]

PLANS: Mapping[str, tuple[int, int]] = {"free": (30, 5), "pro": (60, 10), "team": (120, 25)}
"""Requests in a minute, and tasks at once, of each plan (section 10)."""

_WINDOW_S = 60.0
_STEP_S = 0.2
"""How long to wait for a response that is on its way, and whose arrival decides when the next request may leave."""
_LEAST_STEP_REAL_S = 0.002
_LONGEST_STEP_S = 5.0
_FIRST_POLL_S, _LONGEST_POLL_S, _GROWTH, _JITTER = 2.0, 15.0, 1.5, 0.2
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 5.0, 30.0
_LONGEST_HOLD_S = 120.0
"""No statement of the service stops this process for longer, however wrong its clock is."""


class Pace:
    """The requests of one account in this process.

    At most *limit* requests are sent within any 60 s. A request counts from when it leaves until 60 s after its
    response is here: the service has counted it at some moment in between, so its own window, whatever its kind,
    never contains more. Submissions go first. Questions, such as polls, leave a tenth of the limit to them.

    Args:
        clock: The time of the service.
        rng: Random numbers for jitter.
    """

    def __init__(self, clock: Clock, rng: Callable[[], float] = random.random) -> None:
        self.clock = clock
        self._rng = rng
        self._lock = make_lock()
        self._stated_limit: int | None = None
        self._plan = ""
        self._is_plan_fixed = False
        self._stated_left = math.inf
        self._stated_until = -math.inf
        self._hold_until: dict[Kind, float] = {"submit": -math.inf, "question": -math.inf}
        self._refusals = 0
        self._done: collections.deque[float] = collections.deque()
        self._in_flight = 0
        self._waiting: dict[Kind, list[object]] = {"submit": [], "question": []}
        self._watched = 0
        self.places = Places(self)
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Count the parent's requests in flight as done: they count for the account, and end in the parent only."""
        now = self.clock.now()
        self._done.extend([now] * self._in_flight)
        self._in_flight = self._watched = 0
        self._waiting = {"submit": [], "question": []}

    # --- what is known -----------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """Requests in a minute: as the headers state, else of the plan, else the smallest that is documented."""
        if self._stated_limit is not None:
            return self._stated_limit
        return PLANS.get(self._plan, PLANS["free"])[0]

    @property
    def tasks_at_once(self) -> int:
        """Tasks that may be unfinished at once: of the plan whose limit the headers state, else of the known plan."""
        by_limit = dict(PLANS.values())
        if self._stated_limit in by_limit and not self._is_plan_fixed:
            return by_limit[self._stated_limit]
        return PLANS.get(self._plan, PLANS["free"])[1]

    @property
    def knows_plan(self) -> bool:
        """Whether the plan is known."""
        return self._plan in PLANS

    def learn_plan(self, plan: str, *, is_fixed: bool = False) -> None:
        """Note the account's plan, in any case. An unknown plan is ignored: then the headers decide.

        Args:
            plan: Its name.
            is_fixed: Whether the user has set it, so that the service's statements do not replace it.
        """
        if plan.strip().lower() in PLANS and (is_fixed or not self._is_plan_fixed):
            self._plan, self._is_plan_fixed = plan.strip().lower(), is_fixed
            self.places.wake()

    def learn(self, stated: RateHeaders) -> None:
        """Note what the headers of a response state."""
        with self._lock:
            if stated.limit is not None:
                self._stated_limit = stated.limit
            if stated.remaining is not None:
                # Those in flight may be counted in it or not. To assume that they are not is the safe side.
                self._stated_left = stated.remaining - self._in_flight
                reset_s = _WINDOW_S if stated.reset_s is None else min(stated.reset_s, _LONGEST_HOLD_S)
                self._stated_until = self.clock.now() + reset_s
        self.places.wake()

    def refused(self, kind: Kind, wait_s: float | None, stated: RateHeaders, *, is_wait_stated: bool) -> float:
        """Note a refusal for a limit (40003), and return how many seconds pass until the next request of this kind.

        A submission that is refused although requests are left has met the limit of tasks at once. Then only
        submissions wait: polls have to go on, because they find out when a place is free.

        Args:
            kind: What was refused.
            wait_s: Seconds that the service asks to wait; None if it does not state them.
            stated: The headers of the refusal.
            is_wait_stated: Whether the refusal itself asks for the wait, and not only the headers about requests.
        """
        with self._lock:
            now = self.clock.now()
            is_left = (self.limit - self._used(now)) > 0 if stated.remaining is None else stated.remaining > 0
            is_of_tasks = kind == "submit" and is_left
            self._refusals += 1
            if wait_s is None or (is_of_tasks and not is_wait_stated):
                backoff_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(self._refusals - 1, 10))
                wait_s = backoff_s * (1 - _JITTER * self._rng())
            until = now + min(wait_s, _LONGEST_HOLD_S)
            kinds: tuple[Kind, ...] = ("submit",) if is_of_tasks else ("submit", "question")
            for held in kinds:
                self._hold_until[held] = max(self._hold_until[held], until)
            return until - now

    def submitted(self) -> None:
        """Note that a submission was accepted: the next refusal begins a new series."""
        self._refusals = 0

    def submit_hold_s(self) -> float:
        """Return how many seconds submissions are held back for after a refusal."""
        return max(0.0, self._hold_until["submit"] - self.clock.now())

    # --- requests ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def request(self, kind: Kind, until: float) -> AsyncIterator[None]:
        """Wait until a request may leave, and count it.

        Args:
            kind: Submissions go first.
            until: When to give up, in seconds of the service.

        Raises:
            TransportTimeout: No request may leave before *until*. Nothing was sent.
        """
        turn = await self.reserve(kind, until)
        turn.leave()
        try:
            yield
        finally:
            turn.end()

    async def reserve(self, kind: Kind, until: float) -> Turn:
        """Wait until a request may leave, and count it. It leaves later: see `Turn`.

        Args:
            kind: Submissions go first.
            until: When to give up, in seconds of the service; infinity for never.

        Raises:
            TransportTimeout: No request may leave before *until*. Nothing was sent.
        """
        await self._wait_for_turn(kind, until)
        return Turn(self, kind)

    def end_turn(self, *, has_left: bool) -> None:
        """Count a request as done, or no longer if it has not left. `Turn` calls it once."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            if has_left:
                self._done.append(self.clock.now())
            else:
                self._stated_left += 1

    def is_held(self, kind: Kind) -> bool:
        """Return whether a request that has its turn must not leave, because of what the service has stated since."""
        with self._lock:
            now = self.clock.now()
            return now < self._hold_until[kind] or (now < self._stated_until and self._stated_left < 0)

    async def _wait_for_turn(self, kind: Kind, until: float) -> None:
        ticket = object()
        queue = self._waiting[kind]
        with self._lock:
            queue.append(ticket)
        try:
            while True:
                with self._lock:
                    now = self.clock.now()
                    wait_s = self._wait_s(kind, ticket, now)
                    if now > until:
                        raise TransportTimeout(
                            "The time limit has passed before this request could leave. It was not sent.",
                            may_have_arrived=False,
                        )
                    if wait_s <= 0:
                        self._in_flight += 1
                        self._stated_left -= 1
                        return
                if now + wait_s > until:
                    raise TransportTimeout(
                        f"RunKey's limit of {self.limit} requests in a minute is used up for another {wait_s:.0f} s, "
                        "and the time limit ends before. This request was not sent.",
                        may_have_arrived=False,
                    )
                await self.clock.sleep(max(min(wait_s, _LONGEST_STEP_S), _LEAST_STEP_REAL_S * self.clock.scale))
        finally:
            with self._lock, contextlib.suppress(ValueError):
                queue.remove(ticket)

    def _used(self, now: float) -> int:
        """Return how many requests count at this moment."""
        while self._done and self._done[0] + _WINDOW_S <= now:
            self._done.popleft()
        return len(self._done) + self._in_flight

    def _wait_s(self, kind: Kind, ticket: object, now: float) -> float:
        """Return the seconds until a request may leave, as far as is known; 0 if it may leave now."""
        if now < self._hold_until[kind]:
            return self._hold_until[kind] - now
        place = self._waiting[kind].index(ticket)
        reserved = 0
        if kind == "question":
            place += len(self._waiting["submit"])
            reserved = min(self.limit - 1, math.ceil(self.limit / 10))
        used = self._used(now)
        if now < self._stated_until and self._stated_left - reserved <= place:
            return self._stated_until - now  # others use the account as well, or the window of the service is another
        missing = used + place + reserved + 1 - self.limit
        if missing <= 0:
            return 0.0
        if missing > len(self._done):
            return _STEP_S
        return self._done[missing - 1] + _WINDOW_S - now

    # --- polls -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Count a task that is polled: the more there are, the longer the interval of each."""
        with self._lock:
            self._watched += 1
        try:
            yield
        finally:
            with self._lock:
                self._watched = max(0, self._watched - 1)

    def interval_s(self, polls: int, *, expects_callback: bool = False) -> float:
        """Return the seconds until the next poll of a task (section 6).

        It starts at 2 s and grows by half up to 15 s, with a jitter of 20 %. All tasks together use at most half of the
        limit: with N tasks, each is polled every `120 * N / limit` seconds or less often.

        Args:
            polls: How many polls of the task there were.
            expects_callback: Whether the service was asked for a callback. Then the polls are slow from the start: they
                find only the ends of which no callback arrives.
        """
        own_s = _LONGEST_POLL_S if expects_callback else min(_LONGEST_POLL_S, _FIRST_POLL_S * _GROWTH ** min(polls, 20))
        shared_s = 120.0 * self._watched / self.limit
        spread = self._rng() * 2 - 1
        if own_s * (1 - _JITTER) > shared_s:
            return own_s * (1 + _JITTER * spread)
        return max(own_s * (1 + _JITTER * spread), shared_s * (1 + _JITTER * abs(spread)))


class Turn:
    """The right to send one request now. The request counts from here on, whether or not it has left.

    It separates the wait for the limit from the request: a submission is recorded as sent only when it can leave at
    once.

    Args:
        pace: Has counted it.
        kind: Of the request.
    """

    def __init__(self, pace: Pace, kind: Kind) -> None:
        self._pace = pace
        self._kind: Kind = kind
        self._has_left = False
        self._has_ended = False

    @property
    def is_usable(self) -> bool:
        """Whether the request may still leave: no refusal and no header of another response has said otherwise."""
        return not self._has_ended and not self._pace.is_held(self._kind)

    def leave(self) -> None:
        """Note that the request is being sent, so that it counts, whatever becomes of it."""
        self._has_left = True

    def end(self) -> None:
        """Note that the response is here. If the request has not left, another one may leave in its place."""
        if not self._has_ended:
            self._has_ended = True
            self._pace.end_turn(has_left=self._has_left)


class Places:
    """The bound on unfinished tasks of an account, in the order of asking. A `Limiter` for any event loop.

    Args:
        pace: Has the number of tasks.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lock = make_lock()
        self._taken = 0
        self._waiting: collections.deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = collections.deque()
        restart_after_fork(self)

    def restart_in_child(self) -> None:
        """Start without tasks: those of the parent end in the parent only, and a refusal makes the child wait."""
        self._taken = 0
        self._waiting = collections.deque()

    async def acquire(self) -> None:
        """Wait for a place, and until submissions are not held back after a refusal. The wait has no deadline."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiting.append((loop, turn))
        self.wake()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                await self.release()  # the place came at the moment when the wait ended
            else:
                with self._lock, contextlib.suppress(ValueError):
                    self._waiting.remove((loop, turn))
            raise
        try:
            while (hold_s := self._pace.submit_hold_s()) > 0:
                await self._pace.clock.sleep(min(hold_s, _LONGEST_STEP_S))
        except BaseException:
            await self.release()
            raise

    async def release(self) -> None:
        """Return a place."""
        with self._lock:
            self._taken = max(0, self._taken - 1)
        self.wake()

    def wake(self) -> None:
        """Hand free places to those that have waited longest, in whatever event loop they are."""
        while True:
            with self._lock:
                if not self._waiting or self._taken >= self._pace.tasks_at_once:
                    return
                self._taken += 1
                loop, turn = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(self._hand_over, turn)
            except RuntimeError:  # that loop is closed, and nothing waits in it any more
                with self._lock:
                    self._taken -= 1

    def _hand_over(self, turn: asyncio.Future[None]) -> None:
        """Hand a place to a waiter, in its own loop; if it has gone, to the next."""
        if not turn.done():
            turn.set_result(None)
            return
        with self._lock:
            self._taken = max(0, self._taken - 1)
        self.wake()


class Paces:
    """One `Pace` for each account that this process uses.

    An account is told by URL and key. The key is only kept as a hash. Clocks of different speed, which tests use, never
    share a pace.
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self._by_account: dict[tuple[str, str, float], Pace] = {}

    def of(self, url: str, key: str, clock: Clock) -> Pace:
        """Return the pace of an account."""
        account = (url, hashlib.sha256(key.encode()).hexdigest(), clock.scale)
        with self._lock:
            pace = self._by_account.get(account)
            if pace is None:
                pace = self._by_account[account] = Pace(clock)
            return pace


_paces = Paces()
"""Those of this process. The limit is the account's: if each client counted for itself, a session and a bare client
with the same key would exceed it together, and the service would refuse submissions because of our own polls. Nothing
else could hold it, since the two know nothing of each other."""


def pace_of(url: str, key: str, clock: Clock) -> Pace:
    """Return the pace that everything in this process shares that uses this URL and key."""
    return _paces.of(url, key, clock)
