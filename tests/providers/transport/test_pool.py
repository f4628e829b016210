"""Kept connections: reuse, hygiene, the one retry, bounds and waiting, closing."""

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.core.write_batch import WriteBatch
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts
from tenfold.providers.transport.connection import STALE_WINDOW_S, Connection
from tenfold.providers.transport.pool import Pool
from tests.providers.transport.memory import MemoryTransport, Wired
from tests.support.raw_server import Peer, RawServer, Script, always, answering, chunked, whole

OK = whole(b"ok")
Connect = Callable[..., HttpClient]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def serving(
    stack: AsyncExitStack, script: Script, *, limits: Limits | None = None, timeouts: Timeouts | None = None
) -> tuple[HttpClient, RawServer]:
    server = await stack.enter_async_context(RawServer(script))
    client = HttpClient(Origin.parse(server.url), limits=limits, timeouts=timeouts)
    stack.push_async_callback(client.aclose)
    return client, server


async def ask(client: HttpClient) -> bytes:
    return await (await client.post("/", [], b"{}")).read()


async def look(client: HttpClient) -> bytes:
    return await (await client.get("/", [])).read()


async def test_one_connection_serves_many_requests(stack: AsyncExitStack) -> None:
    client, server = await serving(stack, always(OK))
    for _ in range(5):
        assert await ask(client) == b"ok"
    assert len(server.peers) == 1
    stats = client.stats
    assert (stats.created, stats.reused, stats.open, stats.idle, stats.in_use) == (1, 4, 1, 1, 0)


async def test_the_connection_used_last_is_taken_first(stack: AsyncExitStack) -> None:
    gates: list[asyncio.Event] = []

    async def script(peer: Peer) -> None:
        number = len(gates)
        gates.append(asyncio.Event())
        await peer.request()
        await gates[number].wait()
        while True:
            await peer.send(whole(b"%d" % number))
            await peer.request()

    client, _ = await serving(stack, script)
    first, second = asyncio.create_task(ask(client)), asyncio.create_task(ask(client))
    while len(gates) < 2:
        await asyncio.sleep(0)
    gates[1].set()
    done, late = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    assert [request.result() for request in done] == [b"1"]
    gates[0].set()
    assert await late.pop() == b"0"
    for _ in range(3):
        assert await ask(client) == b"0"


