"""Real answers of every upstream, told as responses: as OpenAI's description and SDK have them, and nothing lost."""

import json
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    FinishReason,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from tenfold.core.clock import FakeClock
from tenfold.core.usage import Usage
from tenfold.edge.dialects.responses import ResponsesDialect
from tenfold.inference.output.put_back import events_of
from tests.dialects.matrix.gateway import UPSTREAMS, Gateway
from tests.dialects.matrix.replies import streams, whole_replies
from tests.dialects.responses.protocol import check_stream, check_whole
from tests.dialects.responses.vectors import asking
from tests.support.folding import merged

DIALECT = ResponsesDialect(FakeClock())


class ResponsesGateway(Gateway):
    def __init__(self, upstream: str, answer: bytes, *, status: int = 200) -> None:
        super().__init__("openai", upstream, answer, status=status)
        self._dialect = DIALECT


def decoded(**members: Any) -> ChatRequest:
    return DIALECT.decode_chat(asking(**members))


def told(
    *parts: Part,
    request: ChatRequest | None = None,
    reason: FinishReason = "stop",
    described: bool = True,
    **more: Any,
) -> JsonObject:
    choice = Choice(parts=list(parts), finish_reason=reason, logprobs=more.pop("logprobs", None))
    reply = ChatReply(id="chatcmpl-1", model="m-2026", choices=[choice], **more)
    return check_whole(DIALECT.encode_reply(reply, request or decoded()), described=described)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_recorded_replies(upstream: str) -> None:
    """Through the official SDK, each is a Response that says what the upstream said."""
    count = 0
    for name, answer in whole_replies(upstream):
        gateway = ResponsesGateway(upstream, answer)
        try:
            response = gateway.openai().responses.create(model="m", input="hi")
        except openai.InternalServerError:  # recorded failures that came with a status of 200
            assert gateway.told == b""
            continue
        check_whole(gateway.told)
        reply = gateway._wire.decode_chat(answer)
        texts = [part.text for part in reply.choices[0].parts if isinstance(part, TextPart)]
        calls = [part.name for part in reply.choices[0].parts if isinstance(part, ToolCallPart)]
        assert response.output_text == "".join(texts), name
        assert [item.name for item in response.output if item.type == "function_call"] == calls, name
        if reply.usage is not None:
            assert response.usage is not None
            assert response.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
        count += 1
    assert count > 20


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_recorded_streams(upstream: str) -> None:
    """Each is a proper stream to its end, and the SDK's own accumulator comes to the same response."""
    count = 0
    for name, answer in streams(upstream):
        gateway = ResponsesGateway(upstream, answer)
        try:
            with gateway.openai().responses.stream(model="m", input="hi") as stream:
                events = list(stream)
        except openai.APIError:
            assert b"event: error\n" in gateway.told, name
            continue
        final = check_stream(gateway.told)
        assert events[-1].type == f"response.{final['status']}"
        if final["status"] == "completed":
            assert stream.get_final_response().id == final["id"]
        count += 1
    assert count > 3


# -- whole and streamed ----------------------------------------------------------------------

_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_said = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_parts: st.SearchStrategy[Part] = st.one_of(
    _said.map(lambda text: TextPart(text=text)),
    _said.map(lambda text: RefusalPart(text=text)),
    st.builds(lambda text, mark: ThinkingPart(text=text, signature=mark), _said, st.none() | _said),
    _said.map(lambda data: ThinkingPart(redacted=data)),
    st.builds(lambda n, args: (n, args), st.text("abc", min_size=1, max_size=4), st.dictionaries(_texts, _texts)).map(
        lambda call: ToolCallPart(id=f"call_{call[0]}", name=call[0], arguments=json.dumps(call[1]) if call[1] else "")
    ),
    _said.map(
        lambda text: OpaquePart(
            dialect="openai", value={"id": "call_x", "type": "custom", "custom": {"name": "sql", "input": text}}
        )
    ),
    st.just(OpaquePart(dialect="gemini", value={"text": "", "thoughtSignature": "c2ln"})),
    st.just(OpaquePart(dialect="anthropic", value={"type": "server_tool_use", "id": "s", "name": "x", "input": {}})),
)
_reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "stop_sequence", "refusal", "pause"])


@settings(max_examples=60, deadline=None)
@given(st.lists(_parts, max_size=6), _reasons, st.booleans())
def test_a_reply_says_the_same_whole_and_streamed(parts: list[Part], reason: FinishReason, summary: bool) -> None:
    request = decoded(reasoning={"summary": "auto"}) if summary else decoded()
    choice = Choice(parts=parts, finish_reason=reason)
    reply = ChatReply(id="r", model="m", choices=[choice], usage=Usage(input_tokens=5, output_tokens=7), created_s=9)
    whole = check_whole(DIALECT.encode_reply(reply, request), described=False)
    streamed = check_stream(DIALECT.reply_encoder(request).encode(list(events_of(reply))), described=False)
    assert streamed == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(_parts, max_size=6))
def test_an_answer_comes_back_as_it_was(parts: list[Part]) -> None:
    """What a response put out is, sent back as input, the same message to the model: thoughts with their signatures,
    texts, refusals and calls."""
    output = told(*parts, reason="tool_calls", described=False)["output"]
    results = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"]} | {"output": "done"}
        for item in output
        if item["type"] in ("function_call", "custom_tool_call")
    ]
    request = decoded(input=[{"role": "user", "content": "hi"}, *output, *results])
    said = [part for message in request.messages if message.role == "assistant" for part in message.parts]
    kept = [part for part in parts if not (isinstance(part, OpaquePart) and part.dialect == "anthropic")]
    empty = not any(isinstance(item, TextPart) for item in kept) and not kept
    assert _plain(said) == _plain(kept) or empty


