"""Budgets at rest: one contract for the fake and for Postgres."""

from uuid import uuid4

from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.holders import Holders
from tenfold.ledger.budgets.types import BudgetState, Return

from .conftest import Book, budget

HERE, THERE = uuid4(), uuid4()


async def state_of(book: Book, tenant_id: TenantId) -> BudgetState:
    (state,) = await book.rows.states(tenant_id, limit=10)
    return state


async def sums(book: Book, tenant_id: TenantId) -> tuple[int, int, int, int]:
    """Reserved, settled, released, held; the first is the sum of the others, and held that of the leases."""
    state = await state_of(book, tenant_id)
    assert state.reserved_nano == state.settled_nano + state.released_nano + state.held_nano
    held = [lease for holder in (HERE, THERE) for lease in await book.rows.held_by(tenant_id, holder)]
    assert state.held_nano == sum(lease.granted_nano - lease.settled_nano for lease in held)
    return state.reserved_nano, state.settled_nano, state.released_nano, state.held_nano


async def test_budgets_come_back_as_they_were_until_they_end(book: Book, tenant_id: TenantId) -> None:
    rows = book.rows
    one = budget(tenant_id)
    two = budget(tenant_id, 7, per="feature", subject="search", period="total", hard=False, alerts=(), owner="operator")
    await rows.add(one)
    await rows.add(one)
    await rows.add(two)
    first, second = sorted([one, two], key=lambda b: b.id)
    assert await rows.active(tenant_id) == await rows.budgets(tenant_id, limit=10) == [first, second]
    assert await rows.budgets(tenant_id, after=first.id, limit=10) == [second]
    assert await rows.budgets(tenant_id, limit=1) == [first]
    changed = await rows.change(tenant_id, one.id, limit_nano=5, hard=False, alerts=(50,))
    assert changed == structs.replace(one, limit_nano=5, hard=False, alerts=(50,))
    ended = await rows.end(tenant_id, one.id)
    assert ended is not None
    assert ended.ended_at is not None
    assert await rows.active(tenant_id) == [two]
    assert await rows.budget(tenant_id, one.id) == ended
    assert await rows.end(tenant_id, one.id) is None
    assert await rows.change(tenant_id, one.id, limit_nano=5, hard=True, alerts=()) is None


async def test_a_foreign_tenant_sees_and_changes_nothing(book: Book, tenant_id: TenantId) -> None:
    rows, other = book.rows, await book.new_tenant()
    mine = budget(tenant_id)
    await rows.add(mine)
    grant = await rows.lease(tenant_id, HERE, mine.id, "", wanted=10, at_least=10)
    assert grant is not None
    assert await rows.active(other) == []
    assert await rows.states(other, limit=9) == []
    assert await rows.held_by(other, HERE) == []
    assert await rows.budget(other, mine.id) is None
    assert await rows.change(other, mine.id, limit_nano=0, hard=True, alerts=()) is None
    assert await rows.end(other, mine.id) is None
    assert await rows.lease(other, HERE, mine.id, "", wanted=1, at_least=1) is None
    assert await rows.give_back(other, [Return(lease_id=grant.lease.id, amount_nano=10)]) == []
    assert await rows.close(other, HERE) == await rows.charge(other, HERE) == 0
    await book.settle(other, ([grant.lease.id], 5))
    await book.adjust(other, [grant.lease.id], 5)
    assert await sums(book, tenant_id) == (10, 0, 0, 10)


async def test_a_lease_grows_until_the_limit(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id, 1_000)
    await rows.add(one)
    first = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=10)
    assert first is not None
    assert (first.amount_nano, first.lease.granted_nano, first.remaining_nano) == (100, 100, 900)
    assert first.period_end is not None
    assert first.ends_in_s is not None
    assert 0 < first.ends_in_s <= 86_400
    # A quarter of what is left, when more is wanted than needed.
    second = await rows.lease(tenant_id, THERE, one.id, "", wanted=900, at_least=1)
    assert second is not None
    assert (second.amount_nano, second.lease.granted_nano, second.remaining_nano) == (225, 225, 675)
    assert second.lease.id != first.lease.id
    third = await rows.lease(tenant_id, HERE, one.id, "", wanted=675, at_least=675)
    assert third is not None
    assert (third.lease.id, third.lease.granted_nano, third.remaining_nano) == (first.lease.id, 775, 0)
    refused = await rows.lease(tenant_id, HERE, one.id, "", wanted=1, at_least=1)
    assert refused is not None
    assert (refused.amount_nano, refused.lease) == (0, third.lease)
    assert await sums(book, tenant_id) == (1000, 0, 0, 1000)


