"""The seam of reports: figures at rest. `fake.FakeReportRows` is the in-memory twin of `queries.PostgresReportRows`,
under one contract suite."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.reports.types import (
    Adjustment,
    Counted,
    FeatureUse,
    HourRow,
    LooseCost,
    Outcome,
    Range,
    SumCursor,
    TaskCost,
    UsageQuery,
    UsageSum,
)
from tenfold.ledger.types import Cursor

Decide = Callable[[Counted], Adjustment]


class ReportRows(Protocol):
    """Every method raises StoreUnavailable while the database is away. Pages go on after `after`."""

    async def sums(
        self, tenant_id: TenantId, query: UsageQuery, *, limit: int, after: SumCursor | None = None
    ) -> list[UsageSum]:
        """The dearest group first; hours and days in their order. Groups without a call are left out."""
        ...

    async def hours(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: HourRow | None = None
    ) -> list[HourRow]:
        """Rows of the roll-up of these whole hours, in the order of their keys."""
        ...

    async def receipts(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Cursor | None = None
    ) -> list[Counted]:
        """The oldest first, corrections included."""
        ...

    async def feature_uses(self, tenant_id: TenantId, range_: Range) -> dict[str, FeatureUse]:
        """By feature, of whole days."""
        ...

    # -- outcomes

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
        """All of them or none; each replaces what was reported of its task. No task twice in one call."""
        ...

    async def outcomes(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Outcome | None = None
    ) -> list[Outcome]:
        """By time and task."""
        ...

    async def task_costs(self, tenant_id: TenantId, tasks: Sequence[str]) -> list[TaskCost]:
        """Every call of these tasks, whenever it was made."""
        ...

    async def loose_costs(self, tenant_id: TenantId, range_: Range) -> list[LooseCost]:
        """Calls of the range without a task (`tasks` is 0), and those whose task nobody has reported: of each feature,
        and of all."""
        ...

    # -- corrections

    async def receipt(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime) -> Counted | None: ...

    async def correct(
        self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, source: str, decide: Decide
    ) -> Adjustment | None:
        """Asks `decide` for the difference and adds it, to the roll-up and to the budgets too, all or nothing. None:
        this source has corrected this receipt before, and nothing changes. Raises NotFound, and what `decide` does."""
        ...

    async def estimated(self, tenant_id: TenantId, range_: Range, *, limit: int) -> list[Counted]:
        """Receipts that stand on an estimate, the oldest first."""
        ...

    # -- upkeep

    async def rebuild(self, tenant_id: TenantId, day: datetime) -> int:
        """Makes the roll-up of the day that begins at `day` anew from its receipts. Returns how many of its rows were
        wrong. Raises Conflict when the receipts of the day may have been dropped."""
        ...

    async def drop_receipts(self, keep_days: int) -> list[str]:
        """Drops the receipts of all tenants, whole days of them, that are older. Raises ValueError below 35 days.
        Returns the names of the partitions."""
        ...

    async def forget(self, tenant_id: TenantId, before: datetime) -> int:
        """Roll-up, outcomes and corrections of earlier times. Returns how many rows went."""
        ...

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantId]: ...
