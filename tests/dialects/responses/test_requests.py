"""Requests: what they mean to any upstream, and what is refused, with the way out."""

import copy
import cProfile
import json
import pstats
from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tenfold.core.call import Reach
from tenfold.core.chat import (
    AudioPart,
    ChatReply,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    ResponseFormat,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from tenfold.core.errors import InvalidRequest, NotFound, TenfoldError, UnsupportedParameter
from tenfold.edge.dialects.responses import ResponsesDialect, input_items, look
from tests.dialects.matrix.gateway import MODELS, UPSTREAMS, upstream_wire
from tests.dialects.openai.vectors import spots
from tests.dialects.responses.vectors import asking, documented, recorded
from tests.support.naughty import naughty_strings

DIALECT = ResponsesDialect()
F: dict[str, Any] = {"type": "function", "name": "f", "parameters": {"type": "object"}}
G: dict[str, Any] = {"type": "function", "name": "g", "parameters": {"type": "object"}}
SQL: dict[str, Any] = {"type": "custom", "name": "sql"}
PNG = "data:image/png;base64,AAAA"


def decoded(**members: Any) -> ChatRequest:
    body = asking(**members)
    DIALECT.peek("chat", body)
    return DIALECT.decode_chat(body)


def messages(*items: Any) -> list[Message]:
    return decoded(input=list(items)).messages


def content(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def call(id_: str, name: str = "f") -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_, "name": name, "arguments": "{}"}


def result(id_: str, output: Any = "ok") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id_, "output": output}


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


# -- real requests ---------------------------------------------------------------------------


def test_recorded_requests_mean_something_everywhere() -> None:
    """Those that need nothing of OpenAI's own make a request to every upstream; the others are refused by name."""
    understood = 0
    for row in recorded():
        body = json.dumps(row["request"]).encode()
        try:
            request = DIALECT.decode_chat(body)
        except UnsupportedParameter as error:
            assert error.param, error.message
            continue
        understood += 1
        for upstream in UPSTREAMS:
            plain = structs.replace(request, reasoning_effort=None)
            try:
                assert json.loads(upstream_wire(upstream).encode_chat(plain, MODELS[upstream]).body)
            except UnsupportedParameter as error:
                assert "as base64" in error.message or error.param == "logprobs"
    assert understood > 60


def test_documented_requests() -> None:
    refused = 0
    for body in documented():
        try:
            DIALECT.peek("chat", json.dumps(body).encode())
        except UnsupportedParameter:
            refused += 1  # web search and file search
    assert refused == 2


def test_recorded_answers_come_back_as_input() -> None:
    """Output items of OpenAI's own servers: messages, calls and thoughts."""
    count = 0
    for row in recorded():
        for item in (row["response_json"] or {}).get("output") or ():
            if item["type"] in ("message", "function_call", "reasoning"):
                results = [result(item["call_id"])] if item["type"] == "function_call" else []
                assert messages(said("hi"), item, *results)
                count += 1
    assert count > 150


# -- the conversation ------------------------------------------------------------------------


def test_a_text_is_what_the_user_said() -> None:
    request = decoded(input="hi", instructions="Be brief.")
    assert request.messages == [
        Message(role="system", parts=[TextPart(text="Be brief.")]),
        Message(role="user", parts=[TextPart(text="hi")]),
    ]


def test_messages_of_every_role() -> None:
    assert [message.role for message in messages(said("a", "system"), said("b", "developer"), said("c"))] == [
        "system",
        "developer",
        "user",
    ]


def test_what_the_assistant_did_in_one_go_is_one_message() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    found = messages(said("hi"), thought, said("well", "assistant"), call("a"), call("b"), result("a"), result("b"))
    assert [message.role for message in found] == ["user", "assistant", "tool", "tool"]
    assert found[1].parts == [
        ThinkingPart(text="hm"),
        TextPart(text="well"),
        ToolCallPart(id="a", name="f", arguments="{}"),
        ToolCallPart(id="b", name="f", arguments="{}"),
    ]
    assert found[3].parts == [ToolResultPart(call_id="b", content=[TextPart(text="ok")])]


