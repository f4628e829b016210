"""Schedules in memory, for tests and demonstrations. The twin of `queries.PostgresScheduleRows`."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.ids import TenantId
from tenfold.jobs.schedules.rules import name_taken
from tenfold.jobs.schedules.types import Due, Schedule


class FakeScheduleRows:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[tuple[TenantId, UUID], Schedule] = {}
        self._due: dict[tuple[TenantId, UUID], datetime] = {}

    async def now(self) -> datetime:
        return self._clock.now()

    async def add(self, schedule: Schedule, *, most: int) -> bool:
        if _key(schedule) in self._rows:
            return True
        if sum(tenant_id == schedule.tenant_id for tenant_id, _ in self._rows) >= most:
            return False
        self._check_name(schedule)
        self._put(structs.replace(schedule, updated_at=schedule.created_at))
        return True

    async def find(self, tenant_id: TenantId, schedule_id: UUID) -> Schedule | None:
        return self._rows.get((tenant_id, schedule_id))

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Schedule]:
        found = [one for one in self._rows.values() if one.tenant_id == tenant_id and (not before or one.id < before)]
        return sorted(found, key=lambda one: one.id, reverse=True)[:limit]

    async def change(self, schedule: Schedule) -> bool:
        self._check_name(schedule)
        now = self._rows.get(_key(schedule))
        if now is None or now.version != schedule.version:
            return False
        version = schedule.version + 1
        self._put(
            structs.replace(
                schedule,
                kind=now.kind,
                principal=now.principal,
                created_at=now.created_at,
                updated_at=self._clock.now(),
                version=version,
                last_at=now.last_at,
                last_job=now.last_job,
                error=now.error,
            )
        )
        return True

    async def remove(self, tenant_id: TenantId, schedule_id: UUID) -> bool:
        self._due.pop((tenant_id, schedule_id), None)
        return self._rows.pop((tenant_id, schedule_id), None) is not None

    async def claim(self, *, limit: int, hold_s: float) -> list[Due]:
        now = self._clock.now()
        due = sorted((at, key) for key, at in self._due.items() if at <= now)[:limit]
        for _, key in due:
            self._due[key] = now + timedelta(seconds=hold_s)
        return [Due(tenant_id=tenant_id, schedule_id=schedule_id) for _, (tenant_id, schedule_id) in due]

    async def advance(
        self, schedule: Schedule, *, next_at: datetime | None, last_at: datetime | None, job: UUID | None, error: str
    ) -> bool:
        now = self._rows.get(_key(schedule))
        if now is None or schedule.next_at is None:
            return False
        if (now.version, now.next_at) != (schedule.version, schedule.next_at):
            return False
        self._put(
            structs.replace(
                now,
                next_at=next_at,
                last_at=last_at or now.last_at,
                last_job=job or now.last_job,
                error=now.error if last_at is None else error or None,
            )
        )
        return True

    async def postpone(self, tenant_id: TenantId, schedule_id: UUID, delay_s: float) -> None:
        if (tenant_id, schedule_id) in self._due:
            self._due[tenant_id, schedule_id] = self._clock.now() + timedelta(seconds=delay_s)

    def _put(self, schedule: Schedule) -> None:
        self._rows[_key(schedule)] = schedule
        if schedule.next_at is None:
            self._due.pop(_key(schedule), None)
        else:
            self._due[_key(schedule)] = schedule.next_at

    def _check_name(self, schedule: Schedule) -> None:
        for one in self._rows.values():
            if (one.tenant_id, one.name) == (schedule.tenant_id, schedule.name) and one.id != schedule.id:
                raise name_taken(schedule.name)


def _key(schedule: Schedule) -> tuple[TenantId, UUID]:
    return schedule.tenant_id, schedule.id
