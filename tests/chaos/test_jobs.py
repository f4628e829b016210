"""`tenfold chaos jobs`, as a user runs it, and what its report says of a run that went wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tenfold.app.chaos.durability.report import JobsReport, table, text
from tenfold.app.chaos.tables import markers
from tests.chaos.test_command import left_in

pytestmark = pytest.mark.xdist_group("e2e-chaos")

GOOD = JobsReport(
    seed=1,
    heeds=True,
    processes=2,
    jobs=100,
    not_accepted=0,
    asked_again=7,
    kills=9,
    postgres_kills=1,
    done=100,
    dead_letters=0,
    dead_by={},
    lost=0,
    stuck=0,
    wrong=0,
    paid_twice=0,
    never_paid=0,
    bill_nano=4_000_000,
    ledger_nano=4_000_000,
    accept_p95_s=0.01,
    accepted_s=20.0,
    recovery_s=6.0,
)


def report_of(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tenfold", "chaos", "jobs", "--processes", "2", "--json", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def test_every_job_ends_once_with_its_own_answer_and_is_paid_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(markers("jobs, keyed")), encoding="utf-8")
    report = report_of(tmp_path, "--jobs", "150", "--seed", "3", "--write-tables", str(page))
    assert (report["done"], report["jobs"]) == (150, 150)
    assert report["kills"] > 0
    assert report["bill_nano"] == report["ledger_nano"] > 0
    assert "| lost (0 allowed) | 0 |" in page.read_text(encoding="utf-8")
    assert left_in(tmp_path) == [str(page)]


def test_with_a_plain_provider_what_was_interrupted_is_a_dead_letter(tmp_path: Path) -> None:
    report = report_of(tmp_path, "--jobs", "100", "--seed", "4", "--plain-provider", "--no-postgres")
    assert report["done"] + report["dead_letters"] == 100
    assert report["paid_twice"] == report["lost"] == report["stuck"] == 0
    assert report["bill_nano"] <= report["ledger_nano"]
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"lost": 1},
        {"not_accepted": 1},
        {"stuck": 1},
        {"wrong": 1},
        {"paid_twice": 1},
        {"never_paid": 1},
        {"dead_letters": 1},
        {"ledger_nano": 4_000_001},
    ],
    ids=str,
)
def test_a_broken_promise_is_told(broken: dict[str, int]) -> None:
    assert GOOD.ok
    assert "every promise held" in text(GOOD)
    report = replace(GOOD, **broken)
    assert not report.ok
    assert "NOT RIGHT" in text(report)


def test_a_plain_provider_may_leave_dead_letters_of_one_cause_only() -> None:
    plain = replace(GOOD, heeds=False, done=98, dead_letters=2, ledger_nano=5_000_000)
    assert replace(plain, dead_by={"idempotency_interrupted": 2}).ok
    assert not replace(plain, dead_by={"idempotency_interrupted": 1, "poison": 1}).ok
    assert "| dead letters | 2 (2 poison) |" in table(replace(plain, dead_by={"poison": 2}))
