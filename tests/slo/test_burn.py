"""Multiwindow, multi-burn-rate alerts: silent while all is good, in time when nothing is, and over when it is over."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.app.slo.burn import LEAST_BAD, MOST_BAD, RULES, Rule, Share, alerts, budget_left, burn_rate, speaks
from tenfold.app.slo.counts import SLICES, WINDOWS_S, Track, empty, note, note_failed

TICK_S = 20.0
DAY_S = 86_400.0
objectives = st.sampled_from([0.9, 0.95, 0.99, 0.999])


class Traffic:
    """So many calls at each tick, good or bad, in the windows as the book has them."""

    def __init__(self, calls: int, tick_s: float = TICK_S) -> None:
        self.track = Track(about="")
        self.now_s = 5_000_000.0
        self._calls = calls
        self._tick_s = tick_s

    def go_on(self, seconds: float, *, bad: bool) -> None:
        for _ in range(math.ceil(seconds / self._tick_s)):
            self.tick(bad=bad)

    def tick(self, *, bad: bool) -> None:
        self.now_s += self._tick_s
        counts = empty()
        for _ in range(self._calls):
            note_failed(counts) if bad else note(counts, 0.1, 1)
        self.track.put(counts, self.now_s, WINDOWS_S)

    def shares(self) -> dict[str, Share]:
        totals = {window: self.track.total(window) for window in WINDOWS_S}
        return {window: Share(counts[1], counts[0]) for window, counts in totals.items()}


def needed_s(rule: Rule, allowed: float) -> float:
    """How long everything must be bad until the long window is, and the first calls of it are enough to say so."""
    limit = min(rule.factor * allowed, MOST_BAD)
    slices_s = WINDOWS_S[rule.long] / SLICES + WINDOWS_S[rule.short] / SLICES
    return limit * WINDOWS_S[rule.long] + slices_s + LEAST_BAD * TICK_S


def test_the_rules_are_those_of_the_workbook() -> None:
    assert [(rule.severity, rule.factor, rule.long, rule.short) for rule in RULES] == [
        ("page", 14.4, "1h", "5m"),
        ("page", 6, "6h", "30m"),
        ("ticket", 1, "3d", "6h"),
    ]
    for rule, spent in zip(RULES, (0.02, 0.05, 0.10), strict=True):
        assert rule.factor * WINDOWS_S[rule.long] / (30 * DAY_S) == pytest.approx(spent)


@given(allowed=st.floats(1e-4, 0.5), calls=st.integers(0, 10**9))
def test_nothing_burns_while_all_is_good(allowed: float, calls: int) -> None:
    shares = dict.fromkeys(WINDOWS_S, Share(0, calls))
    assert alerts(shares, allowed) == {}
    assert budget_left(Share(0, calls), allowed) == 1


@given(allowed=st.floats(1e-4, 0.5), calls=st.integers(LEAST_BAD, 10**9))
def test_everything_burns_when_nothing_is_good(allowed: float, calls: int) -> None:
    assert alerts(dict.fromkeys(WINDOWS_S, Share(calls, calls)), allowed).keys() == {"page", "ticket"}


@settings(deadline=None, max_examples=20)
@given(calls=st.integers(1, 5), objective=objectives)
def test_a_page_comes_in_the_time_that_the_rules_give(calls: int, objective: float) -> None:
    allowed = 1 - objective
    traffic = Traffic(calls)
    traffic.go_on(3600, bad=False)
    assert alerts(traffic.shares(), allowed) == {}
    waited = 0.0
    while "page" not in alerts(traffic.shares(), allowed):
        traffic.tick(bad=True)
        waited += TICK_S
        assert waited <= needed_s(RULES[0], allowed)


@settings(deadline=None, max_examples=4)
@given(objective=objectives)
def test_a_page_is_over_when_the_short_window_is(objective: float) -> None:
    allowed = 1 - objective
    traffic = Traffic(2)
    traffic.go_on(1200, bad=True)
    rule = RULES[0]
    assert speaks(rule, traffic.shares(), allowed)
    traffic.go_on(WINDOWS_S[rule.short], bad=False)
    assert not speaks(rule, traffic.shares(), allowed)


def test_three_days_of_a_little_too_much_are_a_ticket() -> None:
    traffic = Traffic(1, tick_s=360)
    for number in range(900):
        traffic.tick(bad=number % 50 == 0)  # 2 %, where 1 % is allowed
    assert alerts(traffic.shares(), 0.01).keys() == {"ticket"}


def test_a_few_failures_at_night_are_no_page() -> None:
    shares = dict.fromkeys(WINDOWS_S, Share(LEAST_BAD - 1, LEAST_BAD - 1))
    assert alerts(shares, 0.001) == {}


@pytest.mark.parametrize("quiet", ["1h", "5m"])
def test_both_windows_must_burn(quiet: str) -> None:
    shares = {"1h": Share(50, 100), "5m": Share(50, 100)} | {quiet: Share(1, 100)}
    assert not speaks(RULES[0], shares, 0.01)


@given(st.integers(0, 1000), st.integers(1, 1000), st.floats(1e-4, 0.9))
def test_a_burn_rate_of_one_spends_the_budget_exactly(bad: int, more: int, allowed: float) -> None:
    share = Share(bad, bad + more)
    assert budget_left(share, allowed) == pytest.approx(1 - burn_rate(share, allowed))
    assert burn_rate(share, allowed) * allowed == pytest.approx(bad / (bad + more))
    assert burn_rate(Share(0, 0), allowed) == 0
