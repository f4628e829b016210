"""Several processes on one real Postgres at once: the last nano is spent and never more, locks do not meet crosswise,
and a warm process asks the database nothing."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tenfold.core.clock import SystemClock
from tenfold.core.errors import BudgetExceeded, StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.engine import Budgets
from tenfold.ledger.budgets.holders import Holders
from tenfold.ledger.budgets.ports import TOPIC
from tenfold.ledger.budgets.queries import PostgresBudgetRows, settle_receipts
from tenfold.ledger.budgets.slots import Hold
from tenfold.ledger.budgets.types import BudgetState, Spender
from tenfold.ledger.types import Receipt
from tenfold.store import Changes, Store
from tests.ledger.samples import add_tenant, receipt

from .conftest import budget


class Process:
    """An engine, and its receipts: kept in the order of their calls, written in batches."""

    def __init__(self, store: Store, tenant_id: TenantId) -> None:
        self.store = store
        self.tenant_id = tenant_id
        self.id = uuid4()
        self.budgets = Budgets(PostgresBudgetRows(store), self.id, SystemClock())
        self.receipts: list[Receipt] = []
        self.spent = 0

    async def call(self, bound: int, cost: int, **facts: Any) -> None:
        hold = await self.budgets.reserve(spender(self.tenant_id, **facts), bound)
        await asyncio.sleep(0)
        self.end(hold, cost)

    def end(self, hold: Hold, cost: int) -> None:
        self.budgets.settle(hold, cost)
        self.spent += cost
        self.receipts.append(receipt(self.tenant_id, leases=hold.leases, total_nano=cost))

    async def write(self) -> None:
        batch, self.receipts = self.receipts, []
        random.shuffle(batch)
        async with self.store.tenant(self.tenant_id) as tx:
            await settle_receipts(tx, self.tenant_id, batch)

    async def stop(self) -> None:
        await self.write()
        await self.budgets.aclose()


def spender(tenant_id: TenantId, **facts: Any) -> Spender:
    return Spender(tenant_id=tenant_id, **{"endpoint": "chat", "model": "m", **facts})


@pytest.fixture
async def tenant_id(store: Store) -> TenantId:
    tenant_id = TenantId(uuid7())
    await add_tenant(store, tenant_id)
    return tenant_id


async def the_state(store: Store, tenant_id: TenantId) -> BudgetState:
    (state,) = await PostgresBudgetRows(store).states(tenant_id, limit=10)
    return state


async def until_refused(process: Process, bound: int) -> None:
    """Calls that cost what they may at most, until none fits: what other processes give back is waited for."""
    refused = 0
    while refused < 3:
        try:
            await process.call(bound, bound)
            refused = 0
        except BudgetExceeded:
            refused += 1
            await process.budgets.upkeep()


@pytest.mark.parametrize("limit", [9, 100, 4_007])
async def test_many_processes_spend_what_fits_and_never_more(store: Store, tenant_id: TenantId, limit: int) -> None:
    await PostgresBudgetRows(store).add(budget(tenant_id, limit))
    processes = [Process(store, tenant_id) for _ in range(3)]
    await asyncio.gather(*(until_refused(process, 10) for process in processes for _ in range(8)))
    spent = sum(process.spent for process in processes)
    assert spent <= limit
    for process in processes:
        await process.stop()
    last = Process(store, tenant_id)
    await until_refused(last, 10)
    await until_refused(last, 1)  # what was too little for the others
    await last.stop()
    assert spent + last.spent == limit
    state = await the_state(store, tenant_id)
    assert (state.settled_nano, state.held_nano) == (limit, 0)


async def test_one_process_with_many_callers_spends_exactly_what_fits(store: Store, tenant_id: TenantId) -> None:
    await PostgresBudgetRows(store).add(budget(tenant_id, 1_234))
    process = Process(store, tenant_id)
    ends = await asyncio.gather(*(process.call(10, 10) for _ in range(300)), return_exceptions=True)
    assert sum(end is None for end in ends) == 123
    assert {type(end) for end in ends} == {type(None), BudgetExceeded}
    await process.stop()
    assert (await the_state(store, tenant_id)).settled_nano == process.spent == 1_230


async def test_a_warm_process_asks_the_database_nothing(store: Store, tenant_id: TenantId) -> None:
    rows = PostgresBudgetRows(store)
    for per in ("tenant", "model", "endpoint"):
        await rows.add(budget(tenant_id, 10**12, per=per))
    process = Process(store, tenant_id)
    calls = 0
    while calls < 20 or min(slot.slice.free - slot.slice.low for slot in process.budgets._slots(tenant_id)) < 2_000:
        await process.call(1_000, 10)
        await process.budgets._leases.at_rest()
        calls += 1
    assert calls < 200  # slices grow with what is spent of them
    asked = store.queries_run
    for _ in range(10):
        await process.call(1_000, 10)
    assert store.queries_run == asked
    await process.stop()


async def test_batches_of_many_processes_do_not_wait_for_each_other_crosswise(
    store: Store, tenant_id: TenantId
) -> None:
    """Each batch touches the periods of many subjects; top-ups, returns and settlement run side by side."""
    rows = PostgresBudgetRows(store)
    await rows.add(budget(tenant_id, 10**9))
    await rows.add(budget(tenant_id, 10**9, per="feature", period="total", alerts=(1, 2, 3)))
    await rows.add(budget(tenant_id, 10**9, per="model", period="month"))
    processes = [Process(store, tenant_id) for _ in range(4)]

    async def work(process: Process, seed: int) -> None:
        order = random.Random(seed)
        for _ in range(6):
            for _ in range(20):
                bound = order.randint(1, 10**6)
                names = {"feature": order.choice("abcde"), "model": order.choice("xyz")}
                await process.call(bound, order.randint(0, bound), **names)
            await process.write()
            await process.budgets.upkeep()

    await asyncio.gather(*(work(process, seed) for seed, process in enumerate(processes)))
    for process in processes:
        await process.stop()
    spent = sum(process.spent for process in processes)
    settled: dict[str, int] = {}
    for state in await rows.states(tenant_id, limit=100):
        assert state.held_nano == 0
        settled[state.budget.per] = settled.get(state.budget.per, 0) + state.settled_nano
    assert settled == {"tenant": spent, "feature": spent, "model": spent}


async def test_a_process_that_died_is_taken_over(store: Store, tenant_id: TenantId) -> None:
    rows = PostgresBudgetRows(store)
    await rows.add(budget(tenant_id, 1_000))
    dead, alive = Process(store, tenant_id), Process(store, tenant_id)
    await dead.call(100, 30)
    hold = await dead.budgets.reserve(spender(tenant_id), 900)
    with pytest.raises(BudgetExceeded):
        await alive.call(500, 500)
    dead.receipts.append(receipt(tenant_id, leases=hold.leases, total_nano=400, draft=True))
    await dead.write()  # from its journal
    holders = Holders(rows)
    assert await holders.close_holder(dead.id) == 1
    assert await holders.close_holder(dead.id) == 0
    await alive.budgets.upkeep()  # a refusal stands for half a second, or until something moves
    await alive.call(500, 500)
    await alive.stop()
    state = await the_state(store, tenant_id)
    assert (state.settled_nano, state.held_nano) == (930, 0)


async def test_processes_hear_of_changed_budgets(store: Store, tenant_id: TenantId) -> None:
    rows = PostgresBudgetRows(store)
    process = Process(store, tenant_id)
    changes = Changes(store)
    changes.follow(TOPIC, process.budgets.forget)
    await changes.start()
    await process.call(100, 100)  # no budget holds
    one = budget(tenant_id, 50)
    await rows.add(one)
    await changes.poll()
    with pytest.raises(BudgetExceeded):
        await process.call(100, 100)
    await rows.change(tenant_id, one.id, limit_nano=100, hard=True, alerts=())
    await changes.poll()
    await process.call(100, 100)
    await rows.end(tenant_id, one.id)
    await changes.poll()
    await process.call(100, 100)
    await process.stop()


async def test_yesterdays_lease_is_left_alone(store: Store, database: str, tenant_id: TenantId) -> None:
    """The day goes by the database's clock; here its rows are moved to yesterday instead."""
    rows = PostgresBudgetRows(store)
    one = budget(tenant_id, 100)
    await rows.add(one)
    holder = uuid4()
    first = await rows.lease(tenant_id, holder, one.id, "", wanted=100, at_least=100)
    assert first is not None
    owner = await asyncpg.connect(database)
    try:
        await owner.execute("SET search_path = tenfold")
        await owner.execute(
            "INSERT INTO budget_periods SELECT tenant_id, budget_id, subject, period_start - interval '1 day',"
            " reserved_nano, settled_nano, released_nano FROM budget_periods"
        )
        await owner.execute("UPDATE budget_leases SET period_start = period_start - interval '1 day'")
        await owner.execute("UPDATE budget_periods SET reserved_nano = 0 WHERE period_start > now() - interval '1 day'")
    finally:
        await owner.close()
    second = await rows.lease(tenant_id, holder, one.id, "", wanted=100, at_least=100)
    assert second is not None
    assert (second.amount_nano, second.lease.id == first.lease.id) == (100, False)
    async with store.tenant(tenant_id) as tx:
        late = receipt(tenant_id, leases=(first.lease.id,), total_nano=30)
        await settle_receipts(tx, tenant_id, [late])
    assert await rows.close(tenant_id, holder) == 2
    assert (await the_state(store, tenant_id)).settled_nano == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM budget_periods",
        "DELETE FROM budget_leases",
        "UPDATE budget_periods SET period_start = now()",
        "UPDATE budget_periods SET settled_nano = -1",
        "UPDATE budget_periods SET reserved_nano = settled_nano + released_nano - 1",
        "UPDATE budget_leases SET granted_nano = settled_nano - 1",
        "UPDATE budget_leases SET closed_at = now()",  # with money on it
        "UPDATE budget_leases SET holder = gen_random_uuid()",
        "UPDATE budgets SET owner = 'tenant'",
        "UPDATE budgets SET limit_nano = -1",
    ],
)
async def test_the_database_refuses_what_would_break_the_sums(
    store: Store, tenant_id: TenantId, statement: str
) -> None:
    rows = PostgresBudgetRows(store)
    one = budget(tenant_id, 100)
    await rows.add(one)
    await rows.lease(tenant_id, uuid4(), one.id, "", wanted=10, at_least=10)
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.InsufficientPrivilegeError)):
        async with store.tenant(tenant_id) as tx:
            await tx.execute(statement)


