"""Budgets in one process, on rows in memory: what is held, what is asked of the database and how often."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import BudgetExceeded, StoreUnavailable
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.inference.ports import CallBudgets
from tenfold.ledger.budgets.engine import Budgets
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.slots import Hold
from tenfold.ledger.budgets.types import Budget, Spender
from tests.ledger.samples import receipt

from .conftest import budget

TENANT = TenantId(uuid7())
KEY = KeyId(uuid7())
IDLE = 3.1


class House:
    """One process on the fake rows; time is one clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.rows = FakeBudgetRows(clock)
        self.budgets = self.process()

    def process(self) -> Budgets:
        budgets = Budgets(self.rows, uuid4(), self.clock)
        self.rows.changed = budgets.forget
        return budgets

    async def add(self, limit: int, **facts: Any) -> Budget:
        added = budget(TENANT, limit, **facts)
        await self.rows.add(added)
        return added

    async def reserve(self, bound: int, budgets: Budgets | None = None, **facts: Any) -> Hold:
        return await (budgets or self.budgets).reserve(spender(**facts), bound)

    def end(self, hold: Hold, cost: int, budgets: Budgets | None = None) -> None:
        """The call has ended and its receipt is written."""
        (budgets or self.budgets).settle(hold, cost)
        self.rows.settle_receipts(TENANT, [receipt(TENANT, leases=hold.leases, total_nano=cost)])

    async def idle(self) -> None:
        """Long enough that nothing is kept without need: a window to see that nobody wants it, one to close."""
        for _ in range(3):
            self.clock.advance(2 * IDLE)
            await self.budgets.upkeep()

    @property
    def held(self) -> int:
        return sum(sums.held for sums in self.rows.periods(TENANT).values())

    @property
    def settled(self) -> int:
        return sum(sums.settled for sums in self.rows.periods(TENANT).values())


def spender(**facts: Any) -> Spender:
    return Spender(tenant_id=TENANT, **{"endpoint": "chat", "model": "small", "key_id": KEY, **facts})


@pytest.fixture
def house(clock: FakeClock) -> House:
    return House(clock)


async def test_it_is_what_the_path_asks_for(house: House) -> None:
    budgets: CallBudgets = house.budgets
    budgets.settle(await budgets.reserve(spender(), 5), 3)


async def test_without_a_budget_nothing_is_held_and_nothing_asked_twice(house: House) -> None:
    for _ in range(3):
        hold = await house.reserve(10**30)
        assert (hold.leases, hold.remaining_nano) == ((), None)
        house.budgets.settle(hold, 5)
    assert house.rows.queries == 1


async def test_a_call_holds_room_in_every_budget_it_counts_towards(house: House) -> None:
    await house.add(100)
    await house.add(50, per="key", subject=str(KEY))
    await house.add(50, per="key", subject=str(uuid7()))
    await house.add(80, per="feature")
    await house.add(70, per="model", subject="large")
    hold = await house.reserve(10, feature="search")
    assert len(hold.leases) == 3
    assert hold.remaining_nano == 40
    assert len((await house.reserve(10)).leases) == 2
    assert len((await house.reserve(10, model="large", key_id=None)).leases) == 2
    assert {key[1] for key in house.rows.periods(TENANT)} == {"", str(KEY), "search", "large"}


async def test_when_one_budget_has_no_room_none_is_held(house: House) -> None:
    await house.add(100)
    await house.add(5, per="feature")
    with pytest.raises(BudgetExceeded):
        await house.reserve(10, feature="search")
    for _ in range(10):  # all of the other one is free still
        await house.reserve(10)
    with pytest.raises(BudgetExceeded):
        await house.reserve(1)


async def test_a_warm_process_asks_nothing(house: House) -> None:
    await house.add(10**9)
    await house.add(10**9, per="model")
    for _ in range(40):
        house.end(await house.reserve(100), 10)
    asked = house.rows.queries
    for _ in range(10):
        coroutine = house.reserve(100)
        with pytest.raises(StopIteration) as stopped:  # it never waits
            coroutine.send(None)
        house.end(stopped.value.value, 1)
    assert house.rows.queries == asked


