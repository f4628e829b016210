"""The bound holds at all times at once, and is not idle."""

import numpy as np
import pytest

from tenfold.cache.semantic.bound import Stratum, is_below, log_evidence_above, upper_bound


def _bound(false: int, trials: int) -> float:
    return upper_bound([Stratum(1.0, false, trials)], 0.05)


def _is_below(share: float, false: int, trials: int) -> bool:
    return is_below(share, [Stratum(1.0, false, trials)], 0.05)


def test_of_nothing_nothing_is_known() -> None:
    assert _bound(0, 0) == 1.0
    assert log_evidence_above(0.01, 0, 0) == 0.0


def test_more_right_ones_lower_it_and_a_false_one_raises_it() -> None:
    bounds = [_bound(0, trials) for trials in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert _bound(1, 1000) > _bound(0, 1000)


def test_five_hundred_right_ones_are_enough_for_one_in_a_hundred() -> None:
    assert _bound(0, 500) < 0.01


@pytest.mark.parametrize("share", [0.01, 0.03, 0.2])
def test_it_is_at_some_time_below_the_truth_in_one_stream_of_twenty_at_most(share: float) -> None:
    dice = np.random.default_rng(7)
    broken = 0
    for _ in range(200):
        false = np.cumsum(dice.random(3000) < share)
        looks = range(50, 3001, 50)
        broken += any(_is_below(share, int(false[at - 1]), at) for at in looks)
    assert broken <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_it_holds_where_the_chances_change_on_the_way() -> None:
    dice = np.random.default_rng(8)
    chances = np.where(np.arange(3000) < 1000, 0.0, 0.03)
    average = np.cumsum(chances) / np.arange(1, 3001)
    broken = 0
    for _ in range(200):
        false = np.cumsum(dice.random(3000) < chances)
        broken += any(
            _is_below(average[at - 1], int(false[at - 1]), at) for at in range(50, 3001, 50) if average[at - 1]
        )
    assert broken <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_two_parts_are_bounded_together_better_than_each_alone() -> None:
    sure, less_sure = Stratum(0.7, 0, 400), Stratum(0.3, 8, 400)
    together = upper_bound([sure, less_sure], 0.05)
    apart = 0.7 * upper_bound([Stratum(1.0, 0, 400)], 0.025) + 0.3 * upper_bound([Stratum(1.0, 8, 400)], 0.025)
    assert 0.3 * 8 / 400 < together < apart


def test_two_parts_hold_at_all_times_too() -> None:
    dice = np.random.default_rng(9)
    broken = 0
    for _ in range(100):
        one, other = np.cumsum(dice.random(2000) < 0.002), np.cumsum(dice.random(2000) < 0.04)
        truth = 0.6 * 0.002 + 0.4 * 0.04
        broken += any(
            is_below(truth, [Stratum(0.6, int(one[at - 1]), at), Stratum(0.4, int(other[at - 1]), at)], 0.05)
            for at in range(100, 2001, 100)
        )
    assert broken <= 0.05 * 100 + 3 * (100 * 0.05 * 0.95) ** 0.5


def test_many_false_ones_are_evidence_against_the_share() -> None:
    assert log_evidence_above(0.01, 10, 100) > 5
    assert log_evidence_above(0.01, 1, 100) < 2
