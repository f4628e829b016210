"""Requests: the recorded ones come out as they were, and each canonical wish has its place or its refusal."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.chat import (
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolChoice,
)
from tenfold.core.errors import UnsupportedParameter
from tenfold.providers.gemini.wire import GeminiWire
from tests.dialects.gemini.rebuild import canonical, comparable
from tests.dialects.gemini.said import HELLO, encode, user
from tests.dialects.gemini.vectors import recorded

WIRE = GeminiWire()


def config(model: str = "gemini-2.5-flash", **said: Any) -> dict[str, Any]:
    found: dict[str, Any] = encode(model, **said).get("generationConfig", {})
    return found


def test_recorded_requests_come_out_as_they_were() -> None:
    rows = recorded("generate") + recorded("stream")
    assert len(rows) > 100
    for row in rows:
        request = canonical(row)
        wire_request = WIRE.encode_chat(request, request.model)
        assert wire_request.path == row["path"]
        assert wire_request.ignored == ()
        expected, found = comparable(row["request"]), comparable(json.loads(wire_request.body))
        assert found == expected, row["id"]


def test_the_path_names_model_and_method() -> None:
    assert WIRE.encode_chat(ChatRequest(model="m", messages=HELLO), "gemini-2.5-pro").path == (
        "/v1beta/models/gemini-2.5-pro:generateContent"
    )
    streamed = ChatRequest(model="m", messages=HELLO, stream=True)
    assert WIRE.encode_chat(streamed, "tunedModels/mine").path == (
        "/v1beta/tunedModels/mine:streamGenerateContent?alt=sse"
    )
    assert WIRE.encode_chat(streamed, "../x/y?z").path.startswith("/v1beta/models/..%2Fx%2Fy%3Fz:")


def test_what_a_client_may_steer_has_its_place() -> None:
    assert config(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=["x"],
        seed=7,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=4,
    ) == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 3,
        "stopSequences": ["x"],
        "seed": 7,
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 4,
    }
    assert config() == {}
    assert config(temperature=0.0, max_tokens=0) == {"temperature": 0.0, "maxOutputTokens": 0}


@given(st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_a_seed_fits_32_bits_and_stays_the_same_seed(seed: int) -> None:
    sent = config(seed=seed)["seed"]
    assert -(2**31) <= sent < 2**31
    assert sent == config(seed=seed)["seed"]
    assert sent == seed or abs(seed) >= 2**31


@pytest.mark.parametrize(
    ("model", "said", "thinking"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", {"reasoning_effort": "high"}, {"thinkingBudget": 24576}),
        ("gemini-3-flash-preview", {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "medium"}),
        ("gemini-3-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "low"}),
        ("gemini-3-pro-preview", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "high"}),
        ("gemini-2.5-flash", {"thinking_budget": 0}, {"thinkingBudget": 0}),
        (
            "gemini-3-flash-preview",
            {"thinking_budget": 2000, "reasoning_effort": "low"},
            {"thinkingBudget": 2000, "includeThoughts": True},
        ),
    ],
)
def test_thinking_is_steered_as_the_generation_takes_it(
    model: str, said: dict[str, Any], thinking: dict[str, Any]
) -> None:
    assert config(model, **said)["thinkingConfig"] == thinking


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}}
    assert config(response_format=ResponseFormat(kind="json_schema", name="n", schema=schema, strict=True)) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert config(response_format=ResponseFormat(kind="json_object")) == {"responseMimeType": "application/json"}
    assert config(response_format=ResponseFormat(kind="text")) == {}


def test_tools_and_choices() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [
        Tool(name="f", description="d", parameters=schema),
        Tool(name="g"),
        Tool(name="googleSearch", opaque=OpaquePart(dialect="gemini", value={"googleSearch": {}})),
    ]
    body = encode(tools=tools, tool_choice=ToolChoice(mode="named", name="f"))
    assert body["tools"] == [
        {"googleSearch": {}},
        {"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": schema}, {"name": "g"}]},
    ]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}
    assert "toolConfig" not in encode(tools=tools)


@pytest.mark.parametrize(
    ("mode", "strict", "sent"),
    [
        ("auto", None, "AUTO"),
        ("auto", True, "VALIDATED"),
        (None, True, "VALIDATED"),
        ("none", True, "NONE"),
        ("required", True, "ANY"),
    ],
)
def test_a_strict_function_is_validated(mode: str | None, strict: bool | None, sent: str) -> None:
    choice = ToolChoice(mode=mode) if mode else None  # type: ignore[arg-type] # the modes above
    body = encode(tools=[Tool(name="f", strict=strict)], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": sent}}


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"reasoning_effort": "immense"}, "reasoning_effort"),
        ({"model": "gemini-3-pro-preview", "reasoning_effort": "none"}, "reasoning_effort"),
        ({"extra": {"web_search_options": {}}}, "web_search_options"),
        ({"native": OpaquePart(dialect="openai", value={"audio": {}})}, "audio"),
        ({"native": OpaquePart(dialect="openai", value={"tool_choice": {"type": "allowed_tools"}})}, "tool_choice"),
        (
            {"tools": [Tool(name="s", opaque=OpaquePart(dialect="anthropic", value={"type": "web_search"}))]},
            "tools[0]",
        ),
        ({"messages": [user(ImagePart(url="http://example.com/a.png"))]}, "messages[0]"),
        ({"messages": [user(FilePart(file_id="file-abc"))]}, "messages[0]"),
        ({"messages": [user(OpaquePart(dialect="anthropic", value={"type": "search_result"}))]}, "messages[0]"),
        ({"messages": [Message(role="system", parts=[ImagePart(data="", media_type="image/png")])]}, "messages[0]"),
    ],
)
def test_what_gemini_cannot_do_is_refused_with_a_way_out(said: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        encode(**said)
    assert caught.value.param == param
    assert ":" in caught.value.message or "knows" in caught.value.message


def test_what_is_harmless_is_left_out_and_told() -> None:
    request = ChatRequest(
        model="m",
        messages=[Message(role="user", parts=[ImagePart(data="", media_type="image/png", detail="low")], name="Ann")],
        tools=[Tool(name="f")],
        parallel_tool_calls=False,
        user="u",
        metadata={"a": "b"},
        service_tier="scale",
        extra={"store": True, "verbosity": "low"},
        native=OpaquePart(dialect="openai", value={"prompt_cache_key": "k"}),
    )
    wire_request = WIRE.encode_chat(request, "gemini-2.5-flash")
    assert wire_request.ignored == (
        "image_url.detail",
        "messages.name",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "service_tier",
        "store",
        "user",
        "verbosity",
    )
    assert set(json.loads(wire_request.body)) == {"contents", "tools"}


def test_parameters_of_gemini_travel_in_every_spelling() -> None:
    body = encode(
        temperature=0.1,
        service_tier="flex",
        tools=[Tool(name="f")],
        tool_choice=ToolChoice(mode="auto"),
        extra={
            "safety_settings": [{"category": "c", "threshold": "t"}],
            "generation_config": {"media_resolution": "LOW", "temperature": 0.9},
            "top_k": 5,
            "toolConfig": {"retrievalConfig": {}},
            "google": {"cached_content": "cachedContents/1"},
            "extra_body": {"google": {"thinking_config": {"include_thoughts": True}, "tools": [{"googleSearch": {}}]}},
            "a_parameter_of_tomorrow": 1,
            "audio": None,
            "stop_token_ids": None,
        },
    )
    assert body.pop("contents")
    assert body == {
        "safetySettings": [{"category": "c", "threshold": "t"}],
        "generationConfig": {
            "temperature": 0.9,
            "mediaResolution": "LOW",
            "topK": 5,
            "thinkingConfig": {"include_thoughts": True},
        },
        "tools": [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {}},
        "cachedContent": "cachedContents/1",
        "serviceTier": "flex",
        "a_parameter_of_tomorrow": 1,
    }


def test_counting_reads_what_the_model_would() -> None:
    request = ChatRequest(
        model="m",
        messages=[Message(role="system", parts=[TextPart(text="s")]), *HELLO],
        tools=[Tool(name="f")],
        max_tokens=5,
    )
    counted = WIRE.encode_count_tokens(request, "gemini-2.5-flash")
    assert counted is not None
    assert counted.path == "/v1beta/models/gemini-2.5-flash:countTokens"
    assert json.loads(counted.body) == {
        "generateContentRequest": {
            "model": "models/gemini-2.5-flash",
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "systemInstruction": {"parts": [{"text": "s"}]},
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
        }
    }
