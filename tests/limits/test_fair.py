"""Fair share: no seat is lost, weights hold, nobody starves, nobody waits too long. In virtual time."""

import asyncio
from collections import Counter
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId
from tenfold.limits.fair import FairShare

from .virtual_time import run_in_virtual_time

A, B, C = (TenantId(UUID(int=number)) for number in (1, 2, 3))
TENANTS = (A, B, C)


def is_empty(share: FairShare) -> bool:
    """Nothing of any call is left in it."""
    return (share.in_flight, share.waiting, share._in_flight, share._queues, share._tags) == (0, 0, {}, {}, {})


async def waiting(share: FairShare, tenant_id: TenantId) -> "asyncio.Task[None]":
    """A call that has begun to wait."""
    task = asyncio.create_task(share.enter(tenant_id))
    await asyncio.sleep(0)
    return task


async def test_below_saturation_nobody_waits() -> None:
    share = FairShare(3, 10, 1)
    for tenant_id in (A, A, B):
        entering = share.enter(tenant_id)
        with pytest.raises(StopIteration):
            entering.send(None)
    assert share.in_flight == 3
    for tenant_id in (B, A, A):
        share.leave(tenant_id)
    assert is_empty(share)


async def test_a_free_seat_goes_to_who_has_the_fewest() -> None:
    share = FairShare(3, 10, 60)
    for tenant_id in (A, A, B):
        await share.enter(tenant_id)
    first, second, third = await waiting(share, A), await waiting(share, B), await waiting(share, C)
    share.leave(A)
    await third
    share.leave(C)
    await asyncio.sleep(0)
    assert [task.done() for task in (first, second)] == [True, False]  # A and B had one each; A has waited longer
    share.leave(A)
    await second


async def test_the_last_tenth_is_kept_from_those_who_have_their_share() -> None:
    share = FairShare(20, 10, 60)
    for _ in range(18):
        await share.enter(A)
    await share.enter(B)
    loud = await waiting(share, A)
    assert not loud.done()
    await share.enter(B)  # B has not its share of ten
    assert share.in_flight == 20
    share.leave(B)
    await asyncio.sleep(0)
    assert not loud.done()
    share.leave(B)  # A is alone again: all seats are its own
    await loud
    await share.enter(A)
    assert share.in_flight == 20


async def test_inside_a_tenant_the_first_comes_first() -> None:
    share = FairShare(1, 10, 60)
    await share.enter(A)
    tasks = [await waiting(share, A) for _ in range(4)]
    for number, task in enumerate(tasks):
        share.leave(A)
        await task
        assert sum(other.done() for other in tasks) == number + 1
    share.leave(A)
    assert is_empty(share)


async def test_without_patience_a_full_process_refuses_at_once() -> None:
    share = FairShare(1, 10, 0)
    await share.enter(A)
    with pytest.raises(Overloaded) as refused:
        share.enter(B).send(None)
    assert refused.value.retry_after_s == 1
    assert share.refused == 1
    share.leave(A)
    assert is_empty(share)


def test_who_waited_long_enough_is_refused() -> None:
    async def scene() -> float:
        share = FairShare(1, 10, 2.5)
        await share.enter(A)
        with pytest.raises(Overloaded):
            await share.enter(B)
        share.leave(A)
        assert is_empty(share)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(scene()) == 2.5


async def test_the_queue_is_bounded_and_the_greediest_makes_place() -> None:
    share = FairShare(1, 4, 60)
    await share.enter(A)
    greedy = [await waiting(share, A) for _ in range(4)]
    with pytest.raises(Overloaded):
        await share.enter(A)
    modest = await waiting(share, B)
    with pytest.raises(Overloaded):
        await greedy[-1]
    second = await waiting(share, B)
    with pytest.raises(Overloaded):
        await greedy[-2]
    with pytest.raises(Overloaded):  # two and two: nobody has more than its share
        await share.enter(B)
    share.leave(A)
    await greedy[0]
    share.leave(A)
    await modest
    for task in (greedy[1], second):
        task.cancel()
    await asyncio.gather(greedy[1], second, return_exceptions=True)
    share.leave(B)
    assert is_empty(share)


async def test_a_call_cancelled_as_it_got_its_seat_passes_it_on() -> None:
    share = FairShare(1, 10, 60)
    await share.enter(A)
    first, second = await waiting(share, B), await waiting(share, C)
    share.leave(A)  # the seat is B's, who does not know it yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    share.leave(C)
    assert is_empty(share)


