"""Changes go to the log at once and to the webhook in their order; one that hangs keeps nothing up."""

import asyncio
import logging

import pytest
from msgspec import json

from tenfold.app.slo.alerts import TRIES, SloAlerts, message
from tenfold.app.slo.types import Change, Slo
from tests.app.test_drift_alerts import Inbox
from tests.slo.clock import SetClock

SLO = Slo(name="support", pathway="end_to_end", budget_s=5, feature="support", availability=0.999)


def change(*, firing: bool = True) -> Change:
    return Change(
        slo=SLO,
        kind="availability",
        severity="page",
        firing=firing,
        burn_rate=21.337,
        window="1h",
        budget_left=0.93123,
    )


class Pages:
    """A book whose ticks say what they are told to."""

    def __init__(self, *ticks: list[Change]) -> None:
        self.ticks = list(ticks)

    async def tick(self) -> list[Change]:
        return self.ticks.pop(0)


async def test_a_change_is_one_line_and_one_event(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox()
    alerts = SloAlerts(Pages([change()], [], [change(firing=False)]), inbox, SetClock())
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await alerts.look()
    assert [record.message for record in caplog.records] == [message(change()), message(change(firing=False))]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert message(change()) == (
        "slo support: the availability budget burns 21.3 times as fast as it may over 1h (page); 93.1% of it are left"
    )
    for _ in range(2):
        await alerts.deliver_next()
    (first_id, first), (second_id, second) = inbox.events
    assert first_id.startswith("slo_")
    assert first_id != second_id
    assert first["type"] == "slo.burn"
    assert first["data"] | {"message": ""} == {
        "slo": "support",
        "pathway": "end_to_end",
        "feature": "support",
        "model": None,
        "objective": "availability",
        "severity": "page",
        "state": "firing",
        "burn_rate": 21.337,
        "window": "1h",
        "budget_left": 0.9312,
        "p95_budget_ms": 5000,
        "message": "",
    }
    assert second["data"]["state"] == "resolved"


async def test_a_webhook_that_refuses_is_asked_again() -> None:
    inbox = Inbox(refuses=TRIES - 1)
    alerts = SloAlerts(Pages([change()]), inbox, SetClock(), pause_s=0)
    await alerts.look()
    await alerts.deliver_next()
    assert len(inbox.events) == 1


async def test_one_that_goes_on_refusing_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox(refuses=TRIES)
    alerts = SloAlerts(Pages([change()]), inbox, SetClock(), pause_s=0)
    await alerts.look()
    await alerts.deliver_next()
    assert inbox.events == []
    assert "it answered 503" in caplog.records[-1].message


async def test_a_webhook_that_hangs_does_not_keep_the_book_waiting() -> None:
    class Hangs:
        def __init__(self) -> None:
            self.asked = asyncio.Event()

        async def post(self, event_id: str, body: bytes) -> str | None:
            self.asked.set()
            await asyncio.Event().wait()
            return None

    hangs = Hangs()
    alerts = SloAlerts(Pages([change()], [change(firing=False)]), hangs, SetClock())
    delivery = asyncio.create_task(alerts.deliver())
    await alerts.look()
    await hangs.asked.wait()
    await alerts.look()
    delivery.cancel()
    await asyncio.gather(delivery, return_exceptions=True)


async def test_without_a_webhook_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    await SloAlerts(Pages([change()]), None, SetClock()).look()
    assert len(caplog.records) == 1
    json.encode(vars(caplog.records[0])["slo"])
