"""Canonical replies as chat.completion objects, and the wire words that whole replies and streams share."""

from collections.abc import Iterable, Sequence

from msgspec import json

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
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
from tenfold.core.usage import Usage
from tenfold.edge.dialects.openai.request import LEGACY_DIALECT
from tenfold.providers.openai.content import DIALECT, encode_image, native_members
from tenfold.providers.openai.messages import encode_call, is_custom_call

_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "stop_sequence": "stop",
    "refusal": "content_filter",
    "pause": "stop",
}
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


def encode_reply(reply: ChatReply, request: ChatRequest, now_s: int) -> bytes:
    """A chat.completion object; `now_s` stands in where the upstream did not say when it was created."""
    legacy = is_legacy(request)
    body: JsonObject = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created_s or now_s,
        "model": reply.model or request.model,
        "choices": [_encode_choice(choice, legacy=legacy) for choice in reply.choices],
    }
    if reply.usage is not None:
        body["usage"] = usage_object(reply.usage)
    body |= provenance(reply.service_tier, reply.system_fingerprint)
    return json.encode(native_members(reply.native) | body)


def _encode_choice(choice: Choice, *, legacy: bool) -> JsonObject:
    message = _encode_message(choice.parts, legacy=legacy)
    called = "tool_calls" in message or "function_call" in message
    reason = choice.finish_reason or ("tool_calls" if called else "stop")
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs_object(choice.logprobs),
        "finish_reason": reason_word(reason, legacy=legacy),
    }


def _encode_message(parts: list[Part], *, legacy: bool) -> JsonObject:
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    refusal = "".join(part.text for part in parts if isinstance(part, RefusalPart))
    calls = [call for part in parts if (call := _encode_call(part)) is not None]
    extras = _encode_extras(parts)
    silent = bool(calls or refusal or "audio" in extras)
    message: JsonObject = {
        "role": "assistant",
        "content": text or (None if silent else ""),
        "refusal": refusal or None,
        "annotations": annotations([note for part in parts if isinstance(part, TextPart) for note in _notes(part)]),
    }
    if calls and legacy:
        message["function_call"] = calls[0].get("function")
    elif calls:
        message["tool_calls"] = calls
    return message | extras


def _notes(part: TextPart) -> list[JsonObject]:
    return part.citations or []


def _encode_call(part: Part) -> JsonObject | None:
    if isinstance(part, ToolCallPart):
        return encode_call(part) | signed(part.signature)
    return part.value if isinstance(part, OpaquePart) and is_custom_call(part) else None


def _encode_extras(parts: list[Part]) -> JsonObject:
    """Members OpenAI's own models do not send, or only for modalities asked for."""
    extras: JsonObject = {}
    thoughts = [part for part in parts if isinstance(part, ThinkingPart)]
    if text := "".join(part.text for part in thoughts):
        extras["reasoning_content"] = text
    if any(part.signature is not None or part.redacted is not None for part in thoughts):
        details = [thought_detail(part.text, part.signature, part.redacted) for part in thoughts]
        extras["reasoning_details"] = [detail | {"index": index} for index, detail in enumerate(details)]
    if images := [part for part in parts if isinstance(part, ImagePart)]:
        extras["images"] = [{"type": "image_url", "image_url": encode_image(part)} for part in images]
    for part in parts:
        if isinstance(part, OpaquePart) and part.dialect == DIALECT and part.value.get("type") == "audio":
            extras["audio"] = part.value.get("audio")
    return extras


# -- shared with the stream ------------------------------------------------------------------


def is_legacy(request: ChatRequest) -> bool:
    """The client speaks of `functions`, as before there were tools."""
    return any(tool.native is not None and tool.native.dialect == LEGACY_DIALECT for tool in request.tools)


def reason_word(reason: FinishReason, *, legacy: bool) -> str:
    return "function_call" if legacy and reason == "tool_calls" else _REASONS[reason]


def usage_object(usage: Usage) -> JsonObject:
    """CompletionUsage."""
    read: JsonObject = {"cached_tokens": usage.cache_read_tokens, "audio_tokens": usage.input_audio_tokens}
    if usage.cache_write_tokens:
        read["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": read,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def provenance(service_tier: str | None, system_fingerprint: str | None) -> JsonObject:
    """Tiers that OpenAI's SDKs have no word for are left out."""
    members = {
        "service_tier": service_tier if service_tier in _TIERS else None,
        "system_fingerprint": system_fingerprint,
    }
    return {name: value for name, value in members.items() if value is not None}


def logprobs_object(logprobs: JsonObject | None) -> JsonObject | None:
    return {"content": None, "refusal": None} | logprobs if logprobs is not None else None


def annotations(citations: Iterable[JsonObject]) -> Sequence[JsonObject]:
    """Of citations only those in OpenAI's shape; another dialect's have no place here."""
    return [note for note in citations if note.get("type") == "url_citation" and "url_citation" in note]


def signed(signature: str | None) -> JsonObject:
    """A tool call's thought signature, where Google's OpenAI layer has it; it must come back with the call."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature is not None else {}


def thought_detail(text: str, signature: str | None, redacted: str | None) -> JsonObject:
    """An entry of `reasoning_details`, as OpenRouter has them: what a client sends back to go on thinking."""
    if redacted is not None:
        return {"type": "reasoning.encrypted", "data": redacted}
    detail: JsonObject = {"type": "reasoning.text", "text": text}
    return detail | ({"signature": signature} if signature is not None else {})
