"""What is no request, or too much of one, gets a typed answer and the connection ends; what came before is answered."""

import asyncio

import pytest

from tenfold.core.errors import TenfoldError
from tenfold.edge.http import Request, ServerLimits
from tests.support.http_server import Client, Served, echo, get, post, post_chunks, turns


async def ends_with(client: Client, status: int, code: str) -> None:
    reply = await client.reply()
    assert (reply.status, reply.headers["connection"]) == (status, "close")
    error = reply.json()["error"]
    assert error["code"] == code
    assert error.keys() == {"message", "type", "param", "code"}
    assert await client.rest() == b""


_HEAD = b"POST / HTTP/1.1\r\nHost: tenfold.test\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET example.test HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a.test/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
        _HEAD + b"Content-Length : 3\r\n\r\nabc",
        _HEAD + b"Content-Length: +3\r\n\r\nabc",
        _HEAD + b"Content-Length: -3\r\n\r\nabc",
        _HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
        _HEAD + b"Content-Length:\r\n\r\nabc",
        _HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        _HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        _HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_valid_request_is_refused(data: bytes) -> None:
    async with Served(echo) as served:
        for behind in (b"", get("/smuggled")):
            client = await served.connect()
            await client.send(data + behind)
            await ends_with(client, 400, "invalid_request")
        assert served.ended.empty()


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/0.9", b"GET /"])
async def test_other_versions_are_refused(line: bytes) -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(line + b"\r\nHost: a\r\n\r\n")
        await ends_with(client, 505, "http_version_not_supported")


@pytest.mark.parametrize(
    "head",
    [
        get("/", "X: " + "x" * 2000),
        get("/" + "x" * 2000),
        get("/", *("x" * 20 + f"{n}: y" for n in range(60))),
        get("/", *(f"x{n}:" for n in range(100))),
        get("/", *("x: y" for _ in range(100))),
    ],
    ids=["value", "target", "headers", "count", "repeated"],
)
async def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    limits = ServerLimits(max_head_bytes=1500, max_headers=90)
    async with Served(echo, limits) as served:
        for cuts in ([], [1000], range(0, len(head), 100)):
            client = await served.connect()
            await client.send(head, cuts=cuts)
            await ends_with(client, 431, "headers_too_large")
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2000)  # and it goes no further
        await ends_with(client, 431, "headers_too_large")
        assert served.ended.empty()


async def test_a_head_just_within_its_limit_is_taken() -> None:
    head = get("/", "X: " + "x" * 1000)
    async with Served(echo, ServerLimits(max_head_bytes=len(head), max_headers=2)) as served:
        client = await served.connect()
        for cuts in ([], [500], range(len(head))):
            await client.send(head, cuts=cuts)
            assert (await client.reply()).status == 200
        await client.send(get("/", "X: 1", "Y: 2"))
        assert (await client.reply()).status == 431
    async with Served(echo, ServerLimits(max_head_bytes=1500)) as served:
        client = await served.connect()
        await client.send(post(b"b" * 5000) + post_chunks([b"c" * 5000]) + head)  # a body is not a head
        assert [(await client.reply()).status for _ in range(3)] == [200, 200, 200]


async def test_a_head_that_is_too_slow_is_refused() -> None:
    async with Served(echo, ServerLimits(head_s=5)) as served:
        slow, idle = await served.connect(), await served.connect()
        await slow.send(b"GET / HT")
        served.later(4)
        await slow.send(b"TP/1.1\r\n")
        served.later(6)
        await ends_with(slow, 408, "request_timeout")
        await idle.send(get())
        assert (await idle.reply()).status == 200


async def test_a_head_begun_behind_a_request_has_its_time_too() -> None:
    async with Served(echo, ServerLimits(head_s=5)) as served:
        client = await served.connect()
        await client.send(get() + b"GET / HTTP/1.1\r\n")
        assert (await client.reply()).status == 200
        served.later(6)
        await ends_with(client, 408, "request_timeout")


async def test_empty_lines_do_not_keep_a_connection() -> None:
    async with Served(echo, ServerLimits(idle_s=5)) as served:
        client = await served.connect()
        await client.send(b"\r\n" * 10)
        served.later(4)
        await client.send(b"\r\n")
        served.later(6)
        assert await client.rest() == b""


