"""Budgets in memory, for tests of whatever stands on them; under the contract suite of the real ones."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.budgets import rules
from tenfold.ledger.budgets.ports import FIRST
from tenfold.ledger.budgets.rules import LeaseSums, PeriodSums
from tenfold.ledger.budgets.settlement import PeriodKey, costs_of
from tenfold.ledger.budgets.types import Budget, BudgetAlert, BudgetState, Grant, Lease, Return
from tenfold.ledger.types import Receipt


class FakeBudgetRows:
    """BudgetRows, with `settle_receipts` and `adjust_periods` as methods. `clock` is the database's.

    Set `away` to make every call raise StoreUnavailable; `lose_answer` to raise it after the work was done, as when the
    connection breaks during the commit. `queries` counts the calls. `changed` is called as processes hear of changes.
    `turns` says how many turns of the event loop a question is on its way, and its answer after that: so that
    questions overtake each other as they do on a network.
    """

    def __init__(self, clock: Clock, changed: Callable[[TenantId], None] = lambda _tenant: None) -> None:
        self.away = False
        self.lose_answer = False
        self.queries = 0
        self.changed = changed
        self.turns: Callable[[], int] = lambda: 0
        self._clock = clock
        self._budgets: dict[tuple[TenantId, UUID], Budget] = {}
        self._periods: dict[tuple[TenantId, PeriodKey], PeriodSums] = {}
        self._leases: dict[tuple[TenantId, UUID], tuple[Lease, LeaseSums]] = {}
        self._alerts: dict[tuple[TenantId, PeriodKey, int], tuple[BudgetAlert, datetime]] = {}

    # -- budgets -----------------------------------------------------------------------------

    async def add(self, budget: Budget) -> None:
        with self._work():
            self._budgets.setdefault((budget.tenant_id, budget.id), budget)
        self.changed(budget.tenant_id)

    async def active(self, tenant_id: TenantId) -> list[Budget]:
        async with self._far_work():
            return sorted(self._holding(tenant_id), key=lambda b: (b.created_at, b.id))

    async def budget(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        with self._work():
            return self._budgets.get((tenant_id, budget_id))

    async def budgets(self, tenant_id: TenantId, *, after: UUID = FIRST, limit: int) -> list[Budget]:
        with self._work():
            return sorted((b for b in self._holding(tenant_id) if b.id > after), key=lambda b: b.id)[:limit]

    async def change(
        self, tenant_id: TenantId, budget_id: UUID, *, limit_nano: int, hard: bool, alerts: tuple[int, ...]
    ) -> Budget | None:
        return self._replace(tenant_id, budget_id, limit_nano=limit_nano, hard=hard, alerts=alerts)

    async def end(self, tenant_id: TenantId, budget_id: UUID) -> Budget | None:
        return self._replace(tenant_id, budget_id, ended_at=self._clock.now())

    async def states(
        self, tenant_id: TenantId, *, after: tuple[UUID, str] = (FIRST, ""), limit: int, budget_id: UUID | None = None
    ) -> list[BudgetState]:
        with self._work():
            found = [
                state
                for budget in self._holding(tenant_id)
                if budget_id in (None, budget.id)
                for state in self._states(budget)
                if (state.budget.id, state.subject) > after
            ]
            return sorted(found, key=lambda state: (state.budget.id, state.subject))[:limit]

    # -- leases ------------------------------------------------------------------------------

    async def lease(
        self, tenant_id: TenantId, holder: UUID, budget_id: UUID, subject: str, *, wanted: int, at_least: int
    ) -> Grant | None:
        async with self._far_work():
            budget = self._budgets.get((tenant_id, budget_id))
            if budget is None or budget.ended_at is not None:
                return None
            start, end = rules.period_of(budget.period, self._clock.now())
            period = self._periods.setdefault((tenant_id, (budget_id, subject, start)), PeriodSums())
            facts, lease = self._lease_of(tenant_id, (budget_id, subject, start), holder)
            amount = rules.grantable(budget.limit_nano, budget.hard, period, wanted=wanted, at_least=at_least)
            if amount or lease.closed:
                rules.take(period, lease, amount)
            return Grant(
                lease=_with_sums(facts, lease),
                amount_nano=amount,
                period_end=end,
                ends_in_s=None if end is None else (end - self._clock.now()).total_seconds(),
                hard=budget.hard,
                settled_nano=period.settled,
                remaining_nano=rules.remaining(budget.limit_nano, period),
            )

    async def give_back(self, tenant_id: TenantId, returns: Sequence[Return]) -> list[Lease]:
        async with self._far_work():
            known = [r for r in returns if (tenant_id, r.lease_id) in self._leases]
            for returned in known:
                rules.give_back(*self._sums(tenant_id, returned.lease_id), returned.amount_nano, done=returned.done)
            return [_with_sums(*self._leases[tenant_id, lease_id]) for lease_id in {r.lease_id for r in known}]

    async def held_by(self, tenant_id: TenantId, holder: UUID) -> list[Lease]:
        async with self._far_work():
            return [lease for lease in self.leases(tenant_id) if lease.holder == holder and not lease.closed]

    async def tenants_of(self, holder: UUID) -> list[TenantId]:
        with self._work():
            leases = [_with_sums(*both) for both in self._leases.values()]
            held = {le.tenant_id for le in leases if le.holder == holder and (le.charged_nano or not le.closed)}
            return sorted(held)

    async def close(self, tenant_id: TenantId, holder: UUID) -> int:
        with self._work():
            mine = [le for le in self.leases(tenant_id) if le.holder == holder and (le.charged_nano or not le.closed)]
            for lease in mine:
                rules.close(*self._sums(tenant_id, lease.id))
            return len(mine)

    async def charge(self, tenant_id: TenantId, holder: UUID) -> int:
        with self._work():
            mine = [lease for lease in self.leases(tenant_id) if lease.holder == holder and not lease.closed]
            for lease in mine:
                rules.charge(*self._sums(tenant_id, lease.id))
            return len(mine)

    # -- receipts ----------------------------------------------------------------------------

    def settle_receipts(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> None:
        """See settlement.settle_receipts. Part of the caller's work, so it never raises on its own."""
        for lease_id, cost in costs_of(receipts).items():
            if (tenant_id, lease_id) in self._leases:
                rules.settle(*self._sums(tenant_id, lease_id), cost)
                self._add_alerts(tenant_id, _key(self._leases[tenant_id, lease_id][0]))

    def adjust_periods(self, tenant_id: TenantId, lease_ids: Sequence[UUID], delta_nano: int) -> None:
        """See settlement.adjust_periods."""
        for lease_id in lease_ids:
            if (tenant_id, lease_id) in self._leases:
                period, _ = self._sums(tenant_id, lease_id)
                if period.settled + delta_nano < 0:
                    raise ValueError("a correction takes back more than was settled")
                rules.adjust(period, delta_nano)
                self._add_alerts(tenant_id, _key(self._leases[tenant_id, lease_id][0]))

    # -- alerts ------------------------------------------------------------------------------

    async def claim(self, limit: int, for_s: float) -> list[BudgetAlert]:
        with self._work():
            now = self._clock.now()
            pending = [(due, key) for key, (alert, due) in self._alerts.items() if due <= now and not alert.delivered]
            claimed = [key for _, key in sorted(pending, key=lambda each: (each[1][0], each[0]))[:limit]]
            for key in claimed:
                self._alerts[key] = self._alerts[key][0], now + timedelta(seconds=for_s)
            return [self._alerts[key][0] for key in claimed]

    async def delivered(self, alert: BudgetAlert) -> None:
        with self._work():
            key = self._alert_key(alert)
            self._alerts[key] = structs.replace(self._alerts[key][0], delivered=True), self._alerts[key][1]

    async def put_off(self, alert: BudgetAlert, for_s: float) -> None:
        with self._work():
            key = self._alert_key(alert)
            again = structs.replace(self._alerts[key][0], tries=self._alerts[key][0].tries + 1)
            self._alerts[key] = again, self._clock.now() + timedelta(seconds=for_s)

    async def alerts(self, tenant_id: TenantId, *, before: UUID | None = None, limit: int) -> list[BudgetAlert]:
        with self._work():
            mine = [alert for alert, _ in self._alerts.values() if alert.tenant_id == tenant_id]
            older = [alert for alert in mine if before is None or alert.id < before]
            return sorted(older, key=lambda alert: alert.id, reverse=True)[:limit]

    # -- for tests ---------------------------------------------------------------------------

    def periods(self, tenant_id: TenantId) -> dict[PeriodKey, PeriodSums]:
        return {key: sums for (tenant, key), sums in self._periods.items() if tenant == tenant_id}

    def known(self, tenant_id: TenantId, budget_id: UUID) -> Budget:
        return self._budgets[tenant_id, budget_id]

    def leases(self, tenant_id: TenantId) -> list[Lease]:
        return [_with_sums(*both) for (tenant, _), both in self._leases.items() if tenant == tenant_id]

    # -- inside ------------------------------------------------------------------------------

    @contextmanager
    def _work(self) -> Iterator[None]:
        self.queries += 1
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")
        yield
        if self.lose_answer:
            raise StoreUnavailable("The connection to the database was lost.")

    @asynccontextmanager
    async def _far_work(self) -> AsyncIterator[None]:
        await self._travel()
        try:
            with self._work():
                yield
        finally:
            await self._travel()

    async def _travel(self) -> None:
        for _ in range(self.turns()):
            await asyncio.sleep(0)

    def _replace(self, tenant_id: TenantId, budget_id: UUID, **changes: object) -> Budget | None:
        with self._work():
            budget = self._budgets.get((tenant_id, budget_id))
            if budget is None or budget.ended_at is not None:
                return None
            changed = self._budgets[tenant_id, budget_id] = structs.replace(budget, **changes)
            self.changed(tenant_id)
        return changed

    def _holding(self, tenant_id: TenantId) -> list[Budget]:
        return [b for (tenant, _), b in self._budgets.items() if tenant == tenant_id and b.ended_at is None]

    def _states(self, budget: Budget) -> Iterator[BudgetState]:
        start, end = rules.period_of(budget.period, self._clock.now())
        periods = self.periods(budget.tenant_id)
        subjects = {key[1] for key in periods if (key[0], key[2]) == (budget.id, start)}
        if not subjects and (budget.subject is not None or budget.per == "tenant"):
            subjects = {budget.subject or ""}
        for subject in subjects:
            sums = periods.get((budget.id, subject, start), PeriodSums())
            yield BudgetState(
                budget=budget,
                subject=subject,
                period_start=start,
                period_end=end,
                reserved_nano=sums.reserved,
                settled_nano=sums.settled,
                released_nano=sums.released,
            )

    def _lease_of(self, tenant_id: TenantId, key: PeriodKey, holder: UUID) -> tuple[Lease, LeaseSums]:
        for (tenant, _), (lease, sums) in self._leases.items():
            if tenant == tenant_id and _key(lease) == key and lease.holder == holder:
                return lease, sums
        budget_id, subject, start = key
        lease = Lease(
            id=uuid7(),
            tenant_id=tenant_id,
            budget_id=budget_id,
            subject=subject,
            period_start=start,
            holder=holder,
            granted_nano=0,
            settled_nano=0,
        )
        self._leases[tenant_id, lease.id] = lease, LeaseSums()
        return self._leases[tenant_id, lease.id]

    def _sums(self, tenant_id: TenantId, lease_id: UUID) -> tuple[PeriodSums, LeaseSums]:
        lease, sums = self._leases[tenant_id, lease_id]
        return self._periods[tenant_id, _key(lease)], sums

    def _add_alerts(self, tenant_id: TenantId, key: PeriodKey) -> None:
        budget, settled = self._budgets[tenant_id, key[0]], self._periods[tenant_id, key].settled
        for percent in rules.reached(budget.alerts, budget.limit_nano, settled):
            alert = BudgetAlert(
                id=uuid7(),
                tenant_id=tenant_id,
                budget_id=budget.id,
                per=budget.per,
                subject=key[1],
                period=budget.period,
                period_start=key[2],
                percent=percent,
                limit_nano=budget.limit_nano,
                spent_nano=settled,
                hard=budget.hard,
                at=self._clock.now(),
            )
            self._alerts.setdefault((tenant_id, key, percent), (alert, alert.at))

    def _alert_key(self, alert: BudgetAlert) -> tuple[TenantId, PeriodKey, int]:
        return alert.tenant_id, (alert.budget_id, alert.subject, alert.period_start), alert.percent


def _key(lease: Lease) -> PeriodKey:
    return lease.budget_id, lease.subject, lease.period_start


def _with_sums(lease: Lease, sums: LeaseSums) -> Lease:
    return structs.replace(
        lease,
        granted_nano=sums.granted,
        settled_nano=sums.settled,
        charged_nano=sums.charged,
        closed=sums.closed,
    )
