"""The wire of OpenAI and of the servers compatible with it. `base_url` ends in /v1, so paths begin after it."""

from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import UnsupportedParameter, UpstreamError
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import openai_reply_usage
from tenfold.providers.openai import embeddings, errors, passthrough
from tenfold.providers.openai.content import DIALECT
from tenfold.providers.openai.facts import COMPATIBLE, UpstreamFacts
from tenfold.providers.openai.reply import decode_chat
from tenfold.providers.openai.request import encode_chat
from tenfold.providers.openai.stream import OpenAIStreamDecoder
from tenfold.providers.ports import Headers, StreamDecoder, StreamFacts, WireRequest


class OpenAIWire:
    """Implements `Wire`. `facts` say how the server differs from the common ground: see `upstream_facts`."""

    dialect = DIALECT

    def __init__(self, facts: UpstreamFacts = COMPATIBLE) -> None:
        self._facts = facts

    def request_headers(self, api_key: str | None) -> Headers:
        if api_key is None:
            return []
        if self._facts.key_header == "api-key":
            return [(b"api-key", api_key.encode())]
        return [(b"authorization", b"Bearer " + api_key.encode())]

    # -- chat

    def encode_chat(self, request: ChatRequest, upstream_model: str) -> WireRequest:
        return encode_chat(request, upstream_model, self._facts)

    def pass_chat(
        self, body: bytes, upstream_model: str, *, rename: bool, stream: bool, ask_usage: bool
    ) -> WireRequest:
        passed = passthrough.pass_body(
            body,
            upstream_model if rename else None,
            ask_usage=ask_usage and stream and self._facts.usage_option,
        )
        return WireRequest(path="/chat/completions", body=passed)

    def decode_chat(self, body: bytes) -> ChatReply:
        return decode_chat(body)

    def stream_decoder(self) -> StreamDecoder:
        return OpenAIStreamDecoder(ends_with_done=self._facts.ends_with_done)

    def usage_of_reply(self, body: bytes) -> Usage | None:
        return openai_reply_usage(body)

    def has_token(self, frames: bytes) -> bool:
        return passthrough.has_token(frames)

    def without_usage_frame(self, frames: bytes) -> bytes:
        return passthrough.without_usage_frame(frames)

    def stream_facts(self, head: bytes, tail: bytes) -> StreamFacts:
        return passthrough.stream_facts(head, tail, ends_with_done=self._facts.ends_with_done)

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        return errors.decode_error(status, headers, body)

    # -- embeddings

    def encode_embeddings(self, request: EmbeddingsRequest, upstream_model: str) -> WireRequest:
        return embeddings.encode_embeddings(request, upstream_model)

    def decode_embeddings(self, body: bytes) -> EmbeddingsReply:
        return embeddings.decode_embeddings(body)

    # -- counting

    def encode_count_tokens(self, request: ChatRequest, upstream_model: str) -> WireRequest | None:
        return None

    def decode_count_tokens(self, body: bytes) -> int:
        raise UnsupportedParameter("OpenAI's API counts no tokens without answering.")
