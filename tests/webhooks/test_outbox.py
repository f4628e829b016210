"""Events become jobs: for whom, in what order, and with how many queries."""

import pytest
from msgspec import json

from tenfold.core.errors import StoreUnavailable
from tenfold.webhooks.fake import FakeOutbox
from tenfold.webhooks.names import ENDPOINT, name_of
from tenfold.webhooks.outbox import FIRST_RETRY_S, MAX_ATTEMPTS, MOST_RETRY_S
from tenfold.webhooks.types import KIND, Event, Order
from tests.webhooks.world import AT, URL, World

COMPLETED = Event(type="response.completed", resource="resp_1")


@pytest.fixture
def world() -> World:
    return World()


async def test_nobody_listens(world: World) -> None:
    assert await world.outbox.jobs_for(world.who, COMPLETED) == ()


async def test_each_endpoint_that_wants_it_gets_a_job(world: World) -> None:
    one, two = await world.endpoint(URL, "response.completed"), await world.endpoint("https://b.example/", "response.*")
    await world.endpoint("https://c.example/", "batch.*")
    off = await world.endpoint()
    await world.admin.change(world.who.tenant_id, name_of(ENDPOINT, off.id), enabled=False)
    jobs = await world.outbox.jobs_for(world.who, COMPLETED)
    orders = [json.decode(job.input, type=Order) for job in jobs]
    assert {order.endpoint_id for order in orders} == {one.id, two.id}
    assert {order.event_id for order in orders} == {COMPLETED.id}
    assert len({job.id for job in jobs}) == len({job.order_key for job in jobs}) == 2
    assert {(job.kind, job.principal, job.subject) for job in jobs} == {(KIND, world.who, "resp_1")}
    assert jobs[0].facts == {"endpoint": name_of(ENDPOINT, orders[0].endpoint_id), "event": "response.completed"}
    assert await world.outbox.jobs_for(world.other, COMPLETED) == ()


async def test_what_is_posted_has_the_shape_of_openais_events(world: World) -> None:
    await world.endpoint()
    event = Event(type="batch.completed", resource="batch_1", data={"status": "completed"})
    (job,) = await world.outbox.jobs_for(world.who, event)
    assert json.decode(bytes(json.decode(job.input, type=Order).body)) == {
        "id": f"evt_{event.id.hex}",
        "object": "event",
        "created_at": int(AT.timestamp()),
        "type": "batch.completed",
        "data": {"id": "batch_1", "status": "completed"},
    }


async def test_of_one_resource_the_jobs_go_one_after_the_other(world: World) -> None:
    await world.endpoint()
    first, second, other = await world.job("resp_1"), await world.job("resp_1"), await world.job("resp_2")
    assert first.order_key == second.order_key != other.order_key
    assert first.id < second.id or first.id.int >> 80 == second.id.int >> 80


async def test_tries_last_about_a_day(world: World) -> None:
    await world.endpoint()
    job = await world.job()
    pauses = [min(MOST_RETRY_S, FIRST_RETRY_S * 2.0**number) for number in range(MAX_ATTEMPTS - 1)]
    assert (job.max_attempts, job.first_retry_s, job.most_retry_s) == (MAX_ATTEMPTS, FIRST_RETRY_S, MOST_RETRY_S)
    assert 24 * 3600 < 0.75 * sum(pauses) < 30 * 3600  # the jitter takes a quarter of each, on the average


async def test_endpoints_are_known_in_memory_until_they_change(world: World) -> None:
    made = await world.endpoint()
    await world.job()
    world.rows.away = True
    await world.job()
    world.rows.away = False
    await world.admin.end(world.who.tenant_id, name_of(ENDPOINT, made.id))
    assert await world.outbox.jobs_for(world.who, COMPLETED) == ()
    world.rows.away = True
    with pytest.raises(StoreUnavailable):
        await world.outbox.jobs_for(world.other, COMPLETED)


async def test_the_fake_makes_as_many_jobs_as_there_are_listeners(world: World) -> None:
    outbox = FakeOutbox(listeners=2)
    jobs = await outbox.jobs_for(world.who, COMPLETED)
    assert ([job.kind for job in jobs], outbox.told) == ([KIND, KIND], [(world.who, COMPLETED)])
