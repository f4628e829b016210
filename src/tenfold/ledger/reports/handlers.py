"""What may be asked of reports: sums, exports, outcomes, drift. Checks what comes from outside; holds no SQL."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.ledger.reports import exports
from tenfold.ledger.reports.cursors import from_cursor, to_cursor
from tenfold.ledger.reports.drift import THRESHOLD_BASIS_POINTS, drift_report
from tenfold.ledger.reports.outcomes import OutcomeSums
from tenfold.ledger.reports.ports import ReportRows
from tenfold.ledger.reports.types import (
    MAX_PAGE,
    Dimension,
    DriftReport,
    Grouping,
    HourRow,
    Outcome,
    OutcomeKind,
    OutcomeReport,
    Page,
    Range,
    SumCursor,
    UsageQuery,
    UsageSum,
)
from tenfold.ledger.types import MAX_TEXT, Cursor

DEFAULT_DAYS = 30
MAX_DAYS = 3700
MAX_OUTCOMES = 1000
WEEK_DAYS = 7
MAX_VALUE_NANO = 2**53

_HOUR = timedelta(hours=1)
_YEARS = range(2000, 2200)


class Reports:
    """Every method raises InvalidRequest for what cannot be answered, and StoreUnavailable."""

    def __init__(self, rows: ReportRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def range(self, since: datetime | None = None, until: datetime | None = None) -> Range:
        """Up to the end of this hour, and the last 30 days, where nothing else is said. Times know their zone."""
        hour = self._clock.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
        end = _utc(until, "until") if until is not None else hour
        start = _utc(since, "since") if since is not None else end - timedelta(days=DEFAULT_DAYS)
        if not start < end:
            raise InvalidRequest("`since` is before `until`.", param="since")
        if end - start > timedelta(days=MAX_DAYS):
            raise InvalidRequest(f"A report covers {MAX_DAYS} days at most.", param="since")
        return Range(since=start, until=end)

    def query(
        self,
        group_by: str = "total",
        filters: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> UsageQuery:
        if group_by not in get_args(Grouping):
            raise InvalidRequest(f"group_by is one of {', '.join(get_args(Grouping))}.", param="group_by")
        checked: dict[Dimension, str] = {}
        for name in get_args(Dimension):
            value = (filters or {}).get(name)
            if value is not None:
                checked[name] = _text(value, name).lower() if name == "key" else _text(value, name)
        unknown = set(filters or {}) - set(get_args(Dimension))
        if unknown:
            raise InvalidRequest(f"There is no filter {min(unknown)!r}.", param=min(unknown))
        return UsageQuery(range=self.range(since, until), group_by=group_by, filters=checked)  # type: ignore[arg-type]

    async def usage(
        self, tenant_id: TenantId, query: UsageQuery, *, cursor: str | None = None, limit: int = 100
    ) -> Page[UsageSum]:
        """The dearest group first; hours and days in their order."""
        _check_limit(limit)
        found = await self._rows.sums(tenant_id, query, limit=limit + 1, after=from_cursor(cursor, SumCursor))
        items = found[:limit]
        more = len(found) > limit
        return Page(items=items, cursor=to_cursor(_place(items[-1])) if more else None)

    # -- exports -----------------------------------------------------------------------------

    async def export_receipts(self, tenant_id: TenantId, range_: Range) -> AsyncGenerator[str, None]:
        """CSV in pieces of up to 1,000 receipts, each read in a transaction of its own."""
        yield exports.header(exports.RECEIPT_COLUMNS)
        after: Cursor | None = None
        while True:
            found = await self._rows.receipts(tenant_id, range_, limit=MAX_PAGE, after=after)
            yield exports.receipt_lines(found)
            if len(found) < MAX_PAGE:
                return
            after = Cursor(at=found[-1].at, id=found[-1].id)

    async def export_sums(self, tenant_id: TenantId, query: UsageQuery) -> AsyncGenerator[str, None]:
        yield exports.header(exports.SUM_COLUMNS)
        after: SumCursor | None = None
        while True:
            found = await self._rows.sums(tenant_id, query, limit=MAX_PAGE, after=after)
            yield exports.sum_lines(found)
            if len(found) < MAX_PAGE:
                return
            after = _place(found[-1])

    async def export_focus(self, tenant_id: TenantId, account_name: str, range_: Range) -> AsyncGenerator[str, None]:
        """FOCUS rows of whole hours: the one that `since` is in is the first."""
        yield exports.header(exports.FOCUS_COLUMNS)
        whole = Range(since=range_.since.replace(minute=0, second=0, microsecond=0), until=range_.until)
        after: HourRow | None = None
        while True:
            found = await self._rows.hours(tenant_id, whole, limit=MAX_PAGE, after=after)
            yield exports.focus_lines(found, (str(tenant_id), account_name))
            if len(found) < MAX_PAGE:
                return
            after = found[-1]

    # -- outcomes ----------------------------------------------------------------------------

    def outcome(
        self, task: str, outcome: OutcomeKind, at: datetime | None = None, value_nano: int | None = None
    ) -> Outcome:
        """Of now, where no time is given."""
        return Outcome(task=task, outcome=outcome, at=at or self._clock.now(), value_nano=value_nano)

    async def report_outcomes(self, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
        """All or none. The last report of a task holds, so reporting again changes nothing or corrects."""
        if not 0 < len(outcomes) <= MAX_OUTCOMES:
            raise InvalidRequest(f"Report 1 to {MAX_OUTCOMES} outcomes at once.", param="outcomes")
        last: dict[str, Outcome] = {}
        for place, outcome in enumerate(outcomes):
            _check_outcome(outcome, f"outcomes[{place}]")
            last[outcome.task] = outcome
        await self._rows.report_outcomes(tenant_id, list(last.values()))

    async def outcome_report(self, tenant_id: TenantId, range_: Range) -> OutcomeReport:
        """What a success cost, over the tasks that were reported in the range."""
        sums = OutcomeSums()
        after: Outcome | None = None
        while True:
            found = await self._rows.outcomes(tenant_id, range_, limit=MAX_PAGE, after=after)
            if found:
                sums.add(found, await self._rows.task_costs(tenant_id, [outcome.task for outcome in found]))
            if len(found) < MAX_PAGE:
                break
            after = found[-1]
        sums.add_loose(await self._rows.loose_costs(tenant_id, range_))
        return sums.report(range_)

    # -- drift -------------------------------------------------------------------------------

    async def drift(
        self,
        tenant_id: TenantId,
        *,
        until: datetime | None = None,
        days: int = WEEK_DAYS,
        threshold_basis_points: int = THRESHOLD_BASIS_POINTS,
    ) -> DriftReport:
        """The `days` before `until` (a midnight in UTC; the last one where nothing is said) against those before."""
        today = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        end = today if until is None else _utc(until, "until")
        if end != end.replace(hour=0, minute=0, second=0, microsecond=0):
            raise InvalidRequest("Drift compares whole days: `until` is a midnight in UTC.", param="until")
        if not 1 <= days <= MAX_DAYS // 2:
            raise InvalidRequest(f"Drift compares 1 to {MAX_DAYS // 2} days.", param="days")
        if not 0 < threshold_basis_points <= 10**6:
            raise InvalidRequest("The threshold is above 0 and at most 10,000 %.", param="threshold")
        span = timedelta(days=days)
        before, after = Range(since=end - 2 * span, until=end - span), Range(since=end - span, until=end)
        return drift_report(
            await self._rows.feature_uses(tenant_id, before),
            await self._rows.feature_uses(tenant_id, after),
            (before, after),
            threshold_basis_points,
        )


def _place(last: UsageSum) -> SumCursor:
    return SumCursor(total_nano=last.total_nano, group=last.group or "")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} rows.", param="limit")


def _check_outcome(outcome: Outcome, where: str) -> None:
    if not outcome.task:
        raise InvalidRequest("A task has a name.", param=f"{where}.task")
    _text(outcome.task, f"{where}.task")
    _utc(outcome.at, f"{where}.at")
    if outcome.value_nano is not None and abs(outcome.value_nano) > MAX_VALUE_NANO:
        raise InvalidRequest("The value is larger than one can be.", param=f"{where}.value_usd")


def _text(value: str, where: str) -> str:
    """As receipts hold it: cut at the same length there, so a longer one would never be found."""
    if len(value) > MAX_TEXT or "\0" in value or not value.isprintable():
        raise InvalidRequest(f"At most {MAX_TEXT} printable characters.", param=where)
    return value


def _utc(moment: datetime, where: str) -> datetime:
    if moment.tzinfo is None:
        raise InvalidRequest("A time names its zone: 2026-01-31T00:00:00Z.", param=where)
    if moment.year not in _YEARS:
        raise InvalidRequest(f"A time is of the years {_YEARS[0]} to {_YEARS[-1]}.", param=where)
    return moment.astimezone(UTC)
