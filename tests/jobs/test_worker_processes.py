"""Workers that are killed, halted or cut off from the database: every job is done, and its end is there once."""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from msgspec import structs

from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import MAX_CRASHES, Job, NewJob
from tenfold.store import EmbeddedPostgres, Store, migrate
from tests.ledger.samples import add_tenant
from tests.support.processes import is_silent, signal_all, until

from .worker_child import STEPS, worker_on

KINDS = ("steps", "long", "poison", "afterwards")


class Child:
    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: dict[str, list[UUID]] = defaultdict(list)
        self._reading = asyncio.create_task(self._read(), name="child-read")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            word, job = line.decode().split()
            self.said[word].append(UUID(hex=job) if job != "-" else UUID(int=0))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def gone(self) -> int:
        code = await self.process.wait()
        await self._reading
        return code


@asynccontextmanager
async def child(dsn: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.jobs.worker_child", dsn, stdout=PIPE)
    found = Child(process)
    try:
        await until(lambda: bool(found.said["up"]))
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await found.gone()


class Asking:
    """Somebody who asks for jobs, and follows them."""

    def __init__(self, store: Store, principal: Principal) -> None:
        self.rows = PostgresJobRows(store)
        self.followers = Followers(self.rows, round_s=1.0)
        self.jobs = JobService(self.rows, KINDS, followers=self.followers, clock=SystemClock())
        self.principal = principal

    def new(self, kind: str = "steps") -> NewJob:
        return NewJob(kind=kind, principal=self.principal, first_retry_s=0.05)

    async def ended(self, job_id: UUID) -> Job:
        job = await self.jobs.wait(self.principal.tenant_id, job_id, 60)
        assert job.ended, job
        return job

    async def check_events(self, job_id: UUID) -> None:
        """Numbered without gaps, one end, and of the attempt that ended the job each output once and in its order."""
        events = [event async for event in self.jobs.follow(self.principal.tenant_id, job_id)]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.kind for event in events].count("ended") == 1
        last = await self.jobs.result(self.principal.tenant_id, job_id)
        assert last is not None
        outputs = [event.data for event in events if event.kind == "output" and event.data.split()[0] == last]
        assert outputs == [last + b" %d" % step for step in range(STEPS)]


@pytest.fixture
async def asking(store: Store) -> AsyncIterator[Asking]:
    principal = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme")
    await add_tenant(store, principal.tenant_id)
    asking = Asking(store, principal)
    following = asyncio.create_task(asking.followers.run(store), name="followers")
    yield asking
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await asking.jobs.aclose()


