"""The seam of this part: parked calls at rest. `fake.FakeParkedRows` is the in-memory twin of
`queries.PostgresParkedRows`, under one contract suite."""

from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.jobs.parked.types import Ended, ParkedCall, Ticket


class ParkedRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's ticket finds nothing."""

    async def add(self, call: ParkedCall, *, keep_s: float, most: int, most_bytes: int) -> Ticket | None:
        """The ticket of the call, which is there already when it was parked before. None: so many calls of the tenant
        wait, or so many bytes of them, that there is no room; however many ask at once, there are never more."""
        ...

    async def find(self, tenant_id: TenantId, call_id: UUID) -> Ticket | None: ...

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[Ticket]:
        """The newest first, from before this one on; without their replies."""
        ...

    async def load(self, tenant_id: TenantId, call_id: UUID) -> ParkedCall | None:
        """What is to be asked; None unless it waits."""
        ...

    async def finish(
        self,
        tenant_id: TenantId,
        call_id: UUID,
        state: Ended,
        *,
        http_status: int,
        keep_s: float,
        error_code: str | None = None,
        reply: bytes | None = None,
    ) -> bool:
        """The call has ended; its body is dropped, and its ticket kept for so long. False: it does not wait, and what
        came of it stays."""
        ...

    async def remove(self, tenant_id: TenantId, call_id: UUID) -> bool:
        """With all that is kept of it, in whatever state. False: there is none."""
        ...

    async def tenants_expired(self) -> list[TenantId]:
        """Where something has expired."""
        ...

    async def expire(self, tenant_id: TenantId, *, keep_s: float, limit: int) -> int:
        """Of up to `limit` that waited too long the bodies are dropped and the tickets kept for so long; up to as many
        that were kept long enough are deleted. How many of both."""
        ...
