"""What a run finds, as plain values: each holds what was seen and works out what is quoted."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.load import Load
from bench.procstat import Resident


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One timed run of wrk and what it cost the server's processes. Without a server of ours, CPU is None."""

    load: Load
    cpu_s_per_1k: float | None = None
    companion_cpu_s_per_1k: float | None = None  # its database's share
    rss_peak_mb: float | None = None
    upstream_calls_each: float | None = None  # 1: passed on, 0: answered from a cache
    other_cores: float = 0.0  # what the rest of the machine burned meanwhile: the disturbance


@dataclass(frozen=True, kw_only=True)
class Round:
    """The mock alone, nginx before it, the gateway before it: right after each other, so that they can be compared."""

    direct: Sample
    unit: Sample
    gateway: Sample


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Rounds of one load. CPU is the median of all rounds; rates and latencies are those of the least disturbed one."""

    rounds: list[Round]

    @property
    def best(self) -> Round:
        return max(self.rounds, key=lambda one: one.gateway.load.per_second)

    @property
    def cpu_s_per_1k(self) -> float:
        return statistics.median(one.gateway.cpu_s_per_1k or 0.0 for one in self.rounds)

    @property
    def unit_cpu_s_per_1k(self) -> float:
        return statistics.median(one.unit.cpu_s_per_1k or 0.0 for one in self.rounds)

    @property
    def ratio(self) -> float:
        """CPU in units of nginx."""
        return self.cpu_s_per_1k / self.unit_cpu_s_per_1k

    @property
    def companion_cpu_s_per_1k(self) -> float:
        return statistics.median(one.gateway.companion_cpu_s_per_1k or 0.0 for one in self.rounds)

    @property
    def errors(self) -> int:
        return sum(one.gateway.load.errors for one in self.rounds)

    @property
    def other_cores(self) -> float:
        return statistics.median(one.gateway.other_cores for one in self.rounds)

    @property
    def rss_peak_mb(self) -> float:
        return max(one.gateway.rss_peak_mb or 0.0 for one in self.rounds)

    @property
    def upstream_calls_each(self) -> float:
        return max(one.gateway.upstream_calls_each or 0.0 for one in self.rounds)

    def added_ms(self, percentile: Callable[[Load], float]) -> float:
        """Of the gateway's run, less the same percentile of the mock alone."""
        return percentile(self.best.gateway.load) - percentile(self.best.direct.load)


@dataclass(frozen=True, kw_only=True)
class StreamTimes:
    """Of paced streams, 64 events 10 ms apart."""

    streams: int
    first_p50_ms: float
    first_p95_ms: float
    total_p50_ms: float
    events_each: float
    reads_each: float
    cpu_us_per_event: float | None


@dataclass(frozen=True, kw_only=True)
class Paced:
    direct: StreamTimes
    unit: StreamTimes
    gateway: StreamTimes


@dataclass(frozen=True, kw_only=True)
class Level:
    """So many connections with a call in flight each, at an upstream that takes one second."""

    sample: Sample

    @property
    def held(self) -> bool:
        load = self.sample.load
        return load.errors == 0 and load.answered > 0 and load.p95_ms <= 1500


@dataclass(frozen=True, kw_only=True)
class InFlight:
    levels: list[Level]

    @property
    def held(self) -> int:
        return max((level.sample.load.connections for level in self.levels if level.held), default=0)


@dataclass(frozen=True, kw_only=True)
class Cold:
    """Seconds from exec to the first answered call: the first start makes files and bytecode, the others find them."""

    first_s: float
    warm_s: list[float]

    @property
    def warm_median_s(self) -> float:
        return statistics.median(self.warm_s)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A measure that gave no figure."""

    reason: str


Measured = Compared | Paced | InFlight | Cold | Failed


@dataclass(frozen=True, kw_only=True)
class GatewayResults:
    name: str
    version: str
    idle: list[Resident]
    idle_companions: list[Resident]
    measures: dict[str, Measured] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, str]:
        """The measures that gave no figure, and why, in one line each."""
        failures = {name: measure for name, measure in self.measures.items() if isinstance(measure, Failed)}
        return {name: " ".join(failure.reason.split()) for name, failure in failures.items()}
