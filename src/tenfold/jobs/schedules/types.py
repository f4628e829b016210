"""The values of schedules. Values only."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal

Missed = Literal["skip", "last", "all"]
"""What becomes of ticks that passed while nothing ran: they are left out; the last of them is made up for; or all."""

GRACE_S = 60.0  # a tick is missed when it is noticed later than this
MOST_MISSED = 100  # of those that are made up for at once the latest
MOST_SCHEDULES = 100  # of a tenant
CLAIM_S = 30.0  # a process that saw to a schedule and did not come back: another does


class Schedule(Struct, frozen=True, kw_only=True):
    """`next_at` is the first tick that nobody has seen to; None: paused, or there will be none."""

    tenant_id: TenantId
    id: UUID
    name: str  # of the tenant's schedules one has it
    cron: str
    zone: str
    kind: str
    asked: bytes  # the input of the jobs, JSON, as it was submitted
    principal: Principal  # on whose behalf
    missed: Missed
    paused: bool
    next_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int = 1  # grows with each change of what is asked for
    last_at: datetime | None = None  # the last tick that became a job, or could not
    last_job: UUID | None = None
    error: str | None = None  # why it could not


class Due(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    schedule_id: UUID


class SchedulePage(Struct, frozen=True, kw_only=True):
    items: list[Schedule]
    cursor: str | None  # of the next page
