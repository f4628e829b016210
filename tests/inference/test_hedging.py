"""Hedges: a second target asked while the first is slow. Whoever is first answers, and the other may be billed."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.inference.admit import Held
from tenfold.inference.policy import Hedge, Policy
from tenfold.providers.ports import Exchange, Headers, WireRequest
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tests.support.pipeline import REPLIES, World, asking, streamed, whole

DEAR = 10**12
HEDGED = Policy(hedge=Hedge(after_s=0.002, max_nano=DEAR))
SILENT = FakeReply(silent=True)
ANSWER_NANO = 18_000
SECOND = REPLIES["openai"].replace(b"Hello", b"Howdy")
ASKED = asking("openai", max_tokens=10)


def bound_nano(call: Call) -> int:
    assert isinstance(call.admission, Held)
    assert call.admission.bound is not None
    return call.admission.bound.nano


def held_until(world: World, name: str, ready: asyncio.Event) -> None:
    """What this upstream says comes only then."""
    provider = world.targets[name].provider
    send = provider.send

    async def late(request: WireRequest, headers: Headers) -> Exchange:
        await ready.wait()
        return await send(request, headers)

    provider.send = late  # type: ignore[method-assign]


def then(ready: asyncio.Event, reply: FakeReply) -> Callable[[FakeRequest], FakeReply]:
    """An upstream that, asked, lets another one go on."""

    def answer(_request: FakeRequest) -> FakeReply:
        ready.set()
        return reply

    return answer


def assert_no_task_is_left() -> None:
    assert [task.get_name() for task in asyncio.all_tasks() if "hedge" in task.get_name()] == []


# -- who answers -----------------------------------------------------------------------------


async def test_the_second_answers_when_the_first_is_slow() -> None:
    world = World({"openai": [SILENT], "spare": [whole("openai", body=SECOND)]}, route=HEDGED)
    told = await world.ask(ASKED)
    assert (told.status, told.body) == (200, SECOND)
    assert told.headers["tenfold-degraded"] == "hedge, fallback"
    assert told.headers["tenfold-provider"] == "spare"
    call = world.outcomes.only
    assert (call.status, call.provider, call.attempts) == ("ok", "spare", 2)
    assert_no_task_is_left()
    world.assert_settled()


async def test_the_one_that_lost_may_be_billed_and_is_in_the_cost() -> None:
    world = World({"openai": [SILENT], "spare": [whole("openai")]}, route=HEDGED)
    told = await world.ask(ASKED)
    call = world.outcomes.only
    assert call.cost_nano == bound_nano(call) + ANSWER_NANO
    assert call.estimated
    assert float(told.headers["tenfold-cost-usd"]) == pytest.approx(call.cost_nano / 1e9)
    assert world.admission.journal.drafts[call.id] == 2, "before the second went out"
    world.assert_settled()


async def test_a_first_that_is_not_slow_is_asked_alone() -> None:
    patient = Policy(hedge=Hedge(after_s=30, max_nano=DEAR))
    world = World({"openai": [whole("openai")], "spare": []}, route=patient)
    told = await world.ask(ASKED)
    assert "tenfold-degraded" not in told.headers
    call = world.outcomes.only
    assert (call.cost_nano, call.estimated, call.attempts) == (ANSWER_NANO, False, 1)
    world.assert_settled()


async def test_the_first_may_still_be_the_faster_one() -> None:
    ready = asyncio.Event()
    world = World({"openai": [whole("openai")], "spare": then(ready, SILENT)}, route=HEDGED)
    held_until(world, "openai", ready)
    told = await world.ask(ASKED)
    assert (told.status, told.headers["tenfold-provider"]) == (200, "openai")
    assert told.headers["tenfold-degraded"] == "hedge"
    call = world.outcomes.only
    assert call.cost_nano == bound_nano(call) + ANSWER_NANO
    assert_no_task_is_left()
    world.assert_settled()


async def test_a_reply_that_comes_too_late_is_cut_off() -> None:
    """The second one's head is there; the first one's comes in the same step."""
    ready = asyncio.Event()
    world = World({"openai": [whole("openai")], "spare": then(ready, whole("openai"))}, route=HEDGED)
    held_until(world, "openai", ready)
    assert (await world.ask(ASKED)).status == 200
    call = world.outcomes.only
    assert call.cost_nano == bound_nano(call) + ANSWER_NANO
    world.assert_settled()


async def test_it_says_nothing_of_the_health_of_the_one_that_lost() -> None:
    world = World({"openai": [SILENT], "spare": [whole("openai")]}, route=HEDGED)
    await world.ask(ASKED)
    view = world.targets["openai"].health.view(0)
    assert (view.state, view.failures, view.in_flight) == ("closed", 0, 0)


# -- failures --------------------------------------------------------------------------------

FREE = {
    "refused": FakeReply(status=500, body=b"{}"),
    "limited": FakeReply(status=429, body=b"{}"),
    "no connection": FakeReply(error=UpstreamUnavailable("could not connect")),
    "half an error": FakeReply(status=500, body=b'{"error":', stop_at=3),
}
BILLED = FakeReply(error=UpstreamTimeout("Too slow", unanswered=True))


@pytest.mark.parametrize("how", FREE)
@pytest.mark.parametrize("fails", ["first", "second"])
async def test_when_one_of_both_fails_the_other_answers(fails: str, how: str) -> None:
    """And what failed for nothing is not paid for."""
    ready, answered = asyncio.Event(), asyncio.Event()
    if fails == "first":
        world = World({"openai": then(answered, FREE[how]), "spare": then(ready, whole("openai"))}, route=HEDGED)
        held_until(world, "openai", ready)
        send = world.targets["spare"].provider.send

        async def asked_first(request: WireRequest, headers: Headers) -> Exchange:
            ready.set()
            await answered.wait()
            for _ in range(9):
                await asyncio.sleep(0)
            return await send(request, headers)

        world.targets["spare"].provider.send = asked_first  # type: ignore[method-assign]
    else:
        world = World({"openai": [whole("openai")], "spare": then(ready, FREE[how])}, route=HEDGED)
        held_until(world, "openai", answered)

        async def let_it_go() -> None:
            await ready.wait()
            for _ in range(9):
                await asyncio.sleep(0)
            answered.set()

        waiting = asyncio.create_task(let_it_go())
    told = await world.ask(ASKED)
    assert told.status == 200
    assert told.headers["tenfold-provider"] == ("spare" if fails == "first" else "openai")
    call = world.outcomes.only
    assert (call.status, call.attempts, call.error) == ("ok", 2, None)
    assert (call.cost_nano, call.lost_nano) == (ANSWER_NANO, 0)
    assert not call.estimated
    assert_no_task_is_left()
    world.assert_settled()
    if fails == "second":
        await waiting


async def test_a_first_that_went_unanswered_is_paid() -> None:
    ready = asyncio.Event()
    world = World({"openai": [BILLED], "spare": then(ready, SILENT), "third": [whole("openai")]}, route=HEDGED)
    held_until(world, "openai", ready)
    task = asyncio.create_task(world.ask(ASKED, options=CallOptions(deadline_ms=200)))
    told = await task
    assert told.status == 504
    call = world.outcomes.only
    assert call.cost_nano == 2 * bound_nano(call), "the one that failed, and the one that never answered"
    world.assert_settled()


@pytest.mark.parametrize("reply", [FREE["refused"], FREE["no connection"]])
async def test_when_both_fail_the_next_is_asked(reply: FakeReply) -> None:
    ready = asyncio.Event()
    world = World({"openai": [reply], "spare": then(ready, reply), "third": [whole("openai")]}, route=HEDGED)
    held_until(world, "openai", ready)
    told = await world.ask(ASKED)
    assert (told.status, told.headers["tenfold-provider"]) == (200, "third")
    call = world.outcomes.only
    assert (call.attempts, call.cost_nano) == (3, ANSWER_NANO)
    assert_no_task_is_left()
    world.assert_settled()


async def test_when_both_fail_and_nobody_is_left_it_costs_nothing() -> None:
    ready = asyncio.Event()
    world = World({"openai": [FREE["refused"]], "spare": then(ready, FREE["no connection"])}, route=HEDGED)
    held_until(world, "openai", ready)
    told = await world.ask(ASKED)
    assert told.status in (500, 502)
    call = world.outcomes.only
    assert not call.cost_nano
    assert_no_task_is_left()
    world.assert_settled()


async def test_a_reply_that_breaks_after_the_other_was_refused_is_charged() -> None:
    """The second one's refusal says nothing of what the first one may be billed for."""
    ready, refused = asyncio.Event(), asyncio.Event()
    world = World(
        {"openai": [whole("openai", stop_at=20)], "spare": then(refused, FREE["no connection"])}, route=HEDGED
    )
    held_until(world, "openai", ready)

    async def let_it_go() -> None:
        await refused.wait()
        for _ in range(9):
            await asyncio.sleep(0)
        ready.set()

    waiting = asyncio.create_task(let_it_go())
    told = await world.ask(ASKED)
    assert told.status == 502
    call = world.outcomes.only
    assert call.cost_nano == bound_nano(call) > 0
    world.assert_settled()
    await waiting


