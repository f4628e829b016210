"""The listening side: accepts connections, runs the handler for each request, and ends what takes too long."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from tenfold.core.write_batch import WriteBatch
from tenfold.edge.http.connection import Connection
from tenfold.edge.http.limits import ServerLimits
from tenfold.edge.http.request import ClientGone, Request

logger = logging.getLogger(__name__)

__all__ = ["HttpServer", "ServerLimits"]

Handler = Callable[[Request], Awaitable[None]]

_BACKLOG = 4096
_SWEEP_S = 1.0


class HttpServer:
    """`start`, later `stop`. The handler answers by the request's own methods."""

    def __init__(self, handler: Handler, limits: ServerLimits | None = None, batch: WriteBatch | None = None) -> None:
        self.limits = limits or ServerLimits()
        self.stopping = False
        self.date_line = _date_line()
        self._handler = handler
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.batch = batch or WriteBatch(self._loop)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()

    async def start(self, listener: socket.socket) -> None:
        self._server = await self._loop.create_server(
            lambda: Connection(self, self._loop), sock=listener, backlog=_BACKLOG
        )
        self._sweeper = asyncio.create_task(self._sweep(), name="edge.http.sweep")

    async def stop(self, timeout_s: float) -> int:
        """No new connections; requests being answered get their time. Returns how many were cut off."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        self._check()
        try:
            async with asyncio.timeout(timeout_s):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            pass
        left = len(self._connections)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        return left

    @property
    def connections(self) -> int:
        return len(self._connections)

    # -- for connections ---------------------------------------------------------------------

    def opened(self, connection: Connection) -> bool:
        self._connections.add(connection)
        return len(self._connections) <= self.limits.max_connections

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def begin(self, request: Request, connection: Connection) -> "asyncio.Task[None]":
        return self._loop.create_task(self._serve(request, connection))

    # -- inside ------------------------------------------------------------------------------

    async def _serve(self, request: Request, connection: Connection) -> None:
        try:
            await self._handler(request)
            request.finish()  # a handler that did not answer at all leaves it unfinished: the connection ends
        except ClientGone:
            pass
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception:  # the edge of the process: a bug ends its own request and no other
            logger.exception("a request handler failed", extra={"path": request.path})
            connection.abort()
        connection.answered(request)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._check()

    def _check(self) -> None:
        self.date_line = _date_line()
        now = self._loop.time()
        for connection in list(self._connections):
            connection.check(now)


def _date_line() -> str:
    return f"date: {formatdate(usegmt=True)}\r\n"
