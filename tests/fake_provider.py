"""A second provider, as small as one can be: the service chooses ids, charges credits, and knows no safe resend.

It speaks to `tests/echo_service.py` over real sockets. `docs/architecture.md` uses it as the example of a provider.
"""

import asyncio
import hashlib
import json
from urllib.parse import quote
from uuid import uuid4

from runware_nb.core.media_fields import replace_media
from runware_nb.core.money import Money
from runware_nb.core.operations import Operation
from runware_nb.core.results import Outcome, Result
from runware_nb.core.retry import backoff_s
from runware_nb.errors import (
    FateUnknown,
    MediaError,
    RateLimited,
    TaskFailed,
    TaskInvalid,
    TaskNotFound,
    TransportError,
    TransportTimeout,
)
from runware_nb.media.incoming import media_bytes
from runware_nb.media.medium import MemoryMedium
from runware_nb.net.deadlines import now
from runware_nb.net.downloads import Downloads
from runware_nb.net.http import HttpConnection
from runware_nb.providers.base import (
    Accepted,
    Account,
    Attempt,
    Capabilities,
    Description,
    NextAttempt,
    Plan,
)
from runware_nb.providers.package import ProviderPackage

ECHO = Operation(name="echo", summary="return an image", produces="image", function=None)
MOST = 1 << 20


class NoLimit:
    """A limiter that lets every task pass, and counts them."""

    def __init__(self):
        self.most = self.taken = 0

    async def acquire(self):
        self.taken += 1
        self.most = max(self.most, self.taken)

    async def release(self):
        self.taken -= 1


class FakeProvider:
    name = "fake"
    services = ("fake",)

    def __init__(self, url, *, can_find_lost=False, price=15.0, pause_s=0.01):
        self.capabilities = Capabilities(
            client_chosen_ids=False, resend_is_safe=False, can_find_lost=can_find_lost, pushes_results=False,
            webhooks="none", money="credits",
        )  # fmt: skip
        self.limiter = NoLimit()
        self.listed = price
        self.uploads = {}
        self.pause_s = pause_s
        self._http = HttpConnection(url, user_agent="fake", connect_timeout_s=5)
        self._downloads = Downloads(self._http)

    # --- before sending ---

    def require_key(self):
        pass

    def plan(self, task, *, as_is=False):
        if not as_is and not task.get("prompt"):
            raise TaskInvalid("Invalid prompt: it is empty. Nothing was sent.", parameter="prompt")
        return Plan({"taskType": "echo", **task})

    def price(self, task):
        return None if self.listed is None else Money(self.listed, "credits")

    def complete(self, task, *, as_is=False):
        return {"taskUUID": str(uuid4()), **task}

    def takes_seed(self, task):
        return True

    def operation(self, task):
        return ECHO

    def prompt(self, task):
        return task.get("prompt")

    def describe(self, task):
        return Description(task.get("prompt", "echo"), (("seed", task.get("seed")),))

    def parameters(self, request, inputs):
        return {name: value for name, value in request.items() if name not in {"taskUUID", "taskType"}}

    def number_of_results(self, task):
        return 1

    def is_reference(self, text):
        return text.startswith(("http://", "https://", "fake:"))

    @property
    def uploaded_hashes(self):
        return {name: digest for digest, name in self.uploads.items()}

    async def prepare(self, task):
        """Upload each medium that has no name at the service yet, and name it by its hash."""

        def name(value):
            if isinstance(value, str) and self.is_reference(value):
                return value
            digest = hashlib.sha256(media_bytes(value)[0]).hexdigest()
            return self.uploads.setdefault(digest, f"fake:{digest[:8]}")

        return replace_media(task, name)

    # --- sending and following ---

    def first_attempt(self, task):
        return Attempt(task)

    async def submit(self, attempt, deadline):
        # The reference is ours. Only a service that can be searched for it makes use of it.
        body = {**attempt.task, "ref": attempt.attempt_uuid}
        try:
            answer = await self._ask("POST", "/tasks", deadline, body)
        except (TransportError, ValueError) as error:
            if isinstance(error, TransportError) and not error.may_have_arrived:
                raise
            raise FateUnknown(f"The response to run {attempt.attempt_uuid[:8]} was lost ({error}).") from error
        return Accepted.of(attempt, answer["task_id"])

    async def follow(self, accepted, observer, deadline):
        asked = 0
        while True:
            task = await self._ask("GET", f"/tasks/{quote(accepted.remote_id, safe='')}", deadline)
            if task["status"] != "running":
                break
            observer.on_progress(task["progress"])
            asked += 1
            if now() > deadline:
                raise TransportTimeout("The task has not finished at its deadline; it goes on at the service.")
            await asyncio.sleep(backoff_s(asked, jitter=0, first_s=0.05, longest_s=0.2))
        outcome = Outcome(accepted.attempt.task, accepted.attempt.attempt_uuid, [], [])
        outcome.charged = Money(task["credits"], "credits")
        if task["status"] == "failed":
            outcome.errors.append(
                TaskFailed("The service failed.", task_uuid=accepted.attempt.attempt_uuid, code="failed")
            )
            return outcome
        result = Result({"imageURL": task["url"]}, accepted.attempt.attempt_uuid)
        observer.on_result(result)
        outcome.results.append(result)
        return outcome

    async def locate(self, attempt, deadline):
        if attempt.remote_id is not None:
            return Accepted(attempt, attempt.remote_id)
        if not self.capabilities.can_find_lost:
            return None
        found = await self._ask("GET", f"/tasks?ref={attempt.attempt_uuid}", deadline)
        return Accepted.of(attempt, found[0]["task_id"]) if found else None

    def next_attempt(self, attempt, error):
        # A refusal for the rate comes before acceptance, and is not charged. Whatever else fails is not repeated.
        if not isinstance(error, RateLimited) or attempt.number > 3:
            return None
        return NextAttempt(Attempt(attempt.task, attempt.number + 1), self.pause_s)

    async def _ask(self, method, path, deadline, body=None):
        response = await self._http.request(
            method, path, content=b"" if body is None else json.dumps(body).encode(),
            timeout_s=max(0.1, deadline - now()), max_bytes=MOST, too_large=lambda: TransportError("too large"),
        )  # fmt: skip
        answer = json.loads(response.body)
        if answer["code"] == 40003:
            raise RateLimited(answer["msg"], code="40003")
        if answer["code"] == 40401:
            raise TaskNotFound(answer["msg"], code="40401")
        if answer["code"]:
            raise TaskInvalid(answer["msg"], code=str(answer["code"]))
        return answer["data"]

    # --- results and account ---

    async def fetch(self, result, *, timeout_s=None):
        if result.url is None:
            raise MediaError("The result has no file.")
        result.medium = MemoryMedium(
            await self._downloads.download(result.url, timeout_s=timeout_s or 10, max_bytes=MOST)
        )
        return result

    async def locate_result(self, attempt, result):
        return None

    def error_of(self, kept):
        return TaskFailed(kept.get("message", ""), code=kept.get("code", ""))

    async def account(self):
        return Account(None, {})

    async def aclose(self):
        await self._http.aclose()


def fake_package(url, **how):
    """Return the package of a fake provider that speaks to a service."""
    return ProviderPackage(name="fake", services=("fake",), build=lambda context: FakeProvider(url, **how))
