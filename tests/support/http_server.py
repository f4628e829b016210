"""The front door's HTTP server around a small handler, and a client whose every byte is scripted."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from msgspec import json

from tenfold.core.errors import TenfoldError
from tenfold.edge.http import HttpServer, Request, ServerLimits

Handler = Callable[[Request], Awaitable[None]]

_RESET = struct.pack("ii", 1, 0)
_PATIENCE_S = 20.0  # for a server that hangs; nothing waits for it in a test that passes


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.decode(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes, *, cuts: Iterable[int] = ()) -> None:
        """Write `data`, in a segment of its own for each part between the cuts."""
        for start, end in pairwise(sorted({0, *cuts, len(data)})):
            self._writer.write(data[start:end])
            await self._writer.drain()
            await turns()

    def write(self, data: bytes) -> None:
        """Without waiting for a server that may not read."""
        self._writer.write(data)

    @property
    def untaken(self) -> int:
        """Bytes written that the kernel has not taken, because the server does not read."""
        return self._writer.transport.get_write_buffer_size()

    async def head(self) -> Reply:
        """The next reply up to its body. Raises IncompleteReadError when the server closed instead."""
        async with asyncio.timeout(_PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {name: value for name, _, value in (entry.partition(": ") for entry in lines)}
        assert len(headers) == len(lines)
        return Reply(status=int(line.split(" ")[1]), headers=headers, body=b"")

    async def reply(self, *, to: str = "GET") -> Reply:
        """The next whole reply."""
        head = await self.head()
        if to == "HEAD" or head.status in (204, 304) or head.status < 200:
            return head
        async with asyncio.timeout(_PATIENCE_S):
            return Reply(status=head.status, headers=head.headers, body=await self._body(head.headers))

    async def chunk(self) -> bytes:
        """One chunk of a body; b"" is its proper end."""
        async with asyncio.timeout(_PATIENCE_S):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def rest(self) -> bytes:
        """All that comes until the server closes. Raises ConnectionResetError."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self._reader.read()

    async def gone(self) -> None:
        """Until the server closed the connection, cleanly or not."""
        try:
            await self.rest()
        except ConnectionError:
            return

    def end(self) -> None:
        """Half-close: nothing more will be sent."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.read()
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body


class Served:
    """A server that listens, its clients, and what happened in it."""

    def __init__(self, handler: Handler, limits: ServerLimits | None = None) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()  # how each request ended: "done", "cancelled", an error's name
        self.server = HttpServer(self._watched(handler), limits)
        self.port = 0
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        await self.server.start(listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        await self.server.stop(0)
        assert self.server.connections == 0

    async def connect(self) -> Client:
        return await self._stack.enter_async_context(self._connected())

    async def ask(self, data: bytes) -> Reply:
        """The reply to these bytes on a connection of their own."""
        client = await self.connect()
        await client.send(data)
        return await client.reply()

    async def how(self) -> str:
        """How the next request to end did so."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self.ended.get()

    def later(self, seconds: float) -> None:
        """What the server would do if so much time had passed."""
        self.server.check(asyncio.get_running_loop().time() + seconds)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = Client(reader, writer)
        try:
            await turns()
            yield client
        finally:
            client.close()
            await turns()

    def _watched(self, handler: Handler) -> Handler:
        async def watched(request: Request) -> None:
            try:
                await handler(request)
            except BaseException as error:
                name = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
                self.ended.put_nowait(name)
                raise
            self.ended.put_nowait("done")

        return watched


async def turns(count: int = 6) -> None:
    """Lets the loop turn: what was sent over loopback has then arrived, and its handlers have run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def echo(request: Request) -> None:
    """Tells the request. `/stream` does it in pieces of three bytes. Errors are answered, as the gateway does."""
    try:
        body = await request.body(1 << 20)
    except TenfoldError as error:
        request.whole(error.status, "", error.code.encode())
        return
    said = json.encode(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()},
            "body": body.decode("latin-1"),
        }
    )
    if request.path != "/stream":
        request.whole(200, "content-type: application/json\r\n", said)
        return
    sender = request.stream(200, "content-type: application/json\r\n")
    for start in range(0, len(said), 3):
        await sender.send_bytes(said[start : start + 3])


def get(path: str = "/", *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {path} HTTP/1.1\r\nHost: tenfold.test\r\n{lines}\r\n".encode("latin-1")


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    head = f"POST {path} HTTP/1.1\r\nHost: tenfold.test\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode("latin-1") + body


def post_chunks(chunks: Iterable[bytes], path: str = "/", *, trailers: bytes = b"") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: tenfold.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"
