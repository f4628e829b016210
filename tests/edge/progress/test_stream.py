"""A job's events as server-sent events: whole, from where a client was, and to the end."""

import pytest
from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.sse import SseDecoder, SseEvent
from tenfold.edge.progress.beats import Beats
from tenfold.edge.progress.frames import as_sse
from tenfold.jobs.types import JobEvent
from tests.edge.progress.script import PRINCIPAL, ScriptedJobs, served
from tests.support.http_server import Client, get, turns


async def begun(client: Client, path: str, *headers: str) -> None:
    await client.send(get(path, *headers))
    head = await client.head()
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert head.headers["cache-control"] == "no-cache"
    assert (await client.chunk()).startswith(b"retry: ")


async def test_events_come_as_they_happen_to_the_last_one() -> None:
    jobs = ScriptedJobs()
    jobs.tell("progress", b'{"stage":"asking","done":1}')
    async with served(jobs) as (server, _):
        client = await server.connect()
        await begun(client, jobs.path)
        assert await client.chunk() == b'id: 1\nevent: progress\ndata: {"stage":"asking","done":1}\n\n'
        jobs.tell("output", b"two\nlines")
        assert await client.chunk() == b"id: 2\nevent: output\ndata: two\ndata: lines\n\n"
        jobs.tell("ended", b'{"state":"done"}')
        assert await client.chunk() == b'id: 3\nevent: ended\ndata: {"state":"done"}\n\n'
        assert await client.chunk() == b""


@pytest.mark.parametrize("how", ["header", "query", "both"])
async def test_a_client_goes_on_where_it_was(how: str) -> None:
    jobs = ScriptedJobs()
    for number in range(5):
        jobs.tell("output", b"%d" % number)
    path = jobs.path + {"header": "", "query": "?after=3", "both": "?after=1"}[how]
    async with served(jobs) as (server, _):
        client = await server.connect()
        await begun(client, path, *([] if how == "query" else ["Last-Event-ID: 3"]))
        assert (await client.chunk()).startswith(b"id: 4\n")
        assert (await client.chunk()).startswith(b"id: 5\n")


async def test_of_an_ended_job_all_is_told_at_once_and_nothing_to_who_has_it() -> None:
    jobs = ScriptedJobs()
    jobs.tell("output", b"x")
    jobs.tell("ended", b"{}")
    async with served(jobs) as (server, _):
        reply = await server.ask(get(jobs.path))
        assert reply.status == 200
        assert SseDecoder().feed(reply.body) == [SseEvent("output", b"x"), SseEvent("ended", b"{}")]
        again = await server.ask(get(jobs.path, "Last-Event-ID: 2"))
        assert (again.status, again.body) == (204, b"")


async def test_who_waits_gets_a_sign_of_life() -> None:
    jobs = ScriptedJobs()
    async with served(jobs, beat_s=0.01) as (server, resource):
        clients = [await server.connect() for _ in range(20)]
        for client in clients:
            await begun(client, jobs.path)
        assert resource.waiting == 20
        for client in clients:
            assert await client.chunk() == b":\n\n"


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, resource):
        client = await server.connect()
        await begun(client, jobs.path)
        assert (jobs.following, resource.waiting) == (1, 1)
        client.close()
        assert await server.how() == "cancelled"
        await turns()
        assert (jobs.following, resource.waiting) == (0, 0)


async def test_a_process_that_stops_ends_its_streams_in_good_order_and_begins_no_other() -> None:
    jobs = ScriptedJobs()
    async with served(jobs) as (server, resource):
        client = await server.connect()
        await begun(client, jobs.path)
        resource.stop()
        assert await client.chunk() == b""
        assert await server.how() == "done"
        refused = await server.ask(get(jobs.path))
        assert (refused.status, refused.json()["code"]) == (503, "overloaded")


async def test_what_is_not_there_and_whose_it_is_not() -> None:
    jobs = ScriptedJobs()
    stranger = structs.replace(PRINCIPAL, tenant_id=TenantId(uuid7()))
    async with served(jobs, stranger) as (server, _):
        assert (await server.ask(get(jobs.path))).status == 404
    async with served(jobs, structs.replace(PRINCIPAL, scopes=frozenset())) as (server, _):
        assert (await server.ask(get(jobs.path))).status == 403
    async with served(jobs) as (server, _):
        for path in ("/v1/jobs", "/v1/jobs/x/events", jobs.path + "/x", jobs.path.removesuffix("/events")):
            assert (await server.ask(get(path))).status == 404
        for query in ("after=-1", "after=x", "after=" + "9" * 19):
            assert (await server.ask(get(f"{jobs.path}?{query}"))).status == 400
        jobs.away = True
        assert (await server.ask(get(jobs.path))).status == 503


@pytest.mark.parametrize("data", [b"a\r\nevent: ended\r\n\r\nb", b"a\rb", b"", b"\n\n", b": c\nid: 9"])
def test_data_cannot_pass_for_another_event(data: bytes) -> None:
    (event,) = SseDecoder().feed(as_sse(JobEvent(seq=7, kind="output", data=data)))
    assert event.event == "output"
    assert event.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


async def test_each_is_called_once_a_round() -> None:
    class Counted:
        calls = 0

        def beat(self) -> None:
            self.calls += 1

        def leave(self) -> None: ...

    beats = Beats(3600.0)
    waiters = [Counted() for _ in range(40)]
    places = []
    for number, waiter in enumerate(waiters):
        places.append(beats.join(waiter))
        if number % 3 == 0:
            beats._turn()  # instead of the timer
    before = [waiter.calls for waiter in waiters]
    for _ in range(15):
        beats._turn()
    assert [waiter.calls - was for waiter, was in zip(waiters, before, strict=True)] == [1] * 40
    for waiter, place in zip(waiters, places, strict=True):
        beats.part(waiter, place)
    assert beats.waiting == 0
