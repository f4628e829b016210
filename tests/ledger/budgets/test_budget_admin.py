"""Who may set which budget, and what is refused with the way out."""

from typing import Any

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.handlers import MAX_ALERTS, MAX_BUDGETS, BudgetAdmin
from tenfold.ledger.budgets.types import MAX_LIMIT_NANO

ACME, OTHER = TenantId(uuid7()), TenantId(uuid7())


@pytest.fixture
def rows() -> FakeBudgetRows:
    return FakeBudgetRows(FakeClock())


@pytest.fixture
def admin(rows: FakeBudgetRows) -> BudgetAdmin:
    return BudgetAdmin(rows, FakeClock())


async def test_what_is_set_holds(admin: BudgetAdmin, rows: FakeBudgetRows) -> None:
    key = uuid7()
    made = [
        await admin.create(ACME, per="tenant", period="day", limit_nano=0),
        await admin.create(ACME, per="key", period="month", limit_nano=MAX_LIMIT_NANO, subject=str(key).upper()),
        await admin.create(ACME, per="run", period="total", limit_nano=1, hard=False, alerts=(100, 50, 100)),
        await admin.create(ACME, per="endpoint", period="day", limit_nano=1, subject="chat", by="operator"),
    ]
    assert {budget.id: budget for budget in await rows.active(ACME)} == {one.id: one for one in made}
    assert [one.subject for one in made] == [None, str(key), None, "chat"]
    assert made[2].alerts == (50, 100)
    assert await rows.active(OTHER) == []


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"per": "team"}, "per"),
        ({"period": "week"}, "period"),
        ({"limit_nano": -1}, "limit_usd"),
        ({"limit_nano": MAX_LIMIT_NANO + 1}, "limit_usd"),
        ({"limit_nano": True}, "limit_usd"),
        ({"limit_nano": 1.5}, "limit_usd"),
        ({"subject": "x"}, "subject"),
        ({"per": "key", "subject": "not an id"}, "subject"),
        ({"per": "endpoint", "subject": "images"}, "subject"),
        ({"per": "feature", "subject": ""}, "subject"),
        ({"per": "feature", "subject": "x" * 201}, "subject"),
        ({"per": "feature", "subject": "a\nb"}, "subject"),
        ({"per": "feature", "subject": "\ud800"}, "subject"),
        ({"alerts": (0,)}, "alerts"),
        ({"alerts": (1001,)}, "alerts"),
        ({"alerts": (True,)}, "alerts"),
        ({"alerts": tuple(range(1, MAX_ALERTS + 2))}, "alerts"),
    ],
)
async def test_what_cannot_be_meant_is_refused(admin: BudgetAdmin, wrong: dict[str, Any], param: str) -> None:
    asked: dict[str, Any] = {"per": "tenant", "period": "day", "limit_nano": 1}
    with pytest.raises(InvalidRequest) as refused:
        await admin.create(ACME, **(asked | wrong))
    assert refused.value.param == param


async def test_a_tenant_has_only_so_many(admin: BudgetAdmin) -> None:
    made = [await admin.create(ACME, per="tenant", period="day", limit_nano=1) for _ in range(MAX_BUDGETS)]
    with pytest.raises(Conflict):
        await admin.create(ACME, per="tenant", period="day", limit_nano=1)
    await admin.create(OTHER, per="tenant", period="day", limit_nano=1)
    await admin.end(ACME, made[0].id)
    await admin.create(ACME, per="tenant", period="day", limit_nano=1)


async def test_a_change_leaves_the_rest_as_it_is(admin: BudgetAdmin) -> None:
    made = await admin.create(ACME, per="tenant", period="day", limit_nano=5, alerts=(10,))
    changed = await admin.change(ACME, str(made.id), limit_nano=7)
    assert (changed.limit_nano, changed.hard, changed.alerts) == (7, True, (10,))
    changed = await admin.change(ACME, made.id, hard=False, alerts=())
    assert (changed.limit_nano, changed.hard, changed.alerts) == (7, False, ())
    with pytest.raises(InvalidRequest):
        await admin.change(ACME, made.id, limit_nano=-1)


async def test_an_ended_budget_is_not_there_any_more(admin: BudgetAdmin, rows: FakeBudgetRows) -> None:
    made = await admin.create(ACME, per="tenant", period="day", limit_nano=5)
    await admin.end(ACME, made.id)
    assert await rows.active(ACME) == []
    for again in (admin.end(ACME, made.id), admin.change(ACME, made.id, hard=False)):
        with pytest.raises(NotFound):
            await again


async def test_another_tenants_budget_does_not_exist(admin: BudgetAdmin, rows: FakeBudgetRows) -> None:
    made = await admin.create(ACME, per="tenant", period="day", limit_nano=5)
    for asked in (str(made.id), str(uuid7()), "no id"):
        with pytest.raises(NotFound):
            await admin.change(OTHER, asked, limit_nano=9, by="operator")
        with pytest.raises(NotFound):
            await admin.end(OTHER, asked)
    assert await rows.active(ACME) == [made]


async def test_only_the_operator_changes_the_operators(admin: BudgetAdmin) -> None:
    made = await admin.create(ACME, per="tenant", period="day", limit_nano=5, by="operator")
    with pytest.raises(PermissionDenied):
        await admin.change(ACME, made.id, limit_nano=9)
    with pytest.raises(PermissionDenied):
        await admin.end(ACME, made.id)
    assert (await admin.change(ACME, made.id, limit_nano=9, by="operator")).limit_nano == 9
    mine = await admin.create(ACME, per="tenant", period="day", limit_nano=5)
    await admin.end(ACME, mine.id, by="operator")
