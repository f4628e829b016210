"""What is charged when the provider does not tell: the bound, marked as an estimate; and nothing where nothing can have
been billed."""

import asyncio
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import Call
from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.inference.admit import Held
from tenfold.inference.bound import Bound
from tenfold.providers.ports import NEVER_SENT
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tests.support.pipeline import (
    EVENT_STREAM,
    FAILURES,
    FRAMES,
    INPUT_NANO,
    OUTPUT_NANO,
    Client,
    NoPrice,
    World,
    asking,
    streamed,
    whole,
)

LOST = UpstreamUnavailable("closed the connection without a reply", unanswered=True)
SLOW = UpstreamTimeout("did not begin its reply", unanswered=True)
REFUSED = UpstreamUnavailable("could not connect")
PAIRS = [(client, upstream) for client in ("openai", "anthropic") for upstream in ("openai", "anthropic", "gemini")]


def bound_of(call: Call) -> Bound:
    assert isinstance(call.admission, Held)
    assert call.admission.bound is not None
    return call.admission.bound


def only(world: World) -> Call:
    """The one call; what its budget was charged is what its receipt says."""
    world.assert_settled()
    call = world.outcomes.only
    assert world.admission.budgets.spent == (call.cost_nano or 0)
    return call


def assert_at_bound(call: Call) -> None:
    bound = bound_of(call)
    assert call.estimated
    assert call.cost_nano == bound.nano > 0
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (bound.input_tokens, bound.output_tokens)
    assert call.input_cost_nano is not None
    assert call.output_cost_nano is not None
    assert call.input_cost_nano + call.output_cost_nano == call.cost_nano


# -- at the bound ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, SLOW])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_went_unanswered(error: UpstreamError, stream: bool) -> None:
    world = World({"openai": [FakeReply(error=error)]})
    told = await world.ask(asking("openai", stream=stream))
    assert told.status == error.status
    assert_at_bound(only(world))


@pytest.mark.parametrize("stop_at", [0, 1, 100])
async def test_a_whole_reply_that_is_cut(stop_at: int) -> None:
    world = World({"openai": [whole("openai", stop_at=stop_at)]})
    told = await world.ask(asking("openai"))
    assert told.status == 502
    assert_at_bound(only(world))


async def test_a_stream_that_is_cut_before_it_told_anything() -> None:
    world = World({"openai": [streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:2])))]})
    await world.ask(asking("openai", stream=True, max_tokens=50))
    call = only(world)
    assert call.status == "cut"
    assert_at_bound(call)
    assert bound_of(call).output_tokens == 50


async def test_a_stream_that_is_cut_after_it_told_its_input() -> None:
    world = World({"anthropic": [streamed("anthropic", stop_at=sum(map(len, FRAMES["anthropic"][:3])))]})
    await world.ask(asking("anthropic", stream=True, max_tokens=50), "anthropic")
    call = only(world)
    assert call.estimated
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (12, 50)
    assert call.cost_nano == 12 * INPUT_NANO + 50 * OUTPUT_NANO < bound_of(call).nano


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_client_that_leaves_its_stream(client: str, upstream: str) -> None:
    world = World({upstream: [streamed(upstream)]})
    await world.ask(asking(client, stream=True), client, responder=Client(leaves_after=1))
    call = only(world)
    assert call.status == "cancelled"
    assert call.estimated
    assert call.cost_nano is not None
    assert 0 < call.cost_nano <= bound_of(call).nano


async def test_a_whole_reply_without_usage() -> None:
    body = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    body += b'{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}'
    world = World({"openai": [whole("openai", body=body)]})
    told = await world.ask(asking("openai"))
    assert told.status == 200
    call = only(world)
    assert_at_bound(call)
    assert told.headers["tenfold-cost-usd"] == f"{(call.cost_nano or 0) / 1e9:.9f}".rstrip("0")


