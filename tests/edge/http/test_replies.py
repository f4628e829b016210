"""Replies as clients see them: framing, order, truncation, and clients that leave or do not read."""

import asyncio
import gc
import http.client
import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from tenfold.core.errors import TenfoldError
from tenfold.edge.http import ClientGone, Request, ServerLimits
from tests.support.http_server import Handler, Served, echo, get, post, post_chunks, turns


async def routes(request: Request) -> None:
    """One route for each kind of reply."""
    match request.path:
        case "/whole":
            request.whole(200, "x-a: b\r\n", b"whole")
        case "/empty" | "/unchanged":
            request.whole(204 if request.path == "/empty" else 304, "", b"never sent")
        case "/empty-stream":
            sender = request.stream(204, "")
            await sender.send_bytes(b"never sent")
        case "/named-by-nobody":
            request.whole(529, "", b"overloaded")
        case "/stream":
            sender = request.stream(200, "")
            for piece in (b"one", b"", b"two"):
                await sender.send_bytes(piece)


async def test_framing_for_http11() -> None:
    async with Served(routes) as served:
        client = await served.connect()
        for path, method, status, body in [
            ("/whole", "GET", 200, b"whole"),
            ("/whole", "HEAD", 200, b""),
            ("/stream", "GET", 200, b"onetwo"),
            ("/stream", "HEAD", 200, b""),
            ("/empty", "GET", 204, b""),
            ("/empty-stream", "GET", 204, b""),
            ("/unchanged", "GET", 304, b""),
            ("/named-by-nobody", "GET", 529, b"overloaded"),
        ]:
            await client.send(get(path).replace(b"GET", method.encode(), 1))
            reply = await client.reply(to=method)
            assert (reply.status, reply.body) == (status, body)
            assert "date" in reply.headers
            assert "connection" not in reply.headers
            framing = {"content-length", "transfer-encoding"} & reply.headers.keys()
            assert len(framing) == (0 if status in (204, 304) else 1)


@pytest.mark.parametrize("keep", [False, True])
async def test_framing_for_http10(keep: bool) -> None:
    ask = b"GET %b HTTP/1.0\r\n" + (b"Connection: keep-alive\r\n" if keep else b"") + b"\r\n"
    async with Served(routes) as served:
        client = await served.connect()
        await client.send(ask % b"/whole")
        reply = await client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"whole", "keep-alive" if keep else "close")
        if not keep:
            assert await client.rest() == b""
            client = await served.connect()
        await client.send(ask % b"/stream")
        reply = await client.reply()
        assert (reply.body, reply.headers["connection"]) == (b"onetwo", "close")
        assert "transfer-encoding" not in reply.headers


async def test_who_asks_is_told_to_send_the_body() -> None:
    async with Served(echo) as served:
        client = await served.connect()
        for _ in range(2):
            data = post(b"abc", "/", "Expect: 100-Continue")
            await client.send(data[:-3])
            assert (await client.reply()).status == 100
            await client.send(data[-3:])
            assert (await client.reply()).json()["body"] == "abc"
        await client.send(data)  # who did not wait is not told
        assert (await client.reply()).status == 200
        await client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        await client.send(b"x")
        assert (await client.reply()).status == 200


async def test_who_asks_is_told_once() -> None:
    async def again(request: Request) -> None:
        first = asyncio.ensure_future(request.body(10))
        await turns()
        first.cancel()
        await asyncio.wait([first])
        request.whole(200, "", await request.body(10))

    async with Served(again) as served:
        client = await served.connect()
        await client.send(post(b"abc", "/", "Expect: 100-continue")[:-3])
        await turns()
        await client.send(b"abc")
        assert [(await client.reply()).status for _ in range(2)] == [100, 200]


async def test_who_asks_with_a_body_too_large_is_not() -> None:
    async def small(request: Request) -> None:
        try:
            await request.body(2)
        except TenfoldError as error:
            request.whole(error.status, "", b"")

    async with Served(small) as served:
        client = await served.connect()
        await client.send(post(b"abc", "/", "Expect: 100-continue")[:-3])
        assert (await client.reply()).status == 413
        assert await client.rest() == b""


