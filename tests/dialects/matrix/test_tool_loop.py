"""A turn of a tool loop, as applications write it: the SDK's own reply goes back with the results, perhaps to another
upstream than the one that made the calls."""

import json
from typing import Any

import pytest

from tests.dialects.matrix.asks import CITY, TIME
from tests.dialects.matrix.calls import CALLS, SIGNATURE, calling
from tests.dialects.matrix.gateway import CLIENTS, UPSTREAMS, Gateway, check_told
from tests.dialects.matrix.replies import hello
from tests.dialects.matrix.said import Said, from_anthropic, from_openai
from tests.dialects.matrix.seen import Seen, seen

pytestmark = [
    pytest.mark.parametrize("client", CLIENTS),
    pytest.mark.parametrize("upstream", UPSTREAMS),
    pytest.mark.parametrize("stream", [False, True]),
]

_QUESTION = {"role": "user", "content": "Weather and time?"}
_RESULTS = ("sunny", "noon")


def openai_turn(gateway: Gateway, messages: list[Any], *, stream: bool) -> Any:
    """The assistant's message, as the SDK holds it."""
    functions = {"get_weather": CITY, "get_time": TIME}
    tools: Any = [
        {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in functions.items()
    ]
    chat = gateway.openai().chat.completions
    if not stream:
        return chat.create(model="m", messages=messages, tools=tools)
    with chat.stream(model="m", messages=messages, tools=tools, stream_options={"include_usage": True}) as events:
        return events.get_final_completion()


def anthropic_turn(gateway: Gateway, messages: list[Any], *, stream: bool) -> Any:
    functions = {"get_weather": CITY, "get_time": TIME}
    tools: Any = [{"name": name, "input_schema": schema} for name, schema in functions.items()]
    if not stream:
        return gateway.anthropic().messages.create(model="m", messages=messages, tools=tools, max_tokens=99)
    with gateway.anthropic().messages.stream(model="m", messages=messages, tools=tools, max_tokens=99) as events:
        return events.get_final_message()


def first_turn(gateway: Gateway, *, stream: bool) -> tuple[Said, list[Any]]:
    """What the SDK holds, and the messages of the next turn."""
    if gateway.client == "openai":
        completion = openai_turn(gateway, [_QUESTION], stream=stream)
        message = completion.choices[0].message
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": text}
            for call, text in zip(message.tool_calls, _RESULTS, strict=True)
        ]
        return from_openai(completion), [_QUESTION, message, *results]
    message = anthropic_turn(gateway, [_QUESTION], stream=stream)
    uses = [block for block in message.content if block.type == "tool_use"]
    blocks = [
        {"type": "tool_result", "tool_use_id": block.id, "content": text}
        for block, text in zip(uses, _RESULTS, strict=True)
    ]
    answer = {"role": "assistant", "content": message.content}
    return from_anthropic(message), [_QUESTION, answer, {"role": "user", "content": blocks}]


def next_request(client: str, messages: list[Any], upstream: str) -> bytes:
    gateway = Gateway(client, upstream, hello(upstream))
    turn = openai_turn if client == "openai" else anthropic_turn
    turn(gateway, messages, stream=False)
    assert gateway.sent is not None
    return gateway.sent.body


def test_parallel_calls_reach_the_client(client: str, upstream: str, stream: bool) -> None:
    gateway = Gateway(client, upstream, calling(upstream, stream=stream))
    said, _ = first_turn(gateway, stream=stream)
    check_told(gateway)
    assert said == Said(text="I look.", calls=CALLS, finish="tool_calls", input_tokens=3, output_tokens=4)


def test_results_go_back_to_any_upstream(client: str, upstream: str, stream: bool) -> None:
    gateway = Gateway(client, upstream, calling(upstream, stream=stream))
    _, messages = first_turn(gateway, stream=stream)
    for following in UPSTREAMS:
        body = next_request(client, messages, following)
        found: Seen = seen(following, body)
        assert (found.texts, found.calls, found.results) == (
            [("user", "Weather and time?"), ("assistant", "I look.")],
            CALLS,
            [("get_weather", "sunny"), ("get_time", "noon")],
        ), following


def test_a_signature_goes_home_and_nowhere_else(client: str, upstream: str, stream: bool) -> None:
    """Gemini signs calls, Anthropic its thoughts; each refuses the other's signature, and OpenAI knows none. Where the
    dialects match the client's bytes pass as they are, so only translated requests are looked at."""
    gateway = Gateway(client, upstream, calling(upstream, stream=stream))
    _, messages = first_turn(gateway, stream=stream)
    for following in (name for name in UPSTREAMS if name != client):
        body = json.loads(next_request(client, messages, following))
        signed = SIGNATURE in json.dumps(body)
        assert signed == (following == upstream and upstream in ("gemini", "anthropic")), following
        if following == "anthropic":
            blocks = [block for message in body["messages"] for block in message["content"]]
            thoughts = [block for block in blocks if isinstance(block, dict) and block["type"] == "thinking"]
            assert all(block["signature"] for block in thoughts), "an unsigned thought is refused"