async def test_a_soft_budget_always_grants(book: Book, tenant_id: TenantId) -> None:
    one = budget(tenant_id, 5, hard=False)
    await book.rows.add(one)
    grant = await book.rows.lease(tenant_id, HERE, one.id, "", wanted=50, at_least=1)
    assert grant is not None
    assert (grant.amount_nano, grant.remaining_nano) == (50, -45)


async def test_subjects_and_periods_are_apart(book: Book, tenant_id: TenantId) -> None:
    one = budget(tenant_id, 10, per="run", period="total")
    await book.rows.add(one)
    for subject in ("a", "b", "Ä"):
        grant = await book.rows.lease(tenant_id, HERE, one.id, subject, wanted=10, at_least=10)
        assert grant is not None
        assert (grant.amount_nano, grant.period_end, grant.ends_in_s) == (10, None, None)
    states = await book.rows.states(tenant_id, limit=10)
    assert [state.subject for state in states] == ["a", "b", "Ä"]
    assert await book.rows.states(tenant_id, after=(one.id, "a"), limit=1) == states[1:2]
    assert await book.rows.states(tenant_id, limit=10, budget_id=uuid7()) == []


async def test_receipts_settle_and_the_rest_goes_back(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    lease_id = grant.lease.id
    await book.settle(tenant_id, ([lease_id], 30), ([lease_id], 20), ([lease_id], None), ([], 7), ([uuid4()], 9))
    assert await sums(book, tenant_id) == (100, 50, 0, 50)
    (lease,) = await rows.give_back(tenant_id, [Return(lease_id=lease_id, amount_nano=40, done=True)])
    assert (lease.granted_nano, lease.settled_nano, lease.closed) == (60, 50, False)  # 10 are on their way
    assert await sums(book, tenant_id) == (100, 50, 40, 10)
    await book.settle(tenant_id, ([lease_id], 10))
    (lease,) = await rows.give_back(tenant_id, [Return(lease_id=lease_id, amount_nano=0, done=True)])
    assert lease.closed
    assert await sums(book, tenant_id) == (100, 60, 40, 0)
    assert await rows.give_back(tenant_id, [Return(lease_id=lease_id, amount_nano=9)]) == [lease]
    again = await rows.lease(tenant_id, HERE, one.id, "", wanted=5, at_least=5)
    assert again is not None
    assert (again.lease.id, again.lease.granted_nano, again.lease.closed) == (lease_id, 65, False)
    assert await sums(book, tenant_id) == (105, 60, 40, 5)


async def test_a_cost_beyond_the_bound_is_told_as_it_is(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id, 100)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=10, at_least=100)
    assert grant is not None
    await book.settle(tenant_id, ([grant.lease.id], 130))
    assert await sums(book, tenant_id) == (130, 130, 0, 0)
    assert await rows.close(tenant_id, HERE) == 1
    await book.settle(tenant_id, ([grant.lease.id], 5))  # after the lease has closed
    assert await sums(book, tenant_id) == (135, 135, 0, 0)
    assert (await state_of(book, tenant_id)).remaining_nano == 0


