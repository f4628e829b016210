"""What stands in for a model or provider that fails, is down, rests or is full, and how that is told."""

from time import perf_counter

import pytest

from tenfold.core.call import CallOptions
from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.inference import call as stage
from tenfold.inference.policy import Policy
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tests.support.pipeline import World, asking, streamed, whole

JSON = [(b"content-type", b"application/json")]
FAILED = FakeReply(status=500, headers=JSON, body=b"{}")
RESTS = FakeReply(status=429, headers=[*JSON, (b"retry-after", b"9")], body=b"{}")

TWO_MODELS = {"openai": "big", "azure": "big", "anthropic": "small"}
BIG_FIRST = Policy(models=("big", "small"), retries=1, max_backoff_s=0)


def answer(upstream: str, stream: bool) -> FakeReply:
    return streamed(upstream) if stream else whole(upstream)


def open_circuit(world: World, name: str, left_s: float = 30) -> None:
    health = world.targets[name].health
    health.adopt_open(perf_counter(), min(left_s, 4))


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_model_is_asked_after_the_retries_of_the_first(stream: bool) -> None:
    asked: list[str] = []

    def fails(request: FakeRequest) -> FakeReply:
        asked.append(dict(request.headers)[b"authorization"].decode()[:6])
        return FAILED

    world = World(
        {"openai": fails, "azure": fails, "anthropic": [answer("anthropic", stream)]},
        models=TWO_MODELS,
        route=BIG_FIRST,
    )
    told = await world.ask(asking("openai", stream=stream))
    assert told.status == 200
    assert told.headers["tenfold-degraded"] == "fallback"
    assert told.headers["tenfold-provider"] == "anthropic"
    assert [len(transport.requests) for transport in world.transports.values()] == [2, 2, 1]
    assert len(asked) == 4
    call = world.outcomes.only
    assert (call.status, call.degraded, call.attempts, call.provider) == ("ok", ("fallback",), 5, "anthropic")
    world.assert_settled()


@pytest.mark.parametrize("failure", [RESTS, FakeReply(status=401, headers=JSON, body=b"{}")], ids=["429", "401"])
async def test_where_a_retry_cannot_help_soon_the_next_model_is_asked_at_once(failure: FakeReply) -> None:
    world = World(
        {"openai": [failure], "anthropic": [whole("anthropic")]},
        models=TWO_MODELS,
        route=Policy(models=("big", "small"), retries=3),
    )
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "fallback")
    assert world.outcomes.only.attempts == 2
    world.assert_settled()


async def test_a_client_that_retries_by_itself_gets_the_fallback_at_once() -> None:
    world = World({"openai": [FAILED], "anthropic": [whole("anthropic")]}, models=TWO_MODELS, route=BIG_FIRST)
    told = await world.ask(asking("openai"), options=CallOptions(client_retry=True))
    assert (told.status, world.outcomes.only.attempts) == (200, 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_told_of_a_fallback_that_was_not_needed(stream: bool) -> None:
    world = World({"openai": [answer("openai", stream)], "anthropic": []}, models=TWO_MODELS, route=BIG_FIRST)
    told = await world.ask(asking("openai", stream=stream))
    assert "tenfold-degraded" not in told.headers
    call = world.outcomes.only
    assert (call.degraded, call.attempts) == ((), 1)


async def test_when_all_fail_the_last_ones_error_is_told() -> None:
    world = World(
        {"openai": [FAILED] * 2, "anthropic": [FakeReply(error=UpstreamUnavailable("Nobody there"))]},
        models=TWO_MODELS,
        route=BIG_FIRST,
    )
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["message"]) == (502, "Nobody there")
    call = world.outcomes.only
    assert (call.status, call.provider, call.attempts, call.degraded) == ("error", "anthropic", 3, ())
    world.assert_settled()


async def test_the_stand_in_is_paid_and_the_one_it_stands_in_for_too() -> None:
    slow = FakeReply(error=UpstreamTimeout("Too slow", unanswered=True))
    world = World(
        {"openai": [slow], "anthropic": [whole("anthropic")]}, models=TWO_MODELS, route=Policy(models=("big", "small"))
    )
    await world.ask(asking("openai"))
    call = world.outcomes.only
    assert call.cost_nano == call.lost_nano + 18_000
    assert call.lost_nano > 0
    world.assert_settled()


