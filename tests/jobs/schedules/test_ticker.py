"""What becomes of ticks: one job for each, whoever makes it, and the policies for those that were missed."""

import asyncio
from datetime import timedelta

import pytest
from msgspec import structs

from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.jobs.schedules.fake import FakeScheduleRows
from tenfold.jobs.schedules.handlers import schedule_name
from tenfold.jobs.schedules.ticker import Ticker
from tenfold.jobs.schedules.types import Due, Schedule
from tests.jobs.schedules.parts import Made, after, principal, schedule


class Here:
    def __init__(self, *, most_waiting: int = 10_000) -> None:
        self.clock = FakeClock()
        self.rows = FakeScheduleRows(self.clock)
        self.made = Made(self.clock, most_waiting=most_waiting)
        self.who = principal()
        self.ticker = self.another()

    def another(self) -> Ticker:
        """As another process has one."""
        return Ticker(self.rows, self.made.jobs, self.made.submissions)

    async def add(self, **given: object) -> Schedule:
        one = schedule(self.who, **given)
        assert await self.rows.add(one, most=100)
        return one

    async def ticks(self) -> list[str]:
        """Of the jobs that were made, minutes and seconds after midnight."""
        return [tick[11:19] for tick in await self.made.ticks_of(self.who.tenant_id)]

    async def state(self, of: Schedule) -> Schedule:
        found = await self.rows.find(of.tenant_id, of.id)
        assert found is not None
        return found


async def test_a_tick_becomes_a_job_that_tells_where_it_is_from() -> None:
    here = Here()
    one = await here.add()
    assert await here.ticker.tick() == 1
    (job,) = await here.made.of(here.who.tenant_id)
    assert (job.kind, job.state) == ("sum", "queued")
    assert job.facts == {"schedule": schedule_name(one.id), "tick": "2026-01-01T00:00:00Z"}
    assert await here.made.jobs.input(job.tenant_id, job.id) == b'{"of":[1,2]}'
    state = await here.state(one)
    assert (state.last_at, state.last_job, state.next_at, state.error) == (after(0), job.id, after(60), None)
    assert await here.ticker.tick() == 0
    here.clock.advance(60)
    assert await here.ticker.tick() == 1
    assert await here.ticks() == ["00:00:00", "00:01:00"]


@pytest.mark.parametrize(
    ("missed", "said"),
    [("skip", ["00:04:00"]), ("last", ["00:04:00"]), ("all", [f"00:0{minute}:00" for minute in range(5)])],
)
async def test_what_was_missed(missed: str, said: list[str]) -> None:
    here = Here()
    one = await here.add(missed=missed)
    here.clock.advance(4 * 60 + 30)
    await here.ticker.tick()
    assert await here.ticks() == said
    assert (await here.state(one)).next_at == after(300)


@pytest.mark.parametrize(("missed", "said"), [("skip", []), ("last", ["00:00:00"]), ("all", ["00:00:00"])])
async def test_what_was_missed_for_long(missed: str, said: list[str]) -> None:
    here = Here()
    one = await here.add(missed=missed, cron="0 0 1 1 *")
    here.clock.advance(40 * 86_400)
    await here.ticker.tick()
    assert await here.ticks() == said
    state = await here.state(one)
    assert state.next_at == after(365 * 86_400)
    assert state.last_at == (after(0) if said else None)


async def test_of_very_many_that_were_missed_the_latest_are_made_up_for() -> None:
    here = Here()
    await here.add(missed="all")
    here.clock.advance(10 * 365 * 86_400)
    await here.ticker.tick()
    ticks = await here.made.ticks_of(here.who.tenant_id)
    assert (len(ticks), ticks[-1]) == (100, (after(10 * 365 * 86_400)).strftime("%Y-%m-%dT%H:%M:%SZ"))


async def test_each_tick_is_one_job_however_many_processes_there_are() -> None:
    here = Here()
    for number in range(7):
        await here.add(name=f"n{number}")
    tickers = [here.another() for _ in range(4)]
    for _ in range(10):
        await asyncio.gather(*(ticker.tick() for ticker in tickers))
        here.clock.advance(60)
    assert len(await here.ticks()) == 70


