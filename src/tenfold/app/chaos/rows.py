"""The SQL of the audit: everything the ledger holds, of all tenants, read as the owner of the database. Nothing is
changed, and nothing of the product's own queries is used: they are what is audited."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from msgspec import Struct

from tenfold.app.chaos.audit import LedgerBudget, LedgerReceipt
from tenfold.store.connect import Connection, connect
from tenfold.store.errors import translated

_TIMEOUT_S = 60.0

_ADJUSTED = """
SELECT tenant_id, receipt_id, sum(total_nano)::bigint AS nano FROM adjustments GROUP BY tenant_id, receipt_id
"""

RECEIPTS = f"""
SELECT r.id, t.slug, r.at, r.task, r.total_nano, r.estimated, r.draft,
       coalesce(a.nano, 0) AS adjusted_nano, a.receipt_id IS NOT NULL AS corrected
FROM receipts r
JOIN tenants t ON t.id = r.tenant_id
LEFT JOIN ({_ADJUSTED}) a ON a.tenant_id = r.tenant_id AND a.receipt_id = r.id
ORDER BY r.at, r.id
"""  # noqa: S608  (the text is that above)

# Held: by the leases themselves, not by the sums of their period. Counted: what the receipts that name a lease of the
# period say, corrections included.
BUDGETS = f"""
WITH held AS (
    SELECT tenant_id, budget_id, subject, period_start, sum(granted_nano - settled_nano - charged_nano)::bigint AS held,
           sum(charged_nano)::bigint AS charged
    FROM budget_leases GROUP BY 1, 2, 3, 4
), counted AS (
    SELECT l.tenant_id, l.budget_id, l.subject, l.period_start,
           sum(coalesce(r.total_nano, 0) + coalesce(a.nano, 0))::bigint AS counted
    FROM receipts r
    CROSS JOIN LATERAL unnest(r.leases) AS of_receipt (lease_id)
    JOIN budget_leases l ON l.tenant_id = r.tenant_id AND l.id = of_receipt.lease_id
    LEFT JOIN ({_ADJUSTED}) a ON a.tenant_id = r.tenant_id AND a.receipt_id = r.id
    GROUP BY 1, 2, 3, 4
)
SELECT t.slug, b.per, p.subject, b.period, p.period_start, b.hard, b.limit_nano,
       p.reserved_nano, p.settled_nano, p.released_nano,
       coalesce(h.held, 0) AS held_nano, coalesce(h.charged, 0) AS charged_nano, coalesce(c.counted, 0) AS counted_nano
FROM budget_periods p
JOIN budgets b ON b.tenant_id = p.tenant_id AND b.id = p.budget_id
JOIN tenants t ON t.id = p.tenant_id
LEFT JOIN held h ON (h.tenant_id, h.budget_id, h.subject, h.period_start)
    = (p.tenant_id, p.budget_id, p.subject, p.period_start)
LEFT JOIN counted c ON (c.tenant_id, c.budget_id, c.subject, c.period_start)
    = (p.tenant_id, p.budget_id, p.subject, p.period_start)
ORDER BY t.slug, b.id, p.subject, p.period_start
"""  # noqa: S608  (the text is that above)

KEYS_IN_FLIGHT = """
SELECT t.slug, encode(k.key, 'hex') AS key, k.call_id FROM idempotency_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.state = 'in_flight' ORDER BY t.slug, k.key
"""

RECEIPT_IDS = "SELECT id FROM receipts"

UNCORRECTED = f"""
SELECT count(*) FROM receipts r LEFT JOIN ({_ADJUSTED}) a ON a.tenant_id = r.tenant_id AND a.receipt_id = r.id
WHERE r.estimated AND a.receipt_id IS NULL
"""  # noqa: S608  (the text is that above)

# Leases of holders that do not live any more. A living one gives its idle money back when it stops, at the latest.
LEASES_OF_THE_DEAD = """
SELECT count(*) FROM budget_leases l WHERE (l.closed_at IS NULL OR l.charged_nano > 0)
AND NOT EXISTS (SELECT FROM members m WHERE m.id = l.holder AND m.seen_at > now() - interval '10 seconds')
"""


class Ledger(Struct, frozen=True, kw_only=True):
    receipts: list[LedgerReceipt]
    budgets: list[LedgerBudget]
    keys_in_flight: list[str]


async def read_ledger(dsn: str) -> Ledger:
    """Everything, once nobody writes any more. Raises StoreUnavailable."""
    async with _reading(dsn) as connection:
        receipts = [
            LedgerReceipt(
                id=row["id"],
                tenant=row["slug"],
                at=row["at"],
                task=row["task"],
                total_nano=row["total_nano"],
                adjusted_nano=row["adjusted_nano"],
                estimated=row["estimated"],
                corrected=row["corrected"],
                draft=row["draft"],
            )
            for row in await connection.fetch(RECEIPTS)
        ]
        budgets = [
            LedgerBudget(
                name=f"{row['slug']}/{row['per']}:{row['subject']}/{row['period']} from {row['period_start']:%Y-%m-%d}",
                hard=row["hard"],
                limit_nano=row["limit_nano"],
                reserved_nano=row["reserved_nano"],
                settled_nano=row["settled_nano"],
                released_nano=row["released_nano"],
                held_nano=row["held_nano"],
                charged_nano=row["charged_nano"],
                counted_nano=row["counted_nano"],
            )
            for row in await connection.fetch(BUDGETS)
        ]
        keys = [
            f"{row['slug']}: {row['key']} of req_{row['call_id'].hex}" for row in await connection.fetch(KEYS_IN_FLIGHT)
        ]
    return Ledger(receipts=receipts, budgets=budgets, keys_in_flight=keys)


async def unfinished(dsn: str, served: Collection[UUID]) -> dict[str, int]:
    """How much of what is not there yet; `served`: the calls that reached the provider. Raises StoreUnavailable."""
    async with _reading(dsn) as connection:
        known = {row["id"] for row in await connection.fetch(RECEIPT_IDS)}
        return {
            "receipts": len(set(served) - known),
            "corrections": await connection.fetchval(UNCORRECTED),
            "leases of dead processes": await connection.fetchval(LEASES_OF_THE_DEAD),
            "idempotency keys": len(await connection.fetch(KEYS_IN_FLIGHT)),
        }


@asynccontextmanager
async def _reading(dsn: str) -> AsyncIterator[Connection]:
    """One moment of the database."""
    with translated():
        connection = await connect(dsn, role=None, connect_timeout_s=5.0, statement_timeout_s=_TIMEOUT_S)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close()
