"""The cast moves in as the product would have it: with keys that are known and budgets that hold."""

from tenfold.app.chaos.cast import tenants
from tenfold.app.chaos.people import settle_in
from tenfold.app.database import Database
from tenfold.app.settings import Settings
from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.queries import PostgresBudgetRows
from tenfold.store import Store
from tenfold.store.connect import connect


async def test_tenants_have_their_keys_and_budgets(database: str, store: Store) -> None:
    cast = tenants(20)
    people = await settle_in(Database(Settings.model_validate({"database": {"url": database}})), cast)
    assert [len(person.keys) for person in people] == [tenant.keys for tenant in cast]
    connection = await connect(database, role=None, connect_timeout_s=5, statement_timeout_s=5)
    try:
        known = {row["slug"]: TenantId(row["id"]) for row in await connection.fetch("SELECT id, slug FROM tenants")}
        keys = {str(row["id"]) for row in await connection.fetch("SELECT id FROM api_keys")}
    finally:
        await connection.close()
    for tenant in cast:
        budgets = await PostgresBudgetRows(store).active(known[tenant.slug])
        assert {(b.per, b.period, b.limit_nano, b.hard) for b in budgets} == {
            (b.per, b.period, b.limit_nano, b.hard) for b in tenant.budgets
        }
        assert all(budget.subject in keys for budget in budgets if budget.per == "key")
