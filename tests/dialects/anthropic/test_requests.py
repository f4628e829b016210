"""Requests of other dialects in the words of the Messages API: as an OpenAI client means them."""

from base64 import b64encode
from itertools import pairwise

import msgspec
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
    Role,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from tenfold.core.errors import InvalidRequest, UnsupportedParameter
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.anthropic.models import default_max_tokens
from tenfold.providers.anthropic.tools import ANSWER_TOOL

WIRE = AnthropicWire()
MODEL = "claude-sonnet-4-5"
SCHEMA: JsonObject = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = Tool(name="weather", description="d", parameters=SCHEMA)


def say(role: Role, *parts: Part | str) -> Message:
    return Message(role=role, parts=[TextPart(text=part) if isinstance(part, str) else part for part in parts])


def call(id_: str, arguments: str = "{}", name: str = "weather") -> ToolCallPart:
    return ToolCallPart(id=id_, name=name, arguments=arguments)


def result(id_: str, *parts: Part | str) -> Message:
    return say("tool", ToolResultPart(call_id=id_, content=say("tool", *parts).parts))


def ask(*messages: Message, model: str = MODEL, **members: object) -> JsonObject:
    request = ChatRequest(model="gpt", messages=list(messages) or [say("user", "hi")], **members)  # type: ignore[arg-type]
    body: JsonObject = msgspec.json.decode(WIRE.encode_chat(request, model).body)
    return body


def ignored(model: str = MODEL, **members: object) -> tuple[str, ...]:
    request = ChatRequest(model="gpt", messages=[say("user", "hi")], **members)  # type: ignore[arg-type]
    return WIRE.encode_chat(request, model).ignored


def test_a_simple_request() -> None:
    sent = ask(say("system", "Be brief."), say("user", "hi"), max_tokens=9, temperature=0.5, stop=["X"], stream=True)
    assert sent == {
        "model": MODEL,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "stop_sequences": ["X"],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("claude-3-haiku-20240307", 4096), ("claude-3-5-haiku-latest", 8192), (MODEL, 16384), ("unknown", 16384)],
)
def test_max_tokens_has_a_default(model: str, tokens: int) -> None:
    assert ask(model=model)["max_tokens"] == tokens == default_max_tokens(model)


# -- conversation ------------------------------------------------------------------------------


def test_a_tool_loop_with_parallel_calls() -> None:
    sent = ask(
        say("system", "s1"),
        say("developer", "s2"),
        say("user", "Paris and Rome?"),
        say("assistant", "Let me look.", call("a", '{"city":"Paris"}'), call("b", '{"city":"Rome"}')),
        result("a", "18 C"),
        result("b", "25 C"),
        say("user", "Thanks."),
        tools=[TOOL],
    )
    assert sent["system"] == [{"type": "text", "text": "s1"}, {"type": "text", "text": "s2"}]
    assert sent["messages"] == [
        {"role": "user", "content": "Paris and Rome?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "b", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "18 C"},
                {"type": "tool_result", "tool_use_id": "b", "content": "25 C"},
                {"type": "text", "text": "Thanks."},
            ],
        },
    ]
    assert sent["tools"] == [{"name": "weather", "description": "d", "input_schema": SCHEMA}]


def test_results_stand_before_whatever_was_said_between() -> None:
    sent = ask(say("user", "q"), say("assistant", call("a")), say("system", "mind this"), result("a", "x"))
    assert [block["type"] for block in sent["messages"][-1]["content"]] == ["tool_result", "text"]


def test_arguments_a_model_left_unfinished_are_shown_as_such() -> None:
    sent = ask(say("user", "q"), say("assistant", call("a", '{"city": "Par'), call("b", "[1]"), call("c", "")))
    inputs = [block["input"] for block in sent["messages"][1]["content"]]
    assert inputs == [{"INVALID_JSON": '{"city": "Par'}, {"INVALID_JSON": "[1]"}, {}]


def test_call_ids_of_other_vendors_fit_and_still_match() -> None:
    sent = ask(say("user", "q"), say("assistant", call("call.1|x")), result("call.1|x", "r"))
    assert sent["messages"][1]["content"][0]["id"] == sent["messages"][2]["content"][0]["tool_use_id"] == "call_1_x"


def test_turns_of_one_role_become_one_and_blank_texts_none() -> None:
    sent = ask(say("user", "a"), say("user", "  "), say("user", "b"), say("assistant", ""), say("user", "c"))
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": text} for text in ("a", "b", "c")]}
    ]


def test_the_last_assistant_text_has_no_trailing_space() -> None:
    assert ask(say("user", "a"), say("assistant", "So: \n"))["messages"][1]["content"] == "So:"


