"""What was delivered and what was not; to deliver it once more; and how long the log is kept."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Raw

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, RateLimited
from tenfold.core.ids import TenantId, id_named
from tenfold.core.inputs import one_of
from tenfold.core.principal import Principal
from tenfold.jobs.types import Job
from tenfold.webhooks.handlers import DEFAULT_PAGE, WebhookAdmin, before_of
from tenfold.webhooks.names import DELIVERY, ENDPOINT, name_of
from tenfold.webhooks.outbox import job_of, new_job
from tenfold.webhooks.ports import Queue, WebhookRows
from tenfold.webhooks.types import (
    TEST_EVENT,
    AttemptPage,
    Delivery,
    DeliveryPage,
    DeliveryState,
    Event,
    Order,
    Redelivered,
)

logger = logging.getLogger(__name__)

STATES: tuple[DeliveryState, ...] = ("waiting", "delivered", "failed")
MOST_REDELIVERED = 500  # at a time
KEEP_S = 30 * 86_400.0
EXPIRE_EVERY_S = 600.0
_BATCH = 500


class WebhookLog:
    """Every method raises StoreUnavailable, and NotFound for an endpoint or a delivery that is not the tenant's."""

    def __init__(self, rows: WebhookRows, admin: WebhookAdmin, jobs: Queue, clock: Clock) -> None:
        self._rows = rows
        self._admin = admin
        self._jobs = jobs
        self._clock = clock

    async def list(
        self,
        tenant_id: TenantId,
        endpoint: str,
        *,
        state: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
    ) -> DeliveryPage:
        """The newest first. Raises InvalidRequest."""
        before = before_of(cursor, limit)
        known = None if state is None else one_of(state, STATES, "state")
        to = await self._admin.show(tenant_id, endpoint)
        found = await self._rows.deliveries(tenant_id, to.id, state=known, before=before, limit=limit + 1)
        return DeliveryPage(items=found[:limit], cursor=str(found[limit - 1].id) if len(found) > limit else None)

    async def show(self, tenant_id: TenantId, name: str) -> Delivery:
        delivery_id = id_named(DELIVERY, name)
        delivery = None if delivery_id is None else await self._rows.delivery(tenant_id, delivery_id)
        if delivery is None:
            raise NotFound("There is no such delivery: it is not tried yet, or was too long ago.")
        return delivery

    async def attempts(
        self, tenant_id: TenantId, name: str, *, cursor: str | None = None, limit: int = DEFAULT_PAGE
    ) -> AttemptPage:
        """The newest first. Raises InvalidRequest."""
        before_of(None, limit)
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise InvalidRequest("This is not a cursor.", param="cursor")
        delivery = await self.show(tenant_id, name)
        before = int(cursor) if cursor else None
        found = await self._rows.attempts(tenant_id, delivery.id, before=before, limit=limit + 1)
        more = str(found[limit - 1][0]) if len(found) > limit else None
        return AttemptPage(items=[attempt for _, attempt in found[:limit]], cursor=more)

    # -- once more ---------------------------------------------------------------------------

    async def test(self, principal: Principal, endpoint: str) -> Job:
        """An event of the type TEST_EVENT for this endpoint, also if it is disabled. Raises RateLimited, Overloaded."""
        to = await self._admin.show(principal.tenant_id, endpoint)
        event = Event(type=TEST_EVENT, resource=name_of(ENDPOINT, to.id))
        return await self._jobs.enqueue(new_job(principal, to.id, event, self._clock.now()))

    async def redeliver(self, principal: Principal, name: str) -> Job:
        """The same event with the same id, now, whatever became of it. Asked for twice before it is tried, it is tried
        once. Raises Conflict (the endpoint is disabled), RateLimited, Overloaded."""
        delivery = await self.show(principal.tenant_id, name)
        await self._check_enabled(principal.tenant_id, name_of(ENDPOINT, delivery.endpoint_id))
        return await self._once_more(principal, delivery)

    async def redeliver_failed(self, principal: Principal, endpoint: str, since: datetime) -> Redelivered:
        """What failed of events from then on, the oldest first, at most MOST_REDELIVERED of them. Raises Conflict,
        InvalidRequest, RateLimited and Overloaded where not even one found room."""
        if since.tzinfo is None:
            raise InvalidRequest("`since` must say its offset, such as 2026-01-01T00:00:00Z.", param="since")
        to = await self._check_enabled(principal.tenant_id, endpoint)
        ids = await self._rows.failed_since(principal.tenant_id, to, since, MOST_REDELIVERED + 1)
        count = 0
        for delivery_id in ids[:MOST_REDELIVERED]:
            delivery = await self._rows.delivery(principal.tenant_id, delivery_id)
            if delivery is None or delivery.state != "failed":
                continue
            try:
                await self._once_more(principal, delivery)
            except RateLimited:
                if count == 0:
                    raise
                return Redelivered(count=count, more=True)
            count += 1
        return Redelivered(count=count, more=len(ids) > MOST_REDELIVERED)

    async def _check_enabled(self, tenant_id: TenantId, endpoint: str) -> UUID:
        to = await self._admin.show(tenant_id, endpoint)
        if to.disabled_by is not None:
            raise Conflict("The endpoint is disabled: enable it first.")
        return to.id

    async def _once_more(self, principal: Principal, delivery: Delivery) -> Job:
        order = Order(
            endpoint_id=delivery.endpoint_id,
            event_id=delivery.event_id,
            type=delivery.type,
            resource=delivery.resource,
            created_at=delivery.created_at,
            body=Raw(delivery.body),
            delivery_id=delivery.id,
        )
        job = await self._jobs.enqueue(job_of(principal, order, dedup=f"{delivery.id.hex}:{delivery.attempts}"))
        with suppress(NotFound, Conflict):
            await self._jobs.discard(principal.tenant_id, delivery.job_id)  # its dead letter, in whose place this is
        return job


async def expire_deliveries(rows: WebhookRows, clock: Clock, *, keep_s: float = KEEP_S) -> int:
    """Deletes what is too old: how many deliveries. Raises StoreUnavailable."""
    before = clock.now() - timedelta(seconds=keep_s)
    expired = 0
    for tenant_id in await rows.tenants_expired(before):
        while of_tenant := await rows.expire(tenant_id, before, limit=_BATCH):
            expired += of_tenant
    return expired
