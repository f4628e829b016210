"""`python -m bench.jobs`: how fast jobs are accepted, begun and done, over a Postgres of its own in a temporary folder.

Without HTTP and without providers: the jobs do nothing, or sleep. A Markdown table goes to standard output; nothing is
left behind. `python -m bench.jobs worker <dsn>` is a worker process of it.
"""

import asyncio
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import uvloop

from bench.machine import this_machine
from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.ports import JobContext
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import NewJob, Result
from tenfold.jobs.worker import JobWorker
from tenfold.store import EmbeddedPostgres, Store, migrate

TENANTS = 8
INPUT_BYTES = 2_000
SUBMITS_PER_S, SUBMIT_S = 300, 10
QUEUED = 3_000  # jobs that do nothing, for the rate
PROCESSES = (1, 2)
LATENCIES = 200
NEIGHBOUR_JOBS, NEIGHBOUR_JOB_S, SINGLE_JOBS = 5_000, 0.05, 40
POOL = 10

_ADD_TENANT = "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, 'Bench', now())"


class Sleeping:
    """A handler, and when it began which job."""

    def __init__(self, kind: str, seconds: float) -> None:
        self.kind = kind
        self.after_death: str | None = None
        self.begun: dict[UUID, float] = {}
        self._seconds = seconds

    async def run(self, job: JobContext) -> Result:
        self.begun[job.work.job.id] = time.perf_counter()
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return Result()


def handlers() -> tuple[Sleeping, Sleeping]:
    return Sleeping("nothing", 0), Sleeping("sleep", NEIGHBOUR_JOB_S)


