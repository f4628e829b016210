"""The Responses dialect as one object: the pipeline's ClientDialect."""

from msgspec import json

from tenfold.core.call import Operation
from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.clock import Clock, SystemClock
from tenfold.core.errors import NotFound, TenfoldError
from tenfold.edge.dialects.responses import errors
from tenfold.edge.dialects.responses.reply import encode_reply
from tenfold.edge.dialects.responses.request import DIALECT, Peek, decode_chat, peek_response
from tenfold.edge.dialects.responses.stream import ResponsesReplyEncoder

_NO_EMBEDDINGS = "The Responses API has no embeddings: POST /v1/embeddings does."


class ResponsesDialect:
    """Implements ClientDialect. No upstream speaks it, so replies are always translated. The clock tells when a reply
    was created, where the upstream does not."""

    name = DIALECT

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def peek(self, operation: Operation, body: bytes) -> Peek:
        if operation == "embeddings":
            raise NotFound(_NO_EMBEDDINGS)
        return peek_response(body, counting=operation == "count_tokens")

    def decode_chat(self, body: bytes) -> ChatRequest:
        return decode_chat(body)

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return encode_reply(reply, request, self._now_s())

    def reply_encoder(self, request: ChatRequest) -> ResponsesReplyEncoder:
        return ResponsesReplyEncoder(request, self._now_s)

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        """OpenAI tells the request id in a header only."""
        return errors.encode_error(error)

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        return errors.error_frame(error)

    def restart_frame(self, provider: str, model: str) -> bytes:
        return errors.restart_frame(provider, model)

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest:
        raise NotFound(_NO_EMBEDDINGS)

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes:
        raise NotFound(_NO_EMBEDDINGS)

    def encode_count(self, input_tokens: int) -> bytes:
        return json.encode({"object": "response.input_tokens", "input_tokens": input_tokens})

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())
