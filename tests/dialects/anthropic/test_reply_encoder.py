"""What an Anthropic SDK client is sent: the official accumulator makes of it what any upstream said."""

from collections.abc import Callable, Iterator

import anthropic
import httpx2
import msgspec
import pytest
from anthropic.types import Message, MessageParam
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatEvent,
    ChatRequest,
    Ended,
    Failed,
    Finished,
    JsonObject,
    Metered,
    OpaqueDelta,
    OpaquePart,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.core.errors import BrokenStream, InvalidRequest, NotFound, RateLimited, TenfoldError, UpstreamError
from tenfold.core.sse import SseDecoder
from tenfold.core.usage import Usage
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.providers.anthropic import AnthropicWire
from tests.dialects.anthropic.fold import fold
from tests.dialects.anthropic.vectors import streams

DIALECT, WIRE = AnthropicDialect(), AnthropicWire()
REQUEST = ChatRequest(model="m", messages=[], stream=True)
START = Started(id="chatcmpl-1", model="gpt")
USAGE = Usage(input_tokens=30, output_tokens=9, cache_read_tokens=20, reasoning_tokens=4)
ASK: list[MessageParam] = [{"role": "user", "content": "hi"}]


def written(*events: ChatEvent) -> bytes:
    return DIALECT.reply_encoder(REQUEST).encode(list(events))


def payloads(raw: bytes) -> list[JsonObject]:
    events = SseDecoder().feed(raw)
    values = [msgspec.json.decode(event.data) for event in events]
    assert [event.event for event in events] == [value["type"] for value in values]
    return values


def client(answer: Callable[[], httpx2.Response]) -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer()))
    return anthropic.Anthropic(api_key="k", base_url="http://gateway", http_client=http, max_retries=0)


def accumulated(raw: bytes) -> Message:
    """What the SDK makes of a stream."""
    sdk = client(lambda: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw))
    with sdk, sdk.messages.stream(model="m", max_tokens=9, messages=ASK) as stream:
        return stream.get_final_message()


def blocks_are_nested_well(raw: bytes) -> None:
    """One block at a time, numbered from 0, each between its start and its stop."""
    opened = -1
    inside = False
    for value in payloads(raw):
        match value["type"]:
            case "content_block_start":
                assert not inside
                opened, inside = opened + 1, True
                assert value["index"] == opened
            case "content_block_delta":
                assert inside
                assert value["index"] == opened
            case "content_block_stop":
                assert inside
                assert value["index"] == opened
                inside = False
    assert not inside


def test_text_and_usage() -> None:
    raw = written(
        START,
        TextDelta(text=""),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        Finished(reason="stop"),
        Metered(usage=USAGE),
        Ended(),
    )
    message = accumulated(raw)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hello"}]
    assert (message.id, message.model, message.stop_reason) == ("msg_chatcmpl-1", "gpt", "end_turn")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 20, 9)
    first = payloads(raw)[0]["message"]["usage"]
    assert (first["input_tokens"], first["output_tokens"]) == (0, 0)


def test_parallel_tools_with_streamed_arguments() -> None:
    raw = written(
        START,
        TextDelta(text="Both."),
        ToolCallDelta(slot=0, id="call_a", name="f"),
        ToolCallDelta(slot=0, arguments='{"city": "P'),
        ToolCallDelta(slot=0, arguments='aris"}'),
        ToolCallDelta(slot=1, id="call_b", name="g", arguments="{}"),
        Finished(reason="tool_calls"),
        Ended(),
    )
    blocks_are_nested_well(raw)
    message = accumulated(raw)
    assert message.stop_reason == "tool_use"
    assert [block.to_dict() for block in message.content] == [
        {"type": "text", "text": "Both."},
        {"type": "tool_use", "id": "call_a", "name": "f", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "call_b", "name": "g", "input": {}},
    ]


def test_the_first_call_streams_as_it_comes() -> None:
    encoder = DIALECT.reply_encoder(REQUEST)
    encoder.encode([START])
    assert b"content_block_start" in encoder.encode([ToolCallDelta(slot=0, id="a", name="f")])
    assert b'partial_json":"{' in encoder.encode([ToolCallDelta(slot=0, arguments="{")])


