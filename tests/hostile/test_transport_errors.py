"""Every exception of the network libraries becomes one of ours, and none of ours holds the key."""

import asyncio
import inspect
import ssl
import time
import traceback

import httpcore
import httpx
import pytest
import websockets.exceptions

from runware_nb import Client
from runware_nb.errors import AuthenticationFailed, ConfigError, RunwareNBError, TransportError
from runware_nb.net import http as net_http
from runware_nb.net import websocket as net_websocket
from runware_nb.net.http import HttpConnection, translated, translating
from runware_nb.net.proxies import Proxy
from runware_nb.net.websocket import HandshakeFailed, handshake_error
from runware_nb.providers.runware import websocket
from runware_nb.providers.runware.rest import RestTransport
from runware_nb.providers.runware.websocket import WebSocketTransport
from runware_nb.settings import Key, Settings
from tests.conftest import TASK
from tests.hostile.slow_server import SlowServer, SlowSocket, authenticates, http, no_certificates

KEY = "rw-Zq81LmN0pXyT7vKc5JdR3sHb"
URL = "https://me:secret@service.example/v1"

__all__ = ["no_certificates"]  # a fixture for every test of this module


def exceptions_of(*modules):
    """List the exception classes that a library defines."""
    return sorted(
        {
            kind for module in modules for kind in vars(module).values()
            if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__.startswith(module.__name__[:8])
        },
        key=lambda kind: f"{kind.__module__}.{kind.__name__}",
    )  # fmt: skip


def instance_of(kind):
    """Build an exception whatever its constructor wants; it prints as its class does."""
    error = kind.__new__(type(kind.__name__, (kind,), {"__init__": lambda self: None, "__str__": lambda self: "odd"}))
    Exception.__init__(error, "odd")
    return error


# --- httpx ---------------------------------------------------------------------------------------------------

HTTPX = exceptions_of(httpx)


def test_every_exception_of_httpx_is_listed_by_name():
    """A new one fails here until somebody has decided what it means for a task."""
    assert len(HTTPX) > 20
    assert [kind.__name__ for kind in HTTPX if kind not in net_http._FAILURES] == []


@pytest.mark.parametrize("kind", [*HTTPX, ssl.SSLError, ssl.SSLCertVerificationError, OSError, UnicodeEncodeError],
                         ids=lambda kind: kind.__name__)  # fmt: skip
@pytest.mark.parametrize("proxy", [None, Proxy("http://me:secret@proxy.example:1", "ALL_PROXY")])
@pytest.mark.parametrize("has_left", [True, False])
def test_every_exception_of_httpx_becomes_ours(kind, proxy, has_left):
    error = instance_of(kind)
    ours = translated(error, URL, proxy, has_left=has_left)
    assert isinstance(ours, TransportError)
    assert ours.may_have_arrived is has_left  # only a body that never left proves that nothing arrived
    assert "service.example" in str(ours)
    assert "secret" not in str(ours)
    with pytest.raises(TransportError), translating(URL, proxy):
        raise error


def test_every_exception_of_httpcore_reaches_httpx():
    """httpcore's own are translated by httpx; what it does not know would pass through it."""
    from httpx._transports.default import map_httpcore_exceptions

    for kind in exceptions_of(httpcore):
        with pytest.raises(TransportError), translating(URL, None), map_httpcore_exceptions():
            raise instance_of(kind)


# --- websockets ----------------------------------------------------------------------------------------------

WEBSOCKETS = exceptions_of(websockets.exceptions)


def test_every_exception_of_websockets_has_the_root_that_is_caught():
    assert len(WEBSOCKETS) > 20
    assert [kind for kind in WEBSOCKETS if not issubclass(kind, net_websocket._CONNECT_ERRORS)] == []


def test_every_exception_of_websockets_is_in_the_table():
    """A new class fails here until it is decided whether the handshake is repeated after it."""
    assert [kind.__name__ for kind in WEBSOCKETS if kind.__name__ not in net_websocket._FATES] == []


