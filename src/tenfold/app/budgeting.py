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
from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.core.ids import TenantId
from tenfold.core.inputs import uuid_of
from tenfold.ledger.budgets.handlers import DEFAULT_ALERTS, BudgetAdmin
from tenfold.ledger.budgets.ports import FIRST, BudgetRows
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
        limit_nano: int,
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
            limit_nano=limit_nano,
            subject=subject,
            hard=hard,
            alerts=tuple(alerts),
            by=by,
        )

    async def lines(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetLine]:
        """See BudgetService."""
        after = FIRST if cursor is None else _cursor(cursor)
        found = await self._rows.budgets(tenant_id, after=after, limit=limit + 1)
        lines = [await self._line(budget) for budget in found[:limit]]
        return Page(items=lines, cursor=str(found[limit - 1].id) if len(found) > limit else None)

    async def line(self, tenant_id: TenantId, budget_id: str) -> BudgetLine:
        """See BudgetService."""
        known_id = uuid_of(budget_id)
        found = None if known_id is None else await self._rows.budget(tenant_id, known_id)
        if found is None or found.ended_at is not None:
            raise NotFound("There is no such budget.")
        return await self._line(found)

    async def change(
        self,
        tenant_id: TenantId,
        budget_id: str,
        *,
        limit_nano: int | None = None,
        hard: bool | None = None,
        alerts: Iterable[int] | None = None,
        by: Owner = "tenant",
    ) -> Budget:
        """See BudgetService."""
        told = None if alerts is None else tuple(alerts)
        return await self._admin.change(tenant_id, budget_id, limit_nano=limit_nano, hard=hard, alerts=told, by=by)

    async def end(self, tenant_id: TenantId, budget_id: str, *, by: Owner = "tenant") -> None:
        """See BudgetService."""
        await self._admin.end(tenant_id, budget_id, by=by)

    async def alerts(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetAlert]:
        """See AlertService."""
        before = None if cursor is None else _cursor(cursor)
        found = await self._rows.alerts(tenant_id, before=before, limit=limit + 1)
        return Page(items=found[:limit], cursor=str(found[limit - 1].id) if len(found) > limit else None)

    async def _line(self, budget: Budget) -> BudgetLine:
        states = await self._rows.states(budget.tenant_id, limit=STATES + 1, budget_id=budget.id)
        return BudgetLine(budget=budget, states=states[:STATES], more=len(states) > STATES)


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


def _cursor(text: str) -> UUID:
    known = uuid_of(text)
    if known is None:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return known
