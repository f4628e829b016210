"""What a tenant may have done of its own accord, put together: jobs that are submitted, and schedules; for a serving
process, a worker and a command.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.background import Background
from tenfold.app.database import open_database
from tenfold.app.resources import KINDS
from tenfold.app.settings import Settings
from tenfold.console.services import JobServices
from tenfold.core.clock import SystemClock
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.inference.tickets.submitted import SubmittableCall
from tenfold.jobs.handlers import JobService, even
from tenfold.jobs.schedules.handlers import ScheduleAdmin
from tenfold.jobs.schedules.queries import PostgresScheduleRows
from tenfold.jobs.schedules.ticker import Ticker
from tenfold.jobs.submissions import Submissions
from tenfold.store import Store


class Scheduling:
    """`services` are for the console; run each of `tasks` where jobs are done."""

    def __init__(self, store: Store, jobs: JobService) -> None:
        rows, submissions = PostgresScheduleRows(store), Submissions(jobs, [SubmittableCall()])
        self.services = JobServices(jobs=jobs, submissions=submissions, schedules=ScheduleAdmin(rows, submissions))
        self._ticker = Ticker(rows, jobs, submissions)

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.schedules", self._ticker.run()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Jobs and schedules from the command line."""

    tenants: Tenants
    given: JobServices

    async def principal(self, slug: str) -> Principal:
        """The operator, on behalf of a tenant. Raises NotFound, StoreUnavailable."""
        return (await self.tenants.tenant(slug)).principal(ALL_SCOPES)


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """For a command. Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        clock = SystemClock()
        background = Background(settings, store, clock, kinds=KINDS, weight=even)
        tasks = [asyncio.create_task(work, name=name) for name, work in background.tasks()]
        try:
            yield Desk(
                tenants=Tenants(PostgresAccessRows(store), clock), given=Scheduling(store, background.jobs).services
            )
        finally:
            await background.aclose()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
