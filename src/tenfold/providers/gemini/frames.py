"""Cuts the bytes of a Gemini stream into JSON documents. It reads none of them.

Three forms occur: SSE (`alt=sse`), a JSON array of documents (without it), and SSE that breaks off into one bare
JSON document when the call fails half-way.
"""

import re

from tenfold.core.sse import SseDecoder, SseOverflow

LIMIT = 8 * 1024 * 1024
_STRUCTURE = re.compile(rb'["{}\\]')
_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the bytes of a BOM


class Frames:
    """Feeds on bytes cut anywhere; gives whole documents. Raises SseOverflow when one is larger than LIMIT."""

    def __init__(self) -> None:
        self._sse = SseDecoder(LIMIT)
        self._bare: _Documents | None = None
        self._started = False
        self._after_newline = False

    def feed(self, block: bytes) -> list[bytes]:
        if self._bare is not None:
            return self._bare.feed(block)
        if not self._started:
            block = block.lstrip(_BLANK)
            if not block:
                return []
            self._started = True
            if block[0] in b"{[":
                return self._go_bare(block)
        if self._after_newline and block.startswith(b"{"):
            return self._end_of_sse() + self._go_bare(block)
        self._after_newline = block.endswith(b"\n") if block else self._after_newline
        at = block.find(b"\n{")  # no line of SSE begins so: an error document follows
        if at < 0:
            return [event.data for event in self._sse.feed(block)]
        before = [event.data for event in self._sse.feed(block[: at + 1])]
        return before + self._end_of_sse() + self._go_bare(block[at + 1 :])

    def finish(self) -> list[bytes]:
        """The document whose closing blank line never came, when there is one."""
        return [] if self._bare is not None else self._end_of_sse()

    @property
    def cut(self) -> bool:
        """The bytes ended inside a bare document."""
        return self._bare is not None and self._bare.inside

    def _end_of_sse(self) -> list[bytes]:
        return [event.data for event in self._sse.flush()]

    def _go_bare(self, block: bytes) -> list[bytes]:
        self._bare = _Documents()
        return self._bare.feed(block)


class _Documents:
    """JSON objects one after the other, whatever stands between them."""

    def __init__(self) -> None:
        self._buffer = b""
        self._scanned = 0  # up to here the buffer was looked at
        self._depth = 0
        self._in_string = False

    @property
    def inside(self) -> bool:
        return self._depth > 0

    def feed(self, block: bytes) -> list[bytes]:
        self._buffer += block
        documents: list[bytes] = []
        start, at = 0, self._scanned
        while (match := _STRUCTURE.search(self._buffer, at)) is not None:
            mark, at = match[0], match.end()
            if mark == b"\\":
                if at == len(self._buffer):  # what it escapes has not arrived
                    at -= 1
                    break
                at += 1
            elif self._in_string:
                self._in_string = mark != b'"'
            elif mark == b'"':
                self._in_string = self._depth > 0
            elif mark == b"{":
                start = match.start() if self._depth == 0 else start
                self._depth += 1
            elif self._depth > 0:
                self._depth -= 1
                if self._depth == 0:
                    documents.append(self._buffer[start:at])
                    start = at
        else:
            at = len(self._buffer)
        if self._depth == 0:
            start = at
        self._buffer, self._scanned = self._buffer[start:], at - start
        if len(self._buffer) > LIMIT:
            raise SseOverflow(f"one document is larger than {LIMIT} bytes")
        return documents
