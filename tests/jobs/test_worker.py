"""A worker over rows in memory: what it begins, what it stops, and what it gives back."""

import asyncio

import pytest

from tenfold.core.clock import FakeClock, SystemClock
from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.ports import JobContext
from tenfold.jobs.rules import room_left
from tenfold.jobs.types import MAX_CRASHES, Result
from tenfold.jobs.worker import DEAD_AFTER_S, PATIENCE_S, JobWorker

from .flaky_rows import FlakyRows
from .parts import ACME, OTHER, Doing, Gate, Observed, add, job_of, new, nothing, running, until

FAST_S = 0.02


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rows() -> FlakyRows:
    return FlakyRows(SystemClock())


def worker_of(rows: FlakyRows, *handlers: Doing, slots: int = 4, observer: Observed | None = None) -> JobWorker:
    return JobWorker(
        rows,
        handlers,
        clock=SystemClock(),
        slots=slots,
        observer=observer,
        poll_s=FAST_S,
        beat_s=FAST_S,
        look_s=FAST_S,
        look_for_dead_s=FAST_S,
    )


def all_done(rows: FlakyRows) -> bool:
    return all(job.ended for job in rows.jobs.values())


async def test_jobs_are_done_as_many_at_once_as_there_are_slots(rows: FlakyRows) -> None:
    at_once = most = 0

    async def do(_job: JobContext) -> Result:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        return Result()

    handler, observed = Doing(do), Observed()
    for whose in (ACME, OTHER):
        await add(rows, *[new(whose=whose) for _ in range(20)])
    async with running(worker_of(rows, handler, slots=4, observer=observed)):
        await until(lambda: all_done(rows))
    assert most == 4
    assert len(handler.done) == len({work.job.id for work in handler.done}) == 40
    assert observed.how == ["done"] * 40
    assert len(observed.waited) == 40


async def test_kinds_it_cannot_do_are_left_to_others(rows: FlakyRows) -> None:
    mine, others = new("mine"), new("others")
    await add(rows, others, mine)
    async with running(worker_of(rows, Doing(kind="mine"))):
        await until(lambda: job_of(rows, mine).ended)
    assert job_of(rows, others).state == "queued"


async def test_one_that_wants_all_slots_leaves_some_for_the_others(rows: FlakyRows) -> None:
    gate = Gate()
    many = [new() for _ in range(30)]
    await add(rows, *many)
    worker = JobWorker(rows, [Doing(gate)], clock=SystemClock(), slots=8, poll_s=3600.0)
    rows.on_ready = worker.wake
    async with running(worker):
        for _ in range(6):
            await gate.begun.acquire()
        late = new(whose=OTHER)
        await add(rows, late)
        await gate.begun.acquire()
        assert job_of(rows, late).state == "running"
        assert sum(job_of(rows, one).state == "running" for one in many) == 6
        assert not worker.reserve("k", ACME.tenant_id)
        assert worker.reserve("k", uuid7())  # type: ignore[arg-type]
        worker.release()
        gate.open.set()
        await until(lambda: all_done(rows))


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 5, 8, 32, 33])
def test_room_is_never_all_and_never_none(slots: int) -> None:
    tenants = [TenantId(uuid7()) for _ in range(5)]
    running: dict[TenantId, int] = {}
    for tenant_id in tenants:
        free = slots - sum(running.values())
        room = room_left(free, running)
        assert 0 <= room.left(tenant_id) <= free
        assert (room.left(tenant_id) > 0) == (free > 0)
        running[tenant_id] = room.left(tenant_id)
        assert room_left(free - running[tenant_id], running).left(tenant_id) <= 0  # it has what it may have
    assert slots < 4 or running[tenants[0]] < slots


async def test_a_hint_wakes_it(rows: FlakyRows) -> None:
    worker = JobWorker(rows, [Doing()], clock=SystemClock(), poll_s=3600.0)
    rows.on_ready = worker.wake
    async with running(worker):
        await until(lambda: worker.beating)
        one = new()
        await add(rows, one)
        await until(lambda: job_of(rows, one).ended)


async def test_what_fails_for_a_moment_is_tried_again_until_it_is_a_dead_letter(rows: FlakyRows) -> None:
    async def fail(_job: JobContext) -> Result:
        raise Overloaded("a moment")

    one = new(max_attempts=3, first_retry_s=0.01)
    handler = Doing(fail, after_death="k.dead")
    afterwards = Doing(kind="k.dead")
    await add(rows, one)
    async with running(worker_of(rows, handler, afterwards)):
        await until(lambda: len(afterwards.done) == 1)
    assert (job_of(rows, one).state, job_of(rows, one).attempts) == ("failed", 3)
    assert len(handler.done) == 3


