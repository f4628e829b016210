"""Makes jobs of the ticks that have come. It runs in every process, and each tick is one job all the same: the job is
told from its double by the tick (`NewJob.dedup`), and only who saw to a tick first moves the schedule on.
"""

import asyncio
import logging
from datetime import datetime
from uuid import UUID

from msgspec import json, structs

from tenfold.core.errors import InvalidRequest, Overloaded, RateLimited, StoreUnavailable, TenfoldError
from tenfold.jobs.ports import Jobs
from tenfold.jobs.schedules.cron import Cron
from tenfold.jobs.schedules.handlers import schedule_name
from tenfold.jobs.schedules.ports import ScheduleRows
from tenfold.jobs.schedules.rules import runs_of
from tenfold.jobs.schedules.types import CLAIM_S, Due, Schedule
from tenfold.jobs.submissions import Submissions

logger = logging.getLogger(__name__)

POLL_S = 1.0
AT_ONCE = 50
FULL_S = 5.0  # when a full queue does not say itself when it has room again
BROKEN_S = 3600.0  # for a schedule that this machine cannot read: its time zone is gone


class Ticker:
    """`run` until cancelled."""

    def __init__(self, rows: ScheduleRows, jobs: Jobs, submissions: Submissions, *, poll_s: float = POLL_S) -> None:
        self._rows = rows
        self._jobs = jobs
        self._submissions = submissions
        self._poll_s = poll_s

    async def run(self) -> None:
        while True:
            try:
                while await self.tick():
                    pass
            except StoreUnavailable as error:
                logger.info("schedules wait, the database is away: %s", error.message)
            await asyncio.sleep(self._poll_s)

    async def tick(self) -> int:
        """Sees to what has come. How many schedules. Raises StoreUnavailable."""
        due = await self._rows.claim(limit=AT_ONCE, hold_s=CLAIM_S)
        for one in due:
            try:
                await self._see_to(one)
            except StoreUnavailable:
                raise
            except Exception:  # a bug over one schedule leaves the others their time
                logger.exception("schedule %s failed", schedule_name(one.schedule_id))
                await self._rows.postpone(one.tenant_id, one.schedule_id, BROKEN_S)
        return len(due)

    async def _see_to(self, due: Due) -> None:
        schedule = await self._rows.find(due.tenant_id, due.schedule_id)
        if schedule is None or schedule.next_at is None:
            return  # removed or paused in this moment
        now = await self._rows.now()
        if schedule.next_at > now:
            # Seen to already; of that which was claimed only this is to be put right.
            await self._rows.postpone(
                due.tenant_id, due.schedule_id, max(0.0, (schedule.next_at - now).total_seconds())
            )
            return
        try:
            cron = Cron(schedule.cron, schedule.zone)
        except InvalidRequest as error:
            logger.error("schedule %s cannot be read: %s", schedule_name(schedule.id), error.message)
            await self._rows.postpone(due.tenant_id, due.schedule_id, BROKEN_S)
            return
        last_at: datetime | None = None
        job: UUID | None = None
        failure = ""
        for tick in runs_of(schedule, cron, now):
            try:
                job = await self._make(schedule, tick)
            except (RateLimited, Overloaded) as error:
                # Those before it are there, and are not made again.
                await self._rows.postpone(due.tenant_id, due.schedule_id, error.retry_after_s or FULL_S)
                return
            except StoreUnavailable:
                raise
            except TenfoldError as error:
                failure = f"{error.code}: {error.message}"
                logger.warning("schedule %s has no job at %s: %s", schedule_name(schedule.id), tick, failure)
            last_at = tick
        await self._rows.advance(schedule, next_at=cron.next(now), last_at=last_at, job=job, error=failure)

    async def _make(self, schedule: Schedule, tick: datetime) -> UUID:
        new = self._submissions.job(schedule.principal, schedule.kind, json.decode(schedule.asked))
        name = schedule_name(schedule.id)
        facts = new.facts | {"schedule": name, "tick": tick.strftime("%Y-%m-%dT%H:%M:%SZ")}
        dedup = f"{name}:{int(tick.timestamp())}"
        return (await self._jobs.enqueue(structs.replace(new, dedup=dedup, facts=facts))).id
