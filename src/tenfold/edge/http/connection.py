"""One client connection: bytes to requests by httptools (llhttp, strict), requests to the handler one after the other.

A client that hangs up cancels the request it was waiting for, at once.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from typing import Protocol, cast

import httptools

from tenfold.core.errors import InvalidRequest, RequestTimeout
from tenfold.core.write_batch import WriteBatch
from tenfold.edge.http.limits import ServerLimits
from tenfold.edge.http.refusal import (
    HEAD_TOO_LARGE,
    HEAD_TOO_SLOW,
    NO_HOST,
    NO_TUNNEL,
    NOT_HTTP,
    TOO_MANY_CONNECTIONS,
    UNKNOWN_FRAMING,
    UNKNOWN_VERSION,
    Refusal,
    Refused,
)
from tenfold.edge.http.request import ClientGone, Request

logger = logging.getLogger(__name__)

_WRITE_BUFFER = 256 * 1024  # of a reply the client does not take; then whoever sends waits
_BATCHED = 64 * 1024  # written to the batch; then it goes out, so that a handler that never waits is paused in time
_RESET = struct.pack("ii", 1, 0)
_SLICE = 8 * 1024  # parsed at once; it bounds how many requests of a client that sends ahead are objects already


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

    def left(self, task: "asyncio.Task[None]") -> None:
        """Cancelled, because its client is gone; it may have to clean up."""
        ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_active",
        "_ahead",
        "_batched",
        "_client",
        "_deaf",
        "_drain",
        "_ending",
        "_failure",
        "_fresh",
        "_head_bytes",
        "_headers",
        "_incoming",
        "_limits",
        "_loop",
        "_owner",
        "_parser",
        "_queue",
        "_reading",
        "_replay",
        "_room",
        "_since",
        "_started",
        "_taken",
        "_target",
        "_task",
        "_transport",
        "_unsent",
        "closed",
        "write_paused",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._client = ""
        # Of the request whose head is being parsed
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._room = 0  # for further headers
        self._fresh = 0  # length of the slice, while no request began in it
        self._head_bytes = 0  # above 0: inside a head, or inside a body since its last piece; then at most so many
        self._replay: bytes | None = None  # a head to parse again, without the offer to change the protocol
        # Requests
        self._incoming: Request | None = None  # its body is still arriving
        self._active: Request | None = None  # it is being answered
        self._task: asyncio.Task[None] | None = None
        self._queue: deque[Request] = deque()
        self._ahead = b""  # sent before the active request is answered, and not parsed yet
        self._failure: Refusal | None = None  # of what came behind the requests that are here
        # The connection
        self._drain: asyncio.Future[None] | None = None
        self._reading = True
        self._deaf = False  # what still arrives is not looked at
        self._ending = False  # closing, or waiting for the client to close
        self._batched = 0
        self._unsent = 0  # bytes the client has not taken, as the last check saw it
        self._taken = 0.0  # when that was another number
        self._started = self._since = loop.time()  # of this phase; of the last sign of life
        self.closed = False
        self.write_paused = False

    @property
    def date_line(self) -> str:
        return self._owner.date_line

    @property
    def busy(self) -> bool:
        return self._active is not None

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        peer = transport.get_extra_info("peername")
        self._client = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        if self._owner.stopping:
            self.close()
        elif not self._owner.opened(self):
            self._refuse(TOO_MANY_CONNECTIONS)

    def data_received(self, data: bytes) -> None:
        self._since = self._loop.time()
        if self._deaf:
            return
        if self._incoming is None and (self._active is not None or self.write_paused):
            self._ahead += data
            if len(self._ahead) > self._limits.max_unread_bytes:
                self.pause_reading()
            return
        self._feed(data)

    def eof_received(self) -> bool:
        """A client that closed reads nothing more (one that only half-closed is taken for one that closed)."""
        self._deaf = self._ending = True
        if self._active is not None:
            self.abort()  # and not `close`, which would wait until the client took what is buffered
        self._owner.batch.flush()
        return False  # the transport closes, `connection_lost` follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self._deaf = self._ending = True
        if self._task is not None:
            self._task.cancel()
            self._owner.left(self._task)
        self._owner.closed(self)
        self._wake()  # whoever waits looks at `closed`
        self._queue.clear()
        self._ahead = b""
        self._active = self._incoming = self._task = None
        del self._parser  # it holds this object's methods: a cycle

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._wake()
        if self._active is None and not self._ending:
            self._next()

    # -- httptools ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._room = self._limits.max_headers
        self._head_bytes = self._fresh or 1
        self._fresh = 0
        self._started = self._since

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.rstrip()
        headers = self._headers
        if len(headers) >= self._room:
            raise Refused(HEAD_TOO_LARGE)
        if name in headers:
            if name == b"host":
                raise Refused(NO_HOST)
            self._room -= 1
            value = headers[name] + (b"; " if name == b"cookie" else b", ") + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser, target, headers = self._parser, self._target, self._headers
        most = self._limits.max_head_bytes
        if self._head_bytes > most and _head_size(target, headers) > most:
            raise Refused(HEAD_TOO_LARGE)
        self._head_bytes = 0
        version = parser.get_http_version()
        http11 = version == "1.1"
        if not http11 and version != "1.0":
            raise Refused(UNKNOWN_VERSION)
        if b"upgrade" in headers and parser.should_upgrade():
            self._replay = _without_upgrade(parser.get_method(), target, version, headers)
            return
        if http11 and b"host" not in headers:
            raise Refused(NO_HOST)
        if b"transfer-encoding" in headers:
            if not http11 or headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refused(UNKNOWN_FRAMING)  # RFC 9112, section 6.1: it may hide another request
            self._headers = {}  # takes the trailers; nobody may add to a request that was let in
        if not target.startswith(b"/"):
            target = _origin_form(target, headers)
        path, _, query = target.decode("latin-1").partition("?")
        request = self._incoming = Request(
            self,
            method=parser.get_method().decode("latin-1"),
            path=path,
            query=query,
            headers=headers,
            http11=http11,
            keep_alive=parser.should_keep_alive() and not self._owner.stopping,
            client=self._client,
            max_unread=self._limits.max_unread_bytes,
        )
        if self._active is None:
            self._begin(request)
        else:
            self._queue.append(request)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        request, self._incoming = self._incoming, None
        if request is not None:
            request.end_body()

    # -- for requests ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed:
            batch = self._owner.batch
            batch.write(self._transport, data)
            self._batched += len(data)
            if self._batched > _BATCHED:
                self._batched = 0
                batch.flush()

    async def drained(self) -> None:
        while self.write_paused and not self.closed:
            if self._drain is None or self._drain.done():  # done: the one who waited was cancelled
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
        """At once; `connection_lost` follows."""
        self.closed = self._deaf = self._ending = True
        if self._transport is not None:
            self._transport.abort()

    # -- for the server ----------------------------------------------------------------------

    def answered(self, request: Request) -> None:
        """The handler is done with the active request."""
        if self.closed:
            return
        self._active = self._task = None
        if not request.finished:
            self._truncate(request)
        elif request.keep_alive:
            self._next()
        elif request.complete and not (self._ahead or self._queue or self._failure):
            self.close()
        else:
            self._linger()

    def check(self, now: float) -> None:
        """Once a second: end what takes too long."""
        if self.closed or self._transport is None:
            return
        limits = self._limits
        silent = now - self._since
        total = now - self._started
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._taken = unsent, now
        if unsent and now - self._taken > limits.write_s:
            self.abort()
        elif self._ending:
            most = limits.linger_silence_s if self._owner.stopping else limits.linger_s
            if not unsent and (silent > limits.linger_silence_s or total > most):
                self.abort()
        elif self._incoming is not None:
            if self._reading and (silent > limits.body_silence_s or total > limits.body_s):
                self._incoming.fail_body(RequestTimeout("The request body did not arrive in time."))
        elif self._active is None and not unsent:
            if self._head_bytes:
                if total > limits.head_s:
                    self._refuse(HEAD_TOO_SLOW)
            elif total > limits.idle_s or self._owner.stopping:
                self.close()

    def stop(self) -> None:
        """The requests that are here are the last."""
        if self._queue:
            self._queue[-1].keep_alive = False
        elif self._active is not None:
            self._active.keep_alive = False

    def close(self) -> None:
        """After what is written has gone out."""
        self._deaf = self._ending = True
        self._owner.batch.flush()
        if self._transport is not None:
            self._transport.close()

    # -- inside ------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        if len(data) <= _SLICE:
            self._parse(data)
            return
        view = memoryview(data)
        while view and not self._deaf:
            incoming = self._incoming
            if incoming is None and self._active is not None:
                self._ahead = bytes(view)
                return
            size = _SLICE if incoming is None else max(_SLICE, incoming.missing)
            self._parse(view[:size])
            view = view[size:]

    def _parse(self, data: bytes | memoryview) -> None:
        if self._head_bytes or self._incoming is not None:
            self._head_bytes += len(data)
            self._fresh = 0
        else:
            self._fresh = len(data)
        behind: int | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            behind = upgrade.args[0]
        except httptools.HttpParserError as error:
            self._fail(_refusal(error))
        if behind is not None:
            self._parse_again(bytes(data[behind:]))
        elif self._head_bytes > self._limits.max_head_bytes:
            self._fail(HEAD_TOO_LARGE)

    def _parse_again(self, rest: bytes) -> None:
        """No other protocol is spoken here, so the request is answered as what it is (RFC 9110, section 7.8). llhttp
        gives its body up for the other protocol, hence the head comes a second time, to a new parser. Java's client
        offers HTTP/2 like this with every request."""
        head, self._replay = self._replay, None
        if head is None:
            self._fail(NO_TUNNEL)
            return
        self._parser = httptools.HttpRequestParser(self)
        self._parse(head + rest)

    def _fail(self, refusal: Refusal) -> None:
        """Nothing behind this is understood. What came before it is answered first."""
        self._deaf = True
        self._head_bytes = 0
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming is self._active:
            incoming.fail_body(InvalidRequest(refusal.message))
            return
        if incoming is not None:
            self._queue.pop()
        if self._active is None:
            self._refuse(refusal)
        else:
            self._failure = refusal

    def _begin(self, request: Request) -> None:
        self._active = request
        self._task = self._owner.begin(request, self)

    def _next(self) -> None:
        """Requests that were sent ahead, each when the one before is answered and the client takes replies."""
        if self.write_paused:
            return  # `resume_writing` comes back
        self._started = self._since = self._loop.time()
        if self._queue:
            self._begin(self._queue.popleft())
            return
        if self._failure is not None:
            self._refuse(self._failure)
            return
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            self._feed(ahead)
        if len(self._ahead) <= self._limits.max_unread_bytes:
            self.resume_reading()
        if self._owner.stopping and self._active is None and not self._head_bytes:
            self.close()

    def _refuse(self, refusal: Refusal) -> None:
        if self.closed:
            return
        self.write(refusal.reply(self._owner.date_line))
        self._linger()

    def _linger(self) -> None:
        """Read on and forget for a moment: a connection closed over unread bytes is reset, and the client may lose
        the reply it has not read yet (RFC 9112, section 9.6)."""
        self._deaf = self._ending = True
        self._ahead = b""
        self._queue.clear()
        self._started = self._since = self._loop.time()
        self._owner.batch.flush()
        if self._transport is not None and not self.closed:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self.resume_reading()

    def _truncate(self, request: Request) -> None:
        """The handler ended without a whole reply, and the client must see that."""
        if request.begun and not request.http11 and self._transport is not None:
            # The connection's end is the reply's, so only a reset tells a broken one from a whole one.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.abort()
        else:
            self.close()

    def _wake(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)


def _head_size(target: bytes, headers: dict[bytes, bytes]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers.items())


def _without_upgrade(method: bytes, target: bytes, version: str, headers: dict[bytes, bytes]) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers.items() if header[0] != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), b"".join(lines))


def _origin_form(target: bytes, headers: dict[bytes, bytes]) -> bytes:
    """Of a target in absolute form; its authority then counts, not the Host header (RFC 9112, section 3.2.2)."""
    if target == b"*":
        return target
    scheme, _, rest = target.partition(b"://")
    if not rest or scheme.lower() not in (b"http", b"https"):
        raise Refused(NO_TUNNEL)
    end = min((at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0), default=len(rest))
    headers[b"host"] = rest[:end].rpartition(b"@")[2]
    path = rest[end:]
    return path if path.startswith(b"/") else b"/" + path


def _refusal(error: httptools.HttpParserError) -> Refusal:
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause.refusal
    if cause is not None:
        logger.error("a parser callback failed", exc_info=cause)
    return NOT_HTTP
