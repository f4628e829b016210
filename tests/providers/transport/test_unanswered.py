"""Whether a request that got no reply may have been worked on: the fact that a bill stands on."""

import asyncio
from collections.abc import Callable

import pytest

from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.ports import was_sent
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts
from tests.providers.transport.memory import Wired
from tests.support.raw_server import Peer, RawServer, Script


async def failure(script: Script, timeouts: Timeouts | None = None) -> UpstreamError:
    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(server.url), timeouts=timeouts)
        with pytest.raises(UpstreamError) as caught:
            await client.post("/", [], b"{}")
        await client.aclose()
    return caught.value


def then(end: Callable[[Peer], None] | None, first: bytes = b"") -> Script:
    """Takes the request, sends `first`, and ends so; None: stays silent."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        if end is None:
            await peer.hung_up()
        else:
            end(peer)

    return script


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
async def test_a_connection_lost_before_the_reply_head(end: Callable[[Peer], None], first: bytes) -> None:
    assert (await failure(then(end, first))).unanswered


async def test_a_reply_that_does_not_begin_in_time() -> None:
    error = await failure(then(None), Timeouts(first_byte_s=0.03))
    assert isinstance(error, UpstreamTimeout)
    assert error.unanswered


async def test_a_reply_that_is_not_http() -> None:
    assert (await failure(then(Peer.close, b"SSH-2.0-OpenSSH_9.9\r\n"))).unanswered


async def test_nobody_listens() -> None:
    async with RawServer(then(None)) as server:
        url = server.url
    client = HttpClient(Origin.parse(url))
    with pytest.raises(UpstreamUnavailable) as caught:
        await client.post("/", [], b"{}")
    assert not caught.value.unanswered
    await client.aclose()


async def test_a_request_that_did_not_go_out_whole() -> None:
    wired = Wired()
    wired.connection.pause_writing()
    wired.transport.lose(ConnectionResetError())
    error = wired.failure()
    assert isinstance(error, UpstreamUnavailable)
    assert not error.unanswered


async def test_a_reply_that_began_was_answered() -> None:
    wired = Wired()
    wired.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
    wired.transport.lose(None)
    error = wired.failure()
    assert isinstance(error, UpstreamUnavailable)
    assert not error.unanswered


async def left(task: "asyncio.Task[object]") -> asyncio.CancelledError:
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_who_leaves_while_it_waits_for_a_connection_has_sent_nothing() -> None:
    taken = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        taken.set()
        await peer.hung_up()

    async with RawServer(script) as server:
        client = HttpClient(Origin.parse(server.url), limits=Limits(max_connections=1))

        async def ask() -> object:
            return await client.post("/", [], b"{}")

        asked, waiting = asyncio.create_task(ask()), asyncio.create_task(ask())
        await taken.wait()
        assert client.stats.waiting == 1
        assert not was_sent(await left(waiting))
        assert was_sent(await left(asked))
        await client.aclose()
