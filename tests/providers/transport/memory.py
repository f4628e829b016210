"""A connection without a socket: bytes go in exactly as cut, and everything it does to its transport is seen."""

import asyncio

from tenfold.core.write_batch import WriteBatch
from tenfold.providers.transport.connection import Connection
from tenfold.providers.transport.exchange import HttpExchange
from tenfold.providers.transport.types import Limits, Timeouts


class MemoryTransport(asyncio.Transport):
    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.written = b""
        self.is_reading_paused = False
        self._protocol = protocol
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        self.lose(None)

    def lose(self, exc: Exception | None) -> None:
        """The connection ends; without an exception, as after a FIN."""
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(exc)

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False


class Wired:
    """A connection with one request under way. It is its own pool: see `released` and `is_lost`."""

    def __init__(self, *, limits: Limits | None = None, timeouts: Timeouts | None = None, served: int = 0) -> None:
        self.released = 0
        self.is_lost = False
        self.connection = Connection(
            self,
            "upstream.test",
            limits or Limits(),
            asyncio.get_running_loop(),
            WriteBatch(asyncio.get_running_loop()),
        )
        self.transport = MemoryTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.connection.served = served
        self._timeouts = timeouts or Timeouts()
        self.exchange: HttpExchange = self.send()

    def send(self) -> HttpExchange:
        self.exchange = self.connection.send(b"POST / HTTP/1.1\r\n\r\n", b"{}", self._timeouts)
        return self.exchange

    def receive(self, *segments: bytes) -> None:
        for segment in segments:
            if not self.transport.is_closing():
                self.connection.data_received(segment)

    def is_paused(self) -> bool:
        return self.transport.is_reading_paused

    def failure(self) -> BaseException | None:
        return self.exchange.error

    def release(self, connection: Connection) -> None:
        self.released += 1

    def lost(self, connection: Connection) -> None:
        self.is_lost = True


async def body_of(exchange: HttpExchange, how: str) -> bytes:
    """The body, read "whole" or in "blocks"."""
    if how == "whole":
        return await exchange.read()
    return b"".join([block async for block in exchange.blocks()])
