"""What only Postgres must uphold: walls between tenants, hints, and whoever comes at the same moment."""

import asyncio
import random
import re
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs import claim_queries, queries, read_queries, steps
from tenfold.jobs.ports import READY, TOLD
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import Job, Progress, Result, Work
from tenfold.store import Store
from tests.jobs.rows import KIND, Rows, new_job, postgres_rows
from tests.ledger.samples import add_tenant


@pytest.fixture
async def real(store: Store, database: str) -> Rows:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    for tenant_id in tenants:
        await add_tenant(store, tenant_id)
    return postgres_rows(tenants, store, database)


async def until(condition: object, hints: list[str]) -> None:
    async with asyncio.timeout(10):
        while condition not in hints:
            await asyncio.sleep(0.01)


async def test_row_level_security_holds_without_the_tenant_in_the_query(real: Rows, store: Store) -> None:
    mine, other = real.tenants
    work = await real.begun()
    await real.rows.tell(work, real.worker, None, [("output", b"a")], after=0)
    for table in ("jobs", "job_events"):
        async with store.tenant(other) as tx:
            assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 0
        async with store.directory() as tx:
            assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 0
        async with store.tenant(mine) as tx:
            assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.tenant(mine) as tx:
            await tx.execute("UPDATE jobs SET tenant_id = $1", other)


async def test_the_queue_holds_nothing_of_what_a_tenant_says(real: Rows, store: Store) -> None:
    secret = "customer-4711"
    await real.added(order_key=secret, dedup=secret, subject=secret, input=secret.encode())
    async with store.directory() as tx:
        rows = await tx.fetch("SELECT to_jsonb(q)::text AS told FROM job_queue q")
    assert [secret in row["told"] for row in rows] == [False]


async def test_nothing_of_the_input_is_left_once_it_is_done(real: Rows, store: Store) -> None:
    await real.added(3, input=b"what was asked")
    works = await real.claim(3)
    for work, state in zip(works[:2], ("done", "cancelled"), strict=True):
        await real.rows.finish(work, real.worker, state, Result())  # type: ignore[arg-type]
    async with store.tenant(real.tenants[0]) as tx:
        rows = await tx.fetch("SELECT input FROM jobs ORDER BY id")
    assert [row["input"] for row in rows] == [b"", b"", b"what was asked"]


async def test_an_end_and_what_follows_it_are_one(real: Rows) -> None:
    work = await real.begun()
    bad = new_job(real.tenants[0], kind="x" * 41)
    good = new_job(real.tenants[0])
    with pytest.raises(asyncpg.CheckViolationError):
        await real.rows.finish(work, real.worker, "done", Result(then=(good, bad)))
    assert (await real.found(work.job.id)).state == "running"
    assert await real.rows.find(real.tenants[0], good.id) is None
    assert await real.rows.events(real.tenants[0], work.job.id, after=0, limit=9) == []


# -- hints -----------------------------------------------------------------------------------


async def test_workers_and_followers_are_hinted(real: Rows, store: Store) -> None:
    ready: list[str] = []
    told: list[str] = []
    await store.listen(READY, lambda _payload: ready.append(""))
    await store.listen(TOLD, told.append)

    async def hinted(*, of: UUID | None) -> None:
        if of is None:
            await until("", ready)
        else:
            await until(f"{real.tenants[0].hex}:{of.hex}", told)
        ready.clear()
        told.clear()

    [job_id] = await real.added(max_attempts=2)
    await hinted(of=None)
    [work] = await real.claim()
    await real.rows.tell(work, real.worker, Progress(done=1), [], after=0)
    await hinted(of=job_id)
    await real.rows.cancel(real.tenants[0], job_id)
    await hinted(of=job_id)
    await real.rows.give_back(work, real.worker)
    await hinted(of=None)
    [work] = await real.claim()
    await real.rows.retry(work, real.worker, 0, cost_nano=0, code="c", message="m")
    await hinted(of=None)
    [work] = await real.claim()
    await real.rows.finish(work, real.worker, "failed", Result(then=(new_job(real.tenants[0]),)), code="c", message="m")
    await until("", ready)
    await hinted(of=job_id)
    await real.rows.redrive(real.tenants[0], job_id)
    await hinted(of=None)
    await real.added(delay_s=5)
    await real.let_pass(6)
    ready.clear()
    await real.rows.beat(real.worker, slots=1, busy=0, ended=0)
    await hinted(of=None)


