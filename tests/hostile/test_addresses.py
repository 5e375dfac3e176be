"""Names that lead into a private network: no byte is written to an address that was not checked."""

import asyncio
import socket
import ssl
import time

import httpcore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb.errors import MediaError, RunwareNBError, TransportError
from runware_nb.net import addresses as module
from runware_nb.net.address_policy import shown_url
from runware_nb.net.addresses import CheckedBackend
from runware_nb.net.downloads import Downloads
from runware_nb.net.http import HttpConnection
from tests.hostile.slow_server import SlowServer, http, no_certificates

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"
FILE = b"\x89PNG" + bytes(20)

__all__ = ["no_certificates"]  # a fixture for every test of this module


class Resolver:
    """A name server whose answers change: the first for the first question, the last for all that follow."""

    def __init__(self, monkeypatch, **answers):
        self.answers = {name.replace("_", "."): list(value) for name, value in answers.items()}
        self.asked = []
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host, port, *_args, **_values):
        self.asked.append(host)
        if host not in self.answers:
            addresses = [host]
        else:
            left = self.answers[host]
            addresses = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]


class Network:
    """Stands in for the network below the check: connects every address to one server, and notes it."""

    def __init__(self, monkeypatch, server, *, hanging=(), refusing=()):
        self.connected = []
        real = httpcore.AnyIOBackend()
        network = self

        class Backend:
            async def connect_tcp(self, host, port, *_args):
                network.connected.append(host)
                if host in hanging:
                    await asyncio.sleep(60)
                if host in refusing:
                    raise httpcore.ConnectError("refused")
                return await real.connect_tcp("127.0.0.1", server.port)

        monkeypatch.setattr(module.httpcore, "AnyIOBackend", Backend)


async def file(exchange):
    await exchange.respond(FILE)


def redirect(location):
    async def respond(exchange):
        await exchange.respond(b"", status="302 Found", Location=location)

    return respond


def downloads(run_async, url, endpoint="https://service.example/v1", **values):
    async def main():
        http = HttpConnection(endpoint, user_agent="test", connect_timeout_s=10)
        try:
            return await Downloads(http).download(url, **{"timeout_s": 5, **values})
        finally:
            await http.aclose()

    return run_async(main())


# --- rebinding -----------------------------------------------------------------------------------------------


def test_a_name_that_becomes_private_after_the_check_gets_no_byte(run_async, monkeypatch):
    """The attack: the check sees a public address, and the connection would be made to a private one."""
    with SlowServer(http(file)) as private, SlowServer(http(file)) as public:
        resolver = Resolver(monkeypatch, evil_example=[[PUBLIC], ["127.0.0.1"]])
        network = Network(monkeypatch, public)
        assert downloads(run_async, f"http://evil.example:{private.port}/x.png") == FILE
        assert resolver.asked == ["evil.example"]  # once: what was checked is what is used
        assert network.connected == [PUBLIC]
        assert (private.connections, private.requests) == (0, [])


def test_a_private_name_is_refused_before_a_connection(run_async, monkeypatch):
    with SlowServer(http(file)) as private:
        Resolver(monkeypatch, evil_example=[["127.0.0.1"]])
        with pytest.raises(MediaError, match="private network"):
            downloads(run_async, f"http://evil.example:{private.port}/x.png")
        assert private.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC_6, "::1"], [PUBLIC, "fd00::1"], ["::ffff:127.0.0.1"],
     ["fe80::1%eth0"], ["169.254.169.254"], ["0.0.0.0"], ["100.64.0.1"], [PUBLIC, PUBLIC_6, "192.168.0.1"]],
)  # fmt: skip
def test_one_private_address_among_several_refuses_all(run_async, monkeypatch, addresses):
    with SlowServer(http(file)) as server:
        Resolver(monkeypatch, evil_example=[addresses])
        network = Network(monkeypatch, server)
        with pytest.raises(MediaError, match="private network"):
            downloads(run_async, "http://evil.example/x.png")
        assert network.connected == []


