"""The outcome of a run, for a person and for a script."""

from collections import Counter

from msgspec import Struct

from tenfold.app.chaos.audit import Figures, Violation
from tenfold.core.money import format_usd


class Report(Struct, frozen=True, kw_only=True):
    """`ok`: every promise held. `sent`: requests of clients by what became of them. Money is 10^-9 USD."""

    ok: bool
    seed: int
    seconds: float
    processes: int
    kills: int
    postgres_kills: int
    calls: int
    sent: dict[str, int]
    outcomes: dict[str, int]  # of the provider's requests, as it billed them
    recovery_s: float  # from the last request to the last correction
    figures: Figures
    violations: list[Violation]
    kept: str | None = None  # the folder, when it was to be kept


def text(report: Report) -> str:
    figures, sent = report.figures, Counter(report.sent)
    refused = {status: sent[f"refused_{status}"] for status in (402, 429, 503)}
    rows = [
        ("calls", f"{report.calls} sent, {sent['answered']} answered, {sum(refused.values())} refused"),
        ("", ", ".join(f"{count} with {status}" for status, count in refused.items())),
        ("", f"{sent['failed']} failed upstream, {sent['cut']} cut or left, {sent['lost']} lost"),
        ("kills", f"{report.kills} of {report.processes} processes, {report.postgres_kills} of Postgres"),
        ("provider", f"{figures.provider_requests} requests, {figures.provider_billed} billed"),
        ("", ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))),
        ("receipts", f"{figures.receipts}, of them {figures.drafts} drafts of calls whose process died"),
        ("", f"{figures.estimated} began as an estimate, {figures.corrected} are corrected"),
        ("recovery", f"{report.recovery_s:.1f} s"),
        ("overshoot", format_usd(figures.overshoot_nano)),
        ("unsettled", str(figures.unsettled)),
        ("duplicates", f"{figures.duplicate_provider_calls} provider calls, {figures.keys_charged_twice} charges"),
        ("provider total", f"{format_usd(figures.provider_nano)} USD"),
        ("ledger total", f"{format_usd(figures.ledger_nano)} USD"),
    ]
    lines = [f"tenfold chaos money: seed {report.seed}, {report.seconds:.0f} s, {report.processes} processes", ""]
    lines += [f"  {name:<16}{value}" for name, value in rows]
    for violation in report.violations:
        lines += ["", f"  VIOLATED ({violation.rule}): {violation.count} {violation.text}"]
        lines += [f"    {entry}" for entry in violation.ids]
        if violation.count > len(violation.ids):
            lines.append(f"    and {violation.count - len(violation.ids)} more")
    lines += ["", "  every amount is right" if report.ok else "  NOT RIGHT: see above"]
    if report.kept is not None:
        lines.append(f"  kept: {report.kept}")
    return "\n".join(lines)
