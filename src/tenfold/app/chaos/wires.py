"""The two dialects the scripted provider speaks: requests read, replies written. Pure functions over bytes."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct, json

from tenfold.app.chaos.bill import mark_in
from tenfold.app.chaos.script import Asked, Plan
from tenfold.core.usage import Usage

NO_LIMIT_TOKENS = 90  # what a request that names no limit gets at most
_BROKEN_CHUNK = b'data: {"id": "chatcmpl-1", "choi\xff\n\n'


class _StreamOptions(Struct):
    include_usage: bool = False


class _Request(Struct):
    model: str
    messages: list[Any]
    system: Any = None
    stream: bool = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: _StreamOptions | None = None


_REQUEST = json.Decoder(_Request)


class Wire(Struct, frozen=True, kw_only=True):
    """`whole` gives a body; `frames` the events of a stream, the first one and the last ones apart from the text."""

    name: str
    usage: Callable[[Usage], dict[str, Any]]
    whole: Callable[[Asked, Plan], dict[str, Any]]
    frames: Callable[[Asked, Plan], list[bytes]]
    error: Callable[[int], dict[str, Any]]


def read_request(body: bytes) -> Asked:
    """Raises msgspec.DecodeError, msgspec.ValidationError."""
    request = _REQUEST.decode(body)
    limit = request.max_completion_tokens or request.max_tokens or NO_LIMIT_TOKENS
    said = json.encode([request.system, *request.messages])
    return Asked(
        model=request.model,
        stream=request.stream,
        include_usage=request.stream_options is not None and request.stream_options.include_usage,
        max_tokens=limit,
        text_bytes=len(said),
        mark=mark_in(body),
    )


def body_of(wire: Wire, asked: Asked, plan: Plan) -> bytes:
    """The whole reply's body, or all of a stream's."""
    if asked.stream:
        return b"".join(stream_of(wire, asked, plan))
    if plan.outcome == "malformed":
        return json.encode(wire.whole(asked, plan))[:-2]
    reply = wire.whole(asked, plan)
    if plan.outcome == "no_usage":
        reply.pop("usage")
    return json.encode(reply)


def stream_of(wire: Wire, asked: Asked, plan: Plan) -> list[bytes]:
    frames = wire.frames(asked, plan)
    if plan.outcome == "malformed":
        frames.insert(len(frames) // 2, _BROKEN_CHUNK)
    return frames


# -- OpenAI chat completions


def _openai_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    }


def _openai_whole(asked: Asked, plan: Plan) -> dict[str, Any]:
    message = {"role": "assistant", "content": "word " * plan.shown_tokens, "refusal": None}
    return {
        "id": "chatcmpl-chaos",
        "object": "chat.completion",
        "created": 1,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _openai_usage(plan.usage),
    }


def _openai_frames(asked: Asked, plan: Plan) -> list[bytes]:
    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": "chatcmpl-chaos", "object": "chat.completion.chunk", "created": 1, "model": asked.model}
        return b"data: %b\n\n" % json.encode({**head, "choices": choices, **more})

    def delta(words: dict[str, Any], reason: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": words, "finish_reason": reason}])

    frames = [delta({"role": "assistant", "content": ""})]
    frames += [delta({"content": "word "})] * plan.shown_tokens
    frames.append(delta({}, "stop"))
    if asked.include_usage and plan.outcome != "no_usage":
        frames.append(chunk([], usage=_openai_usage(plan.usage)))
    return [*frames, b"data: [DONE]\n\n"]


def _openai_error(status: int) -> dict[str, Any]:
    return {"error": {"message": "The script says so.", "type": "server_error", "param": None, "code": str(status)}}


# -- Anthropic messages


def _anthropic_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.output_tokens,
    }


def _anthropic_whole(asked: Asked, plan: Plan) -> dict[str, Any]:
    return {
        "id": "msg_chaos",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [{"type": "text", "text": "word " * plan.shown_tokens}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _anthropic_usage(plan.usage),
    }


def _anthropic_frames(asked: Asked, plan: Plan) -> list[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.encode({"type": kind, **more}))

    start = _anthropic_whole(asked, plan) | {"content": [], "stop_reason": None}
    start["usage"] = _anthropic_usage(plan.usage) | {"output_tokens": 1}
    last: dict[str, Any] = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    if plan.outcome == "no_usage":
        start.pop("usage")
    else:
        last["usage"] = {"output_tokens": plan.usage.output_tokens}
    word = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})
    return [
        event("message_start", message=start),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[word] * plan.shown_tokens,
        event("content_block_stop", index=0),
        event("message_delta", **last),
        event("message_stop"),
    ]


def _anthropic_error(status: int) -> dict[str, Any]:
    kind = {429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": "The script says so."}}


OPENAI = Wire(name="openai", usage=_openai_usage, whole=_openai_whole, frames=_openai_frames, error=_openai_error)
ANTHROPIC = Wire(
    name="anthropic", usage=_anthropic_usage, whole=_anthropic_whole, frames=_anthropic_frames, error=_anthropic_error
)
