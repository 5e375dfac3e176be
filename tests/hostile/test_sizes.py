"""Responses that are too large, compressed into something small, cut short, or only a part."""

import asyncio
import contextlib
import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb import Client
from runware_nb.errors import MediaError, ProtocolError, RunwareNBError, TransportError
from runware_nb.net.bodies import read_body, read_pieces
from runware_nb.net.downloads import Downloads
from runware_nb.net.http import HttpConnection
from runware_nb.settings import Settings
from tests.conftest import TASK
from tests.hostile.slow_server import SlowServer, http, no_certificates

MIB = 1024 * 1024
TALK = {"taskType": "textInference", "model": "google:gemma@4-31b", "messages": [{"role": "user", "content": "hi"}]}

__all__ = ["no_certificates"]  # a fixture for every test of this module


def bomb(size, head=b"", wbits=31, level=9):
    """Compress a lot of nothing, without building it."""
    stream = zlib.compressobj(level, zlib.DEFLATED, wbits)
    data = stream.compress(head)
    block = b" " * MIB
    for _ in range(size // MIB):
        data += stream.compress(block)
    return data + stream.flush()


GZIP_BOMB = bomb(48 * MIB, b'{"data": []')
DEFLATE_BOMB = bomb(48 * MIB, b"{", 15)


def responding(body, **headers):
    async def respond(exchange):
        await exchange.respond(body, **headers)

    return http(respond)


def small(server, **values):
    settings = Settings(max_frame_bytes=2 * MIB)
    return Client("key", settings=settings, transport="rest", max_retries=0, **server.urls, **values)


# --- the seam ------------------------------------------------------------------------------------------------


async def chunks_of(data, sizes):
    position = 0
    for size in sizes:
        yield data[position : position + size]
        position += size
    yield data[position:]


def deflate_raw(data):
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODINGS = {
    "": lambda data: data, "identity": lambda data: data, "gzip": gzip.compress, "x-gzip": gzip.compress,
    "GZIP ": gzip.compress, "deflate": zlib.compress, "Deflate": deflate_raw,
}  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=5000),
    sizes=st.lists(st.integers(0, 40), max_size=20),
    coding=st.sampled_from(list(CODINGS)),
)
def test_every_body_is_read_as_it_was_written(data, sizes, coding):
    async def main():
        body = CODINGS[coding](data)
        return await read_body(chunks_of(body, sizes), {"content-encoding": coding}, "h", max_bytes=5000,
                               too_large=lambda: MediaError("large"))  # fmt: skip

    assert asyncio.run(main()) == data


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=3000), limit=st.integers(0, 3000), coding=st.sampled_from(list(CODINGS)),
    sizes=st.lists(st.integers(0, 40), max_size=20),
)  # fmt: skip
def test_the_limit_counts_decompressed_bytes(data, limit, coding, sizes):
    async def main():
        body = CODINGS[coding](data)
        return await read_body(chunks_of(body, sizes), {"content-encoding": coding}, "h", max_bytes=limit,
                               too_large=lambda: MediaError("large"))  # fmt: skip

    if len(data) > limit:
        with pytest.raises(MediaError, match="large"):
            asyncio.run(main())
    else:
        assert asyncio.run(main()) == data


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=300), coding=st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, gzip", "\0", "é"]),
    sizes=st.lists(st.integers(0, 40), max_size=20),
)  # fmt: skip
def test_any_bytes_are_a_body_or_one_sentence(data, coding, sizes):
    async def main():
        pieces = read_pieces(chunks_of(data, sizes), {"content-encoding": coding}, "h")
        return [piece async for piece in pieces]

    with contextlib.suppress(TransportError):
        asyncio.run(main())


def test_members_and_padding_of_gzip_are_read(run_async):
    async def read(data):
        return await read_body(chunks_of(data, [7, 1, 30]), {"content-encoding": "gzip"}, "h", max_bytes=100,
                               too_large=lambda: MediaError("large"))  # fmt: skip

    assert run_async(read(gzip.compress(b"one") + gzip.compress(b"two"))) == b"onetwo"
    assert run_async(read(gzip.compress(b"one") + bytes(20))) == b"one"
    for cut in (1, 2, 5, 15):
        with pytest.raises(TransportError):
            run_async(read(gzip.compress(b"one two three")[:-cut]))


def test_a_piece_is_small_whatever_a_chunk_unpacks_to(run_async):
    async def largest():
        pieces = read_pieces(chunks_of(GZIP_BOMB, []), {"content-encoding": "gzip"}, "h")
        return max([len(piece) async for piece in pieces])

    assert run_async(largest()) <= 256 * 1024


# --- every response ------------------------------------------------------------------------------------------


async def fetches(client, server):
    """Download without the client's own tries."""
    http = HttpConnection(server.url, user_agent="test", connect_timeout_s=10)
    try:
        await Downloads(http).download(f"{server.url}/x.png")
    finally:
        await http.aclose()


async def streams(client, server):
    async for _ in client.stream(TALK):
        pass


async def gets(client, server):
    http = HttpConnection(server.url, user_agent="test", connect_timeout_s=10)
    try:
        await http.get(f"{server.url}/resolve/x", None)
    finally:
        await http.aclose()


