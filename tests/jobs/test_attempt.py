"""What comes of an attempt: an end, another attempt, or nothing where the job is another's."""

import asyncio
from dataclasses import dataclass

import pytest
from msgspec import structs

from tenfold.core.clock import FakeClock
from tenfold.core.errors import InvalidRequest, Overloaded, RateLimited, StoreUnavailable, TenfoldError
from tenfold.core.ids import uuid7
from tenfold.jobs.attempt import Attempt, delay_of_next
from tenfold.jobs.ports import JobCancelled, JobContext
from tenfold.jobs.types import MAX_RESULT_BYTES, Job, NewJob, Result, Work

from .flaky_rows import FlakyRows
from .parts import ACME, Doing, Gate, add, job_of, new

ME = uuid7()


@dataclass
class Case:
    rows: FlakyRows
    clock: FakeClock

    async def claimed(self, one: NewJob) -> Work:
        await add(self.rows, one)
        (work,) = await self.rows.claim(ME, [one.kind], limit=1)
        return work

    async def attempt(self, one: NewJob, handler: Doing) -> Attempt:
        return Attempt(await self.claimed(one), ME, handler, self.rows, self.clock)


@pytest.fixture
def case() -> Case:
    clock = FakeClock()
    return Case(FlakyRows(clock), clock)


def raising(error: BaseException, cost_nano: int = 0) -> Doing:
    async def fail(job: JobContext) -> Result:
        job.spent(cost_nano)
        raise error

    return Doing(fail, after_death="dead")


async def test_a_job_is_done_with_its_result_and_what_follows(case: Case) -> None:
    one, after = new(), new("after")

    async def do(job: JobContext) -> Result:
        job.spent(2)
        return Result(output=b"out", cost_nano=3, then=(after,))

    attempt = await case.attempt(one, Doing(do))
    assert await attempt.run() == "done"
    assert (job_of(case.rows, one).state, job_of(case.rows, one).cost_nano) == ("done", 5)
    assert job_of(case.rows, after).state == "queued"
    assert await case.rows.result(ACME.tenant_id, one.id) == b"out"


async def test_an_error_that_may_pass_is_tried_again_later_and_what_it_cost_is_kept(case: Case) -> None:
    one = new()
    assert await (await case.attempt(one, raising(Overloaded("full"), cost_nano=7))).run() == "retried"
    job = job_of(case.rows, one)
    assert (job.state, job.error_code, job.error_message, job.cost_nano) == ("queued", "overloaded", "full", 7)
    assert await case.rows.claim(ME, ["k"], limit=1) == []
    case.clock.advance(1)
    await case.rows.beat(ME, slots=1, busy=0, ended=0)
    assert len(await case.rows.claim(ME, ["k"], limit=1)) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("no"), "invalid_request"),
        (TenfoldError("x"), "internal_error"),
        (KeyError("x"), "internal_error"),
    ],
)
async def test_an_error_that_stays_is_the_end_and_its_follow_up_is_there(
    case: Case, error: Exception, code: str
) -> None:
    one = new(subject="resp_1")
    assert await (await case.attempt(one, raising(error, cost_nano=7))).run() == "failed"
    job = job_of(case.rows, one)
    assert (job.state, job.error_code, job.cost_nano) == ("failed", code, 7)
    assert "KeyError" not in (job.error_message or "")
    (follow_up,) = [made for made in case.rows.asked if made.kind == "dead"]
    assert (follow_up.input, follow_up.subject) == (one.id.hex.encode(), "resp_1")
    assert follow_up.principal == ACME


async def test_the_last_attempt_is_the_end(case: Case) -> None:
    one = new(max_attempts=2, first_retry_s=1)
    attempt = await case.attempt(one, raising(Overloaded("full")))
    assert await attempt.run() == "retried"
    case.clock.advance(2)
    await case.rows.beat(ME, slots=1, busy=0, ended=0)
    (work,) = await case.rows.claim(ME, ["k"], limit=1)
    assert await Attempt(work, ME, raising(Overloaded("full")), case.rows, case.clock).run() == "failed"