async def test_a_complete_stream_without_usage() -> None:
    frames = [frame for frame in FRAMES["openai"] if b"usage" not in frame]
    world = World({"openai": [FakeReply(headers=EVENT_STREAM, body=b"".join(frames))]}, ask_usage=False)
    await world.ask(asking("openai", stream=True))
    call = only(world)
    assert call.status == "ok"
    assert_at_bound(call)


# -- what cannot be true ---------------------------------------------------------------------


def stating(**usage: Any) -> FakeReply:
    reply = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    return whole("openai", body=json.encode(reply))


@pytest.mark.parametrize(
    ("usage", "implausible"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, True),
        ({"prompt_tokens": 0, "completion_tokens": 7, "total_tokens": 7}, True),
        ({"prompt_tokens": 10**9, "completion_tokens": 1, "total_tokens": 10**9 + 1}, True),
        ({"prompt_tokens": 1, "completion_tokens": 10**9, "total_tokens": 10**9 + 1}, True),
        ({"prompt_tokens": -5, "completion_tokens": 1, "total_tokens": -4}, False),  # not even read
        ({"prompt_tokens": 5, "completion_tokens": -1, "total_tokens": 4}, False),
        ({"prompt_tokens": "many", "completion_tokens": 1, "total_tokens": 4}, False),
        ({"prompt_tokens": 10**30, "completion_tokens": 1, "total_tokens": 4}, False),
        ({}, False),
    ],
)
async def test_usage_that_cannot_be_true_is_as_if_untold(usage: dict[str, Any], implausible: bool) -> None:
    world = World({"openai": [stating(**usage)]})
    await world.ask(asking("openai"))
    call = only(world)
    assert_at_bound(call)
    assert call.implausible == implausible


async def test_usage_beyond_the_bound_is_what_was_billed() -> None:
    world = World({"openai": [stating(prompt_tokens=1_000_000, completion_tokens=9, total_tokens=1_000_009)]})
    await world.ask(asking("openai", max_tokens=10))
    call = only(world)
    assert call.over_bound
    assert not call.estimated
    assert call.cost_nano == 1_000_000 * INPUT_NANO + 9 * OUTPUT_NANO > bound_of(call).nano


async def test_usage_within_the_bound_is_not_flagged() -> None:
    world = World({"openai": [whole("openai")]})
    await world.ask(asking("openai"))
    call = only(world)
    assert not call.over_bound
    assert not call.estimated
    assert call.cost_nano == 12 * INPUT_NANO + 3 * OUTPUT_NANO


@pytest.mark.parametrize(("total", "output"), [(20, 8), (15, 3), (9, 3), (0, 3)])
async def test_parts_and_total_that_disagree_are_charged_at_the_larger(total: int, output: int) -> None:
    """Gemini's OpenAI-compatible server bills thoughts that it counts in its total only."""
    world = World({"openai": [stating(prompt_tokens=12, completion_tokens=3, total_tokens=total)]})
    await world.ask(asking("openai"))
    assert only(world).cost_nano == 12 * INPUT_NANO + output * OUTPUT_NANO


# -- nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(error=REFUSED),
        FakeReply(status=400, body=b"{}"),
        FakeReply(status=429, body=b"{}"),
        FakeReply(status=500, body=b"{}"),
        FakeReply(status=500, body=b'{"error":', stop_at=3),
        FakeReply(status=302),
        whole("openai", body=b'{"error":{"message":"No.","type":"server_error"}}'),
        whole("openai", body=b"<html>Welcome to our guest network</html>"),
    ],
    ids=lambda reply: f"{reply.status}{reply.body[:20]!r}{reply.error or ''}",
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_surely_cost_nothing(reply: FakeReply, stream: bool) -> None:
    world = World({"openai": [reply]})
    told = await world.ask(asking("openai", stream=stream))
    assert told.status >= 400
    call = only(world)
    assert (call.usage, call.cost_nano, call.estimated) == (None, None, False)


