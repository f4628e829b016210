"""Attempts are counted in time, and the memory of them is bounded."""

import pytest

from tenfold.access.throttle import Throttle
from tenfold.core.clock import FakeClock
from tenfold.core.errors import RateLimited


def test_a_burst_passes_then_one_each_interval(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=3, interval_s=10)
    for _ in range(3):
        throttle.take("ann")

    with pytest.raises(RateLimited) as limited:
        throttle.take("ann")
    assert limited.value.retry_after_s == pytest.approx(10)
    throttle.take("bob")

    clock.advance(10)
    throttle.take("ann")
    with pytest.raises(RateLimited):
        throttle.take("ann")


def test_good_attempts_do_not_count(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=1, interval_s=10)
    for _ in range(5):
        throttle.take("ann")
        throttle.give_back("ann")


def test_only_so_many_are_remembered(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=1, interval_s=10, capacity=2)
    for key in ("ann", "bob", "cyd"):
        throttle.take(key)

    throttle.take("ann")  # forgotten, so free again
    with pytest.raises(RateLimited):
        throttle.take("cyd")
