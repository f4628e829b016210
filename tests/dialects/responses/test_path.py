"""Responses on the one path: every upstream, the cache, keys, promised JSON, restarts and errors."""

import json
from typing import Any

import pytest

from tenfold.core.call import CallOptions
from tenfold.edge.dialects.responses import Echo, Stamp
from tenfold.inference.policy import Policy as RoutePolicy
from tenfold.providers.transport.fake import FakeReply
from tests.dialects.matrix.gateway import UPSTREAMS
from tests.dialects.responses.protocol import check_stream, check_whole, events_in
from tests.dialects.responses.vectors import asking
from tests.support.pipeline import EVENT_STREAM, FRAMES, Client, World, streamed, whole

JSON = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "required": ["a"]}}}
ECHO = Echo(id="resp_" + "ab" * 16, created_at=7)


async def ask(world: World, *, operation: Any = "chat", options: CallOptions | None = None, **members: Any) -> Client:
    client = await world.ask(
        asking(**members), "openai_responses", operation=operation, options=options or CallOptions()
    )
    world.assert_settled()
    return client


def saying(text: str) -> FakeReply:
    """OpenAI's stream of one text."""
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    frame = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m-2026",'
    return FakeReply(
        headers=EVENT_STREAM,
        body=frame + json.dumps(chunk)[1:].encode() + b"\n\n" + FRAMES["openai"][-2] + b"data: [DONE]\n\n",
    )


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_whole_over_every_upstream(upstream: str) -> None:
    world = World({upstream: [whole(upstream)]})
    body = check_whole((await ask(world)).body)
    assert body["output"][0]["content"][0]["text"] == "Hello"
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == (12, 3)
    assert world.outcomes.only.cost_nano == 12 * 1_000 + 3 * 2_000


@pytest.mark.parametrize("upstream", UPSTREAMS)
async def test_streamed_over_every_upstream(upstream: str) -> None:
    world = World({upstream: [streamed(upstream)]})
    body = check_stream((await ask(world, stream=True)).body)
    assert body["output"][0]["content"][0]["text"] == "Hello"
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == (12, 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cached_answer_becomes_another_response(stream: bool) -> None:
    world = World({"openai": [streamed("openai") if stream else whole("openai")]})
    first = await ask(world, temperature=0, stream=stream, metadata={"a": "1"})
    again = await ask(world, temperature=0, stream=stream, metadata={"a": "2"})
    assert again.headers["tenfold-cache"].startswith("hit")
    assert again.body == first.body
    stamp = Stamp(Echo(id=ECHO.id, created_at=7, request={"model": "m", "metadata": {"a": "2"}}))
    body = check_stream(stamp.frames(again.body)) if stream else check_whole(stamp.whole(again.body))
    assert (body["id"], body["metadata"]) == (ECHO.id, {"a": "2"})
    assert body["output"][0]["id"].startswith("msg_" + "ab" * 16)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_under_a_key_is_told_again(stream: bool) -> None:
    world = World({"openai": [streamed("openai") if stream else whole("openai")]})
    options = CallOptions(idempotency_key="k")
    first = await ask(world, stream=stream, options=options)
    again = await ask(world, stream=stream, options=options)
    assert first.body == again.body
    assert len(world.sent) == 1
    (check_stream if stream else check_whole)(again.body)


async def test_the_end_of_a_stream_under_a_key_waits_until_it_is_written() -> None:
    """The last piece goes out by itself, after the reply is kept."""
    world = World({"openai": [streamed("openai")]})
    client = await ask(world, stream=True, options=CallOptions(idempotency_key="k"))
    assert b"response.completed" in client.pieces[-1]
    assert all(b"event: response.completed" not in piece for piece in client.pieces[:-1])


async def test_json_that_was_promised() -> None:
    world = World({"openai": [saying('{"a":1}')]})
    assert check_stream((await ask(world, stream=True, text=JSON)).body)["status"] == "completed"


async def test_json_that_was_promised_and_did_not_come() -> None:
    """The stream's own end is held back, and an error is told in its place."""
    world = World({"openai": [saying('{"b":1}')]})
    told = (await ask(world, stream=True, text=JSON)).body
    kinds = [event["type"] for event in events_in(told)]
    assert kinds[-1] == "error"
    assert "response.completed" not in kinds
    final = check_stream(Stamp(ECHO).frames(told))
    assert (final["status"], final["error"]["code"]) == ("failed", "server_error")


async def test_a_schema_that_is_none_is_named() -> None:
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "nonsense"}}}
    client = await ask(World({"openai": []}), text=form)
    assert client.status == 400
    assert client.json["error"]["param"] == "text.format.schema"


async def test_a_stream_that_breaks() -> None:
    cut = b"".join(FRAMES["openai"][:3])
    world = World({"openai": [FakeReply(headers=EVENT_STREAM, body=cut)]})
    told = (await ask(world, stream=True)).body
    assert events_in(told)[-1]["error"]["code"] == "stream_interrupted"
    assert check_stream(Stamp(ECHO).frames(told))["status"] == "failed"


async def test_a_stream_that_begins_anew_elsewhere() -> None:
    cut = b"".join(FRAMES["openai"][:3])
    world = World(
        {"openai": [FakeReply(headers=EVENT_STREAM, body=cut)], "anthropic": [streamed("anthropic")]},
        route=RoutePolicy(on_break="restart"),
    )
    told = (await ask(world, stream=True, max_output_tokens=100)).body
    final = check_stream(Stamp(ECHO).frames(told))
    assert (final["id"], final["output"][0]["content"][0]["text"]) == (ECHO.id, "Hello")


async def test_counting() -> None:
    client = await ask(World({"openai": []}), operation="count_tokens")
    assert client.json["object"] == "response.input_tokens"
    assert client.json["input_tokens"] > 0


async def test_errors_name_what_the_client_wrote() -> None:
    """Not what the upstream's own dialect calls it."""
    file = {"type": "input_file", "file_url": "https://a.example/b.pdf"}
    client = await ask(World({"openai": []}), input=[{"role": "user", "content": [file]}])
    assert (client.status, client.json["error"]["param"]) == (400, "input")
    client = await ask(World({"anthropic": []}), top_logprobs=2)
    assert (client.status, client.json["error"]["param"]) == (400, "top_logprobs")


async def test_an_error_of_the_upstream() -> None:
    refused = FakeReply(status=429, body=b'{"error":{"message":"Slow down.","type":"rate_limit_error","code":"x"}}')
    client = await ask(World({"openai": [refused]}))
    assert (client.status, client.json["error"]["message"], client.json["error"]["code"]) == (429, "Slow down.", "x")
