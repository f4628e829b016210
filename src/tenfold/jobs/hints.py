"""Hints to workers and followers, sent after what they tell of is committed.

A NOTIFY in the transaction itself would have all such commits of the server wait for each other, flush by flush; so
hints go in a transaction of their own, which flushes nothing, and those that come meanwhile share the next one. A
process that dies in between has not hinted; whoever waits for a hint also polls.
"""

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.ports import READY, TOLD
from tenfold.store import Store

logger = logging.getLogger(__name__)

SOME_READY = (READY, "")


def of_job(tenant_id: TenantId, job_id: UUID) -> tuple[str, str]:
    """Something was told of the job, it has ended, or somebody wants it cancelled: `<tenant>:<job>`, 32 digits each."""
    return TOLD, f"{tenant_id.hex}:{job_id.hex}"


class Hints:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: set[tuple[str, str]] = set()
        self._sending = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Those that are on their way get there."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send_soon(self, hints: Iterable[tuple[str, str]]) -> None:
        """Nobody waits for it: whoever is accepted need not know that a worker has heard."""
        task = asyncio.create_task(self.send(hints), name="jobs-hint")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, hints: Iterable[tuple[str, str]]) -> None:
        """Returns when they are sent, or could not be."""
        mine = set(hints)
        self._pending |= mine
        async with self._sending:
            if not mine & self._pending:
                return  # another one's transaction took them along
            sent, self._pending = self._pending, set()
            try:
                await self._store.notify_all(list(sent))
            except StoreUnavailable as error:
                logger.info("a hint was not sent, the database is away: %s", error.message)
