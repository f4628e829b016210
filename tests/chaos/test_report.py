"""The report says what was found, and the command's exit code with it."""

from msgspec.structs import replace

from tenfold.app.chaos.audit import Violation, audit
from tenfold.app.chaos.report import Report, text
from tests.chaos.facts import right


def report() -> Report:
    figures, violations = audit(right())
    return Report(
        ok=True,
        seed=7,
        seconds=20.0,
        processes=4,
        kills=9,
        postgres_kills=1,
        calls=100,
        sent={"answered": 60, "refused_402": 30, "refused_429": 2, "failed": 5, "lost": 3},
        outcomes={"ok": 3, "cut": 1},
        recovery_s=4.2,
        figures=figures,
        violations=violations,
    )


def test_the_text_has_every_figure_of_the_claim() -> None:
    said = text(report())
    assert "seed 7, 20 s, 4 processes" in said
    assert "100 sent, 60 answered, 32 refused" in said
    assert "30 with 402, 2 with 429, 0 with 503" in said
    assert "overshoot       0\n" in said
    assert "unsettled       0\n" in said
    totals = {line.split("total")[1].strip() for line in said.splitlines() if "total" in line}
    assert len(totals) == 1
    assert "every amount is right" in said


def test_violations_are_listed_with_their_ids() -> None:
    violation = Violation(
        rule="unsettled", count=3, text="admitted calls without exactly one receipt", ids=["req_1: 0"]
    )
    said = text(replace(report(), ok=False, violations=[violation], kept="/tmp/x"))
    assert "VIOLATED (unsettled): 3 admitted calls without exactly one receipt\n    req_1: 0\n    and 2 more" in said
    assert "NOT RIGHT" in said
    assert "every amount is right" not in said
    assert "kept: /tmp/x" in said
