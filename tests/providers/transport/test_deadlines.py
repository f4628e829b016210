"""Missed deadlines end the exchange with a typed error and close the connection."""

import asyncio

import pytest

from tenfold.core.errors import UpstreamTimeout
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts
from tests.providers.transport.memory import Wired
from tests.support.raw_server import Peer, RawServer, always, whole

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Silent:
    """Sends the given bytes, then nothing; knows when the client hung up."""

    def __init__(self, first: bytes) -> None:
        self.hung_up = asyncio.Event()
        self._first = first

    async def script(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(self._first)
        await peer.hung_up()
        self.hung_up.set()


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["nothing", "half a head", "interim"]
)
async def test_a_head_that_does_not_come(first: bytes) -> None:
    upstream = Silent(first)
    async with RawServer(upstream.script) as server:
        client = HttpClient(Origin.parse(server.url), timeouts=Timeouts(first_byte_s=0.03))
        with pytest.raises(UpstreamTimeout, match=r"127\.0\.0\.1 did not begin its reply within 0\.03 s"):
            await client.post("/", [], b"")
        await upstream.hung_up.wait()
        await client.aclose()
        assert client.stats.failures == 1


@pytest.mark.parametrize("how", ["read", "blocks"])
async def test_silence_in_the_body(how: str) -> None:
    upstream = Silent(HEAD + b"1\r\na\r\n")
    async with RawServer(upstream.script) as server:
        client = HttpClient(Origin.parse(server.url), timeouts=Timeouts(between_bytes_s=0.03))
        exchange = await client.post("/", [], b"")
        received = b""
        with pytest.raises(UpstreamTimeout, match=r"was silent for 0\.03 s"):
            if how == "read":
                await exchange.read()
            async for block in exchange.blocks():
                received += block
        assert received == (b"a" if how == "blocks" else b"")
        await upstream.hung_up.wait()
        await client.aclose()


async def test_a_reply_that_never_ends() -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD)
        try:
            while True:
                await peer.send(b"1\r\na\r\n")
        finally:
            hung_up.set()

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(server.url), timeouts=Timeouts(total_s=0.03))
        exchange = await client.post("/", [], b"")
        with pytest.raises(UpstreamTimeout, match=r"did not complete its reply within 0\.03 s"):
            async for _ in exchange.blocks():
                pass
        await hung_up.wait()
        await client.aclose()


async def test_a_request_may_have_its_own_deadlines() -> None:
    upstream = Silent(b"")
    async with RawServer(upstream.script) as server:
        client = HttpClient(Origin.parse(server.url))
        with pytest.raises(UpstreamTimeout, match=r"0\.02 s"):
            await client.get("/", [], timeouts=Timeouts(first_byte_s=0.02))
        await client.aclose()


async def test_connecting_has_a_deadline() -> None:
    async def script(peer: Peer) -> None:
        await peer.hung_up()

    async with RawServer(script) as server:  # it speaks no TLS: the handshake gets no answer
        client = HttpClient(Origin.parse(server.url.replace("http", "https")), timeouts=Timeouts(connect_s=0.05))
        with pytest.raises(UpstreamTimeout, match=r"connecting to 127\.0\.0\.1 took longer than 0\.05 s"):
            await client.post("/", [], b"")
        await client.aclose()
        assert client.stats.open == 0


async def test_a_prompt_upstream_misses_none() -> None:
    async with RawServer(always(whole(b"ok"))) as server:
        client = HttpClient(Origin.parse(server.url), timeouts=Timeouts(first_byte_s=5, between_bytes_s=5, total_s=5))
        for _ in range(20):
            assert await (await client.post("/", [], b"")).read() == b"ok"
        assert client.stats.created == 1
        await client.aclose()


def started(timeouts: Timeouts, limits: Limits | None = None) -> tuple[Wired, float]:
    wired = Wired(timeouts=timeouts, limits=limits)
    return wired, wired.exchange.started_at_s


async def test_each_deadline_is_counted_from_its_own_start() -> None:
    timeouts = Timeouts(first_byte_s=10, between_bytes_s=3, total_s=20)
    wired, start = started(timeouts)
    wired.connection.check_deadlines(start + 9.9)  # between-bytes does not count before the head
    assert wired.failure() is None
    wired.receive(HEAD)
    last = wired.connection.last_byte_s
    wired.connection.check_deadlines(last + 2.9)
    assert wired.failure() is None
    wired.connection.check_deadlines(last + 3.1)
    assert isinstance(wired.failure(), UpstreamTimeout)
    assert wired.is_lost


async def test_a_slow_reader_is_not_a_silent_upstream() -> None:
    wired, start = started(Timeouts(between_bytes_s=3, total_s=100), Limits(max_buffered_bytes=10))
    wired.receive(HEAD, b"14\r\n" + b"x" * 20 + b"\r\n")
    wired.connection.check_deadlines(start + 50)
    assert wired.failure() is None
    blocks = wired.exchange.blocks()
    wired.connection.last_byte_s -= 1000  # it was long ago that the reading stopped
    await anext(blocks)  # reading goes on, so silence counts again, from now
    wired.connection.check_deadlines(start + 2.9)
    assert wired.failure() is None
    wired.connection.check_deadlines(wired.connection.last_byte_s + 3.1)
    assert isinstance(wired.failure(), UpstreamTimeout)


async def test_the_total_holds_even_for_a_slow_reader() -> None:
    wired, start = started(Timeouts(total_s=100), Limits(max_buffered_bytes=10))
    wired.receive(HEAD, b"14\r\n" + b"x" * 20 + b"\r\n")
    wired.connection.check_deadlines(start + 101)
    assert isinstance(wired.failure(), UpstreamTimeout)


@pytest.mark.parametrize("name", ["connect_s", "acquire_s", "first_byte_s", "between_bytes_s", "total_s"])
def test_a_deadline_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Timeouts(**{name: 0})
