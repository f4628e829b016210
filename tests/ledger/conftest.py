"""What the tests of the ledger share: the price book, and receipts at rest in both forms."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.write_batch import WriteBatch
from tenfold.ledger.fake import FakeReceiptRows
from tenfold.ledger.journal import Journal
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.store import Store

from .samples import add_tenant

NOON = datetime(2026, 8, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return PriceBook.load()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
async def batch() -> WriteBatch:
    return WriteBatch(asyncio.get_running_loop())


@pytest.fixture
async def make_journal(tmp_path: Path, batch: WriteBatch, clock: FakeClock) -> AsyncIterator[Callable[[], Journal]]:
    """Journals of new processes in `tmp_path / "receipts"`; those still open in the end are closed."""
    made: list[Journal] = []

    def make() -> Journal:
        made.append(Journal.open(tmp_path / "receipts", uuid7(), batch, clock))
        return made[-1]

    yield make
    for journal in made:
        if journal.is_open:
            journal.close()


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> ReceiptRows:
    if request.param == "fake":
        return FakeReceiptRows()
    return PostgresReceiptRows(request.getfixturevalue("store"))


@pytest.fixture
async def tenants(request: pytest.FixtureRequest, rows: ReceiptRows) -> tuple[TenantId, TenantId]:
    both = TenantId(uuid7()), TenantId(uuid7())
    if isinstance(rows, PostgresReceiptRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in both:
            await add_tenant(store, tenant_id)
    return both
