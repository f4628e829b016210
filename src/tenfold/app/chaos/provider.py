"""The scripted provider: a small HTTP/1.1 server in a process of its own, which goes wrong on purpose and bills what it
generated. Run as `python -m tenfold.app.chaos.provider`; it ends when its standard input does.

Prints its port in one line. `GET /v1/usage/{request_id}` answers `{"usage": ...}` in the dialect of the call.
"""

import argparse
import asyncio
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import uvloop
from msgspec import DecodeError, Struct, ValidationError, json

from tenfold.app.chaos.bill import Bill, Line, total
from tenfold.app.chaos.script import Asked, Plan, plan
from tenfold.app.chaos.wires import ANTHROPIC, OPENAI, Wire, body_of, read_request

_WIRES = {"/v1/chat/completions": OPENAI, "/v1/messages": ANTHROPIC}
_USAGE = "/v1/usage/"
_PIECES = 12  # a stream goes out in so many writes, spread over its time
_SO_LINGER_NOW = struct.pack("ii", 1, 0)
_BACKLOG = 1024


class HttpRequest(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedProvider:
    """`stall_s`: how long it keeps silent when it stalls; longer than its client waits."""

    def __init__(self, bill: Bill, *, seed: int, stall_s: float) -> None:
        self._bill = bill
        self._seed = seed
        self._stall_s = stall_s
        self._served: dict[str, int] = {}  # by operation
        self._wires: dict[str, Wire] = {}  # by request id

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=_BACKLOG)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            again = True
            while again:
                request = await read_http(reader)
                again = await self._exchange(request, writer) and request.headers.get("connection") != "close"
                await writer.drain()
        except (EOFError, OSError, asyncio.LimitOverrunError):
            pass  # nobody listens any more; what was generated is billed
        except asyncio.CancelledError:
            pass  # the run has ended; asyncio would print a stack for a connection that ends cancelled
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    async def _exchange(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        if request.method == "GET" and request.path.startswith(_USAGE):
            writer.write(self._usage(request.path.removeprefix(_USAGE)))
            return True
        wire = _WIRES.get(request.path)
        try:
            asked = read_request(request.body) if wire is not None else None
        except (DecodeError, ValidationError):
            asked = None
        if wire is None or asked is None:
            writer.write(reply(404 if wire is None else 400, b'{"error": {"message": "no such call"}}'))
            return True
        return await self._serve(request, wire, asked, writer)

    async def _serve(self, request: HttpRequest, wire: Wire, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        operation = asked.mark.operation if asked.mark is not None else ""
        nth = self._served[operation] = self._served.get(operation, 0) + 1
        fate = plan(self._seed, asked, nth, self._stall_s)
        request_id = request.headers.get("x-client-request-id", "")
        self._wires[request_id] = wire
        self._bill.add(
            Line(
                request_id=request_id,
                at=time.time(),
                model=asked.model,
                outcome=fate.outcome,
                usage=fate.usage,
                tenant=asked.mark.tenant if asked.mark is not None else "",
                operation=operation,
            )
        )
        await asyncio.sleep(fate.before_s)
        if writer.is_closing():
            return False
        if fate.status != 200:
            writer.write(reply(fate.status, json.encode(wire.error(fate.status, None))))
            return True
        return await _send(_answer(wire, asked, fate), fate, writer)

    def _usage(self, request_id: str) -> bytes:
        lines = self._bill.of(request_id)
        if not lines:
            missing = {"error": {"code": "request_not_found", "message": "This request was never served."}}
            return reply(404, json.encode(missing))
        return reply(200, json.encode({"usage": self._wires[request_id].usage(total(lines))}))


def _answer(wire: Wire, asked: Asked, fate: Plan) -> bytes:
    body = body_of(wire, asked, fate)
    if not asked.stream:
        return reply(200, body)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    step = max(1, len(body) // _PIECES)
    blocks = [body[at : at + step] for at in range(0, len(body), step)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"


async def _send(answer: bytes, fate: Plan, writer: asyncio.StreamWriter) -> bool:
    end = int(len(answer) * fate.cut_at) if fate.cut_at < 1 else len(answer)
    step = max(1, len(answer) // _PIECES)
    for at in range(0, end, step):
        if at:
            await asyncio.sleep(fate.during_s / _PIECES)
        if writer.is_closing():  # nobody listens any more, and uvloop would raise
            return False
        writer.write(answer[at : min(at + step, end)])
        await writer.drain()
    if end == len(answer):
        return True
    await asyncio.sleep(fate.stall_s)
    if fate.ends == "reset" and not writer.is_closing():
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SO_LINGER_NOW)
    return False


def reply(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def read_http(reader: asyncio.StreamReader) -> HttpRequest:
    """Raises EOFError when the client closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return HttpRequest(method=method, path=path, headers=headers, body=body)


class Startable(Protocol):
    async def start(self) -> asyncio.Server: ...


async def serve(bill_file: Path, make: Callable[[Bill], Startable]) -> None:
    """Prints the port, and serves as long as the parent holds the other end of standard input: it is gone when the
    parent is, however that came about."""
    with contextlib.closing(Bill(bill_file)) as bill:
        server = await make(bill).start()
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bill", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--stall", type=float, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.bill, lambda bill: ScriptedProvider(bill, seed=options.seed, stall_s=options.stall)))


if __name__ == "__main__":
    main()
