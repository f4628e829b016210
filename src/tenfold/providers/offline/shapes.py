"""The OpenAI shapes the offline models speak: requests read leniently (unknown members are none of theirs), replies,
stream frames and errors written whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType, field, json

from tenfold.core.errors import TenfoldError
from tenfold.core.sse import sse

DONE: Final = b"[DONE]"

# -- requests --------------------------------------------------------------------------------


class MessageBody(Struct, frozen=True):
    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False


class JsonSchema(Struct, frozen=True):
    schema: dict[str, Any] = field(default_factory=dict)


class Format(Struct, frozen=True):
    type: str
    json_schema: JsonSchema | None = None


class ChatBody(Struct, frozen=True):
    model: str
    messages: list[MessageBody]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: Format | None = None


class EmbeddingsBody(Struct, frozen=True):
    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


# -- replies ---------------------------------------------------------------------------------


class UsageBody(Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int | UnsetType = UNSET
    total_tokens: int


class _ReplyMessage(Struct, frozen=True, kw_only=True):
    role: str = "assistant"
    content: str
    refusal: None = None


class _Choice(Struct, frozen=True, kw_only=True):
    index: int
    message: _ReplyMessage
    logprobs: None = None
    finish_reason: str


class _Completion(Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[_Choice]
    usage: UsageBody


class _Delta(Struct, frozen=True, kw_only=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class _ChunkChoice(Struct, frozen=True, kw_only=True):
    index: int
    delta: _Delta
    logprobs: None = None
    finish_reason: str | None = None


class _Chunk(Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[_ChunkChoice]
    usage: UsageBody | UnsetType | None = UNSET


class ReplyText(Struct, frozen=True, kw_only=True):
    """What was said, in the pieces it streams in; every one of the `n` choices says the same."""

    id: str
    created: int
    model: str
    pieces: list[str]
    finish_reason: str
    usage: UsageBody
    n: int = 1


def completion(reply: ReplyText) -> bytes:
    message = _ReplyMessage(content="".join(reply.pieces))
    choices = [_Choice(index=index, message=message, finish_reason=reply.finish_reason) for index in range(reply.n)]
    return json.encode(
        _Completion(id=reply.id, created=reply.created, model=reply.model, choices=choices, usage=reply.usage)
    )


def stream_frames(reply: ReplyText, *, include_usage: bool) -> Iterator[bytes]:
    """Role, pieces and finish of each choice, the usage frame when it was asked for, then [DONE]."""
    usage: UnsetType | None = None if include_usage else UNSET

    def frame(choices: list[_ChunkChoice], usage: UsageBody | UnsetType | None = usage) -> bytes:
        chunk = _Chunk(id=reply.id, created=reply.created, model=reply.model, choices=choices, usage=usage)
        return sse(json.encode(chunk))

    for index in range(reply.n):
        yield frame([_ChunkChoice(index=index, delta=_Delta(role="assistant", content=""))])
        for piece in reply.pieces:
            yield frame([_ChunkChoice(index=index, delta=_Delta(content=piece))])
        yield frame([_ChunkChoice(index=index, delta=_Delta(), finish_reason=reply.finish_reason)])
    if include_usage:
        yield frame([], reply.usage)
    yield sse(DONE)


class _Embedding(Struct, frozen=True, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: list[float] | str


class _Embeddings(Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[_Embedding]
    model: str
    usage: UsageBody


def embeddings(vectors: Sequence[list[float] | str], model: str, tokens: int) -> bytes:
    """Vectors as numbers, or as base64 of little-endian float32."""
    data = [_Embedding(index=index, embedding=vector) for index, vector in enumerate(vectors)]
    usage = UsageBody(prompt_tokens=tokens, total_tokens=tokens)
    return json.encode(_Embeddings(data=data, model=model, usage=usage))


def model_list(models: tuple[str, ...]) -> bytes:
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "tenfold"} for model in models]
    return json.encode({"object": "list", "data": data})


def error_body(error: TenfoldError) -> bytes:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return json.encode({"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}})