async def test_somebody_elses_wish_reaches_a_running_job(rows: FlakyRows) -> None:
    one, gate = new(), Gate()
    await add(rows, one)
    async with running(worker_of(rows, Doing(gate))):
        await gate.begun.acquire()
        await rows.cancel(ACME.tenant_id, one.id)
        await until(lambda: job_of(rows, one).state == "cancelled")


async def test_a_claim_that_was_not_answered_is_found(rows: FlakyRows) -> None:
    one = new()
    await add(rows, one)
    rows.unheard["claim"] = 1
    async with running(worker_of(rows, Doing())):
        await until(lambda: job_of(rows, one).state == "done")
    assert rows.calls["work"] == 1


async def test_a_job_that_is_anothers_is_stopped(rows: FlakyRows) -> None:
    one, gate, observed = new(), Gate(), Observed()
    await add(rows, one)
    async with running(worker_of(rows, Doing(gate), observer=observed)):
        await gate.begun.acquire()
        rows.give_away(one)
        await until(lambda: observed.how == ["lost"])
    assert job_of(rows, one).state == "running"


async def test_while_the_database_is_away_it_waits_and_goes_on(rows: FlakyRows) -> None:
    one = new()
    await add(rows, one)
    rows.away = True
    worker = worker_of(rows, Doing())
    async with running(worker):
        await until(lambda: rows.calls["beat"] > 2)
        assert not worker.beating
        rows.away = False
        await until(lambda: job_of(rows, one).state == "done")


async def test_a_handlers_bug_is_one_jobs_end(rows: FlakyRows) -> None:
    broken, sound = new("broken"), new()

    async def bug(_job: JobContext) -> Result:
        raise ZeroDivisionError

    await add(rows, broken, sound)
    async with running(worker_of(rows, Doing(bug, "broken"), Doing())):
        await until(lambda: all_done(rows))
    assert (job_of(rows, broken).state, job_of(rows, sound).state) == ("failed", "done")


# -- stopping ---------------------------------------------------------------------------------


async def test_stopped_it_lets_jobs_end_and_leaves(rows: FlakyRows) -> None:
    one, gate = new(), Gate()
    await add(rows, one)
    worker = worker_of(rows, Doing(gate))
    async with running(worker):
        await gate.begun.acquire()
        stopping = asyncio.create_task(worker.stop(20))
        late = new()
        await add(rows, late)
        beats = rows.calls["beat"]
        await until(lambda: rows.calls["beat"] > beats + 2)  # it lives, meanwhile
        gate.open.set()
        await stopping
    assert (job_of(rows, one).state, job_of(rows, late).state) == ("done", "queued")
    assert not rows.lives(worker.id)


async def test_what_does_not_end_in_time_is_given_back(rows: FlakyRows) -> None:
    one, gate = new(), Gate()
    await add(rows, one)
    worker = worker_of(rows, Doing(gate))
    async with running(worker):
        await gate.begun.acquire()
        await worker.stop(0.01)
    assert (job_of(rows, one).state, job_of(rows, one).attempts) == ("queued", 0)
    assert not rows.lives(worker.id)


