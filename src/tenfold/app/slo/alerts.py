"""Alerts of objectives leave the house: each is one line of the log and one event for the operator's webhook, once when
it begins and once when it ends, by one process of the machine.
"""

import asyncio
import logging
from datetime import datetime
from typing import Protocol

from msgspec import json

from tenfold.app.alerts import Receiver
from tenfold.app.slo.types import Change
from tenfold.core.clock import Clock
from tenfold.core.ids import uuid7

logger = logging.getLogger(__name__)

EVENT = "slo.burn"
EVERY_S = 5.0
TRIES = 5
PAUSE_S = 10.0
MAX_WAITING = 1_000  # events for a webhook that is away; further ones are in the log alone


class Book(Protocol):
    """See tenfold.app.slo.book.SloBook."""

    async def tick(self) -> list[Change]: ...


class SloAlerts:
    """`run` and `deliver` until cancelled: a webhook that hangs does not keep the book from being written."""

    def __init__(self, book: Book, receiver: Receiver | None, clock: Clock, *, pause_s: float = PAUSE_S) -> None:
        self._book = book
        self._receiver = receiver
        self._clock = clock
        self._pause_s = pause_s
        self._events: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MAX_WAITING)

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        for change in await self._book.tick():
            level = logging.WARNING if change.firing else logging.INFO
            logger.log(level, "%s", message(change), extra=_log_fields(change))
            if self._receiver is not None and not self._events.full():
                self._events.put_nowait((f"slo_{uuid7().hex}", event(change, self._clock.now())))

    async def deliver(self) -> None:
        """The events in their order, each up to five times."""
        while True:
            await self.deliver_next()

    async def deliver_next(self) -> None:
        event_id, body = await self._events.get()
        trouble = None
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._pause_s * 2**attempt)
            trouble = None if self._receiver is None else await self._receiver.post(event_id, body)
            if trouble is None:
                return
        logger.error("the webhook was not told of the objective's alert %s: %s", event_id, trouble)


def message(change: Change) -> str:
    whose = f"slo {change.slo.name}: the {change.kind} budget"
    if not change.firing:
        return f"{whose} no longer burns too fast ({change.severity})"
    left = f"{change.budget_left:.1%} of it are left"
    return (
        f"{whose} burns {change.burn_rate:.1f} times as fast as it may over {change.window} ({change.severity}); {left}"
    )


def event(change: Change, at: datetime) -> bytes:
    """The body of the webhook."""
    slo = change.slo
    data = {
        "slo": slo.name,
        "pathway": slo.pathway,
        "feature": slo.feature,
        "model": slo.model,
        "objective": change.kind,
        "severity": change.severity,
        "state": _state(change),
        "burn_rate": round(change.burn_rate, 3),
        "window": change.window,
        "budget_left": round(change.budget_left, 4),
        "p95_budget_ms": slo.budget_s * 1000,
        "message": message(change),
    }
    return json.encode({"type": EVENT, "timestamp": at, "data": data})


def _state(change: Change) -> str:
    return "firing" if change.firing else "resolved"


def _log_fields(change: Change) -> dict[str, str]:
    return {
        "slo": change.slo.name,
        "pathway": change.slo.pathway,
        "objective": change.kind,
        "severity": change.severity,
        "state": _state(change),
    }
