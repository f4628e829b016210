"""One request's reply as the caller sees it: the Exchange of `providers.ports`, fed by a Connection.

It buffers what arrived, bounded, and wakes the one task that waits. It parses nothing and owns no socket.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol

from tenfold.core.errors import TenfoldError, UpstreamError, UpstreamUnavailable
from tenfold.providers.ports import Headers
from tenfold.providers.transport.decoding import BodyDecoder
from tenfold.providers.transport.types import Limits, Timeouts


class Source(Protocol):
    """Where the bytes come from: what an exchange may ask of its connection."""

    loop: asyncio.AbstractEventLoop

    def drop(self) -> None:
        """Close at once."""
        ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class HttpExchange:
    """`status` is 0 until the final reply head is there. One task reads; a second reader is an error."""

    __slots__ = (
        "_blocks",
        "_complete",
        "_decoder",
        "_error",
        "_limits",
        "_paused",
        "_size",
        "_source",
        "_waiter",
        "_whole",
        "eof_delimited",
        "headers",
        "host",
        "started_at_s",
        "status",
        "timeouts",
        "untouched",
    )

    def __init__(self, source: Source, host: str, limits: Limits, timeouts: Timeouts, started_at_s: float) -> None:
        self.status = 0
        self.headers: Headers = []
        self.host = host
        self.timeouts = timeouts
        self.started_at_s = started_at_s
        self.eof_delimited = False  # the body ends where the connection does: nothing tells a cut from an end
        self.untouched = False  # a kept connection was found closed: a request that is safe may be sent again
        self._source = source
        self._limits = limits
        self._blocks: list[bytes] = []
        self._size = 0  # bytes in _blocks
        self._whole = False  # read() waits for the end, blocks() for anything
        self._paused = False
        self._complete = False
        self._error: TenfoldError | None = None
        self._decoder: BodyDecoder | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- for the caller ------------------------------------------------------------------------

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    async def read(self) -> bytes:
        """See `Exchange.read`. Does not suspend when the whole body is there and needs no decoding."""
        if not self._complete and self._error is None:
            await self._gather()
        if self._error is not None:
            raise self._error
        limit = self._limits.max_body_bytes
        blocks = self._blocks
        if self._decoder is not None:
            blocks = await self._decode_all(self._decoder)
        elif self._size > limit:
            raise self._too_large()
        if len(blocks) != 1:
            blocks = [b"".join(blocks)]
        self._blocks = blocks
        return blocks[0]

    def blocks(self) -> AsyncIterator[bytes]:
        """See `Exchange.blocks`. Everything that arrived since the last block comes as one."""
        return _Blocks(self)

    def abort(self) -> None:
        """See `Exchange.abort`."""
        if not self._complete and self._error is None:
            self.fail(UpstreamUnavailable(f"the exchange with {self.host} was given up"))
            self._source.drop()

    # -- for the client ------------------------------------------------------------------------

    @property
    def error(self) -> TenfoldError | None:
        return self._error

    async def wait_head(self) -> None:
        """Until the reply head is there or the exchange failed; the caller looks at `error`."""
        if not self.status and self._error is None:
            await self._wait()

    # -- for the connection --------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        return self._paused

    def begin(self, status: int, headers: Headers, decoder: BodyDecoder | None) -> None:
        """The final reply head. With a decoder, `headers` must not speak of the coded body any more."""
        self.status = status
        self.headers = headers
        self._decoder = decoder

    def feed(self, block: bytes) -> None:
        self._blocks.append(block)
        self._size += len(block)
        if self._whole:
            if self._size > self._limits.max_body_bytes:
                self.fail(self._too_large())
                self._source.drop()
        elif self._size > self._limits.max_buffered_bytes and not self._paused:
            self._paused = True
            self._source.pause()

    def finish(self) -> None:
        """The body is complete; the connection goes back, so it must read on."""
        self._complete = True
        self._resume()

    def fail(self, error: TenfoldError) -> None:
        """The first error stays."""
        if self._error is None and not self._complete:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Something changed. Who wants the head or the whole body sleeps on until it is there."""
        waiter = self._waiter
        if waiter is not None and (self._error is not None or (self._complete if self._whole else self.status)):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # -- inside --------------------------------------------------------------------------------

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two tasks read one exchange")
        waiter = self._waiter = self._source.loop.create_future()
        try:
            await waiter
        except BaseException:  # cancelled, or the coroutine was dropped: nobody will read on
            self._waiter = None
            self.abort()
            raise

    async def _gather(self) -> None:
        self._whole = True
        if self._size > self._limits.max_body_bytes or self._declared_size() > self._limits.max_body_bytes:
            self.fail(self._too_large())
            self._source.drop()
            return
        self._resume()
        await self._wait()

    def _declared_size(self) -> int:
        return int(self.header(b"content-length") or 0)  # digits only: the parser saw to it

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume()

    def take(self) -> bytes:
        """The next block of the stream, b"" when there is none now. Raises UpstreamError."""
        decoder = self._decoder
        if decoder is not None:
            piece = decoder.pull()
            if piece:
                return piece
        blocks = self._blocks
        if not blocks:
            return b""
        block = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        self._blocks = []
        self._size = 0
        self._resume()
        if decoder is None:
            return block
        decoder.push(block)
        return decoder.pull()

    async def next_block(self) -> bytes:
        """The next block of the stream. Raises StopAsyncIteration at its end, UpstreamError where it broke."""
        while True:
            try:
                block = self.take()
                if block:
                    if self._decoder is not None:
                        await asyncio.sleep(0)  # what was buffered may unfold a thousandfold: others have their turn
                    return block
                if self._complete and not self._blocks:
                    if self._decoder is not None:
                        self._decoder.check_complete()
                    raise StopAsyncIteration
            except UpstreamError as error:
                self.abort()
                self._error = error
            if self._error is not None:
                raise self._error
            if not self._blocks:
                await self._wait()

    async def _decode_all(self, decoder: BodyDecoder) -> list[bytes]:
        pieces: list[bytes] = []
        size = 0
        while piece := self.take():
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.max_body_bytes:
                self._error = self._too_large()
                raise self._error
            await asyncio.sleep(0)
        decoder.check_complete()
        self._decoder = None
        return pieces

    def _too_large(self) -> UpstreamError:
        return UpstreamError(
            f"{self.host} sent a body larger than {self._limits.max_body_bytes} bytes", kind="reply_too_large"
        )


class _Blocks:
    """The iterator of `HttpExchange.blocks`. Not an async generator: one that is left early runs its `finally` in a
    task of its own, later; this one aborts the exchange the moment the loop over it is left."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: HttpExchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        return self._exchange.next_block()

    async def aclose(self) -> None:
        """For callers that close their iterators explicitly (contextlib.aclosing)."""
        self._exchange.abort()

    def __del__(self) -> None:
        self._exchange.abort()
