"""What is done with idempotency keys off the path: those of a dead process are settled, expired ones deleted."""

import asyncio
import logging
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.ledger.idempotency.ports import IdempotencyRows

logger = logging.getLogger(__name__)

EXPIRE_EVERY_S = 600.0  # what has expired can be claimed anew before it is deleted
BATCH_KEYS = 200  # a stored reply may be megabytes


async def settle_keys_of(rows: IdempotencyRows, holder: UUID) -> tuple[int, int]:
    """Once the receipts of a dead process are in the database: how many of its keys were interrupted, and how many
    are free again. May be done again, and by several at once. Raises StoreUnavailable."""
    interrupted = released = 0
    for tenant_id in await rows.tenants_in_flight(holder):
        of_tenant = await rows.settle_holder(tenant_id, holder)
        interrupted, released = interrupted + of_tenant[0], released + of_tenant[1]
    return interrupted, released


async def expire_keys(rows: IdempotencyRows) -> int:
    """Every expired key is deleted, a batch a transaction; how many there were. Raises StoreUnavailable."""
    expired = 0
    for tenant_id in await rows.tenants_expired():
        deleted = BATCH_KEYS
        while deleted == BATCH_KEYS:
            deleted = await rows.expire(tenant_id, limit=BATCH_KEYS)
            expired += deleted
    return expired


async def keep_expiring(rows: IdempotencyRows) -> None:
    """`expire_keys` every ten minutes, until cancelled."""
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        try:
            await expire_keys(rows)
        except StoreUnavailable as error:
            logger.info("idempotency keys are not expired, the database is away: %s", error.message)
