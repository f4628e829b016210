"""A stream that breaks never ends as a clean one: the client gets its dialect's error, the receipt an estimate. Before
the first token the error is a status; from then on an event."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.call import Call
from tenfold.core.sse import SseDecoder, SseEvent
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import EVENT_STREAM, FRAMES, UNTIL_TOKEN, Client, World, asking, streamed, whole

PAIRS = [(client, upstream) for client in ("openai", "anthropic") for upstream in ("openai", "anthropic", "gemini")]
BROKEN_ENDS = [
    (client, upstream, count, end)
    for client, upstream in PAIRS
    for count in range(len(FRAMES[upstream]))
    for end in ("lost", "closed")
]


def frames_until(upstream: str, count: int) -> bytes:
    return b"".join(FRAMES[upstream][:count])


def last_event(client: Client) -> SseEvent:
    return SseDecoder().feed(client.body)[-1]


def assert_told_as_broken(client: Client, dialect: str) -> None:
    assert client.is_stream
    assert b"[DONE]" not in client.body
    assert b"message_stop" not in client.body
    event = last_event(client)
    error = json.decode(event.data)["error"]
    if dialect == "anthropic":
        assert event.event == "error"
        assert error["type"] in ("api_error", "overloaded_error")
    else:
        assert error["type"] == "server_error"
        assert error["code"] == "stream_interrupted"
    assert error["message"]


def assert_told_as_refused(client: Client, dialect: str) -> None:
    assert (client.status, client.is_stream) == (502, False)
    error = client.json["error"]
    if dialect == "anthropic":
        assert client.json["type"] == "error"
        assert error["type"] == "api_error"
    else:
        assert error["type"] == "server_error"
        assert error["code"] in ("stream_interrupted", "upstream_unavailable")
    assert error["message"]


def assert_charged(call: Call) -> None:
    assert call.error is not None
    assert call.usage is not None
    assert call.cost_nano is not None
    assert call.cost_nano > 0


@pytest.mark.parametrize(("client", "upstream", "count", "end"), BROKEN_ENDS)
async def test_a_stream_cut_after_any_frame_ends_with_the_typed_error(
    client: str, upstream: str, count: int, end: str
) -> None:
    """Whether the connection is lost or closed as if all had been said. Only the last frame makes a reply whole."""
    sent = frames_until(upstream, count)
    reply = streamed(upstream, stop_at=len(sent)) if end == "lost" else FakeReply(headers=EVENT_STREAM, body=sent)
    world = World({upstream: [reply]}, ask_usage=False)
    told = await world.ask(asking(client, stream=True), client)
    call = world.outcomes.only
    if count < UNTIL_TOKEN[upstream]:
        assert_told_as_refused(told, client)
        assert (call.status, call.http_status) == ("error", 502)
    else:
        assert_told_as_broken(told, client)
        assert (call.status, call.http_status) == ("cut", 200)
    assert_charged(call)
    world.assert_settled()


@settings(deadline=None)
@given(stop_at=st.integers(1, 2000), pair=st.sampled_from(PAIRS))
async def test_a_stream_cut_at_any_byte_ends_with_the_typed_error(stop_at: int, pair: tuple[str, str]) -> None:
    client, upstream = pair
    body = b"".join(FRAMES[upstream])
    stop_at = 1 + stop_at % (len(body) - 1)
    world = World({upstream: [streamed(upstream, stop_at=stop_at)]}, ask_usage=False)
    told = await world.ask(asking(client, stream=True), client)
    call = world.outcomes.only
    if call.status == "ok":  # all was said: what is missing is the end of the last line at most
        assert body[stop_at:].strip(b"}]\r\n") == b""
        return
    assert_charged(call)
    if call.status == "error":
        assert stop_at < len(frames_until(upstream, UNTIL_TOKEN[upstream]))
        assert_told_as_refused(told, client)
        return
    assert stop_at >= len(frames_until(upstream, UNTIL_TOKEN[upstream]).rstrip())
    assert_told_as_broken(told, client)
    assert len(SseDecoder().feed(told.body)) == told.body.count(b"\n\n"), "half a frame was passed on"
    world.assert_settled()


async def test_what_a_cut_stream_used_is_an_estimate_on_what_it_told_at_its_start() -> None:
    world = World({"anthropic": [FakeReply(body=frames_until("anthropic", 3))]})
    await world.ask(asking("anthropic", stream=True), "anthropic")
    call = world.outcomes.only
    assert call.estimated
    assert call.usage is not None
    assert call.usage.input_tokens == 12
    assert 1 <= call.usage.output_tokens <= 100


async def test_the_estimate_stays_below_what_the_client_allowed() -> None:
    world = World({"anthropic": [FakeReply(body=frames_until("anthropic", 5))]})
    await world.ask(asking("anthropic", stream=True, max_tokens=2), "anthropic")
    call = world.outcomes.only
    assert call.usage is not None
    assert call.usage.output_tokens == 2


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_an_error_told_inside_the_stream_reaches_the_client_once(client: str, upstream: str) -> None:
    failures = {
        "openai": b'data: {"error":{"message":"The engine fell over","type":"server_error","code":null}}\n\n',
        "anthropic": b'event: error\ndata: {"type":"error",'
        b'"error":{"type":"overloaded_error","message":"The engine fell over"}}\n\n',
        "gemini": b'data: {"error":{"code":503,"message":"The engine fell over","status":"UNAVAILABLE"}}\r\n\r\n',
    }
    body = frames_until(upstream, UNTIL_TOKEN[upstream]) + failures[upstream]
    world = World({upstream: [FakeReply(headers=EVENT_STREAM, body=body)]})
    told = await world.ask(asking(client, stream=True), client)
    assert told.body.count(b"The engine fell over") == 1
    error = json.decode(last_event(told).data)["error"]
    assert error["message"] == "The engine fell over"
    call = world.outcomes.only
    assert call.status == "cut"
    assert call.usage is not None
    assert call.estimated


async def test_one_endless_event_is_refused() -> None:
    world = World({"openai": [FakeReply(headers=EVENT_STREAM, body=b"data: " + b"x" * (9 << 20))]})
    told = await world.ask(asking("openai", stream=True))
    assert_told_as_refused(told, "openai")
    assert "larger than" in told.json["error"]["message"]


@pytest.mark.parametrize("client", ["openai", "anthropic"])
@pytest.mark.parametrize("content_type", [b"application/json", b"text/html; charset=utf-8"])
async def test_a_page_in_place_of_a_stream_is_an_error(client: str, content_type: bytes) -> None:
    world = World({"openai": [whole("openai", headers=[(b"content-type", content_type)], body=b"<h1>Hello</h1>")]})
    told = await world.ask(asking(client, stream=True), client)
    assert (told.status, told.is_stream) == (502, False)
    assert "error" in told.json
    assert world.outcomes.only.status == "error"
    world.assert_settled()


async def test_an_error_object_in_place_of_a_stream_keeps_its_words() -> None:
    body = b'{"error":{"message":"no such engine","type":"server_error"}}'
    world = World({"openai": [FakeReply(headers=[(b"content-type", b"application/json")], body=body)]})
    told = await world.ask(asking("openai", stream=True))
    assert (told.status, told.json["error"]["message"]) == (502, "no such engine")


async def test_a_stream_without_a_content_type_is_one() -> None:
    world = World({"openai": [streamed("openai", headers=[])]})
    told = await world.ask(asking("openai", stream=True))
    assert told.body.endswith(b"[DONE]\n\n")
