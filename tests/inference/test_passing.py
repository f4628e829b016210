"""Where client and upstream speak the same dialect, bytes go through untouched, and the call is metered alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.usage import Usage
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import (
    FRAMES,
    INPUT_NANO,
    OUTPUT_NANO,
    PROVIDER_KEY,
    REPLIES,
    UNTIL_TOKEN,
    USAGE_FRAME,
    NoPrice,
    World,
    asking,
    streamed,
    whole,
)

SAME = ("openai", "anthropic")
USAGE = Usage(input_tokens=12, output_tokens=3)
EMBEDDINGS = (
    b'{"object":"list", "data":[{"object":"embedding","index":0,"embedding":[0.1,2]}],"model":"e",'
    b'"usage":{"prompt_tokens":4,"total_tokens":4}}'
)


@pytest.mark.parametrize("dialect", SAME)
async def test_a_reply_passes_as_the_bytes_it_is(dialect: str) -> None:
    world = World({dialect: [whole(dialect)]})
    asked = asking(dialect, temperature=0.5)
    client = await world.ask(asked, dialect)
    assert (client.status, client.body) == (200, REPLIES[dialect])
    assert world.sent[0].body == asked
    world.assert_settled()


@pytest.mark.parametrize("dialect", SAME)
async def test_the_reply_says_what_it_cost_and_where_it_came_from(dialect: str) -> None:
    world = World({dialect: [whole(dialect)]}, upstream_model="m-2026")
    client = await world.ask(asking(dialect), dialect)
    call = world.outcomes.only
    assert client.headers == {
        "content-type": "application/json",
        "x-request-id": call.request_id,
        "tenfold-cache": "bypass",
        "tenfold-provider": dialect,
        "tenfold-model": "m-2026",
        "tenfold-cost-usd": "0.000018",
        **({"request-id": call.request_id} if dialect == "anthropic" else {}),
    }
    assert call.usage == USAGE
    assert (call.input_cost_nano, call.output_cost_nano) == (12 * INPUT_NANO, 3 * OUTPUT_NANO)
    assert call.cost_nano == 12 * INPUT_NANO + 3 * OUTPUT_NANO
    assert (call.status, call.http_status, call.error, call.estimated) == ("ok", 200, None, False)


async def test_without_a_known_price_nobody_is_asked() -> None:
    world = World({"openai": []}, prices=NoPrice())
    client = await world.ask(asking("openai"))
    assert (client.status, client.json["error"]["code"]) == (402, "price_unknown")
    assert "tenfold-cost-usd" not in client.headers
    assert world.outcomes.only.cost_nano is None
    world.assert_settled()


@pytest.mark.parametrize("dialect", SAME)
async def test_only_the_models_name_is_changed_for_an_upstream_that_has_another(dialect: str) -> None:
    world = World({dialect: [whole(dialect)]}, upstream_model="gpt-x")
    await world.ask(asking(dialect, unknown_to_us={"b": 1.50, "a": []}), dialect)
    assert world.sent[0].body == asking(dialect, unknown_to_us={"b": 1.50, "a": []}).replace(b'"m"', b'"gpt-x"')


@pytest.mark.parametrize("dialect", SAME)
async def test_a_stream_passes_as_the_bytes_it_is(dialect: str) -> None:
    world = World({dialect: [streamed(dialect)]})
    asked = asking(dialect, stream=True, **({"stream_options": {"include_usage": True}} if dialect == "openai" else {}))
    client = await world.ask(asked, dialect)
    assert client.is_stream
    assert client.headers["content-type"].startswith("text/event-stream")
    frames, head = FRAMES[dialect], UNTIL_TOKEN[dialect]
    assert client.pieces == [b"".join(frames[:head]), *frames[head:]]
    assert world.sent[0].body == asked
    call = world.outcomes.only
    assert (call.status, call.usage, call.estimated) == ("ok", USAGE, False)
    assert call.cost_nano == 12 * INPUT_NANO + 3 * OUTPUT_NANO
    assert call.stream_bytes == len(client.body)
    world.assert_settled()


@settings(deadline=None)
@given(places=st.lists(st.integers(0, 2000), max_size=12), dialect=st.sampled_from(SAME))
async def test_a_stream_passes_however_it_is_cut(places: list[int], dialect: str) -> None:
    """Each piece the client gets is made of whole frames, so that a broken stream can still be ended in order."""
    world = World({dialect: [streamed(dialect, cuts=tuple(places))]}, ask_usage=False)
    client = await world.ask(asking(dialect, stream=True), dialect)
    assert client.body == b"".join(FRAMES[dialect])
    assert all(piece.endswith(b"\n\n") for piece in client.pieces)
    assert world.outcomes.only.usage == USAGE


@settings(deadline=None)
@given(places=st.lists(st.integers(0, 2000), max_size=12))
async def test_the_usage_frame_is_asked_for_and_kept_from_a_client_that_did_not_ask(places: list[int]) -> None:
    world = World({"openai": [streamed("openai", cuts=tuple(places))]})
    client = await world.ask(asking("openai", stream=True))
    assert json.decode(world.sent[0].body)["stream_options"] == {"include_usage": True}
    assert client.body == b"".join(FRAMES["openai"]).replace(USAGE_FRAME, b"")
    assert world.outcomes.only.usage == USAGE


async def test_an_upstream_that_cannot_tell_usage_in_streams_is_not_asked() -> None:
    """The setting `stream_usage = false`; what the call used is estimated."""
    body = b"".join(FRAMES["openai"]).replace(USAGE_FRAME, b"")
    world = World({"openai": [FakeReply(body=body)]}, ask_usage=False)
    client = await world.ask(asking("openai", stream=True))
    assert client.body == body
    assert "stream_options" not in json.decode(world.sent[0].body)
    call = world.outcomes.only
    assert (call.status, call.estimated) == ("ok", True)
    assert call.usage is not None
    assert call.usage.output_tokens > 0


async def test_embeddings_pass_and_are_metered() -> None:
    world = World({"openai": [FakeReply(body=EMBEDDINGS)]})
    client = await world.ask(json.encode({"model": "m", "input": ["a"]}), operation="embeddings")
    assert client.body == EMBEDDINGS
    call = world.outcomes.only
    assert call.usage == Usage(input_tokens=4)
    assert call.cost_nano == 4 * INPUT_NANO


async def test_the_providers_key_goes_up_and_the_clients_headers_of_the_dialect_with_it() -> None:
    world = World({"anthropic": [whole("anthropic")]})
    options = CallOptions(upstream_headers=((b"anthropic-beta", b"b1"), (b"anthropic-version", b"2099-01-01")))
    await world.ask(asking("anthropic"), "anthropic", options=options)
    headers = dict(world.sent[0].headers)
    assert headers[b"x-api-key"] == PROVIDER_KEY.encode()
    assert headers[b"anthropic-beta"] == b"b1"
    assert headers[b"anthropic-version"] == b"2099-01-01"


async def test_another_dialects_headers_are_not_carried() -> None:
    world = World({"openai": [whole("openai")]})
    options = CallOptions(upstream_headers=((b"anthropic-beta", b"b1"),))
    await world.ask(asking("anthropic"), "anthropic", options=options)
    assert b"anthropic-beta" not in dict(world.sent[0].headers)


async def test_what_the_upstream_says_of_its_limits_is_told() -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", b"up-1"),
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"openai-processing-ms", b"12"),
        (b"set-cookie", b"a=b"),
    ]
    world = World({"openai": [whole("openai", headers=headers)]})
    client = await world.ask(asking("openai"))
    assert client.headers["x-ratelimit-remaining-tokens"] == "7"
    assert client.headers["openai-processing-ms"] == "12"
    assert client.headers["tenfold-upstream-request-id"] == "up-1"
    assert client.headers["x-request-id"] == world.outcomes.only.request_id
    assert "set-cookie" not in client.headers
