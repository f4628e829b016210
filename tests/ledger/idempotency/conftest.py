"""Idempotency keys at rest in both forms, and the two things a test does to them from outside."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.idempotency.fake import FakeIdempotencyRows
from tenfold.ledger.idempotency.ports import IdempotencyRows
from tenfold.ledger.idempotency.queries import PostgresIdempotencyRows
from tenfold.ledger.idempotency.types import Claim
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.store import Store
from tests.ledger.samples import add_tenant, receipt


@dataclass(frozen=True, kw_only=True)
class Keys:
    rows: IdempotencyRows
    tenants: tuple[TenantId, TenantId]
    let_pass: Callable[[float], Awaitable[None]]  # seconds
    add_receipt: Callable[[Claim], Awaitable[None]]
    add_free_receipt: Callable[[Claim], Awaitable[None]]  # of a call that no provider was asked for


@pytest.fixture(params=["fake", "postgres"])
def made_keys(request: pytest.FixtureRequest) -> Keys:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        return _fake(tenants)
    return _postgres(tenants, request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def keys(request: pytest.FixtureRequest, made_keys: Keys) -> Keys:
    if isinstance(made_keys.rows, PostgresIdempotencyRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in made_keys.tenants:
            await add_tenant(store, tenant_id)
    return made_keys


def _fake(tenants: tuple[TenantId, TenantId]) -> Keys:
    clock = FakeClock()
    rows = FakeIdempotencyRows(clock)

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds)

    async def add_receipt(claim: Claim) -> None:
        rows.receipts.add(claim.call_id)

    async def add_free_receipt(claim: Claim) -> None:
        """The fake knows those that a provider or money stands on."""

    return Keys(
        rows=rows, tenants=tenants, let_pass=let_pass, add_receipt=add_receipt, add_free_receipt=add_free_receipt
    )


def _postgres(tenants: tuple[TenantId, TenantId], store: Store, database: str) -> Keys:
    async def let_pass(seconds: float) -> None:
        owner = await asyncpg.connect(database)
        try:
            await owner.execute(
                "UPDATE tenfold.idempotency_keys SET expires_at = expires_at - make_interval(secs => $1)", seconds
            )
        finally:
            await owner.close()

    async def add_receipt(claim: Claim) -> None:
        made = receipt(claim.tenant_id, id=claim.call_id, at=claim.call_at)
        await PostgresReceiptRows(store).add(claim.tenant_id, [made])

    async def add_free_receipt(claim: Claim) -> None:
        made = receipt(
            claim.tenant_id,
            id=claim.call_id,
            at=claim.call_at,
            http_status=202,
            provider=None,
            model_used=None,
            usage=None,
            input_nano=0,
            output_nano=0,
            total_nano=0,
        )
        await PostgresReceiptRows(store).add(claim.tenant_id, [made])

    rows = PostgresIdempotencyRows(store)
    return Keys(
        rows=rows, tenants=tenants, let_pass=let_pass, add_receipt=add_receipt, add_free_receipt=add_free_receipt
    )
