"""Runway accounts at useapi.net: their rules, their secrets, and how many tasks they take at once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from ...core.log_filter import filter_logs
from ...core.redaction import HiddenText, known_secrets
from ...errors import ArgumentInvalid, ProtocolError, RunwareNBError, TransportError
from ...net.clock import Clock
from ...printable import printable
from ...reprs import short_repr, shortened
from ..turns import Turns
from .protocol import shorten_account

__all__ = [
    "MOST_JOBS",
    "RECOMMENDED_JOBS",
    "AccountSecrets",
    "AccountsLimiter",
    "MaskedText",
    "Password",
    "UseApiAccount",
    "check_email",
    "check_max_jobs",
    "parse_account",
    "parse_accounts",
    "path_segment",
]

MOST_JOBS = 10
RECOMMENDED_JOBS = 5
"""What the vendor recommends (reference 2.3)."""
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]+")
"""Characters that a path segment may contain as they are (RFC 3986). Everything else would have to be percent-encoded,
and the service is reported not to decode it."""
_COMPLETE = re.compile(r"[^@]+@[^@.]+(\.[^@.]+)+")
"""An e-mail with one @ and a dot in the domain. It is checked before a password is asked for."""
_REFRESH_S = 300.0
_SOON_S = 30.0
_NOTICED_S = 1.0
"""Real seconds after which a wait notices that the provider was closed."""


class MaskedText(HiddenText):
    """A secret that shows itself in no textual form. It is redacted everywhere from its creation on.

    Args:
        text: The secret.
        shown: What stands for it in a text.
    """

    __slots__ = ()

    def __new__(cls, text: str, shown: str) -> Self:
        """Build the text; `str` is immutable, so there is no `__init__`."""
        plain = str.__str__(text)  # `str()` of a secret that is masked already would be its mask
        known_secrets.add(plain)
        filter_logs()
        return super().__new__(cls, plain, shown)

    def reveal(self) -> str:
        """Return the secret itself, for the places where a protocol requires it."""
        return str.__str__(self)

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("A secret is never pickled. Pass it where it is needed.")


class Password(MaskedText):
    """The password of a Runway account, from a prompt, an environment variable or a file.

    Args:
        text: The password.
        source: Where it came from, in words, such as `USEAPI_RUNWAY_PASSWORD`.

    Raises:
        ArgumentInvalid: It is empty, or no text.
    """

    __slots__ = ()

    def __new__(cls, text: str, source: str = "the argument password") -> Self:
        """Build the text; `str` is immutable, so there is no `__init__`."""
        if not isinstance(text, str) or not text:
            raise ArgumentInvalid("password", "", "a text that is not empty")
        return super().__new__(cls, text, f"<password from {source}>")


@short_repr()
@dataclass(frozen=True, slots=True)
class AccountSecrets:
    """The secrets of one account, for a caller that asked for them explicitly.

    Attributes:
        password: As the service returns it, which may be a mask; None if it does not.
        session_token: Token of the Runway session, which grants access to the account; None if it does not return it.
    """

    password: MaskedText | None
    session_token: MaskedText | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseApiAccount:
    """A Runway account that useapi.net stores. Its password and its session token are not kept.

    Attributes:
        email: E-mail, also its id.
        max_jobs: Most tasks at a time; None if the service does not state it.
        error: Pending problem; None if there is none. The account serves no task while it has one.
        session_expires_at: When the Runway session ends, in seconds since the epoch; None if that is not stated.
        running: Number of tasks that the service tracks for it; None if that was not asked for.
        secrets: Its secrets, if the caller asked for them.
    """

    email: str
    max_jobs: int | None
    error: str | None = None
    session_expires_at: float | None = None
    running: int | None = None
    secrets: AccountSecrets | None = None

    def __repr__(self) -> str:
        jobs = f"max_jobs={self.max_jobs}" if self.running is None else f"running {self.running} of {self.max_jobs}"
        state = f" error={shortened(str(self.error))!r}" if self.error else ""
        email = shorten_account(shortened(str(self.email)))
        return printable(f"<UseApiAccount {email} {shortened(jobs)}{state}>")


def check_email(email: object, *, is_new: bool = False) -> str:
    """Return an e-mail that can stand in a path and in a body in the same spelling.

    Args:
        email: As typed, or as the service lists it.
        is_new: Whether an account is to be added, whose e-mail must have a complete domain. One that the service
            already lists can be shown and removed whatever it is.

    Raises:
        ArgumentInvalid: It is no e-mail, or contains a character that would have to be percent-encoded.
    """
    if not isinstance(email, str) or "@" not in email.strip("@") or (is_new and not _COMPLETE.fullmatch(email)):
        raise ArgumentInvalid("email", email, "the e-mail of a Runway account, such as me@example.com")
    if not _SEGMENT.fullmatch(email):
        raise ArgumentInvalid("email", email, "an e-mail without blanks, /, ?, #, % and characters outside ASCII")
    return email


def path_segment(identifier: object, name: str) -> str:
    """Return an id that can stand in a path as it is: ids are sent literally (reference 4).

    Raises:
        ArgumentInvalid: It is empty, or contains a character that could name another path.
    """
    if not isinstance(identifier, str) or not _SEGMENT.fullmatch(identifier) or identifier in {".", ".."}:
        raise ArgumentInvalid(name, identifier, "an id as useapi.net returns it")
    return identifier


def check_max_jobs(value: object, name: str = "max_jobs") -> int:
    """Return a number of jobs.

    Raises:
        ArgumentInvalid: It is not an integer from 1 to 10. A boolean, a float and a text are none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_JOBS:
        raise ArgumentInvalid(name, value, f"an integer from 1 to {MOST_JOBS} ({RECOMMENDED_JOBS} is recommended)")
    return value