class Bench:
    def __init__(self, dsn: str, store: Store, tenants: Sequence[Principal]) -> None:
        self.dsn = dsn
        self.store = store
        self.tenants = tenants
        self.rows = PostgresJobRows(store)
        self.lines: list[tuple[str, str]] = []

    def new(self, kind: str, place: int) -> NewJob:
        return NewJob(kind=kind, principal=self.tenants[place % len(self.tenants)], input=bytes(INPUT_BYTES))

    def service(self) -> JobService:
        return JobService(
            self.rows,
            {"nothing", "sleep"},
            followers=Followers(self.rows),
            clock=SystemClock(),
            most_waiting=10**6,
            most_waiting_bytes=10**11,
            most_in_all=10**6,
        )

    async def add(self, kind: str, count: int, tenants: int = TENANTS) -> None:
        for place in range(tenants):
            jobs = [self.new(kind, place) for _ in range(count // tenants)]
            for first in range(0, len(jobs), 100):
                batch = jobs[first : first + 100]
                tenant_id = batch[0].principal.tenant_id
                await self.rows.add(tenant_id, batch, weight=1, most=10**6, most_bytes=10**11)

    async def left(self) -> int:
        state = await self.rows.state(None)
        return state.waiting + state.running

    async def all_done(self) -> None:
        while await self.left():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    # -- what is measured --------------------------------------------------------------------------

    async def accept(self, label: str) -> None:
        jobs, took = self.service(), list[float]()

        async def submit(place: int) -> None:
            begun = time.perf_counter()
            await jobs.enqueue(self.new("nothing", place))
            took.append(time.perf_counter() - begun)

        start, tasks = time.perf_counter(), []
        for place in range(SUBMITS_PER_S * SUBMIT_S):
            await asyncio.sleep(max(0.0, start + place / SUBMITS_PER_S - time.perf_counter()))
            tasks.append(asyncio.create_task(submit(place)))
        await asyncio.gather(*tasks)
        await jobs.aclose()
        self.lines.append((f"accepted, {SUBMITS_PER_S} submits/s{label}", percentiles(took)))

    async def rate(self, processes: int) -> None:
        await self.add("nothing", QUEUED)
        async with AsyncExitStack() as stack:
            for _ in range(processes):
                await stack.enter_async_context(worker_process(self.dsn))
            first = await self.left()
            begun = time.perf_counter()
            await self.all_done()
            seconds = time.perf_counter() - begun
        workers = "a worker process" if processes == 1 else f"{processes} worker processes"
        self.lines.append((f"queued jobs done by {workers}", f"{first / seconds:.0f}/s"))

    async def begin(self) -> None:
        async with self._working() as (jobs, nothing, _):
            for label, ask in (("somebody waits", jobs.start), ("queued", jobs.enqueue)):
                took = []
                for place in range(LATENCIES):
                    new = self.new("nothing", place)
                    asked = time.perf_counter()
                    await ask(new)
                    took.append(await begun_at(nothing, new) - asked)
                self.lines.append((f"from submit to begin, {label}", percentiles(took)))

    async def neighbour(self) -> None:
        await self.add("sleep", NEIGHBOUR_JOBS, tenants=1)
        async with self._working() as (jobs, nothing, _):
            await asyncio.sleep(1)
            took = []
            for _ in range(SINGLE_JOBS):
                new = self.new("nothing", 1)
                asked = time.perf_counter()
                await jobs.enqueue(new)
                took.append(await begun_at(nothing, new) - asked)
        label = (
            f"from submit to begin, beside {NEIGHBOUR_JOBS:,} queued jobs of {NEIGHBOUR_JOB_S * 1000:.0f} ms of another"
        )
        self.lines.append((label, percentiles(took)))

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[tuple[JobService, Sleeping, Sleeping]]:
        nothing, sleep = handlers()
        worker = JobWorker(self.rows, [nothing, sleep], clock=SystemClock(), hints=self.store)
        jobs = self.service()
        jobs.begin_in(worker)
        running = asyncio.create_task(worker.run(), name="worker")
        while not worker.beating:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            yield jobs, nothing, sleep
        finally:
            await worker.stop(1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await jobs.aclose()


async def begun_at(handler: Sleeping, new: NewJob) -> float:
    while new.id not in handler.begun:  # noqa: ASYNC110
        await asyncio.sleep(0.0005)
    return handler.begun[new.id]


def percentiles(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.95, 0.99)]
    return f"p50 {at[0]:.1f} ms, p95 {at[1]:.1f} ms, p99 {at[2]:.1f} ms"


@asynccontextmanager
async def worker_process(dsn: str) -> AsyncIterator[Process]:
    """When it has begun to look for jobs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.jobs", "worker", dsn, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def work(dsn: str) -> None:
    """Until standard input ends."""
    store = await Store.open(dsn, max_size=POOL)
    worker = JobWorker(PostgresJobRows(store), handlers(), clock=SystemClock(), hints=store)
    running = asyncio.create_task(worker.run(), name="worker")
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await worker.stop(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.aclose()


async def measure(home: Path) -> list[tuple[str, str]]:
    postgres = EmbeddedPostgres(home)
    try:
        dsn = await postgres.start()
        await migrate(dsn)
        store = await Store.open(dsn, max_size=POOL)
        tenants = [Principal(tenant_id=TenantId(uuid7()), tenant_slug=f"t{place}") for place in range(TENANTS)]
        async with store.directory() as tx:
            await tx.executemany(_ADD_TENANT, [(one.tenant_id, one.tenant_slug) for one in tenants])
        bench = Bench(dsn, store, tenants)
        await bench.accept("")
        async with worker_process(dsn):
            await bench.all_done()
            await bench.accept(", done at once by another process")
        for processes in PROCESSES:
            await bench.rate(processes)
        await bench.begin()
        await bench.neighbour()
        await store.aclose()
        return bench.lines
    finally:
        await postgres.stop()


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["worker"]:
        uvloop.run(work(arguments[1]))
        return 0
    machine = this_machine(None, None)
    with tempfile.TemporaryDirectory(prefix="tenfold-bench-") as folder:
        lines = uvloop.run(measure(Path(folder) / "home"))
    sys.stdout.write(f"{machine}\n\n| what | measured |\n|---|---|\n")
    sys.stdout.writelines(f"| {what} | {measured} |\n" for what, measured in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
