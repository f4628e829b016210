"""What was delivered, looked at, tested and delivered once more; how long it is told."""

import asyncio
from datetime import datetime, timedelta

import pytest
from msgspec import json

from tenfold.core.errors import Conflict, InvalidRequest, NotFound, RateLimited
from tenfold.core.ids import uuid7
from tenfold.jobs.types import NewJob, Result
from tenfold.webhooks import log
from tenfold.webhooks.fake import FakeAnswer
from tenfold.webhooks.log import KEEP_S, expire_deliveries
from tenfold.webhooks.names import DELIVERY, ENDPOINT, name_of
from tenfold.webhooks.types import TEST_EVENT, Delivery, Endpoint
from tests.webhooks.world import AT, World


@pytest.fixture
def world() -> World:
    return World()


def name(endpoint: Endpoint) -> str:
    return name_of(ENDPOINT, endpoint.id)


async def failed(world: World, resource: str = "resp_1") -> NewJob:
    """A job that has become a dead letter."""
    job = await world.job(resource)
    world.sender.answers = [FakeAnswer(status=500)]
    await world.attempt(job)
    await world.die(job)
    world.sender.answers = [FakeAnswer()]
    return job


async def a_millisecond() -> None:
    """Until ids come after those there are: within one they are in no order."""
    last = uuid7().int >> 80
    while uuid7().int >> 80 == last:
        await asyncio.sleep(0)


async def logged(world: World, job: NewJob) -> Delivery:
    return await world.log.show(world.who.tenant_id, name_of(DELIVERY, job.id))


async def test_deliveries_are_listed_in_pages_by_state(world: World) -> None:
    endpoint = await world.endpoint()
    lost = await failed(world)
    good = [await world.job(f"resp_{number}") for number in range(3)]
    for job in good:
        await world.attempt(job)
    tenant_id = world.who.tenant_id
    page = await world.log.list(tenant_id, name(endpoint), limit=3)
    rest = await world.log.list(tenant_id, name(endpoint), limit=3, cursor=page.cursor)
    assert {each.id for each in page.items + rest.items} == {lost.id, *(job.id for job in good)}
    assert (len(page.items), rest.cursor) == (3, None)
    assert [each.id for each in (await world.log.list(tenant_id, name(endpoint), state="failed")).items] == [lost.id]
    for call in (
        world.log.list(tenant_id, name(endpoint), state="lost"),
        world.log.list(tenant_id, name(endpoint), limit=0),
        world.log.list(tenant_id, name(endpoint), cursor="x"),
    ):
        with pytest.raises(InvalidRequest):
            await call


async def test_attempts_are_listed_in_pages(world: World) -> None:
    await world.endpoint()
    world.sender.answers = [FakeAnswer(status=status) for status in (500, 502, 200)]
    job = await world.job()
    for _ in range(3):
        await world.attempt(job)
    tenant_id, delivery = world.who.tenant_id, name_of(DELIVERY, job.id)
    page = await world.log.attempts(tenant_id, delivery, limit=2)
    rest = await world.log.attempts(tenant_id, delivery, limit=2, cursor=page.cursor)
    assert [each.status for each in page.items + rest.items] == [200, 502, 500]
    assert rest.cursor is None
    for cursor in ("x", "-1", "1" * 11):
        with pytest.raises(InvalidRequest):
            await world.log.attempts(tenant_id, delivery, cursor=cursor)


async def test_another_tenants_log_does_not_exist(world: World) -> None:
    endpoint, job = await world.endpoint(), await failed(world)
    stranger, delivery = world.other, name_of(DELIVERY, job.id)
    for call in (
        world.log.list(stranger.tenant_id, name(endpoint)),
        world.log.show(stranger.tenant_id, delivery),
        world.log.attempts(stranger.tenant_id, delivery),
        world.log.test(stranger, name(endpoint)),
        world.log.redeliver(stranger, delivery),
        world.log.redeliver_failed(stranger, name(endpoint), AT),
    ):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound, match="not tried yet"):
        await world.log.show(world.who.tenant_id, name_of(DELIVERY, uuid7()))
    assert world.queue.added == []


# -- once more -----------------------------------------------------------------------------------


