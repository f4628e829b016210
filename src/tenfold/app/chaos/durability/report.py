"""The outcome of a run, for a person, for a script and for the docs."""

from msgspec import Struct

from tenfold.core.money import format_usd

_KEYED = "heeds `Idempotency-Key`; what was interrupted is asked again"
_PLAIN = "does not; what was interrupted is not asked again (`jobs.repeat_interrupted = false`)"


class JobsReport(Struct, frozen=True, kw_only=True):
    """Jobs by what became of them. `lost`: accepted, and nobody knows it. `stuck`: has not ended in time. `wrong`: done
    with an answer that is not its own. `paid_twice`: the provider was paid more than once. Money is 10^-9 USD."""

    seed: int
    heeds: bool
    processes: int
    jobs: int
    not_accepted: int
    asked_again: int  # submissions that had to be sent again
    kills: int
    postgres_kills: int
    done: int
    dead_letters: int
    dead_by: dict[str, int]
    lost: int
    stuck: int
    wrong: int
    paid_twice: int
    never_paid: int  # done, and no line on the bill
    bill_nano: int
    ledger_nano: int
    accept_p95_s: float
    accepted_s: float  # until the last one was accepted
    recovery_s: float  # from then to the last end

    @property
    def ok(self) -> bool:
        """Where the provider heeds keys nothing may be left over; else what was interrupted is a dead letter, and its
        estimate may be more than the provider took."""
        broken = self.not_accepted + self.lost + self.stuck + self.wrong + self.paid_twice + self.never_paid
        if not self.heeds:
            return not broken and set(self.dead_by) <= {"idempotency_interrupted"}
        return not broken and not self.dead_letters and self.bill_nano == self.ledger_nano


def lines(report: JobsReport) -> list[tuple[str, str]]:
    return [
        ("the provider", _KEYED if report.heeds else _PLAIN),
        ("jobs", f"{report.jobs}, {report.asked_again} submissions had to be sent again"),
        ("kill -9", f"{report.kills} of {report.processes} processes, {report.postgres_kills} of Postgres"),
        ("done", str(report.done)),
        ("dead letters", _dead(report)),
        ("lost (0 allowed)", str(report.lost + report.not_accepted)),
        ("stuck (0 allowed)", str(report.stuck)),
        ("answer of another job (0 allowed)", str(report.wrong)),
        ("paid twice (0 allowed)", str(report.paid_twice)),
        ("provider's bill", f"{format_usd(report.bill_nano)} USD"),
        ("ledger", f"{format_usd(report.ledger_nano)} USD"),
        ("all accepted after", f"{report.accepted_s:.0f} s"),
        ("all ended", f"{report.recovery_s:.0f} s later"),
    ]


def _dead(report: JobsReport) -> str:
    told = ", ".join(f"{count} {code}" for code, count in report.dead_by.items())
    return f"{report.dead_letters}{f' ({told})' if told else ''}"


def text(report: JobsReport) -> str:
    out = [f"tenfold chaos jobs: seed {report.seed}, {report.processes} processes", ""]
    out += [f"  {name:<36}{value}" for name, value in lines(report)]
    out += ["", "  every promise held" if report.ok else "  NOT RIGHT: see above"]
    return "\n".join(out)


def table(report: JobsReport) -> str:
    """Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in lines(report))])
