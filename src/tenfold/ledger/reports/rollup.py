"""From receipts to the few rows they add to the roll-up. Pure; the SQL that adds them is in `queries`.

A batch of 500 receipts makes a handful of rows. Rows come in one fixed order: two processes that add to the same rows
take them in that order and so never wait for each other in a circle.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenfold.ledger.reports.buckets import bucket_of
from tenfold.ledger.reports.types import CostDay, HourRow
from tenfold.ledger.types import Receipt

NO_KEY = UUID(int=0)
FREE_STATES = ("hit", "coalesced")

DIMENSIONS = ("hour", "key_id", "operation", "model", "provider", "feature", "status")
SUMS = tuple(name for name in HourRow.__struct_fields__ if name not in DIMENSIONS)

_HOUR_S = 3600
_DAY_S = 86_400


def rolled_up(receipts: Sequence[Receipt]) -> tuple[list[HourRow], list[CostDay]]:
    """What these receipts, each counted for the first time, add to `usage_hours` and `cost_days`."""
    hours: dict[tuple[Any, ...], list[int]] = {}
    costs: dict[tuple[int, str, int], int] = {}
    for receipt in receipts:
        second = int(receipt.at.timestamp())
        feature = receipt.feature or ""
        group = (
            second // _HOUR_S,
            receipt.key_id or NO_KEY,
            receipt.operation,
            receipt.model_asked if receipt.model_used is None else receipt.model_used,
            receipt.provider or "",
            feature,
            receipt.status,
        )
        sums = hours.get(group)
        if sums is None:
            sums = hours[group] = [0] * len(SUMS)
        _add(sums, receipt)
        if receipt.total_nano is not None:
            cost = (second // _DAY_S, feature, bucket_of(receipt.total_nano))
            costs[cost] = costs.get(cost, 0) + 1
    return [_hour_row(group, hours[group]) for group in sorted(hours)], [
        CostDay(day=_day(day), feature=feature, bucket=bucket, calls=costs[day, feature, bucket])
        for day, feature, bucket in sorted(costs)
    ]


def _add(sums: list[int], receipt: Receipt) -> None:
    """In the order of SUMS."""
    usage, total = receipt.usage, receipt.total_nano
    free_state = receipt.cache in FREE_STATES
    sums[0] += 1
    sums[1] += free_state
    sums[2] += receipt.estimated
    sums[3] += total is None
    paid = is_paid(receipt.cache, total)
    sums[4] += paid
    if usage is not None:
        sums[5] += usage.input_tokens
        sums[6] += usage.output_tokens
        sums[7] += usage.cache_read_tokens
        sums[8] += usage.cache_write_tokens
        sums[9] += usage.reasoning_tokens
        if paid:
            sums[10] += usage.input_tokens
            sums[11] += usage.output_tokens
    if total is not None:
        sums[12] += receipt.input_nano or 0
        sums[13] += receipt.output_nano or 0
        sums[14] += total
    sums[15] += receipt.latency_ms


def is_paid(cache: str, total_nano: int | None) -> bool:
    """Priced, and not answered from the cache for nothing."""
    return total_nano is not None and (total_nano != 0 or cache not in FREE_STATES)


def _hour_row(group: tuple[Any, ...], sums: list[int]) -> HourRow:
    hour, *marks = group
    values = dict(zip(DIMENSIONS[1:], marks, strict=True)) | dict(zip(SUMS, sums, strict=True))
    return HourRow(hour=datetime.fromtimestamp(hour * _HOUR_S, UTC), **values)


def _day(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_S, UTC).date().isoformat()
