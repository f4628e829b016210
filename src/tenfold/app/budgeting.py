"""Budgets, limits and alerts as the pages and the command line see them: each budget with what is spent of it now."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.access.types import Page
from tenfold.app.database import open_database
from tenfold.app.settings import Settings
from tenfold.console.services import BudgetLine, MoneyServices
from tenfold.core.clock import Clock, SystemClock
from tenfold.core.errors import NotFound
from tenfold.core.ids import TenantId
from tenfold.ledger.budgets.handlers import DEFAULT_ALERTS, BudgetAdmin
from tenfold.ledger.budgets.ports import BudgetRows
from tenfold.ledger.budgets.queries import PostgresBudgetRows
from tenfold.ledger.budgets.types import Budget, BudgetAlert, Owner
from tenfold.limits.handlers import LimitAdmin
from tenfold.limits.queries import PostgresLimitRows
from tenfold.store import Store

STATES = 20
"""How many spenders of a budget are told."""


class Budgeting:
    """tenfold.console.services.BudgetService and AlertService on the ledger."""

    def __init__(self, rows: BudgetRows, admin: BudgetAdmin) -> None:
        self._rows = rows
        self._admin = admin

    async def create(
        self,
        tenant_id: TenantId,
        *,
        per: str,
        period: str,
        limit_usd: str,
        subject: str | None = None,
        hard: bool = True,
        alerts: Iterable[int] = DEFAULT_ALERTS,
        by: Owner = "tenant",
    ) -> Budget:
        """See BudgetService."""
        return await self._admin.create(
            tenant_id,
            per=per,
            period=period,
            limit_usd=limit_usd,
            subject=subject,
            hard=hard,
            alerts=tuple(alerts),
            by=by,
        )

    async def lines(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetLine]:
        """See BudgetService."""
        page = await self._admin.list(tenant_id, cursor=cursor, limit=limit)
        return Page(items=[await self._line(budget) for budget in page.items], cursor=page.cursor)

    async def line(self, tenant_id: TenantId, budget_id: str) -> BudgetLine:
        """See BudgetService."""
        known_id = _uuid(budget_id)
        found = None if known_id is None else await self._rows.budget(tenant_id, known_id)
        if found is None or found.ended_at is not None:
            raise NotFound("There is no such budget.")
        return await self._line(found)

    async def change(
        self,
        tenant_id: TenantId,
        budget_id: str,
        *,
        limit_usd: str | None = None,
        hard: bool | None = None,
        alerts: Iterable[int] | None = None,
        by: Owner = "tenant",
    ) -> Budget:
        """See BudgetService."""
        told = None if alerts is None else tuple(alerts)
        return await self._admin.change(tenant_id, budget_id, limit_usd=limit_usd, hard=hard, alerts=told, by=by)

    async def end(self, tenant_id: TenantId, budget_id: str, *, by: Owner = "tenant") -> None:
        """See BudgetService."""
        await self._admin.end(tenant_id, budget_id, by=by)

    async def alerts(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetAlert]:
        """See AlertService."""
        page = await self._admin.alerts(tenant_id, cursor=cursor, limit=limit)
        return Page(items=page.items, cursor=page.cursor)

    async def _line(self, budget: Budget) -> BudgetLine:
        page = await self._admin.states(budget.tenant_id, budget_id=budget.id, limit=STATES)
        return BudgetLine(budget=budget, states=page.items, more=page.cursor is not None)


@dataclass(frozen=True, kw_only=True)
class Money:
    tenants: Tenants
    budgets: Budgeting
    limits: LimitAdmin


@asynccontextmanager
async def open_money(settings: Settings) -> AsyncIterator[Money]:
    """For a command. Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        clock = SystemClock()
        yield Money(
            tenants=Tenants(PostgresAccessRows(store), clock),
            budgets=_budgeting(store, clock),
            limits=LimitAdmin(PostgresLimitRows(store), clock),
        )


def money_services(store: Store, clock: Clock) -> MoneyServices:
    """For the console."""
    budgeting = _budgeting(store, clock)
    return MoneyServices(budgets=budgeting, limits=LimitAdmin(PostgresLimitRows(store), clock), alerts=budgeting)


def _budgeting(store: Store, clock: Clock) -> Budgeting:
    rows = PostgresBudgetRows(store)
    return Budgeting(rows, BudgetAdmin(rows, clock))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
