"""The transports under the contract, each fed from the same scripted replies."""

import asyncio
from typing import Protocol, Self

from tenfold.providers.ports import Headers
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts, Transport
from tenfold.providers.transport.fake import FakeReply, FakeTransport
from tests.support.aiohttp_transport import AiohttpTransport
from tests.support.raw_server import Peer, RawServer

MAX_BODY_BYTES = 100_000


class Backend(Protocol):
    """A transport and the upstream behind it; an async context manager."""

    transport: Transport

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def upstream_saw_hang_up(self) -> None:
        """Until the upstream saw the client close the connection of a reply that was not complete."""
        ...

    async def upstream_saw_request(self) -> None: ...

    def asked(self) -> list[tuple[str, str, Headers, bytes]]:
        """Method, path, headers, body of each request."""
        ...


def on_the_wire(reply: FakeReply) -> list[bytes]:
    """The segments a server would send."""
    head = b"HTTP/1.1 %d Some Reason\r\n" % reply.status
    head += b"".join(b"%b: %b\r\n" % (name.title(), value) for name, value in reply.headers)
    blocks = reply.blocks()
    if reply.eof_delimited:
        return [head + b"\r\n", *blocks]
    if not reply.cuts:
        return [head + b"Content-Length: %d\r\n\r\n" % len(reply.body), *blocks]
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    segments = [b"%x\r\n%b\r\n" % (len(block), block) for block in blocks]
    return [head, *segments, *([] if reply.stop_at is not None else [b"0\r\n\r\n"])]


class _Served:
    """What a real socket adds: the server, and what it saw."""

    transport: Transport

    def __init__(self, replies: tuple[FakeReply, ...]) -> None:
        self._replies = iter(replies)
        self._server = RawServer(self._serve)
        self._hung_up = asyncio.Event()
        self._seen = asyncio.Event()
        self._asked: list[tuple[str, str, Headers, bytes]] = []

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        self.transport = self._connect(Origin.parse(f"{self._server.url}/v1"))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.transport.aclose()
        await self._server.__aexit__(None, None, None)

    async def upstream_saw_hang_up(self) -> None:
        await self._hung_up.wait()

    async def upstream_saw_request(self) -> None:
        await self._seen.wait()

    def asked(self) -> list[tuple[str, str, Headers, bytes]]:
        return self._asked

    def _connect(self, origin: Origin) -> Transport:
        raise NotImplementedError

    async def _serve(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            method, target, _ = request.line.decode().split(" ")
            self._asked.append((method, target.removeprefix("/v1"), request.headers, request.body))
            self._seen.set()
            reply = next(self._replies)
            if not reply.silent:
                try:
                    for segment in on_the_wire(reply):
                        await peer.send(segment)
                except ConnectionError:
                    self._hung_up.set()
                    raise
            if reply.silent or (reply.stop_at is not None and reply.then == "hang"):
                await peer.hung_up()
                self._hung_up.set()
                return
            if reply.eof_delimited or reply.stop_at is not None:
                return


class OwnClient(_Served):
    def _connect(self, origin: Origin) -> Transport:
        return HttpClient(origin, limits=Limits(max_body_bytes=MAX_BODY_BYTES))


class AiohttpClient(_Served):
    def _connect(self, origin: Origin) -> Transport:
        return AiohttpTransport(origin, timeouts=Timeouts(), max_body_bytes=MAX_BODY_BYTES)


class Fake:
    transport: Transport

    def __init__(self, replies: tuple[FakeReply, ...]) -> None:
        self._fake = FakeTransport(replies, max_body_bytes=MAX_BODY_BYTES)
        self.transport = self._fake

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.transport.aclose()

    async def upstream_saw_hang_up(self) -> None:
        exchanges = self._fake.exchanges
        assert not exchanges or exchanges[-1].aborted

    async def upstream_saw_request(self) -> None:
        while not self._fake.requests:
            await asyncio.sleep(0)

    def asked(self) -> list[tuple[str, str, Headers, bytes]]:
        return [(request.method, request.path, request.headers, request.body) for request in self._fake.requests]
