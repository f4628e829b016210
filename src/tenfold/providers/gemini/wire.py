"""GeminiWire: the Wire of the Gemini API. Only the seams stand here; each mapping has its own module."""

import msgspec
from msgspec import Struct

from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.providers.gemini import embeddings, errors, replies, requests, stream
from tenfold.providers.gemini.parts import DIALECT
from tenfold.providers.gemini.paths import generate_path
from tenfold.providers.gemini.schema import UNREADABLE
from tenfold.providers.ports import Headers, StreamDecoder, StreamFacts, WireRequest


class _TokenCount(Struct, rename="camel"):
    total_tokens: int


_TOKEN_COUNT = msgspec.json.Decoder(_TokenCount)


class GeminiWire:
    """Pure; one instance serves every call. The base URL has no path: "https://generativelanguage.googleapis.com"."""

    dialect = DIALECT

    def request_headers(self, api_key: str | None) -> Headers:
        """The key travels in a header, never in the query, which proxies log."""
        return [(b"x-goog-api-key", api_key.encode())] if api_key else []

    def encode_chat(self, request: ChatRequest, upstream_model: str) -> WireRequest:
        return requests.encode_chat(request, upstream_model)

    def pass_chat(
        self, body: bytes, upstream_model: str, *, rename: bool, stream: bool, ask_usage: bool
    ) -> WireRequest:
        """The body goes as it is: in this dialect model and streaming stand in the path, and usage is always told."""
        return WireRequest(path=generate_path(upstream_model, stream=stream), body=body)

    def decode_chat(self, body: bytes) -> ChatReply:
        return replies.decode_chat(body)

    def stream_decoder(self) -> StreamDecoder:
        return stream.GeminiStreamDecoder()

    def usage_of_reply(self, body: bytes) -> Usage | None:
        return replies.usage_of_reply(body)

    def has_token(self, frames: bytes) -> bool:
        return b'"parts"' in frames or b'"finishReason"' in frames

    def without_usage_frame(self, frames: bytes) -> bytes:
        """There is no such frame: usage stands in the frames that carry the answer."""
        return frames

    def stream_facts(self, head: bytes, tail: bytes) -> StreamFacts:
        return stream.stream_facts(head, tail)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        return errors.decode_error(status, headers, body)

    def encode_embeddings(self, request: EmbeddingsRequest, upstream_model: str) -> WireRequest:
        return embeddings.encode_embeddings(request, upstream_model)

    def decode_embeddings(self, body: bytes) -> EmbeddingsReply:
        return embeddings.decode_embeddings(body)

    def encode_count_tokens(self, request: ChatRequest, upstream_model: str) -> WireRequest | None:
        return requests.encode_count_tokens(request, upstream_model)

    def decode_count_tokens(self, body: bytes) -> int:
        try:
            return _TOKEN_COUNT.decode(body).total_tokens
        except UNREADABLE as unreadable:
            raise errors.malformed_reply("a token count that cannot be read") from unreadable
