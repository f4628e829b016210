"""The seams of this part. `fake.FakePartRows` is the in-memory twin of `queries.PostgresPartRows`, under one contract
suite."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.core.usage import Usage
from tenfold.inference.handover.types import Part
from tenfold.ledger.prices import Cost


class PartRows(Protocol):
    """Every method raises StoreUnavailable while the database is away, and can be called again."""

    async def add(self, part: Part) -> None:
        """One that is there stays as it is."""
        ...

    async def of(self, tenant_id: TenantId, batch_id: UUID) -> list[Part]:
        """In the order of their ids."""
        ...

    async def put(self, part: Part) -> None:
        """Its `lines`, `state` and `vendor_id` are now these."""
        ...


class Estimates(Protocol):
    """See tenfold.ledger.reports.corrections."""

    async def correct_receipt(
        self,
        tenant_id: TenantId,
        receipt_id: UUID,
        receipt_at: datetime,
        *,
        source: str,
        usage: Usage,
        cost: Cost,
    ) -> object:
        """From now on the receipt counts as this; once for each source. Raises NotFound, StoreUnavailable,
        InvalidRequest (what no call can have used)."""
        ...

    async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
        """It counts as nothing. Raises NotFound, StoreUnavailable."""
        ...
