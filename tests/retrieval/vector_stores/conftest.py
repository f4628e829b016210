"""Vector stores at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.vector_stores.fake import FakeVectorStoreRows
from tenfold.retrieval.vector_stores.ports import VectorStoreRows
from tenfold.retrieval.vector_stores.queries import PostgresVectorStoreRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant

_LET_PASS = """
UPDATE tenfold.vector_stores SET last_active_at = last_active_at - make_interval(secs => $1),
    expires_at = expires_at - make_interval(secs => $1) WHERE tenant_id = ANY ($2::uuid[])
"""
_LET_FILES_PASS = """
UPDATE tenfold.vector_store_files SET changed_at = changed_at - make_interval(secs => $1)
WHERE tenant_id = ANY ($2::uuid[])
"""


@dataclass(frozen=True, kw_only=True)
class Shelves:
    rows: VectorStoreRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture
async def shared_store(module_database: str) -> AsyncIterator[Store]:
    """One database for the tests of a module, each of which has tenants of its own."""
    store = await Store.open(module_database, max_size=5)
    yield store
    await store.aclose()


@pytest.fixture(params=["fake", "postgres"])
def made_shelves(request: pytest.FixtureRequest) -> Shelves:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        return _fake(tenants)
    return _postgres(tenants, request.getfixturevalue("shared_store"), request.getfixturevalue("module_database"))


@pytest.fixture
async def shelves(request: pytest.FixtureRequest, made_shelves: Shelves) -> Shelves:
    if isinstance(made_shelves.rows, PostgresVectorStoreRows):
        store: Store = request.getfixturevalue("shared_store")
        for tenant_id in made_shelves.tenants:
            await add_tenant(store, tenant_id)
    return made_shelves


def _fake(tenants: tuple[TenantId, TenantId]) -> Shelves:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return Shelves(rows=FakeVectorStoreRows(clock), tenants=tenants, let_pass=let_pass)


def _postgres(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Shelves:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            for statement in (_LET_PASS, _LET_FILES_PASS):
                await owner.execute(statement, seconds, list(tenants))
        finally:
            await owner.close()

    return Shelves(rows=PostgresVectorStoreRows(store), tenants=tenants, let_pass=let_pass)
