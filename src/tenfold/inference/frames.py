"""Cutting a raw stream at its blank lines, and keeping its two ends. Reads no frame."""

from collections import deque

from tenfold.core.errors import BrokenStream

_HEAD_BYTES = 8 * 1024  # message_start of Anthropic, with its input usage, stands here
_TAIL_BYTES = 16 * 1024  # the usage frame and the protocol's end stand here
_MAX_FRAME_BYTES = 8 * 1024 * 1024


class FrameGuard:
    """Passes whole SSE frames on and holds a begun one back, so that a cut stream can still be ended in order.

    Reads no frame: it looks for blank lines only. Keeps the first and last bytes for the end.
    """

    __slots__ = ("_head", "_rest", "_tail", "_tail_bytes", "size")

    def __init__(self) -> None:
        self._head = b""
        self._rest = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.size = 0

    def feed(self, block: bytes) -> bytes:
        """The whole frames that are there now. Raises BrokenStream when one frame passes 8 MiB."""
        rest = self._rest
        if not rest and block.endswith((b"\n\n", b"\r\n\r\n")):
            self._remember(block)
            return block
        searched = max(0, len(rest) - 3)
        rest += block
        end = _last_boundary(rest, searched)
        if len(rest) - end > _MAX_FRAME_BYTES:
            raise BrokenStream(f"The provider sent one event larger than {_MAX_FRAME_BYTES} bytes.")
        if not end:
            return b""
        whole = bytes(rest[:end])
        del rest[:end]
        self._remember(whole)
        return whole

    def rest(self) -> bytes:
        """What stands after the last whole frame when the stream ends."""
        rest = bytes(self._rest)
        self._rest.clear()
        if rest:
            self._remember(rest)
        return rest

    @property
    def head(self) -> bytes:
        return self._head

    @property
    def tail(self) -> bytes:
        return b"".join(self._tail)

    def _remember(self, block: bytes) -> None:
        if self.size < _HEAD_BYTES:
            self._head += block[: _HEAD_BYTES - self.size]
        self.size += len(block)
        self._tail.append(block)
        self._tail_bytes += len(block)
        while self._tail_bytes - len(self._tail[0]) >= _TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())


def _last_boundary(buffer: bytearray, start: int) -> int:
    """Where the last blank line ends, 0 when there is none after `start`."""
    lf, crlf = buffer.rfind(b"\n\n", start), buffer.rfind(b"\r\n\r\n", start)
    return max(lf + 2 if lf >= 0 else 0, crlf + 4 if crlf >= 0 else 0)
