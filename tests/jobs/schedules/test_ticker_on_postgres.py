"""One job for each tick, however many processes see to it at once, on the real rows of both."""

import asyncio
from collections import Counter
from datetime import timedelta

from tenfold.core.clock import SystemClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.schedules.queries import PostgresScheduleRows
from tenfold.jobs.schedules.ticker import Ticker
from tenfold.jobs.submissions import Submissions
from tenfold.store import Store
from tests.jobs.schedules.parts import Sums, principal, schedule
from tests.ledger.samples import add_tenant

PROCESSES, SCHEDULES, TICKS = 4, 6, 5


class Dying(PostgresScheduleRows):
    """Of a process that every other time is gone between the job and the schedule."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._calls = 0

    async def advance(self, *args: object, **options: object) -> bool:
        self._calls += 1
        if self._calls % 2:
            raise StoreUnavailable("gone")
        return await super().advance(*args, **options)  # type: ignore[arg-type]


async def test_each_tick_is_one_job(store: Store, database: str) -> None:
    tenants = [TenantId(uuid7()) for _ in range(2)]
    for tenant_id in tenants:
        await add_tenant(store, tenant_id)
    rows, job_rows = PostgresScheduleRows(store), PostgresJobRows(store)
    now = (await rows.now()).replace(second=0, microsecond=0)
    made = []
    for number in range(SCHEDULES):
        who = principal(tenants[number % 2])
        one = schedule(who, name=f"n{number}", missed="all", next_at=now - timedelta(minutes=TICKS - 1), created_at=now)
        assert await rows.add(one, most=100)
        made.append(one)

    async def process() -> None:
        jobs = JobService(job_rows, {"sum"}, followers=Followers(job_rows), clock=SystemClock())
        ticker = Ticker(Dying(store), jobs, Submissions(jobs, [Sums()]))
        for _ in range(3 * SCHEDULES):
            try:
                await ticker.tick()
            except StoreUnavailable:
                for one in made:  # as if the time of its claims were over
                    await rows.postpone(one.tenant_id, one.id, 0)
        await jobs.aclose()

    await asyncio.gather(*(process() for _ in range(PROCESSES)))
    for one in made:
        found = await rows.find(one.tenant_id, one.id)
        assert found is not None
        assert found.next_at is not None
        assert found.next_at > now
    ticks: Counter[tuple[str, str]] = Counter()
    for tenant_id in tenants:
        page = await job_rows.page(tenant_id, state=None, kind="sum", before=None, limit=1000)
        ticks.update((job.facts["schedule"], job.facts["tick"]) for job in page)
    assert set(ticks.values()) == {1}
    assert len(ticks) - SCHEDULES * TICKS in range(SCHEDULES + 1)  # a minute may have begun meanwhile
