"""The official Anthropic SDK over every upstream: tool use, whole, streamed, parallel, and the tool runner."""

from typing import Any

import anthropic
import pytest
from anthropic import beta_async_tool, beta_tool
from anthropic.types import Message, ToolParam, ToolUseBlock

from tests.sdk.models import PIXEL, every_vendor
from tests.support.upstream_server import UpstreamServer

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: ToolParam = {"name": "get_clock", "description": "The time", "input_schema": {"type": "object"}}


def create(client: anthropic.Anthropic, stream: bool, **asked: Any) -> Message:
    asked = {"max_tokens": 500, "tools": [WEATHER, CLOCK], **asked}
    if not stream:
        message: Message = client.messages.create(**asked)
        return message
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def calls(message: Message) -> list[ToolUseBlock]:
    return [block for block in message.content if block.type == "tool_use"]


@every_vendor
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_and_its_result(anthropic_client: anthropic.Anthropic, model: str, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "How is the weather in 'Łódź'?"}]
    message = create(anthropic_client, stream, model=model, messages=messages)
    assert message.stop_reason == "tool_use"
    [call] = calls(message)
    assert (call.name, call.input) == ("get_weather", {"city": "Łódź"})

    messages.append({"role": "assistant", "content": message.content})
    messages.append(
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "13 degrees"}]}
    )
    answer = create(anthropic_client, stream, model=model, messages=messages)
    assert [block.text for block in answer.content if block.type == "text"] == ["The tool answered: 13 degrees."]
    assert answer.stop_reason == "end_turn"


@every_vendor
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_and_their_results(anthropic_client: anthropic.Anthropic, model: str, stream: bool) -> None:
    messages: list[Any] = [
        {"role": "user", "content": "The weather for each of: Paris, Tokyo and Łódź. The clock too."}
    ]
    message = create(anthropic_client, stream, model=model, messages=messages)
    made = calls(message)
    assert [(call.name, call.input) for call in made] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Tokyo"}),
        ("get_weather", {"city": "Łódź"}),
        ("get_clock", {}),
    ]
    assert len({call.id for call in made}) == 4

    messages.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": f"r{number}"}]}
        for number, call in enumerate(made)
    ]
    results[1]["is_error"] = True
    messages.append({"role": "user", "content": [*results, {"type": "text", "text": "Repeat: all seen"}]})
    answer = create(anthropic_client, stream, model=model, messages=messages)
    assert [block.text for block in answer.content if block.type == "text"] == ["all seen"]


@every_vendor
def test_input_streams_in_pieces(anthropic_client: anthropic.Anthropic, model: str) -> None:
    with anthropic_client.messages.stream(
        model=model,
        max_tokens=500,
        tools=[WEATHER],
        messages=[{"role": "user", "content": "The weather in 'A long enough name'"}],
    ) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "input_json"]
    assert snapshots[-1] == {"city": "A long enough name"}


@every_vendor
def test_tool_choice(anthropic_client: anthropic.Anthropic, model: str) -> None:
    def called(question: str, choice: dict[str, Any]) -> list[str]:
        message = create(
            anthropic_client,
            False,
            model=model,
            messages=[{"role": "user", "content": question}],
            tool_choice=choice,
        )
        return [call.name for call in calls(message)]

    assert called("hello", {"type": "auto"}) == []
    assert called("the weather", {"type": "none"}) == []
    assert called("hello", {"type": "any"}) == ["get_weather"]
    assert called("hello", {"type": "tool", "name": "get_clock"}) == ["get_clock"]
    assert called("weather and clock", {"type": "auto"}) == ["get_weather", "get_clock"]


@every_vendor
def test_a_picture_as_a_result(anthropic_client: anthropic.Anthropic, model: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "The weather in 'Oslo'"}]
    message = create(anthropic_client, False, model=model, messages=messages)
    [call] = calls(message)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [picture, {"type": "text", "text": "a map"}]}
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    answer = create(anthropic_client, False, model=model, messages=messages)
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"


