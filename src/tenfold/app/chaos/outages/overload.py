"""Four times the load that the provider can take: how much of its capacity still serves somebody, how the rest is told
to wait, and what memory it takes.
"""

import asyncio
import time
from collections import Counter

from msgspec import Struct

from tenfold.app.chaos.outages.cells import model_lines, provider_lines
from tenfold.app.chaos.outages.drive import Driver, Watch

ROUTE = "narrow"
PLACES = 20
LATENCY_S = 0.1
FACTOR = 4
PEAK = PLACES / LATENCY_S  # calls a second

LEAST_GOODPUT = 0.9
MOST_GROWTH_BYTES = 128 * 1024 * 1024

_SHED = frozenset((429, 503))
_LEARN_S = 2.0  # at the beginning: not counted


class Overload(Struct, frozen=True, kw_only=True):
    """Calls a second. `peak`: measured with as many clients as the provider has places. `statuses`: of all calls."""

    offered: float
    peak: float
    goodput: float
    share: float  # of the peak
    shed: int
    told_when: int  # of them, those with Retry-After
    otherwise: int  # neither served nor told to wait
    statuses: dict[str, int]
    refused_by_provider: float  # requests a second that the provider refused: the hammering
    rss_growth_bytes: int

    def broken(self, *, times: bool) -> list[str]:
        """The promises that were not kept, in words. `times`: whether the machine is quiet enough to judge them."""
        found = []
        if times and self.share < LEAST_GOODPUT:
            found.append(f"overload: goodput is {self.share:.0%} of the peak, not {LEAST_GOODPUT:.0%}")
        if self.told_when < self.shed:
            found.append(f"overload: {self.shed - self.told_when} were refused without Retry-After")
        if self.otherwise:
            found.append(f"overload: {self.otherwise} were neither served nor refused with 429 or 503")
        if self.rss_growth_bytes > MOST_GROWTH_BYTES:
            found.append(f"overload: memory grew by {self.rss_growth_bytes >> 20} MiB")
        return found


def configuration_lines(port: int) -> list[str]:
    return [
        *provider_lines(ROUTE, "openai", port),
        "",
        *model_lines(ROUTE, ROUTE, ROUTE),
    ]


async def overload(driver: Driver, watch: Watch, *, seconds: float) -> Overload:
    """The peak first, then the load."""
    latency = f"{int(1000 * LATENCY_S)}ms"
    await watch.set({"fault": f"capacity={PLACES}:429:1s,latency={latency}", "model": ROUTE})
    peak = await _peak(driver, seconds / 2)
    rss_before = await watch.metric("process_resident_memory_bytes")
    requests_before = (await watch.requests()).get(ROUTE, 0)
    driver.samples.clear()
    began = time.monotonic()
    until = began + _LEARN_S + seconds
    await driver.steadily([ROUTE], FACTOR * PEAK, lambda: time.monotonic() >= until)
    samples = list(driver.samples)
    requests = (await watch.requests()).get(ROUTE, 0) - requests_before
    rss_after = await watch.metric("process_resident_memory_bytes")
    await watch.set()
    ends = [sample.at + sample.seconds for sample in samples if sample.good]
    goodput = sum(began + _LEARN_S <= end < until for end in ends) / seconds
    shed = [sample for sample in samples if sample.status in _SHED]
    served = sum(sample.good for sample in samples)
    return Overload(
        offered=round(len(samples) / (until - began), 1),
        peak=round(peak, 1),
        goodput=round(goodput, 1),
        share=round(goodput / peak, 3) if peak else 0.0,
        shed=len(shed),
        told_when=sum(sample.retry_after for sample in shed),
        otherwise=len(samples) - served - len(shed),
        statuses=dict(sorted(Counter(str(sample.status) for sample in samples).items())),
        refused_by_provider=round(max(0, requests - served) / (until - began), 1),
        rss_growth_bytes=max(0, int(rss_after - rss_before)),
    )


async def _peak(driver: Driver, seconds: float) -> float:
    """Calls a second that so many clients get who each wait for their answer."""
    driver.samples.clear()
    until = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            await driver.send(ROUTE)

    async with asyncio.TaskGroup() as clients:
        for _ in range(PLACES):
            clients.create_task(client())
    return sum(sample.good for sample in driver.samples) / seconds
