"""Finds the evaluation data kept beside the checkout. It is read in place, never copied into the project."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared_data(name: str) -> Path:
    """The path of one data set; skips the test where the data is absent, fails it where CI=true."""
    path = _ROOT / name
    if not path.exists():
        reason = f"{path} is not here: this test reads evaluation data kept outside the project"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def json_lines(path: Path) -> Iterator[Any]:
    """The values of a .jsonl or .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
