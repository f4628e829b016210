"""The cast moves in: its tenants, keys and budgets are made as the product makes them."""

from collections.abc import Sequence

from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.access.types import CreatedKey
from tenfold.app.chaos.cast import PlannedBudget, PlannedTenant
from tenfold.app.chaos.load import Person
from tenfold.app.database import Database
from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.queries import PostgresBudgetRows
from tenfold.ledger.budgets.types import Budget
from tenfold.store import Store


async def settle_in(database: Database, cast: Sequence[PlannedTenant]) -> list[Person]:
    """Raises StoreUnavailable."""
    store = await database.open_store()
    try:
        return [await _one(store, planned) for planned in cast]
    finally:
        await store.aclose()


async def _one(store: Store, planned: PlannedTenant) -> Person:
    rows, clock = PostgresAccessRows(store), SystemClock()
    tenants = Tenants(rows, clock)
    tenant = await tenants.create_tenant(planned.slug, planned.slug)
    handlers = ApiKeys(rows, tenants, clock)
    keys = [await handlers.create_key(tenant.id, f"key {number}") for number in range(planned.keys)]
    budgets = PostgresBudgetRows(store)
    for budget in planned.budgets:
        await budgets.add(_budget(budget, tenant.id, keys))
    return Person(tenant=planned, keys=tuple(key.secret for key in keys))


def _budget(planned: PlannedBudget, tenant_id: TenantId, keys: Sequence[CreatedKey]) -> Budget:
    subject = planned.subject
    if planned.per == "key" and subject is not None:
        subject = str(keys[int(subject)].key.id)
    return Budget(
        id=uuid7(),
        tenant_id=tenant_id,
        per=planned.per,
        period=planned.period,
        limit_nano=planned.limit_nano,
        subject=subject,
        hard=planned.hard,
        created_at=SystemClock().now(),
    )
