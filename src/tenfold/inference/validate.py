"""Stage 6, validate: is what came back a whole, readable reply? A cut or malformed one never passes as a good one."""

import time
from collections.abc import AsyncGenerator
from typing import Protocol

from msgspec import DecodeError, Struct, structs
from msgspec.json import Decoder

from tenfold.core.chat import ChatEvent, Ended, Failed, Metered, Started
from tenfold.core.errors import BrokenStream, UpstreamError
from tenfold.inference.call import Question
from tenfold.inference.frames import FrameGuard
from tenfold.inference.output.said import StreamText
from tenfold.inference.policy import Policy
from tenfold.inference.route import Target
from tenfold.providers.ports import Exchange

_ALL = 1 << 62
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


def failure_in(question: Question, frames: bytes) -> UpstreamError:
    """What the upstream told in a stream that began with its error."""
    assert question.target is not None
    for event in question.target.provider.wire.stream_decoder().feed(frames):
        if isinstance(event, Failed):
            return _failure(event)
    return BrokenStream("The provider ended the stream with an error.")


def _failure(event: Failed) -> UpstreamError:
    if event.kind == BrokenStream.code:
        return BrokenStream(event.message)
    return UpstreamError(event.message, status=event.status, kind=event.kind, upstream_code=event.code)


class Relay(Protocol):
    """One upstream's stream as the client's frames. `size`: bytes that came; `tokens`: blocks of them with a token, as
    long as somebody counts."""

    tokens: int

    @property
    def size(self) -> int: ...

    def frames(self) -> AsyncGenerator[bytes, None]:
        """Raises UpstreamError when the stream breaks or ends early."""
        ...

    def left(self) -> None:
        """However it ended: what is known for the receipt."""
        ...


class Check(Protocol):
    """What a stream has to be in the end; see `structured.StreamCheck`."""

    text: StreamText

    def feed(self, frames: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class PassingRelay:
    """The dialects match: whole frames go through untouched, and only the two ends of the stream are read. Up to its
    first token its blocks are looked at, and beyond where the policy wants to know of tokens or may begin again."""

    def __init__(
        self, question: Question, target: Target, exchange: Exchange, policy: Policy, check: Check | None = None
    ) -> None:
        self.tokens = 0
        self._check = check
        self._question = question
        self._wire = target.provider.wire
        self._exchange = exchange
        self._guard = FrameGuard()
        self._count_to = _ALL if policy.between_tokens_s is not None else policy.hold_tokens
        self._restarts = policy.on_break == "restart"

    @property
    def size(self) -> int:
        return self._guard.size

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """See `Relay`. Where nobody can begin again, an error that the upstream tells in its own words goes through."""
        call, guard, wire, check = self._question.call, self._guard, self._wire, self._check
        strip = wire.without_usage_frame if self._question.asked_usage else None
        async for block in self._exchange.blocks():
            if call.first_byte is None:
                call.first_byte = time.perf_counter()
            frames = guard.feed(block)
            if strip is not None:
                frames = strip(frames)
            if not frames:
                continue
            if self.tokens <= self._count_to and wire.has_token(frames):
                self.tokens += 1
            if (
                (self._restarts or not self.tokens)
                and b'"error"' in frames
                and wire.stream_facts(frames, frames).failed
            ):
                call.unanswered = not self._began_with_failure()
                raise failure_in(self._question, frames)
            if check is not None:
                check.text.feed(frames)
                frames = check.feed(frames)
            if frames:
                yield frames
        rest = guard.rest()
        facts = wire.stream_facts(guard.head, guard.tail)
        if facts.complete:
            call.usage = facts.usage
        elif facts.failed:
            call.error = BrokenStream("The provider ended the stream with an error.")
            call.unanswered = not self._began_with_failure()
        else:
            raise BrokenStream(_CUT)
        if check is not None and facts.complete:
            check.text.feed(rest)
            rest = check.feed(rest) + check.end()
        if rest:
            yield rest

    def _began_with_failure(self) -> bool:
        """Then it is a refusal, and costs nothing."""
        first = _first_frame(self._guard.head)
        return self._wire.stream_facts(first, first).failed

    def left(self) -> None:
        call = self._question.call
        call.stream_bytes = self._guard.size
        if call.usage is None and self._guard.size:
            call.begun_usage = self._wire.stream_facts(self._guard.head, b"").usage


class TranslatingRelay:
    """Two dialects: events are decoded and written anew."""

    def __init__(
        self, question: Question, target: Target, exchange: Exchange, policy: Policy, check: Check | None = None
    ) -> None:
        self.tokens = 0
        self._check = check
        self._question = question
        self._decoder = target.provider.wire.stream_decoder()
        self._exchange = exchange
        self._begun = False
        self._ended = False

    @property
    def size(self) -> int:
        return self._question.call.stream_bytes

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """See `Relay`."""
        call, check = self._question.call, self._check
        encoder = self._question.dialect.reply_encoder(self._question.canonical())
        async for block in self._exchange.blocks():
            if call.first_byte is None:
                call.first_byte = time.perf_counter()
            call.stream_bytes += len(block)
            failure = self._note(events := self._decoder.feed(block))
            if check is not None:
                check.text.take(events)
            frames = encoder.encode(events) if check is None else check.feed(encoder.encode(events))
            if frames:
                yield frames
            if failure is not None:
                raise failure
        failure = self._note(events := self._decoder.finish())
        if failure is not None:
            raise failure
        if not self._ended:
            raise BrokenStream(_CUT)
        frames = encoder.encode(events)
        if check is not None:
            check.text.take(events)
            frames = check.feed(frames) + check.end()
        if frames:
            yield frames

    def left(self) -> None:
        """Everything is on the call already."""

    def _note(self, events: list[ChatEvent]) -> UpstreamError | None:
        """Read usage and the end off the events; a failure is taken off them, as nothing comes after it."""
        call = self._question.call
        for number, event in enumerate(events):
            if isinstance(event, Failed):
                error = _failure(event)
                if not isinstance(error, BrokenStream):
                    call.unanswered = self._begun  # it began with it: a refusal
                del events[number:]
                return error
            self._begun = True
            if isinstance(event, Metered):
                call.usage = event.usage
            elif isinstance(event, Started):
                call.begun_usage = event.usage
            elif isinstance(event, Ended):
                self._ended = True
            else:
                self.tokens += 1
        return None
