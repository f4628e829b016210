"""The stand-in's HTTP/1.1 side: it reads requests, notes them, and writes replies as well or as badly as told."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.upstream.faults import NONE, Faults

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
_DRIP_BYTES = 5
_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to the network."


@dataclass(kw_only=True, eq=False)
class Received:
    """One request, and what became of it. Written by the server's thread, read by tests."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case; values of one that came twice are joined
    body: bytes
    vendor: str = ""
    closed: threading.Event = field(default_factory=threading.Event)
    """The client closed the connection before this request was answered in full."""
    closed_at: float | None = None  # time.monotonic
    answered: threading.Event = field(default_factory=threading.Event)
    frames_sent: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def says(self, text: str) -> bool:
        """Whether the body holds the text (in JSON's plain spelling)."""
        return text.encode() in self.body or json.dumps(text)[1:-1].encode() in self.body


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Either a `body`, or the `frames` of a stream."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    frames: tuple[bytes, ...] | None = None
    message: Any = None  # the same as a value, for whoever keeps conversations
    error_event: bytes = b""  # what stands for an error inside a stream
    faults: Faults = NONE


Handler = Callable[[Received], Reply]


class Connection(asyncio.Protocol):
    """One client connection: requests one after the other."""

    def __init__(self, handle: Handler, note: Callable[[Received], None], hold: Callable[[str], asyncio.Event]) -> None:
        self._handle = handle
        self._note = note
        self._hold = hold
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._current: Received | None = None
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._arrived.set()
        if self._current is not None and not self._current.answered.is_set():
            self._current.closed_at = time.monotonic()
            self._current.closed.set()
        self._task.cancel()

    async def _serve(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                received = await self._read()
                self._current = received
                self._note(received)
                if not await self._answer(received, self._handle(received)):
                    break
                received.answered.set()
        self._transport.close()

    async def _read(self) -> Received:
        """Raises EOFError when there is no further request."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            said = headers.get(name.lower())
            headers[name.lower()] = value.strip() if said is None else f"{said}, {value.strip()}"
        assert "transfer-encoding" not in headers, "the stand-in reads bodies of a stated length only"
        size = end + 4 + int(headers.get("content-length", 0))
        while len(self._buffer) < size:
            await self._more()
        body = bytes(self._buffer[end + 4 : size])
        del self._buffer[:size]
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        return Received(method=method, path=parts.path, query=query, headers=headers, body=body)

    async def _more(self) -> None:
        self._arrived.clear()
        if self._gone.is_set():
            raise EOFError
        await self._arrived.wait()

    async def _answer(self, received: Received, reply: Reply) -> bool:
        """Whether the connection may be used again."""
        faults = reply.faults
        held = faults.get("hold")
        if held is not None and held.number(1) == 0:
            await self._hold(held.words[0]).wait()
        if faults.get("reset"):
            return False
        if faults.get("hang"):
            await self._gone.wait()
        if faults.get("html"):
            self._head(200, (("Content-Type", "text/html"),), len(_PAGE))
            self._transport.write(_PAGE)
            return True
        headers = reply.headers
        if faults.get("untyped"):
            headers = tuple(header for header in headers if header[0] != "Content-Type")
        if reply.frames is None:
            return await self._whole(reply, headers)
        self._head(reply.status, headers, None)
        return await self._stream(received, reply, reply.frames)

    async def _whole(self, reply: Reply, headers: tuple[tuple[str, str], ...]) -> bool:
        faults, body = reply.faults, reply.body
        if faults.get("garbage"):
            body = body[: len(body) // 2] + b"\x00]"
        self._head(reply.status, headers, len(body))
        if faults.get("cut"):
            self._transport.write(body[: len(body) // 2])
            await asyncio.sleep(0)
            return False
        await self._write(body, drip=faults.get("drip") is not None)
        return True

    async def _stream(self, received: Received, reply: Reply, frames: tuple[bytes, ...]) -> bool:
        faults = reply.faults
        ends = {kind: fault.number() for kind in ("stall", "cut", "end", "error-event") if (fault := faults.get(kind))}
        spoiled, held, wide = faults.get("garbage"), faults.get("hold"), faults.get("wide")
        for number, frame in enumerate(frames):
            if number in ends.values():
                break
            if held is not None and number > 0 and held.number(1) == number:
                await self._hold(held.words[0]).wait()
            if spoiled is not None and spoiled.number() == number:
                frame = frame.replace(b"{", b"{,", 1)
            if wide is not None:
                frame = b": %b\n%b" % (b"x" * 1024 * wide.number(), frame)
            await self._write(_chunk(frame), drip=faults.get("drip") is not None)
            received.frames_sent += 1
        if "stall" in ends:
            await self._gone.wait()
        if "cut" in ends:
            return False
        if "error-event" in ends:
            await self._write(_chunk(reply.error_event))
        self._transport.write(b"0\r\n\r\n")
        return True

    def _head(self, status: int, headers: tuple[tuple[str, str], ...], length: int | None) -> None:
        framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        lines = [f"{name}: {value}\r\n" for name, value in (*headers, framing)]
        self._transport.write(f"HTTP/1.1 {status} {_REASONS.get(status, 'Said')}\r\n{''.join(lines)}\r\n".encode())

    async def _write(self, data: bytes, *, drip: bool = False) -> None:
        step = _DRIP_BYTES if drip else max(1, len(data))
        for at in range(0, len(data), step):
            self._transport.write(data[at : at + step])
            await asyncio.sleep(0)  # so that a connection that broke is noticed, and pieces may go out alone
            await self._writable.wait()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
