"""The seams of this part: where processes that share a limit agree, and limits at rest.

Every method raises StoreUnavailable while its store is away. `fake.FakeBlocks` and `fake.FakeLimitRows` are the
in-memory twins, each under one contract suite with the real ones.
"""

from typing import Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.limits.gcra import Rate
from tenfold.limits.types import Limit, Owner, TenantLimits


class Grant(Struct, frozen=True, gc=False):
    """What a process got, and the shared bucket's backlog (see gcra) right after it."""

    granted: int
    backlog: int


class Slots(Struct, frozen=True, gc=False):
    """Calls at once that a holder may now have running, and how many more nobody holds."""

    held: int
    free: int


class BlockStore(Protocol):
    """Buckets that several processes share. Time is the store's own; a bucket nobody has used yet is empty, and so is
    one whose backlog has drained. `bucket` names one inside its tenant, in at most 120 ASCII characters."""

    async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
        """Units for this process to spend, as `gcra.granted` says: 0 when there is no room for `at_least`."""
        ...

    async def give_back(self, tenant_id: TenantId, bucket: str, rate: Rate, units: int) -> None:
        """Units that were not spent. Less than 0: units spent beyond those taken; the bucket may go into debt."""
        ...

    async def slots(
        self, tenant_id: TenantId, bucket: str, holder: UUID, *, limit: int, in_use: int, spare: int, ttl_s: float
    ) -> Slots:
        """The holder has `in_use` calls running and would like room for `spare` more. Of that it gets one when one is
        free, or a quarter of what is free where that is more. What it holds counts until it says otherwise,
        for `ttl_s`."""
        ...

    async def sweep(self, tenant_id: TenantId) -> None:
        """Forget the tenant's buckets that are as good as unused."""
        ...


class LimitRows(Protocol):
    async def add(self, limit: Limit) -> None:
        """Raises Conflict when the tenant has as many as it may, NotFound when there is no such tenant."""
        ...

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Limit]:
        """The newest first, from the one before `before`."""
        ...

    async def find(self, tenant_id: TenantId, limit_id: UUID) -> Limit | None: ...

    async def end(self, tenant_id: TenantId, limit_id: UUID, owners: frozenset[Owner]) -> bool:
        """Whether there was such a limit of one of these owners; it holds no more."""
        ...

    async def set_weight(self, tenant_id: TenantId, weight: int) -> None: ...

    async def read(self, tenant_id: TenantId) -> TenantLimits:
        """All that a process needs to know of a tenant."""
        ...
