"""A tiny second service for the sandbox: it chooses the ids of tasks itself, and charges credits."""

import json
import sys

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from runware_nb.sandbox.core.faults import FaultTable
from runware_nb.sandbox.core.ledger import hash_of
from runware_nb.sandbox.core.media import MEDIA_FAULTS, MediaFile, MediaFiles
from runware_nb.sandbox.core.process import run
from runware_nb.sandbox.core.service import Options, Service

PRICE_CREDITS = 15


class EchoService(Service):
    """Returns its input as a file."""

    unit = "credits"
    fault_table = FaultTable({"refuse": "answer an error: status", "html": "answer a web page", **MEDIA_FAULTS})
    control_prefixes = ("/echo",)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.files = MediaFiles(self.clock)
        self.count = 0

    def routes(self):
        return [Route("/echo/run", self.submit, methods=["POST"]), Route("/echo/media/{name}", self.media)]

    def urls(self):
        return {"echo_url": f"{self.base_url}/echo"}

    def reset(self):
        super().reset()
        self.files.clear()
        self.count = 0

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


__all__ = ["PRICE_CREDITS", "EchoService"]

if __name__ == "__main__":
    from runware_nb.sandbox.services import SERVICES

    sys.exit(run({**SERVICES, "echo": EchoService}))
