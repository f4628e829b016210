"""A TCP server whose every byte is scripted: what a transport must survive, a well-behaved server cannot send."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

_SO_LINGER_NOW = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    line: bytes
    headers: list[tuple[bytes, bytes]]  # names in lower case
    body: bytes
    head: bytes  # as received

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


class Peer:
    """One accepted connection, as the script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> RawRequest:
        """The next request, read to its end. Raises EOFError when the client closed instead."""
        head = await self.head()
        line, *lines = head[:-4].split(b"\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (entry.partition(b":") for entry in lines)]
        length = next((int(value) for name, value in headers if name == b"content-length"), 0)
        return RawRequest(line=line, headers=headers, body=await self._reader.readexactly(length), head=head)

    async def head(self) -> bytes:
        """The head of the next request; its body stays unread."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes, *, cuts: Iterable[int] = ()) -> None:
        """Write `data`, in a segment of its own for each part between the cuts."""
        for start, end in pairwise(sorted({0, *cuts, len(data)})):
            if self._writer.is_closing():  # uvloop would raise RuntimeError
                raise ConnectionResetError("the client closed the connection")
            self._writer.write(data[start:end])
            await self._writer.drain()
            for _ in range(3):  # let a client in the same loop see this segment alone
                await asyncio.sleep(0)

    def alpn(self) -> str | None:
        """The protocol that TLS agreed on."""
        tls: ssl.SSLObject = self._writer.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol()

    async def hung_up(self) -> None:
        """Until the client closed the connection, cleanly or not."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass

    async def relay(self, host: str, port: int) -> None:
        """Carry bytes to and from another server until one side closes: the rest of a proxy's tunnel."""
        reader, writer = await asyncio.open_connection(host, port)
        ways = [
            asyncio.create_task(_copy(self._reader, writer)),
            asyncio.create_task(_copy(reader, self._writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()

    def reset(self) -> None:
        """RST instead of FIN."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SO_LINGER_NOW)
        self.close()

    def close(self) -> None:
        self._writer.transport.abort()

    async def finish(self) -> None:
        """Send what is unsent, then FIN."""
        if not self._writer.is_closing():
            self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return
        except asyncio.CancelledError:  # the server stops
            self.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs `script` for each connection; when it returns, the connection is closed. A script that fails fails the test.

    A client that goes away (EOFError, ConnectionError out of a script) is no failure.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.peers: list[Peer] = []
        self.port = 0
        self._host = host
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._failures and error is None:
            raise self._failures[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self._script(peer)
        except (EOFError, ConnectionError):
            pass
        except asyncio.CancelledError:
            peer.close()
        except BaseException as failure:  # shown where the test can see it
            self._failures.append(failure)
        finally:
            await peer.finish()


def answering(*replies: bytes, cuts: Iterable[int] = ()) -> Script:
    """A script that answers the requests of each connection with these bytes in turn, then closes."""

    async def script(peer: Peer) -> None:
        for reply in replies:
            await peer.request()
            await peer.send(reply, cuts=cuts)

    return script


def always(reply: bytes) -> Script:
    """A script that answers every request with these bytes."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(reply)

    return script


def whole(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A reply with Content-Length; `headers` are whole lines."""
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def chunked(*blocks: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A complete chunked reply, a chunk for each block."""
    head = b"HTTP/1.1 %b\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (status, headers)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"
