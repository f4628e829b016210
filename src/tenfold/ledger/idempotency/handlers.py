"""What is done with idempotency keys off the path: those of a dead process are settled, expired ones deleted."""

from uuid import UUID

from tenfold.ledger.idempotency.ports import IdempotencyRows
from tenfold.store import expire

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
    """Every expired key is deleted; how many there were. Raises StoreUnavailable."""
    return await expire(rows, batch=BATCH_KEYS)
