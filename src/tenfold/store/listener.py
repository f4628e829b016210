"""NOTIFY hints on one dedicated connection that is made again whenever it is lost.

Refuses to promise delivery: a hint may be lost, and whoever waits for one also polls.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tenfold.core.errors import StoreUnavailable
from tenfold.store.connect import Connection
from tenfold.store.errors import translated

_log = logging.getLogger(__name__)

Callback = Callable[[str], None]

_RETRY_FIRST_S, _RETRY_MOST_S = 0.1, 5.0
_PROBE_S = 30.0  # a connection that a network dropped in silence is noticed within this


class Listener:
    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._callbacks: dict[str, list[Callback]] = {}
        self._changed = asyncio.Event()  # a channel was added, or the connection was lost
        self._heard: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    async def listen(self, channel: str, callback: Callback, *, timeout_s: float) -> None:
        """Raises StoreUnavailable when the channel is not heard within `timeout_s`; the attempt goes on."""
        self._callbacks.setdefault(channel, []).append(callback)
        heard = self._heard.setdefault(channel, asyncio.Event())
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="store-listener")
        try:
            async with asyncio.timeout(timeout_s):  # `wait_for` of Python 3.11 may lose a cancellation
                await heard.wait()
        except TimeoutError as error:
            raise StoreUnavailable("The database is not reachable at the moment.") from error

    async def aclose(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        pause_s, first = _RETRY_FIRST_S, True
        while True:
            try:
                connection = await self._connect()
            except StoreUnavailable as error:
                _log.info("hints paused, the database is away", extra={"reason": error.message})
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _RETRY_MOST_S)
                continue
            pause_s = _RETRY_FIRST_S
            try:
                await self._serve(connection, catch_up=not first)
            except StoreUnavailable as error:
                _log.info("hints interrupted", extra={"reason": error.message})
            finally:
                first = False
                for heard in self._heard.values():
                    heard.clear()
                connection.terminate()

    async def _serve(self, connection: Connection, *, catch_up: bool) -> None:
        """Until the connection is lost."""
        connection.add_termination_listener(lambda _: self._changed.set())
        listening: set[str] = set()
        while not connection.is_closed():
            self._changed.clear()
            for channel in self._callbacks.keys() - listening:
                with translated(connection):
                    await connection.add_listener(channel, self._dispatch)
                listening.add(channel)
                self._heard[channel].set()
                if catch_up:
                    self._call(channel, "")
            try:
                await asyncio.wait_for(self._changed.wait(), _PROBE_S)
            except TimeoutError:
                with translated(connection):
                    await connection.execute("SELECT 1")

    def _dispatch(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._call(channel, str(payload))

    def _call(self, channel: str, payload: str) -> None:
        for callback in self._callbacks[channel]:
            try:
                callback(payload)
            except Exception:  # edge: one listener's bug must not silence the others
                _log.exception("a callback for hints failed", extra={"channel": channel})
