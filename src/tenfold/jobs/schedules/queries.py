"""The SQL of schedules. A schedule and the time it is due next are written in one transaction."""

from datetime import datetime
from uuid import UUID

import msgspec

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.jobs.schedules.rules import name_taken
from tenfold.jobs.schedules.types import Due, Schedule
from tenfold.store import Row, Store, Transaction

NOW = "SELECT now()"
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.schedules ' || $1::uuid::text, 0))"
TAKEN = "SELECT EXISTS (SELECT FROM schedules WHERE tenant_id = $1 AND name = $2 AND id <> $3)"
COUNT = "SELECT count(*) FROM schedules WHERE tenant_id = $1"
FIND = "SELECT * FROM schedules WHERE tenant_id = $1 AND id = $2"
PAGE = "SELECT * FROM schedules WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"

ADD = """
INSERT INTO schedules (tenant_id, id, name, cron, zone, kind, asked, principal, missed, paused, next_at, created_at,
                       updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
"""

CHANGE = """
UPDATE schedules SET name = $4, cron = $5, zone = $6, asked = $7, missed = $8, paused = $9, next_at = $10,
                     version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND version = $3 RETURNING id
"""

ADVANCE = """
UPDATE schedules SET next_at = $5, last_at = coalesce($6, last_at), last_job = coalesce($7, last_job),
                     error = CASE WHEN $6::timestamptz IS NULL THEN error ELSE nullif($8, '') END
WHERE tenant_id = $1 AND id = $2 AND version = $3 AND next_at = $4 RETURNING id
"""

REMOVE = "DELETE FROM schedules WHERE tenant_id = $1 AND id = $2 RETURNING id"

DUE = """
INSERT INTO schedule_due (tenant_id, schedule_id, due_at) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, schedule_id) DO UPDATE SET due_at = excluded.due_at
"""
NOT_DUE = "DELETE FROM schedule_due WHERE tenant_id = $1 AND schedule_id = $2"

CLAIM = """
WITH first AS (
    SELECT tenant_id, schedule_id, due_at FROM schedule_due WHERE due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE schedule_due d SET due_at = now() + make_interval(secs => $2)
    FROM first WHERE d.tenant_id = first.tenant_id AND d.schedule_id = first.schedule_id
    RETURNING d.tenant_id, d.schedule_id, first.due_at
)
SELECT tenant_id, schedule_id FROM claimed ORDER BY due_at
"""

POSTPONE = """
UPDATE schedule_due SET due_at = now() + make_interval(secs => $3) WHERE tenant_id = $1 AND schedule_id = $2
"""


class PostgresScheduleRows:
    """See `ports.ScheduleRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def now(self) -> datetime:
        async with self._store.directory(readonly=True) as tx:
            now: datetime = await tx.fetchval(NOW)
        return now

    async def add(self, schedule: Schedule, *, most: int) -> bool:
        async with self._store.tenant(schedule.tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, schedule.tenant_id)
            if await tx.fetchrow(FIND, schedule.tenant_id, schedule.id) is not None:
                return True
            if await tx.fetchval(COUNT, schedule.tenant_id) >= most:
                return False
            await _free(tx, schedule)
            await tx.execute(
                ADD,
                schedule.tenant_id,
                schedule.id,
                schedule.name,
                schedule.cron,
                schedule.zone,
                schedule.kind,
                schedule.asked,
                schedule.principal,
                schedule.missed,
                schedule.paused,
                schedule.next_at,
                schedule.created_at,
            )
            await _due(tx, schedule.tenant_id, schedule.id, schedule.next_at)
        return True

    async def find(self, tenant_id: TenantId, schedule_id: UUID) -> Schedule | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, schedule_id)
        return None if row is None else _schedule(row)

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Schedule]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_schedule(row) for row in await tx.fetch(PAGE, tenant_id, before, limit)]

    async def change(self, schedule: Schedule) -> bool:
        async with self._store.tenant(schedule.tenant_id) as tx:
            await tx.fetchval(LOCK_TENANT, schedule.tenant_id)
            await _free(tx, schedule)
            found = await tx.fetchval(
                CHANGE,
                schedule.tenant_id,
                schedule.id,
                schedule.version,
                schedule.name,
                schedule.cron,
                schedule.zone,
                schedule.asked,
                schedule.missed,
                schedule.paused,
                schedule.next_at,
            )
            if found is not None:
                await _due(tx, schedule.tenant_id, schedule.id, schedule.next_at)
        return found is not None

    async def remove(self, tenant_id: TenantId, schedule_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            found = await tx.fetchval(REMOVE, tenant_id, schedule_id)
            if found is not None:
                await tx.execute(NOT_DUE, tenant_id, schedule_id)
        return found is not None

    async def claim(self, *, limit: int, hold_s: float) -> list[Due]:
        async with self._store.directory() as tx:
            rows = await tx.fetch(CLAIM, limit, hold_s)
        return [Due(tenant_id=TenantId(row["tenant_id"]), schedule_id=row["schedule_id"]) for row in rows]

    async def advance(
        self, schedule: Schedule, *, next_at: datetime | None, last_at: datetime | None, job: UUID | None, error: str
    ) -> bool:
        async with self._store.tenant(schedule.tenant_id) as tx:
            found = await tx.fetchval(
                ADVANCE,
                schedule.tenant_id,
                schedule.id,
                schedule.version,
                schedule.next_at,
                next_at,
                last_at,
                job,
                error,
            )
            if found is not None:
                await _due(tx, schedule.tenant_id, schedule.id, next_at)
        return found is not None

    async def postpone(self, tenant_id: TenantId, schedule_id: UUID, delay_s: float) -> None:
        async with self._store.directory() as tx:
            await tx.execute(POSTPONE, tenant_id, schedule_id, delay_s)


async def _free(tx: Transaction, schedule: Schedule) -> None:
    """The name, behind the tenant's lock. Raises Conflict."""
    if await tx.fetchval(TAKEN, schedule.tenant_id, schedule.name, schedule.id):
        raise name_taken(schedule.name)


async def _due(tx: Transaction, tenant_id: TenantId, schedule_id: UUID, next_at: datetime | None) -> None:
    if next_at is None:
        await tx.execute(NOT_DUE, tenant_id, schedule_id)
    else:
        await tx.execute(DUE, tenant_id, schedule_id, next_at)


def _schedule(row: Row) -> Schedule:
    return Schedule(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        name=row["name"],
        cron=row["cron"],
        zone=row["zone"],
        kind=row["kind"],
        asked=row["asked"],
        principal=msgspec.convert(row["principal"], Principal),
        missed=row["missed"],
        paused=row["paused"],
        next_at=row["next_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        last_at=row["last_at"],
        last_job=row["last_job"],
        error=row["error"],
    )
