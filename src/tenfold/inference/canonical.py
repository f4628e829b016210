"""Calls from inside: the assistant and other parts go the one path too, in canonical values instead of a vendor's.

On the path they are a client dialect of their own, JSON of the types in `core.chat`, so that caching, translation and
settlement know no special case.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import DecodeError, json, structs

from tenfold.core.call import DEFAULT_OPTIONS, Call, CallOptions, Operation, Peek, Reach
from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    EmbeddingsReply,
    EmbeddingsRequest,
    Failed,
    RefusalPart,
    Restarted,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from tenfold.core.errors import BrokenStream, InvalidRequest, NotFound, TenfoldError
from tenfold.core.principal import Principal
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.ports import ReplyEncoder, Sender

_requests = json.Decoder(ChatRequest)
_events: json.Decoder[Any] = json.Decoder(ChatEvent | Restarted)
_encoder = json.Encoder()
_TEXT = (TextPart, RefusalPart, ThinkingPart, ToolCallPart, ToolResultPart)


class _Peek:
    """What routing and admission need of a request."""

    def __init__(self, request: ChatRequest) -> None:
        self.model = request.model
        self.stream = request.stream
        self.include_usage = request.include_usage
        self.n = request.n
        self.max_tokens = request.max_tokens
        self.temperature = request.temperature
        self.seed = request.seed
        self.user = request.user
        self.has_tools = bool(request.tools)
        self.wants_json = request.response_format is not None and request.response_format.kind != "text"
        only_text = all(isinstance(part, _TEXT) for message in request.messages for part in message.parts)
        self.reach = None if only_text else Reach(windows=1)


class CanonicalDialect:
    """The ClientDialect of callers inside. No upstream speaks it, so replies are always translated."""

    name = "canonical"

    def peek(self, operation: Operation, body: bytes) -> Peek:
        return _Peek(self.decode_chat(body))

    def decode_chat(self, body: bytes) -> ChatRequest:
        try:
            return _requests.decode(body)
        except DecodeError as error:
            raise InvalidRequest(str(error)) from None

    def encode_reply(self, reply: ChatReply, request: ChatRequest) -> bytes:
        return _encoder.encode(reply)

    def reply_encoder(self, request: ChatRequest) -> ReplyEncoder:
        return _EventLines()

    def encode_error(self, error: TenfoldError, request_id: str) -> bytes:
        return _encoder.encode({"code": error.code, "message": error.message})

    def error_frame(self, error: TenfoldError, request_id: str) -> bytes:
        return _encoder.encode_lines([Failed(message=error.message, code=error.code, status=error.status)])

    def restart_frame(self, provider: str, model: str) -> bytes:
        return _encoder.encode_lines([Restarted(provider=provider, model=model)])

    def decode_embeddings(self, body: bytes) -> EmbeddingsRequest:
        raise NotFound("Callers inside ask for chat only.")

    def encode_embeddings(self, reply: EmbeddingsReply, request: EmbeddingsRequest) -> bytes:
        return _encoder.encode(reply)

    def encode_count(self, input_tokens: int) -> bytes:
        return _encoder.encode(input_tokens)


class _EventLines:
    def encode(self, events: list[ChatEvent]) -> bytes:
        return _encoder.encode_lines(events)


class _NobodyListens(Exception):
    """Never raised: a caller inside leaves by cancelling."""


class _Inbox:
    """The Responder of a call from inside: a queue that its caller reads."""

    gone: type[Exception] = _NobodyListens

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)

    def whole(self, status: int, headers: str, body: bytes) -> None:
        """Errors only: a streamed call has no other whole reply. The call itself carries the error."""

    def stream(self, status: int, headers: str) -> Sender:
        return self

    async def send_bytes(self, data: bytes) -> None:
        await self.queue.put(data)


class StreamedCall:
    """Iterate for the events; afterwards `call` is settled and tells cost, cache and model."""

    def __init__(self, call: Call, inbox: _Inbox, task: "asyncio.Task[None]") -> None:
        self.call = call
        self._inbox = inbox
        self._task = task

    async def __aiter__(self) -> AsyncIterator[ChatEvent]:
        """Raises the call's TenfoldError when it was refused, or when it broke."""
        while (block := await self._inbox.queue.get()) is not None:
            for event in _events.decode_lines(block):
                if isinstance(event, Restarted):  # what was handed on cannot be taken back
                    raise BrokenStream("The reply broke off and began anew elsewhere.")
                if not isinstance(event, Failed):
                    yield event
        await self._task
        if self.call.error is not None:
            raise self.call.error


class InsideCaller:
    """Streams a canonical request through the pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._dialect = CanonicalDialect()

    @asynccontextmanager
    async def stream(
        self, principal: Principal, request: ChatRequest, options: CallOptions = DEFAULT_OPTIONS
    ) -> AsyncIterator[StreamedCall]:
        """Leaving early cancels the call, which settles all the same."""
        call = Call(
            principal=principal,
            operation="chat",
            dialect=self._dialect.name,
            body=_encoder.encode(structs.replace(request, stream=True)),
            options=options,
        )
        inbox = _Inbox()
        task = asyncio.create_task(self._run(call, inbox), name=f"inference.inside.{call.request_id}")
        try:
            yield StreamedCall(call, inbox, task)
        finally:
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, call: Call, inbox: _Inbox) -> None:
        try:
            await self._pipeline.serve(call, self._dialect, inbox)
        except Exception:  # a bug of ours: the reader is told of the end, and then meets it in this task
            await inbox.queue.put(None)
            raise
        await inbox.queue.put(None)
