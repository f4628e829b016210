"""The SQL of budget alerts that wait for delivery. They are written by `settlement`."""

from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.types import BudgetAlert
from tenfold.store import Row, Store

TENANTS = "SELECT tenant_id, mark FROM budget_alert_tenants ORDER BY tenant_id"
# What comes of a row that another process is claiming now is that process's business.
CLAIM = """
WITH due AS (
    SELECT a.id FROM budget_alerts a
    WHERE a.tenant_id = $1 AND a.delivered_at IS NULL AND a.due_at <= now()
    ORDER BY a.due_at, a.id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE budget_alerts a SET due_at = now() + make_interval(secs => $3)
FROM due, budgets b
WHERE a.tenant_id = $1 AND a.id = due.id AND b.tenant_id = $1 AND b.id = a.budget_id
RETURNING a.*, b.per, b.period, b.hard
"""
# A new alert writes a new mark: then the row stays.
CLEAR_TENANT = """
DELETE FROM budget_alert_tenants t
WHERE t.tenant_id = $1 AND t.mark = $2
  AND NOT EXISTS (SELECT FROM budget_alerts a WHERE a.tenant_id = $1 AND a.delivered_at IS NULL)
"""
DELIVERED = """
UPDATE budget_alerts SET delivered_at = now() WHERE tenant_id = $1 AND id = $2 AND delivered_at IS NULL
"""
PUT_OFF = """
UPDATE budget_alerts SET tries = tries + 1, due_at = now() + make_interval(secs => $3)
WHERE tenant_id = $1 AND id = $2 AND delivered_at IS NULL
"""
RECENT = """
SELECT a.*, b.per, b.period, b.hard FROM budget_alerts a JOIN budgets b ON b.tenant_id = $1 AND b.id = a.budget_id
WHERE a.tenant_id = $1 AND ($2::uuid IS NULL OR a.id < $2) ORDER BY a.id DESC LIMIT $3
"""


class PostgresAlertRows:
    """AlertRows: a unit of work for each tenant."""

    def __init__(self, store: Store) -> None:
        self._alerts_store = store

    async def claim(self, limit: int, for_s: float) -> list[BudgetAlert]:
        async with self._alerts_store.directory(readonly=True) as tx:
            tenants = await tx.fetch(TENANTS)
        claimed: list[BudgetAlert] = []
        for tenant in tenants:
            if len(claimed) == limit:
                break
            async with self._alerts_store.tenant(tenant["tenant_id"]) as tx:
                rows = await tx.fetch(CLAIM, tenant["tenant_id"], limit - len(claimed), for_s)
                if not rows:
                    await tx.execute(CLEAR_TENANT, tenant["tenant_id"], tenant["mark"])
            claimed += sorted((_alert(row) for row in rows), key=lambda alert: (alert.at, alert.id))
        return claimed

    async def delivered(self, alert: BudgetAlert) -> None:
        async with self._alerts_store.tenant(alert.tenant_id) as tx:
            await tx.execute(DELIVERED, alert.tenant_id, alert.id)

    async def put_off(self, alert: BudgetAlert, for_s: float) -> None:
        async with self._alerts_store.tenant(alert.tenant_id) as tx:
            await tx.execute(PUT_OFF, alert.tenant_id, alert.id, for_s)

    async def alerts(self, tenant_id: TenantId, *, before: UUID | None = None, limit: int) -> list[BudgetAlert]:
        async with self._alerts_store.tenant(tenant_id, readonly=True) as tx:
            return [_alert(row) for row in await tx.fetch(RECENT, tenant_id, before, limit)]


def _alert(row: Row) -> BudgetAlert:
    return BudgetAlert(
        id=row["id"],
        tenant_id=row["tenant_id"],
        budget_id=row["budget_id"],
        per=row["per"],
        subject=row["subject"],
        period=row["period"],
        period_start=row["period_start"],
        percent=row["percent"],
        limit_nano=row["limit_nano"],
        spent_nano=row["settled_nano"],
        hard=row["hard"],
        at=row["at"],
        tries=row["tries"],
        delivered=row["delivered_at"] is not None,
    )
