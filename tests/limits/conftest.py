"""Stores of limits in all their forms: one contract suite runs on each."""

from collections.abc import AsyncIterator

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.limits.fake import FakeBlocks, FakeLimitRows
from tenfold.limits.local import LocalBlocks
from tenfold.limits.ports import BlockStore, LimitRows
from tenfold.limits.postgres import PostgresBlocks
from tenfold.limits.queries import PostgresLimitRows
from tenfold.limits.valkey import ValkeyBlocks
from tenfold.store import Store
from tests.support.valkey import ValkeyServer, valkey_server

__all__ = ["valkey_server"]


@pytest.fixture
async def valkey_blocks(valkey_server: ValkeyServer) -> AsyncIterator[ValkeyBlocks]:
    valkey = ValkeyBlocks.at(valkey_server.url, timeout_s=5)
    yield valkey
    await valkey.aclose()


@pytest.fixture(params=["local", "fake", "postgres", "valkey"])
def blocks(request: pytest.FixtureRequest) -> BlockStore:
    if request.param == "local":
        return LocalBlocks()
    if request.param == "fake":
        return FakeBlocks()
    if request.param == "postgres":
        return PostgresBlocks(request.getfixturevalue("store"))
    valkey: ValkeyBlocks = request.getfixturevalue("valkey_blocks")
    return valkey


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> LimitRows:
    if request.param == "fake":
        return FakeLimitRows()
    return PostgresLimitRows(request.getfixturevalue("store"))


@pytest.fixture
def known_to(request: pytest.FixtureRequest) -> Store | None:
    """The database of the test, where it has one."""
    form = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if "store" not in request.fixturenames and "postgres" not in form:
        return None
    store: Store = request.getfixturevalue("store")
    return store


@pytest.fixture
async def tenants(known_to: Store | None) -> tuple[TenantId, TenantId]:
    both = TenantId(uuid7()), TenantId(uuid7())
    if known_to is not None:
        for tenant_id in both:
            await add_tenant(known_to, tenant_id)
    return both


async def add_tenant(store: Store, tenant_id: TenantId) -> None:
    async with store.directory() as tx:
        await tx.execute(
            "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, 'Test', now())", tenant_id, tenant_id.hex
        )
