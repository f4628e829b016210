"""What the pipeline needs of the layers beside and above it."""

from typing import Protocol

from tenfold.core.chat import ChatEvent, ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import TenfoldError


class ReplyEncoder(Protocol):
    """Canonical stream events to the client's stream. Stateful, one per stream."""

    def encode(self, events: list[ChatEvent]) -> bytes:
        """The frames these events make; b"" when none is complete yet. A Failed event becomes the dialect's
        typed error frame; an Ended one its proper end."""
        ...


class ClientDialect(Protocol):
    """How one kind of client speaks. Pure; implemented in `edge`."""

    name: str  # the Wire.dialect it equals: "openai" | "anthropic"

    def decode_chat(self, body: bytes) -> ChatRequest:
        """The full request. Raises InvalidRequest with `param`."""
        ...

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes: ...

    def reply_encoder(self, request: ChatRequest) -> ReplyEncoder: ...

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        """The body of an error reply."""
        ...

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        """The terminal frame of a stream that broke after it began; official SDKs raise on it."""
        ...

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest: ...

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes: ...
