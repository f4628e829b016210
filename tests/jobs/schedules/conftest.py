"""Schedules at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.schedules.fake import FakeScheduleRows
from tenfold.jobs.schedules.ports import ScheduleRows
from tenfold.jobs.schedules.queries import PostgresScheduleRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant


@dataclass(frozen=True, kw_only=True)
class Rows:
    rows: ScheduleRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds, as far as what is due is concerned


@pytest.fixture(params=["fake", "postgres"])
def made_rows(request: pytest.FixtureRequest) -> Rows:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        clock = FakeClock()

        async def let_pass(seconds: float) -> None:
            clock.advance(seconds)

        return Rows(rows=FakeScheduleRows(clock), tenants=tenants, let_pass=let_pass)
    return _postgres(tenants, request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def rows(request: pytest.FixtureRequest, made_rows: Rows) -> Rows:
    if isinstance(made_rows.rows, PostgresScheduleRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in made_rows.tenants:
            await add_tenant(store, tenant_id)
    return made_rows


def _postgres(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Rows:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            await owner.execute("UPDATE tenfold.schedule_due SET due_at = due_at - make_interval(secs => $1)", seconds)
        finally:
            await owner.close()

    return Rows(rows=PostgresScheduleRows(store), tenants=tenants, let_pass=let_pass)
