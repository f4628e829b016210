"""The contract of schedules at rest, on Postgres and in memory."""

import asyncio
from datetime import timedelta

import pytest
from msgspec import structs

from tenfold.core.errors import Conflict
from tenfold.core.ids import uuid7
from tenfold.jobs.schedules.types import Schedule
from tests.jobs.schedules.conftest import Rows
from tests.jobs.schedules.parts import principal, schedule


async def kept(rows: Rows, tenant: int = 0, *, in_s: float | None = 60.0, name: str = "nightly") -> Schedule:
    now = await rows.rows.now()
    next_at = None if in_s is None else now + timedelta(seconds=in_s)
    made = schedule(principal(rows.tenants[tenant]), name=name, next_at=next_at, created_at=now, updated_at=now)
    assert await rows.rows.add(made, most=100)
    return made


async def test_what_is_added_is_found_as_it_was(rows: Rows) -> None:
    made = await kept(rows)
    assert await rows.rows.find(made.tenant_id, made.id) == made
    assert await rows.rows.add(made, most=1)  # again, as after a lost answer
    assert await rows.rows.page(made.tenant_id, before=None, limit=10) == [made]


async def test_names_are_a_tenants_own_and_taken_once(rows: Rows) -> None:
    first, other = await kept(rows), await kept(rows, 1)
    second = await kept(rows, name="weekly")
    with pytest.raises(Conflict, match="nightly"):
        await rows.rows.add(structs.replace(first, id=uuid7()), most=100)
    with pytest.raises(Conflict, match="nightly"):
        await rows.rows.change(structs.replace(second, name="nightly"))
    assert await rows.rows.change(structs.replace(other, name="nightly"))


async def test_there_are_so_many_at_most(rows: Rows) -> None:
    made = await kept(rows)
    assert not await rows.rows.add(structs.replace(made, id=uuid7(), name="b"), most=1)
    assert await rows.rows.add(schedule(principal(rows.tenants[1])), most=1)


async def test_pages_are_the_newest_first(rows: Rows) -> None:
    made = [await kept(rows, name=f"n{number}") for number in range(5)]
    await kept(rows, 1)
    first = await rows.rows.page(rows.tenants[0], before=None, limit=3)
    rest = await rows.rows.page(rows.tenants[0], before=first[-1].id, limit=3)
    assert [one.id for one in first + rest] == sorted((one.id for one in made), reverse=True)


async def test_a_change_of_an_older_state_is_none(rows: Rows) -> None:
    made = await kept(rows)
    changed = structs.replace(made, name="x", cron="0 1 * * *", zone="Europe/Berlin", missed="all", asked=b'{"of":9}')
    assert await rows.rows.change(changed)
    assert not await rows.rows.change(structs.replace(made, name="y"))
    found = await rows.rows.find(made.tenant_id, made.id)
    assert found is not None
    assert found.updated_at >= made.updated_at
    assert found == structs.replace(changed, version=2, updated_at=found.updated_at)
    assert not await rows.rows.change(structs.replace(made, id=uuid7(), name="z"))


async def test_what_is_due_is_claimed_by_one(rows: Rows) -> None:
    late, early = await kept(rows, in_s=-5, name="late"), await kept(rows, 1, in_s=-60)
    await kept(rows, in_s=3600, name="not yet")
    await kept(rows, in_s=None, name="paused")
    assert [one.schedule_id for one in await rows.rows.claim(limit=1, hold_s=30)] == [early.id]
    assert [one.schedule_id for one in await rows.rows.claim(limit=9, hold_s=30)] == [late.id]
    assert await rows.rows.claim(limit=9, hold_s=30) == []
    await rows.let_pass(31)
    assert len(await rows.rows.claim(limit=9, hold_s=30)) == 2  # whoever had them did not come back


