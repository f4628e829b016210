"""Drift is told once a week, with its parts, to the log and the webhook."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import json

from tenfold.app.drift_alerts import TRIES, DriftAlerts
from tenfold.core.clock import FakeClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.reports.drift_checks import FakeDriftChecks
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.handlers import Reports
from tenfold.ledger.types import Receipt
from tests.ledger.samples import receipt

ACME, CALM = TenantId(uuid7()), TenantId(uuid7())
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


class Inbox:
    """A webhook that keeps what it is sent, after refusing so often."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.events: list[tuple[str, Any]] = []

    async def post(self, event_id: str, body: bytes) -> str | None:
        if self.refuses:
            self.refuses -= 1
            return "it answered 503"
        self.events.append((event_id, json.decode(body)))
        return None


def calls(tenant_id: TenantId, at: datetime, nano: int) -> list[Receipt]:
    """Forty calls of a feature, enough to say something of."""
    return [
        receipt(
            tenant_id, at=at + timedelta(minutes=n), feature="chat", total_nano=nano, input_nano=nano, output_nano=0
        )
        for n in range(40)
    ]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(MONDAY + timedelta(days=2, hours=5))


@pytest.fixture
def reports(clock: FakeClock) -> Reports:
    rows = FakeReportRows()
    for tenant_id, after in ((ACME, 1500), (CALM, 1000)):
        rows.add(calls(tenant_id, MONDAY - timedelta(days=10), 1000))
        rows.add(calls(tenant_id, MONDAY - timedelta(days=3), after))
    return Reports(rows, clock)


async def everybody() -> AsyncIterator[TenantId]:
    for tenant_id in (CALM, ACME):
        yield tenant_id


async def test_a_change_is_told_once_with_its_parts(
    reports: Reports, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    inbox, checks = Inbox(), FakeDriftChecks()
    first, second = (DriftAlerts(reports, checks, everybody, inbox, clock) for _ in range(2))
    with caplog.at_level(logging.WARNING):
        for alerts in (first, second, first):
            await alerts.look()
    [(event_id, event)] = inbox.events
    assert event_id == f"drift_{ACME.hex}_20261116"
    assert event["type"] == "cost.drift"
    [feature] = event["data"]["features"]
    assert (feature["feature"], feature["change_usd"], feature["change_percent"]) == ("chat", "0.0000005", "50.00")
    assert sum(round(float(part) * 10**9) for part in feature["parts_usd"].values()) == 500
    assert len([line for line in caplog.messages if "+50.0 %" in line]) == 1
    assert (first.told, second.told) == (1, 0)


async def test_the_next_week_is_looked_at_when_it_is_whole(reports: Reports, clock: FakeClock) -> None:
    inbox = Inbox()
    alerts = DriftAlerts(reports, FakeDriftChecks(), everybody, inbox, clock)
    await alerts.look()
    clock.advance(4 * 86_400)
    await alerts.look()
    assert len(inbox.events) == 1
    clock.advance(86_400)
    await alerts.look()
    assert alerts.told == 1  # nothing was spent in it: that is no drift of a request


async def test_a_webhook_that_is_away_is_tried_again(reports: Reports, clock: FakeClock) -> None:
    inbox = Inbox(refuses=TRIES - 1)
    await DriftAlerts(reports, FakeDriftChecks(), everybody, inbox, clock, pause_s=0).look()
    assert len(inbox.events) == 1
    gone = Inbox(refuses=TRIES)
    alerts = DriftAlerts(reports, FakeDriftChecks(), everybody, gone, clock, pause_s=0)
    await alerts.look()
    assert (gone.events, alerts.told) == ([], 1)


async def test_without_a_webhook_the_log_is_told(
    reports: Reports, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    await DriftAlerts(reports, FakeDriftChecks(), everybody, None, clock).look()
    assert any("cost drift: a request of chat" in line for line in caplog.messages)
