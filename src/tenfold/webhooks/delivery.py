"""The jobs that deliver: an event is posted to its endpoint, and each try is logged, until it is taken or given up.

At least once: an endpoint that took an event whose log could not be written is posted it again, with the same id.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import json
from msgspec.structs import replace

from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest, Overloaded, UpstreamError, UpstreamUnavailable
from tenfold.core.ids import TenantId
from tenfold.jobs.ports import JobContext
from tenfold.jobs.types import Result
from tenfold.webhooks.names import ENDPOINT, EVENT, name_of
from tenfold.webhooks.outbox import MOST_RETRY_S
from tenfold.webhooks.ports import Answer, Sender, WebhookRows
from tenfold.webhooks.signing import signed_headers, signing_key
from tenfold.webhooks.types import (
    KIND,
    KIND_DEAD,
    MAX_REPLY_BYTES,
    MAX_WAITING,
    TEST_EVENT,
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    Order,
)

logger = logging.getLogger(__name__)

DISABLE_AFTER_S = 5 * 86_400.0
MOST_AT_ONCE = 8  # posts to one endpoint from one process: one that hangs must not take all of a worker's slots
BUSY_S = 5.0
GONE = 410


class Deliver:
    """Does the jobs of KIND. Implements jobs.Handler."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(
        self,
        rows: WebhookRows,
        sender: Sender,
        clock: Clock,
        *,
        disable_after_s: float = DISABLE_AFTER_S,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._rows = rows
        self._sender = sender
        self._clock = clock
        self._disable_after = timedelta(seconds=disable_after_s)
        self._most_at_once = most_at_once
        self._posting: Counter[UUID] = Counter()

    async def run(self, job: JobContext) -> Result:
        """Raises UpstreamUnavailable (it was not taken: try again), Overloaded, StoreUnavailable."""
        work = job.work
        order = json.decode(work.input, type=Order)
        endpoint = await self._rows.endpoint(work.job.tenant_id, order.endpoint_id)
        if endpoint is None:
            await self._rows.give_up(work.job.tenant_id, work.job.id)
            return Result()
        if work.job.attempts > 1 and await self._is_superseded(work.job.id, order, endpoint):
            return Result()
        if endpoint.disabled_by is not None and order.type != TEST_EVENT:
            await self._log(job, order, endpoint, "failed", self._not_sent("the endpoint is disabled"))
            return Result()
        if self._posting[endpoint.id] >= self._most_at_once:
            raise Overloaded("Enough is being posted to this endpoint already.", retry_after_s=BUSY_S)
        self._posting[endpoint.id] += 1
        try:
            attempt, retry_after_s = await self._try(endpoint, order)
        finally:
            self._posting[endpoint.id] -= 1
            self._posting += Counter()  # those at 0 are dropped
        gone = attempt.status == GONE
        if attempt.status is not None and 200 <= attempt.status < 300:
            await self._log(job, order, endpoint, "delivered", attempt)
            return Result()
        if gone or order.type == TEST_EVENT:  # whoever tests looks at the log now
            await self._log(job, order, endpoint, "failed", attempt, gone)
            return Result()
        if work.job.attempts == 1 and await self._is_crowded(endpoint.tenant_id, attempt.at):
            crowded = f"{_why(attempt)}; {MAX_WAITING} deliveries wait already, so this one is not tried again"
            await self._log(job, order, endpoint, "failed", replace(attempt, error=crowded))
            return Result()
        await self._log(job, order, endpoint, "waiting", attempt)
        raise UpstreamUnavailable(f"The endpoint did not take the event: {_why(attempt)}.", retry_after_s=retry_after_s)

    # -- inside ------------------------------------------------------------------------------

    async def _is_superseded(self, job_id: UUID, order: Order, endpoint: Endpoint) -> bool:
        """Whether somebody had it redelivered meanwhile, and it was taken."""
        known = await self._rows.delivery(endpoint.tenant_id, order.delivery_id or job_id)
        return known is not None and known.state == "delivered" and known.job_id > job_id

    async def _is_crowded(self, tenant_id: TenantId, now: datetime) -> bool:
        """What was not tried for longer than any pause waits no more: somebody has cancelled its job."""
        return await self._rows.waiting(tenant_id, now - timedelta(seconds=2 * MOST_RETRY_S)) >= MAX_WAITING

    async def _try(self, endpoint: Endpoint, order: Order) -> tuple[Attempt, float | None]:
        """And how long the endpoint asks to wait (seconds)."""
        now, began_s, body = self._clock.now(), self._clock.monotonic_s(), bytes(order.body)
        keys = [signing_key(secret) for secret in _secrets(endpoint, now)]
        headers = signed_headers(keys, name_of(EVENT, order.event_id), int(now.timestamp()), body)
        answer: Answer | None = None
        error: str | None = None
        try:
            answer = await self._sender.post(endpoint.url, headers, body)
        except (UpstreamError, InvalidRequest) as refused:
            error = refused.message
        attempt = Attempt(
            at=now,
            status=None if answer is None else answer.status,
            latency_ms=round(1000 * (self._clock.monotonic_s() - began_s)),
            reply="" if answer is None else _text(answer.body),
            error=error,
        )
        return attempt, None if answer is None else _retry_after_s(answer.headers)

    def _not_sent(self, why: str) -> Attempt:
        return Attempt(at=self._clock.now(), status=None, latency_ms=0, reply="", error=why)

    async def _log(
        self,
        job: JobContext,
        order: Order,
        endpoint: Endpoint,
        state: DeliveryState,
        attempt: Attempt,
        gone: bool = False,
    ) -> None:
        job_id = job.work.job.id
        delivery = Delivery(
            tenant_id=endpoint.tenant_id,
            id=order.delivery_id or job_id,
            endpoint_id=endpoint.id,
            event_id=order.event_id,
            type=order.type,
            resource=order.resource,
            body=bytes(order.body),
            state=state,
            created_at=order.created_at,
            job_id=job_id,
            last=attempt,
        )
        why = await self._rows.attempted(delivery, gone=gone, failing_before=attempt.at - self._disable_after)
        if why is not None:
            names = {"tenant": job.work.principal.tenant_slug, "endpoint": name_of(ENDPOINT, endpoint.id)}
            logger.warning("a webhook endpoint is disabled: %s", why, extra=names)


class GiveUp:
    """Does the jobs of KIND_DEAD: a delivery whose job died has failed. Implements jobs.Handler."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, rows: WebhookRows) -> None:
        self._rows = rows

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable."""
        await self._rows.give_up(job.work.job.tenant_id, UUID(job.work.input.decode()))
        return Result()


def _secrets(endpoint: Endpoint, now: datetime) -> list[str]:
    old, until = endpoint.old_secret, endpoint.old_secret_until
    return [endpoint.secret] if old is None or until is None or now >= until else [endpoint.secret, old]


def _why(attempt: Attempt) -> str:
    return f"it answered {attempt.status}" if attempt.error is None else attempt.error.rstrip(".")


def _text(body: bytes) -> str:
    return body[:MAX_REPLY_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")


def _retry_after_s(headers: Sequence[tuple[bytes, bytes]]) -> float | None:
    """Of whole seconds, up to the longest pause."""
    for name, value in headers:
        if name == b"retry-after" and value.isdigit():
            return min(float(value[:9]), MOST_RETRY_S)
    return None