def test_a_system_text_alone_is_the_question() -> None:
    assert ask(say("system", "Say hi."))["messages"] == [{"role": "user", "content": "Say hi."}]
    with pytest.raises(InvalidRequest):
        ask(say("user", " "))


def test_a_later_system_message_keeps_its_place() -> None:
    conversation = (say("system", "s"), say("user", "a"), say("assistant", "b"), say("user", "c"), say("system", "d"))
    older, newer = ask(*conversation), ask(*conversation, model="claude-opus-4-8")
    assert older["system"] == newer["system"] == "s"
    assert newer["messages"][-1] == {"role": "system", "content": "d"}
    marked = {"type": "text", "text": "<system>\nd\n</system>"}
    assert older["messages"][-1] == {"role": "user", "content": [{"type": "text", "text": "c"}, marked]}


def test_a_system_message_before_the_users_next_word_is_never_a_turn() -> None:
    sent = ask(say("user", "a"), say("assistant", "b"), say("system", "d"), say("user", "c"), model="claude-opus-4-8")
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]


def test_thinking_travels_only_when_signed() -> None:
    sent = ask(say("user", "q"), say("assistant", ThinkingPart(text="t"), ThinkingPart(text="u", signature="s"), "x"))
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["thinking", "text"]


ROLES: list[Role] = ["system", "developer", "user", "assistant", "tool"]


@given(st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(["", " ", "x"])), max_size=8), st.booleans())
def test_any_conversation_keeps_the_rules_of_the_api(said: list[tuple[Role, str]], new: bool) -> None:
    messages = [result("a", text) if role == "tool" else say(role, text) for role, text in said]
    try:
        sent = ask(*messages, model="claude-opus-4-8" if new else MODEL) if messages else None
    except InvalidRequest:
        assert not any(text.strip() or role == "tool" for role, text in said)
        return
    if sent is None:
        return
    roles = [turn["role"] for turn in sent["messages"]]
    assert all(before != after for before, after in pairwise(roles))
    assert set(roles) <= {"user", "assistant", *(["system"] if new else [])}
    for turn in sent["messages"]:
        assert turn["content"]
        kinds = [] if isinstance(turn["content"], str) else [block["type"] for block in turn["content"]]
        assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result")


# -- media -------------------------------------------------------------------------------------


def test_images_and_documents() -> None:
    text = b64encode("naïve".encode()).decode()
    sent = ask(
        say(
            "user",
            ImagePart(url="https://a/b.png", detail="high"),
            ImagePart(media_type="image/jpg", data="AA=="),
            FilePart(media_type="application/pdf", data="JVBERi0x", name="a.pdf"),
            FilePart(data="JVBERi0x"),
            FilePart(media_type="text/markdown; charset=utf-8", data=text),
            FilePart(url="https://a/b.pdf"),
            FilePart(name="notes.txt", data=text),
        )
    )
    assert [block["source"] for block in sent["messages"][0]["content"]] == [
        {"type": "url", "url": "https://a/b.png"},
        {"type": "base64", "media_type": "image/jpeg", "data": "AA=="},
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
        {"type": "text", "media_type": "text/plain", "data": "naïve"},
        {"type": "url", "url": "https://a/b.pdf"},
        {"type": "text", "media_type": "text/plain", "data": "naïve"},
    ]
    assert sent["messages"][0]["content"][2]["title"] == "a.pdf"


def test_images_in_tool_results() -> None:
    sent = ask(say("user", "q"), say("assistant", call("a")), result("a", "see", ImagePart(url="https://a/b")))
    assert [block["type"] for block in sent["messages"][2]["content"][0]["content"]] == ["text", "image"]


@pytest.mark.parametrize(
    "part",
    [
        AudioPart(data="AA==", format="wav"),
        ImagePart(media_type="image/tiff", data="AA=="),
        ImagePart(),
        FilePart(),
        FilePart(file_id="file-abc"),
        FilePart(media_type="application/zip", data="AA=="),
        FilePart(data="AA=="),
        OpaquePart(dialect="gemini", value={"type": "video"}),
    ],
    ids=lambda part: type(part).__name__,
)
def test_what_claude_cannot_read_is_refused(part: Part) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        ask(say("user", part))
    assert caught.value.param == "messages"


def test_a_text_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        ask(say("user", FilePart(media_type="text/plain", data="/////w==")))


def test_refusals_are_text() -> None:
    assert ask(say("user", "q"), say("assistant", RefusalPart(text="no")))["messages"][1]["content"] == "no"


