"""Parts of batches in memory, for tests. `down` makes every method raise StoreUnavailable."""

from uuid import UUID

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.inference.handover.types import Part


class FakePartRows:
    """See `PartRows`."""

    def __init__(self) -> None:
        self.down = False
        self._parts: dict[tuple[TenantId, UUID], Part] = {}

    async def add(self, part: Part) -> None:
        self._check()
        self._parts.setdefault((part.tenant_id, part.id), part)

    async def of(self, tenant_id: TenantId, batch_id: UUID) -> list[Part]:
        self._check()
        found = [part for part in self._parts.values() if (part.tenant_id, part.batch_id) == (tenant_id, batch_id)]
        return sorted(found, key=lambda part: part.id)

    async def put(self, part: Part) -> None:
        self._check()
        if (part.tenant_id, part.id) in self._parts:
            self._parts[part.tenant_id, part.id] = part

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable("The database is away.")
