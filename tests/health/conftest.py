"""Stores of shared breakers in both forms: one contract suite runs on each."""

import pytest

from tenfold.health.fake import FakeBreakerRows
from tenfold.health.ports import BreakerRows
from tenfold.health.queries import PostgresBreakerRows


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> BreakerRows:
    if request.param == "fake":
        return FakeBreakerRows()
    return PostgresBreakerRows(request.getfixturevalue("store"))
