"""Embeddings over `batchEmbedContents`: one call for any number of texts."""

import msgspec
from msgspec import Struct

from tenfold.core.chat import EmbeddingsReply, EmbeddingsRequest, JsonObject
from tenfold.core.errors import UnsupportedParameter
from tenfold.core.usage_wire import gemini_usage
from tenfold.providers.gemini.errors import malformed_reply
from tenfold.providers.gemini.paths import camel, model_path
from tenfold.providers.gemini.schema import UNREADABLE
from tenfold.providers.ports import WireRequest

_PER_TEXT = frozenset(("taskType", "title", "outputDimensionality", "embedContentConfig"))


class _Embedding(Struct):
    values: list[float]


class _Embeddings(Struct, rename="camel"):
    embeddings: list[_Embedding] | None = None  # of a batch
    embedding: _Embedding | None = None  # of a single text
    usage_metadata: object = None


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)


def encode_embeddings(request: EmbeddingsRequest, upstream_model: str) -> WireRequest:
    model = model_path(upstream_model)
    options: JsonObject = {}
    beside: JsonObject = {}
    for name, value in request.extra.items():
        target = options if camel(name) in _PER_TEXT else beside
        target[camel(name) if target is options else name] = value
    if request.dimensions is not None:
        options["outputDimensionality"] = request.dimensions
    requests: list[JsonObject] = []
    for text in request.inputs:
        if not isinstance(text, str):
            raise UnsupportedParameter("Gemini embeds text, not token ids: send strings.", param="input")
        requests.append({"model": model, "content": {"parts": [{"text": text}]}, **options})
    return WireRequest(
        path=f"/v1beta/{model}:batchEmbedContents",
        body=msgspec.json.encode({"requests": requests, **beside}),
        ignored=("user",) if request.user is not None else (),
    )


def decode_embeddings(body: bytes) -> EmbeddingsReply:
    """The reply does not name its model: `model` is "". Raises UpstreamError."""
    try:
        reply = _EMBEDDINGS.decode(body)
    except UNREADABLE as unreadable:
        raise malformed_reply("embeddings that cannot be read") from unreadable
    found = reply.embeddings if reply.embeddings is not None else [reply.embedding] if reply.embedding else None
    if found is None:
        raise malformed_reply("a reply without embeddings")
    return EmbeddingsReply(
        model="", vectors=[embedding.values for embedding in found], usage=gemini_usage(reply.usage_metadata)
    )
