"""Streams whose events come one by one: when the first arrives, and whether the others keep the pace."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.calls import Target, chat_body
from bench.processes import BenchError

_STREAM_S = 0.64  # 64 events, 10 ms apart; starts are spread over this
_TICK_S = 0.05
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream as its reader saw it. `reads` near `events` means events were passed on one by one."""

    first_event_s: float
    total_s: float
    events: int
    reads: int


async def read_streams(target: Target, *, readers: int, each: int, limit_s: float) -> tuple[list[Stream], float]:
    """`readers` connections at once, each reads `each` streams in turn. Raises BenchError when one fails.

    With them comes the longest time in seconds that this process itself stood still.
    """
    longest_s = 0.0

    async def watch_the_clock() -> None:
        nonlocal longest_s
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            longest_s = max(longest_s, time.monotonic() - before - _TICK_S)

    async def reader(index: int) -> list[Stream]:
        await asyncio.sleep(index * _STREAM_S / readers)
        return await _read_in_turn(target, each)

    clock = asyncio.create_task(watch_the_clock(), name="watch the clock")
    try:
        async with asyncio.timeout(limit_s):
            streams = await asyncio.gather(*(reader(index) for index in range(readers)))
    except (OSError, TimeoutError) as error:
        raise BenchError(f"a paced stream failed: {error!r}") from error
    finally:
        clock.cancel()
    return [stream for of_reader in streams for stream in of_reader], longest_s


async def _read_in_turn(target: Target, count: int) -> list[Stream]:
    parts = urlsplit(target.url)
    body = chat_body(target.model, stream=True)
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **target.headers,
    }
    head = f"POST {parts.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = head.encode() + b"\r\n" + body
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        return [await _one_stream(reader, writer, request) for _ in range(count)]
    finally:
        writer.close()


async def _one_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Stream:
    started = time.perf_counter()
    writer.write(request)
    received = b""
    first_event_s: float | None = None
    reads = 0
    while not received.endswith(_LAST_CHUNK):
        piece = await reader.read(65536)
        if not piece:
            raise BenchError(f"a stream ended early: {received[-200:].decode(errors='replace')}")
        received += piece
        if b"data:" in piece:
            reads += 1
            first_event_s = first_event_s or time.perf_counter() - started
    if not received.startswith(b"HTTP/1.1 200") or first_event_s is None:
        raise BenchError(f"not a stream: {received[:300].decode(errors='replace')}")
    return Stream(
        first_event_s=first_event_s,
        total_s=time.perf_counter() - started,
        events=received.count(b"data:"),
        reads=reads,
    )
