"""One client connection: hands its requests to the handler one after the other, and ends what takes too long.

A client that hangs up cancels the request it was waiting for, at once.
"""

import asyncio
import socket
import struct
from collections import deque
from typing import Protocol, cast

from tenfold.core.errors import InvalidRequest, RequestTimeout
from tenfold.core.write_batch import WriteBatch
from tenfold.edge.http.limits import ServerLimits
from tenfold.edge.http.parser import RequestParser
from tenfold.edge.http.refusal import HEAD_TOO_SLOW, TOO_MANY_CONNECTIONS, Refusal
from tenfold.edge.http.request import ClientGone, Request

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
        "_deaf",
        "_drain",
        "_ending",
        "_failure",
        "_limits",
        "_loop",
        "_owner",
        "_parser",
        "_queue",
        "_reading",
        "_since",
        "_started",
        "_taken",
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
        self._parser = RequestParser(self, owner.limits)
        self._transport: asyncio.Transport | None = None
        # Requests
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
    def stopping(self) -> bool:
        return self._owner.stopping

    @property
    def busy(self) -> bool:
        return self._active is not None

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._parser.client = f"{peer[0]}:{peer[1]}"
        if self._owner.stopping:
            self.close()
        elif not self._owner.opened(self):
            self._refuse(TOO_MANY_CONNECTIONS)

    def data_received(self, data: bytes) -> None:
        self._since = self._loop.time()
        if self._deaf:
            return
        if self._parser.incoming is None and (self._active is not None or self.write_paused):
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
        self._active = self._task = None
        self._parser.close()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._wake()
        if self._active is None and not self._ending:
            self._next()

    # -- for the parser ----------------------------------------------------------------------

    def head_begun(self) -> None:
        self._started = self._since

    def arrived(self, request: Request) -> None:
        if self._active is None:
            self._begin(request)
        else:
            self._queue.append(request)

    def failed(self, refusal: Refusal, incoming: Request | None) -> None:
        """Nothing behind this is understood. What came before it is answered first."""
        self._deaf = True
        if incoming is not None and incoming is self._active:
            incoming.fail_body(InvalidRequest(refusal.message))
            return
        if incoming is not None:
            self._queue.pop()
        if self._active is None:
            self._refuse(refusal)
        else:
            self._failure = refusal

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
        incoming = self._parser.incoming
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._taken = unsent, now
        if unsent and now - self._taken > limits.write_s:
            self.abort()
        elif self._ending:
            most = limits.linger_silence_s if self._owner.stopping else limits.linger_s
            if not unsent and (silent > limits.linger_silence_s or total > most):
                self.abort()
        elif incoming is not None:
            if incoming.switched:
                return  # its own pings tell
            if self._reading and (silent > limits.body_silence_s or total > limits.body_s):
                incoming.fail_body(RequestTimeout("The request body did not arrive in time."))
        elif self._active is None and not unsent:
            if self._parser.in_head:
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
            self._parser.feed(data)
            return
        view = memoryview(data)
        while view and not self._deaf:
            incoming = self._parser.incoming
            if incoming is None and self._active is not None:
                self._ahead = bytes(view)
                return
            size = _SLICE if incoming is None else max(_SLICE, incoming.missing)
            self._parser.feed(view[:size])
            view = view[size:]

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
        if not self._reading and len(self._ahead) <= self._limits.max_unread_bytes:
            self.resume_reading()
        if self._owner.stopping and self._active is None and not self._parser.in_head:
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
