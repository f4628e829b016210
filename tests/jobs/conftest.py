"""Jobs at rest in both forms: one contract suite runs on each."""

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.queries import PostgresJobRows
from tenfold.store import Store
from tests.jobs.rows import Rows, fake_rows, postgres_rows
from tests.ledger.samples import add_tenant


@pytest.fixture(params=["fake", "postgres"])
def made_rows(request: pytest.FixtureRequest) -> Rows:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    if request.param == "fake":
        return fake_rows(tenants)
    return postgres_rows(tenants, request.getfixturevalue("store"), request.getfixturevalue("database"))


@pytest.fixture
async def rows(request: pytest.FixtureRequest, made_rows: Rows) -> Rows:
    if isinstance(made_rows.rows, PostgresJobRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in made_rows.tenants:
            await add_tenant(store, tenant_id)
    return made_rows