def test_two_messages_of_the_assistant_stay_two() -> None:
    found = messages(said("hi"), said("first", "assistant"), said("second", "assistant"))
    assert [message.role for message in found] == ["user", "assistant", "assistant"]


def test_a_message_between_calls_stays_with_them() -> None:
    """Results follow the calls of one message, so that nothing may come between."""
    found = messages(said("hi"), call("a"), said("wait", "assistant"), call("b"), result("a"), result("b"))
    assert [message.role for message in found] == ["user", "assistant", "tool", "tool"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "x"}, TextPart(text="x")),
        (
            {"type": "input_image", "image_url": PNG, "detail": "low"},
            ImagePart(media_type="image/png", data="AAAA", detail="low"),
        ),
        ({"type": "input_image", "image_url": "https://a.example/b.png"}, ImagePart(url="https://a.example/b.png")),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            FilePart(media_type="application/pdf", data="AAAA", name="a.pdf"),
        ),
        ({"type": "input_file", "file_data": "AAAA"}, FilePart(data="AAAA")),
        ({"type": "input_file", "file_url": "https://a.example/b.pdf"}, FilePart(url="https://a.example/b.pdf")),
        ({"type": "input_file", "file_id": "file-1"}, FilePart(file_id="file-1")),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, AudioPart(data="AA", format="wav")),
    ],
)
def test_contents(content: dict[str, Any], part: Part) -> None:
    assert messages({"role": "user", "content": [content]})[0].parts == [part]
    if content["type"] != "input_audio":
        told = messages(said("hi"), call("a"), result("a", [content]))[2].parts[0]
        assert told == ToolResultPart(call_id="a", content=[part])


def test_the_assistants_own_contents() -> None:
    content = [
        {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "no"},
    ]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    assert messages(said("hi"), item)[1].parts == [TextPart(text="a"), RefusalPart(text="no")]


def test_thoughts_that_others_sealed_are_their_text() -> None:
    for sealed in ("gAAAAABpPDIUph8czEXzDePCV2lJ27wm7TsbCvazrvHS", "tenfold1.!!", "tenfold1.", "tenfold1.e30="):
        item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "encrypted_content": sealed, "summary": []}
        shown = item | {"content": [{"type": "reasoning_text", "text": "hm"}]}
        assert messages(said("hi"), shown)[1].parts == [ThinkingPart(text="hm")]
        assert len(messages(said("hi"), item)) == 1  # nothing is left of it


def test_nothing_else_comes_in_sealed() -> None:
    """A block that only one provider knows would be carried to it as it is, and not accounted for."""
    document = OpaquePart(dialect="anthropic", value={"type": "document", "source": {"type": "url", "url": "x"}})
    for part in (document, OpaquePart(dialect="gemini", value={"text": "a", "thoughtSignature": "s"})):
        sealed = "tenfold1." + urlsafe_b64encode(msgspec.json.encode(part)).decode()
        item = {"type": "reasoning", "id": "rs_1", "encrypted_content": sealed, "summary": []}
        assert len(messages(said("hi"), item)) == 1


def test_custom_tools() -> None:
    grammar = {"type": "grammar", "syntax": "regex", "definition": "SELECT .+"}
    request = decoded(
        input=[
            said("hi"),
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
        ],
        tools=[SQL | {"description": "Asks.", "format": grammar}],
        tool_choice=SQL,
    )
    sent = json.loads(upstream_wire("openai").encode_chat(request, "m").body)
    assert sent["tools"] == [
        {
            "type": "custom",
            "custom": {
                "name": "sql",
                "description": "Asks.",
                "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "SELECT .+"}},
            },
        }
    ]
    assert sent["tool_choice"] == {"type": "custom", "custom": {"name": "sql"}}
    assert sent["messages"][1]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    ]
    for upstream in ("anthropic", "gemini"):
        with pytest.raises(InvalidRequest):
            upstream_wire(upstream).encode_chat(request, MODELS[upstream])


