"""A job's events over WebSocket, as a client that knows nothing of us sees them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tenfold.core.errors import StoreUnavailable
from tenfold.edge.progress import offered_key
from tests.edge.progress.script import ScriptedJobs, served
from tests.support.http_server import Served, get, turns

HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
PROTOCOL = "tenfold.progress.v1"


@asynccontextmanager
async def listening(server: Served, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{server.port}{path}", compression=None, proxy=None, **options) as client:
        yield client


async def told(client: ClientConnection) -> Any:
    async with asyncio.timeout(20):
        return json.decode(await client.recv())


async def how_it_closed(client: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_events_come_as_they_happen_to_the_last_one() -> None:
    jobs = ScriptedJobs()
    jobs.tell("progress", b'{"stage":"asking"}')
    async with served(jobs) as (server, _), listening(server, jobs.path) as client:
        assert await told(client) == {"id": 1, "event": "progress", "data": {"stage": "asking"}}
        jobs.tell("output", b"words")
        assert await told(client) == {"id": 2, "event": "output", "data": "words"}
        jobs.tell("output", b'{"broken')
        assert (await told(client))["data"] == '{"broken'
        jobs.tell("ended", b"{}")
        assert await told(client) == {"id": 4, "event": "ended", "data": {}}
        assert await how_it_closed(client) == (1000, "")


async def test_a_client_goes_on_where_it_was() -> None:
    jobs = ScriptedJobs()
    for number in range(5):
        jobs.tell("output", b"%d" % number)
    async with served(jobs) as (server, _):
        async with listening(server, f"{jobs.path}?after=4") as client:
            assert (await told(client))["id"] == 5
        jobs.tell("ended", b"{}")
        async with listening(server, f"{jobs.path}?after=5") as client:
            assert (await told(client))["id"] == 6
            assert await how_it_closed(client) == (1000, "")
        async with listening(server, f"{jobs.path}?after=6") as client:
            assert await how_it_closed(client) == (1000, "")


async def test_pings_are_answered_and_sent() -> None:
    jobs = ScriptedJobs()
    async with served(jobs, beat_s=0.05) as (server, _), listening(server, jobs.path) as client:
        async with asyncio.timeout(20):
            await (await client.ping(b"are you there"))
        seen = client.protocol.receive_data
        pings = asyncio.Event()

        def watched(data: bytes | bytearray) -> None:
            if data[:1] == b"\x89":
                pings.set()
            seen(data)

        client.protocol.receive_data = watched  # type: ignore[method-assign]
        async with asyncio.timeout(20):
            for _ in range(4):  # each is answered, or the third would not come
                pings.clear()
                await pings.wait()


async def test_a_client_that_answers_no_ping_is_let_go() -> None:
    jobs = ScriptedJobs()
    async with served(jobs, beat_s=0.01) as (server, _):
        client = await server.connect()
        await client.send(get(jobs.path, *HANDSHAKE))
        assert (await client.head()).headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
        assert await client.rest() == b"\x89\x00" * 2 + b"\x88\x09\x03\xf3no pong"


async def test_a_process_that_stops_says_so() -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, resource), listening(server, jobs.path) as client:
        await turns()
        resource.stop()
        assert await how_it_closed(client) == (1001, "this process stops")


async def test_a_database_that_is_away_is_told() -> None:
    class Away(ScriptedJobs):
        async def follow(self, *_args: Any, **_options: Any) -> Any:
            if not self.events:
                raise StoreUnavailable("The database is away.")
            yield self.events[0]

    jobs = Away()
    async with served(jobs) as (server, _), listening(server, jobs.path) as client:
        assert await how_it_closed(client) == (1013, "store_unavailable")


@pytest.mark.parametrize(("message", "code"), [("hello", 1003), (b"\x00", 1003), ("x" * 5000, 1009)])
async def test_nothing_is_read_here(message: str | bytes, code: int) -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, _), listening(server, jobs.path) as client:
        await client.send(message)
        assert (await how_it_closed(client))[0] == code


@pytest.mark.parametrize("frame", [b"\x81\x02hi", b"\x83\x80\x00\x00\x00\x00", b"\xc1\x80\x00\x00\x00\x00"])
async def test_a_broken_frame_ends_it(frame: bytes) -> None:
    """Not masked, of an unknown kind, with a reserved bit."""
    jobs = ScriptedJobs()
    async with served(jobs) as (server, _):
        client = await server.connect()
        await client.send(get(jobs.path, *HANDSHAKE))
        await client.head()
        await client.send(frame)
        assert (await client.rest())[2:4] == (1002).to_bytes(2, "big")
        assert await server.how() == "done"


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, resource):
        async with listening(server, jobs.path):
            await turns()
            assert resource.waiting == 1
        assert await server.how() == "done"  # with its goodbye
        client = await server.connect()
        await client.send(get(jobs.path, *HANDSHAKE))
        await client.head()
        client.reset()
        assert await server.how() == "cancelled"


async def test_the_key_of_a_browser_comes_as_a_protocol() -> None:
    jobs = ScriptedJobs()
    protocols = [Subprotocol(PROTOCOL), Subprotocol("tenfold.key.tf_abc-1_2")]
    async with served(jobs) as (server, _), listening(server, jobs.path, subprotocols=protocols) as client:
        assert client.subprotocol == PROTOCOL
    assert offered_key({b"sec-websocket-protocol": ", ".join(protocols).encode()}) == b"Bearer tf_abc-1_2"
    assert offered_key({b"sec-websocket-protocol": PROTOCOL.encode()}) is None
    assert offered_key({}) is None


@pytest.mark.parametrize(
    ("of", "given"),
    [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: short"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y"),
        ("Upgrade: websocket", "Upgrade: websocket\r\nSec-WebSocket-Protocol: other"),
    ],
)
async def test_a_handshake_that_is_none_is_refused(of: str, given: str) -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, _):
        reply = await server.ask(get(jobs.path, *(given if line == of else line for line in HANDSHAKE)))
        assert (reply.status, reply.json()["code"]) == (400, "invalid_request")


async def test_what_is_not_there_is_told_before_the_handshake() -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, _):
        with pytest.raises(InvalidStatus) as refused:
            async with listening(server, "/v1/jobs/job_0/events"):
                pass
        assert refused.value.response.status_code == 404
