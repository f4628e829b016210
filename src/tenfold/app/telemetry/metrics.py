"""Counters and histograms of this process, in the Prometheus text format, summed over the processes of one service.

Every process leaves a snapshot in a folder; a scrape of any of them adds the others' up, so `workers` does not matter.
"""

import os
import resource
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import DecodeError, Struct, field, json

from tenfold.app.telemetry.names import duration_s, first_byte_s
from tenfold.core.call import Call
from tenfold.core.money import NANO_PER_USD

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)  # the conventions' own boundaries

_MAX_SERIES = 5000  # of one metric; a label set beyond it is counted under "other"

HELP: dict[str, tuple[str, str]] = {
    "tenfold_calls_total": ("counter", "Calls by endpoint, tenant, model, provider, status and cache."),
    "tenfold_cost_usd_total": ("counter", "Cost of calls in USD, from the receipts."),
    "tenfold_unpriced_calls_total": ("counter", "Calls with usage whose model has no known price."),
    "tenfold_estimated_calls_total": ("counter", "Calls whose usage is an estimate: the reply broke off."),
    "gen_ai_client_token_usage": ("histogram", "Tokens of a call, by kind (gen_ai.token.type)."),
    "gen_ai_client_operation_duration_seconds": ("histogram", "Time from request to the last byte of the reply."),
    "gen_ai_client_operation_time_to_first_chunk_seconds": ("histogram", "Time from request to the first byte."),
    "tenfold_calls_in_flight": ("gauge", "Calls being served."),
    "tenfold_calls_refused_total": ("counter", "Calls refused at the door: overload, database away, stopping."),
    "tenfold_cache_hits_total": ("counter", "Answers served, by cache layer."),
    "tenfold_cache_misses_total": ("counter", "Look-ups without an answer, by cache layer."),
    "tenfold_cache_bytes": ("gauge", "Bytes held, by cache layer."),
    "tenfold_receipts_pending": ("gauge", "Receipts not written to the database yet."),
    "tenfold_log_lines_dropped_total": ("counter", "Call log lines that standard output did not take in time."),
    "tenfold_database_up": ("gauge", "1 while the database answers."),
    "process_resident_memory_bytes": ("gauge", "Memory of the serving processes."),
    "process_cpu_seconds_total": ("counter", "CPU time of the serving processes."),
}

Labels = tuple[tuple[str, str], ...]


class Histogram(Struct):
    counts: list[int]
    total: float = 0.0