@pytest.mark.parametrize(
    "reply",
    [
        whole(b"ok", headers=b"Connection: close\r\n"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
    ids=["connection: close", "HTTP/1.0", "until close"],
)
async def test_a_connection_that_cannot_be_kept_is_not(stack: AsyncExitStack, reply: bytes) -> None:
    client, server = await serving(stack, answering(reply))
    for _ in range(3):
        assert await ask(client) == b"ok"
    assert len(server.peers) == 3
    assert client.stats.reused == 0


async def test_an_idle_connection_closed_by_the_peer_is_forgotten(stack: AsyncExitStack) -> None:
    client, server = await serving(stack, answering(OK))
    for _ in range(3):
        assert await ask(client) == b"ok"
        while client.stats.open:
            await asyncio.sleep(0)
    assert len(server.peers) == 3
    assert client.stats.retried == 0


async def test_unsolicited_bytes_close_an_idle_connection(stack: AsyncExitStack) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.send(whole(b"evil"))
        await peer.hung_up()

    client, server = await serving(stack, script)
    for _ in range(3):
        assert await ask(client) == b"ok"
        while client.stats.open:
            await asyncio.sleep(0)
    assert len(server.peers) == 3


# -- the one retry -------------------------------------------------------------------------------


def stale_once(end: Callable[[Peer], None]) -> tuple[Script, list[bytes]]:
    """The first connection answers one request and ends as the second arrives; later ones answer all."""
    bodies: list[bytes] = []
    connections: list[Peer] = []

    async def script(peer: Peer) -> None:
        connections.append(peer)
        stale = len(connections) == 1
        while True:
            bodies.append((await peer.request()).body)
            if stale and len(bodies) > 1:
                end(peer)
                return
            await peer.send(OK)

    return script, bodies


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closed", "reset"])
async def test_a_stale_connection_is_replaced_once(stack: AsyncExitStack, end: Callable[[Peer], None]) -> None:
    script, bodies = stale_once(end)
    client, server = await serving(stack, script)
    assert await look(client) == b"ok"
    assert await look(client) == b"ok"
    assert len(bodies) == 3
    assert len(server.peers) == 2
    assert (client.stats.retried, client.stats.failures) == (1, 0)


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closed", "reset"])
async def test_a_post_is_never_sent_twice(stack: AsyncExitStack, end: Callable[[Peer], None]) -> None:
    """Its provider may have worked on it, and bill it, before it closed the connection."""
    script, bodies = stale_once(end)
    client, _ = await serving(stack, script)
    assert await ask(client) == b"ok"
    with pytest.raises(UpstreamUnavailable) as caught:
        await ask(client)
    assert caught.value.unanswered
    assert bodies == [b"{}"] * 2
    assert (client.stats.retried, client.stats.failures) == (0, 1)
    assert await ask(client) == b"ok"


async def test_a_stale_connection_is_replaced_by_a_new_one_not_by_an_idle_one(stack: AsyncExitStack) -> None:
    requests = 0

    async def script(peer: Peer) -> None:
        nonlocal requests
        mine = len(server.peers)
        while True:
            await peer.request()
            requests += 1
            if mine <= 2 and requests > 2:
                return
            await peer.send(OK)

    client, server = await serving(stack, script, limits=Limits(max_connections=2))
    assert await asyncio.gather(*(look(client) for _ in range(2))) == [b"ok", b"ok"]
    assert client.stats.idle == 2
    assert await look(client) == b"ok"
    assert len(server.peers) == 3
    assert client.stats.retried == 1


async def test_a_new_connection_that_closes_is_not_tried_again(stack: AsyncExitStack) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    client, server = await serving(stack, script)
    with pytest.raises(UpstreamUnavailable, match=r"127\.0\.0\.1 closed the connection without a reply"):
        await ask(client)
    assert len(server.peers) == 1
    assert client.stats.failures == 1


async def test_a_retry_is_not_retried(stack: AsyncExitStack) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if len(server.peers) == 1:
            await peer.send(OK)
            await peer.request()

    client, server = await serving(stack, script)
    assert await look(client) == b"ok"
    with pytest.raises(UpstreamUnavailable):
        await look(client)
    assert len(server.peers) == 2


@pytest.mark.parametrize("first_bytes", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:30]])
async def test_a_reply_that_began_is_never_asked_for_again(stack: AsyncExitStack, first_bytes: bytes) -> None:
    client, server = await serving(stack, answering(OK, first_bytes))
    assert await ask(client) == b"ok"
    with pytest.raises(UpstreamUnavailable):
        await ask(client)
    assert len(server.peers) == 1
    assert client.stats.retried == 0


async def test_an_upstream_that_died_after_a_while_may_have_worked_and_is_not_asked_again() -> None:
    soon, late = Wired(served=1), Wired(served=1)
    soon.transport.lose(None)
    assert soon.exchange.untouched
    late.exchange.started_at_s -= STALE_WINDOW_S
    late.transport.lose(None)
    assert not late.exchange.untouched
    assert isinstance(late.failure(), UpstreamUnavailable)


async def test_a_reply_that_overtakes_its_request_ends_the_connection(stack: AsyncExitStack) -> None:
    refusal = whole(b"too large", status=b"413 Content Too Large")

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(refusal)
        await peer.hung_up()

    client, server = await serving(stack, script)
    for _ in range(2):
        exchange = await client.post("/", [], b"x" * 20_000_000)
        assert exchange.status == 413
        assert await exchange.read() == b"too large"
    assert len(server.peers) == 2


# -- bounds --------------------------------------------------------------------------------------


