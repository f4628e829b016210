"""The SQL of limits and weights at rest. Whoever writes tells every process in the same transaction."""

from uuid import UUID

from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import TenantId
from tenfold.limits.types import DEFAULT_WEIGHT, MAX_LIMITS, Limit, Owner, TenantLimits
from tenfold.store import Row, Store, tell_change

TOPIC = "limits"

_COUNT = "SELECT count(*) FROM limits WHERE tenant_id = $1"
_TENANT = "SELECT EXISTS (SELECT FROM tenants WHERE id = $1)"
_ADD = """
INSERT INTO limits (tenant_id, id, per, subject, measure, amount, window_s, burst, owner, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_PAGE = """
SELECT * FROM limits WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_FIND = "SELECT * FROM limits WHERE tenant_id = $1 AND id = $2"
_END = "DELETE FROM limits WHERE tenant_id = $1 AND id = $2 AND owner = ANY ($3) RETURNING id"
_SET_WEIGHT = """
INSERT INTO tenant_weights (tenant_id, weight) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET weight = excluded.weight
"""
_WEIGHT = "SELECT weight FROM tenant_weights WHERE tenant_id = $1"


class PostgresLimitRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, limit: Limit) -> None:
        assert limit.tenant_id is not None
        async with self._store.tenant(limit.tenant_id) as tx:
            if not await tx.fetchval(_TENANT, limit.tenant_id):
                raise NotFound("There is no such tenant.")
            if await tx.fetchval(_COUNT, limit.tenant_id) >= MAX_LIMITS:
                raise Conflict(f"A tenant has at most {MAX_LIMITS} limits.")
            await tx.execute(
                _ADD,
                limit.tenant_id,
                limit.id,
                limit.per,
                limit.subject,
                limit.measure,
                limit.amount,
                limit.window_s,
                limit.burst,
                limit.owner,
                limit.created_at,
            )
            await tell_change(tx, TOPIC, limit.tenant_id)

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Limit]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_limit(row) for row in await tx.fetch(_PAGE, tenant_id, before, limit)]

    async def find(self, tenant_id: TenantId, limit_id: UUID) -> Limit | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(_FIND, tenant_id, limit_id)
        return None if row is None else _limit(row)

    async def end(self, tenant_id: TenantId, limit_id: UUID, owners: frozenset[Owner]) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            ended = await tx.fetchval(_END, tenant_id, limit_id, sorted(owners)) is not None
            if ended:
                await tell_change(tx, TOPIC, tenant_id)
        return ended

    async def set_weight(self, tenant_id: TenantId, weight: int) -> None:
        async with self._store.tenant(tenant_id) as tx:
            if not await tx.fetchval(_TENANT, tenant_id):
                raise NotFound("There is no such tenant.")
            await tx.execute(_SET_WEIGHT, tenant_id, weight)
            await tell_change(tx, TOPIC, tenant_id)

    async def read(self, tenant_id: TenantId) -> TenantLimits:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(_PAGE, tenant_id, None, MAX_LIMITS)
            weight = await tx.fetchval(_WEIGHT, tenant_id)
        return TenantLimits(
            limits=tuple(_limit(row) for row in rows), weight=DEFAULT_WEIGHT if weight is None else weight
        )


def _limit(row: Row) -> Limit:
    return Limit(
        id=row["id"],
        tenant_id=TenantId(row["tenant_id"]),
        per=row["per"],
        subject=row["subject"],
        measure=row["measure"],
        amount=row["amount"],
        window_s=row["window_s"],
        burst=row["burst"],
        owner=row["owner"],
        created_at=row["created_at"],
    )
