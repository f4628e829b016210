"""Support tickets at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import Awaitable, Callable
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


@dataclass(frozen=True, kw_only=True)
class Shelf:
    rows: TicketRows
    tenant: TenantId
    other: TenantId
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(params=["fake", "postgres"])
def made_shelf(request: pytest.FixtureRequest) -> Shelf:
    if request.param == "fake":
        clock = FakeClock()

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        return _shelf(FakeTicketRows(clock), advance)
    database: str = request.getfixturevalue("database")

    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            moved = "updated_at = updated_at - make_interval(secs => $1)"
            await owner.execute(f"UPDATE tenfold.support_tickets SET {moved}", seconds)
        finally:
            await owner.close()

    return _shelf(PostgresTicketRows(request.getfixturevalue("store")), let_pass)


@pytest.fixture
async def shelf(request: pytest.FixtureRequest, made_shelf: Shelf) -> Shelf:
    if isinstance(made_shelf.rows, PostgresTicketRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in (made_shelf.tenant, made_shelf.other):
            await add_tenant(store, tenant_id)
    return made_shelf


def _shelf(rows: TicketRows, let_pass: Callable[[float], Awaitable[None]]) -> Shelf:
    return Shelf(rows=rows, tenant=TenantId(uuid7()), other=TenantId(uuid7()), let_pass=let_pass)
