"""Reports in memory, made of receipts by plain addition; under the contract suite of the real ones."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.core.errors import Conflict, NotFound, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.ledger.reports.buckets import bucket_of
from tenfold.ledger.reports.counting import AMOUNTS, TOKENS, counted, figures, hour_of, is_free
from tenfold.ledger.reports.ports import Decide
from tenfold.ledger.reports.rollup import DIMENSIONS, SUMS
from tenfold.ledger.reports.types import (
    Adjustment,
    Counted,
    Dimension,
    FeatureUse,
    Grouping,
    HourRow,
    LooseCost,
    ModelUse,
    Outcome,
    Range,
    SumCursor,
    TaskCost,
    UsageQuery,
    UsageSum,
)
from tenfold.ledger.types import Cursor, Receipt


class FakeReportRows:
    """`add` receipts, each once. Set `away` to make every call raise StoreUnavailable. `charged` is what corrections
    would have charged to which leases; `wrong` what the next rebuild finds wrong."""

    def __init__(self) -> None:
        self.away = False
        self.wrong = 0
        self.charged: list[tuple[TenantId, tuple[UUID, ...], int]] = []
        self.dropped_before: datetime | None = None
        self._receipts: dict[tuple[TenantId, UUID], Receipt] = {}
        self._adjustments: dict[tuple[TenantId, UUID], dict[str, Adjustment]] = {}
        self._outcomes: dict[TenantId, dict[str, Outcome]] = {}
        self._tenants: set[TenantId] = set()

    def add(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            self._receipts.setdefault((receipt.tenant_id, receipt.id), receipt)
            self._tenants.add(receipt.tenant_id)

    # -- sums --------------------------------------------------------------------------------

    async def sums(
        self, tenant_id: TenantId, query: UsageQuery, *, limit: int, after: SumCursor | None = None
    ) -> list[UsageSum]:
        groups: dict[str, list[Counted]] = {}
        for one in self._within(tenant_id, query.range):
            if all(_mark(one, dimension) == value for dimension, value in query.filters.items()):
                groups.setdefault(_group(one, query.group_by), []).append(one)
        sums = [_sum(group, members) for group, members in groups.items()]
        in_order = query.group_by in ("hour", "day")
        keyed = [((0 if in_order else -each.total_nano, each.group or ""), each) for each in sums]
        first = None if after is None else (0 if in_order else -after.total_nano, after.group)
        return [each for key, each in sorted(keyed, key=lambda pair: pair[0]) if first is None or key > first][:limit]

    async def hours(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: HourRow | None = None
    ) -> list[HourRow]:
        rows: dict[tuple[object, ...], HourRow] = {}
        for one in self._within(tenant_id, range_):
            row = hour_of(one, calls=1, latency_ms=one.latency_ms, cache_hits=int(is_free(one)), **figures(one))
            key = _key(row)
            before = rows.get(key)
            sums = {name: getattr(row, name) + (getattr(before, name) if before else 0) for name in SUMS}
            rows[key] = structs.replace(row, **sums)
        first = None if after is None else _key(after)
        return [rows[key] for key in sorted(rows) if first is None or key > first][:limit]

    async def receipts(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Cursor | None = None
    ) -> list[Counted]:
        found = self._within(tenant_id, range_)
        return [one for one in found if after is None or (one.at, one.id) > (after.at, after.id)][:limit]

    async def feature_uses(self, tenant_id: TenantId, range_: Range) -> dict[str, FeatureUse]:
        uses: dict[str, FeatureUse] = {}
        for row in await self.hours(tenant_id, range_, limit=10**9):
            use = uses.setdefault(row.feature, FeatureUse(models={}, costs={}))
            uses[row.feature] = structs.replace(use, unpriced=use.unpriced + row.unpriced)
            if row.calls > row.unpriced:
                before = use.models.get(row.model)
                use.models[row.model] = _model_use(row, before)
        for one in self._within(tenant_id, range_):
            if one.total_nano is not None:
                costs, bucket = uses[one.feature or ""].costs, bucket_of(one.total_nano)
                costs[bucket] = costs.get(bucket, 0) + 1
        return uses

    # -- outcomes ----------------------------------------------------------------------------

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
        self._answer()
        self._outcomes.setdefault(tenant_id, {}).update({outcome.task: outcome for outcome in outcomes})

    async def outcomes(
        self, tenant_id: TenantId, range_: Range, *, limit: int, after: Outcome | None = None
    ) -> list[Outcome]:
        self._answer()
        found = [
            outcome
            for outcome in self._outcomes.get(tenant_id, {}).values()
            if range_.since <= outcome.at < range_.until
            and (after is None or (outcome.at, outcome.task) > (after.at, after.task))
        ]
        return sorted(found, key=lambda outcome: (outcome.at, outcome.task))[:limit]

    async def task_costs(self, tenant_id: TenantId, tasks: Sequence[str]) -> list[TaskCost]:
        groups: dict[tuple[str, str], list[Counted]] = {}
        for one in self._all(tenant_id):
            if one.task is not None and one.task in tasks:
                groups.setdefault((one.task, one.feature or ""), []).append(one)
        return [
            TaskCost(
                task=task,
                feature=feature,
                calls=len(members),
                unpriced=sum(one.total_nano is None for one in members),
                total_nano=sum(one.total_nano or 0 for one in members),
            )
            for (task, feature), members in groups.items()
        ]

    async def loose_costs(self, tenant_id: TenantId, range_: Range) -> list[LooseCost]:
        reported = self._outcomes.get(tenant_id, {})
        groups: dict[tuple[bool, str | None], list[Counted]] = {}
        for one in self._within(tenant_id, range_):
            if one.task is None or one.task not in reported:
                for feature in (None, one.feature or ""):
                    groups.setdefault((one.task is None, feature), []).append(one)
        return [
            LooseCost(
                feature=feature,
                calls=len(members),
                total_nano=sum(one.total_nano or 0 for one in members),
                tasks=len({one.task for one in members if one.task is not None}),
            )
            for (_, feature), members in groups.items()
        ]

    # -- corrections -------------------------------------------------------------------------

    async def receipt(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime) -> Counted | None:
        return next((o for o in self._all(tenant_id) if (o.id, o.at) == (receipt_id, receipt_at)), None)

    async def correct(
        self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, source: str, decide: Decide
    ) -> Adjustment | None:
        now = await self.receipt(tenant_id, receipt_id, receipt_at)
        if now is None:
            raise NotFound("There is no such receipt.")
        done = self._adjustments.setdefault((tenant_id, receipt_id), {})
        if source in done:
            return None
        adjustment = decide(now)
        done[source] = adjustment
        self.charged.append((tenant_id, now.leases, adjustment.total_nano))
        return adjustment

    async def estimated(self, tenant_id: TenantId, range_: Range, *, limit: int) -> list[Counted]:
        return [one for one in self._within(tenant_id, range_) if one.estimated][:limit]

    # -- upkeep ------------------------------------------------------------------------------

    async def rebuild(self, tenant_id: TenantId, day: datetime) -> int:
        self._answer()
        if self.dropped_before is not None and day < self.dropped_before:
            raise Conflict("The receipts of this day may have been dropped; its sums stay as they are.")
        wrong, self.wrong = self.wrong, 0
        return wrong

    async def drop_receipts(self, keep_days: int) -> list[str]:
        """Drops nothing: sums are made of the receipts here. Remembers what it was asked, by the machine's clock."""
        self._answer()
        if keep_days < 35:
            raise ValueError("receipts are kept for 35 days at least")
        self.dropped_before = datetime.now(UTC) - timedelta(days=keep_days)
        return []

    async def forget(self, tenant_id: TenantId, before: datetime) -> int:
        self._answer()
        old = [key for key, receipt in self._receipts.items() if key[0] == tenant_id and receipt.at < before]
        for key in old:
            del self._receipts[key]
        reported = self._outcomes.get(tenant_id, {})
        tasks = [task for task, outcome in reported.items() if outcome.at < before]
        for task in tasks:
            del reported[task]
        return len(old) + len(tasks)

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantId]:
        self._answer()
        return [tenant_id for tenant_id in sorted(self._tenants) if after is None or tenant_id > after][:limit]

    # -- inside ------------------------------------------------------------------------------

    def _all(self, tenant_id: TenantId) -> list[Counted]:
        self._answer()
        mine = (receipt for (owner, _), receipt in self._receipts.items() if owner == tenant_id)
        return sorted(
            (counted(receipt, self._adjustments.get((tenant_id, receipt.id), {}).values()) for receipt in mine),
            key=lambda one: (one.at, one.id),
        )

    def _within(self, tenant_id: TenantId, range_: Range) -> list[Counted]:
        return [one for one in self._all(tenant_id) if range_.since <= one.at < range_.until]

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")


