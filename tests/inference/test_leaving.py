"""Clients that leave and processes that stop: the call ends, its exchange is closed, and it settles once."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.inference.admit import Held
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, UNTIL_TOKEN, Client, World, asking, streamed, whole

PAIRS = [("openai", "openai"), ("openai", "anthropic"), ("anthropic", "gemini")]


def hanging(upstream: str) -> FakeReply:
    """A stream that falls silent before its last frame."""
    return streamed(upstream, stop_at=sum(map(len, FRAMES[upstream][:-1])), then="hang")


async def cancelled(world: World, task: "asyncio.Task[Client]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.outcomes.only.status == "cancelled"
    world.assert_settled()


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_call_cancelled_in_its_stream_is_settled_with_an_estimate(client: str, upstream: str) -> None:
    world = World({upstream: [hanging(upstream)]})
    responder = Client()
    task = asyncio.create_task(world.ask(asking(client, stream=True), client, responder=responder))
    await responder.got_piece.wait()
    await cancelled(world, task)
    [exchange] = world.transports[upstream].exchanges
    assert exchange.aborted
    call = world.outcomes.only
    assert call.estimated
    assert call.cost_nano is not None
    assert call.cost_nano > 0


@pytest.mark.parametrize("reply", [FakeReply(silent=True), whole("openai", stop_at=20, then="hang")])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_cancelled_while_it_waits_is_charged_at_its_bound(reply: FakeReply, stream: bool) -> None:
    """The provider has the request and may answer it to nobody."""
    world = World({"openai": [reply]})
    task = asyncio.create_task(world.ask(asking("openai", stream=stream)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(world.sent) == 1
    assert world.gate.in_flight == 1
    await cancelled(world, task)
    call = world.outcomes.only
    assert call.estimated
    assert isinstance(call.admission, Held)
    assert call.admission.bound is not None
    assert call.cost_nano == call.admission.bound.nano > 0


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_client_that_leaves_its_stream_stops_the_upstream(client: str, upstream: str, taken: int) -> None:
    world = World({upstream: [hanging(upstream)]})
    taken = min(taken, len(FRAMES[upstream]) - UNTIL_TOKEN[upstream] - 1)
    told = await world.ask(asking(client, stream=True), client, responder=Client(leaves_after=taken))
    assert len(told.pieces) == taken
    call = world.outcomes.only
    assert (call.status, call.estimated) == ("cancelled", True)
    world.assert_settled()


async def test_a_client_that_leaves_before_the_error_is_told_has_left() -> None:
    world = World({"openai": [streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:2])))]})
    await world.ask(asking("openai", stream=True), responder=Client(leaves_after=1))
    assert world.outcomes.only.status == "cancelled"
    world.assert_settled()


@settings(deadline=None)
@given(steps=st.integers(0, 40), stream=st.booleans(), pair=st.sampled_from(PAIRS))
async def test_a_call_may_be_cancelled_at_any_step(steps: int, stream: bool, pair: tuple[str, str]) -> None:
    client, upstream = pair
    world = World({upstream: [streamed(upstream) if stream else whole(upstream)]})
    task = asyncio.create_task(world.ask(asking(client, stream=stream), client))
    await asyncio.sleep(0)  # from its first step on it is a call
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.outcomes.only.status == ("cancelled" if task.cancelled() else "ok")
    world.assert_settled()
