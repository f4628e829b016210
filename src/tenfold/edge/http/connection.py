"""One client connection: bytes to requests by httptools (llhttp, strict), requests to the handler one after the other.

A client that hangs up cancels the request it was waiting for, at once.
"""

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from tenfold.core.write_batch import WriteBatch
from tenfold.edge.http.limits import ServerLimits
from tenfold.edge.http.request import ClientGone, Request

_WRITE_BUFFER = 256 * 1024  # of a reply the client does not take; then whoever sends waits


class Owner(Protocol):
    """The server, as its connections see it."""

    limits: ServerLimits
    batch: WriteBatch
    date_line: str
    stopping: bool

    def opened(self, connection: "Connection") -> bool:
        """False: there are too many."""
        ...

    def closed(self, connection: "Connection") -> None: ...

    def begin(self, request: Request, connection: "Connection") -> "asyncio.Task[None]": ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_active",
        "_ahead",
        "_client",
        "_drain",
        "_head_bytes",
        "_headers",
        "_incoming",
        "_lingering",
        "_loop",
        "_owner",
        "_parser",
        "_queue",
        "_reading",
        "_since",
        "_started",
        "_target",
        "_task",
        "_too_many_headers",
        "_transport",
        "closed",
        "write_paused",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._too_many_headers = False
        self._incoming: Request | None = None  # its body is still arriving
        self._active: Request | None = None  # it is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Request] = deque()
        self._ahead = b""
        self._drain: asyncio.Future[None] | None = None
        self._reading = True
        self._lingering = False
        self._started = self._since = loop.time()
        self.closed = False
        self.write_paused = False

    @property
    def date_line(self) -> str:
        return self._owner.date_line

    @property
    def busy(self) -> bool:
        return self._active is not None or self._incoming is not None

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        peer = transport.get_extra_info("peername")
        self._client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        if not self._owner.opened(self):
            self.refuse(503, "overloaded", "This server has as many connections as it may have. Try again shortly.")

    def data_received(self, data: bytes) -> None:
        self._since = self._loop.time()
        if self._lingering:
            return
        if self._active is not None and self._incoming is None:
            self._ahead += data  # the next request, sent before this one is answered
            if len(self._ahead) > self._owner.limits.max_unread_bytes:
                self.pause_reading()
            return
        self._feed(data)

    def eof_received(self) -> bool:
        return False  # a client that closed reads nothing more: the transport closes, `connection_lost` follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._owner.closed(self)
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)  # whoever waits looks at `closed`
        if self._task is not None:
            self._task.cancel()
        self._queue.clear()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self.write_paused = False
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)

    # -- httptools ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._head_bytes = 0
        self._started = self._since

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers:
            value = headers[name] + (b"; " if name == b"cookie" else b", ") + value
        elif len(headers) >= self._owner.limits.max_headers:
            self._too_many_headers = True
            raise ValueError("too many headers")
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser = self._parser
        target = self._target
        if not target.startswith(b"/"):  # absolute form (RFC 9112, section 3.2.2), or "*"
            url = httptools.parse_url(target) if b"://" in target else None
            target = b"*" if url is None else (url.path or b"/") + (b"?" + url.query if url.query else b"")
        path, _, query = target.partition(b"?")
        http11 = parser.get_http_version() == "1.1"
        if http11 and b"host" not in self._headers:
            raise ValueError("no Host")
        request = self._incoming = Request(
            self,
            method=parser.get_method().decode("latin-1"),
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=self._headers,
            http11=http11,
            keep_alive=parser.should_keep_alive() and not self._owner.stopping,
            client=self._client,
            max_unread=self._owner.limits.max_unread_bytes,
        )
        if self._active is None:
            self._begin(request)
        else:
            self._queue.append(request)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        request, self._incoming = self._incoming, None
        if request is not None:
            request.end_body()

    # -- for requests ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._owner.batch.write(self._transport, data)

    async def drained(self) -> None:
        while self.write_paused and not self.closed:
            if self._drain is None:
                self._drain = self._loop.create_future()
            await self._drain
        if self.closed:
            raise ClientGone

    def pause_reading(self) -> None:
        if self._reading and self._transport is not None and not self.closed:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self.closed:
            self._reading = True
            self._since = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- for the server ----------------------------------------------------------------------

    def answered(self, request: Request) -> None:
        """The handler is done with the active request."""
        self._active = self._task = None
        if self.closed:
            return
        if not request.finished:
            self.abort()  # it ended without a whole reply, and the client must see that
        elif not request.complete:
            self._linger()
        elif not request.keep_alive:
            self.close()
        else:
            self._next()

    def check(self, now: float) -> None:
        """Once a second: end what takes too long."""
        limits = self._owner.limits
        silent = now - self._since
        if self._lingering:
            if silent > limits.linger_s or now - self._started > limits.linger_s:
                self.abort()
        elif self.write_paused:
            if silent > limits.write_s:
                self.abort()
        elif self._incoming is not None:
            if self._reading and (silent > limits.body_silence_s or now - self._started > limits.body_s):
                self._incoming.give_up_body()
        elif self._active is None:
            if self._head_bytes:
                if now - self._started > limits.head_s:
                    self.refuse(408, "request_timeout", "The request's headers did not arrive in time.")
            elif silent > limits.idle_s or self._owner.stopping:
                self.close()

    def close(self) -> None:
        """After what is written has gone out."""
        self._owner.batch.flush()
        if self._transport is not None:
            self._transport.close()

    def refuse(self, status: int, code: str, message: str) -> None:
        """An answer to bytes that are no request; the connection ends with it."""
        body = b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":"%b"}}' % (
            message.encode(),
            code.encode(),
        )
        request = Request(
            self,
            method="",
            path="",
            query="",
            headers={},
            http11=True,
            keep_alive=False,
            client=self._client,
            max_unread=0,
        )
        if not self.closed:
            request.whole(status, "content-type: application/json\r\n", body)
        self._linger()

    # -- inside ------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        if self._incoming is None:
            if not self._head_bytes:
                self._started = self._since
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here; the request is answered as what it is, and the connection then ends.
            for request in (self._active, *self._queue):
                if request is not None:
                    request.keep_alive = False
        except (httptools.HttpParserError, httptools.HttpParserInvalidURLError):
            self._broken()
            return
        if self._incoming is None and self._active is None and self._head_bytes > self._owner.limits.max_head_bytes:
            self._too_many_headers = True
            self._broken()

    def _broken(self) -> None:
        """The bytes are no HTTP, or too much of it."""
        if self._active is not None:
            # It is being answered, and what follows it is garbage: nothing may be read as its body or its successor.
            self.abort()
        elif self._too_many_headers:
            self.refuse(431, "headers_too_large", "The request's headers are larger than this server takes.")
        else:
            self.refuse(400, "invalid_request", "The bytes are not a valid HTTP/1.1 request.")

    def _begin(self, request: Request) -> None:
        self._active = request
        self._head_bytes = 0
        self._task = self._owner.begin(request, self)

    def _next(self) -> None:
        """Requests that were sent ahead."""
        if self._queue:
            self._begin(self._queue.popleft())
            return
        self._head_bytes = 0
        self._since = self._loop.time()
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            self._feed(ahead)
        if self._owner.stopping and not self.busy:
            self.close()
        else:
            self.resume_reading()

    def _linger(self) -> None:
        """Read on and forget for a moment: a connection closed over unread bytes is reset, and the client may lose
        the reply it has not read yet (RFC 9112, section 9.6)."""
        self._lingering = True
        self._started = self._since = self._loop.time()
        self._owner.batch.flush()
        if self._transport is not None and not self.closed:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self.resume_reading()
