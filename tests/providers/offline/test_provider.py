"""The offline upstream speaks OpenAI's dialect: whole, streamed, and when it refuses."""

from base64 import b64decode
from collections.abc import Sequence
from struct import unpack
from typing import Any

import pytest
from msgspec import json

from tenfold.core.chat import Ended, Finished, Metered, Started, TextDelta
from tenfold.core.clock import FakeClock
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.grounding import Passage, compose
from tenfold.core.usage import Usage
from tenfold.providers.offline.answers import ABOUT
from tenfold.providers.offline.provider import MODELS, OfflineProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import WireRequest
from tenfold.retrieval.fake import FakeEmbedder

QUESTION = compose([Passage(title="Billing", text="Invoices are sent on the first day.")], "When are invoices sent?")
SAID = "Invoices are sent on the first day [1]."


class CountingEmbedder(FakeEmbedder):
    closed = False

    async def embed_counted(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        return await self.embed(texts), sum(len(text.split()) for text in texts)

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def provider(embedder: CountingEmbedder) -> OfflineProvider:
    return OfflineProvider(OpenAIWire(), embedder, FakeClock())


async def post(provider: OfflineProvider, path: str, body: object) -> tuple[int, bytes]:
    raw = body if isinstance(body, bytes) else json.encode(body)
    exchange = await provider.send(WireRequest(path=path, body=raw), [])
    return exchange.status, await exchange.read()


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "offline-extractive", "messages": [{"role": "user", "content": QUESTION}]} | members


