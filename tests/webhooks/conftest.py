"""Endpoints and their log at rest in both forms: one contract suite runs on each."""

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store
from tenfold.webhooks.fake import FakeWebhookRows
from tenfold.webhooks.ports import WebhookRows
from tenfold.webhooks.queries import PostgresWebhookRows
from tests.ledger.samples import add_tenant


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> WebhookRows:
    if request.param == "fake":
        return FakeWebhookRows()
    return PostgresWebhookRows(request.getfixturevalue("store"))


@pytest.fixture
def tenant_ids() -> tuple[TenantId, TenantId]:
    return TenantId(uuid7()), TenantId(uuid7())


@pytest.fixture
async def tenants(
    request: pytest.FixtureRequest, rows: WebhookRows, tenant_ids: tuple[TenantId, TenantId]
) -> tuple[TenantId, TenantId]:
    if isinstance(rows, PostgresWebhookRows):
        store: Store = request.getfixturevalue("store")
        for tenant_id in tenant_ids:
            await add_tenant(store, tenant_id)
    return tenant_ids
