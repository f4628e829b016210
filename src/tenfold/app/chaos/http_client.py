"""One HTTP request on a connection of its own, and whether the whole reply came; it can leave at any byte of it.

A connection for each request, so that the kernel spreads them over the processes, those just started included.
"""

import asyncio

from msgspec import Struct

_MAX_LINE = 1 << 20


class Answer(Struct, frozen=True, kw_only=True):
    """`status` 0: the connection was lost before there was one. `complete`: the body came to its own end."""

    status: int = 0
    headers: dict[str, str] = {}
    body: bytes = b""
    complete: bool = False


async def get(port: int, path: str, headers: dict[str, str], *, timeout_s: float) -> Answer:
    """Never raises but for cancellation."""
    return await _ask("GET", port, path, headers, b"", None, timeout_s)


async def post(
    port: int, path: str, headers: dict[str, str], body: bytes, *, leave_after: int | None = None, timeout_s: float
) -> Answer:
    """Never raises but for cancellation. `leave_after`: hang up once so many bytes of the reply have come, 0: once the
    request is sent."""
    return await _ask("POST", port, path, headers, body, leave_after, timeout_s)


async def _ask(
    method: str, port: int, path: str, headers: dict[str, str], body: bytes, leave_after: int | None, timeout_s: float
) -> Answer:
    writer: asyncio.StreamWriter | None = None
    raw = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MAX_LINE)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            first = f"{method} {path} HTTP/1.1\r\nhost: chaos\r\nconnection: close\r\n"
            writer.write(f"{first}{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            while leave_after is None or len(raw) < leave_after:
                block = await reader.read(65536)
                if not block:
                    break
                raw += block
    except (OSError, TimeoutError):
        pass
    finally:
        if writer is not None:
            writer.transport.abort()
    return _answer(bytes(raw))


def _answer(raw: bytes) -> Answer:
    head, found, rest = raw.partition(b"\r\n\r\n")
    if not found:
        return Answer()
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body, complete = _dechunked(rest)
    else:
        length = int(headers.get("content-length", "-1"))
        body, complete = rest, length == len(rest)
    return Answer(status=int(first.split(" ")[1]), headers=headers, body=body, complete=complete)


def _dechunked(raw: bytes) -> tuple[bytes, bool]:
    """The chunks that are whole, and whether the last one was there."""
    blocks: list[bytes] = []
    at = 0
    while (line_end := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:line_end].partition(b";")[0], 16)
        start = line_end + 2
        if size == 0:
            return b"".join(blocks), raw[start : start + 2] == b"\r\n"
        if len(raw) < start + size + 2:
            break
        blocks.append(raw[start : start + size])
        at = start + size + 2
    return b"".join(blocks), False