class Snapshot(Struct):
    """What one process has counted: metric -> label text -> value."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, dict[str, Histogram]] = field(default_factory=dict)


class Metrics:
    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{os.getpid()}.json"
        self._folder = folder
        self._counted = Snapshot()
        self._gauges: list[Callable[[], Iterable[tuple[str, Labels, float]]]] = []

    def add_source(self, source: Callable[[], Iterable[tuple[str, Labels, float]]]) -> None:
        """Asked at each snapshot for (metric, labels, value): things that already count themselves."""
        self._gauges.append(source)

    def take(self, calls: list[Call]) -> None:
        for call in calls:
            self._count(call)

    def save(self) -> None:
        """Leave this process's snapshot for the others. Best effort: a full disk must not stop calls."""
        scratch = self._file.with_suffix(".tmp")
        try:
            scratch.write_bytes(json.encode(self._now()))
            scratch.replace(self._file)
        except OSError:
            scratch.unlink(missing_ok=True)

    def expose(self) -> bytes:
        """The exposition of all processes."""
        total = self._now()
        for path in self._folder.glob("*.json"):
            if path != self._file:
                try:
                    _add(total, json.decode(path.read_bytes(), type=Snapshot))
                except (OSError, DecodeError):
                    continue
        return _render(total)

    def _count(self, call: Call) -> None:
        model = (
            ("endpoint", call.operation),
            ("gen_ai_request_model", call.model),
            ("gen_ai_provider_name", call.provider or ""),
        )
        whose = (*model, ("tenant", call.principal.tenant_slug))
        self._add("tenfold_calls_total", (*whose, ("status", call.status), ("cache", call.cache_state)), 1)
        if call.cost_nano:
            self._add("tenfold_cost_usd_total", whose, call.cost_nano / NANO_PER_USD)
        if call.estimated:
            self._add("tenfold_estimated_calls_total", model, 1)
        if call.usage is not None:
            if call.cost_nano is None:
                self._add("tenfold_unpriced_calls_total", model, 1)
            for kind, tokens in (("input", call.usage.input_tokens), ("output", call.usage.output_tokens)):
                self._observe("gen_ai_client_token_usage", (*model, ("gen_ai_token_type", kind)), TOKENS, tokens)
        self._observe("gen_ai_client_operation_duration_seconds", model, SECONDS, duration_s(call))
        first_byte = first_byte_s(call)
        if first_byte is not None:
            self._observe("gen_ai_client_operation_time_to_first_chunk_seconds", model, SECONDS, first_byte)

    def _add(self, name: str, labels: Labels, value: float) -> None:
        series = self._counted.values.setdefault(name, {})
        key = _text(labels)
        if key not in series and len(series) >= _MAX_SERIES:
            key = _text(tuple((label, "other") for label, _ in labels))
        series[key] = series.get(key, 0.0) + value

    def _observe(self, name: str, labels: Labels, bounds: tuple[float, ...], value: float) -> None:
        series = self._counted.histograms.setdefault(name, {})
        key = _text(labels)
        if key not in series and len(series) >= _MAX_SERIES:
            key = _text(tuple((label, "other") for label, _ in labels))
        histogram = series.get(key)
        if histogram is None:
            histogram = series[key] = Histogram([0] * (len(bounds) + 1))
        histogram.counts[bisect_left(bounds, value)] += 1
        histogram.total += value

    def _now(self) -> Snapshot:
        snapshot = Snapshot()
        _add(snapshot, self._counted)
        for source in self._gauges:
            for name, labels, value in source():
                snapshot.values.setdefault(name, {})[_text(labels)] = value
        usage = resource.getrusage(resource.RUSAGE_SELF)
        snapshot.values["process_cpu_seconds_total"] = {"": usage.ru_utime + usage.ru_stime}
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        snapshot.values["process_resident_memory_bytes"] = {"": float(pages * resource.getpagesize())}
        return snapshot


def _add(total: Snapshot, other: Snapshot) -> None:
    for name, series in other.values.items():
        into = total.values.setdefault(name, {})
        for key, value in series.items():
            into[key] = into.get(key, 0.0) + value
    for name, histograms in other.histograms.items():
        merged = total.histograms.setdefault(name, {})
        for key, histogram in histograms.items():
            mine = merged.setdefault(key, Histogram([0] * len(histogram.counts)))
            mine.counts = [a + b for a, b in zip(mine.counts, histogram.counts, strict=True)]
            mine.total += histogram.total


def _text(labels: Labels) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _render(snapshot: Snapshot) -> bytes:
    lines: list[str] = []
    for name, (kind, meaning) in HELP.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        for labels, value in sorted(snapshot.values.get(name, {}).items()):
            lines.append(f"{name}{{{labels}}} {value:.17g}" if labels else f"{name} {value:.17g}")
        bounds = TOKENS if name.endswith("token_usage") else SECONDS
        for labels, histogram in sorted(snapshot.histograms.get(name, {}).items()):
            seen = 0
            for bound, count in zip((*map(str, bounds), "+Inf"), histogram.counts, strict=True):
                seen += count
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {seen}')
            lines.append(f"{name}_sum{{{labels}}} {histogram.total:.17g}")
            lines.append(f"{name}_count{{{labels}}} {seen}")
    return ("\n".join(lines) + "\n").encode()
