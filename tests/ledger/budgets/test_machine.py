"""Budgets as a state machine: several processes on one database, and everything that can go wrong between them. What is
promised of the sums is checked after every step, and at the end nothing is held and settled is what the receipts say.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from itertools import cycle
from typing import Any, TypeVar
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Struct

from tenfold.core.clock import FakeClock
from tenfold.core.errors import BudgetExceeded, StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.engine import Budgets
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.holders import Holders
from tenfold.ledger.budgets.slots import Hold
from tenfold.ledger.budgets.types import Budget, Spender
from tenfold.ledger.types import Receipt
from tests.ledger.samples import receipt

from .conftest import NOON, budget

T = TypeVar("T")
PROCESSES = 2
TENANT = TenantId(uuid7())
picks = st.integers(0, 1_000)
FEATURES = st.sampled_from([None, "a"])
DICE = st.sampled_from([True, False, False, False])  # so that processes live long enough to have something to lose
TROUBLE = st.sampled_from(["none", "none", "none", "away", "lose_answer"])


class Running(Struct, kw_only=True):
    hold: Hold
    call_id: UUID


class Process:
    """An engine with its own clock, its calls in flight, and the final receipts that are in its journal only."""

    def __init__(self, rows: FakeBudgetRows, clock: FakeClock) -> None:
        self.id = uuid4()
        self.clock = clock
        self.budgets = Budgets(rows, self.id, clock)
        self.calls: list[Running] = []
        self.journal: list[Receipt] = []

    def drafts(self) -> list[Receipt]:
        """What its journal holds of calls that had not ended: charged at the bound."""
        return [
            receipt(TENANT, id=call.call_id, leases=call.hold.leases, total_nano=call.hold.bound, draft=True)
            for call in self.calls
        ]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.time = FakeClock(NOON)  # the database's
        self.rows = FakeBudgetRows(self.time)
        self.processes = [Process(self.rows, FakeClock(NOON)) for _ in range(PROCESSES)]
        self.lost: list[list[Receipt]] = []  # journals of machines that were lost, and may be found again
        self.rows.changed = self.tell_processes
        self.written: dict[UUID, Receipt] = {}
        self.spent: dict[tuple[UUID, str, Any], int] = {}  # as the provider bills it, by budget, subject and period
        self.highest: dict[UUID, int] = {}  # the highest limit a budget ever had
        self.gone: list[UUID] = []

    def teardown(self) -> None:
        try:
            self.settle_everything()
        finally:
            self.loop.close()

    def settle_everything(self) -> None:
        for process in self.processes:
            self.run(self.finish(process))
        for journal in self.lost:
            self.write(journal)
        for holder in self.gone:
            self.run(Holders(self.rows).close_holder(holder))
        self.sums_add_up()
        for key, sums in self.rows.periods(TENANT).items():
            assert sums.held == 0, key
            assert sums.settled == self.spent.get(key, 0), key

    async def finish(self, process: Process) -> None:
        for call in process.calls:
            process.budgets.settle(call.hold, 0)
            process.journal.append(receipt(TENANT, id=call.call_id, leases=call.hold.leases, total_nano=0))
        self.write(process.journal)
        await process.budgets.aclose()

    def tell_processes(self, tenant_id: TenantId) -> None:
        for process in self.processes:
            process.budgets.forget(tenant_id)

    # -- helpers -----------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T], trouble: str = "none") -> T:
        async def to_the_end() -> T:
            value = await work
            for process in self.processes:
                await process.budgets._leases.at_rest()
            return value

        self.rows.away, self.rows.lose_answer = trouble == "away", trouble == "lose_answer"
        try:
            return self.loop.run_until_complete(to_the_end())
        finally:
            self.rows.away = self.rows.lose_answer = False

    def write(self, receipts: list[Receipt]) -> None:
        """What the receipt writer does: those that are new are inserted and settled, in one transaction."""
        new = [one for one in receipts if one.id not in self.written]
        self.written |= {one.id: one for one in new}
        self.rows.settle_receipts(TENANT, new)

    def bill(self, hold: Hold, cost: int) -> None:
        leases = {lease.id: lease for lease in self.rows.leases(TENANT)}
        for lease_id in hold.leases:
            lease = leases[lease_id]
            key = lease.budget_id, lease.subject, lease.period_start
            self.spent[key] = self.spent.get(key, 0) + cost

    # -- budgets -----------------------------------------------------------------------------

    @initialize(limit=st.integers(0, 300))
    def first_budget(self, limit: int) -> None:
        self.add(budget(TENANT, limit))

    @precondition(lambda self: len(self.highest) < 3)
    @rule(
        limit=st.integers(0, 200),
        per=st.sampled_from(["tenant", "feature"]),
        period=st.sampled_from(["day", "total"]),
        hard=st.booleans(),
    )
    def add_budget(self, limit: int, per: Any, period: Any, hard: bool) -> None:
        self.add(budget(TENANT, limit, per=per, period=period, hard=hard))

    def add(self, new: Budget) -> None:
        self.run(self.rows.add(new))
        self.highest[new.id] = new.limit_nano if new.hard else 10**12

    @rule(pick=picks, limit=st.integers(0, 300), end=st.integers(0, 5))
    def change_budget(self, pick: int, limit: int, end: int) -> None:
        budget_id = list(self.highest)[pick % len(self.highest)]
        if end == 0:
            self.run(self.rows.end(TENANT, budget_id))
            return
        self.change_limit(budget_id, limit)

    def change_limit(self, budget_id: UUID, limit: int) -> None:
        known = self.rows.known(TENANT, budget_id)
        work = self.rows.change(TENANT, budget_id, limit_nano=limit, hard=known.hard, alerts=())
        with suppress(StopIteration):  # on rows in memory it never waits
            work.send(None)
        self.highest[budget_id] = max(self.highest[budget_id], limit)

    # -- calls -------------------------------------------------------------------------------

    @rule(
        pick=st.integers(0, PROCESSES - 1),
        bounds=st.lists(st.integers(0, 60), min_size=1, max_size=5),
        feature=FEATURES,
        trouble=TROUBLE,
    )
    def reserve(self, pick: int, bounds: list[int], feature: str | None, trouble: str) -> None:
        """Several at once."""
        process = self.processes[pick]
        spender = Spender(tenant_id=TENANT, endpoint="chat", model="m", feature=feature)

        async def all_of_them() -> list[Hold | BaseException]:
            return await asyncio.gather(
                *(process.budgets.reserve(spender, bound) for bound in bounds), return_exceptions=True
            )

        for end in self.run(all_of_them(), trouble):
            if isinstance(end, Hold):
                process.calls.append(Running(hold=end, call_id=uuid7()))
            else:
                assert isinstance(end, (BudgetExceeded, StoreUnavailable)), end

    @rule(pick=st.integers(0, PROCESSES - 1), bound=st.integers(1, 60), turns=st.integers(0, 4))
    def reserve_and_cancel(self, pick: int, bound: int, turns: int) -> None:
        process = self.processes[pick]

        async def cancelled() -> None:
            task = asyncio.ensure_future(
                process.budgets.reserve(Spender(tenant_id=TENANT, endpoint="chat", model="m"), bound)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done() and task.exception() is None:
                process.budgets.settle(task.result(), 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.run(cancelled())

    @rule(pick=picks, share=st.integers(0, 100))
    def end_call(self, pick: int, share: int) -> None:
        process = self.processes[pick % PROCESSES]
        if not process.calls:
            return
        call = process.calls.pop(pick % len(process.calls))
        cost = call.hold.bound * share // 100
        self.bill(call.hold, cost)
        process.budgets.settle(call.hold, cost)
        process.journal.append(receipt(TENANT, id=call.call_id, leases=call.hold.leases, total_nano=cost))

    @rule(pick=st.integers(0, PROCESSES - 1), twice=st.booleans(), part=st.integers(0, 3))
    def write_receipts(self, pick: int, twice: bool, part: int) -> None:
        process = self.processes[pick]
        batch = process.journal[part:]
        self.write(batch)
        if not twice:  # else the answer was lost: the same ones come again
            del process.journal[part:]

    @rule(
        pick=st.integers(0, PROCESSES - 1),
        bounds=st.lists(st.integers(0, 60), max_size=4),
        feature=FEATURES,
        pause=st.sampled_from([0.0, 0.6, 3.1]),
        turns=st.lists(st.integers(0, 4), min_size=1, max_size=5),
        limit=st.none() | st.integers(0, 300),
        trouble=TROUBLE,
    )
    def all_at_once(
        self,
        pick: int,
        bounds: list[int],
        feature: str | None,
        pause: float,
        turns: list[int],
        limit: int | None,
        trouble: str,
    ) -> None:
        """Calls begin and end, receipts are written, a limit changes and upkeep runs with questions on their way."""
        process = self.processes[pick]
        process.clock.advance(pause)
        spender = Spender(tenant_id=TENANT, endpoint="chat", model="m", feature=feature)
        self.rows.turns = partial(next, cycle(turns))

        async def one(number: int, bound: int) -> Hold:
            for _ in range(number):
                await asyncio.sleep(0)
            return await process.budgets.reserve(spender, bound)

        async def others() -> None:
            await asyncio.sleep(0)
            if limit is not None and trouble == "none":
                self.change_limit(next(iter(self.highest)), limit)
            self.end_call(pick, 30)
            await asyncio.sleep(0)
            self.write_receipts(pick, False, 0)

        async def together() -> list[Hold | BaseException | None]:
            calls = [one(number, bound) for number, bound in enumerate(bounds)]
            return await asyncio.gather(*calls, process.budgets.upkeep(), others(), return_exceptions=True)

        for end in self.run(together(), trouble):
            if isinstance(end, Hold):
                process.calls.append(Running(hold=end, call_id=uuid7()))
            else:
                assert end is None or isinstance(end, (BudgetExceeded, StoreUnavailable)), end
        self.rows.turns = lambda: 0

    # -- trouble -----------------------------------------------------------------------------

    @rule(pick=st.integers(0, PROCESSES - 1), dice=DICE)
    def kill(self, pick: int, dice: bool) -> None:
        """kill -9: its journal is read, its calls are charged at the bound, and what is left is released."""
        if not dice:
            return
        dead = self.processes[pick]
        for call in dead.calls:
            self.bill(call.hold, call.hold.bound)
        self.write(dead.journal + dead.drafts())
        self.run(Holders(self.rows).close_holder(dead.id))
        self.processes[pick] = Process(self.rows, FakeClock(NOON))

    @rule(pick=st.integers(0, PROCESSES - 1), dice=DICE)
    def lose_machine(self, pick: int, dice: bool) -> None:
        """It dies with its journal, which may be found later."""
        if not dice:
            return
        dead = self.processes[pick]
        for call in dead.calls:
            self.bill(call.hold, call.hold.bound)
        self.run(Holders(self.rows).charge_holder(dead.id))
        self.lost.append(dead.journal + dead.drafts())
        self.gone.append(dead.id)
        self.processes[pick] = Process(self.rows, FakeClock(NOON))

    @rule(pick=st.integers(0, PROCESSES - 1))
    def think_dead(self, pick: int) -> None:
        """A process that lives was not heard of for too long."""
        self.run(Holders(self.rows).charge_holder(self.processes[pick].id))

    @precondition(lambda self: self.lost)
    @rule()
    def find_journal(self) -> None:
        self.write(self.lost.pop())

    @rule(
        seconds=st.sampled_from([0.1, 1.0, 4.0, 43_200.0]),
        skew=st.lists(st.sampled_from([0.5, 1.0, 1.5]), min_size=PROCESSES, max_size=PROCESSES),
    )
    def time_passes(self, seconds: float, skew: list[float]) -> None:
        """The clocks of the processes run at their own speed."""
        self.time.advance(seconds)
        for process, speed in zip(self.processes, skew, strict=True):
            process.clock.advance(seconds * speed)

    @rule(
        pick=st.integers(0, PROCESSES - 1),
        pauses=st.lists(st.sampled_from([0.0, 0.6, 3.1, 10.0]), min_size=1, max_size=3),
        trouble=TROUBLE,
    )
    def upkeep(self, pick: int, pauses: list[float], trouble: str) -> None:
        """Several times, and with trouble the last time."""
        process = self.processes[pick]
        for pause in pauses[:-1]:
            process.clock.advance(pause)
            self.run(process.budgets.upkeep())
        process.clock.advance(pauses[-1])
        self.run(process.budgets.upkeep(), trouble)

    @rule(pick=st.integers(0, PROCESSES - 1))
    def quiet(self, pick: int) -> None:
        """Every call has ended and its receipt is written: nothing stays leased, whatever went wrong before."""
        process = self.processes[pick]
        while process.calls:
            self.end_call(pick, 50)
        self.write_receipts(pick, False, 0)
        for _ in range(4):
            process.clock.advance(300)
            self.run(process.budgets.upkeep())
        assert self.run(self.rows.held_by(TENANT, process.id)) == []

    # -- what always holds -------------------------------------------------------------------

    @invariant()
    def sums_add_up(self) -> None:
        held: dict[Any, int] = {}
        for lease in self.rows.leases(TENANT):
            key = lease.budget_id, lease.subject, lease.period_start
            free = lease.granted_nano - lease.settled_nano - lease.charged_nano
            assert free >= 0
            assert lease.charged_nano >= 0
            assert free == 0 if lease.closed else lease.charged_nano == 0
            held[key] = held.get(key, 0) + free
        for key, sums in self.rows.periods(TENANT).items():
            assert sums.reserved == sums.settled + sums.released + sums.held
            assert sums.held == held.get(key, 0)
            assert min(sums.settled, sums.released, sums.held) >= 0

    @invariant()
    def no_limit_is_passed(self) -> None:
        """Neither by what the provider bills, nor by what calls in flight may still cost."""
        leases = {lease.id: lease for lease in self.rows.leases(TENANT)}
        worst = dict(self.spent)
        for process in self.processes:
            for call in process.calls:
                for lease_id in call.hold.leases:
                    lease = leases[lease_id]
                    key = lease.budget_id, lease.subject, lease.period_start
                    worst[key] = worst.get(key, 0) + call.hold.bound
        for key, spent in worst.items():
            assert spent <= self.highest[key[0]], key

    @invariant()
    def leases_cover_what_may_be_charged_to_them(self) -> None:
        """Each lease has what its calls in flight may cost and its receipts on their way do; and the process that holds
        it knows that to the nano, and never thinks that it has more than the database says."""
        leases = {lease.id: lease for lease in self.rows.leases(TENANT)}
        due: dict[UUID, int] = {}
        for journal in [*self.lost, *(process.journal + process.drafts() for process in self.processes)]:
            for one in journal:
                if one.id not in self.written:
                    for lease_id in one.leases:
                        due[lease_id] = due.get(lease_id, 0) + (one.total_nano or 0)
        for lease_id, amount in due.items():
            assert leases[lease_id].granted_nano - leases[lease_id].settled_nano >= amount
        for process in self.processes:
            for lease_id, held in process.budgets._leases._slices.items():
                assert held.granted + held.owed <= leases[lease_id].granted_nano
                assert held.spoken == leases[lease_id].settled_nano + due.get(lease_id, 0)


TestBudgets = Machine.TestCase
TestBudgets.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
