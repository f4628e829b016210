"""TLS, proxies, and how a connection comes about."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenfold.core.errors import UpstreamUnavailable
from tenfold.providers.transport import HttpClient, Origin, Timeouts, tls_context
from tenfold.providers.transport.connecting import Address, connect_first
from tests.support.raw_server import Peer, RawServer, always, answering, chunked, whole

CERTIFICATES = Path(__file__).parent / "certificates"
OK = whole(b"ok")


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "localhost.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def client_tls() -> ssl.SSLContext:
    return tls_context(str(CERTIFICATES / "ca.pem"))


async def ask(client: HttpClient) -> bytes:
    return await (await client.post("/", [], b"{}")).read()


# -- TLS -----------------------------------------------------------------------------------------


async def test_https_verified_by_name_and_authority() -> None:
    seen: list[tuple[str | None, str | None]] = []
    tls = server_tls()

    def remember(sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        names.append(name)

    names: list[str | None] = []
    tls.sni_callback = remember

    async def script(peer: Peer) -> None:
        seen.append((names[-1], peer.alpn()))
        await always(OK)(peer)

    async with RawServer(script, tls=tls) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), tls=client_tls())
        for _ in range(3):
            assert await ask(client) == b"ok"
        await client.aclose()
    assert seen == [("localhost", "http/1.1")]


async def test_a_large_exchange_over_tls() -> None:
    async def script(peer: Peer) -> None:
        body = (await peer.request()).body
        await peer.send(chunked(*(body[at : at + 9999] for at in range(0, len(body), 9999))))
        await always(OK)(peer)

    body = bytes(range(256)) * 8000
    async with RawServer(script, tls=server_tls()) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), tls=client_tls())
        exchange = await client.post("/", [], body)
        assert b"".join([block async for block in exchange.blocks()]) == body
        assert await ask(client) == b"ok"
        assert len(server.peers) == 1
        await client.aclose()


async def test_leaving_a_tls_stream_early_is_seen_upstream() -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await peer.hung_up()
        hung_up.set()

    async with RawServer(script, tls=server_tls()) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), tls=client_tls())
        async for _ in (await client.post("/", [], b"")).blocks():
            break
        await hung_up.wait()
        await client.aclose()


async def test_a_cut_over_tls_is_an_error() -> None:
    async with RawServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), tls=server_tls()) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), tls=client_tls())
        with pytest.raises(UpstreamUnavailable, match="in the middle"):
            await ask(client)
        await client.aclose()


async def test_an_authority_that_is_not_trusted_is_refused_by_default() -> None:
    async with RawServer(always(OK), tls=server_tls()) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"))
        with pytest.raises(UpstreamUnavailable, match="the certificate of localhost is not accepted"):
            await ask(client)
        await client.aclose()


async def test_a_certificate_for_another_name_is_refused() -> None:
    async with RawServer(always(OK), tls=server_tls()) as server:
        client = HttpClient(Origin.parse(f"https://127.0.0.1:{server.port}"), tls=client_tls())
        with pytest.raises(UpstreamUnavailable, match=r"the certificate of 127\.0\.0\.1 is not accepted"):
            await ask(client)
        assert (client.stats.open, client.stats.failures) == (0, 1)
        await client.aclose()


async def test_plain_http_where_tls_is_expected() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), tls=client_tls())
        with pytest.raises(UpstreamUnavailable, match="localhost"):
            await ask(client)
        await client.aclose()


def test_certificates_are_verified_unless_said_otherwise() -> None:
    context = tls_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# -- proxies -------------------------------------------------------------------------------------


async def test_https_through_a_proxy() -> None:
    asked: list[tuple[bytes, bytes | None]] = []

    async def proxy_script(peer: Peer) -> None:
        request = await peer.request()
        asked.append((request.line, request.header(b"proxy-authorization")))
        await peer.send(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n", cuts=(5, 30))
        await peer.relay("127.0.0.1", server.port)

    inner: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            inner.append((await peer.request()).head)
            await peer.send(OK)

    async with RawServer(script, tls=server_tls()) as server, RawServer(proxy_script) as proxy:
        client = HttpClient(
            Origin.parse(f"https://localhost:{server.port}/v1"),
            tls=client_tls(),
            proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}",
        )
        for _ in range(2):
            assert await ask(client) == b"ok"
        await client.aclose()
        credentials = b"Basic " + base64.b64encode(b"user:p@ss")
        assert asked == [(b"CONNECT localhost:%d HTTP/1.1" % server.port, credentials)]
    assert len(inner) == 2
    assert inner[0].startswith(b"POST /v1/ HTTP/1.1\r\n")
    assert b"roxy" not in inner[0]


async def test_http_through_a_proxy() -> None:
    asked: list[tuple[bytes, bytes | None, bytes | None]] = []

    async def proxy_script(peer: Peer) -> None:
        request = await peer.request()
        asked.append((request.line, request.header(b"host"), request.header(b"proxy-authorization")))
        await peer.send(OK)

    async with RawServer(proxy_script) as proxy:
        client = HttpClient(Origin.parse("http://model.test:81/v1"), proxy=f"http://u:p@127.0.0.1:{proxy.port}")
        assert await ask(client) == b"ok"
        await client.aclose()
    credentials = b"Basic " + base64.b64encode(b"u:p")
    assert asked == [(b"POST http://model.test:81/v1/ HTTP/1.1", b"model.test:81", credentials)]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "answered 407 for localhost"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno", "answered 403 for localhost"),
        (b"HTTP/1.1 200 OK\r\n\r\nmore than was asked", "no valid answer"),
        (b"SSH-2.0\r\n\r\n", "no valid answer"),
        (b"HTTP/1.1 200 OK\r\n", "no valid answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000, "no valid answer"),
        (b"", "no valid answer"),
    ],
)
async def test_a_proxy_that_refuses(answer: bytes, message: str) -> None:
    async with RawServer(answering(answer)) as proxy:
        client = HttpClient(
            Origin.parse("https://localhost:9"), tls=client_tls(), proxy=f"http://u:secret@127.0.0.1:{proxy.port}"
        )
        with pytest.raises(UpstreamUnavailable, match=message) as caught:
            await ask(client)
        assert "secret" not in caught.value.message
        await client.aclose()


async def test_no_proxy_there() -> None:
    async with RawServer(always(OK)) as gone:
        pass
    client = HttpClient(Origin.parse("https://localhost:9"), tls=client_tls(), proxy=f"http://127.0.0.1:{gone.port}")
    with pytest.raises(UpstreamUnavailable, match=r"cannot connect to localhost through the proxy 127\.0\.0\.1"):
        await ask(client)
    await client.aclose()


# -- addresses -----------------------------------------------------------------------------------


async def test_an_ipv6_literal() -> None:
    hosts: list[bytes | None] = []

    async def script(peer: Peer) -> None:
        hosts.append((await peer.request()).header(b"host"))
        await peer.send(OK)

    try:
        server = await RawServer(script, host="::1").__aenter__()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    client = HttpClient(Origin.parse(server.url))
    assert await ask(client) == b"ok"
    await client.aclose()
    await server.__aexit__(None, None, None)
    assert hosts == [b"[::1]:%d" % server.port]


@pytest.fixture
def listening() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield socket.AF_INET, server.getsockname()


@pytest.fixture
def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return socket.AF_INET, server.getsockname()


@pytest.fixture
def unanswering() -> Iterator[Address]:
    """A listener whose queue is full drops what comes: like an address without a route, it never answers."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield socket.AF_INET, server.getsockname()


