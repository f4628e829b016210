"""Makes the run of the day for each tenant, at a quiet time. It runs in every process that does jobs, and the run of a
day is one all the same: the job is told from its double by the day (`NewJob.dedup`).
"""

import asyncio
import logging
from datetime import date, datetime, time, timedelta, tzinfo

from tenfold.assistant.precompute.ports import Principals, QuestionRows
from tenfold.assistant.precompute.types import KIND
from tenfold.core.clock import Clock
from tenfold.core.errors import NotFound, StoreUnavailable, TenfoldError
from tenfold.core.principal import Principal
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import NewJob

logger = logging.getLogger(__name__)

LOOK_S = 60.0
QUIET = timedelta(hours=3)  # what could not begin until then waits for the next night


class Daily:
    """Run `run` until cancelled."""

    def __init__(
        self, rows: QuestionRows, jobs: Jobs, principals: Principals, clock: Clock, *, at: time, zone: tzinfo
    ) -> None:
        self._rows = rows
        self._jobs = jobs
        self._principals = principals
        self._clock = clock
        self._at = at
        self._zone = zone
        self._seen_to: date | None = None

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                logger.info("answers ahead of time wait, the database is away: %s", error.message)
            except Exception:  # edge of a task: it has to go on
                logger.exception("answers ahead of time are not begun")
            await asyncio.sleep(LOOK_S)

    async def look(self) -> int:
        """Sees to it once in a night that each tenant has its run; how many there are of it. Raises
        StoreUnavailable."""
        night = night_of(self._clock.now(), self._at, self._zone)
        if night is None or night == self._seen_to:
            return 0
        runs, all_there = 0, True
        for tenant_id in await self._rows.tenants_asked():
            try:
                await self._jobs.enqueue(run_of(await self._principals(tenant_id), dedup=f"{KIND}:{night}"))
                runs += 1
            except StoreUnavailable:
                raise
            except NotFound:  # a tenant that is gone
                continue
            except TenfoldError as error:  # its queue is full, say: in a minute again
                all_there = False
                logger.info("answers ahead of time of a tenant wait: %s", error.message)
        if all_there:
            self._seen_to = night
        return runs


def run_of(principal: Principal, *, dedup: str | None = None) -> NewJob:
    """Behind whatever else the tenant wants done; two runs of a tenant are one after the other."""
    return NewJob(kind=KIND, principal=principal, dedup=dedup, order_key=KIND, priority=0)


def night_of(now: datetime, at: time, zone: tzinfo) -> date | None:
    """The day that the quiet time began on; None: it is not the time."""
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        passed = now - datetime.combine(day, at, zone).astimezone(now.tzinfo)
        if timedelta(0) <= passed < QUIET:
            return day
    return None
