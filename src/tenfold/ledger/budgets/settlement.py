"""What receipts and their corrections do to budgets, inside the transaction that writes them. Also how sums are loaded
under lock and stored again, which every writer of budgets shares.

Locks: the rows of periods, in the order of their keys, before anything else of budgets; so no two writers wait for
each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets import rules
from tenfold.ledger.budgets.rules import LeaseSums, PeriodSums
from tenfold.ledger.types import Receipt
from tenfold.store import Row, Transaction

PeriodKey = tuple[UUID, str, datetime]  # budget, subject, start

# LockRows is the last step of the plan, after the sort: locks are taken in the order of the keys.
_LOCK_PERIODS = """
SELECT p.budget_id, p.subject, p.period_start, p.reserved_nano, p.settled_nano, p.released_nano, b.limit_nano, b.alerts
FROM budget_periods p JOIN budgets b ON b.tenant_id = $1 AND b.id = p.budget_id
WHERE p.tenant_id = $1 AND (p.budget_id, p.subject, p.period_start) IN (
    SELECT l.budget_id, l.subject, l.period_start FROM budget_leases l WHERE l.tenant_id = $1 AND l.id = ANY ($2))
ORDER BY p.budget_id, p.subject, p.period_start
FOR NO KEY UPDATE OF p
"""
# A statement of its own: it sees what was committed while the locks were waited for.
_READ_LEASES = "SELECT * FROM budget_leases WHERE tenant_id = $1 AND id = ANY ($2)"
_STORE = """
WITH periods AS (
    UPDATE budget_periods p
    SET reserved_nano = n.reserved, settled_nano = n.settled, released_nano = n.released
    FROM jsonb_to_recordset($2::jsonb) AS n (budget_id uuid, subject text, period_start timestamptz,
                                             reserved bigint, settled bigint, released bigint)
    WHERE p.tenant_id = $1 AND p.budget_id = n.budget_id AND p.subject = n.subject AND p.period_start = n.period_start
)
UPDATE budget_leases l
SET granted_nano = n.granted, settled_nano = n.settled, charged_nano = n.charged,
    closed_at = CASE WHEN n.closed THEN coalesce(l.closed_at, now()) END
