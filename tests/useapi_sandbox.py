"""The sandbox's useapi.net service, called as a user of its documents would: with curl, or with urllib without it."""

import dataclasses
import io
import json
import shutil
import subprocess
import urllib.error
import urllib.request

from PIL import Image

from runware_nb.sandbox.useapi.behaviour import Behaviour
from tests.conftest import SandboxProcess

FIRST, SECOND, THIRD = "first@example.com", "second+tag@example.com", "third@example.com"


class UseApiSandbox:
    """A sandbox in its own process.

    Attributes:
        base: URL of `/v1/runwayml`.
        token: API token.
    """

    def __init__(self, *arguments):
        self.process = SandboxProcess(*arguments)
        self.url = self.process.info["useapi_url"]
        self.token = self.process.info["useapi_token"]
        self.base = f"{self.url}/v1/runwayml"

    def close(self):
        self.process.close()

    def control(self, path, body=None):
        url, key = f"{self.url}/_sandbox/{path}", self.process.api_key
        status, _, response = send("GET" if path == "ledger" else "POST", url, json.dumps(body).encode(), key)
        assert status == 200, response
        return json.loads(response)

    def restart(self):
        """Delete everything, and set all switches to their defaults."""
        self.control("reset")
        self.control("behaviour", dataclasses.asdict(Behaviour()))

    def switch(self, **values):
        self.control("behaviour", values)

    def faults(self, *script):
        self.control("faults", list(script))

    def raw(self, method, path, body=b"", *, token=None, **headers):
        """Return status, headers and body of a call below `/v1/runwayml`, or of any path below the root with `//`."""
        url = f"{self.url}{path[1:]}" if path.startswith("//") else f"{self.base}{path}"
        return send(method, url, body, self.token if token is None else token, **headers)

    def call(self, method, path, body=None, **options):
        """Return status and JSON of a call."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        status, _, response = self.raw(method, path, content, **options)
        return status, json.loads(response) if response else None

    def add_account(self, email=FIRST, max_jobs=5):
        body = {"email": email, "password": "wonder-wall", "maxJobs": max_jobs}
        status, account = self.call("POST", f"/accounts/{email}", body)
        assert status == 200, account
        return account

    def create(self, path="/videos/create", **body):
        defaults = {"model": "gen4.5", "text_prompt": "a ship at sunset"} if path == "/videos/create" else {}
        return self.call("POST", path, {**defaults, **body})

    def upload(self, email=FIRST, content=None, media_type="image/png", name="input"):
        path = f"/assets/?name={name}&email={email.replace('+', '%2B')}"
        return self.call("POST", path, png() if content is None else content, **{"Content-Type": media_type})


def png(extension="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 36), (40, 90, 160)).save(buffer, extension)
    return buffer.getvalue()


def send(method, url, body, token, **headers):
    """Send one request, and return status, headers and body. A broken connection is status 0."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
    if shutil.which("curl") is None:
        return _send_with_urllib(method, url, body, headers)
    options = [f"{name}: {value}" for name, value in headers.items()]
    done = subprocess.run(
        ["curl", "-sS", "-g", "--noproxy", "*", "-i", "-X", method, *(part for text in options for part in ("-H", text)),
         *(["--data-binary", "@-"] if body else []), "--max-time", "60", url],
        input=body, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        return 0, {}, done.stdout
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, content


def _send_with_urllib(method, url, body, headers):
    request = urllib.request.Request(url, body or None, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()
    except OSError:
        return 0, {}, b""


__all__ = ["FIRST", "SECOND", "THIRD", "UseApiSandbox", "png", "send"]
