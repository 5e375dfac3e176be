"""HTTP for every service, against a real local server: what arrived, what did not, and what a failure proves."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from runware_nb.errors import MediaError, TransportError, TransportTimeout
from runware_nb.net.downloads import Downloads
from runware_nb.net.http import HttpConnection, retry_after_s
from runware_nb.net.trace import wire_trace
from tests.hostile.slow_server import SlowServer, http, no_certificates, silent

__all__ = ["no_certificates"]  # a fixture for every test of this module

KEY = "rw-Zq81LmN0pXyT7vKc5JdR3sHb"
LARGE = b"x" * 20_000_000
"""More than the buffers of a connection take."""


def too_large():
    return TransportError("too large")


@asynccontextmanager
async def connected(url, **values):
    connection = HttpConnection(url, **{"user_agent": "test", "connect_timeout_s": 2, "key": lambda: KEY, **values})
    try:
        yield connection
    finally:
        await connection.aclose()


async def ask(url, method="POST", path="", *, connection=None, **values):
    values = {"content": b"{}", "timeout_s": 3, "max_bytes": 1000, "too_large": too_large, **values}
    async with connected(url, **(connection or {})) as opened:
        return await opened.request(method, path, **values)


def failure(run_async, url, method="POST", path="", **values):
    """Return the error of a request, and whether it was told that the request left."""
    left = []
    with pytest.raises(TransportError) as caught:
        run_async(ask(url, method, path, on_leaving=lambda: left.append(True), **values), 20)
    assert caught.value.may_have_arrived is bool(left)
    return caught.value, bool(left)


# --- what is sent and received -------------------------------------------------------------------------------


def test_a_response_has_status_headers_and_body_whatever_its_status(run_async):
    async def respond(exchange):
        await exchange.respond(b"Not found.", status="596 Odd", Retry_After="7", X_Request_Id="r1")

    with SlowServer(http(respond)) as server:
        response = run_async(ask(f"{server.url}/v1", "GET", "/tasks/a?x=1", content=b""))
        head = server.requests[0]
    assert (response.status, response.body) == (596, b"Not found.")
    assert response.headers["x-request-id"] == response.headers["X-Request-Id"] == "r1"
    assert retry_after_s(response.headers) == 7
    assert head.startswith(b"GET /v1/tasks/a?x=1 HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}".encode() in head
    assert b"content-length" not in head.lower()
    assert b"content-type" not in head.lower()


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_bytes_are_sent_with_their_own_type(run_async, name):
    async def respond(exchange):
        await exchange.respond({})

    with SlowServer(http(respond)) as server:
        content = bytes(range(256))
        run_async(ask(server.url, path="/assets/", content=content, headers={name: "image/png"}))
        assert server.requests[0].endswith(content)
        assert server.requests[0].lower().count(b"content-type: ") == 1
        assert b"content-type: image/png\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("values", [{"sends_key": False}, {"key": None}])
def test_the_key_is_sent_only_if_it_is_to_be_in_the_header(run_async, values):
    async def respond(exchange):
        await exchange.respond({})

    with SlowServer(http(respond)) as server:
        run_async(ask(server.url, connection=values))
        assert KEY.encode() not in server.requests[0]


@pytest.mark.parametrize("path", ["evil.example/", "@evil.example/", ":80/"])
def test_a_path_cannot_name_another_host(run_async, path):
    """The key goes with each request."""
    with pytest.raises(ValueError, match="begin with / or"):
        run_async(ask("http://service.example", path=path))


def test_one_connection_carries_all_requests_and_is_closed_at_once(run_async):
    async def script(exchange):
        while True:
            await exchange.read_request()
            await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with SlowServer(script) as server:

        async def main():
            connection = HttpConnection(server.url, user_agent="test", connect_timeout_s=2)
            for _ in range(3):
                await connection.request("POST", content=b"1", timeout_s=3, max_bytes=10, too_large=too_large)
            started_at = time.monotonic()
            await connection.aclose()
            return time.monotonic() - started_at

        assert run_async(main()) < 0.5
        assert server.connections == 1


def test_a_forked_child_opens_a_connection_of_its_own(run_async):
    """On the parent's, the responses of two processes would be mixed up."""

    async def script(exchange):
        while True:
            await exchange.read_request()
            await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with SlowServer(script) as server:

        async def main():
            async with connected(server.url) as connection:
                assert (await connection.get(f"{server.url}/a")).body == b"{}"
                connection.restart_in_child()  # what a fork calls in the child
                assert (await connection.get(f"{server.url}/b")).body == b"{}"

        run_async(main())
        assert server.connections == 2


