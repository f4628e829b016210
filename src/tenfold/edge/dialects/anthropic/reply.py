"""Canonical replies as Message objects."""

import msgspec

from tenfold.core.chat import (
    ChatReply,
    ChatRequest,
    FinishReason,
    JsonObject,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from tenfold.core.usage import Usage
from tenfold.providers.anthropic.blocks import DIALECT, encode_part, own

STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_TIERS = {"default": "standard", "priority": "priority", "batch": "batch"}


def encode_reply(reply: ChatReply, request: ChatRequest) -> bytes:
    """A Message has one choice; more were refused when the request was read."""
    members = dict(own(reply.native))
    usage: JsonObject = members.pop("usage", {})
    choice = reply.choices[0] if reply.choices else None
    parts = choice.parts if choice is not None else []
    called = any(isinstance(part, ToolCallPart) for part in parts)
    message = {
        **envelope(reply.id, reply.model or request.model),
        "content": _content(parts, native=reply.native is not None),
        "stop_reason": stop_reason(choice.finish_reason if choice is not None else None, called=called),
        "stop_sequence": choice.stop_sequence if choice is not None else None,
        "usage": encode_usage(reply.usage, reply.service_tier, usage),
    }
    return msgspec.json.encode(message | members)


def envelope(id_: str, model: str) -> JsonObject:
    """The members every message begins with. Ids of other dialects become ids of this one."""
    return {
        "id": id_ if id_.startswith("msg_") else f"msg_{id_}",
        "type": "message",
        "role": "assistant",
        "model": model,
    }


def stop_reason(reason: FinishReason | None, *, called: bool) -> str:
    """`called`: the reply holds tool calls; some servers then still say they just stopped."""
    if called and reason in ("stop", None):
        return "tool_use"
    return STOP_REASONS[reason or "stop"]


def encode_usage(usage: Usage | None, service_tier: str | None, members: JsonObject) -> JsonObject:
    """`members`: what stood beside the counts when Anthropic itself stated them."""
    counts = usage or Usage()
    read, written = counts.cache_read_tokens, counts.cache_write_tokens
    out: JsonObject = {
        "input_tokens": max(0, counts.input_tokens - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": counts.output_tokens,
    }
    if written:
        one_hour = counts.cache_write_1h_tokens
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": written - one_hour,
            "ephemeral_1h_input_tokens": one_hour,
        }
    if counts.reasoning_tokens:
        out["output_tokens_details"] = {"thinking_tokens": counts.reasoning_tokens}
    if service_tier in _TIERS:
        out["service_tier"] = _TIERS[service_tier]
    return out | members


def encode_block(part: Part) -> JsonObject | None:
    """The content block of a reply's part; None for what this API has no block for (generated media)."""
    match part:
        case ThinkingPart(redacted=None):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case ToolCallPart():
            return encode_call(part)
        case TextPart() | RefusalPart() | ThinkingPart():
            return encode_part(part)
        case OpaquePart(dialect=dialect) if dialect == DIALECT:
            return part.value
    return None


def encode_call(part: ToolCallPart) -> JsonObject:
    """With the signature another dialect put on it: a client that sends the block back as it was brings it home."""
    block = encode_part(part) or {}
    return block if part.signature is None else {**block, "signature": part.signature}


def _content(parts: list[Part], *, native: bool) -> list[JsonObject]:
    """Other dialects say "" where they say nothing; Anthropic's own empty texts stay."""
    said = [part for part in parts if native or not isinstance(part, TextPart) or part.text or part.citations]
    return [block for block in map(encode_block, said) if block is not None]
