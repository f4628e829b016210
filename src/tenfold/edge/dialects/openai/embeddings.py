"""Embeddings of OpenAI clients: texts or token ids in, vectors as numbers or base64 out."""

from msgspec import json

from tenfold.core.chat import EmbeddingsReply, EmbeddingsRequest, JsonObject
from tenfold.core.json_guard import load_json
from tenfold.edge.dialects.openai.hot import peek_embeddings
from tenfold.providers.openai.content import rest_of
from tenfold.providers.openai.embeddings import pack_floats


def decode_embeddings(body: bytes) -> EmbeddingsRequest:
    """Raises InvalidRequest."""
    peek = peek_embeddings(body)
    value: JsonObject = load_json(body)
    return EmbeddingsRequest(
        model=peek.model,
        inputs=_inputs(value["input"]),
        dimensions=value.get("dimensions"),
        encoding_format=value.get("encoding_format") or "float",
        user=peek.user,
        extra=rest_of(value, "model", "input", "dimensions", "encoding_format", "user"),
    )


def _inputs(given: str | list[str] | list[int] | list[list[int]]) -> list[str] | list[list[int]]:
    """`given` was checked: of one kind throughout."""
    if isinstance(given, str):
        return [given]
    tokens = [item for item in given if isinstance(item, int)]
    if tokens:
        return [tokens]
    texts = [item for item in given if isinstance(item, str)]
    return texts or [item for item in given if isinstance(item, list)]


def encode_embeddings(reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes:
    """CreateEmbeddingResponse."""
    as_text = request.encoding_format == "base64"
    tokens = reply.usage.input_tokens if reply.usage is not None else 0
    return json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": pack_floats(vector) if as_text else vector}
                for index, vector in enumerate(reply.vectors)
            ],
            "model": reply.model or request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
