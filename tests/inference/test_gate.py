"""Admission: what is refused at the door costs nothing and is told as the moment it is."""

import asyncio

import pytest

from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import Client, World, asking, whole

CLIENTS = ("openai", "anthropic")


def assert_refused(world: World, told: Client, code: str) -> None:
    assert told.status == 503
    assert told.headers["retry-after"] == "1"
    call = world.outcomes.calls[-1]
    assert call.error is not None
    assert (call.status, call.error.code, call.cost_nano) == ("error", code, None)


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_call_too_many_is_refused(client: str) -> None:
    world = World({"openai": [FakeReply(silent=True), whole("openai")]}, max_in_flight=1)
    first = asyncio.create_task(world.ask(asking("openai")))
    await asyncio.sleep(0)
    told = await world.ask(asking(client), client)
    assert_refused(world, told, "overloaded")
    assert len(world.sent) == 1
    assert (world.gate.in_flight, world.gate.refused) == (1, 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await world.ask(asking("openai"))).status == 200


@pytest.mark.parametrize("client", CLIENTS)
async def test_without_the_database_no_call_begins(client: str) -> None:
    world = World({"openai": [whole("openai")]})
    world.gate.store_up = False
    assert_refused(world, await world.ask(asking(client), client), "store_unavailable")
    assert world.sent == []
    world.gate.store_up = True
    assert (await world.ask(asking("openai"))).status == 200


async def test_a_process_that_stops_takes_no_more_calls_and_finishes_what_it_has() -> None:
    world = World({"openai": [whole("openai")]})
    first = asyncio.create_task(world.ask(asking("openai")))
    await asyncio.sleep(0)
    world.gate.stopping = True
    assert_refused(world, await world.ask(asking("openai")), "overloaded")
    assert (await first).status == 200
    assert world.gate.in_flight == 0


async def test_the_database_going_away_does_not_touch_calls_in_flight() -> None:
    world = World({"openai": [whole("openai")]})
    first = asyncio.create_task(world.ask(asking("openai")))
    await asyncio.sleep(0)
    world.gate.store_up = False
    assert (await first).status == 200
