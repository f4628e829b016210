"""`tenfold chaos providers --quick`, as a user runs it: providers that fail in many ways, and what clients get."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tenfold.app.chaos.tables import markers, write_into
from tests.chaos.test_command import left_in

pytestmark = pytest.mark.xdist_group("e2e-chaos")


def run(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tenfold", "chaos", "providers", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
    )


def report_of(folder: Path, *words: str) -> dict[str, Any]:
    """Of a run in which every promise was kept."""
    process = run(folder, "--quick", "--seed", "1", "--json", *words)
    output, progress = process.communicate(timeout=280)
    report: dict[str, Any] = json.loads(output or "{}")
    assert report.get("broken") == [], progress
    assert process.returncode == 0
    return report


def test_no_call_is_cut_in_silence_or_hangs_or_fails_untyped(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(markers("providers, matrix")), encoding="utf-8")
    matrix = report_of(tmp_path, "--only", "matrix", "--write-tables", str(page))["matrix"]
    counts = matrix["counts"]
    assert matrix["calls"] == sum(counts.values()) > 400
    assert counts["truncated"] == counts["hang"] == counts["untyped"] == counts["wrong"] == 0
    assert min(counts["good"], counts["error"], counts["stream_error"]) > 0
    assert matrix["rescued"] > 0.8 * matrix["with_fallback"]
    tables = page.read_text(encoding="utf-8")
    assert "| silent truncation (0 allowed) | 0 |" in tables
    assert "| `mid-stream-cut` | error | reply |" in tables
    assert left_in(tmp_path) == [str(page)]


def test_a_primary_that_goes_down_and_one_with_too_much_to_do(tmp_path: Path) -> None:
    report = report_of(tmp_path, "--only", "load")
    [down] = report["hard_down"]
    assert down["calls_after_open"] > 50
    assert down["errors_after_open"] == 0
    assert down["recovery_s"] is not None
    overload = report["overload"]
    assert overload["shed"] == overload["told_when"] > 0
    assert overload["otherwise"] == 0
    assert left_in(tmp_path) == []


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with run(tmp_path, "--only", "matrix") as process:
        assert process.stderr is not None
        assert "the matrix has" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    deadline = time.monotonic() + 30
    while left_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_in(tmp_path) == []


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        write_into(page, {"providers, matrix": "made"})
    assert page.read_text() == "nothing"
