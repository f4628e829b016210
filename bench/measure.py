"""The measures: each drives one running gateway, beside nginx and beside the mock alone, and gives figures."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import load, paced
from bench.calls import Target, Upstream, chat_body, check
from bench.gateways import Gateway, Running, started
from bench.mock import Mock
from bench.processes import on_core
from bench.procstat import cpu_seconds, machine_cpu_seconds, resident_mb, tree
from bench.results import Cold, Compared, InFlight, Level, Paced, Round, Sample, StreamTimes

WRK_TIMEOUT_S = 10
_SETTLE_S, _IDLE_CPU_S = 180.0, 0.05  # at the longest; of a second


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long and how often: a table for the documentation needs more than a look while tuning."""

    rounds: int
    direct_s: int
    unit_s: int
    gateway_s: int
    in_flight_s: int
    streams_each: int  # per reader of paced streams, of which there are 16
    warm_starts: int


FULL = Duration(rounds=3, direct_s=2, unit_s=3, gateway_s=5, in_flight_s=6, streams_each=6, warm_starts=3)
QUICK = Duration(rounds=1, direct_s=1, unit_s=2, gateway_s=3, in_flight_s=4, streams_each=2, warm_starts=1)

_READERS = 16
_ATTEMPTS = 3
_STOOD_STILL = 1.5  # times its length that a run took
_STOOD_STILL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all measures share. `unit` is nginx, kept running; `load_core` is where wrk and the mock run."""

    mock: Mock
    unit: Running
    load_core: int | None
    duration: Duration
    say: Callable[[str], None]


def compared(
    bench: Bench, running: Running, *, connections: int, stream: bool = False, cacheable: bool = False
) -> Compared:
    """Rounds of closed-loop load: each connection sends its next call when the last one is answered."""
    direct, unit, target = (
        targets[Upstream.AT_ONCE] for targets in (bench.mock.targets, bench.unit.targets, running.targets)
    )
    check(unit, "nginx", stream=stream)
    check(target, running.gateway.name, stream=stream)
    stretch = running.gateway.stretch if connections > 1 else 1

    def run(to: Target, seconds: int, server: Running | None) -> Sample:
        body = chat_body(to.model, stream=stream, cacheable=cacheable)
        return _sample(bench, to, body, connections=connections, seconds=seconds, server=server)

    run(target, running.gateway.warm_up_s, running)
    rounds = []
    for number in range(1, bench.duration.rounds + 1):
        one = Round(
            direct=run(direct, bench.duration.direct_s, None),
            unit=run(unit, bench.duration.unit_s, bench.unit),
            gateway=run(target, stretch * bench.duration.gateway_s, running),
        )
        rounds.append(one)
        figures = one.gateway
        bench.say(
            f"  round {number}: {figures.load.per_second:,.0f}/s, {figures.cpu_s_per_1k or 0:.4f} CPU s per 1,000"
            f" (nginx {one.unit.cpu_s_per_1k or 0:.4f}), p50 {figures.load.p50_ms:.2f} ms, {figures.load.errors} errors"
        )
    return Compared(rounds=rounds)


def in_flight(bench: Bench, running: Running) -> InFlight:
    target = running.targets[Upstream.AFTER_1_S]
    check(target, running.gateway.name, stream=False)
    body = chat_body(target.model)
    levels: list[Level] = []
    for connections in running.gateway.in_flight_levels:
        level = Level(
            sample=_sample(
                bench, target, body, connections=connections, seconds=bench.duration.in_flight_s, server=running
            )
        )
        levels.append(level)
        figures = level.sample.load
        bench.say(f"  {connections} in flight: p95 {figures.p95_ms:.0f} ms, {figures.errors} errors")
        if not level.held:
            break
    return InFlight(levels=levels)


def paced_streams(bench: Bench, running: Running) -> Paced:
    target = running.targets[Upstream.EVENT_EACH_10_MS]
    check(target, running.gateway.name, stream=True)
    each = bench.duration.streams_each
    with on_core(bench.load_core):
        _read(bench, running, target, 1)  # warm
        found = Paced(
            direct=_read(bench, None, bench.mock.targets[Upstream.EVENT_EACH_10_MS], each),
            unit=_read(bench, bench.unit, bench.unit.targets[Upstream.EVENT_EACH_10_MS], each),
            gateway=_read(bench, running, target, each),
        )
    bench.say(
        f"  first event after {found.gateway.first_p50_ms:.2f} ms (mock alone {found.direct.first_p50_ms:.2f} ms)"
    )
    return found


def cold_starts(gateway: Gateway, folder: Path, mock: Mock, core: int | None, duration: Duration) -> Cold:
    """The folder keeps what the starts leave, so that a later start in it is a warm one."""
    times = []
    for _ in range(1 + duration.warm_starts):
        with started(gateway, folder, mock.port, core) as running:
            times.append(running.ready_after_s)
    return Cold(first_s=times[0], warm_s=times[1:])


def _sample(
    bench: Bench, target: Target, body: bytes, *, connections: int, seconds: int, server: Running | None
) -> Sample:
    """One timed run, repeated when the machine stood still in between, as virtual ones do: its figures mean nothing."""
    for _ in range(_ATTEMPTS - 1):
        sample = _timed(bench, target, body, connections=connections, seconds=seconds, server=server)
        if sample.load.seconds < _STOOD_STILL * seconds:
            return sample
        bench.say(f"  {sample.load.seconds:.0f} s passed in a run of {seconds} s: once more")
    return _timed(bench, target, body, connections=connections, seconds=seconds, server=server)


def _timed(
    bench: Bench, target: Target, body: bytes, *, connections: int, seconds: int, server: Running | None
) -> Sample:
    pids = server.pids() if server else []
    companions = server.companion_pids() if server else []
    peak_mb = 0.0

    def look() -> None:
        nonlocal peak_mb
        peak_mb = max(peak_mb, resident_mb(pids))

    served, cpu, companion_cpu = bench.mock.served(), cpu_seconds(pids), cpu_seconds(companions)
    begun, others = time.monotonic(), _cpu_of_others(companions)
    found = load.drive(
        target,
        body,
        connections=connections,
        seconds=seconds,
        core=bench.load_core,
        timeout_s=WRK_TIMEOUT_S,
        look=look if server else lambda: None,
    )
    others = (_cpu_of_others(companions) - others) / (time.monotonic() - begun)
    cpu, companion_cpu = cpu_seconds(pids) - cpu, cpu_seconds(companions) - companion_cpu
    thousands = max(found.answered, 1) / 1000
    upstream_calls = bench.mock.served() - served
    return Sample(
        load=found,
        cpu_s_per_1k=round(cpu / thousands, 5) if server else None,
        companion_cpu_s_per_1k=round(companion_cpu / thousands, 5) if companions else None,
        rss_peak_mb=peak_mb if server else None,
        upstream_calls_each=round(upstream_calls / max(found.answered, 1), 3),
        other_cores=round(max(others, 0.0), 2),
    )


def _cpu_of_others(companions: Sequence[int]) -> float:
    """All of the machine less what this run has started: the mock, nginx, the gateway, wrk."""
    return machine_cpu_seconds() - cpu_seconds(tree([os.getpid()])) - cpu_seconds(companions)


def _read(bench: Bench, server: Running | None, target: Target, each: int) -> StreamTimes:
    pids = server.pids() if server else []
    for _ in range(_ATTEMPTS):
        cpu = cpu_seconds(pids)
        streams, stood_still_s = asyncio.run(
            paced.read_streams(target, readers=_READERS, each=each, limit_s=10.0 * each + 30)
        )
        cpu = cpu_seconds(pids) - cpu
        if stood_still_s < _STOOD_STILL_S:
            break
        bench.say(f"  the machine stood still for {stood_still_s:.1f} s: once more")
    events = sum(stream.events for stream in streams)
    return StreamTimes(
        streams=len(streams),
        first_p50_ms=_percentile_ms([stream.first_event_s for stream in streams], 50),
        first_p95_ms=_percentile_ms([stream.first_event_s for stream in streams], 95),
        total_p50_ms=_percentile_ms([stream.total_s for stream in streams], 50),
        events_each=round(events / len(streams), 1),
        reads_each=round(sum(stream.reads for stream in streams) / len(streams), 1),
        cpu_us_per_event=round(cpu / events * 1e6, 1) if server else None,
    )


def _percentile_ms(seconds: Sequence[float], percent: int) -> float:
    ordered = sorted(seconds)
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 3)


def settle(pids: Callable[[], Sequence[int]]) -> None:
    """Until a gateway has done what it begins with, before anything is measured: Tenfold reads its documentation in."""
    until = time.monotonic() + _SETTLE_S
    while time.monotonic() < until:
        before = cpu_seconds(pids())
        time.sleep(1.0)
        if cpu_seconds(pids()) - before < _IDLE_CPU_S:
            return
