"""The RunKey service of a sandbox, called over real sockets."""

import http.server
import itertools
import json
import threading
import urllib.error
import urllib.request
from dataclasses import asdict, replace

from runware_nb.net.clock import Clock
from runware_nb.providers.runkey.package import PACKAGE
from runware_nb.providers.runkey.provider import RunKeyProvider
from runware_nb.sandbox.runkey.behaviour import Behaviour
from tests.conftest import SandboxProcess


class RunKeyProcess(SandboxProcess):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.url = self.info["runkey_url"]
        self.secret = self.info["runkey_webhook_secret"]

    def call(self, path, body=None, *, method=None, key=None, headers=None):
        """Return status, JSON (or the raw body) and headers."""
        payload = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {
            "Authorization": f"Bearer {key or self.api_key}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        request = urllib.request.Request(path if "://" in path else self.url + path, payload, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, text, received = response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                status, text, received = error.code, error.read(), error.headers
        try:
            return status, json.loads(text), received
        except ValueError:
            return status, text, received

    def run(self, template_id="tpl_slow", given=None, **more):
        return self.call("/run", {"template_id": template_id, "input": given or {}, **more})

    def start(self, *arguments, **more):
        status, body, _ = self.run(*arguments, **more)
        assert status == 202, body
        return body["data"]["task_id"]

    def task(self, task_id):
        return self.call(f"/tasks/{urllib.request.quote(task_id, safe='')}")

    def data(self, task_id):
        status, body, _ = self.task(task_id)
        assert (status, body["code"]) == (200, 0), body
        return body["data"]

    def set(self, path, body):
        """Send a control request that succeeds."""
        status, answer, _ = self.call(f"/_sandbox/{path}", body)
        assert status == 200, answer
        return answer

    def read(self, path):
        return self.call(f"/_sandbox/{path}")[1]

    def template(self, template_id, **values):
        self.set("templates", {"template_id": template_id, **values})
        return template_id

    def advance(self, seconds):
        self.set("advance", {"seconds": seconds})

    def clear(self):
        self.set("reset", b"")
        self.set("behaviour", asdict(Behaviour()))
        self.template("tpl_slow", queue_s=10, run_s=100)

    def balance(self):
        return self.call("/account")[1]["data"]["balance"]


class Receiver:
    """A local receiver of callbacks, which keeps what it gets."""

    def __init__(self, *statuses):
        self.got = []
        self.statuses = list(statuses)
        self.arrived = threading.Semaphore(0)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body, self.headers))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.arrived.release()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def wait(self):
        assert self.arrived.acquire(timeout=30)
        return self.got[-1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


SCALE = 300
_clocks = itertools.count(1)


def new_clock(scale=SCALE):
    """A clock that no other test has: a process shares the limits of an account only among clocks of one speed."""
    return Clock(scale * (1 + next(_clocks) * 1e-9))


def runkey_package(clock=None, callbacks=None):
    """The package of RunKey, whose waits are as fast as the sandbox."""
    clock = clock or new_clock()
    return replace(PACKAGE, build=lambda context: RunKeyProvider(context, clock=clock, callbacks=callbacks))
