"""Runway accounts, and the choice of the account that serves a task."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .refusals import Refused

__all__ = ["Account", "Balancer", "read_account", "read_max_jobs"]

_MOST_JOBS = 10
_SESSION_S = 30 * 24 * 3600
MASK = "********"


@dataclass
class Account:
    """One Runway account. The password is not kept.

    Attributes:
        email: E-mail, also its id.
        max_jobs: Number of tasks at a time, 1 to 10.
        issued_at: When the session token was issued, in seconds since the epoch.
        error: Pending problem; empty if none. The account serves no task while it has one.
        used_credits: Credits spent.
        peak: Largest number of tasks that it had at one moment.
    """

    email: str
    max_jobs: int
    issued_at: float
    error: str = ""
    used_credits: int = 0
    peak: int = 0

    def to_wire(self, *, password: str | None = MASK) -> dict[str, Any]:
        """Return the account object.

        Args:
            password: Value of its password field; None leaves the field out.
        """
        digest = hashlib.sha256(f"{self.email}/{self.issued_at}".encode()).digest()
        token = f"sandbox.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}.session"
        body: dict[str, Any] = {"email": self.email}
        if password is not None:
            body["password"] = password
        body["maxJobs"] = self.max_jobs
        body["jwt"] = {
            "token": token, "exp": self.issued_at + _SESSION_S, "iat": self.issued_at,
            "id": int.from_bytes(digest[:4], "big"),
        }  # fmt: skip
        if self.error:
            body["error"] = self.error
        return body


def read_account(email: str, body: dict[str, Any], *, mismatch_status: int) -> tuple[int, str]:
    """Return `maxJobs` and the password of a create or update request.

    Args:
        email: E-mail in the path.
        body: The request.
        mismatch_status: Status if the e-mail in the body differs.

    Raises:
        Refused: A field is missing or invalid.
    """
    for name in ("email", "password"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise Refused(400, f"Required parameter {name} is missing or empty.")
    if body.get("maxJobs") is None:
        raise Refused(400, "Required parameter maxJobs is missing or empty.")
    if body["email"] != email:
        raise Refused(mismatch_status, f"Parameter email ({body['email']}) must be the email of the path ({email}).")
    return read_max_jobs(body["maxJobs"]), body["password"]


def read_max_jobs(value: object) -> int:
    """Return a number of jobs.

    Raises:
        Refused: It is not a JSON integer from 1 to 10.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_JOBS:
        raise Refused(400, f"Parameter maxJobs must be an integer between 1 and {_MOST_JOBS}.")
    return value


class Balancer:
    """The choice among accounts.

    Args:
        chance: Source of the random choice. Tests pass one with a seed.
        running: Returns the number of tasks that the service tracks for an account.
    """

    def __init__(self, chance: random.Random, running: Callable[[str], int]) -> None:
        self._chance = chance
        self._running = running

    def choose(
        self,
        accounts: Iterable[Account],
        *,
        request_max_jobs: int | None,
        replaces: bool,
        broken_status: int,
    ) -> Account:
        """Choose uniformly at random among the accounts that have capacity and no error.

        Args:
            accounts: Candidates, at least one.
            request_max_jobs: `maxJobs` of the request; None if it has none.
            replaces: Whether that value replaces the account's. Otherwise the smaller one applies.
            broken_status: Status if all candidates have an error.

        Raises:
            Refused: All candidates have an error (*broken_status*), or none has capacity (429).

        Source:
            useapi-runwayml reference 3.
        """
        candidates = list(accounts)
        healthy = [account for account in candidates if not account.error]
        if not healthy:
            raise Refused(broken_status, candidates[0].error)

        def limit(account: Account) -> int:
            if request_max_jobs is None:
                return account.max_jobs
            return request_max_jobs if replaces else min(account.max_jobs, request_max_jobs)

        free = [account for account in healthy if self._running(account.email) < limit(account)]
        if not free:
            raise Refused(429, "All accounts have reached their maximum number of jobs.")
        return self._chance.choice(free)
