"""What the scripted provider reads of a request, and how its plan is told in the dialect of the call. Pure."""

from typing import Any

from msgspec import Struct, json

from tenfold.app.chaos.bill import mark_in
from tenfold.app.chaos.script import Asked, Plan
from tenfold.app.faults.wires import ANTHROPIC, OPENAI, Said, Wire

__all__ = ["ANTHROPIC", "OPENAI", "Wire", "body_of", "read_request"]

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
    said = Said(
        model=asked.model,
        pieces=("word ",) * plan.shown_tokens,
        usage=None if plan.outcome == "no_usage" else plan.usage,
        include_usage=asked.include_usage,
    )
    if asked.stream:
        frames = wire.frames(said).all
        if plan.outcome == "malformed":
            frames.insert(len(frames) // 2, _BROKEN_CHUNK)
        return b"".join(frames)
    body = json.encode(wire.whole(said))
    return body[:-2] if plan.outcome == "malformed" else body
