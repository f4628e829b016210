"""Whole chat completions of OpenAI-compatible servers to canonical replies, and the words both directions share."""

from collections.abc import Iterator
from typing import Any

from msgspec import json

from tenfold.core.chat import (
    ChatReply,
    Choice,
    FinishReason,
    ImagePart,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from tenfold.core.errors import UpstreamError
from tenfold.core.usage_wire import openai_usage
from tenfold.providers.openai.content import DIALECT, decode_part, native, rest_of, text_of_parts
from tenfold.providers.openai.errors import UNREADABLE, error_of, malformed_reply
from tenfold.providers.openai.messages import parse_arguments

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "model_length": "length",  # Mistral
    "max_tokens": "length",
    "eos": "stop",  # Together and others
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "safety": "content_filter",
}
_BROKEN = frozenset({"error", "abort", "insufficient_system_resource"})  # Mistral, OpenRouter; vLLM, SGLang; DeepSeek


def is_broken(word: str) -> bool:
    """Whether a finish_reason says that the provider broke the reply off."""
    return word in _BROKEN


def finish_reason(word: str) -> FinishReason:
    """An undocumented word counts as a plain stop. Raises UpstreamError when the word says that the reply is broken."""
    if is_broken(word):
        raise UpstreamError(
            f"The provider broke the reply off (finish_reason '{word}').", status=502, kind="incomplete_reply"
        )
    return _REASONS.get(word.lower(), "stop")


def decode_chat(body: bytes) -> ChatReply:
    """Raises UpstreamError (502, malformed_reply) for what is no completion; the provider's error where it is one."""
    try:
        value = json.decode(body)
    except UNREADABLE as error:
        raise malformed_reply("a reply that is not JSON") from error
    if not isinstance(value, dict):
        raise malformed_reply("a reply that is not a chat completion")
    choices = value.get("choices")
    if value.get("error") is not None and not choices:
        raise error_of(value)  # OpenRouter says some errors with status 200
    if not isinstance(choices, list) or not choices:
        raise malformed_reply("a chat completion without choices")
    created = value.get("created")
    known = ("id", "object", "model", "choices", "created", "usage", "service_tier", "system_fingerprint")
    return ChatReply(
        id=text(value.get("id")),
        model=text(value.get("model")),
        choices=[_decode_choice(choice, number) for number, choice in enumerate(choices)],
        usage=openai_usage(value["usage"]) if isinstance(value.get("usage"), dict) else None,
        created_s=int(created) if isinstance(created, int | float) else 0,
        service_tier=text(value.get("service_tier")) or None,
        system_fingerprint=text(value.get("system_fingerprint")) or None,
        native=native({name: member for name, member in rest_of(value, *known).items() if member is not None}),
    )


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _decode_choice(choice: object, number: int) -> Choice:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise malformed_reply("a choice without a message")
    index, word, logprobs = choice.get("index"), choice.get("finish_reason"), choice.get("logprobs")
    return Choice(
        index=index if isinstance(index, int) else number,
        parts=decode_message(message),
        finish_reason=finish_reason(word) if isinstance(word, str) and word else None,
        logprobs=logprobs if isinstance(logprobs, dict) else None,
    )


def decode_message(message: JsonObject) -> list[Part]:
    """Thoughts, text, refusal, calls, in this order, as the wire keeps no other. Raises UpstreamError."""
    parts: list[Part] = [*decode_thoughts(message)]
    parts += _decode_said(message.get("content"), message.get("annotations"))
    if refusal := text(message.get("refusal")):
        parts.append(RefusalPart(text=refusal))
    parts += [part for part in map(decode_part, _objects(message.get("images"))) if isinstance(part, ImagePart)]
    if isinstance(message.get("audio"), dict):
        parts.append(OpaquePart(dialect=DIALECT, value={"type": "audio", "audio": message["audio"]}))
    parts += [_decode_call(call, slot) for slot, call in enumerate(_objects(message.get("tool_calls")))]
    function = message.get("function_call")
    if isinstance(function, dict):
        parts.append(_call("call_0", function, None))
    return parts


def _decode_said(content: object, annotations: object) -> Iterator[Part]:
    citations = _objects(annotations) or None
    if isinstance(content, str):
        if content:
            yield TextPart(text=content, citations=citations)
        return
    for part in _objects(content):  # Mistral's content chunks
        if part.get("type") == "thinking":
            yield ThinkingPart(text=thinking_text(part))
        elif part.get("type") != "text" or part.get("text"):
            yield decode_part(part)


def thinking_text(part: JsonObject) -> str:
    """Mistral: {"type": "thinking", "thinking": [{"type": "text", "text": ...}]}."""
    thinking = part.get("thinking")
    return thinking if isinstance(thinking, str) else text_of_parts(thinking) if isinstance(thinking, list) else ""


def decode_thoughts(message: JsonObject) -> Iterator[ThinkingPart]:
    """`reasoning_details` (OpenRouter) says most; else `reasoning_content` (DeepSeek, vLLM, xAI) or `reasoning`
    (Groq, OpenRouter)."""
    details = [part for detail in _objects(message.get("reasoning_details")) if (part := decode_detail(detail))]
    if details:
        yield from details
        return
    thought = text(message.get("reasoning_content")) or text(message.get("reasoning"))
    if thought:
        yield ThinkingPart(text=thought)


def decode_detail(detail: JsonObject) -> ThinkingPart | None:
    """One entry of OpenRouter's `reasoning_details`."""
    thought = text(detail.get("text")) or text(detail.get("summary"))
    signature, redacted = text(detail.get("signature")) or None, text(detail.get("data")) or None
    if not thought and signature is None and redacted is None:
        return None
    return ThinkingPart(text=thought, signature=signature, redacted=redacted)


def _decode_call(call: JsonObject, slot: int) -> Part:
    function, call_id = call.get("function"), text(call.get("id")) or f"call_{slot}"
    if isinstance(function, dict):
        return _call(call_id, function, thought_signature(call))
    if isinstance(call.get("custom"), dict):
        return OpaquePart(dialect=DIALECT, value=rest_of(call, "index"))
    raise malformed_reply("a tool call without a function")


def _call(call_id: str, function: JsonObject, signature: str | None) -> ToolCallPart:
    return ToolCallPart(
        id=call_id,
        name=text(function.get("name")),
        arguments=parse_arguments(function.get("arguments")),
        signature=signature,
    )


def thought_signature(call: JsonObject) -> str | None:
    """Gemini's, as Google's OpenAI layer carries it: it must come back with the call."""
    value: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _objects(value: object) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
