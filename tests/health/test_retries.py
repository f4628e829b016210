"""What retries may add to the load, whatever comes in whatever order."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenfold.health import RetryBudget
from tenfold.health.retries import WINDOW_S


class Clock:
    now = 500.0

    def __call__(self) -> float:
        return self.now


def test_a_process_with_few_calls_may_retry_too() -> None:
    budget = RetryBudget(now=Clock())
    budget.request()
    assert [budget.may_retry() for _ in range(11)] == [True] * 10 + [False]
    assert (budget.taken, budget.refused) == (10, 1)


def test_the_floor_comes_again_with_time() -> None:
    clock = Clock()
    budget = RetryBudget(now=clock)
    while budget.may_retry():
        pass
    clock.now += WINDOW_S
    assert budget.may_retry()


def test_under_load_everything_failing_adds_a_tenth() -> None:
    clock = Clock()
    budget = RetryBudget(now=clock)
    for _ in range(200 * 60):
        clock.now += 1 / 200
        budget.request()
        for _ in range(3):
            budget.may_retry()
    assert 0.09 <= budget.taken / (200 * 60) <= 0.1


def test_no_ratio_and_no_floor_is_no_retry() -> None:
    budget = RetryBudget(0.0, 0, now=Clock())
    budget.request()
    assert not budget.may_retry()


@pytest.mark.parametrize(("ratio", "floor"), [(-0.1, 1), (1.1, 1), (0.1, -1), (float("nan"), 1)])
def test_what_cannot_be_is_refused(ratio: float, floor: int) -> None:
    with pytest.raises(ValueError, match="ratio"):
        RetryBudget(ratio, floor)


STEPS = st.lists(
    st.tuples(st.floats(0, 6), st.integers(0, 300), st.integers(0, 60)),  # time passes, requests, retries wanted
    max_size=40,
)


@example(  # a whole number of buckets, and the clock rounds it down
    steps=[(1.7435444298410339, 0, 0), (5.0, 1, 0), (6.0, 1, 0), (4.5, 2, 1)], ratio=0.25, floor=0
)
@given(STEPS, st.sampled_from([0.0, 0.1, 0.25]), st.sampled_from([0, 3, 10]))
def test_the_extra_load_is_bounded(steps: list[tuple[float, int, int]], ratio: float, floor: int) -> None:
    """Whenever one is granted, those of the window are at most the ratio of its first attempts, or the floor; and over
    the whole run there are no more than the ratio of all, and the floor once for each window that began."""
    clock = Clock()
    budget = RetryBudget(ratio, floor, now=clock)
    asked: list[tuple[float, int]] = []
    granted: list[float] = []
    for passed, requests, wanted in steps:
        clock.now += passed
        for _ in range(requests):
            budget.request()
        asked.append((clock.now, requests))
        for _ in range(wanted):
            if budget.may_retry():
                granted.append(clock.now)
                recent = sum(at > clock.now - 0.9 * WINDOW_S for at in granted)
                load = sum(number for at, number in asked if at > clock.now - WINDOW_S - 1e-6)
                assert recent <= max(floor, ratio * load)
    windows = (clock.now - 500) / (0.9 * WINDOW_S) + 1
    assert len(granted) <= ratio * sum(number for _, number in asked) + floor * windows
