"""A transport without a network, for tests: it answers from a script and records what was asked.

>>> stream = b"data: a\\n\\ndata: b\\n\\n"
>>> transport = FakeTransport([FakeReply(body=b"{}"), FakeReply(body=stream, cuts=(9,), stop_at=12)])

The first request gets a whole reply; the second one a stream in two blocks, the connection lost in the second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from tenfold.core.errors import TenfoldError, UpstreamError, UpstreamUnavailable
from tenfold.providers.ports import Headers
from tenfold.providers.transport.headers import PreparedHeaders, encode, encode_target
from tenfold.providers.transport.types import Timeouts


@dataclass(frozen=True, kw_only=True)
class FakeRequest:
    method: str
    path: str
    headers: Headers = field(repr=False)  # prepared ones first
    body: bytes


@dataclass(frozen=True, kw_only=True)
class FakeReply:
    """What one request gets. By default an empty, complete 200."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    cuts: tuple[int, ...] = ()  # offsets at which the body is cut into blocks
    stop_at: int | None = None  # only this many bytes of the body arrive ...
    then: Literal["cut", "hang"] = "cut"  # ... and the connection is lost, or stays silent
    eof_delimited: bool = False
    error: TenfoldError | None = None  # raised in place of a reply
    silent: bool = False  # no reply ever

    def blocks(self) -> list[bytes]:
        """The blocks that arrive."""
        end = len(self.body) if self.stop_at is None else self.stop_at
        edges = sorted({0, end, *(cut for cut in self.cuts if 0 < cut < end)})
        return [self.body[a:b] for a, b in pairwise(edges)]


class FakeExchange:
    """An `Exchange`. `aborted` tells whether its connection would have been closed before the reply was complete."""

    def __init__(self, reply: FakeReply, max_body_bytes: int) -> None:
        self.status = reply.status
        self.headers: Headers = list(reply.headers)
        self.eof_delimited = reply.eof_delimited
        self.aborted = False
        self.complete = False
        self._reply = reply
        self._blocks = reply.blocks()
        self._body: bytes | None = None
        self._max_body_bytes = max_body_bytes
        self._given_up = asyncio.Event()

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def read(self) -> bytes:
        """See `Exchange.read`."""
        if self._body is None:
            body = b"".join([block async for block in self.blocks()])
            if len(body) > self._max_body_bytes:
                raise UpstreamError(f"the body is larger than {self._max_body_bytes} bytes", kind="reply_too_large")
            self._body = body
        return self._body

    def blocks(self) -> AsyncIterator[bytes]:
        """See `Exchange.blocks`."""
        return _FakeBlocks(self)

    def abort(self) -> None:
        """See `Exchange.abort`."""
        if not self.complete:
            self.aborted = True
            self._given_up.set()

    async def next_block(self) -> bytes:
        """The next block. Raises StopAsyncIteration at the end, UpstreamUnavailable where the reply breaks."""
        try:
            await asyncio.sleep(0)  # as a network would, let others run
            if not self._blocks and self._reply.stop_at is not None and self._reply.then == "hang":
                await self._given_up.wait()
        except asyncio.CancelledError:
            self.abort()
            raise
        if self.aborted:
            raise UpstreamUnavailable("the exchange was given up")
        if self._blocks:
            return self._blocks.pop(0)
        if self._reply.stop_at is None:
            self.complete = True
            raise StopAsyncIteration
        self.aborted = True
        raise UpstreamUnavailable("the connection was closed in the middle of the reply")


class _FakeBlocks:
    def __init__(self, exchange: FakeExchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        return self._exchange.next_block()

    def __del__(self) -> None:
        self._exchange.abort()


class FakeTransport:
    """A `Transport` that answers from `replies`: in turn, or by a function of the request."""

    def __init__(
        self,
        replies: Iterable[FakeReply] | Callable[[FakeRequest], FakeReply],
        *,
        max_body_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.requests: list[FakeRequest] = []
        self.exchanges: list[FakeExchange] = []
        self.closed = False
        self._answer = replies if callable(replies) else _in_turn(iter(replies))
        self._max_body_bytes = max_body_bytes

    def prepared(self, headers: Headers) -> PreparedHeaders:
        return PreparedHeaders.of([], headers)

    async def post(
        self,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> FakeExchange:
        return await self._exchange("POST", path, headers, body, prepared)

    async def get(
        self,
        path: str,
        headers: Headers,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> FakeExchange:
        return await self._exchange("GET", path, headers, b"", prepared)

    async def aclose(self) -> None:
        self.closed = True
        for exchange in self.exchanges:
            exchange.abort()

    async def _exchange(
        self, method: str, path: str, headers: Headers, body: bytes, prepared: PreparedHeaders | None
    ) -> FakeExchange:
        if self.closed:
            raise UpstreamUnavailable("the client is closed")
        encode(headers)  # refuses what the real one refuses
        encode_target(path)
        own = {name for name, _ in headers}
        kept = [pair for pair in prepared.headers if pair[0] not in own] if prepared else []
        request = FakeRequest(method=method, path=path, headers=[*kept, *headers], body=body)
        self.requests.append(request)
        reply = self._answer(request)
        await asyncio.sleep(0)
        if reply.error is not None:
            raise reply.error
        if reply.silent:
            await asyncio.Event().wait()
        exchange = FakeExchange(reply, self._max_body_bytes)
        self.exchanges.append(exchange)
        return exchange


def _in_turn(replies: Iterator[FakeReply]) -> Callable[[FakeRequest], FakeReply]:
    def answer(request: FakeRequest) -> FakeReply:
        reply = next(replies, None)
        if reply is None:
            raise AssertionError(f"no reply is scripted for {request.method} {request.path}")
        return reply

    return answer