def _plain(parts: list[Part]) -> list[Part]:
    out: list[Part] = []
    for part in merged([part for part in parts if part != TextPart(text="")]):
        if isinstance(part, ToolCallPart):
            part = replace(part, arguments=part.arguments or "{}")
        if isinstance(part, RefusalPart) and out and isinstance(out[-1], RefusalPart):
            out[-1] = RefusalPart(text=out[-1].text + part.text)
        else:
            out.append(part)
    return out


# -- one by one ------------------------------------------------------------------------------


def test_an_answer_of_text() -> None:
    body = told(TextPart(text="Hello"), usage=Usage(input_tokens=12, output_tokens=3, cache_read_tokens=4))
    assert (body["status"], body["model"], body["error"], body["incomplete_details"]) == (
        "completed",
        "m-2026",
        None,
        None,
    )
    (item,) = body["output"]
    assert item["id"] == "msg_" + body["id"].removeprefix("resp_") + "0000"
    assert item["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert body["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }


def test_an_empty_answer_is_an_empty_message() -> None:
    (item,) = told()["output"]
    assert item["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("reason", "parts", "status", "details"),
    [
        ("length", [TextPart(text="cut")], "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", [TextPart(text="")], "incomplete", {"reason": "content_filter"}),
        ("refusal", [], "incomplete", {"reason": "content_filter"}),
        ("refusal", [RefusalPart(text="No.")], "completed", None),
        ("content_filter", [RefusalPart(text="No.")], "completed", None),
        ("length", [RefusalPart(text="No")], "incomplete", {"reason": "max_output_tokens"}),
        ("pause", [TextPart(text="x")], "completed", None),
        ("stop_sequence", [TextPart(text="x")], "completed", None),
    ],
)
def test_ends(reason: FinishReason, parts: list[Part], status: str, details: JsonObject | None) -> None:
    body = told(*parts, reason=reason)
    assert (body["status"], body["incomplete_details"]) == (status, details)
    assert body["output"][-1]["status"] == ("completed" if details is None else "incomplete")
    assert (body["completed_at"] is None) == (status != "completed")


def test_thoughts_are_summaries_where_one_is_asked_for() -> None:
    thought = ThinkingPart(text="hm", signature="sig")
    (item, _) = told(thought, TextPart(text="x"))["output"]
    assert (item["summary"], item["content"]) == ([], [{"type": "reasoning_text", "text": "hm"}])
    (item, _) = told(thought, TextPart(text="x"), request=decoded(reasoning={"summary": "auto"}))["output"]
    assert (item["summary"], item.get("content")) == ([{"type": "summary_text", "text": "hm"}], None)
    assert item["encrypted_content"].startswith("tenfold1.")


def test_signatures_of_calls_travel_with_them() -> None:
    (item,) = told(ToolCallPart(id="c", name="f", arguments="{}", signature="sig"), reason="tool_calls")["output"]
    request = decoded(input=[item, {"type": "function_call_output", "call_id": "c", "output": "1"}])
    call = request.messages[0].parts[0]
    assert isinstance(call, ToolCallPart)
    assert call.signature == "sig"


def test_pictures_are_image_calls() -> None:
    (item,) = told(ImagePart(media_type="image/png", data="AAAA"))["output"]
    assert (item["type"], item["result"]) == ("image_generation_call", "AAAA")


def test_citations_and_log_probabilities() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example/", "title": "A", "start_index": 1}}
    foreign = {"type": "char_location", "cited_text": "x"}
    entry = {
        "token": "Hi",
        "logprob": -0.1,
        "bytes": None,
        "top_logprobs": [{"token": "Ho", "logprob": -2, "bytes": [72, 111]}],
    }
    body = told(TextPart(text="Hi", citations=[note, foreign]), logprobs={"content": [entry], "refusal": None})
    (content,) = body["output"][0]["content"]
    assert content["annotations"] == [
        {"type": "url_citation", "url": "https://a.example/", "title": "A", "start_index": 1, "end_index": 0}
    ]
    assert content["logprobs"][0] == entry | {"bytes": []}


def test_what_was_asked_is_repeated() -> None:
    asked = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "max_output_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.25,
        "top_logprobs": 2,
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "concise"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "store": False,
        "max_tool_calls": 3,
    }
    body = told(TextPart(text="x"), request=decoded(**asked))
    tool = {"type": "function", "name": "f", "description": None, "parameters": None, "strict": False}
    assert {name: body[name] for name in asked} == asked | {"tools": [tool]}
    plain = told(TextPart(text="x"))
    assert (plain["temperature"], plain["top_p"], plain["tool_choice"], plain["tools"]) == (1.0, 1.0, "auto", [])
    assert (plain["metadata"], plain["parallel_tool_calls"], plain["truncation"]) == ({}, True, "disabled")
    assert plain["text"] == {"format": {"type": "text"}}


def test_an_id_is_made_of_the_upstreams() -> None:
    assert told(TextPart(text="a"))["id"] == told(TextPart(text="b"))["id"]
    reply = ChatReply(id="", model="m", choices=[])
    assert len({check_whole(DIALECT.encode_reply(reply, decoded()))["id"] for _ in range(3)}) == 3


def test_requests_from_elsewhere_are_answered_too() -> None:
    """A canonical request that no client of this dialect wrote."""
    reply = ChatReply(id="r", model="m", choices=[Choice(parts=[TextPart(text="x")], finish_reason="stop")])
    assert check_whole(DIALECT.encode_reply(reply, ChatRequest(model="m", messages=[])))["status"] == "completed"