async def test_many_who_claim_at_once_get_each_schedule_once(rows: Rows) -> None:
    made = {(await kept(rows, number % 2, in_s=-1, name=f"n{number}")).id for number in range(12)}
    claims = await asyncio.gather(*(rows.rows.claim(limit=5, hold_s=30) for _ in range(6)))
    claimed = [one.schedule_id for claim in claims for one in claim]
    claimed += [one.schedule_id for one in await rows.rows.claim(limit=50, hold_s=30)]
    assert sorted(claimed) == sorted(made)


async def test_who_saw_to_a_tick_moves_it_on_and_nobody_else(rows: Rows) -> None:
    made = await kept(rows, in_s=-1)
    assert made.next_at is not None
    next_at, job = made.next_at + timedelta(minutes=1), uuid7()
    assert await rows.rows.advance(made, next_at=next_at, last_at=made.next_at, job=job, error="")
    assert not await rows.rows.advance(made, next_at=next_at, last_at=made.next_at, job=uuid7(), error="")
    found = await rows.rows.find(made.tenant_id, made.id)
    assert found == structs.replace(made, next_at=next_at, last_at=made.next_at, last_job=job)
    assert found is not None
    assert await rows.rows.claim(limit=9, hold_s=30) == []
    await rows.let_pass(60)
    assert len(await rows.rows.claim(limit=9, hold_s=30)) == 1

    later = next_at + timedelta(minutes=1)
    assert await rows.rows.advance(found, next_at=later, last_at=next_at, job=None, error="queue: gone")
    failed = await rows.rows.find(made.tenant_id, made.id)
    assert failed is not None
    assert (failed.last_job, failed.error) == (job, "queue: gone")
    assert await rows.rows.advance(failed, next_at=None, last_at=None, job=None, error="")
    over = await rows.rows.find(made.tenant_id, made.id)
    assert over == structs.replace(failed, next_at=None)  # no tick became a job: what is told of the last one stays
    await rows.let_pass(1e9)
    assert await rows.rows.claim(limit=9, hold_s=30) == []


async def test_a_changed_schedule_is_not_moved_on_by_who_saw_the_old_one(rows: Rows) -> None:
    made = await kept(rows, in_s=-1)
    assert await rows.rows.change(structs.replace(made, missed="all"))
    assert not await rows.rows.advance(made, next_at=None, last_at=made.next_at, job=None, error="")


async def test_what_is_postponed_comes_again(rows: Rows) -> None:
    made = await kept(rows, in_s=-1)
    await rows.rows.claim(limit=9, hold_s=3600)
    await rows.rows.postpone(made.tenant_id, made.id, 10)
    assert await rows.rows.claim(limit=9, hold_s=30) == []
    await rows.let_pass(11)
    assert len(await rows.rows.claim(limit=9, hold_s=30)) == 1


async def test_what_is_removed_or_paused_is_not_due(rows: Rows) -> None:
    removed, paused = await kept(rows, in_s=-1), await kept(rows, in_s=-1, name="paused")
    assert await rows.rows.remove(removed.tenant_id, removed.id)
    assert not await rows.rows.remove(removed.tenant_id, removed.id)
    assert await rows.rows.change(structs.replace(paused, paused=True, next_at=None))
    assert await rows.rows.claim(limit=9, hold_s=30) == []
    assert await rows.rows.find(removed.tenant_id, removed.id) is None


async def test_another_tenants_schedule_does_not_exist(rows: Rows) -> None:
    theirs, mine = await kept(rows, 1), rows.tenants[0]
    assert await rows.rows.find(mine, theirs.id) is None
    assert await rows.rows.page(mine, before=None, limit=10) == []
    assert not await rows.rows.remove(mine, theirs.id)
    foreign = structs.replace(theirs, tenant_id=mine)
    assert not await rows.rows.change(foreign)
    assert not await rows.rows.advance(foreign, next_at=None, last_at=None, job=None, error="")
    assert await rows.rows.find(theirs.tenant_id, theirs.id) == theirs
