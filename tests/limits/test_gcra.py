"""GCRA against a model that keeps every grant and counts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tenfold.limits import gcra
from tenfold.limits.gcra import Rate

RATES = st.builds(
    Rate,
    amount=st.integers(1, 50) | st.integers(1, 10**15),
    window_ns=st.integers(1, 100) | st.sampled_from([10**9, 60 * 10**9, 86_400 * 10**9]),
    burst=st.integers(1, 60) | st.integers(1, 10**15),
)
SMALL = st.builds(Rate, amount=st.integers(1, 20), window_ns=st.integers(1, 50), burst=st.integers(1, 20))
ASKED = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=60)  # (pause, units)


class Bucket:
    """One bucket, driven by the pure functions as a store does it."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.backlog, self.now = rate, 0, 0

    def pause(self, elapsed: int) -> None:
        self.now += elapsed
        self.backlog = gcra.drained(self.rate, self.backlog, elapsed)

    def take(self, wanted: int, at_least: int) -> int:
        units = gcra.granted(self.rate, self.backlog, wanted, at_least)
        self.backlog = gcra.filled(self.rate, self.backlog, units)
        return units


@given(SMALL, ASKED)
def test_no_window_holds_more_than_the_burst_and_what_the_rate_gives(rate: Rate, asked: list[tuple[int, int]]) -> None:
    bucket, grants = Bucket(rate), []
    for pause, units in asked:
        bucket.pause(pause)
        grants.append((bucket.now, bucket.take(units, units)))
    for first in range(len(grants)):
        total = 0
        for at, units in grants[first:]:
            total += units
            assert total <= rate.burst + Fraction((at - grants[first][0]) * rate.amount, rate.window_ns)


@given(SMALL, ASKED)
def test_it_grants_whatever_that_rule_allows(rate: Rate, asked: list[tuple[int, int]]) -> None:
    """The model: a bucket as an exact fraction of units."""
    bucket, level = Bucket(rate), Fraction(0)
    for pause, units in asked:
        bucket.pause(pause)
        level = max(Fraction(0), level - Fraction(pause * rate.amount, rate.window_ns))
        allowed = level + units <= rate.burst
        assert bucket.take(units, units) == (units if allowed else 0)
        level += units if allowed else 0


@given(RATES, st.integers(1, 200))
def test_a_steady_client_at_the_rate_is_never_refused(rate: Rate, calls: int) -> None:
    bucket = Bucket(rate)
    for _ in range(calls):
        assert bucket.take(1, 1) == 1
        bucket.pause(-(-rate.window_ns // rate.amount))


@given(RATES, st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_wait_is_exact(rate: Rate, taken: int, wanted: int) -> None:
    wanted = min(wanted, rate.burst)
    backlog = gcra.filled(rate, 0, taken)
    wait = gcra.wait_ns(rate, backlog, wanted)
    assert gcra.granted(rate, gcra.drained(rate, backlog, wait), wanted, wanted) == wanted
    if wait:
        assert gcra.granted(rate, gcra.drained(rate, backlog, wait - 1), wanted, wanted) == 0


@given(RATES, st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))
def test_what_is_granted_is_between_need_and_wish(rate: Rate, taken: int, at_least: int, more: int) -> None:
    backlog = gcra.filled(rate, 0, taken)
    free = gcra.room(rate, backlog)
    units = gcra.granted(rate, backlog, at_least + more, at_least)
    assert units == 0 if free < at_least else at_least <= units <= min(at_least + more, free)
    assert units <= max(at_least, free // gcra.SHARE)


@given(RATES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_given_back_is_as_if_never_taken(rate: Rate, taken: int, units: int) -> None:
    backlog = gcra.filled(rate, 0, taken)
    assert gcra.filled(rate, gcra.filled(rate, backlog, units), -units) == backlog
    assert gcra.filled(rate, backlog, -taken - units) == 0
    assert gcra.drained(rate, backlog, gcra.reset_ns(rate, backlog)) == 0


@given(RATES, st.integers(0, 10**6))
def test_a_clock_that_goes_back_gives_nothing(rate: Rate, taken: int) -> None:
    backlog = gcra.filled(rate, 0, taken)
    assert gcra.drained(rate, backlog, -5) == backlog


@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 20))
def test_shares_add_up_to_no_more_than_the_whole(amount: int, burst: int, parts: int) -> None:
    share = Rate(amount=amount, window_ns=1, burst=burst).split(parts)
    assert share.amount * parts <= max(amount, parts)
    assert share.burst * parts <= max(burst, parts)