async def test_a_refused_address_is_followed_by_the_next(refusing: Address, listening: Address) -> None:
    with await connect_first(asyncio.get_running_loop(), [refusing, refusing, listening]) as sock:
        assert sock.getpeername() == listening[1]


async def test_an_address_that_does_not_answer_is_not_waited_for(unanswering: Address, listening: Address) -> None:
    with await connect_first(asyncio.get_running_loop(), [unanswering, listening, unanswering]) as sock:
        assert sock.getpeername() == listening[1]


async def test_no_address_answers(refusing: Address) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_first(asyncio.get_running_loop(), [refusing, refusing])
    with pytest.raises(OSError, match="no address"):
        await connect_first(asyncio.get_running_loop(), [])


async def test_cancelling_closes_every_attempt(unanswering: Address) -> None:
    connecting = asyncio.create_task(connect_first(asyncio.get_running_loop(), [unanswering, unanswering]))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):  # a socket left open would be a ResourceWarning, which is an error
        await connecting


async def test_cancelling_while_connecting_frees_the_slot() -> None:
    async def script(peer: Peer) -> None:
        await peer.hung_up()

    async with RawServer(script) as server:  # speaks no TLS
        client = HttpClient(Origin.parse(f"https://localhost:{server.port}"), timeouts=Timeouts(connect_s=60))
        request = asyncio.create_task(ask(client))
        while not server.peers:
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (client.stats.open, client.stats.in_use) == (0, 0)
        await client.aclose()
