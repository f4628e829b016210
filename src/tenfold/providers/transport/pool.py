"""Connections of one client: kept while idle, lent one request at a time, bounded, and swept for missed deadlines."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.transport.connection import Connection
from tenfold.providers.transport.types import SWEEP_S, Limits, Timeouts

_Turn = asyncio.Future[Connection | None]  # a connection that is free, or None: the right to open one


class Pool:
    """A slot is the right to have one connection. Who waits for a slot or a connection is served in order."""

    def __init__(
        self, open_: Callable[["Pool"], Awaitable[Connection]], *, host: str, limits: Limits, timeouts: Timeouts
    ) -> None:
        self.created = 0
        self.reused = 0
        self._open = open_
        self._host = host
        self._limits = limits
        self._acquire_s = timeouts.acquire_s
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []  # the longest idle first
        self._slots = 0  # connections, and those being opened
        self._turns: deque[tuple[_Turn, float]] = deque()  # with the time they began to wait
        self._sweep_s = SWEEP_S
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self.heed(timeouts)

    # -- borrowing -----------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """The idle connection used last, if there is one."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.is_closing:
                self.reused += 1
                return connection
        return None

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """An idle connection, a new one, or whichever is free first. With `fresh`, never one that was idle.
        Raises UpstreamUnavailable, UpstreamTimeout."""
        while True:
            if self._closed:
                raise self._is_closed()
            if fresh:
                self._make_room()
            else:
                connection = self.take()
                if connection is not None:
                    return connection
            if self._slots < self._limits.max_connections:
                self._slots += 1
                return await self._open_in_slot()
            turn = await self._wait_turn()
            if turn is None:
                return await self._open_in_slot()
            if not turn.is_closing:
                self.reused += 1
                return turn

    def release(self, connection: Connection) -> None:
        """It served a request and can serve another."""
        if connection.is_closing:
            return
        while self._turns:
            turn, _ = self._turns.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if self._closed or len(self._idle) >= self._limits.max_idle:
            connection.drop()
        else:
            connection.idle_since_s = connection.last_byte_s
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """It is closed."""
        if connection in self._connections:
            self._connections.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()
            if not self._connections and self._drained is not None and not self._drained.done():
                self._drained.set_result(None)

    # -- facts ---------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        return len(self._connections)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return sum(not turn.done() for turn, _ in self._turns)

    # -- closing -------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close every connection, in use or not, and wait until they are."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for turn, _ in self._turns:
            if not turn.done():
                turn.set_exception(self._is_closed())
        for connection in list(self._connections):
            connection.fail(self._is_closed())
        if self._connections:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def _is_closed(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"the client for {self._host} is closed")

    # -- slots ---------------------------------------------------------------------------------

    async def _open_in_slot(self) -> Connection:
        try:
            connection = await self._open(self)
            if connection.is_closing:
                raise UpstreamUnavailable(f"{self._host} closed the connection at once")
        except BaseException:  # cancelled too: the slot is not ours any more
            self._free_slot()
            raise
        self._connections.add(connection)
        self.created += 1
        if self._closed:
            connection.drop()
            raise self._is_closed()
        self._keep_sweeping()
        return connection

    def _free_slot(self) -> None:
        while self._turns:
            turn, _ = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._slots -= 1

    def _make_room(self) -> None:
        """A kept connection was stale, so the others may be too: the longest idle one gives way."""
        if self._slots >= self._limits.max_connections and self._idle:
            self._idle.pop(0).drop()

    async def _wait_turn(self) -> Connection | None:
        if len(self._turns) >= self._limits.max_waiting:
            raise UpstreamUnavailable(
                f"all {self._limits.max_connections} connections to {self._host} are in use and "
                f"{self._limits.max_waiting} requests wait for one"
            )
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._turns.append((turn, monotonic()))
        self._keep_sweeping()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # it came too late: pass it on
                connection = turn.result()
                if connection is None:
                    self._free_slot()
                else:
                    self.release(connection)
            raise

    # -- deadlines -----------------------------------------------------------------------------

    def heed(self, timeouts: Timeouts) -> None:
        """Sweep often enough for these deadlines from now on."""
        shortest = min(timeouts.acquire_s, timeouts.first_byte_s, timeouts.between_bytes_s, timeouts.total_s)
        sweep_s = min(shortest / 4, self._limits.idle_timeout_s / 4)
        if sweep_s < self._sweep_s:
            self._sweep_s = sweep_s
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
                self._keep_sweeping()

    def _keep_sweeping(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        """One timer for all deadlines of all requests: a timer for each costs more than the request's parsing."""
        self._sweeper = None
        now = monotonic()
        for connection in list(self._connections):
            if connection.exchange is not None:
                connection.check_deadlines(now)
        oldest = now - self._limits.idle_timeout_s
        while self._idle and self._idle[0].idle_since_s < oldest:
            self._idle.pop(0).drop()
        overdue = now - self._acquire_s
        while self._turns and (self._turns[0][0].done() or self._turns[0][1] < overdue):
            turn, _ = self._turns.popleft()
            if not turn.done():
                turn.set_exception(
                    UpstreamTimeout(f"no connection to {self._host} became free within {self._acquire_s:g} s")
                )
        if self._connections or self._turns:
            self._keep_sweeping()