async def test_what_failed_is_delivered_once_more(world: World) -> None:
    await world.endpoint()
    lost = await failed(world)
    delivery = name_of(DELIVERY, lost.id)
    await a_millisecond()
    job = await world.log.redeliver(world.who, delivery)
    assert (await world.log.redeliver(world.who, delivery)).id == job.id  # asked for twice before it is tried
    (again,) = world.queue.added
    assert again.order_key is None  # what waits behind others would wait for them
    assert world.queue.discarded == [lost.id]
    assert await world.attempt(again) == Result()
    assert (await logged(world, lost)).attempts == 2
    first, second = world.sender.posted
    assert (first.body, first.headers[b"webhook-id"]) == (second.body, second.headers[b"webhook-id"])
    kept = await logged(world, lost)
    assert (kept.state, kept.job_id, kept.attempts) == ("delivered", again.id, 2)


async def test_what_was_delivered_can_be_delivered_again(world: World) -> None:
    await world.endpoint()
    job = await world.job()
    await world.attempt(job)
    await world.log.redeliver(world.who, name_of(DELIVERY, job.id))
    assert await world.attempt(world.queue.added[0]) == Result()
    assert len(world.sender.posted) == 2


async def test_a_job_that_still_waits_does_not_deliver_what_was_redelivered(world: World) -> None:
    await world.endpoint()
    job = await world.job()
    world.sender.answers = [FakeAnswer(status=500), FakeAnswer()]
    await world.attempt(job)
    await a_millisecond()
    await world.log.redeliver(world.who, name_of(DELIVERY, job.id))
    again = world.queue.added[0]
    await world.attempt(again)
    assert await world.attempt(job) == Result()
    assert len(world.sender.posted) == 2


async def test_all_that_failed_since_is_delivered_once_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = await world.endpoint()
    await failed(world, "resp_old")
    world.clock.advance(3600)
    lost = [await failed(world, f"resp_{number}") for number in range(3)]
    done = await world.job("resp_done")
    await world.attempt(done)
    since = AT + timedelta(hours=1)
    found = await world.log.redeliver_failed(world.who, name(endpoint), since)
    assert (found.count, found.more) == (3, False)
    orders = [json.decode(job.input)["resource"] for job in world.queue.added]
    assert sorted(orders) == ["resp_0", "resp_1", "resp_2"]
    assert sorted(world.queue.discarded) == sorted(job.id for job in lost)

    world.queue.added.clear()
    monkeypatch.setattr(log, "MOST_REDELIVERED", 2)
    found = await world.log.redeliver_failed(world.who, name(endpoint), since)
    assert (found.count, found.more) == (2, True)
    world.queue.added.clear()
    world.queue.room = 1
    found = await world.log.redeliver_failed(world.who, name(endpoint), since)
    assert (found.count, found.more) == (1, True)
    world.queue.added.clear()
    with pytest.raises(RateLimited):
        await world.log.redeliver_failed(world.who, name(endpoint), since)
    with pytest.raises(InvalidRequest, match="offset"):
        await world.log.redeliver_failed(world.who, name(endpoint), datetime(2026, 1, 1))  # noqa: DTZ001


async def test_an_endpoint_that_is_disabled_gets_nothing_but_tests(world: World) -> None:
    endpoint, lost = await world.endpoint(), await failed(world)
    await world.admin.change(world.who.tenant_id, name(endpoint), enabled=False)
    for call in (
        world.log.redeliver(world.who, name_of(DELIVERY, lost.id)),
        world.log.redeliver_failed(world.who, name(endpoint), AT),
    ):
        with pytest.raises(Conflict, match="enable it first"):
            await call
    job = await world.log.test(world.who, name(endpoint))
    assert await world.attempt(world.queue.added[0]) == Result()
    body = json.decode(world.sender.posted[-1].body)
    assert (body["type"], body["data"]) == (TEST_EVENT, {"id": name(endpoint)})
    delivery = await world.log.show(world.who.tenant_id, name_of(DELIVERY, job.id))
    assert (delivery.type, delivery.state) == (TEST_EVENT, "delivered")


async def test_a_test_is_tried_once(world: World) -> None:
    endpoint = await world.endpoint()
    world.sender.answers = [FakeAnswer(status=500, body=b"oh")]
    job = await world.log.test(world.who, name(endpoint))
    assert await world.attempt(world.queue.added[0]) == Result()
    delivery = await world.log.show(world.who.tenant_id, name_of(DELIVERY, job.id))
    assert (delivery.state, delivery.last.status, delivery.last.reply) == ("failed", 500, "oh")


async def test_the_log_expires(world: World) -> None:
    await world.endpoint()
    old = await failed(world)
    world.clock.advance(KEEP_S)
    new = await failed(world)
    world.clock.advance(1)
    assert await expire_deliveries(world.rows, world.clock) == 1
    assert await expire_deliveries(world.rows, world.clock) == 0
    with pytest.raises(NotFound, match="too long ago"):
        await logged(world, old)
    assert (await logged(world, new)).state == "failed"