async def test_a_receipt_without_leases_costs_no_statement(store: Store, tenant_id: TenantId) -> None:
    async with store.tenant(tenant_id) as tx:
        asked = store.queries_run
        await settle_receipts(tx, tenant_id, [receipt(tenant_id), receipt(tenant_id, total_nano=None)])
        assert store.queries_run == asked


async def test_a_batch_costs_as_many_statements_as_one_receipt(store: Store, tenant_id: TenantId) -> None:
    rows = PostgresBudgetRows(store)
    leases: list[UUID] = []
    for _ in range(3):
        one = budget(tenant_id, 10**9)
        await rows.add(one)
        grant = await rows.lease(tenant_id, uuid4(), one.id, "", wanted=10**6, at_least=10**6)
        assert grant is not None
        leases.append(grant.lease.id)
    async with store.tenant(tenant_id) as tx:
        asked = store.queries_run
        await settle_receipts(
            tx, tenant_id, [receipt(tenant_id, leases=tuple(leases), total_nano=9) for _ in range(200)]
        )
        assert store.queries_run - asked == 3


async def test_a_database_that_goes_away_is_told(store: Store, tenant_id: TenantId) -> None:
    process = Process(store, tenant_id)
    await PostgresBudgetRows(store).add(budget(tenant_id, 100))
    await process.call(10, 1)
    await process.write()
    await store.move_to("postgresql://nobody:nothing@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        await process.call(90, 1)
    await process.budgets.upkeep()
