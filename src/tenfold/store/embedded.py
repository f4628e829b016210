"""The embedded Postgres as the application sees it: start, keep running, stop. What blocks runs in a thread."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tenfold.store.errors import StartupError
from tenfold.store.postgres.cluster import Cluster

_log = logging.getLogger(__name__)

T = TypeVar("T")

_WATCH_S = 0.5
_RETRY_MOST_S = 5.0


class EmbeddedPostgres:
    """A lease on the Postgres of one home folder, shared with all processes that use the same home.

    The first who starts makes and starts it, others attach; it stops when the last lease ends, be it by
    `stop`, by the end of the process or by kill -9. `settings` are laid over postgresql.conf."""

    def __init__(
        self,
        home: Path,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout_s: float = 120.0,  # recovery after a crash included
    ) -> None:
        self._cluster = Cluster(home, settings=settings or {})
        self._start_timeout_s = start_timeout_s
        self._one_at_a_time = asyncio.Lock()

    @property
    def data_folder(self) -> Path:
        return self._cluster.data

    @property
    def log_file(self) -> Path:
        return self._cluster.log

    async def start(self) -> str:
        """The DSN of the owner: postgresql://...@127.0.0.1:port/tenfold. Raises StartupError with the way out."""
        async with self._one_at_a_time:
            return await self._off_loop(lambda: self._cluster.start(self._start_timeout_s))

    async def ensure_running(self) -> str:
        """For when the database does not answer: brings it back if it died. The port may have changed, so
        give the DSN to `Store.move_to`. Raises StartupError."""
        return await self.start()

    async def supervise(self, on_restart: Callable[[str], object] | None = None) -> None:
        """Until cancelled: brings Postgres back within a moment of its death, then calls `on_restart(dsn)`."""
        pause_s = _WATCH_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                if await asyncio.to_thread(self._cluster.is_alive):
                    continue
                _log.warning("the embedded Postgres is down, starting it again")
                dsn = await self.ensure_running()
            except StartupError as error:
                pause_s = min(pause_s * 2, _RETRY_MOST_S)
                _log.error("the embedded Postgres does not start", extra={"reason": error.message})
                continue
            pause_s = _WATCH_S
            if on_restart is not None:
                on_restart(dsn)

    async def stop(self) -> None:
        """Gives the lease back; when it was the last one, returns after Postgres has stopped."""
        async with self._one_at_a_time:
            await self._off_loop(self._cluster.stop)

    async def _off_loop(self, work: Callable[[], T]) -> T:
        """In a thread. A thread cannot be cancelled, so a cancelled caller waits for it (it has its own deadline),
        and what a start has leased meanwhile is given back by `stop` or the end of the process."""
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
