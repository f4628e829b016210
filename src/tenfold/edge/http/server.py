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
_CLEAN_UP_S = 5.0  # for cancelled handlers, at the end
_REFUSED = 1024  # connections over the limit that are still told so; further ones are just dropped


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
        self._refused: set[Connection] = set()  # of these, the ones that were one too many
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._left: set[asyncio.Task[None]] = set()  # cancelled, not over yet
        self._quiet = asyncio.Event()  # no connection, no task

    async def start(self, listener: socket.socket) -> None:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            # Connections inherit it. asyncio sets it for sockets whose protocol is named alone, which accepted ones
            # have not; without it each small write of a stream waits 40 ms for the one before.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = await self._loop.create_server(
            lambda: Connection(self, self._loop), sock=listener, backlog=_BACKLOG
        )
        self._sweeper = asyncio.create_task(self._sweep(), name="edge.http.sweep")

    async def stop(self, timeout_s: float) -> int:
        """No new connections; requests being answered get their time. Returns how many were cut off."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.stop()
        self.check(self._loop.time())
        await self._until_quiet(timeout_s)
        cut_off = sum(connection.busy for connection in self._connections)
        for connection in list(self._connections):
            connection.abort()
        await self._until_quiet(_CLEAN_UP_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        return cut_off

    def check(self, now: float) -> None:
        """Ends what has taken too long at the loop's time `now`. Runs once a second."""
        self.date_line = _date_line()
        for connection in list(self._connections):
            connection.check(now)

    @property
    def connections(self) -> int:
        return len(self._connections)

    # -- for connections ---------------------------------------------------------------------

    def opened(self, connection: Connection) -> bool:
        room = len(self._connections) - len(self._refused) < self.limits.max_connections
        self._connections.add(connection)
        if not room:
            self._refused.add(connection)
            if len(self._refused) > _REFUSED:
                connection.abort()
        return room

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._refused.discard(connection)
        self._tell()

    def begin(self, request: Request, connection: Connection) -> "asyncio.Task[None]":
        return self._loop.create_task(self._serve(request, connection))

    def left(self, task: "asyncio.Task[None]") -> None:
        self._left.add(task)
        task.add_done_callback(self._over)

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
        connection.answered(request)

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._left.discard(task)
        self._tell()

    def _tell(self) -> None:
        if not self._connections and not self._left:
            self._quiet.set()

    async def _until_quiet(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._connections or self._left:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self.check(self._loop.time())
            except Exception:  # without the sweep nothing would ever time out again
                logger.exception("the sweep over the connections failed")


def _date_line() -> str:
    return f"date: {formatdate(usegmt=True)}\r\n"
