"""Files at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.files.fake import FakeFileRows
from tenfold.inference.files.ports import FileRows
from tenfold.inference.files.queries import PostgresFileRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant


@dataclass(frozen=True, kw_only=True)
class Shelf:
    rows: FileRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(params=["fake", "postgres"])
def made_shelf(request: pytest.FixtureRequest) -> Shelf:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        return _fake(tenants)
    return _postgres(tenants, request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, made_shelf: Shelf) -> Shelf:
    if isinstance(made_shelf.rows, PostgresFileRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in made_shelf.tenants:
            await add_tenant(store, tenant_id)
    return made_shelf


def _fake(tenants: tuple[TenantId, TenantId]) -> Shelf:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return Shelf(rows=FakeFileRows(clock), tenants=tenants, let_pass=let_pass)


def _postgres(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Shelf:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            await owner.execute("UPDATE tenfold.files SET expires_at = expires_at - make_interval(secs => $1)", seconds)
        finally:
            await owner.close()

    return Shelf(rows=PostgresFileRows(store), tenants=tenants, let_pass=let_pass)