async def test_a_reply_before_the_body_ends_the_connection() -> None:
    async with Served(routes) as served:
        for path in ("/whole", "/stream"):
            client = await served.connect()
            await client.send(post(b"x" * 100_000, path)[:-1])
            assert (await client.reply()).headers["connection"] == "close"
            await client.send(get("/smuggled"))
            assert await client.rest() == b""
        assert served.ended.qsize() == 2


async def silent(request: Request) -> None:
    """Answers nothing."""


async def failing(request: Request) -> None:
    raise ZeroDivisionError


async def failing_midway(request: Request) -> None:
    await request.stream(200, "").send_bytes(b"half")
    raise ZeroDivisionError


@pytest.mark.parametrize("handler", [silent, failing])
async def test_no_reply_is_seen_as_none(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    async with Served(handler) as served:
        client = await served.connect()
        await client.send(get() + get())
        assert await client.rest() == b""
    assert len(caplog.records) == (handler is failing)


async def test_half_a_reply_is_seen_as_half(caplog: pytest.LogCaptureFixture) -> None:
    async with Served(failing_midway) as served:
        client = await served.connect()
        await client.send(get())
        await client.head()
        assert await client.rest() == b"4\r\nhalf\r\n"
        client = await served.connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.head()
            await client.rest()
    assert len(caplog.records) == 2


async def test_a_request_has_one_reply(caplog: pytest.LogCaptureFixture) -> None:
    async def twice(request: Request) -> None:
        request.whole(200, "", b"1")
        request.whole(200, "", b"2")

    async def after_the_end(request: Request) -> None:
        sender = request.stream(200, "")
        request.finish()
        await sender.send_bytes(b"late")

    for handler in (twice, after_the_end):
        async with Served(handler) as served:
            client = await served.connect()
            await client.send(get() + get())
            assert [(await client.reply()).status for _ in range(2)] == [200, 200]
            client.end()
            assert await client.rest() == b""
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 4


class Gate:
    """A handler that waits, after `first` has been sent of its reply."""

    def __init__(self, first: bytes = b"") -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self._first = first

    async def __call__(self, request: Request) -> None:
        self.entered.set()
        sender = request.stream(200, "") if self._first else None
        if sender is not None:
            await sender.send_bytes(self._first)
        await self.release.wait()
        if sender is None:
            request.whole(200, "", b"late")
        else:
            await sender.send_bytes(b"late")


@pytest.mark.parametrize("leave", ["close", "reset", "end"])
@pytest.mark.parametrize("first", [b"", b"first"])
async def test_a_client_that_leaves_cancels_its_request(leave: str, first: bytes) -> None:
    gate = Gate(first)
    async with Served(gate) as served:
        client = await served.connect()
        await client.send(get() + get())
        await gate.entered.wait()
        getattr(client, leave)()
        assert await served.how() == "cancelled"
        await turns()
        assert served.server.connections == 0
        assert served.ended.empty()  # the request behind it was not begun


async def test_a_client_that_leaves_in_the_middle_of_a_body_cancels_its_request() -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(post(b"abc")[:-1])
        client.end()
        assert await served.how() == "cancelled"


@pytest.mark.parametrize("data", [post(b"x" * 100_000), post_chunks([b"x" * 50_000] * 3)], ids=["plain", "chunked"])
async def test_a_client_that_leaves_after_a_large_body_is_noticed(data: bytes) -> None:
    """Reading was paused while nobody asked for the body; it has to go on when somebody did."""
    arrived, read = asyncio.Event(), asyncio.Event()

    async def late(request: Request) -> None:
        await arrived.wait()
        await request.body(1_000_000)
        read.set()
        await asyncio.Event().wait()

    async with Served(late) as served:
        client = await served.connect()
        await client.send(data)
        await turns(50)
        arrived.set()
        await read.wait()
        client.close()
        assert await served.how() == "cancelled"


async def test_writing_to_a_client_that_left_says_so() -> None:
    said: list[type[BaseException]] = []

    async def stubborn(request: Request) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            sender = request
            for write in (lambda: sender.whole(200, "", b""), lambda: sender.stream(200, "")):
                with pytest.raises(ClientGone) as caught:
                    write()
                said.append(caught.type)
            raise

    async with Served(stubborn) as served:
        client = await served.connect()
        await client.send(get())
        client.reset()
        assert await served.how() == "cancelled"
    assert said == [ClientGone, ClientGone]


_BLOCK = b"x" * 10_000


class Endless:
    """Sends as much as the client takes."""

    def __init__(self) -> None:
        self._sent = 0

    async def __call__(self, request: Request) -> None:
        sender = request.stream(200, "")
        while True:
            await sender.send_bytes(_BLOCK)
            self._sent += 1

    async def stuck(self) -> None:
        """Until the client's buffers, and ours, are full."""
        before = -1
        while before != self._sent:
            before = self._sent
            await turns(50)


async def test_who_sends_waits_for_a_client_that_does_not_read() -> None:
    sent = 0
    paused = asyncio.Event()

    async def counting(request: Request) -> None:
        nonlocal sent
        sender = request.stream(200, "")
        while sent < 10_000:
            waiting = asyncio.ensure_future(sender.send_bytes(_BLOCK))
            await turns(2)
            if not waiting.done():
                paused.set()
            await waiting
            sent += 1

    async with Served(counting) as served:
        client = await served.connect()
        await client.send(get())
        await paused.wait()
        await client.head()
        total = 0
        while chunk := await client.chunk():
            total += len(chunk)
        assert total == 10_000 * len(_BLOCK)


@pytest.mark.parametrize("gone", ["reset", "end", "timeout"])
async def test_a_sender_that_waits_learns_that_the_client_is_gone(gone: str) -> None:
    endless = Endless()
    async with Served(endless, ServerLimits(write_s=1000)) as served:
        client = await served.connect()
        await client.send(get())
        await endless.stuck()
        if gone != "timeout":
            getattr(client, gone)()
        else:
            served.later(0)
            served.later(999)
            assert served.ended.empty()
            served.later(1001)
        assert await served.how() in ("cancelled", "ClientGone")
        await turns()
        assert served.server.connections == 0


@pytest.mark.parametrize("data", [get() * 500_000, post(b"x" * 20_000_000)], ids=["requests", "body"])
async def test_what_nobody_asked_for_is_not_heaped_up(data: bytes) -> None:
    gate = Gate()
    async with Served(gate) as served:
        client = await served.connect()
        client.write(data)
        await turns(300)
        assert client.untaken > 10_000_000
        assert served.ended.empty()
        gate.release.set()
        assert (await client.reply()).body == b"late"


async def test_requests_sent_ahead_are_bytes_until_their_turn() -> None:
    gate = Gate()
    async with Served(gate) as served:
        client = await served.connect()
        client.write(get() * 3000)
        await gate.entered.wait()
        await turns(50)
        assert sum(isinstance(thing, Request) for thing in gc.get_objects()) < 300
        gate.release.set()
        for _ in range(3000):
            assert (await client.reply()).body == b"late"


async def test_who_stopped_waiting_may_send_again() -> None:
    stopped = asyncio.Event()

    async def impatient(request: Request) -> None:
        sender = request.stream(200, "")
        while True:
            waiting = asyncio.ensure_future(sender.send_bytes(_BLOCK))
            await turns(2)
            if not waiting.done():
                break
        waiting.cancel()
        await asyncio.wait([waiting])
        stopped.set()
        await sender.send_bytes(b"last")

    async with Served(impatient) as served:
        client = await served.connect()
        await client.send(get())
        await stopped.wait()
        assert (await client.reply()).body.endswith(b"xlast")
        assert await served.how() == "done"


async def test_replies_are_not_heaped_up_for_a_client_that_does_not_read() -> None:
    large = b"x" * 20_000_000

    async def whole(request: Request) -> None:
        request.whole(200, "", large)

    async with Served(whole, ServerLimits(write_s=10)) as served:
        client, slow = await served.connect(), await served.connect()
        for one in (client, slow):
            one.write(get() + get())
            await turns(20)
            one.write(get())
        await turns(50)
        assert served.ended.qsize() == 2  # one for each: the next is begun when the client took this one
        for _ in range(3):
            assert len((await client.reply()).body) == len(large)
        served.later(0)
        served.later(11)
        await turns()
        assert served.server.connections == 1


async def test_a_closing_connection_does_not_wait_for_ever_for_its_client() -> None:
    async def whole(request: Request) -> None:
        request.whole(200, "", b"x" * 20_000_000)

    async with Served(whole, ServerLimits(write_s=10)) as served:
        client = await served.connect()
        await client.send(get("/", "Connection: close"))
        await turns(20)
        served.later(0)
        served.later(9)
        await turns()
        assert served.server.connections == 1
        served.later(11)
        await turns()
        assert served.server.connections == 0


async def test_idle_connections_are_closed() -> None:
    async with Served(routes, ServerLimits(idle_s=10)) as served:
        used, unused = await served.connect(), await served.connect()
        await used.send(get("/whole"))
        await used.reply()
        served.later(9)
        await turns()
        assert served.server.connections == 2
        served.later(11)
        assert (await used.rest(), await unused.rest()) == (b"", b"")


async def test_stop_lets_requests_end() -> None:
    gate = Gate()
    async with Served(gate) as served:
        idle, busy, behind = [await served.connect() for _ in range(3)]
        await busy.send(get())
        await behind.send(get("/1") + get("/2") + get("/3"))
        await gate.entered.wait()
        stopped = asyncio.create_task(served.server.stop(60))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        gate.release.set()
        assert (await busy.reply()).headers["connection"] == "close"
        assert [(await behind.reply()).headers.get("connection") for _ in range(3)] == [None, None, "close"]
        for client in (busy, behind):
            assert await client.rest() == b""
        assert await stopped == 0


async def test_stop_cuts_off_what_does_not_end() -> None:
    gate, cleaned = Gate(b"first"), asyncio.Event()

    async def thorough(request: Request) -> None:
        try:
            await gate(request)
        finally:
            await turns()
            cleaned.set()

    async with Served(thorough) as served:
        client, _idle = await served.connect(), await served.connect()
        await client.send(get())
        await client.head()
        assert await served.server.stop(0) == 1
        assert cleaned.is_set()  # `stop` waits for those it cancelled
        assert await served.how() == "cancelled"


async def test_stop_waits_for_the_cleaning_up_of_clients_that_left() -> None:
    release, cleaned = asyncio.Event(), asyncio.Event()

    async def thorough(request: Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()
            cleaned.set()

    async with Served(thorough) as served:
        client = await served.connect()
        await client.send(get())
        client.reset()
        await turns()
        stopped = asyncio.create_task(served.server.stop(60))
        await turns()
        assert not stopped.done()
        release.set()
        assert await stopped == 0
        assert cleaned.is_set()


async def test_httpx_is_served() -> None:
    async with Served(echo) as served, httpx.AsyncClient(base_url=served.url) as client:
        for path in ("/", "/stream"):
            reply = await client.post(path, content=b"x" * 300_000)
            assert len(reply.json()["body"]) == 300_000
            reply = await client.post(path, content=_pieces())
            assert reply.json()["body"] == "onetwo"
        assert (await client.head("/")).status_code == 200
        replies = await asyncio.gather(*(client.get(f"/{number}") for number in range(20)))
        assert [reply.json()["path"] for reply in replies] == [f"/{number}" for number in range(20)]


async def test_the_standard_library_is_served() -> None:
    def ask(port: int) -> list[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            said = []
            for method, path, body in [("GET", "/whole", None), ("POST", "/stream", b"x"), ("HEAD", "/whole", None)]:
                connection.request(method, path, body)
                said.append(connection.getresponse().read())
            return said
        finally:
            connection.close()

    async with Served(routes) as served:
        assert await asyncio.to_thread(ask, served.port) == [b"whole", b"onetwo", b""]


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one", b"two"):
        yield piece
