"""The command, as a user runs it: a short run over real processes and a real Postgres, with an audit at its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("e2e-chaos")

_COMMAND = (sys.executable, "-m", "tenfold", "chaos", "money")


def run(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """In `folder`, where it makes its scratch folder too."""
    return subprocess.Popen(
        [*_COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
    )


def left_in(folder: Path) -> list[str]:
    """Files, and processes that were started in it."""
    files = [str(path) for path in folder.iterdir()]
    own = f"{folder}/tenfold-chaos-".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if own in (entry / "cmdline").read_bytes() or own in (entry / "environ").read_bytes():
                    files.append((entry / "cmdline").read_text())
            except OSError:  # it has ended, or is another user's
                continue
    return files


@pytest.mark.parametrize(("seed", "more"), [(1, ()), (2, ("--postgres",))], ids=["workers", "postgres"])
def test_every_amount_is_right(seed: int, more: tuple[str, ...], tmp_path: Path) -> None:
    words = ("--seconds", "15", "--calls", "60", "--processes", "3", "--clients", "12", "--seed", str(seed), "--json")
    process = run(tmp_path, *words, *more)
    output, progress = process.communicate(timeout=400)
    assert process.returncode == 0, f"{output}\n{progress}"
    report: dict[str, Any] = json.loads(output)
    assert report["ok"]
    assert report["violations"] == []
    figures = report["figures"]
    assert figures["overshoot_nano"] == figures["unsettled"] == 0
    assert figures["provider_nano"] == figures["ledger_nano"] > 0
    # It was no idle run: every promise was put to the test.
    assert report["kills"] > 0
    assert report["postgres_kills"] == len(more)
    assert figures["receipts"] >= figures["provider_requests"] > 50
    assert figures["corrected"] > 0
    assert report["sent"]["refused_402"] > 0
    assert report["sent"]["lost"] > 0
    assert "waiting for" in progress or "calls" in progress
    assert left_in(tmp_path) == []


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    process = run(tmp_path, "--seconds", "60", "--processes", "2", "--clients", "4", "--seed", "1")
    assert process.stderr is not None
    said = ""
    while "serve on port" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    _, more = process.communicate(timeout=120)
    assert process.returncode == 130, said + more
    until = time.monotonic() + 30
    while left_in(tmp_path) and time.monotonic() < until:  # Postgres notices a moment later that nobody uses it
        time.sleep(0.1)
    assert left_in(tmp_path) == []