async def test_one_that_cannot_give_back_does_not_say_that_it_left(
    rows: FlakyRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.jobs.worker.GIVE_BACK_S", 0.05)
    one, gate = new(), Gate()
    await add(rows, one)
    worker = worker_of(rows, Doing(gate))
    async with running(worker):
        await gate.begun.acquire()
        rows.away = True
        await worker.stop(0.01)
    assert rows.calls["leave"] == 0
    assert job_of(rows, one).state == "running"


async def test_stopped_it_begins_nothing(rows: FlakyRows) -> None:
    worker = worker_of(rows, Doing())
    await worker.beat()
    await worker.stop(0)
    assert not worker.reserve("k", ACME.tenant_id)
    await add(rows, new())
    await worker.claim()
    assert rows.calls["claim"] == 0


# -- the heart --------------------------------------------------------------------------------


async def test_unheard_for_too_long_it_gives_back_and_begins_a_new_life(clock: FakeClock) -> None:
    rows, gate, one = FlakyRows(clock), Gate(), new()
    worker = JobWorker(rows, [Doing(gate)], clock=clock)
    await add(rows, one)
    await worker.beat()
    await worker.claim()
    await gate.begun.acquire()
    old = worker.id
    rows.away = True
    clock.advance(PATIENCE_S - 0.1)
    worker.check_heart()
    assert worker.id == old
    clock.advance(0.1)
    worker.check_heart()
    worker.check_heart()
    assert worker.id != old
    assert not worker.beating
    assert not worker.reserve("k", ACME.tenant_id)
    await until(lambda: rows.calls["give_back"] > 0)
    rows.away = False
    await until(lambda: job_of(rows, one).state == "queued")
    assert job_of(rows, one).crashes == 0
    await worker.beat()
    await worker.claim()
    await gate.begun.acquire()
    gate.open.set()
    await until(lambda: job_of(rows, one).state == "done")


async def test_what_was_done_before_is_written_though_nobody_heard_of_the_worker(clock: FakeClock) -> None:
    rows, one = FlakyRows(clock), new()

    async def do(_job: JobContext) -> Result:
        rows.away = True
        return Result(output=b"dear")

    worker = JobWorker(rows, [Doing(do)], clock=clock)
    await add(rows, one)
    await worker.beat()
    await worker.claim()
    await until(lambda: rows.calls["finish"] > 0)
    clock.advance(PATIENCE_S)
    worker.check_heart()
    rows.away = False
    await until(lambda: job_of(rows, one).state == "done")


async def test_a_jump_of_the_wall_clock_stops_nothing(clock: FakeClock) -> None:
    rows, gate, one = FlakyRows(clock), Gate(), new()
    worker = JobWorker(rows, [Doing(gate)], clock=clock)
    await add(rows, one)
    await worker.beat()
    await worker.claim()
    await gate.begun.acquire()
    old = worker.id
    clock._start = clock.now().replace(year=2031)
    worker.check_heart()
    assert worker.id == old
    gate.open.set()
    await until(lambda: job_of(rows, one).state == "done")


async def test_it_takes_over_from_the_dead(clock: FakeClock) -> None:
    rows, observed, one = FlakyRows(clock), Observed(), new()
    dead = uuid7()
    await add(rows, one)
    await rows.beat(dead, slots=1, busy=0, ended=0)
    await rows.claim(dead, ["k"], limit=1)
    worker = JobWorker(rows, [Doing()], clock=clock, observer=observed)
    await worker.beat()
    clock.advance(DEAD_AFTER_S - 1)
    await worker.beat()
    await worker.look_for_dead()
    assert job_of(rows, one).state == "running"
    clock.advance(1)
    await worker.look_for_dead()
    await worker.claim()
    await until(lambda: job_of(rows, one).state == "done")
    assert job_of(rows, one).crashes == 1
    assert observed.taken == 1


async def test_unheard_itself_it_takes_nobody_for_dead(clock: FakeClock) -> None:
    rows = FlakyRows(clock)
    worker = JobWorker(rows, [Doing()], clock=clock)
    await worker.look_for_dead()
    assert rows.calls["take_over"] == 0
    await worker.beat()
    await worker.look_for_dead()
    assert rows.calls["take_over"] == 1
    clock.advance(60)
    await worker.look_for_dead()
    assert rows.calls["take_over"] == 1


async def test_a_job_that_kills_its_workers_is_poison(clock: FakeClock) -> None:
    rows, one = FlakyRows(clock), new(subject="batch_1")
    await add(rows, one)
    worker = JobWorker(rows, [Doing(after_death="k.dead"), Doing(kind="k.dead")], clock=clock)
    for _ in range(MAX_CRASHES):
        assert job_of(rows, one).state == "queued"
        dead = uuid7()
        await rows.beat(dead, slots=1, busy=0, ended=0)
        await rows.claim(dead, ["k"], limit=1)
        clock.advance(DEAD_AFTER_S)
        await worker.beat()
        await worker.look_for_dead()
    assert (job_of(rows, one).state, job_of(rows, one).error_code) == ("failed", "poison")
    await worker.claim()
    (follow_up,) = [made for made in rows.asked if made.kind == "k.dead"]
    await until(lambda: job_of(rows, follow_up).state == "done")
    assert follow_up.input == one.id.hex.encode()


async def test_a_claim_that_is_answered_in_the_next_life_is_given_back(clock: FakeClock) -> None:
    rows, handler, one = FlakyRows(clock), Doing(nothing), new()
    worker = JobWorker(rows, [handler], clock=clock)
    await add(rows, one)
    await worker.beat()
    claiming = asyncio.create_task(worker.claim())
    await asyncio.sleep(0)
    clock.advance(PATIENCE_S)
    worker.check_heart()
    await claiming
    await until(lambda: job_of(rows, one).state == "queued")
    assert handler.done == []