def test_the_trace_shows_requests_and_responses_without_the_key(run_async, monkeypatch):
    async def respond(exchange):
        await exchange.respond({"echo": KEY})

    monkeypatch.setattr(wire_trace, "is_on", True)
    wire_trace.frames.clear()
    with SlowServer(http(respond)) as server:
        run_async(ask(server.url, content=b'{"a": 1}'))
        run_async(ask(server.url, "GET", "/tasks/1", content=b""))
    directions = [frame.direction for frame in wire_trace.frames]
    frames = [frame.frame for frame in wire_trace.frames]
    wire_trace.frames.clear()
    assert directions == ["sent", "received"] * 2
    assert frames[0] == {"a": 1}
    assert "GET /tasks/1" in frames[2]
    assert KEY not in repr(frames)


# --- what a failure proves -----------------------------------------------------------------------------------


def test_a_refused_connection_proves_that_nothing_arrived(run_async):
    with SlowServer(silent) as server:
        url = server.url
    error, left = failure(run_async, url)
    assert not left
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(("method", "content"), [("POST", b"{}"), ("GET", b""), ("DELETE", b""), ("POST", b"")])
def test_a_connection_that_ends_without_a_response_proves_nothing(run_async, method, content):
    """A request without a body is complete with its headers: it may have been carried out."""

    async def hang_up(exchange):
        await exchange.read_request()

    with SlowServer(hang_up) as server:
        _, left = failure(run_async, server.url, method, content=content)
    assert left


def test_a_reset_while_the_body_leaves_proves_nothing(run_async):
    async def reset(exchange):
        await exchange.reader.readuntil(b"\r\n\r\n")
        exchange.writer.transport.abort()

    with SlowServer(reset) as server:
        error, left = failure(run_async, server.url, content=LARGE)
    assert left
    assert "broke" in str(error)


