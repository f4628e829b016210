"""Where a process gets its units and seats from: the shared store, and while that is away its own share of each limit.

Calls wait here only when what the process holds is used up; blocks ahead of need, units that were not spent, and the
renewal of seats travel in the background. `run` keeps house; `aclose` gives everything back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.limits.buckets import Bucket, Seats
from tenfold.limits.gcra import SHARE
from tenfold.limits.local import LocalBlocks
from tenfold.limits.ports import BlockStore, Grant, Slots

_Answer = TypeVar("_Answer")

logger = logging.getLogger(__name__)

SLOT_TTL_S = 15.0  # seats of a process that died are free after this
AWAY_NS = 10**9  # a store that did not answer is left alone so long
SEAT_REFUSED_NS = 250_000_000  # that no seat is free is believed so long
LINGER_S = 0.05  # an unused seat others may need is kept so long: the next call may want it
_RENEW_S = SLOT_TTL_S / 3
_SWEEP_S = 600.0
_IDLE_NS = 60 * 10**9  # units nobody spent for so long, or for a window where that is shorter, go back


class Supply:
    """`trips` counts the questions to the shared store, `fallbacks` those its absence left to the local share."""

    def __init__(
        self,
        store: BlockStore,
        *,
        holder: UUID,
        alive: Callable[[], int] = lambda: 1,
        now_ns: Callable[[], int] = time.monotonic_ns,
        timeout_s: float = 0.5,
        linger_s: float = LINGER_S,
    ) -> None:
        self._store = store
        self._holder = holder
        self._alive = alive
        self.now_ns = now_ns
        self._timeout_s = timeout_s
        self._linger_s = linger_s
        self._local = LocalBlocks(now_ns)
        self._away_until = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stocked: dict[Bucket, None] = {}
        self._seated: dict[Seats, None] = {}
        self._asked: set[TenantId] = set()  # since the last sweep
        self.trips = 0
        self.fallbacks = 0

    @property
    def away(self) -> bool:
        return self.now_ns() < self._away_until

    def try_again(self) -> None:
        """Somebody knows that the store is back."""
        self._away_until = min(self._away_until, self.now_ns())

    # -- units -------------------------------------------------------------------------------

    async def draw(self, bucket: Bucket, units: int) -> bool:
        """Takes them off what the process holds, fetching what is missing. False: the limit has been reached."""
        if bucket.available < units:
            bucket.typical = units
            bucket.waiting += units
            try:
                if not await self._stock_up(bucket, units):
                    return False
            finally:
                bucket.waiting -= units
        bucket.available -= units
        if bucket.available <= bucket.low and bucket.taking is None:
            bucket.taking = self._spawn(self._fetch(bucket, min(bucket.typical, bucket.most)))
        return True

    async def _stock_up(self, bucket: Bucket, units: int) -> bool:
        while bucket.available < units:
            if bucket.taking is None:
                # A refusal by the local share says nothing about the shared store, once that is back.
                if bucket.still_refused(units, self.now_ns()) and (self.away or not bucket.local):
                    return False
                bucket.taking = self._spawn(self._fetch(bucket, units - bucket.available))
            await asyncio.shield(bucket.taking)  # others wait for it too, and what it brings is not lost
        return True

    def balance(self, bucket: Bucket) -> None:
        """Tell a debt; give back what is held beyond need."""
        units = bucket.available if bucket.available < 0 else bucket.available - bucket.most // 2
        bucket.had -= units
        self._return(bucket, units)

    async def _fetch(self, bucket: Bucket, at_least: int) -> None:
        try:
            alive = max(1, self._alive())
            wanted = max(at_least, bucket.wish(self.now_ns(), alive), bucket.waiting - bucket.available)
            grant = await self._ask(
                lambda: self._store.take(bucket.tenant_id, bucket.key, bucket.rate, wanted, at_least)
            )
            rate, local = bucket.rate, grant is None
            if grant is None:
                rate = rate.split(alive)
                grant = await self._local.take(bucket.tenant_id, bucket.key, rate, wanted, at_least)
            bucket.got(grant, rate, self.now_ns(), alive=alive, local=local)
            self._stocked[bucket] = None
            self._asked.add(bucket.tenant_id)
        finally:
            bucket.taking = None

    async def _give_back(self, bucket: Bucket, units: int) -> None:
        async def tell() -> Grant:
            await self._store.give_back(bucket.tenant_id, bucket.key, bucket.rate, units)
            return Grant(0, 0)

        if await self._ask(tell) is None:
            rate = bucket.rate.split(max(1, self._alive()))
            await self._local.give_back(bucket.tenant_id, bucket.key, rate, units)

    # -- seats -------------------------------------------------------------------------------

    async def sit(self, seats: Seats) -> bool:
        """One call more is running. False: the limit has been reached."""
        seats.waiting += 1
        try:
            while seats.in_use >= seats.held:
                if seats.taking is None:
                    if self.now_ns() < seats.refused_until:
                        return False
                    want = seats.in_use + max(seats.waiting, seats.in_use // SHARE)
                    seats.taking = self._spawn(self._tell_seats(seats, want))
                await asyncio.shield(seats.taking)
        finally:
            seats.waiting -= 1
        seats.in_use += 1
        seats.peak = max(seats.peak, seats.in_use)
        return True

    def more_seats(self, seats: Seats) -> None:
        """All are in use and the limit is far: fetch more in the background."""
        if seats.taking is None and seats.held < seats.limit.amount:
            want = seats.in_use + max(1, seats.in_use // SHARE)
            seats.taking = self._spawn(self._tell_seats(seats, want))

    def stood_up(self, seats: Seats) -> None:
        """A seat is free that others may need."""
        if not seats.shrinking:
            seats.shrinking = True
            self._spawn(self._shrink(seats))

    async def _shrink(self, seats: Seats) -> None:
        await asyncio.sleep(self._linger_s)
        seats.shrinking = False
        if seats.taking is None and seats.held > seats.in_use:
            seats.taking = self._spawn(self._tell_seats(seats, 0))

    async def _tell_seats(self, seats: Seats, want: int) -> None:
        """Renews what is in use, and asks for so many in all."""
        try:
            in_use = seats.in_use
            spare = max(0, want - in_use)
            seats.held = min(seats.held, in_use + spare)  # what is given up is not used meanwhile
            limit, alive = seats.limit.amount, max(1, self._alive())
            slots = await self._ask(
                lambda: self._store.slots(
                    seats.tenant_id,
                    seats.key,
                    self._holder,
                    limit=limit,
                    in_use=in_use,
                    spare=spare,
                    ttl_s=SLOT_TTL_S,
                )
            )
            if slots is None:
                share = max(1, limit // alive)
                seats.got(Slots(max(in_use, min(share, in_use + spare)), 0), tight=False)
            else:
                seats.got(slots, tight=slots.free < SHARE * alive and alive > 1)
            if seats.held <= in_use and spare:
                seats.refused_until = self.now_ns() + SEAT_REFUSED_NS
            self._asked.add(seats.tenant_id)
            if seats.held:
                self._seated[seats] = None
            else:
                self._seated.pop(seats, None)
        finally:
            seats.taking = None

    # -- house-keeping -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        swept_at = self.now_ns()
        while True:
            await asyncio.sleep(_RENEW_S)
            self.keep_house()
            if self.now_ns() - swept_at > _SWEEP_S * 10**9:
                swept_at = self.now_ns()
                await self._sweep()

    def keep_house(self) -> None:
        """Idle units go back, seats are renewed."""
        now = self.now_ns()
        for bucket in list(self._stocked):
            if bucket.available != bucket.mark:
                bucket.mark, bucket.marked_at = bucket.available, now
            elif now - bucket.marked_at >= min(bucket.rate.window_ns, _IDLE_NS):
                del self._stocked[bucket]
                self._return_all(bucket)
        for seats in list(self._seated):
            if seats.taking is None:
                want = min(seats.held, seats.peak)
                seats.peak = seats.in_use
                seats.taking = self._spawn(self._tell_seats(seats, want))

    async def settled(self) -> None:
        """What travels in the background has arrived."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """Gives back what is held, as far as the store can be reached. No call is admitted from here on."""
        await self.settled()
        for bucket in list(self._stocked):
            self._return_all(bucket)
        for seats in list(self._seated):
            seats.taking = self._spawn(self._tell_seats(seats, 0))
        await self.settled()

    def _return_all(self, bucket: Bucket) -> None:
        if bucket.available:
            self._return(bucket, bucket.available)
        bucket.had = bucket.took_at = 0

    def _return(self, bucket: Bucket, units: int) -> None:
        bucket.returned(units)
        self._spawn(self._give_back(bucket, units))

    async def _sweep(self) -> None:
        asked, self._asked = self._asked, set()
        for tenant_id in asked:
            try:
                await self._store.sweep(tenant_id)
            except StoreUnavailable:
                return

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer | None:
        """The shared store's answer; None while it is away."""
        if not self.away:
            self.trips += 1
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await question()
            except (StoreUnavailable, TimeoutError) as error:
                if not self._away_until:
                    logger.warning("limits fall back to this process's share: %s", str(error) or "no answer in time")
                self._away_until = self.now_ns() + AWAY_NS
            else:
                if self._away_until:
                    logger.warning("the shared store of the limits is back")
                    self._away_until = 0
                return answer
        self.fallbacks += 1
        return None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="limits.supply")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
