"""Whose turn it is when a process has all the calls in flight it may have: max-min fair by weight, nobody starves.

A seat that becomes free goes to the waiting tenant that has the fewest calls in flight for its weight. Of equals the
one that was served less goes first, by the start tags of start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996).

A seat that is taken stays taken until its call ends, so a short call of a modest tenant could wait longer than it runs.
Therefore the last tenth of the seats is not for tenants that have their share of all seats already, while others are
there too. A tenant alone has all of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId

_RETRY_S = 1.0
_KEPT = 10  # one seat in so many is kept from tenants that have their share
_UNIT = 1 << 20  # virtual time of one call of weight 1: start tags stay whole numbers


class _Queue:
    """The waiting calls of one tenant, the longest waiting first."""

    __slots__ = ("start", "waiting", "weight")

    def __init__(self, start: int, weight: int) -> None:
        self.start = start
        self.weight = weight
        self.waiting: deque[asyncio.Future[None]] = deque()


class FairShare:
    """`max_in_flight` calls at once; beyond it at most `max_waiting` wait, for `max_wait_s` at most (0: nobody waits).
    No tenant may have more of the waiting places than its weight's share of them while others wait too."""

    def __init__(
        self,
        max_in_flight: int,
        max_waiting: int,
        max_wait_s: float,
        weight_of: Callable[[TenantId], int] = lambda _tenant_id: 1,
    ) -> None:
        self._max_in_flight = max_in_flight
        self._open_to_all = max_in_flight - max_in_flight // _KEPT
        self._max_waiting = max_waiting if max_wait_s > 0 else 0
        self._max_wait_s = max_wait_s
        self._weight_of = weight_of
        self._in_flight: dict[TenantId, int] = {}
        self._queues: dict[TenantId, _Queue] = {}
        self._virtual = 0  # the start tag of the call that got a seat last
        self._tags: dict[TenantId, int] = {}  # start tags ahead of it, of tenants that wait no more
        self.in_flight = 0
        self.waiting = 0
        self.refused = 0

    async def enter(self, tenant_id: TenantId) -> None:
        """Returns at once while there is room; waits its turn when there is none. Raises Overloaded. Cancelled, it
        holds nothing and leaves no trace."""
        if self.in_flight >= self._open_to_all and not self._has_room(tenant_id):
            await self._wait(tenant_id)  # comes back with its seat taken
            return
        self.in_flight += 1
        self._in_flight[tenant_id] = self._in_flight.get(tenant_id, 0) + 1

    def leave(self, tenant_id: TenantId) -> None:
        left = self._in_flight[tenant_id] - 1
        if left:
            self._in_flight[tenant_id] = left
        else:
            del self._in_flight[tenant_id]
        self.in_flight -= 1
        if self._queues:
            self._seat_next()

    def _has_room(self, tenant_id: TenantId) -> bool:
        """Whether the next seat may be this tenant's, nobody else being considered."""
        if self.in_flight < self._open_to_all:
            return True
        if self.in_flight >= self._max_in_flight:
            return False
        here = self._in_flight.keys() | self._queues.keys() | {tenant_id}
        total = sum(self._weight(other) for other in here)
        return self._in_flight.get(tenant_id, 0) * total < self._max_in_flight * self._weight(tenant_id)

    def _weight(self, tenant_id: TenantId) -> int:
        return max(1, self._weight_of(tenant_id))

    # -- waiting -----------------------------------------------------------------------------

    async def _wait(self, tenant_id: TenantId) -> None:
        weight = self._weight(tenant_id)
        queue = self._place(tenant_id, weight)
        seat: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(seat)
        self.waiting += 1
        timer = asyncio.get_running_loop().call_later(self._max_wait_s, self._expire, seat)
        try:
            await seat
        except BaseException:
            if seat.done() and not seat.cancelled() and seat.exception() is None:
                self.leave(tenant_id)  # cancelled in the moment after it got its seat: the next one has it
            else:
                self._remove(tenant_id, seat)
            raise
        finally:
            timer.cancel()

    def _place(self, tenant_id: TenantId, weight: int) -> _Queue:
        """Where the tenant waits. Raises Overloaded when there is no room for it."""
        queue = self._queues.get(tenant_id)
        if self.waiting >= self._max_waiting and not self._make_room(tenant_id, weight):
            self.refused += 1
            raise Overloaded("This process has all the calls in flight it may have. Try again.", retry_after_s=_RETRY_S)
        if queue is None:
            start = max(self._virtual, self._tags.pop(tenant_id, 0))
            queue = self._queues[tenant_id] = _Queue(start, weight)
        queue.weight = weight
        return queue

    def _make_room(self, tenant_id: TenantId, weight: int) -> bool:
        """A full queue has room for a tenant that has less than its share of it: the youngest call of the tenant that
        has the most for its weight makes place."""
        if not self._max_waiting:
            return False
        worst_id, worst = max(self._queues.items(), key=lambda item: len(item[1].waiting) / item[1].weight)
        mine = self._queues.get(tenant_id)
        waiting = 0 if mine is None else len(mine.waiting)
        if worst_id == tenant_id or (waiting + 1) * worst.weight > (len(worst.waiting) - 1) * weight:
            return False
        youngest = worst.waiting[-1]
        self._remove(worst_id, youngest)
        self._refuse(youngest, "The tenant has more than its share of this full process. Try again.")
        return True

    def _expire(self, seat: asyncio.Future[None]) -> None:
        self._refuse(seat, "This process was full for too long. Try again.")

    def _refuse(self, seat: asyncio.Future[None], message: str) -> None:
        if not seat.done():
            self.refused += 1
            seat.set_exception(Overloaded(message, retry_after_s=_RETRY_S))

    def _remove(self, tenant_id: TenantId, seat: asyncio.Future[None]) -> None:
        queue = self._queues.get(tenant_id)
        if queue is None or seat not in queue.waiting:
            return
        queue.waiting.remove(seat)
        self.waiting -= 1
        if not queue.waiting:
            self._drop_queue(tenant_id)

    def _seat_next(self) -> None:
        """The free seats go to those whose turn it is. Who gave up waiting, and was not told to the queue yet, is
        passed over."""
        while self._queues and self.in_flight < self._max_in_flight:
            tenant_id, queue = min(
                self._queues.items(),
                key=lambda item: (self._in_flight.get(item[0], 0) / item[1].weight, item[1].start),
            )
            if not self._has_room(tenant_id):
                return  # the others have more for their weight, so they have their share as well
            seat = queue.waiting.popleft()
            self.waiting -= 1
            if not seat.done():
                self._virtual = queue.start
                queue.start += _UNIT // queue.weight
                self.in_flight += 1
                self._in_flight[tenant_id] = self._in_flight.get(tenant_id, 0) + 1
                seat.set_result(None)
            if not queue.waiting:
                self._drop_queue(tenant_id)

    def _drop_queue(self, tenant_id: TenantId) -> None:
        """Its start tag is kept while it is ahead, or a tenant that waits with one call at a time would be served as if
        it had not been served before."""
        queue = self._queues.pop(tenant_id)
        if not self._queues:
            self._tags.clear()  # nobody waits: all are equal again
        elif queue.start > self._virtual:
            self._tags[tenant_id] = queue.start
