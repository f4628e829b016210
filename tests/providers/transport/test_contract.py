"""What every transport must do: our own client, the aiohttp reference, and the fake that users test with."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import UpstreamError, UpstreamUnavailable
from tenfold.providers.ports import Exchange
from tenfold.providers.transport.fake import FakeReply
from tests.providers.transport.backends import MAX_BODY_BYTES, AiohttpClient, Backend, Fake, OwnClient

Serve = Callable[..., Backend]
T = TypeVar("T")

BODY = bytes(range(256)) * 8


@pytest.fixture(params=["own", "aiohttp", "fake"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(*replies: FakeReply) -> Backend:
        kinds: dict[str, Callable[[tuple[FakeReply, ...]], Backend]] = {
            "own": OwnClient,
            "aiohttp": AiohttpClient,
            "fake": Fake,
        }
        return kinds[request.param](replies)

    return start


async def post(backend: Backend) -> Exchange:
    return await backend.transport.post("/chat", [], b"{}")


async def collected(exchange: Exchange) -> bytes:
    return b"".join([block async for block in exchange.blocks()])


async def test_a_whole_reply(serve: Serve) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-a", b"1"), (b"x-a", b"2")]
    async with serve(FakeReply(status=201, headers=headers, body=BODY)) as backend:
        exchange = await post(backend)
        assert exchange.status == 201
        assert [pair for pair in exchange.headers if pair[0] in (b"content-type", b"x-a")] == headers
        assert exchange.header(b"x-a") == b"1"
        assert exchange.header(b"x-b") is None
        assert await exchange.read() == BODY


async def test_an_empty_body(serve: Serve) -> None:
    async with serve(FakeReply(), FakeReply(), FakeReply(status=204)) as backend:
        assert await (await post(backend)).read() == b""
        assert await collected(await post(backend)) == b""
        assert await (await post(backend)).read() == b""


async def test_a_streamed_reply_arrives_whole_and_in_order(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, cuts=tuple(range(0, len(BODY), 31)))) as backend:
        exchange = await post(backend)
        assert await collected(exchange) == BODY


async def test_a_streamed_reply_can_be_read_whole(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, cuts=(1, 5, 1000))) as backend:
        assert await (await post(backend)).read() == BODY


async def test_a_body_that_ends_with_the_connection(serve: Serve) -> None:
    reply = FakeReply(body=BODY, cuts=(700,), eof_delimited=True)
    async with serve(reply, reply) as backend:
        assert await (await post(backend)).read() == BODY
        assert await collected(await post(backend)) == BODY


@pytest.mark.parametrize("status", [302, 308, 400, 401, 429, 500, 503])
async def test_any_status_is_a_reply_and_redirects_are_not_followed(serve: Serve, status: int) -> None:
    reply = FakeReply(status=status, headers=[(b"location", b"/elsewhere"), (b"retry-after", b"7")], body=b"why")
    async with serve(reply) as backend:
        exchange = await post(backend)
        assert exchange.status == status
        assert exchange.header(b"retry-after") == b"7"
        assert await exchange.read() == b"why"
        assert len(backend.asked()) == 1


@pytest.mark.parametrize("cuts", [(), (10, 20, 900)])
@pytest.mark.parametrize("stop_at", [0, 1, 20, 2047])
async def test_a_cut_reply_is_an_error(serve: Serve, cuts: tuple[int, ...], stop_at: int) -> None:
    reply = FakeReply(body=BODY, cuts=cuts, stop_at=stop_at)
    async with serve(reply, reply) as backend:
        exchange = await post(backend)
        with pytest.raises(UpstreamUnavailable):
            await exchange.read()
        exchange = await post(backend)
        received = b""
        with pytest.raises(UpstreamUnavailable):
            async for block in exchange.blocks():
                received += block
        assert received == BODY[:stop_at]


async def test_a_chunked_reply_without_its_end_is_an_error(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, cuts=(9,), stop_at=len(BODY))) as backend:
        exchange = await post(backend)
        with pytest.raises(UpstreamUnavailable):
            await collected(exchange)


async def test_a_body_over_the_cap_is_an_error_when_read_whole(serve: Serve) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    async with serve(FakeReply(body=body), FakeReply(body=body, cuts=(5,)), FakeReply(body=body[1:])) as backend:
        for _ in range(2):
            with pytest.raises(UpstreamError) as caught:
                await (await post(backend)).read()
            assert caught.value.kind == "reply_too_large"
        assert len(await (await post(backend)).read()) == MAX_BODY_BYTES


async def test_leaving_the_stream_early_closes_the_connection(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, cuts=(10,), stop_at=20, then="hang")) as backend:
        exchange = await post(backend)
        async for _ in exchange.blocks():
            break
        await backend.upstream_saw_hang_up()


async def test_abort_closes_the_connection_and_may_be_repeated(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, stop_at=20, then="hang")) as backend:
        exchange = await post(backend)
        exchange.abort()
        exchange.abort()
        await backend.upstream_saw_hang_up()
        with pytest.raises(UpstreamUnavailable):
            await exchange.read()


async def test_a_complete_reply_survives_abort(serve: Serve) -> None:
    async with serve(FakeReply(body=b"done"), FakeReply(body=b"next")) as backend:
        exchange = await post(backend)
        assert await exchange.read() == b"done"
        exchange.abort()
        assert await (await post(backend)).read() == b"next"


@pytest.mark.parametrize("how", ["read", "blocks"])
async def test_cancelling_the_reader_closes_the_connection(serve: Serve, how: str) -> None:
    async with serve(FakeReply(body=BODY, stop_at=20, then="hang")) as backend:
        exchange = await post(backend)
        reader = asyncio.create_task(exchange.read() if how == "read" else collected(exchange))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await backend.upstream_saw_hang_up()


async def test_cancelling_a_request_without_a_reply_closes_the_connection(serve: Serve) -> None:
    async with serve(FakeReply(silent=True)) as backend:
        request = asyncio.create_task(post(backend))
        await backend.upstream_saw_request()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await backend.upstream_saw_hang_up()


async def test_what_is_asked(serve: Serve) -> None:
    async with serve(FakeReply(), FakeReply(), FakeReply()) as backend:
        transport = backend.transport
        prepared = transport.prepared([(b"authorization", b"Bearer k"), (b"x-beta", b"old")])
        await transport.post("/a?b=c%20d", [], b"body", prepared=prepared)
        await transport.post("/a", [(b"x-beta", b"new")], b"", prepared=prepared)
        await transport.get("/m", [(b"x-own", b"1")])
        (first, second, third) = backend.asked()
    assert (first[0], first[1], first[3]) == ("POST", "/a?b=c%20d", b"body")
    assert (b"authorization", b"Bearer k") in first[2]
    assert (b"x-beta", b"old") in first[2]
    assert second[3] == b""
    assert (third[0], third[1], third[3]) == ("GET", "/m", b"")
    assert (b"x-own", b"1") in third[2]


async def test_a_closed_transport_refuses(serve: Serve) -> None:
    async with serve(FakeReply(body=BODY, stop_at=3, then="hang")) as backend:
        exchange = await post(backend)
        await backend.transport.aclose()
        await backend.upstream_saw_hang_up()
        with pytest.raises(UpstreamUnavailable):
            await exchange.read()


@given(
    body=st.binary(max_size=3000),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    headers=st.lists(
        st.tuples(
            st.from_regex(rb"x-[a-z0-9]{1,12}", fullmatch=True),
            st.from_regex(rb"([!-~\xa0-\xff]([ -~\xa0-\xff]{0,30}[!-~\xa0-\xff])?)?", fullmatch=True),
        ),
        max_size=8,
    ),
    status=st.sampled_from([200, 201, 400, 404, 429, 500, 529]),
    eof_delimited=st.booleans(),
)
@settings(max_examples=25, deadline=None)
async def test_any_reply_is_the_same_through_the_client_and_the_fake(
    body: bytes, cuts: list[int], headers: list[tuple[bytes, bytes]], status: int, eof_delimited: bool
) -> None:
    reply = FakeReply(status=status, headers=headers, body=body, cuts=tuple(cuts), eof_delimited=eof_delimited)
    for kind in (OwnClient, Fake):
        backend: Backend = kind((reply, reply))
        async with backend:
            whole, streamed = await post(backend), None
            assert whole.status == status
            assert [pair for pair in whole.headers if pair[0].startswith(b"x-")] == headers
            assert await whole.read() == body
            streamed = await post(backend)
            assert await collected(streamed) == body