# -- parameters ------------------------------------------------------------------------------


def test_parameters() -> None:
    schema = {"type": "object", "properties": {}}
    request = decoded(
        max_output_tokens=50,
        temperature=1,
        top_p=0.5,
        tools=[F | {"description": "d", "strict": True}],
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "low"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=3,
        user="u",
        service_tier="flex",
        prompt_cache_key="k",
        safety_identifier="s",
        metadata={"a": "b"},
        seed=7,
    )
    assert (request.max_tokens, request.temperature, request.top_p) == (50, 1.0, 0.5)
    assert request.tools == [Tool(name="f", description="d", parameters={"type": "object"}, strict=True)]
    assert request.response_format == ResponseFormat(kind="json_schema", name="n", schema=schema, strict=True)
    assert (request.reasoning_effort, request.parallel_tool_calls, request.service_tier) == ("low", False, "flex")
    assert (request.logprobs, request.top_logprobs, request.user) == (True, 3, "u")
    assert request.extra == {"prompt_cache_key": "k", "safety_identifier": "s", "seed": 7, "verbosity": "low"}
    assert request.metadata is None  # it is the response's, and no business of the upstream


@pytest.mark.parametrize(
    ("choice", "tools", "meant"),
    [
        ("auto", ["f", "g"], ToolChoice(mode="auto")),
        ("none", ["f", "g"], ToolChoice(mode="none")),
        ("required", ["f", "g"], ToolChoice(mode="required")),
        ({"type": "function", "name": "g"}, ["f", "g"], ToolChoice(mode="named", name="g")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]},
            ["g"],
            ToolChoice(mode="required"),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ["f"],
            ToolChoice(mode="auto"),
        ),
    ],
)
def test_tool_choices(choice: Any, tools: list[str], meant: ToolChoice) -> None:
    request = decoded(tools=[F, G], tool_choice=choice)
    assert [tool.name for tool in request.tools] == tools
    assert request.tool_choice == meant


def test_peek() -> None:
    peek = DIALECT.peek("chat", asking(stream=True, tools=[F], text={"format": {"type": "json_object"}}, user="u"))
    assert (peek.model, peek.stream, peek.n, peek.has_tools, peek.wants_json) == ("m", True, 1, True, True)
    assert (peek.include_usage, peek.user, peek.reach, peek.max_tokens) == (True, "u", None, None)


@pytest.mark.parametrize(
    ("members", "reach"),
    [
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]},
            Reach(images=1, image_bytes=len(PNG)),
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://a.example/b.jpg"}]}]},
            Reach(images=1),
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "AAAA"}]}]}, Reach(windows=1)),
        (
            {"input": [said("hi"), call("a"), result("a", [{"type": "input_image", "image_url": PNG}])]},
            Reach(images=1, image_bytes=len(PNG)),
        ),
        ({"seed": 1}, None),
        ({"plugins": [{"id": "web"}]}, Reach(windows=10, rounds=10)),
    ],
)
def test_reach(members: dict[str, Any], reach: Reach | None) -> None:
    assert DIALECT.peek("chat", asking(**members)).reach == reach


def test_counting_tokens() -> None:
    open_call = asking(input=[said("hi"), call("a")], tools=[F])
    assert DIALECT.peek("count_tokens", open_call).model == "m"
    assert DIALECT.decode_chat(open_call).messages
    assert json.loads(DIALECT.encode_count(7)) == {"object": "response.input_tokens", "input_tokens": 7}


def test_no_embeddings() -> None:
    with pytest.raises(NotFound):
        DIALECT.peek("embeddings", b"{}")


# -- what is refused -------------------------------------------------------------------------


def allowed(mode: str, tools: list[Any]) -> dict[str, Any]:
    return {"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": mode, "tools": tools}}


DEEP = b'{"model":"m","input":"hi","metadata":' + b"[" * 200 + b"]" * 200 + b"}"


