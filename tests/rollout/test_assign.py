"""Sticky assignment: the same everywhere, in the proportion of the weights, and moved as little as can be."""

import math
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.rollout.assign import MAX_WEIGHT, assign

Weights = list[tuple[str, int]]

UNITS = [f"user-{number}" for number in range(4_000)]

arms = st.dictionaries(st.text(max_size=8), st.integers(0, 1_000), min_size=1, max_size=6).filter(
    lambda weights: any(weights.values())
)
texts = st.text(max_size=30)


@given(texts, texts, arms)
def test_the_same_unit_gets_the_same_arm_in_whatever_order(unit: str, salt: str, weights: dict[str, int]) -> None:
    arm = assign(unit, salt, list(weights.items()))
    assert assign(unit, salt, list(reversed(weights.items()))) == arm
    assert weights[arm] > 0


@given(texts, texts, arms, st.integers(1, 100))
def test_weights_are_in_relation_to_each_other(unit: str, salt: str, weights: dict[str, int], times: int) -> None:
    scaled = [(name, weight * times) for name, weight in weights.items()]
    assert assign(unit, salt, scaled) == assign(unit, salt, list(weights.items()))


@given(texts, texts, arms, st.data())
def test_a_unit_moves_only_to_an_arm_that_grew(
    unit: str, salt: str, weights: dict[str, int], data: st.DataObject
) -> None:
    grown = data.draw(st.sampled_from(sorted(weights)))
    more = weights | {grown: weights[grown] + data.draw(st.integers(1, 1_000))}
    before, after = assign(unit, salt, list(weights.items())), assign(unit, salt, list(more.items()))
    assert after in (before, grown)


@given(texts, texts, arms, st.data())
def test_an_arm_that_goes_moves_its_own_units_only(
    unit: str, salt: str, weights: dict[str, int], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(weights)))
    fewer = [(name, weight) for name, weight in weights.items() if name != gone]
    if not any(weight for _, weight in fewer):
        return
    before = assign(unit, salt, list(weights.items()))
    assert before == gone or assign(unit, salt, fewer) == before


def test_a_ramp_up_keeps_who_is_in() -> None:
    inside: set[str] = set()
    for percent in (1, 5, 10, 20, 50, 99, 100):
        now = {unit for unit in UNITS if assign(unit, "new-search", [("on", percent), ("off", 100 - percent)]) == "on"}
        assert inside <= now
        inside = now
    assert inside == set(UNITS)


@pytest.mark.parametrize(
    "weights", [[("a", 1), ("b", 9)], [("a", 1), ("b", 1), ("c", 1)], [("a", 3), ("b", 5), ("c", 92)]]
)
def test_arms_get_their_share(weights: Weights) -> None:
    total = sum(weight for _, weight in weights)
    for salt in ("one", "two", "three"):
        counted = Counter(assign(unit, salt, weights) for unit in UNITS)
        for name, weight in weights:
            share = weight / total
            # Five standard deviations of a binomial: one run in a million would differ, and hashes do not change.
            slack = 5 * math.sqrt(len(UNITS) * share * (1 - share))
            assert abs(counted[name] - len(UNITS) * share) < slack


def test_another_salt_is_another_experiment() -> None:
    """Of those who are in one, as many are in the other as of all."""
    half: Weights = [("on", 1), ("off", 1)]
    one = {unit for unit in UNITS if assign(unit, "one", half) == "on"}
    both = [unit for unit in one if assign(unit, "two", half) == "on"]
    assert abs(len(both) - len(one) / 2) < 5 * math.sqrt(len(one) / 4)


def test_what_units_got_is_what_they_will_get() -> None:
    """A change of the rule would move people between the arms of running experiments."""
    weights: Weights = [("a", 30), ("b", 30), ("c", 40)]
    units = ("", "u1", "u2", "u3", "u4", "u5", "ünïcode 🙂", "\ud800", "x" * 1000)
    assert "".join(assign(unit, "salt", weights) for unit in units) == "bacbccacb"


def test_parts_do_not_run_into_each_other() -> None:
    weights: Weights = [("x", 1), ("y", 1)]
    ones = [assign("c" + unit, "ab", weights) for unit in UNITS[:64]]
    others = [assign(unit, "abc", weights) for unit in UNITS[:64]]
    assert ones != others


def test_another_process_gives_the_same() -> None:
    """Whatever seed its own hashes have."""
    arms = "[('a', 1), ('b', 2)]"
    script = f"from tenfold.rollout.assign import assign; print(*(assign(f'u{{n}}', 's', {arms}) for n in range(50)))"
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [assign(f"u{number}", "s", [("a", 1), ("b", 2)]) for number in range(50)]


@pytest.mark.parametrize("weights", [[], [("a", 0)], [("a", -1), ("b", 1)], [("a", MAX_WEIGHT + 1)]])
def test_weights_that_are_none(weights: Weights) -> None:
    with pytest.raises(ValueError, match="weight"):
        assign("unit", "salt", weights)
