"""Proxies that cannot be used: every job ends within its deadline, with a sentence that names the proxy."""

import asyncio
import socket
import time

import pytest

from runware_nb import Client
from runware_nb.errors import RunwareNBError, TransportError
from runware_nb.net.proxies import Proxy, proxy_for
from tests.conftest import TASK
from tests.hostile.slow_server import SlowServer, authenticates, http, no_certificates, silent

FAR = {"rest_url": "https://service.example/v1", "ws_url": "wss://service.example/v1"}
NEAR = {"rest_url": "http://service.example/v1", "ws_url": "ws://service.example/v1"}

__all__ = ["no_certificates"]  # a fixture for every test of this module


async def asks_for_a_password(exchange):
    await exchange.respond(b"no", status="407 Proxy Authentication Required", Proxy_Authenticate="Basic")


async def refuses(exchange):
    await exchange.respond(b"no", status="403 Forbidden")


async def sends_garbage(exchange):
    await exchange.write(b"\x05\xff\x00garbage\r\n\r\n")


async def sends_an_endless_head(exchange):
    await exchange.write(b"HTTP/1.1 200 Connection established\r\nX: ")
    await exchange.drip(b"x")


async def hangs_up(exchange):
    return


BROKEN = [silent, http(asks_for_a_password), http(refuses), http(sends_garbage), http(sends_an_endless_head), hangs_up]
IDS = ["silent", "407", "403", "garbage", "endless", "closed"]


def failure(run_async, transport="websocket", urls=FAR, **values):
    """Run a task that no proxy lets through; return the error and the notices."""
    notices = []

    async def main():
        async with Client("key", transport=transport, on_notice=notices.append, max_retries=1, **urls) as client:
            await client.run(TASK, timeout_s=1.5, **values)

    started_at = time.monotonic()
    with pytest.raises(RunwareNBError) as caught:
        run_async(main())
    assert time.monotonic() - started_at < 7
    assert "secret" not in f"{caught.value} {notices} {caught.value.__cause__}"
    return caught.value


@pytest.mark.parametrize("transport", ["websocket", "rest"])
@pytest.mark.parametrize("script", BROKEN, ids=IDS)
def test_a_broken_proxy_is_one_sentence(run_async, monkeypatch, script, transport):
    with SlowServer(script) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{server.port}")
        error = failure(run_async, transport)
        assert server.connections > 0
    assert isinstance(error, TransportError)
    assert error.may_have_arrived is False
    assert f"through the proxy http://127.0.0.1:{server.port} of HTTPS_PROXY" in str(error)
    assert "service.example" in str(error)


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_a_proxy_that_refuses_connections_is_one_sentence(run_async, monkeypatch, transport):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://me:secret@127.0.0.1:{port}")
    error = failure(run_async, transport)
    assert f"through the proxy http://127.0.0.1:{port} of ALL_PROXY" in str(error)
    assert error.may_have_arrived is False


def test_a_forwarding_proxy_that_asks_for_a_password_is_no_answer_of_the_service(run_async, monkeypatch):
    with SlowServer(http(asks_for_a_password)) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        error = failure(run_async, "rest", NEAR)
    assert "requires a user and a password" in str(error)
    assert "HTTP_PROXY" in str(error)
    assert error.may_have_arrived is False


@pytest.mark.parametrize("transport", ["websocket", "rest"])
@pytest.mark.parametrize(
    "url",
    ["socks5://me:secret@127.0.0.1:9", "socks4a://me:secret@127.0.0.1:9", "http://", "http://[::1", "ftp://me:secret@x:1",
     "http://me:secret@127.0.0.1:99999", "http://me:secret@h:x", "nonsense me:secret@h", "http://me@127.0.0.1:9",
     "http://a..b:1", f"http://{'a' * 64}.b:1"],
)  # fmt: skip
def test_an_unusable_proxy_url_is_one_sentence(run_async, monkeypatch, transport, url):
    monkeypatch.setenv("HTTPS_PROXY", url)
    error = failure(run_async, transport)
    assert isinstance(error, TransportError)
    assert "HTTPS_PROXY" in str(error)
    assert error.may_have_arrived is False