@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        ({"model": ""}, "model", "model"),
        ({"model": 5}, "model", "expected a string, but got an integer"),
        ({"input": None}, "input", "Missing required parameter: 'input'"),
        ({"input": []}, "input", "Missing required parameter: 'input'"),
        ({"input": ["x"]}, "input[0]", "expected an object"),
        ({"input": [said("hi"), {"role": "user"}]}, "input[1].content", "Missing required parameter"),
        ({"input": [{"content": "x"}]}, "input[0].role", "Missing required parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0]", "'tool' is none of"),
        ({"input": [content({"type": "input_text"})]}, "input[0].content[0].text", "Missing"),
        ({"input": [content({"type": "video"})]}, "input[0].content[0]", "not known"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
            "Missing",
        ),
        ({"input": [{"id": "msg_1"}]}, "input[0]", "previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "previous_response_id"),
        ({"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]}, "input[0]", "leave it out"),
        ({"input": [{"type": "computer_call_output", "call_id": "c", "output": {"x": 1}}]}, "input[0]", "leave it out"),
        ({"input": [said("hi"), call("a")]}, "input", "No tool output found for function call a"),
        (
            {"input": [said("hi"), result("a")]},
            "input[1]",
            "output with call_id a",
        ),
        ({"input": [said("hi"), call("a"), result("a", {"x": 1})]}, "input[2].output", "expected"),
        (
            {"input": [said("hi"), call("a"), result("a", [{"type": "input_text"}])]},
            "input[2].output[0].text",
            "Missing",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "Missing"),
        ({"tools": [SQL | {"format": {"type": "grammar"}}]}, "tools[0].format.syntax", "Missing"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "function tool that searches"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "tools[0]", "function tool that searches"),
        ({"tools": [F, {"type": "mcp", "server_label": "x"}]}, "tools[1]", "its tools as functions"),
        ({"tools": [{"type": "brand_new"}]}, "tools[0]", "offer a function tool"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].vector_store_ids", "Missing"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]", "in a batch there is no"),
        ({"tools": [F], "tool_choice": {"type": "file_search"}}, "tool_choice", "'file_search' not found in"),
        ({"tool_choice": "any"}, "tool_choice", "Supported values are: 'none', 'auto', and 'required'"),
        ({"tools": [F], "tool_choice": {"type": "function", "name": "h"}}, "tool_choice", "'h' not found in 'tools'"),
        ({"tools": [F], "tool_choice": {"type": "function"}}, "tool_choice.name", "Missing"),
        ({"tools": [F], "tool_choice": {"type": "web_search"}}, "tool_choice", "function tool that searches"),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": [F]}},
            "tool_choice.mode",
            "auto",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "tool_choice.tools",
            "Missing",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [3]}},
            "tool_choice.tools[0]",
            "object",
        ),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [G]}},
            "tool_choice.tools[0]",
            "not found",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "Missing"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "xml"),
        ({"temperature": 3}, "temperature", "<= 2"),
        ({"temperature": "hot"}, "temperature", "expected a number"),
        ({"top_p": -1}, "top_p", ">= 0"),
        ({"max_output_tokens": 0}, "max_output_tokens", ">= 1"),
        ({"top_logprobs": 21}, "top_logprobs", "<= 20"),
        ({"metadata": {"a": 5}}, "metadata[...]", "expected a string"),
        ({"metadata": {"a": "b" * 513}}, "metadata[...]", "length <= 512"),
        ({"metadata": {str(n): "b" for n in range(17)}}, "metadata", "length <= 16"),
        ({"include": ["everything"]}, "include[0]", "Supported values"),
        ({"truncation": "some"}, "truncation", "some"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary", "long"),
        ({"prompt": {"id": "p"}}, "prompt", "instructions"),
        ({"conversation": "conv_1"}, "conversation", "previous_response_id"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "shorten"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "POST /v1/responses"),
        ({"background": True}, "background", "POST /v1/responses"),
    ],
)
def test_refusals(members: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decoded(**members)
    assert refused.value.param == param
    assert words in refused.value.message


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"5", b'{"model":"m","input":"\xff"}', b'{"model":"m","model":"n","input":"x"}', DEEP]
)
def test_bodies_that_are_none(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        DIALECT.peek("chat", body)
    with pytest.raises(InvalidRequest):
        look(body)


def test_look_allows_what_the_service_answers() -> None:
    value, typed = look(asking(previous_response_id="resp_1", background=True, store=True, input=[result("a")]))
    assert (typed.previous_response_id, typed.background, typed.store) == ("resp_1", True, True)
    assert value["input"][0]["call_id"] == "a"


# -- fuzz ------------------------------------------------------------------------------------

_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
    st.just([{}]),
    st.just({"type": "function"}),
)
_RICH = {
    "model": "m",
    "instructions": "x",
    "input": [
        said("hi"),
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "content": []},
        call("a"),
        result("a", [{"type": "input_file", "file_data": "AAAA", "filename": "a.pdf"}]),
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "1"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "id": "msg_1"},
        said("again"),
    ],
    "tools": [F, SQL | {"format": {"type": "grammar", "syntax": "lark", "definition": "x"}}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "metadata": {"a": "b"},
    "include": ["reasoning.encrypted_content"],
    "stream_options": {"include_obfuscation": False},
}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_member_may_be_wrong(data: st.DataObject) -> None:
    """It is understood or refused with a typed error, never anything else; and what is understood is answered."""
    value = json.loads(json.dumps(_RICH))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(spots(value)))
        if data.draw(st.booleans()):
            holder[key] = copy.deepcopy(data.draw(_values))
        elif isinstance(holder, dict):
            del holder[key]
    body = json.dumps(value).encode()
    try:
        DIALECT.peek("chat", body)
    except InvalidRequest as error:
        assert len(error.message) < 2_000
        return
    request = DIALECT.decode_chat(body)
    assert json.loads(DIALECT.encode_reply(ChatReply(id="r", model="", choices=[]), request))["status"] == "completed"
    items = input_items(value, "resp_1")
    assert not items or DIALECT.decode_chat(json.dumps(value | {"input": items}).encode()).messages == request.messages
    for upstream in UPSTREAMS:
        try:
            upstream_wire(upstream).encode_chat(request, MODELS[upstream])
        except TenfoldError as error:
            assert error.status == 400