async def test_a_vanished_holder_is_charged_and_nothing_counts_twice(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    holders = Holders(rows)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    other = await rows.lease(tenant_id, THERE, one.id, "", wanted=50, at_least=50)
    assert grant is not None
    assert other is not None
    await book.settle(tenant_id, ([grant.lease.id], 30))
    assert await rows.tenants_of(HERE) == [tenant_id]
    assert await holders.charge_holder(HERE) == 1
    assert await holders.charge_holder(HERE) == 0
    assert await sums(book, tenant_id) == (150, 100, 0, 50)
    await book.settle(tenant_id, ([grant.lease.id], 20))  # late: it was counted already
    assert await sums(book, tenant_id) == (150, 100, 0, 50)
    assert await holders.close_holder(HERE) == 1
    assert await sums(book, tenant_id) == (150, 50, 50, 50)
    assert await rows.tenants_of(HERE) == []
    assert await holders.close_holder(HERE) == 0
    await book.settle(tenant_id, ([grant.lease.id], 5))
    assert await sums(book, tenant_id) == (155, 55, 50, 50)


async def test_receipts_beyond_what_was_charged_add_to_it(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    await rows.charge(tenant_id, HERE)
    await book.settle(tenant_id, ([grant.lease.id], 90), ([grant.lease.id], 30))
    assert await sums(book, tenant_id) == (120, 120, 0, 0)


async def test_a_holder_thought_dead_that_asks_has_its_own_again(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    await rows.charge(tenant_id, HERE)
    await book.settle(tenant_id, ([grant.lease.id], 10))
    again = await rows.lease(tenant_id, HERE, one.id, "", wanted=0, at_least=0)
    assert again is not None
    assert (again.lease.id, again.lease.granted_nano, again.lease.settled_nano) == (grant.lease.id, 100, 10)
    assert await sums(book, tenant_id) == (100, 10, 0, 90)


async def test_corrections_move_the_period_and_no_lease(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    await book.settle(tenant_id, ([grant.lease.id], 60))
    await book.adjust(tenant_id, [grant.lease.id, uuid4()], -25)
    assert await sums(book, tenant_id) == (100, 35, 25, 40)
    await book.adjust(tenant_id, [grant.lease.id], 5)
    assert await sums(book, tenant_id) == (105, 40, 25, 40)
    await rows.close(tenant_id, HERE)
    await book.adjust(tenant_id, [grant.lease.id], -40)
    assert await sums(book, tenant_id) == (105, 0, 105, 0)


async def test_an_ended_budget_grants_nothing_and_takes_back(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id)
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    await rows.end(tenant_id, one.id)
    assert await rows.lease(tenant_id, HERE, one.id, "", wanted=1, at_least=1) is None
    (lease,) = await rows.give_back(tenant_id, [Return(lease_id=grant.lease.id, amount_nano=100, done=True)])
    assert lease.closed
    assert await rows.held_by(tenant_id, HERE) == []


async def test_each_percentage_alerts_once_and_until_it_is_delivered(book: Book, tenant_id: TenantId) -> None:
    rows, one = book.rows, budget(tenant_id, 100, alerts=(50, 80, 100))
    await rows.add(one)
    grant = await rows.lease(tenant_id, HERE, one.id, "", wanted=100, at_least=100)
    assert grant is not None
    await book.settle(tenant_id, ([grant.lease.id], 49))
    assert await rows.claim(10, 60) == []
    await book.settle(tenant_id, ([grant.lease.id], 1))
    await book.settle(tenant_id, ([grant.lease.id], 31))
    assert await rows.claim(1, 60) != []
    assert await rows.claim(10, 0) != []
    listed = await rows.alerts(tenant_id, limit=10)
    assert sorted((a.percent, a.spent_nano, a.limit_nano, a.per, a.hard) for a in listed) == [
        (50, 50, 100, "tenant", True),
        (80, 81, 100, "tenant", True),
    ]
    assert await rows.alerts(tenant_id, before=listed[0].id, limit=1) == listed[1:]
    (due,) = await rows.claim(10, 60)
    assert (await rows.claim(10, 60)) == []  # somebody has them
    await rows.put_off(due, 0)
    (again,) = await rows.claim(10, 60)
    assert (again.id, again.tries) == (due.id, 1)
    for alert in listed:
        await rows.delivered(alert)
    assert all(alert.delivered for alert in await rows.alerts(tenant_id, limit=10))
    assert await rows.claim(10, 60) == []
    await book.adjust(tenant_id, [grant.lease.id], 30)
    (last,) = await rows.claim(10, 60)
    assert (last.percent, last.tries, last.delivered) == (100, 0, False)
