"""Short ways to say canonical messages, and to see the body Gemini gets."""

import json
from typing import Any

from tenfold.core.chat import ChatRequest, Message, Part, TextPart, ToolCallPart, ToolResultPart
from tenfold.providers.gemini import GeminiWire

WIRE = GeminiWire()
HELLO = [Message(role="user", parts=[TextPart(text="hello")])]


def encode(model: str = "gemini-2.5-flash", messages: list[Message] | None = None, **said: Any) -> dict[str, Any]:
    request = ChatRequest(model=model, messages=HELLO if messages is None else messages, **said)
    body: dict[str, Any] = json.loads(WIRE.encode_chat(request, model).body)
    return body


def contents(*messages: Message, model: str = "gemini-2.5-flash") -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = encode(model, list(messages))["contents"]
    return turns


def user(*parts: Part) -> Message:
    return Message(role="user", parts=list(parts))


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=list(parts))


def call(call_id: str, name: str = "f", arguments: str = "{}", signature: str | None = None) -> ToolCallPart:
    return ToolCallPart(id=call_id, name=name, arguments=arguments, signature=signature)


def result(call_id: str, text: str, *, is_error: bool = False) -> Message:
    part = ToolResultPart(call_id=call_id, content=[TextPart(text=text)], is_error=is_error)
    return Message(role="tool", parts=[part])