def test_every_hop_of_a_redirect_is_checked(run_async, monkeypatch):
    with SlowServer(http(file)) as private, SlowServer(http(redirect("http://evil.example/x"))) as public:
        resolver = Resolver(monkeypatch, good_example=[[PUBLIC]], evil_example=[["127.0.0.1"]])
        network = Network(monkeypatch, public)
        with pytest.raises(MediaError, match="private network"):
            downloads(run_async, "http://good.example/x.png")
        assert resolver.asked == ["good.example", "evil.example"]
        assert network.connected == [PUBLIC]
        assert private.connections == 0


def test_a_hop_back_to_the_same_name_uses_the_checked_connection(run_async, monkeypatch):
    """The name is private by the second hop; either it is asked again and refused, or the old connection serves."""
    with SlowServer(http(redirect("http://evil.example/y"))) as public:
        Resolver(monkeypatch, evil_example=[[PUBLIC], ["127.0.0.1"]])
        network = Network(monkeypatch, public)
        with pytest.raises(MediaError, match="private network"):
            downloads(run_async, "http://evil.example/x.png")
        assert set(network.connected) == {PUBLIC}


@pytest.mark.parametrize(
    "url",
    ["http://2130706433/x", "http://0x7f.1/x", "http://0177.0.0.1/x", "http://127.1/x", "http://localhost./x",
     "http://user@127.0.0.1/x", "http://good.example\\@127.0.0.1/x", "http://127.0.0.1#@good.example/x",
     "http://[::ffff:7f00:1]/x", "http://①②⑦.⓪.⓪.①/x", "http://127。0。0。1/x"],
)  # fmt: skip
def test_other_spellings_of_a_private_address_get_no_byte(run_async, monkeypatch, url):
    """Whatever one parser takes for the host, the address of the connection is what counts."""
    connected = []

    class Backend:
        async def connect_tcp(self, host, *_args):
            connected.append(host)
            raise httpcore.ConnectError("not in a test")

    monkeypatch.setattr(module.httpcore, "AnyIOBackend", Backend)
    with pytest.raises(RunwareNBError):
        downloads(run_async, url)
    assert not [host for host in connected if host != PUBLIC]


@pytest.mark.parametrize(
    "url", ["https://a..b/x", f"https://{'a' * 64}.example/x", "https://a\0b/x", "https://\ud800/x", "https://a b/x",
            "https://[::1/x", "https://x:99999/", "https://ex\x7fample/x", "https://xn--/x", "", "https://%00/x"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_one_sentence(run_async, url):
    with pytest.raises((MediaError, TransportError)) as caught:
        downloads(run_async, url)
    str(caught.value).encode()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "//"]))
def test_any_text_is_a_url_or_one_sentence(text, prefix):
    class Backend:
        async def connect_tcp(self, *_args):
            raise httpcore.ConnectError("not in a test")

    async def main():
        http = HttpConnection("https://service.example/v1", user_agent="test", connect_timeout_s=10)
        try:
            await Downloads(http).download(prefix + text, timeout_s=5)
        finally:
            await http.aclose()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.httpcore, "AnyIOBackend", Backend)
        patch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: [(2, 1, 6, "", (PUBLIC, port))])
        with pytest.raises(RunwareNBError):
            asyncio.run(main())


# --- the endpoint's own host ---------------------------------------------------------------------------------


def test_a_local_service_serves_its_own_media_by_name_and_address(run_async, monkeypatch):
    with SlowServer(http(file)) as server, SlowServer(http(file)) as other:
        Resolver(monkeypatch, service_example=[["127.0.0.1"]])
        endpoint = f"http://service.example:{server.port}/v1"
        assert downloads(run_async, f"http://service.example:{server.port}/x.png", endpoint) == FILE
        for url in (f"http://service.example:{other.port}/x", f"http://127.0.0.1:{server.port}/x"):
            with pytest.raises(MediaError, match="private network"):
                downloads(run_async, url, endpoint)
        assert other.connections == 0
        assert downloads(run_async, f"{server.url}/x.png", f"{server.url}/v1") == FILE


# --- several addresses ---------------------------------------------------------------------------------------


