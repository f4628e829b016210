"""What is made of a run: promises that are broken are told, the tables are whole, and the page has them."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tenfold.app.chaos.outages.cells import TROUBLES, cells
from tenfold.app.chaos.outages.drive import Sample, percentile
from tenfold.app.chaos.outages.hard_down import GUARDED, HardDown, _figures
from tenfold.app.chaos.outages.judge import FORBIDDEN, OUTCOMES, WORDS, Verdict
from tenfold.app.chaos.outages.matrix import Result, summary
from tenfold.app.chaos.outages.overload import Overload
from tenfold.app.chaos.outages.report import Report, tables, text
from tenfold.app.chaos.tables import markers, write_into

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

DOWN = HardDown(
    fault="status=503",
    rate=200,
    calls=1200,
    errors=0,
    calls_after_open=1000,
    errors_after_open=1,
    open_s=0.5,
    extra=0.04,
    wasted=140,
    p95_s=0.004,
    direct_p95_s=0.0035,
    added_p95_s=0.0005,
    recovery_s=2.0,
)
OVER = Overload(
    offered=800,
    peak=200,
    goodput=190,
    share=0.95,
    shed=600,
    told_when=600,
    otherwise=0,
    statuses={"200": 190, "503": 600},
    refused_by_provider=2,
    rss_growth_bytes=1 << 20,
)


def results() -> list[Result]:
    return [Result(cell=cell, verdict=Verdict(outcome="good"), seconds=0.1) for cell in cells()]


def report() -> Report:
    return Report(
        ok=True,
        seed=1,
        quick=False,
        seconds=1,
        matrix=summary(results()),
        hard_down=[DOWN],
        overload=OVER,
        broken=[],
    )


def test_kept_promises_are_kept() -> None:
    assert DOWN.broken(times=True) == OVER.broken(times=True) == summary(results()).broken == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"open_s": 2.1}, "the breaker opened after 2.10 s"),
        ({"open_s": None}, "too long to wait for"),
        ({"errors_after_open": 2}, "2 of 1000 calls failed"),
        ({"extra": 0.11}, "retries made 11.0% more requests"),
        ({"added_p95_s": 0.002}, "2.00 ms were added"),
        ({"recovery_s": 5.1}, "had its calls back after 5.10 s"),
        ({"recovery_s": None}, "too long to wait for"),
    ],
)
def test_broken_promises_of_a_primary_that_is_down(change: dict[str, float | None], said: str) -> None:
    [promise] = replace(DOWN, **change).broken(times=True)
    assert said in promise


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"share": 0.89}, "89% of the peak"),
        ({"told_when": 599}, "1 were refused without Retry-After"),
        ({"otherwise": 3}, "3 were neither served nor refused"),
        ({"rss_growth_bytes": 200 << 20}, "memory grew by 200 MiB"),
    ],
)
def test_broken_promises_under_overload(change: dict[str, float], said: str) -> None:
    [promise] = replace(OVER, **change).broken(times=True)
    assert said in promise


def test_times_may_be_left_unjudged() -> None:
    late = replace(DOWN, open_s=9.0, added_p95_s=0.1, recovery_s=9.0)
    assert late.broken(times=False) == replace(OVER, share=0.1).broken(times=False) == []
    assert replace(DOWN, open_s=None).broken(times=False)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_must_not_be_is_told_with_its_cell(outcome: str) -> None:
    found = results()
    found[7] = Result(cell=found[7].cell, verdict=Verdict(outcome=outcome, detail="why"), seconds=2.0)  # type: ignore[arg-type]
    matrix = summary(found)
    assert len(matrix.broken) == (outcome in FORBIDDEN)
    assert all(found[7].cell.name in told and "why" in told for told in matrix.broken)


def test_figures_come_of_samples() -> None:
    def sample(at: float, provider: str, *, status: int = 200, passed_by: bool = False) -> Sample:
        return Sample(route=GUARDED, at=at, seconds=0.01, status=status, provider=provider, passed_by=passed_by)

    samples = [sample(10 - n / 10, "primary") for n in range(1, 100)]
    samples += [sample(10.0, "backup"), sample(10.4, "", status=502)]
    samples += [sample(10.5 + n / 10, "backup", passed_by=True) for n in range(50)]
    samples += [sample(15.6, "backup", passed_by=True), sample(15.7, "primary")]
    found = _figures(samples, "reset", 10, (10.0, 15.5, 15.6), ({"primary": 99}, {"primary": 99 + 2 + 3}))
    assert (found.calls, found.errors, found.calls_after_open, found.errors_after_open) == (52, 1, 50, 0)
    assert found.open_s == 0.5
    assert found.wasted == 5
    assert found.extra == pytest.approx(3 / 97, abs=1e-3)
    assert found.recovery_s == pytest.approx(0.1)


def test_percentiles() -> None:
    assert percentile([], 0.95) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(100)], 0.95) == 95.0


def test_the_report_says_everything() -> None:
    said = text(report())
    for needed in ("seed 1", "status=503", "silent truncation", "95% of the peak", "every promise was kept"):
        assert needed in said
    broken = replace(report(), ok=False, broken=["it fell over"])
    assert "BROKEN: it fell over" in text(broken)
    assert "NOT KEPT" in text(broken)


def test_the_tables_are_written_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marked = "".join("{}\nold\n{}\n\n".format(*markers(part)) for part in ("providers, matrix", "providers, load"))
    page.write_text(f"before\n\n{marked}after\n", encoding="utf-8")
    for _ in range(2):
        write_into(page, tables(report(), results()))
    said = page.read_text(encoding="utf-8")
    assert said.startswith("before\n\n")
    assert said.endswith("\n\nafter\n")
    assert "old" not in said
    assert said.count("| goodput, of the peak | 95% | 90 % |") == 1
    assert said.count("| `hang` | reply | reply | reply | reply | reply | reply |") == 1


def test_a_part_that_was_not_run_stays_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "".join("{0}\nold {1}\n{1}\n".format(*markers(part)) for part in ("providers, matrix", "providers, load"))
    )
    write_into(page, tables(replace(report(), matrix=None), []))
    assert page.read_text().startswith("{0}\nold {1}\n{1}\n".format(*markers("providers, matrix")))
    assert page.read_text().count("old") == 1


def test_the_page_has_every_fault_and_nothing_that_must_not_be() -> None:
    begin, end = markers("providers, matrix")
    said = PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    for trouble in TROUBLES:
        assert f"| `{trouble.spec}`" in said
    for outcome in FORBIDDEN:
        assert re.search(rf"^\| {WORDS[outcome]} \(0 allowed\) \| 0 \|$", said, re.MULTILINE)