async def test_a_hint_that_cannot_be_sent_is_no_error(real: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_self: Store, _hints: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Store, "notify_all", away)
    work = await real.begun()
    assert await real.rows.finish(work, real.worker, "done", Result())


# -- take-over -------------------------------------------------------------------------------


def no_follower(_kind: str) -> str | None:
    return None


async def test_of_several_that_take_over_each_job_is_taken_once(real: Rows, store: Store) -> None:
    jobs = await real.added(8)
    await real.claim(8)
    await real.rows.beat(real.worker, slots=8, busy=8, ended=0)
    clock = FakeClock()
    takers = [PostgresJobRows(store, clock) for _ in range(4)]
    taken = 0
    for _ in range(8):
        clock.advance(1)
        taken += sum(await asyncio.gather(*(one.take_over(dead_after_s=5, then=no_follower) for one in takers)))
    assert taken == 8
    assert [(await real.found(job_id)).crashes for job_id in jobs] == [1] * 8


async def test_nobody_dies_of_a_clock_that_jumps(real: Rows, database: str, store: Store) -> None:
    """Of the database: all signs of life are old at once."""
    await real.begun()
    await real.rows.beat(real.worker, slots=1, busy=1, ended=0)
    clock = FakeClock()
    taker = PostgresJobRows(store, clock)
    owner = await asyncpg.connect(database)
    try:
        for _ in range(9):
            assert await taker.take_over(dead_after_s=5, then=no_follower) == 0
            await owner.execute("UPDATE tenfold.job_workers SET seen_at = seen_at - interval '1 hour'")
            clock.advance(1)
    finally:
        await owner.close()


async def test_nobody_dies_while_nobody_looks(real: Rows, store: Store) -> None:
    """The database was away: the workers could not be heard. They are given the time again."""
    await real.begun()
    clock = FakeClock()
    taker = PostgresJobRows(store, clock)
    for gap_s in (0, 3, 3, 3, 3):
        clock.advance(gap_s)
        assert await taker.take_over(dead_after_s=5, then=no_follower) == 0


async def test_of_an_end_and_a_take_over_at_once_one_counts(real: Rows, store: Store) -> None:
    clock = FakeClock()
    for _ in range(5):
        taker = PostgresJobRows(store, clock)
        work = await real.begun()
        for _ in range(7):
            clock.advance(1)
            assert await taker.take_over(dead_after_s=7, then=no_follower) == 0
        clock.advance(1)
        ended, taken = await asyncio.gather(
            real.rows.finish(work, real.worker, "done", Result()), taker.take_over(dead_after_s=7, then=no_follower)
        )
        job = await real.found(work.job.id)
        assert (ended, taken, job.state) in ((True, 0, "done"), (False, 1, "queued"))
        await real.rows.cancel(real.tenants[0], work.job.id)


# -- at the same moment ----------------------------------------------------------------------