def parse_account(answer: Any, *, reveals: bool = False, email: str = "") -> UseApiAccount:
    """Parse an account, and drop its secrets unless the caller asked for them.

    Args:
        answer: A parsed response.
        reveals: Whether the secrets are kept. They are then redacted everywhere else.
        email: Its e-mail, if the object does not state it.

    Raises:
        ProtocolError: It is not an account. The error does not quote it.
    """
    if not isinstance(answer, dict):
        del answer  # a traceback may show the variables of this frame
        raise ProtocolError("The response about an account is not an object")
    session = answer.get("jwt")
    session = session if isinstance(session, dict) else {}
    max_jobs, expires, error = answer.get("maxJobs"), session.get("exp"), answer.get("error")
    secrets = None
    if reveals:
        secrets = AccountSecrets(
            _hidden(answer.get("password"), "password"), _hidden(session.get("token"), "session token")
        )
    stated = answer.get("email")
    return UseApiAccount(
        email=stated if isinstance(stated, str) and stated else email,
        max_jobs=int(max_jobs) if isinstance(max_jobs, int | float) and not isinstance(max_jobs, bool) else None,
        error=None if error in (None, "", False) else known_secrets.redact(str(error))[:400],
        session_expires_at=float(expires) if isinstance(expires, int | float) else None,
        secrets=secrets,
    )


def parse_accounts(answer: Any, *, reveals: bool = False) -> list[UseApiAccount]:
    """Parse the list of accounts: an object keyed by e-mail, and not an array (reference 2.2).

    Args:
        answer: A parsed response.
        reveals: See `parse_account`.

    Raises:
        ProtocolError: It is neither. The error does not quote it, because it may contain every secret of every account.
    """
    if isinstance(answer, dict):
        return [parse_account(item, reveals=reveals, email=str(email)) for email, item in answer.items()]
    if isinstance(answer, list):
        return [parse_account(item, reveals=reveals) for item in answer]
    del answer  # as above
    raise ProtocolError("The list of accounts is not an object")


def _hidden(value: Any, what: str) -> MaskedText | None:
    return MaskedText(value, f"<{what} of a Runway account>") if isinstance(value, str) and value else None


class AccountsLimiter:
    """A bound on the tasks in flight: together, as many as the accounts without an error take at once.

    Args:
        read_accounts: Asks the service for its accounts.
        clock: Pace of the refreshing.

    Attributes:
        most: The bound; the recommended value while the accounts are not known.
    """

    def __init__(self, read_accounts: Callable[[], Awaitable[Iterable[UseApiAccount]]], clock: Clock) -> None:
        self.most = RECOMMENDED_JOBS
        self._read_accounts = read_accounts
        self._clock = clock
        self._refreshed_at: float | None = None
        self._is_doubtful = False
        self._full_until = -math.inf
        self._refreshing: asyncio.Task[None] | None = None
        self._turns = Turns(lambda: self.most)

    async def acquire(self) -> None:
        """Wait for a free place. See `Limiter.acquire`.

        Raises:
            TransportError: The provider was closed; nothing was sent.
        """
        await self._refresh_if_due()
        while self._turns.closed is None and (left_s := self._full_until - self._clock.now()) > 0:  # noqa: ASYNC110 - a clock
            await asyncio.sleep(min(self._clock.real_s(left_s), _NOTICED_S))
        await self._turns.acquire()

    async def release(self) -> None:
        """Return a place. See `Limiter.release`."""
        self._turns.give_back()

    def learn(self, accounts: Iterable[UseApiAccount]) -> None:
        """Set the bound to the sum of what the accounts without an error take."""
        usable = [account.max_jobs or RECOMMENDED_JOBS for account in accounts if account.error is None]
        self.most = sum(usable) or RECOMMENDED_JOBS
        self._refreshed_at, self._is_doubtful = self._clock.now(), False
        self._turns.pass_on()

    def refused(self, delay_s: float, *, everywhere: bool) -> None:
        """Note that the service refused a task for want of a slot, although this bound let it pass.

        The accounts are read again soon. If none has a free slot, no place is given for a while: otherwise each task
        of a long queue would be sent, only to be refused as well.

        Args:
            delay_s: How long the refused task waits, in seconds of the service.
            everywhere: Whether any account could have taken the task. Otherwise one account is full, and others may
                have slots.
        """
        self._is_doubtful = True
        if everywhere:
            self._full_until = max(self._full_until, self._clock.now() + delay_s)

    def expire(self) -> None:
        """Have the accounts read again before the next task: they were changed here."""
        self._refreshed_at = None

    def close(self, error: TransportError) -> None:
        """Refuse further places: those that wait, and those that come later, get a copy of the error."""
        self._turns.close(error)
        if self._refreshing is not None:
            self._refreshing.cancel()

    async def _refresh_if_due(self) -> None:
        if self._refreshed_at is not None:
            age_s = self._clock.now() - self._refreshed_at
            if age_s < (_SOON_S if self._is_doubtful else _REFRESH_S):
                return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        if self._refreshed_at is None:  # the first tasks wait for it, later ones go on with what is known
            await asyncio.wait({self._refreshing})  # which raises nothing if it fails or is cancelled

    async def _refresh(self) -> None:
        # A question that fails says nothing about the accounts: the bound stays, and the tasks themselves show the
        # reason.
        with contextlib.suppress(RunwareNBError):
            self.learn(await self._read_accounts())
            return
        self._refreshed_at, self._is_doubtful = self._clock.now(), True
