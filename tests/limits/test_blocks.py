"""Buckets that processes share: one contract for memory, Postgres and Valkey. Rates are slow, so that the seconds a
test takes drain nothing, or fast, so that a moment drains all."""

import asyncio
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.limits import gcra
from tenfold.limits.gcra import Rate
from tenfold.limits.ports import BlockStore

Tenants = tuple[TenantId, TenantId]

SLOW = Rate(amount=10, window_ns=31 * 86_400 * 10**9, burst=100)
FAST = Rate(amount=10**12, window_ns=10**9, burst=100)
ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)


def slack(rate: Rate, units: int) -> range:
    """The backlog of so many units, less what an hour would drain."""
    backlog = gcra.filled(rate, 0, units)
    return range(backlog - 3600 * 10**9 * rate.amount, backlog + 1)


async def test_a_bucket_gives_its_burst_and_no_more(blocks: BlockStore, tenants: Tenants) -> None:
    for taken in range(1, 101):
        grant = await blocks.take(tenants[0], "b", SLOW, 1, 1)
        assert grant.granted == 1
        assert grant.backlog in slack(SLOW, taken)
    grant = await blocks.take(tenants[0], "b", SLOW, 1, 1)
    assert grant.granted == 0
    assert grant.backlog in slack(SLOW, 100)
    assert gcra.wait_ns(SLOW, grant.backlog, 1) > 2 * 86_400 * 10**9


async def test_blocks_shrink_near_the_limit(blocks: BlockStore, tenants: Tenants) -> None:
    granted = [(await blocks.take(tenants[0], "b", SLOW, 1000, 1)).granted for _ in range(7)]
    assert granted == [25, 18, 14, 10, 8, 6, 4]
    assert (await blocks.take(tenants[0], "b", SLOW, 1000, 15)).granted == 15
    assert (await blocks.take(tenants[0], "b", SLOW, 1, 1)).granted == 0


async def test_nothing_is_taken_where_the_need_does_not_fit(blocks: BlockStore, tenants: Tenants) -> None:
    assert (await blocks.take(tenants[0], "b", SLOW, 101, 101)) == await blocks.take(tenants[0], "b", SLOW, 101, 101)
    assert (await blocks.take(tenants[0], "b", SLOW, 100, 100)).granted == 100


async def test_what_is_given_back_can_be_taken_again(blocks: BlockStore, tenants: Tenants) -> None:
    await blocks.take(tenants[0], "b", SLOW, 100, 100)
    await blocks.give_back(tenants[0], "b", SLOW, 30)
    assert (await blocks.take(tenants[0], "b", SLOW, 31, 31)).granted == 0
    assert (await blocks.take(tenants[0], "b", SLOW, 30, 30)).granted == 30
    await blocks.give_back(tenants[0], "b", SLOW, 10_000)
    assert (await blocks.take(tenants[0], "b", SLOW, 101, 101)).granted == 0


async def test_a_bucket_can_go_into_debt(blocks: BlockStore, tenants: Tenants) -> None:
    await blocks.give_back(tenants[0], "b", SLOW, -150)
    grant = await blocks.take(tenants[0], "b", SLOW, 1, 1)
    assert grant.granted == 0
    assert grant.backlog in slack(SLOW, 150)
    await blocks.give_back(tenants[0], "b", SLOW, 60)
    assert (await blocks.take(tenants[0], "b", SLOW, 10, 10)).granted == 10


async def test_time_drains_a_bucket(blocks: BlockStore, tenants: Tenants) -> None:
    for _ in range(3):
        assert (await blocks.take(tenants[0], "b", FAST, 100, 100)).granted == 100
        await asyncio.sleep(0.001)


async def test_huge_amounts_are_kept(blocks: BlockStore, tenants: Tenants) -> None:
    rate = Rate(amount=10**15 - 1, window_ns=31 * 86_400 * 10**9, burst=10**15 - 1)
    assert (await blocks.take(tenants[0], "b", rate, 10**15 - 1, 10**15 - 1)).granted == 10**15 - 1
    grant = await blocks.take(tenants[0], "b", rate, 10**14, 10**14)
    assert grant.granted == 0
    assert abs(gcra.wait_ns(rate, grant.backlog, 10**14) / 10**9 - 3.1 * 86_400) < 3600