@given(st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]))
def test_calls_that_grow_in_turn_come_one_after_the_other(order: list[int]) -> None:
    fragments: dict[int, Iterator[str]] = {slot: iter(['{"s"', f":{slot}", "}"]) for slot in range(3)}
    events = [ToolCallDelta(slot=slot, id=f"id{slot}", name="f") for slot in range(3)]
    events += [ToolCallDelta(slot=slot, arguments=next(fragments[slot])) for slot in order]
    raw = written(START, *events, Finished(reason="tool_calls"), Ended())
    blocks_are_nested_well(raw)
    calls = [block.to_dict() for block in accumulated(raw).content]
    assert [(call["id"], call["input"]) for call in calls] == [(f"id{slot}", {"s": slot}) for slot in range(3)]


def test_arguments_after_their_block_ended_are_an_error() -> None:
    raw = written(
        START,
        ToolCallDelta(slot=0, id="a", name="f", arguments='{"x":'),
        TextDelta(text="in between"),
        ToolCallDelta(slot=0, arguments="1}"),
        Ended(),
    )
    assert payloads(raw)[-1]["type"] == "error"


def test_thinking_with_its_signature() -> None:
    raw = written(
        START,
        ThinkingDelta(text="Let me "),
        ThinkingDelta(text="see"),
        ThinkingDelta(signature="sig"),
        ThinkingDelta(text="again"),
        ThinkingDelta(redacted="xyz"),
        TextDelta(text="42"),
        Finished(reason="stop"),
        Ended(),
    )
    blocks_are_nested_well(raw)
    assert [block.to_dict() for block in accumulated(raw).content] == [
        {"type": "thinking", "thinking": "Let me see", "signature": "sig"},
        {"type": "thinking", "thinking": "again", "signature": ""},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "42"},
    ]


def test_blocks_only_anthropic_knows_come_back_and_others_stay_out() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    raw = written(
        START,
        OpaqueDelta(part=OpaquePart(dialect="anthropic", value=search)),
        OpaqueDelta(part=OpaquePart(dialect="gemini", value={"type": "x"})),
        RefusalDelta(text="No."),
        Finished(reason="content_filter"),
        Ended(),
    )
    message = accumulated(raw)
    assert [block.to_dict() for block in message.content] == [search, {"type": "text", "text": "No."}]
    assert message.stop_reason == "refusal"


def test_a_stream_without_a_start_and_other_choices() -> None:
    raw = written(
        TextDelta(text="a"),
        TextDelta(text="not mine", choice=1),
        Finished(reason="length", choice=1),
        Finished(reason="stop_sequence", stop_sequence="X"),
        Ended(),
    )
    message = accumulated(raw)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "a"}]
    assert (message.model, message.stop_reason, message.stop_sequence) == ("m", "stop_sequence", "X")


def test_an_empty_reply_is_a_whole_message() -> None:
    assert accumulated(written(Ended())).content == []


def test_a_failure_inside_the_stream_raises_in_the_sdk() -> None:
    raw = written(START, TextDelta(text="a"), Failed(message="too much", kind="overloaded_error", status=529))
    with pytest.raises(anthropic.APIStatusError, match="too much"):
        accumulated(raw)
    encoder = DIALECT.reply_encoder(REQUEST)
    encoder.encode([Failed(message="x")])
    assert encoder.encode([TextDelta(text="late"), Ended()]) == b""


def test_a_broken_stream_raises_in_the_sdk() -> None:
    raw = written(START, TextDelta(text="a")) + DIALECT.error_frame(BrokenStream("cut"), "req_1")
    with pytest.raises(anthropic.APIStatusError, match="cut"):
        accumulated(raw)
    assert payloads(raw)[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "cut"},
        "request_id": "req_1",
    }


