"""Embeddings on OpenAI's wire: lists of numbers, or base64 of little-endian 32-bit floats."""

import base64
import binascii
import struct

from msgspec import ValidationError, convert, json

from tenfold.core.chat import EmbeddingsReply, EmbeddingsRequest, JsonObject
from tenfold.core.usage_wire import openai_usage
from tenfold.providers.openai.errors import UNREADABLE, error_of, malformed_reply
from tenfold.providers.ports import WireRequest


def encode_embeddings(request: EmbeddingsRequest, upstream_model: str) -> WireRequest:
    body: JsonObject = {"model": upstream_model, "input": request.inputs}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.encoding_format != "float":
        body["encoding_format"] = request.encoding_format
    if request.user is not None:
        body["user"] = request.user
    return WireRequest(path="/embeddings", body=json.encode(request.extra | body))


def decode_embeddings(body: bytes) -> EmbeddingsReply:
    """The vectors in the order of their inputs. Raises UpstreamError."""
    try:
        value = json.decode(body)
    except UNREADABLE as error:
        raise malformed_reply("a reply that is not JSON") from error
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(data, list):
        if isinstance(value, dict) and value.get("error") is not None:
            raise error_of(value)
        raise malformed_reply("a reply that is not a list of embeddings")
    model = value.get("model")
    return EmbeddingsReply(
        model=model if isinstance(model, str) else "",
        vectors=[_vector(item) for item in sorted(data, key=_index)],
        usage=openai_usage(value["usage"]) if isinstance(value.get("usage"), dict) else None,
    )


def _index(item: object) -> int:
    index = item.get("index") if isinstance(item, dict) else None
    return index if isinstance(index, int) else 0  # absent everywhere: the order stays


def _vector(item: object) -> list[float]:
    given = item.get("embedding") if isinstance(item, dict) else None
    try:
        return unpack_floats(given) if isinstance(given, str) else convert(given, list[float])
    except (binascii.Error, struct.error, ValueError, ValidationError) as error:
        raise malformed_reply("an embedding that is no vector") from error


def pack_floats(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def unpack_floats(text: str) -> list[float]:
    """Raises binascii.Error, struct.error, ValueError."""
    raw = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))