async def test_a_client_that_leaves_stops_both() -> None:
    world = World({"openai": [SILENT], "spare": [SILENT]}, route=HEDGED)
    task = asyncio.create_task(world.ask(ASKED))
    while len(world.sent) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = world.outcomes.only
    assert (call.status, call.cost_nano) == ("cancelled", 2 * bound_nano(call))
    assert_no_task_is_left()
    world.assert_settled()


# -- where there is none ---------------------------------------------------------------------


async def answered_without_a_hedge(world: World, body: bytes = ASKED) -> None:
    """The first never begins, and its time is up: the second is asked then, as after any failure."""
    told = await world.ask(body)
    assert told.status == 200
    assert told.headers["tenfold-provider"] == "spare"
    assert told.headers["tenfold-degraded"] == "fallback"
    assert_no_task_is_left()
    world.assert_settled()


def slow_first(max_nano: int = DEAR, *, stream: bool = False) -> World:
    route = Policy(hedge=Hedge(after_s=0.002, max_nano=max_nano), first_token_s=0.02)
    return World({"openai": [SILENT], "spare": [streamed("openai") if stream else whole("openai")]}, route=route)


async def test_a_dear_call_is_not_hedged() -> None:
    await answered_without_a_hedge(slow_first(max_nano=100))


async def test_a_call_at_its_ceiling_is() -> None:
    world = World({"openai": [whole("openai")]})
    await world.ask(ASKED)
    bound = bound_nano(world.outcomes.only)
    world = slow_first(max_nano=bound)
    assert (await world.ask(ASKED)).headers["tenfold-degraded"] == "hedge, fallback"
    await answered_without_a_hedge(slow_first(max_nano=bound - 1))


