"""What has been kept for long enough goes."""

import asyncio
import logging

from tenfold.core.errors import StoreUnavailable
from tenfold.inference.responses.ports import ResponseRows

logger = logging.getLogger(__name__)

EXPIRE_EVERY_S = 600.0
BATCH = 100  # a response may have megabytes


async def expire_responses(rows: ResponseRows) -> int:
    """A batch a transaction. How many there were. Raises StoreUnavailable."""
    expired = 0
    for tenant_id in await rows.tenants_expired():
        while of_tenant := await rows.expire(tenant_id, limit=BATCH):
            expired += of_tenant
    return expired


async def keep_expiring(rows: ResponseRows) -> None:
    """`expire_responses` every ten minutes, until cancelled."""
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        try:
            await expire_responses(rows)
        except StoreUnavailable as error:
            logger.info("responses are not expired, the database is away: %s", error.message)
