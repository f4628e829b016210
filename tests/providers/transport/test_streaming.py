"""How bytes reach the caller: what one segment brings comes at once, and what nobody takes is not read."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import UpstreamError
from tenfold.providers.transport import HttpClient, Limits, Origin
from tests.providers.transport.memory import Wired, body_of
from tests.support.raw_server import Peer, RawServer, chunked, whole

EVENTS = [b"data: %d\n\n" % number for number in range(64)]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def finished_at_once(work: Coroutine[Any, Any, bytes]) -> bytes:
    """The result of a coroutine that never suspends."""
    with pytest.raises(StopIteration) as stopped:
        work.send(None)
    value = stopped.value.value
    assert isinstance(value, bytes)
    return value


async def test_a_burst_of_chunks_in_one_segment_is_one_block() -> None:
    wired = Wired()
    wired.receive(chunked(*EVENTS))
    assert [block async for block in wired.exchange.blocks()] == [b"".join(EVENTS)]


async def test_each_segment_is_a_block_when_it_is_taken_in_time() -> None:
    wired = Wired()
    wired.receive(STREAM_HEAD)
    blocks = wired.exchange.blocks()
    for event in EVENTS[:3]:
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0)
        wired.receive(chunk(event))
        assert await waiting == event
    wired.receive(chunk(EVENTS[3]), chunk(EVENTS[4]))
    assert await anext(blocks) == EVENTS[3] + EVENTS[4]
    wired.receive(b"0\r\n\r\n")
    with pytest.raises(StopAsyncIteration):
        await anext(blocks)


@pytest.mark.parametrize("reply", [whole(b"hello"), chunked(b"hel", b"lo")])
async def test_reading_a_reply_that_is_there_does_not_suspend(reply: bytes) -> None:
    wired = Wired()
    wired.receive(reply)
    assert finished_at_once(wired.exchange.read()) == b"hello"
    assert finished_at_once(wired.exchange.read()) == b"hello"


async def test_the_head_is_there_before_the_body() -> None:
    wired = Wired()
    head = asyncio.ensure_future(wired.exchange.wait_head())
    await asyncio.sleep(0)
    wired.receive(STREAM_HEAD)
    await head
    assert wired.exchange.status == 200


async def test_two_readers_of_one_exchange_are_a_mistake() -> None:
    wired = Wired()
    wired.receive(STREAM_HEAD)
    first = asyncio.create_task(wired.exchange.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="two tasks"):
        await wired.exchange.read()
    wired.receive(chunk(b"a"), b"0\r\n\r\n")
    assert await first == b"a"


# -- leaving early -------------------------------------------------------------------------------


async def test_leaving_the_loop_closes_the_connection_before_the_next_statement() -> None:
    wired = Wired()
    wired.receive(STREAM_HEAD, chunk(b"a"))
    async for _ in wired.exchange.blocks():
        break
    assert wired.is_lost


async def test_an_error_in_the_loop_closes_the_connection() -> None:
    wired = Wired()
    wired.receive(STREAM_HEAD, chunk(b"a"))
    with pytest.raises(ZeroDivisionError):
        async for block in wired.exchange.blocks():
            len(block) / 0
    assert wired.is_lost


async def test_leaving_the_loop_of_a_complete_reply_keeps_the_connection() -> None:
    wired = Wired()
    wired.receive(chunked(b"a"))
    async for _ in wired.exchange.blocks():
        break
    assert (wired.released, wired.is_lost) == (1, False)


async def test_a_request_whose_coroutine_is_dropped_closes_the_connection() -> None:
    wired = Wired()
    waiting = wired.exchange.wait_head()
    waiting.send(None)
    waiting.close()
    assert wired.is_lost


# -- backpressure --------------------------------------------------------------------------------


async def test_a_stream_that_nobody_takes_is_not_read() -> None:
    wired = Wired(limits=Limits(max_buffered_bytes=1000))
    wired.receive(STREAM_HEAD, chunk(b"a" * 600))
    assert not wired.is_paused()
    wired.receive(chunk(b"b" * 600))
    assert wired.is_paused()
    blocks = wired.exchange.blocks()
    assert await anext(blocks) == b"a" * 600 + b"b" * 600
    assert not wired.is_paused()


async def test_reading_whole_lifts_the_pause() -> None:
    wired = Wired(limits=Limits(max_buffered_bytes=1000))
    wired.receive(STREAM_HEAD, chunk(b"a" * 2000))
    reader = asyncio.create_task(wired.exchange.read())
    await asyncio.sleep(0)
    assert not wired.is_paused()
    wired.receive(chunk(b"b" * 2000), b"0\r\n\r\n")
    assert await reader == b"a" * 2000 + b"b" * 2000


async def test_a_complete_reply_never_leaves_the_connection_paused() -> None:
    wired = Wired(limits=Limits(max_buffered_bytes=10))
    wired.receive(chunked(b"a" * 2000))
    assert not wired.is_paused()
    assert await wired.exchange.read() == b"a" * 2000
    wired.send()
    wired.receive(whole(b"next"))
    assert await wired.exchange.read() == b"next"


async def test_a_slow_reader_bounds_what_is_held_and_gets_everything() -> None:
    sent = 0
    total = 24 * 1024 * 1024
    part = b"x" * 65536
    stalled = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            sending = asyncio.ensure_future(peer.send(part))
            done, _ = await asyncio.wait([sending], timeout=0.2)
            if not done:
                stalled.set()
            await sending
            sent += len(part)

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(server.url), limits=Limits(max_buffered_bytes=100_000))
        exchange = await client.post("/", [], b"")
        await stalled.wait()
        assert sent < total  # the rest waits in the server, held back by TCP
        largest = received = 0
        async for block in exchange.blocks():
            largest = max(largest, len(block))
            received += len(block)
        assert received == total
        assert largest <= 100_000 + 512 * 1024  # the bound, and what the loop reads at once
        await client.aclose()


async def test_a_body_over_the_cap_is_refused_by_its_declared_length() -> None:
    wired = Wired(limits=Limits(max_body_bytes=10))
    wired.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
    with pytest.raises(UpstreamError, match="larger than 10 bytes"):
        await wired.exchange.read()
    assert wired.is_lost


async def test_an_endless_body_is_refused_when_read_whole_and_streams_otherwise() -> None:
    wired = Wired(limits=Limits(max_body_bytes=1000))
    wired.receive(STREAM_HEAD)
    reader = asyncio.create_task(wired.exchange.read())
    await asyncio.sleep(0)
    wired.receive(*[chunk(b"x" * 100)] * 20)
    with pytest.raises(UpstreamError, match="larger than 1000 bytes"):
        await reader
    assert wired.is_lost

    streamed = Wired(limits=Limits(max_body_bytes=1000))
    streamed.receive(STREAM_HEAD, *[chunk(b"x" * 100)] * 20, b"0\r\n\r\n")
    assert await body_of(streamed.exchange, "blocks") == b"x" * 2000


# -- content codings -----------------------------------------------------------------------------

CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:]),  # two members
    b"deflate": zlib.compress,
    b"Deflate": lambda body: zlib.compress(body, wbits=-15),  # bare, as some servers do
    b"identity": lambda body: body,
}


def coded(coding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (coding, len(body), body)


@pytest.mark.parametrize("how", ["whole", "blocks"])
@given(body=st.binary(max_size=2000), coding=st.sampled_from(sorted(CODINGS)), step=st.integers(1, 400))
@settings(max_examples=60, deadline=None)
async def test_a_coding_nobody_asked_for_is_undone(how: str, body: bytes, coding: bytes, step: int) -> None:
    reply = coded(coding, CODINGS[coding](body))
    wired = Wired()
    wired.receive(*(reply[at : at + step] for at in range(0, len(reply), step)))
    assert await body_of(wired.exchange, how) == body
    assert coding == b"identity" or wired.exchange.header(b"content-encoding") is None


@pytest.mark.parametrize("how", ["whole", "blocks"])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_a_coded_body_that_is_not_whole_is_refused(coding: bytes, how: str) -> None:
    body = CODINGS[coding](b"hello" * 50)
    for broken in (*(body[:end] for end in range(1, len(body))), body + b"more", b"\xff" * 20):
        wired = Wired()
        wired.receive(coded(coding, broken))
        with pytest.raises(UpstreamError) as caught:
            await body_of(wired.exchange, how)
        assert caught.value.kind == "malformed_reply"


async def test_a_bomb_is_refused_whole_and_comes_in_small_blocks() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    wired = Wired(limits=Limits(max_body_bytes=1_000_000))
    wired.receive(coded(b"gzip", bomb))
    with pytest.raises(UpstreamError) as caught:
        await wired.exchange.read()
    assert caught.value.kind == "reply_too_large"

    streamed = Wired()
    streamed.receive(coded(b"gzip", bomb))
    sizes = [len(block) async for block in streamed.exchange.blocks()]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 64 * 1024


@pytest.mark.parametrize("how", ["whole", "blocks"])
async def test_others_have_their_turn_while_a_bomb_unfolds(how: str) -> None:
    """All of it is there at once: nothing is waited for."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    wired = Wired()
    wired.receive(coded(b"gzip", gzip.compress(b"\0" * 20_000_000)))
    beside = asyncio.create_task(other())
    assert len(await body_of(wired.exchange, how)) == 20_000_000
    beside.cancel()
    assert turns > 200
