"""The seams of this part: receipts at rest, and the processes that write them.

`fake.FakeReceiptRows` is the in-memory twin of `queries.PostgresReceiptRows`, under one contract suite.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.types import Cursor, GroupBy, Receipt, Spend


class ReceiptRows(Protocol):
    """Every method raises StoreUnavailable while the database is away."""

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> list[Receipt]:
        """All of them or none; returns those that were not there before. Those that were are left as they are, so
        that after StoreUnavailable (which may have come after the commit) the same ones can be added again."""
        ...

    async def prepare_days(self, first: date, days: int) -> None:
        """Make room for receipts of these days. Without it they are stored all the same, less tidily."""
        ...

    async def recent(self, tenant_id: TenantId, *, limit: int, before: Cursor | None = None) -> list[Receipt]:
        """The newest first."""
        ...

    async def spend(self, tenant_id: TenantId, *, since: datetime, group_by: GroupBy) -> list[Spend]:
        """Sums over the receipts from `since` on, the dearest group first; days in their order."""
        ...


class MemberList(Protocol):
    """The processes that share the database: tenfold.store.Members. Every method raises StoreUnavailable."""

    @property
    def id(self) -> UUID:
        """This process."""
        ...

    async def dead(self, after_s: float) -> list[UUID]:
        """Those not seen for so long, until they are removed."""
        ...

    async def remove(self, member_id: UUID) -> None: ...