# -- what is known of a target ---------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_whose_circuit_is_open_is_not_asked(stream: bool) -> None:
    world = World({"openai": [], "anthropic": [answer("anthropic", stream)]}, models=TWO_MODELS, route=BIG_FIRST)
    open_circuit(world, "openai")
    told = await world.ask(asking("openai", stream=stream), options=CallOptions(explain=frozenset({"route"})))
    assert (told.status, told.headers["tenfold-degraded"]) == (200, "fallback")
    assert "circuit open" in told.headers["tenfold-route"]
    assert world.outcomes.only.attempts == 1
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_when_all_circuits_are_open_nobody_is_asked(stream: bool) -> None:
    world = World({"openai": [], "anthropic": []})
    open_circuit(world, "openai")
    open_circuit(world, "anthropic")
    told = await world.ask(asking("openai", stream=stream))
    assert (told.status, told.json["error"]["code"]) == (503, "upstream_unavailable")
    assert 1 <= int(told.headers["retry-after"]) <= 4
    call = world.outcomes.only
    assert (call.status, call.attempts, call.cost_nano) == ("error", 0, None)
    assert world.admission.budgets.reservations == 0
    world.assert_settled()


async def test_a_target_is_not_asked_any_more_when_its_circuit_opens() -> None:
    """The fifth failure of five within the window opens it; the sixth call costs no time."""
    world = World({"openai": [FAILED] * 5, "spare": [whole("openai")] * 6})
    for _ in range(6):
        assert (await world.ask(asking("openai"))).status == 200
    assert len(world.transports["openai"].requests) == 5
    assert world.targets["openai"].health.state == "open"
    assert [call.attempts for call in world.outcomes.calls] == [2] * 5 + [1]
    world.assert_settled()


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_the_client_did_wrong_opens_no_circuit(status: int) -> None:
    world = World({"openai": [FakeReply(status=status, headers=JSON, body=b"{}")] * 10})
    for _ in range(10):
        assert (await world.ask(asking("openai"))).status == status
    assert world.targets["openai"].health.state == "closed"


async def test_a_target_that_asked_to_wait_is_asked_last() -> None:
    world = World({"openai": [RESTS], "spare": [whole("openai")] * 2})
    for _ in range(2):
        assert (await world.ask(asking("openai"))).headers["tenfold-provider"] == "spare"
    assert [call.attempts for call in world.outcomes.calls] == [2, 1]
    assert [call.degraded for call in world.outcomes.calls] == [("fallback",)] * 2, "another provider stood in"
    world.assert_settled()


async def test_a_target_that_asked_to_wait_is_asked_when_it_is_all_there_is() -> None:
    """Its limit may have been another call's: a refusal costs nothing, and says how long to wait."""
    world = World({"openai": [RESTS, whole("openai")]})
    assert (await world.ask(asking("openai"))).headers["retry-after"] == "9"
    assert (await world.ask(asking("openai"))).status == 200
    assert world.targets["openai"].health.state == "closed"
    world.assert_settled()


async def test_a_target_that_has_all_the_calls_it_takes_is_passed_over() -> None:
    world = World({"openai": [], "spare": [whole("openai")]})
    shaper = world.targets["openai"].shaper
    shaper.limit = 1
    assert shaper.try_enter()
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["tenfold-provider"]) == (200, "spare")
    assert told.headers["tenfold-degraded"] == "fallback"
    shaper.leave(limited=False, rtt_s=None)
    world.assert_settled()


async def test_when_all_have_all_the_calls_they_take_the_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_MAX_WAIT_S", 0)
    world = World({"openai": [], "spare": []})
    for target in world.targets.values():
        target.shaper.limit = 1
        assert target.shaper.try_enter()
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["code"]) == (503, "overloaded")
    assert told.headers["retry-after"] == "1"
    for target in world.targets.values():
        target.shaper.leave(limited=False, rtt_s=None)
    world.assert_settled()


async def test_a_429_makes_the_keys_share_smaller_and_a_success_does_not() -> None:
    world = World({"openai": [whole("openai"), RESTS]})
    shaper = world.targets["openai"].shaper
    most = shaper.limit
    assert all(shaper.try_enter() for _ in range(3)), "others are under way"
    await world.ask(asking("openai"))
    assert shaper.limit == most
    await world.ask(asking("openai"))
    assert 1 <= shaper.limit <= 3
    for _ in range(3):
        shaper.leave(limited=False, rtt_s=None)
    world.assert_settled()
