"""Events become jobs: one for each endpoint that is subscribed. What a tenant subscribed to is known in memory.

The jobs are there once whoever asked for them has handed them on with the end of the work that the event tells of; so
no event is told of what did not happen, and none is lost of what did.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Raw, json

from tenfold.core.clock import Clock
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.core.tenant_book import TenantBook
from tenfold.jobs.types import NewJob
from tenfold.webhooks.names import ENDPOINT, EVENT, name_of
from tenfold.webhooks.ports import WebhookRows
from tenfold.webhooks.types import KIND, MAX_ENDPOINTS, Endpoint, Event, Order

MAX_ATTEMPTS = 18  # with the pauses between them 18 to 35 hours, 27 as a rule
FIRST_RETRY_S = 5.0
MOST_RETRY_S = 6 * 3600.0
KEEP_S = 86_400.0  # the log tells for longer


class WebhookOutbox:
    """Implements `Outbox`. `forget` is to be called with the tenant whose endpoints have changed."""

    def __init__(self, rows: WebhookRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._book = TenantBook(self._read)

    def forget(self, tenant_id: TenantId | None) -> None:
        self._book.forget(tenant_id)

    async def jobs_for(self, principal: Principal, event: Event) -> tuple[NewJob, ...]:
        known = self._book.get(principal.tenant_id)
        endpoints = await self._book.load(principal.tenant_id) if known is None else known
        now = self._clock.now()
        return tuple(new_job(principal, each.id, event, now) for each in endpoints if each.wants(event.type))

    async def _read(self, tenant_id: TenantId) -> tuple[Endpoint, ...]:
        return tuple(await self._rows.endpoints(tenant_id, before=None, limit=MAX_ENDPOINTS))


def new_job(principal: Principal, endpoint_id: UUID, event: Event, now: datetime) -> NewJob:
    """The job that delivers a new event. Those of one resource go to an endpoint one after the other."""
    order = Order(
        endpoint_id=endpoint_id,
        event_id=event.id,
        type=event.type,
        resource=event.resource,
        created_at=now,
        body=Raw(body_of(event, now)),
    )
    return job_of(principal, order, order_key=f"{KIND} {endpoint_id.hex} {event.resource}")


def job_of(principal: Principal, order: Order, *, order_key: str | None = None, dedup: str | None = None) -> NewJob:
    return NewJob(
        kind=KIND,
        principal=principal,
        input=json.encode(order),
        subject=order.resource,
        facts={"endpoint": name_of(ENDPOINT, order.endpoint_id), "event": order.type},
        max_attempts=MAX_ATTEMPTS,
        first_retry_s=FIRST_RETRY_S,
        most_retry_s=MOST_RETRY_S,
        order_key=order_key,
        dedup=dedup,
        keep_s=KEEP_S,
    )


def body_of(event: Event, at: datetime) -> bytes:
    """What is posted, in the shape of OpenAI's events. Times are Unix seconds."""
    return json.encode(
        {
            "id": name_of(EVENT, event.id),
            "object": "event",
            "created_at": int(at.timestamp()),
            "type": event.type,
            "data": {"id": event.resource} | event.data,
        }
    )
