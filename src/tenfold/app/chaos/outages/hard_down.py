"""The primary provider goes down under load and comes back: what clients notice, how soon it is left alone, what
retries cost, and how soon it is asked again.
"""

import asyncio
import time
from collections.abc import Sequence

from msgspec import Struct

from tenfold.app.chaos.outages.cells import model_lines, provider_lines
from tenfold.app.chaos.outages.drive import Driver, Sample, Watch, percentile

GUARDED, DIRECT = "guarded", "direct"
RATE = 200.0
FAULTS = ("status=503", "hang", "reset")
FIRST_TOKEN_S = 0.5

MOST_ERRORS = 0.001
MOST_OPEN_S = 2.0
MOST_EXTRA = 0.10
MOST_ADDED_P95_S = 0.001
MOST_RECOVERY_S = 5.0

_HEALTHY_S = 1.5
_BUDGET_S = 10.0  # what the retry budget counts over
_PRIMARY = "primary"
_LOOK_S = 0.05
_RECOVERY_LIMIT_S = 15.0
_CALM_S = 1.0  # without a call answered by the fallback: then the primary is back


class HardDown(Struct, frozen=True, kw_only=True):
    """`open_s`, from the first failure there was to see to the first call that passed the primary by. `extra`: requests
    to the primary that were not the first of their call, as a share of the calls of ten seconds or more; `wasted`: all
    requests it got while it was down. `added_p95_s`: of calls past an open breaker over calls straight to the
    fallback's provider. `recovery_s`, from the provider's return to the last call that went past it."""

    fault: str
    rate: float
    calls: int  # while it was down
    errors: int  # in all
    calls_after_open: int
    errors_after_open: int
    open_s: float | None  # None: it did not open
    extra: float
    wasted: int
    p95_s: float
    direct_p95_s: float
    added_p95_s: float
    recovery_s: float | None  # None: not in time

    def broken(self, *, times: bool) -> list[str]:
        """The promises that were not kept, in words. `times`: whether the machine is quiet enough to judge them."""
        found = []
        if self.open_s is None or (times and self.open_s > MOST_OPEN_S):
            found.append(f"the breaker opened after {_seconds(self.open_s)}, not within {MOST_OPEN_S:g} s")
        if self.errors_after_open > MOST_ERRORS * self.calls_after_open:
            found.append(f"{self.errors_after_open} of {self.calls_after_open} calls failed after the breaker opened")
        if self.extra > MOST_EXTRA:
            found.append(f"retries made {self.extra:.1%} more requests, not {MOST_EXTRA:.0%} at most")
        if self.recovery_s is None or (times and self.recovery_s > MOST_RECOVERY_S):
            found.append(f"the primary had its calls back after {_seconds(self.recovery_s)}")
        if times and self.added_p95_s > MOST_ADDED_P95_S:
            found.append(f"{1000 * self.added_p95_s:.2f} ms were added to the P95")
        return [f"{self.fault}: {promise}" for promise in found]


def configuration(port: int) -> str:
    """A guarded route over a primary and a fallback, and one straight to the fallback; breakers as they come."""
    lines = ["[telemetry]", "log_calls = false", ""]
    for name in (_PRIMARY, "backup"):
        lines += [*provider_lines(name, "openai", port), ""]
        lines += model_lines(name, name, name)
    lines += model_lines("straight", "backup", "straight")
    lines += [f"[routes.{GUARDED}]", f'models = ["{_PRIMARY}", "backup"]', f"first_token_s = {FIRST_TOKEN_S}", ""]
    lines += [f"[routes.{DIRECT}]", 'models = ["straight"]', ""]
    return "\n".join(lines)


async def hard_down(driver: Driver, watch: Watch, fault: str, *, down_s: float, rate: float = RATE) -> HardDown:
    """The primary fails with `fault` for so many seconds. Beside the load, half as much goes straight to the
    fallback's provider, to compare with."""
    await watch.set()
    ended = False
    async with asyncio.TaskGroup() as group:
        group.create_task(driver.steadily([GUARDED, GUARDED, DIRECT], 1.5 * rate, lambda: ended))
        try:
            await asyncio.sleep(_HEALTHY_S)
            before = await watch.requests()
            down_at = time.monotonic()
            await watch.set({"fault": fault, "model": _PRIMARY})
            await asyncio.sleep(down_s)
            after = await watch.requests()
            up_at = time.monotonic()
            await watch.set()
            back_at = await _until_back(driver, up_at)
        finally:
            ended = True
    return _figures(driver.samples, fault, rate, (down_at, up_at, back_at), (before, after))


async def _until_back(driver: Driver, up_at: float) -> float | None:
    """When the first call of an unbroken second of them went to the primary."""
    while time.monotonic() < up_at + _RECOVERY_LIMIT_S:
        await asyncio.sleep(_LOOK_S)
        since = [sample for sample in driver.samples if sample.route == GUARDED and sample.at >= up_at]
        elsewhere = [sample.at for sample in since if sample.provider != _PRIMARY]
        first = max(elsewhere, default=up_at)
        latest = max((sample.at for sample in since), default=up_at)
        if latest - first >= _CALM_S:
            return first
    return None


def _figures(
    samples: Sequence[Sample],
    fault: str,
    rate: float,
    moments: tuple[float, float, float | None],
    requests: tuple[dict[str, int], dict[str, int]],
) -> HardDown:
    down_at, up_at, back_at = moments
    guarded = [sample for sample in samples if sample.route == GUARDED]
    down = [sample for sample in guarded if down_at <= sample.at < up_at]
    lately = [sample for sample in guarded if min(down_at, up_at - _BUDGET_S) <= sample.at < up_at]
    open_at = min((sample.at for sample in down if sample.passed_by), default=None)
    quiet_from = up_at if open_at is None else open_at
    after_open = [sample for sample in down if sample.at >= quiet_from]
    direct = [sample for sample in samples if sample.route == DIRECT and quiet_from <= sample.at < up_at]
    wasted = requests[1].get(_PRIMARY, 0) - requests[0].get(_PRIMARY, 0)
    first = sum(not sample.passed_by for sample in down)  # calls that began with the primary
    seen_at = down_at + (FIRST_TOKEN_S if fault == "hang" else 0.0)
    p95_s = percentile([sample.seconds for sample in after_open], 0.95)
    direct_p95_s = percentile([sample.seconds for sample in direct], 0.95)
    return HardDown(
        fault=fault,
        rate=rate,
        calls=len(down),
        errors=sum(not sample.good for sample in guarded if sample.at >= down_at),
        calls_after_open=len(after_open),
        errors_after_open=sum(not sample.good for sample in after_open),
        open_s=None if open_at is None else round(max(0.0, open_at - seen_at), 3),
        extra=round(max(0, wasted - first) / max(1, len(lately)), 4),
        wasted=wasted,
        p95_s=round(p95_s, 5),
        direct_p95_s=round(direct_p95_s, 5),
        added_p95_s=round(p95_s - direct_p95_s, 5),
        recovery_s=None if back_at is None else round(back_at - up_at, 2),
    )


def _seconds(value: float | None) -> str:
    return "too long to wait for" if value is None else f"{value:.2f} s"
