"""Corrections of receipts by what a provider, or a person, says later. The receipt stays; the difference is added once
for each source, and the roll-up and the budgets follow in the same transaction."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Cost
from tenfold.ledger.reports.counting import adjustment
from tenfold.ledger.reports.ports import ReportRows
from tenfold.ledger.reports.types import MAX_PAGE, Adjustment, Counted, Range

_NOTHING = Cost(input_nano=0, output_nano=0, total_nano=0)

Pricing = Callable[[Counted, Usage], Cost | None]
"""What this usage costs at the prices of the call's time. None: no price is known."""


class ReceiptCorrections:
    """Counts what it did: `corrected`, and `flagged` of them (more than can be right; recorded all the same)."""

    def __init__(self, rows: ReportRows, pricing: Pricing = lambda _receipt, _usage: None) -> None:
        self._rows = rows
        self._pricing = pricing
        self.corrected = 0
        self.flagged = 0

    async def estimated(self, tenant_id: TenantId, *, since: datetime, until: datetime, limit: int) -> list[Counted]:
        """Receipts of calls that began then and stand on an estimate, the oldest first. Raises StoreUnavailable."""
        return await self._rows.estimated(tenant_id, Range(since=since, until=until), limit=min(limit, MAX_PAGE))

    async def correct(self, receipt: Counted, usage: Usage, cost: Cost, source: str) -> bool:
        """From now on the receipt counts as this. False: this source has corrected it before. Raises NotFound,
        InvalidRequest (negative, contradictory, or beyond any call) and StoreUnavailable."""
        done = await self.correct_receipt(
            receipt.tenant_id, receipt.id, receipt.at, source=source, usage=usage, cost=cost
        )
        return done is not None

    async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
        """It used nothing and cost nothing after all. Raises NotFound, StoreUnavailable."""
        await self.correct_receipt(tenant_id, receipt_id, receipt_at, source=source, usage=Usage(), cost=_NOTHING)

    async def correct_receipt(
        self,
        tenant_id: TenantId,
        receipt_id: UUID,
        receipt_at: datetime,
        *,
        source: str,
        usage: Usage | None = None,
        cost: Cost | None = None,
    ) -> Adjustment | None:
        """What is not given stays as it counts now; a usage alone is priced. None: nothing changed, this source has
        corrected the receipt before. Raises as `correct` does."""

        def decide(now: Counted) -> Adjustment:
            priced = cost if cost is not None or usage is None else self._pricing(now, usage)
            return adjustment(now, source, usage, priced)

        done = await self._rows.correct(tenant_id, receipt_id, receipt_at, source, decide)
        if done is not None:
            self.corrected += 1
            self.flagged += done.flagged
        return done