class Gate:
    """A server whose replies wait until they are let out."""

    def __init__(self) -> None:
        self.waiting = 0
        self.order: list[bytes] = []
        self._allowed = asyncio.Semaphore(0)

    async def script(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.order.append(request.body)
            self.waiting += 1
            await self._allowed.acquire()
            self.waiting -= 1
            await peer.send(OK)

    def let_out(self, count: int) -> None:
        for _ in range(count):
            self._allowed.release()

    async def until_waiting(self, count: int) -> None:
        while self.waiting < count:
            await asyncio.sleep(0)


async def ask_with(client: HttpClient, body: bytes) -> bytes:
    return await (await client.post("/", [], body)).read()


async def test_requests_over_the_bound_wait_their_turn(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, server = await serving(stack, gate.script, limits=Limits(max_connections=2))
    requests = [asyncio.create_task(ask_with(client, b"%d" % number)) for number in range(8)]
    await gate.until_waiting(2)
    assert client.stats.waiting == 6
    gate.let_out(8)
    assert await asyncio.gather(*requests) == [b"ok"] * 8
    assert len(server.peers) == 2
    assert sorted(gate.order[:2]) == [b"0", b"1"]
    assert [sorted(gate.order[at : at + 2]) for at in (2, 4, 6)] == [[b"2", b"3"], [b"4", b"5"], [b"6", b"7"]]
    assert client.stats.waiting == 0


async def test_a_connection_that_ends_lets_the_next_one_open(stack: AsyncExitStack) -> None:
    client, server = await serving(
        stack, answering(whole(b"ok", headers=b"Connection: close\r\n")), limits=Limits(max_connections=1)
    )
    assert await asyncio.gather(*(ask(client) for _ in range(6))) == [b"ok"] * 6
    assert len(server.peers) == 6


async def test_those_who_wait_are_bounded(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, _ = await serving(stack, gate.script, limits=Limits(max_connections=1, max_waiting=1))
    requests = [asyncio.create_task(ask(client)) for _ in range(2)]
    await gate.until_waiting(1)
    with pytest.raises(UpstreamUnavailable, match="all 1 connections to"):
        await ask(client)
    gate.let_out(2)
    assert await asyncio.gather(*requests) == [b"ok"] * 2


async def test_the_wait_has_a_deadline(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, _ = await serving(stack, gate.script, limits=Limits(max_connections=1), timeouts=Timeouts(acquire_s=0.02))
    request = asyncio.create_task(ask(client))
    await gate.until_waiting(1)
    with pytest.raises(UpstreamTimeout, match="became free"):
        await ask(client)
    gate.let_out(1)
    assert await request == b"ok"


async def test_who_stops_waiting_takes_nothing_along(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, _ = await serving(stack, gate.script, limits=Limits(max_connections=1))
    holder, quitter, patient = (asyncio.create_task(ask(client)) for _ in range(3))
    await gate.until_waiting(1)
    quitter.cancel()
    gate.let_out(2)
    assert await holder == b"ok"
    assert await patient == b"ok"
    with pytest.raises(asyncio.CancelledError):
        await quitter


async def in_memory(pool: Pool) -> Connection:
    connection = Connection(
        pool, "upstream.test", Limits(), asyncio.get_running_loop(), WriteBatch(asyncio.get_running_loop())
    )
    connection.connection_made(MemoryTransport(connection))
    return connection


@pytest.mark.parametrize("granted", ["a connection", "the right to open one"])
async def test_who_stops_waiting_just_as_the_turn_comes_passes_it_on(granted: str) -> None:
    pool = Pool(in_memory, host="upstream.test", limits=Limits(max_connections=1), timeouts=Timeouts())
    first = await pool.acquire()
    quitter, patient = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    while pool.waiting < 2:
        await asyncio.sleep(0)
    if granted == "a connection":
        pool.release(first)
    else:
        first.drop()
    quitter.cancel()  # its turn was granted, and it has not run since
    assert (await patient is first) == (granted == "a connection")
    with pytest.raises(asyncio.CancelledError):
        await quitter
    await pool.aclose()


async def test_a_connection_that_dies_on_its_way_to_who_waits() -> None:
    pool = Pool(in_memory, host="upstream.test", limits=Limits(max_connections=1), timeouts=Timeouts())
    first = await pool.acquire()
    patient = asyncio.create_task(pool.acquire())
    while not pool.waiting:
        await asyncio.sleep(0)
    pool.release(first)
    first.drop()
    second = await patient
    assert second is not first
    assert pool.open == 1
    await pool.aclose()


async def test_idle_connections_are_bounded(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, server = await serving(stack, gate.script, limits=Limits(max_idle=3))
    requests = [asyncio.create_task(ask(client)) for _ in range(10)]
    await gate.until_waiting(10)
    gate.let_out(10)
    await asyncio.gather(*requests)
    while client.stats.open > 3:
        await asyncio.sleep(0)
    assert client.stats.idle == 3
    assert len(server.peers) == 10


async def test_idle_connections_are_closed_in_time(stack: AsyncExitStack) -> None:
    hung_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.hung_up()
        hung_up.set()

    client, _ = await serving(stack, script, limits=Limits(idle_timeout_s=0.02))
    assert await ask(client) == b"ok"
    await hung_up.wait()
    while client.stats.open:
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["max_connections", "max_head_bytes", "max_body_bytes", "max_buffered_bytes"])
def test_a_bound_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_nothing_need_be_kept_and_nobody_need_wait() -> None:
    assert Limits(max_idle=0, max_waiting=0).max_idle == 0
    with pytest.raises(ValueError, match="max_idle"):
        Limits(max_idle=-1)


async def test_idle_connections_are_kept_until_then(stack: AsyncExitStack) -> None:
    async def script(peer: Peer) -> None:
        while (await peer.request()).body != b"hang":
            await peer.send(OK)
        await peer.hung_up()

    client, _ = await serving(stack, script)
    hanging = asyncio.create_task(client.post("/", [], b"hang", timeouts=Timeouts(first_byte_s=0.02)))
    while not client.stats.in_use:
        await asyncio.sleep(0)
    assert await ask(client) == b"ok"
    with pytest.raises(UpstreamTimeout):  # found by a sweep, which looked at the idle connection too
        await hanging
    assert client.stats.idle == 1


async def test_a_new_connection_takes_the_place_of_an_idle_one_where_it_must() -> None:
    pool = Pool(in_memory, host="upstream.test", limits=Limits(max_connections=1), timeouts=Timeouts(acquire_s=0.1))
    first = await pool.acquire()
    first.last_byte_s = monotonic()  # it served a request just now, so no sweep takes it away
    pool.release(first)
    second = await pool.acquire(fresh=True)
    assert second is not first
    assert (pool.open, pool.created) == (1, 2)
    await pool.aclose()


# -- closing -------------------------------------------------------------------------------------


async def test_closing_ends_idle_and_busy_connections_and_those_who_wait(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, _ = await serving(stack, gate.script, limits=Limits(max_connections=2))
    gate.let_out(1)
    assert await ask(client) == b"ok"
    requests = [asyncio.create_task(ask(client)) for _ in range(4)]
    await gate.until_waiting(2)
    await asyncio.gather(client.aclose(), client.aclose())
    for request in requests:
        with pytest.raises(UpstreamUnavailable, match="is closed"):
            await request
    assert client.stats.open == 0
    with pytest.raises(UpstreamUnavailable, match="is closed"):
        await ask(client)


async def test_closing_an_unused_client() -> None:
    await HttpClient(Origin.parse("http://127.0.0.1:1")).aclose()


async def test_nobody_listens() -> None:
    async with RawServer(always(OK)) as server:
        origin = Origin.parse(server.url)
    client = HttpClient(origin)
    with pytest.raises(UpstreamUnavailable, match=r"cannot connect to 127\.0\.0\.1: connection refused"):
        await ask(client)
    assert (client.stats.open, client.stats.failures) == (0, 1)
    await client.aclose()


async def test_a_name_that_does_not_resolve() -> None:
    client = HttpClient(Origin.parse("http://no-such-host.invalid"))
    with pytest.raises(UpstreamUnavailable, match=r"cannot connect to no-such-host\.invalid"):
        await ask(client)
    await client.aclose()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of 2,000 connections live in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 5000:
        pytest.skip(f"this machine allows a process {hard} open files, 5,000 are needed")
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_two_thousand_requests_at_once(stack: AsyncExitStack) -> None:
    gate = Gate()
    client, _ = await serving(stack, gate.script)
    requests = [asyncio.create_task(ask_with(client, b"%d" % number)) for number in range(2000)]
    await gate.until_waiting(2000)
    assert client.stats.in_use == 2000
    gate.let_out(2000)
    assert await asyncio.gather(*requests) == [b"ok"] * 2000
    assert sorted(gate.order) == sorted(b"%d" % number for number in range(2000))
    assert client.stats.failures == 0


async def test_streams_share_the_pool_with_whole_replies(stack: AsyncExitStack) -> None:
    client, server = await serving(stack, answering(chunked(b"a", b"b"), OK, chunked(b"c"), OK))
    first = await client.post("/", [], b"")
    assert [block async for block in first.blocks()] == [b"ab"]
    assert await ask(client) == b"ok"
    second = await client.post("/", [], b"")
    assert [block async for block in second.blocks()] == [b"c"]
    assert await ask(client) == b"ok"
    assert len(server.peers) == 1