FROM jsonb_to_recordset($3::jsonb) AS n (id uuid, granted bigint, settled bigint, charged bigint, closed boolean)
WHERE l.tenant_id = $1 AND l.id = n.id
"""
_ADD_ALERTS = """
WITH added AS (
    INSERT INTO budget_alerts (tenant_id, id, budget_id, subject, period_start, percent, settled_nano, limit_nano)
    SELECT $1, n.id, n.budget_id, n.subject, n.period_start, n.percent, n.settled, n.limit_nano
    FROM jsonb_to_recordset($2::jsonb) AS n (id uuid, budget_id uuid, subject text, period_start timestamptz,
                                             percent smallint, settled bigint, limit_nano bigint)
    ON CONFLICT (tenant_id, budget_id, subject, period_start, percent) DO NOTHING
    RETURNING 1
)
INSERT INTO budget_alert_tenants (tenant_id, mark) SELECT $1, $3 WHERE EXISTS (SELECT FROM added)
ON CONFLICT (tenant_id) DO UPDATE SET mark = excluded.mark
"""


@dataclass(slots=True)
class Locked:
    """Periods and leases of one tenant as they are, the periods locked until the transaction ends."""

    periods: dict[PeriodKey, PeriodSums]
    leases: dict[UUID, LeaseSums]
    rows: dict[UUID, Row]  # the leases' own
    terms: dict[PeriodKey, tuple[int, Sequence[int]]]  # limit, alerts

    def of(self, lease_id: UUID) -> tuple[PeriodSums, LeaseSums]:
        return self.periods[key_of(self.rows[lease_id])], self.leases[lease_id]


def key_of(row: Row) -> PeriodKey:
    return row["budget_id"], row["subject"], row["period_start"]


def period_sums(row: Row) -> PeriodSums:
    return PeriodSums(reserved=row["reserved_nano"], settled=row["settled_nano"], released=row["released_nano"])


def lease_sums(row: Row) -> LeaseSums:
    return LeaseSums(
        granted=row["granted_nano"],
        settled=row["settled_nano"],
        charged=row["charged_nano"],
        closed=row["closed_at"] is not None,
    )


async def lock(tx: Transaction, tenant_id: TenantId, lease_ids: Iterable[UUID]) -> Locked:
    """Leases that do not exist are left out."""
    ids = list(lease_ids)
    periods = await tx.fetch(_LOCK_PERIODS, tenant_id, ids)
    leases = await tx.fetch(_READ_LEASES, tenant_id, ids)
    return Locked(
        periods={key_of(row): period_sums(row) for row in periods},
        leases={row["id"]: lease_sums(row) for row in leases},
        rows={row["id"]: row for row in leases},
        terms={key_of(row): (row["limit_nano"], row["alerts"]) for row in periods},
    )


async def store(
    tx: Transaction, tenant_id: TenantId, periods: dict[PeriodKey, PeriodSums], leases: dict[UUID, LeaseSums]
) -> None:
    period_values = [
        {
            **_key_value(key),
            "reserved": sums.reserved,
            "settled": sums.settled,
            "released": sums.released,
        }
        for key, sums in periods.items()
    ]
    lease_values = [
        {
            "id": lease_id,
            "granted": sums.granted,
            "settled": sums.settled,
            "charged": sums.charged,
            "closed": sums.closed,
        }
        for lease_id, sums in leases.items()
    ]
    await tx.execute(_STORE, tenant_id, period_values, lease_values)


def costs_of(receipts: Sequence[Receipt]) -> dict[UUID, int]:
    """What each lease is charged with; receipts that cost nothing, or nobody knows what, change none."""
    costs: dict[UUID, int] = {}
    for receipt in receipts:
        if receipt.total_nano:
            for lease_id in receipt.leases:
                costs[lease_id] = costs.get(lease_id, 0) + receipt.total_nano
    return costs


async def settle_receipts(tx: Transaction, tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
    """Charges each receipt to its leases. To be called with exactly the receipts that this transaction has inserted for
    the first time, so that a receipt written twice is charged once. No statement when none has a lease; three when
    some have, and one more when an alert's percentage is reached. Leases nobody knows are left out."""
    costs = costs_of(receipts)
    if not costs:
        return
    locked = await lock(tx, tenant_id, costs)
    if not locked.leases:
        return
    for lease_id in locked.leases:
        rules.settle(*locked.of(lease_id), costs[lease_id])
    await store(tx, tenant_id, locked.periods, locked.leases)
    await _add_alerts(tx, tenant_id, locked)


async def adjust_periods(tx: Transaction, tenant_id: TenantId, lease_ids: Sequence[UUID], delta_nano: int) -> None:
    """A receipt with these leases, settled before, costs so much more (or less) than it said. The leases may be
    closed. To be called once for each correction. A delta that would take back more than was ever settled violates a
    constraint."""
    if not delta_nano or not lease_ids:
        return
    locked = await lock(tx, tenant_id, lease_ids)
    for lease_id in locked.leases:
        rules.adjust(locked.of(lease_id)[0], delta_nano)
    if locked.leases:
        await store(tx, tenant_id, locked.periods, {})
        await _add_alerts(tx, tenant_id, locked)


async def _add_alerts(tx: Transaction, tenant_id: TenantId, locked: Locked) -> None:
    alerts = [
        {**_key_value(key), "id": uuid7(), "percent": percent, "settled": sums.settled, "limit_nano": limit}
        for key, sums in locked.periods.items()
        for limit, percents in [locked.terms[key]]
        for percent in rules.reached(percents, limit, sums.settled)
    ]
    if alerts:
        await tx.execute(_ADD_ALERTS, tenant_id, alerts, uuid4())


def _key_value(key: PeriodKey) -> dict[str, Any]:
    return {"budget_id": key[0], "subject": key[1], "period_start": key[2]}
