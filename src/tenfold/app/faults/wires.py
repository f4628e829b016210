"""The three dialects that stand-in providers speak: what is said, as a whole reply, as the frames of a stream, and as
an error. Pure functions to bytes; nothing is shared with the wires that Tenfold itself reads with, so that a slip in
one is found by the other.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Struct, json

from tenfold.core.usage import Usage

JsonObject = dict[str, Any]
Dialect = Literal["openai", "anthropic", "gemini"]


class Said(Struct, frozen=True, kw_only=True):
    """A reply in its pieces. `usage` None: it tells none. `include_usage`: OpenAI's frame of it was asked for."""

    model: str
    pieces: Sequence[str]
    usage: Usage | None
    include_usage: bool = True
    cut_short: bool = False  # by the limit of tokens

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Frames(Struct, frozen=True, kw_only=True):
    """A stream: before the text, a frame for each piece of it, and the end the protocol demands."""

    opening: list[bytes]
    text: list[bytes]
    closing: list[bytes]

    @property
    def all(self) -> list[bytes]:
        return [*self.opening, *self.text, *self.closing]


class Wire(Struct, frozen=True, kw_only=True):
    """`error`: of a status, with a `Retry-After` in seconds where the dialect tells it in the body, too. `error_event`:
    what stands for an error inside a stream."""

    name: Dialect
    usage: Callable[[Usage], JsonObject]
    whole: Callable[[Said], JsonObject]
    frames: Callable[[Said], Frames]
    error: Callable[[int, int | None], JsonObject]
    error_event: Callable[[], bytes]


_MESSAGE = "The script says so."

# -- OpenAI chat completions


def _openai_usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def _openai_reason(said: Said) -> str:
    return "length" if said.cut_short else "stop"


def _openai_whole(said: Said) -> JsonObject:
    message = {"role": "assistant", "content": said.text, "refusal": None}
    reply: JsonObject = {
        "id": "chatcmpl-chaos",
        "object": "chat.completion",
        "created": 1,
        "model": said.model,
        "choices": [{"index": 0, "message": message, "finish_reason": _openai_reason(said), "logprobs": None}],
    }
    if said.usage is not None:
        reply["usage"] = _openai_usage(said.usage)
    return reply


def _openai_frames(said: Said) -> Frames:
    def chunk(choices: list[JsonObject], **more: Any) -> bytes:
        head = {"id": "chatcmpl-chaos", "object": "chat.completion.chunk", "created": 1, "model": said.model}
        return b"data: %b\n\n" % json.encode({**head, "choices": choices, **more})

    def delta(words: JsonObject, reason: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": words, "finish_reason": reason}])

    closing = [delta({}, _openai_reason(said))]
    if said.include_usage and said.usage is not None:
        closing.append(chunk([], usage=_openai_usage(said.usage)))
    return Frames(
        opening=[delta({"role": "assistant", "content": ""})],
        text=[delta({"content": piece}) for piece in said.pieces],
        closing=[*closing, b"data: [DONE]\n\n"],
    )


def _openai_error(status: int, retry_after_s: int | None) -> JsonObject:
    kind = {401: "invalid_request_error", 429: "rate_limit_error"}.get(status, "server_error")
    return {"error": {"message": _MESSAGE, "type": kind, "param": None, "code": str(status)}}


def _openai_error_event() -> bytes:
    return b"data: %b\n\n" % json.encode(_openai_error(503, None))


# -- Anthropic messages

_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _anthropic_usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output_tokens,
    }


def _anthropic_whole(said: Said) -> JsonObject:
    reply: JsonObject = {
        "id": "msg_chaos",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": [{"type": "text", "text": said.text}],
        "stop_reason": "max_tokens" if said.cut_short else "end_turn",
        "stop_sequence": None,
    }
    if said.usage is not None:
        reply["usage"] = _anthropic_usage(said.usage)
    return reply


def _anthropic_event(kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.encode({"type": kind, **more}))


def _anthropic_frames(said: Said) -> Frames:
    whole = _anthropic_whole(said)
    start = whole | {"content": [], "stop_reason": None}
    last: JsonObject = {"delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}}
    if said.usage is not None:
        start["usage"] = _anthropic_usage(said.usage) | {"output_tokens": min(1, said.usage.output_tokens)}
        last["usage"] = {"output_tokens": said.usage.output_tokens}
    return Frames(
        opening=[
            _anthropic_event("message_start", message=start),
            _anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        ],
        text=[
            _anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
            for piece in said.pieces
        ],
        closing=[
            _anthropic_event("content_block_stop", index=0),
            _anthropic_event("message_delta", **last),
            _anthropic_event("message_stop"),
        ],
    )


def _anthropic_error(status: int, retry_after_s: int | None) -> JsonObject:
    return {"type": "error", "error": {"type": _ANTHROPIC_KINDS.get(status, "api_error"), "message": _MESSAGE}}


def _anthropic_error_event() -> bytes:
    return b"event: error\ndata: %b\n\n" % json.encode(_anthropic_error(529, None))


# -- Gemini generateContent

_GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _gemini_usage(usage: Usage) -> JsonObject:
    told = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    return told | ({"cachedContentTokenCount": usage.cache_read_tokens} if usage.cache_read_tokens else {})


def _gemini_document(said: Said, text: str, reason: str | None) -> JsonObject:
    candidate: JsonObject = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    document: JsonObject = {"candidates": [candidate], "modelVersion": said.model, "responseId": "chaos"}
    if said.usage is not None:
        document["usageMetadata"] = _gemini_usage(said.usage)
    return document


def _gemini_reason(said: Said) -> str:
    return "MAX_TOKENS" if said.cut_short else "STOP"


def _gemini_whole(said: Said) -> JsonObject:
    return _gemini_document(said, said.text, _gemini_reason(said))


def _gemini_frames(said: Said) -> Frames:
    """Each a document of its own; only the last states how it finished, and nothing comes after it."""

    def frame(text: str, reason: str | None = None) -> bytes:
        return b"data: %b\r\n\r\n" % json.encode(_gemini_document(said, text, reason))

    return Frames(opening=[], text=[frame(piece) for piece in said.pieces], closing=[frame("", _gemini_reason(said))])


def _gemini_error(status: int, retry_after_s: int | None) -> JsonObject:
    error: JsonObject = {"code": status, "message": _MESSAGE, "status": _GEMINI_STATUSES.get(status, "UNKNOWN")}
    if retry_after_s is not None:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": f"{retry_after_s}s"}]
    return {"error": error}


def _gemini_error_event() -> bytes:
    """As the API has it: a bare JSON object between the events."""
    return json.format(json.encode(_gemini_error(503, None))) + b"\r\n\r\n"


OPENAI = Wire(
    name="openai",
    usage=_openai_usage,
    whole=_openai_whole,
    frames=_openai_frames,
    error=_openai_error,
    error_event=_openai_error_event,
)
ANTHROPIC = Wire(
    name="anthropic",
    usage=_anthropic_usage,
    whole=_anthropic_whole,
    frames=_anthropic_frames,
    error=_anthropic_error,
    error_event=_anthropic_error_event,
)
GEMINI = Wire(
    name="gemini",
    usage=_gemini_usage,
    whole=_gemini_whole,
    frames=_gemini_frames,
    error=_gemini_error,
    error_event=_gemini_error_event,
)
