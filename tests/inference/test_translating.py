"""Where client and upstream speak different dialects: the same reply in the client's words, metered alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.sse import SseDecoder
from tenfold.core.usage import Usage
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import INPUT_NANO, OUTPUT_NANO, World, asking, streamed, whole

PAIRS = (("openai", "anthropic"), ("openai", "gemini"), ("anthropic", "openai"), ("anthropic", "gemini"))
PATHS = {
    "openai": "/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
}
USAGE = Usage(input_tokens=12, output_tokens=3)


def said(client: str, stream: bytes) -> str:
    """The text of a stream in the client's dialect."""
    text = ""
    for event in SseDecoder().feed(stream):
        if event.data == b"[DONE]":
            continue
        value = json.decode(event.data)
        if client == "openai":
            text += "".join(choice["delta"].get("content") or "" for choice in value["choices"])
        elif value["type"] == "content_block_delta":
            text += value["delta"]["text"]
    return text


def ended(client: str, stream: bytes) -> bool:
    return stream.endswith(b"data: [DONE]\n\n" if client == "openai" else b'data: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_reply_is_told_in_the_clients_dialect(client: str, upstream: str) -> None:
    world = World({upstream: [whole(upstream)]})
    reply = await world.ask(asking(client), client)
    assert reply.status == 200
    value = reply.json
    if client == "openai":
        assert value["choices"][0]["message"]["content"] == "Hello"
        assert value["usage"]["prompt_tokens"] == 12
    else:
        assert value["content"] == [{"type": "text", "text": "Hello"}]
        assert value["usage"]["output_tokens"] == 3
    call = world.outcomes.only
    assert (call.status, call.usage) == ("ok", USAGE)
    assert reply.headers["tenfold-cost-usd"] == "0.000018"
    assert world.sent[0].path == PATHS[upstream]
    world.assert_settled()


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@settings(deadline=None)
@given(places=st.lists(st.integers(0, 2000), max_size=8))
async def test_a_stream_is_told_in_the_clients_dialect(client: str, upstream: str, places: list[int]) -> None:
    world = World({upstream: [streamed(upstream, cuts=tuple(places))]})
    reply = await world.ask(asking(client, stream=True), client)
    assert said(client, reply.body) == "Hello"
    assert ended(client, reply.body)
    call = world.outcomes.only
    assert (call.status, call.usage, call.estimated) == ("ok", USAGE, False)
    assert call.cost_nano == 12 * INPUT_NANO + 3 * OUTPUT_NANO
    world.assert_settled()


async def test_usage_frames_are_told_to_those_who_ask() -> None:
    for include_usage in (True, False):
        world = World({"anthropic": [streamed("anthropic")]})
        options = {"include_usage": include_usage}
        reply = await world.ask(asking("openai", stream=True, stream_options=options))
        assert (b'"total_tokens":15' in reply.body) is include_usage
        assert world.outcomes.only.usage == USAGE


async def test_parameters_without_a_word_there_are_told() -> None:
    world = World({"anthropic": [whole("anthropic")]})
    reply = await world.ask(asking("openai", seed=1, max_tokens=10))
    assert reply.status == 200
    assert reply.headers["tenfold-ignored-params"] == "seed"


async def test_what_the_upstream_cannot_do_is_refused_before_it_is_asked() -> None:
    world = World({"anthropic": []})
    reply = await world.ask(asking("openai", n=2))
    assert reply.status == 400
    assert reply.json["error"]["code"] == "unsupported_parameter"
    assert reply.json["error"]["param"] == "n"
    assert world.sent == []
    assert (world.outcomes.only.status, world.outcomes.only.cost_nano) == ("error", None)


async def test_embeddings_are_told_in_openais_dialect() -> None:
    answer = b'{"embeddings":[{"values":[0.5,0.25]}],"usageMetadata":{"promptTokenCount":4}}'
    world = World({"gemini": [FakeReply(body=answer)]})
    reply = await world.ask(json.encode({"model": "m", "input": "a"}), operation="embeddings")
    assert reply.json["data"][0]["embedding"] == [0.5, 0.25]
    assert reply.json["model"] == "m"
    assert world.outcomes.only.usage is not None


async def test_a_client_dialect_without_embeddings_is_told_so() -> None:
    world = World({"openai": []})
    reply = await world.ask(json.encode({"model": "m", "input": "a"}), "anthropic", operation="embeddings")
    assert (reply.status, reply.json["error"]["type"]) == (404, "not_found_error")
