"""What the audit reads of a real database: every receipt, correction, budget and key, of all tenants."""

from datetime import UTC, datetime
from uuid import UUID

from tenfold.app.chaos import rows
from tenfold.core.ids import uuid7
from tenfold.store.connect import connect

AT = datetime.now(UTC)
"""Of today: receipts have partitions for the days around it."""

_RECEIPT = """
INSERT INTO receipts (tenant_id, at, id, operation, client_dialect, model_asked, status, http_status, stream, cache,
                      latency_ms, estimated, total_nano, task, leases, draft)
VALUES ($1, $2, $3, 'chat', 'openai', 'm', 'ok', 200, false, 'miss', 1, $4, $5, 'op-1', $6, $7)
"""
_ADJUSTMENT = """
INSERT INTO adjustments (tenant_id, receipt_at, receipt_id, source, flagged, input_tokens, output_tokens,
                         cache_read_tokens, cache_write_tokens, reasoning_tokens, input_nano, output_nano, total_nano)
VALUES ($1, $2, $3, $4, false, 0, 0, 0, 0, 0, 0, $5, $5)
"""
_LEASE = """
INSERT INTO budget_leases (tenant_id, id, budget_id, subject, period_start, holder, granted_nano, settled_nano)
VALUES ($1, $2, $3, '', $4, $5, 70, 40)
"""
_KEY = """
INSERT INTO idempotency_keys (tenant_id, key, request_hash, call_id, call_at, holder, expires_at)
VALUES ($1, $2, $2, $3, $4, $3, $4)
"""


async def test_the_ledger_is_read_as_it_is(database: str) -> None:
    tenants, (first, second), lease, budget = (uuid7(), uuid7()), (uuid7(), uuid7()), uuid7(), uuid7()
    assert await rows.unfinished(database, {first}) == {
        "receipts": 1,
        "corrections": 0,
        "leases of dead processes": 0,
        "idempotency keys": 0,
    }
    connection = await connect(database, role=None, connect_timeout_s=5, statement_timeout_s=5)
    try:
        for tenant, slug in zip(tenants, ("acme", "other"), strict=True):
            await connection.execute("INSERT INTO tenants VALUES ($1, $2, $2, 'main', $3)", tenant, slug, AT)
        acme, other = tenants
        await connection.execute(
            "INSERT INTO budgets VALUES ($1, $2, 'tenant', NULL, 'day', 500, true, '{}', 'tenant', $3)",
            acme,
            budget,
            AT,
        )
        await connection.execute("INSERT INTO budget_periods VALUES ($1, $2, '', $3, 90, 40, 20)", acme, budget, AT)
        await connection.execute(_LEASE, acme, lease, budget, AT, uuid7())
        await connection.execute(_RECEIPT, acme, AT, first, True, 60, [lease], True)
        await connection.execute(_RECEIPT, other, AT, second, False, None, None, False)
        await connection.execute(_ADJUSTMENT, acme, AT, first, "provider", -25)
        await connection.execute(_ADJUSTMENT, acme, AT, first, "person", 5)
        await connection.execute(_KEY, other, bytes(32), second, AT)
    finally:
        await connection.close()

    ledger = await rows.read_ledger(database)
    one, two = sorted(ledger.receipts, key=lambda receipt: receipt.tenant)
    assert (one.id, one.tenant, one.task, one.at) == (first, "acme", "op-1", AT)
    assert (one.total_nano, one.adjusted_nano, one.counts_nano) == (60, -20, 40)
    assert (one.estimated, one.corrected, one.draft) == (True, True, True)
    assert (two.id, two.tenant, two.total_nano, two.counts_nano) == (second, "other", None, 0)
    assert (two.estimated, two.corrected, two.draft) == (False, False, False)
    [held] = ledger.budgets
    assert held.name == f"acme/tenant:/day from {AT:%Y-%m-%d}"
    assert (held.limit_nano, held.hard) == (500, True)
    assert (held.reserved_nano, held.settled_nano, held.released_nano) == (90, 40, 20)
    assert (held.held_nano, held.charged_nano, held.counted_nano) == (30, 0, 40)
    assert ledger.keys_in_flight == [f"other: {'00' * 32} of req_{second.hex}"]
    assert await rows.unfinished(database, {first, second}) == {
        "receipts": 0,
        "corrections": 0,
        "leases of dead processes": 1,
        "idempotency keys": 1,
    }
    assert (await rows.unfinished(database, {UUID(int=1)}))["receipts"] == 1