async def test_too_many_connections_are_told_so() -> None:
    async with Served(echo, ServerLimits(max_connections=2)) as served:
        first, _second, third = [await served.connect() for _ in range(3)]
        await third.send(get())
        await ends_with(third, 503, "overloaded")
        first.close()
        await turns()
        assert (await served.ask(get())).status == 200


async def test_what_came_before_garbage_is_answered() -> None:
    release = asyncio.Event()

    async def slow(request: Request) -> None:
        await release.wait()
        await echo(request)

    async with Served(slow) as served:
        for cuts in ([], [len(get()) * 2], [10, len(get()) * 2 + 3]):
            release.clear()
            client = await served.connect()
            await client.send(get() + get() + b"\x00\x01\x02" * 5, cuts=cuts)
            release.set()
            assert [(await client.reply()).status for _ in range(2)] == [200, 200]
            await ends_with(client, 400, "invalid_request")


async def test_nothing_behind_a_closing_request_is_answered() -> None:
    async with Served(echo) as served:
        client = await served.connect()
        await client.send(get("/1", "Connection: close") + get("/2"))
        assert (await client.reply()).headers["connection"] == "close"
        assert await client.rest() == b""
        assert served.ended.qsize() == 1


async def answer_errors(request: Request) -> None:
    """As the gateway does."""
    try:
        body = await request.body(1000)
    except TenfoldError as error:
        request.whole(error.status, "", error.code.encode())
    else:
        request.whole(200, "", body)


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"-1\r\n",
        b"3 \r\nabc\r\n",
        b"ffffffffffffffffff\r\n",
        b"3\nabc\n",
        b"3;\x00\r\nabc\r\n",
    ],
)
async def test_a_body_whose_chunks_are_broken_is_refused(body: bytes) -> None:
    async with Served(answer_errors) as served:
        for before in (b"", get(), get() * 3):
            client = await served.connect()
            await client.send(before + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + get("/smuggled"))
            for _ in range(before.count(b"GET")):
                assert (await client.reply()).status == 200
            reply = await client.reply()
            assert (reply.status, reply.headers["connection"]) == (400, "close")
            assert await client.rest() == b""


@pytest.mark.parametrize(
    "sent",
    [post(b"x" * 1001), post_chunks([b"x" * 600, b"y" * 600]), post(b"x" * 1001, "/", "Connection: close")],
    ids=["said", "unsaid", "close"],
)
async def test_a_body_that_is_too_large_is_refused_early(sent: bytes) -> None:
    async with Served(answer_errors) as served:
        client = await served.connect()
        await client.send(sent[: -len(b"0\r\n\r\n") - 3])  # and before all of it is there
        reply = await client.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (413, b"request_too_large", "close")
        await client.send(sent[-3:])  # who still sends is not reset, and reads the reply
        assert await client.rest() == b""
        client.close()
        await turns()
        assert served.server.connections == 0


async def test_a_client_that_sends_on_after_an_early_reply_is_cut_off_in_the_end() -> None:
    async with Served(answer_errors, ServerLimits(linger_silence_s=2, linger_s=30)) as served:
        silent, talking = await served.connect(), await served.connect()
        for client in (silent, talking):
            await client.send(post(b"x" * 1001)[:-10])
            assert (await client.reply()).status == 413
        served.later(1)
        await turns()
        assert served.server.connections == 2
        served.later(3)
        await turns()
        assert served.server.connections == 0


@pytest.mark.parametrize("limits", [ServerLimits(body_silence_s=5), ServerLimits(body_s=5)])
async def test_a_body_that_is_too_slow_is_refused(limits: ServerLimits) -> None:
    async with Served(answer_errors, limits) as served:
        client = await served.connect()
        await client.send(post(b"abc")[:-1])
        served.later(4)
        await turns()
        assert served.ended.empty()
        served.later(6)
        reply = await client.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (408, b"request_timeout", "close")
        assert await client.rest() == b""


@pytest.mark.parametrize("body", [b"0\r\nX: ", b"1;"], ids=["trailers", "extension"])
async def test_what_stands_between_pieces_of_a_body_is_bounded(body: bytes) -> None:
    async with Served(answer_errors, ServerLimits(max_head_bytes=20_000)) as served:
        client = await served.connect()
        await client.send(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        client.write(b"x" * 50_000)
        assert (await client.reply()).status == 400
        assert await client.rest() == b""
