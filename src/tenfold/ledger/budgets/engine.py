"""Budgets in one process: calls spend from leases that were taken of the database before, so that no call waits for it
while they last, and no number of processes passes a limit.

What a process may still spend of a lease is what the database last said was granted, less what its calls have cost and
those in flight may. This process alone grows and shrinks its leases, so an answer that was lost leaves it with less
than it has, never with more.
"""

import asyncio
import logging
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.errors import BudgetExceeded, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.money import format_usd
from tenfold.core.tenant_book import TenantBook
from tenfold.ledger.budgets.holders import Holders
from tenfold.ledger.budgets.leases import MAX_BOUND_NANO, Leases
from tenfold.ledger.budgets.ports import BudgetRows
from tenfold.ledger.budgets.refusal import refusal
from tenfold.ledger.budgets.slots import NEVER, NOTHING_HELD, Hold, Reserved, Slice, Slot, Watch, slots_of
from tenfold.ledger.budgets.types import Spender

logger = logging.getLogger(__name__)

TICK_S = 0.5

Plan = tuple[Watch, ...]


class _EndedError(Exception):
    """The budget has ended since the plan was made."""


class Budgets:
    """inference.ports.CallBudgets. `holder`: this process. Give `forget` to those who hear of changes (topic
    ports.TOPIC), `run` until cancelled, and `aclose` once every receipt is in the database."""

    def __init__(self, rows: BudgetRows, holder: UUID, clock: Clock) -> None:
        self._rows = rows
        self._holder = holder
        self._now = clock.monotonic_s
        self._plans: TenantBook[Plan] = TenantBook(self._read_plan)
        self._watches: dict[TenantId, dict[UUID, Watch]] = {}
        self._stale: set[TenantId] = set()  # their plans are to be read again, also if no call comes
        self._reads = 0
        self._read_last: dict[TenantId, int] = {}
        self._leases = Leases(rows, holder, self._now, self._slots, self.forget)
        self.refusals = 0
        self.bound_exceeded = 0

    @property
    def top_ups(self) -> int:
        """Questions for more, each one transaction."""
        return self._leases.top_ups

    @property
    def give_backs(self) -> int:
        return self._leases.give_backs

    # -- calls -------------------------------------------------------------------------------

    async def reserve(self, spender: Spender, bound_nano: int) -> Hold:
        """Room for `bound_nano` in every budget that counts this call, or nothing. Raises BudgetExceeded,
        StoreUnavailable. Without suspension and without a query while the leases of this process suffice."""
        plan = self._plans.get(spender.tenant_id)
        if plan is None:
            plan = await self._plans.load(spender.tenant_id)
        if not plan:
            return NOTHING_HELD
        now = self._now()
        slices = []
        for watch in plan:
            value = watch.read(spender)
            slot = watch.slots.get(value)
            if slot is None:
                if not value or (watch.only is not None and value != watch.only):
                    continue
                return await self._reserve_waiting(spender, bound_nano)
            held = slot.slice
            if held.granted - held.spoken < bound_nano or held.ends <= now:
                return await self._reserve_waiting(spender, bound_nano)
            slices.append(held)
        for held in slices:
            held.spoken = spoken = held.spoken + bound_nano
            held.calls += 1
            free = held.granted - spoken
            if free < held.floor:
                held.floor = free
                if free < held.low:
                    self._leases.prefetch(held)
        return Hold(slices, bound_nano)

    def settle(self, reservation: Reserved, cost_nano: int) -> None:
        """Once for each reservation. The cost reaches the database with the receipt."""
        assert isinstance(reservation, Hold)
        rest = reservation.bound - cost_nano
        for held in reservation.slices:
            held.spoken -= rest
            held.calls -= 1
        if rest < 0 and reservation.slices:
            self.bound_exceeded += 1

    async def _reserve_waiting(self, spender: Spender, bound: int) -> Hold:
        if bound > MAX_BOUND_NANO:
            raise BudgetExceeded(
                f"This call may cost up to {format_usd(bound)} USD, which no budget can account for. Lower max_tokens.",
                param="max_tokens",
            )
        while True:
            plan = await self._plans.load(spender.tenant_id)
            taken: list[Slice] = []
            try:
                for slot in slots_of(plan, spender):
                    taken.append(await self._take(slot, bound))  # noqa: PERF401  (what was taken may have to be undone)
            except BaseException as error:
                for held in taken:
                    held.put_back(bound)
                if not isinstance(error, _EndedError):
                    raise
            else:
                return Hold(taken, bound)

    async def _take(self, slot: Slot, bound: int) -> Slice:
        while not slot.gone:
            held = slot.slice
            now = self._now()
            if held.ends > now:
                if held.free >= bound:
                    held.take(bound)
                    if held.free < held.low:
                        self._leases.prefetch(held)
                    return held
                self._refuse_when_known(slot, bound, now)
            slot.waiting.append(bound)
            try:
                await self._leases.more(slot)
            finally:
                slot.waiting.remove(bound)
        raise _EndedError

    def _refuse_when_known(self, slot: Slot, bound: int, now: float) -> None:
        """Raises BudgetExceeded when the database has said just now that so much is not left."""
        held = slot.slice
        if not slot.hard or now >= slot.told_until or bound - held.free <= slot.remaining:
            return
        self.refusals += 1
        slot.refused = True
        raise refusal(
            slot.watch.budget,
            slot.subject,
            bound_nano=bound,
            settled_nano=slot.settled,
            remaining_nano=slot.remaining + held.free,
            period_end=slot.period_end,
            ends_in_s=None if slot.period_end is None else held.ends - now,
        )

    # -- what budgets there are --------------------------------------------------------------

    def forget(self, tenant_id: TenantId | None) -> None:
        """Its budgets have changed; None: anybody's may have."""
        self._plans.forget(tenant_id)
        if tenant_id is None:
            self._stale.update(self._watches)
        elif tenant_id in self._watches:
            self._stale.add(tenant_id)

    async def _read_plan(self, tenant_id: TenantId) -> Plan:
        self._reads += 1
        number = self._reads
        budgets = await self._rows.active(tenant_id)
        if number < self._read_last.get(tenant_id, 0):  # overtaken by one that began later
            return tuple(self._watches.get(tenant_id, {}).values())
        known = self._watches.pop(tenant_id, {})
        if budgets or known:
            self._read_last[tenant_id] = number
        watches: dict[UUID, Watch] = {}
        for budget in budgets:
            watch = watches[budget.id] = known.pop(budget.id) if budget.id in known else Watch(budget)
            for slot in watch.take_gone():
                self._leases.retire(slot.slice)
            if watch.budget != budget:
                watch.changed(budget)
        for ended in known.values():
            for slot in ended.slots.values():
                slot.gone = True
                slot.slice.withhold()
                self._leases.retire(slot.slice)
                slot.slice = slot.unleased()
        if watches:
            self._watches[tenant_id] = watches
        self._stale.discard(tenant_id)
        return tuple(watches.values())

    def _slots(self, tenant_id: TenantId) -> list[Slot]:
        return [slot for watch in self._watches.get(tenant_id, {}).values() for slot in watch.slots.values()]

    # -- upkeep ------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.upkeep()

    async def upkeep(self) -> None:
        """Hear of changes, find what a lost answer has granted, give back what is idle. Never raises StoreUnavailable:
        what was not done is done the next time."""
        for tenant_id in list(self._stale):
            try:
                await self._plans.load(tenant_id)
            except StoreUnavailable as error:
                logger.info("budgets cannot be read, the database is away: %s", error.message)
                return
            self._stale.discard(tenant_id)
        now = self._now()
        slots: list[Slot] = []
        for watches in list(self._watches.values()):
            for watch in watches.values():
                watch.drop_quiet()
                slots += watch.slots.values()
        for slot in slots:
            if slot.working is None:
                self._look_at(slot, now)
        await asyncio.gather(*self._leases.start_upkeep(slots), return_exceptions=True)

    def _look_at(self, slot: Slot, now: float) -> None:
        if slot.refused:  # too little for one who asked: let it come together with what others give back
            slot.refused = False
            slot.slice.withhold()
            slot.told_until = NEVER + 0.0
        if slot.slice.id is not None and slot.slice.ends <= now:
            self._leases.retire(slot.slice)
            slot.slice = slot.unleased()

    async def aclose(self) -> None:
        """Everything that no receipt has spent goes back. Raises StoreUnavailable: then it is taken over later, like
        that of a process that died."""
        await self._leases.at_rest()
        await Holders(self._rows).close_holder(self._holder)
