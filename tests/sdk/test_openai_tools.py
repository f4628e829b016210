"""The official OpenAI SDK over every upstream: tool calls, whole, streamed, parallel, and their results."""

import json
from typing import Any, Literal

import openai
import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.sdk.models import PERSON_QUESTION, Person, check_person, every_vendor
from tests.support.upstream_server import UpstreamServer

_CITY: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather of a city", "parameters": _CITY},
}
CLOCK: ChatCompletionToolParam = {"type": "function", "function": {"name": "get_clock", "description": "The time"}}


def user(text: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": text}


class GetWeather(BaseModel):
    """Weather of a city."""

    city: str
    unit: Literal["C", "F"]
    days: int


@every_vendor
def test_a_call_and_its_result(openai_client: openai.OpenAI, model: str) -> None:
    messages = [user("How is the weather in 'Łódź'?")]
    completion = openai_client.chat.completions.create(model=model, messages=messages, tools=[WEATHER, CLOCK])
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Łódź"}

    messages.append(choice.message.to_dict())  # type: ignore[arg-type]  # as users send it back
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "13 degrees"})
    answer = openai_client.chat.completions.create(model=model, messages=messages, tools=[WEATHER, CLOCK])
    assert answer.choices[0].message.content == "The tool answered: 13 degrees."
    assert answer.choices[0].finish_reason == "stop"


@every_vendor
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_and_their_results(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    messages = [user("The weather for each of: Paris, Tokyo and Łódź. And the clock.")]
    tools = [WEATHER, CLOCK]
    if stream:
        with openai_client.chat.completions.stream(model=model, messages=messages, tools=tools) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = openai_client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message  # type: ignore[assignment]
    calls: list[Any] = list(message.tool_calls or [])
    said = [(call.function.name, json.loads(call.function.arguments or "{}")) for call in calls]
    assert said == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Tokyo"}),
        ("get_weather", {"city": "Łódź"}),
        ("get_clock", {}),
    ]
    assert len({call.id for call in calls}) == 4

    messages.append({"role": "assistant", "tool_calls": [call.to_dict() for call in calls]})
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"r{n}"} for n, call in enumerate(calls)]
    answer = openai_client.chat.completions.create(model=model, messages=messages, tools=tools)
    assert answer.choices[0].message.content == " ".join(f"The tool answered: r{n}." for n in range(4))


@every_vendor
def test_arguments_stream_in_pieces(openai_client: openai.OpenAI, model: str) -> None:
    stream = openai_client.chat.completions.create(
        model=model, messages=[user("The weather in 'A long enough name'")], tools=[WEATHER], stream=True
    )
    deltas = [delta for chunk in stream for choice in chunk.choices for delta in choice.delta.tool_calls or []]
    first, *more = deltas
    assert first.id
    assert first.function is not None
    assert first.function.name == "get_weather"
    assert all(delta.index == 0 and not delta.id for delta in more)
    text = "".join(delta.function.arguments or "" for delta in deltas if delta.function)
    assert json.loads(text) == {"city": "A long enough name"}


@every_vendor
async def test_typed_tools(async_openai: openai.AsyncOpenAI, model: str) -> None:
    completion = await async_openai.chat.completions.parse(
        model=model,
        messages=[user("The weather in 'Oslo' for 3 days in F")],
        tools=[pydantic_function_tool(GetWeather, name="get_weather")],
    )
    [call] = completion.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == GetWeather(city="Oslo", unit="F", days=3)


@every_vendor
def test_nested_typed_tools_streamed(openai_client: openai.OpenAI, model: str) -> None:
    with openai_client.chat.completions.stream(
        model=model,
        messages=[user(PERSON_QUESTION)],
        tools=[pydantic_function_tool(Person, name="record")],
        parallel_tool_calls=False,
    ) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.done" in kinds
    [call] = message.tool_calls or []
    parsed = call.function.parsed_arguments
    assert isinstance(parsed, Person)
    check_person(parsed)


@every_vendor
def test_tool_choice(openai_client: openai.OpenAI, model: str) -> None:
    def called(question: str, choice: object) -> list[str]:
        completion = openai_client.chat.completions.create(
            model=model,
            messages=[user(question)],
            tools=[WEATHER, CLOCK],
            tool_choice=choice,  # type: ignore[call-overload]
        )
        return [call.function.name for call in completion.choices[0].message.tool_calls or []]

    assert called("hello", "auto") == []
    assert called("the weather", "none") == []
    assert called("hello", "required") == ["get_weather"]
    assert called("hello", {"type": "function", "function": {"name": "get_clock"}}) == ["get_clock"]


@every_vendor
def test_results_of_several_rounds_reach_the_upstream(
    openai_client: openai.OpenAI, upstream: UpstreamServer, model: str
) -> None:
    messages = [user("The weather in 'Oslo', please")]
    for turn in range(3):
        completion = openai_client.chat.completions.create(
            model=model, messages=messages, tools=[WEATHER], tool_choice="required"
        )
        message = completion.choices[0].message
        [call] = message.tool_calls or []
        messages.append(message.to_dict())  # type: ignore[arg-type]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"round": turn})})
    with upstream.recording() as seen:
        openai_client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert all(seen[0].says(f'"round": {turn}') or seen[0].says(f'"round":{turn}') for turn in range(3))


@every_vendor
def test_a_call_with_text_beside_it_in_the_history(openai_client: openai.OpenAI, model: str) -> None:
    completion = openai_client.chat.completions.create(
        model=model,
        messages=[
            user("The weather?"),
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {"id": "call_x/1+2", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_x/1+2", "content": [{"type": "text", "text": "rain"}]},
            user("Repeat: thanks"),
        ],
        tools=[WEATHER],
    )
    assert completion.choices[0].message.content == "thanks"
