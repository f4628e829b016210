"""How a key's limit is learnt, and who waits for whom."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.health import Shaper
from tests.limits.virtual_time import run_in_virtual_time


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(shaper: Shaper, calls: int) -> Shaper:
    for _ in range(calls):
        assert shaper.try_enter()
    return shaper


# -- learning --------------------------------------------------------------------------------


def test_nothing_is_held_back_before_the_first_429() -> None:
    shaper = filled(Shaper(), 4096)
    assert not shaper.try_enter()
    for _ in range(4096):
        shaper.leave(limited=False, rtt_s=1)
    assert (shaper.limit, shaper.in_flight) == (4096, 0)


def test_a_429_says_that_less_than_what_is_in_flight_is_taken() -> None:
    shaper = filled(Shaper(), 50)
    shaper.leave(limited=True, rtt_s=0.1)
    assert shaper.limit == 35


def test_calls_that_were_on_their_way_together_shrink_it_once() -> None:
    clock = Clock()
    shaper = filled(Shaper(now=clock), 50)
    for _ in range(10):
        clock.now += 0.001
        shaper.leave(limited=True, rtt_s=0.5)
    assert shaper.limit == 35
    clock.now += 1
    shaper.leave(limited=True, rtt_s=0.5)
    assert shaper.limit == 24, "not one round went well: the true limit is far below"


def test_after_a_round_that_went_well_it_shrinks_by_little() -> None:
    clock = Clock()
    shaper = filled(Shaper(now=clock), 10)
    shaper.leave(limited=True, rtt_s=0.1)
    rounds(shaper, 14)
    limit = shaper.limit
    clock.now += 1
    filled(shaper, limit - shaper.in_flight)
    shaper.leave(limited=True, rtt_s=0.1)
    assert shaper.limit == int(limit * 0.9)


def test_it_never_falls_below_one() -> None:
    clock = Clock()
    shaper = Shaper(4, now=clock)
    for _ in range(9):
        clock.now += 1
        filled(shaper, shaper.limit - shaper.in_flight)
        shaper.leave(limited=True, rtt_s=None)
    assert shaper.limit == 1


def test_a_429_for_one_call_alone_says_nothing_of_how_many_are_taken() -> None:
    """It had too many tokens, or was one too many in a minute; a rest is what helps, see `TargetHealth.limited`."""
    clock = Clock()
    shaper = Shaper(now=clock)
    for _ in range(5):
        clock.now += 1
        assert shaper.try_enter()
        shaper.leave(limited=True, rtt_s=0.1)
    assert shaper.limit == 4096


def rounds(shaper: Shaper, number: int) -> None:
    for _ in range(number):
        limit = shaper.limit
        filled(shaper, limit - shaper.in_flight)
        for _ in range(limit):
            shaper.leave(limited=False, rtt_s=1)
            shaper.try_enter()


def test_it_grows_by_one_a_round_and_faster_after_a_calm_while() -> None:
    shaper = filled(Shaper(), 10)
    shaper.leave(limited=True, rtt_s=1)
    assert shaper.limit == 7
    rounds(shaper, 1)
    assert shaper.limit == 8
    rounds(shaper, 1)
    assert shaper.limit == 9
    rounds(shaper, 4)
    assert shaper.limit == 9, "ten were too many: it stays below for a while"
    rounds(shaper, 1)
    assert shaper.limit == 10
    rounds(shaper, 100)
    assert shaper.limit == 4096


def test_it_does_not_grow_while_nobody_needs_it_nor_by_calls_that_say_nothing() -> None:
    shaper = filled(Shaper(), 100)
    shaper.leave(limited=True, rtt_s=1)
    for _ in range(99):
        shaper.leave(limited=False, rtt_s=None)
    for _ in range(1_000):
        assert shaper.try_enter()
        shaper.leave(limited=False, rtt_s=1)
    assert shaper.limit == 70


def test_it_settles_near_what_the_vendor_takes() -> None:
    """A vendor that takes 40 calls at once, each for a second, and 200 who would like to."""
    clock = Clock()
    shaper, limits, refused, calls = Shaper(now=clock), list[int](), 0, 0
    for _ in range(300):
        clock.now += 1
        while shaper.in_flight < 200 and shaper.try_enter():
            pass
        too_many = max(0, shaper.in_flight - 40)
        calls, refused = calls + shaper.in_flight, refused + too_many
        for _ in range(too_many):
            shaper.leave(limited=True, rtt_s=0.05)
        for _ in range(shaper.in_flight):
            shaper.leave(limited=False, rtt_s=1.0)
        limits.append(shaper.limit)
    assert all(25 <= limit <= 50 for limit in limits[20:])
    assert refused / calls < 0.05


@pytest.mark.parametrize(("max_limit", "max_waiting"), [(0, 1), (1, -1)])
def test_bounds_that_cannot_be_are_refused(max_limit: int, max_waiting: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        Shaper(max_limit, max_waiting=max_waiting)


# -- waiting ---------------------------------------------------------------------------------


def waits(work: Coroutine[Any, Any, None]) -> None:
    run_in_virtual_time(work)


def test_those_who_wait_get_in_in_order() -> None:
    async def work() -> None:
        shaper, order = filled(Shaper(1), 1), list[int]()

        async def call(number: int) -> None:
            assert await shaper.enter(60)
            order.append(number)
            await asyncio.sleep(1)
            shaper.leave(limited=False, rtt_s=1)

        tasks = [asyncio.create_task(call(number)) for number in range(5)]
        await asyncio.sleep(1)
        assert not shaper.try_enter()
        shaper.leave(limited=False, rtt_s=1)
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3, 4]
        assert (shaper.in_flight, shaper.waiting) == (0, 0)

    waits(work())


def test_nobody_waits_longer_than_he_said() -> None:
    async def work() -> None:
        shaper = filled(Shaper(1), 1)
        assert not await shaper.enter(2.5)
        assert asyncio.get_running_loop().time() == pytest.approx(2.5)
        assert not await shaper.enter(0)
        assert (shaper.in_flight, shaper.waiting) == (1, 0)

    waits(work())


def test_no_more_wait_than_may() -> None:
    async def work() -> None:
        shaper = filled(Shaper(1, max_waiting=1), 1)
        first = asyncio.create_task(shaper.enter(5))
        await asyncio.sleep(0)
        assert not await shaper.enter(5)
        shaper.leave(limited=False, rtt_s=None)
        assert await first

    waits(work())


def test_who_is_cancelled_as_his_turn_comes_hands_it_on() -> None:
    async def work() -> None:
        shaper = filled(Shaper(1), 1)
        first, second = (asyncio.create_task(shaper.enter(60)) for _ in range(2))
        await asyncio.sleep(0)
        shaper.leave(limited=False, rtt_s=None)
        first.cancel()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (shaper.in_flight, shaper.waiting) == (1, 0)

    waits(work())


def test_who_gave_up_is_passed_over_before_he_knows() -> None:
    async def work() -> None:
        shaper = filled(Shaper(1), 1)
        first, second = (asyncio.create_task(shaper.enter(60)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        shaper.leave(limited=False, rtt_s=None)
        assert await second
        assert (shaper.in_flight, shaper.waiting) == (1, 0)
        with pytest.raises(asyncio.CancelledError):
            await first

    waits(work())


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "try", "leave", "limited", "cancel", "pass"]), st.integers(0, 100)), max_size=60
)


@given(STEPS, st.integers(1, 6), st.integers(0, 5))
def test_whatever_happens_nobody_gets_in_beyond_the_limit_and_no_place_stays_empty(
    steps: list[tuple[str, int]], max_limit: int, max_waiting: int
) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        shaper = Shaper(max_limit, max_waiting=max_waiting, now=loop.time)
        inside, waiting = [0], list[asyncio.Task[bool]]()

        async def enter(timeout_s: float) -> bool:
            entered = await shaper.enter(timeout_s)
            inside[0] += entered
            return entered

        def checked() -> None:
            assert shaper.in_flight == inside[0]
            assert 1 <= shaper.limit <= max_limit
            alive = [task for task in waiting if not task.done()]
            assert len(alive) == shaper.waiting <= max_waiting
            assert not alive or shaper.in_flight >= shaper.limit, "there is room, and yet somebody waits"

        for what, number in steps:
            before, limit = shaper.in_flight, shaper.limit
            if what == "enter":
                waiting.append(asyncio.create_task(enter(number / 10)))
            elif what == "try":
                entered = shaper.try_enter()
                inside[0] += entered
                assert not entered or shaper.in_flight <= shaper.limit
            elif what in ("leave", "limited") and inside[0]:
                inside[0] -= 1
                shaper.leave(limited=what == "limited", rtt_s=number / 100)
                assert shaper.in_flight <= max(shaper.limit, before)
            elif what == "cancel" and waiting:
                waiting[number % len(waiting)].cancel()
            elif what == "pass":
                await asyncio.sleep(number / 20)
            if number % 3:  # otherwise the next step comes before anybody has had a turn
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                checked()
            assert shaper.limit <= max(limit, before, 1) + max_limit
        await asyncio.sleep(20)
        checked()
        assert shaper.waiting == 0
        await asyncio.gather(*waiting, return_exceptions=True)
        while inside[0]:
            inside[0] -= 1
            shaper.leave(limited=False, rtt_s=None)
        assert shaper.in_flight == 0
        assert all(shaper.try_enter() for _ in range(shaper.limit))

    run_in_virtual_time(work())
