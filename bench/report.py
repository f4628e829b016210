"""Turns results into the tables of docs/benchmarks.md and into JSON. It measures nothing."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from bench.load import Load
from bench.machine import Machine
from bench.procstat import Resident
from bench.results import Cold, Compared, Failed, GatewayResults, InFlight, Measured, Paced

Kind = TypeVar("Kind", Compared, Paced, InFlight, Cold)

_NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Report:
    machine: Machine
    command: str
    left_out: dict[str, str]  # gateway -> why it is not in the tables
    gateways: list[GatewayResults]


def as_json(report: Report) -> str:
    """Everything that was seen, and the figures that the tables quote."""
    values = asdict(report)
    for shown, results in zip(values["gateways"], report.gateways, strict=True):
        shown["quoted"] = {name: quoted(measure) for name, measure in results.measures.items()}
    return json.dumps(values, indent=1)


def quoted(measure: Measured) -> dict[str, object]:
    match measure:
        case Compared():
            best = measure.best.gateway.load
            return {
                "cpu_s_per_1k": round(measure.cpu_s_per_1k, 4),
                "x_nginx": round(measure.ratio, 2),
                "per_second": best.per_second,
                "added_ms": [round(measure.added_ms(percentile), 3) for percentile in _PERCENTILES],
                "rss_peak_mb": measure.rss_peak_mb,
                "companion_cpu_s_per_1k": round(measure.companion_cpu_s_per_1k, 4),
                "upstream_calls_each": measure.upstream_calls_each,
                "errors": measure.errors,
                "other_cores": measure.other_cores,
            }
        case Paced():
            return {
                "first_event_added_p50_ms": round(measure.gateway.first_p50_ms - measure.direct.first_p50_ms, 3),
                "first_event_added_p95_ms": round(measure.gateway.first_p95_ms - measure.direct.first_p95_ms, 3),
                "cpu_us_per_event": measure.gateway.cpu_us_per_event,
                "reads_each": measure.gateway.reads_each,
            }
        case InFlight():
            return {"held": measure.held}
        case Cold():
            return {"warm_s": measure.warm_median_s, "first_s": measure.first_s}
        case Failed():
            return {"failed": measure.reason}


def as_markdown(report: Report) -> str:
    gateways = report.gateways
    lines = [f"Machine: {report.machine}.", "", f"Command: `{report.command}`", ""]
    if disturbance := [
        measure.other_cores
        for results in gateways
        for measure in results.measures.values()
        if isinstance(measure, Compared)
    ]:
        lines += [f"Other work on the machine meanwhile: {min(disturbance):.2f} to {max(disturbance):.2f} cores.", ""]
    lines += _table(_REQUEST_COLUMNS, gateways)
    lines += _table(_STREAM_COLUMNS, gateways)
    lines += [f"Not measured: {name}: {reason}." for name, reason in report.left_out.items()]
    for results in gateways:
        lines += [f"{results.name}, {name}: {reason}." for name, reason in results.failed.items()]
        for name, measure in results.measures.items():
            if isinstance(measure, Compared) and measure.errors:
                lines.append(f"{results.name}, {name}: {measure.errors} calls failed.")
    lines += [line for results in gateways for line in _companions(results)]
    for results in gateways:
        if results.name == "tenfold":
            lines += ["", *_goals(results)]
    return "\n".join(lines) + "\n"


# ---- columns -----------------------------------------------------------------------------------


def _p50(load: Load) -> float:
    return load.p50_ms


def _p95(load: Load) -> float:
    return load.p95_ms


def _p99(load: Load) -> float:
    return load.p99_ms


_PERCENTILES = (_p50, _p95, _p99)


def _get(results: GatewayResults, name: str, kind: type[Kind]) -> Kind | None:
    measure = results.measures.get(name)
    return measure if isinstance(measure, kind) else None


def _cpu(name: str) -> Callable[[GatewayResults], str]:
    def cell(results: GatewayResults) -> str:
        measure = _get(results, name, Compared)
        return f"{measure.cpu_s_per_1k:.4f} ({_times(measure.ratio)})" if measure else _NONE

    return cell


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.1f}x"


def _rate(name: str) -> Callable[[GatewayResults], str]:
    def cell(results: GatewayResults) -> str:
        measure = _get(results, name, Compared)
        return f"{measure.best.gateway.load.per_second:,.0f}" if measure else _NONE

    return cell


def _added(name: str) -> Callable[[GatewayResults], str]:
    def cell(results: GatewayResults) -> str:
        measure = _get(results, name, Compared)
        return " / ".join(f"{measure.added_ms(one):.2f}" for one in _PERCENTILES) if measure else _NONE

    return cell


def _memory(results: GatewayResults) -> str:
    peak = max((m.rss_peak_mb for m in results.measures.values() if isinstance(m, Compared)), default=0.0)
    idle = sum(process.rss_mb for process in results.idle)
    if not idle:
        return _NONE
    return f"{idle:.0f} / {max(peak, idle):.0f}"


def _first_event(results: GatewayResults) -> str:
    measure = _get(results, "paced", Paced)
    if measure is None:
        return _NONE
    direct, gateway = measure.direct, measure.gateway
    return f"{gateway.first_p50_ms - direct.first_p50_ms:.2f} / {gateway.first_p95_ms - direct.first_p95_ms:.2f}"


def _event_cost(results: GatewayResults) -> str:
    measure = _get(results, "paced", Paced)
    if measure is None or not measure.gateway.cpu_us_per_event:
        return _NONE
    cost, unit = measure.gateway.cpu_us_per_event, measure.unit.cpu_us_per_event
    return f"{cost:.0f} ({_times(cost / unit)})" if unit else f"{cost:.0f}"


def _held(results: GatewayResults) -> str:
    measure = _get(results, "conc", InFlight)
    if measure is None:
        return _NONE
    load = measure.levels[-1].sample.load
    last = f"at {load.connections:,}: p95 {load.p95_ms / 1000:.2f} s, {load.errors} errors"
    return f"{measure.held:,} ({last})"


def _cold(results: GatewayResults) -> str:
    measure = _get(results, "cold", Cold)
    return f"{measure.warm_median_s:.2f} / {measure.first_s:.2f}" if measure else _NONE


Column = tuple[str, Callable[[GatewayResults], str]]

_NAME: Column = ("gateway", lambda results: f"{results.name} {results.version}")
_REQUEST_COLUMNS: Sequence[Column] = (
    _NAME,
    ("CPU s per 1,000 requests (x nginx)", _cpu("c64")),
    ("requests/s, 64 connections", _rate("c64")),
    ("added ms, 1 connection, p50 / p95 / p99", _added("c1")),
    ("added ms, 64 connections, p50 / p95 / p99", _added("c64")),
    ("exact-cache hit: CPU s per 1,000 (x nginx)", _cpu("cache")),
    ("cache hits/s", _rate("cache")),
    ("RSS MB, idle / under load", _memory),
)
_STREAM_COLUMNS: Sequence[Column] = (
    _NAME,
    ("SSE burst: CPU s per 1,000 streams (x nginx)", _cpu("sse")),
    ("streams/s", _rate("sse")),
    ("paced SSE: first event added ms, p50 / p95", _first_event),
    ("paced SSE: CPU us per event (x nginx)", _event_cost),
    ("in flight held at a 1 s upstream", _held),
    ("cold start s, warm / first ever", _cold),
)


def _table(columns: Sequence[Column], gateways: Sequence[GatewayResults]) -> list[str]:
    rows = [[cell(results) for _, cell in columns] for results in gateways]
    # A column that no gateway fills was not asked for.
    kept = [i for i in range(len(columns)) if i == 0 or any(row[i] != _NONE for row in rows)]
    if kept == [0]:
        return []
    return [*_grid([columns[i][0] for i in kept], [[row[i] for i in kept] for row in rows]), ""]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def _companions(results: GatewayResults) -> list[str]:
    """What its database costs on top, which the tables leave out."""
    if not results.idle_companions:
        return []
    costs = [
        f"{measure.companion_cpu_s_per_1k:.4f} CPU s per 1,000 in {name}"
        for name, measure in results.measures.items()
        if isinstance(measure, Compared)
    ]
    idle = sum(process.rss_mb for process in results.idle_companions)
    return [f"The database of {results.name} comes on top: {', '.join([*costs, f'{idle:.0f} MB idle'])}."]


# ---- what Tenfold promises of itself --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Goal:
    text: str
    limit: float
    reached: float | None
    unit: str

    def row(self) -> list[str]:
        assert self.reached is not None
        verdict = "yes" if self.reached <= self.limit else "**no**"
        return [self.text, f"<= {self.limit:g} {self.unit}", f"{self.reached:.3g} {self.unit}", verdict]


def goals(results: GatewayResults) -> list[Goal]:
    """Those of the measures that were taken."""
    c64, c1, sse = (_get(results, name, Compared) for name in ("c64", "c1", "sse"))
    cache, paced = _get(results, "cache", Compared), _get(results, "paced", Paced)
    flight, cold = _get(results, "conc", InFlight), _get(results, "cold", Cold)
    at_2000 = _at_2000(flight) if flight else None
    first = paced.gateway.first_p50_ms - paced.direct.first_p50_ms if paced else None
    found = [
        Goal(text="CPU of a proxied chat completion", limit=5, reached=c64.ratio if c64 else None, unit="x nginx"),
        Goal(text="CPU of an exact-cache hit", limit=3, reached=cache.ratio if cache else None, unit="x nginx"),
        Goal(text="CPU of a stream of 64 events", limit=3, reached=sse.ratio if sse else None, unit="x nginx"),
        Goal(text="added at one connection, p50", limit=0.35, reached=c1.added_ms(_p50) if c1 else None, unit="ms"),
        Goal(text="added at one connection, p99", limit=1, reached=c1.added_ms(_p99) if c1 else None, unit="ms"),
        Goal(text="paced stream, first event added, p50", limit=0.6, reached=first, unit="ms"),
        Goal(
            text="2,000 in flight at a 1 s upstream, p95",
            limit=1.5,
            reached=at_2000.p95_ms / 1000 if at_2000 else None,
            unit="s",
        ),
        Goal(text="the same, failed calls", limit=0, reached=at_2000.errors if at_2000 else None, unit="calls"),
        Goal(text="cold start, warm", limit=2, reached=cold.warm_median_s if cold else None, unit="s"),
        Goal(text="idle RSS, largest process", limit=120, reached=_largest(results.idle), unit="MB"),
    ]
    return [goal for goal in found if goal.reached is not None]


def _at_2000(flight: InFlight) -> Load:
    """Where a lower level failed already, that one: it is no better at 2,000."""
    loads = [level.sample.load for level in flight.levels]
    return next((load for load in loads if load.connections >= 2000), loads[-1])


def _largest(idle: Sequence[Resident]) -> float | None:
    """Without the embedding model's own process."""
    return max((process.rss_mb for process in idle if "embed_worker" not in process.command), default=None)


def _goals(results: GatewayResults) -> list[str]:
    return _grid(["goal of Tenfold", "limit", "reached", "met"], [goal.row() for goal in goals(results)])
