"""What the pipeline needs of the layers beside and above it."""

from collections.abc import Awaitable
from typing import Protocol

from tenfold.core.call import Call, Operation, Peek
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

    def peek(self, operation: Operation, body: bytes) -> Peek:
        """Check the whole body, read the little that routing needs. Raises InvalidRequest."""
        ...

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

    def encode_count(self, input_tokens: int) -> bytes:
        """The reply of a count-tokens call; dialects without one raise NotFound."""
        ...


class Sender(Protocol):
    """A begun stream to the client."""

    def send_bytes(self, data: bytes) -> Awaitable[None]:
        """Returns when the client's connection took it. Raises the Responder's `gone`."""
        ...


class Responder(Protocol):
    """Where a reply goes. One of the two is called, once. Headers are lines (`core.headers.header_lines`)."""

    gone: type[Exception]  # what a Sender raises when nobody listens any more

    def whole(self, status: int, headers: str, body: bytes) -> None: ...

    def stream(self, status: int, headers: str) -> Sender: ...


class OutcomeSink(Protocol):
    """Takes the finished call: receipts, logs, metrics, traces. Must not block or raise."""

    def record(self, call: Call) -> None: ...
