"""The attempts of one run, one after the other, for every provider. No other module sends a task in a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..core.items import Item
from ..core.results import Outcome
from ..errors import FateUnknown, ProtocolError, RunwareNBError, TaskError, TransportError
from ..net.deadlines import now
from .base import Attempt, Limiter, NextAttempt, RunObserver, Sender

__all__ = ["carry_out", "pause", "raise_if_failed"]


async def carry_out(
    sender: Sender,
    task: Item,
    *,
    observer: RunObserver,
    limiter: Limiter,
    timeout_s: float,
    renew: Callable[[Attempt, TaskError], Awaitable[Item | None]] | None = None,
) -> Outcome:
    """Send a task, and again as often as the provider allows, until its results have arrived.

    Args:
        sender: Sends and follows.
        task: Complete, with its `taskUUID`.
        observer: Told before each attempt, and about what arrives.
        limiter: The bound on tasks in flight.
        timeout_s: Longest time in flight, in seconds. The time that a task waits for its turn does not count.
        renew: Called with an attempt that the service refused for good. It returns the task as it may be sent once
            more, with an id of its own, where the refusal shows that nothing was accepted; or None.

    Raises:
        TaskError: The service refused or failed the task, and there is no result; `.outcome` has the whole of it.
        TransportTimeout: The time is over; the task goes on.
        FateUnknown: The task may have been accepted, and nothing can find out. It was not sent again.
        TransportError: The service could not be reached; `may_have_arrived` tells whether the task can be there.
    """
    attempt = sender.first_attempt(task)
    if attempt.is_free:
        deadline = now() + timeout_s
        return await sender.follow(await sender.submit(attempt, deadline), observer, deadline)
    left_s = timeout_s
    while True:
        try:
            await limiter.acquire()
        finally:
            if attempt.number > 1:
                observer.on_waiting(None)  # set below; a provider may wait for the next attempt in its limiter
        taken_at = now()
        try:
            await observer.before_attempt(attempt)
            outcome = await _attempt(sender, attempt, observer, taken_at + left_s)
            error = None if outcome.results or not outcome.errors else outcome.errors[0]
            if error is None:
                return outcome
            error.outcome = outcome
        except TaskError as refusal:
            if refusal.may_have_arrived:  # it is about a question, and says nothing about the attempt
                raise
            error = refusal
        finally:
            await limiter.release()
        left_s -= now() - taken_at
        following = sender.next_attempt(attempt, error)
        if following is None and renew is not None:
            renewed = await renew(attempt, error)
            if renewed is not None:
                further = replace(sender.first_attempt(renewed), number=attempt.number + 1)
                following = NextAttempt(further, 0.0)
        if following is None:
            raise error
        await observer.on_refused(attempt)
        observer.on_waiting(f"waiting to be sent again: {error.problem.removesuffix('.')}")
        try:
            await pause(following.delay_s, now() + left_s, error)
        except BaseException:
            observer.on_waiting(None)
            raise
        left_s -= following.delay_s
        attempt = following.attempt


async def _attempt(sender: Sender, attempt: Attempt, observer: RunObserver, deadline: float) -> Outcome:
    """Send one attempt, note the id that the service gave it, and follow it."""
    try:
        accepted = await sender.submit(attempt, deadline)
    except FateUnknown as lost:
        # The request may have arrived and may be charged, so it is not sent again. If the service can be asked for it,
        # it is followed as if the response had come; otherwise the user has to look.
        found = None
        if sender.capabilities.can_find_lost:
            try:
                found = await sender.locate(attempt, deadline)
            except (TaskError, TransportError, ProtocolError) as error:
                raise lost from error  # a question that failed proves nothing about the attempt
        if found is None:
            raise
        accepted = found
    if accepted.remote_id != attempt.attempt_uuid:
        await observer.on_accepted(accepted)
    try:
        return await sender.follow(accepted, observer, deadline)
    except (TaskError, TransportError, ProtocolError) as error:
        # The id proves that the attempt was accepted, whatever became of the question about it. Where the id is ours it
        # proves nothing, and the provider states what is known.
        if not sender.capabilities.client_chosen_ids:
            error.may_have_arrived = True
        raise


def raise_if_failed(outcome: Outcome) -> Outcome:
    """Return an outcome with at least one result; raise its first error if it has errors only."""
    if outcome.errors and not outcome.results:
        error = outcome.errors[0]
        error.outcome = outcome
        raise error
    return outcome


async def pause(delay_s: float, deadline: float, error: RunwareNBError) -> None:
    """Wait before another try. If the deadline comes first, raise the error at once, and state why.

    Args:
        delay_s: Seconds to wait. It may be a server's `Retry-After`, which can be any number.
        deadline: By the monotonic clock, in seconds.
        error: What the last try ended with.

    Raises:
        RunwareNBError: *error*, if the wait would end after the deadline.
    """
    left_s = max(0.0, deadline - now())
    if not delay_s < left_s:
        add_reason(error, delay_s, left_s)
        raise error
    await asyncio.sleep(delay_s)


def add_reason(error: RunwareNBError, delay_s: float, left_s: float) -> None:
    """Add to an error why no other try follows it."""
    reason = f"The next try would be in {delay_s:.3g} s, but only {left_s:.3g} s are left of the time limit"
    error.args = (f"{error.problem.removesuffix('.')}. {reason}", *error.args[1:])
