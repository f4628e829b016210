"""Deadlines: of the client or of the route, from a call's arrival to the last byte of its reply."""

import asyncio
from time import perf_counter
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import DeadlineExceeded
from tenfold.core.sse import SseDecoder
from tenfold.health import TargetHealth
from tenfold.inference import call as stage
from tenfold.inference.admit import Held
from tenfold.inference.call import Attempt
from tenfold.inference.policy import Feature, Policy
from tenfold.inference.route import Choice
from tenfold.providers.facts import DEADLINE
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tests.support.pipeline import FRAMES, UNTIL_TOKEN, Client, World, asking, streamed, whole

SOON = CallOptions(deadline_ms=20)
ENOUGH = CallOptions(deadline_ms=60_000)
PAIRS = [(client, upstream) for client in ("openai", "anthropic") for upstream in ("openai", "anthropic", "gemini")]


def silent_after(upstream: str, frames: int) -> FakeReply:
    return streamed(upstream, stop_at=sum(map(len, FRAMES[upstream][:frames])), then="hang")


def assert_at_bound(call: Call) -> None:
    assert isinstance(call.admission, Held)
    assert call.admission.bound is not None
    assert call.estimated
    assert call.cost_nano == call.admission.bound.nano > 0


def assert_late(told: Client, client: str) -> None:
    assert (told.status, told.is_stream) == (504, False)
    error = told.json["error"]
    assert error["type" if client == "anthropic" else "code"] == (
        "timeout_error" if client == "anthropic" else "deadline_exceeded"
    )


def left_ms(request: FakeRequest) -> int | None:
    said = dict(request.headers).get(DEADLINE)
    return None if said is None else int(said)


# -- when it passes --------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_before_anybody_is_asked(client: str, stream: bool) -> None:
    world = World({"openai": []})
    told = await world.ask(asking(client, stream=stream), client, options=CallOptions(deadline_ms=0))
    assert_late(told, client)
    call = world.outcomes.only
    assert (call.status, call.attempts, call.cost_nano) == ("error", 0, None)
    assert isinstance(call.error, DeadlineExceeded)
    assert world.admission.budgets.reservations == 0
    world.assert_settled()


@pytest.mark.parametrize(
    "reply", [FakeReply(silent=True), whole("openai", stop_at=20, then="hang")], ids=["head", "body"]
)
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_while_a_whole_reply_is_waited_for(client: str, reply: FakeReply) -> None:
    """The provider may still be at work, so it is charged as what it may cost."""
    world = World({"openai": [reply], "spare": []})
    told = await world.ask(asking(client), client, options=SOON)
    assert_late(told, client)
    call = world.outcomes.only
    assert (call.status, call.provider, call.attempts) == ("error", "openai", 1)
    assert_at_bound(call)
    assert world.targets["openai"].health.view(0).failures == 0, "the client was in a hurry"
    world.assert_settled()


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_before_a_streams_first_token_it_is_a_status(client: str, upstream: str) -> None:
    world = World({upstream: [silent_after(upstream, UNTIL_TOKEN[upstream] - 1)]})
    told = await world.ask(asking(client, stream=True), client, options=SOON)
    assert_late(told, client)
    call = world.outcomes.only
    assert (call.status, call.http_status) == ("error", 504)
    assert call.cost_nano
    world.assert_settled()


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_within_a_stream_it_is_its_typed_end(client: str, upstream: str) -> None:
    world = World({upstream: [silent_after(upstream, UNTIL_TOKEN[upstream])]})
    told = await world.ask(asking(client, stream=True), client, options=SOON)
    assert (told.status, told.is_stream) == (200, True)
    event = SseDecoder().feed(told.body)[-1]
    error: dict[str, Any] = json.decode(event.data)["error"]
    assert "deadline" in error["message"]
    if client == "anthropic":
        assert (event.event, error["type"]) == ("error", "timeout_error")
    else:
        assert error["code"] == "deadline_exceeded"
    call = world.outcomes.only
    assert (call.status, call.http_status) == ("cut", 200)
    assert isinstance(call.error, DeadlineExceeded)
    assert call.estimated
    assert call.cost_nano
    world.assert_settled()


async def test_a_route_that_restarts_does_not_restart_what_is_late() -> None:
    world = World({"openai": [silent_after("openai", 2)], "spare": []}, route=Policy(on_break="restart"))
    told = await world.ask(asking("openai", stream=True), options=SOON)
    assert b"deadline_exceeded" in told.body
    world.assert_settled()


