"""Server-sent events (WHATWG HTML, section 9.2): cutting a byte stream into events, and writing them.

Bounded: an event longer than `limit` bytes is an error, not a buffer that grows.
"""

from msgspec import Struct


class SseEvent(Struct, frozen=True):
    event: str  # "" when the stream named none
    data: bytes  # data lines joined by "\n"


class SseOverflow(ValueError):
    """One event is larger than the limit."""


class SseDecoder:
    """Feeds on bytes cut anywhere; gives whole events. CR, LF and CRLF end lines; comments are dropped."""

    def __init__(self, limit: int = 8 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = b""
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> list[SseEvent]:
        """Raises SseOverflow when one event passes the limit."""
        buffer = self._rest + block
        if buffer.endswith(b"\r"):  # may be half of a CRLF
            hold, buffer = b"\r", buffer[:-1]
        else:
            hold = b""
        lines = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + hold
        events: list[SseEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(SseEvent(self._event, b"\n".join(self._data)))
                self._event, self._data, self._size = "", [], 0
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
                self._size += len(value)
            elif name == b"event":
                self._event = value.decode("utf-8", "replace")
        if len(self._rest) + self._size > self._limit:
            raise SseOverflow(f"one event is larger than {self._limit} bytes")
        return events

    def flush(self) -> list[SseEvent]:
        """The event a stream ended in without its blank line (some servers do)."""
        return self.feed(b"\n\n") if self._rest or self._data else []


def sse(data: bytes, event: bytes | None = None) -> bytes:
    """One event on the wire; `data` is one line."""
    if event is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + event + b"\ndata: " + data + b"\n\n"
