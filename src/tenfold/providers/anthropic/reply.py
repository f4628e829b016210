"""A whole reply of the Messages API to a canonical one, and the words both sides of this dialect share with it."""

from typing import Any

import msgspec

from tenfold.core.chat import ChatReply, Choice, FinishReason, JsonObject, Part, TextPart, ToolCallPart
from tenfold.core.errors import UpstreamError
from tenfold.core.usage_wire import anthropic_usage
from tenfold.providers.anthropic.blocks import decode_block, native
from tenfold.providers.anthropic.errors import error_of
from tenfold.providers.anthropic.tools import ANSWER_TOOL

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
_REVERSIBLE = frozenset(FINISH) - {"model_context_window_exceeded"}
COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}
_MEMBERS = ("id", "type", "role", "content", "model", "stop_reason", "stop_sequence", "usage")


def decode_reply(body: bytes) -> ChatReply:
    """Raises UpstreamError (502, kind "malformed_reply") for what is no message; the stated error for an error."""
    message = read_object(body)
    if message.get("type") == "error":
        raise error_of(502, (), message)
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise malformed("its content is not a list of blocks")
    usage = message.get("usage")
    parts, answered = _unwrap([decode_block(block) for block in content])
    reason = message.get("stop_reason")
    finish = finish_reason(reason, called=any(isinstance(part, ToolCallPart) for part in parts), answered=answered)
    return ChatReply(
        id=text_or(message.get("id"), ""),
        model=text_or(message.get("model"), ""),
        choices=[Choice(parts=parts, finish_reason=finish, stop_sequence=text_or(message.get("stop_sequence"), None))],
        usage=anthropic_usage(usage) if isinstance(usage, dict) else None,
        service_tier=service_tier(usage),
        native=native(others(message) | unsaid_reason(reason) | usage_extras(usage)),
    )


def read_object(body: bytes) -> JsonObject:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed("it is not JSON") from error
    if not isinstance(value, dict):
        raise malformed("it is not an object")
    return value


def malformed(why: str) -> UpstreamError:
    return UpstreamError(f"The provider sent a reply that cannot be read: {why}.", kind="malformed_reply")


def _unwrap(parts: list[Part]) -> tuple[list[Part], bool]:
    """The input of the answer tool is the answer; what the model said beside it is not."""
    answer = next((part for part in parts if isinstance(part, ToolCallPart) and part.name == ANSWER_TOOL), None)
    if answer is None:
        return parts, False
    rest = [part for part in parts if part is not answer and not isinstance(part, TextPart)]
    return [*rest, TextPart(text=answer.arguments)], True


def finish_reason(reason: Any, *, called: bool, answered: bool) -> FinishReason | None:
    """None when the reply states none. An unknown word means the turn ended in a way this version has no name for."""
    if not isinstance(reason, str):
        return None
    if reason == "tool_use" and answered and not called:
        return "stop"
    return FINISH.get(reason, "stop")


def text_or(value: Any, default: Any) -> Any:
    return value if isinstance(value, str) else default


def others(message: JsonObject) -> JsonObject:
    """The members of a message that the canonical reply has no word for."""
    return {name: value for name, value in message.items() if name not in _MEMBERS}


def unsaid_reason(reason: Any) -> JsonObject:
    """The stop reason, where the canonical one does not lead back to it."""
    return {"stop_reason": reason} if isinstance(reason, str) and reason not in _REVERSIBLE else {}


def usage_extras(usage: Any) -> JsonObject:
    """The members of a usage object beside the counts of tokens."""
    if not isinstance(usage, dict):
        return {}
    extras = {name: value for name, value in usage.items() if name not in COUNTS}
    return {"usage": extras} if extras else {}


def service_tier(usage: Any) -> str | None:
    tier = usage.get("service_tier") if isinstance(usage, dict) else None
    return TIERS.get(tier) if isinstance(tier, str) else None
