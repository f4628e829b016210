"""Rows of the semantic cache that are good for nothing any more go: those that rest on documents that have changed,
soon after; those past their time, now and then. Nobody waits for it: no answer is given from either.
"""

import asyncio
import logging
from datetime import timedelta

from tenfold.cache.semantic.ports import SemanticRows
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId

logger = logging.getLogger(__name__)

_GATHER_S = 0.5  # an ingest tells a change with each of its transactions
_EVERY_S = 600.0
_BATCH = 1_000


class Tidying:
    """`forget` follows the topic of documents. Run `run` until the process stops."""

    def __init__(self, rows: SemanticRows, clock: Clock, *, keep_unused: timedelta) -> None:
        """`keep_unused`: for so long a scope stays that nobody asks in, and what is known of evictions."""
        self._rows = rows
        self._clock = clock
        self._keep_unused = keep_unused
        self._changed: set[TenantId] = set()
        self._news = asyncio.Event()

    def forget(self, tenant_id: TenantId | None) -> None:
        """Documents of this tenant have changed. Of any (None): they are found when they are asked for."""
        if tenant_id is not None:
            self._changed.add(tenant_id)
            self._news.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        next_s = loop.time() + _EVERY_S
        while True:
            try:
                async with asyncio.timeout_at(next_s):
                    await self._news.wait()
            except TimeoutError:
                next_s = loop.time() + _EVERY_S
                await self.expire()
            else:
                await asyncio.sleep(_GATHER_S)
                await self.drop_stale()

    async def drop_stale(self) -> None:
        """Of the tenants whose documents have changed since the last time."""
        self._news.clear()
        changed, self._changed = self._changed, set()
        for tenant_id in changed:
            try:
                await self._rows.drop_stale(tenant_id)
            except StoreUnavailable as error:
                self._changed.add(tenant_id)  # with the next change, whosever it is
                logger.info("stale entries of the semantic cache stay, the database is away: %s", error.message)

    async def expire(self) -> None:
        before = self._clock.now() - self._keep_unused
        try:
            for tenant_id in await self._rows.tenants_expired(before):
                while await self._rows.expire(tenant_id, before, limit=_BATCH):
                    pass
        except StoreUnavailable as error:
            logger.info("the semantic cache is not tidied up, the database is away: %s", error.message)
