"""Budgets at rest in both forms, and what tests of them share."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.ports import BudgetRows
from tenfold.ledger.budgets.queries import PostgresBudgetRows, adjust_periods, settle_receipts
from tenfold.ledger.budgets.types import Budget
from tenfold.store import Store
from tests.ledger.samples import add_tenant, receipt

NOON = datetime(2026, 8, 15, 12, tzinfo=UTC)


class Book:
    """The rows of one kind, and the receipts that reach them."""

    def __init__(self, rows: BudgetRows, store: Store | None) -> None:
        self.rows = rows
        self.store = store

    async def new_tenant(self) -> TenantId:
        tenant_id = TenantId(uuid7())
        if self.store is not None:
            await add_tenant(self.store, tenant_id)
        return tenant_id

    async def settle(self, tenant_id: TenantId, *costs: tuple[Sequence[UUID], int | None]) -> None:
        """A receipt for each (leases, cost), in one batch."""
        receipts = [receipt(tenant_id, leases=tuple(leases), total_nano=cost) for leases, cost in costs]
        if self.store is None:
            assert isinstance(self.rows, FakeBudgetRows)
            self.rows.settle_receipts(tenant_id, receipts)
            return
        async with self.store.tenant(tenant_id) as tx:
            await settle_receipts(tx, tenant_id, receipts)

    async def adjust(self, tenant_id: TenantId, leases: Sequence[UUID], delta: int) -> None:
        if self.store is None:
            assert isinstance(self.rows, FakeBudgetRows)
            self.rows.adjust_periods(tenant_id, leases, delta)
            return
        async with self.store.tenant(tenant_id) as tx:
            await adjust_periods(tx, tenant_id, leases, delta)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture(params=["fake", "postgres"])
def book(request: pytest.FixtureRequest, clock: FakeClock) -> Book:
    if request.param == "fake":
        return Book(FakeBudgetRows(clock), None)
    store = request.getfixturevalue("store")
    return Book(PostgresBudgetRows(store), store)


@pytest.fixture
async def tenant_id(book: Book) -> TenantId:
    return await book.new_tenant()


def budget(tenant_id: TenantId, limit_nano: int = 1_000, **facts: Any) -> Budget:
    defaults: dict[str, Any] = {"id": uuid7(), "per": "tenant", "period": "day", "created_at": NOON}
    return Budget(tenant_id=tenant_id, limit_nano=limit_nano, **{**defaults, **facts})
