"""Embeddings of several callers in one request upstream: each call keeps its receipt, its limits and its errors."""

import asyncio
from collections.abc import Callable, Iterable

from msgspec import json

from tenfold.core.chat import JsonObject
from tenfold.core.errors import UpstreamUnavailable
from tenfold.inference.policy import Policy
from tenfold.providers.micro_batching import MicroBatching, Window
from tenfold.providers.openai import OpenAIMerge
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tests.support.pipeline import INPUT_NANO, Client, World, principal

TOKENS = 1_000  # of each request, whoever is in it


def embedded(request: FakeRequest) -> FakeReply:
    texts = json.decode(request.body)["input"]
    data: list[JsonObject] = [{"index": n, "embedding": [float(len(text))]} for n, text in enumerate(texts)]
    usage = {"prompt_tokens": TOKENS, "total_tokens": TOKENS}
    return FakeReply(body=json.encode({"object": "list", "data": data, "model": "m-1", "usage": usage}))


def world(script: Iterable[FakeReply] | Callable[[FakeRequest], FakeReply], route: Policy | None = None) -> World:
    made = World({"openai": script}, route=route or Policy(), policy="never")
    for target in made.targets.values():
        windows = {"m": Window(seconds=0.002, inputs=100)}
        target.provider = MicroBatching(target.provider, OpenAIMerge(), windows)
    return made


async def ask(made: World, *texts: str) -> list[Client]:
    """At once, each of another tenant."""
    bodies = [json.encode({"model": "m", "input": text}) for text in texts]
    asking = (made.ask(body, operation="embeddings", principal=principal()) for body in bodies)
    return list(await asyncio.gather(*asking))


async def test_tokens_and_money_add_up_to_those_of_the_one_request() -> None:
    made = world(embedded)
    told = await ask(made, "a", "b" * 50, "c" * 949)
    assert [client.json["data"][0]["embedding"] for client in told] == [[1.0], [50.0], [949.0]]
    assert len(made.sent) == 1
    calls = made.outcomes.calls
    assert {call.status for call in calls} == {"ok"}
    used = [call.usage.input_tokens for call in calls if call.usage is not None]
    assert sum(used) == TOKENS
    assert used == [client.json["usage"]["prompt_tokens"] for client in told]
    assert used == sorted(used)
    assert sum(call.cost_nano or 0 for call in calls) == TOKENS * INPUT_NANO
    assert not any(call.estimated or call.implausible for call in calls)
    made.assert_settled()


async def test_an_input_that_is_refused_is_one_callers_and_costs_nobody() -> None:
    def picky(request: FakeRequest) -> FakeReply:
        return FakeReply(status=400, body=b"{}") if b"bad" in request.body else embedded(request)

    made = world(picky)
    told = await ask(made, "a", "bad", "c")
    assert [client.status for client in told] == [200, 400, 200]
    assert len(made.sent) == 4
    assert [call.cost_nano for call in made.outcomes.calls if call.status == "error"] == [None]
    made.assert_settled()


async def test_a_retry_is_each_callers_own() -> None:
    replies = iter([FakeReply(status=500, body=b"{}")])
    made = world(lambda request: next(replies, None) or embedded(request), Policy(retries=1))
    told = await ask(made, "a", "b", "c")
    assert [client.status for client in told] == [200, 200, 200]
    assert len(made.sent) == 4
    made.assert_settled()


async def test_what_may_be_billed_is_charged_to_each_at_its_own_bound() -> None:
    made = world([FakeReply(error=UpstreamUnavailable("lost", unanswered=True))])
    told = await ask(made, "a", "bb")
    assert [client.status for client in told] == [502, 502]
    costs = [call.cost_nano for call in made.outcomes.calls]
    assert costs[0] is not None
    assert costs[1] is not None
    assert 0 < costs[0] < costs[1]
    assert all(call.estimated for call in made.outcomes.calls)
    made.assert_settled()
