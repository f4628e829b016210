"""Identical calls in flight: one provider call, a receipt for each, and nobody suffers from what befalls another."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions
from tenfold.core.errors import UpstreamUnavailable
from tenfold.inference.flight import AHEAD_BYTES, MAX_LAG_BYTES
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import (
    EVENT_STREAM,
    FRAMES,
    REPLIES,
    UNTIL_TOKEN,
    USAGE_FRAME,
    Client,
    World,
    asking,
    principal,
    streamed,
    whole,
)

HIT = "hit; layer=coalesced"
CLIENTS = ("openai", "anthropic")
STREAM = b"".join(frame for frame in FRAMES["openai"] if frame is not USAGE_FRAME)  # as nobody asked for usage
EXACT = CallOptions(cache=frozenset({"exact"}))


class SlowClient(Client):
    """Takes one piece, and the next when it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        await super().send_bytes(data)
        await self.go_on.wait()


def body_of(client: str, stream: bool) -> bytes:
    return asking(client, temperature=0, stream=stream)


def good(upstream: str, stream: bool) -> FakeReply:
    return streamed(upstream) if stream else whole(upstream)


def hanging() -> FakeReply:
    """A stream that falls silent before its last frame."""
    return streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:-1])), then="hang")


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ask_all(world: World, count: int, client: str, stream: bool) -> list[Client]:
    body = body_of(client, stream)
    return await asyncio.gather(*(world.ask(body, client) for _ in range(count)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "upstream"), [("openai", "openai"), ("anthropic", "openai"), ("openai", "gemini")])
async def test_fifty_identical_calls_are_one_provider_call_and_fifty_receipts(
    client: str, upstream: str, stream: bool
) -> None:
    world = World({upstream: [good(upstream, stream)]})
    told = await ask_all(world, 50, client, stream)
    assert len(world.sent) == 1
    assert len(world.outcomes.calls) == 50
    assert len({one.body for one in told}) == 1
    assert len({one.headers["x-request-id"] for one in told}) == 50
    assert [one.headers["tenfold-cache"] for one in told] == ["miss"] + [HIT] * 49
    assert {one.headers["tenfold-provider"] for one in told} == {upstream}
    assert {(call.status, call.http_status, call.usage) for call in world.outcomes.calls} == {
        ("ok", 200, world.outcomes.calls[0].usage)
    }
    paid = [call for call in world.outcomes.calls if call.cost_nano]
    assert [(call.cache_state, call.cost_nano) for call in paid] == [("miss", 18_000)]
    followers = [call for call in world.outcomes.calls if call not in paid]
    assert {(call.cache_state, call.cost_nano, call.model, call.upstream_model) for call in followers} == {
        ("coalesced", 0, "m", "m")
    }
    assert world.admission.budgets.reservations == 1
    assert world.admission.budgets.spent == 18_000
    assert len(world.admission.journal.drafts) == (50 if stream else 1)  # a stream is begun before it is settled
    world.assert_settled()
    assert not len(world.pipeline.flights)


async def test_what_a_whole_reply_cost_is_told_to_each() -> None:
    world = World({"openai": [whole("openai")]})
    told = await ask_all(world, 2, "openai", stream=False)
    assert [one.headers["tenfold-cost-usd"] for one in told] == ["0.000018", "0"]


async def test_who_comes_after_the_flight_is_answered_from_memory() -> None:
    world = World({"openai": [whole("openai")]})
    await ask_all(world, 3, "openai", stream=False)
    told = await world.ask(body_of("openai", stream=False))
    assert told.headers["tenfold-cache"].startswith("hit; layer=memory")


@pytest.mark.parametrize("taken", [1, 2, 3, 5])
async def test_a_late_joiner_of_a_stream_gets_it_from_the_first_frame(taken: int) -> None:
    world = World({"openai": [hanging()]})
    body = body_of("openai", stream=True)
    first, second = Client(), Client()
    tasks = [asyncio.create_task(world.ask(body, responder=first))]
    while len(first.pieces) < min(taken, len(FRAMES["openai"]) - UNTIL_TOKEN["openai"] - 1):
        await asyncio.sleep(0)
    tasks.append(asyncio.create_task(world.ask(body, responder=second)))
    await steps(20)
    assert second.body == first.body == STREAM.removesuffix(FRAMES["openai"][-1])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(world.sent) == 1
    world.assert_settled()


@pytest.mark.parametrize(
    ("other", "options"),
    [
        (asking("openai", temperature=0, stream=True), DEFAULT_OPTIONS),
        (asking("openai", temperature=0, seed=1), DEFAULT_OPTIONS),
        (asking("openai", temperature=0), CallOptions(cache=frozenset({"no-cache"}))),
        (asking("openai", temperature=0), CallOptions(cache=frozenset({"no-store"}))),
        (asking("openai", temperature=0), CallOptions(idempotency_key="k")),
    ],
)
async def test_another_question_or_one_that_goes_alone_has_a_call_of_its_own(
    other: bytes, options: CallOptions
) -> None:
    world = World({"openai": lambda request: good("openai", b'"stream":true' in request.body)})
    plain = body_of("openai", stream=False)
    told = await asyncio.gather(world.ask(plain), world.ask(other, options=options))
    assert [one.status for one in told] == [200, 200]
    assert len(world.sent) == 2
    world.assert_settled()


