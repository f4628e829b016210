"""Support tickets at rest in both forms, and the one thing a test does to them from outside: let time pass."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.assistant.tickets.fake import FakeTicketRows
from tenfold.assistant.tickets.ports import TicketRows
from tenfold.assistant.tickets.queries import PostgresTicketRows
from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store
from tests.ledger.samples import add_tenant
from tests.support.postgres import PostgresServer


@dataclass(frozen=True, kw_only=True)
class Shelf:
    rows: TicketRows
    tenant: TenantId
    other: TenantId
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(scope="module")
def kept_database(postgres_server: PostgresServer) -> Iterator[str]:
    """One for all tests of a module: each has tenants of its own."""
    dsn = asyncio.run(postgres_server.create())
    yield dsn
    asyncio.run(postgres_server.drop(dsn))


@pytest.fixture(params=["fake", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """None: in memory."""
    return None if request.param == "fake" else request.getfixturevalue("kept_database")


@pytest.fixture
async def shelf(dsn: str | None) -> AsyncIterator[Shelf]:
    if dsn is None:
        clock = FakeClock()

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        yield _shelf(FakeTicketRows(clock), advance)
        return

    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(dsn)
        try:
            moved = "updated_at = updated_at - make_interval(secs => $1)"
            await owner.execute(f"UPDATE tenfold.support_tickets SET {moved}", seconds)
        finally:
            await owner.close()

    store = await Store.open(dsn, max_size=2)
    shelf = _shelf(PostgresTicketRows(store), let_pass)
    for tenant_id in (shelf.tenant, shelf.other):
        await add_tenant(store, tenant_id)
    yield shelf
    await store.aclose()


def _shelf(rows: TicketRows, let_pass: Callable[[float], Awaitable[None]]) -> Shelf:
    return Shelf(rows=rows, tenant=TenantId(uuid7()), other=TenantId(uuid7()), let_pass=let_pass)