@pytest.mark.parametrize("response", [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="half a body"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
    pytest.param(b"garbage\r\n\r\n", id="no HTTP"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a wrong length"),
    pytest.param(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n{}", id="a part"),
])  # fmt: skip
def test_a_response_that_is_not_whole_is_a_failure(run_async, response):
    async def respond(exchange):
        await exchange.write(response)

    with SlowServer(http(respond)) as server:
        _, left = failure(run_async, server.url)
    assert left


def test_bytes_after_a_response_are_not_the_next_response(run_async):
    async def respond(exchange):
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await asyncio.sleep(5)

    with SlowServer(http(respond)) as server:

        async def main():
            async with connected(server.url) as connection:
                values = {"timeout_s": 3, "max_bytes": 10, "too_large": too_large}
                bodies = []
                for _ in range(2):
                    bodies.append((await connection.request("POST", content=b"1", **values)).body)
                    await asyncio.sleep(0.1)
                return bodies

        assert b"forged" not in run_async(main())


@pytest.mark.parametrize("part", ["nothing", "slow headers", "slow body"])
def test_the_deadline_ends_every_wait_for_a_response(run_async, part):
    async def respond(exchange):
        if part == "slow headers":
            await exchange.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            await exchange.drip(b"x")
        elif part == "slow body":
            await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
            await exchange.drip()
        await asyncio.sleep(30)

    with SlowServer(http(respond)) as server:
        started_at = time.monotonic()
        error, left = failure(run_async, server.url, timeout_s=1)
        assert time.monotonic() - started_at < 5
    assert isinstance(error, TransportTimeout)
    assert left


def test_a_large_response_is_refused_before_it_is_read(run_async):
    async def respond(exchange):
        await exchange.respond(b"x" * 2000)

    with SlowServer(http(respond)) as server:
        error, _ = failure(run_async, server.url)
    assert str(error) == "too large"


def test_a_redirect_is_returned_and_not_followed(run_async):
    """The key would go with it."""
    with SlowServer(silent) as other:

        async def respond(exchange):
            await exchange.respond(b"", status="307 Moved", Location=f"{other.url}/x")

        with SlowServer(http(respond)) as server:
            assert run_async(ask(server.url)).status == 307
        assert other.connections == 0


def test_certificates_that_cannot_be_loaded_are_one_sentence(run_async, monkeypatch, tmp_path, certificate):
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(broken))
    error, left = failure(run_async, "http://127.0.0.1:9")
    assert not left
    assert "SSL_CERT_FILE" in str(error)
    assert error.retryable is False


@pytest.fixture
def certificate():
    """Its name keeps the certificates of the system; see `no_certificates`."""


# --- proxies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("status", [403, 407])
def test_a_tunnel_that_a_proxy_refuses_proves_that_nothing_arrived(run_async, monkeypatch, method, status):
    """Its CONNECT has headers too: they stay at the proxy."""

    async def respond(exchange):
        await exchange.respond(b"", status=f"{status} No")

    with SlowServer(http(respond)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http://", "http://me:secret@"))
        error, left = failure(run_async, "https://service.example/v1", method, content=b"")
        assert proxy.requests[0].startswith(b"CONNECT service.example:443")
    assert not left
    assert "through the proxy" in str(error)
    assert "secret" not in str(error)


def test_a_request_through_a_proxy_reaches_it(run_async, monkeypatch):
    async def respond(exchange):
        await exchange.respond({})

    with SlowServer(http(respond)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert run_async(ask("http://service.example/v1", path="/x")).status == 200
        assert proxy.requests[0].startswith(b"POST http://service.example/v1/x ")


# --- streams -------------------------------------------------------------------------------------------------


def test_a_stream_yields_pieces_and_ends_at_its_deadline(run_async):
    async def respond(exchange):
        await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await asyncio.sleep(30)

    pieces = []
    with SlowServer(http(respond)) as server:

        async def main():
            async with (
                connected(server.url) as connection,
                connection.stream("POST", content=b"{}", timeout_s=0.5) as reply,
            ):
                pieces.append(reply.status)
                async for piece in reply.pieces(max_bytes=10, too_large=too_large):
                    pieces.append(piece)  # noqa: PERF401 - a comprehension would lose those before the deadline

        with pytest.raises(TransportTimeout):
            run_async(main())
    assert pieces == [200, b"one"]


# --- public files --------------------------------------------------------------------------------------------


def test_a_document_is_fetched_again_only_if_it_has_changed(run_async):
    async def respond(exchange):
        known = b'If-None-Match: "v1"' in exchange.head
        status = "304 Not Modified" if known else "200 OK"
        await exchange.respond(b"" if known else b"text", status=status, ETag='"v1"')

    with SlowServer(http(respond)) as server:

        async def main():
            async with connected(server.url) as connection:
                first = await connection.get(f"{server.url}/x")
                return first, await connection.get(f"{server.url}/x", first.headers["etag"])

        first, second = run_async(main())
        assert KEY.encode() not in b"".join(server.requests)
    assert (first.status, first.body, second.status, second.body) == (200, b"text", 304, b"")


def download(run_async, url, endpoint, **values):
    async def main():
        async with connected(endpoint) as connection:
            return await Downloads(connection).download(url, timeout_s=3, **values)

    return run_async(main())


def test_a_download_follows_redirects_without_the_key(run_async):
    async def respond(exchange):
        if exchange.path == "/x":
            await exchange.respond(b"", status="302 Found", Location="/y")
        else:
            await exchange.respond(b"file")

    with SlowServer(http(respond)) as server:
        assert download(run_async, f"{server.url}/x", server.url) == b"file"
        assert KEY.encode() not in b"".join(server.requests)


def test_a_redirect_without_an_end_is_refused(run_async):
    async def respond(exchange):
        await exchange.respond(b"", status="302 Found", Location="/x")

    with SlowServer(http(respond)) as server:
        with pytest.raises(MediaError, match="more than 5 redirects"):
            download(run_async, f"{server.url}/x", server.url)
        assert server.connections == 6


@pytest.mark.parametrize(("status", "kind", "is_expired"), [
    ("404 Not Found", MediaError, True), ("410 Gone", MediaError, True), ("403 Forbidden", MediaError, True),
    ("500 Oops", TransportError, None), ("302 Found", TransportError, None), ("206 Partial", TransportError, None),
])  # fmt: skip
def test_a_status_tells_whether_a_download_is_tried_again(run_async, status, kind, is_expired):
    async def respond(exchange):
        await exchange.respond(b"file", status=status)

    with SlowServer(http(respond)) as server, pytest.raises(kind) as caught:
        download(run_async, f"{server.url}/x", server.url)
    assert getattr(caught.value, "is_expired", None) is is_expired


def test_a_download_from_a_private_network_is_refused_unless_it_is_the_endpoint(run_async):
    async def respond(exchange):
        await exchange.respond(b"file")

    with SlowServer(http(respond)) as server:
        with pytest.raises(MediaError, match="private network"):
            download(run_async, f"{server.url}/x", "https://service.example")
        assert server.connections == 0
        with pytest.raises(MediaError, match="more than the 3 bytes accepted"):
            download(run_async, f"{server.url}/x", server.url, max_bytes=3)