async def test_jobs_of_two_tenants_are_done_and_followed_each_by_its_own(store: Store, asking: Asking) -> None:
    other = structs.replace(asking.principal, tenant_id=TenantId(uuid7()))
    await add_tenant(store, other.tenant_id)
    worker = worker_on(store)
    asking.jobs.begin_in(worker)
    running = asyncio.create_task(worker.run(), name="worker")
    await until(lambda: worker.beating)
    mine = [asking.new() for _ in range(20)]
    theirs = [structs.replace(asking.new(), principal=other) for _ in range(5)]
    started = asking.new()
    await asyncio.gather(*[asking.jobs.enqueue(one) for one in mine + theirs])
    assert (await asking.jobs.start(started)).state in ("running", "queued")
    for one in [*mine, started]:
        assert (await asking.ended(one.id)).state == "done"
        await asking.check_events(one.id)
    for one in theirs:
        assert (await asking.jobs.wait(other.tenant_id, one.id, 60)).state == "done"
        assert await asking.rows.find(asking.principal.tenant_id, one.id) is None
        assert await asking.rows.events(asking.principal.tenant_id, one.id, after=0, limit=9) == []
    await worker.stop(5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert worker.busy == 0


async def test_killed_at_random_moments_no_job_is_lost_and_none_ends_twice(database: str, asking: Asking) -> None:
    made = [asking.new() for _ in range(100)]
    await asyncio.gather(*[asking.jobs.enqueue(one) for one in made])
    done: list[UUID] = []

    async def kill_some(times: int) -> None:
        for _ in range(times):
            async with child(database) as one:
                at = random.randrange(3, 15)
                await until(lambda one=one, at=at: len(one.said["begun"]) >= at or one.process.returncode is not None)  # type: ignore[misc]
                one.send(signal.SIGKILL)
                await one.gone()
                done.extend(one.said["done"])

    await asyncio.gather(kill_some(2), kill_some(2))
    async with child(database) as last:
        jobs = [await asking.ended(one.id) for one in made]
        last.send(signal.SIGTERM)
        assert await last.gone() == 0
        done.extend(last.said["done"])
    assert {job.state for job in jobs} == {"done"}
    assert any(job.crashes for job in jobs)
    assert len(done) == len(set(done))
    for one in made:
        await asking.check_events(one.id)
    state = await asking.jobs.state(None)
    assert (state.waiting, state.later, state.running) == (0, 0, 0)


async def test_a_job_that_kills_its_workers_ends_as_poison(database: str, asking: Asking) -> None:
    poison, sound = asking.new("poison"), asking.new()
    await asking.jobs.enqueue(poison)
    for _ in range(MAX_CRASHES):
        async with child(database) as one:
            assert await one.gone() == -signal.SIGKILL
            assert one.said["begun"] == [poison.id]
    async with child(database) as last:
        job = await asking.ended(poison.id)
        assert (job.state, job.error_code, job.crashes) == ("failed", "poison", MAX_CRASHES)
        assert last.said["begun"] != [poison.id]
        await asking.jobs.enqueue(sound)
        assert (await asking.ended(sound.id)).state == "done"
        (afterwards,) = (await asking.jobs.list(asking.principal.tenant_id, kind="afterwards")).items
        assert (await asking.ended(afterwards.id)).state == "done"


async def test_a_worker_that_was_halted_stops_what_others_took_over(database: str, asking: Asking) -> None:
    one = asking.new("long")
    async with child(database) as halted:
        await asking.jobs.enqueue(one)
        await until(lambda: halted.said["begun"] == [one.id])
        halted.send(signal.SIGSTOP)
        async with child(database) as other:
            await until(lambda: other.said["begun"] == [one.id])
            halted.send(signal.SIGCONT)
            await until(lambda: halted.said["lost"] == [one.id])
            await asking.jobs.cancel(asking.principal.tenant_id, one.id)
            assert (await asking.ended(one.id)).state == "cancelled"
            await until(lambda: other.said["cancelled"] == [one.id])


async def test_one_that_is_stopped_gives_back_what_it_has(database: str, asking: Asking) -> None:
    one = asking.new("long")
    async with child(database) as stopped:
        await asking.jobs.enqueue(one)
        await until(lambda: stopped.said["begun"] == [one.id])
        stopped.send(signal.SIGTERM)
        assert await stopped.gone() == 0
        assert stopped.said["given_back"] == [one.id]
    job = await asking.jobs.get(asking.principal.tenant_id, one.id)
    assert (job.state, job.attempts, job.crashes) == ("queued", 0, 0)


async def test_connections_that_break_all_the_time_hold_up_but_lose_nothing(
    store: Store, database: str, asking: Asking
) -> None:
    worker = worker_on(store)
    running = asyncio.create_task(worker.run(), name="worker")
    owner = await asyncpg.connect(database)
    made = [asking.new() for _ in range(60)]
    await asyncio.gather(*[asking.jobs.enqueue(one) for one in made])

    async def cut() -> None:
        while True:
            await asyncio.sleep(random.uniform(0.02, 0.1))
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5"
            )

    cutting = asyncio.create_task(cut(), name="cut")
    await asyncio.sleep(1.0)
    cutting.cancel()
    await asyncio.gather(cutting, return_exceptions=True)
    await owner.close()
    for one in made:
        assert (await asking.ended(one.id)).state == "done"
        await asking.check_events(one.id)
    await worker.stop(5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_when_postgres_itself_dies_jobs_go_on_where_it_comes_back(tmp_path: Path) -> None:
    cluster = EmbeddedPostgres(tmp_path / "home")
    try:
        dsn = await cluster.start()
        await migrate(dsn)
        store = await Store.open(dsn, max_size=5)
        principal = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme")
        await add_tenant(store, principal.tenant_id)
        asking, worker = Asking(store, principal), worker_on(store)
        running = asyncio.create_task(worker.run(), name="worker")
        following = asyncio.create_task(asking.followers.run(store), name="followers")
        made, long = [asking.new() for _ in range(60)], asking.new("long")
        await asyncio.gather(*[asking.jobs.enqueue(one) for one in [*made, long]])
        await until(lambda: worker.busy > 0)
        before = worker.id
        signal_all(cluster.data_folder, signal.SIGKILL)
        await until(lambda: is_silent(cluster.log_file.parent.parent))
        await until(lambda: worker.id != before)  # unheard, it has stopped its jobs
        await store.move_to(await cluster.ensure_running())
        for one in made:
            assert (await asking.ended(one.id)).state == "done"
            await asking.check_events(one.id)
        job = await asking.jobs.get(principal.tenant_id, long.id)
        assert job.crashes == 0  # nobody died
        await asking.jobs.cancel(principal.tenant_id, long.id)
        assert (await asking.ended(long.id)).state == "cancelled"
        await worker.stop(5)
        for task in (running, following):
            task.cancel()
        await asyncio.gather(running, following, return_exceptions=True)
        await asking.jobs.aclose()
        await store.aclose()
    finally:
        await cluster.stop()
