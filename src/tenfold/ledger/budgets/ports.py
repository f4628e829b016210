"""The seam of this part: budgets at rest. `fake.FakeBudgetRows` is the in-memory twin of `queries.PostgresBudgetRows`,
under one contract suite."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.types import Budget, BudgetAlert, BudgetState, Grant, Lease, Return

TOPIC = "budgets"
"""What processes follow to hear that the budgets of a tenant have changed (tenfold.store.Changes)."""

FIRST = UUID(int=0)


class LeaseRows(Protocol):
    """What a process that spends needs. Every method raises StoreUnavailable while the database is away; what it was to
    do may have been done all the same."""

    async def active(self, tenant_id: TenantId) -> list[Budget]:
        """The budgets that hold now, the oldest first."""
        ...

    async def lease(
        self, tenant_id: TenantId, holder: UUID, budget_id: UUID, subject: str, *, wanted: int, at_least: int
    ) -> Grant | None:
        """Adds to this holder's lease of the present period, between `at_least` and `wanted`, or nothing. None: the
        budget has ended. The lease exists afterwards also when nothing was granted."""
        ...

    async def give_back(self, tenant_id: TenantId, returns: Sequence[Return]) -> list[Lease]:
        """The leases as they are afterwards, those unknown left out. A closed one stays as it was."""
        ...

    async def held_by(self, tenant_id: TenantId, holder: UUID) -> list[Lease]:
        """The open leases of this holder."""
        ...


class HolderRows(Protocol):
    """What it takes to end a holder. Raises StoreUnavailable; may be repeated."""

    async def tenants_of(self, holder: UUID) -> list[TenantId]:
        """The tenants in which it may have leases, open or charged."""
        ...

    async def close(self, tenant_id: TenantId, holder: UUID) -> int:
        """Its receipts are all here: what they did not spend is released, what was charged too. How many leases."""
        ...

    async def charge(self, tenant_id: TenantId, holder: UUID) -> int:
        """Its receipts may be lost: what is open counts as spent, until receipts or `close` tell better."""
        ...


class AlertRows(Protocol):
    """Alerts that are to be delivered. Raises StoreUnavailable."""

    async def claim(self, limit: int, for_s: float) -> list[BudgetAlert]:
        """The oldest that are due, of any tenant, to be tried by nobody else for so long."""
        ...

    async def delivered(self, alert: BudgetAlert) -> None: ...

    async def put_off(self, alert: BudgetAlert, for_s: float) -> None:
        """One more try was made in vain; due again after that time."""
        ...


class BudgetRows(LeaseRows, HolderRows, AlertRows, Protocol):
    """Every method raises StoreUnavailable while the database is away. A foreign tenant's budget does not exist."""

    async def add(self, budget: Budget) -> None:
        """Adding the same one again changes nothing."""
        ...

    async def budget(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        """An ended one too."""
        ...

    async def budgets(self, tenant_id: TenantId, *, after: UUID = FIRST, limit: int) -> list[Budget]:
        """Those that hold now, in the order of their ids."""
        ...

    async def change(
        self, tenant_id: TenantId, budget_id: UUID, *, limit_nano: int, hard: bool, alerts: tuple[int, ...]
    ) -> Budget | None:
        """None: there is none that holds."""
        ...

    async def end(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        """None: there is none that holds."""
        ...

    async def states(
        self, tenant_id: TenantId, *, after: tuple[UUID, str] = (FIRST, ""), limit: int, budget_id: UUID | None = None
    ) -> list[BudgetState]:
        """The present period of every budget that holds, by budget and subject. A budget for each of its subjects shows
        those that have spent or hold something."""
        ...

    async def alerts(self, tenant_id: TenantId, *, before: UUID | None = None, limit: int) -> list[BudgetAlert]:
        """The newest first, delivered or not."""
        ...
