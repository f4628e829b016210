"""Stage 6, validate: is what came back a whole, readable reply? A cut or malformed one never passes as a good one."""

import time
from collections.abc import AsyncGenerator

from msgspec import DecodeError, Struct, structs
from msgspec.json import Decoder

from tenfold.core.chat import ChatEvent, Ended, Failed, Metered, Started
from tenfold.core.errors import BrokenStream, UpstreamError
from tenfold.inference.call import Question
from tenfold.inference.frames import FrameGuard
from tenfold.inference.route import Target
from tenfold.providers.ports import Exchange

_CUT = "The provider's stream ended before the reply was complete."


def read_reply(question: Question, target: Target, body: bytes) -> bytes:
    """The body for the client; its usage is put on the call. Raises UpstreamError for a body that is no reply."""
    call = question.call
    try:
        return _read_reply(question, target, body)
    except UpstreamError:
        if call.usage is None and _is_refusal(body):
            call.unanswered = False
        raise


def _read_reply(question: Question, target: Target, body: bytes) -> bytes:
    call, wire = question.call, target.provider.wire
    if call.operation == "embeddings":
        embeddings = wire.decode_embeddings(body)
        call.usage = embeddings.usage
        if question.speaks(target):
            return body
        named = structs.replace(embeddings, model=embeddings.model or target.upstream_model)
        return question.dialect.encode_embeddings(named, question.dialect.decode_embeddings(call.body))
    call.usage = wire.usage_of_reply(body)  # before anything can fail: a reply that is no answer is billed all the same
    if not question.speaks(target):
        return question.dialect.encode_reply(wire.decode_chat(body), question.canonical())
    if call.usage is None:
        wire.decode_chat(body)  # a reply without usage is rare: make sure that it is one
    return body


async def check_stream_head(question: Question, target: Target, exchange: Exchange) -> None:
    """A server that answers a streaming request with a page or an error object did not begin a stream.

    Raises UpstreamError. A missing or odd content type is let through: many servers that stream well send one.
    """
    content_type = exchange.header(b"content-type") or b""
    if content_type.startswith((b"application/json", b"text/html")):
        call, wire = question.call, target.provider.wire
        body = await exchange.read()
        call.usage = wire.usage_of_reply(body)  # it may be the whole reply of a server that does not stream
        call.unanswered = not _is_refusal(body)
        raise wire.decode_error(502, exchange.headers, body)


class _Answer(Struct):
    error: object = None


_ANSWER = Decoder(_Answer)


def _is_refusal(body: bytes) -> bool:
    """Whether this is a whole error object or a page: what no provider charges for."""
    if body.lstrip()[:1] == b"<":
        return True
    try:
        return bool(_ANSWER.decode(body).error)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _first_frame(head: bytes) -> bytes:
    return head.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n\n"


class PassingRelay:
    """The dialects match: whole frames go through untouched, and only the two ends of the stream are read."""

    def __init__(self, question: Question, target: Target, exchange: Exchange) -> None:
        self._question = question
        self._wire = target.provider.wire
        self._exchange = exchange
        self._guard = FrameGuard()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Raises UpstreamError when the stream breaks or ends early."""
        call, guard = self._question.call, self._guard
        strip = self._wire.without_usage_frame if self._question.asked_usage else None
        async for block in self._exchange.blocks():
            if call.first_byte is None:
                call.first_byte = time.perf_counter()
            frames = guard.feed(block)
            if strip is not None:
                frames = strip(frames)
            if frames:
                yield frames
        rest = guard.rest()
        facts = self._wire.stream_facts(guard.head, guard.tail)
        if facts.complete:
            call.usage = facts.usage
        elif facts.failed:
            call.error = BrokenStream("The provider ended the stream with an error.")
            first = _first_frame(guard.head)
            call.unanswered = not self._wire.stream_facts(first, first).failed  # it began with it: a refusal
        else:
            raise BrokenStream(_CUT)
        if rest:
            yield rest

    def left(self) -> None:
        """However it ended: what is known for the receipt."""
        call = self._question.call
        call.stream_bytes = self._guard.size
        if call.usage is None and self._guard.size:
            call.begun_usage = self._wire.stream_facts(self._guard.head, b"").usage


class TranslatingRelay:
    """Two dialects: events are decoded and written anew."""

    def __init__(self, question: Question, target: Target, exchange: Exchange) -> None:
        self._question = question
        self._decoder = target.provider.wire.stream_decoder()
        self._exchange = exchange
        self._begun = False
        self._ended = False

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Raises UpstreamError when the stream breaks or ends early."""
        call = self._question.call
        encoder = self._question.dialect.reply_encoder(self._question.canonical())
        async for block in self._exchange.blocks():
            if call.first_byte is None:
                call.first_byte = time.perf_counter()
            call.stream_bytes += len(block)
            events = self._decoder.feed(block)
            self._note(events)
            frames = encoder.encode(events)
            if frames:
                yield frames
        events = self._decoder.finish()
        self._note(events)
        if not self._ended and call.error is None:
            raise BrokenStream(_CUT)
        frames = encoder.encode(events)
        if frames:
            yield frames

    def left(self) -> None:
        """However it ended: everything is on the call already."""

    def _note(self, events: list[ChatEvent]) -> None:
        """Read usage, failure and the end off the events."""
        call = self._question.call
        for event in events:
            if not isinstance(event, Failed):
                self._begun = True
            if isinstance(event, Metered):
                call.usage = event.usage
            elif isinstance(event, Started):
                call.begun_usage = event.usage
            elif isinstance(event, Failed):
                call.error = UpstreamError(
                    event.message, status=event.status, kind=event.kind, upstream_code=event.code
                )
                call.unanswered = self._begun
            elif isinstance(event, Ended):
                self._ended = True