async def test_calls_that_may_differ_are_shared_only_on_request() -> None:
    world = World({"openai": lambda _request: whole("openai")})
    await asyncio.gather(*(world.ask(asking("openai")) for _ in range(3)))
    assert len(world.sent) == 3
    await asyncio.gather(*(world.ask(asking("openai"), options=EXACT) for _ in range(3)))
    assert len(world.sent) == 4


async def test_calls_are_never_shared_between_tenants() -> None:
    world = World({"openai": lambda _request: whole("openai")})
    body = body_of("openai", stream=False)
    await asyncio.gather(*(world.ask(body, principal=principal(name)) for name in ("one", "two")))
    assert len(world.sent) == 2


async def test_it_can_be_turned_off() -> None:
    world = World({"openai": lambda _request: whole("openai")}, coalesce=False)
    await ask_all(world, 3, "openai", stream=False)
    assert len(world.sent) == 3


# -- who leaves ------------------------------------------------------------------------------


async def test_the_leader_leaves_and_the_others_get_everything() -> None:
    world = World({"openai": [streamed("openai")]})
    body = body_of("openai", stream=True)
    leader = asyncio.create_task(world.ask(body))
    await asyncio.sleep(0)
    follower = asyncio.create_task(world.ask(body))
    await steps(2)
    leader.cancel()
    told = await follower
    assert told.body.endswith(b"data: [DONE]\n\n")
    assert len(world.sent) == 1
    await asyncio.gather(leader, return_exceptions=True)
    # The receipt of a flight tells how the flight ended.
    assert sorted((call.status, call.cache_state, call.cost_nano) for call in world.outcomes.calls) == [
        ("ok", "coalesced", 0),
        ("ok", "miss", 18_000),
    ]
    world.assert_settled()


@pytest.mark.parametrize("leaving", [(0,), (1,), (0, 1), (1, 0)])
async def test_when_the_last_one_leaves_the_upstream_is_stopped(leaving: tuple[int, ...]) -> None:
    world = World({"openai": [hanging()]})
    tasks = [asyncio.create_task(world.ask(body_of("openai", stream=True))) for _ in range(2)]
    await steps(10)
    for number in leaving:
        tasks[number].cancel()
        await asyncio.gather(tasks[number], return_exceptions=True)
        assert len(world.pipeline.flights) == (0 if len(leaving) == 2 and number == leaving[-1] else 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    [exchange] = world.transports["openai"].exchanges
    assert exchange.aborted
    leader, follower = sorted(world.outcomes.calls, key=lambda call: call.cost_nano or 0, reverse=True)
    assert leader.cost_nano
    assert follower.cost_nano == 0
    assert {call.status for call in world.outcomes.calls} == {"cancelled"}
    world.assert_settled()


async def test_one_who_comes_as_the_last_one_leaves_begins_anew() -> None:
    world = World({"openai": [hanging(), streamed("openai")]})
    body = body_of("openai", stream=True)
    first = asyncio.create_task(world.ask(body))
    await steps(10)
    first.cancel()
    second = asyncio.create_task(world.ask(body))
    told = await second
    assert told.body.endswith(b"data: [DONE]\n\n")
    assert told.headers["tenfold-cache"] == "miss"
    await asyncio.gather(first, return_exceptions=True)
    world.assert_settled()


# -- what fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "bad",
    [FakeReply(status=500, body=b"{}"), FakeReply(error=UpstreamUnavailable("gone")), FakeReply(status=429)],
)
async def test_a_leader_that_fails_does_not_fail_the_others(bad: FakeReply, stream: bool) -> None:
    world = World({"openai": [bad, good("openai", stream)]})
    told = await ask_all(world, 10, "openai", stream)
    assert [one.status for one in told].count(200) == 9
    assert [one.headers["tenfold-cache"] for one in told] == ["miss", "miss"] + [HIT] * 8
    assert len(world.sent) == 2
    assert world.admission.budgets.reservations == 2
    assert world.admission.budgets.spent == 18_000
    world.assert_settled()


async def test_a_second_failure_is_told_to_everybody_in_the_upstreams_words() -> None:
    error = b'{"error":{"message":"too much","type":"rate_limit_error"}}'
    bad = FakeReply(status=429, headers=[(b"retry-after", b"7")], body=error)
    world = World({"openai": [bad, bad]})
    told = await ask_all(world, 10, "openai", stream=False)
    assert {(one.status, one.json["error"]["message"], one.headers["retry-after"]) for one in told} == {
        (429, "too much", "7")
    }
    assert len(world.sent) == 2
    assert {call.status for call in world.outcomes.calls} == {"error"}
    world.assert_settled()