def test_naughty_strings() -> None:
    """In any place of a request they arrive as they are, or are refused for what they are."""
    for text in naughty_strings():
        try:
            body = json.dumps(
                _RICH | {"input": [said(text), call(text or "a", text), result(text or "a", text)]}
            ).encode()
            request = DIALECT.decode_chat(body)
        except InvalidRequest:
            assert "\ud800" in text
            continue
        user, assistant, tool = request.messages[1:4]
        assert user.parts == ([TextPart(text=text)] if text else [])
        assert assistant.parts == [ToolCallPart(id=text or "a", name=text, arguments="{}")]
        assert tool.parts == [ToolResultPart(call_id=text or "a", content=[TextPart(text=text)] if text else [])]
        for name in ("model", "user", "instructions"):
            if text:
                DIALECT.decode_chat(json.dumps(_RICH | {name: text}).encode())
        for name in ("service_tier", "truncation", "tool_choice", "prompt_cache_key"):
            try:
                DIALECT.decode_chat(json.dumps(_RICH | {name: text}).encode())
            except InvalidRequest as error:
                assert len(error.message) < 400


def test_very_many_items_take_no_longer_than_they_are_long() -> None:
    """Counted in steps, as time depends on who else works here: ten times the items, about ten times the steps."""
    steps = []
    for count in (200, 2_000):
        items = [call(f"c{number}") for number in range(count)] + [result(f"c{number}") for number in range(count)]
        body = asking(input=items)
        profile = cProfile.Profile()
        profile.runcall(DIALECT.decode_chat, body)
        steps.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
    assert steps[1] < 15 * steps[0]