ERRORS: list[tuple[TenfoldError, str, type[anthropic.APIStatusError]]] = [
    (InvalidRequest("m"), "invalid_request_error", anthropic.BadRequestError),
    (NotFound("m"), "not_found_error", anthropic.NotFoundError),
    (RateLimited("m"), "rate_limit_error", anthropic.RateLimitError),
    (TenfoldError("m"), "api_error", anthropic.InternalServerError),
    (UpstreamError("m", status=401), "authentication_error", anthropic.AuthenticationError),
    (UpstreamError("m", status=403), "permission_error", anthropic.PermissionDeniedError),
    (UpstreamError("m", status=402), "billing_error", anthropic.APIStatusError),
    (UpstreamError("m", status=413), "request_too_large", anthropic.APIStatusError),
    (UpstreamError("m", status=418), "invalid_request_error", anthropic.APIStatusError),
    (UpstreamError("m", status=503), "overloaded_error", anthropic.InternalServerError),
    (UpstreamError("m", status=504), "timeout_error", anthropic.InternalServerError),
    (UpstreamError("m", status=529), "overloaded_error", anthropic.InternalServerError),
    (UpstreamError("m", status=500, kind="overloaded_error"), "overloaded_error", anthropic.InternalServerError),
    (UpstreamError("m", status=429, kind="insufficient_quota"), "rate_limit_error", anthropic.RateLimitError),
]


@pytest.mark.parametrize(("error", "kind", "raised"), ERRORS, ids=lambda value: str(value)[:30])
def test_errors_have_anthropics_shape(error: TenfoldError, kind: str, raised: type[anthropic.APIStatusError]) -> None:
    body = DIALECT.encode_error(error, "req_9")
    assert msgspec.json.decode(body) == {
        "type": "error",
        "error": {"type": kind, "message": "m"},
        "request_id": "req_9",
    }
    headers = {"content-type": "application/json"}
    with client(lambda: httpx2.Response(error.status, headers=headers, content=body)) as sdk:
        with pytest.raises(raised) as caught:
            sdk.messages.create(model="m", max_tokens=9, messages=ASK)
        assert caught.value.type == kind


def test_real_streams_come_through_the_canonical_form_as_they_were() -> None:
    """The SDK makes of our frames what it makes of the upstream's own."""
    for vector in streams():
        if "spliced" in vector.name or "compaction" in vector.name:  # beta blocks this accumulator does not grow
            continue
        decoder, encoder = WIRE.stream_decoder(), DIALECT.reply_encoder(REQUEST)
        raw = encoder.encode(decoder.feed(vector.stream) + decoder.finish())
        ours, theirs = _plain(accumulated(raw)), _plain(accumulated(vector.stream))
        assert fold(decoder_events(raw)).reply == fold(decoder_events(vector.stream)).reply, vector.name
        for name in ("id", "content", "model", "role", "stop_reason", "stop_sequence", "stop_details", "container"):
            if "incomplete" not in vector.name or name != "content":
                assert ours.get(name) == theirs.get(name), (vector.name, name)


def _plain(message: Message) -> JsonObject:
    return message.to_dict(warnings=False)  # blocks newer than the SDK's types are dumped all the same


def decoder_events(raw: bytes) -> list[ChatEvent]:
    decoder = WIRE.stream_decoder()
    return decoder.feed(raw) + decoder.finish()


TEXT = st.text(max_size=5)
DELTA = st.one_of(
    st.builds(TextDelta, text=TEXT, block=st.none() | st.integers(0, 2)),
    st.builds(RefusalDelta, text=TEXT),
    st.builds(ThinkingDelta, text=TEXT, signature=st.none() | TEXT, block=st.none() | st.integers(0, 2)),
    st.builds(ThinkingDelta, redacted=TEXT),
    st.builds(ToolCallDelta, slot=st.integers(0, 3), id=st.just("i"), name=st.just("n"), arguments=TEXT),
    st.just(OpaqueDelta(part=OpaquePart(dialect="anthropic", value={"type": "x", "input": {}}))),
)


@given(st.lists(DELTA, max_size=12), st.integers(1, 4))
def test_any_order_of_events_keeps_the_protocol(deltas: list[ChatEvent], size: int) -> None:
    events = [START, *deltas, Finished(reason="stop"), Metered(usage=USAGE), Ended()]
    encoder = DIALECT.reply_encoder(REQUEST)
    raw = b"".join(encoder.encode(events[at : at + size]) for at in range(0, len(events), size))
    assert raw == written(*events)
    kinds = [value["type"] for value in payloads(raw)]
    assert kinds[0] == "message_start"
    if kinds[-1] != "error":
        blocks_are_nested_well(raw)
        assert kinds[-2:] == ["message_delta", "message_stop"]
        assert sum(kind == "message_stop" for kind in kinds) == 1
