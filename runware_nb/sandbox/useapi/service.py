"""The useapi.net RunwayML service: its routes, and what they have in common."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from ..core.connections import cut_short
from ..core.faults import Fault
from ..core.journal import Journal
from ..core.ledger import hash_of
from ..core.making.words import caption
from ..core.media import MediaFile
from ..core.service import Options, Service
from .accounts import read_account
from .assets import read_upload
from .bodies import parse_body
from .endpoints import ENDPOINTS, check
from .faults import FAULTS, LOGIN_ERRORS
from .media import first_images
from .refusals import Refused, not_found, refusal
from .state import PROXY_FIELDS, State
from .stats import Stats
from .tasks import timestamp
from .tools import VOICES, enlarge, paint_preview, read_language, read_side, transcript, voice_sample, voices

__all__ = ["UseApiService"]

Json = dict[str, Any]
Hit = Mapping[str, Fault]
_PREFIX = "/useapi"
_BASE = f"{_PREFIX}/v1/runwayml"
_USER_ID = 1000
_LONGEST_URL = 1024


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        request: The HTTP request.
        body: Its JSON object; empty for methods without one, and for uploads.
        hit: Faults that hit it, by kind.
    """

    request: Request
    body: Json
    hit: Hit


Handler = Callable[[Call], Awaitable[Response]]


