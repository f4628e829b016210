"""Flags and switches at rest in both forms: one contract suite runs on each."""

import itertools
from uuid import UUID

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.rollout.fake import FakeRolloutRows
from tenfold.rollout.handlers import FlagAdmin
from tenfold.rollout.ports import RolloutRows
from tenfold.rollout.queries import PostgresRolloutRows
from tenfold.store import Store


@pytest.fixture(autouse=True)
def ids_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a millisecond they are not, and tests are fast."""
    base, count = uuid7().int, itertools.count(1)
    monkeypatch.setattr("tenfold.rollout.handlers.uuid7", lambda: UUID(int=base + next(count)))


@pytest.fixture(params=["fake", "postgres"])
def rows(request: pytest.FixtureRequest) -> RolloutRows:
    if request.param == "fake":
        return FakeRolloutRows()
    return PostgresRolloutRows(request.getfixturevalue("store"))


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


@pytest.fixture
def admin(rows: RolloutRows) -> FlagAdmin:
    return FlagAdmin(rows, FakeClock())


async def add_tenant(store: Store, tenant_id: TenantId) -> None:
    async with store.directory() as tx:
        await tx.execute(
            "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, 'Test', now())", tenant_id, tenant_id.hex
        )
