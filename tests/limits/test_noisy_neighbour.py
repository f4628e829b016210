"""A tenant with 30 % of the traffic multiplies its load: what the others feel of it. Recorded arrivals of many tenants
(ServeGen) drive the real FairShare in virtual time, beside one queue for all. Results, not timings: always the same.
"""

import asyncio
import csv
import gzip
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest

from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId
from tenfold.limits.fair import FairShare
from tests.support.shared_data import shared_data

from .virtual_time import run_in_virtual_time

NOISY = "5"  # 29.9 % of the trace
LASTS_S = 60.0
CALLS_PER_S = 150.0  # the trace has 352 in these minutes
USED = 0.6  # of the seats, before the noisy one gets loud
PLACES, PATIENCE_S = 2000, 30.0


@dataclass(frozen=True, kw_only=True)
class Client:
    """One tenant in one window of the trace. Gaps are seconds before thinning."""

    name: str
    rate: float
    gamma: bool
    shape: float
    scale: float
    output_p50: float
    output_p95: float

    def calls(self, thinned: float, louder: float) -> Iterator[tuple[float, float]]:
        """(when, for how long): a fixed cost and 20 ms a token, its count log-normal as the trace's quantiles say."""
        dice = random.Random(f"{self.name} {louder}")
        sigma = math.log(max(1.01, self.output_p95 / self.output_p50)) / 1.645
        at = 0.0
        while True:
            gap = (
                dice.gammavariate(self.shape, self.scale) if self.gamma else dice.weibullvariate(self.scale, self.shape)
            )
            at += gap / (thinned * louder)
            if at > LASTS_S:
                return
            yield at, 0.2 + 0.02 * self.output_p50 * math.exp(sigma * dice.gauss())


class Share(Protocol):
    async def enter(self, tenant_id: TenantId) -> None: ...
    def leave(self, tenant_id: TenantId) -> None: ...


class OneQueue:
    """What a semaphore does: first come, first served, whoever it is. The same bounds."""

    def __init__(self, seats: int) -> None:
        self._free = seats
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, tenant_id: TenantId) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= PLACES:
            raise Overloaded("full")
        seat = asyncio.get_running_loop().create_future()
        self._waiting.append(seat)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await seat
        except TimeoutError:
            raise Overloaded("too long") from None

    def leave(self, tenant_id: TenantId) -> None:
        while self._waiting:
            seat = self._waiting.popleft()
            if not seat.done():
                seat.set_result(None)
                return
        self._free += 1


def window(folder: Path) -> list[Client]:
    """The clients of the ten minutes in which the noisy one's share is nearest to 30 %."""
    with gzip.open(folder / "client_rates.csv.gz", "rt") as lines:
        rates = list(csv.DictReader(lines))
    with gzip.open(folder / "client_tokens.csv.gz", "rt") as lines:
        tokens = list(csv.DictReader(lines))
    by_window: dict[float, list[dict[str, str]]] = {}
    for row in rates:
        by_window.setdefault(float(row["window_start_s"]), []).append(row)

    def off(rows: list[dict[str, str]]) -> float:
        noisy = sum(float(row["rate_rps"]) for row in rows if row["client_id"] == NOISY)
        return abs(noisy / sum(float(row["rate_rps"]) for row in rows) - 0.3)

    start = min(by_window, key=lambda at: (off(by_window[at]), at))
    clients = []
    for row in by_window[start]:
        # Of the noisy one, for one, the trace does not tell: then any client's, of the nearest window.
        mine = [other for other in tokens if other["client_id"] == row["client_id"]] or tokens
        near = min(mine, key=lambda other: abs(float(other["window_start_s"]) - start))
        clients.append(
            Client(
                name=row["client_id"],
                rate=float(row["rate_rps"]),
                gamma=row["gap_dist"] == "Gamma",
                shape=float(row["param1"]),
                scale=float(row["param2"]),
                output_p50=float(near["out_p50"]),
                output_p95=float(near["out_p95"]),
            )
        )
    return clients


def play(share: Share, calls: list[tuple[float, str, float]]) -> dict[str, list[float]]:
    """Wait and service of every call by client, seconds; who was refused waited, and got nothing."""
    took: dict[str, list[float]] = {}
    ids = {name: TenantId(UUID(int=int(name))) for _, name, _ in calls}

    async def call(at: float, name: str, runs_s: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            await share.enter(ids[name])
        except Overloaded:
            took.setdefault(name, []).append(PATIENCE_S + runs_s)
            return
        await asyncio.sleep(runs_s)
        share.leave(ids[name])
        took.setdefault(name, []).append(loop.time() - at)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for at, name, runs_s in calls:
                await asyncio.sleep(at - loop.time())
                group.create_task(call(at, name, runs_s))

    run_in_virtual_time(scene())
    return took


def p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


@pytest.fixture(scope="module")
def clients() -> list[Client]:
    return window(shared_data("trace_servegen_clients"))


def test_a_loud_neighbour_costs_the_others_little(clients: list[Client]) -> None:
    """No other tenant's P95 of wait and service rises by more than a fifth, where one queue for all breaks them."""
    thinned = CALLS_PER_S / sum(client.rate for client in clients)

    def calls(louder: float) -> list[tuple[float, str, float]]:
        return sorted(
            (at, client.name, runs_s)
            for client in clients
            for at, runs_s in client.calls(thinned, louder if client.name == NOISY else 1.0)
        )

    quiet, loud = calls(1), calls(5)
    part = sum(name == NOISY for _, name, _ in quiet) / len(quiet)
    assert 0.25 < part < 0.35
    seats = math.ceil(sum(runs_s for _, _, runs_s in quiet) / LASTS_S / USED)

    def others(share: Share, played: list[tuple[float, str, float]]) -> dict[str, float]:
        """P95 by tenant, of those with enough calls for one, and of all together."""
        took = play(share, played)
        found = {name: p95(values) for name, values in took.items() if len(values) >= 100 and name != NOISY}
        return found | {"all": p95([value for name in took if name != NOISY for value in took[name]])}

    before = others(FairShare(seats, PLACES, PATIENCE_S), quiet)
    fair = others(FairShare(seats, PLACES, PATIENCE_S), loud)
    queue = others(OneQueue(seats), loud)
    assert len(before) >= 6
    assert max(fair[name] / before[name] for name in before) <= 1.2
    assert fair["all"] / before["all"] <= 1.02
    assert min(queue[name] / before[name] for name in before) >= 5
