"""Budgets as pages and commands see them: with what is spent of each, a page at a time."""

import pytest

from tenfold.app.budgeting import STATES, Budgeting
from tenfold.core.clock import FakeClock
from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.handlers import BudgetAdmin
from tests.ledger.samples import receipt

TENANT = TenantId(uuid7())


@pytest.fixture
def rows() -> FakeBudgetRows:
    return FakeBudgetRows(FakeClock())


@pytest.fixture
def budgeting(rows: FakeBudgetRows) -> Budgeting:
    return Budgeting(rows, BudgetAdmin(rows, FakeClock()))


async def spend(rows: FakeBudgetRows, budget_id: object, subject: str, nano: int) -> None:
    (budget,) = [budget for budget in await rows.active(TENANT) if budget.id == budget_id]
    grant = await rows.lease(TENANT, uuid7(), budget.id, subject, wanted=nano, at_least=nano)
    assert grant is not None
    rows.settle_receipts(TENANT, [receipt(TENANT, total_nano=nano, leases=(grant.lease.id,))])


async def test_a_budget_nobody_has_spent_of_is_shown_whole(budgeting: Budgeting) -> None:
    created = await budgeting.create(TENANT, per="tenant", period="month", limit_nano=100)
    each = await budgeting.create(TENANT, per="run", period="total", limit_nano=7)
    lines = {line.budget.id: line for line in (await budgeting.lines(TENANT)).items}
    (state,) = lines[created.id].states
    assert (state.settled_nano, state.remaining_nano, state.subject) == (0, 100, "")
    assert lines[each.id].states == []
    assert await budgeting.line(TENANT, str(each.id)) == lines[each.id]


async def test_of_many_spenders_some_are_told(budgeting: Budgeting, rows: FakeBudgetRows) -> None:
    each = await budgeting.create(TENANT, per="run", period="total", limit_nano=10**9)
    for number in range(STATES + 1):
        line = await budgeting.line(TENANT, str(each.id))
        assert (len(line.states), line.more) == (number, False)
        await spend(rows, each.id, f"run-{number:02}", 5)
    line = await budgeting.line(TENANT, str(each.id))
    assert (len(line.states), line.more) == (STATES, True)
    assert [state.settled_nano for state in line.states] == [5] * STATES


async def test_pages(budgeting: Budgeting) -> None:
    made = {(await budgeting.create(TENANT, per="tenant", period="day", limit_nano=1)).id for _ in range(3)}
    first = await budgeting.lines(TENANT, limit=2)
    rest = await budgeting.lines(TENANT, cursor=first.cursor, limit=2)
    assert {line.budget.id for line in [*first.items, *rest.items]} == made
    assert rest.cursor is None
    with pytest.raises(InvalidRequest):
        await budgeting.lines(TENANT, cursor="nonsense")


async def test_pages_of_alerts(budgeting: Budgeting, rows: FakeBudgetRows) -> None:
    budget = await budgeting.create(TENANT, per="tenant", period="month", limit_nano=100, alerts=(10, 20, 30))
    await spend(rows, budget.id, "", 35)
    first = await budgeting.alerts(TENANT, limit=2)
    rest = await budgeting.alerts(TENANT, cursor=first.cursor, limit=2)
    assert sorted(alert.percent for alert in [*first.items, *rest.items]) == [10, 20, 30]
    assert rest.cursor is None
    with pytest.raises(InvalidRequest):
        await budgeting.alerts(TENANT, cursor="nonsense")


async def test_others_budgets_and_ended_ones_do_not_exist(budgeting: Budgeting) -> None:
    budget = await budgeting.create(TENANT, per="tenant", period="day", limit_nano=1)
    for tenant_id, budget_id in ((TenantId(uuid7()), str(budget.id)), (TENANT, str(uuid7())), (TENANT, "nonsense")):
        with pytest.raises(NotFound):
            await budgeting.line(tenant_id, budget_id)
        with pytest.raises(NotFound):
            await budgeting.end(tenant_id, budget_id)
        with pytest.raises(NotFound):
            await budgeting.change(tenant_id, budget_id, limit_nano=2)
    await budgeting.end(TENANT, str(budget.id))
    with pytest.raises(NotFound):
        await budgeting.line(TENANT, str(budget.id))
    assert (await budgeting.lines(TENANT)).items == []
