"""Counting tokens: the upstream's count where it has one, else an estimate; its failures are told as a call's are."""

import pytest

from tenfold.core.chat import ChatRequest as Request
from tenfold.core.chat import ImagePart, Message, TextPart, Tool, ToolCallPart, ToolResultPart
from tenfold.inference.count import estimate_input_tokens
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import PROVIDER_KEY, Client, World, asking


async def count(world: World, **more: object) -> Client:
    return await world.ask(asking("anthropic", **more), "anthropic", operation="count_tokens")


async def test_the_upstream_counts_where_it_can() -> None:
    world = World({"anthropic": [FakeReply(body=b'{"input_tokens":2095}')]})
    told = await count(world)
    assert (told.status, told.body) == (200, b'{"input_tokens":2095}')
    assert world.sent[0].path == "/v1/messages/count_tokens"
    call = world.outcomes.only
    assert (call.status, call.estimated, call.usage, call.cost_nano) == ("ok", False, None, None)
    world.assert_settled()


async def test_gemini_counts_too() -> None:
    world = World({"gemini": [FakeReply(body=b'{"totalTokens":31}')]})
    assert (await count(world)).body == b'{"input_tokens":31}'
    assert world.sent[0].path.endswith(":countTokens")


async def test_where_the_upstream_cannot_count_it_is_estimated_without_asking() -> None:
    world = World({"openai": []})
    told = await count(world, messages=[{"role": "user", "content": "word " * 100}])
    assert 100 <= told.json["input_tokens"] <= 150
    assert world.outcomes.only.estimated


async def test_openais_clients_have_no_such_call() -> None:
    world = World({"anthropic": []})
    told = await world.ask(asking("openai"), "openai", operation="count_tokens")
    assert told.status == 404


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_an_upstreams_error_is_kept(status: int) -> None:
    body = b'{"type":"error","error":{"type":"api_error","message":"Not today"}}'
    world = World({"anthropic": [FakeReply(status=status, body=body, headers=[(b"retry-after", b"4")])]})
    told = await count(world)
    assert (told.status, told.json["error"]["message"]) == (status, "Not today")
    assert told.headers["retry-after"] == "4"
    world.assert_settled()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_provider_key_is_told_without_the_providers_words(status: int) -> None:
    body = f'{{"type":"error","error":{{"type":"authentication_error","message":"bad key {PROVIDER_KEY}"}}}}'
    world = World({"anthropic": [FakeReply(status=status, body=body.encode())]})
    told = await count(world)
    assert told.status == status
    assert PROVIDER_KEY.encode() not in told.body


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(status=302, headers=[(b"location", b"http://evil/")]),
        FakeReply(body=b"<html>"),
        FakeReply(body=b'{"input_tokens":-1}'),
        FakeReply(body=b'{"input_tokens":1}', stop_at=3),
    ],
)
async def test_what_is_no_count_is_a_502(reply: FakeReply) -> None:
    world = World({"anthropic": [reply]})
    assert (await count(world)).status == 502
    assert world.outcomes.only.status == "error"
    world.assert_settled()


def test_the_estimate_counts_all_that_is_said() -> None:
    def request(*parts: TextPart | ImagePart | ToolCallPart | ToolResultPart, tools: int = 0) -> Request:
        return Request(
            model="m",
            messages=[Message(role="user", parts=list(parts))],
            tools=[Tool(name="look_it_up", description="Looks it up.")] * tools,
        )

    text = TextPart(text="x" * 400)
    plain = estimate_input_tokens(request(text))
    assert plain == 104
    assert estimate_input_tokens(request(text, ImagePart(url="http://a/b.png"))) > plain + 500
    assert estimate_input_tokens(request(text, ToolCallPart(id="1", name="look", arguments="{}"))) > plain
    assert estimate_input_tokens(request(text, ToolResultPart(call_id="1", content=[text]))) > plain + 90
    assert estimate_input_tokens(request(text, tools=2)) > plain + 20
