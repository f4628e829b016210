"""Usage figures, budgets and alerts in memory, for tests and demonstrations of the console."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, get_args
from uuid import UUID

from msgspec.structs import replace

from tenfold.access.types import Page
from tenfold.console.services import DEFAULT_ALERTS, BudgetLine, DaySpend, ReceiptLine
from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets.types import Budget, BudgetAlert, BudgetState, Owner, Per, Period

W = TypeVar("W")


class FakeUsage:
    """`add` settles a call; the cursor of a page is the id of its last receipt."""

    def __init__(self) -> None:
        self._receipts: dict[TenantId, list[ReceiptLine]] = {}

    def add(self, tenant_id: TenantId, receipts: Sequence[ReceiptLine]) -> None:
        self._receipts.setdefault(tenant_id, []).extend(receipts)

    async def receipts(self, tenant_id: TenantId, *, cursor: str | None, limit: int) -> Page[ReceiptLine]:
        newest_first = sorted(self._receipts.get(tenant_id, ()), key=lambda receipt: receipt.at, reverse=True)
        known = {receipt.id: receipt for receipt in newest_first}
        shown = _page(list(known), cursor, limit)
        return Page(items=[known[each] for each in shown.items], cursor=shown.cursor)

    async def daily_spend(self, tenant_id: TenantId, *, days: int) -> list[DaySpend]:
        first = datetime.now(UTC).date() - timedelta(days=days - 1)
        spent: dict[object, DaySpend] = {}
        for receipt in self._receipts.get(tenant_id, ()):
            day = receipt.at.astimezone(UTC).date()
            if day < first:
                continue
            before = spent.get(day, DaySpend(day=day, calls=0, cost_nano=0))
            cost_nano = before.cost_nano + (receipt.cost_nano or 0)
            spent[day] = DaySpend(day=day, calls=before.calls + 1, cost_nano=cost_nano)
        return sorted(spent.values(), key=lambda each: each.day)


class FakeBudgets:
    """BudgetService: rules only as far as the pages need them. `spend` settles and holds money of a subject."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: dict[UUID, Budget] = {}
        self._states: dict[tuple[UUID, str], BudgetState] = {}

    def spend(self, budget: Budget, subject: str = "", *, settled_nano: int, held_nano: int = 0) -> None:
        start = self._clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._states[budget.id, subject] = BudgetState(
            budget=budget,
            subject=subject,
            period_start=start,
            period_end=None if budget.period == "total" else start + timedelta(days=31),
            reserved_nano=settled_nano + held_nano,
            settled_nano=settled_nano,
            released_nano=0,
        )

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
        budget = Budget(
            id=uuid7(),
            tenant_id=tenant_id,
            per=_one_of(per, get_args(Per), "per"),
            period=_one_of(period, get_args(Period), "period"),
            limit_nano=_amount(limit_nano),
            subject=subject,
            hard=hard,
            alerts=tuple(alerts),
            owner=by,
            created_at=self._clock.now(),
        )
        self._budgets[budget.id] = budget
        if per == "tenant" or subject is not None:
            self.spend(budget, subject or "", settled_nano=0)
        return budget

    async def lines(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetLine]:
        found = sorted((b for b in self._budgets.values() if b.tenant_id == tenant_id), key=lambda b: b.id)
        shown = _page([str(budget.id) for budget in found], cursor, limit)
        return Page(items=[self._line(UUID(each)) for each in shown.items], cursor=shown.cursor)

    async def line(self, tenant_id: TenantId, budget_id: str) -> BudgetLine:
        return self._line(self._own(tenant_id, budget_id).id)

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
        budget = self._own(tenant_id, budget_id, by)
        changed = replace(
            budget,
            limit_nano=budget.limit_nano if limit_nano is None else _amount(limit_nano),
            hard=budget.hard if hard is None else hard,
            alerts=budget.alerts if alerts is None else tuple(alerts),
        )
        self._budgets[budget.id] = changed
        for key, state in self._states.items():
            if key[0] == budget.id:
                self._states[key] = replace(state, budget=changed)
        return changed

    async def end(self, tenant_id: TenantId, budget_id: str, *, by: Owner = "tenant") -> None:
        del self._budgets[self._own(tenant_id, budget_id, by).id]

    def _own(self, tenant_id: TenantId, budget_id: str, by: Owner = "operator") -> Budget:
        found = next((budget for budget in self._budgets.values() if str(budget.id) == budget_id), None)
        if found is None or found.tenant_id != tenant_id:
            raise NotFound("There is no such budget.")
        if found.owner == "operator" and by == "tenant":
            raise PermissionDenied("This budget was set by the operator, who alone can change it.")
        return found

    def _line(self, budget_id: UUID) -> BudgetLine:
        states = [state for (owner, _), state in self._states.items() if owner == budget_id]
        return BudgetLine(budget=self._budgets[budget_id], states=sorted(states, key=lambda state: state.subject))


class FakeAlerts:
    """AlertService: `add` raises one."""

    def __init__(self) -> None:
        self._alerts: dict[TenantId, list[BudgetAlert]] = {}

    def add(self, tenant_id: TenantId, alert: BudgetAlert) -> None:
        self._alerts.setdefault(tenant_id, []).insert(0, alert)

    async def alerts(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> Page[BudgetAlert]:
        known = {str(alert.id): alert for alert in self._alerts.get(tenant_id, ())}
        shown = _page(list(known), cursor, limit)
        return Page(items=[known[each] for each in shown.items], cursor=shown.cursor)


def _page(ids: list[str], cursor: str | None, limit: int) -> Page[str]:
    """The ids after the cursor, which is the last one of the page before."""
    if cursor is not None and cursor not in ids:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    start = 0 if cursor is None else ids.index(cursor) + 1
    items = ids[start : start + limit]
    return Page(items=items, cursor=items[-1] if len(ids) > start + limit else None)


def _one_of(value: str, known: tuple[W, ...], param: str) -> W:
    for word in known:
        if word == value:
            return word
    raise InvalidRequest(f"`{param}` is one of: {', '.join(map(str, known))}.", param=param)


def _amount(nano: int) -> int:
    if nano < 1:
        raise InvalidRequest("The limit of a budget is above 0.", param="limit_nano")
    return nano
