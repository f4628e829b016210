"""Schedules at rest. `fake.FakeScheduleRows` is the in-memory twin of `queries.PostgresScheduleRows`, under one
contract suite.
"""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.jobs.schedules.types import Due, Schedule


class ScheduleRows(Protocol):
    """Every method raises StoreUnavailable. Of another tenant's schedule there is nothing to be found."""

    async def now(self) -> datetime:
        """The database's clock, which all times here are of."""
        ...

    async def add(self, schedule: Schedule, *, most: int) -> bool:
        """Of the same id once. False: the tenant has so many already. Raises Conflict: the name is taken."""
        ...

    async def find(self, tenant_id: TenantId, schedule_id: UUID) -> Schedule | None: ...

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Schedule]:
        """The newest first, from before this one on."""
        ...

    async def change(self, schedule: Schedule) -> bool:
        """All of it but its last tick, as it is given, with the next version; `updated_at` is now. False: it is gone,
        or was changed since. Raises Conflict: the name is taken."""
        ...

    async def remove(self, tenant_id: TenantId, schedule_id: UUID) -> bool: ...

    async def claim(self, *, limit: int, hold_s: float) -> list[Due]:
        """Those whose next tick has come, the latest last. Nobody else is told of them for so long, unless `advance` or
        `postpone` ends it earlier."""
        ...

    async def advance(
        self, schedule: Schedule, *, next_at: datetime | None, last_at: datetime | None, job: UUID | None, error: str
    ) -> bool:
        """Its ticks before `next_at` are seen to; `last_at` None: none of them was to become a job. False: it was seen
        to already, or is gone, or changed."""
        ...

    async def postpone(self, tenant_id: TenantId, schedule_id: UUID, delay_s: float) -> None:
        """Claimed again after so long."""
        ...
