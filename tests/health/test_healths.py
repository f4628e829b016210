"""Processes that share their breakers, and what one tells of itself. Each `Healths` is a process."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tenfold.app.telemetry.metrics import HELP
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import uuid7
from tenfold.health import Healths, TargetHealth
from tenfold.health.fake import FakeBreakerRows
from tenfold.health.ports import BreakerRows
from tenfold.health.queries import TOPIC, PostgresBreakerRows
from tenfold.health.types import SharedState
from tenfold.store import Changes, Store


class Clock:
    now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def processes(rows: BreakerRows, clock: Callable[[], float], number: int = 2) -> list[Healths]:
    return [Healths(rows, uuid7(), now=clock, dice=lambda: 0.999) for _ in range(number)]


def break_it(health: TargetHealth, now: float) -> None:
    while health.state != "open":
        health.begin(now)
        health.failed(now, "connect")


def mend_it(health: TargetHealth, now: float) -> None:
    while health.state != "closed":
        health.begin(now)
        health.succeeded(now, first_s=0.0, total_s=0.0)


async def heard(*all_of_them: Healths) -> None:
    for healths in all_of_them:
        healths.hear()
        await healths.sync()


async def test_one_for_each_provider_and_model(clock: Clock) -> None:
    healths = Healths(now=clock)
    assert healths.of("a", "m") is healths.of("a", "m")
    assert len({id(healths.of(*key)) for key in (("a", "m"), ("a", "n"), ("b", "m"))}) == 3
    assert healths.shaper("a", "1") is healths.shaper("a", "1")
    assert healths.shaper("a", "1") is not healths.shaper("a", "2")
    await healths.run()  # nothing to share: it returns


async def test_opened_in_one_process_it_is_open_in_the_others(rows: BreakerRows, clock: Clock) -> None:
    one, other = processes(rows, clock)
    break_it(one.of("a", "m"), clock.now)
    assert other.of("a", "m").may_call(clock.now)
    assert other.of("a", "n").may_call(clock.now)
    await heard(one, other)
    assert not other.of("a", "m").may_call(clock.now)
    assert other.of("a", "m").retry_after_s(clock.now) <= one.of("a", "m").retry_after_s(clock.now) + 0.1
    assert other.of("a", "n").may_call(clock.now)


async def test_closed_in_one_process_it_is_closed_in_the_others(rows: BreakerRows, clock: Clock) -> None:
    one, other = processes(rows, clock)
    other.of("a", "m")
    break_it(one.of("a", "m"), clock.now)
    await heard(one, other)
    clock.now += 4
    mend_it(one.of("a", "m"), clock.now)
    await heard(one, other)
    assert other.of("a", "m").state == "closed"


async def test_what_is_known_is_not_adopted_again(rows: BreakerRows, clock: Clock) -> None:
    """The row of an opening stays; who closed it of his own experience since is not opened by reading it again."""
    one, other = processes(rows, clock)
    target = other.of("a", "m")
    break_it(one.of("a", "m"), clock.now)
    await heard(one, other)
    target.adopt_closed(clock.now)
    await heard(other, one)
    assert target.state == "closed"
    assert one.of("a", "m").state == "open"


async def test_a_row_of_ones_own_is_not_adopted_though_its_writing_seemed_to_fail(clock: Clock) -> None:
    class Forgetful(FakeBreakerRows):
        """Writes late, so that the row outlives what it tells of, and then the connection breaks."""

        async def write(self, states: Sequence[SharedState]) -> None:
            clock.now += 1
            await super().write(states)
            raise StoreUnavailable("The database is away.")

    (healths,) = processes(Forgetful(clock), clock, 1)
    target = healths.of("a", "m")
    break_it(target, clock.now)
    with pytest.raises(StoreUnavailable):
        await healths.sync()
    clock.now += 1.5
    target.begin(clock.now)  # a probe: there is nothing to tell now, and the row is read
    await heard(healths)
    assert target.state == "half_open"


async def test_who_has_found_something_itself_since_is_not_told_otherwise(rows: BreakerRows, clock: Clock) -> None:
    one, other = processes(rows, clock)
    break_it(one.of("a", "m"), clock.now)
    await one.sync()
    clock.now += 4
    mend_it(one.of("a", "m"), clock.now)
    break_it(other.of("a", "m"), clock.now)
    await heard(one, other)  # in this order the other's is the last word
    assert other.of("a", "m").state == "open"
    await heard(one)
    assert one.of("a", "m").state == "open"


async def test_a_process_that_starts_late_knows_what_the_others_know(rows: BreakerRows, clock: Clock) -> None:
    (one,) = processes(rows, clock, 1)
    break_it(one.of("a", "m"), clock.now)
    await one.sync()
    (late,) = processes(rows, clock, 1)
    late.of("a", "m")
    await late.sync()
    assert late.of("a", "m").state == "open"


async def test_a_process_that_died_while_it_was_open_leaves_nothing_open_for_ever(clock: Clock) -> None:
    rows = FakeBreakerRows(clock)
    (dead,) = processes(rows, clock, 1)
    break_it(dead.of("a", "m"), clock.now)
    await dead.sync()
    clock.now += 5
    (late,) = processes(rows, clock, 1)
    assert late.of("a", "m").may_call(clock.now)
    await late.sync()
    assert late.of("a", "m").state == "closed"


async def test_without_the_database_each_goes_by_itself_and_tells_what_is_true_later(clock: Clock) -> None:
    rows = FakeBreakerRows(clock)
    one, other = processes(rows, clock)
    other.of("a", "m")
    rows.away = True
    task = asyncio.create_task(one.run())
    break_it(one.of("a", "m"), clock.now)
    break_it(one.of("a", "n"), clock.now)
    await asyncio.sleep(0.01)
    assert not task.done()
    assert one.of("a", "m").state == "open"
    task.cancel()
    clock.now += 4
    mend_it(one.of("a", "n"), clock.now)
    break_it(one.of("b", "m"), clock.now)
    rows.away = False
    await heard(one)
    told = {(state.provider, state.model): state.state for state in await rows.read()}
    assert told == {("a", "n"): "closed", ("b", "m"): "open"}, "what is over is not told"


async def test_what_could_not_be_told_is_told_when_the_database_is_back(clock: Clock) -> None:
    rows = FakeBreakerRows(clock)
    (one,) = processes(rows, clock, 1)
    break_it(one.of("a", "m"), clock.now)
    rows.away = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await one.sync()
    rows.away = False
    await one.sync()
    (told,) = await rows.read()
    assert told.state == "open"


async def test_what_is_found_here_while_others_are_read_stands(clock: Clock) -> None:
    class SlowRows(FakeBreakerRows):
        async def read(self) -> list[SharedState]:
            states = await super().read()
            break_it(one.of("a", "m"), clock.now)
            return states

    rows = SlowRows(clock)
    (one,) = processes(rows, clock, 1)
    closed = SharedState(provider="a", model="m", state="closed", holder=uuid7(), change_id=uuid7(), left_s=0)
    await rows.write([closed])
    one.of("a", "m")
    await one.sync()
    assert one.of("a", "m").state == "open"
    await heard(one)
    assert [state.state for state in await FakeBreakerRows.read(rows)] == ["open"]


async def test_rows_of_targets_nobody_has_here_are_passed_over(rows: BreakerRows, clock: Clock) -> None:
    one, other = processes(rows, clock)
    break_it(one.of("elsewhere", "m"), clock.now)
    await heard(one, other)
    assert other.views() == []


async def test_it_reaches_the_others_by_the_feed_of_changes(store: Store, clock: Clock) -> None:
    one, other = processes(PostgresBreakerRows(store), clock)
    changes = Changes(store, poll_s=3600)
    for process in (one, other):
        changes.follow(TOPIC, process.hear)
    target = other.of("a", "m")
    await changes.start()
    tasks = [asyncio.create_task(work) for work in (one.run(), other.run(), changes.run())]
    try:
        break_it(one.of("a", "m"), clock.now)
        async with asyncio.timeout(10):
            while target.state != "open":
                await asyncio.sleep(0.005)
        mend_it(target, clock.now + 4)
        async with asyncio.timeout(10):
            while one.of("a", "m").state != "closed":
                await asyncio.sleep(0.005)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_figures_are_documented_and_say_how_it_stands(clock: Clock) -> None:
    healths = Healths(now=clock)
    break_it(healths.of("a", "m"), clock.now)
    healths.of("a", "n").begin(clock.now)
    healths.of("b", "m").begin(clock.now)
    shaper = healths.shaper("a", "KEY_1")
    assert shaper.try_enter()
    assert shaper.try_enter()
    shaper.leave(limited=True, rtt_s=None)
    figures = list(healths.figures())
    assert {name for name, _, _ in figures} <= HELP.keys()
    said = {(name, *(value for label, value in labels if label != "process")): value for name, labels, value in figures}
    assert said == {
        ("tenfold_breaker_state", "a", "m"): 2,
        ("tenfold_breaker_state", "a", "n"): 0,
        ("tenfold_breaker_state", "b", "m"): 0,
        ("tenfold_breaker_opened_total", "a", "m"): 1,
        ("tenfold_breaker_opened_total", "a", "n"): 0,
        ("tenfold_breaker_opened_total", "b", "m"): 0,
        ("tenfold_provider_in_flight", "a"): 1,
        ("tenfold_provider_in_flight", "b"): 1,
        ("tenfold_provider_concurrency_limit", "a", "KEY_1"): 1,
    }