def test_an_address_that_hangs_delays_the_next_only_briefly(run_async, monkeypatch):
    with SlowServer(http(file)) as server:
        Resolver(monkeypatch, good_example=[[PUBLIC_6, PUBLIC]])
        network = Network(monkeypatch, server, hanging={PUBLIC_6})
        started_at = time.monotonic()
        assert downloads(run_async, "http://good.example/x.png", timeout_s=20) == FILE
        assert time.monotonic() - started_at < 5
        assert network.connected == [PUBLIC_6, PUBLIC]


def test_an_address_that_refuses_is_followed_by_the_next(run_async, monkeypatch):
    with SlowServer(http(file)) as server:
        Resolver(monkeypatch, good_example=[["8.8.8.8", "8.8.4.4", PUBLIC_6]])
        network = Network(monkeypatch, server, refusing={"8.8.8.8", PUBLIC_6})
        assert downloads(run_async, "http://good.example/x.png") == FILE
        assert network.connected == ["8.8.8.8", PUBLIC_6, "8.8.4.4"]  # the families alternate


def test_no_address_that_accepts_is_one_sentence(run_async, monkeypatch):
    with SlowServer(http(file)) as server:
        Resolver(monkeypatch, good_example=[[PUBLIC, PUBLIC_6]])
        Network(monkeypatch, server, refusing={PUBLIC, PUBLIC_6})
        with pytest.raises(TransportError, match=r"good\.example cannot be reached"):
            downloads(run_async, "http://good.example/x.png")


def test_connecting_has_the_settings_time_limit(run_async, monkeypatch):
    async def main():
        backend = CheckedBackend(lambda host, port: False)
        await backend.connect_tcp("good.example", 80, timeout=0.3)

    with SlowServer(http(file)) as server:
        Resolver(monkeypatch, good_example=[[PUBLIC, PUBLIC_6]])
        Network(monkeypatch, server, hanging={PUBLIC, PUBLIC_6})
        with pytest.raises(httpcore.ConnectTimeout):
            run_async(main())


# --- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    """A certificate for good.example that signs itself."""
    import subprocess

    key, path = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", path, "-subj", "/CN=good.example", "-addext", "subjectAltName=DNS:good.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, path


def test_the_certificate_is_checked_against_the_name_and_not_the_address(run_async, monkeypatch, certificate):
    key, path = certificate
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FILE) + FILE)
        await writer.drain()
        writer.close()

    async def main(url):
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        server.port = server.sockets[0].getsockname()[1]
        Network(monkeypatch, server)
        http = HttpConnection("https://service.example/v1", user_agent="test", connect_timeout_s=10)
        try:
            return await Downloads(http).download(url, timeout_s=10)
        finally:
            await http.aclose()
            server.close()

    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    Resolver(monkeypatch, good_example=[[PUBLIC]], other_example=[[PUBLIC]])
    assert run_async(main("https://good.example/x.png")) == FILE
    assert names == ["good.example"]
    assert b"\r\nHost: good.example\r\n" in heads[0]
    with pytest.raises(TransportError, match=r"other\.example"):
        run_async(main("https://other.example/x.png"))
    assert len(heads) == 1


# --- what is shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://me:secret@host/x", "https://host/x?token=secret", "https://host/x#secret", "//me:secret@host/x",
     "me:secret@host/x", "ftp://me:secret@host/x", "https://me:secret@[::1/x", "https://me:secret@:80/"],
)  # fmt: skip
def test_a_url_is_shown_without_its_secrets(run_async, url):
    assert "secret" not in shown_url(url)
    with pytest.raises(RunwareNBError) as caught:
        downloads(run_async, url, timeout_s=2)
    assert "secret" not in str(caught.value)


def test_the_endpoints_user_and_password_are_in_no_message(run_async):
    from runware_nb import Client
    from tests.conftest import TASK

    notices = []
    endpoint = {"rest_url": "http://me:secret@127.0.0.1:9/v1", "ws_url": "ws://me:secret@127.0.0.1:9/v1"}

    async def main():
        async with Client("key", max_retries=0, on_notice=notices.append, **endpoint) as client:
            await client.run(TASK)

    with pytest.raises(TransportError, match=r"127\.0\.0\.1:9 cannot be reached") as caught:
        run_async(main())
    assert "secret" not in f"{caught.value} {notices}"
