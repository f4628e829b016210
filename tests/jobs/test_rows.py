"""Jobs at rest: one contract for the fake and for Postgres."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.jobs.types import KEEP_DEAD_S, MAX_CRASHES, JobEvent, NewJob, Progress, Result
from tests.jobs.rows import KIND, Rows, new_job


async def test_a_job_that_was_added_is_told(rows: Rows) -> None:
    mine = rows.tenants[0]
    new = new_job(mine, subject="resp_1", priority=7, max_attempts=3, facts={"model": "fast"})
    [job] = await rows.add(new)
    assert job is not None
    assert (job.id, job.kind, job.state, job.subject) == (new.id, KIND, "queued", "resp_1")
    assert (job.priority, job.attempts, job.max_attempts, job.crashes, job.cost_nano) == (7, 0, 3, 0, 0)
    assert (job.started_at, job.ended_at, job.expires_at, job.error_code) == (None, None, None, None)
    assert (job.progress, job.eta_s, job.cancel_requested) == (Progress(), None, False)
    assert (job.facts, job.run_at) == ({"model": "fast"}, job.created_at)
    assert await rows.rows.find(mine, new.id) == job
    assert await rows.rows.input(mine, new.id) == b"{}"


async def test_a_claimed_job_comes_as_it_was_asked_for(rows: Rows) -> None:
    mine = rows.tenants[0]
    principal = Principal(
        tenant_id=mine, tenant_slug="zoë", key_id=KeyId(uuid7()), scopes=frozenset({"usage", "inference"}), plan="p"
    )
    new = NewJob(
        kind=KIND,
        principal=principal,
        input=b"\0\xff",
        subject="batch_1",
        max_attempts=2,
        give_up_s=60.5,
        first_retry_s=0.25,
        most_retry_s=9,
        dedup="d",
        order_key="o",
        keep_s=5,
    )
    await rows.add(new)
    [work] = await rows.claim(5)
    assert (work.principal, work.input, work.fence) == (principal, b"\0\xff", 1)
    assert work.new == msgspec.structs.replace(new, input=b"")
    assert (work.job.state, work.job.attempts, work.job.started_at is None) == ("running", 1, False)
    assert await rows.claim(5) == []


async def test_a_job_added_twice_is_there_once(rows: Rows) -> None:
    mine = rows.tenants[0]
    new = new_job(mine)
    first, again = await rows.add(new, new)
    assert first == again
    assert await rows.add(new, most=0) == [first]  # it needs no room
    assert len(await rows.claim(9)) == 1


async def test_of_jobs_with_the_same_dedup_there_is_one(rows: Rows) -> None:
    mine, other = rows.tenants
    [first] = await rows.add(new_job(mine, dedup="tick"))
    assert first is not None
    for job in await rows.add(new_job(mine, dedup="tick"), new_job(mine, dedup="tick")):
        assert job == first
    [elsewhere] = await rows.add(new_job(other, dedup="tick"))
    [of_another_kind] = await rows.add(new_job(mine, dedup="tick", kind="other"))
    assert elsewhere is not None
    assert of_another_kind is not None
    assert len({first.id, elsewhere.id, of_another_kind.id}) == 3


async def test_of_the_same_dedup_in_one_go_there_is_one(rows: Rows) -> None:
    told = await rows.add(*(new_job(rows.tenants[0], dedup="tick") for _ in range(3)))
    assert told[0] is not None
    assert told == [told[0]] * 3


async def test_never_more_wait_than_may_however_many_come_at_once(rows: Rows) -> None:
    mine, other = rows.tenants
    told = await asyncio.gather(*(rows.add(new_job(mine), new_job(mine), most=5) for _ in range(4)))
    assert sum(job is not None for jobs in told for job in jobs) == 5
    assert (await rows.rows.state(mine)).waiting == 5
    assert await rows.add(new_job(other), most=5) != [None]  # the bound is each tenant's own


async def test_never_more_bytes_wait_than_may(rows: Rows) -> None:
    mine = rows.tenants[0]
    told = await rows.add(
        new_job(mine, input=b"x" * 60), new_job(mine, input=b"x" * 41), new_job(mine, input=b"x" * 40), most_bytes=100
    )
    assert [job is not None for job in told] == [True, False, True]


async def test_what_runs_makes_room(rows: Rows) -> None:
    mine = rows.tenants[0]
    assert await rows.add(new_job(mine), new_job(mine), most=1) != [None, None]
    assert await rows.add(new_job(mine), most=1) == [None]
    await rows.claim()
    assert await rows.add(new_job(mine), most=1) != [None]


async def test_one_that_is_not_due_waits_and_is_not_claimed(rows: Rows) -> None:
    [job_id] = await rows.added(delay_s=30)
    job = await rows.found(job_id)
    assert (job.run_at - job.created_at).total_seconds() == pytest.approx(30)
    await rows.rows.beat(rows.worker, slots=1, busy=0, ended=0)
    assert await rows.claim() == []
    state = await rows.rows.state(rows.tenants[0])
    assert (state.waiting, state.later) == (0, 1)
    await rows.let_pass(31)
    assert await rows.claim() == []  # until somebody says that it is due
    state = await rows.rows.beat(rows.worker, slots=1, busy=0, ended=0)
    assert (state.waiting, state.later) == (1, 0)
    assert [work.job.id for work in await rows.claim()] == [job_id]


async def test_a_worker_gets_only_what_it_can_do(rows: Rows) -> None:
    await rows.added(kind="other")
    [job_id] = await rows.added()
    assert [work.job.id for work in await rows.claim(9)] == [job_id]
    assert len(await rows.claim(9, kinds=["other", KIND])) == 1


# -- direct start ----------------------------------------------------------------------------


async def test_one_that_is_begun_at_once_is_its_workers(rows: Rows) -> None:
    mine, other = rows.tenants
    new = new_job(mine)
    [job] = await rows.add(new, most=0, holder=rows.worker)
    assert job is not None
    assert (job.state, job.attempts) == ("running", 1)
    assert await rows.claim() == []
    work = await rows.rows.work(mine, new.id, rows.worker)
    assert work is not None
    assert (work.fence, work.input, work.job.id) == (1, new.input, new.id)
    assert await rows.rows.work(mine, new.id, uuid7()) is None
    assert await rows.rows.work(other, new.id, rows.worker) is None
    assert await rows.rows.finish(work, rows.worker, "done", Result(output=b"1"))


async def test_what_must_wait_is_not_begun_at_once(rows: Rows) -> None:
    ordered, later = new_job(rows.tenants[0], order_key="k"), new_job(rows.tenants[0], delay_s=9)
    told = await rows.add(ordered, later, holder=rows.worker)
    assert [job.state for job in told if job is not None] == ["queued", "queued"]
    assert [work.job.id for work in await rows.claim(9)] == [ordered.id]


# -- ends ------------------------------------------------------------------------------------


async def test_what_came_of_a_job_is_told(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun(keep_s=100)
    assert await rows.rows.finish(work, rows.worker, "done", Result(output=b"out", cost_nano=7))
    job = await rows.found(work.job.id)
    assert (job.state, job.cost_nano, job.attempts, job.ended, job.error_code) == ("done", 7, 1, True, None)
    assert job.ended_at is not None
    assert job.expires_at is not None
    assert (job.expires_at - job.ended_at).total_seconds() == pytest.approx(100)
    assert job.started_at is not None
    assert await rows.rows.result(mine, job.id) == b"out"
    assert await rows.rows.input(mine, job.id) is None  # nobody needs it any more
    [event] = await rows.rows.events(mine, job.id, after=0, limit=9)
    assert event == JobEvent(seq=1, kind="ended", data=b'{"state":"done","error":null}')


async def test_a_dead_letter_keeps_its_cause_and_its_input(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun(keep_s=100)
    assert await rows.rows.finish(
        work, rows.worker, "failed", Result(output=b"half", cost_nano=7), code="c", message="m"
    )
    job = await rows.found(work.job.id)
    assert (job.state, job.error_code, job.error_message, job.cost_nano) == ("failed", "c", "m", 7)
    assert job.ended_at is not None
    assert job.expires_at is not None
    assert (job.expires_at - job.ended_at).total_seconds() == pytest.approx(KEEP_DEAD_S)
    assert await rows.rows.result(mine, job.id) is None
    assert await rows.rows.input(mine, job.id) == b"{}"
    assert (await rows.rows.state(mine)).dead == 1
    [event] = await rows.rows.events(mine, job.id, after=0, limit=9)
    assert event.data == b'{"state":"failed","error":{"code":"c","message":"m"}}'


async def test_what_follows_an_end_is_there_with_it(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun()
    hook = new_job(mine, kind="webhook", subject="evt_1")
    assert await rows.rows.finish(work, rows.worker, "done", Result(then=(hook,)))
    [after] = await rows.claim(kinds=["webhook"])
    assert (after.job.id, after.job.subject) == (hook.id, "evt_1")


async def test_what_came_of_a_job_first_stays(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun()
    assert await rows.rows.finish(work, rows.worker, "done", Result(output=b"1"))
    hook = new_job(mine, kind="webhook")
    assert not await rows.rows.finish(work, rows.worker, "failed", Result(then=(hook,)), code="c", message="m")
    assert (await rows.found(work.job.id)).state == "done"
    assert await rows.rows.find(mine, hook.id) is None


async def test_one_that_is_tried_again_waits_so_long(rows: Rows) -> None:
    work = await rows.begun()
    assert await rows.rows.retry(work, rows.worker, 20, cost_nano=5, code="c", message="m")
    job = await rows.found(work.job.id)
    assert (job.state, job.attempts, job.cost_nano, job.error_code) == ("queued", 1, 5, "c")
    assert await rows.claim() == []
    await rows.let_pass(21)
    await rows.rows.beat(rows.worker, slots=1, busy=0, ended=0)
    [again] = await rows.claim()
    assert (again.job.attempts, again.fence > work.fence) == (2, True)
    assert await rows.rows.finish(again, rows.worker, "done", Result(cost_nano=6))
    job = await rows.found(work.job.id)
    assert (job.cost_nano, job.error_code, job.attempts) == (11, None, 2)


async def test_one_that_is_given_back_was_not_begun(rows: Rows) -> None:
    work = await rows.begun()
    assert await rows.rows.give_back(work, rows.worker)
    job = await rows.found(work.job.id)
    assert (job.state, job.attempts, job.started_at) == ("queued", 0, None)
    [again] = await rows.claim(by=uuid7())
    assert (again.job.attempts, again.fence > work.fence) == (1, True)


async def test_who_has_lost_a_job_writes_nothing(rows: Rows) -> None:
    """Another worker has it; or the same one, with another claim."""
    mine = rows.tenants[0]
    old = await rows.begun()
    await rows.rows.give_back(old, rows.worker)
    [new] = await rows.claim()
    hook = new_job(mine, kind="webhook")
    for work, holder in ((old, rows.worker), (new, uuid7())):
        assert not await rows.rows.tell(work, holder, Progress(done=1), [("output", b"1")], after=0)
        assert not await rows.rows.finish(work, holder, "done", Result(output=b"1", then=(hook,)))
        assert not await rows.rows.retry(work, holder, 0, cost_nano=1, code="c", message="m")
        assert not await rows.rows.give_back(work, holder)
    job = await rows.found(old.job.id)
    assert (job.state, job.progress, job.cost_nano) == ("running", Progress(), 0)
    assert await rows.rows.events(mine, job.id, after=0, limit=9) == []
    assert await rows.rows.find(mine, hook.id) is None
    assert await rows.rows.finish(new, rows.worker, "done", Result())


# -- telling ---------------------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_and_told_from_any_one_on(rows: Rows) -> None:
    mine, other = rows.tenants
    work = await rows.begun()
    assert await rows.rows.tell(work, rows.worker, None, [("output", b"a"), ("output", b"b")], after=0)
    assert await rows.rows.tell(work, rows.worker, Progress(stage="s", done=1, total=4), [], after=2)
    assert await rows.rows.tell(work, rows.worker, None, [("progress", b"c")], after=2)
    await rows.rows.finish(work, rows.worker, "done", Result())
    events = await rows.rows.events(mine, work.job.id, after=0, limit=9)
    assert [(event.seq, event.kind, event.data) for event in events[:3]] == [
        (1, "output", b"a"),
        (2, "output", b"b"),
        (3, "progress", b"c"),
    ]
    assert (events[3].seq, events[3].kind) == (4, "ended")
    assert await rows.rows.events(mine, work.job.id, after=1, limit=2) == events[1:3]
    assert await rows.rows.events(other, work.job.id, after=0, limit=9) == []
    assert (await rows.found(work.job.id)).progress == Progress(stage="s", done=1, total=4)


async def test_what_is_told_again_is_there_once(rows: Rows) -> None:
    """Whoever was not answered tells it again, with what has come since."""
    work = await rows.begun()
    assert await rows.rows.tell(work, rows.worker, None, [("output", b"a"), ("output", b"b")], after=0)
    assert await rows.rows.tell(work, rows.worker, None, [("output", b"a"), ("output", b"b")], after=0)
    assert await rows.rows.tell(
        work, rows.worker, None, [("output", b"a"), ("output", b"b"), ("output", b"c")], after=0
    )
    events = await rows.rows.events(rows.tenants[0], work.job.id, after=0, limit=9)
    assert [(event.seq, event.data) for event in events] == [(1, b"a"), (2, b"b"), (3, b"c")]
    await rows.rows.give_back(work, rows.worker)
    [again] = await rows.claim()
    assert (work.events, again.events) == (0, 3)


async def test_progress_tells_when_it_will_be_ready(rows: Rows) -> None:
    work = await rows.begun()
    await rows.let_pass(30)
    await rows.rows.tell(work, rows.worker, Progress(done=3, total=4), [], after=0)
    assert (await rows.found(work.job.id)).eta_s == pytest.approx(10, abs=1)


async def test_the_version_grows_with_whatever_is_told(rows: Rows) -> None:
    mine = rows.tenants[0]
    [job_id] = await rows.added()
    versions = [(await rows.found(job_id)).version]

    async def note() -> None:
        versions.append((await rows.found(job_id)).version)

    [work] = await rows.claim()
    await note()
    await rows.rows.tell(work, rows.worker, Progress(done=1), [], after=0)
    await note()
    await rows.rows.give_back(work, rows.worker)
    await note()
    [work] = await rows.claim()
    await note()
    await rows.rows.retry(work, rows.worker, 0, cost_nano=0, code="c", message="m")
    await note()
    [work] = await rows.claim()
    await note()
    await rows.rows.cancel(mine, job_id)
    await note()
    await rows.rows.finish(work, rows.worker, "failed", Result(), code="c", message="m")
    await note()
    await rows.rows.redrive(mine, job_id)
    await note()
    await rows.rows.cancel(mine, job_id)
    await note()
    assert versions == sorted(set(versions))


# -- cancels ---------------------------------------------------------------------------------


async def test_one_that_waits_is_cancelled_at_once(rows: Rows) -> None:
    mine, other = rows.tenants
    [job_id] = await rows.added(keep_s=50)
    hook = new_job(mine, kind="webhook")
    assert await rows.rows.cancel(other, job_id, then=[hook]) is None
    job = await rows.rows.cancel(mine, job_id, then=[hook])
    assert job is not None
    assert (job.state, job.attempts) == ("cancelled", 0)
    assert job.expires_at is not None
    assert job.ended_at is not None
    assert (job.expires_at - job.ended_at).total_seconds() == pytest.approx(50)
    assert await rows.claim() == []
    assert len(await rows.claim(kinds=["webhook"])) == 1
    [event] = await rows.rows.events(mine, job_id, after=0, limit=9)
    assert event.data == b'{"state":"cancelled","error":null}'
    assert await rows.rows.cancel(mine, job_id, then=[new_job(mine, kind="webhook")]) == job
    assert await rows.claim(kinds=["webhook"]) == []


async def test_of_one_that_runs_the_wish_is_noted(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun()
    [held] = await rows.rows.held(rows.worker)
    assert (held.tenant_id, held.job_id, held.fence, held.cancel_requested) == (mine, work.job.id, work.fence, False)
    for _ in range(2):
        job = await rows.rows.cancel(mine, work.job.id, then=[new_job(mine, kind="webhook")])
        assert job is not None
        assert (job.state, job.cancel_requested) == ("running", True)
    assert [one.cancel_requested for one in await rows.rows.held(rows.worker)] == [True]
    assert await rows.rows.held(uuid7()) == []
    assert await rows.rows.finish(work, rows.worker, "cancelled", Result(cost_nano=3))
    job = await rows.found(work.job.id)
    assert (job.state, job.cancel_requested, job.cost_nano) == ("cancelled", True, 3)
    assert await rows.rows.held(rows.worker) == []
    assert await rows.claim(kinds=["webhook"]) == []


async def test_one_that_is_done_is_not_cancelled(rows: Rows) -> None:
    work = await rows.begun()
    await rows.rows.finish(work, rows.worker, "done", Result())
    job = await rows.rows.cancel(rows.tenants[0], work.job.id)
    assert job is not None
    assert (job.state, job.cancel_requested) == ("done", False)
    assert await rows.rows.cancel(rows.tenants[0], uuid7()) is None


# -- dead letters ----------------------------------------------------------------------------


async def dead(rows: Rows, **facts: object) -> UUID:
    work = await rows.begun(**facts)
    await rows.rows.finish(work, rows.worker, "failed", Result(cost_nano=5), code="c", message="m")
    return work.job.id


async def test_a_dead_letter_is_redriven_with_all_its_attempts(rows: Rows) -> None:
    mine, other = rows.tenants
    job_id = await dead(rows, order_key="k")
    first = await rows.found(job_id)
    assert await rows.rows.redrive(other, job_id) is None
    job = await rows.rows.redrive(mine, job_id)
    assert job is not None
    assert (job.state, job.attempts, job.crashes, job.cost_nano) == ("queued", 0, 0, 5)
    assert (job.ended_at, job.expires_at, job.started_at) == (None, None, None)
    assert await rows.rows.redrive(mine, job_id) is None
    await rows.added(order_key="k")
    [work] = await rows.claim(9)  # the one behind it waits
    assert (work.job.id, work.job.attempts, work.fence > first.attempts) == (job_id, 1, True)
    assert work.input == b"{}"
    await rows.rows.finish(work, rows.worker, "done", Result(output=b"1", cost_nano=1))
    assert (await rows.found(job_id)).cost_nano == 6
    events = await rows.rows.events(mine, job_id, after=0, limit=9)
    assert [(event.seq, event.kind) for event in events] == [(1, "ended"), (2, "ended")]


async def test_dead_letters_are_listed_the_oldest_first(rows: Rows) -> None:
    mine, other = rows.tenants
    ids = [await dead(rows), await dead(rows), await dead(rows)]
    assert await rows.rows.failed_ids(mine, kind=None, limit=2) == ids[:2]
    assert await rows.rows.failed_ids(mine, kind=KIND, limit=9) == ids
    assert await rows.rows.failed_ids(mine, kind="other", limit=9) == []
    assert await rows.rows.failed_ids(other, kind=None, limit=9) == []


async def test_dead_letters_that_nobody_looks_after_are_told_by_tenant(rows: Rows) -> None:
    mine, other = rows.tenants
    await dead(rows)
    await dead(rows)
    await rows.let_pass(100)
    await dead(rows)
    assert await rows.rows.dead_letters(older_than_s=150) == []
    [found] = await rows.rows.dead_letters(older_than_s=50)
    assert (found.tenant_id, found.count) == (mine, 2)
    assert found.oldest_age_s == pytest.approx(100, abs=5)
    await rows.added(of=other)
    work = (await rows.claim())[0]
    await rows.rows.finish(work, rows.worker, "failed", Result(), code="c", message="m")
    assert {(one.tenant_id, one.count) for one in await rows.rows.dead_letters(older_than_s=0)} == {
        (mine, 3),
        (other, 1),
    }


async def test_an_ended_job_is_discarded_with_all_that_is_kept_of_it(rows: Rows) -> None:
    mine, other = rows.tenants
    job_id = await dead(rows)
    assert not await rows.rows.discard(other, job_id)
    assert await rows.rows.discard(mine, job_id)
    assert not await rows.rows.discard(mine, job_id)
    assert await rows.rows.find(mine, job_id) is None
    assert await rows.rows.input(mine, job_id) is None
    assert await rows.rows.events(mine, job_id, after=0, limit=9) == []
    assert (await rows.rows.state(mine)).dead == 0


async def test_one_that_has_not_ended_is_not_discarded(rows: Rows) -> None:
    mine = rows.tenants[0]
    work = await rows.begun()
    [waiting] = await rows.added()
    assert not await rows.rows.discard(mine, work.job.id)
    assert not await rows.rows.discard(mine, waiting)
    assert await rows.rows.redrive(mine, waiting) is None


# -- workers ---------------------------------------------------------------------------------


async def look(rows: Rows) -> int:
    return await rows.rows.take_over(dead_after_s=5, then=lambda kind: f"{kind}.dead")


async def watch(rows: Rows, seconds: int) -> int:
    """How many jobs were taken over meanwhile."""
    taken = await look(rows)
    for _ in range(seconds):
        await rows.let_pass(1)
        taken += await look(rows)
    return taken


async def test_the_jobs_of_a_dead_worker_go_on(rows: Rows) -> None:
    old = await rows.begun()
    await rows.rows.beat(rows.worker, slots=4, busy=1, ended=0)
    assert await watch(rows, 4) == 0
    assert await watch(rows, 2) == 1
    assert await watch(rows, 9) == 0
    job = await rows.found(old.job.id)
    assert (job.state, job.attempts, job.crashes) == ("queued", 1, 1)
    [work] = await rows.claim(by=uuid7())
    assert (work.job.attempts, work.fence > old.fence) == (2, True)
    assert not await rows.rows.finish(old, rows.worker, "done", Result())
    assert (await rows.rows.state(None)).workers == 0


async def test_the_jobs_of_a_worker_that_never_said_it_lives_go_on_as_well(rows: Rows) -> None:
    await rows.begun()
    assert await watch(rows, 6) == 1
    assert len(await rows.claim()) == 1


async def test_a_worker_that_says_it_lives_keeps_its_jobs(rows: Rows) -> None:
    work = await rows.begun()
    for _ in range(5):
        await rows.rows.beat(rows.worker, slots=1, busy=1, ended=0)
        assert await watch(rows, 4) == 0
    assert await rows.rows.finish(work, rows.worker, "done", Result())


async def test_a_job_that_kills_its_workers_ends_as_poison(rows: Rows) -> None:
    mine = rows.tenants[0]
    [job_id] = await rows.added(subject="resp_1")
    for crash in range(1, MAX_CRASHES + 1):
        [_] = await rows.claim(by=uuid7())
        assert await watch(rows, 6) == 1
        job = await rows.found(job_id)
        assert (job.crashes, job.state) == (crash, "failed" if crash == MAX_CRASHES else "queued")
    assert job.error_code == "poison"
    assert job.error_message is not None
    [after] = await rows.claim(9, kinds=[KIND, f"{KIND}.dead"])
    assert (after.job.kind, after.input, after.job.subject) == (f"{KIND}.dead", job_id.hex.encode(), "resp_1")
    assert after.principal.tenant_id == mine
    events = await rows.rows.events(mine, job_id, after=0, limit=9)
    assert [event.kind for event in events] == ["ended"]


async def test_an_orderly_end_is_no_crash(rows: Rows) -> None:
    work = await rows.begun()
    await rows.rows.beat(rows.worker, slots=1, busy=1, ended=0)
    await rows.rows.leave(rows.worker)
    job = await rows.found(work.job.id)
    assert (job.state, job.attempts, job.crashes) == ("queued", 0, 0)
    assert (await rows.rows.state(None)).workers == 0


async def test_the_state_is_that_of_all_or_of_one_tenant(rows: Rows) -> None:
    mine, other = rows.tenants
    await rows.added(3)
    await rows.added(2, of=other)
    await rows.added(delay_s=60)
    await rows.claim(1, by=rows.worker)
    await rows.let_pass(10)
    state = await rows.rows.beat(rows.worker, slots=8, busy=1, ended=0)
    assert (state.waiting, state.later, state.running, state.dead) == (4, 1, 1, 0)
    assert (state.workers, state.slots) == (1, 8)
    assert state.oldest_wait_s == pytest.approx(10, abs=1)
    await rows.rows.beat(uuid7(), slots=2, busy=0, ended=0)
    state = await rows.rows.state(other)
    assert (state.later, state.workers, state.slots) == (0, 2, 10)
    mine_too = await rows.rows.state(mine)
    assert state.waiting + mine_too.waiting == 4
    assert (await rows.rows.state(None)).waiting == 4


async def test_what_workers_end_is_the_drain(rows: Rows) -> None:
    await rows.rows.beat(rows.worker, slots=1, busy=0, ended=0)
    assert (await rows.rows.state(None)).drain_per_s == 0
    await rows.let_pass(1)
    state = await rows.rows.beat(rows.worker, slots=1, busy=0, ended=1000)
    assert state.drain_per_s > 0


# -- lists and expiry ------------------------------------------------------------------------


async def test_pages_hold_every_job_once_the_newest_first(rows: Rows) -> None:
    mine = rows.tenants[0]
    ids = await rows.added(5)
    seen: list[UUID] = []
    before: UUID | None = None
    while page := await rows.rows.page(mine, state=None, kind=None, before=before, limit=2):
        seen += [job.id for job in page]
        before = seen[-1]
    assert seen == ids[::-1]


async def test_pages_of_a_state_and_a_kind(rows: Rows) -> None:
    mine, other = rows.tenants
    failed = await dead(rows)
    running = (await rows.begun()).job.id
    [queued] = await rows.added()
    [of_another_kind] = await rows.added(kind="other")

    async def page(tenant_id: TenantId, state: str | None, kind: str | None) -> list[UUID]:
        found = await rows.rows.page(tenant_id, state=state, kind=kind, before=None, limit=9)  # type: ignore[arg-type]
        return [job.id for job in found]

    assert await page(mine, "failed", None) == [failed]
    assert await page(mine, "running", None) == [running]
    assert await page(mine, "queued", KIND) == [queued]
    assert await page(mine, None, "other") == [of_another_kind]
    assert await page(mine, "done", None) == []
    assert await page(other, None, None) == []


async def test_what_was_kept_long_enough_goes_in_batches(rows: Rows) -> None:
    mine, other = rows.tenants
    for _ in range(3):
        work = await rows.begun(keep_s=100)
        await rows.rows.finish(work, rows.worker, "done", Result())
    failed = await dead(rows, keep_s=100)
    [waiting] = await rows.added(keep_s=100)
    assert await rows.rows.tenants_expired() == []
    await rows.let_pass(101)
    assert await rows.rows.tenants_expired() == [mine]
    assert await rows.rows.expire(other, limit=9) == 0
    assert [await rows.rows.expire(mine, limit=2) for _ in range(3)] == [2, 1, 0]
    left = await rows.rows.page(mine, state=None, kind=None, before=None, limit=9)
    assert [job.id for job in left] == [waiting, failed]


async def test_a_tenant_reaches_its_own_only(rows: Rows) -> None:
    mine, other = rows.tenants
    work = await rows.begun()
    await rows.rows.finish(work, rows.worker, "done", Result(output=b"1"))
    assert await rows.rows.find(other, work.job.id) is None
    assert await rows.rows.result(other, work.job.id) is None
    assert await rows.rows.input(other, (await rows.added())[0]) is None
    assert (await rows.rows.state(other)).dead == 0
    assert await rows.rows.result(mine, work.job.id) == b"1"
