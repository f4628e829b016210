"""How full the queues are, as this process last heard, and when those who were sent away may come again."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable

from tenfold.core.clock import Clock
from tenfold.core.ids import TenantId
from tenfold.jobs.ports import JobRows
from tenfold.jobs.types import QueueState

FRESH_S = 1.0
ROOM = 0.1  # whoever was sent away is told to come again when a tenth of what may wait is gone
LEAST_RETRY_S, MOST_RETRY_S = 1.0, 600.0
RETRY_UNKNOWN_S = 30.0  # nothing is being done
_MOST_TENANTS = 1000


class Backlog:
    """All queues together may hold `most` jobs that wait. The bound is as sharp as what is known: a second old, and
    what the other processes added in it is not counted."""

    def __init__(self, rows: JobRows, *, most: int, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._rows = rows
        self._most = most
        self._clock = clock
        self._chance = chance
        self._all: QueueState | None = None
        self._all_at_s = 0.0
        self._added = 0  # by this process, since then
        self._refresh: asyncio.Task[None] | None = None
        self._tenants: OrderedDict[TenantId, tuple[float, QueueState]] = OrderedDict()

    def count(self) -> None:
        """A job was added."""
        self._added += 1

    async def is_full(self) -> bool:
        """Raises StoreUnavailable if nothing is known yet."""
        if self._all is None:
            await self._ask()
        elif self._clock.monotonic_s() - self._all_at_s >= FRESH_S and (self._refresh is None or self._refresh.done()):
            self._refresh = asyncio.create_task(self._ask_quietly(), name="jobs-backlog")
        assert self._all is not None
        return self._all.waiting + self._all.later + self._added >= self._most

    def retry_after_s(self) -> float:
        """Until there is room for everybody again, at the rate of late."""
        if self._all is None:
            return RETRY_UNKNOWN_S
        excess = self._all.waiting + self._all.later + self._added - (1 - ROOM) * self._most
        return self._after(excess, self._all.drain_per_s)

    async def retry_after_of(self, tenant_id: TenantId, most: int) -> float:
        """Until there is room for this tenant again: it gets the share of the rate that it has of what runs. Raises
        StoreUnavailable."""
        await self.is_full()
        assert self._all is not None
        own = await self._state_of(tenant_id)
        share = max(own.running, 1) / max(self._all.running, own.running, 1)
        excess = own.waiting + own.later - (1 - ROOM) * most
        return self._after(max(excess, 1.0), self._all.drain_per_s * share)

    async def aclose(self) -> None:
        if self._refresh is not None:
            await asyncio.gather(self._refresh, return_exceptions=True)

    def _after(self, jobs: float, per_s: float) -> float:
        after_s = max(jobs, 1.0) / per_s if per_s > 0 else RETRY_UNKNOWN_S
        after_s *= 1 + self._chance() / 5  # not all at once
        return min(max(after_s, LEAST_RETRY_S), MOST_RETRY_S)

    async def _ask(self) -> None:
        at_s, added = self._clock.monotonic_s(), self._added
        self._all = await self._rows.state(None)
        self._all_at_s = at_s
        self._added -= added

    async def _ask_quietly(self) -> None:
        try:
            await self._ask()
        except Exception:  # edge of a task: what is known stands, and is asked again soon
            self._all_at_s = self._clock.monotonic_s()

    async def _state_of(self, tenant_id: TenantId) -> QueueState:
        now_s = self._clock.monotonic_s()
        known = self._tenants.get(tenant_id)
        if known is None or now_s - known[0] >= FRESH_S:
            known = self._tenants[tenant_id] = now_s, await self._rows.state(tenant_id)
            self._tenants.move_to_end(tenant_id)
            while len(self._tenants) > _MOST_TENANTS:
                self._tenants.popitem(last=False)
        return known[1]
