"""What the harness starts it can measure and end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.processes import BenchError, on_core, run, running, wait_for
from bench.procstat import cpu_seconds, parent, resident, resident_mb, tree

_PARENT_OF_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
_BUSY_CHILD = "import time\nwhile time.process_time() < 0.2: pass"


def test_a_tree_is_a_process_and_its_descendants_and_ends_as_one(tmp_path: Path) -> None:
    output = tmp_path / "log"
    with running([sys.executable, "-c", _PARENT_OF_A_CHILD], core=None, output=output) as process:
        assert wait_for(lambda: output.read_text().endswith("\n"), 30)
        child = int(output.read_text())
        assert sorted(tree([process.pid])) == sorted([process.pid, child])
        assert parent(child) == process.pid
        found = resident([process.pid, child])
        assert {one.pid for one in found} == {process.pid, child}
        assert resident_mb([process.pid, child]) == pytest.approx(sum(one.rss_mb for one in found), rel=0.1)
        assert all(one.rss_mb > 1 and sys.executable in one.command for one in found)
    assert wait_for(lambda: tree([process.pid, child]) == [], 30)


def test_processes_that_are_gone_cost_nothing_and_hold_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert tree([done.pid]) == []
    assert cpu_seconds(tree([done.pid])) == 0
    assert resident([done.pid]) == []
    assert parent(done.pid) is None


def test_cpu_of_children_that_have_ended_is_kept() -> None:
    before = cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", _BUSY_CHILD], check=True)
    assert cpu_seconds([os.getpid()]) - before >= 0.15


def test_gateways_never_see_our_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_SERVER_PORT", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    output = tmp_path / "log"
    program = "import os; print(sorted(n for n in os.environ if n.startswith(('TENFOLD', 'PYTHONDONT'))))"
    with running([sys.executable, "-c", program], core=None, output=output, environment={"TENFOLD_X": "1"}) as process:
        process.wait(30)
    assert output.read_text().strip() == "['TENFOLD_X']"


def test_pinning_lasts_for_the_block_and_bears_a_core_that_is_not_there() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        assert os.sched_getaffinity(0) == {core}
    with on_core(10_000):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(BenchError, match="no such luck"):
        run([sys.executable, "-c", "raise SystemExit('no such luck')"], timeout_s=30)
    with pytest.raises(BenchError, match="not-a-program"):
        run(["not-a-program"], timeout_s=30)
