"""What a receipt counts, once its corrections are added to what it says. Pure."""

from collections.abc import Iterable
from datetime import UTC

from msgspec import structs

from tenfold.core.errors import InvalidRequest
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Cost
from tenfold.ledger.reports.buckets import bucket_of
from tenfold.ledger.reports.rollup import FREE_STATES, NO_KEY, is_paid
from tenfold.ledger.reports.types import Adjustment, CostDay, Counted, HourRow
from tenfold.ledger.types import MAX_TEXT, Receipt

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
AMOUNTS = ("input_nano", "output_nano", "total_nano")

MAX_TOKENS = 10**9
MAX_NANO = 10**15  # 1 M USD for one call
_PLAUSIBLE_TIMES = 10
_SMALL_NANO = 10**9


def counted(receipt: Receipt, adjustments: Iterable[Adjustment] = ()) -> Counted:
    """The receipt with its corrections, of which each makes an estimate a fact and an unpriced call a priced one."""
    usage = receipt.usage or Usage()
    said = {name: getattr(receipt, name) for name in Counted.__struct_fields__ if hasattr(receipt, name)}
    now = Counted(corrected=False, **said, **{name: getattr(usage, name) for name in TOKENS})
    for adjustment in adjustments:
        now = adjusted(now, adjustment)
    return now


def adjusted(now: Counted, by: Adjustment) -> Counted:
    sums = {name: getattr(now, name) + getattr(by, name) for name in TOKENS}
    amounts = {name: (getattr(now, name) or 0) + getattr(by, name) for name in AMOUNTS}
    return structs.replace(now, **sums, **amounts, estimated=False, corrected=True)


def adjustment(now: Counted, source: str, usage: Usage | None, cost: Cost | None) -> Adjustment:
    """What must be added so that the receipt counts as the source says; what it does not say stays. Raises
    InvalidRequest for what no call can have used or cost; flags what is hard to believe."""
    if not 0 < len(source) <= MAX_TEXT:
        raise InvalidRequest(f"A source has 1 to {MAX_TEXT} characters.", param="source")
    if usage is not None:
        _check_usage(usage)
    if cost is None:
        raise InvalidRequest("A correction names the cost, or a usage whose price is known.", param="cost")
    _check_cost(cost)
    tokens = {name: 0 if usage is None else getattr(usage, name) - getattr(now, name) for name in TOKENS}
    amounts = {name: getattr(cost, name) - (getattr(now, name) or 0) for name in AMOUNTS}
    return Adjustment(
        receipt_id=now.id,
        receipt_at=now.at,
        source=source,
        **tokens,
        **amounts,
        flagged=cost.total_nano > _plausible_nano(now),
    )


def difference(before: Counted, after: Counted) -> tuple[list[HourRow], list[CostDay]]:
    """What the roll-up must gain (or lose) where a receipt that counted as `before` counts as `after`."""
    old, new = figures(before), figures(after)
    row = hour_of(before, calls=0, cache_hits=0, latency_ms=0, **{name: new[name] - old[name] for name in new})
    return [row], _cost_difference(before, after)


def hour_of(one: Counted, **sums: int) -> HourRow:
    """A row of the roll-up with these sums, in the place where the receipt is counted."""
    return HourRow(
        hour=one.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
        key_id=one.key_id or NO_KEY,
        operation=one.operation,
        model=one.model_asked if one.model_used is None else one.model_used,
        provider=one.provider or "",
        feature=one.feature or "",
        status=one.status,
        **sums,
    )


def _cost_difference(before: Counted, after: Counted) -> list[CostDay]:
    buckets = [None if side.total_nano is None else bucket_of(side.total_nano) for side in (before, after)]
    if buckets[0] == buckets[1]:
        return []
    day, feature = before.at.astimezone(UTC).date().isoformat(), before.feature or ""
    changes = sorted((bucket, calls) for bucket, calls in zip(buckets, (-1, 1), strict=True) if bucket is not None)
    return [CostDay(day=day, feature=feature, bucket=bucket, calls=calls) for bucket, calls in changes]


def figures(one: Counted) -> dict[str, int]:
    """What a correction may change of a row of the roll-up."""
    paid = is_paid(one.cache, one.total_nano)
    return {
        "estimated": int(one.estimated),
        "unpriced": int(one.total_nano is None),
        "paid": int(paid),
        **{name: getattr(one, name) for name in TOKENS},
        "paid_input_tokens": one.input_tokens if paid else 0,
        "paid_output_tokens": one.output_tokens if paid else 0,
        **{name: getattr(one, name) or 0 for name in AMOUNTS},
    }


def is_free(one: Counted) -> bool:
    """Answered from the cache, or by the call of an identical one in flight."""
    return one.cache in FREE_STATES


def _check_usage(usage: Usage) -> None:
    for name in usage.__struct_fields__:
        if not 0 <= getattr(usage, name) <= MAX_TOKENS:
            raise InvalidRequest(f"A number of tokens is 0 to {MAX_TOKENS}.", param=f"usage.{name}")
    if usage.cache_read_tokens + usage.cache_write_tokens > usage.input_tokens:
        raise InvalidRequest("The cached tokens are a part of the input tokens.", param="usage.cache_read_tokens")
    if usage.reasoning_tokens > usage.output_tokens:
        raise InvalidRequest("The reasoning tokens are a part of the output tokens.", param="usage.reasoning_tokens")


def _check_cost(cost: Cost) -> None:
    for name in AMOUNTS:
        if not 0 <= getattr(cost, name) <= MAX_NANO:
            raise InvalidRequest(f"The cost of one call is 0 to {MAX_NANO} times 10^-9 USD.", param=f"cost.{name}")
    if cost.input_nano + cost.output_nano > cost.total_nano:
        raise InvalidRequest("Input and output cost more than the total.", param="cost.total_nano")


def _plausible_nano(now: Counted) -> int:
    """An estimate is a bound, so more than it cannot be right; a stated figure may be wrong, but not by that much."""
    was = now.total_nano or 0
    return was if now.estimated else max(_PLAUSIBLE_TIMES * was, _SMALL_NANO)
