"""The guide's example is run, and its tables name every fault and no other."""

import re
import subprocess
import sys
from pathlib import Path

from tenfold.app.faults.spec import ENDINGS, SHAPES, parse

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "fault-provider.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    [example] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_every_fault_is_in_the_tables() -> None:
    rows = [line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| `")]
    named = [word for row in rows for word in re.findall(r"`([a-z-]+)(?:=[^`]*)?`", row)]
    assert set(named) == {*SHAPES, *ENDINGS}


def test_what_the_guide_writes_is_understood() -> None:
    spans = set(re.findall(r"(?:--fault |`fault:|\")([a-z-]+=[a-z0-9.:@,=-]+)", GUIDE))
    assert len(spans) > 4
    for span in spans:
        parse(span)
