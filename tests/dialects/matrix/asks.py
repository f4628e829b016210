"""The same questions put by both official SDKs: keyword arguments for `create`, and what any upstream must be asked."""

from typing import Any

from tenfold.core.chat import JsonObject
from tests.dialects.matrix.gateway import Gateway
from tests.dialects.matrix.seen import Seen

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TIME: JsonObject = {"type": "object", "properties": {}}
_ARGUMENTS = '{"city": "Łódź"}'

CONVERSATION = Seen(
    system="Be brief.",
    texts=[("user", "Weather and time?"), ("assistant", "Let me look."), ("user", "Thanks. And this?")],
    calls=[("get_weather", {"city": "Łódź"}), ("get_time", {})],
    results=[("get_weather", "sunny"), ("get_time", "noon")],
    images=[PIXEL],
    tools={"get_weather": CITY, "get_time": TIME},
    choice="auto",
    stop=["END"],
    max_tokens=100,
    temperature=0.5,
)

_OPENAI_CONVERSATION: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather and time?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": _ARGUMENTS}},
                {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Thanks. And this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        },
    ],
    "tools": [
        {"type": "function", "function": {"name": "get_weather", "description": "weather", "parameters": CITY}},
        {"type": "function", "function": {"name": "get_time", "description": "time", "parameters": TIME}},
    ],
    "tool_choice": "auto",
    "stop": "END",
    "max_completion_tokens": 100,
    "temperature": 0.5,
}
_ANTHROPIC_CONVERSATION: dict[str, Any] = {
    "model": "m",
    "system": "Be brief.",
    "messages": [
        {"role": "user", "content": "Weather and time?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Łódź"}},
                {"type": "tool_use", "id": "call_2", "name": "get_time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
                {"type": "text", "text": "Thanks. And this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ],
        },
    ],
    "tools": [
        {"name": "get_weather", "description": "weather", "input_schema": CITY},
        {"name": "get_time", "description": "time", "input_schema": TIME},
    ],
    "tool_choice": {"type": "auto"},
    "stop_sequences": ["END"],
    "max_tokens": 100,
    "extra_body": {"temperature": 0.5},  # the SDK dropped the argument, the API keeps the parameter
}
_CONVERSATIONS = {"openai": _OPENAI_CONVERSATION, "anthropic": _ANTHROPIC_CONVERSATION}
_PLAIN: dict[str, dict[str, Any]] = {
    "openai": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "anthropic": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50},
}

TOOL_CHOICES: dict[str, dict[str, Any]] = {
    "openai": {
        "none": "none",
        "required": "required",
        "get_time": {"type": "function", "function": {"name": "get_time"}},
    },
    "anthropic": {
        "none": {"type": "none"},
        "required": {"type": "any"},
        "get_time": {"type": "tool", "name": "get_time"},
    },
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "openai": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}
    },
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
}


def ask(gateway: Gateway, **more: Any) -> Any:
    """A short question, with `more` parameters in the client's own words. Returns the SDK's reply or its stream."""
    return _create(gateway, _PLAIN[gateway.client] | more)


def converse(gateway: Gateway, **more: Any) -> Any:
    """The long conversation: system text, parallel calls and their results, an image, tools, sampling."""
    return _create(gateway, _CONVERSATIONS[gateway.client] | more)


def _create(gateway: Gateway, said: dict[str, Any]) -> Any:
    if gateway.client == "openai":
        return gateway.openai().chat.completions.create(**said)
    return gateway.anthropic().messages.create(**said)
