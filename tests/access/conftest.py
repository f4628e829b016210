"""Every rule of access is tested on the fake and on a real Postgres."""

import pytest

from tenfold.access.fake import FakeAccessRows
from tenfold.access.ports import AccessRows
from tenfold.access.queries import PostgresAccessRows
from tenfold.core.clock import FakeClock
from tenfold.store import Store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> AccessRows:
    if request.param == "fake":
        return FakeAccessRows()
    store: Store = request.getfixturevalue("store")
    return PostgresAccessRows(store)
