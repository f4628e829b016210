"""Followers see every event once and in order, whatever becomes of hints; who waits costs next to nothing."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from contextlib import aclosing

import pytest

from tenfold.core.clock import SystemClock
from tenfold.core.errors import NotFound, StoreUnavailable
from tenfold.core.ids import uuid7
from tenfold.jobs import follow as following
from tenfold.jobs.follow import MOST_PER_S, PAGE, Followers
from tenfold.jobs.types import JobEvent, NewJob, Result, Work

from .flaky_rows import FlakyRows
from .parts import ACME, OTHER, add, job_of, new, until

ME = uuid7()


class NoHints:
    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        raise StoreUnavailable("not now")


@pytest.fixture
def rows() -> FlakyRows:
    return FlakyRows(SystemClock())


@pytest.fixture
def followers(rows: FlakyRows) -> Followers:
    followers = Followers(rows)
    rows.on_told = lambda tenant_id, job_id: followers.hint(f"{tenant_id.hex}:{job_id.hex}")
    return followers


async def begun(rows: FlakyRows, one: NewJob) -> Work:
    await add(rows, one)
    (work,) = await rows.claim(ME, ["k"], limit=1)
    return work


async def tell(rows: FlakyRows, work: Work, *data: bytes) -> None:
    after = len(rows._jobs[work.job.tenant_id, work.job.id].events)
    assert await rows.tell(work, ME, None, [("output", one) for one in data], after=after)


async def collected(followers: Followers, one: NewJob, after: int = 0) -> list[JobEvent]:
    return [event async for event in followers.follow(ACME.tenant_id, one.id, after=after)]


async def test_events_come_as_they_are_told_to_the_end(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    task = asyncio.create_task(collected(followers, one))
    for n in range(3):
        await tell(rows, work, b"%d" % n)
        await asyncio.sleep(0.002)
    await rows.finish(work, ME, "done", Result())
    events = await task
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.data for event in events[:3]] == [b"0", b"1", b"2"]
    assert events[-1].kind == "ended"
    assert followers._topics == {}


async def test_a_follower_comes_back_where_it_was(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    await tell(rows, work, *[b"%d" % n for n in range(2 * PAGE)])
    await rows.finish(work, ME, "done", Result())
    whole = await collected(followers, one)
    assert [event.seq for event in whole] == list(range(1, 2 * PAGE + 2))
    for after in (0, 1, PAGE, 2 * PAGE, 2 * PAGE + 1, 10**6):
        assert await collected(followers, one, after) == whole[after:]


async def test_while_nothing_happens_nothing_is_asked(rows: FlakyRows, followers: Followers) -> None:
    one, other = new(), new()
    work = await begun(rows, one)
    await add(rows, other)
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] == 1)
    before = rows.calls.copy()
    for _ in range(5):
        await rows.cancel(ACME.tenant_id, other.id)  # others may happen
        await asyncio.sleep(0)
    assert rows.calls - before == {"cancel": 5}
    await rows.finish(work, ME, "done", Result())
    await task


async def test_what_happens_between_the_look_and_the_wait_is_seen(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    find = rows.find

    async def find_late(*args: object) -> object:
        job = await find(ACME.tenant_id, one.id)
        if not job_of(rows, one).ended:
            await rows.finish(work, ME, "done", Result())
        return job

    rows.find = find_late  # type: ignore[method-assign,assignment]
    assert [event.kind for event in await collected(followers, one)] == ["ended"]


async def test_without_hints_somebody_looks_once_in_a_while(rows: FlakyRows) -> None:
    followers, one = Followers(rows, round_s=0.02), new()
    work = await begun(rows, one)
    slow = asyncio.create_task(followers.run(NoHints()))
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] > 2)
    await rows.finish(work, ME, "done", Result())
    assert [event.kind for event in await task] == ["ended"]
    slow.cancel()


async def test_after_hints_were_lost_everybody_looks(rows: FlakyRows, followers: Followers) -> None:
    rows.on_told = lambda _tenant, _job: None
    one = new()
    work = await begun(rows, one)
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] == 1)
    await rows.finish(work, ME, "done", Result())
    followers.hint("")
    assert [event.kind for event in await task] == ["ended"]


async def test_a_follower_outlasts_the_databases_absence(
    rows: FlakyRows, followers: Followers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AWAY_S", 0.005)
    one = new()
    work = await begun(rows, one)
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] == 1)
    rows.away = True
    followers.hint("")
    await until(lambda: rows.calls["events"] > 3)
    rows.away = False
    await rows.finish(work, ME, "done", Result())
    assert [event.kind for event in await task] == ["ended"]
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await collected(followers, one)


async def test_a_job_that_is_redriven_is_followed_on(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    await rows.finish(await begun(rows, one), ME, "failed", Result(), code="x", message="x")
    await rows.redrive(ACME.tenant_id, one.id)
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] == 1)
    (work,) = await rows.claim(ME, ["k"], limit=1)
    await rows.finish(work, ME, "done", Result())
    assert [event.kind for event in await task] == ["ended", "ended"]


async def test_another_tenants_job_is_none(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    await begun(rows, one)
    with pytest.raises(NotFound):
        await anext(followers.follow(OTHER.tenant_id, one.id))
    with pytest.raises(NotFound):
        await followers.wait(OTHER.tenant_id, one.id, 1)
    with pytest.raises(NotFound):
        await followers.wait(OTHER.tenant_id, one.id, 0)


async def test_one_that_is_discarded_is_followed_no_more(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    task = asyncio.create_task(collected(followers, one))
    await until(lambda: rows.calls["find"] == 1)
    rows.on_told = lambda _tenant, _job: None
    await rows.finish(work, ME, "done", Result())
    await rows.discard(ACME.tenant_id, one.id)
    followers.hint("")
    with pytest.raises(NotFound):
        await task


async def test_waiting_ends_with_the_job_or_the_time(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    assert (await followers.wait(ACME.tenant_id, one.id, 0)).state == "running"
    assert (await followers.wait(ACME.tenant_id, one.id, 0.005)).state == "running"
    task = asyncio.create_task(followers.wait(ACME.tenant_id, one.id, 20))
    await until(lambda: rows.calls["find"] > 2)
    await rows.finish(work, ME, "done", Result())
    assert (await task).state == "done"
    assert followers._topics == {}


async def test_one_that_goes_leaves_the_others(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    work = await begun(rows, one)
    tasks = [asyncio.create_task(collected(followers, one)) for _ in range(5)]
    await until(lambda: rows.calls["find"] == 5)
    await asyncio.sleep(0.005)
    for task in tasks[:3]:
        task.cancel()
    await asyncio.gather(*tasks[:3], return_exceptions=True)
    await rows.finish(work, ME, "done", Result())
    assert [len(await task) for task in tasks[3:]] == [1, 1]
    assert followers._topics == {}


async def test_who_stops_following_leaves_nothing(rows: FlakyRows, followers: Followers) -> None:
    one = new()
    await tell(rows, await begun(rows, one), b"a", b"b")
    async with aclosing(followers.follow(ACME.tenant_id, one.id)) as events:
        assert (await anext(events)).data == b"a"
    assert followers._topics == {}


async def test_those_that_wait_are_small_and_look_a_few_a_second(rows: FlakyRows) -> None:
    count = 2_000
    followers = Followers(rows, round_s=30.0)
    jobs = [new() for _ in range(count)]
    await add(rows, *jobs)
    seen = 0

    async def follow(one: NewJob) -> None:
        nonlocal seen
        async for _ in followers.follow(ACME.tenant_id, one.id):
            seen += 1

    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.create_task(follow(one)) for one in jobs]
    await until(lambda: rows.calls["find"] == count)
    await asyncio.sleep(0)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert each < 4096, each  # bytes, with its task

    before_round = rows.calls["events"]
    for _ in range(10):
        followers.step()
    await until(lambda: rows.calls["events"] == before_round + 10 * MOST_PER_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert seen == 0