async def test_many_at_once_ask_once(house: House) -> None:
    await house.add(10**9)
    asked = house.rows.queries
    holds = await asyncio.gather(*(house.reserve(100) for _ in range(50)))
    assert house.rows.queries - asked == 2  # the budgets, and one lease
    assert sum(hold.bound for hold in holds) == 5_000 <= house.held


@pytest.mark.parametrize("limit", [0, 1, 99, 100, 1_000, 1_037])
async def test_the_last_nano_can_be_spent_and_never_more(house: House, limit: int) -> None:
    await house.add(limit)
    ends = await asyncio.gather(*(house.reserve(10) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(end, Hold) for end in ends) == limit // 10
    assert all(isinstance(end, (Hold, BudgetExceeded)) for end in ends)
    if limit % 10:
        await house.reserve(limit % 10)
    assert house.held == limit
    with pytest.raises(BudgetExceeded):
        await house.reserve(1)


async def test_a_call_that_can_cost_nothing_is_never_refused(house: House) -> None:
    await house.add(0)
    hold = await house.reserve(0)
    assert len(hold.leases) == 1
    house.end(hold, 7)  # the provider charged all the same: it is told as it is
    assert (house.settled, house.held) == (7, 0)
    assert house.budgets.bound_exceeded == 1


async def test_a_soft_budget_refuses_nobody(house: House) -> None:
    await house.add(10, hard=False)
    holds = [await house.reserve(100) for _ in range(5)]
    assert holds[-1].remaining_nano is not None
    assert holds[-1].remaining_nano < 0


async def test_the_rest_of_a_call_is_free_at_once(house: House) -> None:
    await house.add(100)
    for _ in range(30):
        house.end(await house.reserve(70), 1)
    with pytest.raises(BudgetExceeded):
        await house.reserve(71)


async def test_a_flood_of_refused_calls_asks_little_and_ends_when_there_is_room(house: House) -> None:
    await house.add(100)
    other = house.process()
    house.rows.changed = house.budgets.forget
    hold = await house.reserve(100, other)
    asked = house.rows.queries
    for _ in range(500):
        with pytest.raises(BudgetExceeded):
            await house.reserve(10)
    assert house.rows.queries - asked == 2  # the budgets, and one lease
    assert house.budgets.refusals == 500
    house.end(hold, 20, other)
    await other.aclose()
    house.clock.advance(0.51)
    await house.reserve(80)


async def test_the_refusal_says_what_helps(house: House) -> None:
    await house.add(2_000_000_000, per="run", subject="r-1")
    hold = await house.reserve(1_500_000_000, run="r-1")
    with pytest.raises(BudgetExceeded) as soon:
        await house.reserve(1_000_000_000, run="r-1")
    assert soon.value.message == (
        "The budget of the run 'r-1', 2 USD a day, has 0.5 USD left that is neither spent nor set aside for calls in "
        "flight; this call may cost up to 1 USD. It was not begun. The budget begins anew at 2026-08-16 00:00 UTC."
    )
    assert (soon.value.param, soon.value.retry_after_s) == ("Tenfold-Run", 1.0)
    house.end(hold, 1_500_000_000)
    house.clock.advance(1)
    with pytest.raises(BudgetExceeded) as tomorrow:
        await house.reserve(1_000_000_000, run="r-1")
    assert tomorrow.value.retry_after_s == pytest.approx(12 * 3600 - 1)
    with pytest.raises(BudgetExceeded, match="would not fit into the whole budget") as never:
        await house.reserve(3_000_000_000, run="r-1")
    assert never.value.retry_after_s is None


async def test_idle_money_goes_back_and_the_lease_closes(house: House) -> None:
    await house.add(10**6)
    for _ in range(20):
        house.end(await house.reserve(100), 40)
    assert house.held > 0
    await house.idle()
    assert (house.held, house.settled) == (0, 800)
    assert house.budgets.give_backs
    assert all(lease.closed for lease in house.rows.leases(TENANT))
    asked = house.rows.queries
    await house.idle()
    assert house.rows.queries == asked
    house.end(await house.reserve(100), 40)
    assert house.settled == 840


async def test_what_a_call_in_flight_holds_is_kept(house: House) -> None:
    await house.add(10**6)
    hold = await house.reserve(100)
    await house.idle()
    assert house.held == 100
    house.budgets.settle(hold, 60)
    await house.idle()
    assert house.held == 60  # its receipt is on its way
    house.rows.settle_receipts(TENANT, [receipt(TENANT, leases=hold.leases, total_nano=60)])
    house.clock.advance(200)
    await house.budgets.upkeep()
    assert (house.held, house.settled) == (0, 60)
    assert all(lease.closed for lease in house.rows.leases(TENANT))


async def test_a_new_day_has_its_own_lease(house: House) -> None:
    await house.add(100)
    late = await house.reserve(60)
    house.clock.advance(timedelta(hours=12, seconds=1).total_seconds())
    today = await house.reserve(100)
    assert today.leases != late.leases
    house.end(late, 50)
    house.end(today, 70)
    await house.idle()
    assert sorted(sums.settled for sums in house.rows.periods(TENANT).values()) == [50, 70]
    assert house.held == 0


async def test_a_limit_that_changes_holds_at_once(house: House) -> None:
    added = await house.add(1_000)
    for _ in range(8):
        house.end(await house.reserve(10), 5)
    assert house.held > 0
    await house.rows.change(TENANT, added.id, limit_nano=40, hard=True, alerts=())
    with pytest.raises(BudgetExceeded):
        await house.reserve(10)
    await house.budgets.upkeep()
    assert (house.held, house.settled) == (0, 40)
    await house.rows.change(TENANT, added.id, limit_nano=60, hard=True, alerts=())
    await house.reserve(20)


async def test_an_ended_budget_holds_nobody(house: House) -> None:
    added = await house.add(10)
    hold = await house.reserve(10)
    await house.rows.end(TENANT, added.id)
    assert (await house.reserve(1_000)).leases == ()
    house.end(hold, 4)
    await house.idle()
    assert (house.held, house.settled) == (0, 4)


async def test_an_end_nobody_was_told_of_is_found_when_more_is_asked_for(house: House) -> None:
    added = await house.add(10)
    await house.reserve(10)
    house.rows.changed = lambda _tenant: None
    await house.rows.end(TENANT, added.id)
    house.clock.advance(1)
    assert (await house.reserve(5)).leases == ()
    await house.rows.add(budget(TENANT, 7))
    assert (await house.reserve(500)).leases == ()  # not heard of yet
    house.budgets.forget(None)
    with pytest.raises(BudgetExceeded):
        await house.reserve(8)


async def test_without_the_database_only_what_is_leased_can_be_spent(house: House) -> None:
    await house.add(1_000)
    await house.reserve(100)
    house.rows.away = True
    asked = house.rows.queries
    ends = await asyncio.gather(*(house.reserve(500) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(end, StoreUnavailable) for end in ends)
    assert house.rows.queries - asked <= 2
    house.rows.away = False
    house.clock.advance(0.3)
    await house.reserve(500)


async def test_what_a_lost_answer_granted_is_found_again(house: House) -> None:
    await house.add(1_000)
    house.budgets.forget(TENANT)
    await house.budgets.reserve(spender(key_id=None), 0)
    house.rows.lose_answer = True
    with pytest.raises(StoreUnavailable):
        await house.reserve(400)
    house.rows.lose_answer = False
    assert house.held == 400
    house.clock.advance(1)
    await house.budgets.upkeep()
    await house.idle()
    assert house.held == 0


async def test_a_first_lease_whose_answer_was_lost_is_found_too(house: House) -> None:
    await house.add(1_000, per="run")
    await house.budgets.reserve(spender(), 0)  # the budgets are known
    house.rows.lose_answer = True
    with pytest.raises(StoreUnavailable):
        await house.reserve(400, run="lost")
    house.rows.lose_answer = False
    assert house.held == 400
    await house.idle()
    await house.idle()
    assert house.held == 0


async def test_a_lost_answer_to_a_return_takes_nothing_twice(house: House) -> None:
    await house.add(1_000)
    house.end(await house.reserve(100), 10)
    house.rows.lose_answer = True
    for _ in range(2):
        house.clock.advance(IDLE)
        await house.budgets.upkeep()
    house.rows.lose_answer = False
    assert house.held == 0
    await house.idle()
    holds = [await house.reserve(330) for _ in range(3)]
    with pytest.raises(BudgetExceeded):
        await house.reserve(1)
    for hold in holds:
        house.end(hold, 330)
    await house.idle()
    assert (house.settled, house.held) == (1_000, 0)


async def test_a_cancelled_wait_holds_nothing(house: House) -> None:
    await house.add(100)
    waiting = asyncio.create_task(house.reserve(100))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await house.reserve(100)


async def test_names_of_any_kind_are_subjects(house: House) -> None:
    await house.add(100, per="feature")
    for name in ("a\0b", "\ud800", "x" * 500, "Ä" * 201):
        first = await house.reserve(60, feature=name)
        with pytest.raises(BudgetExceeded):
            await house.reserve(60, feature=name)
        assert len(first.leases) == 1
    assert (await house.reserve(60, feature="")).leases == ()
    assert all(len(key[1]) <= 200 for key in house.rows.periods(TENANT))


async def test_a_bound_beyond_all_accounts_is_refused(house: House) -> None:
    await house.add(10, hard=False)
    with pytest.raises(BudgetExceeded, match="no budget can account for"):
        await house.reserve(2**61)


async def test_closing_gives_everything_back(house: House) -> None:
    await house.add(10**6)
    await house.add(10**6, per="model")
    hold = await house.reserve(100)
    house.end(hold, 30)
    await house.budgets.aclose()
    assert (house.held, house.settled) == (0, 60)


async def test_thousands_of_runs_leave_nothing_in_memory(house: House) -> None:
    await house.add(100, per="run", period="total")
    for number in range(1_200):
        house.end(await house.reserve(10, run=f"r{number}"), 5)
    await house.idle()
    await house.idle()
    assert house.held == 0
    assert house.budgets._slots(TENANT) == []


async def test_upkeep_runs_until_cancelled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.ledger.budgets.engine.TICK_S", 0.0)
    await house.add(1_000)
    house.end(await house.reserve(100), 10)
    running = asyncio.create_task(house.budgets.run())
    while house.held:
        house.clock.advance(1)
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_who_comes_while_an_answer_is_taken_in_asks_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the turn of the event loop in which the question ends, it is over: waiting for it would be no waiting at all,
    again and again, and nothing else would ever run."""
    await house.add(1000)
    asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()
    lease = house.rows.lease

    async def slow(*about: Any, **amounts: Any) -> Any:
        granted = await lease(*about, **amounts)
        asked.set()
        await answer
        return granted

    monkeypatch.setattr(house.rows, "lease", slow)
    first = asyncio.create_task(house.reserve(10))
    await asked.wait()
    answer.set_result(None)
    second = asyncio.create_task(house.reserve(500))  # its turn comes right behind the end of the question
    assert [hold.bound for hold in await asyncio.gather(first, second)] == [10, 500]


async def test_what_is_granted_of_a_budget_that_has_just_ended_goes_back(house: House) -> None:
    added = await house.add(100)
    await house.budgets.reserve(spender(), 0)
    house.rows.turns = lambda: 5
    house.clock.advance(1)
    waiting = asyncio.create_task(house.reserve(50))
    while not house.held:
        await asyncio.sleep(0)
    house.rows.turns = lambda: 0
    await house.rows.end(TENANT, added.id)
    assert (await house.reserve(1_000)).leases == ()
    assert (await waiting).leases == ()
    await house.idle()
    assert house.held == 0
