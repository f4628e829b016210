"""What one process asks the database about its leases: more, less, and what there is. About one slot it asks one thing
at a time, so that of two answers it is always known which is the newer.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.ports import LeaseRows
from tenfold.ledger.budgets.slots import FOR_EVER, NEVER, Slice, Slot
from tenfold.ledger.budgets.types import Grant, Lease, Return

logger = logging.getLogger(__name__)

IDLE_S = 3.0  # what nobody touched for so long is given back
BELIEVE_S = 0.5  # how long the database's word on what is left stands
AWAY_S = 0.25  # how long nobody asks a database that is away
MARGIN_S = 0.25  # a period that ends sooner is asked for only so often
MAX_BOUND_NANO = 2**60
MAX_RETURNS = 500  # of one transaction


class Leases:
    """`slots_of`: the slots of a tenant that calls can reach; `ended`: a budget of this tenant is no more."""

    def __init__(
        self,
        rows: LeaseRows,
        holder: UUID,
        now: Callable[[], float],
        slots_of: Callable[[TenantId], list[Slot]],
        ended: Callable[[TenantId], None],
    ) -> None:
        self._rows = rows
        self._holder = holder
        self._now = now
        self._slots_of = slots_of
        self._ended = ended
        self._slices: dict[UUID, Slice] = {}  # all that have a lease
        self._retiring: dict[UUID, Slice] = {}  # those no slot spends from any more
        self._unsure: set[TenantId] = set()  # an answer was lost: what is leased there?
        self._away_until = NEVER + 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.top_ups = 0
        self.give_backs = 0

    # -- more --------------------------------------------------------------------------------

    async def more(self, slot: Slot) -> None:
        """Returns when the database has been asked for `slot.waiting`, or for something else about this slot. However
        many wait, it is asked once. Raises StoreUnavailable."""
        if slot.working is None:
            if self._now() < self._away_until:
                raise StoreUnavailable(
                    "The database is away; the call was not begun and cost nothing.", retry_after_s=1
                )
            self._start(self._top_up(slot), [slot])
        assert slot.working is not None
        try:
            await asyncio.shield(slot.working)
        except StoreUnavailable as error:  # one error cannot be raised in many tasks
            raise StoreUnavailable(error.message, retry_after_s=1) from None

    def prefetch(self, held: Slice) -> None:
        slot = held.slot
        if slot is not None and slot.slice is held and slot.working is None and self._now() >= self._away_until:
            self._start(self._top_up(slot), [slot])

    async def _top_up(self, slot: Slot) -> None:
        now = self._now()
        free = slot.slice.free if slot.slice.ends > now else 0
        at_least = max(0, min(slot.waiting, default=0) - free)
        wanted = max(at_least, min(max(sum(slot.waiting) - free, slot.size), MAX_BOUND_NANO))
        budget = slot.watch.budget
        self.top_ups += 1
        try:
            grant = await self._rows.lease(
                budget.tenant_id, self._holder, budget.id, slot.subject, wanted=wanted, at_least=at_least
            )
        except StoreUnavailable:
            self._lost(budget.tenant_id)
            raise
        if grant is None:
            slot.gone = True
            self._ended(budget.tenant_id)
        else:
            self._adopt(slot, grant, asked_at=now, wanted=wanted)

    def _adopt(self, slot: Slot, grant: Grant, *, asked_at: float, wanted: int) -> None:
        held = self._slice_of(grant.lease, slot)
        if held.returning:  # another question about it is open: which answer is the newer?
            self._unsure.add(held.tenant_id)
        else:
            held.told(grant.lease)
        held.slot = slot
        if slot.gone:
            self.retire(held)
            return
        if slot.slice is not held:
            self.retire(slot.slice)
            self._retiring.pop(grant.lease.id, None)
            slot.slice = held
        now = self._now()
        held.begin(
            ends=FOR_EVER if grant.ends_in_s is None else asked_at + max(MARGIN_S, grant.ends_in_s),
            look_at=now + IDLE_S,
        )
        slot.told(grant, until=now + BELIEVE_S)
        if grant.amount_nano:
            lasted_s, slot.asked_at = asked_at - slot.asked_at, asked_at
            slot.resize(grant.amount_nano, lasted_s=lasted_s, enough=grant.amount_nano >= wanted)

    def _slice_of(self, lease: Lease, slot: Slot | None) -> Slice:
        held = self._slices.get(lease.id)
        if held is None:
            # Closed before, or granted by an answer that was lost: none of its calls is unknown to the database.
            held = self._slices[lease.id] = Slice(lease.id, lease.tenant_id, slot, lease.settled_nano)
        return held

    # -- less --------------------------------------------------------------------------------

    def retire(self, held: Slice) -> None:
        """No call is to spend from it any more. It closes when the last one has ended and all receipts have come."""
        if held.id is not None:
            held.look_at, held.tries = NEVER + 0.0, 0
            self._retiring[held.id] = held

    def start_upkeep(self, slots: Iterable[Slot]) -> list[asyncio.Task[None]]:
        """Find what lost answers have granted, and give back what is idle in `slots` (all there are) or retired."""
        now = self._now()
        tasks, searched = [], set(self._unsure)
        for tenant_id in searched:
            asked = self._slots_of(tenant_id)
            if all(slot.working is None for slot in asked):
                tasks.append(self._start(self._find(tenant_id, asked), asked))
        due: dict[TenantId, list[Return]] = {}
        current = [slot.slice for slot in slots if slot.working is None]
        for held, retired in [(h, False) for h in current] + [(h, True) for h in self._retiring.values()]:
            if held.tenant_id not in searched:
                returned = held.due(now, IDLE_S, retired=retired)
                if returned is not None:
                    due.setdefault(held.tenant_id, []).append(returned)
        for tenant_id, returns in due.items():
            chunks = [returns[start : start + MAX_RETURNS] for start in range(0, len(returns), MAX_RETURNS)]
            tasks += [self._start_give_back(tenant_id, chunk) for chunk in chunks]
        return tasks

    def _start_give_back(self, tenant_id: TenantId, returns: list[Return]) -> asyncio.Task[None]:
        slices = [self._slices[returned.lease_id] for returned in returns]
        slots = []
        for held, returned in zip(slices, returns, strict=True):
            held.sent(returned)
            if held.slot is not None and held.slot.slice is held:
                held.slot.shrink(returned.amount_nano)
                slots.append(held.slot)
        return self._start(self._give_back(tenant_id, returns, slices), slots)

    async def _give_back(self, tenant_id: TenantId, returns: list[Return], slices: list[Slice]) -> None:
        self.give_backs += len(returns)
        try:
            leases = await self._rows.give_back(tenant_id, returns)
        except StoreUnavailable:
            self._lost(tenant_id)
            raise
        finally:
            for held in slices:
                held.returning = False
        done = {returned.lease_id for returned in returns if returned.done}
        for lease in leases:
            held = self._slices[lease.id]
            held.told(lease)
            held.floor = min(held.floor, held.free)
            over = lease.id in self._retiring or (lease.id in done and not lease.charged_nano)
            if lease.closed and held.calls == 0 and over:
                self._let_go(held)

    def _let_go(self, held: Slice) -> None:
        assert held.id is not None
        del self._slices[held.id]
        self._retiring.pop(held.id, None)
        if held.slot is not None and held.slot.slice is held:
            held.slot.slice = held.slot.unleased()

    # -- what there is -----------------------------------------------------------------------

    def _lost(self, tenant_id: TenantId) -> None:
        self._unsure.add(tenant_id)
        self._away_until = self._now() + AWAY_S

    async def _find(self, tenant_id: TenantId, slots: list[Slot]) -> None:
        """What the database has for this process. Nothing else is asked about `slots` meanwhile, nor given back."""
        self._unsure.discard(tenant_id)
        try:
            leases = await self._rows.held_by(tenant_id, self._holder)
        except StoreUnavailable:
            self._lost(tenant_id)
            raise
        searched = {(slot.watch.budget.id, slot.subject) for slot in slots}
        newer = {(slot.watch.budget.id, slot.subject) for slot in self._slots_of(tenant_id)} - searched
        for lease in leases:
            if (lease.budget_id, lease.subject) in newer:
                self._unsure.add(tenant_id)  # its own question is on its way: look again after it
                continue
            known = lease.id in self._slices
            held = self._slice_of(lease, None)
            held.told(lease)
            if not known:
                self.retire(held)

    # -- work --------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None], slots: Sequence[Slot]) -> asyncio.Task[None]:
        async def ask() -> None:
            try:
                await work
            finally:  # in the same step, not in a callback a turn later: to wait for what is over is not to wait at all
                for slot in slots:
                    slot.working = None

        task = asyncio.create_task(ask(), name="ledger.budgets")
        for slot in slots:
            slot.working = task
        self._tasks.add(task)

        def ended(_task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                if isinstance(error, StoreUnavailable):
                    logger.info("leases of budgets cannot change, the database is away: %s", error.message)
                else:
                    logger.error("leases of budgets could not be changed", exc_info=error)

        task.add_done_callback(ended)
        return task

    async def at_rest(self) -> None:
        """Returns when no question is open."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
