"""The rules of schedules: what a tenant may have made into jobs, when, and how often. `ticker` makes them."""

from datetime import datetime
from itertools import islice
from typing import Any, get_args
from uuid import UUID

from msgspec import json, structs

from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import TenantId, id_named, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.schedules.cron import Cron
from tenfold.jobs.schedules.ports import ScheduleRows
from tenfold.jobs.schedules.types import MOST_SCHEDULES, Missed, Schedule, SchedulePage
from tenfold.jobs.submissions import Submissions
from tenfold.jobs.types import Job

MAX_PAGE = 100
MAX_NAME = 100
MAX_ASKED_BYTES = 64 * 1024
_MISSED: tuple[Missed, ...] = get_args(Missed)


class ScheduleAdmin:
    """Schedules are named `sched_` and 32 hex digits outside."""

    def __init__(self, rows: ScheduleRows, submissions: Submissions, *, most: int = MOST_SCHEDULES) -> None:
        self._rows = rows
        self._submissions = submissions
        self._most = most

    async def create(
        self,
        principal: Principal,
        name: str,
        *,
        cron: str,
        zone: str = "UTC",
        kind: str,
        asked: Any,
        missed: str = "last",
        paused: bool = False,
    ) -> Schedule:
        """`asked` is the input of the jobs, as JSON has it. Raises InvalidRequest, Conflict (the name is taken, or
        there are as many as may be), StoreUnavailable."""
        when = Cron(cron, zone)
        self._submissions.job(principal, kind, asked)
        now = await self._rows.now()
        made = Schedule(
            tenant_id=principal.tenant_id,
            id=uuid7(),
            name=_name(name),
            cron=cron,
            zone=zone,
            kind=kind,
            asked=_asked(asked),
            principal=principal,
            missed=_missed(missed),
            paused=paused,
            next_at=None if paused else when.next(now),
            created_at=now,
            updated_at=now,
        )
        if not await self._rows.add(made, most=self._most):
            raise Conflict(f"A tenant has at most {self._most} schedules. Remove one first.")
        return made

    async def change(
        self,
        tenant_id: TenantId,
        schedule_id: str,
        *,
        name: str | None = None,
        cron: str | None = None,
        zone: str | None = None,
        asked: Any = None,
        missed: str | None = None,
        paused: bool | None = None,
    ) -> Schedule:
        """What is None stays. With another time, or after a pause, it goes on with the next tick from now on; those of
        the pause were not missed. Raises InvalidRequest, NotFound, Conflict, StoreUnavailable."""
        old = await self.find(tenant_id, schedule_id)
        new = structs.replace(
            old,
            name=old.name if name is None else _name(name),
            cron=old.cron if cron is None else cron,
            zone=old.zone if zone is None else zone,
            asked=old.asked if asked is None else _asked(asked),
            missed=old.missed if missed is None else _missed(missed),
            paused=old.paused if paused is None else paused,
        )
        if asked is not None:
            self._submissions.job(old.principal, old.kind, asked)
        when = Cron(new.cron, new.zone)
        if new.paused:
            new = structs.replace(new, next_at=None)
        elif old.paused or (new.cron, new.zone) != (old.cron, old.zone):
            new = structs.replace(new, next_at=when.next(await self._rows.now()))
        if not await self._rows.change(new):
            raise Conflict("The schedule was changed or removed by somebody else meanwhile. Read it again.")
        return await self.find(tenant_id, schedule_id)

    async def find(self, tenant_id: TenantId, schedule_id: str) -> Schedule:
        """Raises NotFound, StoreUnavailable."""
        known = schedule_id_of(schedule_id)
        found = None if known is None else await self._rows.find(tenant_id, known)
        if found is None:
            raise _no_such_schedule()
        return found

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> SchedulePage:
        """The newest first. Raises InvalidRequest, StoreUnavailable."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        before = None if cursor is None else schedule_id_of(cursor)
        if cursor is not None and before is None:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        found = await self._rows.page(tenant_id, before=before, limit=limit + 1)
        more = len(found) > limit
        return SchedulePage(items=found[:limit], cursor=schedule_name(found[limit - 1].id) if more else None)

    async def remove(self, tenant_id: TenantId, schedule_id: str) -> None:
        """Jobs that were made stay. Raises NotFound, StoreUnavailable."""
        known = schedule_id_of(schedule_id)
        if known is None or not await self._rows.remove(tenant_id, known):
            raise _no_such_schedule()

    async def run(self, tenant_id: TenantId, schedule_id: str) -> Job:
        """Once now, beside its ticks. Raises NotFound, and as `Submissions.submit`."""
        found = await self.find(tenant_id, schedule_id)
        return await self._submissions.submit(found.principal, found.kind, json.decode(found.asked))


def next_runs(schedule: Schedule, count: int = 5) -> list[datetime]:
    """When it will be done next (UTC); none while it is paused."""
    if schedule.next_at is None:
        return []
    try:
        later = Cron(schedule.cron, schedule.zone).after(schedule.next_at)
    except InvalidRequest:  # its time zone is not on this machine
        return [schedule.next_at]
    return [schedule.next_at, *islice(later, count - 1)]


def schedule_name(schedule_id: UUID) -> str:
    return f"sched_{schedule_id.hex}"


def schedule_id_of(name: str) -> UUID | None:
    """None: no schedule is named so."""
    return id_named("sched_", name)


def _name(name: str) -> str:
    if not (0 < len(name.strip()) <= MAX_NAME and name.isprintable()):
        raise InvalidRequest(f"name: 1 to {MAX_NAME} printable characters.", param="name")
    return name.strip()


def _asked(asked: Any) -> bytes:
    data = json.encode(asked)
    if len(data) > MAX_ASKED_BYTES:
        raise InvalidRequest(f"input: at most {MAX_ASKED_BYTES} bytes.", param="input")
    return data


def _missed(word: str) -> Missed:
    for missed in _MISSED:
        if missed == word:
            return missed
    raise InvalidRequest(f"missed: {', '.join(_MISSED[:-1])} or {_MISSED[-1]}.", param="missed")


def _no_such_schedule() -> NotFound:
    return NotFound("There is no such schedule.")
