"""The SQL of budgets; what receipts do to them is in `settlement`. Each query names its tenant, but for those of the
directory tables."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets import rules
from tenfold.ledger.budgets.alert_queries import PostgresAlertRows
from tenfold.ledger.budgets.ports import FIRST, TOPIC
from tenfold.ledger.budgets.settlement import (
    adjust_periods,
    key_of,
    lease_sums,
    lock,
    period_sums,
    settle_receipts,
    store,
)
from tenfold.ledger.budgets.types import Budget, BudgetState, Grant, Lease, Return
from tenfold.store import Row, Store, Transaction, tell_change

__all__ = ["PostgresBudgetRows", "adjust_periods", "settle_receipts"]

ADD = """
INSERT INTO budgets (tenant_id, id, per, subject, period, limit_nano, hard, alerts, owner, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
"""
ACTIVE = "SELECT * FROM budgets WHERE tenant_id = $1 AND ended_at IS NULL ORDER BY created_at, id"
ONE = "SELECT * FROM budgets WHERE tenant_id = $1 AND id = $2"
LIST = "SELECT * FROM budgets WHERE tenant_id = $1 AND ended_at IS NULL AND id > $2 ORDER BY id LIMIT $3"
CHANGE = """
UPDATE budgets SET limit_nano = $3, hard = $4, alerts = $5
WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL RETURNING *
"""
END = "UPDATE budgets SET ended_at = now() WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL RETURNING *"

# `now_at`: every period begins and ends by this clock.
TERMS = """
SELECT limit_nano, hard, period, clock_timestamp() AS now_at
FROM budgets WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL
"""
LOCK_PERIOD = """
SELECT reserved_nano, settled_nano, released_nano, clock_timestamp() AS now_at FROM budget_periods
WHERE tenant_id = $1 AND budget_id = $2 AND subject = $3 AND period_start = $4 FOR NO KEY UPDATE
"""
ADD_PERIOD = """
INSERT INTO budget_periods (tenant_id, budget_id, subject, period_start) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
LEASE_OF = """
SELECT * FROM budget_leases
WHERE tenant_id = $1 AND budget_id = $2 AND subject = $3 AND period_start = $4 AND holder = $5
"""
ADD_LEASE = """
WITH known AS (
    INSERT INTO budget_holders (tenant_id, holder) VALUES ($1, $5) ON CONFLICT DO NOTHING
)
INSERT INTO budget_leases (tenant_id, budget_id, subject, period_start, holder, id) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *
"""
HELD_BY = "SELECT * FROM budget_leases WHERE tenant_id = $1 AND holder = $2 AND closed_at IS NULL ORDER BY id"
OPEN_IDS = """
SELECT id FROM budget_leases WHERE tenant_id = $1 AND holder = $2 AND (closed_at IS NULL OR charged_nano > 0)
"""
TENANTS_OF = "SELECT tenant_id FROM budget_holders WHERE holder = $1 ORDER BY tenant_id"
FORGET_HOLDER = "DELETE FROM budget_holders WHERE tenant_id = $1 AND holder = $2"

STATES = """
SELECT b.*, coalesce(p.subject, b.subject, '') AS whose, n.start AS period_start, clock_timestamp() AS now_at,
       coalesce(p.reserved_nano, 0) AS reserved_nano, coalesce(p.settled_nano, 0) AS settled_nano,
       coalesce(p.released_nano, 0) AS released_nano
FROM budgets b
CROSS JOIN LATERAL (SELECT CASE WHEN b.period = 'total' THEN 'epoch'::timestamptz
                                ELSE date_trunc(b.period, now(), 'UTC') END AS start) n
LEFT JOIN budget_periods p ON p.tenant_id = $1 AND p.budget_id = b.id AND p.period_start = n.start
WHERE b.tenant_id = $1 AND b.ended_at IS NULL AND ($5::uuid IS NULL OR b.id = $5)
  AND (p.subject IS NOT NULL OR b.subject IS NOT NULL OR b.per = 'tenant')
  AND (b.id, coalesce(p.subject, b.subject, '') COLLATE "C") > ($2, $3 COLLATE "C")
ORDER BY b.id, coalesce(p.subject, b.subject, '') COLLATE "C" LIMIT $4
"""


class PostgresBudgetRows(PostgresAlertRows):
    """BudgetRows: each call is one unit of work."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._store = store

    async def add(self, budget: Budget) -> None:
        async with self._store.tenant(budget.tenant_id) as tx:
            await tx.execute(
                ADD,
                budget.tenant_id,
                budget.id,
                budget.per,
                budget.subject,
                budget.period,
                budget.limit_nano,
                budget.hard,
                budget.alerts,
                budget.owner,
                budget.created_at,
            )
            await tell_change(tx, TOPIC, budget.tenant_id)

    async def active(self, tenant_id: TenantId) -> list[Budget]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_budget(row) for row in await tx.fetch(ACTIVE, tenant_id)]

    async def budget(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(ONE, tenant_id, budget_id)
        return None if row is None else _budget(row)

    async def budgets(self, tenant_id: TenantId, *, after: UUID = FIRST, limit: int) -> list[Budget]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_budget(row) for row in await tx.fetch(LIST, tenant_id, after, limit)]

    async def change(
        self, tenant_id: TenantId, budget_id: UUID, *, limit_nano: int, hard: bool, alerts: tuple[int, ...]
    ) -> Budget | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(CHANGE, tenant_id, budget_id, limit_nano, hard, alerts)
            await tell_change(tx, TOPIC, tenant_id)
        return None if row is None else _budget(row)

    async def end(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(END, tenant_id, budget_id)
            await tell_change(tx, TOPIC, tenant_id)
        return None if row is None else _budget(row)

    async def lease(
        self, tenant_id: TenantId, holder: UUID, budget_id: UUID, subject: str, *, wanted: int, at_least: int
    ) -> Grant | None:
        async with self._store.tenant(tenant_id) as tx:
            terms = await tx.fetchrow(TERMS, tenant_id, budget_id)
            if terms is None:
                return None
            start, end = rules.period_of(terms["period"], terms["now_at"])
            row = await _lock_period(tx, tenant_id, budget_id, subject, start)
            period = period_sums(row)
            held = await tx.fetchrow(LEASE_OF, tenant_id, budget_id, subject, start, holder)
            if held is None:
                held = await tx.fetchrow(ADD_LEASE, tenant_id, budget_id, subject, start, holder, uuid7())
            assert held is not None
            lease = lease_sums(held)
            amount = rules.grantable(terms["limit_nano"], terms["hard"], period, wanted=wanted, at_least=at_least)
            if amount or lease.closed:
                rules.take(period, lease, amount)
                await store(tx, tenant_id, {(budget_id, subject, start): period}, {held["id"]: lease})
        return Grant(
            lease=_lease(held, lease),
            amount_nano=amount,
            period_end=end,
            ends_in_s=None if end is None else (end - row["now_at"]).total_seconds(),
            hard=terms["hard"],
            settled_nano=period.settled,
            remaining_nano=rules.remaining(terms["limit_nano"], period),
        )

    async def give_back(self, tenant_id: TenantId, returns: Sequence[Return]) -> list[Lease]:
        async with self._store.tenant(tenant_id) as tx:
            locked = await lock(tx, tenant_id, [returned.lease_id for returned in returns])
            for returned in returns:
                if returned.lease_id in locked.leases:
                    period, lease = locked.of(returned.lease_id)
                    rules.give_back(period, lease, returned.amount_nano, done=returned.done)
            if locked.leases:
                await store(tx, tenant_id, locked.periods, locked.leases)
        return [_lease(locked.rows[lease_id], lease) for lease_id, lease in locked.leases.items()]

    async def held_by(self, tenant_id: TenantId, holder: UUID) -> list[Lease]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_lease(row, lease_sums(row)) for row in await tx.fetch(HELD_BY, tenant_id, holder)]

    async def tenants_of(self, holder: UUID) -> list[TenantId]:
        async with self._store.directory(readonly=True) as tx:
            return [TenantId(row["tenant_id"]) for row in await tx.fetch(TENANTS_OF, holder)]

    async def close(self, tenant_id: TenantId, holder: UUID) -> int:
        async with self._store.tenant(tenant_id) as tx:
            ids = [row["id"] for row in await tx.fetch(OPEN_IDS, tenant_id, holder)]
            locked = await lock(tx, tenant_id, ids)
            for lease_id in locked.leases:
                rules.close(*locked.of(lease_id))
            await store(tx, tenant_id, locked.periods, locked.leases)
            await tx.execute(FORGET_HOLDER, tenant_id, holder)
        return len(ids)

    async def charge(self, tenant_id: TenantId, holder: UUID) -> int:
        async with self._store.tenant(tenant_id) as tx:
            ids = [row["id"] for row in await tx.fetch(HELD_BY, tenant_id, holder)]
            locked = await lock(tx, tenant_id, ids)
            for lease_id in locked.leases:
                rules.charge(*locked.of(lease_id))
            await store(tx, tenant_id, locked.periods, locked.leases)
        return len(ids)

    async def states(
        self, tenant_id: TenantId, *, after: tuple[UUID, str] = (FIRST, ""), limit: int, budget_id: UUID | None = None
    ) -> list[BudgetState]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(STATES, tenant_id, *after, limit, budget_id)
        return [_state(row) for row in rows]


async def _lock_period(tx: Transaction, tenant_id: TenantId, budget_id: UUID, subject: str, start: datetime) -> Row:
    """The row, made when it is the first of its period."""
    row = await tx.fetchrow(LOCK_PERIOD, tenant_id, budget_id, subject, start)
    if row is None:
        await tx.execute(ADD_PERIOD, tenant_id, budget_id, subject, start)
        row = await tx.fetchrow(LOCK_PERIOD, tenant_id, budget_id, subject, start)
    assert row is not None
    return row


def _budget(row: Row) -> Budget:
    return Budget(
        id=row["id"],
        tenant_id=row["tenant_id"],
        per=row["per"],
        subject=row["subject"],
        period=row["period"],
        limit_nano=row["limit_nano"],
        hard=row["hard"],
        alerts=tuple(row["alerts"]),
        owner=row["owner"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )


def _lease(row: Row, sums: rules.LeaseSums) -> Lease:
    budget_id, subject, start = key_of(row)
    return Lease(
        id=row["id"],
        tenant_id=row["tenant_id"],
        budget_id=budget_id,
        subject=subject,
        period_start=start,
        holder=row["holder"],
        granted_nano=sums.granted,
        settled_nano=sums.settled,
        charged_nano=sums.charged,
        closed=sums.closed,
    )


def _state(row: Row) -> BudgetState:
    start, end = rules.period_of(row["period"], row["now_at"])
    return BudgetState(
        budget=_budget(row),
        subject=row["whose"],
        period_start=start,
        period_end=end,
        reserved_nano=row["reserved_nano"],
        settled_nano=row["settled_nano"],
        released_nano=row["released_nano"],
    )
