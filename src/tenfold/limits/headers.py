"""Where a call's limits stand, as header lines: for any client, and as the two vendors' SDKs know it.

`RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10 (lists of RFC 9651 items; quota units
other than requests are named with `qu`); the `x-ratelimit-*` of OpenAI; the `anthropic-ratelimit-*` of Anthropic.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tenfold.limits.buckets import Bucket, Seats
from tenfold.limits.types import Limit, Measure

_UNITS: dict[Measure, str] = {
    "requests": "",
    "tokens": ';qu="tokens"',
    "usd": ';qu="nano-usd"',
    "concurrency": ';qu="concurrent-requests"',
}
_NS = 10**9


def limit_name(limit: Limit) -> str:
    """`key-requests-60s`, `tenant-concurrency`."""
    return f"{limit.per}-{limit.measure}" + ("" if limit.window_s is None else f"-{limit.window_s}s")


def header_text(buckets: Sequence[Bucket], seats: Iterable[Seats], *, dialect: str, now_ns: int, wall: datetime) -> str:
    """All lines, "" without a limit. Of two limits of the same name (the operator's, the tenant's) the tighter."""
    stands: dict[str, tuple[int, str, str]] = {}
    for bucket in buckets:
        limit, name = bucket.limit, limit_name(bucket.limit)
        left = bucket.remaining(now_ns)
        if name not in stands or left < stands[name][0]:
            policy = f'"{name}";q={limit.amount}{_UNITS[limit.measure]};w={limit.window_s}'
            stands[name] = left, policy, f'"{name}";r={left};t={-(-bucket.reset_ns(now_ns) // _NS)}'
    for seat in seats:
        limit, name = seat.limit, limit_name(seat.limit)
        left = max(0, limit.amount - seat.in_use)  # of what other processes run nothing is known
        if name not in stands or left < stands[name][0]:
            stands[name] = left, f'"{name}";q={limit.amount}{_UNITS[limit.measure]}', f'"{name}";r={left}'
    if not stands:
        return ""
    policies = ", ".join(policy for _, policy, _ in stands.values())
    states = ", ".join(state for _, _, state in stands.values())
    lines = f"ratelimit-policy: {policies}\r\nratelimit: {states}\r\n"
    measures: tuple[Measure, ...] = ("requests", "tokens")
    for measure in measures:
        tightest = min(
            (bucket for bucket in buckets if bucket.limit.measure == measure),
            key=lambda bucket: bucket.remaining(now_ns),
            default=None,
        )
        if tightest is not None:
            lines += _vendor_lines(tightest, measure, dialect, now_ns, wall)
    return lines


def _vendor_lines(bucket: Bucket, measure: str, dialect: str, now_ns: int, wall: datetime) -> str:
    amount, left, reset_ns = bucket.limit.amount, bucket.remaining(now_ns), bucket.reset_ns(now_ns)
    if dialect == "anthropic":
        at = (wall + timedelta(seconds=-(-reset_ns // _NS))).astimezone(UTC)
        name = f"anthropic-ratelimit-{measure}"
        return f"{name}-limit: {amount}\r\n{name}-remaining: {left}\r\n{name}-reset: {at:%Y-%m-%dT%H:%M:%SZ}\r\n"
    return (
        f"x-ratelimit-limit-{measure}: {amount}\r\n"
        f"x-ratelimit-remaining-{measure}: {left}\r\n"
        f"x-ratelimit-reset-{measure}: {duration(reset_ns)}\r\n"
    )


def duration(ns: int) -> str:
    """As OpenAI writes one: `20ms`, `1.5s`, `6m0s`, `1h0m7s`. Rounded up to whole milliseconds."""
    ms = -(-ns // 1_000_000)
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms // 1000}.{ms % 1000:03d}".rstrip("0").rstrip(".") + "s" if ms % 1000 else f"{ms // 1000}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"
