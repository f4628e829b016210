"""The event stream of the Messages API to canonical events. Never raises; Ended comes of message_stop alone."""

from collections.abc import Callable

import msgspec

from tenfold.core.chat import ChatEvent, Ended, Failed, Finished, JsonObject, Metered, Started
from tenfold.core.sse import SseDecoder, SseEvent, SseOverflow
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import anthropic_usage
from tenfold.providers.anthropic.blocks import native
from tenfold.providers.anthropic.errors import STATUS
from tenfold.providers.anthropic.open_blocks import MalformedEvent, OpenBlocks
from tenfold.providers.anthropic.reply import (
    finish_reason,
    others,
    service_tier,
    text_or,
    unsaid_reason,
    usage_extras,
)


class AnthropicStreamDecoder:
    """One per stream. A second message_start is a stream spliced from two: what was given out cannot be taken back,
    so it fails rather than mix them."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._over = False
        self._started = False
        self._finished = False
        self._blocks = OpenBlocks()
        self._usage: Usage | None = None
        self._usage_extras: JsonObject = {}
        self._handlers: dict[str, Callable[[JsonObject], list[ChatEvent]]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": self._error,
        }

    def feed(self, block: bytes) -> list[ChatEvent]:
        if self._over:
            return []
        try:
            events = self._sse.feed(block)
        except SseOverflow as error:
            return self._fail(str(error))
        return self._decode_all(events)

    def finish(self) -> list[ChatEvent]:
        """Reads a last event that lacks its blank line. What is not whole JSON by then was cut, and says nothing."""
        if self._over:
            return []
        try:
            events = self._sse.flush()
        except SseOverflow:
            return []
        return self._decode_all([event for event in events if read_event(event) is not None])

    def _decode_all(self, events: list[SseEvent]) -> list[ChatEvent]:
        out: list[ChatEvent] = []
        for event in events:
            if self._over:
                break
            if event.data.strip():
                out += self._decode(event)
        return out

    def _decode(self, event: SseEvent) -> list[ChatEvent]:
        value = read_event(event)
        if value is None:
            return self._fail("an event is not a JSON object with a type")
        handler = self._handlers.get(value["type"])
        if handler is None:
            return []  # ping, and events of versions to come
        try:
            return handler(value)
        except MalformedEvent as error:
            return self._fail(str(error))

    def _fail(self, why: str) -> list[ChatEvent]:
        self._over = True
        return [Failed(message=f"The provider sent a stream that cannot be read: {why}.", kind="malformed_reply")]

    def _message_start(self, event: JsonObject) -> list[ChatEvent]:
        message = _object(event, "message")
        if self._started:
            raise MalformedEvent("a second message began inside the first")
        self._started = True
        usage = message.get("usage")
        self._usage = anthropic_usage(usage) if isinstance(usage, dict) else None
        extras = usage_extras(usage)
        self._usage_extras = extras.get("usage", {})
        return [
            Started(
                id=text_or(message.get("id"), ""),
                model=text_or(message.get("model"), ""),
                usage=self._usage,
                service_tier=service_tier(usage),
                native=native(others(message) | extras),
            )
        ]

    def _block_start(self, event: JsonObject) -> list[ChatEvent]:
        self._need_start()
        return self._blocks.start(_index(event), _object(event, "content_block"))

    def _block_delta(self, event: JsonObject) -> list[ChatEvent]:
        return self._blocks.delta(_index(event), _object(event, "delta"))

    def _block_stop(self, event: JsonObject) -> list[ChatEvent]:
        return self._blocks.stop(_index(event))

    def _message_delta(self, event: JsonObject) -> list[ChatEvent]:
        self._need_start()
        delta = _object(event, "delta")
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._usage = anthropic_usage(usage, self._usage)
            self._usage_extras = self._usage_extras | usage_extras(usage).get("usage", {})
        reason = delta.get("stop_reason")
        finish = finish_reason(reason, called=self._blocks.calls > 0, answered=self._blocks.answered)
        if finish is None or self._finished:
            return []
        self._finished = True
        more = {name: value for name, value in delta.items() if name not in ("stop_reason", "stop_sequence")}
        more |= {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        sequence = text_or(delta.get("stop_sequence"), None)
        finished = Finished(reason=finish, stop_sequence=sequence, native=native(more | unsaid_reason(reason)))
        return [*self._blocks.close_all(), finished]

    def _message_stop(self, _event: JsonObject) -> list[ChatEvent]:
        self._need_start()
        self._over = True
        out = self._blocks.close_all()
        if not self._finished:
            out.append(Finished(reason="tool_calls" if self._blocks.calls else "stop"))
        if self._usage is not None:
            out.append(Metered(usage=self._usage, native=native(self._usage_extras)))
        return [*out, Ended()]

    def _error(self, event: JsonObject) -> list[ChatEvent]:
        self._over = True
        error = event.get("error")
        stated: JsonObject = error if isinstance(error, dict) else {}
        kind = text_or(stated.get("type"), None)
        message = text_or(stated.get("message"), "The provider reported an error inside the stream.")
        return [Failed(message=message, kind=kind, status=STATUS.get(kind or "", 502))]

    def _need_start(self) -> None:
        if not self._started:
            raise MalformedEvent("it does not begin with message_start")


def read_event(event: SseEvent) -> JsonObject | None:
    """The payload; None when it is no JSON object with a type."""
    try:
        value = msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def _object(event: JsonObject, name: str) -> JsonObject:
    value = event.get(name)
    if not isinstance(value, dict):
        raise MalformedEvent(f"{event['type']} has no {name}")
    return value


def _index(event: JsonObject) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise MalformedEvent(f"{event['type']} has no index")
    return index
