"""Once a week, for each tenant: did the cost of a request move by more than 15 %, and why? One of the processes tells
the log and the operator's webhook."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import json

from tenfold.app.alerts import Receiver
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.money import format_usd
from tenfold.ledger.reports.drift_checks import DriftChecks
from tenfold.ledger.reports.types import Drift, DriftReport

logger = logging.getLogger(__name__)

EVENT = "cost.drift"
EVERY_S = 600.0
TRIES = 5
PAUSE_S = 10.0


class DriftReports(Protocol):
    """See tenfold.ledger.reports.handlers.Reports."""

    async def drift(self, tenant_id: TenantId, *, until: datetime | None = None) -> DriftReport: ...


class DriftAlerts:
    """`run` until cancelled. `told` counts the features that were told of."""

    def __init__(
        self,
        reports: DriftReports,
        checks: DriftChecks,
        tenants: Callable[[], AsyncIterator[TenantId]],
        receiver: Receiver | None,
        clock: Clock,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._reports = reports
        self._checks = checks
        self._tenants = tenants
        self._receiver = receiver
        self._clock = clock
        self._pause_s = pause_s
        self._done: datetime | None = None
        self.told = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except StoreUnavailable as error:
                logger.info("drift is not looked at, the database is away: %s", error.message)

    async def look(self) -> None:
        """Every tenant whose last whole week nobody has looked at. Raises StoreUnavailable."""
        now = self._clock.now().astimezone(UTC)
        until = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday())
        if until == self._done:
            return
        async for tenant_id in self._tenants():
            if not await self._checks.known(tenant_id, until.date()):
                report = await self._reports.drift(tenant_id, until=until)
                if await self._checks.note(tenant_id, until.date(), report.findings) and report.findings:
                    await self._tell(tenant_id, report)
        self._done = until

    async def _tell(self, tenant_id: TenantId, report: DriftReport) -> None:
        found = [drift for drift in report.features if drift.verdict == "changed"]
        for drift in found:
            logger.warning("%s", message(drift), extra={"tenant": str(tenant_id)})
        self.told += len(found)
        if self._receiver is None:
            return
        body = event(tenant_id, report, found)
        trouble = None
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._pause_s * 2**attempt)
            trouble = await self._receiver.post(f"drift_{tenant_id.hex}_{report.after.until:%Y%m%d}", body)
            if trouble is None:
                return
        logger.error("the webhook was not told of the drift of tenant %s: %s", tenant_id, trouble)


def message(drift: Drift) -> str:
    parts = ", ".join(f"{part.factor} {format_usd(part.nano)}" for part in drift.parts)
    percent = (drift.change_basis_points or 0) / 100
    return f"cost drift: a request of {drift.feature or 'no feature'} costs {percent:+.1f} % in a week, USD: {parts}"


def event(tenant_id: TenantId, report: DriftReport, found: list[Drift]) -> bytes:
    """The body of the webhook. Amounts are decimal USD a request; the parts add up to the change exactly."""
    features = [
        {
            "feature": drift.feature,
            "change_usd": format_usd(drift.change_nano or 0),
            "change_percent": f"{(drift.change_basis_points or 0) / 100:.2f}",
            "parts_usd": {part.factor: format_usd(part.nano) for part in drift.parts},
            "message": message(drift),
        }
        for drift in found
    ]
    data = {"tenant_id": tenant_id, "since": report.after.since, "until": report.after.until, "features": features}
    return json.encode({"type": EVENT, "timestamp": report.after.until, "data": data})
