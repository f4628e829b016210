"""What is looked for and tidied up in the rows of all tenants: one tenant after the other, now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.store.pool import Store
from tenfold.store.transaction import Row

logger = logging.getLogger(__name__)

# So many tenants at a time: 15 to 25 us each, so a statement stays far from its timeout however many there are.
_TENANTS = "SELECT id FROM tenants WHERE id > $1 ORDER BY id LIMIT 10000"


class Expiring(Protocol):
    """Rows that are kept for a time. Both raise StoreUnavailable."""

    async def tenants_expired(self) -> list[TenantId]:
        """Where something was kept for long enough."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Deletes up to so many of them, in one transaction; how many there were."""
        ...


async def among_tenants(
    store: Store, query: str, *args: Any, by_index: bool = False, most: int | None = None
) -> list[Row]:
    """The rows of a query that looks into all tenants whose ids it gets as an array ($1); `args` come after it. With
    `most` it stops when there are as many. Raises StoreUnavailable."""
    found: list[Row] = []
    last = UUID(int=0)
    async with store.directory(readonly=True, by_index=by_index) as tx:
        while among := [row["id"] for row in await tx.fetch(_TENANTS, last)]:
            found += await tx.fetch(query, among, *args)
            if most is not None and len(found) >= most:
                return found[:most]
            last = among[-1]
    return found


async def tenants_among(store: Store, query: str, *args: Any, by_index: bool = False) -> list[TenantId]:
    """As `among_tenants`, of a query whose one column is the tenant."""
    return [TenantId(row[0]) for row in await among_tenants(store, query, *args, by_index=by_index)]


async def expire(rows: Expiring, *, batch: int) -> int:
    """What was kept for long enough goes, `batch` in a transaction; how many there were. Raises StoreUnavailable."""
    expired = 0
    for tenant_id in await rows.tenants_expired():
        while of_tenant := await rows.expire(tenant_id, limit=batch):
            expired += of_tenant
    return expired


async def keep(work: Callable[[], Awaitable[object]], *, every_s: float, otherwise: str) -> None:
    """Done every so often until cancelled. `otherwise`: what the log says where it is not, because the database is
    away."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except StoreUnavailable as error:
            logger.info("%s, the database is away: %s", otherwise, error.message)