STATUS = {"openai": 500, "anthropic": 529, "gemini": 503}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_that_begins_with_its_failure_is_a_refusal(client: str, upstream: str) -> None:
    world = World({upstream: [FakeReply(headers=EVENT_STREAM, body=FAILURES[upstream])]})
    told = await world.ask(asking(client, stream=True), client)
    assert (told.status, told.json["error"]["message"]) == (STATUS[upstream], "Full")
    call = only(world)
    assert call.status == "error"
    assert call.cost_nano is None


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_that_fails_later_is_charged(client: str, upstream: str) -> None:
    body = FRAMES[upstream][0] + FAILURES[upstream]
    world = World({upstream: [FakeReply(headers=EVENT_STREAM, body=body)]})
    await world.ask(asking(client, stream=True), client)
    call = only(world)
    assert call.estimated
    assert call.cost_nano


async def test_a_client_that_leaves_before_its_request_went_out() -> None:
    def never(request: FakeRequest) -> FakeReply:
        left = asyncio.CancelledError()
        left.add_note(NEVER_SENT)
        raise left

    world = World({"openai": never})
    with pytest.raises(asyncio.CancelledError):
        await world.ask(asking("openai"))
    call = only(world)
    assert (call.status, call.cost_nano) == ("cancelled", None)


async def test_without_a_price_no_provider_is_asked() -> None:
    world = World({"openai": []}, prices=NoPrice())
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["code"]) == (402, "price_unknown")
    assert not world.sent
    assert only(world).cost_nano is None


# -- several targets -------------------------------------------------------------------------


async def test_an_unanswered_attempt_is_paid_beside_the_one_that_answered() -> None:
    world = World({"openai": [FakeReply(error=SLOW)], "spare": [whole("openai")]})
    told = await world.ask(asking("openai"))
    assert told.status == 200
    call = only(world)
    assert call.estimated
    assert call.cost_nano == bound_of(call).nano + 12 * INPUT_NANO + 3 * OUTPUT_NANO
    assert world.admission.budgets.reservations == 2
    assert world.admission.journal.drafts[call.id] == 2


async def test_every_unanswered_attempt_is_paid() -> None:
    world = World({name: [FakeReply(error=SLOW)] for name in ("openai", "spare", "third")})
    told = await world.ask(asking("openai"))
    assert told.status == 504
    call = only(world)
    assert call.cost_nano == 3 * bound_of(call).nano


async def test_an_unanswered_attempt_is_paid_when_the_next_one_is_refused() -> None:
    world = World({"openai": [FakeReply(error=LOST)], "spare": [FakeReply(status=500, body=b"{}")]})
    await world.ask(asking("openai"))
    call = only(world)
    assert_at_bound(call)


async def test_an_attempt_that_cost_nothing_needs_no_more_room() -> None:
    world = World({"openai": [FakeReply(error=REFUSED)], "spare": [whole("openai")]})
    await world.ask(asking("openai"))
    call = only(world)
    assert not call.estimated
    assert world.admission.budgets.reservations == 1


async def test_where_there_is_no_room_for_another_attempt_the_first_error_is_told() -> None:
    world = World({"openai": [FakeReply(error=SLOW)], "spare": []})
    world.admission.budgets.room_for = 1
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
    assert_at_bound(only(world))
    assert len(world.sent) == 1


# -- by what arrived -------------------------------------------------------------------------


async def test_a_cut_stream_can_be_charged_by_what_arrived() -> None:
    cut = streamed("openai", stop_at=sum(map(len, FRAMES["openai"][:3])))
    world = World({"openai": [cut]}, broken_streams="received")
    body = asking("openai", stream=True)
    await world.ask(body)
    call = only(world)
    assert call.estimated
    assert call.usage is not None
    assert call.usage.input_tokens == -(-len(body) // 3)
    assert call.usage.output_tokens == -(-call.stream_bytes // 100)


async def test_where_nothing_arrived_it_is_the_bound_all_the_same() -> None:
    world = World({"openai": [FakeReply(error=SLOW)]}, broken_streams="received")
    await world.ask(asking("openai"))
    assert_at_bound(only(world))
