"""Budget alerts leave the house: each is logged and posted to the operator's webhook, by one process, at least once.

What is to be sent, how often it was tried and who tries it now is in the rows behind `AlertRows`; nothing of it is
in this process.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import json

from tenfold.app.setting_tables import AlertSettings
from tenfold.app.settings import SettingsError, secret
from tenfold.app.webhook import Endpoint
from tenfold.core.errors import StoreUnavailable
from tenfold.core.money import format_usd
from tenfold.ledger.budgets.ports import AlertRows
from tenfold.ledger.budgets.types import BudgetAlert

logger = logging.getLogger(__name__)

EVENT = "budget.alert"
POLL_S = 2.0
BATCH = 20
CLAIM_S = 60.0  # longer than a try can last: until then nobody else tries
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 4 * 3600.0
MAX_TRIES = 20  # with the pauses between them up to a day and a half


class Receiver(Protocol):
    """See tenfold.app.webhook.Webhook."""

    async def post(self, event_id: str, body: bytes) -> str | None: ...


class Alerts:
    """`run` until cancelled. Without a receiver an alert is delivered once it is in the log."""

    def __init__(
        self,
        rows: AlertRows,
        receiver: Receiver | None,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._rows = rows
        self._receiver = receiver
        self._jitter = jitter
        self.delivered = 0
        self.failed_tries = 0
        self.given_up = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                while await self.deliver() == BATCH:
                    pass
            except StoreUnavailable as error:
                logger.info("no alert can be read, the database is away: %s", error.message)

    async def deliver(self) -> int:
        """One try for each alert that is due, at most BATCH at a time: how many there were. Raises StoreUnavailable."""
        due = await self._rows.claim(BATCH, CLAIM_S)
        tried = await asyncio.gather(*(self._try(alert) for alert in due), return_exceptions=True)
        for trouble in tried:
            if trouble is not None:
                raise trouble
        return len(due)

    async def _try(self, alert: BudgetAlert) -> None:
        if alert.tries == 0:
            logger.warning("%s", message(alert), extra=_log_fields(alert))
        trouble = None
        if self._receiver is not None:
            trouble = await self._receiver.post(f"alert_{alert.id.hex}", event(alert))
        if trouble is None:
            self.delivered += 1
            await self._rows.delivered(alert)
            return
        self.failed_tries += 1
        if alert.tries + 1 >= MAX_TRIES:
            self.given_up += 1
            logger.error("the webhook was not told of alert %s, and will not be: %s", alert.id, trouble)
            await self._rows.delivered(alert)
            return
        pause_s = self._pause_s(alert.tries)
        logger.warning("the webhook was not told of alert %s; next try in %.0f s: %s", alert.id, pause_s, trouble)
        await self._rows.put_off(alert, pause_s)

    def _pause_s(self, tries: int) -> float:
        """Exponential with full jitter: receivers that come back are not met by all alerts at once."""
        return max(1.0, self._jitter(0.0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**tries)))


def endpoint_of(settings: AlertSettings, environment: Mapping[str, str]) -> Endpoint | None:
    """None when no webhook is configured. Raises SettingsError."""
    if settings.webhook_url is None:
        return None
    key = secret(settings.webhook_secret, environment, "alerts", "webhook_secret")
    try:
        return Endpoint.parse(settings.webhook_url, key or "")
    except ValueError as error:
        raise SettingsError(f"alerts: {error}") from None


def message(alert: BudgetAlert) -> str:
    whose = f"{alert.per} {alert.subject}" if alert.subject else alert.per
    spent, limit = format_usd(alert.spent_nano), format_usd(alert.limit_nano)
    period = "in total" if alert.period == "total" else f"of this {alert.period}"
    return f"budget alert: {whose} has spent {spent} of {limit} USD {period} ({alert.percent} % reached)"


def event(alert: BudgetAlert) -> bytes:
    """The body of the webhook. Amounts are decimal USD."""
    return json.encode(
        {
            "type": EVENT,
            "timestamp": alert.at,
            "data": {
                "alert_id": alert.id,
                "tenant_id": alert.tenant_id,
                "budget_id": alert.budget_id,
                "per": alert.per,
                "subject": alert.subject or None,
                "period": alert.period,
                "period_start": alert.period_start,
                "percent": alert.percent,
                "spent_usd": format_usd(alert.spent_nano),
                "limit_usd": format_usd(alert.limit_nano),
                "hard": alert.hard,
                "message": message(alert),
            },
        }
    )


def _log_fields(alert: BudgetAlert) -> dict[str, str]:
    return {"tenant": str(alert.tenant_id), "budget": str(alert.budget_id), "alert": str(alert.id)}
