"""What processes keep in memory, and how they hear that it has changed: a second after it, at most.

Whoever writes calls `tell_change` in the same transaction; `Changes` follows for all topics with one query a poll.
"""

import asyncio
import logging
from collections.abc import Callable

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.store.pool import Store
from tenfold.store.transaction import Transaction

logger = logging.getLogger(__name__)

CHANNEL = "tenfold_changes"
POLL_S = 0.4  # with the query's own time below a second
MIN_POLL_GAP_S = 0.05

_TELL = """
INSERT INTO tenant_changes (topic, tenant_id) VALUES ($1, $2)
ON CONFLICT (topic, tenant_id) DO UPDATE SET changed_xid = pg_current_xact_id()
"""
_TELL_COMMON = """
INSERT INTO common_changes (topic) VALUES ($1)
ON CONFLICT (topic) DO UPDATE SET changed_xid = pg_current_xact_id()
"""
_POSITION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# Left join: the position comes also when nothing has changed.
_CHANGED = """
SELECT now_at.position::text, c.topic, c.tenant_id
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS position) now_at
LEFT JOIN (
    SELECT topic, tenant_id FROM tenant_changes WHERE changed_xid >= $1::text::xid8
    UNION ALL
    SELECT topic, NULL FROM common_changes WHERE changed_xid >= $1::text::xid8
) c ON true
"""


async def tell_change(tx: Transaction, topic: str, tenant_id: TenantId | None) -> None:
    """Every process forgets what it knows of the tenant under this topic once the transaction has committed. None: what
    is no tenant's, or all of the topic."""
    if tenant_id is None:
        await tx.execute(_TELL_COMMON, topic)
    else:
        await tx.execute(_TELL, topic, tenant_id)
    await tx.notify(CHANNEL)


class Changes:
    """`follow` a topic, `start`, then `run` until cancelled. A follower is called with the tenant that changed, or
    with None when any may have (somebody said so, the database was away too long, or is another one)."""

    def __init__(self, store: Store, *, poll_s: float = POLL_S) -> None:
        self._store = store
        self._poll_s = poll_s
        self._followers: dict[str, list[Callable[[TenantId | None], None]]] = {}
        self._position: int | None = None
        self._hint = asyncio.Event()

    def follow(self, topic: str, forget: Callable[[TenantId | None], None]) -> None:
        self._followers.setdefault(topic, []).append(forget)

    async def start(self) -> None:
        """From here on no change is missed. Raises StoreUnavailable."""
        await self._store.listen(CHANNEL, lambda _payload: self._hint.set())
        await self.poll()

    async def poll(self) -> None:
        """Raises StoreUnavailable."""
        async with self._store.directory(readonly=True) as tx:
            if self._position is None:
                self._position = int(await tx.fetchval(_POSITION))
                return
            rows = await tx.fetch(_CHANGED, str(self._position))
        position = int(rows[0]["position"])
        if position < self._position:
            logger.warning("the change feed began anew: everything is read again")
            for topic in self._followers:
                self._call(topic, None)
        for row in rows:
            if row["topic"] is not None:
                tenant_id = row["tenant_id"]
                self._call(row["topic"], None if tenant_id is None else TenantId(tenant_id))
        self._position = position

    async def run(self) -> None:
        while True:
            await asyncio.sleep(MIN_POLL_GAP_S)
            try:
                async with asyncio.timeout(max(0.0, self._poll_s - MIN_POLL_GAP_S)):
                    await self._hint.wait()
            except TimeoutError:
                pass
            self._hint.clear()
            try:
                await self.poll()
            except StoreUnavailable as error:
                logger.info("changes cannot be followed, the database is away: %s", error.message)

    def _call(self, topic: str, tenant_id: TenantId | None) -> None:
        for forget in self._followers.get(topic, ()):
            forget(tenant_id)
