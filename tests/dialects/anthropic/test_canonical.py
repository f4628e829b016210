"""What an Anthropic client's request says in canonical words: all that an upstream of another dialect needs."""

from base64 import b64encode

import msgspec

from tenfold.core.chat import (
    ChatRequest,
    FilePart,
    ImagePart,
    JsonObject,
    OpaquePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from tenfold.edge.dialects.anthropic import AnthropicDialect


def decode(**members: object) -> ChatRequest:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **members}
    return AnthropicDialect().decode_chat(msgspec.json.encode(body))


def test_parameters_take_their_canonical_names() -> None:
    request = decode(
        system="s",
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop_sequences=["X"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        new_parameter=1,
        cache_control={"type": "ephemeral"},
    )
    assert (request.model, request.max_tokens, request.stream, request.include_usage) == ("m", 5, True, True)
    assert (request.temperature, request.top_p, request.top_k, request.stop) == (0.5, 0.9, 4, ["X"])
    assert (request.user, request.service_tier) == ("u", "default")
    assert (request.thinking_budget, request.reasoning_effort) == (2048, "xhigh")
    assert request.response_format is not None
    assert (request.response_format.kind, request.response_format.schema) == ("json_schema", {"type": "object"})
    assert request.extra == {"new_parameter": 1}, "only what nobody knows goes to an upstream of another dialect"
    assert request.metadata is None
    assert [message.role for message in request.messages] == ["system", "user"]


def test_thinking_off_is_a_budget_of_nothing() -> None:
    assert decode(thinking={"type": "disabled"}).thinking_budget == 0
    assert decode(thinking={"type": "adaptive"}).thinking_budget is None


def test_tools() -> None:
    schema = {"type": "object"}
    request = decode(
        tools=[
            {"name": "f", "description": "d", "input_schema": schema, "strict": True, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "mcp_toolset", "mcp_server_name": "x"},
        ],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    )
    function, search, toolset = request.tools
    assert (function.name, function.description, function.parameters, function.strict) == ("f", "d", schema, True)
    assert function.native == OpaquePart(dialect="anthropic", value={"defer_loading": True})
    assert search.opaque is not None
    assert search.name == "web_search"
    assert toolset.name == "mcp_toolset"
    assert request.tool_choice == ToolChoice(mode="named", name="f")
    assert request.parallel_tool_calls is False
    for said, mode in (("auto", "auto"), ("any", "required"), ("none", "none")):
        choice = decode(tool_choice={"type": said})
        assert choice.tool_choice == ToolChoice(mode=mode)  # type: ignore[arg-type]
        assert choice.parallel_tool_calls is None


def test_a_tool_loop_becomes_one_message_a_result() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    request = decode(
        messages=[
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "text", "text": "Both."},
                    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                    {"type": "tool_use", "id": "b", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}, image]},
                    {"type": "tool_result", "tool_use_id": "b", "content": "2", "is_error": True},
                    {"type": "text", "text": "go"},
                    image,
                ],
            },
        ]
    )
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool", "user"]
    assert request.messages[1].parts == [
        ThinkingPart(text="t", signature="s"),
        TextPart(text="Both."),
        ToolCallPart(id="a", name="f", arguments='{"x":1}'),
        ToolCallPart(id="b", name="f", arguments="{}"),
    ]
    png = ImagePart(media_type="image/png", data="AA==")
    assert request.messages[2].parts == [ToolResultPart(call_id="a", content=[TextPart(text="1"), png])]
    assert request.messages[3].parts == [ToolResultPart(call_id="b", content=[TextPart(text="2")], is_error=True)]
    assert request.messages[4].parts == [TextPart(text="go"), png]


def test_documents_carry_base64_whatever_their_source() -> None:
    text = {"type": "text", "media_type": "text/plain", "data": "naïve"}
    request = decode(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "document", "source": text, "title": "n"},
                    {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
                ],
            }
        ]
    )
    assert request.messages[0].parts == [
        FilePart(media_type="text/plain", data=b64encode("naïve".encode()).decode(), name="n"),
        FilePart(url="https://a/b.pdf"),
    ]


def test_a_signature_another_vendor_needs_comes_back_with_the_call() -> None:
    block: JsonObject = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "signature": "g"}
    [message] = decode(messages=[{"role": "assistant", "content": [block]}]).messages
    assert message.parts == [ToolCallPart(id="a", name="f", arguments="{}", signature="g")]


def test_a_system_turn_in_the_conversation_keeps_its_place() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
    assert [message.role for message in decode(messages=messages).messages] == ["user", "system"]


def test_an_empty_turn_is_kept() -> None:
    request = decode(messages=[{"role": "user", "content": []}, {"role": "assistant", "content": ""}])
    assert [message.role for message in request.messages] == ["user", "assistant"]
