"""Of all processes that look at a week, one is the first to note it."""

import asyncio
from datetime import date

import pytest

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.reports.drift_checks import DriftChecks, FakeDriftChecks, PostgresDriftChecks
from tenfold.store import Store

WEEK, NEXT = date(2026, 11, 16), date(2026, 11, 23)


@pytest.fixture(params=["fake", "postgres"])
def checks(request: pytest.FixtureRequest, store: Store) -> DriftChecks:
    return FakeDriftChecks() if request.param == "fake" else PostgresDriftChecks(store)


@pytest.fixture
async def tenants(store: Store) -> list[TenantId]:
    admin = Tenants(PostgresAccessRows(store), SystemClock())
    return [(await admin.create_tenant(slug, slug)).id for slug in ("acme", "other")]


async def test_one_is_the_first(checks: DriftChecks, tenants: list[TenantId]) -> None:
    acme, other = tenants
    assert not await checks.known(acme, WEEK)
    firsts = await asyncio.gather(*(checks.note(acme, WEEK, 1) for _ in range(5)))
    assert sorted(firsts) == [False] * 4 + [True]
    assert await checks.known(acme, WEEK)
    assert not await checks.known(acme, NEXT)
    assert not await checks.known(other, WEEK)
    assert await checks.note(acme, NEXT, 0)
    assert await checks.note(other, WEEK, 0)


async def test_a_tenant_that_is_not_there_has_no_week(checks: DriftChecks) -> None:
    assert not await checks.known(TenantId(uuid7()), WEEK)
