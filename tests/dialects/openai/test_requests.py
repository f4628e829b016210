"""Requests: through the canonical types and back to OpenAI's wire they ask for the same; other dialects' too."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    JsonObject,
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
from tenfold.core.errors import InvalidRequest, UnsupportedParameter
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.providers.openai import OpenAIWire, UpstreamFacts, upstream_facts
from tests.dialects.openai.vectors import PROVIDERS, requests, spots
from tests.support.openai_schema import assert_valid, official_examples

DIALECT = OpenAIDialect()
HOSTS = {
    "openai": "https://api.openai.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "mistral": "https://api.mistral.ai/v1",
}


def decoded(**members: Any) -> ChatRequest:
    hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return DIALECT.decode_chat(json.dumps(hi | members).encode())


def encoded(request: ChatRequest, facts: UpstreamFacts | None = None, model: str = "m") -> JsonObject:
    wire = OpenAIWire(facts) if facts is not None else OpenAIWire()
    value: JsonObject = json.loads(wire.encode_chat(request, model).body)
    return value


def asked(*parts: Part, role: Any = "user") -> ChatRequest:
    return ChatRequest(model="m", messages=[Message(role=role, parts=list(parts))])


def content_of(part: Part, facts: UpstreamFacts | None = None) -> Any:
    return encoded(asked(part), facts)["messages"][0]["content"]


# -- there and back --------------------------------------------------------------------------


def normalised(value: JsonObject) -> JsonObject:
    """The same request without the choices of spelling the API leaves free."""
    plain = {name: member for name, member in value.items() if member not in (None, [], False)}
    plain.pop("stream_options", None)  # the gateway always asks for usage
    for old, new in (("max_tokens", "max_completion_tokens"), ("random_seed", "seed")):
        if old in plain:
            plain[new] = plain.pop(old)
    if plain.get("n") == 1:
        del plain["n"]
    if isinstance(plain.get("stop"), str):
        plain["stop"] = [plain["stop"]]
    if plain.get("tool_choice") == "any":
        plain["tool_choice"] = "required"
    plain["messages"] = [_normalised_message(message) for message in value["messages"]]
    if "tools" in plain:
        plain["tools"] = [{"type": "function"} | tool for tool in plain["tools"]]
    return plain


def _normalised_message(message: JsonObject) -> JsonObject:
    plain = {name: member for name, member in message.items() if member not in (None, [])}
    if isinstance(plain.get("content"), list):
        parts = plain["content"]
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            plain["content"] = parts[0]["text"]
    plain["tool_calls"] = [
        {"type": "function"} | {name: member for name, member in call.items() if name != "index"}
        for call in plain.get("tool_calls", [])
    ]
    return plain


@pytest.mark.parametrize("provider", PROVIDERS)
def test_recorded_requests_come_out_as_they_went_in(provider: str) -> None:
    wire = OpenAIWire(upstream_facts(HOSTS[provider]))
    for name, raw in requests(provider).items():
        request = DIALECT.decode_chat(raw)
        out = wire.encode_chat(request, request.model)
        assert normalised(json.loads(out.body)) == normalised(json.loads(raw)), name
        assert out.path == "/chat/completions"
        assert out.ignored == ()


def test_official_examples_come_out_as_they_went_in_and_valid() -> None:
    for example in official_examples("/chat/completions"):
        raw = example["curl"].split("-d '", 1)[1].rsplit("'", 1)[0]
        out = encoded(decoded(**json.loads(raw)), model=json.loads(raw)["model"])
        assert normalised(out) == normalised(json.loads(raw)), example["title"]
        assert_valid("CreateChatCompletionRequest", out)


def every_member() -> JsonObject:
    return {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "d"},
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "user",
                "name": "ann",
                "content": [
                    {"type": "text", "text": "look", "own": 1},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}, "own": [1]},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_id": "file-1"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
                    {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hmm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hmm", "signature": "s"}],
                "prefix": True,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}, "own": 2},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "text"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "r1", "own": 3},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": t} for t in "ab"]},
            {"role": "assistant", "content": "", "refusal": "no", "audio": {"id": "audio_1"}},
            {"role": "user", "content": ""},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {}, "strict": True, "own": 4},
                "own": 5,
            },
            {"type": "custom", "custom": {"name": "g"}},
            {"type": "openrouter:web_search", "parameters": {"max_uses": 1}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True},
        },
        "max_completion_tokens": 9,
        "temperature": 0.25,
        "top_p": 0.5,
        "top_k": 3,
        "stop": ["a", "b"],
        "seed": -4,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "presence_penalty": -1.5,
        "frequency_penalty": 1,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "modalities": ["text", "audio"],
        "user": "u",
        "metadata": {"k": "v"},
        "service_tier": "flex",
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "store": True,
        "audio": {"voice": "alloy", "format": "wav"},
        "prediction": {"type": "content", "content": "x"},
        "web_search_options": {},
        "verbosity": "low",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "min_p": 0.1,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_every_member_survives() -> None:
    members = every_member()
    out = encoded(decoded(**members))
    assert out.pop("max_tokens") == members.pop("max_completion_tokens")
    assert {name: (out.get(name), member) for name, member in members.items() if out.get(name) != member} == {}
    assert out.keys() == members.keys()


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}},
        {"type": "custom", "custom": {"name": "g"}},
    ],
)
def test_a_choice_only_openai_knows_goes_back_to_it(choice: JsonObject) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    request = decoded(tools=tools, tool_choice=choice)
    assert encoded(request)["tool_choice"] == choice
    required = choice.get("allowed_tools", {}).get("mode") == "required"
    assert request.tool_choice == (ToolChoice(mode="required") if required else None)


def test_a_format_only_some_server_knows_goes_back_to_it() -> None:
    grammar = {"type": "grammar", "grammar": "root ::= x"}
    assert encoded(decoded(response_format=grammar))["response_format"] == grammar


@given(data=st.data())
def test_what_the_front_door_lets_in_can_be_sent_on(data: st.DataObject) -> None:
    spot, key = data.draw(st.sampled_from(spots(value := every_member())))
    spot[key] = data.draw(JSON)
    try:
        request = DIALECT.decode_chat(json.dumps(value).encode())
    except InvalidRequest as error:
        assert error.message
        return
    assert encoded(request)["model"] == "m"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


# -- what the other dialects get to see ------------------------------------------------------


def test_canonical_parts_of_a_request() -> None:
    request = decoded(
        messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}}]},
            {
                "role": "assistant",
                "reasoning_content": "hmm",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                        "extra_content": {"google": {"thought_signature": "sig"}},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
        stop="x",
        max_tokens=5,
    )
    assert request.messages[0].parts == [ImagePart(media_type="image/gif", data="R0lG")]
    assert request.messages[1].parts == [
        ThinkingPart(text="hmm"),
        ToolCallPart(id="c", name="f", arguments="", signature="sig"),
    ]
    assert request.messages[2].parts == [ToolResultPart(call_id="c", content=[TextPart(text="ok")])]
    assert (request.stop, request.max_tokens, request.include_usage) == (["x"], 5, False)


def test_legacy_functions_become_tools() -> None:
    request = decoded(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
    )
    out = encoded(request)
    call_id = out["messages"][1]["tool_calls"][0]["id"]
    assert out["messages"][2] == {"role": "tool", "tool_call_id": call_id, "content": "42"}
    assert out["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert out["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert not out.keys() & {"functions", "function_call"}
    assert_valid("CreateChatCompletionRequest", out)


def test_a_request_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(messages=[{"role": "user", "content": 5}])
    assert caught.value.param == "messages[0].content"
    with pytest.raises(InvalidRequest):
        DIALECT.decode_chat(b'{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":{"a":1e999}}')


# -- what other dialects ask for -------------------------------------------------------------


def test_tool_results_get_messages_of_their_own_and_their_images_a_user() -> None:
    image = ImagePart(url="https://x/y.png")
    request = ChatRequest(
        model="m",
        messages=[
            Message(role="assistant", parts=[ToolCallPart(id=name, name="f", arguments="{}") for name in "ab"]),
            Message(
                role="tool",
                parts=[
                    ToolResultPart(call_id="a", content=[TextPart(text="one"), image], is_error=True),
                    ToolResultPart(call_id="b", content=[]),
                    TextPart(text="go on"),
                ],
            ),
        ],
    )
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert encoded(request)["messages"][1:] == [
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": [picture]},
        {"role": "user", "content": "go on"},
    ]
    assert_valid("CreateChatCompletionRequest", encoded(request))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (TextPart(text="t", cache_control={"type": "ephemeral"}), "t"),
        (ImagePart(data="AAAA"), [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]),
        (AudioPart(data="AA", format="mp3"), [{"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}}]),
        (FilePart(media_type="text/plain", data="aGk="), "hi"),
        (
            FilePart(media_type="application/pdf", data="AAAA"),
            [{"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"}}],
        ),
        (FilePart(file_id="f", name="n"), [{"type": "file", "file": {"file_id": "f", "filename": "n"}}]),
        (ThinkingPart(text="hmm"), ""),
        (OpaquePart(dialect="anthropic", value={"type": "server_tool_use"}), ""),
        (RefusalPart(text="no"), [{"type": "refusal", "refusal": "no"}]),
    ],
)
def test_parts_of_other_dialects(part: Part, value: Any) -> None:
    assert content_of(part) == value


def test_a_document_by_url_goes_where_it_is_known() -> None:
    part = FilePart(url="https://x/y.pdf", name="y.pdf")
    with pytest.raises(UnsupportedParameter):
        content_of(part)
    router = upstream_facts("https://openrouter.ai/api/v1")
    assert content_of(part, router) == [{"type": "file", "file": {"file_data": "https://x/y.pdf", "filename": "y.pdf"}}]


def test_a_foreign_tool_is_refused() -> None:
    tool = Tool(name="bash", opaque=OpaquePart(dialect="anthropic", value={"type": "bash_20250124"}))
    with pytest.raises(UnsupportedParameter, match="bash"):
        encoded(ChatRequest(model="m", messages=[], tools=[tool]))


def test_thoughts_and_signatures_go_back_only_where_they_are_taken() -> None:
    call = ToolCallPart(id="c", name="f", arguments="{}", signature="sig")
    request = asked(ThinkingPart(text="hmm", signature="x"), call, role="assistant")
    plain = encoded(request)["messages"][0]
    assert plain.keys() == {"role", "content", "tool_calls"}
    assert plain["tool_calls"][0].keys() == {"id", "type", "function"}
    deepseek = encoded(request, upstream_facts("https://api.deepseek.com/v1"))["messages"][0]
    assert deepseek["reasoning_content"] == "hmm"
    google = encoded(request, upstream_facts("https://generativelanguage.googleapis.com/v1beta/openai"))["messages"][0]
    assert google["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "sig"}}


def test_what_has_no_word_is_told_and_left_out() -> None:
    request = ChatRequest(
        model="m",
        messages=[Message(role="user", parts=[TextPart(text="hi")])],
        top_k=5,
        thinking_budget=4_000,
        service_tier="standard_only",
        stream=True,
    )
    out = OpenAIWire(upstream_facts("https://api.openai.com/v1")).encode_chat(request, "gpt-4o")
    assert set(out.ignored) == {"top_k", "thinking", "service_tier"}
    assert json.loads(out.body).keys() == {"model", "messages", "stream", "stream_options"}
    assert encoded(request, model="gpt-5.2")["reasoning_effort"] == "medium"
    assert encoded(request)["top_k"] == 5


@pytest.mark.parametrize(
    ("url", "model", "name"),
    [
        ("https://api.openai.com/v1", "gpt-4o", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "gpt-4o", "max_completion_tokens"),
        ("http://127.0.0.1:8000/v1", "llama-3", "max_tokens"),
        ("http://127.0.0.1:8000/v1", "o3-mini", "max_completion_tokens"),
        ("https://openrouter.ai/api/v1", "openai/gpt-5-mini", "max_completion_tokens"),
        ("https://openrouter.ai.evil.example/v1", "m", "max_tokens"),
        ("not a url", "m", "max_tokens"),
    ],
)
def test_the_output_limit_has_the_name_the_server_knows(url: str, model: str, name: str) -> None:
    request = ChatRequest(model=model, messages=[Message(role="user", parts=[TextPart(text="hi")])], max_tokens=7)
    out = encoded(request, upstream_facts(url), model)
    assert out[name] == 7
    assert len(out.keys() & {"max_tokens", "max_completion_tokens"}) == 1


def test_formats_are_openais() -> None:
    text = [Message(role="user", parts=[TextPart(text="hi")])]
    wanted = ResponseFormat(kind="json_schema", schema={"type": "object"})
    out = encoded(ChatRequest(model="m", messages=text, response_format=wanted))
    assert out["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": {"type": "object"}},
    }
    assert_valid("CreateChatCompletionRequest", out)


def test_the_key_travels_in_the_header_the_server_reads() -> None:
    assert OpenAIWire().request_headers("k") == [(b"authorization", b"Bearer k")]
    assert OpenAIWire().request_headers(None) == []
    azure = upstream_facts("https://x.openai.azure.com/openai/v1")
    assert OpenAIWire(azure).request_headers("k") == [(b"api-key", b"k")]
