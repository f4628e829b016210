"""The answer to a request under a fate: its status, its headers, and its bytes, before anything breaks on the wire.
Pure.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, json

from tenfold.app.faults.asked import Asked
from tenfold.app.faults.fate import Fate
from tenfold.app.faults.values import fitting, unfitting
from tenfold.app.faults.wires import ANTHROPIC, GEMINI, OPENAI, Said, Wire
from tenfold.core.usage import Usage

WIRES: dict[str, Wire] = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
MODELS = ("fault:none", "gpt-fault", "claude-fault", "gemini-fault", "embedding-fault")
"""What `/models` lists. Any other name is answered as well."""

ABSURD_TOKENS = 1_000_000_000
PIECES = ("Every ", "word ", "of ", "this ", "answer ", "has ", "come, ", "and ", "this ", "is ", "the ", "last.")
_PIECE = 7  # characters of JSON that come at once
_JSON = ("content-type", "application/json")
_SSE = ("content-type", "text/event-stream")
_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to the network.</p>\n"

Headers = tuple[tuple[str, str], ...]


class Answer(Struct, frozen=True, kw_only=True):
    """Either a whole `body` or the `frames` of a stream. `error_event`: what an error inside it looks like."""

    status: int = 200
    headers: Headers = (_JSON,)
    body: bytes = b""
    frames: tuple[bytes, ...] | None = None
    error_event: bytes = b""

    def content_type(self) -> str:
        return next(value for name, value in self.headers if name == "content-type")


def answer(asked: Asked, fate: Fate) -> Answer:
    """As good as the fate allows: what it says of the text and of the usage holds, what it says of the wire not yet."""
    wire = WIRES[asked.dialect]
    match asked.operation:
        case "models":
            return Answer(body=json.encode(_models(asked.dialect)))
        case "count":
            name = "totalTokens" if asked.dialect == "gemini" else "input_tokens"
            return Answer(body=json.encode({name: _input_tokens(asked)}))
        case "embeddings":
            return Answer(body=json.encode(_embeddings(asked, _usage(asked, fate, 0))))
    pieces, cut_short = _pieces(asked, fate)
    said = Said(
        model=asked.model,
        pieces=pieces,
        usage=_usage(asked, fate, len(pieces)),
        include_usage=asked.include_usage,
        cut_short=cut_short,
    )
    if not asked.stream:
        return Answer(body=json.encode(wire.whole(said)), error_event=wire.error_event())
    frames = wire.frames(said)
    text = [frame for frame in frames.text for _ in range(2)] if fate.duplicates else frames.text
    return Answer(
        headers=(_SSE,),
        frames=(*frames.opening, *text, *frames.closing),
        error_event=wire.error_event(),
    )


def refusal(asked: Asked, status: int, retry_after_s: int | None) -> Answer:
    """An error in the dialect's words."""
    after: Headers = () if retry_after_s is None else (("retry-after", str(retry_after_s)),)
    return Answer(
        status=status, headers=(_JSON, *after), body=json.encode(WIRES[asked.dialect].error(status, retry_after_s))
    )


def page() -> Answer:
    """What stands between a client and its provider in a hotel."""
    return Answer(headers=(("content-type", "text/html; charset=utf-8"),), body=_PAGE)


def moved(to: str) -> Answer:
    return Answer(status=307, headers=(_JSON, ("location", to)))


def error_in_place(asked: Asked) -> Answer:
    """Status 200, and an error where a whole reply was due."""
    return Answer(body=json.encode(WIRES[asked.dialect].error(503, None)))


def _pieces(asked: Asked, fate: Fate) -> tuple[Sequence[str], bool]:
    """What is said, and whether the limit of tokens cut it short."""
    if asked.schema is not None:
        text = unfitting(asked.schema, fate.off_schema) if fate.off_schema else fitting(asked.schema)
        pieces: Sequence[str] = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    else:
        pieces = PIECES if fate.tokens is None else ("word ",) * fate.tokens
    limit = asked.max_tokens
    if limit is not None and len(pieces) > limit:
        return pieces[:limit], True
    return pieces, False


def _input_tokens(asked: Asked) -> int:
    return max(1, asked.text_bytes // 4)


def _usage(asked: Asked, fate: Fate, output_tokens: int) -> Usage | None:
    match fate.usage:
        case "missing":
            return None
        case "zero":
            return Usage()
        case "absurd":
            return Usage(input_tokens=ABSURD_TOKENS, output_tokens=ABSURD_TOKENS)
    return Usage(input_tokens=_input_tokens(asked), output_tokens=output_tokens)


def _embeddings(asked: Asked, usage: Usage | None) -> dict[str, Any]:
    vectors = [
        [round(1 / (2 + place + number), 6) for place in range(asked.dimensions)] for number in range(asked.texts)
    ]
    if asked.dialect == "gemini":
        values = [{"values": vector} for vector in vectors]
        told = {} if usage is None else {"usageMetadata": {"promptTokenCount": usage.input_tokens}}
        return ({"embedding": values[0]} if asked.single else {"embeddings": values}) | told
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    reply: dict[str, Any] = {"object": "list", "data": data, "model": asked.model}
    if usage is not None:
        reply["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return reply


def _models(dialect: str) -> dict[str, Any]:
    if dialect == "gemini":
        return {"models": [{"name": f"models/{name}", "displayName": name, "version": "1"} for name in MODELS]}
    if dialect == "anthropic":
        listed = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
        ]
        return {"data": listed, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "tenfold"} for name in MODELS]
    return {"object": "list", "data": data}
