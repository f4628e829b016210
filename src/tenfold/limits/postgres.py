"""Buckets as rows of Postgres: one UPDATE a block, under the lock of the row and by the clock of the database.

The rules are those of `gcra`, in the arithmetic of `numeric`, which is exact.
"""

from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.limits.gcra import SHARE, Rate
from tenfold.limits.ports import Grant, Slots
from tenfold.store import Row, Store, Transaction

# A statement that waited for the row sees it as it is when the lock comes: Postgres evaluates the new values again, the
# clock included. An UPDATE that grants nothing writes all the same, so that it can tell what it saw; refusals are
# remembered by those who ask.
_NOW_NS = "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint"
_DRAINED = f"""
    SELECT seen.now_ns, greatest(0, b.backlog - greatest(0, seen.now_ns - b.at_ns) * $3::numeric) AS backlog
    FROM (SELECT {_NOW_NS} AS now_ns) AS seen
"""  # noqa: S608  (constants)
_NEW_STATE = """
    SELECT next.backlog, next.now_ns, next.units, next.now_ns + ceil(next.backlog / $3::numeric)::bigint
"""
_TAKE = f"""
UPDATE limit_buckets AS b SET (backlog, at_ns, granted, empty_ns) = (
    {_NEW_STATE}
    FROM (
        SELECT given.now_ns, given.units, given.backlog + given.units * $4::numeric AS backlog
        FROM (
            SELECT free.now_ns, free.backlog, CASE
                WHEN free.units >= $7 THEN greatest($7::numeric, least($6::numeric, div(free.units, {SHARE})))::bigint
                ELSE 0 END AS units
            FROM (
                SELECT now_ns, backlog, floor(($5::numeric * $4::numeric - backlog) / $4::numeric) AS units
                FROM ({_DRAINED}) AS drained
            ) AS free
        ) AS given
    ) AS next
)
WHERE tenant_id = $1 AND bucket = $2
RETURNING granted, backlog
"""  # noqa: S608
_GIVE_BACK = f"""
UPDATE limit_buckets AS b SET (backlog, at_ns, granted, empty_ns) = (
    {_NEW_STATE}
    FROM (
        SELECT now_ns, 0 AS units, greatest(0, backlog - $5::numeric * $4::numeric) AS backlog
        FROM ({_DRAINED}) AS drained
    ) AS next
)
WHERE tenant_id = $1 AND bucket = $2
RETURNING granted, backlog
"""  # noqa: S608
_ADD = "INSERT INTO limit_buckets (tenant_id, bucket) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_LOCK = "SELECT 1 FROM limit_buckets WHERE tenant_id = $1 AND bucket = $2 FOR UPDATE"
_OTHERS = """
SELECT coalesce(sum(held), 0)::bigint FROM limit_slots
WHERE tenant_id = $1 AND bucket = $2 AND holder <> $3 AND until > clock_timestamp()
"""
_HOLD = """
INSERT INTO limit_slots (tenant_id, bucket, holder, held, until)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
ON CONFLICT (tenant_id, bucket, holder) DO UPDATE SET held = excluded.held, until = excluded.until
"""
_LET_GO = "DELETE FROM limit_slots WHERE tenant_id = $1 AND bucket = $2 AND holder = $3"
_SWEEP_SLOTS = "DELETE FROM limit_slots WHERE tenant_id = $1 AND until < clock_timestamp()"
# Rows that somebody is using right now are left to him.
_SWEEP = f"""
DELETE FROM limit_buckets WHERE tenant_id = $1 AND bucket IN (
    SELECT bucket FROM limit_buckets AS b WHERE tenant_id = $1 AND empty_ns < {_NOW_NS}
      AND NOT EXISTS (SELECT FROM limit_slots AS s WHERE s.tenant_id = $1 AND s.bucket = b.bucket)
    ORDER BY bucket FOR UPDATE SKIP LOCKED
)
"""  # noqa: S608


class PostgresBlocks:
    """A BlockStore over Postgres. Three round trips a block, the unit of work included."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
        async with self._store.tenant(tenant_id) as tx:
            row = await _on_row(tx, _TAKE, tenant_id, bucket, rate.amount, rate.window_ns, rate.burst, wanted, at_least)
        return Grant(row["granted"], int(row["backlog"]))

    async def give_back(self, tenant_id: TenantId, bucket: str, rate: Rate, units: int) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await _on_row(tx, _GIVE_BACK, tenant_id, bucket, rate.amount, rate.window_ns, units)

    async def slots(
        self, tenant_id: TenantId, bucket: str, holder: UUID, *, limit: int, in_use: int, spare: int, ttl_s: float
    ) -> Slots:
        async with self._store.tenant(tenant_id) as tx:
            while await tx.fetchval(_LOCK, tenant_id, bucket) is None:
                await tx.execute(_ADD, tenant_id, bucket)
            free = limit - in_use - await tx.fetchval(_OTHERS, tenant_id, bucket, holder)
            more = min(spare, max(1, free // SHARE)) if free > 0 else 0
            if in_use + more:
                await tx.execute(_HOLD, tenant_id, bucket, holder, in_use + more, ttl_s)
            else:
                await tx.execute(_LET_GO, tenant_id, bucket, holder)
        return Slots(in_use + more, max(0, free - more))

    async def sweep(self, tenant_id: TenantId) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(_SWEEP_SLOTS, tenant_id)
            await tx.execute(_SWEEP, tenant_id)


async def _on_row(tx: Transaction, update: str, tenant_id: TenantId, bucket: str, *args: int) -> Row:
    """The row after the update, made when it was missing."""
    while (row := await tx.fetchrow(update, tenant_id, bucket, *args)) is None:
        await tx.execute(_ADD, tenant_id, bucket)
    return row