async def test_a_stream_is_not_hedged() -> None:
    await answered_without_a_hedge(slow_first(stream=True), asking("openai", stream=True))


async def test_hedges_are_retries_to_the_budget_of_retries() -> None:
    world = slow_first()
    while world.router.find("m").retry_budget.may_retry():
        pass
    await answered_without_a_hedge(world)


async def test_there_is_no_hedge_where_the_second_has_all_the_calls_it_takes() -> None:
    """And nobody waits for it, nor gives the first one up."""
    ready = asyncio.Event()
    patient = Policy(hedge=Hedge(after_s=0.002, max_nano=DEAR))
    world = World({"openai": [whole("openai")], "spare": []}, route=patient)
    held_until(world, "openai", ready)
    shaper = world.targets["spare"].shaper
    shaper.limit = 1
    assert shaper.try_enter()
    asyncio.get_running_loop().call_later(0.01, ready.set)
    told = await world.ask(ASKED)
    assert (told.status, told.headers["tenfold-provider"]) == (200, "openai")
    call = world.outcomes.only
    assert (call.attempts, call.degraded, call.cost_nano) == (1, (), ANSWER_NANO)
    shaper.leave(limited=False, rtt_s=None)
    world.assert_settled()


async def test_there_is_no_hedge_without_room_for_both() -> None:
    ready = asyncio.Event()
    world = World({"openai": [whole("openai")], "spare": []}, route=HEDGED)
    held_until(world, "openai", ready)
    world.admission.budgets.room_for = 1
    asyncio.get_running_loop().call_later(0.01, ready.set)
    assert (await world.ask(ASKED)).headers["tenfold-provider"] == "openai"
    call = world.outcomes.only
    assert (call.attempts, call.degraded, call.cost_nano) == (1, (), ANSWER_NANO)
    world.assert_settled()


async def test_one_target_alone_is_not_hedged() -> None:
    world = World({"openai": [whole("openai")]}, route=HEDGED)
    assert (await world.ask(ASKED)).status == 200
    assert world.outcomes.only.attempts == 1


# -- whatever happens ------------------------------------------------------------------------

_ENDS = [whole("openai"), *FREE.values(), BILLED, whole("openai", stop_at=20)]


@settings(deadline=None)
@given(
    first=st.sampled_from(_ENDS),
    second=st.sampled_from(_ENDS),
    third=st.sampled_from(_ENDS),
    steps=st.integers(0, 6),
    cancel_after=st.none() | st.integers(0, 12),
)
async def test_however_both_end_the_call_is_settled_once(
    first: FakeReply, second: FakeReply, third: FakeReply, steps: int, cancel_after: int | None
) -> None:
    ready = asyncio.Event()
    world = World({"openai": [first], "spare": then(ready, second), "third": [third]}, route=HEDGED)
    send = world.targets["openai"].provider.send

    async def late(request: WireRequest, headers: Headers) -> Exchange:
        await ready.wait()
        for _ in range(steps):
            await asyncio.sleep(0)
        return await send(request, headers)

    world.targets["openai"].provider.send = late  # type: ignore[method-assign]
    task = asyncio.create_task(world.ask(ASKED))
    if cancel_after is not None:
        await ready.wait()
        for _ in range(cancel_after):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    call = world.outcomes.only
    cost = call.cost_nano or 0
    assert 0 <= cost <= 3 * bound_nano(call)
    if call.status == "ok":
        assert cost >= ANSWER_NANO
    billed = sum(reply is BILLED or reply.stop_at == 20 for reply in (first, second))
    if call.status == "error":
        assert cost >= min(billed, 1) * bound_nano(call)
    assert_no_task_is_left()
    world.assert_settled()
