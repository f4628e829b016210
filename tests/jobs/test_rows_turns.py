"""Who is claimed next: tenants by turns, priorities, age, and jobs that go one after the other. On both forms."""

import asyncio
import itertools
import random
from collections import Counter
from uuid import UUID

from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.types import AGED_EVERY, AGED_S, Result, Work
from tests.jobs.rows import Rows, new_job


async def claimed(rows: Rows, count: int) -> list[Work]:
    """One by one."""
    return [work for _ in range(count) for work in await rows.claim(1)]


def ids(works: list[Work]) -> list[UUID]:
    return [work.job.id for work in works]


# -- tenants ---------------------------------------------------------------------------------


async def test_tenants_come_by_turns(rows: Rows) -> None:
    mine, other = rows.tenants
    await rows.added(20)
    await rows.added(20, of=other)
    order = [work.job.tenant_id for work in await claimed(rows, 8)]
    assert Counter(order) == {mine: 4, other: 4}
    assert all(one != next_one for one, next_one in itertools.pairwise(order))


async def test_in_one_claim_as_in_many(rows: Rows) -> None:
    mine, other = rows.tenants
    await rows.added(20, weight=3)
    await rows.added(20, of=other)
    assert Counter(work.job.tenant_id for work in await rows.claim(8)) == {mine: 6, other: 2}
    assert Counter(work.job.tenant_id for work in await claimed(rows, 8)) == {mine: 6, other: 2}


async def test_a_single_job_waits_for_one_of_each_other_tenant(rows: Rows) -> None:
    other = rows.tenants[1]
    await rows.added(300, weight=5)
    await rows.claim(100)
    [single] = await rows.added(of=other, priority=0)
    assert single in ids(await claimed(rows, 2))


async def test_nobody_saves_up_turns(rows: Rows) -> None:
    """While one tenant works alone, the other does not earn the right to work alone later."""
    mine, other = rows.tenants
    await rows.added(1, of=other)
    await rows.added(60)
    await rows.claim(51)
    await rows.added(20, of=other)
    counts = Counter(work.job.tenant_id for work in await claimed(rows, 8))
    assert abs(counts[mine] - counts[other]) <= 2


async def test_a_weight_that_was_changed_holds_from_the_next_claim_on(rows: Rows) -> None:
    mine, other = rows.tenants
    await rows.added(40)
    await rows.added(40, of=other)
    await rows.claim(8)
    await rows.added(1, weight=3)
    counts = Counter(work.job.tenant_id for work in await claimed(rows, 16))
    assert counts[mine] - 3 * counts[other] in range(-4, 5)


async def test_a_tenant_whose_jobs_nobody_can_do_takes_nobodys_turn(rows: Rows) -> None:
    other = rows.tenants[1]
    await rows.added(5, kind="unknown")
    await rows.added(order_key="k", delay_s=60)
    await rows.added(order_key="k")
    wanted = await rows.added(5, of=other)
    assert ids(await rows.claim(5)) == wanted


async def test_no_two_that_claim_get_the_same(rows: Rows) -> None:
    wanted = {*await rows.added(30), *await rows.added(30, of=rows.tenants[1])}
    workers = [uuid7() for _ in range(6)]
    claims = await asyncio.gather(*(rows.claim(7, by=worker) for worker in workers for _ in range(2)))
    got = [job_id for works in claims for job_id in ids(works)]
    assert len(got) == len(set(got)) == 60
    assert set(got) == wanted


# -- inside a tenant -------------------------------------------------------------------------


async def test_the_highest_priority_comes_first_then_the_oldest(rows: Rows) -> None:
    low = await rows.added(2, priority=1)
    high = await rows.added(2, priority=9)
    usual = await rows.added(2)
    assert ids(await claimed(rows, 6)) == high + usual + low
    assert ids(await rows.claim(9)) == []


async def test_a_claim_tells_the_highest_priority_first(rows: Rows) -> None:
    low, high = await rows.added(2, priority=1), await rows.added(2, priority=9)
    assert ids(await rows.claim(9)) == high + low