async def test_the_others_reserve_for_themselves_when_the_leader_may_not() -> None:
    """The second finds as little room as the first, and each is told."""
    world = World({"openai": []})
    world.admission.limits.refuse_at_reserve = UpstreamUnavailable("no room")
    told = await ask_all(world, 4, "openai", stream=False)
    assert {one.status for one in told} == {502}
    assert world.admission.limits.reserved == 2
    world.assert_settled()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_stream_that_breaks_is_told_as_broken_to_each(client: str) -> None:
    world = World({"openai": [streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:2])))]})
    told = await ask_all(world, 3, client, stream=True)
    assert all(b'"error"' in one.pieces[-1] for one in told)
    assert {call.status for call in world.outcomes.calls} == {"cut"}
    assert len({id(call.error) for call in world.outcomes.calls}) == 3
    assert len(world.sent) == 1
    assert sum(bool(call.cost_nano) for call in world.outcomes.calls) == 1
    world.assert_settled()


async def test_a_bug_is_met_by_each_who_asked() -> None:
    def fail(_request: object) -> FakeReply:
        raise RuntimeError("a bug")

    world = World({"openai": fail})
    body = body_of("openai", stream=False)
    answers = await asyncio.gather(*(world.ask(body) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError] * 3
    assert len(world.outcomes.calls) == 3
    world.assert_settled()


# -- who is slow, and what is large ----------------------------------------------------------


def long_stream(megabytes: float) -> FakeReply:
    first, piece, *_ = FRAMES["openai"]
    text = piece.replace(b'"Hel"', b'"' + b"x" * 8000 + b'"')
    count = int(megabytes * (1 << 20) / len(text))
    body = first + text * count + b"".join(FRAMES["openai"][3:])
    edges = tuple(len(first) + number * len(text) for number in range(count + 1))
    return FakeReply(headers=EVENT_STREAM, body=body, cuts=edges)


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


async def test_a_slow_listener_slows_nobody_and_gets_everything() -> None:
    world = World({"openai": [long_stream(0.2)]})
    body = body_of("openai", stream=True)
    slow, fast = SlowClient(), Client()
    waiting = asyncio.create_task(world.ask(body, responder=slow))
    await asyncio.sleep(0)
    await world.ask(body, responder=fast)
    assert len(slow.pieces) == 1
    slow.go_on.set()
    await waiting
    assert slow.body == fast.body
    world.assert_settled()


async def test_one_slow_listener_alone_holds_the_upstream_back() -> None:
    world = World({"openai": [long_stream(1)]})
    slow = SlowClient()
    waiting = asyncio.create_task(world.ask(body_of("openai", stream=True), responder=slow))
    await steps(500)
    [call] = [slow.call]
    assert call is not None
    assert call.stream_bytes < AHEAD_BYTES + 30_000
    slow.go_on.set()
    await waiting
    world.assert_settled()


async def test_a_reply_that_is_too_large_is_joined_by_nobody_and_not_kept_whole() -> None:
    world = World({"openai": lambda _request: long_stream(1)}, max_entry_bytes=50_000)
    body = body_of("openai", stream=True)
    slow, fast, late = SlowClient(), Client(), Client()
    first = asyncio.create_task(world.ask(body, responder=slow))
    second = asyncio.create_task(world.ask(body, responder=fast))
    await wait_until(lambda: len(fast.body) > 60_000)
    third = asyncio.create_task(world.ask(body, responder=late))
    await second
    await third
    assert len(world.sent) == 2
    slow.go_on.set()
    await first
    assert slow.body == fast.body == late.body
    world.assert_settled()


async def test_who_is_too_far_behind_is_left_with_an_error() -> None:
    world = World({"openai": [long_stream(MAX_LAG_BYTES / (1 << 20) + 1)]}, max_entry_bytes=50_000)
    body = body_of("openai", stream=True)
    slow, fast = SlowClient(), Client()
    waiting = asyncio.create_task(world.ask(body, responder=slow))
    await asyncio.sleep(0)
    await world.ask(body, responder=fast)
    assert fast.body.endswith(b"data: [DONE]\n\n")
    slow.go_on.set()
    await waiting
    assert b'"error"' in slow.pieces[-1]
    assert b"too slowly" in slow.pieces[-1]
    world.assert_settled()


@settings(deadline=None, max_examples=60)
@given(
    began=st.lists(st.integers(0, 25), min_size=2, max_size=8),
    cuts=st.lists(st.integers(0, 900), max_size=6),
    stream=st.booleans(),
)
async def test_whenever_they_come_all_get_the_same(began: list[int], cuts: list[int], stream: bool) -> None:
    reply = streamed("openai", cuts=tuple(cuts)) if stream else whole("openai")
    world = World({"openai": lambda _request: reply})
    body, tasks = body_of("openai", stream), []
    for step in range(max(began) + 1):
        tasks += [asyncio.create_task(world.ask(body)) for at in began if at == step]
        await asyncio.sleep(0)
    told = await asyncio.gather(*tasks)
    assert {one.body for one in told} == {STREAM if stream else REPLIES["openai"]}
    assert len(world.sent) == 1
    assert sum(call.cost_nano or 0 for call in world.outcomes.calls) == 18_000
    world.assert_settled()