WAYS = {
    "task": lambda client, server: client.run(TASK, timeout_s=20),
    "utility": lambda client, server: client.search_models("x"),
    "as it is": lambda client, server: client.send([{"taskType": "ping"}]),
    "poll": lambda client, server: client.poll("u"),
    "stream": streams,
    "document": gets,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("coding", "status"), [("gzip", "200 OK"), ("deflate", "500 Oops"), ("identity", "200 OK")])
def test_a_large_response_is_refused_before_it_fills_the_memory(run_async, way, status, coding):
    body = {"gzip": GZIP_BOMB, "deflate": DEFLATE_BOMB, "identity": b" " * (9 * MIB)}[coding]
    with SlowServer(responding(body, status=status, Content_Encoding=coding)) as server:

        async def main():
            async with small(server) as client:
                await WAYS[way](client, server)

        if way == "task":  # every way reads by the same function; to measure it is slow
            tracemalloc.start()
        try:
            with pytest.raises(RunwareNBError, match=r"has more than the [\d,]+ bytes accepted") as caught:
                run_async(main())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 24 * MIB  # the server is in this process as well
    assert way == "document" or "max_frame_bytes" in str(caught.value)


def test_a_bomb_for_an_image_is_refused(run_async):
    with SlowServer(responding(GZIP_BOMB, Content_Encoding="gzip")) as server:

        async def main():
            http = HttpConnection(server.url, user_agent="test", connect_timeout_s=10)
            try:
                await Downloads(http).download(f"{server.url}/x.png", max_bytes=MIB)
            finally:
                await http.aclose()

        with pytest.raises(MediaError, match=r"more than the 1,048,576 bytes accepted"):
            run_async(main())


def test_a_stream_of_gzip_is_bounded_too(run_async):
    with SlowServer(responding(GZIP_BOMB, Content_Encoding="gzip", Content_Type="text/event-stream")) as server:

        async def main():
            async with small(server) as client:
                await streams(client, server)

        with pytest.raises(TransportError, match="max_frame_bytes"):
            run_async(main())


@pytest.mark.parametrize("way", [*WAYS, "image"])
def test_a_part_is_never_the_whole(run_async, way):
    body = b'{"data": []}' if way != "stream" else b"data: [DONE]\n\n"
    headers = {"Content_Type": "text/event-stream"} if way == "stream" else {}
    script = responding(body, status="206 Partial Content", Content_Range="bytes 0-11/1000", **headers)
    with SlowServer(script) as server:

        async def main():
            async with small(server) as client:
                await (fetches(client, server) if way == "image" else WAYS[way](client, server))

        with pytest.raises(TransportError, match=r"only a part \(HTTP 206\)"):
            run_async(main())


@pytest.mark.parametrize("way", ["task", "document", "image", "stream"])
@pytest.mark.parametrize("length", ["1000", "-1", "abc", "1e3"])
def test_a_body_shorter_than_it_claims_is_incomplete(run_async, way, length):
    async def respond(exchange):
        kind = "text/event-stream" if way == "stream" else "x"
        await exchange.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{{}}".encode()
        )

    with SlowServer(http(respond)) as server:

        async def main():
            async with small(server) as client:
                await (fetches(client, server) if way == "image" else WAYS[way](client, server))

        with pytest.raises(TransportError, match="broke"):
            run_async(main())


def test_bytes_after_the_body_are_not_the_next_response(run_async):
    """A body longer than its Content-Length: the rest must not be taken for the response to another task."""
    extra = b'HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n{"data": [{"taskType": "ping", "pong": "smuggled"}]}'

    async def respond(exchange):
        body = b'{"data": [{"taskType": "ping", "pong": true}]}'
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body + extra)
        await asyncio.sleep(0.5)

    with SlowServer(http(respond)) as server:

        async def main():
            async with small(server) as client:
                frames = []
                for _ in range(2):
                    frames.append(await client.send([{"taskType": "ping", "ping": True}], timeout_s=5))
                    await asyncio.sleep(0.05)
                return frames

        frames = run_async(main())
    assert [frame.items[0]["pong"] for frame in frames] == [True, True]


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "205 Reset Content"])
def test_an_empty_body_is_no_file_and_no_response(run_async, status):
    with SlowServer(responding(b"", status=status)) as server:

        async def image():
            async with small(server) as client:
                await fetches(client, server)

        async def task():
            async with small(server) as client:
                await client.send([TASK])

        with pytest.raises(TransportError, match="empty file"):
            run_async(image())
        with pytest.raises((ProtocolError, TransportError)):
            run_async(task())


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br", "compress"])
def test_a_coding_that_was_not_offered_is_one_sentence(run_async, coding):
    with SlowServer(responding(random.Random(1).randbytes(100), Content_Encoding=coding)) as server:

        async def main():
            async with small(server) as client:
                await client.search_models("x")

        with pytest.raises(TransportError, match="gzip, deflate was asked for"):
            run_async(main())
        assert b"Accept-Encoding: gzip, deflate" in server.requests[0]


def test_a_response_too_large_says_that_the_task_may_be_charged(run_async):
    with SlowServer(responding(b" " * (3 * MIB))) as server:

        async def main():
            async with small(server) as client:
                await client.run(TASK)

        with pytest.raises(TransportError, match="may have been charged") as caught:
            run_async(main())
    assert caught.value.may_have_arrived is True
