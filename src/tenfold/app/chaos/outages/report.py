"""What a run has found: for a person, for a script, and as the tables of docs/reliability.md."""

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from tenfold.app.chaos.outages.cells import STREAM_POLICIES, WHOLE_POLICIES, Policy
from tenfold.app.chaos.outages.hard_down import HardDown
from tenfold.app.chaos.outages.judge import FORBIDDEN, WORDS, Outcome
from tenfold.app.chaos.outages.matrix import Matrix, Result
from tenfold.app.chaos.outages.overload import LATENCY_S, PLACES, Overload

_SHORT: dict[Outcome, str] = {
    "good": "reply",
    "error": "error",
    "stream_error": "error event",
    "unreadable": "unreadable",
    "truncated": "TRUNCATED",
    "hang": "HANG",
    "untyped": "UNTYPED",
    "wrong": "WRONG",
}
_COLUMNS: tuple[tuple[bool, Policy, str], ...] = (
    (False, "single", "whole, alone"),
    (False, "fallback", "whole, fallback"),
    (True, "single", "stream, alone"),
    (True, "fallback", "stream, `error`"),
    (True, "restart", "stream, `restart`"),
    (True, "hold", "stream, held back"),
)
assert {policy for stream, policy, _ in _COLUMNS if stream} == set(STREAM_POLICIES)
assert {policy for stream, policy, _ in _COLUMNS if not stream} == set(WHOLE_POLICIES)


class Report(Struct, frozen=True, kw_only=True):
    """`ok`: every promise that was judged held; `broken`: those that did not, in words. Parts are None when they were
    not asked for."""

    ok: bool
    seed: int
    quick: bool
    seconds: float
    matrix: Matrix | None
    hard_down: list[HardDown]
    overload: Overload | None
    broken: list[str]


def text(report: Report) -> str:
    lines = [f"tenfold chaos providers: seed {report.seed}, {report.seconds:.0f} s", ""]
    lines += [f"  {name:<18}{value}".rstrip() for name, value in _rows(report)]
    lines += [f"  BROKEN: {promise}" for promise in report.broken]
    lines += ["", "  every promise was kept" if report.ok else "  NOT KEPT: see above"]
    return "\n".join(lines)


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    matrix, overload = report.matrix, report.overload
    if matrix is not None:
        yield "matrix", f"{matrix.calls} calls, the slowest {matrix.slowest_s:.1f} s"
        for outcome, count in matrix.counts.items():
            yield "", f"{count:>5} {WORDS[outcome]}"
        yield "", f"{matrix.rescued} of {matrix.with_fallback} calls with a fallback ended in a good reply"
        yield "", ""
    for down in report.hard_down:
        yield f"down: {down.fault}", f"{down.rate:.0f} calls/s, {down.calls} while the primary was down"
        yield "  breaker open", "never" if down.open_s is None else f"after {down.open_s:.2f} s"
        yield "  errors", f"{down.errors_after_open} of {down.calls_after_open} after that, {down.errors} in all"
        yield "  retries", f"{down.extra:.1%} more requests; {down.wasted} went to the primary in vain"
        yield "  P95", f"{_ms(down.p95_s)} past it, {_ms(down.direct_p95_s)} direct: {_ms(down.added_p95_s)} added"
        yield "  recovery", "not in time" if down.recovery_s is None else f"{down.recovery_s:.2f} s"
        yield "", ""
    if overload is not None:
        yield "overload", f"{overload.offered:.0f} calls/s for a provider of {PLACES} places and {_ms(LATENCY_S)}"
        yield "  goodput", f"{overload.goodput:.0f} calls/s, {overload.share:.0%} of the peak of {overload.peak:.0f}"
        yield (
            "  shed",
            f"{overload.shed}, {overload.told_when} of them with Retry-After; otherwise {overload.otherwise}",
        )
        yield "  hammering", f"{overload.refused_by_provider:.1f} refused by the provider a second"
        yield "  memory", f"{overload.rss_growth_bytes / 2**20:.0f} MiB more"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


# -- for the documentation


def tables(report: Report, results: Sequence[Result]) -> dict[str, str]:
    """Markdown by part, of those that were run: the counts, and each fault with what its calls ended in; the
    figures of load."""
    made = {}
    if report.matrix is not None:
        made["providers, matrix"] = "\n".join([*_counts(report.matrix), "", *_faults(results)])
    load = [*_hard_downs(report.hard_down), ""] if report.hard_down else []
    if report.overload is not None:
        made["providers, load"] = "\n".join([*load, *_overload(report.overload)])
    return made


def _counts(matrix: Matrix) -> Iterator[str]:
    yield f"| of {matrix.calls} calls | calls |"
    yield "|---|---|"
    for outcome, count in matrix.counts.items():
        allowed = " (0 allowed)" if outcome in FORBIDDEN else ""
        yield f"| {WORDS[outcome]}{allowed} | {count} |"


def _faults(results: Sequence[Result]) -> Iterator[str]:
    yield "| fault | " + " | ".join(title for _, _, title in _COLUMNS) + " |"
    yield "|---" * (len(_COLUMNS) + 1) + "|"
    for number in sorted({result.cell.number for result in results}):
        own = [result for result in results if result.cell.number == number]
        trouble = own[0].cell.trouble
        name = f"`{trouble.spec}`" + (", JSON asked for" if trouble.schema else "")
        cells = [_cell([r for r in own if (r.cell.stream, r.cell.policy) == column[:2]]) for column in _COLUMNS]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _cell(results: Sequence[Result]) -> str:
    counted = Counter(result.verdict.outcome for result in results)
    if len(counted) == 1:
        return _SHORT[next(iter(counted))]
    return ", ".join(f"{counted[outcome]} {_SHORT[outcome]}" for outcome in WORDS if counted[outcome])


def _hard_downs(downs: Sequence[HardDown]) -> Iterator[str]:
    names = " | ".join(f"`{down.fault}`" for down in downs)
    yield f"| primary down at {downs[0].rate:.0f} calls/s | {names} | promised |"
    yield "|---" * (len(downs) + 2) + "|"
    rows = (
        ("breaker open after", [f"{down.open_s or 0:.2f} s" for down in downs], "2 s"),
        ("calls after that", [str(down.calls_after_open) for down in downs], ""),
        ("of them failed", [str(down.errors_after_open) for down in downs], "0.1 %"),
        ("more requests by retries", [f"{down.extra:.1%}" for down in downs], "10 %"),
        ("added to the P95", [_ms(down.added_p95_s) for down in downs], "1 ms"),
        ("calls are back after", [f"{down.recovery_s or 0:.2f} s" for down in downs], "5 s"),
    )
    for name, values, promised in rows:
        yield f"| {name} | " + " | ".join(values) + f" | {promised} |"


def _overload(overload: Overload) -> Iterator[str]:
    yield f"| overload: {overload.offered:.0f} calls/s for {overload.peak:.0f} | found | promised |"
    yield "|---|---|---|"
    yield f"| goodput, of the peak | {overload.share:.0%} | 90 % |"
    yield f"| refused | {overload.shed} | |"
    yield f"| of them with `Retry-After` | {overload.told_when} | all |"
    yield f"| neither served nor refused so | {overload.otherwise} | 0 |"
    yield f"| refused by the provider, a second | {overload.refused_by_provider:.1f} | |"
    yield f"| memory | {overload.rss_growth_bytes / 2**20:.0f} MiB more | 128 MiB |"
