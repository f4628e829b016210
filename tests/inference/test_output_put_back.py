"""A mended text in the reply's place, and the request that asks a model to mend one."""

import json
from typing import Any

import pytest

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
    Choice,
    Message,
    OpaquePart,
    ResponseFormat,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)
from tenfold.core.usage import Usage
from tenfold.edge.dialects.anthropic.dialect import AnthropicDialect
from tenfold.edge.dialects.openai.dialect import OpenAIDialect
from tenfold.inference.canonical import CanonicalDialect
from tenfold.inference.output.put_back import body_with_texts, events_of, repair_request, with_texts
from tenfold.inference.output.said import StreamText, said_in
from tenfold.inference.ports import ClientDialect
from tenfold.providers.anthropic.wire import AnthropicWire
from tenfold.providers.gemini.wire import GeminiWire
from tenfold.providers.openai.wire import OpenAIWire
from tenfold.providers.ports import Wire
from tests.dialects.matrix.replies import hello, whole_replies

WIRES: dict[str, Wire] = {"openai": OpenAIWire(), "anthropic": AnthropicWire(), "gemini": GeminiWire()}
DIALECTS: dict[str, ClientDialect] = {"openai": OpenAIDialect(), "anthropic": AnthropicDialect()}
NEW = '{"a":1}'


def asked(**members: Any) -> ChatRequest:
    form = ResponseFormat(kind="json_schema", name="x", schema={"type": "object"})
    return ChatRequest(
        model="m",
        messages=[Message(role="user", parts=[TextPart(text="an object, please")])],
        response_format=form,
        max_tokens=100,
        **members,
    )


# -- put back --------------------------------------------------------------------------------


def test_everything_but_the_text_stays() -> None:
    thought, call = ThinkingPart(text="hm", signature="s"), ToolCallPart(id="c", name="f", arguments="{}")
    usage = Usage(input_tokens=3, output_tokens=4)
    reply = ChatReply(
        id="r",
        model="m",
        usage=usage,
        created_s=7,
        choices=[
            Choice(
                parts=[thought, TextPart(text="{a"), TextPart(text=":1}"), call],
                finish_reason="length",
                logprobs={"content": []},
            ),
            Choice(index=1, parts=[TextPart(text="{}")], finish_reason="stop"),
        ],
    )
    found = with_texts(reply, {0: NEW})
    assert (found.id, found.model, found.usage, found.created_s) == ("r", "m", usage, 7)
    assert found.choices[0] == Choice(parts=[thought, TextPart(text=NEW), call], finish_reason="stop")
    assert found.choices[1] == reply.choices[1]


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("upstream", WIRES)
def test_a_body_keeps_its_id_and_usage(client: str, upstream: str) -> None:
    wire, dialect = WIRES[upstream], DIALECTS[client]
    body = body_with_texts(hello(upstream), {0: NEW}, wire=wire, dialect=dialect, request=asked())
    before, after = wire.decode_chat(hello(upstream)), WIRES[client].decode_chat(body)
    assert said_in(after)[0].text == NEW
    assert after.usage == before.usage
    assert after.model == before.model
    assert before.id in after.id


@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_bodies_keep_their_id_usage_and_own_members(dialect: str) -> None:
    wire = WIRES[dialect]
    for name, body in whole_replies(dialect):
        before = wire.decode_chat(body)
        texts = {choice.index: NEW for choice in before.choices}
        new = body_with_texts(body, texts, wire=wire, dialect=DIALECTS[dialect], request=asked())
        after = wire.decode_chat(new)
        assert all(said.text == NEW for said in said_in(after)), name
        assert (after.usage, after.model, after.id.removeprefix("msg_")) == (
            before.usage,
            before.model,
            before.id.removeprefix("msg_"),
        ), name
        assert json.loads(new).keys() >= json.loads(body).keys() - {"service_tier", "system_fingerprint"}, name


# -- ask a model -----------------------------------------------------------------------------


def test_the_follow_up_has_what_was_asked_said_and_wrong() -> None:
    request = asked(
        temperature=0.5,
        stream=True,
        include_usage=True,
        n=3,
        logprobs=True,
        top_logprobs=2,
        native=OpaquePart(dialect="openai", value={"stream_options": {"x": 1}, "store": True}),
    )
    found = repair_request(request, "{a}", ("/a: is a number, expected string", "(root): lacks"))
    first, said, complaint = found.messages
    assert first == request.messages[0]
    assert said == Message(role="assistant", parts=[TextPart(text="{a}")])
    assert complaint.role == "user"
    assert isinstance(complaint.parts[0], TextPart)
    assert "/a: is a number, expected string\n- (root): lacks" in complaint.parts[0].text
    assert (found.n, found.stream, found.include_usage, found.logprobs, found.top_logprobs) == (1,) + (False,) * 3 + (
        None,
    )
    assert found.native == OpaquePart(dialect="openai", value={"store": True})
    assert (found.response_format, found.temperature, found.max_tokens) == (request.response_format, 0.5, 100)
    assert len(request.messages) == 1


def test_a_follow_up_calls_no_tools_and_knows_those_that_were_called() -> None:
    tool = Tool(name="f", parameters={"type": "object"})
    found = repair_request(asked(tools=[tool], tool_choice=ToolChoice(mode="required")), "x", ("e",))
    assert found.tools == [tool]
    assert found.tool_choice == ToolChoice(mode="none")


def test_an_empty_reply_is_not_shown() -> None:
    assert [message.role for message in repair_request(asked(), " \n", ("e",)).messages] == ["user", "user"]


def test_what_is_shown_is_bounded() -> None:
    found = repair_request(asked(), "x" * 1_000_000, ("e" * 300,) * 8)
    assert sum(len(part.text) for m in found.messages for part in m.parts if isinstance(part, TextPart)) < 70_000


@pytest.mark.parametrize("upstream", WIRES)
def test_every_upstream_can_be_asked(upstream: str) -> None:
    tool = Tool(name="f", parameters={"type": "object"})
    request = repair_request(asked(tools=[tool], stream=True), "{a}", ("/a: is wrong",))
    body = json.loads(WIRES[upstream].encode_chat(request, "m").body)
    assert "/a: is wrong" in json.dumps(body)
    assert not body.get("stream")


# -- as a stream -----------------------------------------------------------------------------


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("upstream", WIRES)
def test_a_reply_held_back_is_a_stream_of_the_client(client: str, upstream: str) -> None:
    reply = with_texts(WIRES[upstream].decode_chat(hello(upstream)), {0: NEW})
    encoder = DIALECTS[client].reply_encoder(asked(stream=True, include_usage=True))
    frames = encoder.encode(list(events_of(reply)))
    stream = StreamText(WIRES[client].stream_decoder())
    stream.feed(frames)
    assert [said.text for said in stream.said()] == [NEW]
    assert not stream.failed
    facts = WIRES[client].stream_facts(frames, frames)
    assert facts.complete
    assert facts.usage == reply.usage


def test_callers_inside_get_it_too() -> None:
    reply = WIRES["openai"].decode_chat(hello("openai"))
    assert CanonicalDialect().reply_encoder(asked()).encode(list(events_of(reply)))
