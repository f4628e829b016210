"""The budgets of the settings: rows of each tenant, made when a process first reads its budgets."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from msgspec import Struct

from tenfold.app.setting_tables import BudgetSettings
from tenfold.core.clock import Clock
from tenfold.core.ids import TenantId
from tenfold.core.money import from_usd
from tenfold.ledger.budgets.queries import PostgresBudgetRows
from tenfold.ledger.budgets.types import Budget, Per, Period
from tenfold.store import Store

_NAMES = UUID("b6c2f1de-7c1b-5f0e-8f4f-31f0b54d2a11")  # name space of the ids of budgets that come from settings


class DefaultBudget(Struct, frozen=True, kw_only=True):
    per: Per
    period: Period
    limit_nano: int | None  # None: not set; one that was made earlier caps nothing any more

    def id_for(self, tenant_id: TenantId) -> UUID:
        return uuid5(_NAMES, f"{tenant_id}/{self.per}/{self.period}")


def default_budgets(settings: BudgetSettings) -> list[DefaultBudget]:
    amounts: list[tuple[Per, Period, object]] = [
        ("run", "total", settings.run_usd),
        ("tenant", "day", settings.tenant_usd_per_day),
        ("tenant", "month", settings.tenant_usd_per_month),
    ]
    return [
        DefaultBudget(per=per, period=period, limit_nano=None if usd is None else from_usd(str(usd)))
        for per, period, usd in amounts
    ]


class DefaultedBudgetRows(PostgresBudgetRows):
    """Budget rows in which the tenant's default budgets are as the settings say. One that was ended stays ended."""

    def __init__(self, store: Store, defaults: Sequence[DefaultBudget], clock: Clock) -> None:
        super().__init__(store)
        self._defaults = defaults
        self._clock = clock

    async def active(self, tenant_id: TenantId) -> list[Budget]:
        found = {budget.id: budget for budget in await super().active(tenant_id)}
        changed = False
        for default in self._defaults:
            changed |= await self._make(tenant_id, default, found.get(default.id_for(tenant_id)))
        return await super().active(tenant_id) if changed else list(found.values())

    async def _make(self, tenant_id: TenantId, default: DefaultBudget, now: Budget | None) -> bool:
        """Whether anything was changed."""
        budget_id, limit_nano = default.id_for(tenant_id), default.limit_nano
        if now is not None:
            wanted = (now.limit_nano, False) if limit_nano is None else (limit_nano, True)
            if (now.limit_nano, now.hard) == wanted:
                return False
            await self.change(tenant_id, budget_id, limit_nano=wanted[0], hard=wanted[1], alerts=now.alerts)
            return True
        if limit_nano is None:
            return False
        if await self.budget(tenant_id, budget_id) is not None:
            return False
        await self.add(
            Budget(
                id=budget_id,
                tenant_id=tenant_id,
                per=default.per,
                period=default.period,
                limit_nano=limit_nano,
                owner="operator",
                created_at=self._clock.now(),
            )
        )
        return True
