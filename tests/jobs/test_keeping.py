"""Ended jobs go, and dead letters that nobody looks after are told of, once each time there are more."""

from collections.abc import Sequence

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import uuid7
from tenfold.jobs.keeping import DeadLetterWatch, expire_jobs
from tenfold.jobs.types import KEEP_DEAD_S, DeadLetters, Result

from .flaky_rows import FlakyRows
from .parts import ACME, OTHER, add, new

ME = uuid7()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def end(rows: FlakyRows, count: int, *, whose: object = ACME, state: str = "failed") -> None:
    await add(rows, *[new(whose=whose) for _ in range(count)])  # type: ignore[arg-type]
    for work in await rows.claim(ME, ["k"], limit=count):
        await rows.finish(work, ME, state, Result(), code="x", message="x")  # type: ignore[arg-type]


async def test_ended_jobs_of_all_tenants_go(clock: FakeClock) -> None:
    rows = FlakyRows(clock)
    await end(rows, 150, state="done")
    await end(rows, 3, whose=OTHER)
    await add(rows, new())
    assert await expire_jobs(rows) == 0
    clock.advance(KEEP_DEAD_S)
    assert await expire_jobs(rows) == 153
    assert await expire_jobs(rows) == 0
    assert len(rows.jobs) == 1


async def test_old_dead_letters_are_told_of_when_there_are_more(clock: FakeClock) -> None:
    rows, told = FlakyRows(clock), []

    async def alert(found: Sequence[DeadLetters]) -> None:
        told.append([(one.tenant_id, one.count) for one in found])

    watch = DeadLetterWatch(rows, alert, older_than_s=3600)
    await end(rows, 1)
    await watch.look()
    assert told == []
    clock.advance(3600)
    await watch.look()
    await watch.look()
    assert told == [[(ACME.tenant_id, 1)]]
    await end(rows, 1, whose=OTHER)
    clock.advance(3600)
    await watch.look()
    assert told[1:] == [[(OTHER.tenant_id, 1)]]
    assert watch.count == 2
    for tenant_id in (ACME.tenant_id, OTHER.tenant_id):
        for job_id in await rows.failed_ids(tenant_id, kind=None, limit=9):
            await rows.discard(tenant_id, job_id)
    await watch.look()
    await watch.look()
    assert told[2:] == [[]]


async def test_an_alert_that_fails_is_told_again(clock: FakeClock) -> None:
    rows, calls = FlakyRows(clock), 0

    async def alert(_found: Sequence[DeadLetters]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("nobody there")

    watch = DeadLetterWatch(rows, alert, older_than_s=0)
    await end(rows, 1)
    with pytest.raises(OSError, match="nobody"):
        await watch.look()
    await watch.look()
    await watch.look()
    assert calls == 2
