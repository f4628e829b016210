"""What only the keys in Postgres must uphold: two processes, row-level security, and no way across tenants."""

import asyncio
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.idempotency.queries import TENANTS_EXPIRED, TENANTS_IN_FLIGHT, PostgresIdempotencyRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant

from .test_rows import HOLDER, HOUR_S, NEW, again, claim_of


async def a_tenant(store: Store) -> TenantId:
    tenant_id = TenantId(uuid7())
    await add_tenant(store, tenant_id)
    return tenant_id


async def test_two_processes_race_for_one_key(store: Store, database: str) -> None:
    tenant_id = await a_tenant(store)
    other = await Store.open(database, max_size=5)
    try:
        both = [PostgresIdempotencyRows(store), PostgresIdempotencyRows(other)]
        for number in range(10):
            first = claim_of(tenant_id, str(number))
            claims = (both[n % 2].claim(again(first), keep_s=HOUR_S) for n in range(6))
            answers = [claimed.found for claimed in await asyncio.gather(*claims)]
            assert sorted(answers) == ["in_flight"] * 5 + ["new"]
    finally:
        await other.aclose()


async def test_a_claim_that_meets_a_release_is_answered(store: Store) -> None:
    tenant_id = await a_tenant(store)
    rows = PostgresIdempotencyRows(store)

    async def claim_and_release() -> str:
        claim = again(first)
        answer = await rows.claim(claim, keep_s=HOUR_S)
        if answer.found == "new":
            await rows.release(claim)
        return answer.found

    first = claim_of(tenant_id)
    answers = await asyncio.gather(*(claim_and_release() for _ in range(30)))
    assert set(answers) <= {"new", "in_flight"}
    assert "new" in answers
    assert await rows.claim(again(first), keep_s=HOUR_S) == NEW


async def test_the_lists_of_tenants_leave_no_tenant_set(store: Store) -> None:
    tenant_id = await a_tenant(store)
    rows = PostgresIdempotencyRows(store)
    await rows.claim(claim_of(tenant_id), keep_s=-1)
    async with store.directory() as tx:
        for query, args in ((TENANTS_IN_FLIGHT, [[tenant_id], HOLDER]), (TENANTS_EXPIRED, [[tenant_id]])):
            assert [row[0] for row in await tx.fetch(query, *args)] == [tenant_id]
        assert await tx.fetchval("SELECT tenfold.tenant_id()") is None
        assert await tx.fetch("SELECT * FROM idempotency_keys") == []


async def test_the_lists_work_for_an_owner_that_is_no_superuser(store: Store, database: str) -> None:
    """Forced row-level security binds such an owner too."""
    tenant_id = await a_tenant(store)
    await PostgresIdempotencyRows(store).claim(claim_of(tenant_id), keep_s=HOUR_S)
    owner = await asyncpg.connect(database)
    try:
        await owner.execute("CREATE ROLE plain_owner LOGIN PASSWORD 'p'")
        await owner.execute("GRANT tenfold_app TO plain_owner")
        for table in ("idempotency_keys", "tenants"):
            await owner.execute(f"ALTER TABLE tenfold.{table} OWNER TO plain_owner")
        parts = urlsplit(database)
        plain = await Store.open(
            urlunsplit(parts._replace(netloc=f"plain_owner:{quote('p')}@{parts.netloc.split('@')[1]}"))
        )
        try:
            assert await PostgresIdempotencyRows(plain).tenants_in_flight(HOLDER) == [tenant_id]
        finally:
            await plain.aclose()
    finally:
        await owner.execute("REASSIGN OWNED BY plain_owner TO CURRENT_USER; DROP OWNED BY plain_owner")
        await owner.execute("DROP ROLE plain_owner")
        await owner.close()


async def test_a_database_that_is_away_says_so(store: Store) -> None:
    tenant_id = await a_tenant(store)
    await store.move_to("postgresql://nobody:x@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await PostgresIdempotencyRows(store).claim(claim_of(tenant_id), keep_s=HOUR_S)
