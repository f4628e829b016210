"""Counters and histograms of this process, in the Prometheus text format, summed over the processes of one service.

Every process leaves a snapshot in a folder; a scrape of any of them adds the others' up, so `workers` does not matter.
"""

import os
import resource
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import DecodeError, Struct, field, json

from tenfold.app.telemetry.names import duration_s
from tenfold.core.call import Call
from tenfold.core.money import NANO_PER_USD

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)  # the conventions' own boundaries

_MAX_SERIES = 5000  # label sets of one process; calls beyond them are counted under "other"

HELP: dict[str, tuple[str, str]] = {
    "tenfold_calls_total": ("counter", "Calls by endpoint, tenant, model, provider, status and cache."),
    "tenfold_cost_usd_total": ("counter", "Cost of calls in USD, from the receipts."),
    "tenfold_unpriced_calls_total": ("counter", "Calls with usage whose model has no known price."),
    "tenfold_estimated_calls_total": ("counter", "Calls whose usage is an estimate: the reply broke off."),
    "tenfold_degraded_total": ("counter", "Steps of fallback chains that calls took, by step and feature."),
    "tenfold_provider_requests_total": ("counter", "Requests sent to providers for calls, by who answered at last."),
    "tenfold_output_checks_total": ("counter", "Replies held to the JSON they promise, by model and what came of it."),
    "gen_ai_client_token_usage": ("histogram", "Tokens of a call, by kind (gen_ai.token.type)."),
    "gen_ai_client_operation_duration_seconds": ("histogram", "Time from request to the last byte of the reply."),
    "gen_ai_client_operation_time_to_first_chunk_seconds": ("histogram", "Time from request to the first byte."),
    "tenfold_calls_in_flight": ("gauge", "Calls being served."),
    "tenfold_calls_waiting": ("gauge", "Calls that wait for their turn: the process has all it may have."),
    "tenfold_calls_refused_total": ("counter", "Calls refused at the door: overload, database away, stopping."),
    "tenfold_cache_hits_total": ("counter", "Answers served, by cache layer."),
    "tenfold_cache_misses_total": ("counter", "Look-ups without an answer, by cache layer."),
    "tenfold_cache_faults_total": ("counter", "Look-ups and answers lost because the cache was away, by cache layer."),
    "tenfold_cache_evicted_total": ("counter", "Answers let go of because a document changed."),
    "tenfold_semantic_kept_total": ("counter", "Answers kept by their meaning."),
    "tenfold_semantic_dropped_total": ("counter", "Answers that were not kept by their meaning, and why."),
    "tenfold_semantic_checks_total": (
        "counter",
        "Would-be hits for which the model was asked, and how its answer compared.",
    ),
    "tenfold_semantic_scopes": ("gauge", "Scopes of the semantic cache in memory."),
    "tenfold_semantic_entries": ("gauge", "Answers in those scopes."),
    "tenfold_vectors_made_anew_total": ("counter", "Vectors that were made because another embedder took over."),
    "tenfold_cache_bytes": ("gauge", "Bytes held, by cache layer."),
    "tenfold_limited_calls_total": ("counter", "Calls refused by a rate limit, by whose it is and what it limits."),
    "tenfold_limit_trips_total": ("counter", "Round trips to where processes share their limits."),
    "tenfold_limit_fallbacks_total": (
        "counter",
        "Times a limit was held by the local share: the shared store is away.",
    ),
    "tenfold_budget_refusals_total": ("counter", "Calls refused because a hard budget has no room for them."),
    "tenfold_budget_top_ups_total": ("counter", "Times money was leased from a budget."),
    "tenfold_bound_exceeded_total": ("counter", "Calls that cost more than their bound: the provider broke its word."),
    "tenfold_receipts_pending": ("gauge", "Receipts that are not in the database yet."),
    "tenfold_receipts_on_disk_bytes": ("gauge", "Bytes of the journals: receipts until they are in the database."),
    "tenfold_receipts_written_total": ("counter", "Receipts written to the database."),
    "tenfold_receipts_refused_total": ("counter", "Receipts the database refused; they are kept in refused.jsonl."),
    "tenfold_receipts_lost_total": ("counter", "Receipts that neither the database nor the disk took."),
    "tenfold_receipts_recovered_total": ("counter", "Receipts taken over from processes that died."),
    "tenfold_drafts_recovered_total": ("counter", "Of them, those of calls the process died in, charged at the bound."),
    "tenfold_processes_recovered_total": ("counter", "Dead processes whose journal was taken over."),
    "tenfold_corrections_total": ("counter", "Estimated receipts put right by what the provider told, by what it was."),
    "tenfold_corrections_given_up_total": ("counter", "Estimated receipts the provider did not tell about in a day."),
    "tenfold_alerts_delivered_total": ("counter", "Budget alerts logged, and taken by the webhook where there is one."),
    "tenfold_alerts_failed_tries_total": ("counter", "Tries in vain to deliver a budget alert."),
    "tenfold_slo_calls_total": ("counter", "Calls that count for an objective, by pathway and kind of objective."),
    "tenfold_slo_good_total": ("counter", "Of them, those that met it."),
    "tenfold_slo_p95_seconds": ("gauge", "What 95 of 100 good calls of a pathway took at most in the last hour."),
    "tenfold_slo_burn_rate": ("gauge", "How many times as fast as it may an error budget burns, by window."),
    "tenfold_slo_budget_left": ("gauge", "The share of an error budget that is left; below 0: overspent."),
    "tenfold_slo_alert": ("gauge", "1 while a burn-rate alert of the severity holds."),
    "tenfold_log_lines_dropped_total": ("counter", "Call log lines that standard output did not take in time."),
    "tenfold_breaker_state": ("gauge", "Of a provider's model, in each process: 0 closed, 1 half open, 2 open."),
    "tenfold_breaker_opened_total": ("counter", "Times a process opened a breaker of its own experience."),
    "tenfold_provider_in_flight": ("gauge", "Requests a provider is answering."),
    "tenfold_provider_concurrency_limit": ("gauge", "Requests at once a key is asked for, as its 429s have taught."),
    "tenfold_jobs_busy_slots": ("gauge", "Jobs that are being done, or about to be."),
    "tenfold_jobs_waiting": ("gauge", "Jobs that are due and wait for a worker, of all tenants."),
    "tenfold_jobs_later": ("gauge", "Jobs that are not due yet."),
    "tenfold_jobs_running": ("gauge", "Jobs that some worker does."),
    "tenfold_jobs_oldest_wait_seconds": ("gauge", "How long the job waits that has waited the longest."),
    "tenfold_jobs_wait_seconds": ("histogram", "Time from when a job was due to its start, by kind."),
    "tenfold_jobs_run_seconds": ("histogram", "Time from a job's start to the end of the attempt, by kind."),
    "tenfold_jobs_ended_total": ("counter", "Attempts of jobs, by kind and how they ended."),
    "tenfold_jobs_taken_over_total": ("counter", "Jobs taken over from workers that died."),
    "tenfold_jobs_dead_letters": ("gauge", "Dead letters that are older than jobs.dead_letter_alert_s."),
    "tenfold_database_up": ("gauge", "1 while the database answers."),
    "process_resident_memory_bytes": ("gauge", "Memory of the serving processes."),
    "process_cpu_seconds_total": ("counter", "CPU time of the serving processes."),
}

