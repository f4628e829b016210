"""One transaction is one tenant, and only the unit of work ends it."""

import asyncpg
import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store


async def test_the_tenant_of_the_transaction_is_known_to_sql(store: Store) -> None:
    tenant_id = TenantId(uuid7())
    async with store.tenant(tenant_id) as tx:
        assert await tx.fetchval("SELECT tenfold.tenant_id()") == tenant_id
    async with store.directory() as tx:
        assert await tx.fetchval("SELECT tenfold.tenant_id()") is None


async def test_sql_errors_are_not_hidden(store: Store) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with store.directory() as tx:
            await tx.fetch("SELECT * FROM nothing")
