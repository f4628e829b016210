"""Two tenants on a real Postgres, and a library with a fake embedder."""

import asyncio
from collections.abc import Iterator

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.store import Store
from tests.support.postgres import PostgresServer

NEW_TENANT = "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, $2, now())"


async def new_tenant(store: Store, slug: str) -> TenantId:
    tenant_id = TenantId(uuid7())
    async with store.directory() as tx:
        await tx.execute(NEW_TENANT, tenant_id, slug)
    return tenant_id


@pytest.fixture
async def tenant(store: Store) -> TenantId:
    return await new_tenant(store, "one")


@pytest.fixture
async def other_tenant(store: Store) -> TenantId:
    return await new_tenant(store, "other")


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder(dimensions=64)


@pytest.fixture
def library(store: Store, embedder: FakeEmbedder) -> Library:
    return Library(store, embedder)


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[str]:
    """For tests that run many examples, each in tenants of its own."""
    dsn = asyncio.run(postgres_server.create())
    yield dsn
    asyncio.run(postgres_server.drop(dsn))
