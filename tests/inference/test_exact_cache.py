"""The exact cache on the path: which calls it may answer, what is the same question, and what a hit looks like."""

import pytest
from msgspec import json

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions
from tenfold.inference.lookup import Policy
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, REPLIES, USAGE_FRAME, Client, World, asking, principal, streamed, whole

EXACT = CallOptions(cache=frozenset({"exact"}))
NO_CACHE = CallOptions(cache=frozenset({"no-cache"}))
NO_STORE = CallOptions(cache=frozenset({"no-store"}))

ZERO = asking("openai", temperature=0)
ANYHOW = asking("openai")


def world_of(count: int = 2, policy: Policy = "deterministic") -> World:
    """Its upstream says another thing each time."""
    replies = [
        whole("openai", body=REPLIES["openai"].replace(b"Hello", b"Hello %d" % number))
        for number in range(1, count + 1)
    ]
    return World({"openai": replies}, policy=policy)


def state(client: Client) -> str:
    return client.headers["tenfold-cache"].split(";")[0]


async def states(world: World, *asked: tuple[bytes, CallOptions]) -> list[str]:
    return [state(await world.ask(body, options=options)) for body, options in asked]


async def test_the_same_bytes_are_answered_from_memory() -> None:
    world = world_of()
    first, second = await world.ask(ZERO), await world.ask(ZERO)
    assert second.body == first.body
    assert second.headers["tenfold-cache"] == "hit; layer=memory; age=0"
    assert second.headers["tenfold-cost-usd"] == "0"
    assert second.headers["tenfold-provider"] == "openai"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(world.sent) == 1
    miss, hit = world.outcomes.calls
    assert (miss.cache_state, miss.cost_nano) == ("miss", 18_000)
    assert (hit.cache_state, hit.cost_nano, hit.status, hit.http_status) == ("hit", 0, "ok", 200)
    assert (hit.usage, hit.model, hit.upstream_model) == (miss.usage, "m", "m")


async def test_the_same_meaning_is_answered_from_memory_and_then_its_bytes_too() -> None:
    world = world_of()
    await world.ask(ZERO)
    said_otherwise = b" " + json.format(json.encode(dict(reversed(json.decode(ZERO).items()))), indent=3)
    assert state(await world.ask(said_otherwise)) == "hit"
    entries = len(world.cache)
    assert state(await world.ask(said_otherwise)) == "hit"
    assert len(world.cache) == entries
    assert len(world.sent) == 1


@pytest.mark.parametrize("aside", [{"user": "u1"}, {"metadata": {"a": "b"}}, {"safety_identifier": "s"}])
async def test_who_asks_within_a_tenant_does_not_change_the_question(aside: dict[str, object]) -> None:
    world = world_of()
    await world.ask(ZERO)
    assert state(await world.ask(asking("openai", temperature=0, **aside))) == "hit"


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0, "seed": 1},
        {"temperature": 0, "max_tokens": 5},
        {"temperature": 0, "messages": [{"role": "user", "content": "Hi!"}]},
        {"temperature": 0, "something_new": True},
    ],
)
async def test_another_question_is_asked(other: dict[str, object]) -> None:
    world = world_of()
    await world.ask(ZERO)
    assert state(await world.ask(asking("openai", **other))) == "miss"
    assert len(world.sent) == 2


async def test_an_answer_never_crosses_tenants() -> None:
    world = world_of()
    mine = await world.ask(ZERO)
    theirs = await world.ask(ZERO, principal=principal("other"))
    assert state(theirs) == "miss"
    assert theirs.body != mine.body


async def test_an_answer_never_crosses_dialects() -> None:
    """A body may be good in both; the replies are not alike."""
    body = asking("anthropic", temperature=0)
    world = World({"openai": [whole("openai"), whole("openai")]})
    assert [state(await world.ask(body, client)) for client in ("openai", "anthropic")] == ["miss", "miss"]


async def test_a_beta_of_the_vendor_makes_another_question() -> None:
    world = World({"anthropic": [whole("anthropic"), whole("anthropic")]})
    body = asking("anthropic", temperature=0)
    beta = CallOptions(upstream_headers=((b"anthropic-beta", b"b1"),))
    assert state(await world.ask(body, "anthropic")) == "miss"
    assert state(await world.ask(body, "anthropic", options=beta)) == "miss"
    assert state(await world.ask(body, "anthropic", options=beta)) == "hit"


