"""`AnthropicWire`: the Wire of the Messages API. Pure functions over bytes; the base URL does not end in /v1."""

import msgspec

from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import InvalidRequest, UnsupportedParameter, UpstreamError
from tenfold.core.usage import Usage
from tenfold.providers.anthropic import facts, passthrough
from tenfold.providers.anthropic.blocks import DIALECT
from tenfold.providers.anthropic.errors import decode_error
from tenfold.providers.anthropic.reply import decode_reply, malformed, read_object
from tenfold.providers.anthropic.request import EncodedRequest, counted, encode_request
from tenfold.providers.anthropic.stream import AnthropicStreamDecoder
from tenfold.providers.ports import Headers, StreamFacts, WireRequest

VERSION = b"2023-06-01"
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"


class AnthropicWire:
    dialect = DIALECT

    def request_headers(self, api_key: str | None) -> Headers:
        key = [] if api_key is None else [(b"x-api-key", api_key.encode())]
        return [*key, (b"anthropic-version", VERSION)]

    def encode_chat(self, request: ChatRequest, upstream_model: str) -> WireRequest:
        encoded = _encode(request, upstream_model)
        return WireRequest(
            path=MESSAGES, body=msgspec.json.encode(encoded.body), ignored=tuple(dict.fromkeys(encoded.ignored))
        )

    def pass_chat(
        self, body: bytes, upstream_model: str, *, rename: bool, stream: bool, ask_usage: bool
    ) -> WireRequest:
        """A message's stream always tells its usage, so there is nothing to ask for."""
        return WireRequest(path=MESSAGES, body=passthrough.rename_model(body, upstream_model) if rename else body)

    def decode_chat(self, body: bytes) -> ChatReply:
        return decode_reply(body)

    def stream_decoder(self) -> AnthropicStreamDecoder:
        return AnthropicStreamDecoder()

    def usage_of_reply(self, body: bytes) -> Usage | None:
        return facts.usage_of_reply(body)

    def has_token(self, frames: bytes) -> bool:
        return b"content_block_delta" in frames or b"message_delta" in frames

    def without_usage_frame(self, frames: bytes) -> bytes:
        """Usage is no frame of its own here, and never asked for."""
        return frames

    def stream_facts(self, head: bytes, tail: bytes) -> StreamFacts:
        return facts.stream_facts(head, tail)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        return decode_error(status, headers, body)

    def encode_embeddings(self, request: EmbeddingsRequest, upstream_model: str) -> WireRequest:
        raise UnsupportedParameter(
            "Anthropic has no embeddings; choose a model of another provider, or the offline one.", param="model"
        )

    def decode_embeddings(self, body: bytes) -> EmbeddingsReply:
        raise malformed("Anthropic has no embeddings")

    def encode_count_tokens(self, request: ChatRequest, upstream_model: str) -> WireRequest:
        encoded = _encode(request, upstream_model)
        return WireRequest(path=COUNT_TOKENS, body=msgspec.json.encode(counted(encoded.body)))

    def decode_count_tokens(self, body: bytes) -> int:
        count = read_object(body).get("input_tokens")
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise malformed("it states no count of tokens")
        return count


def _encode(request: ChatRequest, upstream_model: str) -> EncodedRequest:
    try:
        return encode_request(request, upstream_model)
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply.") from error