def shares_of(seats: int, weights: dict[TenantId, int], calls: int, always: int) -> Counter[TenantId]:
    """Seat-seconds of tenants of which each always has so many calls that want to run, each for a second."""
    held: Counter[TenantId] = Counter()

    async def client(share: FairShare, tenant_id: TenantId, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await share.enter(tenant_id)
            held[tenant_id] += 1
            await asyncio.sleep(1)
            share.leave(tenant_id)

    async def scene() -> None:
        share = FairShare(seats, 10_000, 10_000, lambda tenant_id: weights[tenant_id])
        until = calls / seats
        await asyncio.gather(*(client(share, tenant_id, until) for tenant_id in weights for _ in range(always)))
        assert is_empty(share)

    run_in_virtual_time(scene())
    return held


@settings(max_examples=40, deadline=None)
@given(seats=st.integers(1, 12), weights=st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_seats_are_shared_by_weight(seats: int, weights: list[int]) -> None:
    """Each tenant has its part of the seats, within about one seat."""
    of = {TenantId(UUID(int=number)): weight for number, weight in enumerate(weights, 1)}
    rounds = 60
    held = shares_of(seats, of, seats * rounds, always=seats + 1)
    for tenant_id, weight in of.items():
        assert abs(held[tenant_id] / rounds - seats * weight / sum(weights)) <= 1.3  # the end is not a whole round


def test_weights_hold_with_a_single_seat() -> None:
    held = shares_of(1, {A: 3, B: 1}, 400, always=4)
    assert abs(held[A] / held[B] - 3) < 0.2


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[float, TenantId, float, float | None]]:
    """(when a call comes, whose it is, how long it runs, when its client leaves)"""
    return draw(
        st.lists(
            st.tuples(
                st.integers(0, 40).map(float),
                st.sampled_from(TENANTS),
                st.integers(0, 8).map(float),
                st.none() | st.integers(0, 6).map(float),
            ),
            max_size=50,
        )
    )


@settings(max_examples=150, deadline=None)
@given(
    script=scripts(),
    seats=st.integers(1, 4) | st.integers(10, 21),
    places=st.integers(0, 12),
    patience=st.sampled_from([0.0, 3.0, 1000.0]),
    weights=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)
def test_no_seat_is_lost_and_none_is_given_twice(
    script: list[tuple[float, TenantId, float, float | None]],
    seats: int,
    places: int,
    patience: float,
    weights: tuple[int, int, int],
) -> None:
    ends: Counter[str] = Counter()
    running: Counter[TenantId] = Counter()

    async def call(share: FairShare, tenant_id: TenantId, runs_s: float) -> None:
        came = asyncio.get_running_loop().time()
        try:
            await share.enter(tenant_id)
        except Overloaded:
            ends["refused"] += 1
            waited = asyncio.get_running_loop().time() - came
            assert not share._has_room(tenant_id) or waited == patience  # nobody is refused while a seat is free
            return
        except asyncio.CancelledError:
            ends["left"] += 1
            return
        assert asyncio.get_running_loop().time() - came <= patience
        running[tenant_id] += 1
        assert sum(running.values()) <= seats
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(runs_s)
        running[tenant_id] -= 1
        share.leave(tenant_id)
        ends["ran"] += 1
        assert share.waiting <= places
        assert not any(share._has_room(other) for other in share._queues)  # nobody waits for a seat he may have

    async def client(share: FairShare, at: float, tenant_id: TenantId, runs_s: float, leaves: float | None) -> None:
        await asyncio.sleep(at)
        task = asyncio.create_task(call(share, tenant_id, runs_s))
        if leaves is not None:
            asyncio.get_running_loop().call_later(leaves, task.cancel)
        await asyncio.wait([task])
        if task.cancelled():
            ends["left"] += 1
        else:
            task.result()

    async def scene() -> None:
        share = FairShare(seats, places, patience, lambda tenant_id: weights[TENANTS.index(tenant_id)])
        await asyncio.gather(*(client(share, *line) for line in script))
        assert is_empty(share)

    run_in_virtual_time(scene())
    assert sum(ends.values()) == len(script)


def test_nobody_starves() -> None:
    """One call of B among a thousand of A is served within one round of the seats."""

    async def scene() -> float:
        loop = asyncio.get_running_loop()
        share = FairShare(5, 10_000, 10_000, lambda tenant_id: 100 if tenant_id == A else 1)

        async def call(tenant_id: TenantId) -> float:
            came = loop.time()
            await share.enter(tenant_id)
            waited = loop.time() - came
            await asyncio.sleep(1)
            share.leave(tenant_id)
            return waited

        many = [asyncio.create_task(call(A)) for _ in range(1000)]
        await asyncio.sleep(0.5)
        waited = await call(B)
        await asyncio.gather(*many)
        return waited

    assert run_in_virtual_time(scene()) == 0.5
