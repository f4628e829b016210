"""The dialect of OpenAI clients as one object: the pipeline's ClientDialect."""

from tenfold.core.call import Operation
from tenfold.core.chat import ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.clock import Clock, SystemClock
from tenfold.core.errors import NotFound, TenfoldError
from tenfold.edge.dialects.openai import embeddings, errors, hot
from tenfold.edge.dialects.openai.reply import encode_reply
from tenfold.edge.dialects.openai.request import decode_chat
from tenfold.edge.dialects.openai.stream import OpenAIReplyEncoder
from tenfold.providers.openai.content import DIALECT


class OpenAIDialect:
    """Implements ClientDialect. The clock tells when a reply was created, where the upstream does not."""

    name = DIALECT

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def peek(self, operation: Operation, body: bytes) -> hot.Peek:
        if operation == "chat":
            return hot.peek_chat(body)
        if operation == "embeddings":
            return hot.peek_embeddings(body)
        raise _no_counting()

    def decode_chat(self, body: bytes) -> ChatRequest:
        return decode_chat(body)

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return encode_reply(reply, request, self._now_s())

    def reply_encoder(self, request: ChatRequest) -> OpenAIReplyEncoder:
        return OpenAIReplyEncoder(request, self._now_s())

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        """OpenAI tells the request id in a header only."""
        return errors.encode_error(error)

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        return errors.error_frame(error)

    def restart_frame(self, provider: str, model: str) -> bytes:
        return errors.restart_frame(provider, model, self._now_s())

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest:
        return embeddings.decode_embeddings(body)

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes:
        return embeddings.encode_embeddings(reply, request)

    def encode_count(self, input_tokens: int) -> bytes:
        raise _no_counting()

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _no_counting() -> NotFound:
    return NotFound("OpenAI's API counts no tokens: POST /v1/messages/count_tokens does.")
