"""One WebSocket against a real local server: what a failed handshake means, and what is known when it ends."""

import asyncio
import time

import pytest

from runware_nb.errors import AuthenticationFailed, RunwareNBError, TransportError
from runware_nb.net.trace import wire_trace
from runware_nb.net.websocket import HandshakeFailed, open_websocket
from tests.hostile.slow_server import SlowServer, SlowSocket, http, no_certificates, silent

__all__ = ["no_certificates"]  # a fixture for every test of this module

KEY = "rw-Zq81LmN0pXyT7vKc5JdR3sHb"


async def opened(url, **values):
    values = {"user_agent": "test", "connect_timeout_s": 2, "max_bytes": 1000, "key": lambda: KEY, **values}
    return await open_websocket(url, **values)


def echo(tasks):
    return {"echo": tasks}


def refused(run_async, url, **values):
    with pytest.raises(RunwareNBError) as caught:
        run_async(opened(url, **values))
    assert caught.value.__cause__ is None  # the library's frames hold the proxy's password
    assert caught.value.__context__ is None
    return caught.value


def answering(status, **headers):
    async def respond(exchange):
        await exchange.respond(b"", status=f"{status} Odd", **headers)

    return http(respond)


def test_messages_are_sent_and_received(run_async):
    with SlowSocket(echo) as server:

        async def main():
            socket = await opened(server.urls["ws_url"])
            await socket.send('[{"a": 1}]')
            message = await socket.receive()
            started_at = time.monotonic()
            await socket.aclose()
            return message, time.monotonic() - started_at

        message, closing_s = run_async(main())
    assert message == '{"echo": [{"a": 1}]}'
    assert closing_s < 0.5


def test_the_trace_shows_what_it_may(run_async, monkeypatch):
    monkeypatch.setattr(wire_trace, "is_on", True)
    wire_trace.frames.clear()
    with SlowSocket(echo) as server:

        async def main():
            socket = await opened(server.urls["ws_url"])
            await socket.send('[{"ping": true}]', is_traced=False)
            await socket.receive()
            await socket.send(f'[{{"a": "{KEY}"}}]')
            await socket.aclose()

        run_async(main())
    frames = [(frame.direction, repr(frame.frame)) for frame in wire_trace.frames]
    wire_trace.frames.clear()
    assert [direction for direction, _ in frames] == ["received", "sent"]
    assert KEY not in repr(frames)


@pytest.mark.parametrize("status", [401, 403])
def test_a_handshake_that_denies_access_is_about_the_key(run_async, status):
    with SlowServer(answering(status)) as server:
        error = refused(run_async, server.urls["ws_url"])
    assert isinstance(error, AuthenticationFailed)
    assert error.http_status == status


@pytest.mark.parametrize(("status", "is_permanent"), [
    (404, True), (405, True), (426, True), (501, True), (429, False), (408, False), (500, False), (503, False),
])  # fmt: skip
def test_the_status_tells_whether_another_handshake_may_succeed(run_async, status, is_permanent):
    with SlowServer(answering(status)) as server:
        error = refused(run_async, server.urls["ws_url"])
    assert isinstance(error, HandshakeFailed)
    assert error.may_have_arrived is False
    assert error.is_permanent is is_permanent


def test_a_redirect_is_not_followed(run_async):
    with SlowSocket(echo) as other, SlowServer(answering(302, Location=other.urls["ws_url"])) as server:
        error = refused(run_async, server.urls["ws_url"])
    assert "redirects to another URL (HTTP 302), which is not followed" in str(error)
    assert error.is_permanent


def test_a_server_that_never_answers_a_handshake_ends_at_the_limit(run_async):
    with SlowServer(silent) as server:
        error = refused(run_async, server.urls["ws_url"], connect_timeout_s=0.3)
    assert error.reason == "no answer in time"
    assert error.is_permanent is False


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses_is_named_without_its_password(run_async, monkeypatch, status):
    """Even 403 says nothing about the key: the service did not see it."""
    with SlowServer(answering(status)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http://", "http://me:secret@"))
        error = refused(run_async, "ws://service.example/v1")
    assert isinstance(error, HandshakeFailed)
    assert "service.example cannot be reached through the proxy" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("close", ["abort", "large"])
def test_a_connection_that_ends_says_so_to_who_receives(run_async, close):
    with SlowSocket(lambda tasks: "x" * 2000) as server:

        async def main():
            socket = await opened(server.urls["ws_url"])
            if close == "abort":
                socket._socket.transport.abort()
            else:
                await socket.send("[1]")
            with pytest.raises(TransportError):
                await socket.receive()

        run_async(main())


def test_a_frame_for_a_connection_that_has_ended_did_not_arrive(run_async):
    with SlowSocket(echo) as server:

        async def main():
            socket = await opened(server.urls["ws_url"])
            socket._socket.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(TransportError, match="was lost") as caught:
                await socket.send("[1]")
            return caught.value

        assert run_async(main()).may_have_arrived is False
        assert server.frames == []