ALIKE = frozenset(
    {
        "tenfold_slo_p95_seconds",
        "tenfold_slo_burn_rate",
        "tenfold_slo_budget_left",
        "tenfold_slo_alert",
        "tenfold_jobs_waiting",
        "tenfold_jobs_later",
        "tenfold_jobs_running",
        "tenfold_jobs_oldest_wait_seconds",
        "tenfold_jobs_dead_letters",
    }
)
"""Gauges that every process tells of the whole: of several the largest stands, not their sum."""

Labels = tuple[tuple[str, str], ...]
Figure = tuple[str, Labels, float]
"""Metric, labels, value."""


class Histogram(Struct):
    counts: list[int]
    total: float = 0.0

    def observe(self, bounds: tuple[float, ...], value: float) -> None:
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value


def seconds() -> Histogram:
    return Histogram([0] * (len(SECONDS) + 1))


def _tokens() -> Histogram:
    return Histogram([0] * (len(TOKENS) + 1))


class Snapshot(Struct):
    """What one process has counted: metric -> label text -> value."""

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    histograms: dict[str, dict[str, Histogram]] = field(default_factory=dict)

    def put(self, name: str, labels: Labels, value: float) -> None:
        series = self.values.setdefault(name, {})
        key = _text(labels)
        series[key] = series.get(key, 0.0) + value

    def merge(self, name: str, key: str, histogram: Histogram) -> None:
        mine = self.histograms.setdefault(name, {}).setdefault(key, Histogram([0] * len(histogram.counts)))
        mine.counts = [a + b for a, b in zip(mine.counts, histogram.counts, strict=True)]
        mine.total += histogram.total


SeriesKey = tuple[str, str, str | None, str, str, str]  # endpoint, model, provider, tenant, status, cache