async def test_buckets_and_tenants_are_apart(blocks: BlockStore, tenants: Tenants) -> None:
    await blocks.take(tenants[0], "b", SLOW, 100, 100)
    assert (await blocks.take(tenants[0], "c", SLOW, 100, 100)).granted == 100
    assert (await blocks.take(tenants[1], "b", SLOW, 100, 100)).granted == 100


async def test_many_at_once_get_no_more_than_there_is(blocks: BlockStore, tenants: Tenants) -> None:
    grants = await asyncio.gather(*(blocks.take(tenants[0], "b", SLOW, 7, 3) for _ in range(40)))
    assert 97 < sum(grant.granted for grant in grants) <= 100
    assert {grant.granted for grant in grants} <= {0, 3, 4, 5, 6, 7}


async def test_sweeping_forgets_what_has_drained_only(blocks: BlockStore, tenants: Tenants) -> None:
    await blocks.take(tenants[0], "fast", FAST, 100, 100)
    await blocks.take(tenants[0], "slow", SLOW, 100, 100)
    await blocks.slots(tenants[0], "slots", ONE, limit=2, in_use=2, spare=0, ttl_s=60)
    await asyncio.sleep(0.001)
    await blocks.sweep(tenants[0])
    assert (await blocks.take(tenants[0], "fast", FAST, 100, 100)).granted == 100
    assert (await blocks.take(tenants[0], "slow", SLOW, 1, 1)).granted == 0
    assert (await blocks.slots(tenants[0], "slots", TWO, limit=2, in_use=0, spare=1, ttl_s=60)).held == 0


# -- slots -----------------------------------------------------------------------------------


async def test_slots_are_shared_and_the_last_ones_go_one_by_one(blocks: BlockStore, tenants: Tenants) -> None:
    async def ask(holder: UUID, in_use: int, spare: int) -> tuple[int, int]:
        slots = await blocks.slots(tenants[0], "s", holder, limit=10, in_use=in_use, spare=spare, ttl_s=60)
        return slots.held, slots.free

    assert await ask(ONE, 0, 8) == (2, 8)
    assert await ask(TWO, 0, 1) == (1, 7)
    assert await ask(ONE, 2, 8) == (3, 6)
    assert await ask(TWO, 6, 5) == (7, 0)  # it says that six are running; one of the last is left
    assert await ask(THREE, 0, 1) == (0, 0)
    assert await ask(ONE, 3, 1) == (3, 0)
    assert await ask(TWO, 1, 0) == (1, 6)
    assert await ask(THREE, 0, 4) == (1, 5)


async def test_slots_of_nobody_are_not_kept(blocks: BlockStore, tenants: Tenants) -> None:
    for holder in (ONE, TWO, THREE):
        slots = await blocks.slots(tenants[0], "s", holder, limit=1, in_use=0, spare=1, ttl_s=60)
        assert (slots.held, slots.free) == (1, 0)
        slots = await blocks.slots(tenants[0], "s", holder, limit=1, in_use=0, spare=0, ttl_s=60)
        assert (slots.held, slots.free) == (0, 1)


async def test_slots_vanish_with_their_holder(blocks: BlockStore, tenants: Tenants) -> None:
    await blocks.slots(tenants[0], "s", ONE, limit=5, in_use=5, spare=0, ttl_s=0.02)
    await blocks.slots(tenants[0], "s", TWO, limit=5, in_use=1, spare=0, ttl_s=60)
    await asyncio.sleep(0.03)
    slots = await blocks.slots(tenants[0], "s", THREE, limit=5, in_use=0, spare=1, ttl_s=60)
    assert (slots.held, slots.free) == (1, 3)


async def test_calls_that_run_are_told_even_beyond_the_limit(blocks: BlockStore, tenants: Tenants) -> None:
    """The limit was lowered, or the holder was away for longer than its slots lived."""
    await blocks.slots(tenants[0], "s", ONE, limit=5, in_use=4, spare=0, ttl_s=60)
    slots = await blocks.slots(tenants[0], "s", TWO, limit=5, in_use=3, spare=1, ttl_s=60)
    assert (slots.held, slots.free) == (3, 0)


async def test_slots_asked_for_at_once_are_no_more_than_the_limit(blocks: BlockStore, tenants: Tenants) -> None:
    asked = (
        blocks.slots(tenants[0], "s", UUID(int=number), limit=6, in_use=0, spare=1, ttl_s=60) for number in range(1, 20)
    )
    assert sum(slots.held for slots in await asyncio.gather(*asked)) == 6
