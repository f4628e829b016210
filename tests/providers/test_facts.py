"""What a provider says afterwards that a call used: read as the dialect has it, and never guessed."""

import pytest
from msgspec import json

from tenfold.core.errors import UpstreamError, UpstreamUnavailable
from tenfold.core.usage import Usage
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.facts import UsageFacts, attempt_id
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Wire
from tenfold.providers.transport.fake import FakeReply, FakeTransport

_SAID = {
    "openai": {"usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}},
    "anthropic": {"usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 3}},
    "gemini": {
        "usageMetadata": {"promptTokenCount": 12, "cachedContentTokenCount": 4, "candidatesTokenCount": 3},
    },
}
_WIRES: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire(), "gemini": GeminiWire()}


def asking(reply: FakeReply, wire: Wire | None = None) -> tuple[UsageFacts, FakeTransport]:
    transport = FakeTransport([reply])
    provider = HttpProvider("p", wire or OpenAIWire(), transport, "sk-key", "/models", "/usage/{request_id}")
    assert provider.facts is not None
    return provider.facts, transport


@pytest.mark.parametrize("dialect", list(_SAID))
async def test_usage_is_read_as_the_dialect_has_it(dialect: str) -> None:
    facts, transport = asking(FakeReply(body=json.encode(_SAID[dialect])), _WIRES[dialect])
    assert await facts.usage("req_1") == Usage(input_tokens=12, output_tokens=3, cache_read_tokens=4)
    assert [(request.method, request.path) for request in transport.requests] == [("GET", "/usage/req_1")]


async def test_the_provider_is_asked_with_the_key() -> None:
    facts, transport = asking(FakeReply(body=json.encode(_SAID["openai"])))
    await facts.usage("req_1")
    assert (b"authorization", b"Bearer sk-key") in transport.requests[0].headers


async def test_a_request_that_was_never_served_bills_nothing() -> None:
    facts, _ = asking(FakeReply(status=404, body=b'{"error": {"code": "request_not_found", "message": "no"}}'))
    assert await facts.usage("req_1") is None


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(status=404, body=b""),
        FakeReply(status=404, body=b"<html>Not Found</html>"),
        FakeReply(status=404, body=b'{"error": {"message": "Unknown request URL", "code": "unknown_url"}}'),
        FakeReply(status=404, body=b'{"error": "request_not_found"}'),
        FakeReply(status=404, body=b"[]"),
        FakeReply(status=409, body=b'{"error": {"message": "still running"}}'),
        FakeReply(status=500, body=b"request_not_found"),
        FakeReply(status=302, headers=[(b"location", b"/login")]),
        FakeReply(status=204),
        FakeReply(body=b""),
        FakeReply(body=b"{}"),
        FakeReply(body=b'{"usage": null}'),
        FakeReply(body=b'{"usage": {"prompt_tokens": -1, "completion_tokens": 3}}'),
        FakeReply(body=b'{"usage": {"prompt_tokens": 12, "completion_tokens": 3}}', stop_at=10),
        FakeReply(error=UpstreamUnavailable("gone")),
    ],
)
async def test_every_other_answer_says_nothing(reply: FakeReply) -> None:
    facts, transport = asking(reply)
    with pytest.raises(UpstreamError):
        await facts.usage("req_1")
    assert all(exchange.complete or exchange.aborted for exchange in transport.exchanges)


def test_a_provider_that_is_not_said_to_tell_has_no_facts() -> None:
    assert HttpProvider("p", OpenAIWire(), FakeTransport([]), None, "/models").facts is None


def test_each_attempt_has_an_id_of_its_own() -> None:
    assert [attempt_id("req_1", number) for number in range(3)] == ["req_1", "req_1-1", "req_1-2"]