async def test_embeddings_are_cached_by_default() -> None:
    answer = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"e"}'
    world = World({"openai": [FakeReply(body=answer)]})
    body = json.encode({"model": "m", "input": "a"})
    told = [await world.ask(body, operation="embeddings") for _ in range(2)]
    assert [state(client) for client in told] == ["miss", "hit"]


async def test_what_may_come_out_otherwise_is_not_answered_from_memory_by_default() -> None:
    asked = [(ANYHOW, DEFAULT_OPTIONS), (ANYHOW, DEFAULT_OPTIONS)]
    assert await states(world_of(), *asked) == ["bypass", "bypass"]
    assert await states(world_of(policy="always"), *asked) == ["miss", "hit"]


async def test_never_means_only_on_request() -> None:
    world = world_of(3, policy="never")
    asked = [(ZERO, DEFAULT_OPTIONS), (ZERO, EXACT), (ZERO, EXACT), (ZERO, DEFAULT_OPTIONS)]
    assert await states(world, *asked) == ["bypass", "miss", "hit", "bypass"]


async def test_an_answer_kept_on_request_serves_only_those_who_request_it() -> None:
    world = world_of(3)
    asked = [(ANYHOW, EXACT), (ANYHOW, DEFAULT_OPTIONS), (ANYHOW, EXACT)]
    assert await states(world, *asked) == ["miss", "bypass", "hit"]


async def test_no_cache_asks_anew_and_keeps_the_new_answer() -> None:
    world = world_of()
    await world.ask(ZERO)
    anew = await world.ask(ZERO, options=NO_CACHE)
    assert state(anew) == "miss"
    after = await world.ask(ZERO)
    assert (state(after), after.body) == ("hit", anew.body)


async def test_no_store_keeps_nothing() -> None:
    asked = [(ZERO, NO_STORE), (ZERO, NO_STORE), (ZERO, DEFAULT_OPTIONS), (ZERO, NO_STORE)]
    assert await states(world_of(3), *asked) == ["miss", "miss", "miss", "hit"]


@pytest.mark.parametrize(("client", "upstream"), [("openai", "openai"), ("anthropic", "openai")])
async def test_a_stream_is_replayed_as_it_was_sent(client: str, upstream: str) -> None:
    world = World({upstream: [streamed(upstream)]})
    body = asking(client, temperature=0, stream=True)
    first, second = await world.ask(body, client), await world.ask(body, client)
    assert second.is_stream
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert state(second) == "hit"
    assert world.outcomes.calls[1].cost_nano == 0
    assert world.outcomes.calls[1].stream


async def test_a_replay_holds_no_usage_frame_that_was_not_asked_for() -> None:
    world = World({"openai": [streamed("openai"), streamed("openai")]})
    silent = asking("openai", temperature=0, stream=True)
    telling = asking("openai", temperature=0, stream=True, stream_options={"include_usage": True})
    await world.ask(silent)
    assert USAGE_FRAME not in (await world.ask(silent)).body
    assert USAGE_FRAME in (await world.ask(telling)).body


async def test_whole_and_streamed_answers_are_not_mixed_up() -> None:
    world = World({"openai": [whole("openai"), streamed("openai")]})
    await world.ask(ZERO)
    told = await world.ask(asking("openai", temperature=0, stream=True))
    assert (state(told), told.is_stream) == ("miss", True)


@pytest.mark.parametrize(
    "bad",
    [
        FakeReply(status=500, body=b"{}"),
        whole("openai", body=b"<html>"),
        whole("openai", stop_at=50),
        streamed("openai", stop_at=len(FRAMES["openai"][0])),
        FakeReply(body=FRAMES["openai"][0] + b'data: {"error":{"message":"x"}}\n\n'),
    ],
)
async def test_only_whole_good_answers_are_kept(bad: FakeReply) -> None:
    is_stream = bad.body.startswith(b"data:")
    body = asking("openai", temperature=0, stream=is_stream)
    world = World({"openai": [bad, streamed("openai") if is_stream else whole("openai")]})
    first, second = await world.ask(body), await world.ask(body)
    assert (state(first), state(second)) == ("miss", "miss")
    assert world.outcomes.calls[1].status == "ok"


async def test_a_client_that_left_does_not_leave_half_an_answer() -> None:
    body = asking("openai", temperature=0, stream=True)
    world = World({"openai": [streamed("openai"), streamed("openai")]})
    await world.ask(body, responder=Client(leaves_after=2))
    assert state(await world.ask(body)) == "miss"