class Series(Struct, kw_only=True):
    """All that is counted of the calls that share a SeriesKey: one look-up counts a call."""

    calls: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    estimated: int = 0
    attempts: int = 0
    input_tokens: Histogram = field(default_factory=_tokens)
    output_tokens: Histogram = field(default_factory=_tokens)
    duration: Histogram = field(default_factory=seconds)
    first_chunk: Histogram = field(default_factory=seconds)

    def count(self, call: Call) -> None:
        self.calls += 1
        self.estimated += call.estimated
        self.attempts += call.attempts
        self.duration.observe(SECONDS, duration_s(call))
        if call.first_byte is not None:
            self.first_chunk.observe(SECONDS, call.first_byte - call.started)
        if call.usage is not None:
            self.input_tokens.observe(TOKENS, call.usage.input_tokens)
            self.output_tokens.observe(TOKENS, call.usage.output_tokens)
            if call.cost_nano is None:
                self.unpriced += 1
            else:
                self.cost_nano += call.cost_nano

    def tell(self, key: SeriesKey, into: Snapshot) -> None:
        endpoint, model_name, provider, tenant, status, cache = key
        model: Labels = (
            ("endpoint", endpoint),
            ("gen_ai_request_model", model_name),
            ("gen_ai_provider_name", provider or ""),
        )
        whose = (*model, ("tenant", tenant))
        into.put("tenfold_calls_total", (*whose, ("status", status), ("cache", cache)), self.calls)
        into.put("tenfold_cost_usd_total", whose, self.cost_nano / NANO_PER_USD)
        into.put("tenfold_unpriced_calls_total", model, self.unpriced)
        into.put("tenfold_estimated_calls_total", model, self.estimated)
        into.put("tenfold_provider_requests_total", model, self.attempts)
        text = _text(model)
        into.merge("gen_ai_client_operation_duration_seconds", text, self.duration)
        into.merge("gen_ai_client_operation_time_to_first_chunk_seconds", text, self.first_chunk)
        for kind, histogram in (("input", self.input_tokens), ("output", self.output_tokens)):
            into.merge("gen_ai_client_token_usage", f'{text},gen_ai_token_type="{kind}"', histogram)


class Metrics:
    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{os.getpid()}.json"
        self._folder = folder
        self._series: dict[SeriesKey, Series] = {}
        self._steps: dict[tuple[str, str], int] = {}  # of step and feature; few calls take any
        self._sources: list[Callable[[], Iterable[Figure]]] = []
        self._histograms: list[Callable[[], Iterable[tuple[str, Labels, Histogram]]]] = []

    def add_source(self, source: Callable[[], Iterable[Figure]]) -> None:
        """Asked at each snapshot for (metric, labels, value): things that already count themselves."""
        self._sources.append(source)

    def add_histograms(self, source: Callable[[], Iterable[tuple[str, Labels, Histogram]]]) -> None:
        """The same of histograms in SECONDS."""
        self._histograms.append(source)

    def take(self, calls: list[Call]) -> None:
        found = self._series.get
        for call in calls:
            key = (
                call.operation,
                call.model,
                call.provider,
                call.principal.tenant_slug,
                call.status,
                call.cache_state,
            )
            (found(key) or self._new_series(key)).count(call)
            if call.degraded:
                self._count_steps(call)

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
                    other = json.decode(path.read_bytes(), type=Snapshot)
                except (OSError, DecodeError):
                    continue
                _add(total, other if _runs(path.stem) else _counted(other))
        return _render(total)

    def _new_series(self, key: SeriesKey) -> Series:
        """Names come from clients, so their number is bounded; refused calls name models that do not exist."""
        endpoint, model, provider, tenant, status, cache = key
        if provider is None:
            model = ""
        if len(self._series) >= _MAX_SERIES:
            model = tenant = "other"
        return self._series.setdefault((endpoint, model, provider, tenant, status, cache), Series())

    def _count_steps(self, call: Call) -> None:
        for step in call.degraded:
            at = step, call.options.feature or ""
            if at not in self._steps and len(self._steps) >= _MAX_SERIES:
                at = step, "other"
            self._steps[at] = self._steps.get(at, 0) + 1

    def _now(self) -> Snapshot:
        snapshot = Snapshot()
        for key, series in list(self._series.items()):
            series.tell(key, snapshot)
        for (step, feature), times in list(self._steps.items()):
            snapshot.put("tenfold_degraded_total", (("step", step), ("feature", feature)), times)
        for source in self._sources:
            for name, labels, value in source():
                snapshot.put(name, labels, value)
        for histograms in self._histograms:
            for name, labels, histogram in histograms():
                snapshot.merge(name, _text(labels), histogram)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        snapshot.put("process_cpu_seconds_total", (), usage.ru_utime + usage.ru_stime)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        snapshot.put("process_resident_memory_bytes", (), pages * resource.getpagesize())
        return snapshot


def _runs(pid: str) -> bool:
    return Path("/proc", pid).exists()


def _counted(snapshot: Snapshot) -> Snapshot:
    """What stays true of a process that has ended: what it had counted, not what it was doing."""
    counters = {name: series for name, series in snapshot.values.items() if HELP[name][0] == "counter"}
    return Snapshot(values=counters, histograms=snapshot.histograms)


def _add(total: Snapshot, other: Snapshot) -> None:
    for name, series in other.values.items():
        into = total.values.setdefault(name, {})
        for key, value in series.items():
            into[key] = max(into.get(key, value), value) if name in ALIKE else into.get(key, 0.0) + value
    for name, histograms in other.histograms.items():
        for key, histogram in histograms.items():
            total.merge(name, key, histogram)


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
