"""The seams of this part: an Exchange moves bytes, a Wire maps one provider dialect, a Provider is an upstream."""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from tenfold.core.chat import ChatEvent, ChatReply, ChatRequest, EmbeddingsReply, EmbeddingsRequest
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage

Headers = list[tuple[bytes, bytes]]  # names in lower case


NEVER_SENT = "the request was never sent"
"""The note on a CancelledError that interrupted `Provider.send` before anything could reach the upstream."""


def was_sent(left: BaseException) -> bool:
    """Whether the upstream may have got the request whose `Provider.send` ended with `left`."""
    return NEVER_SENT not in getattr(left, "__notes__", ())


class Exchange(Protocol):
    """One HTTP exchange whose reply head has arrived."""

    status: int
    headers: Headers

    def header(self, name: bytes) -> bytes | None: ...

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamUnavailable (cut), UpstreamTimeout, UpstreamError (over the size cap)."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, cut anywhere. Raises as `read` does. Leaving early aborts the exchange."""
        ...

    def abort(self) -> None:
        """Drop the exchange: the connection is closed unless the reply was complete. May be called twice."""
        ...


class WireRequest(Struct, frozen=True, kw_only=True):
    """What to POST under the provider's base URL. `ignored` names parameters the upstream has no word for
    and whose absence does not change what was promised (they are told to the client)."""

    path: str  # with query, from the base URL on: "/chat/completions", "/v1/messages"
    body: bytes
    ignored: tuple[str, ...] = ()


class StreamFacts(Struct, frozen=True, kw_only=True):
    """What the first and the last bytes of a raw stream tell, read once at its end."""

    complete: bool  # the protocol's own end was seen
    usage: Usage | None
    finish_reasons: tuple[str, ...] = ()  # in the dialect's own words
    failed: bool = False  # an error event stands in the tail


class StreamDecoder(Protocol):
    """Raw stream bytes, cut anywhere, to canonical events. Never raises on bad input: it gives Failed, then nothing."""

    def feed(self, block: bytes) -> list[ChatEvent]: ...

    def finish(self) -> list[ChatEvent]:
        """The upstream closed. Whatever is left; Ended was given iff the reply was complete."""
        ...


class Wire(Protocol):
    """The mapping of one provider dialect: pure functions over bytes, no I/O.

    A `Wire` raises UnsupportedParameter for what the upstream cannot do, and UpstreamError (502,
    kind "malformed_reply") for a reply that cannot be read.
    """

    dialect: str  # "openai" | "anthropic" | "gemini"

    def request_headers(self, api_key: str | None) -> Headers:
        """Authentication and protocol version; never logged."""
        ...

    def encode_chat(self, request: ChatRequest, upstream_model: str) -> WireRequest: ...

    def pass_chat(
        self, body: bytes, upstream_model: str, *, rename: bool, stream: bool, ask_usage: bool
    ) -> WireRequest:
        """The client spoke this dialect: the body as it is. Only when needed, and at the byte level where
        possible: `rename` puts upstream_model for the client's name, `ask_usage` turns on the usage frame."""
        ...

    def decode_chat(self, body: bytes) -> ChatReply: ...

    def stream_decoder(self) -> StreamDecoder: ...

    def usage_of_reply(self, body: bytes) -> Usage | None:
        """Usage of a whole reply; lean, reads nothing else. None when the reply states none."""
        ...

    def has_token(self, frames: bytes) -> bool:
        """Whether a piece of the answer, or its end, stands in these whole frames; a look at bytes, no parsing."""
        ...

    def without_usage_frame(self, frames: bytes) -> bytes:
        """Whole frames less the usage frame that `ask_usage` made the upstream send and the client did not ask for."""
        ...

    def stream_facts(self, head: bytes, tail: bytes) -> StreamFacts:
        """`head`: the first bytes of the stream (from byte 0), `tail`: its last bytes; they may overlap."""
        ...

    def decode_error(self, status: int, headers: Headers, body: bytes) -> UpstreamError: ...

    def encode_embeddings(self, request: EmbeddingsRequest, upstream_model: str) -> WireRequest: ...

    def decode_embeddings(self, body: bytes) -> EmbeddingsReply: ...

    def encode_count_tokens(self, request: ChatRequest, upstream_model: str) -> WireRequest | None:
        """None: this dialect has no such call; the caller estimates."""
        ...

    def decode_count_tokens(self, body: bytes) -> int: ...


class Provider(Protocol):
    """One configured upstream. The pipeline knows no more of it than this."""

    name: str  # as in the configuration
    wire: Wire

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        """POST. `headers` are the client's that are worth carrying (anthropic-beta and the like).
        Returns once the reply head is there. Raises UpstreamUnavailable, UpstreamTimeout; their `unanswered` tells
        whether the request had gone out. A CancelledError out of it has the note NEVER_SENT when it had not."""
        ...

    async def check(self) -> str:
        """A cheap authenticated call; returns one line for a person. Raises UpstreamError."""
        ...

    async def aclose(self) -> None: ...
