"""Replies as the connection reads them: cut at every byte, truncated at every byte, malformed in every known way."""

import asyncio
import gzip
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import UpstreamError, UpstreamUnavailable
from tenfold.providers.transport import Limits
from tenfold.providers.transport.exchange import HttpExchange
from tests.providers.transport.memory import Wired, body_of
from tests.support.raw_server import chunked, whole

HEAD = b"HTTP/1.1 200 OK\r\n"
EVENTS = [b"data: %d\n\n" % n for n in range(5)]

# name: (bytes, status, body, connection usable afterwards)
REPLIES: dict[str, tuple[bytes, int, bytes, bool]] = {
    "content-length": (whole(b"hello"), 200, b"hello", True),
    "empty": (whole(b""), 200, b"", True),
    "chunked": (chunked(*EVENTS), 200, b"".join(EVENTS), True),
    "chunked, nothing in it": (chunked(), 200, b"", True),
    "chunk extensions": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b;c\r\nhello\r\n0;z\r\n\r\n",
        200,
        b"hello",
        True,
    ),
    "trailers": (
        HEAD + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 1\r\nx-y: 2\r\n\r\n",
        200,
        b"hello",
        True,
    ),
    "error status": (whole(b"why", status=b"429 Too Many Requests"), 429, b"why", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "no content": (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", 204, b"", True),
    "not modified with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "100-continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"hello"), 200, b"hello", True),
    "early hints first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + chunked(b"hello"),
        200,
        b"hello",
        True,
    ),
    "connection: close": (whole(b"hello", headers=b"Connection: close\r\n"), 200, b"hello", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", False),
    "HTTP/1.0 keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
        True,
    ),
    "an upgrade offered": (whole(b"ok", headers=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), 200, b"ok", True),
    "gzip unasked": (
        whole(gzip.compress(b"hello" * 99), headers=b"Content-Encoding: gzip\r\n"),
        200,
        b"hello" * 99,
        True,
    ),
}

MALFORMED: dict[str, bytes] = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "status not a number": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 99 OK\r\n\r\n",
    "length and chunked": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "lengths in a list": HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "length with a sign": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "length in hex": HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "length beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "transfer coding that is not chunked": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "gzip then chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two transfer codings": HEAD + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size not hex": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk size negative": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "chunk size beyond 64 bits": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "chunk longer than its size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "chunk size ended by LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "folded header": HEAD + b"X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": HEAD + b"X-A : 1\r\nContent-Length: 0\r\n\r\n",
    "no colon": HEAD + b"X-A\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": HEAD + b"X-A: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "bare LF in a value": HEAD + b"X-A: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "lines ended by LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "switching protocols without naming one": b"HTTP/1.1 101 Switching\r\n\r\n",
    "a coding nobody can undo": whole(b"abc", headers=b"Content-Encoding: br\r\n"),
    "coded twice": whole(b"abc", headers=b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n"),
}


def wire() -> Wired:
    return Wired(served=1)


