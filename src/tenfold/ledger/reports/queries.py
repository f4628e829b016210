"""Reports at rest in Postgres: the units of work. Their SQL is in the modules named `*_queries` beside this one; what
the writer of receipts calls in its own transaction is `roll_up_receipts`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import TenantId
from tenfold.ledger.reports import outcome_queries, receipt_queries, rollup_queries, usage_queries
from tenfold.ledger.reports.counting import adjusted, difference
from tenfold.ledger.reports.ports import Decide
from tenfold.ledger.reports.rollup_queries import roll_up_receipts
from tenfold.ledger.reports.types import (
    Adjustment,
    CostDay,
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
from tenfold.store import Store, Transaction

__all__ = ["ChargeLeases", "PostgresReportRows", "roll_up_receipts"]

ChargeLeases = Callable[[Transaction, TenantId, Sequence[UUID], int], Awaitable[None]]
"""Charges a difference (10^-9 USD, negative gives back) to the periods of the budgets behind these leases."""

MIN_KEEP_DAYS = 35

_DAY = timedelta(days=1)
_PIECE = timedelta(hours=6)  # whoever writes receipts of the tenant waits that long: 0.5 s of a day with 2 M

HAS_DAY = (
    "SELECT to_regclass('tenfold.receipts_' || to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL"
)
IS_YOUNG = "SELECT $1::timestamptz > now() - make_interval(days => $2)"
DROP_RECEIPTS = "SELECT tenfold.drop_receipt_partitions($1)"
TENANTS = "SELECT id FROM tenants WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2"
FORGET = (
    "DELETE FROM usage_hours WHERE tenant_id = $1 AND hour < $2",
    "DELETE FROM cost_days WHERE tenant_id = $1 AND day < ($2::timestamptz AT TIME ZONE 'UTC')::date",
    "DELETE FROM adjustments WHERE tenant_id = $1 AND receipt_at < $2",
    "DELETE FROM outcomes WHERE tenant_id = $1 AND at < $2",
)


async def no_budgets(tx: Transaction, tenant_id: TenantId, leases: Sequence[UUID], delta_nano: int) -> None:
    """ChargeLeases where there are no budgets."""


class PostgresReportRows:
    """ReportRows: each call is one unit of work. `charge` corrects the budgets in the transaction of a correction."""

    def __init__(self, store: Store, charge: ChargeLeases = no_budgets) -> None:
        self._store = store
        self._charge = charge

    async def sums(
        self, tenant_id: TenantId, query: UsageQuery, *, limit: int, after: SumCursor | None = None
    ) -> list[UsageSum]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await usage_queries.sums(tx, tenant_id, query, limit, after)

    async def hours(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: HourRow | None = None
    ) -> list[HourRow]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await usage_queries.hours(tx, tenant_id, range_, limit, after)

    async def receipts(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Cursor | None = None
    ) -> list[Counted]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await receipt_queries.receipts(tx, tenant_id, range_, limit, after)

    async def feature_uses(self, tenant_id: TenantId, range_: Range) -> dict[str, FeatureUse]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await usage_queries.feature_uses(tx, tenant_id, range_)

    # -- outcomes ----------------------------------------------------------------------------

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await outcome_queries.report_outcomes(tx, tenant_id, outcomes)

    async def outcomes(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Outcome | None = None
    ) -> list[Outcome]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await outcome_queries.outcomes(tx, tenant_id, range_, limit, after)

    async def task_costs(self, tenant_id: TenantId, tasks: Sequence[str]) -> list[TaskCost]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await outcome_queries.task_costs(tx, tenant_id, tasks)

    async def loose_costs(self, tenant_id: TenantId, range_: Range) -> list[LooseCost]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await outcome_queries.loose_costs(tx, tenant_id, range_)

    # -- corrections -------------------------------------------------------------------------

    async def receipt(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime) -> Counted | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await receipt_queries.receipt(tx, tenant_id, receipt_id, receipt_at)

    async def correct(
        self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, source: str, decide: Decide
    ) -> Adjustment | None:
        async with self._store.tenant(tenant_id) as tx:
            await receipt_queries.lock_receipt(tx, receipt_id)
            now = await receipt_queries.receipt(tx, tenant_id, receipt_id, receipt_at)
            if now is None:
                raise NotFound("There is no such receipt.")
            if await receipt_queries.has_adjustment(tx, tenant_id, receipt_id, receipt_at, source):
                return None
            adjustment = decide(now)
            await self._charge(tx, tenant_id, now.leases, adjustment.total_nano)
            await receipt_queries.insert_adjustment(tx, tenant_id, adjustment)
            hours, costs = difference(now, adjusted(now, adjustment))
            await rollup_queries.add_to_roll_up(tx, tenant_id, hours, costs)
            return adjustment

    async def estimated(self, tenant_id: TenantId, range_: Range, *, limit: int) -> list[Counted]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await receipt_queries.estimated(tx, tenant_id, range_, limit)

    # -- upkeep ------------------------------------------------------------------------------

    async def rebuild(self, tenant_id: TenantId, day: datetime) -> int:
        wrong = 0
        for start in (day + n * _PIECE for n in range(_DAY // _PIECE)):
            async with self._store.tenant(tenant_id) as tx:
                hours, _ = await _locked(tx, tenant_id, day, Range(since=start, until=start + _PIECE))
                wrong += await rollup_queries.rebuild_hours(tx, tenant_id, start, start + _PIECE, hours)
        async with self._store.tenant(tenant_id) as tx:
            _, costs = await _locked(tx, tenant_id, day, Range(since=day, until=day + _DAY))
            return wrong + await rollup_queries.rebuild_costs(tx, tenant_id, day, costs)

    async def drop_receipts(self, keep_days: int) -> list[str]:
        if keep_days < MIN_KEEP_DAYS:
            raise ValueError(f"receipts are kept for {MIN_KEEP_DAYS} days at least")
        async with self._store.directory() as tx:
            return list(await tx.fetchval(DROP_RECEIPTS, keep_days))

    async def forget(self, tenant_id: TenantId, before: datetime) -> int:
        gone = 0
        for statement in FORGET:
            async with self._store.tenant(tenant_id) as tx:
                gone += int((await tx.execute(statement, tenant_id, before)).rpartition(" ")[2])
        return gone

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantId]:
        async with self._store.directory(readonly=True) as tx:
            return [TenantId(row["id"]) for row in await tx.fetch(TENANTS, after, limit)]


async def _locked(
    tx: Transaction, tenant_id: TenantId, day: datetime, range_: Range
) -> tuple[list[HourRow], list[CostDay]]:
    """Keeps the roll-up and the partitions as they are until the transaction ends. Returns what the corrections of the
    range add. Raises Conflict when the receipts of the day may be gone."""
    await rollup_queries.lock_roll_up(tx, tenant_id)
    hours: list[HourRow] = []
    costs: list[CostDay] = []
    # It reads the receipts, so from here on no partition of theirs is dropped.
    for told, more in await receipt_queries.adjusted_receipts(tx, tenant_id, range_.since, range_.until):
        more_hours, more_costs = difference(told, adjusted(told, more))
        hours += more_hours
        costs += more_costs
    if not (await tx.fetchval(IS_YOUNG, day, MIN_KEEP_DAYS - 1) or await tx.fetchval(HAS_DAY, day)):
        raise Conflict("The receipts of this day may have been dropped; its sums stay as they are.")
    return hours, costs
