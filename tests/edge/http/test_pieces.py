"""A body read in pieces: whole however it is cut, and never more of it in memory than was asked for."""

import asyncio

import pytest

from tenfold.core.errors import TenfoldError
from tenfold.edge.http import Request, ServerLimits
from tests.support.http_server import Served, get, post, post_chunks, turns

LIMITS = ServerLimits(max_unread_bytes=1024)


class Reader:
    """Takes a piece each time it is let to, and answers with what it got."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self.pieces: list[bytes] = []
        self.go = asyncio.Semaphore(1_000_000)
        self._limit = limit

    async def __call__(self, request: Request) -> None:
        self.pieces = []
        try:
            await self.go.acquire()
            async for piece in request.pieces(self._limit):
                self.pieces.append(piece)
                await self.go.acquire()
        except TenfoldError as error:
            request.whole(error.status, "", error.code.encode())
            return
        request.whole(200, "", b"".join(self.pieces))


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 300_000])
async def test_the_pieces_are_the_body(size: int) -> None:
    body = bytes(at % 251 for at in range(size))
    async with Served(Reader(), LIMITS) as served:
        assert (await served.ask(post(body))).body == body
        assert (await served.ask(post_chunks([body[:7] or b"x", body[7:] or b"y"]))).status == 200
        client = await served.connect()
        await client.send(post(body) + get("/next"), cuts=range(0, size, 50_000))
        assert (await client.reply()).body == body
        assert (await client.reply()).body == b""


async def test_a_client_waits_for_a_slow_reader() -> None:
    reader = Reader(limit=1 << 25)
    reader.go = asyncio.Semaphore(0)
    async with Served(reader, LIMITS) as served:
        client = await served.connect()
        client.write(post(b"x" * 20_000_000))
        while not client.untaken:
            await asyncio.sleep(0)
        for _ in range(50):
            await turns()
        assert client.untaken > 5_000_000
        for _ in range(20_000):
            reader.go.release()
        assert len((await client.reply()).body) == 20_000_000
        assert len(reader.pieces) > 10


async def test_a_body_over_the_limit_is_refused() -> None:
    async with Served(Reader(limit=1000), LIMITS) as served:
        assert (await served.ask(post(b"x" * 1001))).body == b"request_too_large"
        assert (await served.ask(post_chunks([b"x" * 600, b"x" * 600]))).body == b"request_too_large"
        assert (await served.ask(post(b"x" * 1000))).status == 200


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with Served(Reader(), LIMITS) as served:
        client = await served.connect()
        head, body = post(b"late", "/", "Expect: 100-continue").split(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert (await client.head()).status == 100
        await client.send(body)
        assert (await client.reply()).body == b"late"


async def test_a_client_that_leaves_ends_the_reading() -> None:
    async with Served(Reader(), LIMITS) as served:
        client = await served.connect()
        await client.send(post(b"x" * 9000)[:5000])
        client.close()
        assert await served.how() == "cancelled"
