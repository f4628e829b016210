"""What may be asked for, how much may wait, and what can be done with a job."""

import asyncio
from collections import Counter

import pytest

from tenfold.core.clock import FakeClock, SystemClock
from tenfold.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    TenfoldError,
    TooLarge,
)
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.backlog import RETRY_UNKNOWN_S, Backlog
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.names import job_name
from tenfold.jobs.ports import Jobs
from tenfold.jobs.submits import MOST_BYTES_TOGETHER, MOST_TOGETHER
from tenfold.jobs.types import MAX_INPUT_BYTES, NewJob, QueueState, Result
from tenfold.jobs.worker import JobWorker

from .flaky_rows import FlakyRows
from .parts import ACME, OTHER, Doing, Gate, add, job_of, new, running, until

ME = uuid7()


@pytest.fixture
def rows() -> FlakyRows:
    return FlakyRows(SystemClock())


def service_of(
    rows: FlakyRows, worker: JobWorker | None = None, *, most: int = 100, most_bytes: int = 10**9, in_all: int = 1000
) -> JobService:
    followers = Followers(rows)
    rows.on_told = lambda tenant_id, job_id: followers.hint(f"{tenant_id.hex}:{job_id.hex}")
    return JobService(
        rows,
        {"k", "other"},
        followers=followers,
        clock=SystemClock(),
        worker=worker,
        most_waiting=most,
        most_waiting_bytes=most_bytes,
        most_in_all=in_all,
        chance=lambda: 0.0,
    )


async def failed(rows: FlakyRows, *jobs: object, kind: str = "k") -> list[object]:
    made = [new(kind) for _ in range(2)]
    await add(rows, *made)
    for work in await rows.claim(ME, [kind], limit=len(made)):
        await rows.finish(work, ME, "failed", Result(), code="x", message="x")
    return [one.id for one in made]


def test_it_is_what_the_others_ask_for(rows: FlakyRows) -> None:
    jobs: Jobs = service_of(rows)
    assert jobs is not None


# -- asking -----------------------------------------------------------------------------------


async def test_a_tenant_has_its_turn_as_often_as_its_plan_says(rows: FlakyRows) -> None:
    """Four of the one for each of the other, while both have jobs that wait."""
    followers = Followers(rows)
    jobs = JobService(
        rows,
        {"k"},
        followers=followers,
        clock=SystemClock(),
        weight=lambda principal: {"pro": 4, None: 1}[principal.plan],
    )
    for plan in ("pro", None):
        principal = Principal(tenant_id=TenantId(uuid7()), tenant_slug="t", plan=plan)
        for _ in range(20):
            await jobs.enqueue(NewJob(kind="k", principal=principal))
    claimed = Counter([work.principal.plan for work in await rows.claim(ME, ["k"], limit=15)])
    assert claimed == {"pro": 12, None: 3}
    await jobs.aclose()


async def test_what_is_accepted_is_in_the_database(rows: FlakyRows) -> None:
    jobs, one = service_of(rows), new(input=b"in")
    assert (await jobs.enqueue(one)).state == "queued"
    assert await jobs.input(ACME.tenant_id, one.id) == b"in"
    assert (await jobs.get(ACME.tenant_id, one.id)).id == one.id
    assert (await jobs.enqueue(one)).id == one.id
    assert len(rows.jobs) == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"kind": "unknown"}, InvalidRequest),
        ({"kind": "x" * 1000}, InvalidRequest),
        ({"input": bytes(MAX_INPUT_BYTES + 1)}, TooLarge),
        ({"priority": -1}, InvalidRequest),
        ({"priority": 10}, InvalidRequest),
        ({"delay_s": -1.0}, InvalidRequest),
        ({"delay_s": float("nan")}, InvalidRequest),
        ({"delay_s": float("inf")}, InvalidRequest),
        ({"max_attempts": 0}, InvalidRequest),
        ({"subject": "a\0b"}, InvalidRequest),
        ({"dedup": "x" * 256}, InvalidRequest),
        ({"order_key": "x" * 256}, InvalidRequest),
    ],
)
async def test_what_makes_no_sense_is_refused(
    rows: FlakyRows, fields: dict[str, object], error: type[TenfoldError]
) -> None:
    jobs = service_of(rows)
    one = new(**{"kind": "k"} | fields)  # type: ignore[arg-type]
    for ask in (jobs.enqueue, jobs.start):
        with pytest.raises(error):
            await ask(one)
    assert rows.jobs == {}