async def test_a_whole_reply(provider: OfflineProvider) -> None:
    status, body = await post(provider, "/chat/completions", chat())
    reply = provider.wire.decode_chat(body)
    assert status == 200
    assert reply.model == "offline-extractive"
    assert [part.text for part in reply.choices[0].parts if hasattr(part, "text")] == [SAID]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage == Usage(input_tokens=-(-len(QUESTION.encode()) // 4), output_tokens=-(-len(SAID) // 4))


async def test_a_streamed_reply(provider: OfflineProvider) -> None:
    exchange = await provider.send(
        WireRequest(
            path="/chat/completions", body=json.encode(chat(stream=True, stream_options={"include_usage": True}))
        ),
        [],
    )
    assert exchange.header(b"content-type") == b"text/event-stream"
    decoder = provider.wire.stream_decoder()
    events = [event async for block in exchange.blocks() for event in decoder.feed(block)] + decoder.finish()
    assert isinstance(events[0], Started)
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(deltas) > 1
    assert "".join(deltas) == SAID
    kinds = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert kinds == [Started, Finished, Metered, Ended]


async def test_a_stream_without_the_usage_option_has_no_usage_frame(provider: OfflineProvider) -> None:
    _, body = await post(provider, "/chat/completions", chat(stream=True))
    assert b"usage" not in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_an_aborted_stream_gives_nothing_more(provider: OfflineProvider) -> None:
    exchange = await provider.send(WireRequest(path="/chat/completions", body=json.encode(chat(stream=True))), [])
    blocks = exchange.blocks()
    assert await anext(blocks)
    exchange.abort()
    with pytest.raises(UpstreamUnavailable):
        await anext(blocks)


async def test_several_choices_say_the_same(provider: OfflineProvider) -> None:
    _, body = await post(provider, "/chat/completions", chat(n=3))
    choices = json.decode(body)["choices"]
    assert [choice["message"]["content"] for choice in choices] == [SAID] * 3
    assert [choice["index"] for choice in choices] == [0, 1, 2]


@pytest.mark.parametrize(
    ("members", "said", "finish_reason"),
    [
        ({"stop": " on"}, "Invoices are sent", "stop"),
        ({"stop": ["first", "sent"]}, "Invoices are ", "stop"),
        ({"stop": ["absent", ""]}, SAID, "stop"),
        ({"max_tokens": 2}, "Invoices", "length"),
        ({"max_completion_tokens": 2, "max_tokens": 100}, "Invoices", "length"),
        ({"max_tokens": 100}, SAID, "stop"),
    ],
)
async def test_stop_and_limit(
    provider: OfflineProvider, members: dict[str, Any], said: str, finish_reason: str
) -> None:
    _, body = await post(provider, "/chat/completions", chat(**members))
    choice = json.decode(body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (said, finish_reason)


async def test_a_schema_with_one_free_string_is_filled(provider: OfflineProvider) -> None:
    schema = {
        "type": "object",
        "properties": {"reply": {"type": "string", "description": "what to say"}, "mood": {"type": "string"}},
        "required": ["reply"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}
    _, body = await post(provider, "/chat/completions", chat(response_format=wanted))
    assert json.decode(json.decode(body)["choices"][0]["message"]["content"]) == {"reply": SAID}
    _, body = await post(provider, "/chat/completions", chat(response_format={"type": "json_object"}))
    assert json.decode(json.decode(body)["choices"][0]["message"]["content"]) == {"answer": SAID}


ENUM = {"type": "string", "enum": ["x"]}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]


def schema_of(**members: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": members}}}


@pytest.mark.parametrize(
    ("members", "status", "param"),
    [
        ({"model": "gpt-4o"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": IMAGE}, 400, "messages[0].content[0]"),
        ({"tool_choice": "required"}, 400, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, 400, "tool_choice"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"n": 0}, 400, "n"),
        ({"n": 1000}, 400, "n"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        (schema_of(type="object", properties={"a": {"type": "integer"}}, required=["a"]), 400, "response_format"),
        (
            schema_of(type="object", properties={"a": {"type": "string", "enum": ["x"]}}, required=["a"]),
            400,
            "response_format",
        ),
        (schema_of(type="array"), 400, "response_format"),
        ({"response_format": {"type": "json_schema"}}, 400, "response_format"),
    ],
)
async def test_what_it_cannot_do_is_a_clear_refusal(
    provider: OfflineProvider, members: dict[str, Any], status: int, param: str
) -> None:
    answered, body = await post(provider, "/chat/completions", chat(**members))
    error = json.decode(body)["error"]
    assert (answered, error["param"]) == (status, param)
    assert error["message"]
    decoded = provider.wire.decode_error(answered, [], body)
    assert decoded.status == status


async def test_tools_that_need_not_be_called_are_answered_in_words(provider: OfflineProvider) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    status, body = await post(provider, "/chat/completions", chat(tools=tools, tool_choice="auto"))
    assert status == 200
    assert json.decode(body)["choices"][0]["message"]["content"] == SAID


async def test_content_in_parts_is_read(provider: OfflineProvider) -> None:
    parts = [{"type": "text", "text": "Hello."}, {"type": "text", "text": "Who are you?"}]
    _, body = await post(provider, "/chat/completions", chat(messages=[{"role": "user", "content": parts}]))
    assert json.decode(body)["choices"][0]["message"]["content"].startswith(ABOUT)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": 1}', b"[" * 100_000, b"\xff", b'{"model":"offline-extractive"}']
)
@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings"])
async def test_a_body_that_cannot_be_read_is_refused(provider: OfflineProvider, path: str, body: bytes) -> None:
    status, reply = await post(provider, path, body)
    assert status == 400
    assert json.decode(reply)["error"]["type"] == "invalid_request_error"


async def test_embeddings_as_numbers_and_as_base64(provider: OfflineProvider) -> None:
    wanted = {"model": "offline-granite-30m", "input": ["hello world", "bye"]}
    _, body = await post(provider, "/embeddings", wanted)
    reply = provider.wire.decode_embeddings(body)
    assert len(reply.vectors) == 2
    assert reply.usage == Usage(input_tokens=3)
    _, body = await post(provider, "/embeddings", wanted | {"encoding_format": "base64"})
    packed = b64decode(json.decode(body)["data"][1]["embedding"])
    assert unpack("<384f", packed) == pytest.approx(reply.vectors[1])


@pytest.mark.parametrize(
    ("members", "status", "param"),
    [
        ({"model": "text-embedding-3-small"}, 404, "model"),
        ({"input": []}, 400, "input"),
        ({"input": [1, 2, 3]}, 400, "input"),
        ({"input": [[1, 2]]}, 400, "input"),
        ({"input": ["a"] * 2049}, 400, "input"),
        ({"dimensions": 1024}, 400, "dimensions"),
    ],
)
async def test_embeddings_it_cannot_make(
    provider: OfflineProvider, members: dict[str, Any], status: int, param: str
) -> None:
    answered, body = await post(provider, "/embeddings", {"model": "offline-granite-30m", "input": "a"} | members)
    assert (answered, json.decode(body)["error"]["param"]) == (status, param)


async def test_models_and_unknown_paths(provider: OfflineProvider) -> None:
    status, body = await post(provider, "/models", b"")
    assert status == 200
    assert [model["id"] for model in json.decode(body)["data"]] == list(MODELS)
    status, _ = await post(provider, "/images/generations", b"{}")
    assert status == 404


async def test_check_and_close(provider: OfflineProvider, embedder: CountingEmbedder) -> None:
    assert "offline-extractive" in await provider.check()
    embedder.away = True
    with pytest.raises(UpstreamUnavailable):
        await provider.check()
    await provider.aclose()
    assert embedder.closed
