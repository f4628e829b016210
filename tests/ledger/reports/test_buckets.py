"""Buckets of amounts: in order, without holes, and as near as they say."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tenfold.ledger.reports.buckets import LARGEST, LOWEST, bucket_of, lowest, middle, percentile

amounts = st.one_of(st.integers(0, 100), st.integers(0, LARGEST))


@given(amounts)
def test_a_bucket_holds_its_amount_and_tells_it_within_4_percent(amount: int) -> None:
    bucket = bucket_of(amount)
    assert lowest(bucket) <= amount < lowest(bucket + 1)
    assert abs(middle(bucket) - amount) * 32 <= amount


@given(amounts, amounts)
def test_buckets_are_in_the_order_of_their_amounts(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


def test_the_edges_are_all_of_them() -> None:
    assert all(low < high for low, high in pairwise(LOWEST))
    assert [bucket_of(edge) for edge in LOWEST] == list(range(1, len(LOWEST) + 1))
    assert bucket_of(10 * LARGEST) == bucket_of(LARGEST) == len(LOWEST)


@given(st.lists(st.integers(0, 10**12), min_size=1), st.sampled_from([50, 95, 99]))
def test_percentiles_are_near_the_true_ones(values: list[int], percent: int) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    true = sorted(values)[max(1, -(-len(values) * percent // 100)) - 1]
    told = percentile(counts, percent)
    assert told is not None
    assert abs(told - true) * 25 <= true


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 50) is None
