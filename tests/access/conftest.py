"""Every rule of access is tested on the fake and on a real Postgres."""

import pytest

from tenfold.access.fake import FakeAccessRows
from tenfold.access.ports import AccessRows
from tenfold.core.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rows() -> AccessRows:
    return FakeAccessRows()