async def test_a_tenant_has_so_many_that_wait_and_is_told_when_to_come_again(rows: FlakyRows) -> None:
    jobs = service_of(rows, most=20)
    for _ in range(20):
        await jobs.enqueue(new())
    for ask in (jobs.enqueue, jobs.start):
        with pytest.raises(RateLimited) as refused:
            await ask(new())
        assert refused.value.retry_after_s == RETRY_UNKNOWN_S  # nobody does any
    await jobs.enqueue(new(whose=OTHER))


async def test_bytes_have_their_bound_too(rows: FlakyRows) -> None:
    jobs = service_of(rows, most_bytes=100)
    await jobs.enqueue(new(input=bytes(60)))
    with pytest.raises(RateLimited):
        await jobs.enqueue(new(input=bytes(60)))
    await jobs.enqueue(new(input=bytes(40)))


async def test_all_together_have_a_bound(rows: FlakyRows) -> None:
    jobs = service_of(rows, in_all=30)
    for n in range(30):
        await jobs.enqueue(new(whose=(ACME, OTHER)[n % 2]))
    with pytest.raises(Overloaded) as refused:
        await jobs.enqueue(new())
    assert refused.value.retry_after_s == RETRY_UNKNOWN_S
    assert rows.calls["state"] == 1  # what it adds itself it knows


