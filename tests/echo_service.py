"""A tiny second service for the sandbox: it chooses the ids of tasks itself, and charges credits."""

import asyncio
import io
import json
import sys

from PIL import Image
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from runware_nb.sandbox.core.connections import cut_short
from runware_nb.sandbox.core.faults import FaultTable
from runware_nb.sandbox.core.ledger import hash_of
from runware_nb.sandbox.core.media import MEDIA_FAULTS, MediaFile, MediaFiles
from runware_nb.sandbox.core.process import run
from runware_nb.sandbox.core.service import Options, Service

PRICE_CREDITS = 15


class EchoService(Service):
    """Returns its input as a file."""

    unit = "credits"
    fault_table = FaultTable(
        {"refuse": "answer an error: status", "html": "answer a web page", "lose": "accept, and lose the response",
         "drop": "break the connection before the task is read", "fail": "accept, and fail", "slow": "take longer: seconds", "late": "accept, and answer later: seconds",
         "deny": "refuse questions about tasks: status",
         **MEDIA_FAULTS}
    )  # fmt: skip
    control_prefixes = ("/echo",)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.files = MediaFiles(self.clock)
        self.count = 0
        self.tasks = {}

    def routes(self):
        return [
            Route("/echo/run", self.submit, methods=["POST"]),
            Route("/echo/tasks", self.create, methods=["POST"]),
            Route("/echo/tasks", self.find),
            Route("/echo/tasks/{task_id:path}", self.task),
            Route("/echo/media/{name}", self.media),
        ]

    def urls(self):
        return {"echo_url": f"{self.base_url}/echo"}

    def reset(self):
        super().reset()
        self.files.clear()
        self.count = 0
        self.tasks.clear()

    async def create(self, request: Request) -> Response:
        """Accept a task that takes a while. The same request twice makes two tasks, and both are charged."""
        body = await request.json()
        hit = self.faults.draw("echo", is_work=True, fingerprint=lambda: hash_of(body))
        if "drop" in hit:
            return _broken()
        if "refuse" in hit:
            status = hit["refuse"].options["status"]
            return JSONResponse({"code": 40003 if status == 429 else 40001, "msg": "A fault was ordered."}, status)
        self.count += 1
        task_id = f"echo/task {self.count}?é" + "x" * 60  # ids of services are opaque: any length, any character
        image = io.BytesIO()
        Image.new("RGB", (8, 8), (self.count * 40 % 256, 90, 160)).save(image, "PNG")
        name = f"task_{self.count}.png"
        self.files.add(MediaFile(name, lambda: (image.getvalue(), "image/png")))
        self.account.bill(task_id, "echo", PRICE_CREDITS, request_hash=hash_of(body))
        seconds = hit["slow"].options["seconds"] if "slow" in hit else self.latency_s
        self.tasks[task_id] = {
            "task_id": task_id, "ref": body.get("ref"), "ready_at": self.clock.now() + self.clock.real_s(seconds),
            "status": "failed" if "fail" in hit else "done", "url": f"{self.base_url}/echo/media/{name}",
            "credits": PRICE_CREDITS,
        }  # fmt: skip
        if "lose" in hit:
            return _broken()
        if "late" in hit:
            await asyncio.sleep(hit["late"].options["seconds"])
        return JSONResponse({"code": 0, "data": {"task_id": task_id}})

    def _state(self, task):
        if self.clock.now() < task["ready_at"]:
            return {"task_id": task["task_id"], "ref": task["ref"], "status": "running", "progress": 50}
        return task

    def _denial(self):
        """Return the refusal of a question about a task, if a fault orders one."""
        hit = self.faults.draw("question", is_work=False, fingerprint=lambda: "")
        if "deny" not in hit:
            return None
        status = hit["deny"].options["status"]
        return JSONResponse({"code": 40003 if status == 429 else 40401, "msg": "A question was refused."}, status)

    async def task(self, request: Request) -> Response:
        denial = self._denial()
        if denial is not None:
            return denial
        task = self.tasks.get(request.path_params["task_id"])
        if task is None:
            return JSONResponse({"code": 40401, "msg": "No such task."}, 404)
        return JSONResponse({"code": 0, "data": self._state(task)})

    async def find(self, request: Request) -> Response:
        denial = self._denial()
        if denial is not None:
            return denial
        ref = request.query_params.get("ref")
        return JSONResponse({"code": 0, "data": [self._state(t) for t in self.tasks.values() if t["ref"] == ref]})

    async def submit(self, request: Request) -> Response:
        if request.headers.get("x-echo-key") != self.api_key:
            return JSONResponse({"code": 40101, "msg": "Invalid key."}, 401)
        body = await request.json()
        hit = self.faults.draw("echo", is_work=True, fingerprint=lambda: hash_of(body))
        if "html" in hit:
            return HTMLResponse("<h1>502</h1>", 502)
        if "refuse" in hit:
            status = hit["refuse"].options["status"]
            return JSONResponse({"code": 40003, "msg": "A fault was ordered."}, status)
        self.count += 1
        task_id = f"task_{self.count}"  # chosen by the service: the same request twice makes two tasks
        fault = next((kind for kind in MEDIA_FAULTS if kind in hit), "")
        content = json.dumps(body).encode()
        self.files.add(MediaFile(f"{task_id}.png", lambda: (content, "image/png"), fault=fault))
        self.account.bill(task_id, "echo", PRICE_CREDITS, request_hash=hash_of(body))
        return JSONResponse(
            {"code": 0, "data": {"task_id": task_id, "url": f"{self.base_url}/echo/media/{task_id}.png"}}
        )

    async def media(self, request: Request) -> Response:
        return await self.files.serve(request.path_params["name"])


def _broken():
    """Return a response whose connection breaks in the middle."""
    return StreamingResponse(cut_short(b'{"code"'), headers={"Content-Length": "1000"}, media_type="application/json")


__all__ = ["PRICE_CREDITS", "EchoService"]

if __name__ == "__main__":
    from runware_nb.sandbox.services import SERVICES

    sys.exit(run({**SERVICES, "echo": EchoService}))