class UseApiService(Service):
    """Stands in for `https://api.useapi.net`: `/v1/runwayml` and `/v2/account` below its URL."""

    unit = "credits"
    fault_table = FAULTS
    control_prefixes = (_PREFIX,)
    own_latencies_s: ClassVar[Mapping[str, float]] = {"image": 2.0, "video": 5.0}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.token = f"user:{_USER_ID}-{hashlib.sha256(f'useapi/{self.api_key}'.encode()).hexdigest()[:32]}"
        self._stats = Stats()
        self.state = State(
            self.clock, self.account, user_id=_USER_ID, seed=self.seed, latency_of=self.latency_of,
            file_url=self._file_url,
            journal=Journal(options.state_dir),
        )  # fmt: skip

    def urls(self) -> dict[str, str]:
        """Return the URL that replaces `https://api.useapi.net`, and the API token in the documented form."""
        return {"useapi_url": f"{self.base_url}{_PREFIX}", "useapi_token": self.token}

    def ledger(self) -> Json:
        """Return the charges, and for each account the credits spent and the most tasks that it had at one moment."""
        accounts = {
            account.email: {"used_credits": account.used_credits, "peak_jobs": account.peak}
            for account in self.state.accounts.values()
        }
        return {**super().ledger(), "accounts": accounts}

    def set_behaviour(self, values: Json) -> None:
        """Set switches for what the documents leave open.

        Raises:
            ValueError: A switch is unknown, or its value is invalid.
        """
        self.state.behaviour = self.state.behaviour.with_values(values)

    def start(self) -> None:
        """Resume the callbacks of an earlier process."""
        for task in self.state.unposted():
            self.spawn(self.state.call_back(task))

    def reset(self) -> None:
        """Delete all accounts, tasks, assets, charges and faults, and start the random choices again."""
        super().reset()
        self._stats.clear()
        self.state.clear()

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the service. Each is served with and without a trailing slash."""
        table: list[tuple[str, str, str, Handler]] = [
            ("GET", f"{_BASE}/accounts", "accounts", self._list_accounts),
            ("GET", f"{_BASE}/accounts/{{email}}", "accounts", self._read_account),
            ("POST", f"{_BASE}/accounts/{{email}}", "accounts", self._put_account),
            ("DELETE", f"{_BASE}/accounts/{{email}}", "accounts", self._delete_account),
            ("GET", f"{_BASE}/tasks", "tasks", self._list_tasks),
            ("GET", f"{_BASE}/tasks/{{id}}", "tasks", self._read_task),
            ("DELETE", f"{_BASE}/tasks/{{id}}", "tasks", self._delete_task),
            ("GET", f"{_BASE}/scheduler", "scheduler", self._list_scheduler),
            ("DELETE", f"{_BASE}/scheduler/{{id}}", "scheduler", self._untrack),
            ("POST", f"{_BASE}/assets", "assets", self._upload),
            ("GET", f"{_BASE}/assets", "assets", self._list_assets),
            ("GET", f"{_BASE}/assets/{{id}}", "assets", self._read_asset),
            ("DELETE", f"{_BASE}/assets/{{id}}", "assets", self._delete_asset),
            ("GET", f"{_BASE}/features", "features", self._features),
            ("GET", f"{_BASE}/frames/describe/{{id}}", "frames/describe", self._describe),
            ("GET", f"{_BASE}/lipsync/voices", "lipsync/voices", self._voices),
            ("GET", f"{_BASE}/transcribe", "transcribe", self._transcribe),
            ("GET", f"{_BASE}/image_upscaler", "image_upscaler", self._upscale),
            ("GET", f"{_BASE}/text_to_image_preview", "text_to_image_preview", self._preview),
            ("GET", f"{_PREFIX}/v2/account/stats", "account/stats", self._read_stats),
            ("GET", f"{_PREFIX}/v2/account", "account", self._platform_account),
            ("POST", f"{_PREFIX}/v2/account", "account", self._set_platform_account),
            *(("POST", f"{_BASE}/{path}", path, self._creator(path)) for path in ENDPOINTS),
        ]
        routes: list[BaseRoute] = [Route(f"{_PREFIX}/files/{{name}}", self._file)]
        for method, path, name, handler in table:
            endpoint = self._endpoint(name, handler, f"{method} {path.removeprefix(_PREFIX)}")
            routes += [Route(form, endpoint, methods=[method]) for form in (path, f"{path}/")]
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        routes.append(Route(f"{_PREFIX}/{{path:path}}", self._endpoint("", self._unknown, "unknown"), methods=every))
        return routes

    # --- what all calls have in common ---------------------------------------------------------------

    def _endpoint(self, name: str, handler: Handler, counted_as: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a route: token, faults, errors and broken connections around its handler.

        Args:
            name: Name of the call for faults.
            handler: What the call does.
            counted_as: Name of the call in the usage of the account.
        """

        async def endpoint(request: Request) -> Response:
            hit: Hit = {}
            is_known = False
            try:
                self._check_token(request)
                is_known = True
                is_read = request.method == "POST" and name != "assets"
                media_type = request.headers.get("content-type", "")
                body = parse_body(await request.body(), media_type) if is_read else {}
                hit = self._draw(name, request, body)
                if _breaks(hit, "before_accept"):
                    return await _break(request)
                response = _early_answer(hit, name) or await handler(Call(request, body, hit))
            except Refused as refused:
                response = refusal(refused, retry_after=self.state.behaviour.retry_after, now=self.clock.now())
            if is_known:  # a call with another token belongs to no account
                self._stats.add(self.clock.now(), counted_as, response.status_code)
            if "slow" in hit:
                await asyncio.sleep(self.clock.real_s(hit["slow"].options["seconds"]))
            if _breaks(hit, "after_accept"):
                return await _break(request)
            if _breaks(hit, "mid_body"):
                content = bytes(response.body)
                headers = {"Content-Length": str(len(content))}
                return StreamingResponse(cut_short(content[: len(content) // 2]), response.status_code, headers)
            return response

        return endpoint

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not any(hmac.compare_digest(given.encode(), f"Bearer {key}".encode()) for key in (self.token, self.api_key)):
            raise Refused(401, "Unauthorized")
        if self.state.behaviour.subscription == "expired":
            raise Refused(402, "The subscription has expired.")

    def _draw(self, name: str, request: Request, body: Json) -> Hit:
        def fingerprint() -> str:
            return hash_of({"call": f"{request.method} {name}", **body}, without=PROXY_FIELDS)

        return self.faults.draw(name, is_work=name in ENDPOINTS, fingerprint=fingerprint)

    async def _unknown(self, _: Call) -> Response:
        raise not_found(self.state.behaviour.not_found)

    # --- accounts ------------------------------------------------------------------------------------

    async def _list_accounts(self, _: Call) -> Response:
        if not self.state.accounts:
            raise not_found(self.state.behaviour.account_not_found, "No accounts are configured.")
        return JSONResponse({email: account.to_wire() for email, account in self.state.accounts.items()})

    async def _read_account(self, call: Call) -> Response:
        email = self._email_of(call.request)
        account = self.state.accounts.get(email)
        if account is None:
            raise not_found(self.state.behaviour.account_not_found, f"Account {email} not found.")
        return JSONResponse(account.to_wire(), self.state.behaviour.account_read_status)

    async def _put_account(self, call: Call) -> Response:
        behaviour = self.state.behaviour
        email = self._email_of(call.request)
        max_jobs, password = read_account(email, call.body, mismatch_status=behaviour.mismatch_status)
        if "login" in call.hit:
            raise Refused(401, LOGIN_ERRORS[call.hit["login"].options.get("reason", "password")])
        account = self.state.put_account(email, max_jobs)
        if behaviour.password == "echoed":  # noqa: S105 - the name of a form
            return JSONResponse(account.to_wire(password=password))
        if behaviour.password == "absent":  # noqa: S105 - the name of a form
            return JSONResponse(account.to_wire(password=None))
        return JSONResponse(account.to_wire())

    async def _delete_account(self, call: Call) -> Response:
        email = self._email_of(call.request)
        self.state.delete_account(email)
        return self._deleted({"account": email, "deleted": True, "remaining": len(self.state.accounts)})

    def _email_of(self, request: Request) -> str:
        """Return the e-mail in the path, decoded once or not at all."""
        raw: bytes = request.scope["raw_path"]
        segment = raw.decode("latin-1").partition("/accounts/")[2].rstrip("/")
        return unquote(segment) if self.state.behaviour.percent_decode else segment

    def _deleted(self, body: Json) -> Response:
        return JSONResponse(body) if self.state.behaviour.delete_response == "object" else Response(status_code=204)

    # --- tasks ---------------------------------------------------------------------------------------

    def _creator(self, path: str) -> Handler:
        endpoint = ENDPOINTS[path]

        async def create(call: Call) -> Response:
            check(path, endpoint, call.body)
            task = self.state.create(path, endpoint, call.body, call.hit)
            if task.reply_url:
                self.spawn(self.state.call_back(task))
            content = await self.state.task_to_wire(task, with_sizes=False)
            if self.state.behaviour.create_response == "nested":
                return JSONResponse({"task": content, "code": 200})
            return JSONResponse(content)

        return create

    async def _list_tasks(self, call: Call) -> Response:
        offset, limit = _page(call.request, longest=1000)
        account = self.state.only_account(call.request.query_params.get("email"))
        statuses = [text.strip() for text in call.request.query_params.get("statuses", "").split(",") if text.strip()]
        tasks = self.state.list_tasks(account.email, statuses)[offset : offset + limit]
        items = [await self.state.task_to_wire(task, with_sizes=False) for task in tasks]
        return JSONResponse({"tasks": items} if self.state.behaviour.task_list == "object" else items)

    async def _read_task(self, call: Call) -> Response:
        content = await self.state.task_to_wire(self.state.task(call.request.path_params["id"]), with_sizes=True)
        return JSONResponse(
            {"task": content, "code": 200} if self.state.behaviour.task_response == "nested" else content
        )

    async def _delete_task(self, call: Call) -> Response:
        self.state.delete_task(call.request.path_params["id"])
        return self._deleted({"taskId": call.request.path_params["id"], "deleted": True})

    async def _list_scheduler(self, _: Call) -> Response:
        return JSONResponse(
            [{"taskId": task.id, "replyUrl": task.reply_url or None, "replyRef": task.reply_ref}
             for task in self.state.scheduled()]
        )  # fmt: skip

    async def _untrack(self, call: Call) -> Response:
        self.state.untrack(call.request.path_params["id"])
        return self._deleted({"taskId": call.request.path_params["id"], "deleted": True})

    # --- assets --------------------------------------------------------------------------------------

    async def _upload(self, call: Call) -> Response:
        query = call.request.query_params
        if not query.get("name"):
            raise Refused(400, "Required parameter name is missing or empty.")
        account = self.state.only_account(query.get("email"))
        sizes = {name: _number(query[name], name) for name in ("duration", "width", "height") if name in query}
        content = await call.request.body()
        most = self.state.behaviour.max_upload_bytes
        if most and len(content) > most:
            raise Refused(400, f"The file is larger than {most} bytes.")
        declared = call.request.headers.get("content-type", "")
        upload = await asyncio.to_thread(read_upload, content, declared, sizes, webp=self.state.behaviour.webp)
        asset = self.state.add_upload(account, query["name"], upload)
        return JSONResponse(await self.state.asset_to_wire(asset))

    async def _list_assets(self, call: Call) -> Response:
        offset, limit = _page(call.request, longest=50)
        kind = call.request.query_params.get("mediaType")
        if kind not in {None, "video", "image", "audio"}:
            raise Refused(400, "Parameter mediaType must be one of video, image, audio.")
        account = self.state.only_account(call.request.query_params.get("email"))
        assets = self.state.list_assets(account.email, kind)[offset : offset + limit]
        return JSONResponse([await self.state.asset_to_wire(asset) for asset in assets])

    async def _read_asset(self, call: Call) -> Response:
        return JSONResponse(await self.state.asset_to_wire(self.state.asset(call.request.path_params["id"])))

    async def _delete_asset(self, call: Call) -> Response:
        self.state.delete_asset(call.request.path_params["id"])
        return self._deleted({"assetId": call.request.path_params["id"], "deleted": True})

    async def _describe(self, call: Call) -> Response:
        asset = self.state.asset(call.request.path_params["id"])
        if not asset.media_type.startswith("image/"):
            raise Refused(400, "The asset must be an image.")
        content, _ = await self.state.files.body(asset.uuid)
        return JSONResponse({"prompt": caption(first_images([content])[0])})

    # --- calls without a task --------------------------------------------------------------------------

    async def _voices(self, call: Call) -> Response:
        self.state.only_account(call.request.query_params.get("email"))
        for voice in VOICES:
            self.state.files.add(MediaFile(f"{voice}.mp3", functools.partial(voice_sample, voice)))
        return JSONResponse(voices(self.state.behaviour.voices, lambda voice: self._file_url(f"{voice}.mp3")))

    async def _transcribe(self, call: Call) -> Response:
        query = call.request.query_params
        if not query.get("assetId"):
            raise Refused(400, "Required parameter assetId is missing or empty.")
        language = read_language(query.get("language", ""))
        return JSONResponse(transcript(self.state.asset(query["assetId"]), language, self.state.behaviour.transcript))

    async def _upscale(self, call: Call) -> Response:
        """Return the bytes of an enlarged image, as an independent client observed it."""
        query = call.request.query_params
        if not query.get("image_url"):
            raise Refused(400, "Required parameter image_url is missing or empty.")
        size = read_side(query.get("width", ""), "width"), read_side(query.get("height", ""), "height")
        if not self.state.accounts:
            raise Refused(self.state.behaviour.no_accounts_status, "Configure at least one Runway account.")
        name = query["image_url"].partition("?")[0].rpartition("/")[2]
        if query["image_url"] != self._file_url(name):
            raise Refused(400, "image_url cannot be fetched: the sandbox fetches only its own files.")
        if self.state.files.finished(name) is None:
            raise Refused(400, "image_url cannot be fetched: there is no such file.")
        content, _ = await self.state.files.body(name.partition(".")[0])
        body, media_type = await asyncio.to_thread(enlarge, content, size)
        return Response(body, media_type=media_type)

    async def _preview(self, call: Call) -> Response:
        """Return the URL of a preview and its seed, as before the call was retired."""
        if self.state.behaviour.preview == "retired":
            raise not_found(self.state.behaviour.not_found)
        prompt = call.request.query_params.get("text_prompt", "")
        if not prompt:
            raise Refused(400, "Required parameter text_prompt is missing or empty.")
        seed = int(hash_of({"text_prompt": prompt})[:8], 16)
        name = f"preview-{seed}.png"
        self.state.files.add(MediaFile(name, functools.partial(paint_preview, prompt, seed)))
        return JSONResponse({"url": self._file_url(name), "seed": seed})

    async def _file(self, request: Request) -> Response:
        """Return a file behind its signed link. The link needs no token."""
        name = request.path_params["name"]
        if not hmac.compare_digest(request.query_params.get("signature", "").encode(), self._signature(name).encode()):
            return Response("The signature is invalid.", 403, media_type="text/plain")
        return await self.state.files.serve(name)

    def _file_url(self, name: str) -> str:
        return f"{self.base_url}{_PREFIX}/files/{name}?signature={self._signature(name)}"

    def _signature(self, name: str) -> str:
        return hmac.new(self.api_key.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]

    # --- credits and the platform account --------------------------------------------------------------

    async def _features(self, call: Call) -> Response:
        account = self.state.only_account(call.request.query_params.get("email"))
        return JSONResponse(
            {
                "permitted": {"storageGB": 500, "numPlanCredits": self.state.behaviour.plan_credits},
                "used": {"numPlanCredits": account.used_credits},
                "teams": [{"id": _USER_ID + 1, "name": "Sandbox workspace"}],
            }
        )

    async def _read_stats(self, _: Call) -> Response:
        behaviour = self.state.behaviour
        until = self.clock.now() - self.clock.real_s(behaviour.stats_lag_s)
        return JSONResponse(self._stats.report(until, behaviour.stats))

    async def _platform_account(self, _: Call) -> Response:
        accounts = self.state.accounts.values()
        broken = sum(bool(account.error) for account in accounts)
        content = {
            "id": _USER_ID, "email": "sandbox@example.com", "created": timestamp(self.state.created_at),
            "name": self.state.name, "subscriptionIsActive": True, "subscriptions": 1, "maxAccountsPerAPI": 3,
            "accounts": {"runwayml": {"total": len(accounts), "active": len(accounts) - broken, "error": broken}},
            "verified": True, "sub": datetime.fromtimestamp(self.state.created_at + 30 * 86400, UTC).strftime("%y%m%d"),
        }  # fmt: skip
        if self.state.reply_url:
            content["replyUrl"] = self.state.reply_url
        return JSONResponse(content)

    async def _set_platform_account(self, call: Call) -> Response:
        for name in ("name", "replyUrl"):
            if name in call.body and (not isinstance(call.body[name], str) or len(call.body[name]) > _LONGEST_URL):
                raise Refused(400, f"Parameter {name} must be a string of at most {_LONGEST_URL} characters.")
        self.state.set_platform(call.body.get("name", self.state.name), call.body.get("replyUrl", self.state.reply_url))
        return await self._platform_account(call)


def _early_answer(hit: Hit, name: str) -> Response | None:
    """Return the answer of a fault that comes before the call is read; None if there is no such fault.

    Args:
        hit: Faults that hit the call, by kind.
        name: Name of the call.

    Raises:
        Refused: The fault is a refusal.
    """
    if "html" in hit:
        return HTMLResponse(
            "<html><body><h1>502 Bad Gateway</h1></body></html>", hit["html"].options.get("status", 502)
        )
    if "refuse" in hit:
        options = hit["refuse"].options
        raise Refused(options.get("status", 400), str(options.get("message", "A fault was requested.")))
    if "busy" in hit:
        raise Refused(429, "The queue is full.", retry_after_s=hit["busy"].options.get("retry_after_s"))
    if "moderate" in hit:
        raise Refused(403 if name == "text_to_image_preview" else 422, "The prompt was moderated.")
    return None


def _breaks(hit: Hit, when: str) -> bool:
    return "cut" in hit and hit["cut"].options.get("when", "after_accept") == when


async def _break(request: Request) -> Response:
    """Break the connection before the first byte of a response."""
    transport = request.scope.get("sandbox.transport")
    if transport is None:  # a server other than uvicorn
        return StreamingResponse(cut_short(b"{"), headers={"Content-Length": "1000"})
    transport.abort()
    await asyncio.sleep(0)  # the server notices the end, and sends nothing of the response below
    return Response()


def _page(request: Request, *, longest: int) -> tuple[int, int]:
    """Return `offset` and `limit`, both required.

    Raises:
        Refused: One is missing or out of bounds.
    """
    values = []
    for name, low, high in (("offset", 0, 1000), ("limit", 1, longest)):
        text = request.query_params.get(name, "")
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise Refused(400, f"Parameter {name} is required and must be between {low} and {high}.")
        values.append(int(text))
    return values[0], values[1]


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise Refused(400, f"Parameter {name} must be a number.") from error
    if not 0 < value < 1e6:
        raise Refused(400, f"Parameter {name} must be a number.")
    return value
