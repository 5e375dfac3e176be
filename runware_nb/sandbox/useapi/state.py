"""Accounts, tasks and assets of the service, without HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..core.clock import Clock
from ..core.faults import Fault
from ..core.journal import Journal
from ..core.ledger import Ledger, hash_of
from ..core.media import MEDIA_FAULTS, MediaFile, MediaFiles
from .accounts import Account, Balancer
from .assets import Asset, Upload, media_kind
from .behaviour import Behaviour
from .callbacks import post_callback
from .endpoints import ENDPOINTS, Endpoint, asset_fields
from .media import FRAME_RATE, paint_result, result_duration_s, result_size
from .refusals import Refused, not_found
from .tasks import Artifact, Task, plan_steps, timestamp

__all__ = ["PROXY_FIELDS", "State"]

Json = dict[str, Any]
PROXY_FIELDS = frozenset({"email", "replyUrl", "replyRef", "maxJobs"})
"""Fields of create calls that the proxy uses itself."""
_CREDITS_PER_S = {"videos/upscale": 2, "gen4/upscale": 2, "gen3alpha/upscale": 2, "super_slow_motion": 0}
_IMAGE_CREDITS = _VIDEO_CREDITS_PER_S = 5
_TINY_PX = 16
_BROKEN_SESSION = "The session of the Runway account is broken. Post the account again."


class State:
    """All that the service remembers.

    Args:
        clock: Clock and pace.
        ledger: Charges of all accounts, in credits.
        user_id: Number of the user, part of every id.
        seed: Decides ids, the choice of accounts, and what requests leave open.
        latency_of: Returns the seconds that a task takes whose product is of a kind.
        file_url: Returns the URL of a file name.
        journal: What outlives the process. Passwords, session tokens and the API token are not written to it.

    Attributes:
        created_at: When the state began, in seconds since the epoch.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        *,
        user_id: int,
        seed: int,
        latency_of: Callable[[str], float],
        file_url: Callable[[str], str],
        journal: Journal,
    ) -> None:
        self.clock = clock
        self.behaviour = Behaviour()
        self.files = MediaFiles(clock)
        self.accounts: dict[str, Account] = {}
        self.tasks: dict[str, Task] = {}
        self.reply_url = ""
        self.name = "Sandbox"
        self._ledger = ledger
        self._user_id = user_id
        self._seed = seed
        self._latency_of = latency_of
        self._file_url = file_url
        self._assets: dict[str, Asset] = {}
        self._journal = journal
        self._begin()
        if journal.replay(self._restore):
            # The ids of an earlier process must not be drawn again, also those of lines that are damaged by now.
            self._start_chance(f"{seed}/{clock.now()}")

    def _begin(self) -> None:
        self.created_at = self.clock.now()
        self._is_begun = False
        self._start_chance(str(self._seed))

    def _start_chance(self, seed: str) -> None:
        self._ids = random.Random(f"ids/{seed}")
        self._balancer = Balancer(random.Random(f"accounts/{seed}"), self.running)

    def clear(self) -> None:
        """Delete everything, and start the random choices again. Switches keep their values."""
        for task in self.tasks.values():
            task.is_tracked = False
        self.accounts.clear()
        self.tasks.clear()
        self._assets.clear()
        self.files.clear()
        self.reply_url = ""
        self.name = "Sandbox"
        self._journal.clear()
        self._begin()

    def _write(self, op: str, **values: Any) -> None:
        """Append an event to the journal."""
        if not self._is_begun:
            self._is_begun = True
            self._journal.write({"op": "begin", "at": self.created_at})
        self._journal.write({"op": op, **values})

    def _restore(self, event: Json) -> None:
        """Apply an event of an earlier process."""
        self._is_begun = True
        op = event["op"]
        if op == "begin":
            self.created_at = float(event["at"])
        elif op == "account":
            self._add_account(str(event["email"]), int(event["max_jobs"]), float(event["issued_at"]))
        elif op == "broken_account":
            self.accounts[event["email"]].error = _BROKEN_SESSION
        elif op == "delete_account":
            self._remove_account(event["email"])
        elif op == "platform":
            self.name, self.reply_url = str(event["name"]), str(event["reply_url"])
        elif op == "asset":
            self._restore_upload(event["asset"])
        elif op == "delete_asset":
            del self._assets[event["id"]]
        elif op == "task":
            self._restore_task(event)
        elif op == "delete_task":
            self._remove_task(self.tasks[event["id"]], cancels=event["cancels"])
        elif op == "untrack":
            self.tasks[event["id"]].is_tracked = False
        else:
            self.tasks[event["id"]].posted = int(event["posted"])

    def _restore_upload(self, record: Json) -> None:
        asset = Asset(**record)
        content = self._journal.load_upload(asset.file_name)
        if content is None:
            raise ValueError(asset.file_name)
        self._add_upload(dataclasses.replace(asset, content=content))

    def _restore_task(self, event: Json) -> None:
        task = Task.from_record(event["task"])
        # An input whose line is damaged is left out: the task and its charge are worth more than its appearance.
        inputs = [self._assets[asset_id] for asset_id in event["inputs"] if asset_id in self._assets]
        self._add_task(task, inputs, event["seeds"], event["fault"])
        self._charge(task, event["price"], event["request_hash"])
        account = self.accounts.get(task.email)
        if account is not None:
            account.peak = max(account.peak, event["peak"])

    def unposted(self) -> list[Task]:
        """Return the tasks of an earlier process that still have callbacks.

        Of the changes that came while no process ran, only the last one is posted: a callback reports the task as it
        is, so the others would repeat it.
        """
        now = self.clock.now()
        tasks = [task for task in self.tasks.values() if task.reply_url and task.posted < len(task.steps) - 1]
        for task in tasks:
            passed = sum(time <= now for time, _ in task.steps[1:])
            task.posted = max(task.posted, passed - 1)
        return tasks

    # --- accounts ----------------------------------------------------------------------------------

    def running(self, email: str) -> int:
        """Return the number of tasks that occupy a slot of an account."""
        now = self.clock.now()
        return sum(task.email == email and task.occupies_slot(now) for task in self.tasks.values())

    def put_account(self, email: str, max_jobs: int) -> Account:
        """Create or replace an account, with a new session and without an error.

        Raises:
            Refused: There are too many accounts.
        """
        previous = self.accounts.get(email)
        most = self.behaviour.max_accounts
        if previous is None and most and len(self.accounts) >= most:
            raise Refused(400, f"At most {most} accounts can be configured.")
        account = self._add_account(email, max_jobs, self.clock.now())
        self._write("account", email=email, max_jobs=max_jobs, issued_at=account.issued_at)
        return account

    def _add_account(self, email: str, max_jobs: int, issued_at: float) -> Account:
        account, previous = Account(email, max_jobs, issued_at), self.accounts.get(email)
        if previous is not None:
            account.used_credits, account.peak = previous.used_credits, previous.peak
        self.accounts[email] = account
        return account

    def delete_account(self, email: str) -> None:
        """Delete an account. Its tasks continue without callbacks.

        Raises:
            Refused: There is no such account.
        """
        if email not in self.accounts:
            raise not_found("json", f"Account {email} not found.")
        self._remove_account(email)
        self._write("delete_account", email=email)

    def _remove_account(self, email: str) -> None:
        del self.accounts[email]
        for task in self.tasks.values():
            if task.email == email:
                task.callbacks = 0

    def only_account(self, email: str | None) -> Account:
        """Return the account that a call without a task is about.

        Args:
            email: `email` of the call. It is required unless exactly one account is configured.

        Raises:
            Refused: It is missing or unknown.
        """
        if email:
            account = self.accounts.get(email)
            if account is None:
                raise not_found("json", f"Account {email} not found.")
            return account
        if not self.accounts:
            raise Refused(self.behaviour.no_accounts_status, "Configure at least one Runway account.")
        if len(self.accounts) > 1:
            raise Refused(400, "Parameter email is required if several accounts are configured.")
        return next(iter(self.accounts.values()))

    def set_platform(self, name: str, reply_url: str) -> None:
        """Set the name of the platform account, and the default URL of callbacks."""
        self.name, self.reply_url = name, reply_url
        self._write("platform", name=name, reply_url=reply_url)

    # --- assets ------------------------------------------------------------------------------------

    def add_upload(self, account: Account, name: str, upload: Upload) -> Asset:
        """Store an uploaded file under a name."""
        asset = Asset(
            self._uuid(), self._owner(account.email), account.email, name, upload.media_type, self.clock.now(),
            upload.metadata, upload.content, upload.extension,
        )  # fmt: skip
        self._journal.save_upload(asset.file_name, upload.content)  # the line below must not name a missing file
        self._add_upload(asset)
        self._write("asset", asset=asset.to_record())
        return asset

    def _add_upload(self, asset: Asset) -> None:
        content, media_type = asset.content or b"", asset.media_type
        self._assets[asset.id] = asset
        self.files.add(MediaFile(asset.file_name, lambda: (content, media_type)))

    def asset(self, asset_id: str) -> Asset:
        """Return an asset.

        Raises:
            Refused: There is none with this id yet.
        """
        asset = self._assets.get(asset_id)
        if asset is None or asset.created_at > self.clock.now():
            raise not_found(self.behaviour.not_found)
        return asset

    def list_assets(self, email: str, kind: str | None) -> list[Asset]:
        """Return the assets of an account, newest first.

        Args:
            email: The account.
            kind: `image`, `video` or `audio`; None for all.
        """
        now = self.clock.now()
        return [
            asset for asset in reversed(self._assets.values())
            if asset.email == email and asset.created_at <= now and kind in {None, media_kind(asset.media_type)}
        ]  # fmt: skip

    def delete_asset(self, asset_id: str) -> None:
        """Delete an asset.

        Raises:
            Refused: There is none with this id.
        """
        del self._assets[self.asset(asset_id).id]
        self._write("delete_asset", id=asset_id)

    async def asset_to_wire(self, asset: Asset) -> Json:
        """Return the asset object."""
        size = len(asset.content) if asset.content is not None else len((await self.files.body(asset.uuid))[0])
        return {
            "assetId": asset.id, "id": asset.uuid, "createdAt": timestamp(asset.created_at),
            "updatedAt": timestamp(asset.created_at), "name": asset.name, "filename": asset.file_name,
            "mediaType": {"type": media_kind(asset.media_type), "subtype": asset.media_type},
            "url": self._file_url(asset.file_name), "previewUrls": [], "fileSize": size, "isDirectory": False,
            "private": True, "privateInTeam": True, "deleted": False, "reported": False,
            "metadata": asset.metadata or None, "favorite": False, "userId": self._user_id,
        }  # fmt: skip

    # --- tasks -------------------------------------------------------------------------------------

    def create(self, path: str, endpoint: Endpoint, body: Json, hit: Mapping[str, Fault]) -> Task:
        """Accept a task.

        Raises:
            Refused: An asset or account is unknown, no account has capacity, or its credits or session are used up.
        """
        assets = [self.asset(asset_id) for asset_id in asset_fields(body).values()]
        account = self._balancer.choose(
            self._candidates(assets, body.get("email")),
            request_max_jobs=body.get("maxJobs"),
            replaces=self.behaviour.request_max_jobs == "replace",
            broken_status=self.behaviour.broken_accounts_status,
        )
        if "expire_session" in hit:
            account.error = _BROKEN_SESSION
            self._write("broken_account", email=account.email)
            raise Refused(596, _BROKEN_SESSION)
        artifacts = self._artifacts(endpoint, body)
        price = self._price(path, body, artifacts)
        if "no_credits" in hit or account.used_credits + price > self.behaviour.plan_credits:
            raise Refused(412, "The Runway account does not have enough credits.")
        task = self._plan(path, account, body, artifacts, hit)
        request_hash = hash_of(body, without=PROXY_FIELDS)
        fault = next((kind for kind in MEDIA_FAULTS if kind in hit), "")
        seeds = [
            int(task.options.get("seed") or self._ids.randrange(1, 2**32 - 1)) + number
            for number in range(len(task.artifacts))
        ]
        self._add_task(task, assets, seeds, fault)
        self._charge(task, price, request_hash)
        account.peak = max(account.peak, self.running(account.email))
        # Written before the response: a client that learns of the task finds it after a crash, and so does its charge.
        self._write(
            "task", task=task.to_record(), inputs=[asset.id for asset in assets], seeds=seeds, fault=fault,
            price=price, request_hash=request_hash, peak=account.peak,
        )  # fmt: skip
        return task

    def _charge(self, task: Task, price: int, request_hash: str) -> None:
        account = self.accounts.get(task.email)
        if account is not None:
            account.used_credits += price
        self._ledger.bill(task.id, task.path, price, request_hash=request_hash)

    def task(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            Refused: There is none with this id, or its result has expired.
        """
        task = self.tasks.get(task_id)
        if task is None or task.is_deleted:
            raise not_found(self.behaviour.not_found)
        kept_s = self.behaviour.retention_s
        if kept_s and self.clock.now() > task.ready_at + self.clock.real_s(kept_s):
            raise Refused(410, "The task has expired.")
        return task

    def list_tasks(self, email: str, statuses: Sequence[str]) -> list[Task]:
        """Return the tasks of an account, newest first.

        Args:
            email: The account.
            statuses: Accepted statuses; empty for all.
        """
        now = self.clock.now()
        return [
            task for task in reversed(self.tasks.values())
            if task.email == email and not task.is_deleted and (not statuses or task.status(now) in statuses)
        ]  # fmt: skip

    def delete_task(self, task_id: str) -> None:
        """Delete the record of a task. A switch decides whether this stops it.

        Raises:
            Refused: There is none with this id.
        """
        cancels = self.behaviour.delete_task == "cancel"
        self._remove_task(self.task(task_id), cancels=cancels)
        self._write("delete_task", id=task_id, cancels=cancels)

    @staticmethod
    def _remove_task(task: Task, *, cancels: bool) -> None:
        task.is_deleted = True
        task.callbacks = 0
        if cancels:
            task.is_tracked = False

    def scheduled(self) -> list[Task]:
        """Return the tasks that occupy a slot, oldest first."""
        now = self.clock.now()
        return [task for task in self.tasks.values() if task.occupies_slot(now)]

    def untrack(self, task_id: str) -> None:
        """Stop tracking a task: its slot is free and callbacks end, but the task continues.

        Raises:
            Refused: It is unknown or not tracked.
        """
        task = self.tasks.get(task_id)
        if task is None or not task.occupies_slot(self.clock.now()):
            raise not_found(self.behaviour.not_found)
        task.is_tracked = False
        self._write("untrack", id=task_id)

    async def task_to_wire(self, task: Task, *, with_sizes: bool, with_reply: bool | None = None) -> Json:
        """Return the task object.

        Args:
            task: The task.
            with_sizes: Whether artifacts state their size, for which their files have to exist.
            with_reply: Whether `replyUrl` and `replyRef` are included; None for the switch.
        """
        now = self.clock.now()
        artifacts = []
        if task.status(now) == "SUCCEEDED":
            artifacts = [await self._artifact_to_wire(task, item, with_size=with_sizes) for item in task.artifacts]
        shows_reply = self.behaviour.reply_ref_in_tasks if with_reply is None else with_reply
        return task.to_wire(now, artifacts, failure=self.behaviour.failure, with_reply=shows_reply)

    async def call_back(self, task: Task) -> None:
        """Post the changes of a task to its `replyUrl` as they happen. Those of `posted` are done."""
        for number, (time, _) in enumerate(task.steps[1:], start=2):
            is_last = number == len(task.steps)
            if number - 1 <= task.posted:
                continue
            if not is_last and (time >= task.steps[number][0] or self.behaviour.callbacks != "every"):
                continue  # the next change comes at the same moment, or only the end is posted
            while (left_s := time - self.clock.now()) > 0:  # noqa: ASYNC110 - timers may be a little early
                await asyncio.sleep(left_s)
            if not task.is_tracked or self.behaviour.callbacks == "none":
                return
            for _ in range(task.callbacks):
                body = await self.task_to_wire(task, with_sizes=False, with_reply=True)
                await post_callback(task.reply_url, body, self.clock)
            if self.tasks.get(task.id) is task:  # it may have been reset in the meantime
                task.posted = number - 1
                self._write("posted", id=task.id, posted=task.posted)

    def _candidates(self, assets: Sequence[Asset], email: str | None) -> list[Account]:
        """Return the accounts that may serve a request: the owner of its assets, the given one, or all."""
        owners = {asset.email for asset in assets}
        if len(owners) > 1:
            raise Refused(400, "All assets of a request must belong to the same account.")
        wanted = next(iter(owners), None) or email
        if wanted:
            account = self.accounts.get(wanted)
            if account is None:
                raise not_found("json", f"Account {wanted} not found.")
            return [account]
        if not self.accounts:
            raise Refused(self.behaviour.no_accounts_status, "Configure at least one Runway account.")
        return list(self.accounts.values())

    def _artifacts(self, endpoint: Endpoint, body: Json) -> list[Artifact]:
        width, height = result_size(endpoint.product, body)
        if endpoint.product == "video":
            return [Artifact(self._uuid(), "mp4", width, height, result_duration_s(body))]
        return [Artifact(self._uuid(), "png", width, height) for _ in range(body.get("num_images") or 1)]

    @staticmethod
    def _price(path: str, body: Json, artifacts: Sequence[Artifact]) -> int:
        """Return the price in credits. Apart from upscaling, the numbers are the sandbox's own."""
        if body.get("exploreMode"):
            return 0
        seconds = sum(artifact.duration_s for artifact in artifacts)
        if not seconds:
            return _IMAGE_CREDITS * len(artifacts)
        return round(seconds * _CREDITS_PER_S.get(path, _VIDEO_CREDITS_PER_S))

    def _plan(
        self, path: str, account: Account, body: Json, artifacts: list[Artifact], hit: Mapping[str, Fault]
    ) -> Task:
        now, product = self.clock.now(), ENDPOINTS[path].product
        latency_s = hit["latency"].options["seconds"] if "latency" in hit else self._latency_of(product)
        throttled_s = hit["throttle"].options["seconds"] if "throttle" in hit else 0.0
        if body.get("exploreMode"):
            throttled_s += latency_s  # a queue of lower priority
        ends = [task.ready_at for task in self.tasks.values() if task.email == account.email and task.ready_at > now]
        steps = plan_steps(
            now,
            duration_s=self.clock.real_s(latency_s),
            throttled_s=self.clock.real_s(throttled_s),
            others=ends,
            parallel=self.behaviour.parallel_jobs,
            final="FAILED" if "fail" in hit else "SUCCEEDED",
        )
        return Task(
            uuid=self._uuid(),
            owner=self._owner(account.email),
            email=account.email,
            path=path,
            options={name: value for name, value in body.items() if name not in PROXY_FIELDS},
            reply_url=body.get("replyUrl") or self.reply_url,
            reply_ref=body.get("replyRef"),
            steps=steps,
            artifacts=[] if "no_artifacts" in hit or "fail" in hit else artifacts,
            error=str(hit["fail"].options.get("message", "The prompt was moderated.")) if "fail" in hit else "",
            callbacks=0 if "mute" in hit else 2 if "double" in hit else 1,
        )

    def _add_task(self, task: Task, inputs: Sequence[Asset], seeds: Iterable[int], fault: str) -> None:
        """Register a task and its files, also as assets."""
        self.tasks[task.id] = task
        for artifact, seed in zip(task.artifacts, seeds, strict=True):
            make = functools.partial(self._paint, artifact, task, inputs, seed)
            self.files.add(MediaFile(artifact.file_name, make, ready_at=task.ready_at, fault=fault))
            asset = Asset(
                artifact.uuid, task.owner, task.email, artifact.file_name,
                "video/mp4" if artifact.duration_s else "image/png", task.ready_at,
                artifact.metadata("new", FRAME_RATE) or {}, None, artifact.extension,
            )  # fmt: skip
            self._assets[asset.id] = asset

    def _paint(self, artifact: Artifact, task: Task, inputs: Sequence[Asset], seed: int) -> tuple[bytes, str]:
        contents = [self.files.body_now(asset.uuid)[0] if asset.content is None else asset.content for asset in inputs]
        if self.behaviour.files == "tiny":
            artifact = dataclasses.replace(artifact, width=_TINY_PX, height=_TINY_PX)
        return paint_result(artifact, task.options, contents, seed)

    async def _artifact_to_wire(self, task: Task, artifact: Artifact, *, with_size: bool) -> Json:
        at = timestamp(task.ready_at)
        body: Json = {
            "assetId": f"{task.owner}-asset:{artifact.uuid}", "id": artifact.uuid, "createdAt": at, "updatedAt": at,
            "userId": self._user_id, "createdBy": self._user_id, "taskId": task.uuid, "parentAssetGroupId": None,
            "filename": artifact.file_name, "url": self._file_url(artifact.file_name), "isDirectory": False,
            "previewUrls": [], "private": True, "privateInTeam": True, "deleted": False, "reported": False,
            "metadata": artifact.metadata(self.behaviour.metadata, FRAME_RATE), "favorite": False,
        }  # fmt: skip
        if with_size:
            body["fileSize"] = str(len((await self.files.body(artifact.uuid))[0]))
        return body

    def _owner(self, email: str) -> str:
        return f"user:{self._user_id}-runwayml:{email}"

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
