"""Whole replies of the Gemini API to canonical ones."""

from datetime import datetime

from tenfold.core.chat import ChatReply, Choice, Part, RefusalPart, TextPart, ThinkingPart, ToolCallPart
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import gemini_usage
from tenfold.providers.gemini.errors import error_of_object, malformed_reply
from tenfold.providers.gemini.parts import (
    CallIds,
    arguments_text,
    finish_reason,
    metadata_parts,
    openai_logprobs,
    raw_parts,
    read_part,
    reply_id,
    signature_part,
)
from tenfold.providers.gemini.schema import (
    RESPONSE,
    UNREADABLE,
    USAGE_ONLY,
    Candidate,
    GenerateContentResponse,
)


def decode_chat(body: bytes) -> ChatReply:
    """Raises UpstreamError: unreadable, an error in place of a reply, or a candidate that failed."""
    try:
        response = RESPONSE.decode(body)
        if response.error is not None:
            raise error_of_object(response.error)
        choices = _choices(response, CallIds(response.response_id, body))
    except UNREADABLE as unreadable:
        raise malformed_reply("a reply that is not a GenerateContentResponse") from unreadable
    return ChatReply(
        id=reply_id(response.response_id, body),
        model=response.model_version or "",
        choices=choices,
        usage=gemini_usage(response.usage_metadata),
        created_s=created_s(response.create_time),
        service_tier=service_tier(response.usage_metadata),
    )


def usage_of_reply(body: bytes) -> Usage | None:
    try:
        return gemini_usage(USAGE_ONLY.decode(body).usage_metadata)
    except UNREADABLE:
        return None


def created_s(create_time: str | None) -> int:
    """RFC 3339, which only Vertex sends; 0 when it is absent."""
    try:
        return int(datetime.fromisoformat(create_time).timestamp()) if create_time else 0
    except (ValueError, OverflowError):
        return 0


def service_tier(usage_metadata: object) -> str | None:
    """Only a tier that was asked for is told: "standard" is what everyone gets."""
    tier = usage_metadata.get("serviceTier") if isinstance(usage_metadata, dict) else None
    return tier if tier in ("flex", "priority") else None


def failed_candidate(reason: str, message: str | None) -> UpstreamError:
    """The model was called and billed, but gave no answer. Trying again is worth it: most of these are chance."""
    return UpstreamError(
        message or f"The upstream model (Gemini) ended without an answer: {reason}.", status=502, kind=reason
    )


def _choices(response: GenerateContentResponse, ids: CallIds) -> list[Choice]:
    if response.candidates:
        return [_choice(candidate, position, ids) for position, candidate in enumerate(response.candidates)]
    feedback = response.prompt_feedback
    if feedback is None or not feedback.blocked:
        raise malformed_reply("a reply without candidates")
    text = feedback.block_reason_message
    return [Choice(parts=[RefusalPart(text=text)] if text else [], finish_reason="content_filter")]


def _choice(candidate: Candidate, position: int, ids: CallIds) -> Choice:
    parts = _parts(candidate, ids)
    said = bool(parts)
    called = any(isinstance(part, ToolCallPart) for part in parts)
    reason = candidate.finish_reason
    finish = finish_reason(reason, said_something=said, called=called) if reason else None
    if finish is None and (reason or not said):
        raise failed_candidate(reason or "FINISH_REASON_UNSPECIFIED", candidate.finish_message)
    return Choice(
        parts=[*parts, *metadata_parts(candidate)],
        finish_reason=finish,
        index=position if candidate.index is None else candidate.index,
        logprobs=openai_logprobs(candidate.logprobs_result),
    )


def _parts(candidate: Candidate, ids: CallIds) -> list[Part]:
    parts: list[Part] = []
    for raw in raw_parts(candidate):
        part, opaque = read_part(raw)
        call = part.function_call
        if opaque is not None:
            parts.append(opaque)
        elif call is not None:
            parts.append(
                ToolCallPart(
                    id=call.id or ids.next(),
                    name=call.name or "",
                    arguments=arguments_text(call.args),
                    signature=part.thought_signature,
                )
            )
        elif part.text and part.thought:
            parts.append(ThinkingPart(text=part.text))
        else:
            if part.text:
                parts.append(TextPart(text=part.text))
            if part.thought_signature:
                parts.append(signature_part(part.thought_signature))
    return parts