@pytest.mark.parametrize(
    "kind", [*WEBSOCKETS, ImportError, OSError, ssl.SSLError, TimeoutError, EOFError, ValueError, UnicodeError],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_every_exception_of_a_handshake_ends_the_wait(run_async, monkeypatch, kind):
    """One that the supervisor did not catch ended it, and everything that waited for a connection waited for ever."""

    class Refused(WebSocketTransport):
        async def _connect(self):
            await refuse()

    async def refuse():
        error = instance_of(kind)
        error.msg = "odd"
        if kind in {websockets.exceptions.InvalidStatus, websockets.exceptions.InvalidProxyStatus}:
            error.response = type("Response", (), {"status_code": 302})()
        raise handshake_error(error, "wss://me:secret@service.example/v1")

    monkeypatch.setattr(websocket, "reconnect_delay_s", lambda *_args, **_values: 0.0)

    async def main():
        listener = type("Listener", (), {"on_broken": lambda self, error: None})()
        transport = Refused(Settings(api_key=Key(KEY, "test")), listener, user_agent="test")
        try:
            await transport.open()
        finally:
            await transport.aclose()

    with pytest.raises(HandshakeFailed) as caught:
        run_async(main(), 10)
    assert caught.value.may_have_arrived is False
    assert "service.example" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["a..b", f"{'a' * 64}.b", "%00", "a\x7fb", "ex ample", "\u2100.com", "nowhere.invalid"]
)
def test_an_unusable_endpoint_is_one_sentence(run_async, host):
    notices = []

    async def main():
        settings = Settings(api_key=Key(KEY, "test"), rest_url=f"http://me:secret@{host}/v1",
                            ws_url=f"ws://me:secret@{host}/v1")  # fmt: skip
        async with Client(settings=settings, on_notice=notices.append, max_retries=0) as client:
            await client.run(TASK, timeout_s=3)

    started_at = time.monotonic()
    with pytest.raises(RunwareNBError) as caught:
        run_async(main(), 10)
    assert time.monotonic() - started_at < 8
    if not isinstance(caught.value, ConfigError):  # those are about the settings, before anything is connected
        assert "secret" not in f"{caught.value} {notices}"
        assert caught.value.may_have_arrived is False


# --- refused handshakes ------------------------------------------------------------------------------------------


def open_client(run_async, server, **values):
    """Open a client at a server that answers each handshake with the same status."""
    notices = []

    async def main():
        async with Client(KEY, max_retries=0, on_notice=notices.append, **server.urls, **values) as client:
            return await client.open()

    return run_async(main(), 10), notices


def answering(status):
    async def respond(exchange):
        await exchange.respond(b"", status=f"{status} Odd")

    return http(respond)


@pytest.mark.parametrize("status", [401, 403])
def test_a_handshake_that_denies_access_is_final(run_async, status):
    """REST is not tried with a key that the service refuses."""
    with SlowServer(answering(status)) as server:
        with pytest.raises(AuthenticationFailed, match=f"HTTP {status}") as caught:
            open_client(run_async, server)
        assert caught.value.http_status == status
        assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "handshakes"), [(404, 1), (405, 1), (426, 1), (501, 1), (429, 2), (503, 2)])
def test_only_transient_refusals_of_a_handshake_are_repeated(run_async, status, handshakes):
    with SlowServer(answering(status)) as server:
        transport, notices = open_client(run_async, server)
        assert len(server.requests) == handshakes
    assert transport == "rest"
    assert "using REST instead" in notices[0]


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses_is_not_the_service(run_async, monkeypatch, status):
    with SlowServer(answering(status)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)

        async def main():
            notices = []
            settings = {"rest_url": "http://service.example/v1", "ws_url": "ws://service.example/v1"}
            async with Client(KEY, max_retries=0, on_notice=notices.append, **settings) as client:
                return await client.open(), notices

        transport, notices = run_async(main(), 10)
    assert transport == "rest"
    assert "through the proxy" in notices[0]


# --- redirected handshakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "is_same_host"), [(301, False), (302, True), (307, False), (308, True)])
def test_a_redirected_handshake_is_not_followed(run_async, status, is_same_host):
    with SlowSocket(authenticates) as other:

        async def redirect(exchange):
            if exchange.head.startswith(b"GET"):
                target = exchange.server.urls["ws_url"] if is_same_host else other.urls["ws_url"]
                await exchange.respond(b"", status=f"{status} Moved", Location=f"{target}/other")
            else:
                await exchange.respond({"errors": [{"code": "invalidApiKey", "message": "no", "taskUUID": "x"}]})

        with SlowServer(http(redirect)) as server:
            notices = []

            async def main():
                async with Client(KEY, max_retries=0, on_notice=notices.append, **server.urls) as client:
                    await client.open()

            run_async(main())
            assert all(b"/other" not in request for request in server.requests)
            assert KEY.encode() not in b"".join(server.requests)
        assert other.frames == []
    assert f"redirects to another URL (HTTP {status})" in notices[0]


