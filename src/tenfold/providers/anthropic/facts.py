"""What a bill needs of raw reply bytes, read without decoding the rest: usage, and whether a stream came to its end."""

import msgspec
from msgspec import Raw, Struct

from tenfold.core.sse import SseDecoder, SseEvent, SseOverflow
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import anthropic_usage
from tenfold.providers.ports import StreamFacts


class _Message(Struct):
    usage: Raw = Raw(b"null")


class _Delta(Struct):
    stop_reason: str | None = None


class _Event(Struct):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Raw = Raw(b"null")


_MESSAGE = msgspec.json.Decoder(_Message)
_EVENT = msgspec.json.Decoder(_Event)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def usage_of_reply(body: bytes) -> Usage | None:
    try:
        return anthropic_usage(_MESSAGE.decode(body).usage)
    except _UNREADABLE:
        return None


def stream_facts(head: bytes, tail: bytes) -> StreamFacts:
    """The input side stands in message_start, in the head; the output side in the last message_delta, in the tail.
    `tail` may begin in the middle of an event: what is left of that one is no event and is skipped."""
    usage: Usage | None = None
    for event in _events(head):
        start = _decode(event, b"message_start")
        if start is not None and start.message is not None:
            usage = anthropic_usage(start.message.usage)
            break
    reasons: tuple[str, ...] = ()
    complete = failed = False
    for event in _events(tail):
        if (delta := _decode(event, b"message_delta")) is not None:
            usage = anthropic_usage(delta.usage, usage)
            if delta.delta is not None and delta.delta.stop_reason is not None:
                reasons = (delta.delta.stop_reason,)
        elif _decode(event, b"message_stop") is not None:
            complete = True
            break
        elif _decode(event, b"error") is not None:
            failed = True
            break
    return StreamFacts(complete=complete, usage=usage, finish_reasons=reasons, failed=failed)


def _events(raw: bytes) -> list[SseEvent]:
    decoder = SseDecoder(limit=len(raw) + 2)
    try:
        return [*decoder.feed(raw), *decoder.flush()]
    except SseOverflow:
        return []


def _decode(event: SseEvent, kind: bytes) -> _Event | None:
    """The event when it is of this kind; texts that merely name the kind are found out by decoding."""
    if b'"' + kind + b'"' not in event.data:
        return None
    try:
        value = _EVENT.decode(event.data)
    except _UNREADABLE:
        return None
    return value if value.type == kind.decode() else None