async def test_of_those_that_waited_long_every_fourth_is_the_one_that_waited_longest(rows: Rows) -> None:
    old = await rows.added(3, priority=0)
    await rows.let_pass(AGED_S + 1)
    new = await rows.added(20, priority=9)
    works = ids(await claimed(rows, 4 * AGED_EVERY))
    assert [works.index(job_id) + 1 for job_id in old] == [AGED_EVERY, 2 * AGED_EVERY, 3 * AGED_EVERY]
    assert [job_id for job_id in works if job_id in new] == new[: 3 * AGED_EVERY + 1]


async def test_in_one_claim_as_well(rows: Rows) -> None:
    old = await rows.added(3, priority=0)
    await rows.let_pass(AGED_S + 1)
    new = await rows.added(20, priority=9)
    assert ids(await rows.claim(2 * AGED_EVERY + 1)) == new[: 2 * AGED_EVERY - 1] + old[:2]


async def test_before_so_long_only_the_priority_counts(rows: Rows) -> None:
    await rows.added(3, priority=0)
    await rows.let_pass(AGED_S - 10)
    new = await rows.added(10, priority=9)
    assert ids(await claimed(rows, 10)) == new


# -- one after the other ---------------------------------------------------------------------


async def test_of_an_order_key_one_is_done_after_the_other(rows: Rows) -> None:
    wanted = await rows.added(3, order_key="k")
    for expected in wanted:
        [work] = await rows.claim(9)
        assert work.job.id == expected
        assert await rows.claim(9) == []
        await rows.rows.finish(work, rows.worker, "done", Result())


async def test_what_is_tried_again_keeps_the_others_waiting(rows: Rows) -> None:
    first, second = await rows.added(2, order_key="k")
    [work] = await rows.claim(9)
    await rows.rows.retry(work, rows.worker, 30, cost_nano=0, code="c", message="m")
    assert await rows.claim(9) == []
    await rows.rows.cancel(rows.tenants[0], first)
    assert ids(await rows.claim(9)) == [second]


async def test_one_that_failed_lets_the_next_go(rows: Rows) -> None:
    _, second = await rows.added(2, order_key="k")
    [work] = await rows.claim(9)
    await rows.rows.finish(work, rows.worker, "failed", Result(), code="c", message="m")
    assert ids(await rows.claim(9)) == [second]


async def test_one_with_a_smaller_id_waits_for_the_one_that_runs(rows: Rows) -> None:
    """The clocks of two machines do not agree."""
    early = UUID(int=uuid7().int - (5 << 80))
    await rows.added(order_key="k")
    [work] = await rows.claim(9)
    await rows.add(new_job(rows.tenants[0], order_key="k", id=early))
    assert await rows.claim(9) == []
    await rows.rows.finish(work, rows.worker, "done", Result())
    assert ids(await rows.claim(9)) == [early]


async def test_an_order_key_is_a_tenants_own(rows: Rows) -> None:
    wanted = {*await rows.added(order_key="k"), *await rows.added(of=rows.tenants[1], order_key="k")}
    assert set(ids(await rows.claim(9))) == wanted


# -- whatever comes --------------------------------------------------------------------------


async def test_the_bound_of_turns_holds_whatever_comes(rows: Rows) -> None:
    """While a tenant of weight w waits, another of weight v has at most v // w + 1 jobs claimed before its next."""
    chance = random.Random(11)
    weights = dict(zip(rows.tenants, (1, 3), strict=True))
    waiting: Counter[TenantId] = Counter()
    since: dict[TenantId, Counter[TenantId]] = {}
    for _ in range(60):
        of = chance.choice(rows.tenants)
        if chance.random() < 0.4:
            count = chance.randrange(1, 12)
            await rows.added(count, of=of, weight=weights[of])
            if not waiting[of]:
                since[of] = Counter()
            waiting[of] += count
            continue
        works = await rows.claim(1)
        assert bool(works) == bool(waiting.total())
        for work in works:
            got = work.job.tenant_id
            waiting[got] -= 1
            since[got] = Counter()
            for tenant_id, others in since.items():
                if tenant_id != got and waiting[tenant_id]:
                    others[got] += 1
                    assert others[got] <= weights[got] // weights[tenant_id] + 1