async def test_no_failure_is_made_up_for_when_there_is_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error says more than that time was up."""
    world = World({"openai": [FakeReply(status=500, body=b"{}")], "spare": []})
    now = perf_counter

    def later() -> float:
        return now() + (100 if world.transports["openai"].exchanges else 0)

    monkeypatch.setattr(stage, "perf_counter", later)
    told = await world.ask(asking("openai"), options=ENOUGH)
    assert told.status == 500
    assert world.outcomes.only.attempts == 1
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_in_time_is_let_alone(stream: bool) -> None:
    world = World({"openai": [streamed("openai") if stream else whole("openai")]})
    told = await world.ask(asking("openai", stream=stream), options=ENOUGH)
    assert (told.status, world.outcomes.only.cost_nano) == (200, 18_000)
    world.assert_settled()


async def test_an_answer_from_memory_is_in_time() -> None:
    world = World({"openai": [whole("openai")]}, policy="always")
    for options in (ENOUGH, CallOptions(deadline_ms=0)):
        assert (await world.ask(asking("openai"), options=options)).status == 200


# -- whose -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own_ms", "route_s", "holds_s"),
    [(None, None, None), (5_000, None, 5.0), (None, 7.0, 7.0), (5_000, 7.0, 5.0), (9_000, 7.0, 7.0)],
)
async def test_the_sooner_of_the_clients_and_the_routes_holds(
    own_ms: int | None, route_s: float | None, holds_s: float | None
) -> None:
    world = World({"openai": [whole("openai")]}, route=Policy(deadline_s=route_s))
    await world.ask(asking("openai"), options=CallOptions(deadline_ms=own_ms))
    call = world.outcomes.only
    assert (None if call.deadline is None else call.deadline - call.started) == (
        None if holds_s is None else pytest.approx(holds_s)
    )
    told = left_ms(world.sent[0])
    assert (told is None) == (holds_s is None)
    assert told is None or holds_s is None or 0 < told <= holds_s * 1000


async def test_the_routes_own_deadline_ends_a_call() -> None:
    world = World({"openai": [FakeReply(silent=True)]}, route=Policy(deadline_s=0.02))
    assert_late(await world.ask(asking("openai")), "openai")
    world.assert_settled()


async def test_each_attempt_is_told_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World({"openai": [FakeReply(status=500, body=b"{}")], "spare": [whole("openai")]})
    now = perf_counter

    def later() -> float:
        return now() + (7 if world.transports["openai"].exchanges else 0)

    monkeypatch.setattr(stage, "perf_counter", later)
    await world.ask(asking("openai"), options=CallOptions(deadline_ms=10_000))
    first, second = map(left_ms, world.sent)
    assert first is not None
    assert second is not None
    assert 3_000 < first <= 10_000
    assert 0 < second <= 3_000
    world.assert_settled()


# -- with the rest of the path ----------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_declared_answer_takes_the_place_of_a_late_one(stream: bool) -> None:
    world = World(
        {"openai": [FakeReply(silent=True)]}, features={"*": Feature(name="*", steps=("template",), template="Later.")}
    )
    told = await world.ask(asking("openai", stream=stream), options=SOON)
    assert told.status == 200
    assert b"Later." in told.body
    call = world.outcomes.only
    assert (call.status, call.degraded) == ("ok", ("template",))
    assert_at_bound(call)
    world.assert_settled()


async def test_a_late_call_with_a_key_is_not_asked_again_under_it() -> None:
    world = World({"openai": [FakeReply(silent=True)]})
    options = CallOptions(deadline_ms=20, idempotency_key="k")
    first, again = [await world.ask(asking("openai"), options=options) for _ in range(2)]
    assert (first.status, again.status) == (504, 504)
    assert again.headers["idempotency-replayed"] == "true"
    world.assert_settled()


@pytest.mark.parametrize("frames", [0, 2])
async def test_who_shares_a_call_has_a_deadline_of_its_own(frames: int) -> None:
    """And leaves the one whose call it is, and who has more time, alone."""
    world = World({"openai": [silent_after("openai", frames)]}, policy="always")
    body = asking("openai", stream=True)
    leader = asyncio.create_task(world.ask(body))
    while not world.sent:
        await asyncio.sleep(0)
    told = await world.ask(body, options=SOON)
    if frames:
        assert told.status == 200
        assert b"deadline_exceeded" in told.body
    else:
        assert_late(told, "openai")
    assert not leader.done()
    assert len(world.sent) == 1
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    late = next(call for call in world.outcomes.calls if call.deadline is not None)
    assert late.status == ("cut" if frames else "error")
    assert isinstance(late.error, DeadlineExceeded)
    assert not late.cost_nano
    world.assert_settled()


async def test_who_shares_a_call_that_is_late_gets_what_is_declared() -> None:
    feature = Feature(name="*", steps=("template",), template="Later.")
    world = World({"openai": [FakeReply(silent=True)]}, policy="always", features={"*": feature})
    leader = asyncio.create_task(world.ask(asking("openai")))
    while not world.sent:
        await asyncio.sleep(0)
    told = await world.ask(asking("openai"), options=SOON)
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "template")
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    world.assert_settled()


async def test_a_call_that_shares_does_not_share_the_deadline_of_another() -> None:
    """The one in a hurry began it; who has time asks anew."""
    replies = iter([FakeReply(silent=True), whole("openai")])
    world = World({"openai": lambda _request: next(replies)}, policy="always")
    hurried, patient = await asyncio.gather(world.ask(asking("openai"), options=SOON), world.ask(asking("openai")))
    assert (hurried.status, patient.status) == (504, 200)
    world.assert_settled()


@pytest.mark.parametrize(("began_ago_s", "latency_s", "told"), [(0.1, 0.0, False), (1.5, 0.0, True), (1.5, 0.5, False)])
async def test_a_deadline_tells_of_a_target_that_had_time_enough(
    began_ago_s: float, latency_s: float, told: bool
) -> None:
    """Clients with short deadlines must not open a circuit for all; one that hangs is found out all the same."""
    target = next(iter(World({"openai": []}).targets.values()))
    assert isinstance(target.health, TargetHealth)
    target.health.latency_s = latency_s
    assert target.shaper.try_enter()
    attempt = Attempt(Choice(target, "first"), 0)
    attempt.started -= began_ago_s
    attempt.let_go(deadline=attempt.started)
    assert target.health.view(perf_counter()).failures == told
    assert target.health.in_flight == target.shaper.in_flight == 0