def test_a_download_names_the_proxy_too(run_async, monkeypatch):
    from runware_nb import Result

    async def main():
        async with Client("key", **FAR) as client:
            await client.fetch(Result({"imageURL": "https://im.example/x.png?token=secret"}, "u"), timeout_s=3)

    with SlowServer(http(asks_for_a_password)) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{server.port}")
        with pytest.raises(TransportError) as caught:
            run_async(main())
        assert server.connections == 1
    assert f"http://127.0.0.1:{server.port} of HTTPS_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_proxy_is_obeyed_by_both_transports(run_async, monkeypatch):
    async def empty(exchange):
        await exchange.respond({"data": [{"taskType": "ping", "pong": True}]})

    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    with SlowServer(http(empty)) as server:

        async def main():
            async with Client("key", transport="rest", **server.urls) as client:
                await client.ping()

        run_async(main())
        assert server.connections == 1
        assert proxy_for(server.urls["ws_url"]) is None


@pytest.mark.parametrize(
    ("variable", "url", "name"),
    [
        ("https_proxy", "https://x.example/", "HTTPS_PROXY"), ("ALL_PROXY", "http://x.example/", "ALL_PROXY"),
        ("ALL_PROXY", "wss://x.example/", "ALL_PROXY"), ("SOCKS_PROXY", "ws://x.example/", "SOCKS_PROXY"),
        ("HTTP_PROXY", "https://x.example/", None), ("SOCKS_PROXY", "https://x.example/", None),
    ],
)  # fmt: skip
def test_which_variable_applies(monkeypatch, variable, url, name):
    monkeypatch.setenv(variable, "proxy.example:3128")
    proxy = proxy_for(url)
    assert (None if proxy is None else proxy.variable) == name
    if proxy is not None:
        assert proxy.url.partition("://")[2] == "proxy.example:3128"


def test_a_changed_variable_counts_for_the_next_task(run_async, monkeypatch):
    async def respond(exchange):
        await exchange.respond({"data": [{"taskType": "ping", "pong": True}]})

    with SlowServer(http(respond)) as server:

        async def main():
            async with Client("key", transport="rest", max_retries=0, **server.urls) as client:
                monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
                with pytest.raises(TransportError, match="HTTP_PROXY"):
                    await client.ping()
                monkeypatch.delenv("HTTP_PROXY")
                await client.ping()

        run_async(main())


def test_a_working_proxy_carries_both_transports(run_async, monkeypatch):
    """A CONNECT proxy in front of a real socket: the job goes through it, and the password reaches only the proxy."""
    from tests.hostile.slow_server import SlowSocket

    async def tunnel(exchange):
        exchange.head = await exchange.reader.readuntil(b"\r\n\r\n")
        exchange.server.requests.append(exchange.head)
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)

        try:
            await asyncio.gather(pump(exchange.reader, writer), pump(reader, exchange.writer))
        finally:
            writer.close()

    def answer(tasks):
        if tasks[0]["taskType"] == "ping":
            return {"data": [{"taskType": "ping", "pong": True}]}
        return authenticates(tasks)

    with SlowSocket(answer) as target, SlowServer(tunnel) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")

        async def main():
            async with Client("key", rest_url="http://service.example/v1", ws_url="ws://service.example/v1") as client:
                await client.ping()

        run_async(main())
        (head,) = proxy.requests
        assert head.startswith(b"CONNECT service.example:80")
        assert b"Proxy-Authorization: Basic" in head
        assert [frame[0]["taskType"] for frame in target.frames] == ["authentication", "ping"]


def test_a_proxy_never_shows_its_password():
    proxy = Proxy("http://me:secret@proxy.example:3128", "HTTPS_PROXY")
    assert "secret" not in proxy.shown + proxy.failure("x", "y")
    assert "secret" not in repr(proxy)
