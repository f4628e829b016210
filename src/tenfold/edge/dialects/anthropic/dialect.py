"""`AnthropicDialect`: how clients of the Anthropic SDKs speak to any upstream. Pure functions over bytes."""

import msgspec

from tenfold.core.call import Operation
from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import NotFound, TenfoldError
from tenfold.edge.dialects.anthropic import errors
from tenfold.edge.dialects.anthropic.hot import Peek, peek_messages
from tenfold.edge.dialects.anthropic.reply import encode_reply
from tenfold.edge.dialects.anthropic.request import decode_chat
from tenfold.edge.dialects.anthropic.stream import AnthropicReplyEncoder
from tenfold.providers.anthropic.blocks import DIALECT

_NO_EMBEDDINGS = "The Anthropic API has no embeddings; use POST /v1/embeddings in OpenAI's form."


class AnthropicDialect:
    name = DIALECT

    def peek(self, operation: Operation, body: bytes) -> Peek:
        if operation == "embeddings":
            raise NotFound(_NO_EMBEDDINGS)
        return peek_messages(body, counting=operation == "count_tokens")

    def decode_chat(self, body: bytes) -> ChatRequest:
        return decode_chat(body)

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return encode_reply(reply, request)

    def reply_encoder(self, request: ChatRequest) -> AnthropicReplyEncoder:
        return AnthropicReplyEncoder(request)

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        return errors.encode_error(error, request_id)

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        return errors.error_frame(error, request_id)

    def restart_frame(self, provider: str, model: str) -> bytes:
        return errors.restart_frame(provider, model)

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest:
        raise NotFound(_NO_EMBEDDINGS)

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes:
        raise NotFound(_NO_EMBEDDINGS)

    def encode_count(self, input_tokens: int) -> bytes:
        return msgspec.json.encode({"input_tokens": input_tokens})
