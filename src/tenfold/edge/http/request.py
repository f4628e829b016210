"""One request and the reply to it. Handlers see this and nothing of the connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Protocol

from tenfold.core.errors import TenfoldError, TooLarge


class _StatusLines(dict[int, str]):
    """Also of the statuses that have no name: an upstream's own status travels on, and Anthropic's 529 is one."""

    def __missing__(self, status: int) -> str:
        if not 200 <= status <= 999:
            raise ValueError(f"{status} is no status of a reply")
        return f"HTTP/1.1 {status} \r\n"


_STATUS_LINES = _StatusLines(
    (status.value, f"HTTP/1.1 {status.value} {status.phrase}\r\n") for status in HTTPStatus if status.value >= 200
)
_WITHOUT_BODY = frozenset({204, 304})  # RFC 9110, section 6.4.1
_SWITCH = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGone(Exception):
    """The client's connection is closed: nobody reads what would be sent."""


class Wire(Protocol):
    """What a request needs of its connection."""

    closed: bool
    write_paused: bool

    @property
    def date_line(self) -> str:
        """`date: ...` and its line end."""
        ...

    def write(self, data: bytes) -> None: ...

    async def drained(self) -> None:
        """Returns when the client took what was written. Raises ClientGone."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


class Request:
    """`headers`: lower-case names; values of a repeated header joined. `path` as sent, without the query.

    Reply headers are given as the lines they make (`core.headers.header_lines`), ready to be sent.
    """

    gone: type[Exception] = ClientGone

    __slots__ = (
        "_body",
        "_bodyless",
        "_buffered",
        "_chunked",
        "_continued",
        "_failure",
        "_max_unread",
        "_reader",
        "_taken",
        "_taker",
        "_wire",
        "begun",
        "client",
        "complete",
        "finished",
        "headers",
        "http11",
        "keep_alive",
        "method",
        "offers_websocket",
        "path",
        "query",
    )

    def __init__(
        self,
        wire: Wire,
        *,
        method: str,
        path: str,
        query: str,
        headers: dict[bytes, bytes],
        http11: bool,
        keep_alive: bool,
        client: str,
        max_unread: int,
    ) -> None:
        self._wire = wire
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.http11 = http11
        self.keep_alive = keep_alive
        self.client = client
        self.begun = False  # the reply's status line is written
        self.finished = False  # all of the reply is written
        self.complete = False  # all of the body is here
        self.offers_websocket = False  # see `switch`
        self._chunked = False
        self._bodyless = False  # of the reply
        self._continued = False  # the client was told to send the body
        self._body: bytes | bytearray = b""  # one piece, or joined: a list of tiny chunks would take 30 times its bytes
        self._buffered = 0
        self._taken = 0  # of the body, by `pieces`
        self._failure: TenfoldError | None = None  # why the body will never be here
        self._max_unread = max_unread
        self._taker: Callable[[bytes], None] | None = None  # of what comes behind a switch of protocols
        self._reader: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    # -- body --------------------------------------------------------------------------------

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge before reading one that says it is too large, and at the first bytes over
        the limit of one that does not say; RequestTimeout, InvalidRequest (its chunks are broken)."""
        if not self.complete:
            await self._rest(limit)
        if self._buffered > limit:
            raise _too_large(limit)
        if self._buffered <= self._max_unread:
            return bytes(self._body)  # no copy of one that came in one piece
        self._wire.resume_reading()  # the last piece may have paused it, and then nobody saw the client leave
        body, self._body = bytes(self._body), b""
        return body

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes, instead of `body`: while nobody asks for the next piece the client is left waiting.
        Raises as `body`."""
        self._ask_for_it(limit)
        while True:
            if self._buffered:
                piece, self._body = bytes(self._body), b""
                self._taken += self._buffered
                self._buffered = 0
                if self._taken > limit:
                    raise _too_large(limit)
                yield piece
            elif self.complete:
                self._wire.resume_reading()  # as for `body`
                return
            else:
                await self._more()

    async def _rest(self, limit: int) -> None:
        self._ask_for_it(limit)
        while not self.complete:
            if self._buffered > limit:
                raise _too_large(limit)
            await self._more()

    def _ask_for_it(self, limit: int) -> None:
        if self._buffered + self.missing > limit:
            raise _too_large(limit)
        waits = self._expects_continue() and not (self.complete or self._buffered or self.begun or self._continued)
        if waits:
            self._continued = True
            self._wire.write(_CONTINUE)

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._reader = asyncio.get_running_loop().create_future()
        self._wire.resume_reading()
        await self._reader

    def _expects_continue(self) -> bool:
        return self.http11 and self.headers.get(b"expect", b"").lower() == b"100-continue"

    @property
    def missing(self) -> int:
        """Bytes of the body that are still to come, as far as the client said."""
        length = self.headers.get(b"content-length")
        return 0 if length is None else int(length) - self._buffered - self._taken

    def feed(self, data: bytes) -> None:
        """A piece of the body arrived, or of what is behind it in another protocol."""
        if self._taker is not None:
            self._taker(data)
            return
        if not self._buffered:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body)
            self._body += data
        self._buffered += len(data)
        if self._reader is not None:
            self._wake()
        elif self._buffered > self._max_unread:
            self._wire.pause_reading()

    def end_body(self) -> None:
        self.complete = True
        self._wake()

    def fail_body(self, failure: TenfoldError) -> None:
        """The rest will not come; whoever waits for the body is told."""
        self._failure = failure
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    # -- reply -------------------------------------------------------------------------------

    def whole(self, status: int, headers: str, body: bytes) -> None:
        """A reply in one piece. Raises ClientGone."""
        self._begin()
        if status in _WITHOUT_BODY:
            head = self._head(status, headers, "")
            body = b""
        else:
            head = self._head(status, headers, f"content-length: {len(body)}\r\n")
        self.finished = True
        self._wire.write(head if self.method == "HEAD" else head + body)

    def stream(self, status: int, headers: str) -> "Request":
        """Begin a reply that goes out as it comes: `send_bytes`, then `finish`. Raises ClientGone."""
        self._begin()
        self._bodyless = status in _WITHOUT_BODY or self.method == "HEAD"
        self._chunked = self.http11 and status not in _WITHOUT_BODY
        if not self.http11:
            self.keep_alive = False  # its end is the connection's
        self._wire.write(self._head(status, headers, "transfer-encoding: chunked\r\n" if self._chunked else ""))
        return self

    def _begin(self) -> None:
        if self._wire.closed:
            raise ClientGone
        if self.begun:
            raise RuntimeError("a request has one reply")  # the client would take this one for the next request's
        self.begun = True

    async def send_bytes(self, data: bytes) -> None:
        """Returns when there is room for more. Raises ClientGone."""
        wire = self._wire
        if wire.closed:
            raise ClientGone
        if self.finished:
            raise RuntimeError("the reply has ended")
        if not data or self._bodyless:
            return
        wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if wire.write_paused:
            await wire.drained()

    def finish(self) -> None:
        """The stream is whole; nothing to do for a reply in one piece."""
        if self.begun and not self.finished:
            self.finished = True
            if self._chunked and not self._wire.closed and not self._bodyless:
                self._wire.write(b"0\r\n\r\n")

    def send_now(self, data: bytes) -> None:
        """A piece of a stream for which nobody waits: dropped where the client does not take what it has."""
        if self.begun and not (self.finished or self._bodyless or self._wire.closed or self._wire.write_paused):
            self._wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def switch(self, headers: str, take: Callable[[bytes], None]) -> Wire:
        """Changes the protocol, which the client must have offered: `take` gets all that it sends from here on, and
        what is written to the wire goes out as it is. The connection ends with the handler. Raises ClientGone."""
        if not self.offers_websocket:
            raise RuntimeError("the client offers no other protocol")
        self._begin()
        self.finished = True
        self._wire.write(f"{_SWITCH}{headers}{self._wire.date_line}\r\n".encode("latin-1"))
        self._taker = take
        if self._buffered:
            take(bytes(self._body))
            self._body, self._buffered = b"", 0
        self._wire.resume_reading()
        return self._wire

    @property
    def switched(self) -> bool:
        return self._taker is not None

    def abort(self) -> None:
        """Drop the connection: the client sees that the reply is not whole."""
        self._wire.abort()

    def _head(self, status: int, headers: str, framing: str) -> bytes:
        connection = ""
        if not self.complete:
            self.keep_alive = False  # the rest of the body would be taken for the next request
        if not self.keep_alive:
            connection = "connection: close\r\n"
        elif not self.http11:
            connection = "connection: keep-alive\r\n"
        head = f"{_STATUS_LINES[status]}{headers}{framing}{connection}{self._wire.date_line}\r\n"
        return head.encode("latin-1", "replace")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes, the most this server takes.")
