"""Jobs that workers died with: which of them was the cause shows when they are begun one at a time."""

from uuid import UUID

from tenfold.core.ids import uuid7
from tenfold.jobs.types import MAX_CRASHES, SUSPECT_CRASHES, SUSPECT_S, Result, Room
from tests.jobs.rows import KIND, Rows


async def look(rows: Rows, seconds: int) -> None:
    """Somebody looks for the dead, once a second."""
    for _ in range(seconds):
        await rows.rows.take_over(dead_after_s=5, then=lambda _kind: None)
        await rows.let_pass(1)


async def suspects(rows: Rows, count: int) -> list[UUID]:
    ids = await rows.added(count)
    for _ in range(SUSPECT_CRASHES):
        assert len(await rows.claim(count + 1, by=uuid7())) == count
        await look(rows, 7)
    return ids


async def test_of_suspects_a_worker_gets_one_at_a_time(rows: Rows) -> None:
    ids = await suspects(rows, 3)
    one, other = uuid7(), uuid7()
    [first] = await rows.claim(9, by=one)
    [second] = await rows.claim(9, by=other)
    assert await rows.claim(9, by=one) == []
    assert {first.job.id, second.job.id} < set(ids)
    assert (first.job.state, first.job.crashes, first.job.attempts) == ("running", SUSPECT_CRASHES, SUSPECT_CRASHES + 1)
    assert await rows.rows.finish(first, one, "done", Result())
    [third] = await rows.claim(9, by=one)
    assert {first.job.id, second.job.id, third.job.id} == set(ids)


async def test_one_that_has_lived_a_while_keeps_no_other_waiting(rows: Rows) -> None:
    await suspects(rows, 2)
    [_] = await rows.claim(9)
    assert await rows.claim(9) == []
    await rows.let_pass(SUSPECT_S + 1)
    [_] = await rows.claim(9)


async def test_others_are_claimed_beside_it(rows: Rows) -> None:
    [suspect] = await suspects(rows, 1)
    fresh = await rows.added(5)
    assert [work.job.id for work in await rows.claim(3)] == [suspect, *fresh[:2]]
    assert [work.job.id for work in await rows.claim(9)] == fresh[2:]
    assert await rows.claim(1, kinds=["other"]) == []


async def test_poison_is_found_and_who_only_stood_by_is_done(rows: Rows) -> None:
    """Whichever of them a worker begins with the poison among them dies, as do those that are begun beside it."""
    ids = await rows.added(8)
    poison, done = ids[3], set[UUID]()
    while len(done) < 7 or not (await rows.found(poison)).ended:
        worker = uuid7()
        while claimed := await rows.claim(9, by=worker):
            if any(work.job.id == poison for work in claimed):
                break
            for work in claimed:
                assert await rows.rows.finish(work, worker, "done", Result())
                done.add(work.job.id)
        await look(rows, 7)
    assert done == set(ids) - {poison}
    job = await rows.found(poison)
    assert (job.state, job.error_code, job.crashes) == ("failed", "poison", MAX_CRASHES)


async def test_room_is_not_theirs(rows: Rows) -> None:
    await suspects(rows, 1)
    await rows.added(1)
    none = Room(of={rows.tenants[0]: 0}, others=0)
    assert len(await rows.rows.claim(rows.worker, [KIND], limit=9, room=none)) == 1


async def test_a_suspect_that_is_tried_again_waits_its_time_and_is_still_one(rows: Rows) -> None:
    await suspects(rows, 2)
    [work] = await rows.claim(1)
    assert await rows.rows.retry(work, rows.worker, 60, cost_nano=0, code="x", message="x")
    [other] = await rows.claim(9)
    assert other.job.id != work.job.id
    assert await rows.rows.finish(other, rows.worker, "done", Result())
    await rows.rows.beat(rows.worker, slots=9, busy=0, ended=0)
    assert await rows.claim(9) == []
    await rows.let_pass(61)
    await rows.rows.beat(rows.worker, slots=9, busy=0, ended=0)
    [again] = await rows.claim(9)
    assert again.job.id == work.job.id
    assert await rows.rows.give_back(again, rows.worker)
    await rows.rows.beat(rows.worker, slots=9, busy=0, ended=0)
    [again] = await rows.claim(9)
    assert again.job.crashes == SUSPECT_CRASHES
    assert await rows.rows.retry(again, rows.worker, 0, cost_nano=0, code="x", message="x")
    await rows.rows.beat(rows.worker, slots=9, busy=0, ended=0)
    assert len(await rows.claim(9)) == 1
    state = await rows.rows.state(None)
    assert (state.waiting, state.running) == (0, 1)
