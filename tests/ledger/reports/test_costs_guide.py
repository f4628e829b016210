"""The worked example of the guide is run."""

import re
from pathlib import Path
from typing import Any, get_args

from tenfold.ledger.reports.exports import FOCUS_COLUMNS, FOCUS_VERSION
from tenfold.ledger.reports.types import Grouping

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "costs.md").read_text(encoding="utf-8")


def test_the_worked_example_holds() -> None:
    [example] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "costs.md", "exec"), names)
    assert names["parts"]


def test_every_column_of_focus_and_every_grouping_is_named() -> None:
    assert [
        name
        for name in (*FOCUS_COLUMNS, *get_args(Grouping))
        if f"`{name}`" not in GUIDE and name != "ChargeDescription"
    ] == []
    assert f"FOCUS {FOCUS_VERSION}" in GUIDE