@every_vendor
def test_the_tool_runner(anthropic_client: anthropic.Anthropic, model: str) -> None:
    asked_for: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Weather of a city.

        Args:
            city: The name of the city
        """
        asked_for.append(city)
        return f"rain in {city}"

    runner = anthropic_client.beta.messages.tool_runner(
        model=model,
        max_tokens=500,
        tools=[get_weather],
        messages=[{"role": "user", "content": "The weather for each of: Paris, Tokyo."}],
    )
    final = runner.until_done()
    assert asked_for == ["Paris", "Tokyo"]
    [block] = [block for block in final.content if block.type == "text"]
    assert block.text == "The tool answered: rain in Paris. The tool answered: rain in Tokyo."


@every_vendor
async def test_the_tool_runner_streamed(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    @beta_async_tool
    async def get_clock() -> str:
        """The time."""
        return "noon"

    runner = async_anthropic.beta.messages.tool_runner(
        model=model,
        max_tokens=500,
        tools=[get_clock],
        messages=[{"role": "user", "content": "What does the clock say?"}],
        stream=True,
    )
    texts = []
    async for stream in runner:
        message = await stream.get_final_message()
        texts += [block.text for block in message.content if block.type == "text"]
    assert texts == ["The tool answered: noon."]


def test_threads_of_the_runner(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer) -> None:
    """The runner asks for a thread by itself. Where the API keeps one, the next request sends what is new; where it
    does not, the runner is told in words it knows, and sends everything."""

    @beta_tool
    def get_clock() -> str:
        """The time."""
        return "noon"

    for model in ("claude-haiku-4-5", "gpt-4o-mini"):
        with upstream.recording() as seen:
            anthropic_client.beta.messages.tool_runner(
                model=model,
                max_tokens=500,
                tools=[get_clock],
                messages=[{"role": "user", "content": "What does the clock say?"}],
            ).until_done()
        assert len(seen) == 2
        assert [request.json.get("thread", {}).get("type") for request in seen] == (
            ["create", "continue"] if model.startswith("claude") else [None, None]
        )


def test_a_lost_thread_is_told_as_the_api_tells_it(anthropic_client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        anthropic_client.beta.messages.create(
            model="claude-haiku-4-5",
            max_tokens=50,
            messages=[{"role": "user", "content": "hello"}],
            thread={"type": "continue", "previous_message_id": "msg_gone"},
        )
    assert refused.value.body["error"]["details"] == {"error_code": "thread_not_found"}  # type: ignore[index]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gemini-2.5-flash", "offline-extractive"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mcp_servers", [{"type": "url", "url": "https://mcp.example.com", "name": "m"}]),
        ("container", "container_1"),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}]),
    ],
)
def test_what_only_anthropic_runs_is_a_clear_400(
    anthropic_client: anthropic.Anthropic, upstream: UpstreamServer, model: str, name: str, value: Any
) -> None:
    with upstream.recording() as seen, pytest.raises(anthropic.BadRequestError) as refused:
        anthropic_client.messages.create(
            model=model, max_tokens=50, messages=[{"role": "user", "content": "hello"}], extra_body={name: value}
        )
    assert refused.value.type == "invalid_request_error"
    assert seen == []


def test_thinking_beside_tools_goes_back_unchanged(anthropic_client: anthropic.Anthropic) -> None:
    for model in ("claude-haiku-4-5", "gemini-3.5-flash"):
        asked: Any = {"model": model, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2048}}
        messages: list[Any] = [{"role": "user", "content": "The weather in 'Oslo' and the clock"}]
        message = create(anthropic_client, True, messages=messages, **asked)
        assert [block.type for block in message.content] == ["thinking", "tool_use", "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "x"} for call in calls(message)]
        messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
        assert create(anthropic_client, False, messages=messages, **asked).stop_reason == "end_turn"
