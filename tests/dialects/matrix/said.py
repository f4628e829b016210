"""What an upstream said, read out of its own bytes, and what an SDK made of the translation, in one common form."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from anthropic.types import Message as AnthropicMessage
from msgspec import Struct, field
from openai.types.chat import ChatCompletion, ChatCompletionMessageFunctionToolCall

from tenfold.core.chat import JsonObject


class Said(Struct, kw_only=True):
    text: str = ""
    calls: list[tuple[str, JsonObject]] = field(default_factory=list)
    finish: str | None = None  # in OpenAI's words
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


_FROM_ANTHROPIC = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_FROM_GEMINI = {"STOP": "stop", "MAX_TOKENS": "length"}


def _object(text: str) -> JsonObject:
    value: JsonObject = json.loads(text or "{}")
    return value


# -- upstream bytes --------------------------------------------------------------------------


def openai_reply(body: JsonObject) -> Said:
    choice = body["choices"][0]
    message = choice["message"]
    calls = message.get("tool_calls") or []
    said = Said(text=message.get("content") or "", finish=choice["finish_reason"])
    said.calls = [(call["function"]["name"], _object(call["function"]["arguments"])) for call in calls]
    _openai_usage(said, body["usage"])
    return said


def openai_stream(events: list[JsonObject]) -> Said:
    said = Said()
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for event in events:
        if event.get("usage"):
            _openai_usage(said, event["usage"])
        for choice in event.get("choices", []):
            delta = choice["delta"]
            said.text += delta.get("content") or ""
            said.finish = choice.get("finish_reason") or said.finish
            for call in delta.get("tool_calls") or []:
                names.setdefault(call["index"], call["function"].get("name") or "")
                arguments[call["index"]] = arguments.get(call["index"], "") + (call["function"].get("arguments") or "")
    said.calls = [(name, _object(arguments[index])) for index, name in names.items()]
    return said


def _openai_usage(said: Said, usage: JsonObject) -> None:
    said.input_tokens = usage["prompt_tokens"]
    said.output_tokens = usage["total_tokens"] - usage["prompt_tokens"]  # xAI counts reasoning in the total only
    said.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def anthropic_reply(body: JsonObject) -> Said:
    blocks = body["content"]
    said = Said(finish=_FROM_ANTHROPIC.get(body["stop_reason"]))
    said.text = "".join(block["text"] for block in blocks if block["type"] == "text")
    said.calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    _anthropic_usage(said, body["usage"])
    return said


def anthropic_stream(events: list[JsonObject]) -> Said:
    said = Said()
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    usage: JsonObject = {}
    for event in events:
        match event:
            case {"type": "message_start", "message": message}:
                usage |= message["usage"]
            case {"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "name": name}}:
                names[index], arguments[index] = name, ""
            case {"type": "content_block_delta", "delta": {"text": text}}:
                said.text += text
            case {"type": "content_block_delta", "index": index, "delta": {"partial_json": text}}:
                if index in arguments:
                    arguments[index] += text
            case {"type": "message_delta", "delta": delta}:
                said.finish = _FROM_ANTHROPIC.get(delta["stop_reason"])
                usage |= {name: count for name, count in event["usage"].items() if count}
            case {"type": "message_stop"}:
                break  # some recordings hold the next reply too
    said.calls = [(name, _object(arguments[index])) for index, name in names.items()]
    _anthropic_usage(said, usage)
    return said


def _anthropic_usage(said: Said, usage: JsonObject) -> None:
    said.cached_tokens = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    said.input_tokens = usage["input_tokens"] + said.cached_tokens + written
    said.output_tokens = usage["output_tokens"]


def gemini_reply(body: JsonObject) -> Said:
    return gemini_stream([body])


def gemini_stream(events: list[JsonObject]) -> Said:
    said = Said()
    reason = None
    for event in events:
        for candidate in event.get("candidates", []):
            reason = candidate.get("finishReason") or reason
            for part in candidate.get("content", {}).get("parts", []):
                said.text += "" if part.get("thought") else part.get("text", "")
                if "functionCall" in part:
                    said.calls.append((part["functionCall"]["name"], part["functionCall"].get("args", {})))
        usage = event.get("usageMetadata", {})
        said.input_tokens = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
        said.output_tokens = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        said.cached_tokens = usage.get("cachedContentTokenCount", 0)
    said.finish = _FROM_GEMINI.get(reason or "", "content_filter")
    said.finish = "tool_calls" if said.calls and said.finish == "stop" else said.finish
    return said


REPLIES: dict[str, Callable[[JsonObject], Said]] = {
    "openai": openai_reply,
    "anthropic": anthropic_reply,
    "gemini": gemini_reply,
}
STREAMS: dict[str, Callable[[list[JsonObject]], Said]] = {
    "openai": openai_stream,
    "anthropic": anthropic_stream,
    "gemini": gemini_stream,
}


def sse_events(body: bytes) -> Iterator[Any]:
    """The JSON payloads of a stream, read the simplest way: these recordings keep one event on one line."""
    for line in body.splitlines():
        if line.startswith(b"data:") and line.strip() != b"data: [DONE]":
            yield json.loads(line[5:])


# -- what the SDKs hold ----------------------------------------------------------------------


def from_openai(completion: ChatCompletion) -> Said:
    choice = completion.choices[0]
    said = Said(text=choice.message.content or "", finish=choice.finish_reason)
    for call in choice.message.tool_calls or []:
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        assert call.id
        said.calls.append((call.function.name, _object(call.function.arguments)))
    if (usage := completion.usage) is not None:
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        said.input_tokens, said.output_tokens = usage.prompt_tokens, usage.completion_tokens
        said.cached_tokens = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
    return said


def from_anthropic(message: AnthropicMessage) -> Said:
    said = Said(finish=_FROM_ANTHROPIC.get(message.stop_reason or ""))
    for block in message.content:
        if block.type == "text":
            said.text += block.text
        elif block.type == "tool_use":
            assert block.id
            said.calls.append((block.name, dict(block.input)))
    usage = message.usage
    said.cached_tokens = usage.cache_read_input_tokens or 0
    said.input_tokens = usage.input_tokens + said.cached_tokens + (usage.cache_creation_input_tokens or 0)
    said.output_tokens = usage.output_tokens
    return said
