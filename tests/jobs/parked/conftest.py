"""Parked calls at rest in both forms, and the one thing a test does to them from outside: let time pass."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.parked.fake import FakeParkedRows
from tenfold.jobs.parked.ports import ParkedRows
from tenfold.jobs.parked.queries import PostgresParkedRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant


@dataclass(frozen=True, kw_only=True)
class Parked:
    rows: ParkedRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(params=["fake", "postgres"])
def made_parked(request: pytest.FixtureRequest) -> Parked:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        return _fake(tenants)
    return _postgres(tenants, request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def parked(request: pytest.FixtureRequest, made_parked: Parked) -> Parked:
    if isinstance(made_parked.rows, PostgresParkedRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in made_parked.tenants:
            await add_tenant(store, tenant_id)
    return made_parked


def _fake(tenants: tuple[TenantId, TenantId]) -> Parked:
    clock = FakeClock()

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    return Parked(rows=FakeParkedRows(clock), tenants=tenants, let_pass=let_pass)


def _postgres(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Parked:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            await owner.execute(
                "UPDATE tenfold.parked_calls SET expires_at = expires_at - make_interval(secs => $1)", seconds
            )
        finally:
            await owner.close()

    return Parked(rows=PostgresParkedRows(store), tenants=tenants, let_pass=let_pass)
