"""Where a call's limits stand, as header lines: for any client, and as the two vendors' SDKs know it.

`RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10 (lists of RFC 9651 items; quota units
other than requests are named with `qu`); the `x-ratelimit-*` of OpenAI; the `anthropic-ratelimit-*` of Anthropic.
"""

import time
from collections.abc import Iterable
from functools import lru_cache

from tenfold.limits.buckets import Bucket, Seats
from tenfold.limits.types import Limit, Measure, Per

_UNITS: dict[Measure, str] = {
    "requests": "",
    "tokens": ';qu="tokens"',
    "usd": ';qu="nano-usd"',
    "concurrency": ';qu="concurrent-requests"',
}
_NS = 10**9
_KNOWN = 10_000  # policies whose text is kept

_Stand = tuple[int, int, Limit]  # units left, nanoseconds until all are, of what


def header_text(buckets: Iterable[Bucket], seats: Iterable[Seats], *, dialect: str, now_ns: int, wall_s: float) -> str:
    """All lines, "" without a limit. Of two limits of the same name (the operator's, the tenant's) the tighter."""
    policies: dict[str, str] = {}
    states: dict[str, tuple[int, str]] = {}
    tightest: dict[Measure, _Stand] = {}
    for bucket in buckets:
        limit = bucket.limit
        left, reset_ns = bucket.stand(now_ns)
        name, policy = _policy(limit.per, limit.measure, limit.amount, limit.window_s)
        tighter = tightest.get(limit.measure)
        if tighter is None or left < tighter[0]:
            tightest[limit.measure] = left, reset_ns, limit
        if name not in policies or left < states[name][0]:
            policies[name] = policy
            states[name] = left, f"{name};r={left};t={-(-reset_ns // _NS)}"
    for seat in seats:
        limit = seat.limit
        left = max(0, limit.amount - seat.in_use)  # of what other processes run nothing is known
        name, policy = _policy(limit.per, limit.measure, limit.amount, None)
        if name not in policies or left < states[name][0]:
            policies[name] = policy
            states[name] = left, f"{name};r={left}"
    if not states:
        return ""
    told = ", ".join([text for _, text in states.values()])
    lines = f"ratelimit-policy: {', '.join(policies.values())}\r\nratelimit: {told}\r\n"
    for measure, stand in tightest.items():
        if measure in ("requests", "tokens"):
            lines += _vendor_lines(measure, stand, dialect, wall_s)
    return lines


@lru_cache(_KNOWN)
def _policy(per: Per, measure: Measure, amount: int, window_s: int | None) -> tuple[str, str]:
    """`"key-requests-60s"` or `"tenant-concurrency"`, quotes included, and its item of RateLimit-Policy."""
    if window_s is None:
        name, window = f'"{per}-{measure}"', ""
    else:
        name, window = f'"{per}-{measure}-{window_s}s"', f";w={window_s}"
    return name, f"{name};q={amount}{_UNITS[measure]}{window}"


def _vendor_lines(measure: str, stand: _Stand, dialect: str, wall_s: float) -> str:
    left, reset_ns, limit = stand
    if dialect == "anthropic":
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall_s + -(-reset_ns // _NS)))
        name = f"anthropic-ratelimit-{measure}"
        return f"{name}-limit: {limit.amount}\r\n{name}-remaining: {left}\r\n{name}-reset: {at}\r\n"
    return (
        f"x-ratelimit-limit-{measure}: {limit.amount}\r\n"
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
