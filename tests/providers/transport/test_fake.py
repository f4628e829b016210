"""What the fake does beyond the contract: scripts, and what it remembers."""

import pytest

from tenfold.core.errors import RateLimited, UpstreamUnavailable
from tenfold.providers.transport import InvalidHeader
from tenfold.providers.transport.fake import FakeReply, FakeRequest, FakeTransport


async def test_replies_come_in_turn_and_run_out() -> None:
    transport = FakeTransport([FakeReply(body=b"1"), FakeReply(body=b"2")])
    assert await (await transport.post("/", [], b"")).read() == b"1"
    assert await (await transport.get("/", [])).read() == b"2"
    with pytest.raises(AssertionError, match="no reply is scripted for GET /models"):
        await transport.get("/models", [])


async def test_a_reply_may_depend_on_the_request() -> None:
    def echo(request: FakeRequest) -> FakeReply:
        return FakeReply(body=request.body, headers=[(b"x-path", request.path.encode())])

    transport = FakeTransport(echo)
    exchange = await transport.post("/a", [], b"hello")
    assert exchange.header(b"x-path") == b"/a"
    assert await exchange.read() == b"hello"


async def test_blocks_are_cut_where_the_script_says() -> None:
    transport = FakeTransport(
        [FakeReply(body=b"abcdef", cuts=(2, 4)), FakeReply(body=b"abcdef", cuts=(2, 4), stop_at=3)]
    )
    assert [block async for block in (await transport.post("/", [], b"")).blocks()] == [b"ab", b"cd", b"ef"]
    received = []
    with pytest.raises(UpstreamUnavailable):
        async for block in (await transport.post("/", [], b"")).blocks():
            received.append(block)  # noqa: PERF401 - what came before the error counts
    assert received == [b"ab", b"c"]


async def test_an_error_in_place_of_a_reply() -> None:
    transport = FakeTransport([FakeReply(error=RateLimited("later"))])
    with pytest.raises(RateLimited):
        await transport.post("/", [], b"")


async def test_it_remembers_what_was_asked_and_what_was_left() -> None:
    transport = FakeTransport(lambda _: FakeReply(body=b"ab", cuts=(1,)))
    prepared = transport.prepared([(b"authorization", b"k"), (b"x-a", b"old")])
    complete = await transport.post("/p", [(b"x-a", b"new")], b"{}", prepared=prepared)
    await complete.read()
    left = await transport.post("/q", [], b"{}")
    async for _ in left.blocks():
        break
    assert transport.requests[0].headers == [(b"authorization", b"k"), (b"x-a", b"new")]
    assert (complete.complete, complete.aborted) == (True, False)
    assert (left.complete, left.aborted) == (False, True)
    assert transport.exchanges == [complete, left]


async def test_it_refuses_what_the_real_one_refuses() -> None:
    transport = FakeTransport([])
    with pytest.raises(InvalidHeader):
        await transport.post("/", [(b"x-a", b"1\r\n")], b"")
    with pytest.raises(InvalidHeader):
        await transport.post("no-slash", [], b"")
    assert transport.requests == []