# -- tools -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
        (ToolChoice(mode="required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="named", name="weather"), None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: JsonObject | None) -> None:
    assert ask(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == expected
    assert "tool_choice" not in ask(tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=parallel)


def test_tools_in_odd_forms() -> None:
    tools = [
        Tool(name="bare"),
        Tool(name="untyped", parameters={"properties": {"a": {}}}),
        Tool(name="strict", parameters={**SCHEMA, "maxProperties": 3}, strict=True),
    ]
    bare, untyped, strict = ask(tools=tools)["tools"]
    assert bare == {"name": "bare", "input_schema": {"type": "object", "properties": {}}}
    assert untyped["input_schema"]["type"] == "object"
    assert strict["strict"] is True
    assert strict["input_schema"] == {**SCHEMA, "additionalProperties": False, "description": "{maxProperties: 3}"}
    assert "tools.strict" in ignored("claude-3-haiku", tools=tools)
    with pytest.raises(UnsupportedParameter, match="web"):
        ask(tools=[Tool(name="web", opaque=OpaquePart(dialect="openai", value={}))])
    with pytest.raises(UnsupportedParameter, match="forced"):
        ask(tools=[TOOL], tool_choice=ToolChoice(mode="required"), model="claude-opus-5-5")


# -- the form of the answer --------------------------------------------------------------------

FORMAT = ResponseFormat(kind="json_schema", name="n", schema=SCHEMA, strict=True)
OLD = "claude-3-5-haiku-latest"


def test_a_schema_is_a_structured_output_where_the_model_has_it() -> None:
    sent = ask(response_format=FORMAT)
    assert sent["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {**SCHEMA, "additionalProperties": False},
    }
    assert "tools" not in sent


@pytest.mark.parametrize("wanted", [FORMAT, ResponseFormat(kind="json_object")])
def test_elsewhere_a_forced_tool_call_carries_the_answer(wanted: ResponseFormat) -> None:
    sent = ask(response_format=wanted, model=OLD)
    assert sent["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL, "disable_parallel_tool_use": True}
    assert sent["tools"][0]["input_schema"]["type"] == "object"
    both = ask(response_format=wanted, model=OLD, tools=[TOOL])
    assert both["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in both["tools"]] == ["weather", ANSWER_TOOL]
    never = ask(response_format=wanted, model=OLD, tools=[TOOL], tool_choice=ToolChoice(mode="none"))
    assert [tool["name"] for tool in never["tools"]] == [ANSWER_TOOL]
    forced = ask(response_format=wanted, model=OLD, tools=[TOOL], tool_choice=ToolChoice(mode="required"))
    assert [tool["name"] for tool in forced["tools"]] == ["weather"]


def test_answers_no_way_leads_to_are_refused() -> None:
    with pytest.raises(UnsupportedParameter, match="object at its root"):
        ask(response_format=ResponseFormat(kind="json_schema", schema={"type": "array"}), model=OLD)
    with pytest.raises(UnsupportedParameter, match="needs a schema"):
        ask(response_format=ResponseFormat(kind="json_object"), model="claude-opus-5-5")
    assert "output_config" not in ask(response_format=ResponseFormat(kind="text"))


# -- thinking ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "word"),
    [
        ("claude-opus-4-8", "high", {"type": "adaptive"}, "high"),
        ("claude-opus-4-8", "minimal", {"type": "adaptive"}, "low"),
        ("claude-opus-4-8", "none", {"type": "disabled"}, None),
        ("claude-fable-5", "none", None, "low"),
        ("claude-sonnet-4-6", "xhigh", {"type": "adaptive"}, "high"),
        ("claude-opus-4-5", "xhigh", {"type": "enabled", "budget_tokens": 24576}, "high"),
        (MODEL, "low", {"type": "enabled", "budget_tokens": 2048}, None),
        (MODEL, "none", None, None),
        (OLD, "high", None, None),
    ],
)
def test_reasoning_effort(model: str, effort: str, thinking: JsonObject | None, word: str | None) -> None:
    sent = ask(model=model, reasoning_effort=effort)
    assert sent.get("thinking") == thinking
    assert sent.get("output_config", {}).get("effort") == word
    if thinking and "budget_tokens" in thinking:
        assert thinking["budget_tokens"] < sent["max_tokens"]


def test_a_model_that_cannot_think_says_so() -> None:
    assert ignored(OLD, reasoning_effort="high") == ("reasoning_effort",)
    assert ignored(MODEL, reasoning_effort="high", max_tokens=1000) == ("reasoning_effort",)


def test_a_thinking_budget_stays_under_max_tokens() -> None:
    assert ask(reasoning_effort="high", max_tokens=4000)["thinking"]["budget_tokens"] == 2000


@pytest.mark.parametrize(
    ("model", "budget", "expected"),
    [
        (MODEL, 4000, {"type": "enabled", "budget_tokens": 4000}),
        (MODEL, 0, {"type": "disabled"}),
        ("claude-opus-5", 4000, {"type": "adaptive"}),
        ("claude-fable-5", 0, None),
        (OLD, 4000, None),
    ],
)
def test_thinking_budgets(model: str, budget: int, expected: JsonObject | None) -> None:
    assert ask(model=model, thinking_budget=budget, max_tokens=9000).get("thinking") == expected


def test_thinking_is_not_begun_where_the_api_refuses_it() -> None:
    forced = ToolChoice(mode="required")
    assert "thinking" not in ask(reasoning_effort="high", tools=[TOOL], tool_choice=forced)
    assert "thinking" not in ask(reasoning_effort="high", tools=[TOOL], tool_choice=forced, model="claude-opus-4-8")
    loop = (say("user", "q"), say("assistant", call("a")), result("a", "x"))
    assert "thinking" not in ask(*loop, reasoning_effort="high", tools=[TOOL])
    assert "thinking" in ask(*loop, say("user", "next"), reasoning_effort="high", tools=[TOOL])
    signed = (say("user", "q"), say("assistant", ThinkingPart(text="t", signature="s"), call("a")), result("a", "x"))
    assert "thinking" in ask(*signed, reasoning_effort="high", tools=[TOOL])


def test_thinking_takes_the_default_sampling() -> None:
    assert "temperature" not in ask(reasoning_effort="high", temperature=0.2)
    assert ignored(reasoning_effort="high", temperature=0.2, top_k=5, top_p=1.0) == ("temperature", "top_k")


# -- parameters --------------------------------------------------------------------------------


def test_models_with_fixed_sampling_ignore_it_and_say_so() -> None:
    assert "temperature" not in ask(model="claude-opus-5", temperature=0.3)
    assert ignored("claude-opus-5", temperature=0.3, top_p=0.5) == ("temperature", "top_p")
    assert ignored("claude-opus-5", temperature=1.0) == ()


def test_top_p_that_says_nothing_is_not_sent_beside_a_temperature() -> None:
    assert "top_p" not in ask(temperature=0.3, top_p=1.0)
    assert ask(top_p=1.0)["top_p"] == 1.0


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"stop": ["ok", "\n"]}, "stop"),
        ({"temperature": 1.5}, "temperature"),
        ({"extra": {"audio": {"voice": "x"}}}, "audio"),
        ({"extra": {"web_search_options": {"a": 1}}}, "web_search_options"),
        ({"extra": {"functions": [1]}}, "functions"),
        ({"native": OpaquePart(dialect="openai", value={"tool_choice": {"type": "allowed_tools"}})}, "tool_choice"),
    ],
)
def test_what_no_claude_model_can_do_is_a_clear_error(members: JsonObject, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        ask(**members)
    assert caught.value.param == param
    assert caught.value.message


def test_parameters_without_a_word_upstream_are_told() -> None:
    assert ignored(
        seed=1,
        presence_penalty=0.5,
        frequency_penalty=0.0,
        metadata={"a": "b"},
        service_tier="flex",
        extra={"store": True, "verbosity": "low", "stream_options": {}},
    ) == ("service_tier", "seed", "presence_penalty", "metadata", "store", "verbosity")
    assert ignored(modalities=["text"], logit_bias={}, n=1) == ()


def test_what_means_the_same_has_another_name() -> None:
    sent = ask(user="u", service_tier="default", extra={"new_parameter": 5})
    assert sent["metadata"] == {"user_id": "u"}
    assert sent["service_tier"] == "standard_only"
    assert sent["new_parameter"] == 5
    assert ask(extra={"safety_identifier": "s"})["metadata"] == {"user_id": "s"}
    assert "new" not in ask(native=OpaquePart(dialect="openai", value={"new": 1}))


@pytest.mark.parametrize("user", ["ann@example.com", "+49 (151) 2345-678"])
def test_a_user_that_names_a_person_is_not_sent(user: str) -> None:
    assert "metadata" not in ask(user=user)
    assert ignored(user=user) == ("user",)


def test_a_request_nested_without_end_is_refused() -> None:
    deep: JsonObject = {}
    for _ in range(2000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(InvalidRequest, match="nested"):
        ask(response_format=ResponseFormat(kind="json_schema", schema=deep))


def test_counting_sends_only_what_can_be_counted() -> None:
    request = ChatRequest(
        model="m", messages=[say("user", "hi")], tools=[TOOL], temperature=0.1, stream=True, max_tokens=4, stop=["x"]
    )
    sent = WIRE.encode_count_tokens(request, MODEL)
    assert sent.path == "/v1/messages/count_tokens"
    assert set(msgspec.json.decode(sent.body)) == {"model", "messages", "tools"}
