"""A histogram of amounts on a logarithmic scale, in whole numbers: 16 buckets to each doubling.

Amounts below 32 have a bucket each. A larger one is told as the middle of its bucket, which is at most 1/32 of the
amount away from it (3.1 %). Numbers of buckets never change their meaning: they are in the database.
"""

from collections.abc import Mapping

_BITS = 4  # 2**4 buckets to a doubling
_STEPS = 1 << _BITS
LARGEST = 2**63 - 1


def bucket_of(amount: int) -> int:
    """The bucket of an amount >= 0; what is larger than `LARGEST` counts as that."""
    amount = min(amount, LARGEST)
    shift = amount.bit_length() - 1 - _BITS
    return amount if shift <= 0 else shift * _STEPS + (amount >> shift)


def lowest(bucket: int) -> int:
    """The smallest amount of a bucket."""
    if bucket < 2 * _STEPS:
        return bucket
    shift, step = bucket // _STEPS - 1, bucket % _STEPS
    return (_STEPS + step) << shift


def middle(bucket: int) -> int:
    return (lowest(bucket) + lowest(bucket + 1) - 1) // 2


LOWEST = [lowest(bucket) for bucket in range(1, bucket_of(LARGEST) + 1)]
"""The smallest amounts of the buckets from 1 on: `width_bucket(amount, LOWEST)` in SQL is `bucket_of`."""


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """The amount that `percent` of all are not above (nearest rank), within 3.1 %. None when there are none."""
    total = sum(counts.values())
    if total == 0:
        return None
    rank = max(1, -(-total * percent // 100))
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle(bucket)
    raise AssertionError("the ranks go up to the number of amounts")
