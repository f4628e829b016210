"""One client connection of the provider: requests read one after the other, bytes written as well or as badly as they
are meant to be. Knows HTTP/1.1 and nothing of models. What it holds in memory is bounded.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from msgspec import Struct

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 20 * 1024 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)  # close with a reset
_REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request(Struct, frozen=True, kw_only=True):
    method: str
    path: str  # without the query
    headers: dict[str, str]  # names in lower case
    body: bytes


class Line(Protocol):
    """What is written to. Everything is cancelled when the client is gone."""

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more."""
        ...

    async def silence(self) -> None:
        """Says nothing until the client leaves."""
        ...

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        ...


Serve = Callable[[Request, Line], Awaitable[bool]]
"""Whether the connection can be used again."""


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def head(status: int, headers: tuple[tuple[str, str], ...], length: int | None) -> bytes:
    """`length` None: in chunks."""
    framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*headers, framing))
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Said')}\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """`spawn` owns the task that serves the connection; `ended` is told when the connection is no more."""

    def __init__(
        self,
        serve: Serve,
        spawn: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        ended: Callable[["Connection"], None],
    ) -> None:
        self._serve_one = serve
        self._spawn = spawn
        self._ended = ended
        self._buffer = bytearray()
        self._wanted = MAX_HEAD_BYTES  # bytes that are to be read now; beyond, the client waits
        self._paused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    # -- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no common class
        self._task = self._spawn(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > self._wanted and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._arrived.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(self)
        self._task.cancel()

    def abort(self) -> None:
        self._transport.abort()

    # -- Line ----------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """See `Line`."""
        if self._transport.is_closing():  # the cancellation is on its way
            await self.silence()
        self._transport.write(data)
        await self._writable.wait()

    async def silence(self) -> None:
        """See `Line`."""
        await asyncio.get_running_loop().create_future()

    def reset(self) -> None:
        """See `Line`."""
        own: socket.socket = self._transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    # -- requests ------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            again = True
            while again:
                request = await self._read()
                again = await self._serve_one(request, self) and request.headers.get("connection") != "close"
        except _Refused as refused:
            self._transport.write(head(refused.status, (("connection", "close"),), 0))
        self._transport.close()

    async def _read(self) -> Request:
        """Raises _Refused. Cancelled when the client is gone."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise _Refused(431)
            await self._more(MAX_HEAD_BYTES)
        try:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise _Refused(400) from None
        if "transfer-encoding" in headers or length < 0:
            raise _Refused(411)
        if length > MAX_BODY_BYTES:
            raise _Refused(413)
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        start = end + 4
        while len(self._buffer) < start + length:
            await self._more(start + length)
        body = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return Request(method=method, path=target.partition("?")[0], headers=headers, body=body)

    async def _more(self, wanted: int) -> None:
        self._wanted = wanted
        self._arrived.clear()
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        await self._arrived.wait()
