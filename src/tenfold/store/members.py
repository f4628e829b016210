"""The serving processes that share this database: each says that it lives, and sees how many others do.

All times are the database's: the clocks of the machines do not count.
"""

import asyncio
import logging
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import uuid7
from tenfold.store.pool import Store

logger = logging.getLogger(__name__)

BEAT_S = 2.0
ALIVE_S = 10.0  # seen within this long: a share of the limits is its own
DEAD_S = 60.0  # not seen for this long: what it held is taken over

_BEAT = "INSERT INTO members (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen_at = now()"
_ALIVE = "SELECT count(*) FROM members WHERE seen_at > now() - make_interval(secs => $1)"
_DEAD = "SELECT id FROM members WHERE seen_at < now() - make_interval(secs => $1) AND id <> $2 ORDER BY id"
_LEAVE = "DELETE FROM members WHERE id = $1"


class Members:
    """`join`, then `run` until cancelled, then `leave`. `id` names this process wherever it holds something; `alive`
    is how many processes there are, this one included."""

    def __init__(self, store: Store, member_id: UUID | None = None) -> None:
        self._store = store
        self.id = member_id or uuid7()
        self.alive = 1

    async def join(self) -> None:
        """Raises StoreUnavailable."""
        async with self._store.directory() as tx:
            await tx.execute(_BEAT, self.id)
            self.alive = max(1, await tx.fetchval(_ALIVE, ALIVE_S))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self.join()
            except StoreUnavailable as error:
                logger.info("no heartbeat, the database is away: %s", error.message)

    async def dead(self, after_s: float = DEAD_S) -> list[UUID]:
        """Members not seen for so long; they stay in the list until they are removed. Raises StoreUnavailable."""
        async with self._store.directory(readonly=True) as tx:
            return [row["id"] for row in await tx.fetch(_DEAD, after_s, self.id)]

    async def remove(self, member_id: UUID) -> None:
        """Everything it held has been taken over, or given back. Raises StoreUnavailable."""
        async with self._store.directory() as tx:
            await tx.execute(_LEAVE, member_id)

    async def leave(self) -> None:
        """An orderly end: nothing is held any more. Raises StoreUnavailable."""
        await self.remove(self.id)
