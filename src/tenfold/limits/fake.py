"""In-memory twins of the stores of this part, for tests of whatever stands on limits."""

import time
from collections.abc import Callable
from uuid import UUID

from tenfold.core.errors import Conflict, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.limits.gcra import Rate
from tenfold.limits.local import LocalBlocks
from tenfold.limits.ports import Grant, Slots
from tenfold.limits.types import DEFAULT_WEIGHT, MAX_LIMITS, Limit, Owner, TenantLimits


class FakeBlocks(LocalBlocks):
    """A BlockStore several engines of one test may share. Set `away` to make every call raise StoreUnavailable; `trips`
    counts the calls."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(now_ns)
        self.away = False
        self.trips = 0

    async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
        self._answer()
        return await super().take(tenant_id, bucket, rate, wanted, at_least)

    async def give_back(self, tenant_id: TenantId, bucket: str, rate: Rate, units: int) -> None:
        self._answer()
        await super().give_back(tenant_id, bucket, rate, units)

    async def slots(
        self, tenant_id: TenantId, bucket: str, holder: UUID, *, limit: int, in_use: int, spare: int, ttl_s: float
    ) -> Slots:
        self._answer()
        return await super().slots(tenant_id, bucket, holder, limit=limit, in_use=in_use, spare=spare, ttl_s=ttl_s)

    async def sweep(self, tenant_id: TenantId) -> None:
        self._answer()
        await super().sweep(tenant_id)

    def _answer(self) -> None:
        self.trips += 1
        if self.away:
            raise StoreUnavailable("The store of the limits is away.", retry_after_s=1)


class FakeLimitRows:
    """LimitRows in memory. `told` are the tenants whose limits were told to have changed, in order."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[TenantId] = []
        self._limits: dict[UUID, Limit] = {}
        self._weights: dict[TenantId, int] = {}

    async def add(self, limit: Limit) -> None:
        self._answer()
        assert limit.tenant_id is not None
        if len(self._of(limit.tenant_id)) >= MAX_LIMITS:
            raise Conflict(f"A tenant has at most {MAX_LIMITS} limits.")
        self._limits[limit.id] = limit
        self.told.append(limit.tenant_id)

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Limit]:
        self._answer()
        return [found for found in self._of(tenant_id) if before is None or found.id < before][:limit]

    async def find(self, tenant_id: TenantId, limit_id: UUID) -> Limit | None:
        self._answer()
        found = self._limits.get(limit_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    async def end(self, tenant_id: TenantId, limit_id: UUID, owners: frozenset[Owner]) -> bool:
        found = await self.find(tenant_id, limit_id)
        if found is None or found.owner not in owners:
            return False
        del self._limits[limit_id]
        self.told.append(tenant_id)
        return True

    async def set_weight(self, tenant_id: TenantId, weight: int) -> None:
        self._answer()
        self._weights[tenant_id] = weight
        self.told.append(tenant_id)

    async def read(self, tenant_id: TenantId) -> TenantLimits:
        self._answer()
        return TenantLimits(limits=tuple(self._of(tenant_id)), weight=self._weights.get(tenant_id, DEFAULT_WEIGHT))

    def _of(self, tenant_id: TenantId) -> list[Limit]:
        mine = [limit for limit in self._limits.values() if limit.tenant_id == tenant_id]
        return sorted(mine, key=lambda limit: limit.id, reverse=True)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