async def test_one_that_waited_longer_than_it_may_is_not_begun(case: Case) -> None:
    one, handler = new(give_up_s=10.0), Doing()
    await add(case.rows, one)
    case.clock.advance(11)
    (work,) = await case.rows.claim(ME, ["k"], limit=1)
    assert await Attempt(work, ME, handler, case.rows, case.clock).run() == "failed"
    assert handler.done == []
    assert job_of(case.rows, one).error_code == "expired"


async def test_delays_double_up_to_the_most_and_spread(case: Case) -> None:
    work = await case.claimed(new(first_retry_s=2, most_retry_s=10, max_attempts=9))

    def delay(
        attempts: int, *, chance: float = 0.0, error: TenfoldError | None = None, age_s: float = 0
    ) -> float | None:
        of = structs.replace(work, job=structs.replace(work.job, attempts=attempts))
        return delay_of_next(of, error or Overloaded("full"), age_s=age_s, chance=chance)

    assert [delay(n) for n in (1, 2, 3, 4, 5)] == [2, 4, 8, 10, 10]
    assert delay(2, chance=1.0) == 2
    assert delay(1, error=RateLimited("slow", retry_after_s=60)) == 60
    assert delay(9) is None
    assert delay(9, error=StoreUnavailable("away")) == 10
    assert delay(90, error=StoreUnavailable("away")) is None
    crashed = structs.replace(work, job=structs.replace(work.job, attempts=9, crashes=2))
    assert delay_of_next(crashed, Overloaded("full"), age_s=0, chance=0) == 10  # crashes are counted by themselves
    huge = structs.replace(work, new=structs.replace(work.new, max_attempts=10_000))
    huge = structs.replace(huge, job=structs.replace(huge.job, attempts=5_000))
    assert delay_of_next(huge, Overloaded("full"), age_s=0, chance=0) == 10
    mortal = structs.replace(work, new=structs.replace(work.new, give_up_s=100))
    assert delay_of_next(mortal, Overloaded("full"), age_s=97, chance=0) == 2
    assert delay_of_next(mortal, Overloaded("full"), age_s=99, chance=0) is None


async def test_a_wish_to_cancel_reaches_the_handler(case: Case) -> None:
    one, gate = new(), Gate()
    attempt = await case.attempt(one, Doing(gate))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.want_cancelled()
    attempt.want_cancelled()
    assert await task == "cancelled"
    assert job_of(case.rows, one).state == "cancelled"


async def test_a_cancelled_handler_may_have_the_last_word(case: Case) -> None:
    one, after, gate = new(), new("after"), Gate()

    async def tidy(job: JobContext) -> Result:
        try:
            return await gate(job)
        except asyncio.CancelledError:
            assert job.cancelled
            await asyncio.sleep(0)
            raise JobCancelled(Result(then=(after,))) from None

    attempt = await case.attempt(one, Doing(tidy))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.want_cancelled()
    assert await task == "cancelled"
    assert job_of(case.rows, after).state == "queued"


async def test_one_that_was_done_after_all_is_done(case: Case) -> None:
    one, gate = new(), Gate()

    async def stubborn(job: JobContext) -> Result:
        try:
            return await gate(job)
        except asyncio.CancelledError:
            return Result(output=b"done")

    attempt = await case.attempt(one, Doing(stubborn))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.want_cancelled()
    assert await task == "done"
    assert not task.cancelling()


async def test_an_error_after_the_wish_is_a_cancel(case: Case) -> None:
    one, gate = new(), Gate()

    async def hurt(job: JobContext) -> Result:
        try:
            return await gate(job)
        except asyncio.CancelledError:
            raise Overloaded("broken off") from None

    attempt = await case.attempt(one, Doing(hurt))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.want_cancelled()
    assert await task == "cancelled"


async def test_who_takes_over_a_job_that_was_to_be_cancelled_lets_its_handler_tidy_up(case: Case) -> None:
    one, gate = new(), Gate()
    work = await case.claimed(one)
    work = structs.replace(work, job=structs.replace(work.job, cancel_requested=True))
    handler = Doing(gate)
    assert await Attempt(work, ME, handler, case.rows, case.clock).run() == "cancelled"
    assert len(handler.done) == 1