def _key(row: HourRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in DIMENSIONS)


def _group(one: Counted, group_by: Grouping) -> str:
    if group_by == "total":
        return ""
    if group_by == "day":
        return one.at.astimezone(UTC).date().isoformat()
    if group_by == "hour":
        return one.at.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z")
    return _mark(one, group_by)


def _mark(one: Counted, dimension: Dimension) -> str:
    if dimension == "key":
        return str(one.key_id) if one.key_id is not None else ""
    if dimension == "model":
        return one.model_asked if one.model_used is None else one.model_used
    return getattr(one, dimension) or ""


def _sum(group: str, members: list[Counted]) -> UsageSum:
    return UsageSum(
        group=group or None,
        calls=len(members),
        failed=sum(one.status != "ok" for one in members),
        cache_hits=sum(is_free(one) for one in members),
        estimated=sum(one.estimated for one in members),
        unpriced=sum(one.total_nano is None for one in members),
        latency_ms=sum(one.latency_ms for one in members),
        **{name: sum(getattr(one, name) or 0 for one in members) for name in (*TOKENS, *AMOUNTS)},
    )


def _model_use(row: HourRow, before: ModelUse | None) -> ModelUse:
    now = ModelUse(
        calls=row.calls - row.unpriced,
        paid=row.paid,
        input_tokens=row.paid_input_tokens,
        output_tokens=row.paid_output_tokens,
        input_nano=row.input_nano,
        output_nano=row.output_nano,
        total_nano=row.total_nano,
    )
    if before is None:
        return now
    return ModelUse(**{name: getattr(now, name) + getattr(before, name) for name in ModelUse.__struct_fields__})