async def test_while_the_database_is_away_nothing_is_accepted(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await jobs.enqueue(new())


async def test_the_time_to_come_again_follows_the_rate() -> None:
    clock = FakeClock()
    rows = FlakyRows(clock)
    states: dict[object, QueueState] = {}

    def state(waiting: int, running: int, drain_per_s: float) -> QueueState:
        return QueueState(
            waiting=waiting,
            later=0,
            running=running,
            workers=1,
            slots=8,
            drain_per_s=drain_per_s,
            oldest_wait_s=0,
            dead=0,
        )

    async def told(tenant_id: object) -> QueueState:
        rows.calls["state"] += 1
        return states[tenant_id]

    rows.state = told  # type: ignore[method-assign]
    states[None], states[ACME.tenant_id] = state(900, 8, 10), state(100, 2, 0)
    backlog = Backlog(rows, most=1000, clock=clock, chance=lambda: 0.0)
    # A quarter of what runs is the tenant's: 2.5 a second; 10 are to go.
    assert await backlog.retry_after_of(ACME.tenant_id, 100) == pytest.approx(4.0)
    assert await backlog.retry_after_of(ACME.tenant_id, 100) == pytest.approx(4.0)
    assert rows.calls["state"] == 2
    assert not await backlog.is_full()
    for _ in range(100):
        backlog.count()
    assert await backlog.is_full()
    assert backlog.retry_after_s() == pytest.approx(10.0)
    clock.advance(1)
    states[None] = state(10, 8, 0.0)
    assert await backlog.is_full()  # as it was; it is being asked
    await backlog.aclose()
    assert not await backlog.is_full()
    assert backlog.retry_after_s() == RETRY_UNKNOWN_S
    late = Backlog(rows, most=1000, clock=clock, chance=lambda: 1.0)
    states[None] = state(100_000, 8, 1.0)
    assert await late.is_full()
    assert late.retry_after_s() == 600.0


# -- together ---------------------------------------------------------------------------------


async def test_those_that_come_during_a_commit_share_the_next(rows: FlakyRows) -> None:
    jobs = service_of(rows, most=1000)
    rows.gate = asyncio.Event()
    first = asyncio.create_task(jobs.enqueue(new()))
    await until(lambda: rows.adds == [1])
    made = [new() for _ in range(MOST_TOGETHER + 5)]
    rest = [asyncio.create_task(jobs.enqueue(one)) for one in made]
    others = asyncio.create_task(jobs.enqueue(new(whose=OTHER)))
    await until(lambda: rows.adds == [1, 1])  # another tenant does not wait
    rows.gate.set()
    assert [(await task).id for task in rest] == [one.id for one in made]
    await first
    await others
    assert rows.adds == [1, 1, MOST_TOGETHER, 5]


async def test_large_ones_do_not_go_together(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    rows.gate = asyncio.Event()
    large = MOST_BYTES_TOGETHER // 2 + 1
    tasks = [asyncio.create_task(jobs.enqueue(new(input=bytes(large)))) for _ in range(4)]
    await until(lambda: rows.adds == [1])
    rows.gate.set()
    await asyncio.gather(*tasks)
    assert rows.adds == [1, 1, 1, 1]


async def test_one_that_the_database_does_not_take_fails_alone(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    rows.gate = asyncio.Event()
    first = asyncio.create_task(jobs.enqueue(new()))
    await until(lambda: rows.adds == [1])
    bad = asyncio.create_task(jobs.enqueue(new(subject="bad")))
    good = asyncio.create_task(jobs.enqueue(new()))
    await asyncio.sleep(0)
    rows.gate.set()
    with pytest.raises(ValueError, match="bad"):
        await bad
    assert (await good).state == (await first).state == "queued"


async def test_who_does_not_wait_for_the_answer_takes_nobody_along(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    rows.gate = asyncio.Event()
    first = asyncio.create_task(jobs.enqueue(new()))
    await until(lambda: rows.adds == [1])
    gone = asyncio.create_task(jobs.enqueue(new()))
    stays = asyncio.create_task(jobs.enqueue(new()))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    rows.gate.set()
    await jobs.aclose()
    assert (await first).state == (await stays).state == "queued"
    assert len(rows.jobs) == 3


# -- at once ----------------------------------------------------------------------------------


async def test_what_somebody_waits_for_begins_at_once_in_this_process(rows: FlakyRows) -> None:
    gate, one = Gate(), new()
    worker = JobWorker(rows, [Doing(gate)], clock=SystemClock(), poll_s=3600.0, slots=1)
    jobs = service_of(rows, worker)
    rows.on_ready = worker.wake
    async with running(worker):
        await until(lambda: worker.beating)
        claims = rows.calls["claim"]
        assert (await jobs.start(one)).state == "running"
        await gate.begun.acquire()
        assert rows.calls["claim"] == claims
        assert (await jobs.start(new())).state == "queued"  # there is no slot
        gate.open.set()
        assert (await jobs.wait(ACME.tenant_id, one.id, 20)).state == "done"
        assert await jobs.result(ACME.tenant_id, one.id) == b"through"
        await until(lambda: all(job.ended for job in rows.jobs.values()))


async def test_a_start_that_is_asked_for_twice_is_one(rows: FlakyRows) -> None:
    handler, one = Doing(Gate()), new()
    worker = JobWorker(rows, [handler], clock=SystemClock(), poll_s=3600.0)
    jobs = service_of(rows, worker)
    async with running(worker):
        await until(lambda: worker.beating)
        first, second = await asyncio.gather(jobs.start(one), jobs.start(one))
        assert first.id == second.id
        await until(lambda: len(handler.done) == 1)
        await jobs.cancel(ACME.tenant_id, one.id)
        await until(lambda: job_of(rows, one).state == "cancelled")
    assert len(handler.done) == 1
    assert worker.busy == 0


async def test_one_that_was_added_but_could_not_be_loaded_begins_all_the_same(rows: FlakyRows) -> None:
    one = new()
    worker = JobWorker(rows, [Doing()], clock=SystemClock(), poll_s=3600.0, look_s=0.01)
    jobs = service_of(rows, worker)
    work = rows.work

    async def once(*_args: object) -> None:
        rows.work = work  # type: ignore[method-assign]
        raise StoreUnavailable("away")

    async with running(worker):
        await until(lambda: worker.beating)
        rows.work = once  # type: ignore[method-assign,assignment]
        assert (await jobs.start(one)).state == "running"
        await until(lambda: job_of(rows, one).state == "done")


async def test_without_a_worker_it_waits(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    assert (await jobs.start(new())).state == "queued"
    stopped = JobWorker(rows, [Doing()], clock=SystemClock())
    jobs.begin_in(stopped)
    assert (await jobs.start(new())).state == "queued"


# -- what can be done with one ----------------------------------------------------------------


async def test_a_waiting_job_is_cancelled_and_what_follows_is_there(rows: FlakyRows) -> None:
    jobs, one, after = service_of(rows), new(), new("other")
    await jobs.enqueue(one)
    assert (await jobs.cancel(ACME.tenant_id, one.id, then=(after,))).state == "cancelled"
    assert job_of(rows, after).state == "queued"
    assert (await jobs.cancel(ACME.tenant_id, one.id)).state == "cancelled"
    assert len(rows.jobs) == 2


async def test_a_running_one_is_cancelled_at_once_where_it_runs(rows: FlakyRows) -> None:
    gate, one = Gate(), new()
    worker = JobWorker(rows, [Doing(gate)], clock=SystemClock(), look_s=3600.0)
    jobs = service_of(rows, worker)
    async with running(worker):
        await until(lambda: worker.beating)
        await jobs.start(one)
        await gate.begun.acquire()
        assert (await jobs.cancel(ACME.tenant_id, one.id)).cancel_requested
        assert (await jobs.wait(ACME.tenant_id, one.id, 20)).state == "cancelled"


async def test_what_has_ended_cannot_be_cancelled_and_what_has_not_cannot_be_redriven(rows: FlakyRows) -> None:
    jobs, one = service_of(rows), new()
    await jobs.enqueue(one)
    with pytest.raises(Conflict, match="queued"):
        await jobs.redrive(ACME.tenant_id, one.id)
    with pytest.raises(Conflict, match="Cancel it first"):
        await jobs.discard(ACME.tenant_id, one.id)
    (work,) = await rows.claim(ME, ["k"], limit=1)
    await rows.finish(work, ME, "done", Result())
    with pytest.raises(Conflict, match="done"):
        await jobs.cancel(ACME.tenant_id, one.id)
    await jobs.discard(ACME.tenant_id, one.id)
    with pytest.raises(NotFound):
        await jobs.get(ACME.tenant_id, one.id)


async def test_another_tenants_job_is_none(rows: FlakyRows) -> None:
    jobs, one = service_of(rows), new()
    await jobs.enqueue(one)
    for ask in (jobs.get, jobs.cancel, jobs.redrive, jobs.discard):
        with pytest.raises(NotFound):
            await ask(OTHER.tenant_id, one.id)
    assert await jobs.result(OTHER.tenant_id, one.id) is None
    assert await jobs.input(OTHER.tenant_id, one.id) is None
    assert (await jobs.list(OTHER.tenant_id)).items == []
    assert job_of(rows, one).state == "queued"


async def test_dead_letters_are_redriven_or_discarded_all_at_once(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    for _ in range(60):
        await failed(rows)
    await failed(rows, kind="other")
    assert await jobs.redrive_all(OTHER.tenant_id) == 0
    assert await jobs.redrive_all(ACME.tenant_id, kind="k") == 120
    assert await jobs.discard_all(ACME.tenant_id) == 2
    assert len(rows.jobs) == 120


async def test_one_that_fails_again_meanwhile_is_not_redriven_for_ever(rows: FlakyRows) -> None:
    jobs = service_of(rows)
    await failed(rows)
    redrive = rows.redrive

    async def again(*args: object) -> object:
        job = await redrive(*args)  # type: ignore[arg-type]
        for work in await rows.claim(ME, ["k"], limit=9):
            await rows.finish(work, ME, "failed", Result(), code="x", message="x")
        return job

    rows.redrive = again  # type: ignore[method-assign,assignment]
    assert await jobs.redrive_all(ACME.tenant_id) == 2


async def test_jobs_come_in_pages(rows: FlakyRows) -> None:
    jobs, made = service_of(rows), [new() for _ in range(7)]
    await add(rows, *made)
    ids = sorted((one.id for one in made), reverse=True)
    found, cursor = [], None
    for _ in range(4):
        page = await jobs.list(ACME.tenant_id, cursor=cursor, limit=2, state="queued", kind="k")
        found += [job.id for job in page.items]
        cursor = page.cursor
    assert found == ids
    assert cursor is None
    assert (await jobs.list(ACME.tenant_id, limit=7)).cursor is None
    assert (await jobs.list(ACME.tenant_id, limit=6)).cursor == job_name(ids[5])
    assert (await jobs.list(ACME.tenant_id, state="failed")).items == []


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 101}, {"cursor": "x"}, {"cursor": ""}, {"state": "lost"}, {"kind": "a\0"}]
)
async def test_what_is_no_page_is_refused(rows: FlakyRows, asked: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await service_of(rows).list(ACME.tenant_id, **asked)  # type: ignore[arg-type]
