"""The bound holds at all times at once, and is not idle."""

import numpy as np
import pytest

from tenfold.cache.semantic.bound import log_evidence_above, upper_bound


def test_of_nothing_nothing_is_known() -> None:
    assert upper_bound(0, 0, 0.05) == 1.0
    assert log_evidence_above(0.01, 0, 0) == 0.0


def test_more_right_ones_lower_it_and_a_false_one_raises_it() -> None:
    bounds = [upper_bound(0, trials, 0.05) for trials in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert upper_bound(1, 1000, 0.05) > upper_bound(0, 1000, 0.05)


def test_five_hundred_right_ones_are_enough_for_one_in_a_hundred() -> None:
    assert upper_bound(0, 500, 0.05) < 0.01


@pytest.mark.parametrize("share", [0.01, 0.03, 0.2])
def test_it_is_at_some_time_below_the_truth_in_one_stream_of_twenty_at_most(share: float) -> None:
    dice = np.random.default_rng(7)
    broken = 0
    for _ in range(200):
        false = np.cumsum(dice.random(3000) < share)
        looks = range(50, 3001, 50)
        broken += any(upper_bound(int(false[at - 1]), at, 0.05) < share for at in looks)
    assert broken <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_it_holds_where_the_chances_change_on_the_way() -> None:
    dice = np.random.default_rng(8)
    chances = np.where(np.arange(3000) < 1000, 0.0, 0.03)
    average = np.cumsum(chances) / np.arange(1, 3001)
    broken = 0
    for _ in range(200):
        false = np.cumsum(dice.random(3000) < chances)
        broken += any(upper_bound(int(false[at - 1]), at, 0.05) < average[at - 1] for at in range(50, 3001, 50))
    assert broken <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_many_false_ones_are_evidence_against_the_share() -> None:
    assert log_evidence_above(0.01, 10, 100) > 5
    assert log_evidence_above(0.01, 1, 100) < 2