def test_a_redirected_post_is_not_followed(run_async):
    async def elsewhere(exchange):
        await exchange.respond({"data": []})

    with SlowServer(http(elsewhere)) as other:

        async def redirect(exchange):
            await exchange.respond(b"", status="307 Temporary Redirect", Location=f"{other.url}/v1")

        with SlowServer(http(redirect)) as server:

            async def main():
                async with Client(KEY, transport="rest", max_retries=0, **server.urls) as client:
                    await client.run(TASK, timeout_s=3)

            with pytest.raises(RunwareNBError):
                run_async(main())
        assert other.connections == 0


# --- frames --------------------------------------------------------------------------------------------------


def captured(error):
    """Write an exception as a handler with `capture_locals` would, its causes included."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


async def hangs_up(exchange):
    return


async def breaks_off(exchange):
    await exchange.read_request()
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


async def sends_garbage(exchange):
    await exchange.read_request()
    await exchange.write(b"garbage\r\n\r\n")


async def drips(exchange):
    await exchange.read_request()
    await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await exchange.drip()


async def refuses(exchange):
    await exchange.read_request()
    await exchange.respond({"errors": [{"code": "invalidApiKey", "message": "no"}]}, status="401 Unauthorized")


async def never_reads(exchange):
    """The request's head is in the frames of a write that is cancelled."""
    exchange.writer.transport.pause_reading()
    await asyncio.sleep(30)


FAILURES = [hangs_up, breaks_off, sends_garbage, drips, refuses]


@pytest.mark.parametrize(("way", "script"), [
    ("task", never_reads), *((way, script) for way in ("task", "stream", "authenticate") for script in FAILURES),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["header", "payload", "forwarded"])
def test_no_frame_of_an_error_over_http_shows_the_key(run_async, monkeypatch, script, mode, way):
    with SlowServer(script) as server:
        urls = server.urls
        if mode == "forwarded":  # httpcore copies the headers into a variable of its own
            monkeypatch.setenv("HTTP_PROXY", server.url)
            urls = {"rest_url": "http://service.example/v1", "ws_url": "ws://service.example/v1"}

        async def main():
            settings = Settings(api_key=Key(KEY, "test"), auth_in_payload=mode == "payload", transport="rest", max_retries=0,
                                connect_timeout_s=1.0, **urls)  # fmt: skip
            transport = RestTransport(settings, None, user_agent="test")
            task = {**TASK, "taskUUID": "u", "filler": "x" * (5_000_000 if script is never_reads else 1)}
            try:
                if way == "task":
                    await transport.exchange([task], timeout_s=0.5)
                elif way == "authenticate":
                    await transport.authenticate()
                else:
                    async with transport.stream([task], timeout_s=0.5) as pieces:
                        async for _ in pieces:
                            pass
            finally:
                await transport.aclose()
            raise RunwareNBError("nothing failed")

        with pytest.raises(RunwareNBError) as caught:
            run_async(main())
    assert KEY not in captured(caught.value)
    assert "nothing failed" not in str(caught.value) or script is refuses


def test_no_frame_of_an_error_over_a_socket_shows_the_key(run_async):
    for answer in (None, authenticates, lambda tasks: {"errors": [{"code": "invalidApiKey", "message": "no"}]}):
        with SlowSocket(answer) as server:

            async def main(server=server):
                async with Client(settings=Settings(api_key=Key(KEY, "test"), **server.urls)) as client:
                    await client.run(TASK, timeout_s=0.5)

            with pytest.raises(RunwareNBError) as caught:
                run_async(main())
        assert KEY not in captured(caught.value)


def test_the_key_is_in_no_attribute_of_a_transport():
    for build in (RestTransport, WebSocketTransport):
        transport = build(Settings(api_key=Key(KEY, "test")), None, user_agent="test")
        assert KEY not in repr(vars(transport))


def test_the_key_is_only_in_the_header_of_a_request():
    connection = HttpConnection(URL, user_agent="test", connect_timeout_s=1, key=lambda: KEY)
    assert KEY not in repr(vars(connection))
    request = connection._request("GET", "", net_http._Body(b""), None)
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(request) + repr(request.headers)
