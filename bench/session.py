"""One run: the mock and nginx stay up, each gateway is started in turn, measured and stopped."""

import resource
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.gateways import Gateway, Nginx, Running, started
from bench.measure import Bench, Duration, cold_starts, compared, in_flight, paced_streams, settle
from bench.mock import Mock, mock_upstream
from bench.processes import BenchError
from bench.procstat import resident
from bench.results import Failed, GatewayResults, Measured

MEASURES = {
    "cold": "cold start to the first answered call",
    "c64": "JSON replies at 64 connections: CPU, throughput, added latency under load",
    "c1": "JSON replies at one connection: the latency added",
    "sse": "streams of 64 events that arrive at once, 64 connections",
    "paced": "streams of an event each 10 ms: first event, cost per event",
    "conc": "calls in flight at an upstream that takes 1 s",
    "cache": "exact-cache hits at 64 connections",
}

_WHILE_RUNNING: dict[str, Callable[[Bench, Running], Measured]] = {
    "c64": lambda bench, running: compared(bench, running, connections=64),
    "c1": lambda bench, running: compared(bench, running, connections=1),
    "sse": lambda bench, running: compared(bench, running, connections=64, stream=True),
    "paced": paced_streams,
    "conc": in_flight,
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """`quiet` is held around each timed section; `work` is a folder for everything that is written."""

    work: Path
    gateway_core: int | None
    load_core: int | None
    duration: Duration
    measures: Sequence[str]
    quiet: Callable[[], AbstractContextManager[None]]
    say: Callable[[str], None]

    def run(self, gateways: Sequence[Gateway]) -> list[GatewayResults]:
        _raise_open_files()
        with (
            mock_upstream(self.work, self.load_core) as mock,
            started(Nginx(), self.work / "unit", mock.port, self.gateway_core) as unit,
        ):
            bench = Bench(mock=mock, unit=unit, load_core=self.load_core, duration=self.duration, say=self.say)
            return [self._measure(bench, gateway) for gateway in gateways]

    def _measure(self, bench: Bench, gateway: Gateway) -> GatewayResults:
        version = gateway.version()
        self.say(f"{gateway.name} {version}")
        measured: dict[str, Measured] = {}
        folder = self.work / gateway.name
        if "cold" in self.measures:
            measured["cold"] = self._one("cold", lambda: self._cold(gateway, folder, bench.mock))
        try:
            with ExitStack() as stack:
                with self.quiet():  # a start disturbs others' timing as much as a measure
                    running = stack.enter_context(started(gateway, folder, bench.mock.port, self.gateway_core))
                    settle(running.pids)
                idle, idle_companions = resident(running.pids()), resident(running.companion_pids())
                for name, measure in _WHILE_RUNNING.items():
                    if name in self.measures:
                        measured[name] = self._one(name, partial(measure, bench, running))
        except BenchError as error:
            self.say(f"{gateway.name} could not be measured: {error}")
            measured["start"] = Failed(reason=str(error))
            return GatewayResults(name=gateway.name, version=version, idle=[], idle_companions=[], measures=measured)
        if gateway.caches and "cache" in self.measures:
            measured["cache"] = self._one("cache", lambda: self._cache(bench, gateway, folder))
        return GatewayResults(
            name=gateway.name, version=version, idle=idle, idle_companions=idle_companions, measures=measured
        )

    def _one(self, name: str, measure: Callable[[], Measured]) -> Measured:
        """A measure that fails does not take the others with it."""
        self.say(f"  {name}: {MEASURES[name]}")
        try:
            with self.quiet():
                return measure()
        except BenchError as error:
            self.say(f"  {name} failed: {error}")
            return Failed(reason=str(error))

    def _cold(self, gateway: Gateway, folder: Path, mock: Mock) -> Measured:
        found = cold_starts(gateway, folder, mock, self.gateway_core, self.duration)
        self.say(f"  {found.warm_median_s:.2f} s warm, {found.first_s:.2f} s the first time")
        return found

    def _cache(self, bench: Bench, gateway: Gateway, folder: Path) -> Measured:
        with started(gateway, folder, bench.mock.port, self.gateway_core, cache=True) as running:
            found = compared(bench, running, connections=64, cacheable=True)
        if found.upstream_calls_each > 0.01:
            raise BenchError(f"{found.upstream_calls_each:.2f} calls went upstream for each answer: these are no hits")
        return found


def _raise_open_files() -> None:
    """Thousands of calls in flight need as many sockets, in wrk, in the mock and twice in the gateway."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
