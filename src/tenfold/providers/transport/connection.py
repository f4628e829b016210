"""One connection: writes a request, parses its reply with llhttp, feeds the exchange. One request at a time.

Refuses replies that nobody asked for, heads without end, and framing that two parsers could read differently.
"""

import asyncio
from time import monotonic
from typing import NoReturn, Protocol, cast

import httptools

from tenfold.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.core.write_batch import WriteBatch
from tenfold.providers.ports import Headers
from tenfold.providers.transport.decoding import BodyDecoder, decoder_for
from tenfold.providers.transport.exchange import HttpExchange
from tenfold.providers.transport.types import Limits, Timeouts

# A kept connection that the peer closes unused answers a request with FIN or RST within a round trip. Later than this,
# the upstream may have worked on the request before it died: sending it again could pay twice.
STALE_WINDOW_S = 1.0

# Above this a copy that joins head and body costs more than a second write.
_JOIN_BYTES = 128 * 1024

_NO_BODY = frozenset((204, 304))


class Owner(Protocol):
    """Who keeps the connection between requests."""

    def release(self, connection: "Connection") -> None:
        """Its reply is complete and it can serve again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """It is closed. Called once."""
        ...


class _Refused(Exception):
    """Stops the parser from inside a callback."""


class Connection(asyncio.Protocol):
    __slots__ = (
        "_batch",
        "_done",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_host",
        "_interim",
        "_keep_alive",
        "_limits",
        "_owner",
        "_parser",
        "_pieces",
        "_refusal",
        "_transport",
        "_unsent",
        "exchange",
        "idle_since_s",
        "last_byte_s",
        "loop",
        "on_body",
        "served",
    )

    def __init__(
        self, owner: Owner, host: str, limits: Limits, loop: asyncio.AbstractEventLoop, batch: WriteBatch
    ) -> None:
        self.loop = loop
        self._batch = batch
        self.exchange: HttpExchange | None = None  # None while idle
        self.served = 0  # requests answered
        self.idle_since_s = 0.0
        self.last_byte_s = 0.0
        self._owner = owner
        self._host = host
        self._limits = limits
        self._transport: asyncio.Transport  # set when connected, which is before anyone else has this object
        self._unsent = False  # part of the request is still in our buffer
        self._headers: Headers = []
        self._head_bytes = 0  # received since the request or the last body byte, without a head or body completed by it
        self._head_done = False
        self._interim = False
        self._done = False
        self._keep_alive = False
        self._refusal: UpstreamError | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # the parser's callback for each piece of body: no Python frame
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    # -- for the client ------------------------------------------------------------------------

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def send(self, head: bytes, body: bytes, timeouts: Timeouts) -> HttpExchange:
        """Write a whole request. The connection must be idle and not closing."""
        now = self.last_byte_s = monotonic()
        exchange = self.exchange = HttpExchange(self, self._host, self._limits, timeouts, now)
        self._head_bytes = 0
        self._head_done = self._done = False
        if len(body) > _JOIN_BYTES:
            self._batch.write(self._transport, head)
            self._batch.write(self._transport, body)
        else:
            self._batch.write(self._transport, head + body)
        return exchange

    def drop(self) -> None:
        """Close at once: what is unsent is not sent, and the peer sees it."""
        if not self.loop.is_closed():
            self._transport.abort()

    def fail(self, error: UpstreamError) -> None:
        """End the exchange with this error and close."""
        if self.exchange is not None:
            self._break(self.exchange, error)
        self.drop()

    def check_deadlines(self, now_s: float) -> None:
        """Fail the exchange under way when it missed one."""
        exchange = self.exchange
        if exchange is None:
            return
        timeouts = exchange.timeouts
        elapsed_s = now_s - exchange.started_at_s
        if not exchange.status and elapsed_s > timeouts.first_byte_s:
            missed = f"did not begin its reply within {timeouts.first_byte_s:g} s"
        elif elapsed_s > timeouts.total_s:
            missed = f"did not complete its reply within {timeouts.total_s:g} s"
        elif exchange.status and not exchange.is_paused and now_s - self.last_byte_s > timeouts.between_bytes_s:
            missed = f"was silent for {timeouts.between_bytes_s:g} s in the middle of its reply"
        else:
            return
        self.fail(UpstreamTimeout(f"{self._host} {missed}"))

    def pause(self) -> None:
        if not self.is_closing:
            self._transport.pause_reading()

    def resume(self) -> None:
        self.last_byte_s = monotonic()  # the silence was ours
        if not self.is_closing:
            self._transport.resume_reading()

    # -- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1, low=0)  # pause_writing: something is unsent

    def pause_writing(self) -> None:
        self._unsent = True

    def resume_writing(self) -> None:
        self._unsent = False

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        parser = self._parser
        if exchange is None or parser is None:  # nobody asked: it must not become the answer to the next request
            self.drop()
            return
        self.last_byte_s = monotonic()
        self._head_bytes += len(data)
        refusal: UpstreamError | None = None
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            refusal = self._refusal or self._malformed()
            refusal.__cause__ = error
        pieces = self._pieces
        if pieces:
            self._head_bytes = 0
            exchange.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            pieces.clear()
        if self._done:
            self._finish(exchange, reusable=refusal is None)
        elif refusal is not None:
            self.fail(refusal)
        elif self._head_bytes > self._limits.max_head_bytes:
            self.fail(self._head_too_large())
        exchange.wake()

    def eof_received(self) -> None:
        """The peer will send no more: the transport closes itself, `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None  # it holds our callbacks: a cycle
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            self._end(exchange, clean=exc is None)
        self._owner.lost(self)

    # -- httptools callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:  # a second reply to one request
            raise _Refused
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # trailers are dropped
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        exchange = self.exchange
        assert parser is not None
        assert exchange is not None
        status = parser.get_status_code()
        if status < 200:
            if status == 101:  # nothing was asked to be upgraded
                raise _Refused
            self._interim = True
            return
        headers = self._headers
        if self._head_bytes > self._limits.max_head_bytes and _size(headers) > self._limits.max_head_bytes:
            self._refuse(self._head_too_large())
        decoder: BodyDecoder | None = None
        framed = status in _NO_BODY
        for name, value in headers:
            if name == b"content-length":
                framed = True
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked":
                    raise _Refused
                framed = True
            elif name == b"content-encoding":
                decoder = self._decoder(value, decoder)
        if decoder is not None:
            headers = [pair for pair in headers if pair[0] not in (b"content-encoding", b"content-length")]
        exchange.eof_delimited = not framed
        self._keep_alive = parser.should_keep_alive()
        self._head_done = True
        exchange.begin(status, headers, decoder)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self._done = True

    # -- inside --------------------------------------------------------------------------------

    def _decoder(self, coding: bytes, before: BodyDecoder | None) -> BodyDecoder | None:
        try:
            decoder = decoder_for(coding, self._host)
        except UpstreamError as error:
            self._refuse(error)
        if decoder is not None and before is not None:
            raise _Refused  # coded twice
        return decoder or before

    def _refuse(self, error: UpstreamError) -> NoReturn:
        self._refusal = error
        raise _Refused

    def _finish(self, exchange: HttpExchange, *, reusable: bool) -> None:
        exchange.finish()
        self.exchange = None
        self.served += 1
        if reusable and self._keep_alive and not self._unsent:
            self._owner.release(self)
        else:
            self.drop()

    def _end(self, exchange: HttpExchange, *, clean: bool) -> None:
        """The connection is gone while a reply was due."""
        if exchange.error is not None:
            return
        if not exchange.status:
            exchange.untouched = (
                self.served > 0 and self._head_bytes == 0 and monotonic() - exchange.started_at_s < STALE_WINDOW_S
            )
            self._break(exchange, UpstreamUnavailable(f"{self._host} closed the connection without a reply"))
        elif exchange.eof_delimited and clean:
            exchange.finish()
            exchange.wake()
        else:
            exchange.fail(UpstreamUnavailable(f"{self._host} closed the connection in the middle of its reply"))

    def _break(self, exchange: HttpExchange, error: UpstreamError) -> None:
        """Without a reply head, the upstream may have worked on a request that went out whole."""
        error.unanswered = not exchange.status and not self._unsent
        exchange.fail(error)

    def _malformed(self) -> UpstreamError:
        return UpstreamError(f"{self._host} sent a reply that is not valid HTTP/1.1", kind="malformed_reply")

    def _head_too_large(self) -> UpstreamError:
        return UpstreamError(
            f"{self._host} sent more than {self._limits.max_head_bytes} bytes of headers", kind="malformed_reply"
        )


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
