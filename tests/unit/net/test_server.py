"""The server for callbacks, over real sockets."""

import asyncio
import contextlib
import socket

import pytest

from runware_nb.errors import ConfigError
from runware_nb.net.server import HttpServer, Limits
from runware_nb.remedies import LineSyntax

POST = b"POST /hook HTTP/1.1\r\nHost: x\r\n"


class Calls(list):
    def __call__(self, request):
        self.append(request)
        return 204


@contextlib.asynccontextmanager
async def serving(respond=None, **limits):
    server = HttpServer(Calls() if respond is None else respond, {"/hook"}, limits=Limits(**limits))
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()


async def exchange(server, *parts, reads_all=True):
    """Send bytes, and return what comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if reads_all:
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 30)
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def status(response):
    assert response.startswith(b"HTTP/1.1 "), response
    return int(response.split()[1])


def statuses(response):
    return [int(part.split()[0]) for part in response.split(b"HTTP/1.1 ")[1:]]


def test_a_post_is_passed_on_with_its_bytes_and_headers(run_async):
    async def work():
        calls = Calls()
        async with serving(calls) as server:
            response = await exchange(
                server, POST + b"X-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\n", b"\x00\xff", b"\r\n "
            )
        assert response == b"HTTP/1.1 204 \r\n\r\n"
        (request,) = calls
        assert (request.path, request.body) == ("/hook", b"\x00\xff\r\n ")
        assert [pair for pair in request.headers if pair[0] == "x-a"] == [("x-a", "1"), ("x-a", "2")]

    run_async(work())


def test_a_chunked_body_a_query_and_a_connection_that_stays_open(run_async):
    async def work():
        calls = Calls()
        chunked = (
            POST.replace(b"/hook", b"/hook?x=1") + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
        )
        async with serving(calls) as server:
            response = await exchange(server, chunked, POST + b"Content-Length: 1\r\n\r\nx", chunked)
        assert statuses(response) == [204, 204, 204]
        assert [request.body for request in calls] == [b"abcd", b"x", b"abcd"]

    run_async(work())


def test_a_client_that_asks_before_it_sends_is_told_to_continue(run_async):
    async def work():
        async with serving() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
            assert status(await reader.readuntil(b"\r\n\r\n")) == 100
            writer.write(b"abc")
            assert status(await reader.read()) == 204
            writer.close()
            await writer.wait_closed()

    run_async(work())


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 404),
        (b"POST /hook/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /h%6fok HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /x/../hook HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST http://x/hook HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        (b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /hook HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD /hook HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"PUT /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (POST + b"Expect: 100-continue\r\nContent-Length: 101\r\n\r\n", 413),
        (POST + b"Content-Length: 101\r\n\r\n" + b"x" * 101, 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", 413),
        (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (POST + b"Content-Length: -3\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Content-Length: 5\r\n\r\nabc", 400),  # the client ends before its body does
        (b"POST /hook HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),  # no Host
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"\x00" * 100 + b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (POST + b"X-A: " + b"a" * 20_000, 431),
        (b"POST /" + b"a" * 20_000, 431),
    ],
)
def test_each_other_request_is_refused_without_a_word_of_it(run_async, request_bytes, expected):
    async def work():
        calls = Calls()
        async with serving(calls, body_bytes=100, head_bytes=4096) as server:
            response = await exchange(server, request_bytes)
            assert status(response) == expected
            head, _, content = response.partition(b"\r\n\r\n")
            assert content == b""
            assert b"connection: close" in head
            assert (b"allow: POST" in head) == (expected == 405)
            assert calls == []
            assert status(await exchange(server, POST + b"Content-Length: 0\r\n\r\n")) == 204  # it goes on

    run_async(work())


def test_a_body_of_the_largest_size_passes(run_async):
    async def work():
        calls = Calls()
        async with serving(calls, body_bytes=100_000) as server:
            body = b"Transfer-Encoding: chunked\r\n\r\n" + b"a\r\n0123456789\r\n" * 10 + b"0\r\n\r\n"
            assert status(await exchange(server, POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)) == 204
            assert status(await exchange(server, POST + body)) == 204
        assert [len(request.body) for request in calls] == [100_000, 100]

    run_async(work())


def test_framing_that_is_longer_than_its_body_is_bounded(run_async):
    """A body in chunks of one byte would otherwise take six times its bytes, and the time to parse each chunk."""

    async def work():
        calls = Calls()
        async with serving(calls, body_bytes=100_000, head_bytes=4096) as server:
            response = await exchange(server, POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 90_000)
        assert (status(response), calls) == (413, [])

    run_async(work())


def test_a_client_that_still_sends_gets_its_refusal(run_async):
    async def work():
        async with serving(body_bytes=100) as server:
            response = await exchange(server, POST + b"Content-Length: 2000000\r\n\r\n", *[b"x" * 100_000] * 20)
        assert status(response) == 413

    run_async(work())


@pytest.mark.parametrize(
    ("sent", "limits", "expected"),
    [
        (b"", {"idle_s": 0.1}, b""),  # a 408 could be taken for the response to a request that is just being sent
        (POST[:20], {"request_s": 0.1}, b"HTTP/1.1 408"),
        (POST + b"Content-Length: 5\r\n\r\nab", {"request_s": 0.1}, b"HTTP/1.1 408"),
    ],
)
def test_a_slow_client_is_ended(run_async, sent, limits, expected):
    async def work():
        async with serving(**limits, drain_s=0.05) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            assert (await asyncio.wait_for(reader.read(), 30))[:12] == expected
            writer.close()
            await writer.wait_closed()

    run_async(work())


def test_one_byte_at_a_time_gives_no_client_more_time(run_async):
    async def work():
        async with serving(request_s=0.1, drain_s=0.05) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(OSError):
                while not reader.at_eof():
                    writer.write(b"P")
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(100), 0.02)
            writer.close()

    run_async(work())


def test_a_client_that_reads_nothing_is_ended(run_async):
    async def work():
        calls = Calls()
        async with serving(calls, request_s=0.3, drain_s=0.05) as server:
            small = socket.socket()
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            small.setblocking(False)
            await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", server.port))
            _, writer = await asyncio.open_connection(sock=small)
            writer.transport.pause_reading()
            with contextlib.suppress(OSError):
                while True:  # until the buffers of both sides are full, and the server gives up
                    writer.write((POST + b"Content-Length: 0\r\n\r\n") * 1000)
                    await asyncio.wait_for(writer.drain(), 30)
            assert status(await exchange(server, POST + b"Content-Length: 0\r\n\r\n")) == 204
            writer.close()

    run_async(work())


def test_a_hundred_connections_at_once_are_served(run_async):
    async def work():
        calls = Calls()
        async with serving(calls) as server:
            idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
            half = POST + b"Content-Length: 5\r\n\r\nab"
            for _, writer in idle[:50]:
                writer.write(half)
            responses = await asyncio.gather(
                *(exchange(server, POST + b"Content-Length: 1\r\n\r\nx") for _ in range(100))
            )
            assert [status(response) for response in responses] == [204] * 100
            for _, writer in idle:
                writer.close()
        assert len(calls) == 100

    run_async(work())


def test_incomplete_bodies_are_bounded_together(run_async):
    async def work():
        async with serving(all_bodies_bytes=250_000) as server:
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            for _, writer in held:
                writer.write(POST + b"Content-Length: 100001\r\n\r\n" + b"x" * 100_000)
            while server._memory.used_bytes < 200_000:
                await asyncio.sleep(0.01)
            body = POST + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000
            assert status(await exchange(server, body)) == 503
            for reader, writer in held:
                writer.write(b"x")
                assert status(await reader.readuntil(b"\r\n\r\n")) == 204
                writer.close()
            assert status(await exchange(server, body)) == 204
            assert server._memory.used_bytes == 0

    run_async(work())


def test_connections_above_the_limit_are_closed_at_once(run_async):
    async def work():
        async with serving(connections=2) as server:
            kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            for _, writer in kept:
                writer.write(POST + b"Content-Length: 1\r\n\r\nx")
            for reader, _ in kept:
                await reader.readuntil(b"\r\n\r\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 30) == b""
            for each in (writer, *(writer for _, writer in kept)):
                each.close()

    run_async(work())


def test_an_error_of_ours_is_a_500_and_tells_nothing(run_async):
    def respond(request):
        raise ValueError("a secret")

    async def work():
        async with serving(respond) as server:
            responses = await exchange(server, *[POST + b"Content-Length: 0\r\n\r\n"] * 2)
        assert statuses(responses) == [500, 500]
        assert b"secret" not in responses

    run_async(work())


def test_it_stops_with_open_connections_and_starts_again(run_async):
    async def work():
        server = HttpServer(Calls(), {"/hook"})
        await server.aclose()  # nothing to stop
        await server.start()
        await server.start()
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await asyncio.sleep(0.05)
        await server.aclose()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not server.is_running
        await server.start()
        assert server.is_running
        assert status(await exchange(server, POST + b"Content-Length: 0\r\n\r\n")) == 204
        await server.aclose()

    run_async(work())


def test_a_port_in_use_is_one_clear_sentence(run_async):
    async def work():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError) as caught:
                await HttpServer(Calls(), {"/hook"}, port=port).start()
        assert caught.value.problem == f"Cannot listen on port {port} of 127.0.0.1: another program uses it."
        assert caught.value.worded(LineSyntax("runware-nb")).endswith(
            " Use another port with `--port`, or 0 for a free one."
        )

    run_async(work())


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", -1, "Invalid port -1: expected 1 to 65535, or 0 for a free port."),
        ("127.0.0.1", 65536, "Invalid port 65536"),
        ("", 0, "Invalid host ''"),
        ("192.0.2.1", 0, "Cannot listen on port 0 of 192.0.2.1: "),
        ("no.such.host.invalid", 0, "Cannot listen on port 0 of no.such.host.invalid: "),
        ("a" * 300, 0, "Cannot listen on 'aaa"),
        ("a\0b", 0, "Cannot listen on "),
    ],
)
def test_what_cannot_be_listened_on_is_stated(run_async, host, port, sentence):
    with pytest.raises(ConfigError) as caught:
        run_async(HttpServer(Calls(), {"/hook"}, host=host, port=port).start())
    assert str(caught.value).startswith(sentence)