async def test_what_is_given_back_was_not_tried(case: Case) -> None:
    one, gate = new(), Gate()
    attempt = await case.attempt(one, Doing(gate))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.give_back()
    assert await task == "given_back"
    assert (job_of(case.rows, one).state, job_of(case.rows, one).attempts) == ("queued", 0)


async def test_a_job_that_is_given_back_before_it_began_is_not_begun(case: Case) -> None:
    handler = Doing()
    attempt = await case.attempt(new(), handler)
    attempt.give_back()
    assert await attempt.run() == "given_back"
    assert handler.done == []


async def test_whoever_lost_the_job_writes_nothing(case: Case) -> None:
    one, gate = new(), Gate()
    attempt = await case.attempt(one, Doing(gate))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    case.rows.give_away(one)
    before = job_of(case.rows, one)
    gate.open.set()
    assert await task == "lost"
    assert job_of(case.rows, one) == before
    assert case.rows.told(one) == []


async def test_one_that_is_told_it_lost_the_job_stops(case: Case) -> None:
    one, gate = new(), Gate()
    attempt = await case.attempt(one, Doing(gate))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    attempt.lose()
    assert await task == "lost"
    assert case.rows.calls["finish"] == 0


async def test_the_end_is_written_when_the_database_is_back(case: Case) -> None:
    one = new()

    async def do(job: JobContext) -> Result:
        case.rows.away = True
        asyncio.get_running_loop().call_later(0.1, setattr, case.rows, "away", False)
        return Result(output=b"out")

    assert await (await case.attempt(one, Doing(do))).run() == "done"
    assert job_of(case.rows, one).state == "done"
    assert case.rows.calls["finish"] > 1


async def test_an_end_that_was_written_without_an_answer_is_there_once(case: Case) -> None:
    one, after = new(), new("after")

    async def do(_job: JobContext) -> Result:
        return Result(then=(after,))

    case.rows.unheard["finish"] = 1
    assert await (await case.attempt(one, Doing(do))).run() == "lost"  # so it looks to whoever asks again
    assert job_of(case.rows, one).state == "done"
    assert len(case.rows) == 2


async def test_a_result_that_is_too_large_is_a_failure(case: Case) -> None:
    one = new()

    async def do(_job: JobContext) -> Result:
        return Result(output=bytes(MAX_RESULT_BYTES + 1))

    assert await (await case.attempt(one, Doing(do))).run() == "failed"
    assert job_of(case.rows, one).error_code == "result_too_large"


async def test_what_the_database_does_not_take_is_a_failure(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    one, finish = new(), case.rows.finish

    async def picky(work: Work, holder: object, state: str, result: Result, **error: str) -> bool:
        if state == "done":
            raise ValueError("not that")
        return await finish(work, ME, "failed", result, **error)

    monkeypatch.setattr(case.rows, "finish", picky)
    assert await (await case.attempt(one, Doing())).run() == "failed"
    job: Job = job_of(case.rows, one)
    assert (job.state, job.error_code) == ("failed", "internal_error")


async def test_a_handler_that_breaks_itself_off_has_failed(case: Case) -> None:
    one = new()
    assert await (await case.attempt(one, raising(asyncio.CancelledError()))).run() == "failed"


async def test_a_worker_that_is_broken_off_leaves_its_job_to_the_others(case: Case) -> None:
    one, gate = new(), Gate()
    attempt = await case.attempt(one, Doing(gate))
    task = asyncio.create_task(attempt.run())
    await gate.begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert job_of(case.rows, one).state == "running"


async def test_what_a_handler_told_is_there_before_the_end(case: Case) -> None:
    one = new()

    async def tell(job: JobContext) -> Result:
        await job.emit(b"a")
        await job.progress("half", 1, 2)
        await job.emit(b"b")
        return Result()

    assert await (await case.attempt(one, Doing(tell))).run() == "done"
    events = case.rows.told(one)
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.data for event in events if event.kind == "output"] == [b"a", b"b"]
    assert [event.kind for event in events][2:] == ["progress", "ended"]
    assert job_of(case.rows, one).progress.stage == "half"