async def test_whatever_happens_at_once_each_job_ends_once(real: Rows, store: Store) -> None:
    """Five workers that do, lose and give back jobs, while somebody cancels and redrives them."""
    chance = random.Random(5)
    ids = [*await real.added(60), *await real.added(20, order_key="k")]
    done: Counter[UUID] = Counter()
    running: Counter[str] = Counter()

    async def work_on(holder: UUID) -> None:
        idle = 0
        while idle < 20:
            works = await real.rows.claim(holder, [KIND], limit=4)
            idle = 0 if works else idle + 1
            await asyncio.gather(*(do(work, holder) for work in works))
            await asyncio.sleep(0.005 if not works else 0)

    async def do(work: Work, holder: UUID) -> None:
        key = work.new.order_key or work.job.id.hex
        running[key] += 1
        assert running[key] == 1  # of an order_key, too
        await real.rows.tell(work, holder, None, [("output", b"x")], after=work.events)
        running[key] -= 1
        kind = chance.random()
        if kind < 0.2:
            await real.rows.give_back(work, holder)
        elif kind < 0.4:
            await real.rows.retry(work, holder, 0, cost_nano=0, code="c", message="m")
        elif kind < 0.5:
            await real.rows.finish(work, holder, "failed", Result(), code="c", message="m")
        elif await real.rows.finish(work, holder, "done", Result(output=b"1")):
            done[work.job.id] += 1

    async def meddle() -> None:
        for _ in range(60):
            job_id = chance.choice(ids)
            await real.rows.cancel(real.tenants[0], job_id)
            await real.rows.redrive(real.tenants[0], chance.choice(ids))

    await asyncio.gather(*(work_on(uuid7()) for _ in range(5)), meddle())
    jobs: list[Job] = [await real.found(job_id) for job_id in ids]
    assert Counter(job.state for job in jobs).keys() <= {"done", "failed", "cancelled"}
    assert set(done.values()) == {1}
    assert {job.id for job in jobs if job.state == "done"} == set(done)
    for job in jobs:
        events = await real.rows.events(real.tenants[0], job.id, after=0, limit=1000)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert events[-1].kind == "ended"
    async with store.directory() as tx:
        assert await tx.fetchval("SELECT count(*) FROM job_queue") == 0


async def test_adding_the_same_from_everywhere_is_one_job(real: Rows) -> None:
    mine = real.tenants[0]
    told = await asyncio.gather(
        *(real.rows.add(mine, [new_job(mine, dedup="tick")], weight=1, most=9, most_bytes=999) for _ in range(8))
    )
    jobs = {job.id for [job] in told if job is not None}
    assert len(jobs) == 1
    assert [None] not in told


async def test_the_bound_is_exact_far_from_it_as_well(real: Rows) -> None:
    """What was counted a second ago is not believed for long, and not near the bound."""
    mine = real.tenants[0]
    most = 1200
    added = 0
    for size in (100, 100, 300, 300, 300, 300):
        told = await real.rows.add(
            mine, [new_job(mine, id=real.next_id()) for _ in range(size)], weight=1, most=most, most_bytes=10**9
        )
        added += sum(job is not None for job in told)
    assert added == most
    assert (await real.rows.state(mine)).waiting == most


# -- plans -----------------------------------------------------------------------------------


PLANNED = {
    "turns": (claim_queries.TURNS, 1),  # the first of all tenants is the first of all rows
    "take": (claim_queries.TAKE, 0),
    "claimed": (claim_queries.CLAIMED, 0),
    "insert": (steps.INSERT, 0),
    "end": (steps.END, 0),
    "tell": (queries.TELL, 0),
    "retry": (queries.RETRY, 0),
    "find": (read_queries.FIND, 0),
    "page": (read_queries.PAGE_OF, 0),
}


@pytest.mark.parametrize("name", PLANNED)
async def test_a_plan_made_while_the_queue_was_empty_is_good_when_it_is_full(
    name: str, store: Store, database: str
) -> None:
    """No plan reads a whole table; those that do cost as much as any other as long as it is empty."""
    owner = await asyncpg.connect(database)
    await owner.execute("VACUUM ANALYZE tenfold.job_queue, tenfold.jobs, tenfold.job_turns")
    await owner.close()
    query, most = PLANNED[name]
    async with store.directory(by_index=True) as tx:
        await tx.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await tx.execute(f"PREPARE planned AS {query}")
        nothing = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", query))))
        [told] = await tx.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE planned({nothing})")
    assert whole_reads(told["Plan"]) == most


def whole_reads(plan: dict[str, Any]) -> int:
    """How many steps read a table of jobs without looking for anything in it."""
    reads = plan.get("Relation Name") in ("jobs", "job_queue", "job_events") and plan["Node Type"] != "ModifyTable"
    looks_for = "Index Cond" in plan or plan["Node Type"] == "Tid Scan"
    return (reads and not looks_for) + sum(whole_reads(part) for part in plan.get("Plans", ()))