async def test_a_process_that_died_between_job_and_schedule_makes_no_second_job() -> None:
    here = Here()
    one = await here.add()
    advance = here.rows.advance

    async def dies(*_args: object, **_options: object) -> bool:
        raise StoreUnavailable("gone")

    here.rows.advance = dies  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await here.ticker.tick()
    assert await here.ticks() == ["00:00:00"]
    here.rows.advance = advance  # type: ignore[method-assign]
    assert await here.another().tick() == 0  # it is claimed
    here.clock.advance(31)
    assert await here.another().tick() == 1
    assert await here.ticks() == ["00:00:00"]
    assert (await here.state(one)).next_at == after(60)


async def test_a_full_queue_makes_the_schedule_wait_and_loses_no_tick() -> None:
    here = Here(most_waiting=2)
    one = await here.add(missed="all")
    here.clock.advance(3 * 60)
    await here.ticker.tick()
    assert await here.ticks() == ["00:00:00", "00:01:00"]
    assert (await here.state(one)).next_at == after(0)
    for job in await here.made.of(here.who.tenant_id):
        await here.made.jobs.cancel(job.tenant_id, job.id)
    here.clock.advance(45)
    assert await here.ticker.tick() == 1
    assert await here.ticks() == ["00:00:00", "00:01:00", "00:02:00", "00:03:00"]
    assert (await here.state(one)).next_at == after(240)


async def test_what_cannot_become_a_job_is_told_and_left_out() -> None:
    here = Here()
    one = await here.add(asked=b"[]")
    await here.ticker.tick()
    state = await here.state(one)
    assert (state.error, state.last_at, state.next_at) == ("invalid_request: input.of: is needed.", after(0), after(60))
    assert await here.ticks() == []
    assert await here.rows.change(structs.replace(state, asked=b'{"of":1}'))
    here.clock.advance(60)
    await here.ticker.tick()
    assert ((await here.state(one)).error, await here.ticks()) == (None, ["00:01:00"])


async def test_a_broken_schedule_leaves_the_others_their_time() -> None:
    here = Here()
    await here.add(zone="Mars/Olympus", next_at=after(-2))
    await here.add(asked=b'{"of":"bug"}', next_at=after(-1))
    await here.add()
    assert await here.ticker.tick() == 3
    assert await here.ticks() == ["00:00:00"]
    assert await here.ticker.tick() == 0  # they do not come round and round


async def test_a_paused_or_removed_schedule_makes_nothing() -> None:
    here = Here()
    paused, removed = await here.add(), await here.add()
    claim = here.rows.claim

    async def late(*, limit: int, hold_s: float) -> list[Due]:
        """Both go in the moment between the claim and the look."""
        found = await claim(limit=limit, hold_s=hold_s)
        assert await here.rows.change(structs.replace(paused, paused=True, next_at=None))
        await here.rows.remove(removed.tenant_id, removed.id)
        return found

    here.rows.claim = late  # type: ignore[method-assign]
    assert await here.ticker.tick() == 2
    assert await here.ticks() == []


async def test_a_clock_that_jumps_back_makes_no_tick_twice() -> None:
    here = Here()
    await here.add()
    here.clock.advance(120)
    await here.ticker.tick()
    here.clock.advance(-120)
    assert await here.ticker.tick() == 0
    here.clock.advance(180)
    await here.ticker.tick()
    assert await here.ticks() == ["00:02:00", "00:03:00"]


async def test_it_runs_until_it_is_told_and_over_a_database_that_is_away() -> None:
    here = Here()
    await here.add()
    ticker = Ticker(here.rows, here.made.jobs, here.made.submissions, poll_s=0.001)
    claim, away = here.rows.claim, True

    async def sometimes(*, limit: int, hold_s: float) -> list[Due]:
        if away:
            raise StoreUnavailable("gone")
        return await claim(limit=limit, hold_s=hold_s)

    here.rows.claim = sometimes  # type: ignore[method-assign]
    running = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.01)
    away = False
    async with asyncio.timeout(20):
        while not await here.ticks():
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_was_claimed_and_seen_to_already_is_claimed_at_its_next_tick() -> None:
    here = Here()
    one = await here.add()
    found = await here.state(one)
    await here.rows.advance(found, next_at=after(60), last_at=after(0), job=None, error="")
    await here.rows.postpone(one.tenant_id, one.id, 0)  # a claim ran out in this moment
    assert await here.ticker.tick() == 1
    assert await here.ticks() == []
    here.clock.advance(timedelta(seconds=59).total_seconds())
    assert await here.ticker.tick() == 0
    here.clock.advance(1)
    assert await here.ticker.tick() == 1
