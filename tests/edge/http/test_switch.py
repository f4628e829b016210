"""A request that offers WebSocket: taken, it hands over the connection; not taken, it is a request like any other."""

import asyncio

import pytest

from tenfold.edge.http import Request
from tests.support.http_server import Served, echo, get, post, turns

OFFER = ("Connection: Upgrade", "Upgrade: websocket")


class Switching:
    """Takes the offer, and sends back in upper case what it gets until that ends in a full stop."""

    def __init__(self) -> None:
        self.got = b""
        self.over = asyncio.Event()

    async def __call__(self, request: Request) -> None:
        await turns()  # as if it had to look something up first: what comes meanwhile is kept
        wire = request.switch("x-agreed: yes\r\n", self._take)
        await self.over.wait()
        wire.write(self.got.upper())

    def _take(self, data: bytes) -> None:
        self.got += data
        if self.got.endswith(b"."):
            self.over.set()


async def test_what_comes_behind_the_switch_is_not_http() -> None:
    async with Served(Switching()) as served:
        client = await served.connect()
        await client.send(get("/x", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket"))
        head = await client.head()
        assert (head.status, head.headers["upgrade"], head.headers["x-agreed"]) == (101, "websocket", "yes")
        await client.send(get("/not-a-request"))
        served.later(3600.0)  # no time limit of HTTP holds here
        await client.send(b"end.")
        assert (await client.rest()) == get("/not-a-request").upper() + b"END."


async def test_the_switch_may_be_cut_anywhere() -> None:
    data = get("/x", *OFFER) + b"sent too early."
    for cut in range(1, len(data)):
        async with Served(Switching()) as served:
            client = await served.connect()
            await client.send(data, cuts=[cut])
            assert (await client.head()).status == 101
            assert await client.rest() == b"SENT TOO EARLY."


async def test_an_offer_that_is_not_taken_is_answered() -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(get("/x", *OFFER) + b"too early")
        reply = await client.reply()
        assert (reply.status, reply.json()["path"], reply.headers["connection"]) == (200, "/x", "close")
        await client.gone()


@pytest.mark.parametrize(
    "data",
    [
        post(b"abc", "/x", *OFFER),
        get("/x", "Connection: Upgrade", "Upgrade: h2c"),
        get("/x", "Upgrade: websocket"),  # Connection does not name it
        get("/x", *OFFER).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["body", "other", "not named", "http10"],
)
async def test_what_is_no_such_offer_cannot_be_taken(data: bytes) -> None:
    async with Served(Switching()) as served:
        client = await served.connect()
        await client.send(data)
        await client.gone()
        assert await served.how() == "RuntimeError"


async def test_a_client_that_leaves_ends_the_handler() -> None:
    async with Served(Switching()) as served:
        client = await served.connect()
        await client.send(get("/x", *OFFER))
        await client.head()
        client.reset()
        assert await served.how() == "cancelled"
