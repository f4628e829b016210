"""Buckets of this process alone: where limits live when there is one process, and where they fall back to when the
shared store is away."""

import time
from collections.abc import Callable
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.limits import gcra
from tenfold.limits.gcra import Rate
from tenfold.limits.ports import Grant, Slots

MAX_BUCKETS = 200_000

_Key = tuple[TenantId, str]


class LocalBlocks:
    """A BlockStore in memory. Bounded: beyond `max_buckets` the ones longest unused are forgotten."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._now_ns = now_ns
        self._max_buckets = max_buckets
        self._backlogs: dict[_Key, tuple[int, int, int]] = {}  # backlog, at, when it will be empty; ns
        self._slots: dict[_Key, dict[UUID, tuple[int, int]]] = {}  # holder -> held, until

    async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
        backlog = self._drained(tenant_id, bucket, rate)
        units = gcra.granted(rate, backlog, wanted, at_least)
        backlog = gcra.filled(rate, backlog, units)
        if units:
            self._keep(tenant_id, bucket, rate, backlog)
        return Grant(units, backlog)

    async def give_back(self, tenant_id: TenantId, bucket: str, rate: Rate, units: int) -> None:
        backlog = gcra.filled(rate, self._drained(tenant_id, bucket, rate), -units)
        self._keep(tenant_id, bucket, rate, backlog)

    async def slots(
        self, tenant_id: TenantId, bucket: str, holder: UUID, *, limit: int, in_use: int, spare: int, ttl_s: float
    ) -> Slots:
        now = self._now_ns()
        holders = self._slots.setdefault((tenant_id, bucket), {})
        for dead in [other for other, (_, until) in holders.items() if until <= now]:
            del holders[dead]
        free = limit - in_use - sum(held for other, (held, _) in holders.items() if other != holder)
        more = min(spare, max(1, free // gcra.SHARE)) if free > 0 else 0
        held = in_use + more
        if held:
            holders[holder] = held, now + int(ttl_s * 10**9)
        else:
            holders.pop(holder, None)
        if not holders:
            del self._slots[tenant_id, bucket]
        return Slots(held, max(0, free - more))

    async def sweep(self, tenant_id: TenantId) -> None:
        now = self._now_ns()
        for key in [key for key, (_, _, empty_at) in self._backlogs.items() if key[0] == tenant_id and empty_at <= now]:
            del self._backlogs[key]

    def _drained(self, tenant_id: TenantId, bucket: str, rate: Rate) -> int:
        backlog, at, _ = self._backlogs.get((tenant_id, bucket), (0, 0, 0))
        return gcra.drained(rate, backlog, self._now_ns() - at)

    def _keep(self, tenant_id: TenantId, bucket: str, rate: Rate, backlog: int) -> None:
        key = tenant_id, bucket
        now = self._now_ns()
        self._backlogs.pop(key, None)  # to the end: the order is that of last use
        self._backlogs[key] = backlog, now, now + gcra.reset_ns(rate, backlog)
        if len(self._backlogs) > self._max_buckets:
            del self._backlogs[next(iter(self._backlogs))]
