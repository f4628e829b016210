"""Real requests through the canonical form: what an Anthropic client says reaches Anthropic with the same meaning."""

import msgspec
import pytest

from tenfold.core.chat import JsonObject
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.edge.dialects.anthropic.hot import peek_messages
from tenfold.providers.anthropic import AnthropicWire
from tests.dialects.anthropic.normal import normal_request
from tests.dialects.anthropic.vectors import requests

DIALECT, WIRE = AnthropicDialect(), AnthropicWire()


def round_trip(body: JsonObject) -> JsonObject:
    request = DIALECT.decode_chat(msgspec.json.encode(body))
    encode = WIRE.encode_chat if "max_tokens" in body else WIRE.encode_count_tokens
    sent: JsonObject = msgspec.json.decode(encode(request, body["model"]).body)
    return sent


def test_a_request_survives_the_canonical_form() -> None:
    vectors = requests()
    assert len(vectors) > 100
    for vector in vectors:
        assert normal_request(round_trip(vector.request)) == normal_request(vector.request), vector.name


def test_the_front_door_lets_real_requests_pass() -> None:
    for vector in requests():
        body = vector.request
        peek = peek_messages(msgspec.json.encode(body), counting="max_tokens" not in body)
        assert (peek.model, peek.max_tokens) == (body["model"], body.get("max_tokens")), vector.name
        assert (peek.stream, peek.has_tools) == (bool(body.get("stream")), bool(body.get("tools"))), vector.name


UNKNOWN: list[JsonObject] = [
    {"a_parameter_of_next_year": {"deep": [1, {"er": None}]}},
    {"thinking": {"type": "between_tools"}},
    {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}},
    {"output_config": {"effort": "max", "task_budget": {"type": "tokens", "total": 9}}},
    {"metadata": {"user_id": "u", "more": 1}},
    {"service_tier": "standard_only"},
    {"temperature": 1.0, "top_p": 0.5, "top_k": 3},
    {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}, "tools": [{"type": "bash_1", "name": "bash"}]},
    {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    {"tools": [{"name": "t", "input_schema": {"type": "object", "minProperties": 1}, "strict": True, "later": 1}]},
]


@pytest.mark.parametrize("members", UNKNOWN, ids=lambda members: "+".join(members))
def test_members_only_anthropic_knows_survive(members: JsonObject) -> None:
    body = {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}], **members}
    assert normal_request(round_trip(body)) == normal_request(body)


BLOCKS: list[JsonObject] = [
    {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}, "transformations": {"oversized": "x"}},
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}, "title": "t"},
    {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
        "citations": {"enabled": True},
    },
    {"type": "document", "source": {"type": "file", "file_id": "file_2"}, "context": "c"},
    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    {"type": "container_upload", "file_id": "f"},
    {"type": "block_of_next_year", "text": 5, "cache_control": {"type": "ephemeral"}},
    {
        "type": "tool_result",
        "tool_use_id": "a",
        "is_error": True,
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}],
        "cache_control": {"type": "ephemeral"},
    },
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block["type"]))
def test_blocks_of_every_kind_survive(block: JsonObject) -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [block]}]}
    assert normal_request(round_trip(body)) == normal_request(body)


def test_what_the_assistant_said_survives() -> None:
    said = [
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "c", "document_index": 0}]},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1, 2.5, None]}, "caller": {"type": "direct"}},
    ]
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": said}]
    body = {"model": "m", "max_tokens": 1, "messages": messages}
    assert round_trip(body)["messages"] == messages


def test_a_system_turn_stays_where_its_client_put_it() -> None:
    messages = [
        {"role": "system", "content": "first"},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "later", "clear_at": "never"},
        {"role": "user", "content": "and"},
    ]
    body = {"model": "claude-3-haiku", "max_tokens": 1, "system": "top", "messages": messages}
    sent = round_trip(body)
    assert sent["messages"] == messages
    assert sent["system"] == "top"
