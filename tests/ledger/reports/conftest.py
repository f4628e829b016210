"""Report rows in both forms."""

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.queries import PostgresReportRows
from tenfold.store import Store
from tests.ledger.reports.samples import Place
from tests.ledger.samples import add_tenant


@pytest.fixture(params=["fake", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "fake":
        return Place(FakeReportRows(), None)
    store: Store = request.getfixturevalue("store")
    return Place(PostgresReportRows(store), store)


@pytest.fixture
async def tenant(place: Place) -> TenantId:
    return await new_tenant(place)


@pytest.fixture
async def other(place: Place) -> TenantId:
    return await new_tenant(place)


async def new_tenant(place: Place) -> TenantId:
    tenant_id = TenantId(uuid7())
    if place.store is not None:
        await add_tenant(place.store, tenant_id)
    return tenant_id