@pytest.fixture(params=["whole", "blocks"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def segmentations(reply: bytes) -> Iterator[list[bytes]]:
    """Whole, cut once at every byte, and byte by byte."""
    yield [reply]
    for at in range(1, len(reply)):
        yield [reply[:at], reply[at:]]
    yield [reply[at : at + 1] for at in range(len(reply))]


@pytest.mark.parametrize("name", REPLIES)
async def test_every_cut_gives_the_same_reply(name: str, how: str) -> None:
    reply, status, body, usable = REPLIES[name]
    for segments in segmentations(reply):
        wired = wire()
        wired.receive(*segments)
        assert wired.exchange.status == status
        assert await body_of(wired.exchange, how) == body
        assert not wired.exchange.eof_delimited
        assert (wired.released, wired.is_lost) == ((1, False) if usable else (0, True))


@pytest.mark.parametrize("name", REPLIES)
async def test_every_truncation_is_an_error(name: str, how: str) -> None:
    reply, *_ = REPLIES[name]
    for end in range(len(reply)):
        wired = wire()
        wired.receive(reply[:end])
        wired.transport.lose(None)
        with pytest.raises(UpstreamUnavailable):
            await body_of(wired.exchange, how)
        assert wired.exchange.untouched == (end == 0)


@pytest.mark.parametrize("name", REPLIES)
async def test_who_waits_is_woken_when_there_is_what_it_waits_for(name: str, how: str) -> None:
    reply, status, body, _ = REPLIES[name]

    async def ask(exchange: HttpExchange) -> bytes:
        await exchange.wait_head()
        assert exchange.status == status
        return await body_of(exchange, how)

    for segments in segmentations(reply):
        wired = wire()
        asking = asyncio.create_task(ask(wired.exchange))
        for segment in segments:
            await asyncio.sleep(0)
            wired.receive(segment)
        assert await asking == body


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_reply_is_refused(name: str, how: str) -> None:
    reply = MALFORMED[name]
    for segments in ([reply], [reply[at : at + 1] for at in range(len(reply))]):
        wired = wire()
        wired.receive(*segments)
        assert wired.is_lost
        assert wired.released == 0
        assert not wired.exchange.untouched
        with pytest.raises(UpstreamError) as caught:
            await body_of(wired.exchange, how)
        assert caught.value.kind == "malformed_reply"
        assert "upstream.test" in caught.value.message


@pytest.mark.parametrize(
    "extra",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"H", b"junk", b"\x00", b"0\r\n\r\n"],
)
async def test_bytes_after_the_reply_never_answer_the_next_request(extra: bytes) -> None:
    in_one = wire()
    in_one.receive(whole(b"mine") + extra)
    assert await in_one.exchange.read() == b"mine"
    assert (in_one.released, in_one.is_lost) == (0, True)

    later = wire()
    later.receive(whole(b"mine"))
    assert (later.released, later.is_lost) == (1, False)
    later.receive(extra)
    assert later.is_lost
    assert await later.exchange.read() == b"mine"


async def test_a_body_where_none_may_be_is_refused() -> None:
    wired = wire()
    wired.receive(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil")
    assert await wired.exchange.read() == b""
    assert (wired.released, wired.is_lost) == (0, True)


async def test_trailers_do_not_become_headers() -> None:
    reply, *_ = REPLIES["trailers"]
    wired = wire()
    wired.receive(reply)
    assert wired.exchange.headers == [(b"transfer-encoding", b"Chunked")]


async def test_a_body_without_framing_ends_with_the_connection(how: str) -> None:
    reply = HEAD + b"Content-Type: text/plain\r\n\r\nhello"
    for end in range(reply.index(b"hello"), len(reply)):
        wired = wire()
        wired.receive(reply[:end])
        assert wired.exchange.eof_delimited
        wired.transport.lose(None)
        assert await body_of(wired.exchange, how) == reply[:end].partition(b"\r\n\r\n")[2]
        assert wired.released == 0


async def test_a_reset_is_not_the_end_of_a_body_without_framing(how: str) -> None:
    wired = wire()
    wired.receive(HEAD + b"\r\nhello")
    wired.transport.lose(ConnectionResetError())
    with pytest.raises(UpstreamUnavailable):
        await body_of(wired.exchange, how)


@pytest.mark.parametrize("step", [1000, 10_000_000])
@pytest.mark.parametrize(
    "endless",
    [
        HEAD + b"X-Endless: " + b"a" * 20_000,
        HEAD + b"X-A: 1\r\n" * 3_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"e" * 20_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X-Trailer: 1\r\n" * 2_000,
    ],
    ids=["value", "headers", "interim replies", "chunk extension", "trailers"],
)
async def test_headers_without_end_are_bounded(endless: bytes, step: int) -> None:
    wired = Wired(limits=Limits(max_head_bytes=8192))
    wired.receive(*(endless[at : at + step] for at in range(0, len(endless), step)))
    with pytest.raises(UpstreamError) as caught:
        await wired.exchange.read()
    assert caught.value.kind == "malformed_reply"
    assert wired.is_lost


async def test_a_large_head_in_one_segment_with_its_body_is_bounded_too() -> None:
    reply = whole(b"x" * 9000, headers=b"X-A: %b\r\n" % (b"a" * 9000))
    wired = Wired(limits=Limits(max_head_bytes=8192))
    wired.receive(reply)
    with pytest.raises(UpstreamError):
        await wired.exchange.read()
    fits = Wired(limits=Limits(max_head_bytes=8192))
    fits.receive(whole(b"x" * 9000))
    assert len(await fits.exchange.read()) == 9000


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=20),
    cuts=st.lists(st.integers(0, 1200), max_size=10),
    interim=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
async def test_any_chunking_and_any_cuts(chunks: list[bytes], cuts: list[int], interim: int) -> None:
    reply = b"HTTP/1.1 103 Early Hints\r\n\r\n" * interim + chunked(*chunks)
    edges = sorted({0, len(reply), *(cut for cut in cuts if cut < len(reply))})
    wired = wire()
    wired.receive(*(reply[a:b] for a, b in pairwise(edges)))
    assert await wired.exchange.read() == b"".join(chunks)
    assert wired.released == 1


@given(data=st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
async def test_noise_never_hangs_or_escapes(data: bytes) -> None:
    wired = wire()
    wired.receive(data)
    wired.transport.lose(None)
    with pytest.raises(UpstreamError):
        await wired.exchange.read()
