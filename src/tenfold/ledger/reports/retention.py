"""How long figures are kept, and the roll-up made anew from receipts while they are there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.ledger.reports.ports import ReportRows

MIN_RECEIPT_DAYS = 35
MIN_REPORT_DAYS = 366

_DAY = timedelta(days=1)
_TENANTS = 100


class Kept(Struct, frozen=True, kw_only=True):
    """What a run of retention did: the days of receipts it dropped, and how many rows of reports went."""

    dropped: list[str]
    forgotten: int


class Retention:
    """`receipt_days` at least 35 and `report_days` (roll-up, outcomes, corrections) at least 366 and no less than
    that: raises ValueError."""

    def __init__(self, rows: ReportRows, clock: Clock, *, receipt_days: int, report_days: int) -> None:
        if receipt_days < MIN_RECEIPT_DAYS:
            raise ValueError(f"receipts are kept for {MIN_RECEIPT_DAYS} days at least")
        if report_days < max(MIN_REPORT_DAYS, receipt_days):
            raise ValueError(f"reports are kept for {MIN_REPORT_DAYS} days at least, and not shorter than receipts")
        self._rows = rows
        self._clock = clock
        self._receipt_days = receipt_days
        self._report_days = report_days

    async def run(self) -> Kept:
        """Any number of processes may, any number of times. Raises StoreUnavailable."""
        dropped = await self._rows.drop_receipts(self._receipt_days)
        before = midnight(self._clock.now()) - self._report_days * _DAY
        forgotten = 0
        async for tenant_id in each_tenant(self._rows):
            forgotten += await self._rows.forget(tenant_id, before)
        return Kept(dropped=dropped, forgotten=forgotten)


async def rebuild(rows: ReportRows, tenant_id: TenantId, first: datetime, last: datetime) -> int:
    """The roll-up of every day from that of `first` to that of `last`, made anew. Returns how many rows were wrong.
    Raises InvalidRequest, Conflict when a day's receipts may be gone, StoreUnavailable."""
    day, wrong = midnight(first), 0
    if last < first:
        raise InvalidRequest("The first day is before the last.", param="since")
    while day <= last:
        wrong += await rows.rebuild(tenant_id, day)
        day += _DAY
    return wrong


async def each_tenant(rows: ReportRows) -> AsyncIterator[TenantId]:
    after: TenantId | None = None
    while True:
        found = await rows.tenants(limit=_TENANTS, after=after)
        for tenant_id in found:
            yield tenant_id
        if len(found) < _TENANTS:
            return
        after = found[-1]


def midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
