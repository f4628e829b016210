"""What the tests of workers and of what follows them share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec import structs

from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.ports import JobContext
from tenfold.jobs.types import Job, NewJob, Result, Work
from tenfold.jobs.worker import JobWorker

from .flaky_rows import FlakyRows

ACME = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme", key_id=KeyId(uuid7()))
OTHER = structs.replace(ACME, tenant_id=TenantId(uuid7()), tenant_slug="other")

Do = Callable[[JobContext], Awaitable[Result]]


async def nothing(_job: JobContext) -> Result:
    return Result(output=b"nothing")


class Doing:
    """A handler that does what it is given, and knows what it did."""

    def __init__(self, do: Do = nothing, kind: str = "k", after_death: str | None = None) -> None:
        self.kind = kind
        self.after_death = after_death
        self.do = do
        self.done: list[Work] = []

    async def run(self, job: JobContext) -> Result:
        self.done.append(job.work)
        return await self.do(job)


class Gate:
    """A handler's: it tells that it has begun, and goes on when it may."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.open = asyncio.Event()

    async def __call__(self, _job: JobContext) -> Result:
        self.begun.release()
        await self.open.wait()
        return Result(output=b"through")


class Observed:
    def __init__(self) -> None:
        self.how: list[str] = []
        self.waited: list[float] = []
        self.taken = 0

    def started(self, _work: Work, waited_s: float) -> None:
        self.waited.append(waited_s)

    def ended(self, _work: Work, how: str, _ran_s: float) -> None:
        self.how.append(how)

    def taken_over(self, jobs: int) -> None:
        self.taken += jobs


def new(kind: str = "k", whose: Principal = ACME, **fields: object) -> NewJob:
    return structs.replace(NewJob(kind=kind, principal=whose), **fields)


async def add(rows: FlakyRows, *jobs: NewJob) -> list[Job]:
    found = await rows.add(jobs[0].principal.tenant_id, jobs, weight=1, most=10**6, most_bytes=10**9)
    return [job for job in found if job is not None]


def job_of(rows: FlakyRows, one: NewJob) -> Job:
    return rows.jobs[one.principal.tenant_id, one.id]


async def until(condition: Callable[[], bool]) -> None:
    """What other tasks bring about."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(worker: JobWorker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run(), name="worker")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
